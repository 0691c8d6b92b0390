r"""LoRA vs Full Fine-tuning: An Illusion of Equivalence (NeurIPS 2025): what makes an intruder dimension.

The paper is empirical: LoRA gives the tuned matrix new, high-ranking singular vectors, full fine-tuning does not.
That, and what it says about forgetting, needs trained language models and is not checked here. Its definition is
mathematics: the left singular vector y_j of W = W_0 + \Delta, j <= k, is an intruder dimension when max_i |<y_j, x_i>|
< eps over the left singular vectors x_i of W_0. The authors' code (reeceshuttle/intruder-dimensions) has eps = 0.5 and
k = 10 by default, and PEFT's `reduce_intruder_dimension` the same. What follows from the definition is derived here.

W_0 is square of full rank with distinct singular values, so diagonal without loss of generality: rotate left and right
by its singular vectors. The cosines of y_j are then its entries. Singular vectors are enclosed in balls.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from flint import acb_mat, arb, ctx, fmpq, fmpq_mat

from lora_proofs import Case, Comparison, Paper, at_most, equal, exact, instances
from lora_proofs.enclosure import Enclosure

PAPER = Paper(
    key="shuttleworth2024illusion",
    title="LoRA vs Full Fine-tuning: An Illusion of Equivalence",
    authors=("Reece Shuttleworth", "Jacob Andreas", "Antonio Torralba", "Pratyusha Sharma"),
    year=2024,
    arxiv="2410.21228v3",
)

EPS, ONE = fmpq(1, 2), fmpq(1)
N = 16


def flat_orthogonal(case: Case) -> fmpq_mat:
    """Return an orthogonal matrix of order 16 whose entries are +-1/4, rows and columns in random order and sign."""
    H = np.ones((1, 1), dtype=int)
    for _ in range(4):
        H = np.block([[H, H], [H, -H]])
    rng = case.rng
    H = H[rng.permutation(N)][:, rng.permutation(N)] * rng.choice((-1, 1), (N, 1)) * rng.choice((-1, 1), N)
    return exact.matrix(H) / 4


def pretrained(case: Case) -> fmpq_mat:
    """Return a diagonal W_0 with 16 distinct integer singular values, the largest of them 100."""
    return exact.diagonal(
        [100, *sorted((int(x) for x in case.rng.choice(range(1, 100), N - 1, replace=False)), reverse=True)]
    )


def spread(P: fmpq_mat, weights: Sequence[Any], Q: fmpq_mat) -> fmpq_mat:
    """Return sum_i weights_i p_i q_i^T."""
    return P * exact.diagonal([*weights, *[0] * (P.ncols() - len(weights))]) * Q.transpose()


def largest_cosines(W: fmpq_mat, k: int) -> list[arb]:
    """Enclose max_i |<y_j, e_i>| for the left singular vectors y_1, ..., y_k of a W with distinct singular values."""
    before, ctx.dps = ctx.dps, max(ctx.dps, 40)
    try:
        values, vectors = acb_mat(W * W.transpose()).eig(right=True)
        order = sorted(range(len(values)), key=lambda j: -float(values[j].real))
        found = []
        for j in order[:k]:
            entries = [abs(vectors[i, j]) for i in range(len(values))]
            norm = sum((x * x for x in entries), arb(0)).sqrt()
            largest = entries[0]
            for x in entries[1:]:
                largest = largest.max(x)
            found.append(largest / norm)
    finally:
        ctx.dps = before
    return found


def intruders(W: fmpq_mat, k: int) -> Enclosure:
    """Enclose the number of intruder dimensions among the first k."""
    cosines = largest_cosines(W, k)
    return exact.enclosure(sum(bool(c < arb(EPS)) for c in cosines), sum(not bool(c >= arb(EPS)) for c in cosines))


# ------------------------------------------------------------------------------------------- the definition


@PAPER.formula("definition", n=(2, 3, 4), sampled=True)
def definition(case: Case) -> Comparison:
    r"""In R^{n x n} with n <= 1/eps^2, no update of any rank has an intruder dimension: n <= 4 for eps = 1/2.

    The x_i are an orthonormal basis, so the squared cosines of y_j sum to 1 and the largest is >= 1/n. (The official
    code takes the reduced factorisation: for a tall W_0 the x_i are no basis, and the floor is lost.) Measured: the
    number of columns of a random rational orthogonal Y whose entries are all below eps; W = Y diag(t) V^T has them as
    left singular vectors.
    """
    return equal(below(instances.rational_orthogonal(case.rng, case["n"])), 0)


@definition.control("n = 9: the reflection that sends e_1 to (1, ..., 1)/3", n=(9,))
def _(case: Case) -> Comparison:
    w = fmpq_mat(9, 1, [fmpq(1, 3) - int(i == 0) for i in range(9)])
    norm = sum((x * x for x in w.entries()), fmpq(0))
    return equal(below(exact.identity(9) - 2 * w * w.transpose() / norm), 0)


def below(Y: fmpq_mat) -> int:
    """Count the columns of Y with all entries below eps in absolute value."""
    return sum(all(abs(Y[i, j]) < EPS for i in range(Y.nrows())) for j in range(Y.ncols()))


@PAPER.proposition("discontinuous", delta=("1/10", "1/1000", "1/1000000"))
def discontinuous(case: Case) -> Comparison:
    r"""The count is no continuous function of W_0: matrices within delta of each other, the same W, counts 1 and 0.

    For W_0 = I + delta diag(c), c distinct in [0, 1], and W = W_0 + 2 p p^T with a flat unit vector p, y_1 is an
    intruder; for W_0' = I + delta Q diag(c) Q^T with p a column of Q it is not, as y_1 is nearly p. So "which
    pretrained vector is new" is asked of a basis that pretrained singular values closer than the arithmetic leave
    open.
    """
    return equal(count_after_rotation(case, rotate=False), 1)


@discontinuous.control("the other pretrained matrix, within delta")
def _(case: Case) -> Comparison:
    return equal(count_after_rotation(case, rotate=True), 1)


def count_after_rotation(case: Case, rotate: bool) -> Enclosure:
    """Return the count for k = 1 with respect to W_0, or to W_0' that shares the direction of the update."""
    Q, delta = flat_orthogonal(case), fmpq(*map(int, case["delta"].split("/")))
    frozen = exact.identity(N) + exact.diagonal([delta * fmpq(N - i, N) for i in range(N)])
    W = frozen + 2 * spread(Q, [1], Q)
    return intruders(Q.transpose() * W * Q if rotate else W, k=1)


# ------------------------------------------------------------------------------------- what makes an intruder


@PAPER.theorem("large-update", r=(1, 2, 3), ratio=(4, 100), sampled=True)
def large_update(case: Case) -> Comparison:
    r"""A rank-r update tau P Q^T with orthonormal P, Q and tau > ||W_0|| turns y_1, ..., y_r towards the span of P.

    For every x_i: |<x_i, y_j>| <= ||P^T x_i|| + ||W_0|| / (tau - ||W_0||), j <= r. So where the columns of P are
    incoherent with all x_i and tau is a few ||W_0||, all r are intruders. (Let W z = s y. Then (I - P P^T) y =
    (I - P P^T) W_0 z / s, of norm <= ||W_0|| / s, and s >= tau - ||W_0|| by Weyl.) Here ||P^T x_i|| = sqrt(r)/4.
    """
    return at_most(worst(planted(case, 100 * case["ratio"]), case["r"]), cosine_bound(case))


@large_update.control("tau = ||W_0||/20 instead", r=(1, 2), ratio=(100,))
def _(case: Case) -> Comparison:
    return at_most(worst(planted(case, 5), case["r"]), cosine_bound(case))


@large_update.control("an update along the pretrained vectors", r=(1, 2), ratio=(100,))
def _(case: Case) -> Comparison:
    one = exact.identity(N)
    W = pretrained(case) + spread(one, [100 * case["ratio"]] * case["r"], one)
    return at_most(worst(W, case["r"]), cosine_bound(case))


@large_update.control("three quarters of ||P^T x_i||, which is attained", r=(1,), ratio=(100,))
def _(case: Case) -> Comparison:
    return at_most(worst(planted(case, 100 * case["ratio"]), case["r"]), cosine_bound(case, fmpq(3, 4)))


def cosine_bound(case: Case, share: fmpq = ONE) -> arb:
    """Return share sqrt(r)/4 + ||W_0|| / (tau - ||W_0||)."""
    return arb(share) * arb(fmpq(case["r"], N)).sqrt() + arb(fmpq(1, case["ratio"] - 1))


def planted(case: Case, tau: int) -> fmpq_mat:
    """Return W_0 + tau P Q^T with flat orthonormal P, Q of r columns."""
    return pretrained(case) + spread(flat_orthogonal(case), [tau] * case["r"], flat_orthogonal(case))


def worst(W: fmpq_mat, r: int) -> arb:
    """Enclose the largest cosine of y_1, ..., y_r."""
    cosines = largest_cosines(W, r)
    top = cosines[0]
    for c in cosines[1:]:
        top = top.max(c)
    return top


@PAPER.theorem("small-update", rank=(1, 4, 16), sampled=True)
def small_update(case: Case) -> Comparison:
    r"""An update of any rank with ||\Delta||_2 <= 0.3 delta_j leaves y_j no intruder for eps = 1/2.

    delta_j is the distance of sigma_j(W_0) from the other singular values. By the theorem of Davis and Kahan for the
    dilation [[0, W], [W^T, 0]], in the form of Yu, Wang and Samworth, the pair (x_j, v_j) turns by an angle with sine
    at most 2 ||\Delta||_2 / delta_j <= 0.6, so |<x_j, y_j>| >= 2 * 0.8 - 1 = 0.6. Here delta_j = 1 for all 16 j;
    \Delta is 0.3 times a partial isometry of the given rank.
    """
    return equal(count_small(case, fmpq(3, 10)), 0)


@small_update.control("an update 400 times as large", rank=(1, 4))
def _(case: Case) -> Comparison:
    return equal(count_small(case, fmpq(120)), 0)


def count_small(case: Case, tau: Any) -> Enclosure:
    """Return the count for k = 10 and singular values 17, 16, ..., 2, tau the norm of an update of the case's rank."""
    P, Q = flat_orthogonal(case), flat_orthogonal(case)
    weights = [tau * fmpq(999 - i, 1000) for i in range(case["rank"])]  # distinct, so that W has distinct values
    return intruders(exact.diagonal(range(N + 1, 1, -1)) + spread(P, weights, Q), k=10)


@PAPER.proposition("equal-norm", update=("rank one", "full rank"))
def equal_norm(case: Case) -> Comparison:
    r"""Two updates of equal Frobenius norm F = 2.2 ||W_0||: that of rank one has an intruder at k = 1, the other none.

    The second is F/4 times an orthogonal matrix: its spectral norm is F / sqrt(n), that of the first is F. This is
    the mechanism behind "LoRA does, full fine-tuning does not" at equal size of the update.
    """
    return equal(count_equal_norm(case, case["update"]), int(case["update"] == "rank one"))


@equal_norm.control("the two interchanged")
def _(case: Case) -> Comparison:
    other = "full rank" if case["update"] == "rank one" else "rank one"
    return equal(count_equal_norm(case, other), int(case["update"] == "rank one"))


def count_equal_norm(case: Case, update: str) -> Enclosure:
    """Return the count at k = 1 for ||W_0||_2 = 1, the other singular values of W_0 at most 1/20, and F = 11/5."""
    P, Q = flat_orthogonal(case), flat_orthogonal(case)
    weights = [fmpq(11, 5)] if update == "rank one" else [fmpq(11, 20)] * N
    frozen = exact.diagonal([1, *(fmpq(1, 20 + i) for i in range(N - 1))])
    return intruders(frozen + spread(P, weights, Q), k=1)


@PAPER.proposition("full-rank", points=[{"k": 10}])
def full_rank(case: Case) -> Comparison:
    r"""A full-rank update has k = 10 intruders once it is large: what counts is its singular values, not its rank.

    \Delta = P diag(tau (16, 15, ..., 1)) Q^T with tau = 25 ||W_0||: each y_j lies within 2/25 of p_j, which is flat.
    "Intruder dimensions do not appear during full fine-tuning" is thus a statement about how far training goes.
    """
    return equal(count_full_rank(case, 2500), case["k"])


@full_rank.control("tau = ||W_0|| / 20", points=[{"k": 10}])
def _(case: Case) -> Comparison:
    return equal(count_full_rank(case, 5), case["k"])


def count_full_rank(case: Case, tau: Any) -> Enclosure:
    """Return the count for an update with singular values tau, 2 tau, ..., 16 tau."""
    P, Q = flat_orthogonal(case), flat_orthogonal(case)
    return intruders(pretrained(case) + spread(P, [tau * i for i in range(N, 0, -1)], Q), case["k"])


# ----------------------------------------------------------------------------------------- how many there are


@PAPER.proposition("above-the-spectrum", r=(1, 2, 4), tau=(30, 3000), sampled=True)
def above_the_spectrum(case: Case) -> Comparison:
    r"""After an update of rank r at most r singular values exceed ||W_0||_2 (Weyl): the high-ranking new ones.

    Exact: the number of positive eigenvalues of W W^T - ||W_0||^2 I.
    """
    return at_most(exceeding(planted(case, case["tau"])), case["r"])


@above_the_spectrum.control("an update of rank r + 1", r=(1, 2), tau=(3000,))
def _(case: Case) -> Comparison:
    W = pretrained(case) + spread(flat_orthogonal(case), [case["tau"]] * (case["r"] + 1), flat_orthogonal(case))
    return at_most(exceeding(W), case["r"])


def exceeding(W: fmpq_mat) -> int:
    """Return how many singular values of W exceed 100, by the signs of the characteristic polynomial's roots."""
    shifted = W * W.transpose() - 10000 * exact.identity(N)
    signs = [(x > 0) - (x < 0) for x in shifted.charpoly().coeffs() if x != 0]
    return sum(a != b for a, b in pairwise(signs))  # Descartes: exact where all roots are real


@PAPER.proposition(
    "at-most-r-as-recalled",
    points=[{"clusters": 2}, {"clusters": 3}],
    seeded=False,
    gap="false as printed: 'a rank-r update has at most min(r, k) intruders' is a rule recalled from reading "
    "notes, not found in the paper; a rank-one update of two tight clusters of five singular values has two",
)
def at_most_r(case: Case) -> Comparison:
    r"""A rank-r update has at most min(r, k) intruder dimensions.

    The counterexample, W_0 near diag(2 I_5, I_5): adding tau p p^T with a flat p moves one vector in each cluster to
    the flat direction of that cluster, whose cosines are 1/sqrt(5) = 0.447 < 1/2. With five singular values within the
    size of the update of each other, one new direction makes an intruder in each such cluster.
    """
    return at_most(clustered(case["clusters"]), 1)


def clustered(clusters: int) -> Enclosure:
    """Return the count among k = 10 for a rank-one update of norm 1/20 a cluster, whose values differ by 1e-5."""
    n = 5 * clusters
    values = [clusters - i // 5 + fmpq(n - i, 10**5) for i in range(n)]
    p = fmpq_mat(n, 1, [1] * n)
    return intruders(exact.diagonal(values) + p * p.transpose() / 100, k=10)


# ------------------------------------------------------------------------------ where the new vector comes to lie


@PAPER.formula("secular", n=(4, 7))
def secular(case: Case) -> Comparison:
    r"""det(z^2 - W W^T) / det(z^2 - W_0 W_0^T) for W = W_0 + tau u v^T: the equation of the new singular values.

    With W_0 = diag(s), the ratio is (1 - tau f(z))^2 - tau^2 g_u(z) g_v(z), where f = sum s_i u_i v_i / (z^2 - s_i^2)
    and g_u = sum z u_i^2 / (z^2 - s_i^2), g_v alike. In the limit of large incoherent u, v it becomes tau phi(z) = 1
    with the transform phi of the spectrum (Benaych-Georges and Nadakuditi).
    """
    return secular_equation(case, cross=1)


@secular.control("without the cross term f")
def _(case: Case) -> Comparison:
    return secular_equation(case, cross=0)


def secular_equation(case: Case, cross: int) -> Comparison:
    """Compare both sides for random rational data."""
    n = case["n"]
    s, z, tau = [fmpq(2 * i + 1) for i in range(n)], fmpq(2 * n + 4), fmpq(3, 7)
    u, v = ([fmpq(int(x), 5) for x in case.rng.integers(1, 9, n)] for _ in range(2))
    W = exact.diagonal(s) + tau * fmpq_mat(n, 1, u) * fmpq_mat(1, n, v)
    left = (z * z * exact.identity(n) - W * W.transpose()).det()
    for x in s:
        left /= z * z - x * x
    weights = [1 / (z * z - x * x) for x in s]
    f = sum((x * a * b * w for x, a, b, w in zip(s, u, v, weights, strict=True)), fmpq(0))
    g_u, g_v = (sum((z * a * a * w for a, w in zip(p, weights, strict=True)), fmpq(0)) for p in (u, v))
    return equal(left, (1 - cross * tau * f) ** 2 - tau**2 * g_u * g_v)


@PAPER.formula("spike", tau=("3/2", "4/2", "5/1"), seeded=False)
def spike(case: Case) -> Comparison:
    r"""A Gaussian W_0 of noise level 1/sqrt(n), n -> infinity: sigma_1 = tau + 1/tau, cos^2(u, y_1) = 1 - 1/tau^2.

    For tau > 1 (below, there is no new singular value). The transform phi(z) = sum_k C_k z^{-2k-1} of the quarter
    circle, with Catalan numbers C_k, solves phi^2 - z phi + 1 = 0; the new value solves tau phi = 1 and the cosine is
    -1 / (tau^2 phi'(sigma_1)) (Benaych-Georges and Nadakuditi). Exact in rationals, from the quadratic.
    """
    tau = Fraction(case["tau"])
    return equal(spike_residual(tau, tau + 1 / tau), 0)


@spike.control("sigma_1 = tau")
def _(case: Case) -> Comparison:
    tau = Fraction(case["tau"])
    return equal(spike_residual(tau, tau), 0)


def spike_residual(tau: Fraction, z: Fraction) -> Fraction:
    """Return how far phi = 1/tau is from a root of the quadratic at z, and the cosine from 1 - 1/tau^2."""
    phi = 1 / tau
    slope = phi / (2 * phi - z)  # from the derivative of the quadratic: (2 phi - z) phi' = phi
    return abs(phi**2 - z * phi + 1) + abs(-1 / (tau**2 * slope) - (1 - 1 / tau**2))


# ------------------------------------------------------------------------------------------------- mitigation


@PAPER.formula("mitigation", r=(1, 2), scale=("0/1", "1/4"))
def mitigation(case: Case) -> Comparison:
    r"""Scaling the intruder y_1 by lambda, W' = W + (lambda - 1) sigma_1 y_1 z_1^T, makes \Delta' of rank r + 1.

    W' has the singular values of W but lambda sigma_1 for sigma_1, so the update W' - W_0 is in general no rank-r
    adapter. PEFT's `reduce_intruder_dimension` truncates it to rank r: what it stores is not the W' of the paper, but
    within sigma_{r+1}(W' - W_0) of it. Exact rank, for planted rational singular vectors.
    """
    return equal(rank_mitigated(case, aligned=False), case["r"] + 1)


@mitigation.control("the update is along y_1 itself")
def _(case: Case) -> Comparison:
    return equal(rank_mitigated(case, aligned=True), case["r"] + 1)


def rank_mitigated(case: Case, aligned: bool) -> int:
    """Return the rank of W' - W_0, W with planted singular vectors and a rank-r update, y_1 z_1^T in it if aligned."""
    _, Y, Z = instances.planted_svd(case.rng, 6, [30, 9, 7, 5, 3, 2])
    term = exact.block(Y, range(6), range(1)) * exact.block(Z, range(6), range(1)).transpose()
    rest = instances.rational_planted_rank(case.rng, 6, 6, case["r"] - int(aligned))
    update = rest + (29 * term if aligned else fmpq_mat(6, 6))  # W_0 = W - update
    return exact.rank(update + (fmpq(*map(int, case["scale"].split("/"))) - 1) * 30 * term)
