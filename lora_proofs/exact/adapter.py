"""Low-rank adapters over Q."""

from dataclasses import dataclass
from typing import Any

from lora_proofs.display import Readable
from lora_proofs.exact.matrices import Matrix, matrix


@dataclass(frozen=True, repr=False)
class RationalAdapter(Readable):
    """An `Adapter` over Q: ``delta = B * A`` with A of shape (r, in) and B of shape (out, r), both ``fmpq_mat``."""

    A: Any
    B: Any

    scaling = 1

    @property
    def rank(self) -> int:
        """The number r of rows of A."""
        return int(self.A.nrows())

    def delta(self) -> Any:
        """Return the update B A."""
        return self.B * self.A

    def merge(self, W: Matrix) -> Any:
        """Return W + B A."""
        return matrix(W) + self.delta()

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        return f"rank {self.rank}, {self.B.nrows()} x {self.A.ncols()}, over Q", {}
