r"""Mao et al., A Survey on LoRA of Large Language Models, arXiv 2407.11046v4, Frontiers of Computer Science 2025.

A survey, without theorems of its own; metadata, abstract, its five headings and the name of its repository were read.
Checked are algebraic facts behind its headings, re-derived here: combining plugins (cross-task generalisation), chains
and blocks of small adapters (downstream variants), federated averaging and noise (privacy), memory (efficiency).
Benchmarks and judgements are not checked.
"""

from fractions import Fraction
from itertools import product
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, Paper, at_most, equal, exact, instances

PAPER = Paper(
    key="mao2024survey",
    title="A Survey on LoRA of Large Language Models",
    authors=("Yuren Mao", "Yuhang Ge", "Yijiang Fan", "Wenyi Xu", "Yu Mi", "Zhonghao Hu", "Yunjun Gao"),
    year=2024,
    arxiv="2407.11046v4",
)

D, K = 7, 6


def factors(case: Case, n: int, r: int) -> list[tuple[fmpq_mat, fmpq_mat]]:
    """Return n pairs B (7 x r), A (r x 6) of rank r."""
    return [tuple(instances.rational_planted_rank(case.rng, *shape, r) for shape in ((D, r), (r, K))) for _ in range(n)]


def mean(matrices: list[fmpq_mat]) -> fmpq_mat:
    """Return the mean of matrices."""
    total = matrices[0]
    for M in matrices[1:]:
        total += M
    return total / len(matrices)


# --------------------------------------------------------------------------- cross-task generalisation: several plugins


@PAPER.formula("mixture", n=(2, 3), r=(1, 2))
def mixture(case: Case) -> Comparison:
    """A weighted sum of n plugins of rank r is one plugin of rank n r: [w_1 B_1, ..., w_n B_n] [A_1; ...; A_n].

    Counted are the entries that differ.
    """
    return equal(mixture_defect(case, weigh="B"), 0)


@mixture.control("the weights on both factors")
def _(case: Case) -> Comparison:
    return equal(mixture_defect(case, weigh="BA"), 0)


def mixture_defect(case: Case, weigh: str) -> int:
    """Count the entries in which the concatenated plugin and the weighted sum differ."""
    pairs = factors(case, case["n"], case["r"])
    weights = [fmpq(i + 1, 5) for i in range(case["n"])]
    total = fmpq_mat(D, K)
    for w, (B, A) in zip(weights, pairs, strict=True):
        total += w * B * A
    columns = [v for w, (B, _) in zip(weights, pairs, strict=True) for v in (w * B).transpose().table()]
    rows = [v for w, (_, A) in zip(weights, pairs, strict=True) for v in ((w if "A" in weigh else 1) * A).table()]
    return exact.count_nonzero(fmpq_mat(columns).transpose() * fmpq_mat(rows) - total)


# ---------------------------------------------------------------------- variants: chains, blocks of LoRA


@PAPER.formula("chain", n=(4, 5), steps=(1, 2, 3))
def chain(case: Case) -> Comparison:
    """A chain of best updates of rank 1 (COLA, ReLoRA) ends at the best update of rank K, here of a linear model.

    Each step fits what is left of the target E = U diag(s) V^T over Q. Measured is |what is left|_F^2; the bound is the
    sum of the squares of the singular values from the (K + 1)-th on, which no update of rank K undercuts.
    """
    return chain_rest(case, first=0)


@chain.control("the second direction first")
def _(case: Case) -> Comparison:
    return chain_rest(case, first=1)


def chain_rest(case: Case, first: int) -> Comparison:
    """Compare |E - sum of the fitted terms|_F^2 with the tail of the spectrum."""
    n, steps = case["n"], case["steps"]
    spectrum = list(range(n, 0, -1))
    E, U, V = instances.planted_svd(case.rng, n, spectrum)
    for i in range(first, first + steps):
        u, v = (exact.block(Q, range(n), range(i, i + 1)) for Q in (U, V))
        E = E - u * (u.transpose() * E * v) * v.transpose()
    return equal(exact.frobenius_norm_squared(E), sum(s**2 for s in spectrum[steps:]))


@PAPER.formula("blocks", blocks=(2, 3), r=(1, 2))
def blocks(case: Case) -> Comparison:
    """MELoRA: a block diagonal of n small plugins of rank r has rank n r, and r (d + k) parameters as LoRA of rank r.

    Blocks of 4 x 4. Measured is the rank; the check stops if the parameters differ from r (d + k).
    """
    rank, parameters = rank_and_size(case)
    n, r = case["blocks"], case["r"]
    if parameters != r * (4 * n + 4 * n):
        raise ArithmeticError("the blocks do not have the parameters of LoRA")
    return equal(rank, n * r)


@blocks.control("one block, repeated in every place")
def _(case: Case) -> Comparison:
    rank, _ = rank_and_size(case, everywhere=True)
    return equal(rank, case["blocks"] * case["r"])


def rank_and_size(case: Case, everywhere: bool = False) -> tuple[int, int]:
    """Return the rank and the number of parameters of n random plugins of rank r on the diagonal, 4 x 4 each.

    Or of the first one alone, in all n^2 places.
    """
    n, r = case["blocks"], case["r"]
    shapes = ((4, r), (r, 4))
    pairs = [[instances.rational_planted_rank(case.rng, *shape, r) for shape in shapes] for _ in range(n)]
    whole = fmpq_mat(4 * n, 4 * n)
    for i, j in product(range(n), repeat=2):
        if everywhere or i == j:
            B, A = pairs[0 if everywhere else i]
            block = B * A
            for a, b in product(range(4), repeat=2):
                whole[4 * i + a, 4 * j + b] = block[a, b]
    return exact.rank(whole), sum(len(M.entries()) for pair in pairs for M in pair)


# ---------------------------------------------------------------------- federated learning, privacy


@PAPER.formula("federated", n=(2, 3, 5), r=(1, 2))
def federated(case: Case) -> Comparison:
    """Averaging the factors of n clients misses the average update by a covariance.

    mean(B) mean(A) - mean(B A) = -(1 / n) sum (B_i - mean B)(A_i - mean A). Counted are the entries that differ.
    """
    pairs = factors(case, case["n"], case["r"])
    return equal(exact.count_nonzero(averaging_gap(pairs) + covariance(pairs)), 0)


@federated.control("no covariance: averaging factors is averaging updates")
def _(case: Case) -> Comparison:
    return equal(exact.count_nonzero(averaging_gap(factors(case, case["n"], case["r"]))), 0)


@PAPER.formula("federated-frozen", n=(2, 3, 5), r=(1, 2))
def federated_frozen(case: Case) -> Comparison:
    """With a common frozen A (FFA-LoRA), averaging the B_i is averaging the updates. Counted are the other entries."""
    pairs = factors(case, case["n"], case["r"])
    return equal(exact.count_nonzero(averaging_gap([(B, pairs[0][1]) for B, _ in pairs])), 0)


@federated_frozen.control("each client has an A of its own")
def _(case: Case) -> Comparison:
    return equal(exact.count_nonzero(averaging_gap(factors(case, case["n"], case["r"]))), 0)


def averaging_gap(pairs: list[tuple[fmpq_mat, fmpq_mat]]) -> fmpq_mat:
    """Return mean(B) mean(A) - mean(B A)."""
    return mean([B for B, _ in pairs]) * mean([A for _, A in pairs]) - mean([B * A for B, A in pairs])


def covariance(pairs: list[tuple[fmpq_mat, fmpq_mat]]) -> fmpq_mat:
    """Return the mean of (B_i - mean B)(A_i - mean A)."""
    left, right = mean([B for B, _ in pairs]), mean([A for _, A in pairs])
    return mean([(B - left) * (A - right) for B, A in pairs])


@PAPER.formula("noise", r=(1, 2), sigma=(1, 3))
def noise(case: Case) -> Comparison:
    """Independent noise of variance s^2 in both factors (d x r, r x k) is amplified by them, and multiplies itself.

    E |(B + s E)(A + s F) - B A|_F^2 = s^2 (d |A|_F^2 + k |B|_F^2) + s^4 d k r. The mean is a finite sum, over signs: no
    moment beyond the second enters.
    """
    measured, linear, quadratic = noisy(case)
    return equal(measured, linear + quadratic)


@noise.control("without the product of both noises, as with one factor frozen")
def _(case: Case) -> Comparison:
    measured, linear, _ = noisy(case)
    return equal(measured, linear)


def noisy(case: Case) -> tuple[Any, Any, Any]:
    """Return the mean over all signs for d = k = 2, and the terms in s^2 and s^4."""
    r, s = case["r"], case["sigma"]
    B, A = (instances.integers(case.rng, *shape) for shape in ((2, r), (r, 2)))
    total, signs = fmpq(0), list(product((s, -s), repeat=2 * r))
    for E, F in product(signs, repeat=2):
        moved = (B + fmpq_mat(2, r, E)) * (A + fmpq_mat(r, 2, F)) - B * A
        total += exact.number(exact.frobenius_norm_squared(moved))
    linear = s**2 * 2 * (exact.frobenius_norm_squared(A) + exact.frobenius_norm_squared(B))
    return total / len(signs) ** 2, linear, 4 * r * s**4


# -------------------------------------------------------------------------------- efficiency


@PAPER.formula("memory", points=({"frozen": 175255, "trained": 38, "printed": 350},), seeded=False)
def memory(case: Case) -> Comparison:
    """Training GPT-3 by LoRA takes Hu et al.'s 350 GB, with 2 bytes a frozen number and 16 a trained one (Adam).

    The 16 are weight, gradient, two moments and a copy of the weight. Numbers in millions, GB of 10^9 bytes; measured
    is the distance to 350, taken as rounded to 10 GB. By this rule full tuning takes 2.8 TB; Hu et al.'s 1.2 TB are 6.8
    bytes a number, and rest on other assumptions.
    """
    return at_most(abs(gigabytes(case, 2, 16) - case["printed"]), 5)


@memory.control("16 bytes for every number: full tuning")
def _(case: Case) -> Comparison:
    return at_most(abs(gigabytes(case, 16, 16) - case["printed"]), 5)


def gigabytes(case: Case, frozen: int, trained: int) -> Fraction:
    """Return the memory for these numbers of bytes a frozen and a trained number."""
    return Fraction(frozen * case["frozen"] + trained * case["trained"], 1000)
