"""Linear algebra over the rationals, by python-flint: products, rank, division, definiteness. Nothing here rounds."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from math import isqrt

import flint
from flint import fmpq, fmpq_mat

from lora_proofs.exact.matrices import Matrix, Rational, block, fraction, hstack, matrix, number

_PRIME = 2**61 - 1


# ---------------------------------------------------------------------------------------------------- products and sums


def product(weights: Sequence[Matrix]) -> fmpq_mat:
    """Return W_L ... W_1 for ``weights = [W_1, ..., W_L]``.

    Examples
    --------
    >>> product([[[1, 2]], [[3], [4]]])
    [3, 6]
    [4, 8]
    """
    out = matrix(weights[0])
    for weight in weights[1:]:
        out = matrix(weight) * out
    return out


def kron(left: Matrix, right: Matrix) -> fmpq_mat:
    """Return the Kronecker product, the block matrix of the left_ij times right.

    Examples
    --------
    >>> from lora_proofs.exact import identity
    >>> kron(identity(2), [[1, 2]])
    [1, 2, 0, 0]
    [0, 0, 1, 2]
    """
    x, y = matrix(left), matrix(right)
    entries = [a * b for first in x.table() for second in y.table() for a in first for b in second]
    return fmpq_mat(x.nrows() * y.nrows(), x.ncols() * y.ncols(), entries)


def hadamard(left: Matrix, right: Matrix) -> fmpq_mat:
    """Return the entrywise product.

    Examples
    --------
    >>> hadamard([[1, 2]], [[3, 4]])
    [3, 8]
    """
    x, y = matrix(left), matrix(right)
    if (x.nrows(), x.ncols()) != (y.nrows(), y.ncols()):
        raise ValueError("the matrices are of different shapes")
    return fmpq_mat(x.nrows(), x.ncols(), [a * b for a, b in zip(x.entries(), y.entries(), strict=True)])


def combination(coefficients: Iterable[Rational], matrices: Iterable[Matrix]) -> fmpq_mat:
    """Return the linear combination of the matrices, at least one.

    Examples
    --------
    >>> from lora_proofs.exact import identity, ones
    >>> combination([2, -1], [identity(2), ones(2, 2)])
    [ 1, -1]
    [-1,  1]
    """
    terms = [number(c) * matrix(part) for c, part in zip(coefficients, matrices, strict=True)]
    return sum(terms[1:], terms[0])


def absolute(operand: fmpq_mat) -> fmpq_mat:
    """Return the absolute values of the entries.

    Examples
    --------
    >>> from lora_proofs.exact import diagonal
    >>> absolute(diagonal([1, -2]))
    [1, 0]
    [0, 2]
    """
    return fmpq_mat(operand.nrows(), operand.ncols(), [abs(value) for value in operand.entries()])


def trace(operand: fmpq_mat) -> fmpq:
    """Return the sum of the diagonal entries.

    Examples
    --------
    >>> from lora_proofs.exact import diagonal
    >>> trace(diagonal([1, 2]))
    3
    """
    return sum((operand[i, i] for i in range(operand.nrows())), fmpq(0))


def inner(left: fmpq_mat, right: fmpq_mat) -> fmpq:
    """Return the sum of the products of the entries.

    Examples
    --------
    >>> from lora_proofs.exact import vector
    >>> inner(vector([1, 2]), vector([3, 4]))
    11
    """
    return sum((a * b for a, b in zip(left.entries(), right.entries(), strict=True)), fmpq(0))


def count_nonzero(*matrices: Matrix) -> int:
    """Return how many entries of the matrices are not 0.

    Examples
    --------
    >>> from lora_proofs.exact import identity, zeros
    >>> count_nonzero(identity(2), zeros(2, 2))
    2
    """
    return sum(value != 0 for part in matrices for value in matrix(part).entries())


def is_zero(operand: Matrix) -> bool:
    """Tell whether every entry is 0.

    Examples
    --------
    >>> from lora_proofs.exact import zeros
    >>> is_zero(zeros(2, 2))
    True
    """
    return not any(matrix(operand).entries())


def frobenius_norm_squared(operand: Matrix) -> Fraction:
    """Return the sum of the squares of the entries: 0 exactly when all of them are.

    Examples
    --------
    >>> frobenius_norm_squared([[1, Fraction(1, 2)]])
    Fraction(5, 4)
    """
    return fraction(sum((v * v for v in matrix(operand).entries()), fmpq(0)))


# ---------------------------------------------------------------------------------------------------- rank and division


def rank(operand: Matrix) -> int:
    """Return the rank.

    Examples
    --------
    >>> rank([[1, 2], [Fraction(1, 2), 1]])
    1
    """
    return int(matrix(operand).rank())


def rank_lower_bound(operand: Matrix) -> int:
    """Return the rank modulo the prime 2^61 - 1 of the matrix times its common denominator: never more than its rank.

    It equals the rank unless the prime divides every maximal minor, and takes milliseconds where `rank` takes seconds.

    Examples
    --------
    >>> rank_lower_bound([[2**61 - 1]]), rank([[2**61 - 1]])
    (0, 1)
    """
    numerator, _ = matrix(operand).numer_denom()
    return int(flint.nmod_mat(numerator, _PRIME).rank())


def full_rank_factorization(operand: Matrix) -> tuple[fmpq_mat, fmpq_mat]:
    """Return U, V^T of inner width rank(U V^T) whose product the matrix is: pivot columns, rows of the echelon form.

    Examples
    --------
    >>> left, right = full_rank_factorization([[1, 2], [2, 4]])
    >>> right, left * right == matrix([[1, 2], [2, 4]])
    ([1, 2], True)
    """
    given = matrix(operand)
    echelon, r = given.rref()
    pivots = [next(j for j in range(given.ncols()) if echelon[i, j] != 0) for i in range(r)]
    return block(given, range(given.nrows()), pivots), block(echelon, range(r), range(given.ncols()))


def kernel(operand: Matrix) -> fmpq_mat:
    """Return a basis of the null space {y : operand y = 0} as columns.

    Examples
    --------
    >>> kernel([[1, 1, 0], [0, 0, 1]])
    [ 1]
    [-1]
    [ 0]
    """
    basis, nullity = matrix(operand).numer_denom()[0].nullspace()
    return block(fmpq_mat(basis), range(basis.nrows()), range(nullity))


def divide_right(left: Matrix, right: Matrix) -> fmpq_mat:
    """Return some z with z right = left.

    Raises
    ------
    ValueError
        If a row of `left` is no combination of the rows of `right`.

    Examples
    --------
    >>> divide_right([[2, 4]], [[1, 2]])
    [2]
    """
    x, y = matrix(right).transpose(), matrix(left).transpose()
    if x.nrows() == x.ncols():
        try:
            return x.solve(y).transpose()
        except ZeroDivisionError:
            pass  # singular, but perhaps consistent
    n, m = x.ncols(), y.ncols()
    echelon, r = hstack(x, y).rref()
    z = fmpq_mat(n, m)
    for i in range(r):
        pivot = next(j for j in range(n + m) if echelon[i, j] != 0)
        if pivot >= n:
            raise ValueError("the system has no solution: a row of y is no combination of the rows of x")
        for j in range(m):
            z[pivot, j] = echelon[i, n + j]
    return z.transpose()


# ---------------------------------------------------------------------------------------------------------------- order


def is_positive_semidefinite(operand: Matrix) -> bool:
    """Tell whether the symmetric matrix is positive semidefinite, by the pivots of its LDL^T factorisation.

    Examples
    --------
    >>> is_positive_semidefinite([[1, 1], [1, 1]]), is_positive_semidefinite([[1, 2], [2, 1]])
    (True, False)
    """
    given = matrix(operand)
    if given != given.transpose():
        return False
    a = given.table()
    for k in range(len(a)):
        if a[k][k] < 0 or (a[k][k] == 0 and any(a[i][k] != 0 for i in range(k + 1, len(a)))):
            return False
        for i in range(k + 1, len(a)):
            if a[i][k] != 0:
                factor = a[i][k] / a[k][k]
                a[i] = [p - factor * q for p, q in zip(a[i], a[k], strict=True)]
    return True


def inertia(symmetric: fmpq_mat) -> tuple[int, int, int]:
    """Return the numbers of negative, zero and positive eigenvalues of a symmetric ``fmpq_mat``, exactly.

    By Descartes' rule on the characteristic polynomial: since all its roots are real, the number of positive ones is
    the number of sign changes among its coefficients, not merely at most that.

    Examples
    --------
    >>> from lora_proofs.exact import diagonal
    >>> inertia(diagonal([-1, 0, 2, 3]))
    (1, 1, 2)
    """
    coefficients = symmetric.charpoly().coeffs()
    zero = next(k for k, c in enumerate(coefficients) if c != 0)
    signs = [(k, 1 if c > 0 else -1) for k, c in enumerate(coefficients) if c != 0]
    positive = sum(s != t for (_, s), (_, t) in pairwise(signs))
    return len(coefficients) - 1 - zero - positive, zero, positive


def sqrt_above(square: Rational) -> fmpq:
    """Return a rational that is at least the root: the root itself if that is rational, else within 2^-100 relatively.

    Examples
    --------
    >>> sqrt_above(Fraction(4, 9))
    2/3
    """
    ratio = number(square)
    numerator, denominator = int(ratio.p) * int(ratio.q), int(ratio.q)
    root = isqrt(numerator)
    if root * root == numerator:
        return fmpq(root, denominator)
    return fmpq(isqrt(numerator << 200) + 1, denominator << 100)


def euclidean_norm_above(values: Iterable[Rational]) -> fmpq:
    """Return a rational that is at least the Euclidean norm of the numbers: see `sqrt_above`.

    Examples
    --------
    >>> euclidean_norm_above([3, 4])
    5
    """
    return sqrt_above(sum((number(v) * number(v) for v in values), fmpq(0)))
