"""Seeded families of matrices and networks, in float64 and over the rationals.

Every random function takes a ``numpy.random.Generator`` first, so an instance is reproducible from its seed.
Rational families return ``flint.fmpq_mat``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from flint import fmpq_mat
from numpy.random import Generator
from numpy.typing import NDArray

from lora_proofs.exact.matrices import number
from lora_proofs.networks.relu import ReluNetwork

FloatMatrix = NDArray[np.float64]

# ----------------------------------------------------------------------------------------------- float64


def gaussian(rng: Generator, rows: int, columns: int, scale: float = 1.0) -> FloatMatrix:
    """Return a (rows, columns) matrix of independent N(0, scale²) entries.

    Examples
    --------
    >>> gaussian(np.random.default_rng(0), 2, 3).shape
    (2, 3)
    """
    return rng.normal(0.0, scale, (rows, columns))


def uniform(rng: Generator, rows: int, columns: int | None = None) -> FloatMatrix:
    """Return a (rows, columns) matrix of independent U(-1/√n, 1/√n) entries, n columns, by default as many as rows.

    This is the default initialisation of ``torch.nn.Linear`` with fan-in n, the frozen weights of Zeng & Lee's
    experiments (arXiv:2310.17513v3).

    Examples
    --------
    >>> bool(np.abs(uniform(np.random.default_rng(0), 4)).max() <= 0.5)
    True
    """
    columns = rows if columns is None else columns
    return rng.uniform(-(columns**-0.5), columns**-0.5, (rows, columns))


def orthogonal(rng: Generator, size: int) -> FloatMatrix:
    """Return an orthogonal (size, size) matrix, Haar distributed (Mezzadri, arXiv:math-ph/0609050v2).

    Examples
    --------
    >>> Q = orthogonal(np.random.default_rng(0), 3)
    >>> bool(np.allclose(Q.T @ Q, np.eye(3)))
    True
    """
    return _orthonormal_columns(rng, size, size)


def planted_rank(rng: Generator, rows: int, columns: int, rank: int) -> FloatMatrix:
    """Return a (rows, columns) product of Gaussian factors of inner width rank, which its rank is almost surely.

    Examples
    --------
    >>> int(np.linalg.matrix_rank(planted_rank(np.random.default_rng(0), 4, 5, 2)))
    2
    """
    _check_rank(rows, columns, rank)
    return gaussian(rng, rows, rank) @ gaussian(rng, rank, columns)


def with_singular_values(rng: Generator, rows: int, columns: int, values: Sequence[float] | FloatMatrix) -> FloatMatrix:
    """Return a (rows, columns) matrix with these non-zero singular values and Haar distributed singular vectors.

    Raises
    ------
    ValueError
        If there are more than min(rows, columns) values, or one is negative or not finite.

    Examples
    --------
    >>> matrix = with_singular_values(np.random.default_rng(0), 2, 3, [3.0, 1.0])
    >>> np.linalg.svdvals(matrix).round(12)
    array([3., 1.])
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not np.all(np.isfinite(values)) or np.any(values < 0):
        raise ValueError("singular values must be a sequence of finite numbers >= 0")
    _check_rank(rows, columns, len(values))
    left, right = _orthonormal_columns(rng, rows, len(values)), _orthonormal_columns(rng, columns, len(values))
    return (left * values) @ right.T


def ill_conditioned(rng: Generator, size: int, condition: float) -> FloatMatrix:
    """Return a (size, size) matrix with singular values in geometric progression from 1 down to 1/cond.

    Examples
    --------
    >>> bool(np.isclose(np.linalg.cond(ill_conditioned(np.random.default_rng(0), 4, 1e6)), 1e6))
    True
    """
    if not 1 <= condition < np.inf:
        raise ValueError(f"a condition number is finite and at least 1, not {condition!r}")
    return with_singular_values(rng, size, size, np.geomspace(1.0, 1.0 / condition, size))


INITIALISATIONS: Mapping[str, Callable[[Generator, int], FloatMatrix]] = {
    "gaussian": lambda rng, D: gaussian(rng, D, D),
    "scaled gaussian": lambda rng, D: gaussian(rng, D, D, D**-0.5),
    "uniform": uniform,
    "orthogonal": orthogonal,
}
"""The choices of `init`: entries N(0, 1), N(0, 1/D), U(-1/√D, 1/√D), or a Haar distributed orthogonal matrix."""


def chain(rng: Generator, width: int, depth: int, init: str = "uniform") -> list[FloatMatrix]:
    """Return `depth` independent weights ``[W_1, ..., W_L]``.

    Parameters
    ----------
    rng : numpy.random.Generator
    width, depth : int
        Width and depth.
    init : str
        A key of ``INITIALISATIONS``.

    Raises
    ------
    ValueError
        If `init` is none of these.

    Examples
    --------
    >>> [weight.shape for weight in chain(np.random.default_rng(0), 4, 2)]
    [(4, 4), (4, 4)]
    """
    if init not in INITIALISATIONS:
        raise ValueError(f"unknown init {init!r}: choose one of {', '.join(map(repr, INITIALISATIONS))}")
    return [INITIALISATIONS[init](rng, width) for _ in range(depth)]


def relu_network(rng: Generator, width: int, depth: int, init: str = "uniform") -> ReluNetwork:
    """Return a ReLU network with weights ``chain(rng, width, depth, init)``.

    The biases are U(-1/√D, 1/√D), the default of ``torch.nn.Linear``.

    Examples
    --------
    >>> len(relu_network(np.random.default_rng(0), 4, 2).weights)
    2
    """
    weights = chain(rng, width, depth, init)
    return ReluNetwork(weights, [uniform(rng, 1, width)[0] for _ in weights])


# --------------------------------------------------------------------------------------------- rationals


def integers(rng: Generator, rows: int, columns: int, low: int = -3, high: int = 3) -> Any:
    """Return a (rows, columns) matrix of independent integers, uniform on low, ..., high.

    Examples
    --------
    >>> integers(np.random.default_rng(0), 1, 3, low=0, high=1)
    [1, 1, 1]
    """
    return _to_fmpq(rng.integers(low, high, (rows, columns), endpoint=True))


def nonsingular(rng: Generator, size: int, low: int = -3, high: int = 3) -> Any:
    """Return a non-singular (size, size) integer matrix, drawn from ``integers`` until the determinant is not 0.

    Examples
    --------
    >>> nonsingular(np.random.default_rng(0), 3).det() != 0
    True
    """
    if low == high:
        raise ValueError(f"a matrix with all entries equal to {low} is singular: low must differ from high")
    return _draw(lambda: integers(rng, size, size, low, high), lambda M: M.det() != 0)


def rational_orthogonal(rng: Generator, size: int) -> Any:
    """Return a rational (size, size) matrix with QᵀQ = I and det Q = 1.

    It is the Cayley transform (I - S)(I + S)⁻¹ of a random integer skew-symmetric S; I + S is always
    non-singular, because the eigenvalues of S are imaginary.

    Examples
    --------
    >>> Q = rational_orthogonal(np.random.default_rng(0), 3)
    >>> (Q.transpose() * Q - Q * Q.inv()).rank()
    0
    """
    upper = np.triu(rng.integers(-2, 2, (size, size), endpoint=True), 1)
    S, identity = _to_fmpq(upper - upper.T), _to_fmpq(np.eye(size, dtype=np.int64))
    return (identity - S) * (identity + S).inv()


def planted_svd(rng: Generator, size: int, singular_values: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Return ``(E, U, V)`` with E = U diag(s) Vᵀ, whose truncations LR_r(E) are rational.

    Parameters
    ----------
    rng : numpy.random.Generator
    size : int
        Size of the three square matrices.
    singular_values : sequence of numbers
        At most `size`, in non-increasing order: anything that `exact.number` takes; the missing ones are 0.

    Returns
    -------
    E, U, V : fmpq_mat, shape (size, size)
        U and V are rational orthogonal. LR_r(E) is the sum of the first r terms s_i u_i v_iᵀ.

    Raises
    ------
    ValueError
        If there are more than `size` singular values, or one is negative, or they increase.

    Examples
    --------
    >>> U, S, V = planted_svd(np.random.default_rng(0), 3, [2, 1, 0])
    >>> (U * S * V.transpose()).rank()
    2
    """
    _check_rank(size, size, len(singular_values))
    values = [*singular_values, *[0] * (size - len(singular_values))]
    if any(a < b for a, b in zip(values, [*values[1:], 0], strict=True)):
        raise ValueError(
            f"singular values must be non-negative and in non-increasing order, not {list(singular_values)}"
        )
    U, V = rational_orthogonal(rng, size), rational_orthogonal(rng, size)
    return U * _to_fmpq(np.diag(np.array(values, dtype=object))) * V.transpose(), U, V


def rational_planted_rank(rng: Generator, rows: int, columns: int, rank: int) -> Any:
    """Return a (rows, columns) integer matrix of exactly this rank, a product of integer factors.

    Examples
    --------
    >>> rational_planted_rank(np.random.default_rng(0), 4, 5, 2).rank()
    2
    """
    _check_rank(rows, columns, rank)
    return _draw(lambda: integers(rng, rows, rank) * integers(rng, rank, columns), lambda M: M.rank() == rank)


def all_matrices(size: int, entries: Sequence[int]) -> Iterator[Any]:
    """Yield every (size, size) matrix with the given entries: ``len(entries) ** n**2`` of them, singular ones included.

    With entries (-1, 0, 1) at n = 2 or (0, 1) at n = 3 these are exhaustive tests of a theorem that is to need
    no hypothesis on its target.

    Examples
    --------
    >>> len(list(all_matrices(2, (-1, 0, 1))))
    81
    """
    for values in product(entries, repeat=size * size):
        yield fmpq_mat(size, size, values)


def permutation(rng: Generator, size: int) -> Any:
    """Return a random (size, size) permutation matrix.

    Examples
    --------
    >>> permutation(np.random.default_rng(0), 3).rank()
    3
    """
    return _to_fmpq(np.eye(size, dtype=np.int64)[rng.permutation(size)])


def projection(rng: Generator, size: int, rank: int) -> Any:
    """Return a rational oblique projection of rank r: P = X (Yᵀ X)⁻¹ Yᵀ with integer (n, r) factors, so P² = P.

    Examples
    --------
    >>> P = projection(np.random.default_rng(0), 3, 1)
    >>> P * P == P, P.rank()
    (True, 1)
    """
    _check_rank(size, size, rank)
    X, Y = _draw(
        lambda: (integers(rng, size, rank), integers(rng, size, rank)),
        lambda XY: (XY[1].transpose() * XY[0]).det() != 0,
    )
    return X * (Y.transpose() * X).inv() * Y.transpose()


# ----------------------------------------------------------------------------------------------- helpers


def _orthonormal_columns(rng: Generator, size: int, count: int) -> FloatMatrix:
    Q, R = np.linalg.qr(rng.standard_normal((size, count)))
    return Q * np.where(np.diagonal(R) < 0, -1.0, 1.0)  # the signs make it Haar distributed


def _to_fmpq(values: NDArray[Any]) -> Any:
    m, n = values.shape
    return fmpq_mat(m, n, [number(x) for x in values.ravel().tolist()])


def _draw(sample: Callable[[], Any], accept: Callable[[Any], bool]) -> Any:
    return next(M for M in iter(sample, None) if accept(M))


def _check_rank(rows: int, columns: int, rank: int) -> None:
    if not 0 <= rank <= min(rows, columns):
        raise ValueError(f"an ({rows}, {columns}) matrix has a rank between 0 and {min(rows, columns)}, not {rank}")
