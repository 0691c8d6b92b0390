"""What M prefix tokens reach of the initial states of a diagonal state space layer, and how long they have to be.

H = 6 states, b = 1. Left: the distance of a random unit state from the states that M tokens reach, exact up to the
last rounding; 5 random states, medians and ranges. From M = H on it is 0, unless an eigenvalue repeats. Right: the
norm of the shortest prefix of M >= H tokens for these states. Eigenvalues: "spread", six equally spaced ones in [-0.9,
0.9]; "slow", six unequally spaced ones in [0.9, 0.95]; "repeated", 0.5 twice and four others. Not in the published
paper.
"""

import numpy as np

CLAIMS = ("galim2024ssm:proposition-reachable-states", "galim2024ssm:proposition-repeated-eigenvalues")

H = 6
EIGENVALUES = {
    "spread": tuple(range(-900, 901, 360)),
    "slow": (900, 905, 915, 930, 940, 950),
    "repeated": (500, 500, -800, -300, 100, 900),
}
"""In thousandths."""


def cases(quick):
    """One case a layer and state."""
    return [{"layer": layer, "seed": seed} for layer in EIGENVALUES for seed in range(2 if quick else 5)]


def compute(layer, seed):
    """Distance and norm over Q, by normal equations, for M = 1, ..., 10."""
    from flint import fmpq, fmpq_mat

    a = [fmpq(x, 1000) for x in EIGENVALUES[layer]]
    state = np.random.default_rng(seed).standard_normal(H)
    h = fmpq_mat(H, 1, [fmpq(int(x * 2**40), 2**40) for x in state / np.linalg.norm(state)])
    distinct = len(set(a))
    rows = []
    for M in range(1, 11):
        K = fmpq_mat(H, M, [a_i ** (M - 1 - m) for a_i in a for m in range(M)])
        basis = fmpq_mat(H, min(M, distinct), [K[i, M - 1 - j] for i in range(H) for j in range(min(M, distinct))])
        along = (basis.transpose() * basis).solve(basis.transpose() * h)
        gap = h - basis * along
        left = (gap.transpose() * gap)[0, 0]
        rows.append({"panel": "distance", "curve": layer, "seed": seed, "x": M, "y": float(left) ** 0.5})
        if M >= H == distinct:
            length = (h.transpose() * (K * K.transpose()).solve(h))[0, 0]
            rows.append({"panel": "norm", "curve": layer, "seed": seed, "x": M, "y": float(length) ** 0.5})
    return rows


def plot(rows, published):
    """Draw distance and norm against M."""
    from lora_proofs import plotting

    figure, axes = plotting.grid(columns=2)
    for index, layer in enumerate(EIGENVALUES):
        plotting.band(axes[0, 0], plotting.points(rows, panel="distance", curve=layer), layer, index)
        if of_layer := plotting.points(rows, panel="norm", curve=layer):
            plotting.band(axes[0, 1], of_layer, layer, index)
    axes[0, 0].set(xlabel="tokens $M$", ylabel="distance of a unit state")
    axes[0, 1].set(yscale="log", xlabel="tokens $M$", ylabel="norm of the prefix", xlim=(5.5, 10.5))
    axes[0, 0].legend()
    axes[0, 1].legend(loc="center right")
    return figure
