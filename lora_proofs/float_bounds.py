r"""Norms of matrices of floats, bounded with all rounding, underflow and overflow counted.

Every matrix is first divided by a power of two, which is exact unless an entry falls below the range: then it is off by
2^-1075 at most, where the largest entry is at least 1/2. With u = 2^-53 and gamma_k = k u / (1 - k u), in any order of
summation (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., sections 3.1 and 3.5):

- a computed sum of n squares is off by a relative gamma_{n+1} at most, and its root by half of that and a rounding;
- a computed product X Y of inner length k is off by at most gamma_k |X| |Y|, entry by entry, and
  \| |X| |Y| \|_F <= sum_k \|x_k\| \|y_k\| over columns x_k of X and rows y_k of Y.

What vanishes below the range adds at most some 2^-1000, which the constants here exceed by far.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lora_proofs.enclosure import Enclosure
from lora_proofs.linalg import power_below

_U = 2.0**-53
_SAFE = 1.01
"""Covers the roundings of the bounds themselves."""


class Product(NamedTuple):
    """scaling * left @ right, of shapes (m, k) and (k, n), in floats of any type; the scaling is positive."""

    left: NDArray[Any]
    right: NDArray[Any]
    scaling: float = 1.0


class Balanced(NamedTuple):
    """2^exponent left @ right, with columns and rows of size 1 at most, one of them of size 1/2 at least."""

    left: NDArray[np.float64]
    right: NDArray[np.float64]
    exponent: int


def frobenius_enclosure(array: NDArray[Any]) -> Enclosure:
    """Return an interval that holds the Frobenius norm of a finite float matrix.

    Examples
    --------
    >>> found = frobenius_enclosure(np.full((2, 2), 1e-200))
    >>> found.lower < 2e-200 < found.upper, found.upper - found.lower < 1e-214
    (True, True)
    """
    unit = power_below(array := np.asarray(array, np.float64))
    return _in_units(*_norm_bounds(array / unit, 0.0), math.frexp(unit)[1] - 1)


def distance_enclosure(products: Sequence[Product], x: NDArray[Any] | None = None) -> Enclosure:
    """Return an interval that holds the Frobenius norm of the sum of the products, or of x less that sum.

    Parameters
    ----------
    products : sequence of Product
        Of finite entries, their results of the same shape (m, n).
    x : array (m, n), optional
    """
    left, right, exponent = balance(products)
    k = left.shape[1] + 8  # and the roundings of the scaling, its root, its two products, and the difference
    sizes = float(np.sum(np.linalg.norm(left, axis=0) * np.linalg.norm(right, axis=1)))
    if x is None:
        difference = left @ right
    else:
        x = np.asarray(x, np.float64)
        own = math.frexp(power_below(x))[1] if x.any() else exponent
        top = max(own, exponent) if sizes else own
        x, difference = _scaled(x, -top), _scaled(left @ right, exponent - top)
        sizes, exponent = sizes * 2.0 ** max(exponent - top, -1000) + float(np.linalg.norm(x)), top
        difference = x - difference
    slack = _SAFE * k * _U / (1 - k * _U) * sizes
    return _in_units(*_norm_bounds(difference, slack), exponent)


def balance(products: Sequence[Product]) -> Balanced:
    """Return the sum of products as one product, in units in which its largest terms are of size 1.

    Each factor is multiplied by one rounded root of the scaling's mantissa; else only powers of two move.
    """
    lefts, rights, exponents = [], [], []
    for left, right, scaling in products:
        mantissa, exponent = math.frexp(scaling)
        root, exponent = math.sqrt(2 * mantissa), exponent - 1  # 1 for a power of two
        B, A = root * np.asarray(left, np.float64), root * np.asarray(right, np.float64)
        b, a = (np.frexp(np.max(np.abs(x), axis=axis, initial=0.0))[1] for x, axis in ((B, 0), (A, 1)))
        lefts.append(_scaled(B, -b))
        rights.append(_scaled(A, -a[:, None]))
        exponents.append(np.where(B.any(axis=0) & A.any(axis=1), a + b + exponent, -(10**6)))
    own = np.concatenate(exponents) if exponents else np.zeros(0, int)
    top = int(own.max(initial=-(10**6)))
    left, right = np.concatenate(lefts, axis=1), np.concatenate(rights, axis=0)
    if top == -(10**6):
        return Balanced(0.0 * left, 0.0 * right, 0)
    below = own - top
    return Balanced(_scaled(left, below // 2), _scaled(right, (below - below // 2)[:, None]), top)


def _norm_bounds(array: NDArray[np.float64], slack: float) -> tuple[float, float]:
    """Return bounds of the norm of what the array was computed for, of entries of moderate size, in its units.

    `slack` bounds the norm of its error.
    """
    computed = float(np.linalg.norm(array))
    relative = (array.size + 8) * _U
    return max(0.0, computed * (1 - relative) - slack), computed * (1 + relative) + slack


def _in_units(lower: float, upper: float, exponent: int) -> Enclosure:
    """Return 2^exponent [lower, upper], rounded outward; beyond the largest float that one, or infinity."""
    low, high = float(_scaled(np.float64(lower), exponent)), float(_scaled(np.float64(upper), exponent))
    largest = float(np.finfo(np.float64).max)
    return Enclosure(min(largest, math.nextafter(low, 0.0)), math.nextafter(high, math.inf) if upper else 0.0)


def _scaled(array: Any, exponent: Any) -> Any:
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(array, exponent)
