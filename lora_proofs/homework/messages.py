"""Data between the grader and a submission, as lines of JSON: nothing in them is ever executed."""

from __future__ import annotations

import base64
import json
import re
from fractions import Fraction
from typing import Any

import numpy as np

_RATIO = re.compile(r"-?\d+(/\d+)?", re.ASCII)
_KINDS = "fiub"  # of NumPy's dtypes: real numbers and truth values


def encode(value: object) -> str:
    """Return data as one line of text.

    Raises
    ------
    TypeError
        If something is no number, text, array of real numbers, or list, tuple or dictionary of these.
    """
    return json.dumps(_pack(value))


def decode(text: str | bytes) -> Any:
    """Read what `encode` wrote.

    Raises
    ------
    ValueError
        If the text is anything else.
    """
    try:
        return _unpack(json.loads(text))
    except (KeyError, TypeError, AttributeError, RecursionError, MemoryError, ZeroDivisionError) as problem:
        raise ValueError(f"no message: {type(problem).__name__}: {problem}") from None


def _pack(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return _pack(value.item())
    if isinstance(value, np.ndarray) and value.dtype.kind in _KINDS:
        data = np.ascontiguousarray(value)
        text = base64.b64encode(data.tobytes()).decode()
        return {"array": text, "dtype": data.dtype.str, "shape": list(value.shape)}
    if isinstance(value, np.ndarray):
        return {"list": [_pack(item) for item in value.tolist()]}
    if isinstance(value, Fraction):
        return {"fraction": str(value)}
    if isinstance(value, list | tuple):
        return {"list" if isinstance(value, list) else "tuple": [_pack(item) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _pack(item) for key, item in value.items()}}
    raise TypeError(f"{type(value).__name__} is no data; return arrays, numbers, text, or lists of these")


def _unpack(value: object) -> Any:
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise ValueError("no message: a bare list")
        return value
    if "array" in value:
        dtype = np.dtype(str(value["dtype"]))
        if dtype.kind not in _KINDS:
            raise ValueError(f"no message: an array of {dtype}")
        return np.frombuffer(base64.b64decode(value["array"]), dtype).reshape(value["shape"]).copy()
    if "fraction" in value:
        if not _RATIO.fullmatch(value["fraction"]):  # "1e999999999" would be computed for hours
            raise ValueError("no message: a fraction that is not p/q")
        return Fraction(value["fraction"])
    if "dict" in value:
        return {str(key): _unpack(item) for key, item in value["dict"].items()}
    items = value["list"] if "list" in value else value["tuple"]
    unpacked = [_unpack(item) for item in items]
    return unpacked if "list" in value else tuple(unpacked)
