r"""Active subspaces for large problems: solve in the span of the leading singular vectors of S, and enlarge the span.

At the optimum delta = U X V^T, where U and V are singular vectors of S = grad risk(delta) of singular value lam: few,
against the m x n entries of delta. So keep bases U (m x s) and V (n x s) of the leading singular vectors met so far and

1. solve the problem with gradients U^T G_k V (s x s) by Burer-Monteiro, from the last solution;
2. read G once for the new S, and bracket the optimum;
3. unless the gap is closed, add the k leading singular vectors of S, reading G once for G_k V_new.

The restricted dual asks |U^T S(q) V|_op <= lam only; its error is of second order in the angle between the bases and
the active singular vectors, which is why a handful of rounds suffices. G_k V is kept (d x m x s), so that enlarging the
bases never reads G for old columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lora_proofs.ntk.canonical import CanonicalProblem, CanonicalRows, DenseRows
from lora_proofs.ntk.points import Point
from lora_proofs.ntk.solvers.burer_monteiro import minimise
from lora_proofs.ntk.spectrum import leading
from lora_proofs.ntk.types import FloatArray

_ROUNDS = 200
_SLACK = 4
"""Singular vectors added to each basis beyond the rank of the solution: more cost little, since G is read anyway."""

_NARROWEST = 8

_WIDEST, _KEPT = 6, 4
"""Bases wider than six rounds' worth are cut to four: wider ones save passes, but cost more in the Newton steps."""


@dataclass
class _Basis:
    """Bases of one block, W = G_k V (d, m, s), the restricted gradients U^T G_k V, and the factors x, y in them."""

    U: FloatArray
    V: FloatArray
    W: FloatArray
    small: FloatArray
    x: FloatArray
    y: FloatArray

    def extended(self, left: FloatArray, right: FloatArray, images: FloatArray) -> "_Basis":
        """Return the bases with the columns left and right appended, given the images G_k right."""
        top = np.concatenate([self.small, self.U.T @ images], axis=2)
        all_W = np.concatenate([self.W, images], axis=2)
        return _Basis(
            np.concatenate([self.U, left], axis=1),
            np.concatenate([self.V, right], axis=1),
            all_W,
            np.concatenate([top, left.T @ all_W], axis=1),
            np.pad(self.x, ((0, left.shape[1]), (0, 0))),
            np.pad(self.y, ((0, right.shape[1]), (0, 0))),
        )

    def narrowed(self, gradient: FloatArray, width: int) -> "_Basis":
        """Return the bases cut to the span of the factors and the leading singular vectors of a restricted S."""
        if max(gradient.shape) <= _WIDEST * width:
            return self
        left, _, right = leading(gradient, _KEPT * width)
        onto_left = np.linalg.qr(np.concatenate([self.x, left], axis=1))[0]
        onto_right = np.linalg.qr(np.concatenate([self.y, right], axis=1))[0]
        return _Basis(
            self.U @ onto_left,
            self.V @ onto_right,
            self.W @ onto_right,
            (onto_left.T @ self.small) @ onto_right,
            onto_left.T @ self.x,
            onto_right.T @ self.y,
        )


def _beyond(basis: FloatArray, columns: FloatArray) -> FloatArray:
    """Return an orthonormal basis of what the columns of columns add to an orthonormal basis."""
    room = basis.shape[0] - basis.shape[1]
    for _ in range(2):
        columns = columns - basis @ (basis.T @ columns)
    # Columns that are in the span already leave rounding errors, which another round makes orthogonal to it.
    added = np.linalg.qr(columns[:, :room])[0]
    return np.asarray(np.linalg.qr(added - basis @ (basis.T @ added))[0])


def active_subspace(core: CanonicalProblem) -> Iterator[Point]:
    """Yield better and better points with their slopes S; the caller brackets the optimum and stops.

    Parameters
    ----------
    core : CanonicalProblem
        A problem with lam > 0.
    """
    d, lam = len(core.w0), core.lam
    S = core.adjoint(core.loss.derivative(core.w0))
    width = min(_NARROWEST, int(np.ceil(np.sqrt(2 * d))) + 1)
    first = [leading(x, width) for x in S]
    images = core.matvec([V for _, _, V in first])
    bases = [
        _Basis(U, V, W, U.T @ W, np.zeros((U.shape[1], 0)), np.zeros((V.shape[1], 0)))
        for (U, _, V), W in zip(first, images, strict=True)
    ]
    tolerance = 1e-2
    for _ in range(_ROUNDS):
        rows: list[CanonicalRows] = [DenseRows(np.ascontiguousarray(basis.small)) for basis in bases]
        restricted = CanonicalProblem(rows, core.w0, core.loss, lam)
        inner = minimise(restricted, [b.x for b in bases], [b.y for b in bases], tolerance)
        for basis, x, y in zip(bases, inner.u, inner.v, strict=True):
            basis.x, basis.y = x, y
        S = core.adjoint(core.loss.derivative(inner.w))
        u = [basis.U @ basis.x for basis in bases]
        v = [basis.V @ basis.y for basis in bases]
        width = max(_NARROWEST, max(x.shape[1] for x in u) + _SLACK)
        triplets = [leading(x, width, basis.V) for x, basis in zip(S, bases, strict=True)]
        top = max(float(s[0]) for _, s, _ in triplets)
        yield Point(u, v, inner.w, S, inner.value, top)
        tolerance = max(1e-12, min(tolerance / 3, abs(top / lam - 1) / 100))
        bases = [basis.narrowed(x, width) for basis, x in zip(bases, inner.S, strict=True)]
        new_u = [_beyond(basis.U, U) for basis, (U, _, _) in zip(bases, triplets, strict=True)]
        new_v = [_beyond(basis.V, V) for basis, (_, _, V) in zip(bases, triplets, strict=True)]
        images = core.matvec(new_v)
        bases = [basis.extended(*new) for basis, *new in zip(bases, new_u, new_v, images, strict=True)]
