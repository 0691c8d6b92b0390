"""Tuning B or tuning A: the part of the loss that a random frozen factor lets the other one remove.

Least squares with d = 256 inputs and outputs, r = 8. Half of the inputs have variance 1, half the variance on the
horizontal axis. Delta is Gaussian, or acts on one half of the inputs only. Dots: 5 draws of Delta, U and Q; lines: the
mean r / d for A, and the limit (r / d) d Tr(Delta S^2 Delta^T) / (Tr S Tr(Delta S Delta^T)) for B. The published paper
has no such figure.
"""

import numpy as np

CLAIMS = (
    "zhu2024asymmetry:formula-mean-gain-of-A",
    "zhu2024asymmetry:theorem-4.3-isotropic",
    "zhu2024asymmetry:theorem-4.3-as-recalled",
)

D, R = 256, 8
ACTS_ON = {"all inputs": (1.0, 1.0), "high variance": (1.0, 0.0), "low variance": (0.0, 1.0)}


def cases(quick):
    """One case a variance and seed."""
    variances = (0.01, 0.1, 1.0) if quick else (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    return [{"variance": e, "seed": seed} for e in variances for seed in range(2 if quick else 5)]


def compute(variance, seed):
    """Gains of both factors over the loss, and their theory."""
    rng = np.random.default_rng(seed)
    S = np.repeat([1.0, variance], D // 2)
    rows = []
    for name, weights in ACTS_ON.items():
        delta = rng.standard_normal((D, D)) * np.repeat(weights, D // 2)
        U, Q = (np.linalg.qr(rng.standard_normal((D, R)))[0] for _ in range(2))
        loss = np.sum(delta**2 * S)
        projected = delta * S @ Q
        gain_A = np.sum((U.T @ delta) ** 2 * S) / loss
        gain_B = np.trace(projected @ np.linalg.solve(Q.T * S @ Q, projected.T)) / loss
        moments = [sum(w * s**k for w, s in zip(weights, (1.0, variance), strict=True)) for k in (1, 2)]
        limit = R / D * 2 * moments[1] / ((1 + variance) * moments[0])
        for curve, value in (("A", gain_A), ("B", gain_B)):
            rows.append({"panel": name, "curve": curve, "seed": seed, "x": variance, "y": value})
        if seed == 0:
            rows.append({"panel": name, "curve": "limit of B", "seed": "", "x": variance, "y": limit})
            rows.append({"panel": name, "curve": "mean of A", "seed": "", "x": variance, "y": R / D})
    return rows


def plot(rows, published):
    """Draw B for the three kinds of Delta, and A once."""
    from lora_proofs import plotting

    figure, axes = plotting.grid(height=2.6)
    ax = axes[0, 0]
    for index, name in enumerate(ACTS_ON):
        plotting.line(ax, plotting.points(rows, panel=name, curve="limit of B"), None, index)
        plotting.dots(ax, plotting.points(rows, panel=name, curve="B"), f"B, $\\Delta$ on {name}", index)
    plotting.line(ax, plotting.points(rows, panel="all inputs", curve="mean of A"), None, 6)
    plotting.dots(ax, plotting.points(rows, panel="all inputs", curve="A"), "A, $\\Delta$ on all inputs", 6)
    ax.set(xscale="log", yscale="log", xlabel="variance of half of the inputs", ylabel="gain / loss")
    ax.legend(loc="lower right")
    return figure
