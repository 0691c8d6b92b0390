"""The values that checks return: what each type is evidence for, and how JSON keeps it without loss.

Every finite float, mpf and exact number is a rational number, so a value is read as an interval of rationals
and no later comparison loses a digit.
"""

from __future__ import annotations

import math
import sys
from enum import StrEnum
from fractions import Fraction
from numbers import Rational
from typing import Any, NamedTuple, SupportsFloat

import numpy as np

from lora_proofs.enclosure import Enclosure

RANK_GAP = 1e3


class Evidence(StrEnum):
    """What the outcome rests on, strongest first."""

    EXACT = "exact"
    CERTIFIED = "certified"
    NUMERICAL = "numerical"


class Quantity(NamedTuple):
    """One side of a comparison, as an interval of rational numbers.

    ``value`` is what reports show and JSON keeps; ``ends`` are the interval's, as exact numbers or floats; ``doubt``
    says why it settles nothing, where that is so.
    """

    value: Any
    evidence: Evidence
    dtype: str
    backend: str
    ends: tuple[Any, Any] = (0, 0)
    doubt: str = ""

    @property
    def low(self) -> Fraction:
        """The lower end."""
        return Fraction(self.ends[0])

    @property
    def high(self) -> Fraction:
        """The upper end."""
        return Fraction(self.ends[1])

    @property
    def size(self) -> Fraction:
        """The largest absolute value in the interval."""
        return max(abs(self.low), abs(self.high))


# The libraries that a value may come from, by the top of the name of its type's module.
_LIBRARIES = {
    "numpy": "numpy",
    "array_api_strict": "strict",
    "jax": "jax",
    "jaxlib": "jax",
    "torch": "torch",
    "cupy": "cupy",
    "flint": "python-flint",
    "mpmath": "mpmath",
}


def read(value: object) -> Quantity:
    """Classify a value by its type.

    Examples
    --------
    >>> print(read(Fraction(1, 3)).evidence, read(0.5).evidence, read((0.25, 0.5)).high)
    exact numerical 1/2

    Raises
    ------
    TypeError
        For what is no number, interval or rank; a bool among them.
    ValueError
        For a pair whose lower end exceeds its upper end.
    """
    if isinstance(value, float):  # NumPy's float64 too
        return _read_float(float(value), "float64", "numpy")
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)):
        raise TypeError("a bool is not a number: return the two sides of the comparison, not its truth")
    if hasattr(value, "rank") and hasattr(value, "gap"):
        return _read_rank(value)
    if isinstance(value, Enclosure):
        return _read_interval((value.lower, value.upper), Evidence.CERTIFIED)
    if isinstance(value, (tuple, list)):
        return _read_interval(value, Evidence.NUMERICAL)
    flint = sys.modules.get("flint")  # whoever made a flint number has imported it
    if flint is not None and isinstance(value, flint.arb):
        ends = _arb_end(value.lower()), _arb_end(value.upper())
        return _read_interval(ends, Evidence.CERTIFIED)._replace(dtype="arb", backend="python-flint")
    if flint is not None and isinstance(value, (flint.fmpz, flint.fmpq)):
        number = flint.fmpq(value)
        return _exact(Fraction(int(number.p), int(number.q)), "python-flint")
    if isinstance(value, Rational):
        return _exact(Fraction(int(value.numerator), int(value.denominator)), _library(value))
    if isinstance(value, (np.float16, np.float32)):
        return _read_float(float(value), str(value.dtype), "numpy")
    if hasattr(value, "_mpf_"):
        return _read_mpf(value)
    dtype = str(getattr(value, "dtype", ""))
    if getattr(value, "shape", None) == () and "float" in dtype and isinstance(value, SupportsFloat):
        return _read_float(float(value), dtype.rpartition(".")[2], _library(value))
    raise TypeError(
        f"cannot compare a {type(value).__name__}: return a float, an mpf, an exact number, "
        "an Enclosure, a pair (lower, upper), or a numerical rank"
    )


def _library(value: object) -> str:
    return _LIBRARIES.get(type(value).__module__.partition(".")[0], "python")


def _exact(number: Fraction, backend: str) -> Quantity:
    return Quantity(number, Evidence.EXACT, "rational", backend, (number, number))


def _read_float(value: float, dtype: str, backend: str) -> Quantity:
    if not math.isfinite(value):
        return Quantity(value, Evidence.NUMERICAL, dtype, backend, doubt=f"the value {value} is not finite")
    return Quantity(value, Evidence.NUMERICAL, dtype, backend, (value, value))


def _read_mpf(value: Any) -> Quantity:
    if _special(value._mpf_):
        return _read_float(float(value), "mpf", "mpmath")
    from mpmath import libmp, mp

    numerator, denominator = libmp.to_rational(value._mpf_)
    number = Fraction(int(numerator), int(denominator))
    return Quantity(mp.make_mpf(value._mpf_), Evidence.NUMERICAL, "mpf", "mpmath", (number, number))


def _read_rank(value: Any) -> Quantity:
    rank, gap = int(value.rank), float(value.gap)
    doubt = "" if gap >= RANK_GAP else f"rank {rank} has a spectral gap of {gap:.3g}, below {RANK_GAP:g}"
    return Quantity(rank, Evidence.NUMERICAL, "rank", "numpy", (rank, rank), doubt)


def _read_interval(ends: tuple[Any, ...] | list[Any], evidence: Evidence) -> Quantity:
    if len(ends) != 2:
        raise TypeError(f"a bracket has two ends (lower, upper), not {len(ends)}")
    low, high = (read(end) for end in ends)
    if isinstance(low.value, tuple) or isinstance(high.value, tuple):
        raise TypeError("the ends of a bracket are numbers")
    doubt = low.doubt or high.doubt
    if not doubt and low.low > high.high:
        raise ValueError(f"the bracket ({low.value}, {high.value}) is empty")
    value = (low.value, high.value)
    interval = (low.ends[0], high.ends[1])
    weaker = high if low.evidence is Evidence.EXACT else low
    return Quantity(value, evidence, weaker.dtype, weaker.backend, interval, doubt)


def _arb_end(end: Any) -> Any:
    if not end.is_finite():
        return float(end)
    from mpmath import libmp, mp

    mantissa, exponent = end.man_exp()
    return mp.make_mpf(libmp.from_man_exp(int(mantissa), int(exponent)))


def encode(value: object) -> Any:
    """Turn the value of a `Quantity` into plain data.

    Exact numbers become ``"p/q"``, brackets two-element lists, an mpf a string with all its digits; NaN and
    infinities, for which JSON has no number, become strings.
    """
    if isinstance(value, tuple):
        return [encode(end) for end in value]
    if isinstance(value, Fraction):
        from flint import fmpz  # Python refuses to print integers beyond 4300 digits

        return f"{fmpz(value.numerator)}/{fmpz(value.denominator)}"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, int):
        return value
    return _mpf_text(value)


def decode(data: object) -> Any:
    """Read what `encode` wrote.

    Examples
    --------
    >>> encode((Fraction(1, 3), 0.5)), decode(["1/3", 0.5])
    (['1/3', 0.5], (Fraction(1, 3), 0.5))
    """
    if isinstance(data, list):
        return tuple(decode(end) for end in data)
    if not isinstance(data, str):
        return data
    if "/" in data:
        from flint import fmpz

        return Fraction(*(int(fmpz(part)) for part in data.split("/")))
    if data in ("nan", "inf", "-inf"):
        return float(data)
    return _mpf_read(data)


# mpmath needs three digits more than its precision to read back the same number (`libmp.repr_dps`). Writing
# all of them, zeros too and never in fixed point, lets the reader infer the precision from their number.
_GUARD_DIGITS = 3


def _mpf_text(value: Any) -> str:
    from mpmath import libmp

    raw = value._mpf_
    if _special(raw):
        return str(float(value))
    dps = libmp.prec_to_dps(raw[3]) + 1
    text: str = libmp.to_str(raw, dps + _GUARD_DIGITS, strip_zeros=False, min_fixed=0, max_fixed=0)
    return text


def _mpf_read(text: str) -> Any:
    import mpmath

    digits = sum(letter.isdigit() for letter in text.partition("e")[0].lstrip("-0."))
    precision = mpmath.libmp.dps_to_prec(digits - _GUARD_DIGITS)
    return mpmath.mp.make_mpf(mpmath.libmp.from_str(text, precision, "n"))


def _special(raw: tuple[int, int, int, int]) -> bool:
    """Tell whether a raw mpf is infinite or not a number."""
    _, mantissa, exponent, _ = raw
    return mantissa == 0 and exponent != 0
