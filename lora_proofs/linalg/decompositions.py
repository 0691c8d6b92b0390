"""Singular values and what is read off them: norms, numerical rank, truncation, division; and products of chains."""

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from lora_proofs.linalg.arrays import Array, floats, is_object, namespace, power_below, scalar, unit_roundoff
from lora_proofs.linalg.checks import NotFiniteError


def svd(matrix: Array, *, full_matrices: bool = True) -> tuple[Array, Array, Array]:
    """Return U, s, V^T with s descending, as the array API does; raise ValueError for NaN or infinity.

    Examples
    --------
    >>> svd(np.diag([1.0, 2.0]))[1]
    array([2., 1.])
    """
    _refuse_overflow(matrix)
    try:
        U, s, Vt = namespace(matrix).linalg.svd(matrix, full_matrices=full_matrices)
    except np.linalg.LinAlgError:  # LAPACK's divide and conquer gives up on some harmless matrices
        from scipy.linalg import svd as scipy_svd

        U, s, Vt = scipy_svd(matrix, full_matrices=full_matrices, lapack_driver="gesvd")
    return U, s, Vt


def singular_values(matrix: Array) -> Array:
    """Return the singular values in descending order, shape (min(m, n),); raise ValueError as `svd` does.

    Examples
    --------
    >>> singular_values(np.diag([1.0, 2.0]))
    array([2., 1.])
    """
    _refuse_overflow(matrix)
    return namespace(matrix).linalg.svdvals(matrix)


def _refuse_overflow(matrix: Array) -> None:
    """Raise ValueError where LAPACK would run for ever."""
    if isinstance(matrix, np.ndarray) and matrix.dtype != object and not np.all(np.isfinite(matrix)):
        raise NotFiniteError(
            "a matrix to be decomposed holds NaN or infinity: it was passed so, or the numbers overflow on the way; "
            "pass smaller ones, or lift them by precision.lift"
        )


def spectral_norm(matrix: Array) -> Any:
    """Return the largest singular value as a float, or as an mpf; 0 for an empty matrix.

    Examples
    --------
    >>> spectral_norm(np.diag([1.0, 2.0]))
    2.0
    """
    return scalar(singular_values(matrix)[0]) if min(matrix.shape) else 0.0


def frobenius_norm(array: Array) -> Any:
    """Return the square root of the sum of squares as a float, or as an mpf; no square over- or underflows.

    Examples
    --------
    >>> frobenius_norm(2.0**600 * np.array([3.0, 4.0])) == 2.0**600 * 5
    True
    """
    xp = namespace(array)
    if is_object(array):
        return xp.linalg.matrix_norm(array)
    flat = xp.reshape(array, (-1,))
    unit = power_below(flat)
    flat = flat / unit
    return scalar(flat @ flat) ** 0.5 * unit


class NumericalRank(NamedTuple):
    """A rank read off floating singular values, with the ratio of the two that it stands between.

    The verdict on a claim about a rank is *inconclusive* when ``gap`` is small: compare the rank only where the
    spectrum has a cliff.
    """

    rank: int
    gap: float


def numerical_rank(matrix: Array, *, scale: Any = None) -> NumericalRank:
    """Return the number of singular values above rounding, and the gap at the cut.

    Parameters
    ----------
    matrix : array (m, n)
    scale : float, optional
        The size of the data that it was computed from; by default its largest singular value. A difference of two
        matrices of norm 1 carries errors of size eps even if it is itself of norm eps.

    Returns
    -------
    NumericalRank
        ``rank`` counts the singular values above ``max(m, n) * eps * scale``; ``gap`` is sigma_r / sigma_{r+1},
        where the cut stands in for a singular value that does not exist.

    Examples
    --------
    >>> numerical_rank(np.diag([1.0, 1.0, 1e-20])).rank
    2
    """
    if not min(matrix.shape):
        return NumericalRank(0, float("inf"))
    values = [scalar(value) for value in singular_values(matrix)]
    cut = 2 * max(matrix.shape) * unit_roundoff(matrix) * (values[0] if scale is None else scale)
    rank = sum(1 for value in values if value > cut)
    above = values[rank - 1] if rank else cut
    below = values[rank] if rank < len(values) else cut
    return NumericalRank(rank, float(above / below) if below else float("inf"))


def is_singular(matrix: Array) -> bool:
    """Tell whether the square matrix is singular to the working precision of its entries.

    Examples
    --------
    >>> is_singular(np.ones((2, 2))), is_singular(np.eye(2))
    (True, False)
    """
    values = singular_values(floats(matrix))
    if is_object(matrix) and not values[-1] > 1e-14 * values[0]:
        values = singular_values(matrix)
    return not scalar(values[-1]) > matrix.shape[0] * unit_roundoff(matrix) * scalar(values[0])


def divide_right(left: Array, right: Array) -> Array:
    """Return left right^{-1}; for a singular right the least-squares solution z of z right = left of smallest norm.

    Examples
    --------
    >>> divide_right(np.array([[2.0, 3.0]]), np.diag([2.0, 1.0]))
    array([[1., 3.]])
    """
    if is_singular(right):
        return divide_right_by_singular(left, right)
    xp = namespace(right)
    return xp.matrix_transpose(xp.linalg.solve(xp.matrix_transpose(right), xp.matrix_transpose(left)))


def divide_right_by_singular(left: Array, right: Array) -> Array:
    """Return the z of smallest norm that minimises |z right - left|, singular values at rounding counted as zero.

    The rows of `left` are turned before they are divided, unlike in left pinv(right): so the residual is as small as
    `left` allows even where the singular values that count range over many digits.

    Examples
    --------
    >>> divide_right_by_singular(np.array([[2.0, 0.0]]), np.diag([2.0, 0.0]))
    array([[1., 0.]])
    """
    U, s, Vt = svd(right, full_matrices=False)
    cut = 4 * right.shape[0] * unit_roundoff(right) * scalar(s[0])
    rank = sum(1 for sigma in s if sigma > cut)
    xp = namespace(right)
    return ((left @ xp.matrix_transpose(Vt[:rank, :])) / s[:rank]) @ xp.matrix_transpose(U[:, :rank])


def inverse_transpose(matrix: Array) -> Array:
    """Return the transposed inverse.

    Examples
    --------
    >>> inverse_transpose(np.array([[1.0, 1.0], [0.0, 1.0]]))
    array([[ 1.,  0.],
           [-1.,  1.]])
    """
    xp = namespace(matrix)
    return xp.matrix_transpose(xp.linalg.inv(matrix))


def chain_product(weights: Sequence[Array]) -> Array:
    """Return W_L ... W_1 for ``weights = [W_1, ..., W_L]``, in the order in which a network applies them.

    Examples
    --------
    >>> chain_product([np.array([[2.0]]), np.array([[3.0], [5.0]])])
    array([[ 6.],
           [10.]])
    """
    return reduce(lambda product, weight: weight @ product, weights)


def truncate(matrix: Array, rank: int) -> Array:
    """Return LR_r(x), a best approximation of rank at most r in every unitarily invariant norm.

    Examples
    --------
    >>> truncate(np.diag([1.0, 2.0]), 1)
    array([[0., 0.],
           [0., 2.]])
    """
    kept = min(rank, *matrix.shape)
    U, s, Vt = svd(matrix, full_matrices=False)
    return (U[:, :kept] * s[:kept]) @ Vt[:kept, :]
