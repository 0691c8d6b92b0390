"""One block of per-example gradients G_ik (m x n, datum i, output k): dense, factored, or behind an operator.

All three answer the same questions. ``apply`` and ``apply_factors`` are <G_ik, delta> and <G_ik, u v^T>;
``adjoint`` is sum_ik c_ik G_ik; ``matvec`` and ``rmatvec`` are G_ik v and G_ik^T u.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from lora_proofs.ntk.inputs import real_array
from lora_proofs.ntk.types import FloatArray

Shape: TypeAlias = tuple[int, int, int, int]

_HINT = "pass an array (N, K, m, n), ntk.FactoredGradients, or an object with shape, apply and adjoint"

_MODERATE = 200
"""Exponents of two up to which the sum of the squares is far from both ends of the range of floats."""


class Gradients(Protocol):
    """A block of gradients; ``shape`` is (N, K, m, n)."""

    @property
    def shape(self) -> Shape:
        """The numbers N of data, K of outputs, m of rows and n of columns."""

    def apply(self, delta: FloatArray) -> FloatArray:
        """Return <G_ik, delta>, shape (N, K), for delta (m, n)."""

    def apply_factors(self, u: FloatArray, v: FloatArray) -> FloatArray:
        """Return <G_ik, u v^T>, shape (N, K), for u (m, r) and v (n, r)."""

    def adjoint(self, weights: FloatArray) -> FloatArray:
        """Return sum_ik c_ik G_ik, shape (m, n), for weights (N, K)."""

    def matvec(self, factor: FloatArray) -> FloatArray:
        """Return G_ik factor, shape (N, K, m, r), for factor (n, r)."""

    def rmatvec(self, factor: FloatArray) -> FloatArray:
        """Return G_ik^T factor, shape (N, K, n, r), for factor (m, r)."""

    def sizes(self) -> FloatArray:
        """Return bounds on the Frobenius norms |G_ik|, shape (N, K)."""


def _norms(rows: FloatArray) -> FloatArray:
    """Return the norms of the rows of a matrix, (k, l) -> (k,), whatever their scale: a few roundings too large."""
    exponents = np.frexp(np.maximum(rows.max(axis=1), -rows.min(axis=1)))[1]
    if np.abs(exponents).max() > _MODERATE:
        rows = np.ldexp(rows, -exponents[:, None])
    else:
        exponents = np.zeros_like(exponents)
    return np.asarray(np.ldexp(np.sqrt(np.einsum("kl,kl->k", rows, rows)), exponents) * (1 + 1e-10))


@dataclass(frozen=True, eq=False)
class DenseGradients:
    """Gradients held as one array (N, K, m, n)."""

    array: FloatArray

    @property
    def shape(self) -> Shape:
        """See `Gradients`."""
        N, K, m, n = self.array.shape
        return N, K, m, n

    @property
    def _rows(self) -> FloatArray:
        N, K, m, n = self.array.shape
        return self.array.reshape(N * K, m * n)

    def apply(self, delta: FloatArray) -> FloatArray:
        """See `Gradients`."""
        return np.asarray(self._rows @ delta.ravel()).reshape(self.shape[:2])

    def apply_factors(self, u: FloatArray, v: FloatArray) -> FloatArray:
        """See `Gradients`."""
        return self.apply(u @ v.T)

    def adjoint(self, weights: FloatArray) -> FloatArray:
        """See `Gradients`."""
        return np.asarray(weights.ravel() @ self._rows).reshape(self.shape[2:])

    def matvec(self, factor: FloatArray) -> FloatArray:
        """See `Gradients`."""
        N, K, m, n = self.array.shape
        return np.asarray(self.array.reshape(N * K * m, n) @ factor).reshape(N, K, m, -1)

    def rmatvec(self, factor: FloatArray) -> FloatArray:
        """See `Gradients`."""
        N, K, m, n = self.array.shape
        return np.swapaxes(factor.T @ self.array.reshape(N * K, m, n), 1, 2).reshape(N, K, n, -1)

    def sizes(self) -> FloatArray:
        """See `Gradients`."""
        return _norms(self._rows).reshape(self.shape[:2])


@dataclass(frozen=True, eq=False)
class FactoredGradients:
    """Gradients that are sums of t outer products each, G_ik = left_ik right_ik^T; never multiplied out.

    A linear layer y = W x has such gradients: ``right`` holds its inputs x, one column a token, ``left`` the cotangents
    of y. The inputs do not depend on the output k, so either factor may have K = 1 in its second axis.

    Parameters
    ----------
    left_factors : array (N, K or 1, m, t)
        Of any array library; both are held in NumPy, in float64.
    right_factors : array (N, K or 1, n, t)

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    """

    left_factors: FloatArray
    right_factors: FloatArray

    def __post_init__(self) -> None:
        L, R = real_array("left_factors", self.left_factors), real_array("right_factors", self.right_factors)
        if L.ndim != 4 or R.ndim != 4 or L.shape[0] != R.shape[0] or L.shape[3] != R.shape[3]:
            raise ValueError(
                f"the factors have shapes {L.shape} and {R.shape}; pass left factors (N, K, m, t) and right factors "
                "(N, K, n, t), where K may be 1 in one of them"
            )
        if 1 not in (L.shape[1], R.shape[1]) and L.shape[1] != R.shape[1]:
            raise ValueError(f"the factors have {L.shape[1]} and {R.shape[1]} outputs; these must agree, or one be 1")
        if 0 in (*L.shape, *R.shape):
            raise ValueError(f"the factors have shapes {L.shape} and {R.shape}; no axis may be empty")
        object.__setattr__(self, "left_factors", L)
        object.__setattr__(self, "right_factors", R)

    @property
    def shape(self) -> Shape:
        """See `Gradients`."""
        (N, K, m, _), (_, J, n, _) = self.left_factors.shape, self.right_factors.shape
        return N, max(K, J), m, n

    def apply(self, delta: FloatArray) -> FloatArray:
        """See `Gradients`."""
        return np.asarray(((self.left_factors.swapaxes(2, 3) @ delta) * self.right_factors.swapaxes(2, 3)).sum((2, 3)))

    def apply_factors(self, u: FloatArray, v: FloatArray) -> FloatArray:
        """See `Gradients`."""
        return np.asarray(
            ((self.left_factors.swapaxes(2, 3) @ u) * (self.right_factors.swapaxes(2, 3) @ v)).sum((2, 3))
        )

    def adjoint(self, weights: FloatArray) -> FloatArray:
        """See `Gradients`."""
        L, R, weights = self.left_factors, self.right_factors, weights[:, :, None, None]
        if L.shape[1] == R.shape[1]:
            L = L * weights
        elif R.shape[1] == 1:
            L = (L * weights).sum(axis=1, keepdims=True)
        else:
            R = (R * weights).sum(axis=1, keepdims=True)
        return np.asarray(_columns(L) @ _columns(R).T)

    def matvec(self, factor: FloatArray) -> FloatArray:
        """See `Gradients`."""
        return np.asarray(self.left_factors @ (self.right_factors.swapaxes(2, 3) @ factor))

    def rmatvec(self, factor: FloatArray) -> FloatArray:
        """See `Gradients`."""
        return np.asarray(self.right_factors @ (self.left_factors.swapaxes(2, 3) @ factor))

    def sizes(self) -> FloatArray:
        """See `Gradients`: the sum of the norms of the outer products, which is also what bounds their rounding."""
        factors = (self.left_factors, self.right_factors)
        left, right = (_norms(x.swapaxes(2, 3).reshape(-1, x.shape[2])) for x in factors)
        N, t = len(self.left_factors), self.left_factors.shape[3]
        return np.asarray((left.reshape(N, -1, t) * right.reshape(N, -1, t)).sum(axis=2))


def _columns(factors: FloatArray) -> FloatArray:
    """Return the columns of all matrices x_ik side by side: (N, K, m, t) -> (m, NKt)."""
    return factors.transpose(2, 0, 1, 3).reshape(factors.shape[2], -1)


@dataclass(frozen=True, eq=False)
class OperatorGradients:
    """Gradients behind an object with ``shape`` (N, K, m, n), ``apply(delta)`` and ``adjoint(c)``.

    The single G_ik, where they are needed, are adjoints of unit vectors: NK calls, and memory for one at a time.
    """

    operator: Any

    @property
    def shape(self) -> Shape:
        """See `Gradients`."""
        N, K, m, n = self.operator.shape
        return N, K, m, n

    def apply(self, delta: FloatArray) -> FloatArray:
        """See `Gradients`."""
        return self._checked("apply", self.operator.apply(delta), self.shape[:2])

    def apply_factors(self, u: FloatArray, v: FloatArray) -> FloatArray:
        """See `Gradients`."""
        return self.apply(u @ v.T)

    def adjoint(self, weights: FloatArray) -> FloatArray:
        """See `Gradients`."""
        return self._checked("adjoint", self.operator.adjoint(weights), self.shape[2:])

    def _checked(self, name: str, found: Any, shape: tuple[int, ...]) -> FloatArray:
        array = real_array(f"what {name} of the operator returns", found)
        if array.shape != shape:
            raise ValueError(f"{name} of the operator returns shape {array.shape}; it must return {shape}")
        return array

    def matvec(self, factor: FloatArray) -> FloatArray:
        """See `Gradients`."""
        N, K, m, _ = self.shape
        return np.stack([self._single(index) @ factor for index in range(N * K)]).reshape(N, K, m, -1)

    def rmatvec(self, factor: FloatArray) -> FloatArray:
        """See `Gradients`."""
        N, K, _, n = self.shape
        return np.stack([self._single(index).T @ factor for index in range(N * K)]).reshape(N, K, n, -1)

    def sizes(self) -> FloatArray:
        """See `Gradients`."""
        N, K, _, _ = self.shape
        return np.array([_norms(self._single(index).reshape(1, -1))[0] for index in range(N * K)]).reshape(N, K)

    def _single(self, index: int) -> FloatArray:
        N, K, _, _ = self.shape
        unit = np.zeros(N * K)
        unit[index] = 1.0
        return self.adjoint(unit.reshape(N, K))


def as_gradients(name: str, given: Any) -> Gradients:
    """Return given as one block of gradients: an array (N, K, m, n), `FactoredGradients`, or an operator object.

    Raises
    ------
    ValueError
        If given is none of these, has an empty axis, or holds NaN or infinity.
    """
    if isinstance(given, DenseGradients | FactoredGradients):
        block: Gradients = given
    elif hasattr(given, "apply") and hasattr(given, "adjoint") and hasattr(given, "shape"):
        shape = tuple(given.shape)
        if len(shape) != 4 or not all(isinstance(k, int | np.integer) for k in shape):
            raise ValueError(f"{name} is an operator of shape {shape}; its shape must be (N, K, m, n)")
        block = OperatorGradients(given)
    else:
        array = np.ascontiguousarray(real_array(name, given, _HINT))
        if array.ndim != 4:
            raise ValueError(
                f"{name} has shape {array.shape}; pass an array (N, K, m, n): N data, K outputs, m x n gradients "
                "(a list means one such array a weight block)"
            )
        block = DenseGradients(array)
    N, K, m, n = block.shape
    if 0 in (N, K, m, n):
        what = {0: "data (N = 0)", 1: "outputs (K = 0)", 2: "rows", 3: "columns"}[(N, K, m, n).index(0)]
        raise ValueError(f"{name} has no {what}; pass at least one")
    return block
