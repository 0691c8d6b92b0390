"""What a trained adapter does to its base weights, and where its ranks stand against the papers' thresholds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lora_proofs.adapters import Adapter
from lora_proofs.tensor_files import read_tensors

__all__ = ["ModuleReport", "inspect_adapter", "read_base", "table", "to_json"]

Matrix = NDArray[Any]

TOP, THRESHOLD = 10, 0.5
"""Shuttleworth et al. (arXiv 2410.21228): the ten leading singular vectors, and the cosine of an intruder."""


@dataclass(frozen=True)
class ModuleReport:
    """One adapted module.

    Attributes
    ----------
    module : str
    shape : (int, int)
        (out, in).
    rank : int
        r, the number of rows of A.
    numerical_rank : int
        Singular values of the update above ``max(out, in) * eps * sigma_1``.
    singular_values : tuple of float
        The r largest of the update.
    effective_rank : float
        ``exp`` of the entropy of the normalised singular values (Roy & Vetterli, 2007): between 1 and r.
    relative_norm : float
        ``||delta||_F / ||W||_F``.
    intruders : int
        Of the ten leading left singular vectors of W + delta, those with a cosine below 0.5 to every left singular
        vector of W (Shuttleworth et al., arXiv 2410.21228).
    intruder_cosines : tuple of float
        The largest cosine to a singular vector of W, for each of the leading vectors.
    parameters : int
        r (out + in).
    full_parameters : int
        out * in.
    head_threshold : int or None
        d_head, from which on two adapted factors of a head represent every change of their product (Zeng & Lee, arXiv
        2310.17513v3, Theorem 7, at the width of a head); None where the width of a head is not known.
    certified_outputs : int
        r(r+1)/2 - 1: in the linearised regime rank r has no spurious local minima for almost every perturbation while
        the number KN of outputs is at most this (Jang, Lee & Ryu, arXiv 2402.11867v3, Theorem 4.1).
    """

    module: str
    shape: tuple[int, int]
    rank: int
    numerical_rank: int
    singular_values: tuple[float, ...]
    effective_rank: float
    relative_norm: float
    intruders: int
    intruder_cosines: tuple[float, ...]
    parameters: int
    full_parameters: int
    head_threshold: int | None
    certified_outputs: int


def inspect_adapter(
    adapters: Mapping[str, Adapter], weights: Mapping[str, Matrix], d_head: int | None = None
) -> list[ModuleReport]:
    """Describe every adapted module.

    Parameters
    ----------
    adapters : mapping from str to Adapter
        By the name of the module, as `load_peft` returns them.
    weights : mapping from str to ndarray
        Tensors of the base model by name; the module's is ``<module>.weight``, perhaps behind a prefix.
    d_head : int, optional
        Width of an attention head.

    Raises
    ------
    ValueError
        If a module has no weight, or several, or one of another shape.
    """
    return [_report(name, adapter, _weight(name, adapter, weights), d_head) for name, adapter in adapters.items()]


def read_base(path: str | Path) -> tuple[dict[str, Matrix], int | None]:
    """Return the tensors of a model folder or safetensors file, and the width of a head if its config tells it.

    Raises
    ------
    ValueError
        If there is no such folder or file, or it cannot be read.
    """
    path = Path(path)
    if path.is_file():
        return dict(read_tensors(path)), None
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{path} is neither a safetensors file nor a folder that holds some")
    tensors = {name: tensor for file in files for name, tensor in read_tensors(file).items()}
    try:
        config = json.loads((path / "config.json").read_text("utf-8"))
        return tensors, int(config["hidden_size"]) // int(config["num_attention_heads"])
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return tensors, None


def table(reports: list[ModuleReport]) -> str:
    """Return the reports as a text table with its legend."""
    head = ("module", "r", "num. rank", "eff. rank", "|dW|/|W|", "sigma_1", "sigma_r", "intruders", "2DR/full", "KN <=")
    rows = [head] + [
        (
            r.module, f"{r.rank}", f"{r.numerical_rank}", f"{r.effective_rank:.2f}", f"{r.relative_norm:.2e}",
            f"{r.singular_values[0]:.2e}", f"{r.singular_values[-1]:.2e}",
            f"{r.intruders} of {len(r.intruder_cosines)}", f"{r.parameters / r.full_parameters:.1%}",
            f"{r.certified_outputs}",
        )
        for r in reports
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    legend = [
        "",
        "eff. rank: exp of the entropy of the singular values",
        "intruders: leading singular vectors of W + dW with a cosine below 0.5 to every one of W",
        "KN <=: most outputs for which r(r+1)/2 > KN, Jang, Lee & Ryu's condition in the linearised regime",
    ]
    if heads := {r.head_threshold for r in reports} - {None}:
        d = heads.pop()
        enough = sum(r.rank >= (d or 0) for r in reports)
        legend.append(
            f"{enough} of {len(reports)} modules have r >= d_head = {d}, from which on two adapted factors of a head "
            "reach every change of their product (Zeng & Lee's Theorem 7, a head at a time)"
        )
    return "\n".join(line.rstrip() for line in lines + legend)


def to_json(reports: list[ModuleReport]) -> str:
    """Return the reports as a JSON text."""
    return json.dumps({"schema": 1, "modules": [asdict(report) for report in reports]}, indent=1) + "\n"


def _weight(name: str, adapter: Adapter, weights: Mapping[str, Matrix]) -> Matrix:
    wanted = f"{name}.weight"
    found = [wanted] if wanted in weights else [key for key in weights if key.endswith(f".{wanted}")]
    if not found:  # the adapter may have been trained on a model that wraps the stored one
        found = [key for key in weights if wanted.endswith(f".{key}")]
    if len(found) != 1:
        raise ValueError(f"the base has {len(found) or 'no'} tensors for {wanted}; pass the model that was adapted")
    W = np.asarray(weights[found[0]], np.float64)
    if W.shape == adapter.shape[::-1] != adapter.shape:
        W = W.T  # GPT-2 stores (in, out)
    if W.shape != adapter.shape:
        raise ValueError(f"{found[0]} is {W.shape}, but the adapter's update is {adapter.shape}")
    return W


def _report(name: str, adapter: Adapter, W: Matrix, d_head: int | None) -> ModuleReport:
    B, A = np.asarray(adapter.B, np.float64), np.asarray(adapter.A, np.float64)
    s = adapter.scaling * np.linalg.svd(np.linalg.qr(B)[1] @ np.linalg.qr(A.T)[1].T, compute_uv=False)
    p = s[s > 0] / s.sum() if s.any() else np.ones(1)
    old = np.linalg.svd(W, full_matrices=False)[0]
    new = np.linalg.svd(W + adapter.scaling * B @ A, full_matrices=False)[0][:, :TOP]
    cosines = np.abs(old.T @ new).max(axis=0)
    out, in_ = adapter.shape
    return ModuleReport(
        module=name,
        shape=(out, in_),
        rank=adapter.rank,
        numerical_rank=int(np.sum(s > max(out, in_) * np.finfo(adapter.A.dtype).eps * s[0])),
        singular_values=tuple(map(float, s)),
        effective_rank=float(np.exp(-np.sum(p * np.log(p)))),
        relative_norm=float(np.linalg.norm(s) / np.linalg.norm(W)),
        intruders=int(np.sum(cosines < THRESHOLD)),
        intruder_cosines=tuple(map(float, cosines)),
        parameters=adapter.rank * (out + in_),
        full_parameters=out * in_,
        head_threshold=d_head,
        certified_outputs=adapter.rank * (adapter.rank + 1) // 2 - 1,
    )
