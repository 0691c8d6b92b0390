"""What the audit puts in place of a value that a function returned: something of its own type and shape.

A truth value is negated. A whole number becomes zero, or one more; any other number becomes zero, 1000 times and 0.45
times itself. A bracket (an `Enclosure`, a ball, or a pair lower <= upper) is such a number, and is shifted up and down
besides, by ten times the larger of its width and the tolerance. The entries of a tuple change all at once, each by its
own rule. Arrays, matrices, lists, and the numbers in mappings and data classes become zero: multiples
of a matrix have the same rank and the same kernel, which is what most are made for. In a `Comparison` the bound is put
in place of the measured value, so that it holds. For all else (texts, functions, foreign objects) there is no rule.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from lora_proofs.judgement.cases import Case
from lora_proofs.judgement.claims import Claim, Comparison
from lora_proofs.judgement.ladder import RTOL
from lora_proofs.judgement.values import read

ZERO, LARGE, SMALL, NEXT = "zero", "times 1000", "times 0.45", "plus one"
NEGATED, UP, DOWN, HELD = "negated", "shifted up", "shifted down", "the bound in place of the measured value"

FACTORS = {LARGE: Fraction(1000), SMALL: Fraction(9, 20)}
SHIFTS = {UP: 1, DOWN: -1}

COUNT = (ZERO, NEXT)
NUMBER = (ZERO, LARGE, SMALL)
BRACKET = (*NUMBER, UP, DOWN)

MATRICES = ("fmpq_mat", "fmpz_mat", "arb_mat")


def options(value: object) -> tuple[str, ...]:
    """Return the names of what may stand in place of a value; none where there is no rule.

    Examples
    --------
    >>> options(3), options(0.5), options((3, True)), options([0.5, 0.25])
    (('zero', 'plus one'), ('zero', 'times 1000', 'times 0.45'), ('zero', 'plus one', 'negated'), ('zero',))
    """
    if isinstance(value, Comparison):
        return (HELD,)
    if is_bracket(value):
        return BRACKET
    if isinstance(value, tuple):
        return tuple(dict.fromkeys(name for entry in value for name in options(entry)))
    return _scalar_options(value) or _array_options(value) or _record_options(value)


def _scalar_options(value: object) -> tuple[str, ...]:
    if isinstance(value, (bool, np.bool_)):
        return (NEGATED,)
    if isinstance(value, (int, np.integer)) or _flint(value, "fmpz"):
        return COUNT
    if isinstance(value, (float, complex, Fraction, np.inexact)) or _flint(value, "fmpq") or _multiprecise(value):
        return NUMBER
    return ()


def _array_options(value: Any) -> tuple[str, ...]:
    if _flint(value, *MATRICES):
        return (ZERO,)
    dtype = _dtype(value)
    if dtype == "object":
        return _common(value.ravel().tolist())
    return () if not dtype else (NEGATED,) if "bool" in dtype else (ZERO,)


def _record_options(value: object) -> tuple[str, ...]:
    """Look into lists, mappings and data classes; the truth values in the latter two are not negated."""
    if isinstance(value, list):
        return _common(value)
    return (ZERO,) if ZERO in _common(_entries(value).values()) else ()


def _common(values: Iterable[Any]) -> tuple[str, ...]:
    found = {name for value in values for name in options(value)}
    return tuple(name for name in (ZERO, NEGATED) if name in found)


def _entries(value: object) -> dict[Any, Any]:
    if is_dataclass(value) and not isinstance(value, (type, Case, Claim)):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return value if type(value) is dict else {}


def _dtype(value: Any) -> str:
    """Return the name of an array's type of entries, without its library; nothing for other values."""
    if not (isinstance(getattr(value, "shape", None), tuple) and hasattr(value, "dtype")) or 0 in value.shape:
        return ""
    return str(value.dtype).rpartition(".")[2]


def is_bracket(value: object) -> bool:
    """Tell whether a value is an `Enclosure`, a ball, or a pair lower <= upper of numbers that are not both whole."""
    if type(value).__name__ == "Enclosure" or _flint(value, "arb"):
        return True
    if type(value) is not tuple or len(value) != 2:
        return False
    kinds = [_scalar_options(end) for end in value]
    if NUMBER not in kinds or not set(kinds) <= {NUMBER, COUNT} or any(isinstance(x, complex) for x in value):
        return False
    try:
        read(value)
    except (ValueError, TypeError):  # an empty one, or ends of which no bracket is made
        return False
    return True


def is_number(value: object) -> bool:
    """Tell whether a value is a number, a bracket, a truth value or a comparison, or a tuple that holds one.

    A function that draws random numbers and returns anything else makes an instance.
    """
    if isinstance(value, tuple) and not is_bracket(value):
        return any(map(is_number, value))
    return isinstance(value, Comparison) or is_bracket(value) or bool(_scalar_options(value))


def replaced(value: Any, name: str, rtol: float = RTOL) -> Any:
    """Return what the option of this name puts in place of a value, or the value itself where it has no such option."""
    if name not in options(value):
        return value
    if isinstance(value, Comparison):
        return Comparison(value.bound, value.relation, value.bound)
    if is_bracket(value):
        return _replaced_bracket(value, name, rtol)
    if isinstance(value, tuple):
        changed = tuple.__new__(type(value), [replaced(entry, name, rtol) for entry in value])
        vars(changed).update(vars(value)) if hasattr(value, "__dict__") else None
        return changed
    if isinstance(value, list):
        return [replaced(entry, name, rtol) for entry in value]
    if entries := _entries(value):
        return _with_entries(value, {key: replaced(entry, name, rtol) for key, entry in entries.items()})
    if isinstance(value, np.ndarray) and value.dtype == object:
        return np.array([replaced(entry, name, rtol) for entry in value.ravel()], dtype=object).reshape(value.shape)
    if name == NEGATED:
        return not value if isinstance(value, bool) else ~value
    if name == NEXT:
        return value + (np.ones((), value.dtype) if isinstance(value, np.integer) else 1)
    if name == ZERO:
        return type(value)(0) if isinstance(value, float) else value * 0
    return _times(value, FACTORS[name])


def _with_entries(value: object, entries: dict[Any, Any]) -> Any:
    """Return a copy, without asking the class whether it likes the entries."""
    if type(value) is dict:
        return entries
    new = object.__new__(type(value))
    for name, entry in entries.items():
        object.__setattr__(new, name, entry)
    return new


def _replaced_bracket(value: Any, name: str, rtol: float) -> Any:
    if _flint(value, "arb"):
        if name == ZERO:
            return type(value)(0)
        if name in FACTORS:
            return _times(value, FACTORS[name])
        return value + SHIFTS[name] * 10 * _larger(2 * value.rad(), rtol * _larger(type(value)(1), abs(value)))
    lower, upper = value if isinstance(value, tuple) else (value.lower, value.upper)
    if name == ZERO:
        ends = [end * 0 for end in (lower, upper)]
    elif name in FACTORS:
        ends = [_times(end, FACTORS[name]) for end in (lower, upper)]
    else:
        low, high = (read(end).low for end in (lower, upper))
        shift = SHIFTS[name] * 10 * max(high - low, Fraction(rtol) * max(Fraction(1), abs(low), abs(high)))
        ends = [_plus(end, shift) for end in (lower, upper)]
    return tuple(ends) if isinstance(value, tuple) else type(value)(*ends)


def _larger(one: Any, other: Any) -> Any:
    return one if one >= other else other


def _plus(number: Any, shift: Fraction) -> Any:
    return number + _like(number, shift)


def _times(number: Any, factor: Fraction) -> Any:
    return number * _like(number, factor)


def _like(number: Any, fraction: Fraction) -> Any:
    """Write a fraction so that it can be multiplied with number, or added, and leaves the type of number as it is."""
    if isinstance(number, (Fraction, int)):
        return fraction
    if _flint(number, "fmpz", "fmpq", "arb"):
        flint = sys.modules["flint"]
        exact = flint.fmpq(fraction.numerator, fraction.denominator)
        return flint.arb(exact) if _flint(number, "arb") else exact
    if isinstance(number, (np.ndarray, np.generic)):
        return np.asarray(float(fraction)).astype(number.dtype)[()]
    if _multiprecise(number):
        return type(number)(fraction.numerator) / fraction.denominator if hasattr(number, "_mpf_") else float(fraction)
    return float(fraction)


def changes(value: object, name: str) -> bool:
    """Tell whether a replacement makes a difference: a multiple of zero does not."""
    return not _same(value, replaced(value, name))


def _same(value: object, other: object) -> bool:
    if isinstance(value, Comparison):
        return isinstance(other, Comparison) and value.measured is other.measured
    if isinstance(value, (list, tuple)):
        return isinstance(other, (list, tuple)) and all(_same(x, y) for x, y in zip(value, other, strict=True))
    if entries := _entries(value):
        return all(_same(x, y) for x, y in zip(entries.values(), _entries(other).values(), strict=True))
    if _dtype(value):
        return bool(np.all(np.asarray(value == other)))
    return value is other or bool(value == other)


def _flint(value: object, *names: str) -> bool:
    flint = sys.modules.get("flint")  # whoever made a flint number has imported it
    return flint is not None and type(value) in [getattr(flint, name) for name in names]


def _multiprecise(value: object) -> bool:
    return hasattr(value, "_mpf_") or hasattr(value, "_mpc_")
