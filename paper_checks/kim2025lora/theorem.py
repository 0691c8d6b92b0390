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

from .chain import RANKS, marginal_point, second_order_point
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


@PAPER.corollary("sigma-r", points=[{**p, "plant": kind} for p in RANKS for kind in ("close", "random")], sampled=True)
def smallest_singular_value(case: Case) -> Comparison:
    r"""At an SOSP that is not global: sigma_r(X) >= (alpha/beta) sigma_{r*}(X*), with X* on the right.

    Lemmas 2, 3 and 5: alpha |X - X*|^2 <= beta sigma_r |d|_* <= beta sigma_r |X - X*|^2 / sigma_{r*}(X*). Measured: the
    quotient of the two sides, which is within a tenth of 1 at the plant of corollary-sigma-r-sharp.
    """
    return at_least(singular_quotient(small_point(case)), 1)


@smallest_singular_value.control("stationary, but not of second order", points=RANKS[:1])
def _(case: Case) -> Comparison:
    return at_least(singular_quotient(plant(case.rng, [fmpq(1, 2)], [fmpq(1, 2)], share=fmpq(11, 10))), 1)


def small_point(case: Case) -> Quadratic:
    """Return a SOSP that is not global: random, or with sigma(X) = 1/64 and sigma(X*) = 1."""
    if case["plant"] == "random":
        return second_order_point(case)
    return plant(case.rng, [fmpq(1, 8)] * case["r"], [1] * case["target"], share=fmpq(99, 100))


@smallest_singular_value.control("2 alpha/beta in place of alpha/beta: true of sigma_{r*}(X), not of sigma_{r*}(X*)")
def _(case: Case) -> Comparison:
    return at_least(singular_quotient(plant(case.rng, [fmpq(1, 4)], [1], share=fmpq(99, 100))), 2)


def singular_quotient(q: Quadratic) -> Any:
    """Return sigma_r(X) over (alpha/beta) sigma_{r*}(X*), at an SOSP."""
    if q.defects():
        raise OutOfScope("not of second order")
    return q.s[-1] / (q.alpha / q.beta * q.t[-1])


@PAPER.corollary("sigma-r-sharp", root=("1/4", "1/10", "1/40"), seeded=False)
def smallest_singular_value_sharp(case: Case) -> Comparison:
    r"""The constant 1 in sigma_r(X) >= (alpha/beta) sigma_{r*}(X*) cannot be raised: X = s e_1 e_1^T, X* = e_2 e_2^T.

    As share -> 1 the plant has beta/alpha = (s^2 + 1 - s) / (s (1 - s)), and (beta/alpha) s - 1 = s^2 / (1 - s) -> 0.
    Measured: (beta/alpha) sigma_r(X) / sigma_{r*}(X*) at share 1 - s^2, against 1 + 3 s^2.
    """
    root = fraction(case["root"])
    s = root**2
    return at_most(singular_quotient(plant(None, [root], [1], share=1 - s**2)), 1 + 3 * s**2)


@smallest_singular_value_sharp.control("against 1: the bound itself would be attained")
def _(case: Case) -> Comparison:
    s = fraction(case["root"]) ** 2
    return at_most(singular_quotient(plant(None, [fraction(case["root"])], [1], share=1 - s**2)), 1)


@PAPER.corollary("distance", points=RANKS, sampled=True)
def distance(case: Case) -> Comparison:
    r"""At an SOSP: |X - X*|_F <= (beta/alpha) sqrt(r*) sigma_r(X); compared are the squares.

    alpha |X - X*|^2 <= beta sigma_r |d|_* <= beta sigma_r sqrt(r*) |d|_F, and |d|_F <= |X - X*|_F.
    """
    return at_most(distance_quotient(second_order_point(case)), 1)


@distance.control("half of it, at s = 1/16 where beta/alpha is close to 16")
def _(case: Case) -> Comparison:
    return at_most(distance_quotient(plant(case.rng, [fmpq(1, 4)], [1], share=fmpq(99, 100))), fmpq(1, 4))


@distance.control("99/100 of it, at s = 1/1600", points=RANKS[:1])
def _(case: Case) -> Comparison:
    q = plant(case.rng, [fmpq(1, 40)], [1], share=1 - fmpq(1, 1600) ** 2)
    return at_most(distance_quotient(q), fmpq(99, 100))


def distance_quotient(q: Quadratic) -> Any:
    """Return |X - X*|_F^2 over ((beta/alpha) sigma_r(X))^2 r*."""
    return q.distance / ((q.beta / q.alpha * q.s[-1]) ** 2 * len(q.t))


HIGHEST = [{"r": r, "target": 1, "plant": "of the highest rank known"} for r in (4, 9)]


@PAPER.corollary("excess-rank", points=[{**p, "plant": "random"} for p in RANKS] + HIGHEST, sampled=True)
def excess_rank(case: Case) -> Comparison:
    r"""At an SOSP that is not global: r - r* <= (beta/alpha)^2 r*.

    By Eckart & Young |X - X*|^2 >= (r - r*) sigma_r^2; compare with the corollary on the distance. Loose: the highest
    rank known, (beta/alpha - 1)^2/4 r* (proposition-threshold-rank), tends to a quarter of the bound; the ratio is 8/49
    at r = 9. Measured: r - r* over (beta/alpha)^2 r*.
    """
    return at_most(rank_quotient(excess_point(case)), 1)


@excess_rank.control("15/100 of the bound, at the highest rank known", points=HIGHEST[1:])
def _(case: Case) -> Comparison:
    return at_most(rank_quotient(excess_point(case)), fmpq(15, 100))


def excess_point(case: Case) -> Quadratic:
    """Return a SOSP that is not global."""
    return second_order_point(case) if case["plant"] == "random" else rank_plant(case, 1)


def rank_quotient(q: Quadratic) -> Any:
    """Return r - r* over (beta/alpha)^2 r*."""
    return (len(q.s) - len(q.t)) / ((q.beta / q.alpha) ** 2 * len(q.t))


@PAPER.corollary("gap", points=[{**p, "verge": verge} for p in RANKS for verge in (False, True)], sampled=True)
def gap(case: Case) -> Comparison:
    r"""At an SOSP of a convex f: L(u, v) - min (f + lam |.|_*) <= beta sigma_r(X) |X*|_*.

    By convexity f(X) - f(X*) <= <M, X* - X>, and lam |X|_* = <M, X>: at most <M, X*> - lam |X*|_*, then lemma 3. A
    quadratic f leaves half of the first inequality, so half of the bound is the most that these instances can attain;
    on the `verge` of second order they do. Measured: the excess over the bound.
    """
    return at_most(gap_quotient(gap_point(case)), 1)


@gap.control("49/100 of it, on the verge", points=[{**p, "verge": True} for p in RANKS])
def _(case: Case) -> Comparison:
    return at_most(gap_quotient(gap_point(case)), fmpq(49, 100))


def gap_point(case: Case) -> Quadratic:
    """Return a SOSP that is not global."""
    return marginal_point(case) if case["verge"] else second_order_point(case)


def gap_quotient(q: Quadratic) -> Any:
    """Return the excess over beta sigma_r(X) |X*|_*."""
    return q.excess() / (q.beta * q.s[-1] * sum(q.t))


@PAPER.corollary("gap-of-quadratics", points=RANKS)
def gap_of_quadratics(case: Case) -> Comparison:
    """On the verge of second order a plant attains half of that bound, exactly."""
    return equal(gap_quotient(marginal_point(case)), fmpq(1, 2))


@gap_of_quadratics.control("at 4/5 of the verge")
def _(case: Case) -> Comparison:
    return equal(gap_quotient(second_order_point(case, tilt=0)), fmpq(1, 2))


@PAPER.proposition("threshold-3", over=("1/1000", "1/100", "1/2"), r=(1, 2), seeded=False)
def threshold_3(case: Case) -> Comparison:
    r"""For every c > 3 there is f with beta/alpha <= c and a strict minimum (modulo O(r)) that is not global, r = r*.

    The plant with s = 1/4, t = 1/2 for all singular values: beta/alpha -> 3 as share -> 1. So the special regime cannot
    be widened beyond beta/alpha = 3, with alpha and beta the extreme eigenvalues; between 2 and 3 this leaves the
    question open. (3 is the threshold of arXiv 2207.01789 for the symmetric problem without regularisation, as
    recalled.)
    """
    q = threshold_plant(case)
    return equal(q.defects(), 0)


@threshold_3.control("beyond it: beta/alpha < 3")
def _(case: Case) -> Comparison:
    q = threshold_plant(case, -1)
    return equal(q.defects(), 0)


def threshold_plant(case: Case, sign: int = 1) -> Quadratic:
    """Return the plant with (beta/alpha - 3) between 0 and `over`, or between -over and 0."""
    r, over = case["r"], fraction(case["over"])
    q = plant(None, [fmpq(1, 2)] * r, [fmpq(1, 2)] * r, share=1 - sign * over / 4)
    if not 0 < sign * (q.beta / q.alpha - 3) <= over:
        raise ArithmeticError("beta/alpha is not where it should be")
    return q


@PAPER.proposition("threshold-rank", points=({"r": 4, "target": 1}, {"r": 9, "target": 1}), seeded=False)
def threshold_rank(case: Case) -> Comparison:
    r"""With r = rho r*, there are strict minima that are not global for every beta/alpha > 1 + 2 sqrt(rho).

    The plant with sigma(X) = sigma(X*) / (1 + sqrt(rho)), share -> 1: so overparametrisation by rho < (beta/alpha -
    1)^2 / 4 does not suffice in general. Here rho = 4, 9, and beta/alpha <= 1 + 2 sqrt(rho) + 1/100.
    """
    return equal(rank_plant(case, 1).defects(), 0)


@threshold_rank.control("beyond it")
def _(case: Case) -> Comparison:
    return equal(rank_plant(case, -1).defects(), 0)


def rank_plant(case: Case, sign: int) -> Quadratic:
    """Return the plant just above, or just below, beta/alpha = 1 + 2 sqrt(rho)."""
    root = {4: 2, 9: 3}[case["r"]]
    s = fmpq(1, (1 + root) ** 2)  # the square of 1/(1 + sqrt(rho)), so that its root is rational: t = 1/(1 + sqrt(rho))
    q = plant(None, [fmpq(1, 1 + root)] * case["r"], [s * (1 + root)], share=1 - sign * fmpq(1, 2000))
    if not 0 < sign * (q.beta / q.alpha - 1 - 2 * root) <= fmpq(1, 100):
        raise ArithmeticError("beta/alpha is not where it should be")
    return q


def fraction(text: str) -> fmpq:
    """Read ``"1/4"``."""
    return fmpq(*map(int, text.split("/")))
