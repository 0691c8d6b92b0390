r"""End to end: LoRA on the linearised last layer of a pretrained transformer, against its certified optimum.

The set-up of the paper's experiments (N = 32 examples, two logits, query and value weights of the last layer) with a
model and sentences that are at hand offline: `lora_proofs.ntk.few_shot`.
"""

from functools import lru_cache

import numpy as np

from lora_proofs import Case, Comparison, at_least, at_most, pretrained
from lora_proofs.linalg import Array
from lora_proofs.ntk import LinearizedProblem, Solution, certify, solve, thresholds
from lora_proofs.ntk.compression import compress
from lora_proofs.ntk.few_shot import few_shot_problem

from .paper import PAPER, Bracket, above_optimum, sides

MINILM = pretrained.REQUIRES["all-MiniLM-L6-v2"]
RANKS = (1, 2, 4, 8, 11, 16)


@lru_cache(maxsize=4)
def few_shot(percent: int) -> tuple[LinearizedProblem, Solution]:
    """Return the problem at lam = percent/100 of lam_max, without what its gradients do not see, and its solution."""
    problem = compress(few_shot_problem(32, 0, percent / 100)).problem
    return problem, solve(problem)


@PAPER.figure("few-shot-optimum", percent=(1, 10), seeded=False, requires=MINILM)
def few_shot_optimum(case: Case) -> Comparison:
    r"""MiniLM, 32 sentences: the optimum of full fine-tuning, certified to 1e-8. Measured: (0, relative gap)."""
    problem, solution = few_shot(case["percent"])
    certificate = certify(problem, *sides(solution))
    return at_most((0.0, max(solution.upper - certificate.lower, 0.0) / solution.upper), 0)


@few_shot_optimum.control("the network before it is trained")
def _(case: Case) -> Comparison:
    problem, solution = few_shot(case["percent"])
    start = problem.risk(problem.w0)
    return at_most(tuple(x / start for x in above_optimum(start, solution)), 0)


@PAPER.figure("few-shot-rank", percent=(1, 10), seeded=False, requires=MINILM)
def few_shot_rank(case: Case) -> Comparison:
    r"""The rank of the optimum, which Theorem 3.1 bounds by 7 (d = 32 rows), is far below the 11 of Theorem 4.1's rule.

    Measured: the rule's smallest sufficient rank less the largest rank of a block of the certified optimum, at least 4.
    """
    problem, solution = few_shot(case["percent"])
    return at_least(float(thresholds(problem)["theorem 4.1"].rank - max(solution.ranks)), 4)


@few_shot_rank.control("compared with the rank that K = 1 and four data would require")
def _(case: Case) -> Comparison:
    _, solution = few_shot(case["percent"])
    table = thresholds(N=4, K=1, shapes=[(384, 384)] * 2, loss="logistic")
    return at_least(float(table["theorem 4.1"].rank - max(solution.ranks)), 4)


@PAPER.figure("few-shot-descent", r=RANKS, steps=(150,), seeded=False, requires=MINILM)
def few_shot_descent(case: Case) -> Comparison:
    r"""LoRA by gradient descent from the standard initialisation converges to the certified optimum, r = 1, ..., 16.

    \lambda = 0.1 \lambda_max; u = 0, v Gaussian of standard deviation 1/(\sqrt r n), steps of length 1/2, halved from
    then on whenever the objective would rise. Measured: a bracket of the excess after 150 steps, over the excess before
    training; at most 1e-2.
    """
    return at_most(relative_excess(case), 1e-2)


@few_shot_descent.control("after five steps", r=(1, 8), steps=(5,))
def _(case: Case) -> Comparison:
    return at_most(relative_excess(case), 1e-2)


def relative_excess(case: Case) -> Bracket:
    """Return a bracket of the excess after gradient descent, over the excess at delta = 0."""
    problem, optimum = few_shot(10)
    start = problem.risk(problem.w0) - optimum.lower
    low, high = above_optimum(descend(case["steps"])[case["r"]], optimum)
    return low / start, high / start


@lru_cache(maxsize=4)
def descend(steps: int) -> dict[int, float]:
    """Return the LoRA objective after gradient descent for all ranks, run in one batch: one pass over G serves all.

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
        problem.canonical_loss.canonical(block.right(np.eye(n))).reshape(problem.d, -1)
        for block, (_, n) in zip(problem.blocks, problem.shapes, strict=True)
    ]

    def evaluate(u: list[Array], v: list[Array]) -> tuple[Array, list[Array]]:
        """Return the objectives of all runs, and their gradients in u and in v."""
        deltas = ((x @ y.swapaxes(1, 2)).reshape(len(RANKS), -1) for x, y in zip(u, v, strict=True))
        w = problem.w0 + sum(delta @ A.T for delta, A in zip(deltas, rows, strict=True))
        q = np.stack([problem.slope(x) for x in w]) / problem.N
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
    return dict(zip(RANKS, value.tolist(), strict=True))
