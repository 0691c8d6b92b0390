r"""The three losses in canonical rows: convex functions of d numbers w, with nothing left that the loss does not see.

Outputs z in R^K of datum i become the rows

    squared         w = z - y                                phi(w) = |w|^2 / 2
    logistic        w = -y z  (K = 1, y = +1 or -1)          phi(w) = log(1 + e^w)
    cross_entropy   w_k = z_k - z_y  (all k except y)        phi(w) = log(1 + sum_k e^{w_k})

and the risk is the mean of phi over the N data. Cross-entropy does not see a constant added to all K outputs, which is
why it has (K-1)N rows and not KN. Setting: Jang, Lee & Ryu, arXiv 2402.11867v3.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lora_proofs.ntk.inputs import real_array
from lora_proofs.ntk.types import FloatArray


class Loss(Protocol):
    """What the solver asks of a loss; N data, d rows in all, w of shape (d,)."""

    @property
    def name(self) -> str:
        """The name it goes by in `LinearizedProblem`."""

    @property
    def N(self) -> int:
        """The number of data."""

    @property
    def d(self) -> int:
        """The number of rows."""

    @property
    def smoothness(self) -> float:
        """The largest eigenvalue that phi'' can have."""

    def linear_rows(self, outputs: FloatArray) -> FloatArray:
        """Return the linear part of outputs -> rows, for outputs of shape (N, K, ...): shape (d, ...)."""

    def adjoint(self, dual: FloatArray) -> FloatArray:
        """Return the transpose of `linear_rows`, from (d,) to (N, K)."""

    def row_sizes(self, sizes: FloatArray) -> FloatArray:
        """Return bounds on the norms of the rows, shape (d,), for those of the gradients, shape (N, K)."""

    def affine_rows(self, outputs: FloatArray) -> FloatArray:
        """Return w for the outputs (N, K), the labels included."""

    def value(self, rows: FloatArray) -> float:
        """Return the sum of phi over the data."""

    def derivative(self, rows: FloatArray) -> FloatArray:
        """Return phi'(rows), shape (d,)."""

    def hessian_vector(self, rows: FloatArray, direction: FloatArray) -> FloatArray:
        """Return phi''(rows) direction for direction of shape (d, ...)."""

    def conjugate(self, dual: FloatArray) -> float:
        """Return the sum of phi*(dual) over the data; inf outside its domain."""

    def rise(self, rows: FloatArray, changes: FloatArray) -> float:
        """Return no less than the sum of phi(rows + z) - phi(rows), whatever z with |z_k| <= changes_k."""

    def conjugate_size(self, dual: FloatArray) -> float:
        """Return the sum of the absolute values of what `conjugate` adds up, each times its sensitivity to rounding."""


@dataclass(frozen=True, eq=False)
class Squared:
    """Half the squared norm of z - y, with labels y of shape (N, K)."""

    labels: FloatArray
    smoothness: float = 1.0
    name: str = "squared"

    @property
    def N(self) -> int:
        """The number of data."""
        return int(self.labels.shape[0])

    @property
    def d(self) -> int:
        """The number of rows, NK."""
        return self.labels.size

    def linear_rows(self, outputs: FloatArray) -> FloatArray:
        """See `Loss`."""
        return outputs.reshape(self.d, *outputs.shape[2:])

    def adjoint(self, dual: FloatArray) -> FloatArray:
        """See `Loss`."""
        return dual.reshape(self.labels.shape)

    def row_sizes(self, sizes: FloatArray) -> FloatArray:
        """See `Loss`."""
        return sizes.ravel()

    def affine_rows(self, outputs: FloatArray) -> FloatArray:
        """See `Loss`."""
        return (outputs - self.labels).ravel()

    def value(self, rows: FloatArray) -> float:
        """See `Loss`."""
        return float(rows @ rows) / 2

    def derivative(self, rows: FloatArray) -> FloatArray:
        """See `Loss`."""
        return rows

    def hessian_vector(self, rows: FloatArray, direction: FloatArray) -> FloatArray:
        """See `Loss`."""
        return direction

    def conjugate(self, dual: FloatArray) -> float:
        """See `Loss`."""
        return float(dual @ dual) / 2

    def rise(self, rows: FloatArray, changes: FloatArray) -> float:
        """See `Loss`."""
        return float(np.abs(rows) @ changes + changes @ changes / 2)

    def conjugate_size(self, dual: FloatArray) -> float:
        """See `Loss`."""
        return float(dual @ dual) / 2


@dataclass(frozen=True, eq=False)
class Logistic:
    """log(1 + exp(-y z)) with labels y = +1 or -1 of shape (N,)."""

    labels: FloatArray
    smoothness: float = 0.25
    name: str = "logistic"

    @property
    def N(self) -> int:
        """The number of data."""
        return self.labels.size

    @property
    def d(self) -> int:
        """The number of rows, N."""
        return self.labels.size

    def linear_rows(self, outputs: FloatArray) -> FloatArray:
        """See `Loss`."""
        return -self.labels.reshape(-1, *[1] * (outputs.ndim - 2)) * outputs[:, 0]

    def adjoint(self, dual: FloatArray) -> FloatArray:
        """See `Loss`."""
        return (-self.labels * dual)[:, None]

    def row_sizes(self, sizes: FloatArray) -> FloatArray:
        """See `Loss`."""
        return sizes.ravel()

    def affine_rows(self, outputs: FloatArray) -> FloatArray:
        """See `Loss`."""
        return -self.labels * outputs[:, 0]

    def value(self, rows: FloatArray) -> float:
        """See `Loss`."""
        return float(np.logaddexp(0.0, rows).sum())

    def derivative(self, rows: FloatArray) -> FloatArray:
        """See `Loss`."""
        return np.asarray(np.exp(-np.logaddexp(0.0, -rows)))

    def hessian_vector(self, rows: FloatArray, direction: FloatArray) -> FloatArray:
        """See `Loss`."""
        bend = np.exp(-np.logaddexp(0.0, rows) - np.logaddexp(0.0, -rows))
        return np.asarray(bend.reshape(-1, *[1] * (direction.ndim - 1)) * direction)

    def conjugate(self, dual: FloatArray) -> float:
        """See `Loss`."""
        return _negative_entropy(dual[:, None])

    def rise(self, rows: FloatArray, changes: FloatArray) -> float:
        """See `Loss`."""
        return _softmax_rise(self.derivative(rows), changes)

    def conjugate_size(self, dual: FloatArray) -> float:
        """See `Loss`."""
        return _entropy_size(dual[:, None])


@dataclass(frozen=True, eq=False)
class CrossEntropy:
    """-log softmax(z)_y with class numbers y of shape (N,), each below K."""

    labels: NDArray[np.intp]
    K: int
    smoothness: float = 0.5
    name: str = "cross_entropy"

    @property
    def N(self) -> int:
        """The number of data."""
        return self.labels.size

    @property
    def d(self) -> int:
        """The number of rows, (K-1)N."""
        return self.labels.size * (self.K - 1)

    @property
    def _others(self) -> NDArray[np.intp]:
        """The K-1 classes that are not the label, ascending, shape (N, K-1)."""
        k = np.arange(self.K - 1)
        return k + (k >= self.labels[:, None])

    def linear_rows(self, outputs: FloatArray) -> FloatArray:
        """See `Loss`."""
        data = np.arange(self.N)
        w = outputs[data[:, None], self._others] - outputs[data, self.labels][:, None]
        return w.reshape(self.d, *outputs.shape[2:])

    def adjoint(self, dual: FloatArray) -> FloatArray:
        """See `Loss`."""
        data, dual = np.arange(self.N), dual.reshape(self.N, -1)
        z = np.empty((self.N, self.K))
        z[data[:, None], self._others] = dual
        z[data, self.labels] = -dual.sum(axis=1)
        return z

    def row_sizes(self, sizes: FloatArray) -> FloatArray:
        """See `Loss`."""
        data = np.arange(self.N)
        return np.asarray(sizes[data[:, None], self._others] + sizes[data, self.labels][:, None]).ravel()

    def affine_rows(self, outputs: FloatArray) -> FloatArray:
        """See `Loss`."""
        return self.linear_rows(outputs)

    def _shares(self, rows: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the largest of 0, w_1, ..., w_{K-1} of each datum, and e^(rows - largest) of the others and of 0."""
        padded = np.concatenate([np.zeros((self.N, 1)), rows.reshape(self.N, -1)], axis=1)
        largest = padded.argmax(axis=1)
        top = padded[np.arange(self.N), largest]
        return top, np.exp(padded - top[:, None]), largest

    def _log_partition(self, rows: FloatArray) -> FloatArray:
        # What is left beside the largest is log(1 + x), accurate also where x is tiny.
        top, shares, largest = self._shares(rows)
        shares[np.arange(self.N), largest] = 0.0
        return np.asarray(top + np.log1p(shares.sum(axis=1)))

    def value(self, rows: FloatArray) -> float:
        """See `Loss`."""
        return float(self._log_partition(rows).sum())

    def derivative(self, rows: FloatArray) -> FloatArray:
        """See `Loss`."""
        _, shares, _ = self._shares(rows)
        return np.asarray(shares[:, 1:] / shares.sum(axis=1, keepdims=True)).ravel()

    def hessian_vector(self, rows: FloatArray, direction: FloatArray) -> FloatArray:
        """See `Loss`."""
        p = self.derivative(rows).reshape(self.N, self.K - 1, *[1] * (direction.ndim - 1))
        zs = direction.reshape(self.N, self.K - 1, *direction.shape[1:])
        return np.asarray(p * (zs - (p * zs).sum(axis=1, keepdims=True))).reshape(direction.shape)

    def conjugate(self, dual: FloatArray) -> float:
        """See `Loss`."""
        return _negative_entropy(dual.reshape(self.N, -1))

    def rise(self, rows: FloatArray, changes: FloatArray) -> float:
        """See `Loss`."""
        return _softmax_rise(self.derivative(rows), changes)

    def conjugate_size(self, dual: FloatArray) -> float:
        """See `Loss`."""
        return _entropy_size(dual.reshape(self.N, -1))


def _negative_entropy(shares: FloatArray) -> float:
    """Return sum q log q + (1 - sum q) log(1 - sum q) over the rows q of the shares, inf outside the simplex."""
    total = shares.sum(axis=1)
    # When the sum ought to be 1 it may be off by a few roundings.
    total = np.where(np.abs(1 - total) <= 4e-16 * shares.shape[1], np.minimum(total, 1.0), total)
    if (shares < 0).any() or (total > 1).any():
        return float("inf")
    inside = np.where(total < 1, total, 0.0)  # log1p: where the slopes are tiny, 1 - sum q has lost their digits
    return float(np.sum(shares * np.log(np.where(shares > 0, shares, 1.0))) + np.sum((1 - inside) * np.log1p(-inside)))


def _entropy_size(shares: FloatArray) -> float:
    total = shares.sum(axis=1)
    rest = np.maximum(1 - total, np.finfo(float).tiny)
    return float(
        np.sum(np.abs(shares * np.log(np.where(shares > 0, shares, 1.0)))) + np.sum(total * (1 + np.abs(np.log(rest))))
    )


def _softmax_rise(slopes: FloatArray, changes: FloatArray) -> float:
    """Return a bound on the rise: along z a slope grows by a factor of e^{2 max |z|} at most, and never exceeds 1."""
    largest = float(changes.max(initial=0.0))
    return float(min(slopes @ changes * np.exp(2 * largest), changes.sum()) if largest < 1 else changes.sum())


def make_loss(name: str, labels: Any, N: int, K: int) -> Loss:
    """Return the loss of that name for N data with K outputs, once the labels are checked.

    Raises
    ------
    ValueError
        If the name is unknown, or the labels have another shape, are out of range or not finite.
    """
    given = real_array("labels", labels)
    if name not in ("squared", "logistic", "cross_entropy"):
        raise ValueError(f"loss is {name!r}; pass 'squared', 'logistic' or 'cross_entropy'")
    if name == "squared":
        if given.shape != (N, K) and not (K == 1 and given.shape == (N,)):
            raise ValueError(f"labels have shape {given.shape}; the squared loss takes targets of shape ({N}, {K})")
        return Squared(given.reshape(N, K))
    if given.shape != (N,) and not (given.shape == (N, 1) and name == "logistic"):
        raise ValueError(f"labels have shape {given.shape}; the loss {name!r} takes one label a datum, shape ({N},)")
    if name == "logistic":
        if K != 1:
            raise ValueError(f"the logistic loss takes one output, not K = {K}; use 'cross_entropy' for K classes")
        if not np.isin(given, (-1, 1)).all():
            raise ValueError("labels of the logistic loss are +1 or -1; pass 2 * y - 1 for labels y of 0 and 1")
        return Logistic(given.ravel())
    if K < 2:
        raise ValueError("the cross-entropy needs K >= 2 outputs; use 'logistic' for one output and labels +1, -1")
    if not ((given == np.floor(given)) & (given >= 0) & (given < K)).all():
        raise ValueError(f"labels of the cross-entropy are class numbers 0, ..., {K - 1}; another value is given")
    return CrossEntropy(given.astype(np.intp), K)
