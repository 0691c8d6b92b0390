r"""The lemma on rank-deficient points: second-order stationary points (SOSPs) with a spare column are global.

L_P(u, v) = L(u, v) + <P, Q Q^T> with P >= 0, Q = [u; v] in R^{(m+n) x r}; 2 S = [[lam I, -M], [-M^T, lam I]] + 2 P is
the slack, the gradient is 2 S Q, and at a SOSP the Hessian has no negative eigenvalue:

    lam (|x|^2 + |y|^2) - 2 <M, x y^T> + 2 <P, z z^T> + sum phi''(w_k) A_k(x v^T + u y^T)^2 >= 0,    z = [x; y].
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, at_least, equal, exact, instances, ntk
from lora_proofs.exact import inner

from .paper import PAPER
from .planted import index, instance, is_stationary, planted, slack_matrix, slope

TOP = {"minimiser": 0, "saddle": Fraction(5, 4)}


def curved(case: Case) -> tuple[fmpq_mat, fmpq_mat]:
    """Return the Hessian of L_P and 2 S at a planted stationary point of rank r - 1, for the case's P."""
    rng, lam = case.rng, 1
    m, n, k, d = (int(x) for x in case["shape"].split("-"))
    r = k + 1
    if case["P"] == "zero":
        plant = planted(rng, [(m, n)], [k], r, d, top=TOP[case["point"]], lam=lam, loss=case["loss"])
        if not is_stationary(plant.trap):
            raise ArithmeticError("the point is not stationary")
        return plant.trap.hessian(), slack_matrix(plant.M, lam)
    # u = v and P = [[X + Y, X - Y], [X - Y, X + Y]]: stationary if (M - lam I - 4 X) u = 0.
    u = instances.rational_planted_rank(rng, n, k, k) * instances.rational_planted_rank(rng, k, r, k)
    X, Y = ((F := instances.integers(rng, n, 2)) * F.transpose() / 100 for _ in range(2))
    null = u.transpose().rref()
    w = orthogonal_vector(null[0], null[1])
    C = w * w.transpose() / inner(w, w) / (4 if case["point"] == "saddle" else -4)
    M = lam * exact.identity(n) + 4 * X + C
    trap = instance(rng, [(n, n)], M, u, u, d, lam, case["loss"])
    P = fmpq_mat([a + b for a, b in zip((X + Y).table(), (X - Y).table(), strict=True)]
                 + [a + b for a, b in zip((X - Y).table(), (X + Y).table(), strict=True)])  # fmt: skip
    S = slack_matrix(M, lam) + 2 * P
    Q = fmpq_mat(u.table() + u.table())
    if not exact.is_zero(S * Q):
        raise ArithmeticError("the point is not stationary")
    return trap.hessian() + 2 * exact.kron(P, exact.identity(r)), S


def orthogonal_vector(echelon: fmpq_mat, rank: int) -> fmpq_mat:
    """Return a column w != 0 with echelon * w = 0, for an echelon form of that rank with fewer rows than columns."""
    n = echelon.ncols()
    pivots = [next(j for j in range(n) if echelon[i, j] != 0) for i in range(rank)]
    free = next(j for j in range(n) if j not in pivots)
    w = fmpq_mat(n, 1)
    w[free, 0] = fmpq(1)
    for i, j in enumerate(pivots):
        w[j, 0] = -echelon[i, free]
    return w


DEFICIENT = {
    "shape": ("3-3-1-3", "4-4-2-4", "5-5-2-8"),
    "P": ("zero", "random"),
    "point": ("minimiser", "saddle"),
    "loss": ("squared", "logistic"),
}


@PAPER.lemma(
    "rank-deficient",
    **DEFICIENT,
    sampled=True,
    proof=("deficient_global", "local_min_sosp", "sosp_deficient_global", "deficient_control"),
)
def rank_deficient(case: Case) -> Comparison:
    r"""If (u, v) is a SOSP of L_P and rank Q < r, then S >= 0, so Q Q^T solves the convex problem: (u, v) is global.

    Lemma as recalled, to be compared with v3; \lambda >= 0, P symmetric, any convex loss. Let Q q = 0, |q| = 1. In the
    direction z q^T the fit does not change to first order, and the Hessian form is 2 z^T S z, for every z. S >= 0 with
    S Q = 0 is the optimality condition of the semidefinite program. Measured over Q: the number of negative eigenvalues
    of S. Planted saddles have a negative curvature and so are out of scope, as the lemma says they must be.
    """
    return equal(negative_at_sosp(*curved(case)), 0)


@rank_deficient.control("a SOSP of full rank: the trap B_r", points=[{"r": r} for r in (1, 2, 3)])
def _(case: Case) -> Comparison:
    return equal(negative_at_sosp(*trapped(case["r"])), 0)


def negative_at_sosp(H: fmpq_mat, S: fmpq_mat) -> int:
    """Return the number of negative eigenvalues of S, where H has none."""
    if index(H):
        raise OutOfScope("the Hessian has a negative eigenvalue: no SOSP")
    return index(S)


def trapped(r: int) -> tuple[fmpq_mat, fmpq_mat]:
    """Return the Hessian and 2 S at the trap B_r, where M is the sum of the first r functionals."""
    trap = ntk.traps.family_b(r)
    M = sum(trap.gradients[:r], fmpq_mat(*trap.shape))
    return trap.hessian(), slack_matrix(M, trap.lam)


@PAPER.lemma("rank-deficient-index", **(DEFICIENT | {"point": ("saddle", "minimiser")}), sampled=True)
def rank_deficient_index(case: Case) -> Comparison:
    r"""Rank Q < r: the Hessian has at least as many negative eigenvalues as S; on {z q^T} it is 2 S.

    The step on which lemma-rank-deficient rests, at minimisers and at saddles. Measured: the first less the second.
    """
    return at_least(surplus_index(*curved(case)), 0)


@rank_deficient_index.control("Q of full rank: the trap B_r", points=[{"r": r} for r in (1, 2, 3)])
def _(case: Case) -> Comparison:
    return at_least(surplus_index(*trapped(case["r"])), 0)


def surplus_index(H: fmpq_mat, S: fmpq_mat) -> int:
    """Return the number of negative eigenvalues of H less that of S, counted as the positive roots of det(x I + S)."""
    signs = [c > 0 for c in (-S).charpoly().coeffs() if c != 0]
    return index(H) - sum(s != t for s, t in pairwise(signs))


@PAPER.lemma("rank-deficient-blocks", ranks=("1-1", "2-1", "1-2"), point=("saddle", "minimiser"), sampled=True)
def rank_deficient_blocks(case: Case) -> Comparison:
    r"""P = 0, two blocks: it suffices that [u_t; v_t] has rank < r in each block, though Q may have rank r.

    The direction z q_t^T in block t, with u_t q_t = v_t q_t = 0, does not move the fit to first order, and the other
    blocks do not enter. Here r = 3 and Q has the rank r_1 + r_2, up to 3. Measured: index of the Hessian minus that
    of S.
    """
    ranks = [int(k) for k in case["ranks"].split("-")]
    plant = planted(case.rng, [(3, 3), (4, 3)], ranks, 3, 5, top=TOP[case["point"]])
    return at_least(surplus_index(plant.trap.hessian(), slack_matrix(plant.M, 1)), 0)


@rank_deficient_blocks.control("one block has rank r: B_2 beside a zero block", points=[{"r": 2}])
def _(case: Case) -> Comparison:
    return at_least(surplus_index(*trapped(case["r"])), 0)


@PAPER.lemma(
    "rank-deficient-unregularised", shape=("3-3-1-2", "4-4-2-5", "5-4-2-6"), deficient=("u", "v"), sampled=True
)
def rank_deficient_unregularised(case: Case) -> Comparison:
    r"""\lambda = 0, P = 0: it suffices that u or v is rank-deficient; a SOSP then has M = 0 and is global.

    Let v q = 0 and M != 0: x = a q^T, y = \epsilon b q^T with <a, M b> > 0 has -2\epsilon<a, M b> from M, and from
    the loss O(\epsilon^2), since x v^T = 0. Stationary points are planted with M v = 0, M^T u = 0, M != 0, and one of
    u, v of rank r - 1. Measured: the number of negative eigenvalues of the Hessian, at least 1.
    """
    m, n, k, d = (int(x) for x in case["shape"].split("-"))
    plant = planted(case.rng, [(m, n)], [k + 1], k + 1, d, lam=0, low=[1])
    u, v = plant.trap.u, plant.trap.v
    if case["deficient"] == "u":
        u = u * exact.diagonal([0] + [1] * k)
    else:
        v = v * exact.diagonal([0] + [1] * k)
    trap = instance(case.rng, [(m, n)], plant.M, u, v, d, 0)
    if not is_stationary(trap) or slope(trap) != plant.M or min(exact.rank(u), exact.rank(v)) != k:
        raise ArithmeticError("the plant failed")
    return at_least(index(trap.hessian()), 1)


@rank_deficient_unregularised.control("u and v of rank r: the trap D_n", points=[{"n": n} for n in (2, 3, 5)])
def _(case: Case) -> Comparison:
    return at_least(index(ntk.traps.family_d(case["n"]).hessian()), 1)
