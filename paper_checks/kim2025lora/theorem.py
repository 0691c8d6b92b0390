r"""Theorem 1 and Corollary 1, and what the chain of `chain` adds to them.

Wordings are taken from a text rendering of the paper whose formulas are partly damaged, and are to be compared with
v3. There sigma_{r*} in the generic regime is that of the second-order point X, not of X*: for r = r* the two
conclusions say nothing, and nothing here contradicts them.
"""

from dataclasses import replace
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, at_least, at_most, equal, exact
from lora_proofs.ntk.rational_problem import inner

from .chain import RANKS, second_order_point
from .paper import PAPER, Quadratic, above, column, plant


def generic(case: Case) -> Quadratic:
    """Return an SOSP that is not global; out of scope where 2 alpha > beta, the special regime, has none."""
    q = second_order_point(case)
    if 2 * q.alpha > q.beta:
        raise OutOfScope("special regime")
    return q


@PAPER.theorem("1-special", points=({"r": 1, "target": 1}, {"r": 2, "target": 1}, {"r": 2, "target": 2}), sampled=True)
def special_regime(case: Case) -> Comparison:
    r"""2 alpha > beta: every SOSP (r >= r*, |X - X*|_F <= D) is a global minimum.

    That is, at an SOSP that is not global beta/alpha >= 2. Lemmas 2 to 4 give it: d != 0 as X != X*, and
    2 alpha sigma_r |d|_* <= alpha |X - X*|^2 <= beta sigma_r |d|_*. Measured: beta/alpha at planted SOSPs that are not
    global, of random share, tilt and size.
    """
    q = second_order_point(case, share=fmpq(int(case.rng.integers(80, 100)), 100))
    if q.defects():
        raise OutOfScope("tilted too far: not of second order")
    return at_least(q.beta / q.alpha, 2)


@special_regime.control("a global minimum is taken for granted up to beta/alpha = 4")
def _(case: Case) -> Comparison:
    q = plant(case.rng, [fmpq(1, 2)], [fmpq(1, 2)], share=fmpq(99, 100))
    if q.defects():
        raise ArithmeticError("not of second order")
    return at_least(q.beta / q.alpha, 4)


@PAPER.theorem("1-generic-rank", points=RANKS, sampled=True)
def generic_rank(case: Case) -> Comparison:
    r"""2 alpha <= beta, an SOSP X that is not global: rank X = r and sigma_r(X) >= (2 alpha/beta) sigma_{r*}(X)."""
    q = generic(case)
    return at_least(q.s[-1], 2 * q.alpha / q.beta * q.s[case["target"] - 1])


@generic_rank.control("a column of zeros appended: stationary and not global, but an escape direction appears")
def _(case: Case) -> Comparison:
    q = second_order_point(case)
    zero = fmpq_mat(q.u.nrows(), 1)
    wide = replace(q, u=beside(q.u, zero), v=beside(q.v, zero), s=(*q.s, fmpq(0)))
    if not (wide.inertia()[0] and not any(wide.gradient())):
        raise ArithmeticError("a rank-deficient SOSP that is not global")
    return at_least(wide.s[-1], 2 * q.alpha / q.beta * q.s[case["target"] - 1])


def beside(a: fmpq_mat, b: fmpq_mat) -> fmpq_mat:
    """Return [a, b]."""
    return fmpq_mat([x + y for x, y in zip(a.table(), b.table(), strict=True)])


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
        a, b = column(q.u, i), column(q.v, i)
        isometry += a * b.transpose() / inner(a, a)
    S = q.M - q.lam * isometry
    size_squared = inner(S, S) / exact.rank(S)  # S is a multiple of an isometry
    size = exact.sqrt_above(size_squared)
    if size**2 != size_squared:
        raise ArithmeticError("the complement of M is no multiple of a rational isometry")
    return q.X + kappa * (1 - q.lam / size) * S


@PAPER.corollary("sigma-r", points=RANKS, sampled=True)
def smallest_singular_value(case: Case) -> Comparison:
    r"""At an SOSP that is not global: sigma_r(X) >= (alpha/beta) sigma_{r*}(X*), with X* on the right.

    Lemmas 2, 3 and 5: alpha |X - X*|^2 <= beta sigma_r |d|_* <= beta sigma_r |X - X*|^2 / sigma_{r*}(X*).
    """
    q = second_order_point(case)
    return at_least(q.s[-1], q.alpha / q.beta * q.t[-1])


@smallest_singular_value.control("2 alpha/beta in place of alpha/beta: true of sigma_{r*}(X), not of sigma_{r*}(X*)")
def _(case: Case) -> Comparison:
    q = plant(case.rng, [fmpq(1, 4)], [1], share=fmpq(99, 100))
    if q.defects():
        raise ArithmeticError("not of second order")
    return at_least(q.s[-1], 2 * q.alpha / q.beta * q.t[-1])


@PAPER.corollary("sigma-r-sharp", root=("1/4", "1/10", "1/40"), seeded=False)
def smallest_singular_value_sharp(case: Case) -> Comparison:
    r"""The constant 1 in sigma_r(X) >= (alpha/beta) sigma_{r*}(X*) cannot be raised: X = s e_1 e_1^T, X* = e_2 e_2^T.

    As share -> 1 the plant has beta/alpha = (s^2 + 1 - s) / (s (1 - s)), and (beta/alpha) s - 1 = s^2 / (1 - s) -> 0.
    Measured: (beta/alpha) sigma_r(X) / sigma_{r*}(X*) at share 1 - s^2, against 1 + 3 s^2.
    """
    root = fraction(case["root"])
    s = root**2
    q = plant(None, [root], [1], share=1 - s**2)
    if q.defects():
        raise ArithmeticError("not of second order")
    return at_most(q.beta / q.alpha * q.s[-1] / q.t[-1], 1 + 3 * s**2)


@smallest_singular_value_sharp.control("against 1: the bound itself would be attained")
def _(case: Case) -> Comparison:
    s = fraction(case["root"]) ** 2
    q = plant(None, [fraction(case["root"])], [1], share=1 - s**2)
    return at_most(q.beta / q.alpha * q.s[-1] / q.t[-1], 1)


@PAPER.corollary("distance", points=RANKS, sampled=True)
def distance(case: Case) -> Comparison:
    r"""At an SOSP: |X - X*|_F <= (beta/alpha) sqrt(r*) sigma_r(X); compared are the squares.

    alpha |X - X*|^2 <= beta sigma_r |d|_* <= beta sigma_r sqrt(r*) |d|_F, and |d|_F <= |X - X*|_F.
    """
    q = second_order_point(case)
    return at_most(q.distance, (q.beta / q.alpha * q.s[-1]) ** 2 * case["target"])


@distance.control("half of it, at s = 1/16 where beta/alpha is close to 16")
def _(case: Case) -> Comparison:
    q = plant(case.rng, [fmpq(1, 4)], [1], share=fmpq(99, 100))
    return at_most(q.distance, (q.beta / q.alpha * q.s[-1] / 2) ** 2)


@PAPER.corollary("excess-rank", points=RANKS, sampled=True)
def excess_rank(case: Case) -> Comparison:
    r"""At an SOSP that is not global: r - r* <= (beta/alpha)^2 r*.

    By Eckart & Young |X - X*|^2 >= (r - r*) sigma_r^2; compare with the corollary on the distance.
    """
    q = second_order_point(case)
    return at_most(case["r"] - case["target"], (q.beta / q.alpha) ** 2 * case["target"])


@excess_rank.control("beta / (2 alpha) in place of its square, where the rank may be as large as it can", r=(8,))
def _(case: Case) -> Comparison:
    q = plant(None, [fmpq(1, 2)] * case["r"], [1], share=fmpq(99, 100))
    if q.defects():
        raise ArithmeticError("not of second order")
    return at_most(case["r"] - 1, q.beta / q.alpha / 2)


@PAPER.corollary("gap", points=RANKS, sampled=True)
def gap(case: Case) -> Comparison:
    r"""At an SOSP of a convex f: L(u, v) - min (f + lam |.|_*) <= beta sigma_r(X) |X*|_*.

    By convexity f(X) - f(X*) <= <M, X* - X>, and lam |X|_* = <M, X>: at most <M, X*> - lam |X*|_*, then lemma 3.
    """
    q = second_order_point(case)
    return at_most(q.excess(), q.beta * q.s[-1] * sum(q.t))


@gap.control("a tenth of it")
def _(case: Case) -> Comparison:
    q = second_order_point(case)
    return at_most(q.excess(), q.beta * q.s[-1] * sum(q.t) / 10)


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
