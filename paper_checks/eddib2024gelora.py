r"""GeLoRA (Findings of EMNLP 2025): what the intrinsic dimension of hidden states says about the rank of an adapter.

From the abstract: the intrinsic dimension of a layer's representations is a lower bound for the optimal rank of LoRA.
It is estimated by TwoNN (Facco et al., 2017), from the ratio mu = r_2 / r_1 of the distances to the two nearest
neighbours. The theorem's text was not at hand: a third-party note quotes it as Theorem 3.2, "rank(\Delta W) >= idim of
the task", and the rule r_i = max(d_{i+1} - d_i, 0) + 1, d_i the dimension of layer i's representations, is recalled.
The benchmark results are empirical and not checked.

Tangent spaces over Q stand for manifolds: T in Q^{D x d} of full column rank spans the directions in which the data
varies.
"""

from fractions import Fraction
from math import factorial
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat, fmpq_poly, fmpq_series

from lora_proofs import Case, Comparison, Paper, at_least, at_most, equal, exact, instances

PAPER = Paper(
    key="eddib2024gelora",
    title="GeLoRA: Geometric Adaptive Ranks For Efficient LoRA Fine-tuning",
    authors=("Abdessalam Ed-dib", "Zhanibek Datbayev", "Amine Mohamed Aboussalah"),
    year=2024,
    arxiv="2412.09250",
)


# ---------------------------------------------------------------------------------------------------- the estimator


@PAPER.formula("pareto", N=(2, 5, 20), d=(1, 2, 5), x=("3/2", "4/1"), seeded=False)
def pareto(case: Case) -> Comparison:
    r"""P(r_2 / r_1 > x) = x^{-d} for N >= 2 points uniform in a d-ball around the query: for every N.

    The radii r_1 < r_2 of the nearest two have the density N (N-1) (1 - r_2^d)^{N-2} d^2 r_1^{d-1} r_2^{d-1}. Its
    integral over x r_1 < r_2, of polynomials over Q.
    """
    return equal(probability(case), 1 / Fraction(case["x"]) ** case["d"])


@pareto.control("the density of the first and third neighbour", N=(5, 20), d=(1, 2), x=("3/2",))
def _(case: Case) -> Comparison:
    return equal(probability(case, third=True), 1 / Fraction(case["x"]) ** case["d"])


@pareto.control("the exponent d - 1", N=(2, 5, 20), d=(1, 2, 5), x=("3/2", "4/1"))
def _(case: Case) -> Comparison:
    return equal(probability(case), 1 / Fraction(case["x"]) ** (case["d"] - 1))


def probability(case: Case, third: bool = False) -> Fraction:
    """Return P(x r_1 < r), r the distance of the second neighbour, or of the third."""
    N, d, x = case["N"], case["d"], exact.number(Fraction(case["x"]))
    radius = fmpq_poly([0, 1])
    volume, speed = radius**d, d * radius ** (d - 1)
    inner = speed.integral()(radius / x)  # over r_1 < r / x
    if third:  # the second lies between the two
        inner = (N - 2) * (volume * inner - (volume * speed).integral()(radius / x))
    others = (1 - volume) ** (N - 3 if third else N - 2)
    value = (N * (N - 1) * inner * speed * others).integral()(fmpq(1))
    return Fraction(int(value.p), int(value.q))


@PAPER.corollary("unbiased", m=(3, 10, 1000), d=(1, 2, 8), seeded=False)
def unbiased(case: Case) -> Comparison:
    r"""E [(m - 1) / sum log mu_i] = d for m independent ratios: their logarithms sum to a Gamma(m, d) variable.

    \int (m-1)/s d^m s^{m-1} e^{-ds} / (m-1)! ds, with \int s^k e^{-ds} ds = k! / d^{k+1}.
    """
    return equal((case["m"] - 1) * mean_reciprocal(case), case["d"])


@unbiased.control("m in place of m - 1, the maximum-likelihood estimate")
def _(case: Case) -> Comparison:
    return equal(case["m"] * mean_reciprocal(case), case["d"])


def mean_reciprocal(case: Case) -> Fraction:
    """Return E 1/s for s of the law Gamma(m, d)."""
    m, d = case["m"], case["d"]
    return Fraction(d**m, factorial(m - 1)) * Fraction(factorial(m - 2), d ** (m - 1))


@PAPER.proposition("twonn", d=(1, 2, 4, 8), sampled=True)
def twonn(case: Case) -> Comparison:
    r"""TwoNN, d^ = (m - 1) / sum log mu, finds d from m = 500 d^2 samples of 5 points in a d-ball, at its centre.

    2 d sum log mu has the law chi^2 with 2m degrees of freedom; measured is its standard score, which is below 7.5 in
    absolute value but for a probability of 1e-11, and mostly below 2. In d + 1 dimensions the score is near
    sqrt(m) / (d + 1).
    """
    return at_most(score(case, case["d"]), 7.5)


@twonn.control("points in a (d + 1)-ball")
def _(case: Case) -> Comparison:
    return at_most(score(case, case["d"] + 1), 7.5)


def score(case: Case, dimension: int) -> float:
    """Return |2 d sum log mu - 2m| / sqrt(4m) for samples of this dimension."""
    m = 500 * case["d"] ** 2
    x = case.rng.standard_normal((m, 5, dimension))
    x *= case.rng.random((m, 5, 1)) ** (1 / dimension) / np.linalg.norm(x, axis=2, keepdims=True)
    r = np.sort(np.linalg.norm(x, axis=2), axis=1)
    return float(abs(2 * case["d"] * np.sum(np.log(r[:, 1] / r[:, 0])) - 2 * m) / np.sqrt(4 * m))


# --------------------------------------------------------------------------------------- dimensions through layers


@PAPER.theorem("no-rise", D=(6,), d=(2, 3), layers=(1, 3))
def no_rise(case: Case) -> Comparison:
    r"""Layers that act on each token by itself do not raise the dimension: d_{i+1} - d_i <= 0, generically 0.

    h -> phi(W h) with phi(z) = z + z^3, at a rational point: the exact rank of the derivative, times T. So for a
    deterministic smooth map the exact value of max(d_{i+1} - d_i, 0) is 0; positive ones are due to mixing of tokens
    (see `mixing`), or to noise and curvature at the distance of the neighbours.
    """
    return equal(dimension_after(case, case["d"]), case["d"])


@no_rise.control("one more direction in the data")
def _(case: Case) -> Comparison:
    return equal(dimension_after(case, case["d"] + 1), case["d"])


def dimension_after(case: Case, d: int) -> int:
    """Return the dimension of d-dimensional data after the layers."""
    return exact.rank(tangents(case, d))


def tangents(case: Case, d: int) -> fmpq_mat:
    """Return the images of d tangent vectors."""
    D = case["D"]
    h, T = instances.integers(case.rng, D, 1), tangent(case, D, d)
    curves = [[fmpq_series([h[i, 0], T[i, j]], prec=2) for i in range(D)] for j in range(d)]  # h + s T_j up to s^2
    for _ in range(case["layers"]):
        W = instances.nonsingular(case.rng, D)
        curves = [[sum(W[i, k] * curve[k] for k in range(D)) for i in range(D)] for curve in curves]
        curves = [[z + z * z * z for z in curve] for curve in curves]
    return fmpq_mat(D, d, [curve[i][1] for i in range(D) for curve in curves])


def tangent(case: Case, D: int, d: int) -> fmpq_mat:
    """Return d independent directions in Q^D."""
    return instances.rational_planted_rank(case.rng, D, d, d)


@PAPER.proposition("mixing", points=({"D": 8, "d": 2, "N": 3}, {"D": 8, "d": 3, "N": 4}, {"D": 20, "d": 2, "N": 4}))
def mixing(case: Case) -> Comparison:
    r"""Attention raises it: sum_j a_j V x_j over N tokens of dimension d varies in min(D, N d) dimensions.

    For fixed weights a_j other than 0, generic V and tangent spaces. Exact rank.
    """
    D, d, N = case["D"], case["d"], case["N"]
    return equal(mixed_dimension(case, [1 + j for j in range(N)]), min(D, N * d))


@mixing.control("all weight on one token")
def _(case: Case) -> Comparison:
    D, d, N = case["D"], case["d"], case["N"]
    return equal(mixed_dimension(case, [1] + [0] * (N - 1)), min(D, N * d))


def mixed_dimension(case: Case, weights: list[int]) -> int:
    """Return in how many dimensions the sum over the tokens varies."""
    return exact.rank(mixed(case, weights))


def mixed(case: Case, weights: list[int]) -> fmpq_mat:
    """Return the derivative of sum_j a_j V x_j with respect to the coordinates of all tokens."""
    D, d = case["D"], case["d"]
    V = instances.integers(case.rng, D, D, -999, 999)
    parts = [(a * V * instances.integers(case.rng, D, d, -999, 999)).table() for a in weights]
    return fmpq_mat([[x for part in parts for x in part[i]] for i in range(D)])


# ------------------------------------------------------------------------------------------- dimensions and ranks


@PAPER.lemma("rank-step", D=(5, 7), rank=(2, 4), r=(1, 2), proof="rank_step")
def rank_step(case: Case) -> Comparison:
    r"""rank(W + B A) - rank(W) <= r, with equality for generic B, A as long as D allows it. Exact rank."""
    return equal(step(case, case["r"]), min(case["r"], case["D"] - case["rank"]))


@rank_step.control("an adapter of one rank less", points=[{"D": 7, "rank": 2, "r": 2}, {"D": 5, "rank": 2, "r": 3}])
def _(case: Case) -> Comparison:
    return equal(step(case, case["r"] - 1), min(case["r"], case["D"] - case["rank"]))


def step(case: Case, r: int) -> int:
    """Return rank(W + B A) - rank(W) for factors of inner width r."""
    D = case["D"]
    W = instances.rational_planted_rank(case.rng, D, D, case["rank"])
    B, A = (instances.integers(case.rng, m, n, -999, 999) for m, n in ((D, r), (r, D)))
    return exact.rank(W + B * A) - case["rank"]


@PAPER.theorem(
    "3.2-as-quoted",
    D=(4, 6),
    d=(1, 3),
    gap="false as printed: in the words of a third-party note ('any LoRA achieving the task has rank(dW) >= idim'), a "
    "task that the pretrained layer already solves needs rank 0; the paper's own statement was not at hand",
)
def quoted(case: Case) -> Comparison:
    r"""An adapter that represents the target W* on the data has rank(\Delta W) >= d, the dimension of W* on the data.

    The counterexample is W* = W. Measured: the least rank, that of (W* - W) T.
    """
    T = tangent(case, case["D"], case["d"])
    W = instances.nonsingular(case.rng, case["D"])
    return at_least(exact.rank((W - W) * T), exact.rank(W * T))


@PAPER.theorem("3.2-corrected", D=(4, 6), d=(1, 3), rank=(1, 2, 4), sampled=True)
def corrected(case: Case) -> Comparison:
    r"""The least rank is that of (W* - W) T, and it is at least dim(W* on the data) - dim(W on the data).

    It is attained by \Delta W = (W* - W) T T^+. The difference of dimensions is what the layer lacks, not what the
    data has: it is 0 for an injective W.
    """
    D = case["D"]
    T, W = tangent(case, D, case["d"]), instances.rational_planted_rank(case.rng, D, D, case["rank"])
    return at_least(surplus(W, instances.nonsingular(case.rng, D), T) + exact.rank(W * T), 0)


@corrected.control("the dimension after adaptation alone", D=(6,), d=(2,), rank=(2,))
def _(case: Case) -> Comparison:
    D = case["D"]
    T, W = tangent(case, D, case["d"]), instances.nonsingular(case.rng, D)
    return at_least(surplus(W, W + instances.rational_planted_rank(case.rng, D, D, 1), T), 0)


def surplus(W: fmpq_mat, target: fmpq_mat, T: fmpq_mat) -> int:
    """Return rank((W* - W) T) - rank(W* T)."""
    return exact.rank((target - W) * T) - exact.rank(target * T)


@PAPER.corollary("3.2-attained", D=(6,), d=(3, 5), lacking=(1, 3))
def attained(case: Case) -> Comparison:
    r"""The bound is attained where W is W* with some of the data's directions projected out: r = what the layer lacks.

    W = W* (I - Pi) with a projection Pi of rank q onto directions of the data: the least rank is q = dim(W* on the
    data) - dim(W on the data).
    """
    return equal(lacking(case, times=1), case["lacking"])


@attained.control("W = W* (I - 2 Pi), which lacks nothing")
def _(case: Case) -> Comparison:
    return equal(lacking(case, times=2), case["lacking"])


def lacking(case: Case, times: int) -> int:
    """Return dim(W* T) - dim(W T) for W = W* (I - times Pi), or the least rank where that is another."""
    D, q = case["D"], case["lacking"]
    T, target = tangent(case, D, case["d"]), instances.nonsingular(case.rng, D)
    X = exact.block(T, range(D), range(q))
    Pi = X * (X.transpose() * X).inv() * X.transpose()
    W = target * (exact.identity(D) - times * Pi)
    needed, lacks = exact.rank((target - W) * T), exact.rank(target * T) - exact.rank(W * T)
    return lacks if needed == q else needed


@PAPER.proposition("rule", D=(6,), d=(4, 5), change=(2, 4))
def rule(case: Case) -> Comparison:
    r"""With exact dimensions the rule gives rank 1; a target that differs from W in rank q on the data needs q.

    Both W and W* are injective on the data, so d_{i+1} = d_i before and after. A lower bound that is not sufficient:
    measured is the rank needed less the rule's.
    """
    return equal(shortfall(case, case["change"]), case["change"] - 1)


@rule.control("a target that differs in rank one")
def _(case: Case) -> Comparison:
    return equal(shortfall(case, 1), case["change"] - 1)


def shortfall(case: Case, change: int) -> Any:
    """Return the rank needed less max(d_{i+1} - d_i, 0) - 1, for W* - W of rank `change` on the data."""
    D, d = case["D"], case["d"]
    T, W = tangent(case, D, d), instances.nonsingular(case.rng, D)
    factors = instances.rational_planted_rank(case.rng, D, change, change), fmpq_mat(change, D)
    left_inverse = (T.transpose() * T).inv() * T.transpose()
    for i in range(change):
        for j in range(D):
            factors[1][i, j] = left_inverse[i, j]
    target = W + factors[0] * factors[1]
    rise = max(exact.rank(target * T) - exact.rank(T), 0)
    return exact.rank((target - W) * T) - (rise + 1)
