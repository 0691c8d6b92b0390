"""Which frozen layers imitate which target layer (Zeng & Lee, Theorems 3 and 6, arXiv 2310.17513v3)."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from numbers import Integral
from typing import Any, TypeAlias

from lora_proofs.exact import algebra, matrices
from lora_proofs.linalg import chain_product, numerical_rank, spectral_norm

Partition: TypeAlias = list[range]
"""Consecutive non-empty blocks of the layer indices 0, ..., L - 1."""


def uniform_partition(L: int, Lbar: int) -> Partition:
    """Return Theorem 3's blocks: floor(L / Lbar) layers each, the remainder in the last."""
    M = L // Lbar
    return [range(i * M, (i + 1) * M if i < Lbar - 1 else L) for i in range(Lbar)]


def read_partition(partition: Any, L: int, Lbar: int) -> Partition:
    """Return the blocks that a user means.

    Parameters
    ----------
    partition : None, sequence of int, or sequence of sequences of int
        None is the uniform partition; integers are the sizes of the blocks; sequences list the layers of each block,
        numbered from 0 as in Python or from 1 as in the paper.

    Raises
    ------
    ValueError
        If it is no partition of the L layers into Lbar consecutive non-empty blocks.
    """
    if partition is None:
        return uniform_partition(L, Lbar)
    try:
        blocks = list(partition)
        if any(isinstance(block, str) for block in (partition, *blocks)):
            raise TypeError
        if all(isinstance(size, Integral) for size in blocks):
            ends = list(accumulate(blocks))
            blocks = [range(end - size, end) for size, end in zip(blocks, ends, strict=True)]
        layers = [layer for block in blocks for layer in block]
    except TypeError:
        blocks, layers = [], []
    first = layers[0] if layers else 0
    if (
        len(blocks) != Lbar
        or not all(map(len, blocks))
        or layers != list(range(first, first + L))
        or first not in (0, 1)
    ):
        raise ValueError(
            f"{partition!r} is no partition of {L} layers into {Lbar} consecutive non-empty blocks, one for each "
            "target layer; pass the block sizes, such as [2, 2], or None for the uniform one"
        )
    return [range(block[0] - first, block[-1] - first + 1) for block in blocks]


def required_ranks(weights: Sequence[Any], goals: Sequence[Callable[[Any], Any]]) -> Callable[[int, range], int]:
    """Return the function (target layer, block) -> rank(goal - product of the block), computed once a pair.

    Parameters
    ----------
    weights : list of L matrices, floating or rational
    goals : list of Lbar functions
        From the product of a block to the matrix that it has to become: the target layer, or its expansion.
    """
    seen: dict[tuple[int, range], int] = {}

    def rank(layer: int, block: range) -> int:
        if (layer, block) not in seen:
            Pi = chain_product([weights[l] for l in block])
            goal = goals[layer](Pi)
            if matrices.is_rational(Pi):
                seen[layer, block] = algebra.rank(goal - Pi)
            else:
                scale = max(spectral_norm(Pi), spectral_norm(goal))
                seen[layer, block] = numerical_rank(goal - Pi, scale=scale).rank
        return seen[layer, block]

    return rank


def best_partition(L: int, Lbar: int, cost: Callable[[int, range], float]) -> Partition:
    """Return the partition of L layers into Lbar blocks whose largest cost(i, block) is least, by dynamic programming.

    Ties go to the smaller sum of costs. With ``cost = ceil(rank / len(block))`` the optimum is the smallest uniform
    rank of Theorem 6.
    """
    best: list[dict[int, tuple[float, float, Partition]]] = [{0: (float("-inf"), 0.0, [])}]
    for i in range(Lbar):
        row: dict[int, tuple[float, float, Partition]] = {}
        for end in range(i + 1, L - (Lbar - i - 1) + 1):
            for start, (worst, total, blocks) in best[i].items():
                if start >= end:
                    continue
                price = cost(i, range(start, end))
                candidate = (max(worst, price), total + price, [*blocks, range(start, end)])
                if end not in row or candidate[:2] < row[end][:2]:
                    row[end] = candidate
        best.append(row)
    return best[Lbar][L][2]
