"""Print how `ntk.solve` compares with cvxpy's Clarabel and SCS on a nuclear-norm problem, and its cost on a large one.

Gaussian gradients, N = 32, lam = 0.1 lam_max. The gap of a cvxpy solution is measured by our own bracket: the objective
at its answer against our certified lower bound. Run it as ``OMP_NUM_THREADS=1 python tests/benchmarks/ntk_solver.py``;
it takes about two minutes.
"""

import time
from collections.abc import Callable
from typing import Any

import cvxpy as cp
import numpy as np

from lora_proofs import ntk

OPTIONS: dict[str, dict[str, Any]] = {"CLARABEL": {}, "SCS": {"eps": 1e-9, "max_iters": 100_000}}
"""Clarabel stops at its best accuracy by itself; SCS has to be asked for it."""


def gaussian_problem(loss: str, n: int, K: int, N: int = 32) -> ntk.LinearizedProblem:
    """Return a problem with lam = 0.1 lam_max."""
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(N, K)) if loss == "squared" else rng.integers(0, K, N)
    G, offsets = rng.normal(size=(N, K, n, n)), rng.normal(size=(N, K))
    lam_max = ntk.LinearizedProblem(G, offsets, labels, loss, 1.0).lam_max
    return ntk.LinearizedProblem(G, offsets, labels, loss, 0.1 * lam_max)


def by_cvxpy(problem: ntk.LinearizedProblem, solver: str) -> float:
    """Return the objective at cvxpy's answer."""
    N, K, (shape,) = problem.N, problem.K, problem.shapes
    delta = cp.Variable(shape)
    A = problem.blocks[0].array.reshape(N * K, -1)
    z = cp.reshape(problem.offsets.ravel() + A @ cp.vec(delta, order="C"), (N, K), order="C")
    y = problem.canonical_loss.labels
    if problem.loss == "squared":
        risk = cp.sum_squares(z - y) / 2
    else:
        risk = sum(cp.log_sum_exp(z[i]) - z[i, int(y[i])] for i in range(N))
    cp.Problem(cp.Minimize(risk / N + problem.lam * cp.normNuc(delta))).solve(solver=solver, **OPTIONS[solver])
    U, s, Vt = np.linalg.svd(delta.value, full_matrices=False)
    return float(problem.objective([U * np.sqrt(s)], [Vt.T * np.sqrt(s)]))


def timed(call: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Return the shortest of some wall times, and the last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), result


if __name__ == "__main__":
    for loss, K in (("squared", 1), ("cross_entropy", 2)):
        problem = gaussian_problem(loss, 48, K)
        ours, solution = timed(lambda problem=problem: ntk.solve(problem), repeats=5)
        print(f"{loss}, n = 48: ntk.solve {ours:.4f} s, certified gap {solution.gap:.0e}, rank {solution.rank}")
        for solver in ("SCS", "CLARABEL"):
            seconds, value = timed(lambda problem=problem, solver=solver: by_cvxpy(problem, solver))
            print(f"    {solver}: {seconds:.1f} s ({seconds / ours:.0f}x), gap {value / solution.lower - 1:.0e}")
    problem = gaussian_problem("cross_entropy", 768, 2)
    one_pass, _ = timed(lambda: np.einsum("ikmn,mn->ik", problem.blocks[0].array, np.ones((768, 768))), repeats=3)
    seconds, solution = timed(lambda: ntk.solve(problem), repeats=3)
    print(f"cross_entropy, n = 768: {seconds:.2f} s = {seconds / one_pass:.0f} passes over G, {solution}")
