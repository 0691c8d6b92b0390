r"""Dual bases V, N (N^T V = I) of the directions that a chain has still to spend, and ways to split them in two.

With G invertible, V G and N G^{-T} are dual bases too. The first r columns are spent, the others are left.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lora_proofs.constructions.chain.operators import DIRECT
from lora_proofs.linalg import (
    Array,
    floats,
    inverse_transpose,
    is_object,
    like,
    namespace,
    numerical_rank,
    singular_values,
    svd,
)

_WELL_CONDITIONED = 30.0
"""Condition number up to which halves of two orthonormal bases make one: the dual basis is as large, and its errors."""

_RANDOM_BASES = 8
"""Tries of a random basis. Almost every basis works where any does, so in exact arithmetic one would be enough; of
eight, one is also well conditioned."""


@dataclass(frozen=True, eq=False)
class DualBases:
    """V, N of shape (D, q) with N^T V = I, and images of V under linear maps, the first of which is the target."""

    V: Array
    N: Array
    images: tuple[Array, ...]

    @property
    def size(self) -> int:
        """The number q of directions."""
        return int(self.V.shape[1])

    def onward(self) -> "DualBases":
        """Return the bases without the last image, which the next layer has no use for."""
        return DualBases(self.V, self.N, self.images[:-1] or self.images)

    def turned(self, G: Array, *, orthogonal: bool = False) -> "DualBases":
        """Return V G, N G^{-T} and the images of V G."""
        V = self.V @ G
        N = V if orthogonal and self.N is self.V else self.N @ (G if orthogonal else inverse_transpose(G))
        return DualBases(V, N, tuple(X @ G for X in self.images))

    def halves(self, r: int) -> tuple["DualBases", "DualBases"]:
        """Return the first r directions, and the others."""
        parts = []
        for columns in (slice(None, r), slice(r, None)):
            V = self.V[:, columns]
            N = V if self.N is self.V else self.N[:, columns]
            parts.append(DualBases(V, N, tuple(X[:, columns] for X in self.images)))
        return parts[0], parts[1]

    def eliminated(self, kept: NDArray[np.intp], spent: NDArray[np.intp], C: Array) -> tuple["DualBases", "DualBases"]:
        """Return V_spent - V_kept C as the first directions, with the target's image only, and V_kept as the others.

        The duals are N_spent, and N_kept + N_spent C^T.
        """
        V, N, (image, *_) = self.V, self.N, self.images
        first = DualBases(
            _columns(V, spent) - _columns(V, kept) @ C,
            _columns(N, spent),
            (_columns(image, spent) - _columns(image, kept) @ C,),
        )
        rest = _columns(N, kept) + first.N @ C.T
        return first, DualBases(_columns(V, kept), rest, tuple(_columns(X, kept) for X in self.images))


def _columns(x: Array, chosen: NDArray[np.intp]) -> Array:
    """Return the columns x[:, chosen], in LAPACK's order if x has it."""
    return x.T[chosen].T


def splits(bases: DualBases, r: int, size: Callable[[Array], Array]) -> Iterator[tuple[DualBases, DualBases]]:
    """Yield ways to spend r of the directions, the best first; the later ones are for degenerate cases.

    Parameters
    ----------
    bases : DualBases
        The last of its images is to be small on the directions to spend.
    r : int
        Less than their number.
    size : callable
        V -> the matrix that is not to be small on the others.
    """
    grows = bases.images[-1]
    if bases.size > DIRECT and isinstance(grows, np.ndarray) and not is_object(grows):
        yield _eliminate(bases, grows, r)
    G = _small_first(grows)
    yield bases.turned(G, orthogonal=not is_object(G)).halves(r)  # mpf: orthogonal to double precision only
    H = _small_first(size(bases.V))
    mixed = namespace(G).concat([G[:, :r], H[:, r:]], axis=1)
    if _condition(mixed) < _WELL_CONDITIONED:
        yield bases.turned(mixed).halves(r)
    yield bases.turned(H, orthogonal=not is_object(H)).halves(r)
    rng = np.random.default_rng(0)
    for _ in range(_RANDOM_BASES):
        yield bases.turned(like(G, rng.standard_normal(G.shape))).halves(r)


def _small_first(x: Array) -> Array:
    """Return the right singular vectors of x as columns, the one of the smallest singular value first.

    They only choose a basis, so double precision is enough for an mpf matrix too, unless x is singular: what it kills
    has to be killed in all digits, lest a later layer divide by what is left of it.
    """
    work = x if is_object(x) and numerical_rank(floats(x)).rank < x.shape[1] else floats(x)
    xp = namespace(work)
    return like(x, xp.flip(xp.matrix_transpose(svd(work, full_matrices=False)[2]), axis=1))


def _eliminate(bases: DualBases, x: NDArray[np.floating[Any]], r: int) -> tuple[DualBases, DualBases]:
    """Split by QR with column pivoting, where an SVD would cost ten times as much.

    With x Pi = Q [R11 R12; 0 R22], the directions Pi [-R11^{-1} R12; I] go to Q [0; R22], which is next to as small as
    r directions can be made, whatever the range of the singular values of x.
    """
    from scipy.linalg import qr, solve_triangular

    R, pivots = qr(x, mode="r", pivoting=True, check_finite=False)
    k = x.shape[1] - r
    if not R[k - 1, k - 1]:  # rank below k: any of the null directions will do
        R = R + np.diag(np.where(np.diagonal(R) == 0, np.finfo(R.dtype).tiny, 0))
    C = solve_triangular(R[:k, :k], R[:k, k:], check_finite=False)
    return bases.eliminated(pivots[:k], pivots[k:], C)


def _condition(x: Array) -> float:
    """Return the condition number of a square matrix, in double precision."""
    s = singular_values(floats(x))
    return float(s[0] / s[-1]) if s[-1] > 0 else float("inf")
