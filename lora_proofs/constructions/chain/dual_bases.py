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

    def halves(self, rank: int) -> tuple["DualBases", "DualBases"]:
        """Return so many first directions, and the others."""
        parts = []
        for columns in (slice(None, rank), slice(rank, None)):
            V = self.V[:, columns]
            N = V if self.N is self.V else self.N[:, columns]
            parts.append(DualBases(V, N, tuple(X[:, columns] for X in self.images)))
        return parts[0], parts[1]

    def eliminated(
        self, kept: NDArray[np.intp], spent: NDArray[np.intp], coefficients: Array
    ) -> tuple["DualBases", "DualBases"]:
        """Return V_spent - V_kept C as the first directions, with the target's image only, and V_kept as the others.

        With C the coefficients, the duals are N_spent, and N_kept + N_spent C^T.
        """
        V, N, (image, *_) = self.V, self.N, self.images
        first = DualBases(
            _columns(V, spent) - _columns(V, kept) @ coefficients,
            _columns(N, spent),
            (_columns(image, spent) - _columns(image, kept) @ coefficients,),
        )
        rest = _columns(N, kept) + first.N @ coefficients.T
        return first, DualBases(_columns(V, kept), rest, tuple(_columns(X, kept) for X in self.images))


def _columns(matrix: Array, chosen: NDArray[np.intp]) -> Array:
    """Return the columns matrix[:, chosen], in LAPACK's order if the matrix has it."""
    return matrix.T[chosen].T


def splits(bases: DualBases, rank: int, size: Callable[[Array], Array]) -> Iterator[tuple[DualBases, DualBases]]:
    """Yield ways to spend so many of the directions, the best first; the later ones are for degenerate cases.

    Parameters
    ----------
    bases : DualBases
        The last of its images is to be small on the directions to spend.
    rank : int
        Less than their number.
    size : callable
        V -> the matrix that is not to be small on the others.
    """
    grows = bases.images[-1]
    if bases.size > DIRECT and isinstance(grows, np.ndarray) and not is_object(grows):
        yield _eliminate(bases, grows, rank)
    G = _small_first(grows)
    yield bases.turned(G, orthogonal=not is_object(G)).halves(rank)  # mpf: orthogonal to double precision only
    H = _small_first(size(bases.V))
    mixed = namespace(G).concat([G[:, :rank], H[:, rank:]], axis=1)
    if _condition(mixed) < _WELL_CONDITIONED:
        yield bases.turned(mixed).halves(rank)
    yield bases.turned(H, orthogonal=not is_object(H)).halves(rank)
    rng = np.random.default_rng(0)
    for _ in range(_RANDOM_BASES):
        yield bases.turned(like(G, rng.standard_normal(G.shape))).halves(rank)


def _small_first(matrix: Array) -> Array:
    """Return the right singular vectors of the matrix as columns, the one of the smallest singular value first.

    They only choose a basis, so double precision is enough for an mpf matrix too, unless it is singular: what it kills
    has to be killed in all digits, lest a later layer divide by what is left of it.
    """
    work = matrix if is_object(matrix) and numerical_rank(floats(matrix)).rank < matrix.shape[1] else floats(matrix)
    xp = namespace(work)
    return like(matrix, xp.flip(xp.matrix_transpose(svd(work, full_matrices=False)[2]), axis=1))


def _eliminate(bases: DualBases, image: NDArray[np.floating[Any]], rank: int) -> tuple[DualBases, DualBases]:
    """Split by QR with column pivoting, where an SVD would cost ten times as much.

    With image Pi = Q [R11 R12; 0 R22], the directions Pi [-R11^{-1} R12; I] go to Q [0; R22], which is next to as small
    as so many directions can be made, whatever the range of the singular values.
    """
    from scipy.linalg import qr, solve_triangular

    R, pivots = qr(image, mode="r", pivoting=True, check_finite=False)
    k = image.shape[1] - rank
    if not R[k - 1, k - 1]:  # rank below k: any of the null directions will do
        R = R + np.diag(np.where(np.diagonal(R) == 0, np.finfo(R.dtype).tiny, 0))
    C = solve_triangular(R[:k, :k], R[:k, k:], check_finite=False)
    return bases.eliminated(pivots[:k], pivots[k:], C)


def _condition(matrix: Array) -> float:
    """Return the condition number of a square matrix, in double precision."""
    s = singular_values(floats(matrix))
    return float(s[0] / s[-1]) if s[-1] > 0 else float("inf")
