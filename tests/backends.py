"""The array libraries and devices that the mathematics is tested on: those that are here, none of them skipped."""

from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, to_device


@dataclass(frozen=True)
class Backend:
    """An array library on a device; float64 unless another dtype is asked for."""

    name: str
    library: str
    device: Any = None

    def asarray(self, x: Any, dtype: str = "float64") -> Any:
        """Return x as an array of the library: read-only for NumPy."""
        if self.library == "numpy":
            out = np.array(x, dtype=dtype)
            out.setflags(write=False)
            return out
        xp = import_module(self.library)
        x = np.array(x, dtype=dtype)
        return xp.asarray(x) if self.device is None else xp.asarray(x, device=self.device)

    def active(self) -> Any:
        """Return the context in which arrays of the library have 64 bits."""
        return import_module("jax").enable_x64(True) if self.name == "jax" else nullcontext()

    def to_numpy(self, x: Any) -> np.ndarray:
        """Return x as a NumPy array."""
        return np.asarray(to_device(x, "cpu") if self.library in {"torch", "cupy"} else x)

    def owns(self, x: Any, dtype: str = "float64") -> bool:
        """Tell whether x is an array of this library, of that dtype and on this device."""
        mine = self.asarray(np.zeros(1), dtype)
        return array_namespace(x) is array_namespace(mine) and x.dtype == mine.dtype and device(x) == device(mine)


def _here() -> list[Backend]:
    found = [Backend("numpy", "numpy"), Backend("strict", "array_api_strict")]
    if find_spec("jax"):
        found.append(Backend("jax", "jax.numpy"))
    if find_spec("torch"):
        found.append(Backend("torch", "torch"))
        if import_module("torch").cuda.is_available():
            found.append(Backend("torch-cuda", "torch", "cuda:0"))
    if find_spec("cupy") and import_module("cupy").is_available():
        found.append(Backend("cupy", "cupy"))
    return found


BACKENDS = _here()
