r"""One optimum by seven ways: the three convex forms by Clarabel and SCS, and this package's three methods.

Nothing that a solver says is taken on trust. Its delta is factored and its objective computed again, an upper end;
its dual variables are scaled into |S(q)|_op <= lam, and into the domain of phi*, and the dual objective computed
again, a lower end.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from lora_proofs import Case, Comparison, at_most, equal, exact, ntk
from lora_proofs.enclosure import Enclosure

from .paper import PAPER, certified, gaussian_problem, over, sides

if TYPE_CHECKING:
    import cvxpy as cp  # loaded by the functions that use it: it takes seconds

FORMS = ("nuclear_norm", "semidefinite", "dual")
ACCURACY = {
    "CLARABEL": {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10},
    "SCS": {"eps_abs": 1e-7, "eps_rel": 1e-7, "max_iters": 50000},
}
LOOSE = (1e-5, "accuracy of the solvers; ours has a bracket of its own")


def risk_of(problem: ntk.LinearizedProblem, w: cp.Expression) -> cp.Expression:
    """Return (1/N) sum phi(w) for canonical rows w."""
    import cvxpy as cp

    if problem.loss == "squared":
        return cp.sum_squares(w) / (2 * problem.N)
    rows = cp.reshape(w, (problem.N, problem.d // problem.N), order="C")
    return sum(cp.log_sum_exp(cp.hstack([0, rows[i]])) for i in range(problem.N)) / problem.N


def conjugate_of(problem: ntk.LinearizedProblem, q: cp.Variable) -> tuple[cp.Expression, list[cp.Constraint]]:
    """Return (1/N) sum phi*(q), and the constraints of its domain."""
    import cvxpy as cp

    if problem.loss == "squared":
        return cp.sum_squares(q) / (2 * problem.N), []
    rows = cp.reshape(q, (problem.N, problem.d // problem.N), order="C")
    rest = 1 - cp.sum(rows, axis=1)
    return -(cp.sum(cp.entr(rows)) + cp.sum(cp.entr(rest))) / problem.N, [rest >= 0]


def canonical_matrix(problem: ntk.LinearizedProblem) -> np.ndarray:
    """Return the rows of the only block as an array (d, m n)."""
    (m, n), (block,) = problem.shapes[0], problem.blocks
    return problem.canonical_loss.linear_rows(block.matvec(np.eye(n))).reshape(problem.d, m * n)


def by_cvxpy(problem: ntk.LinearizedProblem, form: str, solver: str) -> tuple[np.ndarray, np.ndarray]:
    """Return delta and q from cvxpy: one is the solution, the other the dual variable."""
    import cvxpy as cp

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
    # The multiplier of the link is phi'(w) / N up to cvxpy's sign.
    q = problem.N * np.asarray(link.dual_value)
    return np.asarray(delta.value), q * np.sign(q @ problem.derivative(np.asarray(w.value)))


def checked_dual(problem: ntk.LinearizedProblem, q: np.ndarray) -> float:
    """Return the dual objective at q once it is in the domain of phi* and scaled to |S(q)|_op <= lam; at least 0."""
    if problem.loss != "squared":
        rows = np.maximum(q, 0).reshape(problem.N, -1)
        q = (rows / np.maximum(1, rows.sum(axis=1, keepdims=True))).ravel()
    norm = max(ntk.operator_norm_bound(S) for S in problem.adjoint(q))
    q = q / max(1.0, norm / problem.lam)
    return max(0.0, float(q @ problem.w0) / problem.N - problem.conjugate(q))


def excess_of(problem: ntk.LinearizedProblem, delta: np.ndarray) -> Enclosure:
    """Return the enclosure of what the balanced factors of delta are above the optimum, relatively."""
    U, s, Vt = np.linalg.svd(delta, full_matrices=False)
    root, optimum = np.sqrt(s), certified(problem)
    return over(optimum.excess([U * root], [Vt.T * root]), optimum.upper)


def small_problem(case: Case) -> ntk.LinearizedProblem:
    """Return a Gaussian problem of 5 x 4 with four data."""
    return gaussian_problem(case.rng, case["loss"], 4, ((5, 4),), share=0.2, K=1 if case["loss"] == "squared" else 2)


GRID = {"loss": ("squared", "logistic", "cross_entropy"), "solver": tuple(ACCURACY)}


@PAPER.formula("sdp-form-by-solvers", **GRID, form=("nuclear_norm", "semidefinite"), tolerance=LOOSE)
def sdp_form_by_solvers(case: Case) -> Comparison:
    r"""Min risk + \lambda|\delta|_* and min over Z >= 0 of risk(Z_{12}) + (\lambda/2) tr Z have one value: ours.

    Measured: an enclosure of the relative excess of the solver's \delta over the optimum, in ball arithmetic.
    """
    problem = small_problem(case)
    delta, _ = by_cvxpy(problem, case["form"], case["solver"])
    return equal(excess_of(problem, delta), 0)


@PAPER.formula("sdp-form-multipliers", **GRID, form=("nuclear_norm", "semidefinite"), tolerance=LOOSE)
def sdp_form_multipliers(case: Case) -> Comparison:
    r"""The multipliers that the solvers return with these forms solve the dual. Measured: their dual objective.

    In floats, after they are scaled into the domain; the bound is the objective at our solution.
    """
    problem = small_problem(case)
    _, q = by_cvxpy(problem, case["form"], case["solver"])
    return equal(checked_dual(problem, stretched(problem, q)), ntk.solve(problem).upper)


def stretched(problem: ntk.LinearizedProblem, q: np.ndarray) -> np.ndarray:
    """Return 2 q for the squared loss, whose scaling back into the domain gives q again; q for the others."""
    return 2 * q if problem.loss == "squared" else q


@sdp_form_multipliers.control("the other sign", loss=("squared",), solver=("CLARABEL",), form=("semidefinite",))
def _(case: Case) -> Comparison:
    problem = small_problem(case)
    _, q = by_cvxpy(problem, case["form"], case["solver"])
    return equal(checked_dual(problem, -q), ntk.solve(problem).upper)


@sdp_form_by_solvers.control("half the trace", loss=("squared",), solver=("CLARABEL",), form=("semidefinite",))
def _(case: Case) -> Comparison:
    problem = small_problem(case)
    G, labels = problem.blocks[0].matvec(np.eye(4)), problem.canonical_loss.labels
    halved = ntk.LinearizedProblem(G, problem.offsets, labels, problem.loss, problem.lam / 2)
    delta, _ = by_cvxpy(halved, case["form"], case["solver"])
    return equal(excess_of(problem, delta), 0)


@PAPER.formula("dual-by-solvers", **GRID, tolerance=LOOSE)
def dual_by_solvers(case: Case) -> Comparison:
    r"""The dual, maximised by Clarabel and SCS on |S(q)|_op <= \lambda, reaches the optimum of full fine-tuning.

    Measured: the dual objective at the solver's q, scaled into the domain, in floats; the bound is the objective at
    our solution.
    """
    problem = small_problem(case)
    _, q = by_cvxpy(problem, "dual", case["solver"])
    return equal(checked_dual(problem, stretched(problem, q)), ntk.solve(problem).upper)


@dual_by_solvers.control("another q, scaled back", loss=("squared",), solver=("CLARABEL",))
def _(case: Case) -> Comparison:
    problem = small_problem(case)
    _, q = by_cvxpy(problem, "dual", case["solver"])
    return equal(checked_dual(problem, q + 3 * np.abs(q).max()), ntk.solve(problem).upper)


@PAPER.formula("three-methods", loss=GRID["loss"], n=(6, 24), blocks=(1, 2))
def three_methods(case: Case) -> Comparison:
    r"""Burer-Monteiro, active subspaces and the interior-point referee find the same optimum to 1e-8.

    Active subspaces solve their restricted problems by Burer-Monteiro; the interior point shares no step with the two.
    Measured: an enclosure of the largest objective at their points, over the optimum, in ball arithmetic.
    """
    return at_most(worst(case, METHODS), 1 + Fraction(1, 10**8))


@three_methods.control(
    "one of them on a problem with a gradient changed by one per cent", n=(6,), blocks=(1,), loss=("squared",)
)
def _(case: Case) -> Comparison:
    return at_most(worst(case, METHODS, changed="burer_monteiro"), 1 + Fraction(1, 10**8))


METHODS = ("burer_monteiro", "active_subspace", "interior_point")


def worst(case: Case, methods: tuple[str, ...], changed: str = "") -> Enclosure:
    """Return an enclosure of the largest objective, over the optimum; the method `changed` is given other gradients."""
    problem = gaussian_problem(case.rng, case["loss"], 6, ((case["n"], case["n"] - 1),) * case["blocks"])
    points = []
    for method in methods:
        given = problem
        if method == changed:
            G: Any = problem.blocks[0].matvec(np.eye(problem.shapes[0][1])).copy()
            G[0, 0] *= 1.01
            labels = problem.canonical_loss.labels
            given = ntk.LinearizedProblem(G, problem.offsets, labels, problem.loss, problem.lam)
        points.append(sides(ntk.solve(given, gap=1e-9, method=method)))
    certificates = [ntk.certify(problem, *point, rigorous=True) for point in points]
    # Each point against the lowest value that is known: that of the best of the other points.
    best = min(certificates, key=lambda c: c.upper)
    low, high = exact.number(best.lower), exact.number(best.upper)
    excess = [best.excess(*point) for point in points]
    return exact.enclosure(
        1 + max(exact.number(x.lower) for x in excess) / high, 1 + max(exact.number(x.upper) for x in excess) / low
    )
