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


def is_worthwhile(matrix: Array, count: int) -> bool:
    """Tell whether `partial_svd` is the faster way: few singular vectors of a large matrix, in float64."""
    return bool(
        not is_object(matrix)
        and matrix.shape[0] >= max(_SMALLEST, _FEW * count)
        and count
        and unit_roundoff(matrix) < 1e-15
    )


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


def partial_svd(matrix: Array, count: int) -> PartialSVD | None:
    """Return so many leading right singular vectors of a square matrix, and a bracket of sigma_{count+1}(matrix).

    None if a Krylov space of two thirds of the dimension does not hold them, for then an SVD costs no more, or if the
    bracket is loose, as it is where sigma_{count+1} is above rounding but far below sigma_1: it comes from squares.

    Parameters
    ----------
    matrix : array (n, n) of float64
    count : int
        At most n / 32 (see `is_worthwhile`).

    Raises
    ------
    ValueError
        If matrix is no finite square matrix of floats, or count no whole number.
    """
    matrix, count = check_matrix("E", matrix), check_rank("k", count)
    check_matrix("E", matrix, (matrix.shape[0], matrix.shape[0]))
    xp, unit = namespace(matrix), power_below(matrix)
    matrix = matrix / unit  # squares neither vanish nor overflow then; what falls below the range is far below `own`
    found = _krylov(matrix, count)
    if found is None:
        return None
    V, width = found
    Y = matrix @ V
    _, s, Wt = np.linalg.svd(to_numpy(xp.linalg.qr(Y)[1]))
    V, Y = V @ like(matrix, Wt.T), Y @ like(matrix, Wt.T)
    lower = _from_below(matrix, V, Y, float(s[count]))
    upper = _from_above(matrix, V[:, :count], Y[:, :count], float(s[count]), width)
    own = _SAFE * float(unit_roundoff(matrix)) * frobenius_norm(matrix)
    lower, upper = max(0.0, lower - own), upper + own
    if upper - lower > _LOOSE * upper + _ROUNDING * _gamma(matrix, matrix.shape[0]) * float(s[0]):
        return None
    ends = max(0.0, float(np.nextafter(lower * unit, -np.inf))), float(np.nextafter(upper * unit, np.inf))
    return PartialSVD(V[:, :count], [float(x) * unit for x in s[:count]], *ends, V[:, count:])


def _krylov(matrix: Array, count: int) -> tuple[Array, float] | None:
    """Return an orthonormal basis of one more leading right singular vector, and the relative width of the bracket.

    With k the count, the Ritz values theta_i^2 of E^T E have residuals rho_i; the bracket of sigma_{k+1}^2 is about as
    wide as the sum of min(rho_i, rho_i^2 / (theta_i^2 - theta_{k+1}^2)) over i <= k, and rho_{k+1}^2 over the distance
    to the next one.
    """
    xp, n = namespace(matrix), matrix.shape[0]
    start = like(matrix, np.random.default_rng(0).standard_normal((n, min(_BLOCK, n // 16))))
    X = xp.linalg.qr(start)[0]
    Q, Y = X, matrix @ X
    gram: Host = to_numpy(_inner(Y, Y))
    looked = 2 * count
    while 3 * Q.shape[1] <= 2 * n:
        # Y^T E runs at twice the speed of E^T Y in NumPy. Exactly, only the last two blocks overlap with E^T E X.
        Z = xp.matrix_transpose(_inner(Y[:, -X.shape[1] :], matrix))
        Z = _without(Z, Q[:, max(0, Q.shape[1] - 2 * X.shape[1]) :])
        X, R = xp.linalg.qr(Z)
        if Q.shape[1] >= 1.2 * looked:
            looked = Q.shape[1]
            width, vectors = _width(gram, to_numpy(R), count)
            if width <= _CONVERGED:
                return xp.linalg.qr(Q @ like(matrix, vectors))[0], width
        for _ in range(2 if _breaks_down(to_numpy(R), gram) else 1):
            X = xp.linalg.qr(_without(X, Q))[0]
        EX = matrix @ X
        Q, Y = xp.concat([Q, X], axis=1), xp.concat([Y, EX], axis=1)
        column = to_numpy(_inner(Y, EX))
        gram = np.block([[gram, column[: len(gram)]], [column.T]])
    return None


def _breaks_down(R: Host, gram: Host) -> bool:
    """Tell whether some new direction is made of rounding, and so perhaps of old ones."""
    return bool(np.abs(np.diagonal(R)).min() <= 1e-8 * np.abs(np.diagonal(gram)).max())


def _inner(left: Array, right: Array) -> Array:
    """Return left^T right."""
    return namespace(left).matrix_transpose(left) @ right


def _without(columns: Array, orthonormal: Array) -> Array:
    """Return the columns less their part in the range of the orthonormal ones."""
    return columns - orthonormal @ _inner(orthonormal, columns)


def _width(gram: Host, R: Host, count: int) -> tuple[float, Host]:
    """Return the estimate of `_krylov`, relative to sigma_{k+1}^2 or, where that is rounding, to what rounding is.

    And the k + 1 Ritz vectors, in coordinates of the Krylov basis.
    """
    from scipy.linalg import eigh

    m = len(gram)
    values, vectors = eigh(gram, subset_by_index=[max(0, m - count - 2), m - 1], check_finite=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    residuals = np.linalg.norm(R @ vectors[-len(R) :, : count + 1], axis=0)
    if not values[0] > 0:
        return 0.0, vectors[:, : count + 1].copy()
    noise = len(gram) * np.finfo(gram.dtype).eps * values[0]
    above = np.maximum(values[:count] - values[count], noise**2 / values[0])
    width = np.minimum(residuals[:count], residuals[:count] ** 2 / above).sum()
    width += min(residuals[count], residuals[count] ** 2 / max(values[count] - values[count + 1], noise))
    # What is rounding in the Gram matrix need not be known any better than that.
    return float(width / (values[count] if values[count] > noise else noise / _CONVERGED)), vectors[
        :, : count + 1
    ].copy()


def _gamma(x: Array, n: int) -> float:
    """Return gamma_n = n u / (1 - n u)."""
    nu = (n + 2) * float(unit_roundoff(x))
    return nu / (1 - nu)


def _from_below(matrix: Array, vectors: Array, images: Array, guess: float) -> float:
    """Return a lower bound of sigma_{k+1}(matrix) from the k + 1 columns of vectors and images = matrix vectors."""
    xp, (n, k) = namespace(matrix), vectors.shape
    gamma, size = _gamma(matrix, n), frobenius_norm(images) ** 2
    gram, c2 = xp.matrix_transpose(images) @ images, guess**2
    margin = 1e-14 * c2
    while margin < c2 and not _exceeds(margin - c2, -gram):
        margin *= 4
    c2 = c2 - margin - _SAFE * (gamma + _gamma(matrix, k + 1)) * size
    lost = _SAFE * gamma * frobenius_norm(matrix) * frobenius_norm(vectors)
    skew = frobenius_norm(xp.matrix_transpose(vectors) @ vectors - xp.eye(k, dtype=vectors.dtype)) + _SAFE * gamma * k
    return float((np.sqrt(max(0.0, c2)) / _SAFE_ROOT - lost) / np.sqrt(1 + skew))


def _from_above(matrix: Array, vectors: Array, images: Array, guess: float, width: float) -> float:
    """Return an upper bound of ||matrix - images vectors^T||_2, hence of sigma_{k+1}(matrix)."""
    xp, (n, k) = namespace(matrix), vectors.shape
    F = matrix - images @ xp.matrix_transpose(vectors)
    size, unit = frobenius_norm(F), float(unit_roundoff(matrix))
    gram = xp.matrix_transpose(F) @ F
    del F
    rounding = _SAFE * _gamma(matrix, n) * size**2
    c2 = guess**2
    margin = max(2 * width * c2, rounding / 8)
    while margin and not _exceeds(c2 + margin, gram):
        margin *= 4
    c2 = c2 + margin
    c2 = c2 + rounding + _SAFE * _gamma(matrix, n + 1) * n * c2
    formed = unit * size + _gamma(matrix, k + 1) * frobenius_norm(images) * frobenius_norm(vectors)
    return float(np.sqrt(c2) * _SAFE_ROOT + _SAFE * formed)


def _exceeds(bound: float, symmetric: Array) -> bool:
    """Tell whether a Cholesky factorisation of bound I - matrix runs to completion."""
    from scipy.linalg import cholesky

    xp, n = namespace(symmetric), symmetric.shape[0]
    difference = xp.reshape(xpx.at(xp.reshape(-symmetric, (-1,)))[:: n + 1].add(bound), (n, n))
    try:
        if is_numpy_array(
            symmetric
        ):  # in place: the transpose of a symmetric matrix in rows is one in LAPACK's columns
            L = cholesky(difference.T, lower=True, overwrite_a=True, check_finite=False)
        else:
            L = xp.linalg.cholesky(difference)
    except (np.linalg.LinAlgError, RuntimeError):  # torch raises a RuntimeError of its own; JAX returns NaN
        return False
    return bool(np.isfinite(scalar(L[-1, -1])))
