"""Tensors by name in safetensors files: no pickle, and one clear error for a file that is none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lora_proofs.backends import how_to_install

_NEEDS = f"a safetensors file needs the package safetensors; in a clone: {how_to_install('safetensors')}"
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "?", "U8": "u1", "I8": "i1"}
_DTYPES |= {f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (2, 4, 8)}


def read_tensors(path: str | Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a safetensors file by name, sorted.

    They keep their dtype; bfloat16, which NumPy lacks, is widened to float32, which is exact.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    ValueError
        If the package safetensors is missing, or the file cannot be read, is damaged, or holds other than real numbers
        that NumPy or bfloat16 has.
    """
    try:
        from safetensors import SafetensorError, deserialize
    except ModuleNotFoundError:
        raise ValueError(_NEEDS) from None
    try:
        stored: list[tuple[str, dict[str, Any]]] = deserialize(Path(path).read_bytes())  # type: ignore[no-untyped-call]
    except (OSError, SafetensorError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise ValueError(f"cannot read {path} as a safetensors file: {reason}") from None
    return {name: _decode(path, name, entry) for name, entry in sorted(stored)}


def write_tensors(path: str | Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write tensors to a safetensors file.

    Raises
    ------
    ValueError
        If the package safetensors is missing, or the file cannot be written.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import save_file
    except ModuleNotFoundError:
        raise ValueError(_NEEDS) from None
    try:
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, path, {"format": "pt"})
    except (OSError, SafetensorError) as problem:
        raise ValueError(f"cannot write {path}: {getattr(problem, 'strerror', None) or problem}") from None


def _decode(path: str | Path, name: str, entry: dict[str, Any]) -> NDArray[Any]:
    kind = str(entry["dtype"])
    if kind == "BF16":  # the upper half of a float32
        upper = np.frombuffer(entry["data"], "<u2").astype("<u4")
        return (upper << 16).view("<f4").reshape(entry["shape"])
    if kind not in _DTYPES:
        raise ValueError(f"{path}: {name} has dtype {kind}; pass real numbers of at least 16 bits")
    return np.frombuffer(entry["data"], _DTYPES[kind]).reshape(entry["shape"])
