r"""Time and certified gap of solvers of the convex problem, against its size.

Squared loss, Gaussian G, n x n, N = 32, Gaussian targets, lambda = 0.1 lambda_max; three draws. Ours: ``ntk.solve`` to
a relative gap of 1e-8. Clarabel and SCS: the nuclear-norm form through cvxpy, its compilation included, at tolerances
of 1e-9 and 1e-7 (at most 20000 iterations). One judge for all, ``ntk.certify``: the gap is what the update itself can
prove, whatever its solver says. Left: processor seconds, all threads together, so that other work on the machine does
not count; they differ from run to run, unlike all else here. The paper has no such figure.
"""

import time
from typing import Any

import numpy as np

from lora_proofs import plotting
from lora_proofs.ntk import LinearizedProblem, certify, solve

CLAIMS = ("jang2024lora:formula-sdp-form-by-solvers",)
TIMED = ("seconds",)  # panels that differ from run to run
N = 32
SIZES = {"ours": (8, 16, 32, 64, 128, 256), "SCS": (8, 16, 32, 64), "Clarabel": (8, 16, 32)}
OPTIONS: dict[str, dict[str, float]] = {
    "SCS": {"eps_abs": 1e-7, "eps_rel": 1e-7, "max_iters": 20000},
    "Clarabel": {"tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9, "tol_feas": 1e-9},
}


def cases(quick: bool) -> list[dict[str, Any]]:
    """Return one case a solver, size and draw."""
    if quick:
        return [{"solver": solver, "n": n, "seed": 0} for solver in SIZES for n in (4, 8)]
    return [{"solver": solver, "n": n, "seed": seed} for solver in SIZES for n in SIZES[solver] for seed in range(3)]


def compute(solver: str, n: int, seed: int) -> list[dict[str, Any]]:
    """Return processor seconds and the certified relative gap."""
    update(gaussian(4, 0), solver)  # imports and compiles what the first call would
    problem = gaussian(n, seed)
    start = time.process_time()
    u, v = update(problem, solver)
    seconds = time.process_time() - start
    gap = certify(problem, u, v).gap
    measured = {"seconds": seconds, "gap": gap}
    return [{"panel": panel, "curve": solver, "seed": seed, "x": n, "y": y} for panel, y in measured.items()]


def gaussian(n: int, seed: int) -> LinearizedProblem:
    """Return the problem of size n."""
    rng = np.random.default_rng([seed, n])
    G, y = rng.standard_normal((N, 1, n, n)), rng.standard_normal((N, 1))
    unit = LinearizedProblem(G, np.zeros((N, 1)), y, "squared", 1.0)
    return LinearizedProblem(G, np.zeros((N, 1)), y, "squared", 0.1 * unit.lam_max)


def update(problem: LinearizedProblem, solver: str) -> tuple[list[Any], list[Any]]:
    """Return the update that a solver finds, as balanced factors."""
    if solver == "ours":
        ((u, v),) = solve(problem).factors
        return [u], [v]
    import cvxpy as cp

    m, n = problem.shapes[0]
    rows = problem.blocks[0].matvec(np.eye(n)).reshape(problem.d, m * n)
    delta = cp.Variable((m, n))
    risk = cp.sum_squares(problem.w0 + rows @ cp.vec(delta, order="C")) / (2 * problem.N)
    cp.Problem(cp.Minimize(risk + problem.lam * cp.normNuc(delta))).solve(solver.upper(), **OPTIONS[solver])
    U, s, Vt = np.linalg.svd(delta.value, full_matrices=False)
    return [U * np.sqrt(s)], [Vt.T * np.sqrt(s)]


def plot(rows: list[dict[str, Any]], published: list[dict[str, Any]]) -> Any:
    """Draw times on the left, gaps on the right."""
    figure, axes = plotting.grid(1, 2, height=2.3)
    for ax, panel, label in zip(axes[0], ("seconds", "gap"), ("processor seconds", "certified gap"), strict=True):
        for index, solver in enumerate(SIZES):
            plotting.band(ax, plotting.points(rows, panel=panel, curve=solver), solver, index, floor=1e-16)
        ax.set(xscale="log", yscale="log", xlabel="side $n$ of $\\delta$", ylabel=label)
        ax.set_xscale("log", base=2)
    axes[0, 1].axhline(1e-8, color="k", lw=0.8, ls="--")
    axes[0, 0].legend()
    return figure
