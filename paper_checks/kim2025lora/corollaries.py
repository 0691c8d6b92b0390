"""Corollary 1 and what else the chain of `chain` gives: singular values, distance, excess rank, gap, thresholds."""

from typing import Any

from flint import fmpq

from lora_proofs import Case, Comparison, OutOfScope, at_least, at_most, equal

from .chain import RANKS, marginal_point, second_order_point
from .paper import PAPER, Quadratic, plant


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


@PAPER.proposition(
    "threshold-3",
    over=("1/1000", "1/100", "1/2"),
    r=(1, 2),
    seeded=False,
    proof=("curvature_bounds", "global_value", "kim_trap_local", "kim_trap_strict", "kim_not_global"),
)
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
