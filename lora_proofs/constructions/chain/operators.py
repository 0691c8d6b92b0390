r"""What a construction asks of a large matrix: solves with it and its norm, without an SVD or an inverse.

Matrices up to `DIRECT` go through the SVD, which is cheaper there than any iteration. Larger ones are factorised once
by LAPACK (or the array library's own LU) and asked by matrix-vector products.
"""

import math
from collections.abc import Callable, Sequence
from functools import cached_property, reduce
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import is_cupy_array, is_jax_array, is_torch_array
from numpy.typing import NDArray

from lora_proofs.exact import algebra
from lora_proofs.exact.matrices import array, is_rational, matrix
from lora_proofs.linalg import (
    Array,
    chain_product,
    divide_right_by_singular,
    floats,
    is_object,
    is_singular,
    like,
    namespace,
    power_below,
    scalar,
    singular_values,
    spectral_norm,
    times_power,
    to_numpy,
    unit_roundoff,
)

DIRECT = 128
"""Size up to which a matrix is decomposed rather than iterated with."""

_STEPS = 300
"""Lanczos steps at most. A norm to 1e-12 takes 20 to 150, one to two digits takes 5."""

_DOUBT = 1e4
"""An estimated condition number this close to that of a singular matrix is checked by the SVD."""

Vector: TypeAlias = NDArray[np.float64]
Solve: TypeAlias = Callable[[Array], Array]


class LU:
    """A square matrix, factorised once, to solve with it and with its transpose.

    Parameters
    ----------
    x : array (n, n)
        NumPy, torch, JAX and CuPy arrays are factorised by their own LAPACK; arrays of other libraries, and objects,
        mpf or rational, by every solve anew.
    """

    def __init__(self, x: Array) -> None:
        self.x = x

    @cached_property
    def _solvers(self) -> tuple[Solve, Solve]:
        return _factorised(self.x)

    def solve(self, columns: Array) -> Array:
        """Return x^{-1} times the columns, of shape (n, k)."""
        return self._solvers[0](columns) if columns.shape[1] else columns

    def solve_transposed(self, columns: Array) -> Array:
        """Return x^{-T} times the columns, of shape (n, k)."""
        return self._solvers[1](columns) if columns.shape[1] else columns

    def divide_right(self, y: Array) -> Array:
        """Return y x^{-1}, y of shape (k, n); for a singular x the z of smallest norm that minimises |z x - y|.

        Over Q some z with z x = y, or ValueError if there is none.
        """
        if is_rational(self.x):
            return array(algebra.divide_right(matrix(y), matrix(self.x)))
        if self.singular:
            return divide_right_by_singular(y, self.x)
        xp = namespace(self.x)
        return xp.matrix_transpose(self.solve_transposed(xp.matrix_transpose(y)))

    @cached_property
    def smallest(self) -> float:
        """An estimate from above of the smallest singular value, good to a digit."""
        if min(self.x.shape) <= DIRECT or is_object(self.x):
            return float(singular_values(floats(self.x))[-1])
        try:
            with np.errstate(all="ignore"):
                largest = operator_norm(self.solve, self.solve_transposed, self.x[:, :1], rtol=0.1)
        except np.linalg.LinAlgError:
            return 0.0
        return 1 / largest if np.isfinite(largest) and largest else 0.0

    @cached_property
    def singular(self) -> bool:
        """Whether the matrix is singular to the working precision of its entries, as in `linalg.is_singular`."""
        if is_rational(self.x):
            return bool(matrix(self.x).det() == 0)
        if min(self.x.shape) <= DIRECT or is_object(self.x):
            return is_singular(self.x)
        xp, n = namespace(self.x), self.x.shape[0]
        above = scalar(xp.linalg.matrix_norm(self.x))
        if self.smallest > _DOUBT * n * unit_roundoff(self.x) * above:
            return False
        return is_singular(self.x)


def _factorised(x: Array) -> tuple[Solve, Solve]:
    """Return y -> x^{-1} y and y -> x^{-T} y."""
    if is_rational(x):
        return (lambda y: array(matrix(x).solve(matrix(y)))), (lambda y: array(matrix(x.T).solve(matrix(y))))
    if is_object(x):
        xp = namespace(x)
        return (lambda y: xp.linalg.solve(x, y)), (lambda y: xp.linalg.solve(x.T, y))
    if isinstance(x, np.ndarray):
        from scipy.linalg import get_lapack_funcs

        functions: Any = get_lapack_funcs(("getrf", "getrs"), (x,))
        getrf, getrs = functions
        row_major = x.flags.c_contiguous  # its transpose is what LAPACK can read without a transposing copy
        lu, pivots, _ = getrf(x.T if row_major else x)
        return (lambda y: getrs(lu, pivots, y, trans=int(row_major))[0]), (
            lambda y: getrs(lu, pivots, y, trans=1 - int(row_major))[0]
        )
    if is_torch_array(x):
        import torch

        lu, pivots, _ = torch.linalg.lu_factor_ex(x)
        return (lambda y: torch.linalg.lu_solve(lu, pivots, y)), (
            lambda y: torch.linalg.lu_solve(lu, pivots, y, adjoint=True)
        )
    if is_jax_array(x) or is_cupy_array(x):
        if is_jax_array(x):
            from jax.scipy.linalg import lu_factor, lu_solve
        else:
            from cupyx.scipy.linalg import lu_factor, lu_solve
        factors = lu_factor(x)
        return (lambda y: lu_solve(factors, y)), (lambda y: lu_solve(factors, y, trans=1))
    xp = namespace(x)
    return (lambda y: xp.linalg.solve(x, y)), (lambda y: xp.linalg.solve(xp.matrix_transpose(x), y))


def norm(matrix: Array, rtol: float = 1e-13, atol: float = 0.0, guess: Array | None = None) -> Any:
    """Return the largest singular value, good to a relative rtol or to atol; 0 for an empty matrix."""
    return product_norm([matrix], rtol, atol, guess)


def product_norm(factors: Sequence[Array], rtol: float, atol: float = 0.0, guess: Array | None = None) -> Any:
    """Return the largest singular value of the product of ``factors = [X_1, ..., X_k]``, X_1 X_2 ... X_k, as `norm`."""
    first, last = factors[0], factors[-1]
    direct = min(first.shape[0], last.shape[1]) <= DIRECT
    if is_object(first) or (direct and len(factors) == 1):  # LAPACK scales one matrix by itself
        return spectral_norm(chain_product(factors[::-1]))
    units = [power_below(X) for X in factors]
    factors = [X / unit for X, unit in zip(factors, units, strict=True)]
    exponent = sum(math.frexp(unit)[1] - 1 for unit in units)
    if direct:
        return times_power(float(spectral_norm(chain_product(factors[::-1]))), exponent)
    transpose = namespace(first).matrix_transpose
    found = operator_norm(
        lambda y: reduce(lambda Y, X: X @ Y, reversed(factors), y),
        lambda y: reduce(lambda Y, X: transpose(X) @ Y, factors, y),
        transpose(factors[-1][:1, :]),
        rtol,
        times_power(float(atol), -exponent),
        guess,
    )
    return times_power(found, exponent)


def operator_norm(
    apply: Solve, transposed: Solve, pattern: Array, rtol: float, atol: float = 0.0, guess: Array | None = None
) -> float:
    r"""Return the largest singular value of a linear map, from below, by Golub and Kahan's Lanczos process.

    The Ritz value theta is off by at most rho^2 / gap, with rho its residual and gap its distance to the next Ritz
    value; the process ends when that is less than rtol theta, or than atol. Both bases are kept orthogonal.

    Parameters
    ----------
    apply, transposed : y -> x y, y -> x^T y, for columns (n, 1)
    pattern : array (n, 1)
        Any column that `apply` takes: its namespace, dtype and device are used, not its values.
    rtol, atol : float
    guess : array (n, 1), optional
        A column near the leading singular vector. Some of a random one is added, lest they be orthogonal.
    """
    n, eps = pattern.shape[0], float(unit_roundoff(pattern))
    v = np.random.default_rng(0).standard_normal(n)
    if guess is not None:
        v = to_numpy(guess)[:, 0] / np.linalg.norm(to_numpy(guess)) + 1e-3 * v / np.linalg.norm(v)
    # The products run where the map is; the bases, which grow, are kept in NumPy.
    V, U = (v / np.linalg.norm(v))[:, None], np.empty((0, 0))
    alphas: list[float] = []
    betas: list[float] = []
    looked = 1
    for step in range(min(_STEPS, n)):
        u = to_numpy(apply(like(pattern, V[:, -1:])))[:, 0].astype(float)
        size = float(np.linalg.norm(u))
        if not np.isfinite(size):
            return float("inf")
        u = _orthogonal(u, U) if step else u
        alphas.append(float(np.linalg.norm(u)))
        if not alphas[-1] > eps * size:
            alphas[-1] = 0.0
            break
        U = np.column_stack([U, u / alphas[-1]]) if step else (u / alphas[-1])[:, None]
        v = _orthogonal(to_numpy(transposed(like(pattern, U[:, -1:])))[:, 0].astype(float), V)
        betas.append(float(np.linalg.norm(v)))
        if not betas[-1] > eps * alphas[-1]:
            break
        if step >= 1.2 * looked + 2:  # the small SVD would soon cost more than the products
            looked = step
            left, s, _ = np.linalg.svd(np.diag(alphas) + np.diag(betas[:-1], 1))
            theta, residual, gap = float(s[0]), betas[-1] * abs(float(left[-1, 0])), float(s[0] - s[1])
            if min(residual**2 / max(gap, eps * theta), residual) <= max(rtol * theta, 4 * eps * theta, atol):
                return theta
        V = np.column_stack([V, v / betas[-1]])
    bidiagonal = np.diag(alphas) + np.diag(betas[: len(alphas) - 1], 1)
    return float(np.linalg.svd(bidiagonal, compute_uv=False)[0])


def _orthogonal(vector: Vector, orthonormal: Vector) -> Vector:
    """Return the vector without its part in the range of the orthonormal columns, to rounding."""
    for _ in range(2):
        vector = vector - orthonormal @ (orthonormal.T @ vector)
    return vector
