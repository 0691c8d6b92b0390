r"""RM-LoRA: LoRA with an orthogonality regulariser and masked gradients, and what the two do to the rank.

From the abstract: regularisation and gradient masking raise the intrinsic dimension of the update, and generalisation
improves. The latter is empirical and not checked. The regulariser and its weight 0.1, and that `random_rank`
directions are updated at random in each epoch, are from the official repository (yz-mao/RM-LoRA); that the theory ties
the error to "the r-th singular value of weight discrepancies" is from a third-party summary. The forms used here are

    R(A, B) = |A A^T - I|_F^2 + |B^T B - I|_F^2   (as in AdaLoRA),    F = h |E - B A|_F^2 / 2 + lambda R,

with E the discrepancy to be learned and h the curvature of the loss. Consequences are derived here.
"""

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, Paper, at_least, equal, exact, instances

PAPER = Paper(
    key="mao2024rmlora",
    title="Enhancing Parameter Efficiency and Generalization in Large-Scale Models: A Regularized and Masked Low-Rank "
    "Adaptation Approach",
    authors=("Yuzhu Mao", "Siqi Ping", "Zihao Zhao", "Yang Liu", "Wenbo Ding"),
    year=2024,
    arxiv="2407.12074v1",
)

SPECTRUM = [9, 7, 4, 2, 1]
"""Singular values of the discrepancy E, of order 5."""


def square(x: fmpq_mat) -> Fraction:
    """Return the squared Frobenius norm."""
    return exact.frobenius_norm_squared(x)


def leading(x: fmpq_mat, r: int) -> fmpq_mat:
    """Return the first r columns."""
    return exact.block(x, range(x.nrows()), range(r))


# --------------------------------------------------------------------------------------------- approximation


@PAPER.theorem(
    "approximation",
    r=(1, 2, 3, 4),
    gap="local correction: recalled, from a summary, as 'the r-th singular value'; counted from 1 it is sigma_{r+1}",
)
def approximation(case: Case) -> Comparison:
    r"""The least spectral error of an update of rank r is sigma_{r+1}(E) (Eckart and Young).

    The error of the truncated decomposition, exactly: U^T (E - LR_r(E)) V is diagonal for planted rational U, V.
    """
    return equal(truncation_error(case, case["r"]), SPECTRUM[case["r"]])


@approximation.control("sigma_r, counted from 1")
def _(case: Case) -> Comparison:
    return equal(truncation_error(case, case["r"]), SPECTRUM[case["r"] - 1])


def truncation_error(case: Case, r: int) -> Fraction:
    """Return the largest singular value of what truncation to rank r leaves."""
    E, U, V = instances.planted_svd(case.rng, 5, SPECTRUM)
    B, A = leading(U, r) * exact.diagonal(SPECTRUM[:r]), leading(V, r).transpose()
    left = U.transpose() * (E - B * A) * V
    if any(left[i, j] != 0 for i in range(5) for j in range(5) if i != j or i < r):
        raise ArithmeticError("the residual is not the tail of the decomposition")
    top = max(abs(left[i, i]) for i in range(5))
    return Fraction(int(top.p), int(top.q))


# ------------------------------------------------------------------------------------- exact orthogonality, R = 0


@PAPER.proposition("flat", n=(4, 6), r=(1, 2, 3))
def flat(case: Case) -> Comparison:
    r"""Where R = 0, B A has r singular values equal to 1: full rank r, whatever the task.

    Measured: the participation ratio (tr G)^2 / tr G^2 of G = (B A)^T B A, which is r only then, exactly.
    """
    return equal(participation(case, factor=1), case["r"])


@flat.control("one row of A of length 2", r=(2, 3), n=(4,))
def _(case: Case) -> Comparison:
    return equal(participation(case, factor=2), case["r"])


def participation(case: Case, factor: int) -> Any:
    """Return the participation ratio of the squared singular values, the first row of A times `factor`."""
    n, r = case["n"], case["r"]
    B, At = (leading(instances.rational_orthogonal(case.rng, n), r) for _ in range(2))
    update = B * exact.diagonal([factor] + [1] * (r - 1)) * At.transpose()
    G = update.transpose() * update
    trace = sum((G[i, i] for i in range(n)), fmpq(0))
    return trace**2 / exact.number(square(G))


@PAPER.formula("excess", r=(1, 2, 4), scaling=("1/1", "5/2"))
def excess(case: Case) -> Comparison:
    r"""At R = 0 the best s B A leaves sum_{i <= r} (sigma_i - s)^2 more of |E|_F^2 than the best update of rank r.

    s is LoRA's scaling alpha/r; by von Neumann's trace inequality (`excess-least`) B = U_r, A = V_r^T are best. No
    excess only if sigma_1 = ... = sigma_r = s. Exactly, for planted rational U and V.
    """
    return excess_over_truncation(case, shift=0)


@excess.control("the right singular vectors out of step", r=(1, 2), scaling=("1/1",))
def _(case: Case) -> Comparison:
    return excess_over_truncation(case, shift=1)


def excess_over_truncation(case: Case, shift: int) -> Comparison:
    """Compare how much more than the truncation is left, the columns of V_r shifted, with the formula."""
    r, s = case["r"], Fraction(case["scaling"])
    more = orthogonal_error(case, shift) - sum(x * x for x in SPECTRUM[r:])
    return equal(more, sum((x - s) ** 2 for x in SPECTRUM[:r]))


def orthogonal_error(case: Case, shift: int) -> Fraction:
    """Return |E - s U_r V_r^T|_F^2, the columns of V_r shifted."""
    r, s = case["r"], exact.number(Fraction(case["scaling"]))
    E, U, V = instances.planted_svd(case.rng, 5, SPECTRUM)
    A = exact.block(V, range(5), range(shift, r + shift)).transpose()
    return square(E - s * leading(U, r) * A)


@PAPER.theorem("excess-least", r=(1, 2, 4), scaling=("1/1", "5/2"), sampled=True)
def excess_least(case: Case) -> Comparison:
    r"""For all A, B with R = 0: |E - s B A|_F^2 >= sum_{i > r} sigma_i^2 + sum_{i <= r} (sigma_i - s)^2.

    The bound is von Neumann's. A and B are at the minimiser U_r, V_r, turned by random small rotations, where a smaller
    value would be found: they come within a hundredth of the bound, which is attained.
    """
    return at_least(*near_least(case, length=1))


def near_least(case: Case, length: int) -> tuple[Fraction, Fraction]:
    """Return |E - s B A|_F^2 near U_r, V_r with columns of this length, and the bound."""
    r, s = case["r"], Fraction(case["scaling"])
    E, U, V = instances.planted_svd(case.rng, 5, SPECTRUM)
    left, right = (leading(small_rotation(case) * X, r) for X in (U, V))
    found = square(E - length * exact.number(s) * left * right.transpose())
    return found, sum(x * x for x in SPECTRUM[r:]) + sum((x - s) ** 2 for x in SPECTRUM[:r])


def small_rotation(case: Case) -> fmpq_mat:
    """Return (I - K)^{-1} (I + K) for a random skew K of entries at most 1/100."""
    K = instances.integers(case.rng, 5, 5) / 600
    K, one = K - K.transpose(), exact.identity(5)
    return (one - K).inv() * (one + K)


@excess_least.control("columns of B of length 2", r=(1, 2), scaling=("1/1",))
def _(case: Case) -> Comparison:
    return at_least(*near_least(case, length=2))


@excess_least.control("a fiftieth more")
def _(case: Case) -> Comparison:
    found, bound = near_least(case, length=1)
    return at_least(found, bound * Fraction(51, 50))


# ------------------------------------------------------------------------------------------- a weight of lambda


@PAPER.theorem("threshold", n=(3, 5), r=(1, 3), weight=("1/10", "3/4"))
def threshold(case: Case) -> Comparison:
    r"""With nothing to learn, E = 0: F = lambda r + (h/2 - 2 lambda) tr(P Q) + lambda |P + Q - I|_F^2.

    P = A A^T, Q = B^T B. As tr(P Q) = |B A|_F^2 >= 0, for lambda < h/4 every minimiser has B A = 0: the regulariser
    shares the identity between P and Q instead of raising the rank of the update. For lambda > h/4 a = b = sqrt(4
    lambda / (h + 4 lambda)) in all r directions is lower. (At the repository's weight 0.1, this takes h < 0.4.)
    Identity at random rational A and B.
    """
    return threshold_identity(case, factor=2)


@threshold.control("h/2 - lambda")
def _(case: Case) -> Comparison:
    return threshold_identity(case, factor=1)


def threshold_identity(case: Case, factor: int) -> Comparison:
    """Compare F and the right-hand side for h = 1."""
    n, r, weight = case["n"], case["r"], exact.number(Fraction(case["weight"]))
    A, B = (instances.rational_planted_rank(case.rng, *shape, r) for shape in ((r, n), (n, r)))
    P, Q, one = A * A.transpose(), B.transpose() * B, exact.identity(r)
    found = objective(fmpq_mat(n, n), A, B, weight)
    overlap = sum(((P * Q)[i, i] for i in range(r)), fmpq(0))
    shared = weight * exact.number(square(P + Q - one))
    return equal(found, weight * r + (fmpq(1, 2) - factor * weight) * overlap + shared)


def objective(E: fmpq_mat, A: fmpq_mat, B: fmpq_mat, weight: Any) -> Any:
    """Return F for h = 1."""
    one = exact.identity(A.nrows())
    regulariser = square(A * A.transpose() - one) + square(B.transpose() * B - one)
    return exact.number(square(E - B * A)) / 2 + weight * exact.number(regulariser)


@PAPER.corollary("above-threshold", root=("3/5", "3/4", "9/10"), r=(1, 3), seeded=False)
def above_threshold(case: Case) -> Comparison:
    r"""At E = 0 and A = B^T = a I, a^2 = 4 lambda / (h + 4 lambda), F = 2 h lambda r / (h + 4 lambda).

    That is below the lambda r of B A = 0 exactly for lambda > h/4. For h = 1, lambda = a^2 / (4 (1 - a^2)).
    """
    return value_further_out(case, multiple=1)


@above_threshold.control("twice as far out")
def _(case: Case) -> Comparison:
    return value_further_out(case, multiple=2)


def value_further_out(case: Case, multiple: int) -> Comparison:
    """Compare F at a multiple of a I with the formula."""
    a, r = fmpq(*map(int, case["root"].split("/"))), case["r"]
    weight = a**2 / (4 * (1 - a**2))
    A = multiple * a * exact.identity(r)
    return equal(objective(fmpq_mat(r, r), A, A, weight), 2 * weight * r / (1 + 4 * weight))


@PAPER.formula("shrinkage", r=(1, 2), weight=("1/10", "1/1"))
def shrinkage(case: Case) -> Comparison:
    r"""What is learned is pulled to 1: F is stationary at singular values (h t_i + 4 lambda) / (h + 4 lambda) of B A.

    t_i are those of E; B = U diag(a), A = diag(a) V^T with a_i^2 these values. The bias 4 lambda |t - 1| / (h + 4
    lambda) is what "intrinsic dimension" costs where E is of low rank. Measured: the squared norm of the gradient of
    F, h = 1.
    """
    return equal(gradient_at_shrunk(case, Fraction(case["weight"])), 0)


@shrinkage.control("without the pull")
def _(case: Case) -> Comparison:
    return equal(gradient_at_shrunk(case, Fraction(0)), 0)


def gradient_at_shrunk(case: Case, pull: Fraction) -> Fraction:
    """Return the squared gradient at a_i = 3/2, 2, ... for the t_i with which they are stationary at weight `pull`."""
    r, weight, pull = case["r"], exact.number(Fraction(case["weight"])), exact.number(pull)
    roots = [fmpq(i + 3, 2) for i in range(r)]
    values = [(1 + 4 * pull) * a**2 - 4 * pull for a in roots]
    U, V = (leading(instances.rational_orthogonal(case.rng, 4), r) for _ in range(2))
    E, B, A = (
        U * exact.diagonal(values) * V.transpose(),
        U * exact.diagonal(roots),
        exact.diagonal(roots) * V.transpose(),
    )
    in_A, in_B = slope(A, lambda A: objective(E, A, B, weight)), slope(B, lambda B: objective(E, A, B, weight))
    return square(in_A) + square(in_B)


def slope(at: fmpq_mat, value: Callable[[fmpq_mat], Any]) -> fmpq_mat:
    """Return the gradient of a function of degree 4, by differences of fourth order, which are exact."""
    m, n, entries = at.nrows(), at.ncols(), []
    for e in range(m * n):
        step = fmpq_mat(m, n, [int(k == e) for k in range(m * n)])
        near, far = (value(at + h * step) - value(at - h * step) for h in (1, 2))
        entries.append((8 * near - far) / 12)
    return fmpq_mat(m, n, entries)


# --------------------------------------------------------------------------------------------------- the mask


@PAPER.proposition("mask-mean", r=(4, 5), kept=(1, 2, 3))
def mask_mean(case: Case) -> Comparison:
    r"""Keeping m of r directions at random multiplies the mean gradient by m/r: a smaller learning rate, on average.

    So for small steps the masked trajectory follows the unmasked one, and whatever raises the rank is in the noise or
    in the finite step. Measured: the squared distance of the mean over all subsets from (m/r) times the gradient, over
    Q.
    """
    gradient = instances.integers(case.rng, 6, case["r"])
    return equal(mean_distance(gradient, list(combinations(range(case["r"]), case["kept"])), case["kept"]), 0)


@mask_mean.control("the same subset at every step")
def _(case: Case) -> Comparison:
    gradient = instances.integers(case.rng, 6, case["r"], 1, 5)
    return equal(mean_distance(gradient, [tuple(range(case["kept"]))], case["kept"]), 0)


def mean_distance(gradient: fmpq_mat, subsets: list[tuple[int, ...]], kept: int) -> Fraction:
    """Return the squared distance of the mean masked gradient from (kept / r) times the gradient."""
    r = gradient.ncols()
    total = fmpq_mat(gradient.nrows(), r)
    for subset in subsets:
        total += gradient * exact.diagonal([int(i in subset) for i in range(r)])
    return square(total / len(subsets) - gradient * fmpq(kept, r))


@PAPER.proposition("mask-rank", points=({"n": 12, "r": 4, "kept": 1}, {"n": 12, "r": 4, "kept": 2}))
def mask_rank(case: Case) -> Comparison:
    r"""One masked step changes B A by a matrix of rank 2 m, an unmasked one by one of rank 2 r (generic, 2 r <= n).

    (B - eta G_B M)(A - eta M G_A) - B A has column space in B M and G_B M. Over a few steps the mask limits the rank
    of what is learned; over many it does not. Exact rank at random integers.
    """
    return equal(rank_of_step(case, case["kept"]), 2 * case["kept"])


@mask_rank.control("no mask")
def _(case: Case) -> Comparison:
    return equal(rank_of_step(case, case["r"]), 2 * case["kept"])


def rank_of_step(case: Case, kept: int) -> int:
    """Return the rank of the change of B A in one step of size 1/7 with `kept` directions."""
    n, r = case["n"], case["r"]
    B, G_B, A, G_A = (instances.integers(case.rng, *shape, -99, 99) for shape in ((n, r), (n, r), (r, n), (r, n)))
    mask = exact.diagonal([int(i < kept) for i in range(r)]) / 7
    return exact.rank((B - G_B * mask) * (A - mask * G_A) - B * A)
