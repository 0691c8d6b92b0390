"""Lemma 1 strengthened: singular targets and first layers, ranks per layer, parameter counts."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, at_most, constructions, equal, exact, instances
from lora_proofs.backends import for_case
from lora_proofs.linalg import spectral_norm

from .linear import best_error, product_of
from .paper import PAPER, RATIONAL, residual

EXHAUSTIVE = {"ternary-2x2": (2, (-1, 0, 1)), "binary-3x3": (3, (0, 1))}
RANDOM = ("skew", "permutation", "projection", "zero", "low-rank")


def degenerate_targets(case: Case) -> Iterator[tuple[list[Any], Any]]:
    """Yield (frozen, target) of the case's kind; most violate the assumption that Pi + LR_r(E) is non-singular."""
    kind, L = case["targets"], case["L"]
    if kind in EXHAUSTIVE:
        n, entries = EXHAUSTIVE[kind]
        for target in instances.all_matrices(n, entries):
            yield [exact.identity(n)] * L, target
        return
    D = 6
    for _ in range(20):
        if kind == "low-rank":
            frozen = [instances.nonsingular(case.rng, D) for _ in range(L)]
            yield frozen, instances.rational_planted_rank(case.rng, D, D, int(case.rng.integers(0, D)))
            continue
        draw = instances.integers(case.rng, D, D)
        target = {
            "skew": draw - draw.transpose(),
            "permutation": instances.permutation(case.rng, D),
            "projection": instances.projection(case.rng, D, int(case.rng.integers(0, D))),
            "zero": exact.matrix(np.zeros((D, D), dtype=int)),
        }[kind]
        yield [exact.identity(D)] * L, target


def count_exact(case: Case, *, less: int = 0, exchanged: bool = False) -> Comparison:
    """Count the targets that adapters of rank ceil(rank E / L) represent exactly; all should be.

    A control asks for adapters of a rank less than they have, or exchanges them for those of the target before.
    """
    hits = total = 0
    before: list[Any] = []
    for frozen, target in degenerate_targets(case):
        R = -(-exact.rank(target - exact.product(frozen)) // case["L"])
        total += 1
        try:
            adapters = exact.adapt_linear_chain(frozen, target, R).adapters
        except ValueError:
            continue
        found = before or adapters if exchanged else adapters
        hits += represents(frozen, found, target, max(R - less, 0))
        before = adapters
    return equal(hits, total)


def represents(frozen: list[Any], adapters: list[Any], target: fmpq_mat, R: int) -> bool:
    """Tell whether adapters of rank at most R turn the product into the target, exactly."""
    return exact.is_zero(residual(frozen, adapters, target)) and all(exact.rank(a.delta()) <= R for a in adapters)


@PAPER.lemma("1-strengthened", targets=tuple(EXHAUSTIVE), L=(2, 3), seeded=False, proof=("lemma1_iff", "one_less"))
def lemma_1_strengthened(case: Case) -> Comparison:
    r"""W_l non-singular, \sum_l R_l >= rank(\bar W - \prod_l W_l): exact adapters of ranks R_l exist.

    Over every infinite field, for every \bar W, singular ones included, and without the paper's assumption that
    \prod_l W_l + LR_r(E) be non-singular. The measured value counts the targets that are represented exactly by
    R = \lceil rank E / L \rceil, with frozen identities: all 81 of {-1,0,1}^{2x2} and all 512 of {0,1}^{3x3} should be.
    """
    return count_exact(case)


@lemma_1_strengthened.control("one rank less", targets=("binary-3x3",), L=(2,))
def _(case: Case) -> Comparison:
    return count_exact(case, less=1)


@lemma_1_strengthened.control("the adapters of another target", targets=tuple(EXHAUSTIVE), L=(2,))
def _(case: Case) -> Comparison:
    return count_exact(case, exchanged=True)


@PAPER.lemma("1-strengthened-random", targets=RANDOM, L=(2, 3), proof="lemma1_iff")
def lemma_1_strengthened_random(case: Case) -> Comparison:
    """Claim lemma-1-strengthened on 20 random targets of each kind: none is out of reach of exact adapters."""
    return count_exact(case)


@lemma_1_strengthened_random.control("one rank less", targets=("low-rank",), L=(2,))
def _(case: Case) -> Comparison:
    return count_exact(case, less=1)


@lemma_1_strengthened_random.control("the adapters of another target", targets=("skew", "permutation"), L=(2,))
def _(case: Case) -> Comparison:
    return count_exact(case, exchanged=True)


@PAPER.lemma("1-strengthened-in-floats", targets=RANDOM, L=(2, 3))
def lemma_1_strengthened_in_floats(case: Case) -> Comparison:
    r"""The exact adapters of lemma-1-strengthened-random, in floats: their errors are 0 to rounding.

    Relative to the larger of \|\bar W\|_2 and \|\prod_l W_l\|_2, which is what has to cancel where the target is 0.
    """
    return at_most(largest_error(case), 0)


@PAPER.lemma("1-strengthened-in-floats-exhaustive", targets=tuple(EXHAUSTIVE), L=(2, 3), seeded=False)
def lemma_1_strengthened_in_floats_exhaustive(case: Case) -> Comparison:
    """The exact adapters of lemma-1-strengthened, in floats: their relative errors are 0 to rounding."""
    return at_most(largest_error(case), 0)


def largest_error(case: Case, *, less: int = 0) -> Any:
    """Return the largest relative error over the case's targets of adapters of rank ceil(rank E / L) - less."""
    worst = 0.0
    for frozen, target in degenerate_targets(case):
        rank = exact.rank(target - exact.product(frozen))
        R = -(-rank // case["L"]) - (less if rank else 0)
        *weights, goal = (in_floats(W, case) for W in (*frozen, target))
        size = max(spectral_norm(goal), spectral_norm(product_of(weights)))
        worst = max(worst, constructions.adapt_linear_chain(weights, goal, R).error / (size or 1.0))
    return worst


def in_floats(W: fmpq_mat, case: Case) -> Any:
    """Return a rational matrix in the case's library and precision, rounded to double precision first."""
    return for_case(np.array([[float(v) for v in row] for row in W.table()]), case)


@lemma_1_strengthened_in_floats.control("one rank less", targets=("skew",), L=(2,))
def _(case: Case) -> Comparison:
    return at_most(largest_error(case, less=1), 0)


@lemma_1_strengthened_in_floats_exhaustive.control("one rank less", targets=("ternary-2x2",), L=(2,))
def _(case: Case) -> Comparison:
    return at_most(largest_error(case, less=1), 0)


@PAPER.lemma("1-singular-first-layer", corank=(0, 1, 2, 3), R=(1, 2), D=(5,))
def lemma_1_singular_first_layer(case: Case) -> Comparison:
    r"""L = 2, W_2 and \bar W non-singular, 2R >= rank E: exact adapters exist if and only if corank(W_1) <= R.

    Measured: 1 if adapters are exact, as their residual over Q says. 0 if none are, whatever they be: W_1 + \Delta_1,
    and so the product, has a rank of at most rank(W_1) + R, which is then less than that of the target.
    """
    return equal(existence(case), int(case["corank"] <= case["R"]))


def existence(case: Case, *, less: int = 0, exchanged: bool = False) -> int | Fraction:
    """Return 1 where adapters of rank R are exact, 0 where the ranks forbid all of them, 1/2 where neither is shown.

    A control asks for adapters of a rank less than they have, or exchanges them for those of another target.
    """
    D, R, corank = case["D"], case["R"], case["corank"]
    first = instances.rational_planted_rank(case.rng, D, D, D - corank)
    frozen = [first, instances.nonsingular(case.rng, D)]
    # The target differs from Pi by rank at most 2R, and is non-singular if that is possible at all.
    if corank > 2 * R:
        raise OutOfScope("no non-singular target is within rank 2R of a product of this corank")
    target = near_target(case, frozen)
    if exact.rank(first) + R < exact.rank(target):
        return 0
    adapters = exact.adapt_linear_chain(frozen, near_target(case, frozen) if exchanged else target, R).adapters
    return 1 if represents(frozen, adapters, target, R - less) else Fraction(1, 2)


def near_target(case: Case, frozen: list[Any]) -> fmpq_mat:
    """Return a random non-singular target that differs from the product by rank 2R at most."""
    D, R = case["D"], case["R"]
    while True:
        target = exact.product(frozen) + instances.rational_planted_rank(case.rng, D, D, min(2 * R, D))
        if target.det() != 0:
            return target


@lemma_1_singular_first_layer.control("any corank is claimed to be repaired", corank=(2,), R=(1,), D=(5,))
def _(case: Case) -> Comparison:
    return equal(existence(case), 1)


@lemma_1_singular_first_layer.control("adapters of rank R - 1 are claimed", corank=(0,), R=(1, 2), D=(5,))
def _(case: Case) -> Comparison:
    return equal(existence(case, less=1), 1)


@lemma_1_singular_first_layer.control("the adapters of another target", corank=(0, 1), R=(1,), D=(5,))
def _(case: Case) -> Comparison:
    return equal(existence(case, exchanged=True), 1)


@PAPER.lemma(
    "1-ranks-per-layer",
    family=(RATIONAL, "gaussian", "uniform"),
    D=(8,),
    ranks=("0-3-1-2", "6-0-0", "1-2-5", "0-0-8"),
    proof=("lemma1_iff", "lemma1_norm"),
)
def lemma_1_ranks_per_layer(case: Case) -> Comparison:
    r"""Lemma 1 with a rank for each layer: the least error is \sigma_{R_1 + ... + R_L + 1}(\bar W - \prod_l W_l)."""
    ranks = [int(r) for r in case["ranks"].split("-")]
    return best_error(case.derive(L=len(ranks)), ranks, sum(ranks))


@lemma_1_ranks_per_layer.control("one rank less in one layer", family=(RATIONAL, "gaussian"), D=(6,), ranks=("0-3-1",))
def _(case: Case) -> Comparison:
    ranks = [int(r) for r in case["ranks"].split("-")]
    less = [max(r - 1, 0) if i == 1 else r for i, r in enumerate(ranks)]
    return best_error(case.derive(L=len(ranks)), less, sum(ranks))


def adapter_parameters(case: Case, split: list[int]) -> int:
    """Return the number of entries of exact adapters of a random integer instance whose E has full rank."""
    frozen = [instances.nonsingular(case.rng, case["D"]) for _ in split]
    while True:
        target = instances.nonsingular(case.rng, case["D"])
        if exact.rank(target - exact.product(frozen)) == case["D"]:
            break
    adapters = exact.adapt_linear_chain(frozen, target, split).adapters
    if not represents(frozen, adapters, target, max(split)):
        return 0
    return sum(a.A.nrows() * a.A.ncols() + a.B.nrows() * a.B.ncols() for a in adapters)


@PAPER.formula(
    "parameters-of-an-exact-chain",
    D=(6,),
    ranks=("6-0", "3-3", "2-2-2", "1-5", "1-1-1-1-1-1", "0-2-4"),
    proof="parameters_split",
)
def parameters_of_an_exact_chain(case: Case) -> Comparison:
    r"""At the threshold \sum_l R_l = rank(\bar W - \prod_l W_l) = D adapters have 2D^2 parameters, however split."""
    return equal(adapter_parameters(case, [int(r) for r in case["ranks"].split("-")]), 2 * case["D"] ** 2)


@parameters_of_an_exact_chain.control("counted as D^2, the size of the target", D=(6,), ranks=("3-3",))
def _(case: Case) -> Comparison:
    return equal(adapter_parameters(case, [int(r) for r in case["ranks"].split("-")]), case["D"] ** 2)


def tangent_dimension(case: Case) -> int:
    """Return the rank of the derivative of (A, B) -> B A at random integer factors, of a range that makes them generic.

    The point belongs to the method, not to the instance, which has no random numbers.
    """
    D, R = case["D"], case["R"]
    rng = case.rng.spawn(1)[0]
    A, B = instances.integers(rng, R, D, -(10**6), 10**6), instances.integers(rng, D, R, -(10**6), 10**6)
    rows = [[B[i, k] * (j == m) for i in range(D) for j in range(D)] for k in range(R) for m in range(D)]
    rows += [[A[k, j] * (i == m) for i in range(D) for j in range(D)] for k in range(R) for m in range(D)]
    return exact.rank(rows)


@PAPER.formula("dimension-of-adapters", D=(3, 5), R=(1, 2), proof="gauge_unique")
def dimension_of_adapters(case: Case) -> Comparison:
    r"""The updates of rank R have dimension R(2D - R), fewer than the 2DR entries of A and B: (A, B) ~ (G^{-1}A, BG).

    Measured: the rank of the derivative of (A, B) -> BA at a rational point, a lower bound of the generic rank; the
    R^2 gauge directions are the upper bound.
    """
    return equal(tangent_dimension(case), case["R"] * (2 * case["D"] - case["R"]))


@dimension_of_adapters.control("counted as 2DR")
def _(case: Case) -> Comparison:
    return equal(tangent_dimension(case), 2 * case["D"] * case["R"])
