r"""The paper, and quadratics over Q with a planted second-order point: on them every constant and verdict is exact.

f(X) = (1/2) <X - X_0, B (X - X_0)> on R^{m x n}, L(u, v) = f(u v^T) + lam/2 (|u|_F^2 + |v|_F^2), in the paper A, B for
u, v. f is (alpha, r, D)-RSC and (beta, r, D)-RSM about every point, for every r and D, with alpha and beta the extreme
eigenvalues of B.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import Paper, exact, instances
from lora_proofs.exact import inertia, inner

PAPER = Paper(
    key="kim2025lora",
    title="LoRA Training Provably Converges to a Low-Rank Global Minimum or It Fails Loudly "
    "(But it Probably Won't Fail)",
    authors=("Junsu Kim", "Jaeyeon Kim", "Ernest K. Ryu"),
    year=2025,
    arxiv="2502.09376v3",
)

_SHARE = fmpq(4, 5)


@dataclass(frozen=True, eq=False)
class Quadratic:
    """A rational quadratic f with a point X = u v^T and the global minimiser X* of f + lam |.|_*.

    Attributes
    ----------
    u, v : fmpq_mat (m, r), (n, r), with u^T u = v^T v = diag(s)
    s, t : tuple of fmpq
        The singular values of X and of X*, descending.
    target : fmpq_mat
        X*.
    M, M_target : fmpq_mat
        The negative gradients of f at X and at X*.
    B : fmpq_mat of order mn
        The Hessian of f in the row-major entries.
    lam, alpha, beta : fmpq
    outside : fmpq
        |d|_* for d = (I - P_U) X* (I - P_V), P_U and P_V the projections on the spaces of X.
    hidden : fmpq_mat or None
        A matrix that f does not see, where there is one.
    """

    u: fmpq_mat
    v: fmpq_mat
    s: tuple[Any, ...]
    t: tuple[Any, ...]
    target: fmpq_mat
    M: fmpq_mat
    M_target: fmpq_mat
    B: fmpq_mat
    lam: Any
    alpha: Any
    beta: Any
    outside: Any
    hidden: Any = None

    @cached_property
    def X(self) -> fmpq_mat:
        """X = u v^T."""
        return self.u * self.v.transpose()

    @cached_property
    def step(self) -> fmpq_mat:
        """X* - X."""
        return self.target - self.X

    @property
    def distance(self) -> Any:
        """|X* - X|_F^2."""
        return inner(self.step, self.step)

    def curvature(self, Z: fmpq_mat) -> Any:
        """Return <Z, B Z>."""
        z = vec(Z)
        return inner(z, self.B * z)

    def excess(self) -> Any:
        """Return L(u, v) less the minimum of f + lam |.|_*."""
        return inner(self.M, self.step) - self.curvature(self.step) / 2 + self.lam * (sum(self.s) - sum(self.t))

    def gradient(self) -> list[Any]:
        """Return the entries of dL/du = lam u - M v and dL/dv = lam v - M^T u."""
        parts = (self.lam * self.u - self.M * self.v, self.lam * self.v - self.M.transpose() * self.u)
        return [x for part in parts for x in part.entries()]

    def hessian(self) -> fmpq_mat:
        """Return the Hessian of L: lam (|x|^2 + |y|^2) - 2 <M, x y^T> + <Z, B Z> with Z = x v^T + u y^T."""
        (m, r), n = (self.u.nrows(), self.u.ncols()), self.v.nrows()
        H, J = self.lam * exact.identity((m + n) * r), fmpq_mat(m * n, (m + n) * r)
        for i in range(m):
            for j in range(n):
                for c in range(r):
                    H[i * r + c, (m + j) * r + c] = H[(m + j) * r + c, i * r + c] = -self.M[i, j]
                    J[i * n + j, i * r + c] += self.v[j, c]
                    J[i * n + j, (m + j) * r + c] += self.u[i, c]
        return H + J.transpose() * self.B * J

    def inertia(self) -> tuple[int, int, int]:
        """Return the inertia of the Hessian."""
        return inertia(self.hessian())

    def defects(self) -> int:
        """Return how far the point is from a strict minimum modulo O(r), and X* from a global one: 0 if they are.

        Counted are gradient entries that are not 0, negative curvatures, zero ones in excess of dim O(r) = r(r-1)/2,
        entries of -B (X* - X) that are not those of M* - M, negative eigenvalues of B, and violations of
        |M*|_op <= lam and <M*, X*> = lam |X*|_*, which by convexity make X* global.
        """
        r = len(self.s)
        negative, zero, _ = self.inertia()
        stationary = sum(x != 0 for x in self.gradient())
        consistent = sum(x != 0 for x in (self.B * vec(self.step) - vec(self.M - self.M_target)).entries())
        optimal = above(self.M_target, self.lam) + (inner(self.M_target, self.target) != self.lam * sum(self.t))
        return stationary + negative + zero - r * (r - 1) // 2 + consistent + inertia(self.B)[0] + optimal


def plant(
    rng: np.random.Generator | None,
    roots: Sequence[Any],
    t: Sequence[Any],
    share: Any = _SHARE,
    tilt: Any = 0,
    beta: Any = 3,
    lam: Any = 1,
    spare: int = 0,
    blind: bool = False,
) -> Quadratic:
    r"""Return a quadratic whose X = U diag(roots^2) V^T is stationary though X* = U' diag(t) V'^T is the minimiser.

    1. U, V and the complementary F, G are columns of rational orthogonal matrices, random unless rng is None. U', V'
       are F, G turned by an angle in the planes (F_j, U_j), (G_j, V_j); `tilt` is the tangent of half of it.
    2. M = lam U V^T + share * beta * sigma_r(X) F G^T, so M v = lam u and M^T u = lam v: stationary.
    3. M* = lam (U' V'^T + the same with what U, V turned into), so |M*|_op = lam, <M*, X*> = lam |X*|_*: X* is global.
    4. With z = X* - X, w = M - M* and p = beta z - w, B = beta I - p p^T / <p, z> has B z = w; its eigenvalues are beta
       and alpha = <p, w> / <p, z>.

    Without tilt, the second-order condition is share <= 1, and it is strict for share < 1.

    Parameters
    ----------
    roots, t : sequence of rationals
        The roots of the singular values of X, r of them, and the r* singular values of X*; r* <= r.
    spare : int
        Dimensions beyond r + r*.
    blind : bool
        Whether f does not see the isometry K = `hidden` on these: B less beta K K^T / |K|_F^2. alpha is not changed: it
        is the least curvature on matrices of low rank (lemma-restricted-constants).
    """
    r, k = len(roots), len(t)
    size = r + k + spare
    one = exact.identity(size)
    left, right = (one if rng is None else instances.rational_orthogonal(rng, size) for _ in range(2))
    s = [exact.number(x) ** 2 for x in roots]
    tilt, lam, beta = (exact.number(x) for x in (tilt, lam, beta))
    cosine, sine = (1 - tilt**2) / (1 + tilt**2), 2 * tilt / (1 + tilt**2)
    push = exact.number(share) * beta * min(s)
    X, target, M, M_target = (fmpq_mat(size, size) for _ in range(4))
    for i in range(r):
        X, M = X + s[i] * exact.unit_matrix(size, size, i, i), M + lam * exact.unit_matrix(size, size, i, i)
        if i >= k:
            M_target += lam * exact.unit_matrix(size, size, i, i)
    for j in range(k):
        f, e = exact.column(one, r + j), exact.column(one, j)
        turned, rest = cosine * f + sine * e, cosine * e - sine * f
        M += (lam + push) * f * f.transpose()
        target += exact.number(t[j]) * turned * turned.transpose()
        M_target += lam * (turned * turned.transpose() + rest * rest.transpose())
    X, target, M, M_target = (left * x * right.transpose() for x in (X, target, M, M_target))
    D = fmpq_mat(size, r)
    for i, root in enumerate(roots):
        D[i, i] = exact.number(root)
    z, w = vec(target - X), vec(M - M_target)
    p = beta * z - w
    B = beta * exact.identity(size * size) - p * p.transpose() / inner(p, z)
    hidden = fmpq_mat(size, size)
    if blind:
        hidden = left * exact.diagonal([int(i >= r + k) for i in range(size)]) * right.transpose()
        B -= beta / spare * vec(hidden) * vec(hidden).transpose()
    return Quadratic(
        left * D, right * D, ordered(s), ordered(t), target, M, M_target, B, lam,
        inner(p, w) / inner(p, z), beta, cosine**2 * sum(map(exact.number, t)), hidden,
    )  # fmt: skip


def published(lam: Any = 1) -> Quadratic:
    """Return a 2 x 2 instance with X = 4/9 E_11, X* = E_22, alpha = 1 and the spectrum of B within [1, 31/10].

    On E_11, E_22 B is [[9/4, 1], [1, 9/5]], with eigenvalues 1 and 61/20; on E_12, E_21 it is 31/10.
    """
    B, lam = fmpq(31, 10) * exact.identity(4), exact.number(lam)
    B[0, 0], B[0, 3], B[3, 0], B[3, 3] = fmpq(9, 4), fmpq(1), fmpq(1), fmpq(9, 5)
    u, M_target = exact.matrix([[fmpq(2, 3)], [0]]), lam * exact.identity(2)
    M = M_target + fmpq(61, 45) * exact.unit_matrix(2, 2, 1, 1)
    s, t = (fmpq(4, 9),), (fmpq(1),)
    return Quadratic(u, u, s, t, exact.unit_matrix(2, 2, 1, 1), M, M_target, B, lam, fmpq(1), fmpq(31, 10), fmpq(1))


def above(M: fmpq_mat, bound: Any) -> int:
    """Return how many singular values of M exceed the bound, exactly."""
    return inertia(M.transpose() * M - bound**2 * exact.identity(M.ncols()))[2]


def vec(x: fmpq_mat) -> fmpq_mat:
    """Return the entries of x, row by row, as a column."""
    return fmpq_mat(x.nrows() * x.ncols(), 1, x.entries())


def ordered(x: Sequence[Any]) -> tuple[Any, ...]:
    """Return the numbers as rationals, descending."""
    return tuple(sorted(map(exact.number, x), reverse=True))
