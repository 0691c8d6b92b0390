r"""Exact compression of factored gradients: only the spans of their factors matter.

Let Q have orthonormal columns that span the columns of all left factors. Then <G, delta> = <G, Q Q^T delta>, and
Q Q^T delta has no larger nuclear norm, so an optimal u lies in the span of Q; likewise v. A layer in which N K t
columns occur, fewer than its m rows, is thus a layer with N K t rows. Last layers read at one position are such: their
query gradients have rank 1 (re-derived for the setting of Jang, Lee & Ryu, arXiv 2402.11867v3).
"""

from dataclasses import dataclass

import numpy as np

from lora_proofs.ntk.gradients import DenseGradients, FactoredGradients, Gradients
from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.ntk.types import Blocks, Factors, FloatArray

_DENSE = 2**18
"""Entries up to which a compressed block is multiplied out: the calls would cost more than the arithmetic."""


@dataclass(frozen=True, eq=False)
class Compressed:
    """A problem with the same optimum and smaller blocks, and the bases that lead back; None stands for identity."""

    problem: LinearizedProblem
    left: list[FloatArray | None]
    right: list[FloatArray | None]

    def reduce(self, u: Blocks, v: Blocks) -> Factors:
        """See `reductions.Reduction`."""
        return _components(self.left, u), _components(self.right, v)

    def lift(self, u: Blocks, v: Blocks) -> Factors:
        """See `reductions.Reduction`."""
        return _combinations(self.left, u), _combinations(self.right, v)


def _components(bases: list[FloatArray | None], side: Blocks) -> Blocks:
    return [x if basis is None else basis.T @ x for basis, x in zip(bases, side, strict=True)]


def _combinations(bases: list[FloatArray | None], side: Blocks) -> Blocks:
    return [x if basis is None else basis @ x for basis, x in zip(bases, side, strict=True)]


def compress(problem: LinearizedProblem) -> Compressed:
    """Return the problem with its factored blocks in coordinates of the spans of their factors."""
    blocks, left, right = [], [], []
    for block in problem.blocks:
        small, P, Q = _compress_block(block)
        blocks.append(small)
        left.append(P)
        right.append(Q)
    return Compressed(problem.with_blocks(blocks), left, right)


def _compress_block(block: Gradients) -> tuple[Gradients, FloatArray | None, FloatArray | None]:
    if not isinstance(block, FactoredGradients):
        return block, None, None
    L, P = _span(block.left_factors)
    R, Q = _span(block.right_factors)
    small = FactoredGradients(L, R)
    if np.prod(small.shape) <= _DENSE:
        return DenseGradients(np.ascontiguousarray(L @ R.swapaxes(2, 3))), P, Q
    return small, P, Q


def _span(factors: FloatArray) -> tuple[FloatArray, FloatArray | None]:
    """Return the factors in an orthonormal basis of their columns, and the basis, if that makes them shorter."""
    N, K, m, t = factors.shape
    if N * K * t >= m:
        return factors, None
    Q, R = np.linalg.qr(factors.transpose(2, 0, 1, 3).reshape(m, -1))
    return np.ascontiguousarray(R.reshape(-1, N, K, t).transpose(1, 2, 0, 3)), Q
