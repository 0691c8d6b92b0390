r"""Stationary points planted over Q: the instances on which second-order statements are judged exactly.

With rational orthogonal U, V (Cayley transforms) and M = U diag(s) V^T, whose first k singular values are lam, the
point u = U_0 R, v = V_0 R, where U_0, V_0 are the first k columns and R is k x r, has M v = lam u and M^T u = lam v. A
first gradient G_1 = (M - sum_{k>1} rho_k G_k) / rho_1 makes M the slope of the data term. All other gradients are free:
random integers. With several blocks, everything is block diagonal, as in Section 2 of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import exact, instances, ntk
from lora_proofs.exact import inertia, inner


@dataclass(frozen=True)
class Plant:
    """A rational instance with its point, and the singular vectors of M by block, in the coordinates of all blocks."""

    trap: ntk.traps.Trap
    M: fmpq_mat
    left: tuple[fmpq_mat, ...]
    right: tuple[fmpq_mat, ...]
    ranks: tuple[int, ...]

    def face(self, block: int = 0) -> tuple[fmpq_mat, fmpq_mat]:
        """Return U_0, V_0 of a block: the singular vectors whose columns span those of u and v."""
        k = range(self.ranks[block])
        U, V = self.left[block], self.right[block]
        return exact.block(U, range(U.nrows()), k), exact.block(V, range(V.nrows()), k)

    def violated(self, block: int = 0) -> tuple[fmpq_mat, fmpq_mat]:
        """Return the singular pair after those of the face: that of the singular value `top`, where one was planted."""
        return exact.column(self.left[block], self.ranks[block]), exact.column(self.right[block], self.ranks[block])


def planted(
    rng: np.random.Generator,
    shapes: Sequence[tuple[int, int]],
    ranks: Sequence[int],
    r: int,
    d: int,
    top: Fraction | int = 0,
    lam: int = 1,
    loss: str = "squared",
    low: Sequence[int] | None = None,
    gradients: str = "integers",
) -> Plant:
    """Return an instance of d rows with a stationary point of width r whose blocks have the given ranks.

    Parameters
    ----------
    top : number
        A further singular value of M in the first block, over lam (or over 1, for lam = 0). The others are below lam.
    low : sequence of int, optional
        At lam = 0: the rank of M by block, by default as large as the ranks allow.
    gradients : {"integers", "rank one", "zero"}
        What the free gradients are: generic, or as degenerate as can be.
    """
    left, right, at = [], [], [0, 0]
    size = (sum(m for m, _ in shapes), sum(n for _, n in shapes))
    M, u, v = fmpq_mat(*size), fmpq_mat(size[0], r), fmpq_mat(size[1], r)
    for t, ((m, n), k) in enumerate(zip(shapes, ranks, strict=True)):
        U, V = instances.rational_orthogonal(rng, m), instances.rational_orthogonal(rng, n)
        s = [fmpq(int(x), 10) * (lam or 1) for x in rng.integers(1, 10, min(m, n))]
        s[:k] = [fmpq(lam)] * k
        if top and t == 0 and k < len(s):
            s[k] = exact.number(top) * (lam or 1)
        if low is not None:
            s[k + low[t] :] = [fmpq(0)] * (min(m, n) - k - low[t])
        D = fmpq_mat(m, n)
        for i, value in enumerate(s):
            D[i, i] = value
        R = instances.rational_planted_rank(rng, k, r, k)
        left.append(_placed(size[0], at[0], U))
        right.append(_placed(size[1], at[1], V))
        M += left[t] * D * right[t].transpose()
        u += exact.block(left[t], range(size[0]), range(k)) * R
        v += exact.block(right[t], range(size[1]), range(k)) * R
        at = [at[0] + m, at[1] + n]
    return Plant(instance(rng, shapes, M, u, v, d, lam, loss, gradients), M, tuple(left), tuple(right), tuple(ranks))


def instance(
    rng: np.random.Generator,
    shapes: Sequence[tuple[int, int]],
    M: fmpq_mat,
    u: fmpq_mat,
    v: fmpq_mat,
    d: int,
    lam: Any,
    loss: str = "squared",
    gradients: str = "integers",
) -> ntk.traps.Trap:
    """Return d rows, all gradients but the first free, for which M is the slope at (u, v)."""
    G = [FREE[gradients](rng, shapes) for _ in range(d - 1)]
    rho = [fmpq(1)] + [fmpq(int(x)) for x in rng.choice([-3, -2, -1, 1, 2, 3], d - 1)]
    if loss == "logistic":  # at margins 0 every slope is 1/2; the labels take the sign
        rho = [fmpq(1 if x > 0 else -1, 2) for x in rho]
    G.insert(0, sum((-x * g for x, g in zip(rho[1:], G, strict=True)), M) / rho[0])
    fits = [inner(g * v, u) for g in G]
    zeros = (fmpq(0),) * d
    if loss == "logistic":
        return ntk.traps.Trap(
            "planted", loss, fmpq(lam), tuple(G), tuple(-f for f in fits), tuple(2 * x for x in rho), u, v
        )
    return ntk.traps.Trap(
        "planted", loss, fmpq(lam), tuple(G), zeros, tuple(f + x for f, x in zip(fits, rho, strict=True)), u, v
    )


def block_integers(rng: np.random.Generator, shapes: Sequence[tuple[int, int]]) -> fmpq_mat:
    """Return a block-diagonal matrix of random integers."""
    out = fmpq_mat(sum(m for m, _ in shapes), sum(n for _, n in shapes))
    i = j = 0
    for m, n in shapes:
        x = instances.integers(rng, m, n)
        for a in range(m):
            for b in range(n):
                out[i + a, j + b] = x[a, b]
        i, j = i + m, j + n
    return out


def rank_one(rng: np.random.Generator, shapes: Sequence[tuple[int, int]]) -> fmpq_mat:
    """Return a random integer matrix of rank at most 1, block diagonal if there is one block."""
    m, n = (sum(shape[i] for shape in shapes) for i in (0, 1))
    return instances.integers(rng, m, 1) * instances.integers(rng, 1, n)


def zero(rng: np.random.Generator, shapes: Sequence[tuple[int, int]]) -> fmpq_mat:
    """Return the zero matrix."""
    return fmpq_mat(sum(m for m, _ in shapes), sum(n for _, n in shapes))


FREE = {"integers": block_integers, "rank one": rank_one, "zero": zero}


def slack_matrix(M: fmpq_mat, lam: Any) -> fmpq_mat:
    """Return 2 S = [[lam I, -M], [-M^T, lam I]]: positive semidefinite exactly if |M|_op <= lam."""
    m, n = M.nrows(), M.ncols()
    out = lam * exact.identity(m + n)
    for i in range(m):
        for j in range(n):
            out[i, m + j] = out[m + j, i] = -M[i, j]
    return out


def index(H: fmpq_mat) -> int:
    """Return the number of negative eigenvalues of a symmetric matrix, exactly."""
    return inertia(H)[0]


def is_stationary(trap: ntk.traps.Trap) -> bool:
    """Tell whether M v = lam u and M^T u = lam v, exactly; a logistic point with every margin 0."""
    M = slope(trap)
    return exact.is_zero(M * trap.v - trap.lam * trap.u) and exact.is_zero(M.transpose() * trap.u - trap.lam * trap.v)


def slope(trap: ntk.traps.Trap) -> fmpq_mat:
    """Return M = -sum_k phi'(w_k) G_k, of the logistic loss only where every margin is 0."""
    rows = trap.rows(trap.u, trap.v)
    if trap.loss == "logistic" and any(rows):
        raise ArithmeticError("a margin is not 0")
    slopes = [y / 2 for y in trap.labels] if trap.loss == "logistic" else [-w for w in rows]
    return sum((x * G for x, G in zip(slopes, trap.gradients, strict=True)), fmpq_mat(*trap.shape))


def restricted(H: fmpq_mat, directions: Sequence[tuple[fmpq_mat, fmpq_mat]]) -> fmpq_mat:
    """Return the matrix of the form H on the span of directions (x, y)."""
    W = as_rows(directions)
    return W * H * W.transpose()


def as_rows(directions: Sequence[tuple[fmpq_mat, fmpq_mat]]) -> fmpq_mat:
    """Return the directions in the coordinates of `Trap.hessian`, one a row."""
    return fmpq_mat([x.entries() + y.entries() for x, y in directions])


def jacobian(trap: ntk.traps.Trap) -> fmpq_mat:
    """Return J, d x (m + n) r, of (x, y) -> A(x v^T + u y^T)."""
    return fmpq_mat([(G * trap.v).entries() + (G.transpose() * trap.u).entries() for G in trap.gradients])


def on_face(trap: ntk.traps.Trap, U0: fmpq_mat, V0: fmpq_mat) -> fmpq_mat:
    """Return the d x k(k+1)/2 matrix of the symmetric S -> A(U_0 S V_0^T), off-diagonal entries counted once."""
    k, out = U0.ncols(), []
    for G in trap.gradients:
        T = U0.transpose() * G * V0
        out.append([T[i, i] if i == j else T[i, j] + T[j, i] for i in range(k) for j in range(i, k)])
    return fmpq_mat(out)


def violated_and_null(plant: Plant, block: int = 0) -> tuple[list[Any], list[Any]]:
    """Return the directions (u_1 e_c^T, v_1 e_c^T), and (U_0 E_ac, V_0 E_ac): step 4 of the sharp theorem."""
    r, (U0, V0), (x, y) = plant.trap.r, plant.face(block), plant.violated(block)
    units = [fmpq_mat(1, r, [int(c == j) for j in range(r)]) for c in range(r)]
    null = [(exact.column(U0, a) * e, exact.column(V0, a) * e) for a in range(U0.ncols()) for e in units]
    return [(x * e, y * e) for e in units], null


def _placed(size: int, at: int, X: fmpq_mat) -> fmpq_mat:
    """Return X in rows at, at + 1, ... of a matrix with `size` rows."""
    out = fmpq_mat(size, X.ncols())
    for i in range(X.nrows()):
        for j in range(X.ncols()):
            out[at + i, j] = X[i, j]
    return out
