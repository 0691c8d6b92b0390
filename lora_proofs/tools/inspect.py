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
from lora_proofs.display import text_table
from lora_proofs.linalg import check_matrix
from lora_proofs.tensor_files import read_tensors

__all__ = ["ModuleReport", "inspect_adapter", "read_base", "table", "to_json"]

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
        ``exp`` of the entropy of the normalised singular values (Roy & Vetterli, 2007): between 1 and r, and
        0 for an update that is zero.
    relative_norm : float or None
        ``||delta||_F / ||W||_F``; None where W is zero.
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
    relative_norm: float | None
    intruders: int
    intruder_cosines: tuple[float, ...]
    parameters: int
    full_parameters: int
    head_threshold: int | None
    certified_outputs: int


def inspect_adapter(
    adapters: Mapping[str, Adapter],
    weights: Mapping[str, NDArray[Any]],
    d_head: int | None = None,
    transposed: bool = False,
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
    transposed : bool
        Whether square weights are stored as (in, out), as in GPT-2; of others, the shape tells.

    Raises
    ------
    ValueError
        If a module has no weight, or several, or one of another shape, or one that is not finite.
    """
    return [
        _report(name, adapter, _weight(name, adapter, weights, transposed), d_head)
        for name, adapter in adapters.items()
    ]


def read_base(path: str | Path) -> tuple[dict[str, NDArray[Any]], int | None]:
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
        return tensors, _width_of_head(json.loads((path / "config.json").read_text("utf-8")))
    except (OSError, ValueError, AttributeError, KeyError, TypeError, ZeroDivisionError):
        return tensors, None


def _width_of_head(config: dict[str, Any]) -> int:
    if config.get("head_dim"):
        return int(config["head_dim"])
    width, heads = ("n_embd", "n_head") if "n_embd" in config else ("hidden_size", "num_attention_heads")
    return int(config[width]) // int(config[heads])


def table(reports: list[ModuleReport]) -> str:
    """Return the reports as a text table with its legend."""
    head = ("module", "r", "rank", "eff.", "|dW|/|W|", "sigma_1", "sigma_r", "intruders", "params")
    rows = [head] + [
        (
            r.module, f"{r.rank}", f"{r.numerical_rank}", f"{r.effective_rank:.2f}",
            "-" if r.relative_norm is None else f"{r.relative_norm:.1e}",
            f"{r.singular_values[0]:.1e}", f"{r.singular_values[-1]:.1e}",
            f"{r.intruders}/{len(r.intruder_cosines)}", f"{r.parameters / r.full_parameters:.1%}",
        )
        for r in reports
    ]  # fmt: skip
    lines = text_table(rows, "<>>>>>>>>")
    legend = [
        "",
        "rank, eff.: numerical rank of dW, and exp of the entropy of its singular values",
        "intruders: leading singular vectors of W + dW with a cosine below 0.5 to every one of W",
        "params: r (out + in) / (out in)",
        "in the linearised regime, Jang, Lee & Ryu's condition r(r+1)/2 > KN holds for "
        + ", ".join(f"KN <= {kn} (r = {r})" for r, kn in sorted({(r.rank, r.certified_outputs) for r in reports})),
    ]
    if heads := {r.head_threshold for r in reports} - {None}:
        d = heads.pop()
        enough = sum(r.rank >= (d or 0) for r in reports)
        legend += [
            f"{enough} of {len(reports)} modules have r >= d_head = {d}, from which on two adapted factors of a head",
            "reach every change of their product (Zeng & Lee's Theorem 7, a head at a time)",
        ]
    return "\n".join(line.rstrip() for line in lines + legend)


def to_json(reports: list[ModuleReport]) -> str:
    """Return the reports as a JSON text."""
    return json.dumps({"schema": 1, "modules": [asdict(report) for report in reports]}, indent=1) + "\n"


def _weight(name: str, adapter: Adapter, weights: Mapping[str, NDArray[Any]], transposed: bool) -> NDArray[Any]:
    wanted = f"{name}.weight"
    found = [wanted] if wanted in weights else [key for key in weights if key.endswith(f".{wanted}")]
    if not found:  # the adapter may have been trained on a model that wraps the stored one
        found = [key for key in weights if wanted.endswith(f".{key}")]
    if len(found) != 1:
        raise ValueError(f"the base has {len(found) or 'no'} tensors for {wanted}; pass the model that was adapted")
    W: NDArray[Any] = np.asarray(check_matrix(found[0], weights[found[0]]), dtype=np.float64)
    out, in_ = adapter.shape
    if W.shape == (in_, out) and (transposed or out != in_):
        W = W.T  # GPT-2 stores (in, out)
    if W.shape != adapter.shape:
        raise ValueError(f"{found[0]} is {W.shape}, but the adapter's update is {adapter.shape}")
    return W


def _report(name: str, adapter: Adapter, weight: NDArray[Any], d_head: int | None) -> ModuleReport:
    B, A = np.asarray(adapter.B, np.float64), np.asarray(adapter.A, np.float64)
    s = adapter.scaling * np.linalg.svd(np.linalg.qr(B)[1] @ np.linalg.qr(A.T)[1].T, compute_uv=False)
    p = s[s > 0] / (s.sum() or 1)
    size = float(np.linalg.norm(weight))
    old = np.linalg.svd(weight, full_matrices=False)[0]
    new = np.linalg.svd(weight + adapter.scaling * B @ A, full_matrices=False)[0][:, :TOP]
    cosines = np.abs(old.T @ new).max(axis=0)
    out, in_ = adapter.shape
    return ModuleReport(
        module=name,
        shape=(out, in_),
        rank=adapter.rank,
        numerical_rank=int(np.sum(s > max(out, in_) * np.finfo(adapter.A.dtype).eps * s[0])),
        singular_values=tuple(map(float, s)),
        effective_rank=float(np.exp(-np.sum(p * np.log(p)))) if s.any() else 0.0,
        relative_norm=float(np.linalg.norm(s)) / size if size else None,
        intruders=int(np.sum(cosines < THRESHOLD)),
        intruder_cosines=tuple(map(float, cosines)),
        parameters=adapter.rank * (out + in_),
        full_parameters=out * in_,
        head_threshold=d_head,
        certified_outputs=adapter.rank * (adapter.rank + 1) // 2 - 1,
    )
