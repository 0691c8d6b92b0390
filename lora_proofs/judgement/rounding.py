"""Directed rounding: run a computation again, with every rounding error another one.

W. Kahan's test ("How futile are mindless assessments of roundoff in floating-point computation?", 2006): what a
computation owes to rounding changes with the direction of rounding, what it owes to its data does not.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# The constants of fenv.h, where the C library and its machine are known: toward -inf, +inf and 0.
_MODES = {
    **dict.fromkeys(("x86_64", "amd64", "i686"), (0x400, 0x800, 0xC00)),
    **dict.fromkeys(("aarch64", "arm64"), (0x800000, 0x400000, 0xC00000)),
}


def _fesetround() -> Any:
    try:
        return ctypes.CDLL(None).fesetround
    except (AttributeError, OSError, TypeError):  # Windows has no such function
        return None


_set = _fesetround()
DIRECTED: tuple[int, ...] = _MODES.get(platform.machine().lower(), ()) if _set else ()
"""The modes that `rounding` takes, beside None for the usual one; there are none where the machine is not known."""


@contextmanager
def rounding(mode: int | None) -> Iterator[None]:
    """Round every operation in double precision of this thread in one direction, and to nearest afterwards."""
    if mode is None:
        yield
        return
    if _set(mode) != 0:
        raise OSError(f"this machine does not round in mode {mode:#x}")
    try:
        yield
    finally:
        _set(0)
