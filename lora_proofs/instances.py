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

Matrix = NDArray[np.float64]

# ----------------------------------------------------------------------------------------------- float64


def gaussian(rng: Generator, m: int, n: int, scale: float = 1.0) -> Matrix:
    """Return an (m, n) matrix of independent N(0, scale²) entries."""
    return rng.normal(0.0, scale, (m, n))


def uniform(rng: Generator, m: int, n: int | None = None) -> Matrix:
    """Return an (m, n) matrix of independent U(-1/√n, 1/√n) entries, n = m by default.

    This is the default initialisation of ``torch.nn.Linear`` with fan-in n, the frozen weights of Zeng & Lee's
    experiments (arXiv:2310.17513v3).
    """
    n = m if n is None else n
    return rng.uniform(-(n**-0.5), n**-0.5, (m, n))


def orthogonal(rng: Generator, n: int) -> Matrix:
    """Return an orthogonal (n, n) matrix, Haar distributed (Mezzadri, arXiv:math-ph/0609050v2)."""
    return _orthonormal_columns(rng, n, n)


def planted_rank(rng: Generator, m: int, n: int, r: int) -> Matrix:
    """Return an (m, n) product of Gaussian factors of inner width r; its rank is r almost surely."""
    _check_rank(m, n, r)
    return gaussian(rng, m, r) @ gaussian(rng, r, n)


def with_singular_values(rng: Generator, m: int, n: int, s: Sequence[float] | Matrix) -> Matrix:
    """Return an (m, n) matrix with the non-zero singular values `s` and Haar distributed singular vectors.

    Raises
    ------
    ValueError
        If there are more than min(m, n) values, or one is negative or not finite.
    """
    values = np.asarray(s, dtype=np.float64)
    if values.ndim != 1 or not np.all(np.isfinite(values)) or np.any(values < 0):
        raise ValueError("singular values must be a sequence of finite numbers >= 0")
    _check_rank(m, n, len(values))
    left, right = _orthonormal_columns(rng, m, len(values)), _orthonormal_columns(rng, n, len(values))
    return (left * values) @ right.T


def ill_conditioned(rng: Generator, n: int, cond: float) -> Matrix:
    """Return an (n, n) matrix with singular values in geometric progression from 1 down to 1/cond."""
    if not 1 <= cond < np.inf:
        raise ValueError(f"a condition number is finite and at least 1, not {cond!r}")
    return with_singular_values(rng, n, n, np.geomspace(1.0, 1.0 / cond, n))


INITIALISATIONS: Mapping[str, Callable[[Generator, int], Matrix]] = {
    "gaussian": lambda rng, D: gaussian(rng, D, D),
    "scaled gaussian": lambda rng, D: gaussian(rng, D, D, D**-0.5),
    "uniform": uniform,
    "orthogonal": orthogonal,
}
"""The choices of `init`: entries N(0, 1), N(0, 1/D), U(-1/√D, 1/√D), or a Haar distributed orthogonal matrix."""


def chain(rng: Generator, D: int, L: int, init: str = "uniform") -> list[Matrix]:
    """Return L independent (D, D) weights ``[W_1, ..., W_L]``.

    Parameters
    ----------
    rng : numpy.random.Generator
    D, L : int
        Width and depth.
    init : str
        A key of ``INITIALISATIONS``.

    Raises
    ------
    ValueError
        If `init` is none of these.
    """
    if init not in INITIALISATIONS:
        raise ValueError(f"unknown init {init!r}: choose one of {', '.join(map(repr, INITIALISATIONS))}")
    return [INITIALISATIONS[init](rng, D) for _ in range(L)]


def relu_network(rng: Generator, D: int, L: int, init: str = "uniform") -> ReluNetwork:
    """Return a ReLU network of width D and depth L with weights ``chain(rng, D, L, init)``.

    The biases are U(-1/√D, 1/√D), the default of ``torch.nn.Linear``.
    """
    weights = chain(rng, D, L, init)
    return ReluNetwork(weights, [uniform(rng, 1, D)[0] for _ in weights])


# --------------------------------------------------------------------------------------------- rationals


def integers(rng: Generator, m: int, n: int, low: int = -3, high: int = 3) -> Any:
    """Return an (m, n) matrix of independent integers, uniform on low, ..., high."""
    return _to_fmpq(rng.integers(low, high, (m, n), endpoint=True))


def nonsingular(rng: Generator, n: int, low: int = -3, high: int = 3) -> Any:
    """Return a non-singular (n, n) integer matrix, drawn from ``integers`` until the determinant is not 0."""
    if low == high:
        raise ValueError(f"a matrix with all entries equal to {low} is singular: low must differ from high")
    return _draw(lambda: integers(rng, n, n, low, high), lambda M: M.det() != 0)


def rational_orthogonal(rng: Generator, n: int) -> Any:
    """Return a rational (n, n) matrix with QᵀQ = I and det Q = 1.

    It is the Cayley transform (I - S)(I + S)⁻¹ of a random integer skew-symmetric S; I + S is always
    non-singular, because the eigenvalues of S are imaginary.
    """
    upper = np.triu(rng.integers(-2, 2, (n, n), endpoint=True), 1)
    S, identity = _to_fmpq(upper - upper.T), _to_fmpq(np.eye(n, dtype=np.int64))
    return (identity - S) * (identity + S).inv()


def planted_svd(rng: Generator, n: int, s: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Return ``(E, U, V)`` with E = U diag(s) Vᵀ, whose truncations LR_r(E) are rational.

    Parameters
    ----------
    rng : numpy.random.Generator
    n : int
        Size of the three square matrices.
    s : sequence of numbers
        At most n singular values, in non-increasing order: anything that `exact.number` takes; the missing ones are 0.

    Returns
    -------
    E, U, V : fmpq_mat, shape (n, n)
        U and V are rational orthogonal. LR_r(E) is the sum of the first r terms s_i u_i v_iᵀ.

    Raises
    ------
    ValueError
        If `s` is longer than n, has a negative entry, or increases.
    """
    _check_rank(n, n, len(s))
    values = [*s, *[0] * (n - len(s))]
    if any(a < b for a, b in zip(values, [*values[1:], 0], strict=True)):
        raise ValueError(f"singular values must be non-negative and in non-increasing order, not {list(s)}")
    U, V = rational_orthogonal(rng, n), rational_orthogonal(rng, n)
    return U * _to_fmpq(np.diag(np.array(values, dtype=object))) * V.transpose(), U, V


def rational_planted_rank(rng: Generator, m: int, n: int, r: int) -> Any:
    """Return an (m, n) integer matrix of exact rank r: a product of integer factors, redrawn until it is."""
    _check_rank(m, n, r)
    return _draw(lambda: integers(rng, m, r) * integers(rng, r, n), lambda M: M.rank() == r)


def all_matrices(n: int, entries: Sequence[int]) -> Iterator[Any]:
    """Yield every (n, n) matrix with the given entries: ``len(entries) ** n**2`` of them, singular ones included.

    With entries (-1, 0, 1) at n = 2 or (0, 1) at n = 3 these are exhaustive tests of a theorem that is to need
    no hypothesis on its target.
    """
    for values in product(entries, repeat=n * n):
        yield fmpq_mat(n, n, values)


def permutation(rng: Generator, n: int) -> Any:
    """Return a random (n, n) permutation matrix."""
    return _to_fmpq(np.eye(n, dtype=np.int64)[rng.permutation(n)])


def projection(rng: Generator, n: int, r: int) -> Any:
    """Return a rational oblique projection of rank r: P = X (Yᵀ X)⁻¹ Yᵀ with integer (n, r) factors, so P² = P."""
    _check_rank(n, n, r)
    X, Y = _draw(
        lambda: (integers(rng, n, r), integers(rng, n, r)),
        lambda XY: (XY[1].transpose() * XY[0]).det() != 0,
    )
    return X * (Y.transpose() * X).inv() * Y.transpose()


# ----------------------------------------------------------------------------------------------- helpers


def _orthonormal_columns(rng: Generator, n: int, k: int) -> Matrix:
    Q, R = np.linalg.qr(rng.standard_normal((n, k)))
    return Q * np.where(np.diagonal(R) < 0, -1.0, 1.0)  # the signs make it Haar distributed


def _to_fmpq(M: NDArray[Any]) -> Any:
    m, n = M.shape
    return fmpq_mat(m, n, [number(x) for x in M.ravel().tolist()])


def _draw(sample: Callable[[], Any], accept: Callable[[Any], bool]) -> Any:
    return next(M for M in iter(sample, None) if accept(M))


def _check_rank(m: int, n: int, r: int) -> None:
    if not 0 <= r <= min(m, n):
        raise ValueError(f"an ({m}, {n}) matrix has a rank between 0 and {min(m, n)}, not {r}")
