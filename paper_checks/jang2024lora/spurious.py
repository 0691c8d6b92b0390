r"""Exact spurious minima: why the sharp threshold is sharp, and why Theorem 4.1 needs its perturbation.

The instances and the proofs are in `lora_proofs.ntk.traps`: A, B_r and L+_r (logistic) for lam > 0 and r(r+3)/2 rows,
C_r with r + 1 rows. Each is judged over Q: exact gradient, exact inertia by Descartes' rule, a better point of the
same rank.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, equal, exact, instances, ntk
from lora_proofs.exact import floats, inertia, inner

from .paper import PAPER
from .planted import is_stationary
from .sharp import sharp

TRAPS = ("A-1", *(f"B-{r}" for r in range(1, 7)), *(f"L+-{r}" for r in range(1, 7)))


def trap_named(name: str) -> ntk.traps.Trap:
    """Return the trap of ``"B-3"``."""
    family, r = name.split("-")
    make = {
        "A": lambda _: ntk.traps.family_a(),
        "B": ntk.traps.family_b,
        "C": ntk.traps.family_c,
        "L+": ntk.traps.logistic,
    }
    return make[family](int(r))


def surplus(trap: ntk.traps.Trap) -> int:
    """Return the number of eigenvalues <= 0 of the Hessian beyond the orbit's, and of gradient entries that are not 0.

    If there is none, the point is a strict minimum up to the orbit.
    """
    verdict = ntk.exact_second_order(trap)
    slopes = sum(int(x != 0) for part in trap.gradient() for x in part.entries())
    return slopes + verdict.inertia[0] + verdict.inertia[1] - verdict.gauge


@PAPER.theorem(
    "4.1-sharp-is-sharp", trap=TRAPS, seeded=False, proof=("sharp_is_sharp", "trap_b_local", "trap_b_strict")
)
def sharpness(case: Case) -> Comparison:
    r"""For every r there is an instance with d = r(r+3)/2 and a strict spurious local minimum of L, up to O(r).

    At r(r+3)/2 rows, one fewer than which no trap is possible for almost every G. The Hessian has no negative
    eigenvalue and exactly r(r-1)/2 zero ones, the orbit's; a point of the same rank has a lower value. By the
    implicit function theorem all (G, y) nearby have such a minimum, so genericity does not help. Measured over Q: the
    number of eigenvalues <= 0 beyond the orbit's. Among these are the instances B1, B2, B3, L+1, L+2.
    """
    trap = trap_named(case["trap"])
    if sharp(trap.r) != trap.N or not trap.is_spurious():
        raise ArithmeticError(f"{trap.name} has {trap.N} functionals, or no better point")
    return equal(surplus(trap), 0)


@sharpness.control("a label changed by 1/100: not stationary", trap=("A-1", "B-1"))
def _(case: Case) -> Comparison:
    trap = trap_named(case["trap"])
    return equal(surplus(replace(trap, labels=(*trap.labels[:-1], trap.labels[-1] + fmpq(1, 100)))), 0)


@sharpness.control("C_r, which is stationary, but not strict up to the orbit", trap=("C-3",))
def _(case: Case) -> Comparison:
    return equal(surplus(trap_named(case["trap"])), 0)


@sharpness.control("a functional fewer", trap=("A-1", "B-1", "B-2", "B-4"))
def _(case: Case) -> Comparison:
    trap = trap_named(case["trap"])
    return equal(surplus(trap.without(trap.N - 1)), 0)


@PAPER.theorem(
    "4.1-sharp-is-sharp-value", family=("B", "C"), r=(1, 2, 3, 4, 5), seeded=False, proof="trap_b_not_global"
)
def value_above_optimum(case: Case) -> Comparison:
    r"""B_r lies 11/50 above its optimum diag(0, 1, ..., 1, 24/25); C_r has r + 1/2, its optimum (20 r + 12)/25.

    Optimal over all ranks: M at the optimum satisfies M^T M <= I (\lambda = 1) and <M, \delta> = |\delta|_*, over Q.
    Measured: the difference in value.
    """
    trap, r = trap_named(f"{case['family']}-{case['r']}"), case["r"]
    expected = fmpq(11, 50) if case["family"] == "B" else fmpq(2 * r + 1, 2) - fmpq(20 * r + 12, 25)
    return equal(above(trap, optimum(trap, case["family"])), expected)


@value_above_optimum.control("the better point that the families state is no optimum", family=("B",), r=(1, 2))
def _(case: Case) -> Comparison:
    trap = ntk.traps.family_b(case["r"])
    return equal(above(trap, trap.objective(*trap.better)), fmpq(11, 50))


def above(trap: ntk.traps.Trap, value: Any) -> Any:
    """Return how far the trap lies above a value."""
    return trap.value - value


def optimum(trap: ntk.traps.Trap, family: str) -> Any:
    """Return the optimum of full fine-tuning for B_r or C_r, after checking the conditions for it."""
    return value_and_norm(trap, family)[0]


def value_and_norm(trap: ntk.traps.Trap, family: str) -> tuple[Any, Any]:
    """Return the optimum of full fine-tuning, and |delta*|_*, after checking the conditions for them."""
    r = trap.r
    last = fmpq(24, 25) if family == "B" else fmpq(20 * r + 4, 25)
    delta = exact.diagonal([0, *[int(family == "B")] * (r - 1), last])
    norm = last + (r - 1) * int(family == "B")
    w = [inner(G, delta) - y for G, y in zip(trap.gradients, trap.labels, strict=True)]
    M = sum((-x * G for x, G in zip(w, trap.gradients, strict=True)), fmpq_mat(r + 1, r + 1))
    if inner(M, delta) != norm or not exact.is_positive_semidefinite(exact.identity(r + 1) - M.transpose() * M):
        raise ArithmeticError("delta is not optimal")
    return sum((x * x for x in w), fmpq(0)) / 2 + norm, norm


@PAPER.theorem(
    "4.1-needs-its-perturbation",
    r=(3, 4, 5),
    seeded=False,
    proof=("one_more_datum", "trap_c_local", "trap_c_not_global"),
)
def perturbation_is_needed(case: Case) -> Comparison:
    r"""P = 0: the traps C_r are spurious local minima although r(r+1)/2 > KN = r + 1.

    The Hessian has no negative eigenvalue and the nullity r^2 - 1, which is the dimension of the sphere of critical
    points of theorem-4.1-needs-its-perturbation-sphere: by the Morse-Bott lemma a local minimum, of value r + 1/2. So
    Theorem 4.1 does not extend to P = 0, nor r >= d to r = d - 1. Measured: the nullity, after a check of the rest.
    """
    trap = ntk.traps.family_c(case["r"])
    if not (is_stationary(trap) and trap.is_spurious() and trap.r * (trap.r + 1) > 2 * trap.N == 2 * (trap.r + 1)):
        raise ArithmeticError("C_r is not what it should be")
    return equal(nullity_at_minimum(trap), trap.r**2 - 1)


@perturbation_is_needed.control("without one of the couplings: a saddle, and the nullity differs")
def _(case: Case) -> Comparison:
    return equal(nullity_at_minimum(ntk.traps.family_c(case["r"]).without(1)), case["r"] ** 2 - 1)


def nullity_at_minimum(trap: ntk.traps.Trap) -> int:
    """Return the number of zero eigenvalues of the Hessian, or -1 if it has a negative one."""
    negative, zero, _ = inertia(trap.hessian())
    return -1 if negative else zero


@PAPER.theorem("4.1-needs-its-perturbation-sphere", r=(3, 4, 5))
def critical_sphere(case: Case) -> Comparison:
    r"""C_r: u = v = [R; 0] is critical, with the same value, for every r x r matrix R with |R|_F^2 = r.

    A sphere of dimension r^2 - 1, far larger than the orbit. Measured at a random rational R: the square of the
    gradient.
    """
    return equal(slope_squared(on_sphere(case, 1)), 0)


@critical_sphere.control("|R|_F^2 = 4 r")
def _(case: Case) -> Comparison:
    return equal(slope_squared(on_sphere(case, 2)), 0)


@PAPER.theorem("4.1-needs-its-perturbation-level", r=(3, 4, 5))
def level_sphere(case: Case) -> Comparison:
    r"""On that sphere the value is the same, r + 1/2. Measured at a random rational R."""
    return equal(value_on_sphere(case, 1), fmpq(2 * case["r"] + 1, 2))


@level_sphere.control("|R|_F^2 = 4 r")
def _(case: Case) -> Comparison:
    return equal(value_on_sphere(case, 2), fmpq(2 * case["r"] + 1, 2))


def value_on_sphere(case: Case, scale: int) -> Any:
    """Return the value of C_r at that point."""
    return on_sphere(case, scale).value


def slope_squared(trap: ntk.traps.Trap) -> Any:
    """Return the square of the gradient."""
    return sum((inner(g, g) for g in trap.gradient()), fmpq(0))


def on_sphere(case: Case, scale: int) -> ntk.traps.Trap:
    """Return C_r at scale times a random point of the sphere: a reflection of the identity."""
    trap, r = ntk.traps.family_c(case["r"]), case["r"]
    eye, h = exact.identity(r), instances.nonsingular(case.rng, r)
    R = scale * (eye - 2 * inner(eye, h) / inner(h, h) * h)
    u = fmpq_mat([*R.table(), [fmpq(0)] * r])
    return replace(trap, u=u, v=u)


@PAPER.theorem("4.1-sharp-is-sharp-padded", trap=("A-1", "B-2", "B-3", "L+-2"), more=("1-0", "2-3"), seeded=False)
def padded(case: Case) -> Comparison:
    r"""\lambda > 0: a trap stays strict, up to O(r), in larger m and n, by rows and columns of zeros.

    On the new rows the Hessian is \lambda(|x|^2 + |y|^2). Measured: as in theorem-4.1-sharp-is-sharp.
    """
    trap = padded_trap(trap_named(case["trap"]), case["more"])
    if not trap.is_spurious():
        raise ArithmeticError("no better point is known")
    return equal(surplus(trap), 0)


@padded.control("at lam = 0: D_n", points=[{"n": 3, "more": "1-0"}, {"n": 2, "more": "2-3"}])
def _(case: Case) -> Comparison:
    return equal(surplus(padded_trap(ntk.traps.family_d(case["n"]), case["more"])), 0)


def padded_trap(trap: ntk.traps.Trap, more: str) -> ntk.traps.Trap:
    """Return the trap with further rows and columns of zeros."""
    rows, columns = (int(k) for k in more.split("-"))

    def grown(x: fmpq_mat, k: int, l: int) -> fmpq_mat:
        return fmpq_mat([*(row + [fmpq(0)] * l for row in x.table()), *([fmpq(0)] * (x.ncols() + l) for _ in range(k))])

    pair = grown(trap.u, rows, 0), grown(trap.v, columns, 0)
    assert trap.better is not None
    better = grown(trap.better[0], rows, 0), grown(trap.better[1], columns, 0)
    G = tuple(grown(g, rows, columns) for g in trap.gradients)
    return replace(trap, gradients=G, u=pair[0], v=pair[1], better=better)


@PAPER.theorem("4.1-sharp-is-sharp-open", r=(1, 2, 3))
def open_set(case: Case) -> Comparison:
    r"""B_r persists when all of G is moved: sharpness holds on an open set of (G, y).

    Ten draws of Gaussian noise of size 10^{-3}; the stationary point next to the trap is found by Newton's method,
    and must be a strict minimum with a better point known. Measured: how many persist.
    """
    return equal(number_that_persists(case, ntk.traps.family_b(case["r"]), 1e-3), 10)


@open_set.control("C_r with noise 0.05", points=[{"r": r} for r in (3, 4)])
def _(case: Case) -> Comparison:
    return equal(number_that_persists(case, ntk.traps.family_c(case["r"]), 0.05), 10)


def number_that_persists(case: Case, trap: ntk.traps.Trap, noise: float) -> float:
    """Return in how many of ten draws the trap is still one: a float, since it is judged in floats."""
    G, y = np.stack([floats(g) for g in trap.gradients]), trap.problem().canonical_loss.labels
    better = [floats(x) for x in trap.better or ()]
    kept = 0
    for _ in range(10):
        moved = G + noise * case.rng.standard_normal(G.shape)
        problem = ntk.LinearizedProblem(moved[:, None], np.zeros(trap.N), y, "squared", 1 / trap.N)
        start = [x + 1e-2 * case.rng.standard_normal(x.shape) for x in trap.factors()]
        u, v = ntk.polish(problem, *([x] for x in start))
        value, lower = (
            (((np.einsum("kij,ic,jc->k", moved, a, b) - y.ravel()) ** 2).sum() + (a**2).sum() + (b**2).sum()) / 2
            for a, b in ((u[0], v[0]), better)
        )
        found = ntk.second_order(problem, u, v)
        kept += value > lower + 1e-3 and found.verdict == "strict minimum" and found.min_curvature > 0
    return float(kept)
