"""Matrices over the rationals, by python-flint: how they are read, made and arranged.

Matrices are ``fmpq_mat``; every function accepts whatever is rational: integers, ``Fraction``, ``fmpq``, nested
lists of them, and floats, since every finite float is a dyadic rational. Nothing here rounds.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from flint import fmpq, fmpq_mat, fmpz, fmpz_mat
from numpy.typing import NDArray

Rational: TypeAlias = fmpq | fmpz | Fraction | int | float
"""An ``fmpq``, or what `number` turns into one; results are always ``fmpq``."""

Matrix: TypeAlias = fmpq_mat | fmpz_mat | NDArray[Any] | Sequence[Sequence[Rational]]
"""An ``fmpq_mat``, or what `matrix` turns into one; results are always ``fmpq_mat``."""


def number(value: object) -> fmpq:
    """Return an integer, Fraction, fmpz, fmpq, finite float, or mpf as an ``fmpq``, exactly.

    Raises
    ------
    ValueError
        If the value is NaN or infinite, or no real number.

    Examples
    --------
    >>> number(0.25), number(3)
    (1/4, 3)
    """
    if isinstance(value, fmpq):
        return value
    if isinstance(value, int | np.integer | fmpz):
        return fmpq(int(value))
    try:
        if isinstance(value, float | np.floating | Fraction | Decimal):
            return fmpq(*map(int, value.as_integer_ratio()))
        if hasattr(value, "_mpf_") and value - value == 0:  # type: ignore[operator]
            sign, mantissa, exponent, _ = value._mpf_
            return fmpq(-int(mantissa) if sign else int(mantissa)) * fmpq(2) ** int(exponent)
    except (ValueError, OverflowError):  # NaN and infinity have no ratio
        pass
    raise ValueError(f"{value!r} is not a finite real number; pass integers, fractions or finite floats")


def fraction(value: Rational) -> Fraction:
    """Return a rational as a Fraction.

    Examples
    --------
    >>> fraction(0.75)
    Fraction(3, 4)
    """
    ratio = number(value)
    return Fraction(int(ratio.p), int(ratio.q))


def matrix(values: object) -> fmpq_mat:
    """Return an fmpq_mat or fmpz_mat, a 2-d array, or a list of rows of equal length as an ``fmpq_mat``.

    Raises
    ------
    ValueError
        If the values are not 2-d, or an entry is not a finite real number.

    Examples
    --------
    >>> matrix([[1, 0.5], [Fraction(1, 3), 2]])
    [  1, 1/2]
    [1/3,   2]
    """
    if isinstance(values, fmpq_mat):
        return values
    if isinstance(values, fmpz_mat):
        return fmpq_mat(values)
    if getattr(values, "ndim", None) == 2 and not isinstance(values, np.ma.MaskedArray):
        table = np.asarray(values)
        if table.dtype.kind in "mM":  # NumPy would make integers of them
            raise ValueError(f"a rational matrix holds numbers, not {table.dtype}")
        return fmpq_mat(*table.shape, [number(v) for v in table.ravel().tolist()])
    if (
        isinstance(values, Sequence)
        and all(isinstance(row, Sequence | np.ndarray) for row in values)
        and len({*map(len, values)}) <= 1
    ):
        return fmpq_mat(len(values), len(values[0]) if values else 0, [number(v) for row in values for v in row])
    raise ValueError("a rational matrix is an fmpq_mat, a 2-d array, or a list of rows of equal length")


def array(values: object) -> NDArray[np.object_]:
    """Return numbers in an array, a list or a flint matrix, of any dimension, as a NumPy object array of ``fmpq``.

    Examples
    --------
    >>> array([0.5, 2])
    array([1/2, 2], dtype=object)
    """
    if isinstance(values, fmpq_mat | fmpz_mat):
        entries, shape = values.entries(), (values.nrows(), values.ncols())
    else:
        given = np.asarray(values) if hasattr(values, "dtype") else np.asarray(values, dtype=object)
        entries, shape = given.ravel().tolist(), given.shape
    out = np.empty(len(entries), dtype=object)
    out[:] = [number(v) for v in entries]
    return out.reshape(shape)


def floats(operand: fmpq_mat) -> NDArray[np.float64]:
    """Return an ``fmpq_mat`` as a float64 array, each entry correctly rounded.

    Examples
    --------
    >>> floats(matrix([[1, Fraction(1, 4)]]))
    array([[1.  , 0.25]])
    """
    values = [int(q.p) / int(q.q) for q in operand.entries()]
    return np.array(values).reshape(operand.nrows(), operand.ncols())


def is_rational(value: object) -> bool:
    """Tell whether the value is a rational matrix or array: flint's, or an object array of Fraction, fmpq or int.

    Examples
    --------
    >>> is_rational(identity(2)), is_rational(np.eye(2))
    (True, False)
    """
    if isinstance(value, fmpq_mat | fmpz_mat):
        return True
    if not (isinstance(value, np.ndarray) and value.dtype == object):
        return False
    return all(isinstance(v, fmpq | fmpz | Fraction | int) for v in value.flat)


# ----------------------------------------------------------------------------------- making and arranging matrices


def identity(size: int) -> fmpq_mat:
    """Return the identity of this size."""
    return diagonal([1] * size)


def zeros(rows: int, columns: int) -> fmpq_mat:
    """Return the zero matrix of this shape.

    Examples
    --------
    >>> zeros(2, 3)
    [0, 0, 0]
    [0, 0, 0]
    """
    return fmpq_mat(rows, columns)


def ones(rows: int, columns: int) -> fmpq_mat:
    """Return the matrix of this shape all of whose entries are 1.

    Examples
    --------
    >>> ones(1, 3)
    [1, 1, 1]
    """
    return fmpq_mat(rows, columns, [1] * (rows * columns))


def diagonal(values: Iterable[Rational]) -> fmpq_mat:
    """Return the square matrix with these numbers on its diagonal.

    Examples
    --------
    >>> diagonal([1, Fraction(1, 2)])
    [1,   0]
    [0, 1/2]
    """
    entries = [number(value) for value in values]
    out = fmpq_mat(len(entries), len(entries))
    for i, value in enumerate(entries):
        out[i, i] = value
    return out


def vector(values: Iterable[Rational]) -> fmpq_mat:
    """Return the numbers of a sequence or a 1-d array as a matrix of one column.

    Examples
    --------
    >>> vector([1, 0.25])
    [  1]
    [1/4]
    """
    entries = [number(value) for value in values]
    return fmpq_mat(len(entries), 1, entries)


def unit_vector(size: int, index: int) -> fmpq_mat:
    """Return the unit vector e_index, the first one being e_0, as a matrix of one column.

    Examples
    --------
    >>> unit_vector(3, 1).transpose()
    [0, 1, 0]
    """
    return fmpq_mat(size, 1, [int(i == index) for i in range(size)])


def unit_matrix(rows: int, columns: int, row: int, column: int) -> fmpq_mat:
    """Return the matrix of this shape whose only entry that is not 0 is a 1 in this row and column, from 0 on.

    Examples
    --------
    >>> unit_matrix(2, 3, 0, 2)
    [0, 0, 1]
    [0, 0, 0]
    """
    out = fmpq_mat(rows, columns)
    out[row, column] = 1
    return out


def block(operand: fmpq_mat, rows: Sequence[int], columns: Sequence[int]) -> fmpq_mat:
    """Return the submatrix with these rows and columns.

    Examples
    --------
    >>> block(diagonal([1, 2, 3]), range(2), [1])
    [0]
    [2]
    """
    return fmpq_mat(len(rows), len(columns), [operand[i, j] for i in rows for j in columns])


def column(operand: fmpq_mat, index: int) -> fmpq_mat:
    """Return one column, the first one being 0, as a matrix.

    Examples
    --------
    >>> column(matrix([[1, 2], [3, 4]]), 1)
    [2]
    [4]
    """
    return block(operand, range(operand.nrows()), [index])


def row(operand: fmpq_mat, index: int) -> fmpq_mat:
    """Return one row, the first one being 0, as a matrix.

    Examples
    --------
    >>> row(matrix([[1, 2], [3, 4]]), 1)
    [3, 4]
    """
    return block(operand, [index], range(operand.ncols()))


def hstack(*blocks: Matrix) -> fmpq_mat:
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
    return fmpq_mat(parts[0].nrows(), sum(part.ncols() for part in parts), entries)


def vstack(*blocks: Matrix) -> fmpq_mat:
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
    return fmpq_mat(sum(part.nrows() for part in parts), parts[0].ncols(), entries)
