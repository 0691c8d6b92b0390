"""Errors below the threshold: Lemma 2 and Theorems 5 and 6, as recalled and corrected."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, fmpq_mat

from lora_proofs import Box, Case, Comparison, ReluNetwork, at_most, constructions, exact, instances

from .paper import PAPER, RATIONAL, random_network

RECALLED = "the constant is as recalled, to be compared with v3"


def cube(D: int) -> np.ndarray:
    """Return the 2^D vertices of [-1, 1]^D; uniform on them, Sigma = E x x^T is the identity."""
    return np.array(np.meshgrid(*[[-1, 1]] * D, indexing="ij")).reshape(D, -1).T


@PAPER.lemma(
    "2-error-as-recalled",
    points=[
        {"instance": kind, "D": D, "R": R}
        for kind in ("recorded", "random")
        for D, R in ((3, 1), (4, 1), (6, 2), (8, 1))
    ],
    gap=r"false as printed (as recalled): E|x|^2 is tr \Sigma, not \|\Sigma\|_F; at D = 3, R = 1 the bound is \sqrt 3, "
    f"and no adapter and bias have an error below 2; {RECALLED}",
    proof=("sigma_counterexample", "sigma_recalled"),
)
def lemma_2_error_as_recalled(case: Case) -> Comparison:
    r"""E xx^T = \Sigma: for some adapters and biases E\|f - \bar f\|_2^2 <= \|\Sigma\|_F \sigma_{RL+1}^2.

    \sigma_i are the singular values of E = \bar W_1 - \prod_l W_l. Instances with L = 1: x = \pm a_i e_i with
    probability 1/(2D) each, so that \Sigma = diag(a_i^2) / D, and E = U diag(s) with U orthogonal, for a_i = s_i =
    1 (the recorded counterexample) and for random integers in 1, ..., 6, where it need not fail; \bar b is so large
    that the target is active, and inactive neurons cost more than the rest. An f that is active at all points has
    error \|(E - \Delta) \Sigma^{1/2}\|_F^2 + \|b - \bar b\|^2, at least the sum of all but the R largest (s_i
    a_i)^2 / D. Measured: the square of that sum, which adapters attain; the bound is squared too. With equal s_i
    and equal a_i the ratio is (D - R)^2 / D; with equal s_i a_i, R of the s_i large, it comes near D - R.
    """
    D, R = case["D"], case["R"]
    a, s = (case.rng.integers(1, 7, D) if case["instance"] == "random" else np.ones(D, dtype=int) for _ in range(2))
    frozen, U = instances.nonsingular(case.rng, D), instances.rational_orthogonal(case.rng, D)
    spent = np.argsort(-a * s)[:R]
    tail = (a * s) ** 2
    tail[spent] = 0
    least = Fraction(int(tail.sum()), D)
    target = frozen + U * exact.matrix(np.diag(s))
    best = frozen + U * exact.matrix(np.diag([s[i] if i in spent else 0 for i in range(D)]))
    x = np.concatenate([np.diag(a), -np.diag(a)])
    reach = max(abs(v) for W in (target, best) for v in (W * exact.matrix(x.T)).entries())
    bias = exact.array([reach + 2 * int(tail.sum())] * D)
    networks = [ReluNetwork([exact.array(W)], [bias]) for W in (best, target)]
    if mean_square(*networks, exact.array(x)) != least:
        raise ArithmeticError("the lower bound is not attained")
    return at_most(least**2, Fraction(int(np.sum(a**4)), D**2) * int(np.sort(s)[D - 1 - R]) ** 4)


def mean_square(network: ReluNetwork, target: ReluNetwork, x: np.ndarray) -> Fraction:
    """Return the mean of |f(x) - target(x)|_2^2 over rational points, exactly."""
    total = sum(v * v for v in (network(x) - target(x)).ravel())
    return Fraction(int(total.p), int(total.q)) / len(x)


def planted_error(
    case: Case, spectrum: list[int], points: np.ndarray, active: bool = False
) -> tuple[Fraction, fmpq_mat]:
    """Return E|f - target|^2 for adapters that represent Pi + LR_{RL}(E) exactly, and Sigma, over rational points.

    E = U diag(spectrum) V^T with U, V orthogonal over Q; the target's bias keeps it active if asked to.
    """
    D, L, R = case["D"], case["L"], case["R"]
    instance = planted(case)
    E, U, V = instances.planted_svd(instance.rng, D, spectrum)
    frozen = random_network(instance, D, L)
    Pi = exact.product([exact.matrix(W) for W in frozen.weights])
    kept = fmpq_mat(D, D)
    for i in range(min(R * L, D)):
        kept[i, i] = spectrum[i]
    bias = exact.array([10**6] * D if active else case.rng.integers(-3, 4, D))
    best = ReluNetwork([exact.array(Pi + U * kept * V.transpose())], [bias])
    adapted = constructions.adapt_relu_network(frozen, best, R, domain=Box(-3, 3))
    x = exact.array(points)
    Sigma = exact.matrix(x.T @ x) * (exact.number(1) / len(points))
    return mean_square(adapted.network, ReluNetwork([exact.array(Pi + E)], [bias]), x), Sigma


def planted(case: Case) -> Case:
    """Return the case of the rational instance, whose random numbers are drawn apart from those of the points."""
    return case.derive(family=RATIONAL)


def falling(D: int) -> list[int]:
    """Return the singular values 2D + 1, 2D - 1, ..., 3."""
    return list(range(2 * D + 1, 2, -2))


SMALL = [
    {"points": points, "D": D, "L": L, "R": 1} for points in ("worst", "random") for D in (3, 4) for L in (1, 2)
]  # fmt: skip


def planted_points(case: Case) -> np.ndarray:
    """Return 50 random integer points of [-3, 3]^D, or two where the bounds are attained: +- v_{RL+1}."""
    D = case["D"]
    if case["points"] == "random":
        return case.rng.integers(-3, 4, (50, D))
    _, _, V = instances.planted_svd(planted(case).rng, D, falling(D))
    v = exact.array(V)[:, case["R"] * case["L"]]
    return np.array([v, -v])


def small_instance(case: Case) -> tuple[Fraction, fmpq_mat, list[int]]:
    """Return E|f - target|^2 and Sigma for the points of the case, and the singular values that are left out."""
    error, Sigma = planted_error(case, falling(case["D"]), planted_points(case), active=case["points"] == "worst")
    return error, Sigma, falling(case["D"])[case["R"] * case["L"] :]


@PAPER.lemma("2-error-corrected-trace", points=SMALL, proof="lemma2_trace")
def lemma_2_error_corrected_trace(case: Case) -> Comparison:
    r"""E xx^T = \Sigma: for some adapters and biases E\|f - \bar f\|_2^2 <= tr(\Sigma) \sigma_{RL+1}^2.

    Lemma 2's error bound with tr \Sigma = E|x|^2 in place of \|\Sigma\|_F. x is uniform on 50 random integer points
    of [-3, 3]^D, or on \pm v_{RL+1}, where the target is active and both sides are equal; they are computed exactly.
    """
    error, Sigma, (least, *_) = small_instance(case)
    return at_most(error, exact.fraction(exact.trace(Sigma)) * least**2)


@lemma_2_error_corrected_trace.control("one percent less, where the bound is attained", points=SMALL[:4])
def _(case: Case) -> Comparison:
    error, Sigma, (least, *_) = small_instance(case)
    return at_most(error, Fraction(99, 100) * exact.fraction(exact.trace(Sigma)) * least**2)


@lemma_2_error_corrected_trace.control("the bound uses sigma_{RL+2}", points=SMALL[:1])
def _(case: Case) -> Comparison:
    error, Sigma, (_, less, *_) = small_instance(case)
    return at_most(error, exact.fraction(exact.trace(Sigma)) * less**2)


@PAPER.lemma("2-error-corrected-frobenius", points=SMALL)
def lemma_2_error_corrected_frobenius(case: Case) -> Comparison:
    r"""E xx^T = \Sigma: some adapters and biases have E\|f - \bar f\|_2^2 <= \|\Sigma\|_F \sum_{i > RL} \sigma_i^2.

    Lemma 2's error bound with the Frobenius tail, tr(A^T A \Sigma) <= \|A^T A\|_F \|\Sigma\|_F. Squares of both sides,
    exactly, for the points of lemma-2-error-corrected-trace; equal on \pm v_{RL+1} if D = RL + 1.
    """
    error, Sigma, tail = small_instance(case)
    return at_most(error**2, exact.frobenius_norm_squared(Sigma) * sum(s * s for s in tail) ** 2)


@lemma_2_error_corrected_frobenius.control("one percent less, where the bound is attained", points=[
    {"points": "worst", "D": D, "L": D - 1, "R": 1} for D in (2, 3)
])  # fmt: skip
def _(case: Case) -> Comparison:
    error, Sigma, tail = small_instance(case)
    return at_most(error**2, Fraction(99, 100) * exact.frobenius_norm_squared(Sigma) * sum(s * s for s in tail) ** 2)


def mean_error(result: constructions.AdaptedReluNetwork, x: np.ndarray) -> float:
    """Return the mean of |f(x) - target(x)|_2."""
    return float(np.mean(np.linalg.norm(result(x) - result.target(x), axis=1)))


BELOW = [
    {"points": "random", "D": D, "L": L, "Lbar": Lbar, "R": R}
    for D, L, Lbar, R in ((16, 2, 1, 3), (16, 4, 2, 1), (16, 4, 2, 4), (16, 4, 2, 7), (16, 8, 4, 5), (8, 6, 2, 1))
]
ATTAINED = [{"points": "worst", "D": 4, "L": L, "Lbar": Lbar, "R": 1} for L, Lbar in ((1, 1), (4, 2), (6, 3))]


def error_and_corrected(case: Case, sizes: list[int], ranks: list[int], claimed: Any = None) -> tuple[float, float]:
    """Return E|f - target| for these blocks and ranks, and the corrected bound, that of the ranks `claimed`.

    On "worst" points these are equal: see `attaining_networks`.
    """
    D = case["D"]
    if case["points"] == "worst":
        frozen, target, x = attaining_networks(case, sizes, ranks)
    else:
        frozen, target = (instances.relu_network(case.rng, D, depth) for depth in (sum(sizes), len(sizes)))
        x = case.rng.uniform(-4, 4, (500, D))
    result = constructions.adapt_relu_network(frozen, target, ranks, domain=Box(-4.0, 4.0), partition=sizes)
    bounds = constructions.error_bounds(frozen, target, ranks if claimed is None else claimed, x, partition=sizes)
    return mean_error(result, x), bounds.corrected


def attaining_networks(case: Case, sizes: list[int], ranks: list[int]) -> tuple[ReluNetwork, ReluNetwork, np.ndarray]:
    """Return networks and one point for which the corrected bound is attained, biases included.

    Wbar_i = w_i I, the product of block i is w_i I + diag(E_i, ..., E_i, 2 E_i, ..., 2 E_i) with as many 2 E_i as the
    block has ranks, bbar_i = beta_i e_1 >= 0, x = rho e_1: every inequality of the proof is an equality on e_1.
    """
    D = case["D"]
    first, zero = np.eye(D)[0], np.zeros(D)
    weights, target, biases, start = [], [], [], 0
    for size in sizes:
        w, E, beta = case.rng.uniform(0.5, 2.0, 3)
        spent = sum(ranks[start : start + size])
        weights += [*[np.eye(D)] * (size - 1), np.diag([w + E] * (D - spent) + [w + 2 * E] * spent)]
        target, biases, start = [*target, w * np.eye(D)], [*biases, beta * first], start + size
    x = case.rng.uniform(1.0, 4.0) * first[None, :]
    return ReluNetwork(weights, [zero] * len(weights)), ReluNetwork(target, biases), x


def uniform_blocks(case: Case) -> tuple[list[int], list[int]]:
    """Return the sizes of the blocks, and a rank for each layer."""
    return [case["L"] // case["Lbar"]] * case["Lbar"], [case["R"]] * case["L"]


@PAPER.theorem("5-corrected", points=[*ATTAINED, *BELOW], proof=("theorem5_pointwise", "theorem5_average"))
def theorem_5_corrected(case: Case) -> Comparison:
    r"""R below the threshold: E\|f - \bar f\|_2 <= \sum_i E_i m_{i-1} \prod_{k>i} (\|\bar W_k\|_2 + E_k).

    E_i = \sigma_{RM+1}(\bar W_i - \prod_{P_i} W_l), m_0 = (tr \Sigma)^{1/2}, m_i = \|\bar W_i\|_2 m_{i-1} + \|\bar
    b_i\|_2, for some adapters of rank at most R and biases. The distribution is uniform on 500 points of |x|_\infty
    <= 4, so that \Sigma and both sides are those of this distribution, without a sampling error: random networks stay
    at 0.003 to 0.3 of the bound. Or it is one point, where both sides are equal: \bar W_i and the products of the
    blocks are diagonal, the biases along it.
    """
    return at_most(*error_and_corrected(case, *uniform_blocks(case)))


@theorem_5_corrected.control("one percent less, where the bound is attained", points=ATTAINED)
def _(case: Case) -> Comparison:
    error, bound = error_and_corrected(case, *uniform_blocks(case))
    return at_most(error, 0.99 * bound)


def scaled_identities(case: Case) -> tuple[list[arb], list[arb]]:
    """Return w and e for W = diag(w), W_1 = diag(w - e), as theorem-5-as-recalled says."""
    D = case["D"]
    if case["instance"] == "recorded":
        return [1 / arb(D).sqrt()] * D, [arb(102) / 100 / arb(D).sqrt()] * D
    w = [arb(v) / arb(D).sqrt() for v in case.rng.uniform(0.8, 1.2, D).tolist()]
    return w, [v * arb(ratio) for v, ratio in zip(w, case.rng.uniform(1.0, 1.3, D).tolist(), strict=True)]


def error_and_bound(w: list[arb], e: list[arb]) -> tuple[arb, arb]:
    """Return what no rank-1 adapter's error is below, and the bound of theorem-5-as-recalled, as its docstring says."""
    D = len(w)
    mean_of_coordinate = arb(D).sqrt() * arb(D / 2).gamma() / (arb.pi().sqrt() * arb((D + 1) / 2).gamma())
    error = (sum(w, arb(0)) - max(w, key=float)) / (2 * arb(D).sqrt()) * mean_of_coordinate
    norm = sum((v * v for v in w), arb(0)).sqrt()
    return error, arb(D).sqrt().sqrt() * norm.max(arb(1)) * sorted(e, key=float)[-2]


@PAPER.theorem(
    "5-as-recalled",
    instance=("recorded", "random"),
    D=(64, 128, 256),
    gap=r"false as printed (as recalled): \beta holds \|\Sigma\|_F^{1/2} where (tr \Sigma)^{1/2} is needed; at D = 64, "
    r"\bar W = I / 8 and W_1 = -0.02 \bar W the bound is 0.361, and no adapter of rank 1 and bias have an error below "
    f"0.392; {RECALLED}",
)
def theorem_5_as_recalled(case: Case) -> Comparison:
    r"""R below the threshold: E\|f - \bar f\|_2 <= \beta \sum_i max_k (\|\bar W_k\|_F + E_k)^{\bar L - i} E_i.

    \beta is the largest of \|\Sigma\|_F^{1/2} and \|\Sigma\|_F^{1/2} \prod_{j<=i} \|\bar W_j\|_F + \sum_{j<=i}
    \prod_{j<k<i} \|\bar W_k\|_F \|\bar b_j\|_2. Instances with L = \bar L = R = 1: x uniform on the sphere of
    radius \sqrt D, so \Sigma = I; \bar W = diag(w), W_1 = diag(w - e), \bar b = 0, with w_i = D^{-1/2}, e_i = 1.02
    w_i (the recorded counterexample), or random \sqrt D w_i in [0.8, 1.2] and e_i / w_i in [1, 1.3], where it need
    not fail. The bound is D^{1/4} max(1, |w|_2) times the second largest e_i.

    Every f_i is a monotone function of s = a_i.x, and x_i = \rho s' + (1 - \rho^2)^{1/2} z'; as e_i >= w_i, \rho is
    at most |v_i|, the i-th entry of the unit vector v of \Delta = u v^T. Testing f_i - \bar f_i with sign(z') (with
    sign(x_i) if \rho < 0) gives E|f_i - \bar f_i| >= w_i (1 - v_i^2)^{1/2} E|x_1| / 2. With |.|_2 >= |.|_1 / \sqrt
    D: E\|f - \bar f\|_2 >= (|w|_1 - |w|_\infty) / (2 \sqrt D) E|x_1|. Measured: that lower bound, in ball
    arithmetic.
    """
    return at_most(*error_and_bound(*scaled_identities(case)))


@PAPER.theorem("5-trace-on-the-counterexample", instance=("recorded", "random"), D=(64, 128, 256))
def theorem_5_trace_on_the_counterexample(case: Case) -> Comparison:
    r"""With (tr \Sigma)^{1/2} for \|\Sigma\|_F^{1/2}, the instances of theorem-5-as-recalled are no counterexamples.

    The lower bound of every rank-1 adapter's error is at most \sqrt D max(1, |w|_2) times the second largest e_i.
    """
    error, bound = error_and_bound(*scaled_identities(case))
    return at_most(error, bound * arb(case["D"]).sqrt().sqrt())


@theorem_5_trace_on_the_counterexample.control("with |Sigma|_F^(1/2)", instance=("recorded",), D=(64, 128, 256))
def _(case: Case) -> Comparison:
    return theorem_5_as_recalled(case)


BLOCKS = [
    {"points": points, "D": 8, "blocks": blocks, "ranks": ranks}
    for points in ("worst", "random")
    for blocks, ranks in (("1-3", "4-0-1-3"), ("2-1-2", "1-3-4-0-2"), ("3-1", "2-2-2-5"))
]


@PAPER.theorem("6-error-corrected", points=BLOCKS, proof=("theorem5_pointwise", "theorem5_average"))
def theorem_6_error_corrected(case: Case) -> Comparison:
    r"""The bound of theorem-5-corrected for any partition and ranks: E_i = \sigma_{r+1}, r = \sum_{l in P_i} R_l."""
    return at_most(*error_and_corrected(case, *blocks_and_ranks(case)))


def blocks_and_ranks(case: Case) -> tuple[list[int], list[int]]:
    """Return the sizes of the blocks and the ranks, which the case writes as "1-3" and "4-0-1-3"."""
    sizes, ranks = ([int(n) for n in case[name].split("-")] for name in ("blocks", "ranks"))
    return sizes, ranks


@theorem_6_error_corrected.control("one percent less, where the bound is attained", points=BLOCKS[:3])
def _(case: Case) -> Comparison:
    error, bound = error_and_corrected(case, *blocks_and_ranks(case))
    return at_most(error, 0.99 * bound)


@theorem_6_error_corrected.control("the last block is claimed to be exact", points=[
    {"points": "random", "D": 8, "blocks": "1-3", "ranks": "8-0-1-3"}
])  # fmt: skip
def _(case: Case) -> Comparison:
    return at_most(*error_and_corrected(case, *blocks_and_ranks(case), claimed=[8, 0, 1, 7]))
