"""Linear algebra over the rationals, by python-flint.

Matrices are ``flint.fmpq_mat``; every function accepts whatever is rational: integers, ``Fraction``, ``fmpq``, nested
lists of them, and floats, since every finite float is a dyadic rational. Nothing here rounds.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import isqrt
from typing import Any, TypeAlias

import flint
import numpy as np
from numpy.typing import NDArray

Rational: TypeAlias = Any
"""An ``fmpq``, or anything that `number` turns into one."""

Matrix: TypeAlias = Any
"""An ``fmpq_mat``, or anything that `matrix` turns into one."""

_PRIME = 2**61 - 1


def number(x: Any) -> Rational:
    """Return x as an ``fmpq``: an integer, Fraction, fmpz, fmpq, finite float, or mpf, exactly.

    Raises
    ------
    ValueError
        If x is NaN or infinite, or no real number.
    """
    if isinstance(x, flint.fmpq):
        return x
    if isinstance(x, int | np.integer | flint.fmpz):
        return flint.fmpq(int(x))
    try:
        if isinstance(x, float | np.floating | Fraction | Decimal):
            return flint.fmpq(*map(int, x.as_integer_ratio()))
        if hasattr(x, "_mpf_") and x - x == 0:
            sign, mantissa, exponent, _ = x._mpf_
            return flint.fmpq(-int(mantissa) if sign else int(mantissa)) * flint.fmpq(2) ** int(exponent)
    except (ValueError, OverflowError):  # NaN and infinity have no ratio
        pass
    raise ValueError(f"{x!r} is not a finite real number; pass integers, fractions or finite floats")


def fraction(x: Rational) -> Fraction:
    """Return a rational as a Fraction."""
    q = number(x)
    return Fraction(int(q.p), int(q.q))


def matrix(x: Any) -> Matrix:
    """Return x as an ``fmpq_mat``: an fmpq_mat or fmpz_mat, a 2-d array, or a list of rows of equal length.

    Raises
    ------
    ValueError
        If x is not 2-d, or an entry is not a finite real number.
    """
    if isinstance(x, flint.fmpq_mat):
        return x
    if isinstance(x, flint.fmpz_mat):
        return flint.fmpq_mat(x)
    if getattr(x, "ndim", None) == 2 and not isinstance(x, np.ma.MaskedArray):
        values = np.asarray(x)
        if values.dtype.kind in "mM":  # NumPy would make integers of them
            raise ValueError(f"a rational matrix holds numbers, not {values.dtype}")
        return flint.fmpq_mat(*values.shape, [number(v) for v in values.ravel().tolist()])
    if (
        isinstance(x, Sequence)
        and all(isinstance(row, Sequence | np.ndarray) for row in x)
        and len({*map(len, x)}) <= 1
    ):
        return flint.fmpq_mat(len(x), len(x[0]) if x else 0, [number(v) for row in x for v in row])
    raise ValueError("a rational matrix is an fmpq_mat, a 2-d array, or a list of rows of equal length")


def array(x: Any) -> NDArray[np.object_]:
    """Return x, of any dimension, as a NumPy object array of ``fmpq``."""
    if isinstance(x, flint.fmpq_mat | flint.fmpz_mat):
        entries, shape = x.entries(), (x.nrows(), x.ncols())
    else:
        values = np.asarray(x) if hasattr(x, "dtype") else np.asarray(x, dtype=object)
        entries, shape = values.ravel().tolist(), values.shape
    out = np.empty(len(entries), dtype=object)
    out[:] = [number(v) for v in entries]
    return out.reshape(shape)


def is_rational(x: Any) -> bool:
    """Tell whether x is a rational matrix or array: flint's own, or an object array of Fraction, fmpq or int."""
    if isinstance(x, flint.fmpq_mat | flint.fmpz_mat):
        return True
    if not (isinstance(x, np.ndarray) and x.dtype == object):
        return False
    return all(isinstance(v, flint.fmpq | flint.fmpz | Fraction | int) for v in x.flat)


def identity(n: int) -> Matrix:
    """Return the n x n identity."""
    return flint.fmpq_mat(n, n, [int(i == j) for i in range(n) for j in range(n)])


def block(x: Matrix, rows: range, columns: range) -> Matrix:
    """Return the submatrix of x with these rows and columns."""
    return flint.fmpq_mat(len(rows), len(columns), [x[i, j] for i in rows for j in columns])


def product(weights: Sequence[Matrix]) -> Matrix:
    """Return W_L ... W_1 for ``weights = [W_1, ..., W_L]``."""
    out = matrix(weights[0])
    for W in weights[1:]:
        out = matrix(W) * out
    return out


def rank(x: Matrix) -> int:
    """Return the rank of x."""
    return int(matrix(x).rank())


def rank_lower_bound(x: Matrix) -> int:
    """Return the rank modulo the prime 2^61 - 1 of x times its common denominator: never more than the rank of x.

    It equals the rank unless the prime divides every maximal minor, and takes milliseconds where `rank` takes seconds.
    """
    numerator, _ = matrix(x).numer_denom()
    return int(flint.nmod_mat(numerator, _PRIME).rank())


def is_zero(x: Matrix) -> bool:
    """Tell whether every entry of x is 0."""
    return not any(matrix(x).entries())


def frobenius_norm_squared(x: Matrix) -> Fraction:
    """Return the sum of the squares of the entries: 0 exactly when x = 0."""
    return fraction(sum((v * v for v in matrix(x).entries()), flint.fmpq(0)))


def sqrt_above(q: Rational) -> Rational:
    """Return a rational >= sqrt(q): the root itself if that is rational, else one within 2^-100 relatively."""
    q = number(q)
    p, denominator = int(q.p) * int(q.q), int(q.q)
    root = isqrt(p)
    if root * root == p:
        return flint.fmpq(root, denominator)
    return flint.fmpq(isqrt(p << 200) + 1, denominator << 100)


def full_rank_factorization(x: Matrix) -> tuple[Matrix, Matrix]:
    """Return U, V^T with x = U V^T and inner width rank(x): the pivot columns, and the rows of the echelon form."""
    x = matrix(x)
    echelon, r = x.rref()
    pivots = [next(j for j in range(x.ncols()) if echelon[i, j] != 0) for i in range(r)]
    U = flint.fmpq_mat(x.nrows(), r, [x[i, j] for i in range(x.nrows()) for j in pivots])
    return U, block(echelon, range(r), range(x.ncols()))


def divide_right(y: Matrix, x: Matrix) -> Matrix:
    """Return some z with z x = y.

    Raises
    ------
    ValueError
        If a row of y is no combination of the rows of x.
    """
    x, y = matrix(x).transpose(), matrix(y).transpose()
    if x.nrows() == x.ncols():
        try:
            return x.solve(y).transpose()
        except ZeroDivisionError:
            pass  # singular, but perhaps consistent
    n, m = x.ncols(), y.ncols()
    augmented = flint.fmpq_mat([a + b for a, b in zip(x.table(), y.table(), strict=True)])
    echelon, r = augmented.rref()
    z = flint.fmpq_mat(n, m)
    for i in range(r):
        pivot = next(j for j in range(n + m) if echelon[i, j] != 0)
        if pivot >= n:
            raise ValueError("the system has no solution: a row of y is no combination of the rows of x")
        for j in range(m):
            z[pivot, j] = echelon[i, n + j]
    return z.transpose()


def is_positive_semidefinite(x: Matrix) -> bool:
    """Tell whether the symmetric matrix x is positive semidefinite, by the pivots of its LDL^T factorisation."""
    x = matrix(x)
    if x != x.transpose():
        return False
    a = x.table()
    for k in range(len(a)):
        if a[k][k] < 0 or (a[k][k] == 0 and any(a[i][k] != 0 for i in range(k + 1, len(a)))):
            return False
        for i in range(k + 1, len(a)):
            if a[i][k] != 0:
                factor = a[i][k] / a[k][k]
                a[i] = [p - factor * q for p, q in zip(a[i], a[k], strict=True)]
    return True


def inner(x: Matrix, y: Matrix) -> Rational:
    """Return <x, y>, the sum of the products of the entries."""
    return sum((a * b for a, b in zip(x.entries(), y.entries(), strict=True)), flint.fmpq(0))


def inertia(H: Matrix) -> tuple[int, int, int]:
    """Return the numbers of negative, zero and positive eigenvalues of a symmetric ``fmpq_mat``, exactly.

    By Descartes' rule on the characteristic polynomial: since all its roots are real, the number of positive ones is
    the number of sign changes among its coefficients, not merely at most that.
    """
    coefficients = H.charpoly().coeffs()
    zero = next(k for k, c in enumerate(coefficients) if c != 0)
    signs = [(k, 1 if c > 0 else -1) for k, c in enumerate(coefficients) if c != 0]
    positive = sum(s != t for (_, s), (_, t) in pairwise(signs))
    return len(coefficients) - 1 - zero - positive, zero, positive


def floats(x: Matrix) -> NDArray[np.float64]:
    """Return an ``fmpq_mat`` as a float64 array, each entry correctly rounded."""
    values = [int(q.p) / int(q.q) for q in x.entries()]
    return np.array(values).reshape(x.nrows(), x.ncols())
