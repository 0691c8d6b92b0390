"""Exercise 6: a spurious local minimum, by hand (what Theorem 4.1 of arXiv 2402.11867v3 excludes).

Fill in the functions marked ``@hole``, then try ``lora-proofs check spurious_minimum.py``.
"""

import numpy as np

from lora_proofs import Case, Paper, at_least, at_most, equal, ntk
from lora_proofs.homework import hole

PAPER = Paper(
    key="spurious_minimum",
    title="LoRA Training in the NTK Regime has No Spurious Local Minima",
    authors=("Uijeong Jang", "Jason D. Lee", "Ernest K. Ryu"),
    year=2024,
    arxiv="2402.11867v3",
)


@hole
def trap():
    """Return G of shape (N, 2, 2), y of shape (N,), and u, v of shape (2, 1), with N at most 4.

    (u, v) must be a strict local minimum, up to scaling u by t and v by 1/t, of 1/2 sum_i (<G_i, u v^T> - y_i)^2, at
    which that sum is positive although some matrix X has <G_i, X> = y_i for all i.
    """
    G = np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.5], [1.5, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    point = np.array([[0.0], [0.5]])
    return G, np.array([1.0, 0.0, 0.25]), point, point


@hole
def solution(G, y):
    """Return a 2 x 2 matrix X with <G_i, X> = y_i for all i."""
    return np.linalg.lstsq(G.reshape(len(G), -1), y, rcond=None)[0].reshape(2, 2)


@PAPER.theorem("stationary")
def stationary(case: Case):
    r"""The gradient vanishes at (u, v), relative to the size of the residual."""
    G, y, u, v = handed_in()
    S = np.tensordot(np.tensordot(G, u @ v.T) - y, G, 1)
    size = np.linalg.norm(S) * (np.linalg.norm(u) + np.linalg.norm(v))
    return at_most((np.linalg.norm(S @ v) + np.linalg.norm(S.T @ u)) / max(size, 1e-300), 0)


@PAPER.theorem("strict")
def strict(case: Case):
    r"""(u, v) is a strict local minimum up to the scaling of u against v."""
    G, y, u, v = handed_in()
    problem = ntk.LinearizedProblem(G[:, None], np.zeros((len(y), 1)), y[:, None], "squared", 0.0)
    return equal(int(ntk.second_order(problem, u, v).verdict == "strict minimum"), 1)


@PAPER.theorem("spurious")
def spurious(case: Case):
    r"""Its value is at least a thousandth of |y|^2 / 2, although the data can be fitted."""
    G, y, u, v = handed_in()
    value = np.sum((np.tensordot(G, u @ v.T) - y) ** 2)
    X = np.linalg.lstsq(G.reshape(len(G), -1), y, rcond=None)[0].reshape(2, 2)
    fits = np.linalg.norm(np.tensordot(G, X) - y) <= 1e-9 * np.linalg.norm(y)
    return at_least(value / np.sum(y**2) if fits else 0.0, 1e-3)


@PAPER.theorem("fit", N=(1, 2, 3))
def fitted(case: Case):
    r"""For gradients G that are linearly independent, X fits every y."""
    G, y = case.rng.standard_normal((case["N"], 2, 2)), case.rng.standard_normal(case["N"])
    X = np.asarray(solution(G.copy(), y.copy()), dtype=float)
    return at_most(np.linalg.norm(np.tensordot(G, X.reshape(2, 2)) - y), 0)


def handed_in():
    """Return the trap handed in, checked."""
    G, y, u, v = (np.asarray(x, dtype=float) for x in trap())
    shapes = (G.shape[1:], y.shape, u.shape, v.shape)
    if shapes != ((2, 2), G.shape[:1], (2, 1), (2, 1)) or not 1 <= len(G) <= 4:
        raise ValueError(f"G, y, u, v have shapes {G.shape}, {y.shape}, {u.shape}, {v.shape}")
    if not all(np.all(np.isfinite(x)) for x in (G, y, u, v)) or not np.any(y):
        raise ValueError("G, y, u, v must be finite, and y not zero")
    return G, y, u, v
