r"""Gradient descent: where it ends above the threshold and below it, with and without noise, and what its theory lacks.

The paper combines Theorem 4.1 with theorems by which gradient descent, or its perturbed or stochastic forms,
converges to second-order stationary points (remarks as recalled; to be compared with v3). Every end is held against a
certified bracket.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import fmpq

from lora_proofs import Case, Comparison, OutOfScope, at_least, at_most, equal, exact, ntk
from lora_proofs.enclosure import Enclosure
from lora_proofs.exact import inner

from .paper import PAPER, certified, gaussian_problem, largest
from .planted import planted
from .spurious import trap_named


@PAPER.formula(
    "descent-above-the-threshold",
    points=[{"loss": "squared", "N": 4, "r": 2, "K": 1}, {"loss": "cross_entropy", "N": 4, "r": 2, "K": 2}],
    tolerance=(1e-6, "gradient descent and Newton's method stop at a relative gradient of 1e-11"),
)
def descent_above_the_threshold(case: Case) -> Comparison:
    r"""D = 4 < 5 = r(r+3)/2, but KN or d is above r(r+1)/2 = 3: gradient descent without P ends in the optimum.

    Gaussian G, two blocks, six runs from the standard initialisation. Measured: an enclosure of the largest excess
    over the optimum.
    """
    problem = gaussian_problem(case.rng, case["loss"], case["N"], ((5, 4), (3, 6)), K=case["K"])
    if case["r"] * (case["r"] + 3) <= 2 * problem.d:
        raise OutOfScope("r(r+3)/2 does not exceed d")
    return at_most(excess_of_runs(problem, case["r"], runs=6, seed=case.seed), 0)


@descent_above_the_threshold.control("one hundred runs on B_1", points=[{"r": 1}])
def _(case: Case) -> Comparison:
    return at_most(excess_of_runs(ntk.traps.family_b(case["r"]).problem(), case["r"], runs=100, seed=0), 0)


def excess_of_runs(problem: ntk.LinearizedProblem, r: int, runs: int, seed: int) -> Enclosure:
    """Return the enclosure of the largest excess over the optimum among runs of gradient descent."""
    optimum = certified(problem)
    return largest(optimum.excess(u, v) for u, v in ntk.survey(problem, r, runs=runs, steps=2000, seed=seed).points)


@PAPER.formula("descent-into-a-trap", r=(1, 2), seeded=False)
def descent_into_a_trap(case: Case) -> Comparison:
    r"""Below the threshold descent from the standard LoRA initialisation may be caught: some of 100 runs end in B_r.

    Initialisation u = 0, v Gaussian. A run counts if it ends at a strict minimum above a known point of rank r.
    Measured: how many, at least 1.
    """
    return at_least(trapped(case["r"], case["r"], runs=100), 1)


def trapped(r: int, columns: int, runs: int) -> float:
    """Return how many runs with that many columns end in the trap B_r: a float, since it is judged in floats."""
    found = ntk.survey(ntk.traps.family_b(r).problem(), columns, runs=runs)
    above = found.values > found.upper * (1 + 1e-6)
    return float(sum(ending == "trap" and up for ending, up in zip(found.endings, above, strict=True)))


@descent_into_a_trap.control("a column more, which is above the sharp threshold")
def _(case: Case) -> Comparison:
    return at_least(trapped(case["r"], case["r"] + 1, runs=20), 1)


@descent_into_a_trap.control("as if one run in five were caught", r=(1,))
def _(case: Case) -> Comparison:
    return at_least(trapped(case["r"], case["r"], runs=100), 20)


@PAPER.formula("stochastic-descent", loss=("squared", "logistic"), batch=(1, 4))
def stochastic_descent(case: Case) -> Comparison:
    r"""Stochastic gradient descent with steps of order 1/k from u = 0 approaches the optimum above the threshold.

    Eight data, r = 4, Gaussian G. Measured: an enclosure of the excess over the optimum after 3000 steps, at
    most a quarter of what it is at the start.
    """
    return at_most(*sgd(case, 3000))


@stochastic_descent.control("after 50 steps", batch=(1,), loss=("logistic",))
def _(case: Case) -> Comparison:
    return at_most(*sgd(case, 50))


def sgd(case: Case, steps: int) -> tuple[Enclosure, Any]:
    """Return an enclosure of the excess after steps 0.02 / (1 + k / 200), and a quarter of that at the start."""
    rng, r = case.rng, 4
    problem = gaussian_problem(rng, case["loss"], 8, share=0.2, K=1)
    (m, n), loss = problem.shapes[0], problem.canonical_loss
    rows = loss.linear_rows(problem.blocks[0].matvec(np.eye(n)))
    u, v = np.zeros((m, r)), 0.1 * rng.standard_normal((n, r))
    optimum = certified(problem)
    start = optimum.excess(u, v)
    for k in range(steps):
        chosen = rng.integers(0, problem.N, case["batch"])
        w = np.einsum("kij,ic,jc->k", rows[chosen], u, v) + problem.w0[chosen]
        slopes = w if case["loss"] == "squared" else 1 / (1 + np.exp(-w))
        S = np.tensordot(slopes, rows[chosen], 1) / len(chosen)
        step = 0.02 / (1 + k / 200)
        u, v = u - step * (problem.lam * u + S @ v), v - step * (problem.lam * v + S.T @ u)
    return optimum.excess(u, v), exact.number(start.lower) / 4


@PAPER.formula("quartic-growth", trap=("A-1", "B-2", "C-3", "plant"))
def quartic_growth(case: Case) -> Comparison:
    r"""Squared loss: along t (u, v), L is a quartic in t with leading coefficient (1/2) sum_k A_k(u v^T)^2.

    So its gradient is not globally Lipschitz where A(u v^T) != 0, and convergence theorems that suppose it apply on
    sublevel sets, which are bounded for \lambda > 0. Measured over Q: the fourth difference of L at t = 0, ..., 4.
    """
    trap = growing(case)
    return equal(fourth_difference(trap), 12 * square_of_fits(trap))


@quartic_growth.control("a quadratic, whose gradient would be Lipschitz")
def _(case: Case) -> Comparison:
    return equal(fourth_difference(growing(case)), 0)


def growing(case: Case) -> ntk.traps.Trap:
    """Return the case's instance."""
    return planted(case.rng, [(4, 3)], [2], 2, 3).trap if case["trap"] == "plant" else trap_named(case["trap"])


def fourth_difference(trap: ntk.traps.Trap) -> fmpq:
    """Return L(0) - 4 L(1) + 6 L(2) - 4 L(3) + L(4) along t (u, v)."""
    return sum((c * trap.objective(t * trap.u, t * trap.v) for t, c in enumerate((1, -4, 6, -4, 1))), fmpq(0))


def square_of_fits(trap: ntk.traps.Trap) -> fmpq:
    """Return |A(u v^T)|^2."""
    return sum((inner(G * trap.v, trap.u) ** 2 for G in trap.gradients), fmpq(0))
