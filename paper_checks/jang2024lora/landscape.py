r"""The lemma on rank-deficient points, Theorem 4.1 with its corank count, and Corollary 4.2.

L_P(u, v) = L(u, v) + <P, Q Q^T> with P >= 0, Q = [u; v] in R^{(m+n) x r}; 2 S = [[lam I, -M], [-M^T, lam I]] + 2 P is
the slack, the gradient is 2 S Q, and a second-order stationary point (SOSP) has a Hessian without negative
eigenvalues:

    lam (|x|^2 + |y|^2) - 2 <M, x y^T> + 2 <P, z z^T> + sum phi''(w_k) A_k(x v^T + u y^T)^2 >= 0,    z = [x; y].

The proof of Theorem 4.1: a SOSP that is not global has rank Q = r (lemma-rank-deficient), so S Q = 0 gives S corank
r. S runs through the d-dimensional affine space (lam/2) I + P + {...}, and corank r has codimension r(r+1)/2
(theorem-4.1-corank): if r(r+1)/2 > d, it meets no such S for almost every P.

For P = diag(P_1, P_2) put u' = (I + 2 P_1 / lam)^{1/2} u, v' alike, G' = (I + 2 P_1 / lam)^{-1/2} G (I + 2 P_2 /
lam)^{-1/2}: then L_P(u, v) is L of G' at (u', v'), and its optimum can be certified.
"""

from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, at_least, at_most, equal, exact, instances
from lora_proofs.ntk import LinearizedProblem, solve, traps
from lora_proofs.ntk.landscape import polish, survey
from lora_proofs.ntk.rational_problem import inner

from .paper import PAPER, Bracket, above_optimum, gaussian_problem
from .planted import diagonal, index, instance, is_stationary, planted, slack_matrix

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
    return trap.hessian() + 2 * kronecker_identity(P, r), S


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


def kronecker_identity(P: fmpq_mat, r: int) -> fmpq_mat:
    """Return P (x) I_r: the form tr Z^T P Z in the coordinates of `Trap.hessian`."""
    size = P.nrows()
    out = fmpq_mat(size * r, size * r)
    for i in range(size):
        for j in range(size):
            for c in range(r):
                out[i * r + c, j * r + c] = P[i, j]
    return out


DEFICIENT = {
    "shape": ("3-3-1-3", "4-4-2-4", "5-5-2-8"),
    "P": ("zero", "random"),
    "point": ("minimiser", "saddle"),
    "loss": ("squared", "logistic"),
}


@PAPER.lemma("rank-deficient", **DEFICIENT)
def rank_deficient(case: Case) -> Comparison:
    r"""If (u, v) is a SOSP of L_P and rank Q < r, then S >= 0, so Q Q^T solves the convex problem: (u, v) is global.

    Lemma as recalled, to be compared with v3; \lambda >= 0, P symmetric, any convex loss. Let Q q = 0, |q| = 1. In the
    direction z q^T the fit does not change to first order, and the Hessian form is 2 z^T S z, for every z. S >= 0 with
    S Q = 0 is the optimality condition of the semidefinite program. Measured over Q: the number of negative eigenvalues
    of S. Planted saddles have a negative curvature and so are out of scope, as the lemma says they must be.
    """
    H, S = curved(case)
    if index(H):
        raise OutOfScope("the Hessian has a negative eigenvalue: no SOSP")
    return equal(index(S), 0)


@rank_deficient.control("a SOSP of full rank: the trap B_r", points=[{"r": r} for r in (1, 2, 3)])
def _(case: Case) -> Comparison:
    trap = traps.family_b(case["r"])
    M = trap.gradients[0] + sum(trap.gradients[1 : case["r"]], fmpq_mat(*trap.shape))
    if index(trap.hessian()):
        raise OutOfScope("no SOSP")
    return equal(index(slack_matrix(M, trap.lam)), 0)


@PAPER.lemma("rank-deficient-index", **DEFICIENT)
def rank_deficient_index(case: Case) -> Comparison:
    r"""Rank Q < r: the Hessian has at least as many negative eigenvalues as S; on {z q^T} it is 2 S.

    The step on which lemma-rank-deficient rests, at minimisers and at saddles.
    """
    H, S = curved(case)
    return at_least(index(H), index(S))


@rank_deficient_index.control("Q of full rank: the trap B_r", points=[{"r": r} for r in (1, 2, 3)])
def _(case: Case) -> Comparison:
    trap = traps.family_b(case["r"])
    M = trap.gradients[0] + sum(trap.gradients[1 : case["r"]], fmpq_mat(*trap.shape))
    return at_least(index(trap.hessian()), index(slack_matrix(M, trap.lam)))


@PAPER.lemma("rank-deficient-blocks", ranks=("1-1", "2-1", "1-2"), point=("minimiser", "saddle"))
def rank_deficient_blocks(case: Case) -> Comparison:
    r"""P = 0, two blocks: it suffices that [u_t; v_t] has rank < r in each block, though Q may have rank r.

    The direction z q_t^T in block t, with u_t q_t = v_t q_t = 0, does not move the fit to first order, and the other
    blocks do not enter. Here r = 3 and Q has the rank r_1 + r_2, up to 3. Measured: index of the Hessian minus that
    of S.
    """
    ranks = [int(k) for k in case["ranks"].split("-")]
    plant = planted(case.rng, [(3, 3), (4, 3)], ranks, 3, 5, top=TOP[case["point"]])
    return at_least(index(plant.trap.hessian()) - index(slack_matrix(plant.M, 1)), 0)


@rank_deficient_blocks.control("one block has rank r: B_2 beside a zero block", points=[{"r": 2}])
def _(case: Case) -> Comparison:
    trap = traps.family_b(case["r"])
    M = trap.gradients[0] + trap.gradients[1]
    return at_least(index(trap.hessian()) - index(slack_matrix(M, 1)), 0)


@PAPER.lemma("rank-deficient-unregularised", shape=("3-3-1-2", "4-4-2-5", "5-4-2-6"), deficient=("u", "v"))
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
        u = u * diagonal([0] + [1] * k)
    else:
        v = v * diagonal([0] + [1] * k)
    trap = instance(case.rng, [(m, n)], plant.M, u, v, d, 0)
    if not is_stationary(trap) or min(exact.rank(u), exact.rank(v)) != k:
        raise ArithmeticError("the plant failed")
    return at_least(index(trap.hessian()), 1)


@rank_deficient_unregularised.control("u and v of rank r: the trap D_n", points=[{"n": n} for n in (2, 3, 5)])
def _(case: Case) -> Comparison:
    return at_least(index(traps.family_d(case["n"]).hessian()), 1)


# ------------------------------------------------------------------------------------------------ Theorem 4.1


@PAPER.theorem("4.1-corank", shape=("4-4-2", "5-3-3", "2-6-2"), P=("full", "first block"))
def corank_count(case: Case) -> Comparison:
    r"""Corank r has codimension r(r+1)/2 along P: dP -> Q^T dP Q is onto the symmetric r x r matrices, if rank Q = r.

    Near S_0 with kernel range Q the matrices of corank r are {S: Schur complement on the kernel = 0}, whose derivative
    is Q^T dS Q. So (\rho, P) -> Schur complement is a submersion, and for almost every P its restriction to the d
    dimensions of \rho has 0 as a regular value: for d < r(r+1)/2 it has no zero. P = diag(P_1, 0) alone is onto as well
    when u has rank r, as it has where \lambda > 0. Measured: the rank of the derivative at a random integer Q.
    """
    return equal(corank_rank(case, 0), corank(case))


@corank_count.control("Q of rank r - 1")
def _(case: Case) -> Comparison:
    return equal(corank_rank(case, 1), corank(case))


def corank(case: Case) -> int:
    """Return r(r+1)/2."""
    r = int(case["shape"].split("-")[2])
    return r * (r + 1) // 2


def corank_rank(case: Case, missing: int) -> int:
    """Return the rank of dP -> Q^T dP Q."""
    m, n, r = (int(x) for x in case["shape"].split("-"))
    size = m if case["P"] == "first block" else m + n
    Q = instances.rational_planted_rank(case.rng, size, r, min(size, r) - missing)
    out = []
    for i in range(size):
        for j in range(i, size):
            a, b = exact.block(Q, range(i, i + 1), range(r)), exact.block(Q, range(j, j + 1), range(r))
            out.append((a.transpose() * b + b.transpose() * a).entries())
    return exact.rank(fmpq_mat(out))


def perturbed(problem: LinearizedProblem, rng: np.random.Generator, size: float) -> tuple[LinearizedProblem, list[Any]]:
    """Return the problem whose L is L_P for a random P = diag(P_1, P_2) >= 0, and (I + 2 P_i / lam)^{1/2}."""
    (m, n), (block,) = problem.shapes[0], problem.blocks
    roots = []
    for k in (m, n):
        F = rng.standard_normal((k, k))
        values, W = np.linalg.eigh(np.eye(k) + 2 / problem.lam * size * (F @ F.T) / np.linalg.norm(F @ F.T, 2))
        roots.append((W * np.sqrt(values)) @ W.T)
    left, right = map(np.linalg.inv, roots)
    G = left @ block.right(right)
    labels = problem.canonical_loss.labels
    return LinearizedProblem(G, problem.offsets, labels, problem.loss, problem.lam), roots


@PAPER.theorem(
    "4.1",
    points=[
        {"loss": "squared", "N": 5, "r": 3},
        {"loss": "logistic", "N": 2, "r": 2},
        {"loss": "squared", "N": 9, "r": 4},
    ],
    tolerance=(1e-6, "gradient descent and Newton's method stop at a relative gradient of 1e-11"),
)
def theorem_4_1(case: Case) -> Comparison:
    r"""r(r+1)/2 > KN: for almost every P >= 0 every SOSP of L_P is a global minimiser of L_P. (Wording as recalled.)

    Six runs of gradient descent from the standard initialisation, each polished to a stationary point, for Gaussian G
    and a random P = diag(P_1, P_2). Measured: a bracket of the largest excess over the certified optimum of L_P. That
    almost every P does: theorem-4.1-corank, and the module's proof.
    """
    problem = gaussian_problem(case.rng, case["loss"], case["N"], share=0.2, K=1)
    moved, _ = perturbed(problem, case.rng, 0.1 * problem.lam)
    result = survey(moved, case["r"], runs=6, steps=2000, seed=case.seed)
    return at_most((0.0, float(result.values.max()) - result.lower), 0)


@theorem_4_1.control("rank 1, far below the threshold", points=[{"loss": "squared", "N": 14, "r": 1}])
def _(case: Case) -> Comparison:
    problem = gaussian_problem(case.rng, case["loss"], case["N"], share=0.05, K=1)
    result = survey(problem, case["r"], runs=6, steps=2000, seed=case.seed)
    return at_most((float(result.values.max()) - result.upper, float(result.values.max()) - result.lower), 0)


@PAPER.theorem("4.1-from-a-trap", r=(3, 4), tolerance=(1e-6, "Newton's method stops at a relative gradient of 1e-11"))
def theorem_4_1_from_a_trap(case: Case) -> Comparison:
    r"""A random P frees the traps C_r, r(r+1)/2 > KN = r + 1: descent of L_P that starts there ends in its optimum.

    C_r are SOSPs of L, not global (traps.family_c): without P the statement is false. Measured: a bracket of the excess
    over the certified optimum of L_P. Starts: the trap, moved by 10^{-2}; |P|_op = \lambda/5.
    """
    return at_most(excess_from_trap(case, 0.2), 0)


@theorem_4_1_from_a_trap.control("P = 0")
def _(case: Case) -> Comparison:
    return at_most(excess_from_trap(case, 0.0), 0)


def excess_from_trap(case: Case, share: float) -> Bracket:
    """Return a bracket of what is left above the optimum after a descent from C_r, with |P|_op = share * lam."""
    trap = traps.family_c(case["r"])
    problem = trap.problem()
    problem, roots = perturbed(problem, case.rng, share * problem.lam)
    u, v = (
        [root @ x + 1e-2 * case.rng.standard_normal(x.shape)] for root, x in zip(roots, trap.factors(), strict=True)
    )
    for _ in range(20):
        u, v = polish(problem, u, v)
        optimum = solve(problem)
    return above_optimum(problem.objective(u, v), optimum)


# ------------------------------------------------------------------------------------------------ Corollary 4.2


def diagonal_instance(case: Case) -> tuple[Any, Any, Any]:
    """Return the excess of the minimiser of L_P in L, <P, Q* Q*^T>, and 2 |P|_op |delta*|_*, for diagonal everything.

    G_i = E_ii, labels y_i, lam = 1, sums in place of means, P = diag(p, p): delta_i = y_i - 1 - 2 p_i minimises L_P.
    """
    n = case["n"]
    y = [fmpq(int(x)) for x in case.rng.integers(2, 9, n)]
    p = [fmpq(int(x), 20) for x in case.rng.integers(0, 5, n)]
    p[0] = fmpq(1, 5)

    def value(delta: list[Any]) -> Any:
        return sum(((a - b) ** 2 / 2 + a for a, b in zip(delta, y, strict=True)), fmpq(0))

    best = [t - 1 for t in y]
    excess = value([t - 2 * q for t, q in zip(best, p, strict=True)]) - value(best)
    return excess, 2 * sum((t * q for t, q in zip(best, p, strict=True)), fmpq(0)), 2 * max(p) * sum(best, fmpq(0))


@PAPER.corollary("4.2", n=(1, 3, 6))
def corollary_4_2(case: Case) -> Comparison:
    r"""R above the threshold, (u, v) a SOSP of L_P: L(u, v) - min L <= <P, Q*Q*^T> <= 2|P|_op |\delta*|_*.

    As recalled, to be compared with v3; Q* balanced factors of a minimiser \delta* of L. Theorem 4.1 makes (u, v)
    global for L_P: L(u, v) <= L_P(u, v) <= L_P(Q*) = min L + <P, Q*Q*^T>, and tr Q*Q*^T = 2|\delta*|_*. On diagonal
    instances all three are rational. Measured: the first, after a check of the second inequality.
    """
    excess, inside, outside = diagonal_instance(case)
    if inside > outside:
        raise ArithmeticError("<P, QQ^T> exceeds |P|_op tr QQ^T")
    return at_most(excess, inside)


@corollary_4_2.control("a bound of second order in P with too small a constant: |P|_op^2")
def _(case: Case) -> Comparison:
    excess, _, _ = diagonal_instance(case)
    return at_most(excess, fmpq(1, 25))


@PAPER.corollary("4.2-gaussian", loss=("squared", "logistic"), size=(0.02, 0.3))
def corollary_4_2_gaussian(case: Case) -> Comparison:
    r"""The same on Gaussian instances with P = diag(P_1, P_2): the certified minimiser of L_P, judged by L.

    Measured: a bracket of L(u, v) - min L. The bound is <P, Q*Q*^T> at the solver's balanced factors of \delta*.
    """
    excess, bound = small_perturbation(case, 1.0)
    return at_most(excess, bound)


@corollary_4_2_gaussian.control(
    "P is claimed to be a thousand times smaller than it is", size=(0.3,), loss=("squared",)
)
def _(case: Case) -> Comparison:
    excess, bound = small_perturbation(case, 1e-3)
    return at_most(excess, bound)


def small_perturbation(case: Case, claimed: float) -> tuple[Bracket, float]:
    """Return a bracket of the excess in L of the minimiser of L_P, and claimed * <P, Q* Q*^T>."""
    problem = gaussian_problem(case.rng, case["loss"], 6, share=0.2, K=1)
    moved, roots = perturbed(problem, case.rng, case["size"] * problem.lam)
    optimum, (there,) = solve(problem), solve(moved).factors
    u, v = (np.linalg.solve(root, x) for root, x in zip(roots, there, strict=True))
    (pair,) = optimum.factors
    # lam / 2 (|root x|^2 - |x|^2) = <P_i, x x^T>
    paid = sum(
        problem.lam / 2 * float(np.sum((root @ x) ** 2) - np.sum(x**2)) for root, x in zip(roots, pair, strict=True)
    )
    return above_optimum(problem.objective(u, v), optimum), claimed * paid
