r"""Zhu et al., Asymmetry in Low-Rank Adapters of Foundation Models, arXiv 2402.16842v2, ICML 2024.

Which factor of B A to train: both closed forms, the mean gains, when tuning B wins, and the generalisation bounds.
Abstract and metadata were read; lemmas 4.1, 4.2 and 4.5 and theorem 4.3 are as recalled and as two third parties
summarise them. Everything that is checked is re-derived here.

Least squares: Delta = W* - W_0, inputs of mean 0 and second moment S, loss Tr (Delta - B A) S (Delta - B A)^T. The
gain of an adapter is how much of the loss Tr Delta S Delta^T it removes. U has r orthonormal columns, Q r orthonormal
rows, both uniform on their Stiefel manifolds. This measure is invariant under signed cyclic shifts of the coordinates;
means over that finite group are therefore means over the manifold where they no longer depend on U or Q.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import count, product
from math import comb
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, Paper, at_least, at_most, equal, exact, instances

PAPER = Paper(
    key="zhu2024asymmetry",
    title="Asymmetry in Low-Rank Adapters of Foundation Models",
    authors=(
        "Jiacheng Zhu", "Kristjan Greenewald", "Kimia Nadjahi", "Haitz Sáez de Ocáriz Borde",
        "Rickard Brüel Gabrielsson", "Leshem Choshen", "Marzyeh Ghassemi", "Mikhail Yurochkin", "Justin Solomon",
    ),
    year=2024,
    arxiv="2402.16842v2",
)  # fmt: skip

SHAPES = ({"d_in": 4, "d_out": 5, "r": 2}, {"d_in": 5, "d_out": 3, "r": 1}, {"d_in": 4, "d_out": 4, "r": 3})


def inner(x: fmpq_mat, S: fmpq_mat) -> Any:
    """Return Tr x S x^T."""
    return exact.trace(x * S * x.transpose())


def orthonormal_columns(case: Case, n: int, r: int) -> fmpq_mat:
    """Return r orthonormal rational columns."""
    return exact.block(instances.rational_orthogonal(case.rng, n), range(n), range(r))


def problem(case: Case) -> tuple[fmpq_mat, fmpq_mat]:
    """Return Delta and a positive definite S."""
    delta = instances.integers(case.rng, case["d_out"], case["d_in"])
    root = instances.nonsingular(case.rng, case["d_in"])
    return delta, root * root.transpose()


def best_B(delta: fmpq_mat, S: fmpq_mat, Q: fmpq_mat) -> fmpq_mat:
    """Return Delta S Q^T (Q S Q^T)^{-1}, the best B for A = Q."""
    return delta * S * Q.transpose() * (Q * S * Q.transpose()).inv()


def gain(delta: fmpq_mat, S: fmpq_mat, update: fmpq_mat) -> Any:
    """Return Tr Delta S Delta^T - Tr (Delta - update) S (Delta - update)^T."""
    return inner(delta, S) - inner(delta - update, S)


def gain_A(delta: fmpq_mat, S: fmpq_mat, U: fmpq_mat) -> Any:
    """Return the gain of A = U^T Delta, the best for B = U."""
    return gain(delta, S, U * (U.transpose() * delta))


def gain_B(delta: fmpq_mat, S: fmpq_mat, Q: fmpq_mat) -> Any:
    """Return the gain of the best B for A = Q."""
    return gain(delta, S, best_B(delta, S, Q) * Q)


def signed_shifts(n: int) -> Iterator[fmpq_mat]:
    """Yield the n 2^n signed cyclic shifts."""
    for k in range(n):
        for s in product((-1, 1), repeat=n):
            yield fmpq_mat(n, n, [s[i] * (j == (i + k) % n) for i in range(n) for j in range(n)])


def mean(values: Iterator[Any]) -> Any:
    """Return the mean."""
    listed = list(values)
    return sum(listed, fmpq(0)) / len(listed)


# ---------------------------------------------------------------------------------------------- closed forms


@PAPER.lemma("4.1", points=SHAPES)
def lemma_4_1(case: Case) -> Comparison:
    r"""With B = U frozen the best A is U^T Delta; it gains Tr U^T Delta S Delta^T U, for every S > 0.

    Lemma 4.1 as recalled. Measured: the excess loss of A* + X over that of A*, minus Tr X S X^T, for a random X, plus
    the error of the gain. The first is 0 for every X only at the minimiser.
    """
    delta, S = problem(case)
    U = orthonormal_columns(case, case["d_out"], case["r"])
    best, X = U.transpose() * delta, instances.integers(case.rng, case["r"], case["d_in"])
    excess = gain(delta, S, U * best) - gain(delta, S, U * (best + X)) - inner(X, S)
    error = gain_A(delta, S, U) - inner(U.transpose() * delta, S)
    return equal(abs(excess) + abs(error), 0)


@lemma_4_1.control("U of random, not orthonormal, columns")
def _(case: Case) -> Comparison:
    delta, S = problem(case)
    U = instances.rational_planted_rank(case.rng, case["d_out"], case["r"], case["r"]) * 2
    return equal(abs(gain_A(delta, S, U) - inner(U.transpose() * delta, S)), 0)


@PAPER.lemma("4.2", points=SHAPES)
def lemma_4_2(case: Case) -> Comparison:
    r"""With A = Q frozen the best B is Delta S Q^T (Q S Q^T)^{-1}; it gains Tr Delta S Q^T (Q S Q^T)^{-1} Q S Delta^T.

    Lemma 4.2 as recalled. Measured as in lemma 4.1, with Tr X Q S Q^T X^T for the excess.
    """
    return equal(_defect_of_B(case, best_B), 0)


@lemma_4_2.control("B = Delta Q^T, which is best for S = I only")
def _(case: Case) -> Comparison:
    return equal(_defect_of_B(case, lambda delta, S, Q: delta * Q.transpose()), 0)


def _defect_of_B(case: Case, rule: Any) -> Any:
    delta, S = problem(case)
    Q = orthonormal_columns(case, case["d_in"], case["r"]).transpose()
    best, X = rule(delta, S, Q), instances.integers(case.rng, case["d_out"], case["r"])
    excess = gain(delta, S, best * Q) - gain(delta, S, (best + X) * Q) - inner(X * Q, S)
    projected = delta * S * Q.transpose()
    return abs(excess) + abs(gain(delta, S, best * Q) - inner(projected, (Q * S * Q.transpose()).inv()))


@PAPER.formula("mean-gain-of-A", points=SHAPES)
def mean_gain_of_A(case: Case) -> Comparison:
    """The mean over U of the gain of tuning A is r / d_out of the loss, for every Delta and every S.

    Re-derived: the mean of U U^T commutes with all signed permutations, and its trace is r.
    """
    share, loss = _mean_gain_of_A(case)
    return equal(share, fmpq(case["r"], case["d_out"]) * loss)


@mean_gain_of_A.control("r / d_in", points=SHAPES[:2])
def _(case: Case) -> Comparison:
    share, loss = _mean_gain_of_A(case)
    return equal(share, fmpq(case["r"], case["d_in"]) * loss)


def _mean_gain_of_A(case: Case) -> tuple[Any, Any]:
    """Return the mean gain of A over the orbit of a random U, and the loss."""
    delta, S = problem(case)
    U = orthonormal_columns(case, case["d_out"], case["r"])
    return mean(gain_A(delta, S, G * U) for G in signed_shifts(case["d_out"])), inner(delta, S)


@PAPER.formula("asymmetry-gap", points=SHAPES)
def asymmetry_gap(case: Case) -> Comparison:
    r"""For S = s U_X U_X^T of rank r: B gains (1 - r / d_out) s Tr U_X U_X^T Delta^T Delta more than A in the mean.

    The intuition of section 4.1.1, there for large d; exact at every d. Tuning B leaves no loss at all, whatever Q is,
    as long as Q U_X is non-singular.
    """
    return equal(_gap(case, case["r"]), 1)


@asymmetry_gap.control("S of rank r + 1")
def _(case: Case) -> Comparison:
    return equal(_gap(case, case["r"] + 1), 1)


def _gap(case: Case, rank: int) -> Any:
    """Return the gain of B minus the mean gain of A, over what the formula says, for S of this rank."""
    delta = instances.integers(case.rng, case["d_out"], case["d_in"])
    U_X = orthonormal_columns(case, case["d_in"], rank)
    S = fmpq(int(case.rng.integers(1, 5))) * U_X * U_X.transpose()
    Q = orthonormal_columns(case, case["d_in"], case["r"]).transpose()
    if (Q * S * Q.transpose()).det() == 0:
        raise OutOfScope("Q U_X is singular")
    U = orthonormal_columns(case, case["d_out"], case["r"])
    mean_A = mean(gain_A(delta, S, G * U) for G in signed_shifts(case["d_out"]))
    loss = sum(a * b for a, b in zip((delta * S).entries(), delta.entries(), strict=True))
    if loss == 0:
        raise OutOfScope("Delta vanishes on the inputs")
    return (gain_B(delta, S, Q) - mean_A) / ((1 - fmpq(case["r"], case["d_out"])) * loss)


# ------------------------------------------------------------------------------------- when tuning B is better

WIDE = ({"d_in": 4, "d_out": 4, "r": 1}, {"d_in": 4, "d_out": 4, "r": 3}, {"d_in": 4, "d_out": 6, "r": 2})


@PAPER.theorem(
    "4.3-isotropic", points=WIDE, sampled=True,
    gap="scope restriction: the mean over isotropic Delta, and d_in <= d_out",
)  # fmt: skip
def theorem_4_3_isotropic(case: Case) -> Comparison:
    r"""Delta isotropic, d_in <= d_out: in the mean over Delta, Q and U, tuning B gains at least what tuning A gains.

    Isotropic: Delta G has the law of Delta for every orthogonal G. For every S > 0 and every r, with no d / r -> oo:
    1. The mean of Delta^T Delta is c I, so the mean gain of B at Q is c Tr (Q S Q^T)^{-1} Q S^2 Q^T (`mean-gain-of-B`).
    2. Q S^2 Q^T - (Q S Q^T)^2 = Q S (I - Q^T Q) S Q^T >= 0, so this is at least c Tr Q S Q^T, whose mean over Q is
       c (r / d_in) Tr S; the mean gain of A is c (r / d_out) Tr S.

    Measured: step 2, the mean over a finite isotropic set of Delta minus c Tr Q S Q^T, at a random Q.
    """
    gained, _, c, Q, S = _isotropic(case)
    return at_least(gained - c * inner(Q, S), 0)


@theorem_4_3_isotropic.control("one per cent more, for white inputs")
def _(case: Case) -> Comparison:
    gained, _, c, Q, S = _isotropic(case, white=True)
    return at_least(gained - fmpq(101, 100) * c * inner(Q, S), 0)


@theorem_4_3_isotropic.control("one Delta, on the input of least variance, in place of the mean", points=WIDE[1:])
def _(case: Case) -> Comparison:
    n = case["d_in"]
    S, delta = exact.diagonal([1] * (n - 1) + [fmpq(1, 100)]), fmpq_mat(case["d_out"], n)
    delta[0, n - 1] = fmpq(1)
    Q = orthonormal_columns(case, n, case["r"]).transpose()
    return at_least(gain_B(delta, S, Q) - inner(Q, S) / n, 0)


@PAPER.formula("mean-gain-of-B", points=WIDE)
def mean_gain_of_B(case: Case) -> Comparison:
    r"""The mean gain of B at Q over isotropic Delta is c Tr (Q S Q^T)^{-1} Q S^2 Q^T, c = E |Delta|_F^2 / d_in.

    Step 1 of theorem-4.3-isotropic; the mean over a finite isotropic set of Delta.
    """
    gained, projected, c, Q, S = _isotropic(case)
    return equal(gained, c * exact.trace((Q * S * Q.transpose()).inv() * projected))


@mean_gain_of_B.control("c Tr Q S Q^T, which step 2 leaves of it")
def _(case: Case) -> Comparison:
    gained, _, c, Q, S = _isotropic(case)
    return equal(gained, c * inner(Q, S))


def _isotropic(case: Case, white: bool = False) -> tuple[Any, fmpq_mat, Any, fmpq_mat, fmpq_mat]:
    """Return the mean gain of B over an isotropic set of Delta, Q S^2 Q^T, c, Q and S, which is I for white inputs."""
    delta, S = problem(case)
    S = exact.identity(case["d_in"]) if white else S
    Q = orthonormal_columns(case, case["d_in"], case["r"]).transpose()
    gained = mean(gain_B(delta * G, S, Q) for G in signed_shifts(case["d_in"]))
    return gained, Q * S * S * Q.transpose(), exact.trace(delta * delta.transpose()) / case["d_in"], Q, S


@PAPER.formula("white-inputs", d_in=(3, 4, 5), d_out=(4,), r=(1, 2))
def white_inputs(case: Case) -> Comparison:
    """For S = I the mean gains of B and A are r / d_in and r / d_out of the loss: A wins where d_in > d_out."""
    measured, d_in, d_out = _white(case), case["d_in"], case["d_out"]
    return equal(measured, fmpq(case["r"] * (d_out - d_in), d_in * d_out))


@white_inputs.control("B is at least as good", d_in=(5,), d_out=(4,), r=(1, 2))
def _(case: Case) -> Comparison:
    return at_least(_white(case), 0)


def _white(case: Case) -> Any:
    """Return the mean gain of B minus the mean gain of A, over the loss, for white inputs."""
    delta = instances.rational_planted_rank(case.rng, case["d_out"], case["d_in"], 3)
    S = exact.identity(case["d_in"])
    Q = orthonormal_columns(case, case["d_in"], case["r"]).transpose()
    U = orthonormal_columns(case, case["d_out"], case["r"])
    of_B = mean(gain_B(delta, S, Q * G) for G in signed_shifts(case["d_in"]))
    of_A = mean(gain_A(delta, S, G * U) for G in signed_shifts(case["d_out"]))
    return (of_B - of_A) / sum(x * x for x in delta.entries())


@PAPER.theorem(
    "4.3-similarly-ordered", d=(4, 7), sampled=True, gap="scope restriction: Delta^T Delta must not oppose S"
)
def theorem_4_3_similarly_ordered(case: Case) -> Comparison:
    r"""S, Delta^T Delta similarly ordered in one basis: d Tr Delta S^2 Delta^T >= Tr S Tr Delta S Delta^T.

    For fixed r and d -> oo with a bounded spectrum Q S Q^T concentrates at (Tr S / d) I, so the ratio of the gains of B
    and A tends to the ratio of the two sides: where it is > 1, tuning B is better. That it is >= 1 here is Chebyshev's
    sum inequality for s_i and s_i |Delta e_i|^2; only this inequality is checked.
    """
    return at_least(*_criterion(case, opposed=False))


@theorem_4_3_similarly_ordered.control("Delta strongest where the inputs vary least")
def _(case: Case) -> Comparison:
    return at_least(*_criterion(case, opposed=True))


def _criterion(case: Case, opposed: bool) -> tuple[Any, Any]:
    """Return both sides of the criterion, in a random rational basis."""
    d = case["d"]
    s = sorted(1 + int(x) for x in case.rng.choice(20, d, replace=False))
    weights = sorted(int(x) for x in case.rng.integers(0, 20, d))
    if opposed:
        weights = [fmpq(1, x**2) for x in s]  # s_i |Delta e_i|^2 = 1 / s_i falls as s_i grows
    V = instances.rational_orthogonal(case.rng, d)
    S, gram = (V * exact.diagonal(entries) * V.transpose() for entries in (s, weights))
    return d * exact.trace(gram * S * S), exact.trace(S) * exact.trace(gram * S)


@PAPER.theorem(
    "4.3-as-recalled", half=(2, 4, 8, 16, 32), seeded=False,
    gap="false as printed: as recalled, that is for every Delta; where Delta acts on the half of the inputs that has a "
    "ninth of the variance, tuning A is better with a probability that tends to 1",
)  # fmt: skip
def theorem_4_3_as_recalled(case: Case) -> Comparison:
    r"""U, Q uniform, Delta and S fixed: as d / r -> oo, tuning B is at least as good as tuning A with high probability.

    As recalled and as two summaries have it, which mention no assumption on Delta; the printed text could not be read.
    Here r = 1, d = 2m, Delta = diag(0, I_m) and S = diag(I_m, I_m / 9). Let x, y, both Beta(m/2, m/2), be the squared
    lengths of the last m entries of Q and U. The gains are (x / 81) / (1 - x + x / 9) and y / 9, so B is as good iff y
    / (1 - y) <= (1 / 9) x / (1 - x), which needs y <= 1/4 or x >= 3/4. Measured: 2 I_{1/4}(m/2, m/2), an upper bound
    of the probability, which the claim would have at least 1/2. It is 1/2 at d = 4, then falls.
    """
    return at_least(tail(case["half"], Fraction(1, 4)), Fraction(1, 2))


def tail(half: int, s: Fraction) -> Fraction:
    """Return 2 I_s(m/2, m/2) for an even m: P(y <= s) + P(x >= 1 - s) of two Beta(m/2, m/2) variables."""
    n = half - 1
    return 2 * sum((comb(n, j) * s**j * (1 - s) ** (n - j) for j in range(half // 2, n + 1)), Fraction(0))


@PAPER.theorem(
    "4.3-two-blocks", half=(2, 4, 8, 16, 32, 64), seeded=False,
    gap="scope restriction: Delta acts on the half of the inputs with nine times the variance of the other",
)  # fmt: skip
def theorem_4_3_two_blocks(case: Case) -> Comparison:
    r"""For S = diag(I_m, 9 I_m), Delta = diag(0, I_m), r = 1: A is as good with probability <= 2 (3/4)^{(m - 1) / 2}.

    The twin of theorem-4.3-as-recalled, with the halves exchanged: A is as good only if y >= 3/4 or x <= 1/4. Measured:
    the square of 2 I_{1/4}(m/2, m/2), against that of Chernoff's bound for a binomial variable. The rate 3/4 is the
    right one; the factor 2 is loose, by a factor of 3.5 at m = 2 and of 12 at m = 64.
    """
    return at_most(tail(case["half"], Fraction(1, 4)) ** 2, 4 * Fraction(3, 4) ** (case["half"] - 1))


@theorem_4_3_two_blocks.control("a rate of 0.69 in place of 3/4", half=(64,))
def _(case: Case) -> Comparison:
    return at_most(tail(case["half"], Fraction(1, 4)) ** 2, 4 * Fraction(69, 100) ** (case["half"] - 1))


@PAPER.formula("two-blocks", half=(2, 3))
def two_blocks(case: Case) -> Comparison:
    r"""For S = diag(I_m, e I_m), Delta = diag(0, I_m), r = 1: the gains are e^2 x / (1 - x + e x) and e y.

    x and y are the squared lengths of the last m entries of Q and U: the reduction behind theorem-4.3-two-blocks.
    Measured: the sum of the two errors on rational unit vectors.
    """
    return equal(_two_blocks(case, 2), 0)


@two_blocks.control("e in place of e^2")
def _(case: Case) -> Comparison:
    return equal(_two_blocks(case, 1), 0)


def _two_blocks(case: Case, power: int) -> Any:
    m, e = case["half"], fmpq(*(int(k) for k in case.rng.choice(np.arange(1, 10), 2, replace=False)))
    S, delta = exact.diagonal([1] * m + [e] * m), exact.diagonal([0] * m + [1] * m)
    draws = (orthonormal_columns(case, 2 * m, 1) for _ in count())
    q, u = next(v for v in draws if any(v[m + i, 0] != 0 for i in range(m))), next(draws)  # at x = 0 nothing is gained
    x, y = (sum((v[m + i, 0] ** 2 for i in range(m)), fmpq(0)) for v in (q, u))
    of_B, of_A = gain_B(delta, S, q.transpose()), gain_A(delta, S, u)
    return abs(of_B - e**power * x / (1 - x + e * x)) + abs(of_A - e * y)


# ----------------------------------------------------------------------------------------- generalisation bounds

LAYERS = {"RoBERTa-large-qkv": [(1024, 1024)] * 72, "LLaMA-2-7B-qv": [(4096, 4096)] * 64}
"""(d_in, d_out) of the adapted matrices."""


@PAPER.lemma("4.5", model=tuple(LAYERS), r=(8, 64), seeded=False)
def lemma_4_5(case: Case) -> Comparison:
    r"""Square layers: B alone with rank 2r has the generalisation bound of both factors with rank r.

    The bounds, as recalled: (2 r q ln 2 (s^2 / n) sum (d_in + d_out))^{1/2} for both, with d_out alone for B, for an
    s-sub-Gaussian loss, n data and q bits a parameter: the mutual information is at most the number of trained bits.
    Compared: the trained entries, in which alone the bounds differ. At equal rank the bounds of square layers differ by
    sqrt 2. For an up-projection the bound for A alone is the smaller one, so it says nothing for B as such.
    """
    layers, r = LAYERS[case["model"]], case["r"]
    return equal(trained(layers, of_A=0, of_B=2 * r), trained(layers, of_A=r, of_B=r))


@lemma_4_5.control("an up-projection from 1024 to 4096", r=(8,))
def _(case: Case) -> Comparison:
    layers, r = [(1024, 4096)], case["r"]
    return equal(trained(layers, of_A=0, of_B=2 * r), trained(layers, of_A=r, of_B=r))


def trained(layers: list[tuple[int, int]], of_A: int, of_B: int) -> int:
    """Count the trained entries, for these ranks of A and of B (0 where it is frozen)."""
    return sum(of_A * d_in + of_B * d_out for d_in, d_out in layers)
