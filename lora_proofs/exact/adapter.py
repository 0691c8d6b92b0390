"""Low-rank adapters over Q."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import fmpq_mat
from numpy.typing import NDArray

from lora_proofs.display import Readable
from lora_proofs.exact.matrices import Matrix, array, matrix, zeros


@dataclass(frozen=True, repr=False)
class RationalAdapter(Readable):
    """An `Adapter` over Q: ``delta = B * A`` with A of shape (r, in) and B of shape (out, r), both ``fmpq_mat``.

    Examples
    --------
    >>> update = RationalAdapter(A=matrix([[1, 2]]), B=matrix([[3], [0]]))
    >>> update.rank, update.shape, update.T.delta() == update.delta().transpose()
    (1, (2, 2), True)
    >>> update.merge(matrix([[1, 0], [0, 1]]))
    [4, 6]
    [0, 1]
    """

    A: fmpq_mat
    B: fmpq_mat

    scaling = 1

    @classmethod
    def zero(cls, out: int, in_: int, like: Any = None) -> "RationalAdapter":
        """Return the rank-0 adapter of an (out, in) weight; `like` is that of `Adapter.zero`, and is not needed."""
        return cls(A=zeros(0, in_), B=zeros(out, 0))

    @property
    def rank(self) -> int:
        """The number r of rows of A."""
        return int(self.A.nrows())

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (out, in) of the update."""
        return int(self.B.nrows()), int(self.A.ncols())

    @property
    def T(self) -> "RationalAdapter":
        """The adapter of the transposed weight: its update is the transposed update."""
        return RationalAdapter(A=self.B.transpose(), B=self.A.transpose())

    def delta(self) -> fmpq_mat:
        """Return the update B A."""
        return self.B * self.A

    def merge(self, weight: Matrix) -> fmpq_mat | NDArray[np.object_]:
        """Return the weight plus B A, as an array of ``fmpq`` if the weight is an array, else as an ``fmpq_mat``."""
        merged = matrix(weight) + self.delta()
        return array(merged) if isinstance(weight, np.ndarray) else merged

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        return f"rank {self.rank}, {self.shape[0]} x {self.shape[1]}, over Q", {}
