"""Adapters between two stored models, as a PEFT folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lora_proofs.adapters import Adapter, save_peft
from lora_proofs.constructions import adapt_relu_network
from lora_proofs.domains import Box
from lora_proofs.linalg import check_matrix, check_rank, svd, to_numpy
from lora_proofs.networks.files import layer_names, read_network
from lora_proofs.tensor_files import read_tensors
from lora_proofs.tools.compress import distance

__all__ = ["Export", "export_adapters"]

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Export:
    """What was exported.

    Attributes
    ----------
    adapters : dict from str to Adapter
        By the name of the module.
    biases : dict from str to ndarray, or None
    lines : tuple of str
        What holds of them, for people.
    """

    adapters: dict[str, Adapter]
    biases: dict[str, NDArray[Any]] | None
    lines: tuple[str, ...]


def export_adapters(frozen: str | Path, target: str | Path, folder: str | Path, rank: int, box: float = 4.0) -> Export:
    """Build adapters that turn one stored model into another, and write them as a PEFT folder.

    Two models with the same tensors, such as a base and its fine-tune, give each matrix that differs its best adapter
    (Eckart & Young), with a certified error. Two ReLU networks of different depth, as `read_network` of
    `lora_proofs.networks` reads them, give the adapters and biases of Zeng & Lee's Theorems 3 and 5 (arXiv
    2310.17513v3), with a certificate on a box.

    Parameters
    ----------
    frozen, target : str or Path
        Safetensors files.
    folder : str or Path
        Where `save_peft` writes.
    rank : int
        Of every adapter, where the matrix is not smaller.
    box : positive float
        The certificate of ReLU networks is for inputs with ``|x_i| <= box``.

    Raises
    ------
    ValueError
        If a file cannot be read, the models do not fit each other, nothing differs, or PEFT cannot express a change.
    """
    if check_rank("rank", rank) == 0:
        raise ValueError("rank must be positive: adapters of rank 0 change nothing")
    old, new = read_tensors(frozen), read_tensors(target)
    alike = {name: x.shape for name, x in old.items()} == {name: x.shape for name, x in new.items()}
    found = _differences(old, new, rank) if alike else _networks(frozen, target, old, rank, box)
    save_peft(folder, found.adapters, found.biases, base=str(frozen))
    return found


def _differences(old: Tensors, new: Tensors, rank: int) -> Export:
    changed = [name for name in old if not np.array_equal(old[name], new[name])]
    matrices = [n for n in changed if n.endswith(".weight") and old[n].ndim == 2 and old[n].dtype.kind == "f"]
    if not matrices:
        raise ValueError("no matrix LAYER.weight differs between the two models; there is nothing to adapt")
    adapters, lines = {}, []
    for name in matrices:
        E = _float64(name, new) - _float64(name, old)
        U, s, Vt = map(to_numpy, svd(E, full_matrices=False))
        r, root = min(rank, len(s)), np.sqrt(s[: min(rank, len(s))])
        A, B = (root[:, None] * Vt[:r]).astype(new[name].dtype), (U[:, :r] * root).astype(new[name].dtype)
        module = name.removesuffix(".weight")
        adapters[module] = Adapter(A, B)
        upper, size = distance(E, adapters[module])[1], float(np.linalg.norm(E))
        lines.append(f"{module}: rank {r}, ||W + BA - target||_F <= {upper:.3e}, {upper / size:.1%} of the change")
    biases = _changed_biases(old, new, adapters)
    stored = {*matrices, *(f"{module}.bias" for module in biases or ())}
    if left := [name for name in changed if name not in stored]:
        lines.append(f"not exported, though it differs: {', '.join(left)}")
    return Export(adapters, biases, tuple(lines))


def _float64(name: str, tensors: Tensors) -> NDArray[np.float64]:
    return np.asarray(check_matrix(name, tensors[name]), dtype=np.float64)


def _changed_biases(old: Tensors, new: Tensors, adapters: Mapping[str, Adapter]) -> dict[str, NDArray[Any]] | None:
    """Return the target's biases of the adapted modules if one of them changed and all of them have one."""
    names = {module: f"{module}.bias" for module in adapters}
    if not all(name in new for name in names.values()):
        return None
    if all(np.array_equal(old[name], new[name]) for name in names.values()):
        return None
    return {module: new[name] for module, name in names.items()}


def _networks(frozen: str | Path, target: str | Path, stored: Tensors, rank: int, box: float) -> Export:
    adapted = adapt_relu_network(read_network(frozen), read_network(target), rank, domain=Box(-box, box))
    modules = layer_names(stored)
    if bare := [module for module in modules if f"{module}.bias" not in stored]:
        raise ValueError(f"{frozen}: {', '.join(bare)} has no bias, and PEFT cannot add the one that Theorem 3 needs")
    adapters = dict(zip(modules, map(_at_least_rank_one, adapted.adapters), strict=True))
    biases = dict(zip(modules, map(to_numpy, adapted.biases), strict=True))
    certificate = adapted.certificate
    within = f"on every x with |x_i| <= {box:g}"
    verdict = (
        f"no equality {within}: sampled errors reach {float(adapted.error):.3e}, "
        f"and Theorem 5 as corrected bounds them by {float(adapted.bound):.3e} in exact arithmetic"
        if certificate.error is None
        else f"every output differs from the target's by at most {float(certificate.error):.3e} {within} (certified)"
    )
    return Export(adapters, biases, (verdict, *certificate.reasons))


def _at_least_rank_one(adapter: Adapter) -> Adapter:
    """Return the adapter, or, as PEFT has none of rank 0 and the bias needs one, a zero one of rank 1."""
    if adapter.rank:
        return adapter
    out, in_ = adapter.shape
    return Adapter(np.zeros((1, in_), adapter.A.dtype), np.zeros((out, 1), adapter.A.dtype))
