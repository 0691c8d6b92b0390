"""ReLU networks in safetensors files."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lora_proofs.linalg import check_matrix
from lora_proofs.networks.relu import ReluNetwork
from lora_proofs.tensor_files import read_tensors


def read_network(path: str | Path) -> ReluNetwork:
    """Return the ReLU network that a safetensors file holds.

    Every tensor is called ``LAYER.weight``, of shape (out, in), or ``LAYER.bias``, of shape (out,), as
    ``torch.nn.Sequential.state_dict()`` has it. The names of the layers are free (``0``, ``layers.3``, ``model.fc1``)
    and are ordered naturally: 2 before 10. A layer without a bias gets 0. ReLU follows every layer, the last too.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    ReluNetwork
        In the dtype that is stored; half precision is widened to float32, which is exact.

    Raises
    ------
    ValueError
        If the file cannot be read, a tensor has another name, or the tensors are no network.
    """
    stored = {name: x.astype(np.float32) if x.dtype == np.float16 else x for name, x in read_tensors(path).items()}
    layers: dict[str, dict[str, Any]] = {}
    for name, tensor in stored.items():
        layer, _, part = name.rpartition(".")
        if part not in ("weight", "bias"):
            raise ValueError(f"{path}: the tensor {name!r} is neither LAYER.weight nor LAYER.bias of a ReLU network")
        layers.setdefault(layer, {})[part] = tensor
    order = layer_names(stored)
    for layer in order:
        if "weight" not in layers[layer]:
            raise ValueError(f"{path}: layer {layer!r} has a bias but no weight; store both, or the weight alone")
    try:
        weights = [check_matrix(f"{layer}.weight", layers[layer]["weight"]) for layer in order]
        zeros = [np.zeros(W.shape[0], dtype=W.dtype) for W in weights]
        return ReluNetwork(weights, [layers[layer].get("bias", b) for layer, b in zip(order, zeros, strict=True)])
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}; the layers are, in order, {', '.join(order) or 'none'}") from None


def layer_names(tensors: Iterable[str]) -> list[str]:
    """Return the names of the layers in their order, from names of tensors ``LAYER.weight`` and ``LAYER.bias``."""
    return sorted({name.rpartition(".")[0] for name in tensors}, key=_natural)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that orders digits by their value, and before letters."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]
