"""Linear algebra over the rationals and rigorous enclosures, by python-flint.

Matrices are ``flint.fmpq_mat``; every function accepts whatever is rational: integers, ``Fraction``, ``fmpq``, nested
lists of them, and floats, since every finite float is a dyadic rational. Nothing here rounds, except where the name
says that it returns an enclosure. `adapt_linear_chain` and `adapt_relu_network` are the constructions over Q.
"""

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import isqrt
from typing import Any, TypeAlias

import flint
import numpy as np
from numpy.typing import NDArray

from lora_proofs.display import Readable
from lora_proofs.enclosure import Enclosure
from lora_proofs.linalg import svd

Rational: TypeAlias = Any
"""An ``fmpq``, or anything that `number` turns into one."""

Matrix: TypeAlias = Any
"""An ``fmpq_mat``, or anything that `matrix` turns into one."""

_PRIME = 2**61 - 1

_UP = 1 + 2.0**-48
"""Covers the at most eight relative roundings of a few float operations."""


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


def enclosure(lower: Rational, upper: Rational) -> Enclosure:
    """Return the interval between two exact rationals, which a proof of the caller's places around a number.

    Raises
    ------
    TypeError
        If an end is a float or an mpf: what was computed with rounding proves nothing.
    ValueError
        If the lower end exceeds the upper one.

    Examples
    --------
    >>> from fractions import Fraction
    >>> enclosure(Fraction(1, 3), 1)
    Enclosure(lower=Fraction(1, 3), upper=Fraction(1, 1))
    """
    for end in (lower, upper):
        if isinstance(end, bool) or not isinstance(end, (flint.fmpq, flint.fmpz, numbers.Rational)):
            raise TypeError(f"{end!r} is no exact number; pass an int, a Fraction or an fmpq")
    low, high = (Fraction(int(q.numerator), int(q.denominator)) for q in (number(lower), number(upper)))
    return Enclosure(low, high)


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
    total = sum((v * v for v in matrix(x).entries()), flint.fmpq(0))
    return Fraction(int(total.p), int(total.q))


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


def singular_value_enclosures(x: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return floats (lower, upper) that enclose the singular values of x, in descending order.

    A floating SVD guesses U, s, V. Then, all in exact integers, R = x - U diag(s) V^T, and with
    eps_U = ||U^T U - I||_F, eps_V alike, Weyl's and Ostrowski's inequalities give

        sqrt((1 - eps_U)(1 - eps_V)) s_i - ||R||_F <= sigma_i <= sqrt((1 + eps_U)(1 + eps_V)) s_i + ||R||_F.

    Parameters
    ----------
    x : rational matrix (m, n), entries within the range of float64
    """
    x = matrix(x)
    guess = np.array([float(v) for v in x.entries()]).reshape(x.nrows(), x.ncols())
    left, s, right = svd(guess, full_matrices=False)
    U, V = matrix(left), matrix(right.T)
    diagonal = flint.fmpq_mat(len(s), len(s), [number(v) for v in np.diag(s).ravel().tolist()])
    residual = _norm_above(x - U * diagonal * V.transpose())
    eps_U, eps_V = (_norm_above(Q.transpose() * Q - identity(len(s))) for Q in (U, V))
    shrink = np.sqrt(max(0.0, 1 - eps_U) * max(0.0, 1 - eps_V)) / _UP
    grow = np.sqrt((1 + eps_U) * (1 + eps_V)) * _UP
    lower, upper = np.nextafter(s * shrink, 0) - residual, np.nextafter(s * grow, np.inf) + residual
    return np.maximum(0.0, np.nextafter(lower, -np.inf)), np.nextafter(upper, np.inf)


def _norm_above(x: Matrix) -> float:
    """Return a float that is at least the Frobenius norm of x."""
    above = sqrt_above(number(frobenius_norm_squared(x)))
    return float(np.nextafter(int(above.p) / int(above.q), np.inf)) if above != 0 else 0.0


@dataclass(frozen=True, repr=False)
class RationalAdapter(Readable):
    """An `Adapter` over Q: ``delta = B * A`` with A of shape (r, in) and B of shape (out, r), both ``fmpq_mat``."""

    A: Any
    B: Any

    scaling = 1

    @property
    def rank(self) -> int:
        """The number r of rows of A."""
        return int(self.A.nrows())

    def delta(self) -> Any:
        """Return the update B A."""
        return self.B * self.A

    def merge(self, W: Matrix) -> Any:
        """Return W + B A."""
        return matrix(W) + self.delta()

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        return f"rank {self.rank}, {self.B.nrows()} x {self.A.ncols()}, over Q", {}


def __getattr__(name: str) -> Any:
    """Re-export the constructions over Q, which are built on this module."""
    if name == "adapt_linear_chain":
        from lora_proofs.constructions.rational import adapt_linear_chain

        return adapt_linear_chain
    if name == "adapt_relu_network":
        from lora_proofs.constructions.relu_network import adapt_rational_relu_network

        return adapt_rational_relu_network
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
