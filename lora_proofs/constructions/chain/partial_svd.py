r"""A few leading singular vectors of a large matrix, and a bracket of the next singular value that rounding respects.

Block Krylov iteration on E^T E finds V, the leading right singular vectors, by products with thick columns only. What
it found is then checked without trust in it:

- *from above*: F = E - (E V) V^T differs from E by a matrix of rank k, so sigma_{k+1}(E) <= ||F||_2, and a Cholesky
  factorisation of c^2 I - F^T F that runs to completion proves ||F||_2 <= c up to rounding;
- *from below*: sigma_{k+1}(E) >= sigma_{k+1}(E Q) / ||Q||_2 for any Q of k+1 columns, and a Cholesky factorisation of
  (E Q)^T (E Q) - c^2 I proves sigma_{k+1}(E Q) >= c.

Rounding is bounded as in Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.: a product of inner length n
is off by at most gamma_n |X||Y| (section 3.5), and a Cholesky factorisation that succeeds on A proves
A >= -gamma_{n+1} tr(A) I (Demmel 1989; Rump, BIT 46, 2006), whatever the order of summation.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import array_api_extra as xpx
import numpy as np
from array_api_compat import is_numpy_array
from numpy.typing import NDArray

from lora_proofs.linalg import (
    Array,
    check_matrix,
    check_rank,
    frobenius_norm,
    is_object,
    like,
    namespace,
    power_below,
    scalar,
    to_numpy,
    unit_roundoff,
)

Host: TypeAlias = NDArray[np.floating[Any]]
"""A small matrix in NumPy."""

_SMALLEST = 1024
_FEW = 32
"""Worth it from 1024 rows on, for 1 / 32 of the singular values at most: else the Krylov space fills all of it."""

_BLOCK = 32
"""Columns that are multiplied at once: enough for the products to run at speed, and more would converge later."""

_CONVERGED = 1e-10
"""Estimated relative width of the bracket of sigma^2 at which the iteration stops."""

_LOOSE = 1e-6
"""Relative width of a bracket that is not worth having, unless it ends within rounding,"""

_ROUNDING = 128
"""in multiples of gamma_n sigma_1: the Cholesky factorisation is tried by steps of 4 in the square."""

_SAFE_ROOT = 1 + 1e-15
_SAFE = 1.01
"""Covers the roundings in computing norms and bounds themselves."""


class PartialSVD(NamedTuple):
    """Leading right singular vectors of E.

    Attributes
    ----------
    V : array (n, k)
    values : list of k floats
        The singular values that belong to V, not bracketed.
    lower, upper : float
        sigma_{k+1}(E) is between them, rounding included.
    next : array (n, 1)
        A right singular vector of sigma_{k+1}(E), nearly.
    """

    V: Array
    values: list[float]
    lower: float
    upper: float
    next: Array


def is_worthwhile(E: Array, k: int) -> bool:
    """Tell whether `partial_svd` is the faster way to k singular vectors: a large matrix, few of them, in float64."""
    return bool(not is_object(E) and E.shape[0] >= max(_SMALLEST, _FEW * k) and k and unit_roundoff(E) < 1e-15)


def rounded_product(weights: Sequence[Array]) -> tuple[Array, float]:
    """Return W_L ... W_1, and a bound of the spectral norm of what rounding changed in it."""
    P, rounding = weights[0], 0.0
    if is_object(P):
        for W in weights[1:]:
            P = W @ P
        return P, rounding
    gamma = _gamma(P, P.shape[0])
    for W in weights[1:]:
        size = frobenius_norm(W)
        rounding = size * (rounding + gamma * frobenius_norm(P))
        P = W @ P
    return P, _SAFE * rounding


def partial_svd(E: Array, k: int) -> PartialSVD | None:
    """Return the k leading right singular vectors of a square E, and a bracket of sigma_{k+1}(E).

    None if a Krylov space of two thirds of the dimension does not hold them, for then an SVD costs no more, or if the
    bracket is loose, as it is where sigma_{k+1} is above rounding but far below sigma_1: it comes from squares.

    Parameters
    ----------
    E : array (n, n) of float64
    k : int
        At most n / 32 (see `is_worthwhile`).

    Raises
    ------
    ValueError
        If E is no finite square matrix of floats, or k no whole number.
    """
    E, k = check_matrix("E", E), check_rank("k", k)
    check_matrix("E", E, (E.shape[0], E.shape[0]))
    xp, unit = namespace(E), power_below(E)
    E = E / unit  # squares neither vanish nor overflow then; what falls below the range is far below `own`
    found = _krylov(E, k)
    if found is None:
        return None
    V, width = found
    Y = E @ V
    _, s, Wt = np.linalg.svd(to_numpy(xp.linalg.qr(Y)[1]))
    V, Y = V @ like(E, Wt.T), Y @ like(E, Wt.T)
    lower = _from_below(E, V, Y, float(s[k]))
    upper = _from_above(E, V[:, :k], Y[:, :k], float(s[k]), width)
    own = _SAFE * float(unit_roundoff(E)) * frobenius_norm(E)
    lower, upper = max(0.0, lower - own), upper + own
    if upper - lower > _LOOSE * upper + _ROUNDING * _gamma(E, E.shape[0]) * float(s[0]):
        return None
    ends = max(0.0, float(np.nextafter(lower * unit, -np.inf))), float(np.nextafter(upper * unit, np.inf))
    return PartialSVD(V[:, :k], [float(x) * unit for x in s[:k]], *ends, V[:, k:])


def _krylov(E: Array, k: int) -> tuple[Array, float] | None:
    """Return an orthonormal basis of the k + 1 leading right singular vectors, and the relative width of the bracket.

    The Ritz values theta_i^2 of E^T E have residuals rho_i; the bracket of sigma_{k+1}^2 is about as wide as the sum of
    min(rho_i, rho_i^2 / (theta_i^2 - theta_{k+1}^2)) over i <= k, and rho_{k+1}^2 over the distance to the next one.
    """
    xp, n = namespace(E), E.shape[0]
    start = like(E, np.random.default_rng(0).standard_normal((n, min(_BLOCK, n // 16))))
    X = xp.linalg.qr(start)[0]
    Q, Y = X, E @ X
    gram: Host = to_numpy(_inner(Y, Y))
    looked = 2 * k
    while 3 * Q.shape[1] <= 2 * n:
        # Y^T E runs at twice the speed of E^T Y in NumPy. Exactly, only the last two blocks overlap with E^T E X.
        Z = xp.matrix_transpose(_inner(Y[:, -X.shape[1] :], E))
        Z = _without(Z, Q[:, max(0, Q.shape[1] - 2 * X.shape[1]) :])
        X, R = xp.linalg.qr(Z)
        if Q.shape[1] >= 1.2 * looked:
            looked = Q.shape[1]
            width, vectors = _width(gram, to_numpy(R), k)
            if width <= _CONVERGED:
                return xp.linalg.qr(Q @ like(E, vectors))[0], width
        for _ in range(2 if _breaks_down(to_numpy(R), gram) else 1):
            X = xp.linalg.qr(_without(X, Q))[0]
        EX = E @ X
        Q, Y = xp.concat([Q, X], axis=1), xp.concat([Y, EX], axis=1)
        column = to_numpy(_inner(Y, EX))
        gram = np.block([[gram, column[: len(gram)]], [column.T]])
    return None


def _breaks_down(R: Host, gram: Host) -> bool:
    """Tell whether some new direction is made of rounding, and so perhaps of old ones."""
    return bool(np.abs(np.diagonal(R)).min() <= 1e-8 * np.abs(np.diagonal(gram)).max())


def _inner(x: Array, y: Array) -> Array:
    """Return x^T y."""
    return namespace(x).matrix_transpose(x) @ y


def _without(x: Array, Q: Array) -> Array:
    """Return x less its part in the range of the orthonormal Q."""
    return x - Q @ _inner(Q, x)


def _width(gram: Host, R: Host, k: int) -> tuple[float, Host]:
    """Return the estimate of `_krylov`, relative to sigma_{k+1}^2 or, where that is rounding, to what rounding is.

    And the k + 1 Ritz vectors, in coordinates of the Krylov basis.
    """
    from scipy.linalg import eigh

    m = len(gram)
    values, vectors = eigh(gram, subset_by_index=[max(0, m - k - 2), m - 1], check_finite=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    residuals = np.linalg.norm(R @ vectors[-len(R) :, : k + 1], axis=0)
    if not values[0] > 0:
        return 0.0, vectors[:, : k + 1].copy()
    noise = len(gram) * np.finfo(gram.dtype).eps * values[0]
    above = np.maximum(values[:k] - values[k], noise**2 / values[0])
    width = np.minimum(residuals[:k], residuals[:k] ** 2 / above).sum()
    width += min(residuals[k], residuals[k] ** 2 / max(values[k] - values[k + 1], noise))
    # What is rounding in the Gram matrix need not be known any better than that.
    return float(width / (values[k] if values[k] > noise else noise / _CONVERGED)), vectors[:, : k + 1].copy()


def _gamma(x: Array, n: int) -> float:
    """Return gamma_n = n u / (1 - n u)."""
    nu = (n + 2) * float(unit_roundoff(x))
    return nu / (1 - nu)


def _from_below(E: Array, V: Array, Y: Array, guess: float) -> float:
    """Return a lower bound of sigma_{k+1}(E) from the k + 1 columns of V and Y = E V."""
    xp, (n, k) = namespace(E), V.shape
    gamma, size = _gamma(E, n), frobenius_norm(Y) ** 2
    gram, c2 = xp.matrix_transpose(Y) @ Y, guess**2
    margin = 1e-14 * c2
    while margin < c2 and not _exceeds(margin - c2, -gram):
        margin *= 4
    c2 = c2 - margin - _SAFE * (gamma + _gamma(E, k + 1)) * size
    lost = _SAFE * gamma * frobenius_norm(E) * frobenius_norm(V)
    skew = frobenius_norm(xp.matrix_transpose(V) @ V - xp.eye(k, dtype=V.dtype)) + _SAFE * gamma * k
    return float((np.sqrt(max(0.0, c2)) / _SAFE_ROOT - lost) / np.sqrt(1 + skew))


def _from_above(E: Array, V: Array, Y: Array, guess: float, width: float) -> float:
    """Return an upper bound of ||E - Y V^T||_2, hence of sigma_{k+1}(E)."""
    xp, (n, k) = namespace(E), V.shape
    F = E - Y @ xp.matrix_transpose(V)
    size, unit = frobenius_norm(F), float(unit_roundoff(E))
    gram = xp.matrix_transpose(F) @ F
    del F
    rounding = _SAFE * _gamma(E, n) * size**2
    c2 = guess**2
    margin = max(2 * width * c2, rounding / 8)
    while margin and not _exceeds(c2 + margin, gram):
        margin *= 4
    c2 = c2 + margin
    c2 = c2 + rounding + _SAFE * _gamma(E, n + 1) * n * c2
    formed = unit * size + _gamma(E, k + 1) * frobenius_norm(Y) * frobenius_norm(V)
    return float(np.sqrt(c2) * _SAFE_ROOT + _SAFE * formed)


def _exceeds(c: float, x: Array) -> bool:
    """Tell whether a Cholesky factorisation of c I - x runs to completion."""
    from scipy.linalg import cholesky

    xp, n = namespace(x), x.shape[0]
    difference = xp.reshape(xpx.at(xp.reshape(-x, (-1,)))[:: n + 1].add(c), (n, n))
    try:
        if is_numpy_array(x):  # in place: the transpose of a symmetric matrix in rows is one in LAPACK's columns
            L = cholesky(difference.T, lower=True, overwrite_a=True, check_finite=False)
        else:
            L = xp.linalg.cholesky(difference)
    except (np.linalg.LinAlgError, RuntimeError):  # torch raises a RuntimeError of its own; JAX returns NaN
        return False
    return bool(np.isfinite(scalar(L[-1, -1])))
