"""A LoRA point of a problem in canonical rows: its objective, gradient and Hessian, and balanced factors.

Solvers look for points and certificates judge them, so neither borrows this from the other.
"""

from dataclasses import dataclass

import numpy as np

from lora_proofs.ntk.canonical import CanonicalProblem
from lora_proofs.ntk.types import Blocks, FloatArray

_NULL = 1e-9
"""Columns whose singular value is below this share of the largest are dropped; a wrong cut is undone by regrowth."""


@dataclass
class Point:
    """Factors, rows w, gradient S of the risk in delta (one matrix a block), and the objective there.

    ``top`` is max_t |S_t|_op or a little less, where it is known already.
    """

    u: Blocks
    v: Blocks
    w: FloatArray
    S: Blocks
    value: float
    top: float | None = None


def evaluate(core: CanonicalProblem, u: Blocks, v: Blocks) -> Point:
    """Return the point (u, v)."""
    w = core.rows(u, v)
    squares = sum(float(np.vdot(x, x)) for x in (*u, *v))
    return Point(u, v, w, core.adjoint(core.loss.derivative(w)), core.risk(w) + core.lam / 2 * squares)


def gradient(core: CanonicalProblem, point: Point) -> FloatArray:
    """Return the gradient in (u_1, v_1, u_2, v_2, ...), flattened."""
    parts = []
    for u, v, S in zip(point.u, point.v, point.S, strict=True):
        parts += [(S @ v + core.lam * u).ravel(), (S.T @ u + core.lam * v).ravel()]
    return np.concatenate(parts)


def jacobian(core: CanonicalProblem, point: Point) -> FloatArray:
    """Return the Jacobian of the rows in (u_1, v_1, u_2, v_2, ...), shape (d, sum (m_t + n_t) r_t)."""
    columns = []
    for rows, u, v in zip(core.blocks, point.u, point.v, strict=True):
        columns += [rows.matvec(v).reshape(len(point.w), -1), rows.rmatvec(u).reshape(len(point.w), -1)]
    return np.concatenate(columns, axis=1)


def hessian(core: CanonicalProblem, point: Point) -> FloatArray:
    r"""Return the Hessian lam I + S's coupling of u and v + (1/N) J^T phi'' J, J the Jacobian of the rows."""
    J = jacobian(core, point)
    H = J.T @ core.loss.hessian_vector(point.w, J / core.N)
    H.flat[:: len(H) + 1] += core.lam
    start = 0
    for u, v, S in zip(point.u, point.v, point.S, strict=True):
        (m, r), n = u.shape, v.shape[0]
        middle, end = start + m * r, start + (m + n) * r
        for a in range(r):
            H[start + a : middle : r, middle + a : end : r] += S
            H[middle + a : end : r, start + a : middle : r] += S.T
        start = end
    return H


def balanced(u: FloatArray, v: FloatArray, null: float = _NULL) -> tuple[FloatArray, FloatArray]:
    """Return factors of u v^T with u^T u = v^T v diagonal, descending, without singular values of a share up to `null`.

    They have the least squares among all factors: |u|_F^2 = |v|_F^2 = |u v^T|_*.
    """
    Qu, Ru = np.linalg.qr(u)
    Qv, Rv = np.linalg.qr(v)
    left, s, right = np.linalg.svd(Ru @ Rv.T)
    keep = s > null * s[:1].sum()
    root = np.sqrt(s[keep])
    return Qu @ left[:, : len(s)][:, keep] * root, Qv @ right.T[:, : len(s)][:, keep] * root
