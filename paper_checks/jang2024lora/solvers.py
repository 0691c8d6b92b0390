r"""One optimum by seven ways: the three convex forms by Clarabel and SCS, and this package's three methods.

Nothing that a solver says is taken on trust. Its delta is factored and its objective computed again, an upper end;
its dual variables are scaled into |S(q)|_op <= lam, and into the domain of phi*, and the dual objective computed
again, a lower end.
"""

from typing import Any

import cvxpy as cp
import numpy as np

from lora_proofs import Case, Comparison, at_most, equal
from lora_proofs.ntk import LinearizedProblem, Solution, solve
from lora_proofs.ntk.spectrum import operator_norm_bound

from .paper import PAPER, Bracket, gaussian_problem

FORMS = ("nuclear_norm", "semidefinite", "dual")
ACCURACY = {
    "CLARABEL": {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10},
    "SCS": {"eps_abs": 1e-7, "eps_rel": 1e-7, "max_iters": 50000},
}
LOOSE = (1e-5, "accuracy of the solvers; ours has a bracket of its own")


def risk_of(problem: LinearizedProblem, w: cp.Expression) -> cp.Expression:
    """Return (1/N) sum phi(w) for canonical rows w."""
    if problem.loss == "squared":
        return cp.sum_squares(w) / (2 * problem.N)
    rows = cp.reshape(w, (problem.N, problem.d // problem.N), order="C")
    return sum(cp.log_sum_exp(cp.hstack([0, rows[i]])) for i in range(problem.N)) / problem.N


def conjugate_of(problem: LinearizedProblem, q: cp.Variable) -> tuple[cp.Expression, list[cp.Constraint]]:
    """Return (1/N) sum phi*(q), and the constraints of its domain."""
    if problem.loss == "squared":
        return cp.sum_squares(q) / (2 * problem.N), []
    rows = cp.reshape(q, (problem.N, problem.d // problem.N), order="C")
    rest = 1 - cp.sum(rows, axis=1)
    return -(cp.sum(cp.entr(rows)) + cp.sum(cp.entr(rest))) / problem.N, [rest >= 0]


def canonical_matrix(problem: LinearizedProblem) -> np.ndarray:
    """Return the rows of the only block as an array (d, m n)."""
    (m, n), (block,) = problem.shapes[0], problem.blocks
    return problem.canonical_loss.canonical(block.right(np.eye(n))).reshape(problem.d, m * n)


def by_cvxpy(problem: LinearizedProblem, form: str, solver: str) -> tuple[np.ndarray, np.ndarray]:
    """Return delta and q from cvxpy: one is the solution, the other the dual variable."""
    (m, n), A = problem.shapes[0], canonical_matrix(problem)
    if form == "dual":
        q = cp.Variable(problem.d)
        S = cp.reshape(A.T @ q, (m, n), order="C") / problem.N
        norm, (conjugate, domain) = cp.sigma_max(S) <= problem.lam, conjugate_of(problem, q)
        dual = cp.Maximize(q @ problem.w0 / problem.N - conjugate)
        cp.Problem(dual, [norm, *domain]).solve(solver, **ACCURACY[solver])
        return np.zeros((m, n)), np.asarray(q.value)
    w = cp.Variable(problem.d)
    if form == "semidefinite":
        Z = cp.Variable((m + n, m + n), PSD=True)
        delta, norm = Z[:m, m:], cp.trace(Z) / 2
    else:
        delta = cp.Variable((m, n))
        norm = cp.normNuc(delta)
    link = problem.w0 + A @ cp.vec(delta, order="C") == w
    cp.Problem(cp.Minimize(risk_of(problem, w) + problem.lam * norm), [link]).solve(solver, **ACCURACY[solver])
    # The multiplier of the link is phi'(w) / N up to cvxpy's sign; the right sign has the larger dual objective.
    q = problem.N * np.asarray(link.dual_value)
    return np.asarray(delta.value), max((q, -q), key=lambda x: checked_dual(problem, x))


def checked_dual(problem: LinearizedProblem, q: np.ndarray) -> float:
    """Return the dual objective at q once it is in the domain of phi* and scaled to |S(q)|_op <= lam; at least 0."""
    if problem.loss != "squared":
        rows = np.maximum(q, 0).reshape(problem.N, -1)
        q = (rows / np.maximum(1, rows.sum(axis=1, keepdims=True))).ravel()
    norm = max(operator_norm_bound(S) for S in problem.adjoint(q))
    q = q / max(1.0, norm / problem.lam)
    return max(0.0, float(q @ problem.w0) / problem.N - problem.conjugate(q))


def checked_bracket(problem: LinearizedProblem, delta: np.ndarray, q: np.ndarray) -> Bracket:
    """Return the checked dual at q, and the objective at the balanced factors of delta."""
    U, s, Vt = np.linalg.svd(delta, full_matrices=False)
    root = np.sqrt(s)
    return checked_dual(problem, q), problem.objective([U * root], [Vt.T * root])


def small_problem(case: Case) -> LinearizedProblem:
    """Return a Gaussian problem of 5 x 4 with four data."""
    return gaussian_problem(case.rng, case["loss"], 4, ((5, 4),), share=0.2, K=1 if case["loss"] == "squared" else 2)


GRID = {"loss": ("squared", "logistic", "cross_entropy"), "solver": tuple(ACCURACY)}


@PAPER.formula("sdp-form-by-solvers", **GRID, form=("nuclear_norm", "semidefinite"), tolerance=LOOSE)
def sdp_form_by_solvers(case: Case) -> Comparison:
    r"""Min risk + \lambda|\delta|_* and min over Z >= 0 of risk(Z_{12}) + (\lambda/2) tr Z have one value: ours.

    Measured: the bracket that the solver's \delta and its dual variables leave, both checked again.
    """
    problem = small_problem(case)
    bracket = checked_bracket(problem, *by_cvxpy(problem, case["form"], case["solver"]))
    return equal(bracket, solve(problem).upper)


@sdp_form_by_solvers.control("half the trace", loss=("squared",), solver=("CLARABEL",), form=("semidefinite",))
def _(case: Case) -> Comparison:
    problem = small_problem(case)
    G, labels = problem.blocks[0].right(np.eye(4)), problem.canonical_loss.labels
    halved = LinearizedProblem(G, problem.offsets, labels, problem.loss, problem.lam / 2)
    bracket = checked_bracket(halved, *by_cvxpy(halved, case["form"], case["solver"]))
    return equal(bracket, solve(problem).upper)


@PAPER.formula("dual-by-solvers", **GRID, tolerance=LOOSE)
def dual_by_solvers(case: Case) -> Comparison:
    r"""The dual, maximised by Clarabel and SCS on |S(q)|_op <= \lambda, reaches the optimum of full fine-tuning.

    Measured: the dual objective at the solver's q, scaled into the domain; with our upper end it makes a bracket.
    """
    problem = small_problem(case)
    _, q = by_cvxpy(problem, "dual", case["solver"])
    upper = solve(problem).upper
    return equal((checked_dual(problem, q), upper), upper)


@dual_by_solvers.control("another q, scaled back", loss=("squared",), solver=("CLARABEL",))
def _(case: Case) -> Comparison:
    problem = small_problem(case)
    _, q = by_cvxpy(problem, "dual", case["solver"])
    value = checked_dual(problem, q + 3 * np.abs(q).max())
    return equal((value, value), solve(problem).upper)


@PAPER.formula("three-methods", loss=GRID["loss"], n=(6, 24), blocks=(1, 2))
def three_methods(case: Case) -> Comparison:
    r"""Burer-Monteiro, active subspaces and the interior-point referee bracket the same optimum to 1e-8.

    They share no step. Measured: (0, spread) of the union of the three brackets, relative to the optimum.
    """
    return at_most((0.0, spread(case, ["burer_monteiro", "active_subspace", "interior_point"])), 0)


@three_methods.control(
    "one of them on a problem with a gradient changed by one per cent", n=(6,), blocks=(1,), loss=("squared",)
)
def _(case: Case) -> Comparison:
    return at_most(spread(case, ["burer_monteiro", "interior_point"], changed=True), 0)


def spread(case: Case, methods: list[str], changed: bool = False) -> float:
    """Return (largest upper end - smallest lower end) / the former."""
    problem = gaussian_problem(case.rng, case["loss"], 6, ((case["n"], case["n"] - 1),) * case["blocks"])
    solutions: list[Solution] = []
    for k, method in enumerate(methods):
        if changed and k:
            G: Any = problem.blocks[0].right(np.eye(problem.shapes[0][1])).copy()
            G[0, 0] *= 1.01
            labels = problem.canonical_loss.labels
            problem = LinearizedProblem(G, problem.offsets, labels, problem.loss, problem.lam)
        solutions.append(solve(problem, method=method))
    top = max(s.upper for s in solutions)
    return (top - min(s.lower for s in solutions)) / top
