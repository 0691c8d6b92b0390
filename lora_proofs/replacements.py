"""What `lora_proofs.audit` puts in place of a value that a function returned: something of its own type and shape.

A truth value is negated. A whole number becomes zero, or one more; any other number, and every entry of an array or
a matrix, becomes zero, 1000 times and 0.45 times itself. A bracket (an `Enclosure`, a ball, or a pair lower <= upper)
is a number too, and is shifted up and down besides, by ten times the larger of its width and the tolerance. The
entries of a list change all at once, those of a tuple one at a time, and of these only numbers, arrays and lists of
them. In a `Comparison` the bound is put in place of the measured value, so that it holds. For all else (models,
texts, records) there is no rule.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import Any

import numpy as np

from lora_proofs.claims import Comparison
from lora_proofs.ladder import RTOL
from lora_proofs.values import read

ZERO, LARGE, SMALL, NEXT = "zero", "times 1000", "times 0.45", "plus one"
NEGATED, UP, DOWN, HELD = "negated", "shifted up", "shifted down", "the bound in place of the measured value"

FACTORS = {LARGE: Fraction(1000), SMALL: Fraction(9, 20)}
SHIFTS = {UP: 1, DOWN: -1}

COUNT = (ZERO, NEXT)
NUMBER = (ZERO, LARGE, SMALL)
BRACKET = (*NUMBER, UP, DOWN)


def options(value: Any) -> tuple[str, ...]:
    """Return the names of what may stand in place of a value; none where there is no rule.

    Examples
    --------
    >>> options(3), options(0.5), options((3, 0.5))
    (('zero', 'plus one'), ('zero', 'times 1000', 'times 0.45'), ('[0] zero', '[0] plus one', '[1] zero', ...
    """
    if isinstance(value, Comparison):
        return (HELD,)
    if isinstance(value, tuple) and not is_bracket(value):
        return tuple(f"[{i}] {name}" for i, entry in enumerate(value) for name in _entry_options(entry))
    return _entry_options(value)


def _entry_options(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        found = {_entry_options(entry) for entry in value}
        return found.pop() if len(found) == 1 else ()
    if is_bracket(value):
        return BRACKET
    return _scalar_options(value) or _array_options(value)


def _scalar_options(value: Any) -> tuple[str, ...]:
    if isinstance(value, (bool, np.bool_)):
        return (NEGATED,)
    if isinstance(value, (int, np.integer)) or _flint(value, "fmpz"):
        return COUNT
    if isinstance(value, (float, complex, Fraction, np.inexact)) or _flint(value, "fmpq") or _multiprecise(value):
        return NUMBER
    return ()


def _array_options(value: Any) -> tuple[str, ...]:
    if _flint(value, "fmpz_mat"):
        return COUNT
    if _flint(value, "fmpq_mat", "arb_mat"):
        return NUMBER
    if not (hasattr(value, "shape") and hasattr(value, "dtype")) or 0 in value.shape:
        return ()
    kind = str(value.dtype).rpartition(".")[2]
    if kind == "object":
        found = {_scalar_options(entry) for entry in value.ravel().tolist()}
        return found.pop() if len(found) == 1 else ()
    return (NEGATED,) if "bool" in kind else COUNT if "int" in kind else NUMBER


def is_bracket(value: Any) -> bool:
    """Tell whether a value is a bracket: an `Enclosure`, a ball, or a pair lower <= upper, not both whole numbers."""
    if type(value).__name__ == "Enclosure" or _flint(value, "arb"):
        return True
    if type(value) is not tuple or len(value) != 2:
        return False
    kinds = [_scalar_options(end) for end in value]
    if NUMBER not in kinds or not set(kinds) <= {NUMBER, COUNT} or any(isinstance(x, complex) for x in value):
        return False
    return bool(value[0] <= value[1])


def is_number(value: Any) -> bool:
    """Tell whether a value is a number, a bracket, a truth value or a comparison, or a tuple that holds one.

    A function that draws random numbers and returns anything else makes an instance.
    """
    if isinstance(value, tuple) and not is_bracket(value):
        return any(map(is_number, value))
    return isinstance(value, Comparison) or is_bracket(value) or bool(_scalar_options(value))


def replace(value: Any, name: str) -> Any:
    """Return what the option of this name puts in place of a value, or the value itself where it has no such option."""
    if name not in options(value):
        return value
    if isinstance(value, Comparison):
        return Comparison(value.bound, value.relation, value.bound)
    if name.startswith("["):
        place, _, name = name[1:].partition("] ")
        entries = [_replace(entry, name) if i == int(place) else entry for i, entry in enumerate(value)]
        return type(value)(*entries) if hasattr(value, "_fields") else type(value)(entries)
    return _replace(value, name)


def _replace(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_replace(entry, name) for entry in value]
    if is_bracket(value):
        return _replace_bracket(value, name)
    if isinstance(value, np.ndarray) and value.dtype == object:
        return np.array([_replace(entry, name) for entry in value.ravel()], dtype=object).reshape(value.shape)
    if name == NEGATED:
        return not value if isinstance(value, bool) else ~value
    if name == NEXT:
        return _plus_one(value)
    if name == ZERO:
        return value * 0 if not _infinite(value) else type(value)(0)
    return _times(value, FACTORS[name])


def _replace_bracket(value: Any, name: str) -> Any:
    if _flint(value, "arb"):
        if name == ZERO:
            return type(value)(0)
        if name in FACTORS:
            return _times(value, FACTORS[name])
        return value + SHIFTS[name] * 10 * _larger(2 * value.rad(), RTOL * _larger(type(value)(1), abs(value)))
    lower, upper = value if isinstance(value, tuple) else (value.lower, value.upper)
    if name == ZERO:
        ends = [end * 0 for end in (lower, upper)]
    elif name in FACTORS:
        ends = [_times(end, FACTORS[name]) for end in (lower, upper)]
    else:
        low, high = (read(end).low for end in (lower, upper))
        shift = SHIFTS[name] * 10 * max(high - low, Fraction(RTOL) * max(Fraction(1), abs(low), abs(high)))
        ends = [_plus(end, shift) for end in (lower, upper)]
    return tuple(ends) if isinstance(value, tuple) else type(value)(*ends)


def _larger(a: Any, b: Any) -> Any:
    return a if a >= b else b


def _plus(x: Any, shift: Fraction) -> Any:
    return x + _like(x, shift)


def _times(x: Any, factor: Fraction) -> Any:
    return x * _like(x, factor)


def _like(x: Any, q: Fraction) -> Any:
    """Write a fraction so that it can be multiplied with x, or added, and leaves the type of x as it is."""
    if isinstance(x, (Fraction, int)):
        return q
    if _flint(x, "fmpz", "fmpq", "fmpq_mat", "arb", "arb_mat"):
        flint = sys.modules["flint"]
        exact = flint.fmpq(q.numerator, q.denominator)
        return flint.arb(exact) if _flint(x, "arb", "arb_mat") else exact
    if isinstance(x, (np.ndarray, np.generic)):
        return np.asarray(float(q)).astype(x.dtype)[()]
    if _multiprecise(x):
        return type(x)(q.numerator) / q.denominator if hasattr(x, "_mpf_") else float(q)
    return float(q)


def _plus_one(value: Any) -> Any:
    if _flint(value, "fmpz_mat"):
        return type(value)(value.nrows(), value.ncols(), [x + 1 for x in value.entries()])
    return value + (np.ones((), value.dtype) if isinstance(value, np.integer) else 1)


def changes(value: Any, name: str) -> bool:
    """Tell whether a replacement makes a difference: a multiple of zero does not."""
    try:
        different = replace(value, name) != value
        return bool(different if isinstance(different, bool) else np.any(np.asarray(different)))
    except Exception:  # types that cannot be compared: try it
        return True


def _infinite(value: Any) -> bool:
    return isinstance(value, float) and not np.isfinite(value)


def _flint(value: Any, *names: str) -> bool:
    flint = sys.modules.get("flint")  # whoever made a flint number has imported it
    return flint is not None and type(value) in [getattr(flint, name) for name in names]


def _multiprecise(value: Any) -> bool:
    return hasattr(value, "_mpf_") or hasattr(value, "_mpc_")
