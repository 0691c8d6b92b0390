"""The paper, and the random problems on which its statements are tried in floating point."""

from typing import Any, TypeAlias

import numpy as np

from lora_proofs import Paper
from lora_proofs.ntk import LinearizedProblem, Solution

PAPER = Paper(
    key="jang2024lora",
    title="LoRA Training in the NTK Regime has No Spurious Local Minima",
    authors=("Uijeong Jang", "Jason D. Lee", "Ernest K. Ryu"),
    year=2024,
    arxiv="2402.11867v3",
)

RECALLED = "wording and number are as recalled; to be compared with v3"

Bracket: TypeAlias = tuple[float, float]


def gaussian_problem(
    rng: np.random.Generator,
    loss: str,
    N: int,
    shapes: tuple[tuple[int, int], ...] = ((6, 6),),
    share: float = 0.1,
    K: int = 2,
) -> LinearizedProblem:
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
    unit = LinearizedProblem(gradients, np.zeros((N, K)), labels, loss, 1.0)
    return LinearizedProblem(gradients, np.zeros((N, K)), labels, loss, share * unit.lam_max)


def sides(solution: Solution) -> tuple[list[Any], list[Any]]:
    """Return the factors of a solution as two lists, u and v."""
    return [u for u, _ in solution.factors], [v for _, v in solution.factors]


def above_optimum(value: float, solution: Solution) -> Bracket:
    """Return a bracket of value - optimum, from the certified bracket of the optimum."""
    return value - solution.upper, value - solution.lower
