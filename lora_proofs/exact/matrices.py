"""Linear algebra over the rationals, by python-flint.

Matrices are ``flint.fmpq_mat``; every function accepts whatever is rational: integers, ``Fraction``, ``fmpq``, nested
lists of them, and floats, since every finite float is a dyadic rational. Nothing here rounds.
"""

from collections.abc import Iterable, Sequence
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


# ----------------------------------------------------------------------------------- making and arranging matrices


def identity(size: int) -> flint.fmpq_mat:
    """Return the identity of this size."""
    return diagonal([1] * size)


def zeros(rows: int, columns: int) -> flint.fmpq_mat:
    """Return the zero matrix of this shape.

    Examples
    --------
    >>> zeros(2, 3)
    [0, 0, 0]
    [0, 0, 0]
    """
    return flint.fmpq_mat(rows, columns)


def ones(rows: int, columns: int) -> flint.fmpq_mat:
    """Return the matrix of this shape all of whose entries are 1.

    Examples
    --------
    >>> ones(1, 3)
    [1, 1, 1]
    """
    return flint.fmpq_mat(rows, columns, [1] * (rows * columns))


def diagonal(values: Iterable[Rational]) -> flint.fmpq_mat:
    """Return the square matrix with these numbers on its diagonal.

    Examples
    --------
    >>> diagonal([1, Fraction(1, 2)])
    [1,   0]
    [0, 1/2]
    """
    entries = [number(value) for value in values]
    out = flint.fmpq_mat(len(entries), len(entries))
    for i, value in enumerate(entries):
        out[i, i] = value
    return out


def vector(values: Iterable[Rational]) -> flint.fmpq_mat:
    """Return the numbers of a sequence or a 1-d array as a matrix of one column.

    Examples
    --------
    >>> vector([1, 0.25])
    [  1]
    [1/4]
    """
    entries = [number(value) for value in values]
    return flint.fmpq_mat(len(entries), 1, entries)


def unit_vector(size: int, index: int) -> flint.fmpq_mat:
    """Return the unit vector e_index, the first one being e_0, as a matrix of one column.

    Examples
    --------
    >>> unit_vector(3, 1).transpose()
    [0, 1, 0]
    """
    return flint.fmpq_mat(size, 1, [int(i == index) for i in range(size)])


def unit_matrix(rows: int, columns: int, row: int, column: int) -> flint.fmpq_mat:
    """Return the matrix of this shape whose only entry that is not 0 is a 1 in this row and column, from 0 on.

    Examples
    --------
    >>> unit_matrix(2, 3, 0, 2)
    [0, 0, 1]
    [0, 0, 0]
    """
    out = flint.fmpq_mat(rows, columns)
    out[row, column] = 1
    return out


def block(operand: flint.fmpq_mat, rows: Sequence[int], columns: Sequence[int]) -> flint.fmpq_mat:
    """Return the submatrix with these rows and columns.

    Examples
    --------
    >>> block(diagonal([1, 2, 3]), range(2), [1])
    [0]
    [2]
    """
    return flint.fmpq_mat(len(rows), len(columns), [operand[i, j] for i in rows for j in columns])


def column(operand: flint.fmpq_mat, index: int) -> flint.fmpq_mat:
    """Return one column, the first one being 0, as a matrix.

    Examples
    --------
    >>> column(matrix([[1, 2], [3, 4]]), 1)
    [2]
    [4]
    """
    return block(operand, range(operand.nrows()), [index])


def row(operand: flint.fmpq_mat, index: int) -> flint.fmpq_mat:
    """Return one row, the first one being 0, as a matrix.

    Examples
    --------
    >>> row(matrix([[1, 2], [3, 4]]), 1)
    [3, 4]
    """
    return block(operand, [index], range(operand.ncols()))


def hstack(*blocks: Matrix) -> flint.fmpq_mat:
    """Return the matrices side by side.

    Examples
    --------
    >>> hstack(identity(2), vector([3, 4]))
    [1, 0, 3]
    [0, 1, 4]
    """
    parts = [matrix(part) for part in blocks]
    tables = zip(*(part.table() for part in parts), strict=True)
    entries = [value for rows in tables for part in rows for value in part]
    return flint.fmpq_mat(parts[0].nrows(), sum(part.ncols() for part in parts), entries)


def vstack(*blocks: Matrix) -> flint.fmpq_mat:
    """Return the matrices one below the other.

    Examples
    --------
    >>> vstack(identity(2), [[3, 4]])
    [1, 0]
    [0, 1]
    [3, 4]
    """
    parts = [matrix(part) for part in blocks]
    entries = [value for part in parts for value in part.entries()]
    return flint.fmpq_mat(sum(part.nrows() for part in parts), parts[0].ncols(), entries)


# ---------------------------------------------------------------------------------------------- products and sums


def kron(left: Matrix, right: Matrix) -> flint.fmpq_mat:
    """Return the Kronecker product, the block matrix of the left_ij times right.

    Examples
    --------
    >>> kron(identity(2), [[1, 2]])
    [1, 2, 0, 0]
    [0, 0, 1, 2]
    """
    left, right = matrix(left), matrix(right)
    entries = [a * b for first in left.table() for second in right.table() for a in first for b in second]
    return flint.fmpq_mat(left.nrows() * right.nrows(), left.ncols() * right.ncols(), entries)


def hadamard(left: Matrix, right: Matrix) -> flint.fmpq_mat:
    """Return the entrywise product.

    Examples
    --------
    >>> hadamard([[1, 2]], [[3, 4]])
    [3, 8]
    """
    left, right = matrix(left), matrix(right)
    if (left.nrows(), left.ncols()) != (right.nrows(), right.ncols()):
        raise ValueError("the matrices are of different shapes")
    entries = [a * b for a, b in zip(left.entries(), right.entries(), strict=True)]
    return flint.fmpq_mat(left.nrows(), left.ncols(), entries)


def combination(coefficients: Iterable[Rational], matrices: Iterable[Matrix]) -> flint.fmpq_mat:
    """Return the linear combination of the matrices, at least one.

    Examples
    --------
    >>> combination([2, -1], [identity(2), ones(2, 2)])
    [ 1, -1]
    [-1,  1]
    """
    terms = [number(c) * matrix(part) for c, part in zip(coefficients, matrices, strict=True)]
    return sum(terms[1:], terms[0])


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


def kernel(operand: Matrix) -> flint.fmpq_mat:
    """Return a basis of the null space {y : operand y = 0} as columns.

    Examples
    --------
    >>> kernel([[1, 1, 0], [0, 0, 1]])
    [ 1]
    [-1]
    [ 0]
    """
    basis, nullity = matrix(operand).numer_denom()[0].nullspace()
    return block(flint.fmpq_mat(basis), range(basis.nrows()), range(nullity))


def trace(operand: flint.fmpq_mat) -> flint.fmpq:
    """Return the sum of the diagonal entries.

    Examples
    --------
    >>> trace(diagonal([1, 2]))
    3
    """
    return sum((operand[i, i] for i in range(operand.nrows())), flint.fmpq(0))


def absolute(operand: flint.fmpq_mat) -> flint.fmpq_mat:
    """Return the absolute values of the entries.

    Examples
    --------
    >>> absolute(diagonal([1, -2]))
    [1, 0]
    [0, 2]
    """
    return flint.fmpq_mat(operand.nrows(), operand.ncols(), [abs(value) for value in operand.entries()])


def count_nonzero(*matrices: Matrix) -> int:
    """Return how many entries of the matrices are not 0.

    Examples
    --------
    >>> count_nonzero(identity(2), zeros(2, 2))
    2
    """
    return sum(value != 0 for part in matrices for value in matrix(part).entries())


def inner(x: Matrix, y: Matrix) -> flint.fmpq:
    """Return <x, y>, the sum of the products of the entries.

    Examples
    --------
    >>> inner(vector([1, 2]), vector([3, 4]))
    11
    """
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
