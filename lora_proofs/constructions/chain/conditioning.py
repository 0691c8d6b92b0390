"""How well adapters can be stored and multiplied back in the arithmetic that they are returned in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import NamedTuple

import numpy as np

from lora_proofs.adapters import Adapter
from lora_proofs.constructions.chain.operators import DIRECT, norm, operator_norm, product_norm
from lora_proofs.display import Readable, show
from lora_proofs.linalg import Array, floats, like, namespace, times_power, unit_roundoff

_TOLERABLE = 1e-6
"""Relative error from which on a result carries a warning."""

_A_DIGIT = 0.1


@dataclass(frozen=True, repr=False)
class Conditioning(Readable):
    """How well the adapters can be stored and multiplied back.

    Norms of matrices of more than 64 rows and columns are estimates from below, good to a digit.

    Attributes
    ----------
    amplification : float
        max_l ||F_L ... F_{l+1} B_l|| ||A_l|| ||P_{l-1}|| / ||target||, with F_l the adapted layers and P_l the product
        of the first l: to first order, the relative change of the product for a relative change of one factor.
    rounding : float
        amplification * unit roundoff: what rounding the adapters may cost, whatever algorithm found them.
    largest_update : float
        max_l ||Delta_l||.
    merging : float
        max_l ||F_L ... F_{l+1}|| ||F_l|| ||P_{l-1}|| / ||target|| * unit roundoff: what rounding the merged layers may
        cost where they are not multiplied in the order of the construction, whose own roundings it allows for.
    warning : str
        Empty, or a sentence: rounding may cost, or has cost, more than 1e-6 of the target, and what to do.
    """

    amplification: float
    rounding: float
    largest_update: float
    warning: str
    merging: float = 0.0

    def after(self, excess: float, target: Array) -> "Conditioning":
        """Return the conditioning with its warning, for adapters that miss the best possible error by the excess."""
        cost = max(self.rounding, excess / _norm(target))
        if cost < _TOLERABLE:
            return self
        return replace(
            self,
            warning=f"rounding costs {cost:.0e} of the target in this arithmetic: pass the matrices through "
            "precision.lift, or as rationals to exact.adapt_linear_chain",
        )

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        headline = f"amplification {show(self.amplification)}, rounding {show(self.rounding)}"
        rows = {"largest update": show(self.largest_update), "warning": self.warning}
        return headline, {name: text for name, text in rows.items() if text}


EXACT = Conditioning(amplification=0.0, rounding=0.0, largest_update=0.0, warning="")
"""That of adapters over Q."""


def measure_conditioning(
    frozen: Sequence[Array], adapters: Sequence[Adapter], target: Array, units: Sequence[int]
) -> Conditioning:
    """Return the `Conditioning` of adapters, without a warning yet.

    All are in the units of `scaling`: layer l counts in 2^{units[l]}.
    """
    maps = [_Adapted(floats(W), floats(a.A), floats(a.B)) for W, a in zip(frozen, adapters, strict=True)]
    size, unit = _norm(target), float(unit_roundoff(target))
    stored, merged = [], []
    for l, F in enumerate(maps):
        before = _size(maps[:l]) if l else 1.0
        stored.append(_size(maps[l + 1 :], F.B) * float(norm(F.A, _A_DIGIT)) * before / size)
        merged.append((_size(maps[l + 1 :]) if l + 1 < len(maps) else 1.0) * _size([F]) * before / size)
    return Conditioning(
        amplification=max(stored),
        rounding=max(stored) * unit,
        largest_update=max(
            times_power(float(product_norm([F.B, F.A], 1e-8)), e) for F, e in zip(maps, units, strict=True)
        ),
        warning="",
        merging=max(merged) * unit,
    )


def _norm(target: Array) -> float:
    return float(norm(floats(target), _A_DIGIT)) or 1.0


class _Adapted(NamedTuple):
    """The layer W + B A, which is not formed."""

    W: Array
    A: Array
    B: Array

    def apply(self, columns: Array) -> Array:
        """Return F times the columns."""
        return self.W @ columns + self.B @ (self.A @ columns)

    def transposed(self, columns: Array) -> Array:
        """Return F^T times the columns."""
        W, A, B = (namespace(self.W).matrix_transpose(x) for x in self)
        return W @ columns + A @ (B @ columns)


def _size(maps: Sequence[_Adapted], factor: Array | None = None) -> float:
    """Return ||F_k ... F_1 factor||_2 for ``maps = [F_1, ..., F_k]``; without a factor, that of the product."""
    start = like(maps[0].W, np.eye(maps[0].W.shape[1])) if factor is None and max(maps[0].W.shape) <= DIRECT else factor
    if start is not None and min(start.shape) <= DIRECT:
        return float(norm(reduce(lambda Y, F: F.apply(Y), maps, start), _A_DIGIT))
    xp = namespace(maps[0].W if factor is None else factor)

    def forward(y: Array) -> Array:
        return reduce(lambda Y, F: F.apply(Y), maps, y if factor is None else factor @ y)

    def backward(y: Array) -> Array:
        out = reduce(lambda Y, F: F.transposed(Y), reversed(maps), y)
        return out if factor is None else xp.matrix_transpose(factor) @ out

    return operator_norm(
        forward, backward, xp.matrix_transpose((maps[0].W if factor is None else factor)[:1, :]), _A_DIGIT
    )
