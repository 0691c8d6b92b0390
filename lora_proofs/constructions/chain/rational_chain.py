"""The constructions over Q: same objects, same certificates, no rounding.

The truncated SVD has no place here, since singular vectors are irrational: over Q the adapters represent the target
exactly or not at all.
"""

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from flint import fmpq_mat

from lora_proofs.constructions.chain.conditioning import EXACT
from lora_proofs.constructions.chain.square_chain import AdaptedChain
from lora_proofs.exact.adapter import RationalAdapter
from lora_proofs.exact.algebra import divide_right, full_rank_factorization, product
from lora_proofs.exact.matrices import Matrix, block, identity, matrix, vstack
from lora_proofs.linalg import check_list, check_ranks

_RANDOM_BASES = 50
"""Tries of a basis with small integer entries; almost every basis works where any does, so the first nearly always."""


class _State(NamedTuple):
    """The product of the layers adapted so far, and the factors U V^T of what the later ones have to add to it."""

    product: fmpq_mat
    U: fmpq_mat
    Vt: fmpq_mat


def adapt_rational_chain(frozen: Sequence[Matrix], target: Matrix, ranks: int | Sequence[int]) -> AdaptedChain:
    """Return rational adapters of the given ranks with prod (W_l + Delta_l) = target, exactly.

    Zeng & Lee, Lemma 1 and its form with a rank for each layer, arXiv 2310.17513v3, for R_1 + ... + R_L >= rank(target
    - W_L ... W_1) and without the assumption on Pi + LR_r(E): any target whatever, singular ones included. With
    target - Pi = U V^T, layer l spends R_l columns of U G_l and rows of G_l^{-1} V^T, where G_l = I if that leaves the
    later layers what they need, else a random integer matrix.

    Parameters
    ----------
    frozen : list of L matrices (D, D)
        ``fmpq_mat``, or lists of rows of Fractions or integers. W_2, ..., W_L must be non-singular.
    target : matrix (D, D)
    ranks : int or L ints

    Returns
    -------
    AdaptedChain
        ``adapters`` are `RationalAdapter`; ``error`` and ``bound`` are the Fraction 0.

    Raises
    ------
    ValueError
        If the input is malformed, the ranks sum to less than rank(target - Pi) (the best approximation is then
        irrational), one of W_2, ..., W_L is singular, or W_1 is so singular that its adapter cannot repair it.

    Examples
    --------
    >>> from lora_proofs import exact
    >>> first, second = exact.adapt_linear_chain([[[1, 0], [0, 1]]] * 2, [[0, 1], [-1, 0]], 1).adapters
    >>> second.merge([[1, 0], [0, 1]]) * first.merge([[1, 0], [0, 1]])
    [ 0, 1]
    [-1, 0]
    """
    weights, goal = _checked(frozen, target)
    budget = check_ranks(ranks, len(weights))
    U, Vt = full_rank_factorization(goal - product(weights))
    if sum(budget) < Vt.nrows():
        raise ValueError(
            f"the ranks sum to {sum(budget)}, but target - W_L...W_1 has rank {Vt.nrows()}: no such adapters are "
            "exact, and the best ones are irrational; pass larger ranks, or floats to constructions.adapt_linear_chain"
        )
    state, adapters = _State(identity(goal.nrows()), U, Vt), []
    for layer, rank in enumerate(budget):
        adapter, state = _spend(weights, layer, min(rank, state.Vt.nrows()), state)
        adapters.append(adapter)
    if goal != state.product:
        raise ArithmeticError("the adapted product is not the target: please report this instance")
    return AdaptedChain(adapters, error=Fraction(0), bound=Fraction(0), conditioning=EXACT)


def _checked(frozen: Sequence[Matrix], target: Matrix) -> tuple[list[fmpq_mat], fmpq_mat]:
    weights, goal = [matrix(W) for W in check_list("frozen", frozen)], matrix(target)
    if not weights:
        raise ValueError("frozen is empty; pass a list of at least one weight matrix")
    D = weights[0].nrows()
    for name, W in [*((f"frozen[{i}] (W_{i + 1})", W) for i, W in enumerate(weights)), ("target", goal)]:
        if (W.nrows(), W.ncols()) != (D, D):
            raise ValueError(f"{name} has shape ({W.nrows()}, {W.ncols()}); pass a matrix of shape ({D}, {D})")
    for i, W in enumerate(weights[1:], start=1):
        if W.det() == 0:
            raise ValueError(f"frozen[{i}] (W_{i + 1}) is singular; Lemma 1 needs W_2, ..., W_L to be non-singular")
    return weights, goal


def _spend(weights: list[fmpq_mat], layer: int, rank: int, state: _State) -> tuple[RationalAdapter, _State]:
    """Spend some of the rank-one pieces of U V^T on one layer, in a basis that lets the later layers spend the rest."""
    before, U, Vt = state
    D, q = U.nrows(), U.ncols()
    for G in _bases(q, trivial=rank in (0, q)):
        UG, GVt = U * G, G.solve(Vt) if q else Vt
        A = divide_right(block(GVt, range(rank), range(D)), before)
        B = block(UG, range(D), range(rank))
        for W in reversed(weights[layer + 1 :]):
            B = W.solve(B)
        adapter = RationalAdapter(A, B)
        after = _State(
            adapter.merge(weights[layer]) * before,
            block(UG, range(D), range(rank, q)),
            block(GVt, range(rank, q), range(D)),
        )
        if _row_space_contains(after.product, after.Vt):
            return adapter, after
    raise ValueError(
        f"W_1 is too singular to be repaired by an adapter of rank {rank} in layer {layer + 1}: "
        "the later layers cannot reach the target; pass a larger rank for layer 1, or a non-singular W_1"
    )


def _row_space_contains(matrix: fmpq_mat, rows: fmpq_mat) -> bool:
    """Tell whether a later layer can form these rows from what the matrix lets through: A matrix = rows is solvable."""
    rank = matrix.rank()
    return bool(rank == matrix.ncols() or vstack(matrix, rows).rank() == rank)


def _bases(size: int, *, trivial: bool) -> Iterator[fmpq_mat]:
    yield identity(size)
    if trivial:
        return
    draw = random.Random(size)
    for _ in range(_RANDOM_BASES):
        G = fmpq_mat(size, size, [draw.randint(-2, 2) for _ in range(size * size)])
        if G.det() != 0:
            yield G
