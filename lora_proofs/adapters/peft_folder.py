"""Adapters in the folders of Hugging Face PEFT: ``adapter_config.json`` and ``adapter_model.safetensors``.

PEFT stores A as (r, in) and B as (out, r), and scales the update by ``lora_alpha / r``, as `Adapter` does. Ranks and
alphas that differ between modules stand in ``rank_pattern`` and ``alpha_pattern``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from array_api_compat import to_device
from numpy.typing import NDArray

from lora_proofs.adapters.adapter import Adapter
from lora_proofs.adapters.peft_config import CONFIG, WEIGHTS, number_of, read_config, written_config
from lora_proofs.linalg import Array, check_vector, is_object
from lora_proofs.tensor_files import read_tensors, write_tensors

_PREFIX = "base_model.model."
_FACTOR = re.compile(rf"{re.escape(_PREFIX)}(.+)\.lora_([AB])\.weight")
_BIAS = re.compile(rf"{re.escape(_PREFIX)}(.+?)(?:\.base_layer)?\.bias")
_NAME = re.compile(r"[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*")
_BESIDE = ("modules_to_save", "trainable_token_indices")


@dataclass(frozen=True, eq=False)
class PeftFolder:
    """A stored adapter, read once and validated.

    Attributes
    ----------
    path : Path
    adapters : dict from str to Adapter
        By the full names of the modules: NumPy arrays of the stored dtype (bfloat16 widened to float32).
    biases : dict from str to ndarray
        By the full names of the modules whose biases they replace.
    beside : tuple of str
        The names of the tensors that are no factors of an adapter, biases among them.
    fan_in_fan_out : bool
        Whether the model that is adapted keeps its weights as (in, out), as GPT-2's Conv1D does.
    """

    path: Path
    adapters: dict[str, Adapter]
    biases: dict[str, NDArray[Any]]
    beside: tuple[str, ...]
    fan_in_fan_out: bool

    @classmethod
    def read(cls, folder: str | Path, beside: bool = False) -> PeftFolder:
        """Read a PEFT folder.

        Parameters
        ----------
        folder : str or Path
            Only safetensors are read: a pickle may run any code when it is opened.
        beside : bool
            Accept tensors that stand beside the adapters of linear modules, such as a trained head. By default they
            are refused, since the adapters alone are not the trained model.

        Raises
        ------
        ValueError
            With one line, if the folder is incomplete or damaged, factors or biases do not fit each other or the
            config, or the adapter is more than a low-rank update of the base weights (DoRA, PiSSA, OLoRA, ...).

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> from lora_proofs.adapters import Adapter, PeftFolder, save_peft
        >>> with TemporaryDirectory() as folder:
        ...     save_peft(folder, {"layer.0": Adapter(np.ones((2, 5)), np.ones((4, 2)), alpha=4)})
        ...     PeftFolder.read(folder).adapters["layer.0"].scaling
        2.0
        """
        path = Path(folder)
        config = read_config(path)
        for option in _BESIDE:
            if config.get(option) and not beside:
                raise ValueError(f"{path}: {option} is set, so there is more to the model than low-rank updates")
        factors: dict[str, dict[str, NDArray[Any]]] = {}
        biases, others = {}, []
        for key, tensor in read_tensors(path / WEIGHTS).items():
            if found := _FACTOR.fullmatch(key):
                factors.setdefault(found[1], {})[found[2]] = tensor
                continue
            others.append(key.removeprefix(_PREFIX))
            if found := _BIAS.fullmatch(key):
                biases[found[1]] = tensor
            elif not beside:
                raise ValueError(f"{path}: the tensor {key!r} is no low-rank factor of a linear module, nor its bias")
        if not factors:
            raise ValueError(f"{path}: {WEIGHTS} holds no low-rank factors")
        adapters = {name: _adapter(path, config, name, pair) for name, pair in factors.items()}
        for name, bias in biases.items():
            try:
                check_vector(f"{name}.bias", bias, adapters[name].shape[0] if name in adapters else None)
            except ValueError as problem:
                raise ValueError(f"{path}: {problem}") from None
        return cls(path, adapters, biases, tuple(others), bool(config.get("fan_in_fan_out")))


def load_peft(folder: str | Path) -> dict[str, Adapter]:
    """Return the adapters of a PEFT folder by the full names of their modules; see `PeftFolder.read`.

    Examples
    --------
    >>> load_peft("no/such/folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...
    """
    return PeftFolder.read(folder).adapters


def save_peft(
    folder: str | Path, adapters: Mapping[str, Adapter], biases: Mapping[str, Array] | None = None, base: str = "",
    fan_in_fan_out: bool = False,
) -> None:  # fmt: skip
    """Write adapters as a PEFT folder, which ``peft.PeftModel.from_pretrained`` loads.

    Parameters
    ----------
    folder : str or Path
        Created if it does not exist.
    adapters : mapping from str to Adapter
        By the full name of the module, such as ``encoder.layer.0.attention.self.query``. Those of rank 0 change
        nothing, and PEFT knows none: they are left out. float16, float32 and float64 are kept; numbers of higher
        precision are rounded to float64, once.
    biases : mapping from str to array, shape (out,), optional
        The biases that replace those of the adapted modules (``bias="lora_only"``, peft >= 0.21): one for each adapter
        or none at all.
    base : str
        Name or path of the model that is adapted, for the config.
    fan_in_fan_out : bool
        Whether that model keeps its weights as (in, out), as GPT-2's Conv1D does, for the config.

    Raises
    ------
    ValueError
        If no adapter has a positive rank, a name is none of a module, a bias is missing or does not fit, or the files
        cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from lora_proofs import Adapter
    >>> adapter = Adapter(A=np.ones((1, 3)), B=np.ones((2, 1)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_peft(folder, {"encoder.query": adapter})
    ...     load_peft(folder)["encoder.query"].delta()
    array([[1., 1., 1.],
           [1., 1., 1.]])
    """
    kept = {name: adapter for name, adapter in sorted(adapters.items()) if adapter.rank}
    if not kept:
        raise ValueError("there is nothing to save: no adapter has a positive rank")
    for name in kept:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is no name of a module; pass one such as 'encoder.layer.0.attention.self.query'"
            )
    if biases is not None and biases.keys() != kept.keys():
        odd = ", ".join(sorted(biases.keys() ^ kept.keys()))
        raise ValueError(f"PEFT stores a bias for every adapter of positive rank or for none; look at {odd}")
    tensors = {f"base_model.model.{n}.lora_{p}.weight": _stored(x) for n, a in kept.items() for p, x in _factors(a)}
    for name, b in (biases or {}).items():
        tensors[f"base_model.model.{name}.base_layer.bias"] = _stored(
            check_vector(f"{name}.bias", b, kept[name].shape[0])
        )
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        text = json.dumps(
            written_config(kept, "none" if biases is None else "lora_only", base, fan_in_fan_out), indent=2
        )
        (path / CONFIG).write_text(text + "\n", "utf-8")
    except OSError as problem:
        raise ValueError(f"cannot write {path}: {problem.strerror}") from None
    write_tensors(path / WEIGHTS, tensors)


def _factors(adapter: Adapter) -> tuple[tuple[str, Array], tuple[str, Array]]:
    return ("A", adapter.A), ("B", adapter.B)


def _stored(x: Array) -> NDArray[Any]:
    """Return x as a NumPy array of a dtype that safetensors has."""
    if is_object(x):
        return np.array([float(v) for v in x.ravel()]).reshape(x.shape)
    return np.asarray(x if isinstance(x, np.ndarray) else to_device(x, "cpu"))


def _adapter(path: Path, config: Mapping[str, Any], name: str, pair: Mapping[str, NDArray[Any]]) -> Adapter:
    if len(pair) != 2:
        raise ValueError(f"{path}: {name} has lora_{next(iter(pair))} alone; both factors are wanted")
    r = number_of(path, config, "r", "rank_pattern", name)
    alpha = number_of(path, config, "lora_alpha", "alpha_pattern", name)
    try:
        adapter = Adapter(pair["A"], pair["B"], alpha * sqrt(r) if config.get("use_rslora") else alpha)
    except ValueError as problem:
        raise ValueError(f"{path}: {name}: {problem}") from None
    if adapter.rank != r:
        raise ValueError(f"{path}: {name} has rank {adapter.rank}, but the config says {r:g}, which its scaling needs")
    return adapter
