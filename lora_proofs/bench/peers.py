"""The peers: the same tasks by the textbook, by LAPACK alone, and by general solvers; short, and unchecked."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from scipy.linalg.lapack import dgetrf, dgetrs

from lora_proofs import ntk
from lora_proofs.linalg import Array
from lora_proofs.ntk.types import FloatArray


def lapack_floor(frozen: Sequence[Array], target: Array, rank: int) -> FloatArray:
    """Lemma 1 of Zeng & Lee (arXiv 2310.17513v3) by LAPACK's calls alone, in the textbook order.

    One SVD of E, one LU of W_2, ..., W_L and one of P_1, ..., P_{L-1}, triangular solves with R columns, and products.
    Nothing is checked or measured, and no basis is chosen: on deep chains the result is wrong.
    """
    weights = [np.asarray(W) for W in frozen]
    U, s, Vt = np.linalg.svd(np.asarray(target) - reduce(lambda P, W: W @ P, weights))
    factors = [dgetrf(W)[:2] for W in weights[1:]]
    P = None
    for l, W in enumerate(weights):
        piece = slice(l * rank, (l + 1) * rank)
        B = reduce(lambda Y, lu: dgetrs(*lu, Y)[0], reversed(factors[l:]), U[:, piece] * s[piece])
        A = Vt[piece] if P is None else dgetrs(*dgetrf(P)[:2], Vt[piece].T, trans=1)[0].T
        F = W + B @ A
        P = F if P is None else F @ P
    return np.asarray(P)


def by_inverses(frozen: Sequence[FloatArray], target: FloatArray, rank: int) -> FloatArray:
    """Lemma 1 as the textbook writes it: explicit products, explicit inverses, full updates."""
    _, _, Vt = np.linalg.svd(E := target - reduce(lambda P, W: W @ P, frozen))
    P = np.eye(len(target))
    for l, W in enumerate(frozen):
        S = reduce(lambda X, Y: Y @ X, frozen[l + 1 :], np.eye(len(target)))
        V = Vt[l * rank : (l + 1) * rank].T
        P = (W + np.linalg.inv(S) @ E @ V @ V.T @ np.linalg.inv(P)) @ P
    return P


def by_cvxpy(problem: ntk.LinearizedProblem, solver: str) -> Callable[[], Any]:
    """Return a call that solves nuclear-norm regularised fine-tuning with squared loss by one of cvxpy's solvers."""
    import cvxpy as cp

    options: dict[str, Any] = {"CLARABEL": {}, "SCS": {"eps": 1e-9, "max_iters": 100_000}}[solver]
    (block,), (shape,) = problem.blocks, problem.shapes
    rows = block.matvec(np.eye(shape[1])).reshape(problem.d, -1)

    def call() -> float:
        delta = cp.Variable(shape)
        risk = cp.sum_squares(problem.w0 + rows @ cp.vec(delta, order="C")) / 2
        program = cp.Problem(cp.Minimize(risk / problem.N + problem.lam * cp.normNuc(delta)))
        return float(program.solve(solver=solver, **options))

    return call
