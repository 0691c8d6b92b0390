"""RandLoRA against LoRA at equal numbers of parameters: the squared error that is left, over the decay of the spectrum.

Target 32 x 32 with singular values i^(-p); n terms of inner width r = 4, random Gaussian bases, A shared. Lines: tail
of the truncated SVD at the same budget (LoRA rank n (r + d) / (2 d), interpolated), 1 - n/D for Lambda = I on average,
and the dimension count 1 - n (r + d - 1) / d^2. Dots: both diagonals fitted by 30 rounds of alternating least squares,
and the least-squares fit with Lambda = I. Not a published figure.
"""

from typing import Any

import numpy as np

from lora_proofs import plotting

CLAIMS = ("albert2025randlora:formula-frozen-left", "albert2025randlora:proposition-crossing")
D, R = 32, 4
TERMS = (8, 16)
DECAYS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0)


def cases(quick: bool) -> list[dict[str, Any]]:
    """One case a seed and number of terms."""
    return [{"n": n, "seed": s} for n in TERMS for s in range(1 if quick else 5)]


def fit_right(W: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return the best Gamma, (n, D), for images[j] = B_j Lambda_j A: least squares column by column."""
    return np.stack([np.linalg.lstsq(images[:, :, i].T, W[:, i], rcond=None)[0] for i in range(D)], axis=1)


def fit_left(W: np.ndarray, B: np.ndarray, A: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """Return the best Lambda, (n, R), for given Gamma."""
    features = np.einsum("jmk,ki,ji->jkmi", B, A, gamma).reshape(-1, D * D)
    return np.linalg.lstsq(features.T, W.ravel(), rcond=None)[0].reshape(gamma.shape[0], R)


def compute(n: int, seed: int) -> list[dict[str, Any]]:
    """Fit for every decay; the first seed adds the lines."""
    rng = np.random.default_rng([n, seed])
    panel, rows = f"n = {n}", []
    B, A = rng.standard_normal((n, D, R)), rng.standard_normal((R, D))
    U, V = (np.linalg.qr(rng.standard_normal((D, D)))[0] for _ in range(2))
    for p in DECAYS:
        s = np.arange(1, D + 1) ** -p
        W = (U * s) @ V.T / np.linalg.norm(s)
        left = np.ones((n, R))
        for step in range(30):
            images = np.einsum("jmk,jk,ki->jmi", B, left, A)
            gamma = fit_right(W, images)
            error = float(np.sum((W - np.einsum("jmi,ji->mi", images, gamma)) ** 2))
            if step == 0:
                rows.append({"panel": panel, "curve": "right diagonals", "seed": seed, "x": p, "y": error})
            left = fit_left(W, B, A, gamma)
        rows.append({"panel": panel, "curve": "both diagonals", "seed": seed, "x": p, "y": error})
    if seed == 0:
        rank = n * (R + D) / (2 * D)
        for p in np.linspace(0, 1, 41):
            squares = np.arange(1, D + 1) ** (-2 * p)
            tails = np.append(squares[::-1].cumsum()[::-1], 0) / squares.sum()
            rows.append(
                {"panel": panel, "curve": "LoRA", "seed": "", "x": p, "y": np.interp(rank, range(D + 1), tails)}
            )
            rows.append({"panel": panel, "curve": "1 - n/D", "seed": "", "x": p, "y": 1 - n / D})
            rows.append({"panel": panel, "curve": "count", "seed": "", "x": p, "y": 1 - n * (R + D - 1) / D**2})
    return rows


def plot(rows: list[dict[str, Any]], published: list[dict[str, Any]]) -> Any:
    """Draw one panel a number of terms."""
    figure, (axes,) = plotting.grid(1, 2, sharey=True)
    for ax, n in zip(axes, TERMS, strict=True):
        mine = plotting.points(rows, panel=f"n = {n}")
        plotting.line(ax, plotting.points(mine, curve="LoRA"), "LoRA, same budget", 1)
        plotting.line(ax, plotting.points(mine, curve="1 - n/D"), r"$1 - n/D$", 0, ls="--")
        plotting.line(ax, plotting.points(mine, curve="count"), "dimension count", 6, ls=":")
        plotting.band(ax, plotting.points(mine, curve="right diagonals"), r"RandLoRA, $\Lambda = I$", 0, ls="")
        plotting.band(ax, plotting.points(mine, curve="both diagonals"), "RandLoRA, both diagonals", 2, ls="")
        ax.set(title=f"n = {n} terms", xlabel=r"decay $p$, $\sigma_i = i^{-p}$", ylim=(0, 1))
    axes[0].set_ylabel(r"$\|W - \Delta\|_F^2 \,/\, \|W\|_F^2$")
    axes[0].legend(loc="lower left")
    return figure
