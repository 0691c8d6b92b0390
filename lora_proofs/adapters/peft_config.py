"""The config of a PEFT folder: what it must say, which rank and alpha it gives a module, and how we write one."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_proofs.adapters.adapter import Adapter

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

# What else PEFT may start from; the others change the base weights, so that their factors are no update of them.
_INITIALISATIONS = (True, False, "gaussian", "eva", "orthogonal", None)
_REFUSED = ("use_dora", "use_qalora", "lora_bias", "target_parameters")

_DANGEROUS = re.compile(r"\)\s*[*+{]|\(\?(?!:)|\\\d")  # repeated groups, look-around, back references
_LONGEST = 300
"""Characters of a name or a pattern: with few repetitions, matching takes less than a second."""


def read_config(path: Path) -> dict[str, Any]:
    """Return the config of a PEFT folder.

    Raises
    ------
    ValueError
        If the folder is incomplete, the config damaged, or the adapter more than a low-rank update of linear modules.
    """
    if not (path / WEIGHTS).is_file() and (path / "adapter_model.bin").is_file():
        raise ValueError(
            f"{path}: adapter_model.bin is a pickle, which may run code when opened; save it as safetensors"
        )
    if absent := next((name for name in (CONFIG, WEIGHTS) if not (path / name).is_file()), None):
        raise ValueError(f"{path} is no PEFT folder: it has no {absent}")
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
    return config


def number_of(folder: Path, config: Mapping[str, Any], key: str, patterns: str, name: str) -> float:
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


def written_config(adapters: Mapping[str, Adapter], bias: str, base: str, fan_in_fan_out: bool) -> dict[str, Any]:
    """Return the config of new adapters: the keys that PEFT needs, with the commonest rank and alpha as defaults."""
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


def _is_dangerous(pattern: str) -> bool:
    """Tell whether matching may take exponential time; a regular expression of unknown origin should not hang us."""
    repetitions = len(re.findall(r"[*+?{]", pattern.replace("(?:", "(")))
    return bool(_DANGEROUS.search(pattern)) or repetitions > 3 or pattern.count("(") > 4
