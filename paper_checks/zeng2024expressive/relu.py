"""ReLU networks: Lemma 2 with its domain and its necessity, Lemma 3, Theorem 3."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from flint import fmpq_mat, fmpq_poly

from lora_proofs import Box, Case, Comparison, ReluNetwork, at_least, constructions, equal, exact, instances
from lora_proofs.linalg import chain_product, singular_values

from .paper import PAPER, RATIONAL, certified_error, input_domain, random_network


def threshold(frozen: ReluNetwork, target: ReluNetwork) -> int:
    """Return ceil(max_i rank(Wbar_i - prod_{P_i} W_l) / M) for the uniform partition."""
    M = frozen.depth // target.depth
    rank = constructions.required_ranks(frozen.weights, [lambda _, W=W: W for W in target.weights])
    return max(-(-rank(i, P) // M) for i, P in enumerate(constructions.uniform_partition(frozen.depth, target.depth)))


def adapted(case: Case, *, less: int = 0) -> constructions.AdaptedReluNetwork:
    """Return the adapted network of a random pair, for the ranks of Theorem 3 minus `less`."""
    frozen, target = random_network(case, case["D"], case["L"]), random_network(case, case["D"], case["Lbar"])
    return constructions.adapt_relu_network(frozen, target, threshold(frozen, target) - less, domain=input_domain(case))


def equal_on_domain(result: constructions.AdaptedReluNetwork) -> Comparison:
    """Compare sup |f - target| over the domain with 0."""
    return equal(certified_error(result), 0)


@PAPER.lemma(
    "2",
    family=(RATIONAL, "uniform", "scaled gaussian"),
    domain=("box", "ball"),
    D=(4,),
    L=(2, 3),
    Lbar=(1,),
    points=[
        {"family": "uniform", "domain": "box", "D": 16, "L": 2, "Lbar": 1},
        {"family": "uniform", "domain": "box", "D": 16, "L": 4, "Lbar": 1},
    ],
    proof=("lemma2", "lemma2_iff", "relu_control"),
)
def lemma_2(case: Case) -> Comparison:
    r"""One target layer, X bounded, W_l non-singular: f = \bar f on X for some adapters of rank at most R and biases.

    R = \lceil rank(\bar W_1 - \prod_l W_l) / L \rceil; f is the frozen ReLU network with these adapters and new biases.
    Measured: sup |f - \bar f| over X = {|x|_\infty <= 4} or {|x|_2 <= 4}, relative to the largest |\bar f| seen there:
    0 for rational networks, and for floating ones between what points show and a rigorous bound.
    """
    return equal_on_domain(adapted(case))


@lemma_2.control("one rank less", family=("uniform",), domain=("box",), D=(4,), L=(2,), Lbar=(1,))
def _(case: Case) -> Comparison:
    return equal_on_domain(adapted(case, less=1))


@lemma_2.control("points outside X", family=(RATIONAL,), domain=("box",), D=(4,), L=(2,), Lbar=(1,))
def _(case: Case) -> Comparison:
    result = adapted(case)
    return equal_on_domain(replace(result, domain=Box(-200, 200)))


@lemma_2.control("biases are frozen, at full rank", family=(RATIONAL,), domain=("box",), D=(4,), L=(2,), Lbar=(1,))
def _(case: Case) -> Comparison:
    result = adapted(case)
    frozen = [b + 1 for b in result.biases]
    return equal_on_domain(replace(result, network=ReluNetwork(result.network.weights, frozen)))


@lemma_2.control("the outputs are shifted by 1e-7", family=("uniform",), domain=("box",), D=(4,), L=(2,), Lbar=(1,))
def _(case: Case) -> Comparison:
    result = adapted(case)
    *biases, last = result.biases
    return equal_on_domain(replace(result, network=ReluNetwork(result.network.weights, [*biases, last + 1e-7])))


@PAPER.proposition("bounded-domain", D=(4,), L=(2,))
def bounded_domain(case: Case) -> Comparison:
    r"""Lemma 2 needs X bounded: at D = 4, L = R = 2, generic weights, no adapters and biases give f = \bar f on R^D.

    f has the kinks of \bar f on all of R^D only if W_1 + \Delta_1 = M \bar W and W_2 + \Delta_2 = M^{-1} for a positive
    monomial matrix M, one positive entry m_i in each row: then rank(M - W_1 \bar W^{-1}) <= R and rank(M^{-1} - W_2) <=
    R. The 3 x 3 minors that hold two unknowns only are bilinear in them, and two such give a quadratic in m_1.
    Measured, over Q: for how many of the 24 permutations the quadratics of both conditions have a common root. On X =
    {|x|_\infty <= 4} rank R = 2 suffices (lemma-2).
    """
    *frozen, target = (instances.nonsingular(case.rng, 4, -99, 99) for _ in range(3))
    return equal(monomials_left(frozen, target), 0)


@bounded_domain.control("weights for which there is such a monomial matrix")
def _(case: Case) -> Comparison:
    target = instances.nonsingular(case.rng, 4, -99, 99)
    M = instances.permutation(case.rng, 4) * exact.matrix(np.diag(case.rng.integers(1, 5, 4)))
    near = [W + instances.rational_planted_rank(case.rng, 4, 4, 2) for W in (M * target, M.inv())]
    return equal(monomials_left(near, target), 0)


def monomials_left(frozen: list[Any], target: Any) -> int:
    """Return the number of permutations that the quadratics of bounded-domain do not exclude, at D = 4 and R = 2."""
    first, second = frozen[0] * target.inv(), frozen[1]
    left = 0
    for order in itertools.permutations(range(4)):
        inverse = [order.index(j) for j in range(4)]
        common = fmpq_poly()
        for i in range(1, 4):  # the first row of M, and that of M^{-1} with 1 / m_1 in it, each with another row
            common = common.gcd(quadratic(first, order, (0, i)))
            reversed_root = quadratic(second, inverse, (order[0], order[i]))
            common = common.gcd(fmpq_poly([reversed_root[k] for k in (2, 1, 0)]))
        left += common.degree() != 0
    return left


def quadratic(A: Any, order: Sequence[int], rows: tuple[int, int]) -> fmpq_poly:
    """Return a polynomial that m_i is a root of if M - A has rank 2, with m_i at (i, order[i]), for i the first row.

    Two minors that hold only m_i and m_j, of rows i, j, k and of all columns but order[k], are bilinear in them.
    """
    others = [k for k in range(4) if k not in rows]
    minors = []
    for k in others:
        kept_rows, kept_columns = [*rows, k], [c for c in range(4) if c != order[k]]

        def minor(u: int, v: int, kept_rows: list[int] = kept_rows, kept_columns: list[int] = kept_columns) -> Any:
            M = {(rows[0], order[rows[0]]): u, (rows[1], order[rows[1]]): v}
            return fmpq_mat([[M.get((r, c), 0) - A[r, c] for c in kept_columns] for r in kept_rows]).det()

        constant, in_u, in_v = minor(0, 0), minor(1, 0) - minor(0, 0), minor(0, 1) - minor(0, 0)
        both = minor(1, 1) - constant - in_u - in_v
        minors.append((fmpq_poly([constant, in_u]), fmpq_poly([in_v, both])))  # p(m_i) + m_j q(m_i)
    (p, q), (other_p, other_q) = minors
    return p * other_q - other_p * q


@PAPER.lemma("2-necessity", D=(3,), L=(2,), sampled=True, proof=("necessary", "lemma2_iff"))
def lemma_2_necessity(case: Case) -> Comparison:
    r"""\bar W_1 non-singular, \bar f > 0 on an open part of X: \sum_l R_l >= rank(\bar W_1 - \prod_l W_l) is necessary.

    On an open piece f is affine, with Jacobian D_L F_L ... D_1 F_1 for 0/1 diagonal D_l, equal to \bar W_1. As that is
    non-singular, all D_l = I, and then rank(\bar W_1 - \prod W_l) <= \sum R_l. Measured: the distance (Frobenius) of
    such a Jacobian from \bar W_1, relative to the least one possible, which is (\sum_{i > RL} \sigma_i^2)^{1/2} of \bar
    W_1 - \prod W_l for D_l = I, and at least \sigma_D(\bar W_1) for others. It is the least that a search finds over
    adapters of rank R = 1 and several (D_l). The search attains 1, and 0 at R = 2.
    """
    return at_least(nearest_jacobian(case, R=1), 1)


@lemma_2_necessity.control("the rank of the threshold")
def _(case: Case) -> Comparison:
    return at_least(nearest_jacobian(case, R=2), 1)


@lemma_2_necessity.control("the distance is claimed to be a percent larger")
def _(case: Case) -> Comparison:
    return at_least(nearest_jacobian(case, R=1), 1.01)


STARTS = 6
"""Random starts of the search of lemma-2-necessity, every other one with a random pattern of active neurons."""


def nearest_jacobian(case: Case, *, R: int) -> float:
    """Return the least distance from the target's matrix found with adapters of rank R, relative to that for R = 1."""
    from scipy.optimize import least_squares

    D, L = case["D"], case["L"]
    *frozen, target = instances.chain(case.rng, D, L + 1, "gaussian")
    tail = float(np.linalg.norm(singular_values(target - chain_product(frozen))[L:]))
    ratios = []
    for start in range(STARTS):
        signs = case.rng.integers(0, 2, (L, D)) if start % 2 else np.ones((L, D), dtype=int)

        def rest(x: np.ndarray, signs: np.ndarray = signs) -> Any:
            layers = [W + B.T @ A for W, (A, B) in zip(frozen, x.reshape(L, 2, R, D), strict=True)]
            return (chain_product([d[:, None] * F for d, F in zip(signs, layers, strict=True)]) - target).ravel()

        found = least_squares(rest, case.rng.standard_normal(2 * L * R * D), xtol=1e-9, ftol=1e-9, gtol=1e-9)
        least = tail if signs.all() else float(singular_values(target)[-1])
        ratios.append(float(np.linalg.norm(found.fun)) / least)
    return min(ratios)


@PAPER.lemma("3", family=(RATIONAL, "gaussian", "uniform"), D=(3, 4), L=(1, 2, 3))
def lemma_3(case: Case) -> Comparison:
    r"""Weights with independent entries of continuous distributions satisfy Assumption 1 with probability 1.

    Assumption 1: \prod_l W_l + LR_r(E) is non-singular for all r <= D. The product over all r-subsets S of
    det(\prod_l W_l + \sum_{i in S} \sigma_i u_i v_i^T) is a rational function of the entries; one rational point where
    no factor vanishes shows that it is not the zero function, and so vanishes with probability 0. Measured over Q: how
    many of the 2^D determinants vanish at the best of five points. Measured in floats: the smallest singular value
    over r and that of \prod_l W_l, against 10^{-13} of the largest of the latter, which is above rounding.
    """
    return assumption_1(case)


@lemma_3.control("a target of rank D - 1", family=(RATIONAL, "gaussian", "uniform"), D=(3, 4), L=(1, 2))
def _(case: Case) -> Comparison:
    return assumption_1(case, lost=1)


def assumption_1(case: Case, *, lost: int = 0) -> Comparison:
    """Compare what lemma-3 measures with what it claims, for a target of rank D - lost."""
    D, L = case["D"], case["L"]
    if case["family"] == RATIONAL:
        return equal(min(vanishing_determinants(case, lost=lost) for _ in range(POINTS)), 0)
    frozen, (target,) = (instances.chain(case.rng, D, n, case["family"]) for n in (L, 1))
    target[:, D - lost :] = 0
    return at_least(smallest_relative(chain_product(frozen), target) / 1e-13, 1)


def smallest_relative(Pi: Any, target: Any) -> float:
    """Return the smallest singular value of Pi + LR_r(target - Pi) over all r, relative to the largest of Pi."""
    U, s, Vt = np.linalg.svd(target - Pi)
    smallest = min(singular_values(Pi + (U[:, :r] * s[:r]) @ Vt[:r])[-1] for r in range(len(Pi) + 1))
    return float(smallest / singular_values(Pi)[0])


POINTS = 5
"""Small integers meet the zero set now and then; a single point off it is what the proof needs."""


def vanishing_determinants(case: Case, *, lost: int = 0) -> int:
    """Return how many of the 2^D determinants vanish at the next rational point, where the target has rank D - lost."""
    D = case["D"]
    frozen = [instances.nonsingular(case.rng, D) for _ in range(case["L"])]
    E, U, V = instances.planted_svd(case.rng, D, list(range(2 * D + 1, 1, -2)))
    if lost:  # W_1 such that prod W_l + E is what it should be
        target = instances.rational_planted_rank(case.rng, D, D, D - lost)
        frozen[0] = exact.product([target - E, *(W.inv() for W in reversed(frozen[1:]))])
    spectrum = U.transpose() * E * V
    return sum(prefix_determinant(frozen, U, spectrum, V, S) == 0 for S in subsets(D))


def subsets(n: int) -> list[tuple[int, ...]]:
    """Return all subsets of {0, ..., n - 1}."""
    return [S for r in range(n + 1) for S in itertools.combinations(range(n), r)]


def prefix_determinant(frozen: list[Any], U: fmpq_mat, s: fmpq_mat, V: fmpq_mat, S: tuple[int, ...]) -> Any:
    """Return det(Pi + sum_{i in S} s_i u_i v_i^T)."""
    kept = fmpq_mat(s.nrows(), s.ncols())
    for i in S:
        kept[i, i] = s[i, i]
    return (exact.product(frozen) + U * kept * V.transpose()).det()


NETWORKS = [
    {"family": RATIONAL, "domain": "box", "D": D, "L": L, "Lbar": Lbar}
    for D, L, Lbar in ((2, 2, 1), (3, 4, 2), (4, 6, 3), (5, 7, 3), (6, 6, 2), (8, 8, 4))
]


@PAPER.theorem(
    "3",
    points=[
        *NETWORKS,
        {"family": RATIONAL, "domain": "ball", "D": 4, "L": 6, "Lbar": 3},
        {"family": "uniform", "domain": "box", "D": 16, "L": 4, "Lbar": 2},
        {"family": "uniform", "domain": "ball", "D": 16, "L": 4, "Lbar": 2},
        {"family": "uniform", "domain": "box", "D": 16, "L": 16, "Lbar": 8},
        {"family": "uniform", "domain": "box", "D": 8, "L": 6, "Lbar": 3},
        {"family": "orthogonal", "domain": "box", "D": 8, "L": 16, "Lbar": 2},
    ],
    proof=("theorem3", "relu_control", "theorem3_control"),
)
def theorem_3(case: Case) -> Comparison:
    r"""X bounded, W_l non-singular: f = \bar f on X for some adapters of rank at most R and biases.

    R = \lceil max_i rank(\bar W_i - \prod_{l in P_i} W_l) / M \rceil, M = \lfloor L / \bar L \rfloor, with the uniform
    partition P_i = {(i-1)M+1, ..., iM} and the remaining layers in the last block. Measured as in lemma-2.
    """
    return equal_on_domain(adapted(case))


@theorem_3.control("one rank less", points=[{"family": "uniform", "domain": "box", "D": 4, "L": 4, "Lbar": 2}])
def _(case: Case) -> Comparison:
    return equal_on_domain(adapted(case, less=1))


@theorem_3.control("points outside X", points=NETWORKS[1:3])
def _(case: Case) -> Comparison:
    result = adapted(case)
    return equal_on_domain(replace(result, domain=Box(-200, 200)))


@theorem_3.control("the second target layer is another one", points=NETWORKS[1:2])
def _(case: Case) -> Comparison:
    result = adapted(case)
    first, second = result.target.biases
    return equal_on_domain(replace(result, target=ReluNetwork(result.target.weights, [first, 2 * second + 1])))
