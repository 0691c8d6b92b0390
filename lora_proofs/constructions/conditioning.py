"""How well adapters can be stored and multiplied back in the arithmetic that they are returned in."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np

from lora_proofs.adapters import Adapter
from lora_proofs.constructions.operators import DIRECT, norm, operator_norm, product_norm
from lora_proofs.display import Readable, show
from lora_proofs.linalg import Array, floats, like, namespace, unit_roundoff

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
        max_l ||F_L ... F_{l+1} B_l|| ||A_l|| ||P_{l-1}|| / ||target||, with F_l the adapted layers: to first order, the
        relative change of the product for a relative change of one factor.
    rounding : float
        amplification * unit roundoff: what rounding the adapters may cost, whatever algorithm found them.
    largest_update : float
        max_l ||Delta_l||.
    warning : str
        Empty, or a sentence: rounding may cost, or has cost, more than 1e-6 of the target, and what to do.
    """

    amplification: float
    rounding: float
    largest_update: float
    warning: str

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        headline = f"amplification {show(self.amplification)}, rounding {show(self.rounding)}"
        rows = {"largest update": show(self.largest_update), "warning": self.warning}
        return headline, {name: text for name, text in rows.items() if text}


def measure_conditioning(
    frozen: Sequence[Array], adapters: Sequence[Adapter], target: Array, excess: float
) -> Conditioning:
    """Return the `Conditioning` of adapters whose product misses the best possible error by the excess."""
    maps = [_Adapted(floats(W), floats(a.A), floats(a.B)) for W, a in zip(frozen, adapters, strict=True)]
    size = float(norm(floats(target), _A_DIGIT)) or 1.0
    terms = []
    for l, F in enumerate(maps):
        before = _size(maps[:l]) if l else 1.0
        terms.append(_size(maps[l + 1 :], F.B) * float(norm(F.A, _A_DIGIT)) * before / size)
    rounding = max(terms) * float(unit_roundoff(target))
    cost = max(rounding, excess / size)
    return Conditioning(
        amplification=max(terms),
        rounding=rounding,
        largest_update=max(float(product_norm([F.B, F.A], 1e-8)) for F in maps),
        warning=""
        if cost < _TOLERABLE
        else f"rounding costs {cost:.0e} of the target in this arithmetic: pass the matrices through precision.lift, "
        "or as rationals to exact.adapt_linear_chain",
    )


class _Adapted(NamedTuple):
    """The layer W + B A, which is not formed."""

    W: Array
    A: Array
    B: Array

    def apply(self, y: Array) -> Array:
        """Return F y."""
        return self.W @ y + self.B @ (self.A @ y)

    def transposed(self, y: Array) -> Array:
        """Return F^T y."""
        W, A, B = (namespace(self.W).matrix_transpose(x) for x in self)
        return W @ y + A @ (B @ y)


def _size(maps: Sequence[_Adapted], B: Array | None = None) -> float:
    """Return ||F_k ... F_1 B||_2 for ``maps = [F_1, ..., F_k]``; without B, that of the product of the layers."""
    start = like(maps[0].W, np.eye(maps[0].W.shape[1])) if B is None and max(maps[0].W.shape) <= DIRECT else B
    if start is not None and min(start.shape) <= DIRECT:
        return float(norm(reduce(lambda Y, F: F.apply(Y), maps, start), _A_DIGIT))
    xp = namespace(maps[0].W if B is None else B)

    def forward(y: Array) -> Array:
        return reduce(lambda Y, F: F.apply(Y), maps, y if B is None else B @ y)

    def backward(y: Array) -> Array:
        out = reduce(lambda Y, F: F.transposed(Y), reversed(maps), y)
        return out if B is None else xp.matrix_transpose(B) @ out

    return operator_norm(forward, backward, xp.matrix_transpose((maps[0].W if B is None else B)[:1, :]), _A_DIGIT)
