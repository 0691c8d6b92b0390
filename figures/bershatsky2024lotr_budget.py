"""LoTR and LoRA at equal budgets, on stacks of layers that share their subspaces, half of them, or none.

12 layers of width 48. Each layer is a sum of 6 directions of equal weight: all in common subspaces of dimension 6, or 3
of them, or none; Gaussian noise has a hundredth of the square. LoRA is the truncated SVD of each layer. LoTR is the
higher-order SVD, improved by 5 alternating sweeps, an upper bound of its best error. Medians and ranges of 5 stacks.
Not in the published paper, which trains on GLUE.
"""

import numpy as np

CLAIMS = ("bershatsky2024lotr:formula-ratio", "bershatsky2024lotr:proposition-unrelated-layers")

D, L, WEIGHT = 48, 12, 6
SHARED = {"all": 6, "half": 3, "none": 0}
LORA_RANKS = (1, 2, 3, 4, 6, 8)


def cases(quick):
    """One case a kind of stack and a seed."""
    return [{"shared": name, "seed": seed} for name in SHARED for seed in range(2 if quick else 5)]


def orthonormal(rng, columns):
    """Random orthonormal columns."""
    return np.linalg.qr(rng.standard_normal((D, columns)))[0]


def stack_of(shared, rng):
    """Return the (L, d, d) stack, of Frobenius norm about 1."""
    common = SHARED[shared]
    A, B = orthonormal(rng, common), orthonormal(rng, common)
    layers = []
    for _ in range(L):
        core = np.linalg.qr(rng.standard_normal((common, common)))[0]
        own = orthonormal(rng, WEIGHT - common) @ orthonormal(rng, WEIGHT - common).T
        noise = rng.standard_normal((D, D)) / D * np.sqrt(0.01 * WEIGHT)
        layers.append(A @ core @ B.T + own + noise)
    return np.array(layers) / np.sqrt(L * WEIGHT)


def leading(matrix, r):
    """Leading left singular vectors."""
    return np.linalg.svd(matrix, full_matrices=False)[0][:, :r]


def lotr_error(stack, r):
    """Squared error of the improved higher-order SVD."""
    flipped = stack.transpose(0, 2, 1)
    P, Q = leading(np.concatenate(list(stack), axis=1), r), leading(np.concatenate(list(flipped), axis=1), r)
    for _ in range(5):
        P = leading(np.concatenate(list(stack @ Q), axis=1), r)
        Q = leading(np.concatenate(list(flipped @ P), axis=1), r)
    return np.sum(stack**2) - np.sum((P.T @ stack @ Q) ** 2)


def compute(shared, seed):
    """Relative squared errors against the number of parameters."""
    rng = np.random.default_rng((list(SHARED).index(shared), seed))
    stack = stack_of(shared, rng)
    whole = np.sum(stack**2)
    rows = []
    for r in LORA_RANKS:
        tail = np.sum(np.linalg.svd(stack, compute_uv=False)[:, r:] ** 2)
        rows.append({"panel": shared, "curve": "LoRA", "seed": seed, "x": 2 * D * r * L, "y": tail / whole})
        # The largest LoTR rank within the same budget.
        R = min(D, max(k for k in range(1, D + 1) if 2 * D * k + L * k * k <= 2 * D * r * L))
        y = lotr_error(stack, R) / whole
        rows.append({"panel": shared, "curve": "LoTR", "seed": seed, "x": 2 * D * R + L * R * R, "y": y})
    return rows


def plot(rows, published):
    """One colour a kind of stack: LoTR solid, LoRA dashed."""
    from lora_proofs import plotting

    figure, axes = plotting.grid(height=2.7)
    ax = axes[0, 0]
    for index, name in enumerate(SHARED):
        plotting.band(ax, plotting.points(rows, panel=name, curve="LoTR"), f"LoTR, {name} shared", index)
        lora = plotting.points(rows, panel=name, curve="LoRA")
        plotting.band(ax, lora, f"LoRA, {name} shared", index, ls="--", mfc="none")
    ax.set(xlabel="parameters", ylabel="relative squared error", yscale="log", ylim=(5e-4, 1.5))
    ax.legend(ncol=2, loc="lower left", fontsize=6)
    return figure
