"""How much of the full gradient a step of the factors leaves out: LoRA, LoRA-Pro, and the best matrix of rank 2r.

A Gaussian gradient g, 64 x 64, and Gaussian factors of rank r. Drawn is |g~ - g|_F / |g|_F: for LoRA's direction with
the best common step size, for LoRA-Pro, and for the truncated SVD of rank 2r, which no pair of factors can beat. Dots:
5 draws. Lines: sqrt(1 - 2r / (m + 2r + 1)), from a ratio of exact means (LoRA); 1 - r / m, from the exact mean of the
square (LoRA-Pro); the tail of the quarter circle law (SVD). The published paper has no such figure.
"""

import numpy as np

CLAIMS = ("wang2025lorapro:theorem-2.1-residual", "wang2025lorapro:theorem-2.1-improves")

M = 64


def cases(quick):
    """One case a rank and seed."""
    ranks = (2, 16, 32) if quick else (1, 2, 4, 8, 12, 16, 20, 24, 28, 32)
    return [{"r": r, "seed": seed} for r in ranks for seed in range(2 if quick else 5)]


def compute(r, seed):
    """Relative distances of one draw, and the theory."""
    rng = np.random.default_rng(seed)
    g, B, A = (rng.standard_normal(shape) for shape in ((M, M), (M, r), (r, M)))
    direction = B @ (B.T @ g) + (g @ A.T) @ A
    lora = 1 - np.sum(g * direction) ** 2 / (np.sum(direction**2) * np.sum(g**2))
    left, right = np.linalg.qr(B)[0], np.linalg.qr(A.T)[0]
    rest = g - left @ (left.T @ g)
    pro = np.sum((rest - rest @ right @ right.T) ** 2) / np.sum(g**2)
    sigma = np.linalg.svd(g, compute_uv=False)
    svd = np.sum(sigma[2 * r :] ** 2) / np.sum(sigma**2)
    measured = {"LoRA": lora, "LoRA-Pro": pro, "SVD": svd}
    theory = {"LoRA": 1 - 2 * r / (M + 2 * r + 1), "LoRA-Pro": (1 - r / M) ** 2, "SVD": tail(2 * r / M)}
    rows = [row(f"{name} measured", seed, r, y) for name, y in measured.items()]
    return rows + ([row(f"{name} theory", "", r, y) for name, y in theory.items()] if seed == 0 else [])


def row(curve, seed, r, square):
    """Return one row."""
    return {"panel": "gap", "curve": curve, "seed": seed, "x": r, "y": float(np.sqrt(max(square, 0.0)))}


def tail(share):
    """Return the part of |g|_F^2 outside the largest `share` of the singular values, for a large square Gaussian g.

    With s = 2 sin(t) sigma has density (2 / pi) cos(t)^2 dt: the quarter circle law.
    """
    t = np.linspace(0, np.pi / 2, 20001)
    density = np.cos(t) ** 2
    mass, energy = (np.cumsum(f) / np.sum(f) for f in (density, density * np.sin(t) ** 2))
    return float(np.interp(1 - share, mass, energy))


def plot(rows, published):
    """Draw the three methods."""
    from lora_proofs import plotting

    figure, axes = plotting.grid(height=2.4)
    ax = axes[0, 0]
    for index, name in enumerate(("LoRA", "LoRA-Pro", "SVD")):
        plotting.line(ax, plotting.points(rows, curve=f"{name} theory"), None, index)
        label = name if name != "SVD" else "SVD, rank $2r$"
        plotting.dots(ax, plotting.points(rows, curve=f"{name} measured"), label, index)
    ax.set(xlabel="rank $r$", ylabel=r"$|\tilde g - g|_F / |g|_F$", ylim=(-0.02, 1.02))
    ax.legend()
    return figure
