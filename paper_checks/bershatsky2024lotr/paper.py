"""The paper, and stacks of updates over Q."""

from fractions import Fraction
from typing import Any

from flint import fmpq_mat

from lora_proofs import Case, Paper, exact, instances

PAPER = Paper(
    key="bershatsky2024lotr",
    title="LoTR: Low Tensor Rank Weight Adaptation",
    authors=("Daniel Bershatsky", "Daria Cherniuk", "Talgat Daulbaev", "Aleksandr Mikhalev", "Ivan Oseledets"),
    year=2024,
    arxiv="2402.01376v2",
)

Stack = list[Any]
"""The updates of all layers."""


def side_by_side(stack: Stack) -> fmpq_mat:
    """Return [Delta_1, ..., Delta_L]: its columns span what A has to span."""
    return fmpq_mat([[x for layer in stack for x in layer.table()[i]] for i in range(stack[0].nrows())])


def transposed(stack: Stack) -> Stack:
    """Return the transposes."""
    return [layer.transpose() for layer in stack]


def squared(stack: Stack) -> Fraction:
    """Return the sum of the squares of all entries."""
    return sum((exact.frobenius_norm_squared(layer) for layer in stack), Fraction(0))


def lotr(case: Case, r: int) -> Stack:
    """Return a random stack of Tucker rank r, integer."""
    d, L = case["d"], case["L"]
    A, B = (instances.rational_planted_rank(case.rng, d, r, r) for _ in range(2))
    return [A * instances.nonsingular(case.rng, r) * B.transpose() for _ in range(L)]


def independent(case: Case, r: int) -> Stack:
    """Return independent layers of rank r."""
    return [instances.rational_planted_rank(case.rng, case["d"], case["d"], r) for _ in range(case["L"])]


def factorize(stack: Stack) -> tuple[fmpq_mat, Stack, fmpq_mat]:
    """Return A, the cores and B with Delta_s = A G_s B^T, of the least widths: ranks of the two unfoldings."""
    A, _ = exact.full_rank_factorization(side_by_side(stack))
    B, _ = exact.full_rank_factorization(side_by_side(transposed(stack)))
    left, right = ((M.transpose() * M).inv() * M.transpose() for M in (A, B))
    return A, [left * layer * right.transpose() for layer in stack], B
