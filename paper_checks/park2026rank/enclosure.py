r"""A strict minimum near a computed point, shown to exist in ball arithmetic: Krawczyk's test.

F(u, v) = (1/2) |A(u v^T) - y|^2 + lam/2 (|u|^2 + |v|^2), as in `lora_proofs.ntk.traps`, with stored floats for data.

1. Some entries of (u, v) are fixed, as many as the gauge group has dimensions, in such a way that the orbit crosses
   the slice: with the rest, a critical point within the slice is one of F, since the gradient is orthogonal to the
   orbit.
2. If z - R g(z) + (I - R H(Z))(Z - z) lies in the interior of the box Z around z, with g, H the gradient and Hessian in
   the free entries and any matrix R, then Z contains exactly one critical point.
3. H(Z) has an LDL^T factorisation with positive pivots, in balls: the critical point is a strict minimum within the
   slice, and so up to the gauge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from flint import arb, arb_mat
from numpy.typing import NDArray

Array = NDArray[np.float64]

_DIGITS = 40
_RADIUS = arb(2) ** -60


@dataclass(frozen=True)
class Sum:
    """The data of F: G of shape (d, m, n), y of shape (d,), lam."""

    G: Array
    y: Array
    lam: float

    def value(self, u: Array, v: Array) -> arb:
        """Return a ball for F at a point given in floats."""
        with flint.ctx.workdps(_DIGITS):
            return _value(self, *map(_matrix, (u, v)))


def enclose_minimum(data: Sum, u: Array, v: Array, fixed: Sequence[int]) -> arb:
    """Return a ball for F at the strict minimum that step 2 and 3 show to lie near (u, v).

    Parameters
    ----------
    fixed : sequence of int
        Positions of the fixed entries, among those of u, row by row, and then those of v.

    Raises
    ------
    ArithmeticError
        If the test does not succeed; this says nothing about the point.
    """
    with flint.ctx.workdps(_DIGITS):
        free = [k for k in range(u.size + v.size) if k not in set(fixed)]
        z = [arb(x) for x in np.concatenate([u.ravel(), v.ravel()]).tolist()]
        for _ in range(7):  # Newton's method at many digits: what is left of the error is far smaller than the box
            g, H = _derivatives(data, *_split(z, u, v), free)
            step = H.mid().solve(g.mid(), algorithm="approx").entries()
            for k, x in zip(free, step, strict=True):
                z[k] = (z[k] - x).mid()
        box = [x + arb(0, _RADIUS) if k in set(free) else x for k, x in enumerate(z)]
        g, _ = _derivatives(data, *_split(z, u, v), free)
        _, H = _derivatives(data, *_split(box, u, v), free)
        R = H.mid().inv().mid()
        one = arb_mat(len(free), len(free), [int(i == j) for i in range(len(free)) for j in range(len(free))])
        around = arb_mat(len(free), 1, [arb(0, _RADIUS)] * len(free))
        image = (one - R * H) * around - R * g
        if not all(bool(abs(x) < _RADIUS) for x in image.entries()):
            raise ArithmeticError("Krawczyk's test does not succeed: the box is not mapped into itself")
        if not _positive_definite(H):
            raise ArithmeticError("the Hessian is not seen to be positive definite on the box")
        return _value(data, *_split(box, u, v))


def _matrix(x: Array) -> arb_mat:
    return arb_mat(*x.shape, x.ravel().tolist())


def _split(z: list[arb], u: Array, v: Array) -> tuple[arb_mat, arb_mat]:
    return arb_mat(*u.shape, z[: u.size]), arb_mat(*v.shape, z[u.size :])


def _inner(x: arb_mat, y: arb_mat) -> arb:
    return sum((a * b for a, b in zip(x.entries(), y.entries(), strict=True)), arb(0))


def _rows(data: Sum, u: arb_mat, v: arb_mat) -> tuple[list[arb_mat], list[arb_mat], list[arb]]:
    """Return the gradients, their products with v, and the rows A(u v^T) - y."""
    G = [_matrix(g) for g in data.G]
    Gv = [g * v for g in G]
    return G, Gv, [_inner(x, u) - arb(t) for x, t in zip(Gv, data.y.tolist(), strict=True)]


def _value(data: Sum, u: arb_mat, v: arb_mat) -> arb:
    w = _rows(data, u, v)[2]
    return sum((x**2 for x in w), arb(0)) / 2 + arb(data.lam) / 2 * (_inner(u, u) + _inner(v, v))


def _derivatives(data: Sum, u: arb_mat, v: arb_mat, free: list[int]) -> tuple[arb_mat, arb_mat]:
    """Return gradient and Hessian in the free entries; cf. `Trap.hessian`."""
    (m, r), n = (u.nrows(), u.ncols()), v.nrows()
    G, Gv, w = _rows(data, u, v)
    S = sum((x * g for x, g in zip(w, G, strict=True)), arb_mat(m, n))
    gradient = [
        data.lam * x + y
        for x, y in zip([*u.entries(), *v.entries()], [*(S * v).entries(), *(S.transpose() * u).entries()], strict=True)
    ]
    J = arb_mat([[*x.entries(), *(g.transpose() * u).entries()] for x, g in zip(Gv, G, strict=True)])
    H = J.transpose() * J
    for k in range((m + n) * r):
        H[k, k] += data.lam
    for i in range(m):
        for j in range(n):
            for c in range(r):
                H[i * r + c, (m + j) * r + c] += S[i, j]
                H[(m + j) * r + c, i * r + c] += S[i, j]
    size = len(free)
    return arb_mat(size, 1, [gradient[k] for k in free]), arb_mat(size, size, [H[i, j] for i in free for j in free])


def _positive_definite(H: arb_mat) -> bool:
    """Tell whether all pivots of H are positive, in balls."""
    a: list[list[Any]] = H.table()
    for k in range(len(a)):
        if not bool(a[k][k] > 0):
            return False
        for i in range(k + 1, len(a)):
            factor = a[i][k] / a[k][k]
            for j in range(i, len(a)):
                a[i][j] -= factor * a[k][j]
                a[j][i] = a[i][j]
    return True
