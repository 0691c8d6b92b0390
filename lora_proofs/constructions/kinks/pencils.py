r"""Systems of linear matrix functions that are to have low rank, solved in floats and certified in balls.

A pencil M(t) = C + sum_j t_j l_j r_j^T is to have rank at most rho. Choose rho rows and rho columns whose block A(t) is
non-singular; then rank M(t) <= rho exactly if the Schur complement of A(t), a k x k matrix with k = D - rho, vanishes:

    M = [A B; C E],  E - C A^{-1} B = X^T M Y,  X^T = [-C A^{-1}, I],  Y = [-A^{-1} B; I],

whose derivative by t_j is (X^T l_j)(r_j^T Y). So a system of pencils is one of sum k^2 equations, however large D is.
Unknowns in surplus are fixed at the floats that they have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from lora_proofs.constructions.kinks.krawczyk import BITS, certify_root
from lora_proofs.exact import matrices

Floats = NDArray[np.float64]

_STEPS = 80
"""Newton steps of one start. A start that converges at all takes 5 to 40."""

_CONVERGED = 1e-12
"""Relative size of the singular values that are to vanish, from which on one more Newton step is the last."""


@dataclass(frozen=True, eq=False)
class Pencil:
    """M(t) = constant + left diag(t[unknowns]) right, asked to have rank at most `rank`.

    Attributes
    ----------
    constant, left, right : object arrays of ``fmpq``, shapes (D, D), (D, n), (n, D)
    unknowns : int array (n,)
    rank : int
    """

    constant: Any
    left: Any
    right: Any
    unknowns: NDArray[np.int_]
    rank: int

    @property
    def corank(self) -> int:
        """The number k of singular values that are to vanish."""
        return max(0, int(self.constant.shape[0]) - self.rank)

    def rounded(self) -> "Pencil":
        """Return the pencil in float64."""
        constant, left, right = (np.asarray(x, dtype=float) for x in (self.constant, self.left, self.right))
        return Pencil(constant, left, right, self.unknowns, self.rank)

    def at(self, values: Floats) -> Floats:
        """Return M(values) for a pencil in float64."""
        return np.asarray(self.constant + (self.left * values[self.unknowns]) @ self.right)


@dataclass(frozen=True, eq=False)
class LowRankSystem:
    """Pencils in the same unknowns, some of which must be positive.

    Attributes
    ----------
    pencils : list of Pencil
    positive : bool array (n,)
    """

    pencils: Sequence[Pencil]
    positive: NDArray[np.bool_]

    @property
    def equations(self) -> int:
        """The sum of the squared coranks: the codimension of what is asked."""
        return sum(pencil.corank**2 for pencil in self.pencils)

    def solve(self, start: Floats) -> Floats | None:
        """Return a floating root, or None if Newton's method from this start finds none.

        The equations are U_k^T M(t) V_k = 0 with the singular vectors of the k smallest singular values of M at the
        current t; the step is the one of least norm, in log t for the positive unknowns.
        """
        pencils = [pencil.rounded() for pencil in self.pencils if pencil.corank]
        t = start.copy()
        for _ in range(_STEPS if pencils else 0):
            scale = np.where(self.positive, t, 1.0)
            rows, residuals, sizes = [], [], []
            for p in pencils:
                U, s, Vt = np.linalg.svd(p.at(t))
                k = p.corank
                J = np.zeros((k * k, len(t)))
                J[:, p.unknowns] = np.einsum("ai,bi->abi", U[:, -k:].T @ p.left, Vt[-k:] @ p.right.T).reshape(k * k, -1)
                rows.append(J * scale)
                residuals.append(np.diag(s[-k:]).ravel())
                sizes.append(float(s[-k] / s[0]))
            step = np.linalg.lstsq(np.concatenate(rows), -np.concatenate(residuals), rcond=None)[0]
            step *= min(1.0, 1.0 / float(np.max(np.abs(step))))
            t = np.where(self.positive, t * np.exp(np.where(self.positive, step, 0.0)), t + step)
            if not np.all(np.isfinite(t)) or np.max(np.abs(t)) > 1e8:
                return None
            if max(sizes) < _CONVERGED:
                return t
        return None if pencils else t

    def certify(self, root: Floats) -> list[Any] | None:
        """Return balls around a true root near the floating one, the positive unknowns shown to be positive; or None.

        Raises nothing: None says only that this could not be shown.
        """
        from scipy.linalg import qr

        pencils = [_Schur.of(pencil, root) for pencil in self.pencils if pencil.corank]
        if not pencils:
            return [flint.arb(v) for v in root.tolist()]
        J = np.concatenate([schur.jacobian(root) for schur in pencils])
        if len(J) > len(root):
            return None
        free = qr(J * np.where(self.positive, root, 1.0), mode="r", pivoting=True)[1][: len(J)]
        values = [flint.arb(v) for v in root.tolist()]

        def system(x: Sequence[Any]) -> tuple[Any, Any]:
            t = list(values)
            for j, v in zip(free, x, strict=True):
                t[j] = v
            parts = [schur.evaluate(t, free) for schur in pencils]
            return (
                flint.arb_mat(len(J), 1, [v for value, _ in parts for v in value]),
                flint.arb_mat([row for _, rows in parts for row in rows]),
            )

        found = certify_root(system, root[free].tolist())
        if found is None:
            return None
        for j, v in zip(free, found, strict=True):
            values[j] = v
        return values if all(values[j] > 0 for j in np.flatnonzero(self.positive)) else None


@dataclass(frozen=True, eq=False)
class _Schur:
    """A pencil with its rows and columns sorted, so that those of the block A come first, in balls and in floats."""

    pencil: Pencil
    floats: Pencil
    balls: tuple[Any, Any, Any]

    @classmethod
    def of(cls, pencil: Pencil, root: Floats) -> "_Schur":
        from scipy.linalg import qr

        M = pencil.rounded().at(root)
        columns = qr(M, mode="r", pivoting=True)[1]
        rows = qr(M[:, columns[: pencil.rank]].T, mode="r", pivoting=True)[1] if pencil.rank else np.zeros(0, int)
        rows = np.concatenate([rows, np.setdiff1d(np.arange(len(M)), rows)]).astype(int)
        chosen = Pencil(
            pencil.constant[np.ix_(rows, columns)],
            pencil.left[rows],
            pencil.right[:, columns],
            pencil.unknowns,
            pencil.rank,
        )
        with flint.ctx.workprec(BITS):
            balls = tuple(flint.arb_mat(matrices.matrix(x)) for x in (chosen.constant, chosen.left, chosen.right))
        return cls(chosen, chosen.rounded(), balls)

    def jacobian(self, root: Floats) -> Floats:
        """Return the derivative of the Schur complement by all unknowns, (k^2, n), in floats."""
        p, s = self.floats, self.pencil.rank
        M, k = p.at(root), self.pencil.corank
        Xt = np.hstack([-np.linalg.solve(M[:s, :s].T, M[s:, :s].T).T, np.eye(k)])
        Y = np.vstack([-np.linalg.solve(M[:s, :s], M[:s, s:]), np.eye(k)])
        J = np.zeros((k * k, len(root)))
        J[:, p.unknowns] = np.einsum("aj,jb->abj", Xt @ p.left, p.right @ Y).reshape(k * k, -1)
        return J

    def evaluate(self, values: Sequence[Any], free: NDArray[np.int_]) -> tuple[list[Any], list[list[Any]]]:
        """Return enclosures of the Schur complement, row by row, and of its derivatives by the free unknowns."""
        constant, left, right = self.balls
        D, s = constant.nrows(), self.pencil.rank
        scaled = [[v * values[j] for v, j in zip(row, self.pencil.unknowns, strict=True)] for row in left.table()]
        M = (constant + flint.arb_mat(scaled) * right).table()
        A, B = _part(M, 0, s, 0, s), _part(M, 0, s, s, D)
        C, E = _part(M, s, D, 0, s), _part(M, s, D, s, D)
        AB, CA = (A.solve(B), A.transpose().solve(C.transpose()).transpose()) if s else (B, C)
        value = E - C * AB if s else E
        top, bottom = _part(left.table(), 0, s, 0, left.ncols()), _part(left.table(), s, D, 0, left.ncols())
        Xl = (bottom - CA * top if s else bottom).transpose().table()
        first, last = _part(right.table(), 0, right.nrows(), 0, s), _part(right.table(), 0, right.nrows(), s, D)
        rY = (last - first * AB if s else last).table()
        place = {int(j): i for i, j in enumerate(self.pencil.unknowns)}
        zero = [flint.arb(0)] * (D - s) ** 2
        columns = [[a * b for a in Xl[place[j]] for b in rY[place[j]]] if j in place else zero for j in map(int, free)]
        return value.entries(), [list(row) for row in zip(*columns, strict=True)]


def _part(table: Sequence[Sequence[Any]], top: int, bottom: int, left: int, right: int) -> Any:
    return flint.arb_mat(bottom - top, right - left, [v for row in table[top:bottom] for v in row[left:right]])
