"""An interval behind which a proof stands: what *certified* evidence is read off."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from numbers import Rational
from typing import Any


@dataclass(frozen=True)
class Enclosure:
    """An interval that is proved to contain a number, rounding included.

    Only code that proves makes one: ball arithmetic, exact rationals, or floats with a stated rounding analysis. A pair
    ``(lower, upper)`` of numbers that were merely computed stays a tuple, which is *numerical* evidence.

    Parameters
    ----------
    lower, upper
        Floats (infinite where nothing is known), ``mpmath.mpf``, or exact numbers: int, ``Fraction``, ``flint.fmpz``,
        ``flint.fmpq``.

    Raises
    ------
    TypeError
        If an end is none of these.
    ValueError
        If an end is NaN, or the lower end exceeds the upper one: a proof has gone wrong.

    Examples
    --------
    >>> from lora_proofs.enclosure import Enclosure
    >>> print(Enclosure(0, 1e-13))
    [0, 1e-13]
    """

    lower: Any
    upper: Any

    def __post_init__(self) -> None:
        if not _comparable(self.lower) <= _comparable(self.upper):
            raise ValueError(f"{self} encloses no number")

    def __str__(self) -> str:
        return f"[{self.lower}, {self.upper}]"


def _comparable(end: Any) -> Fraction | float:
    """Return an end as a rational number or a float of Python: these are compared exactly."""
    if type(end).__name__ in ("fmpz", "fmpq"):
        return Fraction(int(end.numerator), int(end.denominator))
    if type(end).__name__ == "mpf":
        from mpmath import libmp

        _, mantissa, exponent, _ = end._mpf_
        if mantissa == 0 and exponent != 0:  # an infinity or NaN
            return float(end)
        return Fraction(*map(int, libmp.to_rational(end._mpf_)))
    if isinstance(end, bool) or not isinstance(end, (float, Rational)):
        raise TypeError(f"an end of an enclosure is a float, an mpf or an exact number, not a {type(end).__name__}")
    return float(end) if isinstance(end, float) else Fraction(end)
