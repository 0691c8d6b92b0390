"""An orthogonality regulariser of weight lambda: rank and error of what is learned, for two targets.

F = |E - B A|^2 / 2 + lambda (|A A^T - I|^2 + |B^T B - I|^2), order 16, inner width 8, E with singular values 2 (all
16, or two and the others 0). Dots: gradient descent from LoRA's start, A Gaussian of scale 0.1, B = 0; lines: the
least of F mode by mode (singular values (t + 4 lambda) / (1 + 4 lambda), or for t = 0 none below lambda = 1/4).
Effective rank is the exponential of the entropy of the singular values of B A. Not a published figure.
"""

from typing import Any

import numpy as np

from lora_proofs import plotting

CLAIMS = ("mao2024rmlora:theorem-threshold", "mao2024rmlora:formula-shrinkage")
D, R, T = 16, 8, 2.0
WEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
TARGETS = {"full rank": D, "rank 2": 2}
RANK, ERROR = "effective rank", "error"


def cases(quick: bool) -> list[dict[str, Any]]:
    """One case a seed."""
    return [{"seed": seed} for seed in range(1 if quick else 5)]


def effective_rank(s: np.ndarray) -> float:
    """Return exp of the entropy of s / sum s."""
    p = s[s > 1e-9 * s.max()] / s.sum()
    return float(np.exp(-np.sum(p * np.log(p))))


def descend(rng: np.random.Generator, E: np.ndarray, weight: float) -> np.ndarray:
    """Return B A after gradient descent."""
    A, B, one = 0.1 * rng.standard_normal((R, D)), np.zeros((D, R)), np.eye(R)
    for _ in range(6000):
        residual = E - B @ A
        G_B = 4 * weight * B @ (B.T @ B - one) - residual @ A.T
        G_A = 4 * weight * (A @ A.T - one) @ A - B.T @ residual
        A, B = A - 0.05 * G_A, B - 0.05 * G_B
    return B @ A


def learned(t: float, weight: float) -> float:
    """Return the singular value of the least F of one mode: balanced, or for t = 0 none below lambda = 1/4."""
    return 0.0 if t == 0 and weight <= 0.25 else (t + 4 * weight) / (1 + 4 * weight)


def compute(seed: int) -> list[dict[str, Any]]:
    """Descend for every weight and target; the first seed adds the lines."""
    rows: list[dict[str, Any]] = []
    for name, k in TARGETS.items():
        target = np.array([T] * k + [0.0] * (D - k))
        for weight in WEIGHTS:
            rng = np.random.default_rng([seed, k])
            U, V = (np.linalg.qr(rng.standard_normal((D, D)))[0] for _ in range(2))
            E = (U * target) @ V.T
            update = descend(rng, E, weight)
            s, best = np.linalg.svd(update, compute_uv=False), float(np.sum(target[R:] ** 2))
            excess = float(np.sum((E - update) ** 2)) - best
            rows.append({"panel": RANK, "curve": name, "seed": seed, "x": weight, "y": effective_rank(s)})
            rows.append({"panel": ERROR, "curve": name, "seed": seed, "x": weight, "y": excess})
        for weight in np.linspace(0, 0.6, 121) if seed == 0 else ():
            s = np.array([learned(t, weight) for t in target[:R]])
            loss = float(np.sum((s - target[:R]) ** 2))
            rows.append({"panel": RANK, "curve": f"line {name}", "seed": "", "x": weight, "y": effective_rank(s)})
            rows.append({"panel": ERROR, "curve": f"line {name}", "seed": "", "x": weight, "y": loss})
    return rows


def plot(rows: list[dict[str, Any]], published: list[dict[str, Any]]) -> Any:
    """Draw rank and error."""
    figure, (axes,) = plotting.grid(1, 2)
    for ax, panel in zip(axes, (RANK, ERROR), strict=True):
        for i, name in enumerate(TARGETS):
            plotting.line(ax, plotting.points(rows, panel=panel, curve=f"line {name}"), "", i)
            plotting.band(ax, plotting.points(rows, panel=panel, curve=name), f"target of {name}", i, ls="")
        ax.axvline(0.25, ls=":", lw=0.8, color="0.4")
        ax.set_xlabel(r"weight $\lambda$")
    axes[0].set(ylabel="effective rank of BA", ylim=(0, 8.5))
    axes[1].set_ylabel("squared error above the least")
    axes[1].legend(loc="upper left")
    return figure
