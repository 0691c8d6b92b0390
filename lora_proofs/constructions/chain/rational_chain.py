"""The constructions over Q: same objects, same certificates, no rounding.

The truncated SVD has no place here, since singular vectors are irrational: over Q the adapters represent the target
exactly or not at all.
"""

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import flint

from lora_proofs.constructions.chain.conditioning import Conditioning
from lora_proofs.constructions.chain.square_chain import AdaptedChain
from lora_proofs.exact.adapter import RationalAdapter
from lora_proofs.exact.matrices import Matrix, block, divide_right, full_rank_factorization, identity, matrix, product
from lora_proofs.linalg import check_list, check_ranks

_RANDOM_BASES = 50
"""Tries of a basis with small integer entries; almost every basis works where any does, so the first nearly always."""

_EXACT = Conditioning(amplification=0.0, rounding=0.0, largest_update=0.0, warning="")


def adapt_linear_chain(frozen: Sequence[Matrix], target: Matrix, ranks: int | Sequence[int]) -> AdaptedChain:
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
    """
    frozen, target = _checked(frozen, target)
    budget = check_ranks(ranks, len(frozen))
    U, Vt = full_rank_factorization(target - product(frozen))
    if sum(budget) < Vt.nrows():
        raise ValueError(
            f"the ranks sum to {sum(budget)}, but target - W_L...W_1 has rank {Vt.nrows()}: no such adapters are "
            "exact, and the best ones are irrational; pass larger ranks, or floats to constructions.adapt_linear_chain"
        )
    P = identity(target.nrows())
    adapters = []
    for layer, r in enumerate(budget):
        adapter, P, U, Vt = _spend(frozen, layer, min(r, Vt.nrows()), P, U, Vt)
        adapters.append(adapter)
    if target != P:
        raise ArithmeticError("the adapted product is not the target: please report this instance")
    return AdaptedChain(adapters, error=Fraction(0), bound=Fraction(0), conditioning=_EXACT)


def _checked(frozen: Sequence[Matrix], target: Matrix) -> tuple[list[Any], Any]:
    frozen, target = [matrix(W) for W in check_list("frozen", frozen)], matrix(target)
    if not frozen:
        raise ValueError("frozen is empty; pass a list of at least one weight matrix")
    D = frozen[0].nrows()
    for name, W in [*((f"frozen[{i}] (W_{i + 1})", W) for i, W in enumerate(frozen)), ("target", target)]:
        if (W.nrows(), W.ncols()) != (D, D):
            raise ValueError(f"{name} has shape ({W.nrows()}, {W.ncols()}); pass a matrix of shape ({D}, {D})")
    for i, W in enumerate(frozen[1:], start=1):
        if W.det() == 0:
            raise ValueError(f"frozen[{i}] (W_{i + 1}) is singular; Lemma 1 needs W_2, ..., W_L to be non-singular")
    return frozen, target


def _spend(frozen: list[Any], layer: int, r: int, P: Any, U: Any, Vt: Any) -> tuple[RationalAdapter, Any, Any, Any]:
    """Spend r of the rank-one pieces of U V^T on one layer, in a basis that lets the later layers spend the rest."""
    D, q = U.nrows(), U.ncols()
    for G in _bases(q, trivial=r in (0, q)):
        UG, GVt = U * G, G.solve(Vt) if q else Vt
        A = divide_right(block(GVt, range(r), range(D)), P)
        B = block(UG, range(D), range(r))
        for W in reversed(frozen[layer + 1 :]):
            B = W.solve(B)
        adapter = RationalAdapter(A, B)
        product = adapter.merge(frozen[layer]) * P
        left = block(GVt, range(r, q), range(D))
        if _row_space_contains(product, left):
            return adapter, product, block(UG, range(D), range(r, q)), left
    raise ValueError(
        f"W_1 is too singular to be repaired by an adapter of rank {r} in layer {layer + 1}: "
        "the later layers cannot reach the target; pass a larger rank for layer 1, or a non-singular W_1"
    )


def _row_space_contains(x: Any, rows: Any) -> bool:
    """Tell whether a later layer can form these rows from what x lets through: A x = rows is solvable."""
    rank = x.rank()
    return bool(rank == x.ncols() or flint.fmpq_mat(x.table() + rows.table()).rank() == rank)


def _bases(q: int, *, trivial: bool) -> Iterator[Any]:
    yield identity(q)
    if trivial:
        return
    draw = random.Random(q)
    for _ in range(_RANDOM_BASES):
        G = flint.fmpq_mat(q, q, [draw.randint(-2, 2) for _ in range(q * q)])
        if G.det() != 0:
            yield G
