"""Rigorous enclosures, by exact arithmetic: two exact rationals around a number, and floats around singular values."""

import numbers
from fractions import Fraction

import flint
import numpy as np
from numpy.typing import NDArray

from lora_proofs.enclosure import Enclosure
from lora_proofs.exact.algebra import frobenius_norm_squared, sqrt_above
from lora_proofs.exact.matrices import Matrix, Rational, diagonal, identity, matrix, number
from lora_proofs.linalg import svd, to_numpy

_UP = 1 + 2.0**-48
"""Covers the at most eight relative roundings of a few float operations."""


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
    left, s, right = map(to_numpy, svd(guess, full_matrices=False))
    U, V = matrix(left), matrix(right.T)
    middle = diagonal(s.tolist())
    residual = _norm_above(x - U * middle * V.transpose())
    eps_U, eps_V = (_norm_above(Q.transpose() * Q - identity(len(s))) for Q in (U, V))
    shrink = np.sqrt(max(0.0, 1 - eps_U) * max(0.0, 1 - eps_V)) / _UP
    grow = np.sqrt((1 + eps_U) * (1 + eps_V)) * _UP
    lower, upper = np.nextafter(s * shrink, 0) - residual, np.nextafter(s * grow, np.inf) + residual
    return np.maximum(0.0, np.nextafter(lower, -np.inf)), np.nextafter(upper, np.inf)


def _norm_above(x: Matrix) -> float:
    """Return a float that is at least the Frobenius norm of x."""
    above = sqrt_above(number(frobenius_norm_squared(x)))
    return float(np.nextafter(int(above.p) / int(above.q), np.inf)) if above != 0 else 0.0
