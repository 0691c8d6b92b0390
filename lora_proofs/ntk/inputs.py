"""What the functions of this package take: real arrays and numbers of any library, and one clear error for the rest."""

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lora_proofs.linalg import to_numpy


def real_array(name: str, values: Any, hint: str = "pass an array of finite real numbers") -> NDArray[np.float64]:
    """Return values as a finite array in float64.

    Raises
    ------
    ValueError
        If it is no array of real numbers (None, text, dates, bools, complex numbers, ragged lists), or one is NaN or
        infinite, or too large for a float.
    """
    try:
        given = np.asarray(to_numpy(values))
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} is no array of real numbers; {hint}") from None
    # bfloat16, which NumPy knows from JAX only, is of kind V.
    narrow = given.dtype.kind == "V" and given.dtype.name.startswith(("bfloat", "float"))
    if given.dtype.kind == "O" and given.size and all(_is_real(entry) for entry in given.ravel()):
        narrow = True
    if not (narrow or given.dtype.kind in "iuf"):
        raise ValueError(f"{name} is no array of real numbers but of {_kind(given)}; {hint}")
    try:
        with np.errstate(over="ignore"):
            array = np.asarray(given, dtype=float)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"{name} holds numbers that are no floats; {hint}") from None
    if not np.isfinite(array).all():
        verb = "contain" if name in ("offsets", "labels") else "contains"
        raise ValueError(f"{name} {verb} NaN or infinity; pass finite numbers")
    return array


def real_number(name: str, value: Any, hint: str) -> float:
    """Return a real number, or an array that holds one, as a float; not a bool, NaN or infinity."""
    if isinstance(value, bool | np.bool_ | str | bytes) or value is None:
        raise ValueError(f"{name} is {value!r}; {hint}")
    try:
        array = real_array(name, value, hint)
    except ValueError:
        raise ValueError(f"{name} is {value!r}; {hint}") from None
    if array.ndim:
        raise ValueError(f"{name} is an array of shape {array.shape}; {hint}")
    return float(array)


def _is_real(entry: Any) -> bool:
    return isinstance(entry, Real) and not isinstance(entry, bool)


def _kind(given: NDArray[Any]) -> str:
    kinds = {"b": "bools", "c": "complex numbers", "U": "text", "S": "text", "M": "dates", "m": "durations"}
    return kinds.get(given.dtype.kind, "something else" if given.size else "nothing")
