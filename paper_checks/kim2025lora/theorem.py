r"""Theorem 1 and Corollary 1, and what the chain of `chain` adds to them.

Wordings are taken from a text rendering of the paper whose formulas are partly damaged, and are to be compared with
v3. There sigma_{r*} in the generic regime is that of the second-order point X, not of X*: for r = r* the two
conclusions say nothing, and nothing here contradicts them.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, at_least, at_most, equal, exact, instances
from lora_proofs.exact import inertia, inner

from .chain import RANKS, second_order_point
from .paper import PAPER, Quadratic, above, plant


def generic(case: Case) -> Quadratic:
    """Return an SOSP that is not global; out of scope where 2 alpha > beta, the special regime, has none."""
    q = second_order_point(case)
    if 2 * q.alpha > q.beta:
        raise OutOfScope("special regime")
    return q


@PAPER.theorem("1-special", sampled=True, points=[
    {"r": r, "target": k, "kind": kind} for r, k in ((1, 1), (2, 1), (2, 2)) for kind in ("random", "near 3")
] + [{"r": 1, "target": 1, "kind": "restricted"}])  # fmt: skip
def special_regime(case: Case) -> Comparison:
    r"""2 alpha > beta: every SOSP (r >= r*, |X - X*|_F <= D) is a global minimum.

    That is, at an SOSP that is not global beta/alpha >= 2. Lemmas 2 to 4 give it: d != 0 as X != X*, and
    2 alpha sigma_r |d|_* <= alpha |X - X*|^2 <= beta sigma_r |d|_*. Measured: beta/alpha at planted SOSPs that are not
    global, of random share, tilt and size, or `near` the least that is known, which is 3 (proposition-threshold-3).
    """
    return at_least(condition_number(special_point(case)), 2)


@special_regime.control("up to beta/alpha = 4", r=(1,), target=(1,), kind=("near 3",))
def _(case: Case) -> Comparison:
    return at_least(condition_number(special_point(case)), 4)


@special_regime.control("stationary, but not of second order", r=(1,), target=(1,), kind=("near 3",))
def _(case: Case) -> Comparison:
    q = plant(case.rng, [fmpq(1, 2)], [fmpq(1, 2)], share=fmpq(11, 10))
    return at_least(condition_number(q), 2)


def special_point(case: Case) -> Quadratic:
    """Return a SOSP that is not global, random or with beta/alpha just above 3."""
    if case["kind"] == "restricted":
        return restricted_point(case)
    if case["kind"] == "near 3":
        half = [fmpq(1, 2)]
        share = fmpq(int(case.rng.integers(990, 1000)), 1000)
        return plant(case.rng, half * case["r"], half * case["target"], share=share)
    return second_order_point(case, share=fmpq(int(case.rng.integers(80, 100)), 100))


def condition_number(q: Quadratic) -> Any:
    """Return beta/alpha; out of scope where the point is not of second order."""
    if q.defects():
        raise OutOfScope("not of second order")
    return q.beta / q.alpha


@PAPER.theorem("1-special-search", tries=(8,), sampled=True)
def special_search(case: Case) -> Comparison:
    r"""The same, tried by a search: for fixed X, X*, the least beta/alpha is the value of a semidefinite program.

    Variables: the Hessian B with I <= B <= beta I, M and M* on 2 x 2 with r = r* = 1. Constraints: B(X* - X) = M - M*,
    M and M* as at a stationary X and a global X*, and the Hessian of L at X is >= 0. A local search over |X*|/|X|, the
    two angles and lam, from a random start near the plant of beta/alpha = 3. Measured: the least beta found, in floats.
    """
    return at_least(least_condition(case, [np.log(2), np.pi / 2, np.pi / 2, 0.0], 1.0), 2)


@special_search.control("stationary points, far smaller than X*, that need not be of second order")
def _(case: Case) -> Comparison:
    return at_least(least_condition(case, [2.0, np.pi / 2, np.pi / 2, 0.0], 0.0), 2)


def least_condition(case: Case, start: list[float], weight: float) -> float:
    """Return the least beta/alpha that a local search meets; weight 0 drops the Hessian of L."""
    point = np.array(start) + 0.1 * case.rng.standard_normal(4)
    least, step = condition_program(point, weight), 0.2
    for _ in range(case["tries"]):
        trial = point + step * case.rng.standard_normal(4)
        value = condition_program(trial, weight)
        if value < least:
            point, least = trial, value
        else:
            step *= 0.9
    return least


def condition_program(point: Any, weight: float) -> float:
    """Return the least beta for X = e_1 e_1^T: point holds log |X*|, the two angles, and log lam."""
    norm, lam = np.exp(point[[0, 3]])
    (a, a_turned), (b, b_turned) = (np.array([[np.cos(x), np.sin(x)], [-np.sin(x), np.cos(x)]]) for x in point[1:3])
    eye = np.eye(2)
    import cvxpy as cp  # heavy, and for this search alone

    B, beta, m, c = cp.Variable((4, 4), symmetric=True), cp.Variable(), cp.Variable(), cp.Variable()
    M = lam * np.outer(eye[0], eye[0]) + m * np.outer(eye[1], eye[1])
    M_target = lam * np.outer(a, b) + c * np.outer(a_turned, b_turned)
    step = norm * np.outer(a, b) - np.outer(eye[0], eye[0])
    J = np.array([np.outer(e, eye[0]).ravel() for e in eye] + [np.outer(eye[0], e).ravel() for e in eye]).T
    corner = cp.bmat([[np.zeros((2, 2)), M], [M.T, np.zeros((2, 2))]])
    hessian = J.T @ B @ J + lam * np.eye(4) - corner
    constraints = [B >> np.eye(4), beta * np.eye(4) >> B, cp.abs(c) <= lam]
    constraints += [B @ step.ravel() == cp.vec(M - M_target, order="C"), weight * (hessian + hessian.T) / 2 >> 0]
    problem = cp.Problem(cp.Minimize(beta), constraints)
    try:
        problem.solve("CLARABEL")
    except cp.SolverError:
        return 1e6
    return float(beta.value) if problem.status == "optimal" else 1e6


# ------------------------------------------------------------------------------------------ restricted constants


def restricted_point(case: Case) -> Quadratic:
    """Return a SOSP, r = r* = 1, of an f that is strongly convex on matrices of rank at most 2 only; cf. `plant`."""
    rng = case.rng
    roots, t = ([fmpq(int(rng.integers(5, 8)), 12)] for _ in range(2))
    q = plant(rng, roots, t, share=fmpq(int(rng.integers(80, 100)), 100), spare=3, blind=True)
    if q.beta < 3 * q.alpha:
        raise ArithmeticError("beta < 3 alpha")
    return q


@PAPER.lemma("restricted-constants", sampled=True)
def restricted_constants(case: Case) -> Comparison:
    r"""F of `plant` with `blind`: <Z, B Z> >= alpha |Z|_F^2 for rank Z <= 2, though B has the eigenvalue 0.

    B = beta - (beta - alpha) p p^T/|p|^2 - beta K K^T/3, where p lives on the spaces of X and X*, and K is an isometry
    of rank 3 on their complement. With Z_K the part of Z there, <K, Z> = <K, Z_K> <= sqrt 2 |Z_K|_F for rank Z <= 2, so
    <Z, B Z> >= beta |Z|^2 - (beta - alpha)(|Z|^2 - |Z_K|^2) - (2/3) beta |Z_K|^2 >= alpha |Z|^2 as beta >= 3 alpha.
    Tried on random integer Z, on K less one of its parts, and on p, where it is attained. Measured: the least ratio,
    which is to be alpha.
    """
    q = restricted_point(case)
    if not inertia(q.B)[1]:
        raise ArithmeticError("f is strongly convex")
    return equal(least_ratio(q, low_rank(case, q)), q.alpha)


@restricted_constants.control("Z = K, of rank 3")
def _(case: Case) -> Comparison:
    q = restricted_point(case)
    return equal(least_ratio(q, [*low_rank(case, q), q.hidden]), q.alpha)


def low_rank(case: Case, q: Quadratic) -> list[fmpq_mat]:
    """Return matrices of rank at most 2."""
    n = q.u.nrows()
    drawn = [instances.integers(case.rng, n, 2) * instances.integers(case.rng, 2, n) for _ in range(10)]
    a = q.hidden * exact.column(instances.rational_orthogonal(case.rng, n), 0)
    part = a * (q.hidden.transpose() * a).transpose() / inner(a, a)
    return [*drawn, q.hidden - part, q.beta * q.step - (q.M - q.M_target)]


def least_ratio(q: Quadratic, matrices: list[fmpq_mat]) -> Any:
    """Return the least <Z, B Z> / |Z|_F^2."""
    return min(q.curvature(Z) / inner(Z, Z) for Z in matrices if not exact.is_zero(Z))


@PAPER.theorem("1-generic-rank", points=RANKS, sampled=True)
def generic_rank(case: Case) -> Comparison:
    r"""2 alpha <= beta, an SOSP X that is not global: rank X = r and sigma_r(X) >= (2 alpha/beta) sigma_{r*}(X).

    Measured: the quotient of the two sides. It is near 3/2 where beta/alpha is near 3.
    """
    return at_least(generic_quotient(generic(case), case["target"]), 1)


@generic_rank.control("16/10 of it, where beta/alpha is near 3", points=RANKS[:1])
def _(case: Case) -> Comparison:
    q = plant(case.rng, [fmpq(1, 2)], [fmpq(1, 2)], share=fmpq(99, 100))
    return at_least(generic_quotient(q, case["target"]), fmpq(16, 10))


def generic_quotient(q: Quadratic, target: int) -> Any:
    """Return sigma_r(X) over (2 alpha/beta) sigma_{r*}(X)."""
    return q.s[-1] / (2 * q.alpha / q.beta * q.s[target - 1])


@generic_rank.control("a column of zeros appended: stationary and not global, but an escape direction appears")
def _(case: Case) -> Comparison:
    q = second_order_point(case)
    zero = fmpq_mat(q.u.nrows(), 1)
    wide = replace(q, u=exact.hstack(q.u, zero), v=exact.hstack(q.v, zero), s=(*q.s, fmpq(0)))
    if not (wide.inertia()[0] and not any(wide.gradient())):
        raise ArithmeticError("a rank-deficient SOSP that is not global")
    return at_least(generic_quotient(wide, case["target"]), 1)


@PAPER.theorem("1-generic-distance", points=RANKS, sampled=True)
def generic_distance(case: Case) -> Comparison:
    r"""For the same X: |X - X*|_F^2 (1 - 2 alpha sigma_{r*}(X) / (beta sigma_r(X))) >= |X - \Pi_{r*}(X)|_F^2.

    \Pi_{r*} is the best approximation of rank r*. The paper's proof:

    1. Z = -E with E of lemma 3: |Z|_op <= beta sigma_r, in the complement of U, V. With kappa = sigma_{r*}/(beta
       sigma_r), \Pi_{r*}(X) is a best approximation of X - kappa Z as well (the claim below).
    2. Compare with X*: |\Pi_{r*}(X) - X|^2 <= |X* - X|^2 + 2 kappa <X* - X, Z>, since <\Pi_{r*}(X) - X, Z> = 0.
    3. <X* - X, Z> <= -alpha |X - X*|^2, because Z - \nabla f(X) is a subgradient of lam |.|_* at X, and -\nabla f(X*)
       is one at X*.
    """
    q = generic(case)
    k = case["target"]
    share = 1 - 2 * q.alpha * q.s[k - 1] / (q.beta * q.s[-1])
    return at_least(q.distance * share, sum((x * x for x in q.s[k:]), fmpq(0)))


@generic_distance.control("4 alpha in place of 2 alpha, on a point close to the bound", r=(1,))
def _(case: Case) -> Comparison:
    q = plant(None, [fmpq(1, 2)], [fmpq(1, 2)], share=fmpq(99, 100))
    return at_least(q.distance * (1 - 4 * q.alpha / q.beta), 0)


@PAPER.theorem("1-generic-distance-step", points=RANKS, sampled=True)
def best_approximation(case: Case) -> Comparison:
    r"""Step 1: X - kappa Z has no more singular values above sigma_{r*}(X) than X has. Counted by inertia."""
    q = generic(case)
    level = q.s[case["target"] - 1]
    return at_most(above(shifted(q, level / (q.beta * q.s[-1])), level), sum(x > level for x in q.s))


@best_approximation.control("kappa doubled, on a point close to the bound")
def _(case: Case) -> Comparison:
    q = plant(case.rng, [fmpq(1, 2)] * case["r"], [fmpq(1, 2)] * case["target"], share=fmpq(99, 100))
    return at_most(above(shifted(q, 2 / q.beta), q.s[0]), 0)


def shifted(q: Quadratic, kappa: Any) -> fmpq_mat:
    """Return X + kappa E, E the part of M beyond the level lam; all its singular values on the complement are equal."""
    isometry = fmpq_mat(q.u.nrows(), q.v.nrows())
    for i in range(len(q.s)):
        a, b = exact.column(q.u, i), exact.column(q.v, i)
        isometry += a * b.transpose() / inner(a, a)
    S = q.M - q.lam * isometry
    size_squared = inner(S, S) / exact.rank(S)  # S is a multiple of an isometry
    size = exact.sqrt_above(size_squared)
    if size**2 != size_squared:
        raise ArithmeticError("the complement of M is no multiple of a rational isometry")
    return q.X + kappa * (1 - q.lam / size) * S
