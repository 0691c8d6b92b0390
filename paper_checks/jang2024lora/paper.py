"""The paper, and the random problems on which its statements are tried in floating point."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lora_proofs import Paper, exact, ntk
from lora_proofs.enclosure import Enclosure

PAPER = Paper(
    key="jang2024lora",
    title="LoRA Training in the NTK Regime has No Spurious Local Minima",
    authors=("Uijeong Jang", "Jason D. Lee", "Ernest K. Ryu"),
    year=2024,
    arxiv="2402.11867v3",
)

RECALLED = "wording and number are as recalled; to be compared with v3"


def gaussian_problem(
    rng: np.random.Generator,
    loss: str,
    N: int,
    shapes: tuple[tuple[int, int], ...] = ((6, 6),),
    share: float = 0.1,
    K: int = 2,
) -> ntk.LinearizedProblem:
    """Return a problem with independent N(0, 1) gradients and random labels, at lam = share * lam_max.

    The logistic loss has one output whatever K is.
    """
    K = 1 if loss == "logistic" else K
    gradients = [rng.standard_normal((N, K, m, n)) for m, n in shapes]
    labels: Any
    if loss == "squared":
        labels = rng.standard_normal((N, K))
    else:
        labels = rng.choice([-1, 1], N) if loss == "logistic" else rng.integers(0, K, N)
    unit = ntk.LinearizedProblem(gradients, np.zeros((N, K)), labels, loss, 1.0)
    return ntk.LinearizedProblem(gradients, np.zeros((N, K)), labels, loss, share * unit.lam_max)


def sides(solution: ntk.Solution) -> tuple[list[Any], list[Any]]:
    """Return the factors of a solution as two lists, u and v."""
    return [u for u, _ in solution.factors], [v for _, v in solution.factors]


def certified(problem: ntk.LinearizedProblem, gap: float = 1e-10) -> ntk.Certificate:
    """Return the rigorous bracket of the optimum at the solver's point; its ``excess(u, v)`` is that of any other."""
    return ntk.certify(problem, *sides(ntk.solve(problem, gap=gap)), rigorous=True)


def largest(brackets: Iterable[Enclosure]) -> Enclosure:
    """Return the enclosure of the largest of the enclosed numbers."""
    lower, upper = zip(*((exact.number(x.lower), exact.number(x.upper)) for x in brackets), strict=True)
    return exact.enclosure(max(lower), max(upper))


def over(bracket: Enclosure, scale: Any) -> Enclosure:
    """Return the enclosure of a number over a positive scale, which is read as the rational number that it is."""
    scale = exact.number(scale)
    return exact.enclosure(exact.number(bracket.lower) / scale, exact.number(bracket.upper) / scale)
