r"""The best multipliers of the S-procedure for a chain of layers whose ReLUs are only known to be slope-restricted.

Let d_i * (delta_i - d_i) >= 0 entry by entry, delta_i = F_i d_{i-1} - u_i, d_0 = 0. For every diagonal T = diag(t) such
that A(T) is positive definite, ||d_L||^2 <= u^T T A(T)^{-1} T u: see `ErrorBounds.sharp`. Here t is chosen so that the
expectation phi(t) = tr(A(T)^{-1} T G T), G = E u u^T, is least. phi is convex, being matrix fractional in affine terms.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lora_proofs.linalg import Array, floats, like, namespace, to_numpy

_STEPS = 60
"""Newton steps for the multipliers. Any multipliers give a bound, and 10 to 20 steps find the best ones to 1e-10."""

_MARGIN = 1e-12
"""Least eigenvalue of A(T), scaled to a unit diagonal, with which T is accepted: above the rounding of A(T)."""

Multipliers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
"""The diagonal t of T."""


def coupling(layers: Sequence[Array], t: Array) -> Array:
    """Return A(T), of size Lbar d."""
    xp, depth, d = namespace(t), len(layers), layers[0].shape[0]
    zero = 0 * layers[0]
    rows = [[-layers[i] if j == i - 1 else zero for j in range(depth)] for i in range(depth)]
    lower = t[:, None] * xp.concat([xp.concat(row, axis=1) for row in rows], axis=0)
    last = like(t, np.r_[np.zeros((depth - 1) * d), np.ones(d)])
    eye = like(t, np.eye(depth * d))
    return lower + lower.T + eye * (2 * t - last)


def best_multipliers(F: Sequence[Array], u: Array, t: Multipliers) -> Multipliers | None:
    """Minimise the convex phi(t) = tr(A^{-1} T G T), G = E u u^T, from t; None if A is not positive definite there.

    Damped Newton steps. With A = T S + S^T T - P and X = A^{-1} T, dphi = 2 tr(dT G X^T) - tr(X G X^T dA), and the
    derivative of T - A X_0 in t_j at X_0 = X is e_j p_j^T - s_j x_j^T, where p_j, s_j, x_j are the rows of I - S X, S
    and X. Double precision is enough for mpf layers too: the multipliers only choose the bound.
    """
    F, u = [np.asarray(floats(W)) for W in F], np.asarray(floats(u))
    n, G = len(t), u.T @ u / u.shape[0]
    S = np.eye(n) + np.tril(to_numpy(coupling(F, np.ones(n))), -1)

    def phi(t: Multipliers) -> tuple[float, Any]:
        inverse = _positive_inverse(to_numpy(coupling(F, t)))
        return (np.inf if inverse is None else float(t @ (inverse * G) @ t)), inverse

    value, inverse = phi(t)
    if inverse is None:
        return None
    for _ in range(_STEPS):
        X = inverse * t
        P = np.eye(n) - S @ X
        PG, XG, SI = P @ G, X @ G, S @ inverse
        gradient = 2 * np.sum(P * XG, axis=1)
        hessian = 2 * (inverse * (PG @ P.T) - SI.T * (PG @ X.T) - SI * (XG @ P.T) + (SI @ S.T) * (XG @ X.T))
        step = _newton_step(hessian, gradient)
        scale, decrease = 1.0, float(-gradient @ step)
        while (trial := phi(t + scale * step))[0] > value - 0.1 * scale * decrease and scale > 1e-6:
            scale /= 2
        if trial[0] >= value:
            break
        t, converged = t + scale * step, value - trial[0] < 1e-12 * value
        value, inverse = trial
        if converged:
            break
    return t


def _positive_inverse(symmetric: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return A^{-1}, or None if A is not safely positive definite."""
    diagonal = np.diag(symmetric)
    if not (diagonal > 0).all():
        return None
    scale = 1 / np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(symmetric * np.outer(scale, scale))
    if not values[0] > _MARGIN:
        return None
    half = scale[:, None] * vectors / np.sqrt(values)
    return np.asarray(half @ half.T)


def _newton_step(hessian: NDArray[np.float64], gradient: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return -H^{-1} g, H scaled to a unit diagonal and lifted a little where it is flat."""
    scale = 1 / np.sqrt(np.maximum(np.diag(hessian), np.finfo(float).tiny))
    scaled = hessian * np.outer(scale, scale)
    return -scale * np.linalg.solve(scaled + 1e-10 * np.eye(len(scale)), scale * gradient)
