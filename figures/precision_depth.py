"""Precision against depth: relative error of the adapters that turn L frozen layers of width 16 into one target layer.

Uniform initialisation as in `torch.nn.Linear`, rank ceil(16 / L), the least that is exact. Single and double
precision, the construction of `adapt_linear_chain`; the same with 60 digits, its adapters rounded once to double
precision (what storing them costs, whatever the algorithm); the textbook order of Lemma 1, linear solves in double
precision. Over Q the error is 0, checked in exact arithmetic at every depth (drawn at the foot).
"""

import mpmath
import numpy as np

from lora_proofs import exact, instances, plotting, precision
from lora_proofs.constructions import adapt_linear_chain
from lora_proofs.linalg import spectral_norm

CLAIMS = ("zeng2024expressive:lemma-1-strengthened",)
D, DIGITS, PANEL = 16, 60, "relative error"
CURVES = {
    "textbook, float64": 2,
    "float32": 3,
    "float64": 0,
    "60 digits, rounded once": 4,
    "rational": 1,
}


def cases(quick):
    """Return one case a depth and seed."""
    depths = (2, 4) if quick else (2, 3, 4, 5, 6, 8, 10, 12, 16)
    return [{"L": L, "seed": seed} for L in depths for seed in range(2 if quick else 5)]


def compute(L, seed):
    """Return the relative error in each arithmetic; products are checked in at least the precision of the adapters."""
    rng = np.random.default_rng([L, seed])
    frozen, target, R = instances.chain(rng, D, L), instances.uniform(rng, D), -(-D // L)
    size = spectral_norm(target)
    single = adapt_linear_chain([W.astype(np.float32) for W in frozen], target.astype(np.float32), R)
    errors = {
        "textbook, float64": spectral_norm(_textbook(frozen, target, R) - target),
        "float32": _error(frozen, [a.delta() for a in single.adapters], target),
        "float64": _error(frozen, [a.delta() for a in adapt_linear_chain(frozen, target, R).adapters], target),
        "60 digits, rounded once": _rounded_once(frozen, target, R),
        "rational": exact.adapt_linear_chain([exact.matrix(W) for W in frozen], exact.matrix(target), R).error,
    }
    return [{"panel": PANEL, "curve": c, "seed": seed, "x": L, "y": float(e) / size} for c, e in errors.items()]


def _error(frozen, deltas, target):
    P = np.eye(D)
    for W, delta in zip(frozen, deltas, strict=True):
        P = (W + delta) @ P
    return spectral_norm(P - target)


def _rounded_once(frozen, target, R):
    with mpmath.workdps(DIGITS):
        lifted = [precision.lift(W, DIGITS) for W in frozen]
        adapters = adapt_linear_chain(lifted, precision.lift(target, DIGITS), R).adapters
        P = precision.eye(D)
        for W, a in zip(lifted, adapters, strict=True):
            A, B = (precision.lift(factor.astype(float), DIGITS) for factor in (a.A, a.B))
            P = (W + B @ A) @ P
        return spectral_norm((P - target).astype(float))


def _textbook(frozen, target, R):
    """Return the product of the layers as Lemma 1 prints the construction, the largest singular values first."""
    S = [np.eye(D)]
    for W in frozen[:0:-1]:
        S.insert(0, S[0] @ W)
    E = target - S[0] @ frozen[0]
    V, P = np.linalg.svd(E)[2].T, np.eye(D)
    for l, W in enumerate(frozen):
        K = V[:, R * l : R * (l + 1)]
        P = (W + np.linalg.solve(S[l], E @ K) @ np.linalg.solve(P.T, K).T) @ P
    return P


def plot(rows, published):
    """Draw the five arithmetics."""
    figure, axes = plotting.grid(height=3.0)
    ax = axes[0, 0]
    for curve, index in CURVES.items():
        plotting.band(ax, plotting.points(rows, curve=curve), curve, index, floor=1e-18)
    ax.set(xscale="log", yscale="log", xlabel="frozen layers $L$", ylabel="relative error", ylim=(3e-19, 1e19))
    ax.set_xticks([2, 3, 4, 6, 8, 12, 16], [2, 3, 4, 6, 8, 12, 16])
    ax.minorticks_off()
    ax.legend(loc="upper left")
    return figure
