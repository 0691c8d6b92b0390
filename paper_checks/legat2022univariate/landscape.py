"""The landscape over Q: derivatives, coprime squares, planted critical points, and the failure of one square."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat, fmpq_poly

from lora_proofs import Case, Comparison, equal, exact

from .paper import (
    NORMS,
    PAPER,
    gradient,
    hankel,
    hessian,
    moments,
    multiplication,
    random_poly,
    residual,
    value,
    weights,
)


@PAPER.formula("derivatives", d=(2, 3), r=(1, 2), norm=NORMS)
def derivatives(case: Case) -> Comparison:
    r"""D f_p(u)[v] = 4 \sum <q, u_i v_i> and D^2 f_p(u)[v, v] = 8 |\sum u_i v_i|^2 + 4 <q, \sum v_i^2>.

    Compared over Q with differences of f_p(u + t v) at t = -2, ..., 2, exact for polynomials of degree 4 in t.
    """
    return equal(_derivative_error(case, fmpq(1)), 0)


@derivatives.control("half the Hessian")
def _(case: Case) -> Comparison:
    return equal(_derivative_error(case, fmpq(1, 2)), 0)


def _derivative_error(case: Case, scale: fmpq) -> fmpq:
    d, r, w = case["d"], case["r"], weights(case["norm"], case["d"])
    u, v = ([random_poly(case, d) for _ in range(r)] for _ in range(2))
    p = random_poly(case, 2 * d)
    at = {t: value([a + t * b for a, b in zip(u, v, strict=True)], p, w) for t in range(-2, 3)}
    first = (at[-2] - 8 * at[-1] + 8 * at[1] - at[2]) / 12
    second = (16 * (at[-1] + at[1]) - at[-2] - at[2] - 30 * at[0]) / 12
    step = fmpq_mat(r * (d + 1), 1, [b[a] for b in v for a in range(d + 1)])
    along = (step.transpose() * gradient(u, p, w))[0, 0]
    curved = (step.transpose() * hessian(u, p, w) * step)[0, 0]
    return abs(first - along) + abs(second - scale * curved)


@PAPER.lemma("coprime", d=(2, 4), common=(0, 1, 2), proof=("sylvester", "legat_coprime"))
def coprime(case: Case) -> Comparison:
    r"""(v_1, v_2) -> u_1 v_1 + u_2 v_2 has rank 2d + 1 - deg gcd(u_1, u_2), for v_i of degree <= d = deg u_1.

    So where u_1 and u_2 are coprime, <q, u_i v> = 0 for all v forces q = 0: a critical point is then a
    decomposition of p, without the Hessian.
    """
    u = _with_common_factor(case)
    return equal(exact.rank(multiplication(u, case["d"])), 2 * case["d"] + 1 - u[0].gcd(u[1]).degree())


@coprime.control("the common factor is forgotten", common=(1, 2), d=(2, 4))
def _(case: Case) -> Comparison:
    u = _with_common_factor(case)
    return equal(exact.rank(multiplication(u, case["d"])), 2 * case["d"] + 1)


def _with_common_factor(case: Case) -> list[fmpq_poly]:
    """Return u_1 and u_2 of degree d with a common divisor whose degree is at least `common`."""
    g = random_poly(case, case["common"])
    return [g * random_poly(case, case["d"] - case["common"]) for _ in range(2)]


FACTORS = ("real", "complex", "resonant")


def planted(case: Case) -> tuple[list[fmpq_poly], fmpq_poly, list[fmpq]]:
    """Return a critical point u of f_p, p and the weights: u_i = g a_i, and <q, g v> = 0 for all v.

    u_1 and u_2 have no more than g in common. g has rational roots ("real"), a pair of complex ones, or the pair at
    which a_1^2 + a_2^2 vanishes too ("resonant"). With real roots q is a combination of evaluations there, whose signs
    decide whether H(q) >= 0.
    """
    d, r, kind = case["d"], case["r"], case["factor"]
    w = weights(case["norm"], d)
    if kind == "real":
        roots = [fmpq(int(x), 2) for x in case.rng.choice(np.arange(-4, 5), 2, replace=False)]
        g = fmpq_poly([roots[0] * roots[1], -roots[0] - roots[1], 1])
        charge = [int(x) for x in case.rng.choice([-1, 1, 2], 2)]
        functional = [sum((c * a**k for c, a in zip(charge, roots, strict=True)), fmpq(0)) for k in range(2 * d + 1)]
    else:
        b = fmpq(int(case.rng.integers(1, 4)))
        g = fmpq_poly([b * b, 0, 1])
        # The real part of c z^k at the root z = i b.
        c, turn = [int(x) for x in case.rng.integers(-2, 3, 2)], ((1, 0), (0, -1), (-1, 0), (0, 1))
        c[0] = c[0] or 1
        functional = [b**k * (c[0] * turn[k % 4][0] + c[1] * turn[k % 4][1]) for k in range(2 * d + 1)]
    draws = ([random_poly(case, d - 2) for _ in range(r)] for _ in count())
    cofactors = next(a for a in draws if a[0].gcd(a[1]).degree() == 0)
    if kind == "resonant":
        cofactors = [fmpq_poly([0, 1]), fmpq_poly([b])] + [fmpq_poly([0])] * (r - 2)
    u = [g * a for a in cofactors]
    q = fmpq_poly([m / w_k for m, w_k in zip(functional, w, strict=True)])
    return u, sum((x * x for x in u), fmpq_poly([0])) - q, w


SIZES = ((3, 2), (4, 2), (3, 3))


@PAPER.theorem(
    "1",
    points=[{"d": d, "r": r, "norm": norm, "factor": kind} for d, r in SIZES for norm in NORMS for kind in FACTORS],
    sampled=True,
)
def theorem_1(case: Case) -> Comparison:
    r"""For every p and every r >= 2, each critical point of f_p whose Hessian is >= 0 is a global minimum.

    Numbered as recalled. At coprime u_i lemma-coprime decides, so the critical points are planted where all u_i share a
    factor g and q is any functional that vanishes on the multiples of g. The value is global iff H(q) >= 0. Counted,
    over Q: a gradient that is not 0, and a Hessian that is >= 0 where H(q) is not.
    """
    return equal(faults(*planted(case)), 0)


def faults(u: list[fmpq_poly], p: fmpq_poly, w: list[fmpq]) -> int:
    """Count a gradient that is not 0, and a Hessian that is >= 0 though the value is not least."""
    critical = exact.is_zero(gradient(u, p, w))
    spurious = exact.is_positive_semidefinite(hessian(u, p, w)) and not is_global(u, p, w)
    return int(not critical) + int(spurious)


def is_global(u: list[fmpq_poly], p: fmpq_poly, w: list[fmpq]) -> bool:
    """Tell whether H(q) >= 0, which at a critical point is to say that f_p(u) is least over all sums of squares."""
    return exact.is_positive_semidefinite(hankel(moments(residual(u, p), w)))


@theorem_1.control("r = 1: p = x^2 + c^2 at u = x", points=[{"c": "5/4"}, {"c": "9/8"}])
def _(case: Case) -> Comparison:
    return equal(faults(*one_square(case)), 0)


@theorem_1.control(
    "twice the planted point, which is not critical", points=[{"d": 3, "r": 2, "norm": NORMS[0], "factor": "real"}]
)
def _(case: Case) -> Comparison:
    u, p, w = planted(case)
    return equal(faults([2 * x for x in u], p, w), 0)


@PAPER.lemma("common-factor", factor=FACTORS, norm=NORMS, d=(3,), r=(2,))
def common_factor(case: Case) -> Comparison:
    r"""At u_i = g a_i with <q, g v> = 0 for all v, along v = h (a_2, -a_1): D^2 f_p = 4 <q, (a_1^2 + a_2^2) h^2>.

    For all h with deg h <= deg g: these directions do not move u_1^2 + u_2^2 to first order. So <q, s h^2> >= 0 with
    s = a_1^2 + a_2^2 at a second-order point, and modulo g a square v^2 is such an s h^2 where s has no root in common
    with g. Measured: the difference of the two sides, for a random h.
    """
    return _curvature_along(case, (1, -1))


@common_factor.control("v = h (a_2, a_1)", factor=("real",), norm=NORMS, d=(3,), r=(2,))
def _(case: Case) -> Comparison:
    return _curvature_along(case, (1, 1))


def _curvature_along(case: Case, signs: tuple[int, int]) -> Comparison:
    u, p, w = planted(case)
    g = u[0].gcd(u[1])
    a, h, n = [x / g for x in u], random_poly(case, 2), case["d"] + 1
    v = [signs[0] * h * a[1], signs[1] * h * a[0]]
    step = fmpq_mat(2 * n, 1, [x[k] for x in v for k in range(n)])
    q, square = residual(u, p), (a[0] ** 2 + a[1] ** 2) * h * h
    along = sum((w_k * q[k] * square[k] for k, w_k in enumerate(w)), fmpq(0))
    return equal((step.transpose() * hessian(u, p, w) * step)[0, 0], 4 * along)


@PAPER.theorem("1-decides", factor=("real",), d=(3,), r=(2,), norm=NORMS)
def theorem_1_decides(case: Case) -> Comparison:
    """At the planted points with real roots: the Hessian is >= 0 iff all charges of q are positive.

    Both happen: the instances of theorem-1 contain global minima as well as saddles. Compared: 1 or 0.
    """
    minimum, positive = _minimum_and_charges(case)
    return equal(minimum, positive)


def _minimum_and_charges(case: Case) -> tuple[int, int]:
    """Tell, as 1 or 0, whether the Hessian at the planted point is >= 0, and whether the charges are positive."""
    u, p, w = planted(case)
    positive = _charges_are_positive(u, p, w)
    return int(exact.is_positive_semidefinite(hessian(u, p, w))), int(positive)


def _charges_are_positive(u: list[fmpq_poly], p: fmpq_poly, w: list[fmpq]) -> bool:
    """Read the charges off q: <q, (x - a')^2> = charge of a times (a - a')^2, for the two roots a, a' of g."""
    g = u[0].gcd(u[1])
    m, roots = moments(residual(u, p), w), sorted(root for root, _ in g.roots())
    return all(m[2] - 2 * a * m[1] + a * a * m[0] > 0 for a in roots)


@theorem_1_decides.control("as if the charges were positive, where one is not")
def _(case: Case) -> Comparison:
    return equal(next(minimum for minimum, positive in _many(case) if not positive), 1)


@theorem_1_decides.control("as if a charge were negative, where all are positive")
def _(case: Case) -> Comparison:
    return equal(next(minimum for minimum, positive in _many(case) if positive), 0)


def _many(case: Case) -> Iterator[tuple[int, int]]:
    return (_minimum_and_charges(case.derive(seed=case.seed + k)) for k in range(100))


def one_square(case: Case) -> tuple[list[fmpq_poly], fmpq_poly, list[fmpq]]:
    """Return u = x, p = x^2 + c^2, and the weights 1."""
    c = fmpq(*map(int, case["c"].split("/")))
    return [fmpq_poly([0, 1])], fmpq_poly([c * c, 0, 1]), weights("coefficient", 1)


@PAPER.theorem("1-sharp", c=("9/8", "5/4", "4/3"), seeded=False)
def theorem_1_sharp(case: Case) -> Comparison:
    r"""One square is not enough: for p = x^2 + c^2, 1 < c^2 < 2, u = x is a strict local minimum that is not global.

    So r >= 2 is sharp. f_p(x) = c^4 > 1 = f_p(c). Counted: a gradient at x that is not 0, a Hessian there for which the
    Hessian - I / 10 is not >= 0, and a value there that is not above f_p(c), or where that is not 1.
    """
    return equal(_no_strict_trap(case), 0)


@theorem_1_sharp.control("c^2 > 2: a saddle", c=("3/2",))
def _(case: Case) -> Comparison:
    return equal(_no_strict_trap(case), 0)


@theorem_1_sharp.control("the point 11 x / 10, which is not critical", c=("9/8",))
def _(case: Case) -> Comparison:
    return equal(_no_strict_trap(case, fmpq(11, 10)), 0)


@theorem_1_sharp.control("a ninth below: c^2 < 1, where x is the better point", c=("8/9",))
def _(case: Case) -> Comparison:
    return equal(_no_strict_trap(case), 0)


def _no_strict_trap(case: Case, multiple: Any = 1) -> int:
    u, p, w = one_square(case)
    u = [multiple * x for x in u]
    critical = exact.is_zero(gradient(u, p, w))
    strict = exact.is_positive_semidefinite(hessian(u, p, w) - exact.identity(2) / 10)
    least = value([fmpq_poly([fmpq(*map(int, case["c"].split("/")))])], p, w)
    return int(not critical) + int(not strict) + int(not value(u, p, w) > least or least != 1)
