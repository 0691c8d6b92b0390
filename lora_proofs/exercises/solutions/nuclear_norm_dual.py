"""Exercise 5: a dual certificate for nuclear-norm regularised fine-tuning (arXiv 2402.11867v3, section 3).

Fill in the functions marked ``@hole``, then try ``lora-proofs check nuclear_norm_dual.py``.
"""

import numpy as np

from lora_proofs import Case, Paper, at_least, at_most, ntk
from lora_proofs.homework import hole

PAPER = Paper(
    key="nuclear_norm_dual",
    title="LoRA Training in the NTK Regime has No Spurious Local Minima",
    authors=("Uijeong Jang", "Jason D. Lee", "Ernest K. Ryu"),
    year=2024,
    arxiv="2402.11867v3",
)


@hole
def dual_point(G, y, lam, X):
    """Return p in R^N with ||sum_i p_i G_i||_2 <= lam, whose dual value is as large as X lets you make it.

    The problem is min over X of 1/2 sum_i (<G_i, X> - y_i)^2 + lam ||X||_*; G has shape (N, m, n). The dual value of p
    is <p, y> - ||p||^2 / 2; no feasible p has a larger one than the optimum.
    """
    residual = y - np.tensordot(G, X)
    return residual * min(1.0, lam / np.linalg.norm(np.tensordot(residual, G, 1), 2))


@hole
def gap(G, y, lam, X, p):
    """Return how far above the optimum the objective at X can be, given the feasible p."""
    residual = np.tensordot(G, X) - y
    primal = residual @ residual / 2 + lam * np.linalg.svd(X, compute_uv=False).sum()
    return float(primal - (p @ y - p @ p / 2))


@PAPER.lemma("feasible", N=(3, 6), optimal=(False, True))
def feasible(case: Case):
    r"""At every X, optimal or not, the dual point satisfies \|\sum_i p_i G_i\|_2 <= lam."""
    G, _, lam, _, p = handed_in(case)
    return at_most(np.linalg.norm(np.tensordot(p, G, 1), 2) / lam, 1)


@PAPER.lemma("tight", N=(3, 6), optimal=(True,), tolerance=(1e-6, "X is optimal to a relative gap of 1e-10 only"))
def tight(case: Case):
    r"""At an optimal X the dual value of a feasible p is the optimum."""
    G, y, lam, X, p = handed_in(case)
    feasible_p = p * min(1.0, lam / max(np.linalg.norm(np.tensordot(p, G, 1), 2), 1e-300))
    best = objective(G, y, lam, X)
    return at_least((feasible_p @ y - feasible_p @ feasible_p / 2) / best, 1)


@PAPER.formula("gap", N=(3, 6), optimal=(False, True))
def bracket(case: Case):
    r"""The gap is the objective at X less the dual value of p."""
    G, y, lam, X, p = handed_in(case)
    return at_most(abs(float(gap(G, y, lam, X, p)) - (objective(G, y, lam, X) - (p @ y - p @ p / 2))), 0)


def handed_in(case: Case):
    """Return G, y, lam, X and the dual point handed in for them."""
    N, rng = case["N"], case.rng
    G, y = rng.standard_normal((N, 4, 5)), rng.standard_normal(N)
    lam = 0.3 * float(np.linalg.norm(np.tensordot(y, G, 1), 2))
    X = rng.standard_normal((4, 5))
    if case["optimal"]:
        # ntk's objective is the mean over the data: lam / N there is lam here.
        problem = ntk.LinearizedProblem(G[:, None], np.zeros((N, 1)), y[:, None], "squared", lam / N)
        [(u, v)] = ntk.solve(problem, gap=1e-10).factors
        X = u @ v.T
    p = np.asarray(dual_point(G.copy(), y.copy(), lam, X.copy()), dtype=float)
    if p.shape != (N,) or not np.all(np.isfinite(p)):
        raise ValueError(f"the dual point has shape {p.shape} or is not finite; {N} finite numbers are wanted")
    return G, y, lam, X, p


def objective(G, y, lam, X):
    """Return 1/2 sum_i (<G_i, X> - y_i)^2 + lam ||X||_*."""
    residual = np.tensordot(G, X) - y
    return residual @ residual / 2 + lam * np.linalg.svd(X, compute_uv=False).sum()
