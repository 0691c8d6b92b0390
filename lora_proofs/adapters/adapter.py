"""Low-rank adapters: the one place that knows which factor is called A and which is called B."""

from dataclasses import dataclass
from math import isfinite
from numbers import Real

from array_api_compat import array_namespace, device

from lora_proofs.display import Readable, show
from lora_proofs.linalg import Array, check_matrix, is_object


@dataclass(frozen=True, eq=False, repr=False)
class Adapter(Readable):
    """A rank-r update ``delta = scaling * B @ A`` of one weight matrix.

    The names are PEFT's: A maps the layer's input down to r numbers, B maps these up to its output. Hu et al.
    (arXiv:2106.09685v2, section 4.1) use the same letters; Zeng & Lee's experiments (arXiv:2310.17513v3) write
    the update as A Bᵀ.

    Parameters
    ----------
    A : array, shape (r, in)
        Down-projection. r may be 0: the update is then zero.
    B : array, shape (out, r)
        Up-projection, of the same namespace as A: array-API arrays, or NumPy object arrays of ``mpmath.mpf``,
        ``fractions.Fraction`` or ``flint.fmpq``.
    alpha : positive number, optional
        PEFT's ``lora_alpha``: the update is scaled by ``alpha / r``. By default it is not scaled.

    Raises
    ------
    ValueError
        If a factor is not a finite, real, floating-point or object matrix, the ranks of the two differ, or alpha
        is not a finite positive number.
    TypeError
        If the factors are of different array libraries.

    Examples
    --------
    >>> import numpy as np
    >>> adapter = Adapter(A=np.array([[1.0, 2.0]]), B=np.array([[3.0], [0.0]]), alpha=2)
    >>> adapter.rank, adapter.scaling
    (1, 2.0)
    >>> adapter.merge(np.eye(2))
    array([[ 7., 12.],
           [ 0.,  1.]])
    """

    A: Array
    B: Array
    alpha: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "A", check_matrix("A", self.A))
        object.__setattr__(self, "B", check_matrix("B", self.B))
        if self.A.shape[0] != self.B.shape[1]:
            exchanged = self.A.shape[1] == self.B.shape[0]
            raise ValueError(
                f"A of shape {tuple(self.A.shape)} and B of shape {tuple(self.B.shape)} have no common rank: "
                "A must be (r, in) and B must be (out, r)" + ("; are they exchanged?" if exchanged else "")
            )
        array_namespace(self.A, self.B)  # refuses a mixture, which would otherwise fail far from its cause
        if self.alpha is not None and not (_is_number(self.alpha) and isfinite(self.alpha) and self.alpha > 0):
            raise ValueError(f"alpha must be a finite positive number or None, not {self.alpha!r}")

    @classmethod
    def zero(cls, out: int, in_: int, like: Array) -> "Adapter":
        """Return the rank-0 adapter of an (out, in) weight, in the namespace, dtype and device of `like`."""
        xp = array_namespace(like)
        return cls(
            A=xp.zeros((0, in_), dtype=like.dtype, device=device(like)),
            B=xp.zeros((out, 0), dtype=like.dtype, device=device(like)),
        )

    @property
    def rank(self) -> int:
        """The number r of rows of A, an upper bound of the rank of the update."""
        return int(self.A.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (out, in) of the update."""
        return int(self.B.shape[0]), int(self.A.shape[1])

    @property
    def scaling(self) -> float:
        """``alpha / r``; 1 without alpha or at rank 0."""
        return 1.0 if self.alpha is None or self.rank == 0 else self.alpha / self.rank

    @property
    def T(self) -> "Adapter":
        """The adapter of the transposed weight: its update is the transposed update."""
        return Adapter(A=self.B.T, B=self.A.T, alpha=self.alpha)

    def delta(self) -> Array:
        """Return the update ``scaling * B @ A``, of shape (out, in)."""
        product = self.B @ self.A
        if self.alpha is None or self.rank == 0:
            return product
        if is_object(product):
            scaled: Array = product * self.alpha / self.rank  # alpha / r, rounded to a float, would not be exact
            return scaled
        return self.scaling * product

    def merge(self, W: Array) -> Array:
        """Return the adapted weight ``W + delta``.

        Parameters
        ----------
        W : array, shape (out, in)

        Raises
        ------
        ValueError
            If W is not a valid matrix of the adapter's shape.
        """
        return check_matrix("W", W, self.shape) + self.delta()

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        scaled = "" if self.alpha is None else f", alpha {show(self.alpha)}"
        return f"rank {self.rank}, {self.shape[0]} x {self.shape[1]}{scaled}", {}


def _is_number(x: object) -> bool:
    return isinstance(x, Real) and not isinstance(x, bool)
