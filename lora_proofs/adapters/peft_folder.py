"""Adapters in the folders of Hugging Face PEFT: ``adapter_config.json`` and ``adapter_model.safetensors``.

PEFT stores A as (r, in) and B as (out, r), and scales the update by ``lora_alpha / r``, as `Adapter` does. Ranks and
alphas that differ between modules stand in ``rank_pattern`` and ``alpha_pattern``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from array_api_compat import to_device
from numpy.typing import NDArray

from lora_proofs.adapters.adapter import Adapter
from lora_proofs.linalg import Array, check_vector, is_object
from lora_proofs.tensor_files import read_tensors, write_tensors

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

_FACTOR = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
_BIAS = re.compile(r"base_model\.model\.(.+?)(?:\.base_layer)?\.bias")
_NAME = re.compile(r"[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*")

# What else PEFT may start from; the others change the base weights, so that their factors are no update of them.
_INITIALISATIONS = (True, False, "gaussian", "eva", "orthogonal", None)
_REFUSED = ("use_dora", "use_qalora", "lora_bias", "target_parameters")
_BESIDE = ("modules_to_save", "trainable_token_indices")

_DANGEROUS = re.compile(r"\)\s*[*+{]|\(\?(?!:)|\\\d")  # repeated groups, look-around, back references
_LONGEST = 300
"""Characters of a name or a pattern: with few repetitions, matching takes less than a second."""


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
        text = json.dumps(_config(kept, "none" if biases is None else "lora_only", base, fan_in_fan_out), indent=2)
        (path / CONFIG).write_text(text + "\n", "utf-8")
    except OSError as problem:
        raise ValueError(f"cannot write {path}: {problem.strerror}") from None
    write_tensors(path / WEIGHTS, tensors)


def load_peft(folder: str | Path, beside: bool = False) -> dict[str, Adapter]:
    """Return the adapters of a PEFT folder by the full names of their modules.

    Parameters
    ----------
    folder : str or Path
        Only safetensors are read: a pickle may run any code when it is opened.
    beside : bool
        Leave out tensors that stand beside the adapters of linear modules, such as a trained head; `tensors_beside`
        names them. By default they are refused, since the adapters alone are not the trained model.

    Returns
    -------
    dict from str to Adapter
        NumPy arrays of the stored dtype (bfloat16 widened to float32). Biases come from `load_peft_biases`.

    Raises
    ------
    ValueError
        With one line, if the folder is incomplete or damaged, factors do not fit each other or the config, or the
        adapter is more than a low-rank update of the base weights (DoRA, PiSSA, OLoRA, trained heads, ...).
    """
    config, tensors = _read(folder)
    for option in _BESIDE:
        if config.get(option) and not beside:
            raise ValueError(f"{folder}: {option} is set, so there is more to the model than low-rank updates")
    factors: dict[str, dict[str, NDArray[Any]]] = {}
    for key, tensor in tensors.items():
        if found := _FACTOR.fullmatch(key):
            factors.setdefault(found[1], {})[found[2]] = tensor
        elif not (beside or _BIAS.fullmatch(key)):
            raise ValueError(f"{folder}: the tensor {key!r} is no low-rank factor of a linear module, nor its bias")
    if not factors:
        raise ValueError(f"{folder}: {WEIGHTS} holds no low-rank factors")
    return {name: _adapter(folder, config, name, pair) for name, pair in factors.items()}


def tensors_beside(folder: str | Path) -> list[str]:
    """Return the names of the tensors of a PEFT folder that `load_peft` has no adapters for, biases among them.

    Raises
    ------
    ValueError
        If the folder is incomplete or damaged.
    """
    return [key.removeprefix("base_model.model.") for key in _read(folder)[1] if not _FACTOR.fullmatch(key)]


def fan_in_fan_out(folder: str | Path) -> bool:
    """Tell whether the model that a PEFT folder adapts keeps its weights as (in, out), as GPT-2's Conv1D does.

    Raises
    ------
    ValueError
        If the folder is incomplete or damaged.
    """
    return bool(_read(folder)[0].get("fan_in_fan_out"))


def load_peft_biases(folder: str | Path) -> dict[str, NDArray[Any]]:
    """Return the biases of a PEFT folder by the full names of their modules; they replace those of the base model.

    Raises
    ------
    ValueError
        As `load_peft` does.
    """
    adapters, (_, tensors) = load_peft(folder), _read(folder)
    biases = {found[1]: tensor for key, tensor in tensors.items() if (found := _BIAS.fullmatch(key))}
    for name, b in biases.items():
        try:
            check_vector(f"{name}.bias", b, adapters[name].shape[0] if name in adapters else None)
        except ValueError as problem:
            raise ValueError(f"{folder}: {problem}") from None
    return biases


def _factors(adapter: Adapter) -> tuple[tuple[str, Array], tuple[str, Array]]:
    return ("A", adapter.A), ("B", adapter.B)


def _stored(x: Array) -> NDArray[Any]:
    """Return x as a NumPy array of a dtype that safetensors has."""
    if is_object(x):
        return np.array([float(v) for v in x.ravel()]).reshape(x.shape)
    return np.asarray(x if isinstance(x, np.ndarray) else to_device(x, "cpu"))


def _config(adapters: Mapping[str, Adapter], bias: str, base: str, fan_in_fan_out: bool) -> dict[str, Any]:
    """Return the keys that PEFT needs, with the commonest rank and alpha as defaults."""
    ranks = {name: adapter.rank for name, adapter in adapters.items()}
    alphas = {name: a.rank if a.alpha is None else a.alpha for name, a in adapters.items()}
    r, alpha = (Counter(values.values()).most_common(1)[0][0] for values in (ranks, alphas))
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base or None,
        "inference_mode": True,
        "r": r,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": bias,
        "fan_in_fan_out": fan_in_fan_out,
        "target_modules": list(adapters),
        # PEFT reads the keys as regular expressions that may begin anywhere after a dot.
        "rank_pattern": {f"^{re.escape(n)}": v for n, v in ranks.items() if v != r},
        "alpha_pattern": {f"^{re.escape(n)}": v for n, v in alphas.items() if v != alpha},
    }


def _read(folder: str | Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    path = Path(folder)
    if not (path / WEIGHTS).is_file() and (path / "adapter_model.bin").is_file():
        raise ValueError(
            f"{path}: adapter_model.bin is a pickle, which may run code when opened; save it as safetensors"
        )
    for name in (CONFIG, WEIGHTS):
        if not (path / name).is_file():
            raise ValueError(f"{path} is no PEFT folder: it has no {name}")
    try:
        config = json.loads((path / CONFIG).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise ValueError(f"cannot read {path / CONFIG}: {problem}") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else type(config).__name__
        raise ValueError(f"{path}: the config describes no LoRA adapter (peft_type {kind!r})")
    if config.get("init_lora_weights", True) not in _INITIALISATIONS:
        start = config["init_lora_weights"]
        raise ValueError(
            f"{path}: init_lora_weights={start!r} changes the base weights; convert it to plain LoRA first"
        )
    for option in _REFUSED:
        if config.get(option):
            raise ValueError(
                f"{path}: {option} is set, so the adapter is more than a low-rank update of linear modules"
            )
    return config, read_tensors(path / WEIGHTS)


def _adapter(folder: str | Path, config: dict[str, Any], name: str, pair: dict[str, NDArray[Any]]) -> Adapter:
    if len(pair) != 2:
        raise ValueError(f"{folder}: {name} has lora_{next(iter(pair))} alone; both factors are wanted")
    r = _for_module(folder, config, "r", "rank_pattern", name)
    alpha = _for_module(folder, config, "lora_alpha", "alpha_pattern", name)
    try:
        adapter = Adapter(pair["A"], pair["B"], alpha * sqrt(r) if config.get("use_rslora") else alpha)
    except ValueError as problem:
        raise ValueError(f"{folder}: {name}: {problem}") from None
    if adapter.rank != r:
        raise ValueError(
            f"{folder}: {name} has rank {adapter.rank}, but the config says {r:g}, which its scaling needs"
        )
    return adapter


def _for_module(folder: str | Path, config: dict[str, Any], key: str, patterns: str, name: str) -> float:
    """Return a number of the config, or the one that a pattern gives this module."""
    table = config.get(patterns) or {}
    if not isinstance(table, dict):
        raise ValueError(f"{folder}: {patterns} must be a table, not {type(table).__name__}")
    value = config.get(key)
    for pattern, special in table.items():
        if len(pattern) > _LONGEST or len(name) > _LONGEST or _is_dangerous(pattern):
            raise ValueError(f"{folder}: {patterns} has {pattern[:80]!r}, a regular expression that may run for ever")
        try:
            found = re.match(rf"(.*\.)?({pattern})$", name)  # as PEFT reads it; its first match counts
        except re.error as problem:
            raise ValueError(f"{folder}: {patterns} has {pattern!r}, which is no pattern: {problem}") from None
        if found:
            value = special
            break
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{folder}: {key} of {name} must be a positive number, not {value!r}")
    return value


def _is_dangerous(pattern: str) -> bool:
    """Tell whether matching may take exponential time; a regular expression of unknown origin should not hang us."""
    repetitions = len(re.findall(r"[*+?{]", pattern.replace("(?:", "(")))
    return bool(_DANGEROUS.search(pattern)) or repetitions > 3 or pattern.count("(") > 4
