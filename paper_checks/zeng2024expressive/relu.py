"""ReLU networks: Lemma 2 with its domain and its necessity, Lemma 3, Theorem 3."""

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpq_mat

from lora_proofs import Box, Case, Comparison, ReluNetwork, at_least, equal, exact, instances
from lora_proofs.constructions import (
    AdaptedReluNetwork,
    adapt_relu_network,
    certify_relu_network,
    required_ranks,
    uniform_partition,
)
from lora_proofs.linalg import chain_product, floats, singular_values

from .paper import PAPER, RATIONAL, certified_error, input_domain, random_network


def threshold(frozen: ReluNetwork, target: ReluNetwork) -> int:
    """Return ceil(max_i rank(Wbar_i - prod_{P_i} W_l) / M) for the uniform partition."""
    M = frozen.depth // target.depth
    rank = required_ranks(frozen.weights, [lambda _, W=W: W for W in target.weights])
    return max(-(-rank(i, P) // M) for i, P in enumerate(uniform_partition(frozen.depth, target.depth)))


def sampled_difference(result: AdaptedReluNetwork, points: np.ndarray) -> Fraction:
    """Return the largest entry of |f(x) - target(x)| over rational points, exactly."""
    x = exact.array(points)
    largest = max(abs(v) for v in (result(x) - result.target(x)).ravel())
    return Fraction(int(largest.p), int(largest.q))


def exact_networks(case: Case, *, less: int = 0, scale: int = 1) -> Comparison:
    """Compare sup |f - target| over the domain with 0, for the ranks of Theorem 3 (minus `less`)."""
    frozen, target = random_network(case, case["D"], case["L"]), random_network(case, case["D"], case["Lbar"])
    R = threshold(frozen, target)
    if less == 0 and scale == 1:
        return equal(certified_error(adapt_relu_network(frozen, target, R, domain=input_domain(case))), 0)
    if less:  # a rational network with fewer ranks: represent the best float adapters' values exactly
        result = adapt_relu_network(to_floats(frozen), to_floats(target), R - less, domain=input_domain(case))
        return equal(result.error, 0)
    result = adapt_relu_network(frozen, target, R, domain=input_domain(case))
    if certify_relu_network(result.network, target, Box(-4 * scale, 4 * scale)).holds:
        return equal(0, 0)  # a certificate that takes in everything would let the control pass
    return equal(sampled_difference(result, case.rng.integers(-4 * scale, 4 * scale + 1, (32, case["D"]))), 0)


def to_floats(network: ReluNetwork) -> ReluNetwork:
    """Return the network, rounded to double precision if it has more."""
    return ReluNetwork([floats(W) for W in network.weights], [floats(b) for b in network.biases])


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
)
def lemma_2(case: Case) -> Comparison:
    r"""One target layer, X bounded, W_l non-singular: f = \bar f on X for some adapters of rank at most R and biases.

    R = \lceil rank(\bar W_1 - \prod_l W_l) / L \rceil; f is the frozen ReLU network with these adapters and new biases.
    Measured: sup |f - \bar f| over X = {|x|_\infty <= 4} or {|x|_2 <= 4}; it is 0 for rational networks, and rigorously
    bounded for floating ones.
    """
    return exact_networks(case)


@lemma_2.control("one rank less", family=("uniform",), domain=("box",), D=(4,), L=(2,), Lbar=(1,))
def _(case: Case) -> Comparison:
    return exact_networks(case, less=1)


@lemma_2.control("points outside X", family=(RATIONAL,), domain=("box",), D=(4,), L=(2,), Lbar=(1,))
def _(case: Case) -> Comparison:
    return exact_networks(case, scale=50)


@lemma_2.control("biases are frozen, at full rank", family=(RATIONAL,), domain=("box",), D=(4,), L=(2,), Lbar=(1,))
def _(case: Case) -> Comparison:
    frozen, target = random_network(case, case["D"], case["L"]), random_network(case, case["D"], 1)
    result = adapt_relu_network(frozen, target, case["D"], domain=input_domain(case))
    unbiased = ReluNetwork(result.network.weights, frozen.biases)
    x = exact.array(case.rng.integers(-4, 5, (32, case["D"])))
    return equal(max(abs(v) for v in (unbiased(x) - target(x)).ravel()), 0)


@PAPER.proposition("bounded-domain", D=(3, 4), L=(2, 3))
def bounded_domain(case: Case) -> Comparison:
    r"""Lemma 2 needs X bounded: the network that equals \bar f on X = {|x|_\infty <= 4} differs from it elsewhere.

    At L = 2, \bar W non-singular, equality on all of R^D would force W_1 + \Delta_1 = (positive monomial matrix)
    \bar W, which takes rank(monomial \bar W - W_1) <= R, generically R >= D - \sqrt D. Measured, at rational points of
    the box of half-width 400: the largest |f - \bar f|, exactly; it is at least 1.
    """
    return at_least(difference_in_box(case, 400), 1)


@bounded_domain.control("points inside X")
def _(case: Case) -> Comparison:
    return at_least(difference_in_box(case, 4), 1)


def difference_in_box(case: Case, half_width: int) -> Fraction:
    """Return the largest |f - target| at rational points, for a network that equals its target where |x| <= 4."""
    instance = Case({**case.params, "family": RATIONAL, "domain": "box"}, case.seed)
    frozen, target = random_network(instance, case["D"], case["L"]), random_network(instance, case["D"], 1)
    result = adapt_relu_network(frozen, target, threshold(frozen, target), domain=Box(-4, 4))
    return sampled_difference(result, case.rng.integers(-half_width, half_width + 1, (64, case["D"])))


def jacobians_equal_to_target(case: Case, R: int, adapters: Any = None) -> int:
    """Count the activity patterns whose Jacobian D_L F_L ... D_1 F_1 is the target's matrix, for a one-layer target."""
    D, L = case["D"], case["L"]
    frozen, target = [instances.nonsingular(case.rng, D) for _ in range(L)], instances.nonsingular(case.rng, D)
    if adapters is None:
        layers = [W + instances.rational_planted_rank(case.rng, D, D, R) for W in frozen]
    else:
        chain = exact.adapt_linear_chain(frozen, target, R).adapters
        layers = [a.merge(W) for W, a in zip(frozen, chain, strict=True)]
    patterns = [exact.matrix(np.diag(bits)) for bits in itertools.product((0, 1), repeat=D)]
    return sum(
        exact.product([S * F for S, F in zip(signs, layers, strict=True)]) == target
        for signs in itertools.product(patterns, repeat=L)
    )


@PAPER.lemma("2-necessity", D=(3,), L=(2,), sampled=True)
def lemma_2_necessity(case: Case) -> Comparison:
    r"""\bar W_1 non-singular, \bar f > 0 on an open part of X: \sum_l R_l >= rank(\bar W_1 - \prod_l W_l) is necessary.

    On an open piece f is affine, with Jacobian D_L F_L ... D_1 F_1 for 0/1 diagonal D_l, equal to \bar W_1. As that is
    non-singular, all D_l = I, and then rank(\bar W_1 - \prod W_l) <= \sum R_l. Measured, for random integer adapters of
    rank R < rank / L: the number of patterns (D_1, ..., D_L), of all, for which the Jacobian is \bar W_1; none is.
    """
    return equal(jacobians_equal_to_target(case, R=1), 0)


@lemma_2_necessity.control("the rank of the threshold, with the adapters of Lemma 1")
def _(case: Case) -> Comparison:
    return equal(jacobians_equal_to_target(case, R=2, adapters="Lemma 1"), 0)


@PAPER.lemma("3", family=(RATIONAL, "gaussian", "uniform"), D=(3, 4), L=(1, 2, 3))
def lemma_3(case: Case) -> Comparison:
    r"""Weights with independent entries of continuous distributions satisfy Assumption 1 with probability 1.

    Assumption 1: \prod_l W_l + LR_r(E) is non-singular for all r <= D. The product over all r-subsets S of
    det(\prod_l W_l + \sum_{i in S} \sigma_i u_i v_i^T) is a rational function of the entries; one rational point where
    no factor vanishes shows that it is not the zero function, and so vanishes with probability 0. Measured over Q: how
    many of the 2^D determinants vanish at the best of five points. Measured in floats: the smallest singular value
    over r and that of \prod_l W_l, against 10^{-13} of the largest of the latter, which is above rounding.
    """
    D, L = case["D"], case["L"]
    if case["family"] == RATIONAL:
        return equal(min(vanishing_determinants(case) for _ in range(POINTS)), 0)
    frozen, target = (instances.chain(case.rng, D, n, case["family"]) for n in (L, 1))
    return at_least(smallest_relative(chain_product(frozen), target[0]) / 1e-13, 1)


@lemma_3.control("the target 0, of rank 0", family=("gaussian", "uniform"), D=(3, 4), L=(1,))
def _(case: Case) -> Comparison:
    D = case["D"]
    Pi = chain_product(instances.chain(case.rng, D, case["L"], case["family"]))
    return at_least(smallest_relative(Pi, np.zeros((D, D))) / 1e-13, 1)


def smallest_relative(Pi: Any, target: Any) -> float:
    """Return the smallest singular value of Pi + LR_r(target - Pi) over all r, relative to the largest of Pi."""
    U, s, Vt = np.linalg.svd(target - Pi)
    smallest = min(singular_values(Pi + (U[:, :r] * s[:r]) @ Vt[:r])[-1] for r in range(len(Pi) + 1))
    return float(smallest / singular_values(Pi)[0])


POINTS = 5
"""Small integers meet the zero set now and then; a single point off it is what the proof needs."""


def vanishing_determinants(case: Case) -> int:
    """Return how many of the 2^D determinants vanish at the next random rational point."""
    D = case["D"]
    frozen = [instances.nonsingular(case.rng, D) for _ in range(case["L"])]
    E, U, V = instances.planted_svd(case.rng, D, list(range(2 * D + 1, 1, -2)))
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


@lemma_3.control("discrete entries: all matrices with entries 1 and -1", points=[{"n": 2}, {"n": 3}])
def _(case: Case) -> Comparison:
    return equal(sum(W.det() == 0 for W in instances.all_matrices(case["n"], (-1, 1))), 0)


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
)
def theorem_3(case: Case) -> Comparison:
    r"""X bounded, W_l non-singular: f = \bar f on X for some adapters of rank at most R and biases.

    R = \lceil max_i rank(\bar W_i - \prod_{l in P_i} W_l) / M \rceil, M = \lfloor L / \bar L \rfloor, with the uniform
    partition P_i = {(i-1)M+1, ..., iM} and the remaining layers in the last block. Measured as in lemma-2.
    """
    return exact_networks(case)


@theorem_3.control("one rank less", points=[{"family": "uniform", "domain": "box", "D": 4, "L": 4, "Lbar": 2}])
def _(case: Case) -> Comparison:
    return exact_networks(case, less=1)


@theorem_3.control("points outside X", points=NETWORKS[1:3])
def _(case: Case) -> Comparison:
    return exact_networks(case, scale=50)


@theorem_3.control("the second target layer is another one", points=NETWORKS[1:2])
def _(case: Case) -> Comparison:
    frozen, target = random_network(case, case["D"], case["L"]), random_network(case, case["D"], case["Lbar"])
    result = adapt_relu_network(frozen, target, threshold(frozen, target), domain=input_domain(case))
    other = ReluNetwork(target.weights, [target.biases[0], 2 * target.biases[1] + 1])
    x = exact.array(case.rng.integers(-4, 5, (32, case["D"])))
    return equal(max(abs(v) for v in (result(x) - other(x)).ravel()), 0)
