r"""Exact spurious minima of the linearised LoRA problem, as rational instances with exact derivatives.

Each family places LoRA, in the regime of Jang, Lee & Ryu (arXiv 2402.11867v3), at a point (u, v) that is a local
minimum but no global one, and proves it over Q. They show what the paper's Theorem 4.1 needs and where its threshold
r(r+1)/2 > KN could be lowered to: `family_b` is strict at KN = r(r+3)/2, `family_c` needs the theorem's perturbation,
`family_d` and `logistic_unregularised` are the counterpart at lam = 0 and bear on the capacity rule of arXiv
2605.03724.

Here the objective is a *sum*, F(u, v) = sum_k phi(w_k) + lam/2 (|u|^2 + |v|^2), because that keeps the numbers simple.
`Trap.problem` returns the package's own form, a mean, with lam / N: its objective is F / N, so the landscape is the
same.

Notation of the docstrings: E_ij is a matrix unit, indices run from 1; x, y are the directions of u, v; and the Hessian
form is q + C with

    q(x, y) = lam (|x|^2 + |y|^2) - 2 <M, x y^T>,    M = -sum_k phi'(w_k) grad w_k,
    C(x, y) = sum_k phi''(w_k) A_k(x v^T + u y^T)^2.
"""

import json
from dataclasses import dataclass, replace
from itertools import combinations, combinations_with_replacement
from os import PathLike
from typing import Any, TypeAlias

import flint
import numpy as np

from lora_proofs import exact
from lora_proofs.linalg import check_rank

Point: TypeAlias = tuple[Any, Any]
"""A pair (u, v) of ``fmpq_mat``."""

_HALF, _QUARTER = flint.fmpq(1, 2), flint.fmpq(1, 4)


@dataclass(frozen=True, eq=False)
class Trap:
    """A rational instance of F(u, v) = sum_k phi(w_k) + lam/2 (|u|^2 + |v|^2), with a point to be judged.

    One output per datum, K = 1, so the functionals G_k are the data.

    Attributes
    ----------
    name : str
    loss : str
        "squared", phi(w) = w^2/2 with w = f + <G, u v^T> - y; or "logistic", phi(w) = log(1 + e^w) with
        w = -y (f + <G, u v^T>).
    lam : fmpq
    gradients : tuple of N fmpq_mat (m, n)
    offsets, labels : tuple of N fmpq
        f and y; for the logistic loss y is 1 or -1.
    u, v : fmpq_mat (m, r), (n, r)
    inertia : (int, int, int) or None
        Numbers of negative, zero and positive eigenvalues of the Hessian at (u, v) that the family's docstring proves.
    better : (fmpq_mat, fmpq_mat) or None
        A point of the same shape with a lower objective.
    """

    name: str
    loss: str
    lam: Any
    gradients: tuple[Any, ...]
    offsets: tuple[Any, ...]
    labels: tuple[Any, ...]
    u: Any
    v: Any
    inertia: tuple[int, int, int] | None = None
    better: Point | None = None

    @property
    def N(self) -> int:
        """The number of functionals."""
        return len(self.gradients)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (m, n) of the weight matrix."""
        return int(self.u.nrows()), int(self.v.nrows())

    @property
    def r(self) -> int:
        """The number of columns of u and v."""
        return int(self.u.ncols())

    def rows(self, u: Any, v: Any) -> list[Any]:
        """Return the canonical rows w_k at (u, v), exactly."""
        fits = [_inner(G * v, u) + f for G, f in zip(self.gradients, self.offsets, strict=True)]
        if self.loss == "squared":
            return [z - y for z, y in zip(fits, self.labels, strict=True)]
        return [-y * z for z, y in zip(fits, self.labels, strict=True)]

    def objective(self, u: Any, v: Any) -> Any:
        """Return F(u, v): an ``fmpq`` for the squared loss, a ball (``flint.arb``) for the logistic one."""
        w, regulariser = self.rows(u, v), self.lam / 2 * (_inner(u, u) + _inner(v, v))
        if self.loss == "squared":
            return sum((x * x for x in w), flint.fmpq(0)) / 2 + regulariser
        return sum((flint.arb(x).exp().log1p() for x in w), flint.arb(regulariser))

    def is_spurious(self) -> bool:
        """Tell whether `better` has a lower objective than (u, v): exactly, or by balls that do not meet."""
        return self.better is not None and bool(self.objective(*self.better) < self.objective(self.u, self.v))

    def gradient(self) -> Point:
        """Return dF/du = lam u - M v and dF/dv = lam v - M^T u, exactly.

        Raises
        ------
        ValueError
            If the loss is logistic and some w_k is not 0, where phi' = 1/2 and phi'' = 1/4 are rational.
        """
        M, _ = self._slope()
        return self.lam * self.u - M * self.v, self.lam * self.v - M.transpose() * self.u

    def hessian(self) -> Any:
        """Return the exact Hessian of F at (u, v), ``fmpq_mat`` of order (m + n) r.

        The coordinates are the entries of u, row by row, then those of v. Raises as `gradient` does.
        """
        (m, n), r = self.shape, self.r
        M, curvature = self._slope()
        H = self.lam * exact.identity((m + n) * r)
        for i in range(m):
            for j in range(n):
                for c in range(r):
                    H[i * r + c, (m + j) * r + c] -= M[i, j]
                    H[(m + j) * r + c, i * r + c] -= M[i, j]
        jacobian = flint.fmpq_mat([(G * self.v).entries() + (G.transpose() * self.u).entries() for G in self.gradients])
        return H + curvature * (jacobian.transpose() * jacobian)

    def without(self, k: int) -> "Trap":
        """Return the instance without its k-th functional, whose inertia and better point nobody knows."""
        kept = [i for i in range(self.N) if i != k]
        gradients, offsets, labels = (tuple(x[i] for i in kept) for x in (self.gradients, self.offsets, self.labels))
        return replace(
            self,
            name=f"{self.name} without functional {k}",
            gradients=gradients,
            offsets=offsets,
            labels=labels,
            inertia=None,
            better=None,
        )

    def problem(self) -> Any:
        """Return the `LinearizedProblem` in floats whose objective is F / N: risk a mean, lam / N for lam."""
        from lora_proofs.ntk.problem import LinearizedProblem

        return LinearizedProblem(
            np.stack([floats(G) for G in self.gradients])[:, None],
            np.array([[float(f)] for f in self.offsets]),
            np.array([[float(y)] for y in self.labels]) if self.loss == "squared" else np.array(self.labels, dtype=int),
            self.loss,
            float(self.lam / self.N),
        )

    def factors(self) -> tuple[Any, Any]:
        """Return (u, v) in float64."""
        return floats(self.u), floats(self.v)

    def _slope(self) -> tuple[Any, Any]:
        """Return M, and phi'', which is the same number on all rows."""
        w = self.rows(self.u, self.v)
        if self.loss == "logistic" and any(x != 0 for x in w):
            raise ValueError(f"{self.name}: the logistic derivatives are rational only where every margin is 0")
        M = flint.fmpq_mat(*self.shape)
        for G, x, y in zip(self.gradients, w, self.labels, strict=True):
            M += y * _HALF * G if self.loss == "logistic" else -x * G
        return M, _QUARTER if self.loss == "logistic" else flint.fmpq(1)


def family_a() -> Trap:
    r"""Return a strict spurious minimum at r = 1, KN = 2, 2 x 2, with value 2, where e_1 e_1^T has 5/4.

    At u = v = e_2 both residuals y - A are 1, so M = G_1 + G_2 = diag(2, 1) and M e_2 = e_2: stationary. With
    x = (a, p), y = (b, t): A_1 + A_2 parts are (p + t)/2 + (a + b) and (p + t)/2 - (a + b), hence
    q + C = (p - t)^2 + (p + t)^2/2 + a^2 + b^2 - 4ab + 2 (a + b)^2, positive definite: inertia (0, 0, 4).
    """
    G = [exact.matrix([[1, s], [s, _HALF]]) for s in (1, -1)]
    point, better = (_columns(2, {(i, 0): 1}) for i in (1, 0))
    return _squared("A", 1, G, [flint.fmpq(3, 2)] * 2, point, point, (0, 0, 4), (better, better))


def family_b(r: int) -> Trap:
    r"""Return a strict (modulo O(r)) spurious minimum with KN = r(r+3)/2: one below the sharp threshold.

    m = n = r + 1, lam = 1, u = v = [I_r; 0]. Functionals: G_ii = E_ii, but G_11 = E_11 + 5/4 E_{r+1,r+1};
    G_ij = (E_ij + E_ji)/2 for i < j <= r; C_j = (E_{j,r+1} + E_{r+1,j})/2. y = 2 on the G_ii, else 0.

    1. The residuals are 1 on G_ii, else 0, so M = diag(1, ..., 1, 5/4), M v = v, M^T u = u: stationary.
    2. With x = [X; a^T], y = [Y; b^T], q = |X - Y|^2 + |a|^2 + |b|^2 - 5/2 <a, b>.
    3. The G see sym(X + Y^T), the C_j see (a_j + b_j)/2. So q + C splits: in each (a_j, b_j) it is
       5/4 (a^2 + b^2) - 2ab, with eigenvalues 1/4 and 9/4 of its matrix; in (X, Y) it vanishes only for X = Y skew.
    4. Inertia (0, r(r-1)/2, rest), and the zeros are the orbit of O(r): strict modulo O(r).
    5. sigma_1(M) = 5/4 > lam, and diag(0, 1, ..., 1, 24/25), of rank r, has a value lower by 11/50.
       There M = diag(4/5, 1, ..., 1), so |M| = lam and <M, delta> = |delta|_*: it is the global minimum.
    """
    r = _positive("r", r)
    G = [_entries(r + 1, {(i, i): 1} | ({(r, r): flint.fmpq(5, 4)} if i == 0 else {})) for i in range(r)]
    G += [_symmetric(r + 1, i, j, _HALF) for i, j in combinations(range(r), 2)]
    G += [_symmetric(r + 1, j, r, _HALF) for j in range(r)]
    point = _columns(r + 1, {(i, i): 1 for i in range(r)}, r)
    # The first column moves to e_{r+1}; a product of unequal factors keeps it rational, but must stay balanced, so
    # the better point is the one that fits G_11 as well as (u, v) does, 4/5 = (2/sqrt 5)^2, when roots are not in Q.
    better = _columns(r + 1, {(r, 0): 1} | {(i, i): 1 for i in range(1, r)}, r)
    gauge = r * (r - 1) // 2
    inertia = (0, gauge, 2 * (r + 1) * r - gauge)
    return _squared(f"B{r}", 1, G, [2] * r + [0] * (len(G) - r), point, point, inertia, (better, better))
