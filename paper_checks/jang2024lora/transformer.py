r"""End to end: LoRA on the linearised last layer of a pretrained transformer, against its certified optimum.

The set-up of the paper's experiments (N = 32 examples, two logits, query and value weights of the last layer) with a
model and sentences that are at hand offline: `lora_proofs.pretrained.few_shot`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from lora_proofs import Case, Comparison, at_least, at_most, ntk, pretrained
from lora_proofs.linalg import Array

from .paper import PAPER, sides

MINILM = pretrained.REQUIRES["all-MiniLM-L6-v2"]
RANKS = (1, 2, 4, 8, 11, 16)


@lru_cache(maxsize=4)
def few_shot(percent: int) -> tuple[ntk.LinearizedProblem, ntk.Solution]:
    """Return the problem at lam = percent/100 of lam_max, without what its gradients do not see, and its solution."""
    problem = ntk.compress(pretrained.few_shot_problem(32, 0, percent / 100)).problem
    return problem, ntk.solve(problem)


@lru_cache(maxsize=4)
def optimum(percent: int) -> ntk.Certificate:
    """Return the bracket of that problem's optimum, in floats, from a finer solution than that of `few_shot`.

    In ball arithmetic it takes twenty seconds, and says the same.
    """
    problem, _ = few_shot(percent)
    return ntk.certify(problem, *sides(ntk.solve(problem, gap=1e-10)))


@PAPER.figure("few-shot-optimum", percent=(1, 10), seeded=False, requires=MINILM)
def few_shot_optimum(case: Case) -> Comparison:
    r"""MiniLM, 32 sentences: the solver's point is optimal for full fine-tuning to 1e-8.

    Measured: a bracket of its relative excess over the optimum, in floats.
    """
    _, solution = few_shot(case["percent"])
    return at_most(excess_of(case["percent"], *sides(solution)), 0)


@few_shot_optimum.control("the network before it is trained")
def _(case: Case) -> Comparison:
    _, solution = few_shot(case["percent"])
    return at_most(excess_of(case["percent"], *([0 * x for x in side] for side in sides(solution))), 0)


def excess_of(percent: int, u: list[Array], v: list[Array]) -> tuple[float, float]:
    """Return a bracket of the excess of a point over the optimum, relative to that."""
    lower, upper = optimum(percent).excess(u, v)
    return lower / optimum(percent).upper, upper / optimum(percent).upper


@PAPER.figure("few-shot-rank", percent=(1, 10), seeded=False, requires=MINILM)
def few_shot_rank(case: Case) -> Comparison:
    r"""The rank of the optimum, which Theorem 3.1 bounds by 7 (d = 32 rows), is far below the 11 of Theorem 4.1's rule.

    Measured: the rule's smallest sufficient rank less the largest rank of a block of the certified optimum, at least 5.
    """
    problem, _ = few_shot(case["percent"])
    return at_least(spare_rank(case, N=problem.N, K=problem.K, loss=problem.loss), 5)


@few_shot_rank.control("compared with the rank that K = 1 and nine data would require")
def _(case: Case) -> Comparison:
    return at_least(spare_rank(case, N=9, K=1, loss="logistic"), 5)


def spare_rank(case: Case, **sizes: Any) -> float:
    """Return the rank of Theorem 4.1's rule for these sizes, less the largest rank of a block of the optimum."""
    problem, solution = few_shot(case["percent"])
    if not any(k and np.any(u) for k, (u, _) in zip(solution.ranks, solution.factors, strict=True)):
        raise ArithmeticError("the optimum is 0, whose rank says nothing")
    return float(ntk.thresholds(**sizes, shapes=problem.shapes)["theorem 4.1"].rank - max(solution.ranks))


@PAPER.figure("few-shot-descent", r=RANKS, steps=(150,), seeded=False, requires=MINILM)
def few_shot_descent(case: Case) -> Comparison:
    r"""LoRA by gradient descent from the standard initialisation converges to the certified optimum, r = 1, ..., 16.

    \lambda = 0.1 \lambda_max; u = 0, v Gaussian of standard deviation 1/(\sqrt r n), steps of length 1/2, halved from
    then on whenever the objective would rise. Measured: a bracket of the excess after 150 steps, over the excess
    before training, in floats; at most 1/100.
    """
    return at_most(relative_excess(case), 0.01)


@few_shot_descent.control("after five steps", r=(1, 8), steps=(5,))
def _(case: Case) -> Comparison:
    return at_most(relative_excess(case), 0.01)


@few_shot_descent.control("after 60 steps", r=(8,), steps=(60,))
def _(case: Case) -> Comparison:
    return at_most(relative_excess(case), 0.01)


def relative_excess(case: Case) -> tuple[float, float]:
    """Return a bracket of the excess after gradient descent, over the excess at delta = 0."""
    u, v = descend(case["steps"])[case["r"]]
    problem, _ = few_shot(10)
    start = problem.risk(problem.w0) / optimum(10).upper - 1
    lower, upper = excess_of(10, u, v)
    return lower / start, upper / start


@lru_cache(maxsize=4)
def descend(steps: int) -> dict[int, tuple[list[Array], list[Array]]]:
    """Return the factors after gradient descent for all ranks, run in one batch: one pass over G serves all.

    A rank r below 16 is a run whose further columns are 0; they stay 0.
    """
    problem, _ = few_shot(10)
    rng, top = np.random.default_rng(0), max(RANKS)
    u = [np.zeros((len(RANKS), m, top)) for m, _ in problem.shapes]
    v = [np.zeros((len(RANKS), n, top)) for _, n in problem.shapes]
    for y in v:
        for k, r in enumerate(RANKS):
            y[k, :, :r] = rng.standard_normal((y.shape[1], r)) / (np.sqrt(r) * y.shape[1])
    rows = [
        problem.canonical_loss.linear_rows(block.matvec(np.eye(n))).reshape(problem.d, -1)
        for block, (_, n) in zip(problem.blocks, problem.shapes, strict=True)
    ]

    def evaluate(u: list[Array], v: list[Array]) -> tuple[Array, list[Array]]:
        """Return the objectives of all runs, and their gradients in u and in v."""
        deltas = ((x @ y.swapaxes(1, 2)).reshape(len(RANKS), -1) for x, y in zip(u, v, strict=True))
        w = problem.w0 + sum(delta @ A.T for delta, A in zip(deltas, rows, strict=True))
        q = np.stack([problem.derivative(x) for x in w]) / problem.N
        S = [(q @ A).reshape(len(RANKS), *shape) for A, shape in zip(rows, problem.shapes, strict=True)]
        du = [problem.lam * x + s @ y for s, x, y in zip(S, u, v, strict=True)]
        dv = [problem.lam * y + s.swapaxes(1, 2) @ x for s, x, y in zip(S, u, v, strict=True)]
        squares = sum((x * x).sum(axis=(1, 2)) for x in [*u, *v])
        return np.array([problem.risk(x) for x in w]) + problem.lam / 2 * squares, [*du, *dv]

    uv, length = [*u, *v], np.full((len(RANKS), 1, 1), 0.5)
    value, slopes = evaluate(u, v)
    for _ in range(steps):
        trial = [x - length * d for x, d in zip(uv, slopes, strict=True)]
        found, there = evaluate(trial[: len(u)], trial[len(u) :])
        falls = (found <= value)[:, None, None]
        uv = [np.where(falls, new, old) for new, old in zip(trial, uv, strict=True)]
        slopes = [np.where(falls, new, old) for new, old in zip(there, slopes, strict=True)]
        value, length = np.where(falls[:, 0, 0], found, value), np.where(falls, length, length / 2)
    ends = [[x[k, :, :r] for x in uv] for k, r in enumerate(RANKS)]
    return {r: (end[: len(u)], end[len(u) :]) for r, end in zip(RANKS, ends, strict=True)}
