"""Sharper ranks than Theorem 3's for two and more target layers, from above and from below. Not in the paper."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, ctx, fmpq

from lora_proofs import Box, Case, Comparison, constructions, equal, exact, instances
from lora_proofs.enclosure import Enclosure

from .paper import PAPER, certified_error

RANKS = [
    {"D": D, "L": L, "Lbar": Lbar, "R": R}
    for D, L, Lbar, R in (
        (16, 4, 2, 7), (16, 2, 2, 14), (16, 3, 2, 10), (8, 3, 2, 5), (20, 2, 2, 17), (12, 3, 2, 7), (16, 3, 3, 13),
    )
]  # fmt: skip


@PAPER.proposition("required-rank", points=RANKS)
def required(case: Case) -> Comparison:
    r"""On an open set of pairs of models the least uniform rank is R < \lceil D / \lfloor L / \bar L \rfloor \rceil.

    From above: a polynomial system in the scales of hidden neurons, and in how layers share their kinks, has a positive
    root, by Krawczyk's test for a random pair of models, and so for all weights nearby and all biases, on every bounded
    X. From below: for almost all weights there are no exact adapters of rank R - 1, if all target neurons are active at
    once somewhere in the interior of X and each hidden one can be switched off alone from there. Measured: the bracket;
    formula-kink-count and proposition-one-rank-less try its lower end.
    """
    return equal(rank_bracket(case), case["R"])


def rank_bracket(case: Case) -> Enclosure:
    """Return the least uniform rank, between what is necessary and what is certified to suffice."""
    return exact.enclosure(*constructions.required_rank(case["D"], case["L"], case["Lbar"], case.seed))


@required.control("the rank of Theorem 3")
def _(case: Case) -> Comparison:
    theorem_3 = -(-case["D"] // (case["L"] // case["Lbar"]))
    return equal(rank_bracket(case), theorem_3)


@required.control("one rank less")
def _(case: Case) -> Comparison:
    return equal(rank_bracket(case), case["R"] - 1)


@PAPER.proposition("one-rank-less", points=[
    {"D": D, "L": L, "Lbar": 2, "R": R} for D, L, R in ((6, 3, 4), (8, 3, 5))
], sampled=True)  # fmt: skip
def one_rank_less(case: Case) -> Comparison:
    r"""No mixing matrices T solve the rank conditions of random models at rank R - 1; at rank R some do.

    rank(T_e Z - \Pi T_s) <= r (e - s) for the frozen layers s < e between which kinks are shared, as in
    proposition-required-rank, r = R - 1. Measured: for how many of the ways to give n and D - n of a layer's neurons to
    two frozen layers Gauss-Newton steps from a random start lead to a root. At rank R they do.
    """
    return equal(solvable_plans(case, case["R"] - 1), 0)


@one_rank_less.control("the rank R")
def _(case: Case) -> Comparison:
    return equal(solvable_plans(case, case["R"]), 0)


def solvable_plans(case: Case, rank: int) -> float:
    """Return for how many ways to share the kinks a root of the equations is found: a search in floats, so a float."""
    D, L = case["D"], case["L"]
    frozen, target = (instances.relu_network(case.rng, D, depth) for depth in (L, 2))
    found = 0.0
    for first, second in itertools.combinations_with_replacement(range(L - 1), 2):
        for n in range(D) if first < second else (0,):
            kinks = [0] * (L - 1)
            kinks[first], kinks[second] = kinks[first] + n, kinks[second] + D - n
            system = constructions.KinkSystem.of(
                frozen, target, constructions.read_kinks(kinks, D, L, 2), [rank] * L
            ).system
            found += system.solve(np.exp(0.3 * case.rng.standard_normal(len(system.positive)))) is not None
    return found


def adapted(case: Case, adapt: Any) -> constructions.AdaptedReluNetwork:
    """Return the network of a construction at rank R, for a pair of the case."""
    frozen, target = (instances.relu_network(case.rng, case["D"], n, case["family"]) for n in (case["L"], case["Lbar"]))
    result: constructions.AdaptedReluNetwork = adapt(frozen, target, case["R"], domain=Box(-4, 4))
    if any(a.rank > case["R"] for a in result.adapters):
        raise ArithmeticError("an adapter exceeds its rank")
    return result


@PAPER.proposition("rescaled-layers", points=[
    {"family": "uniform", "D": 16, "L": 4, "Lbar": 2, "R": 7},
    {"family": "uniform", "D": 16, "L": 2, "Lbar": 2, "R": 14},
    {"family": "scaled gaussian", "D": 16, "L": 4, "Lbar": 2, "R": 7},
    {"family": "uniform", "D": 12, "L": 4, "Lbar": 2, "R": 5},
])  # fmt: skip
def rescaled_layers(case: Case) -> Comparison:
    r"""Hidden layers imitated at other scales: f = \bar f on X with R < \lceil D / \lfloor L / \bar L \rfloor \rceil.

    With \Lambda_i > 0 diagonal, the target is also the network of \Lambda_i \bar W_i \Lambda_{i-1}^{-1}, and block i
    needs only rank(\Lambda_i \bar W_i - \Pi_i \Lambda_{i-1}) <= R M: (D - R M)^2 equations. Measured: a bracket of
    sup |f - \bar f| over X = {|x|_\infty <= 4} for the network as it is stored in double precision.
    """
    return equal(certified_error(adapted(case, constructions.adapt_by_gauge)), 0)


@rescaled_layers.control("all scales 1, at the same rank", points=[
    {"family": "uniform", "D": 12, "L": 4, "Lbar": 2, "R": 5}
])  # fmt: skip
def _(case: Case) -> Comparison:
    return equal(certified_error(adapted(case, constructions.adapt_relu_network)), 0)


@rescaled_layers.control("a larger box", points=[{"family": "uniform", "D": 12, "L": 4, "Lbar": 2, "R": 5}])
def _(case: Case) -> Comparison:
    result = adapted(case, constructions.adapt_by_gauge)
    return equal(certified_error(replace(result, domain=Box(-40, 40))), 0)


@PAPER.proposition("shared-kinks", points=[
    {"family": "uniform", "D": 16, "L": 3, "Lbar": 2, "R": 10},
    {"family": "uniform", "D": 8, "L": 3, "Lbar": 2, "R": 5},
    {"family": "scaled gaussian", "D": 12, "L": 3, "Lbar": 2, "R": 8},
    {"family": "orthogonal", "D": 8, "L": 3, "Lbar": 2, "R": 6},
])  # fmt: skip
def shared_kinks(case: Case) -> Comparison:
    r"""The kinks of a target layer shared by two frozen layers: (D, L, \bar L) = (16, 3, 2) needs R = 10 only.

    Layer l bends the neurons that it is given and keeps all others active; Theorem 3 asks for R = 16 there. Measured as
    in proposition-rescaled-layers, the target being followed neuron by neuron.
    """
    return equal(certified_error(adapted(case, constructions.adapt_staggered)), 0)


@shared_kinks.control("whole layers, at the same rank", points=[
    {"family": "uniform", "D": 4, "L": 3, "Lbar": 2, "R": 3}
])  # fmt: skip
def _(case: Case) -> Comparison:
    return equal(certified_error(adapted(case, constructions.adapt_relu_network)), 0)


@shared_kinks.control("a larger box", points=[{"family": "uniform", "D": 8, "L": 3, "Lbar": 2, "R": 5}])
def _(case: Case) -> Comparison:
    result = adapted(case, constructions.adapt_staggered)
    return equal(certified_error(replace(result, domain=Box(-40, 40))), 0)


@PAPER.proposition("bent-neurons", D=(3, 4), L=(3, 4), sampled=True)
def bent_neurons(case: Case) -> Comparison:
    r"""F = \bar f on a bounded X if each hidden target neuron i is bent by a layer where it is unmixed.

    That is, by a layer l for which N_l \bar W_1^{-1} has one entry only in row and in column i, the diagonal one, and
    that positive; N_l is the product of the first l adapted layers, \bar L = 2. (It is necessary too, under the
    conditions of proposition-required-rank; that is not tried here.) Measured for random integer N_l \bar W_1^{-1} of
    this form, each layer given some neurons, and biases that keep all other neurons active where |x| <= 4: the largest
    |f - \bar f| at rational points, exactly.
    """
    return equal(difference(case, mixed=False), 0)


@bent_neurons.control("a neuron that is bent later is mixed into one that is bent now")
def _(case: Case) -> Comparison:
    return equal(difference(case, mixed=True), 0)


@bent_neurons.control("a neuron is never bent")
def _(case: Case) -> Comparison:
    return equal(difference(case, mixed=False, forgotten=1), 0)


def difference(case: Case, *, mixed: bool, forgotten: int = 0) -> Fraction:
    """Return the largest |f - target| at rational points for layers N_l N_{l-1}^{-1} that share the kinks out."""
    D, hidden = case["D"], case["L"] - 1
    W_1, W_2 = (instances.nonsingular(case.rng, D) for _ in range(2))
    b_1, b_2 = (exact.array(case.rng.integers(-2, 3, D)) for _ in range(2))
    b_2 = b_2 + (1000 if mixed or forgotten else 0)  # outputs that are switched off would hide what is wrong
    z = exact.array(case.rng.integers(-16, 17, (32, D))) / 4 @ exact.array(W_1).T + b_1
    h, S, c, given = z, exact.identity(D), 0 * b_1, np.arange(D) % hidden
    for l in range(hidden):
        bent = (given == l) & (np.arange(D) >= forgotten)
        T = mixing(case, given == l)
        if mixed and l == 0:
            T[0, 1] = fmpq(1)
        offset = exact.array(np.where(bent, 0, 10**6))
        h = (h - c) @ exact.array(exact.matrix(T) * S.inv()).T + offset
        h = np.where(h > 0, h, 0 * h)
        S, c = exact.matrix(T), offset
    f = (h - c) @ exact.array(W_2 * S.inv()).T + b_2
    want = np.where(z > 0, z, 0 * z) @ exact.array(W_2).T + b_2
    worst = max(abs(v) for v in (np.where(f > 0, f, 0 * f) - np.where(want > 0, want, 0 * want)).ravel())
    return Fraction(int(worst.p), int(worst.q))


def mixing(case: Case, bent: np.ndarray) -> np.ndarray:
    """Return a random invertible T whose rows and columns of the bent neurons hold one positive entry only."""
    D, others = len(bent), np.flatnonzero(~bent)
    T = np.diag(case.rng.integers(1, 4, D))
    G = instances.nonsingular(case.rng, len(others))
    T[np.ix_(others, others)] = [[int(v) for v in row] for row in G.table()]
    return exact.array(T)


@PAPER.formula("kink-count", points=[{k: p[k] for k in ("D", "L", "Lbar")} for p in RANKS], seeded=False)
def kink_count(case: Case) -> Comparison:
    r"""The least R that `count_admits` is the least for which unknowns and equations balance, for some numbers n_l.

    \sum_j \max(0, D - (e_j - e_{j-1}) R)^2 <= \sum_{0<j<m} n_{e_j} + (D - n_{e_j})^2 for all 0 = e_0 < ... < e_m = L,
    with n_l <= D neurons bent in layer l and \sum_l n_l = (\bar L - 1) D. It is necessary for almost all weights: a
    lower bound of the rank. Measured: the least R by dynamic programming, against all n_l and all e_j.
    """
    return equal(least_rank(case), least_rank_by_brute_force(case))


@kink_count.control("some of the choices of layers are forgotten", points=[{"D": 16, "L": 4, "Lbar": 2}])
def _(case: Case) -> Comparison:
    return equal(least_rank(case), least_rank_by_brute_force(case, most=0))


@kink_count.control("a kink too few", points=[{"D": 16, "L": 2, "Lbar": 2}, {"D": 20, "L": 2, "Lbar": 2}])
def _(case: Case) -> Comparison:
    return equal(least_rank(case, total=0), least_rank_by_brute_force(case))


def least_rank(case: Case, total: int | None = None) -> int:
    """Return the least R that passes the count for so many kinks, those of the hidden target layers by default."""
    D, L = case["D"], case["L"]
    kinks = (case["Lbar"] - 1) * D if total is None else total
    return next(R for R in range(1, D + 1) if constructions.count_admits(D, [R] * L, kinks))


def least_rank_by_brute_force(case: Case, most: int | None = None) -> int:
    """Return the same from the definition, going through all n_l and, by default, all choices of layers e_j."""
    D, L = case["D"], case["L"]
    inner = range(1, L)
    choices = [e for m in range(1 + (L - 1 if most is None else most)) for e in itertools.combinations(inner, m)]

    def balanced(R: int, n: tuple[int, ...], e: tuple[int, ...]) -> bool:
        equations = sum(max(0, D - (b - a) * R) ** 2 for a, b in itertools.pairwise((0, *e, L)))
        return equations <= sum(n[l - 1] + (D - n[l - 1]) ** 2 for l in e)

    plans = [n for n in itertools.product(range(D + 1), repeat=L - 1) if sum(n) == (case["Lbar"] - 1) * D]
    return next(R for R in range(1, D + 1) if any(all(balanced(R, n, e) for e in choices) for n in plans))


@PAPER.formula("parameter-count", D=(8, 16, 20, 64), L=(2, 3, 4), seeded=False)
def parameter_count(case: Case) -> Comparison:
    r"""At depths L = \bar L, the least R with L (R (2D - R) + D) >= L D^2 + D is \lceil D - \sqrt{D (1 - 1/L)} \rceil.

    Adapters of rank R and biases against the target's weights and biases up to scaling of its hidden neurons; the same
    number as the count for rescaled layers, L (D - R)^2 <= (L - 1) D, so that the two bounds meet.
    """
    D, L = case["D"], case["L"]
    return equal(fewest_parameters(case.derive(Lbar=L), biases=True), rescaled_count(D, L))


@parameter_count.control("biases not counted", D=(16, 20), L=(2,))
def _(case: Case) -> Comparison:
    D, L = case["D"], case["L"]
    return equal(fewest_parameters(case.derive(Lbar=L), biases=False), rescaled_count(D, L))


def fewest_parameters(case: Case, *, biases: bool) -> int:
    """Return the least R for which rank-R adapters have as many parameters as the target has up to scaling."""
    D, L, Lbar = case["D"], case["L"], case["Lbar"]
    own, others = (L * D, D) if biases else (0, 0)
    return next(R for R in range(1, D + 1) if L * R * (2 * D - R) + own >= Lbar * D * D + others)


def rescaled_count(D: int, L: int) -> int:
    """Return the least R with L (D - R)^2 <= (L - 1) D."""
    return next(R for R in range(D + 1) if L * (D - R) ** 2 <= (L - 1) * D)


@PAPER.proposition("enclosed-root", D=(6, 12), k=(1, 2))
def enclosed_root(case: Case) -> Comparison:
    r"""Krawczyk's test encloses the true scales, if floats near them are passed.

    Planted: \Lambda with dyadic entries, W = \Lambda^{-1} (\Pi + Delta) with rank Delta = D - k over the integers.
    Unknown: the k^2 best placed entries of \Lambda; the others are fixed at their values. Measured: a bracket of the
    largest distance of the enclosure from \Lambda, in units of 10^{-20}.
    """
    return equal(distance_from_planted(case, moved=0), 0)


@enclosed_root.control("a root 10^{-20} away is claimed")
def _(case: Case) -> Comparison:
    return equal(distance_from_planted(case, moved=UNIT), 0)


UNIT = fmpq(1, 10**20)


def distance_from_planted(case: Case, moved: Any) -> Enclosure:
    """Return a bracket of the largest distance, in UNIT, of the certified root from the planted one plus `moved`."""
    D, k = case["D"], case["k"]
    scales = exact.array(case.rng.integers(4, 12, D)) / 8
    Pi = instances.nonsingular(case.rng, D)
    goal = exact.array(Pi + instances.rational_planted_rank(case.rng, D, D, D - k))
    pencil = constructions.Pencil(exact.array(-Pi), exact.array(np.eye(D)), goal / scales[:, None], np.arange(D), D - k)
    balls = constructions.LowRankSystem([pencil], np.ones(D, dtype=bool)).certify(scales.astype(float))
    if balls is None:
        raise ArithmeticError("Krawczyk's test failed")
    with ctx.workprec(256):  # the distance is twenty digits below the scales
        gaps = [abs(ball - arb(v + moved)) / arb(UNIT) for ball, v in zip(balls, scales.tolist(), strict=True)]
        low, high = (max(fraction(end(gap)) for gap in gaps) for end in (arb.abs_lower, arb.abs_upper))
    return exact.enclosure(low, high)


def fraction(x: arb) -> Fraction:
    """Return the exact value of a ball of radius 0."""
    mantissa, exponent = x.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
