"""Trained adapters, reduced to a smaller rank with a certified error."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from lora_proofs.adapters import Adapter, PeftFolder, save_peft
from lora_proofs.float_bounds import Product, balance, distance_enclosure
from lora_proofs.linalg import check_matrix, check_rank, check_share, svd, times_power, to_numpy
from lora_proofs.ntk import LinearizedProblem, reduce_rank
from lora_proofs.ntk.rank_reduction import ReducedRank
from lora_proofs.ntk.types import FloatArray

__all__ = [
    "Compressed",
    "compress",
    "compress_folder",
    "compress_folder_linearized",
    "compress_linearized",
    "difference_norm",
    "distance",
    "read_problem",
]


@dataclass(frozen=True, eq=False)
class Compressed:
    """An adapter of smaller rank, and how far its update lies from the original one.

    Attributes
    ----------
    adapter : Adapter
        NumPy arrays of the original's dtype.
    before : int
        The rank of the original.
    error : (float, float)
        Rigorous bracket of ``||delta - adapter.delta()||_F``, rounding of the stored factors included.
    norm : (float, float)
        Rigorous bracket of ``||delta||_F``.
    best : float
        The least error of any adapter of this rank, ``(sum_{i>r} sigma_i^2)^(1/2)`` (Eckart & Young), in floats.
    """

    adapter: Adapter
    before: int
    error: tuple[float, float]
    norm: tuple[float, float]
    best: float

    def __str__(self) -> str:
        """Return one line: the ranks, the certified error, and the least possible one."""
        share = self.error[1] / (self.norm[0] or 1)
        return (
            f"rank {self.before} -> {self.adapter.rank}, ||dW - dW'||_F <= {self.error[1]:.3e} "
            f"({share:.1e} of ||dW||_F; least possible {self.best:.3e})"
        )


def compress(adapter: Adapter, rank: int | None = None, tolerance: float | None = None) -> Compressed:
    """Return the best approximation of an adapter by one of smaller rank, its error certified.

    B = Q_B R_B and A^T = Q_A R_A reduce the SVD of the update to that of the r x r matrix R_B R_A^T.

    Parameters
    ----------
    adapter : Adapter
        float16, float32 or float64, NumPy.
    rank : int, optional
        Of the result; an adapter of no larger rank stays as it is.
    tolerance : float, optional
        In place of `rank`: the smallest rank whose certified error is at most ``tolerance * ||delta||_F``; the adapter
        stays as it is if no smaller one will do.

    Raises
    ------
    ValueError
        Unless just one of `rank` and `tolerance` is given, rank is a nonnegative integer, and tolerance is between 0
        and 1.
    """
    if (rank is None) == (tolerance is None):
        raise ValueError("pass either rank or tolerance")
    left, right, exponent = balance([_product(adapter)])
    Q_B, R_B = np.linalg.qr(left)
    Q_A, R_A = np.linalg.qr(right.T)
    U, s, Vt = map(to_numpy, svd(R_B @ R_A.T))
    tails = [times_power(float(np.linalg.norm(s[r:])), exponent) for r in range(len(s) + 1)]
    norm = difference_norm(adapter, Adapter.zero(*adapter.shape, like=adapter.A))

    def truncated(rank: int) -> Compressed:
        root = np.sqrt(s[:rank])
        dtype = adapter.A.dtype
        half = exponent // 2
        B, A = (
            times_power(Q_B @ (U[:, :rank] * root), exponent - half),
            times_power((root[:, None] * Vt[:rank]) @ Q_A.T, half),
        )
        kept = Adapter(A.astype(dtype), B.astype(dtype))
        return Compressed(kept, adapter.rank, difference_norm(adapter, kept), norm, tails[rank])

    unchanged = Compressed(adapter, adapter.rank, (0.0, 0.0), norm, 0.0)
    if rank is not None:
        return unchanged if check_rank("rank", rank) >= adapter.rank else truncated(min(rank, len(s)))
    assert tolerance is not None
    tolerance = check_share("tolerance", tolerance)
    allowed = tolerance * norm[0]
    for r in range(next(r for r, tail in enumerate(tails) if tail <= allowed), min(len(s) + 1, adapter.rank)):
        if (found := truncated(r)).error[1] <= allowed:
            return found
    return unchanged


def compress_folder(
    folder: str | Path, out: str | Path, rank: int | None = None, tolerance: float | None = None
) -> dict[str, Compressed]:
    """Compress every adapter of a PEFT folder into another one, by the rules of `compress`.

    Raises
    ------
    ValueError
        As `compress` and `PeftFolder.read` do, or if the result would overwrite the adapter or lose a bias.
    """
    stored = _read(folder, out)
    found = {name: compress(adapter, rank, tolerance) for name, adapter in stored.adapters.items()}
    _write(stored, out, {name: result.adapter for name, result in found.items()})
    return found


def compress_folder_linearized(
    folder: str | Path, out: str | Path, problem: str | Path
) -> tuple[dict[str, tuple[int, int]], ReducedRank]:
    """Compress a PEFT folder so that a linearised problem keeps its outputs; see `compress_linearized`.

    Returns
    -------
    dict from str to (int, int)
        The rank of each module, before and after.
    ReducedRank

    Raises
    ------
    ValueError
        As `read_problem` and `PeftFolder.read` do, if the problem belongs to other modules, or as `compress_folder`.
    """
    stored, (linearized, modules) = _read(folder, out), read_problem(problem)
    if modules != sorted(stored.adapters):
        odd = ", ".join(sorted({*modules} ^ {*stored.adapters}))
        raise ValueError(f"{problem} and {folder} are of different modules; look at {odd}")
    reduced, change = compress_linearized(linearized, [stored.adapters[name] for name in modules])
    kept = dict(zip(modules, reduced, strict=True))
    _write(stored, out, kept)
    return {name: (stored.adapters[name].rank, kept[name].rank) for name in modules}, change


def _read(folder: str | Path, out: str | Path) -> PeftFolder:
    if Path(out).resolve() == Path(folder).resolve():
        raise ValueError(f"{out} holds the adapter itself; write to another folder")
    stored = PeftFolder.read(folder)
    if lost := sorted(stored.biases.keys() - stored.adapters.keys()):
        raise ValueError(
            f"{folder}: biases of modules without adapters ({', '.join(lost)}) are in it, and would be lost; drop them"
        )
    return stored


def _write(stored: PeftFolder, out: str | Path, kept: dict[str, Adapter]) -> None:
    biases = {name: bias for name, bias in stored.biases.items() if kept[name].rank}
    save_peft(out, kept, biases if stored.biases else None, fan_in_fan_out=stored.fan_in_fan_out)


def compress_linearized(problem: LinearizedProblem, adapters: list[Adapter]) -> tuple[list[Adapter], ReducedRank]:
    """Return adapters of smaller rank with the same outputs and no larger nuclear norm in the linearised regime.

    Parameters
    ----------
    problem : LinearizedProblem
        Its blocks belong to the adapters, in the same order.
    adapters : list of Adapter

    Returns
    -------
    list of Adapter
        In float64. sum_t r_t(r_t + 1)/2 is at most the number KN of outputs (Jang, Lee & Ryu, arXiv 2402.11867v3,
        Theorem 3.1).
    ReducedRank
        What `ntk.reduce_rank` says of the change: the outputs' ``fit_change``, ``norm_before`` and ``norm``.
    """
    pairs = [_factors(adapter) for adapter in adapters]
    found = reduce_rank(problem, [B for B, _ in pairs], [A.T for _, A in pairs])
    return [Adapter(right.T, left) for left, right in zip(found.u, found.v, strict=True)], found


def difference_norm(one: Adapter, other: Adapter) -> tuple[float, float]:
    """Return floats that enclose the Frobenius norm of the difference of two updates, whatever the rounding.

    See `float_bounds` for the analysis. The upper end is infinite where the norm may be beyond the largest float.
    """
    minus = Product(-np.asarray(other.B, np.float64), np.asarray(other.A), other.scaling)
    found = distance_enclosure([_product(one), minus])
    return found.lower, found.upper


def distance(change: FloatArray, adapter: Adapter) -> tuple[float, float]:
    """Return floats that enclose ``||E - delta||_F``, whatever the rounding; E is float64.

    Raises
    ------
    ValueError
        If E is no finite float matrix of the update's shape.
    """
    found = distance_enclosure([_product(adapter)], to_numpy(check_matrix("E", change, adapter.shape)))
    return found.lower, found.upper


def _product(adapter: Adapter) -> Product:
    return Product(np.asarray(adapter.B), np.asarray(adapter.A), adapter.scaling)


def read_problem(path: str | Path) -> tuple[LinearizedProblem, list[str]]:
    """Return a linearised problem from an npz file, and the modules that its blocks belong to.

    Parameters
    ----------
    path : str or Path
        Arrays ``gradients.MODULE`` of shape (N, K, out, in), ``offsets`` (N, K), ``labels``, ``loss`` (its name) and
        ``lam``; pickled objects are refused.

    Raises
    ------
    ValueError
        If the file cannot be read, or an array is missing or has no such shape.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
    except (OSError, ValueError, AttributeError, BadZipFile):  # of what is no archive, NumPy takes for a pickle
        raise ValueError(f"{path} is no npz file of plain arrays, which a linearised problem is") from None
    modules = sorted(name.removeprefix("gradients.") for name in stored if name.startswith("gradients."))
    missing = [name for name in ("offsets", "labels", "loss", "lam") if name not in stored]
    if missing or not modules:
        raise ValueError(f"{path} lacks {', '.join(missing or ['gradients.MODULE'])}")
    gradients = [stored[f"gradients.{name}"] for name in modules]
    loss, lam = str(stored["loss"]), float(stored["lam"])
    return LinearizedProblem(gradients, stored["offsets"], stored["labels"], loss, lam), modules


def _factors(adapter: Adapter) -> tuple[FloatArray, FloatArray]:
    """Return B with the scaling, and A, in float64."""
    root = sqrt(adapter.scaling)
    return root * np.asarray(adapter.B, np.float64), root * np.asarray(adapter.A, np.float64)
