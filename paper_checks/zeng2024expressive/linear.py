"""Linear models: Lemma 1, its strengthened form, ranks per layer, parameter counts."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, at_least, at_most, constructions, equal, exact, instances
from lora_proofs.backends import array
from lora_proofs.linalg import like, singular_values, spectral_norm

from .paper import PAPER, RATIONAL, frozen_chain, residual, target_matrix


def adapted_to_planted(case: Case, ranks: list[int], spectrum: list[int]) -> Fraction:
    """Return the spectral norm of the residual of rational adapters, for E = U diag(s) V^T with U, V orthogonal over Q.

    LR_c(E) is rational then, and the adapters represent Pi + LR_c(E) exactly.
    """
    frozen, c = frozen_chain(case), min(sum(ranks), case["D"])
    E, U, V = instances.planted_svd(case.rng, case["D"], spectrum)
    kept = fmpq_mat(case["D"], case["D"])
    for i in range(c):
        kept[i, i] = spectrum[i]
    adapters = exact.adapt_linear_chain(frozen, exact.product(frozen) + U * kept * V.transpose(), ranks).adapters
    return planted_error(frozen, adapters, exact.product(frozen) + E, U, V)


def planted_error(frozen: list[Any], adapters: list[Any], target: fmpq_mat, U: fmpq_mat, V: fmpq_mat) -> Fraction:
    """Return the spectral norm of the residual, of which U^T residual V is diagonal."""
    diagonal = U.transpose() * residual(frozen, adapters, target) * V
    if any(diagonal[i, j] != 0 for i in range(U.nrows()) for j in range(U.nrows()) if i != j):
        raise ArithmeticError("the residual is not the tail of the SVD of E")
    largest = max(abs(diagonal[i, i]) for i in range(U.nrows()))
    return Fraction(int(largest.p), int(largest.q))


def best_error(case: Case, ranks: list[int], spent: int) -> Comparison:
    """Compare the error of the adapters of these ranks with sigma_{spent + 1}(target - Pi)."""
    D = case["D"]
    if case["family"] == RATIONAL:
        spectrum = list(range(2 * D, 0, -2))
        return equal(adapted_to_planted(case, ranks, spectrum), spectrum[spent] if spent < D else 0)
    frozen, target = frozen_chain(case), target_matrix(case)
    result = constructions.adapt_linear_chain(frozen, target, ranks)
    error = like(result.adapters[0].B, result.error)  # the scalar in the library and type that it comes from
    if spent == sum(ranks):
        return equal(error, result.bound)
    return equal(error, singular_values(target - _product(frozen))[spent])


def _product(frozen: list[Any]) -> Any:
    Pi = frozen[0]
    for W in frozen[1:]:
        Pi = W @ Pi
    return Pi


@PAPER.lemma(
    "1",
    family=(RATIONAL, "gaussian", "uniform", "orthogonal"),
    D=(4, 8),
    L=(2, 3),
    R=(1, 2),
    points=[
        {"family": "gaussian", "D": 16, "L": 8, "R": 1},
        {"family": "uniform", "D": 32, "L": 4, "R": 4},
        {"family": RATIONAL, "D": 16, "L": 4, "R": 2},
    ],
)
def lemma_1(case: Case) -> Comparison:
    r"""For non-singular W_1, ..., W_L and every target, adapters of rank at most R attain the least possible error.

    \| \prod_l (W_l + \Delta_l) - \bar W \|_2 = \sigma_{RL+1}(\bar W - \prod_l W_l); in particular \bar W is represented
    exactly from R = \lceil rank(\bar W - \prod_l W_l) / L \rceil on. (The paper also assumes that \prod_l W_l + LR_r(E)
    is non-singular for r <= R(L-1): see lemma-1-strengthened. That nothing is smaller: lemma-1-optimality.)
    """
    return best_error(case, [case["R"]] * case["L"], case["R"] * case["L"])


@lemma_1.control("one rank less: the bound is sigma_{RL}", family=(RATIONAL, "gaussian"), D=(4,), L=(2,), R=(1,))
def _(case: Case) -> Comparison:
    return best_error(case, [case["R"]] * case["L"], case["R"] * case["L"] - 1)


@lemma_1.control("singular layers: W_1 = W_2 = 0, target I", points=[{"D": 2}])
def _(case: Case) -> Comparison:
    D = case["D"]
    frozen = [fmpq_mat(D, D) for _ in range(2)]
    column = fmpq_mat(D, 1, [1] + [0] * (D - 1))
    adapters = [exact.RationalAdapter(column.transpose(), column) for _ in frozen]
    # The best that rank 1 can do: a matrix of rank < D is at distance >= 1 from I, while sigma_{RL + 1}(I - 0) = 0.
    return equal(planted_error(frozen, adapters, exact.identity(D), exact.identity(D), exact.identity(D)), 0)


@PAPER.lemma("1-optimality", points=[
    {"family": RATIONAL, "D": D, "L": L, "R": R} for D, L, R in ((4, 2, 1), (4, 3, 1), (8, 2, 2), (8, 3, 1), (8, 3, 2))
], sampled=True)  # fmt: skip
def lemma_1_optimality(case: Case) -> Comparison:
    r"""For all adapters of rank at most R and all W_l, rank(\prod_l (W_l + \Delta_l) - \prod_l W_l) <= RL.

    With Eckart-Young, no adapters do better than \sigma_{RL+1}(\bar W - \prod_l W_l). Telescoping writes the difference
    with inner width RL (formula-subadditivity); here random integer adapters are tried, at RL < D, where almost all of
    them attain RL: a rank more in one layer goes beyond it.
    """
    return at_most(rank_of_change(case, [case["R"]] * case["L"]), case["R"] * case["L"])


def rank_of_change(case: Case, ranks: list[int]) -> int:
    """Return the rank of prod (W_l + Delta_l) - prod W_l for random integer adapters of these ranks."""
    D = case["D"]
    frozen = [instances.nonsingular(case.rng, D) for _ in ranks]
    updates = [instances.rational_planted_rank(case.rng, D, D, r) for r in ranks]
    changed = exact.product([W + U for W, U in zip(frozen, updates, strict=True)])
    return exact.rank(changed - exact.product(frozen))


@lemma_1_optimality.control(
    "one layer has an update of rank R + 1", points=[{"D": 8, "L": 2, "R": 1}, {"D": 8, "L": 3, "R": 1}]
)
def _(case: Case) -> Comparison:
    ranks = [case["R"] + 1] + [case["R"]] * (case["L"] - 1)
    return at_most(rank_of_change(case, ranks), case["R"] * case["L"])


@PAPER.lemma("1-local-search", D=(3,), L=(2,), R=(1,), sampled=True)
def lemma_1_local_search(case: Case) -> Comparison:
    r"""For all adapters of rank <= R, \| \prod_l (W_l + \Delta_l) - \bar W \|_F >= (\sum_{i > RL} \sigma_i^2)^{1/2}.

    The Frobenius form of Lemma 1's lower bound; a local minimiser (BFGS from random starts) tries to go below it. It
    comes within 1 % of the bound, and below it once a layer has a rank more.
    """
    return local_minimum(case, [case["R"]] * case["L"])


@lemma_1_local_search.control("the first layer has a rank more")
def _(case: Case) -> Comparison:
    return local_minimum(case, [case["R"] + 1] + [case["R"]] * (case["L"] - 1))


@lemma_1_local_search.control("the bound raised by 1 %")
def _(case: Case) -> Comparison:
    found = local_minimum(case, [case["R"]] * case["L"])
    return at_least(found.measured, 1.01 * found.bound)


STARTS = 4


def local_minimum(case: Case, ranks: list[int]) -> Comparison:
    """Compare the least error that BFGS finds with adapters of these ranks with Eckart and Young's bound for rank R.

    In the Frobenius norm, and relative to the target.
    """
    from scipy.optimize import minimize

    D, L, R = case["D"], case["L"], case["R"]
    frozen = instances.chain(case.rng, D, L, "orthogonal")
    target = instances.gaussian(case.rng, D, D)
    tail = np.linalg.svd(target - _product(frozen), compute_uv=False)[R * L :]
    ends = np.cumsum([2 * D * r for r in ranks])

    def updates(x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for end, r in zip(ends, ranks, strict=True):
            yield x[end - 2 * D * r : end].reshape(2, D, r)

    def loss(x: np.ndarray) -> float:
        product = _product([W + B @ A.T for W, (B, A) in zip(frozen, updates(x), strict=True)])
        return float(np.sum((product - target) ** 2))

    starts = case.rng.standard_normal((STARTS, ends[-1]))
    found = min(minimize(loss, start, method="BFGS", options={"gtol": 1e-10}).fun for start in starts)
    return at_least(float(np.sqrt(found)), float(np.linalg.norm(tail)))


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


@PAPER.lemma("1-strengthened", targets=tuple(EXHAUSTIVE), L=(2, 3), seeded=False)
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


@PAPER.lemma("1-strengthened-random", targets=RANDOM, L=(2, 3))
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
        size = max(spectral_norm(goal), spectral_norm(_product(weights)))
        worst = max(worst, constructions.adapt_linear_chain(weights, goal, R).error / (size or 1.0))
    return worst


def in_floats(W: fmpq_mat, case: Case) -> Any:
    """Return a rational matrix in the case's library and precision, rounded to double precision first."""
    return array(np.array([[float(v) for v in row] for row in W.table()]), case)


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
    "1-ranks-per-layer", family=(RATIONAL, "gaussian", "uniform"), D=(8,), ranks=("0-3-1-2", "6-0-0", "1-2-5", "0-0-8")
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


@PAPER.formula("parameters-of-an-exact-chain", D=(6,), ranks=("6-0", "3-3", "2-2-2", "1-5", "1-1-1-1-1-1", "0-2-4"))
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


@PAPER.formula("dimension-of-adapters", D=(3, 5), R=(1, 2))
def dimension_of_adapters(case: Case) -> Comparison:
    r"""The updates of rank R have dimension R(2D - R), fewer than the 2DR entries of A and B: (A, B) ~ (G^{-1}A, BG).

    Measured: the rank of the derivative of (A, B) -> BA at a rational point, a lower bound of the generic rank; the
    R^2 gauge directions are the upper bound.
    """
    return equal(tangent_dimension(case), case["R"] * (2 * case["D"] - case["R"]))


@dimension_of_adapters.control("counted as 2DR")
def _(case: Case) -> Comparison:
    return equal(tangent_dimension(case), 2 * case["D"] * case["R"])
