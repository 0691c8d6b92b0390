"""What the solvers see of a problem: blocks of canonical rows, the loss, lam, and a count of the passes over G.

The canonical rows of dense cross-entropy gradients are formed once, (K-1)/K of the memory of G, so that no later pass
reads what the loss does not see. All other gradients stay as they are, and the loss maps their outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from lora_proofs.ntk.gradients import DenseGradients, Gradients
from lora_proofs.ntk.losses import CrossEntropy, Loss, Squared
from lora_proofs.ntk.types import Blocks, FloatArray


class CanonicalRows(Protocol):
    """The canonical rows G_k (m x n), k = 1..d, of one block."""

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (m, n)."""

    def apply_factors(self, u: FloatArray, v: FloatArray) -> FloatArray:
        """Return <G_k, u v^T>, shape (d,)."""

    def adjoint(self, dual: FloatArray) -> FloatArray:
        """Return sum_k q_k G_k."""

    def matvec(self, factor: FloatArray) -> FloatArray:
        """Return G_k factor, shape (d, m, r)."""

    def rmatvec(self, factor: FloatArray) -> FloatArray:
        """Return G_k^T factor, shape (d, n, r)."""


@dataclass(frozen=True, eq=False)
class DenseRows:
    """CanonicalRows held as one array (d, m, n)."""

    array: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """See `CanonicalRows`."""
        return self.array.shape[1], self.array.shape[2]

    def apply_factors(self, u: FloatArray, v: FloatArray) -> FloatArray:
        """See `CanonicalRows`."""
        return np.asarray(self.array.reshape(len(self.array), -1) @ (u @ v.T).ravel())

    def adjoint(self, dual: FloatArray) -> FloatArray:
        """See `CanonicalRows`."""
        return np.asarray(dual @ self.array.reshape(len(dual), -1)).reshape(self.shape)

    def matvec(self, factor: FloatArray) -> FloatArray:
        """See `CanonicalRows`."""
        d, m, n = self.array.shape
        # A product of few long rows with G^T runs at almost twice the speed of G with few columns.
        return np.ascontiguousarray((factor.T @ self.array.reshape(d * m, n).T).T).reshape(d, m, -1)

    def rmatvec(self, factor: FloatArray) -> FloatArray:
        """See `CanonicalRows`."""
        return np.asarray(self.array.swapaxes(1, 2) @ factor)


@dataclass(frozen=True, eq=False)
class ScaledRows:
    """Other rows times a number, never formed."""

    given: CanonicalRows
    factor: float

    @property
    def shape(self) -> tuple[int, int]:
        """See `CanonicalRows`."""
        return self.given.shape

    def apply_factors(self, u: FloatArray, v: FloatArray) -> FloatArray:
        """See `CanonicalRows`."""
        return self.factor * self.given.apply_factors(u, v)

    def adjoint(self, dual: FloatArray) -> FloatArray:
        """See `CanonicalRows`."""
        return self.factor * self.given.adjoint(dual)

    def matvec(self, factor: FloatArray) -> FloatArray:
        """See `CanonicalRows`."""
        return self.factor * self.given.matvec(factor)

    def rmatvec(self, factor: FloatArray) -> FloatArray:
        """See `CanonicalRows`."""
        return self.factor * self.given.rmatvec(factor)


@dataclass(frozen=True, eq=False)
class MappedRows:
    """CanonicalRows that are the image of gradients under the linear map of the loss, never formed."""

    gradients: Gradients
    loss: Loss

    @property
    def shape(self) -> tuple[int, int]:
        """See `CanonicalRows`."""
        return self.gradients.shape[2:]

    def apply_factors(self, u: FloatArray, v: FloatArray) -> FloatArray:
        """See `CanonicalRows`."""
        return self.loss.linear_rows(self.gradients.apply_factors(u, v))

    def adjoint(self, dual: FloatArray) -> FloatArray:
        """See `CanonicalRows`."""
        return self.gradients.adjoint(self.loss.adjoint(dual))

    def matvec(self, factor: FloatArray) -> FloatArray:
        """See `CanonicalRows`."""
        return self.loss.linear_rows(self.gradients.matvec(factor))

    def rmatvec(self, factor: FloatArray) -> FloatArray:
        """See `CanonicalRows`."""
        return self.loss.linear_rows(self.gradients.rmatvec(factor))


@dataclass
class CanonicalProblem:
    """A problem in canonical rows. ``passes`` counts how often all of G was read.

    ``sizes`` holds bounds on the Frobenius norms of the rows, (d,) a block, where a bracket is wanted; ``feasible`` is
    `null_space.feasible`, where one at lam = 0 is.
    """

    blocks: list[CanonicalRows]
    w0: FloatArray
    loss: Loss
    lam: float
    passes: int = field(default=0)
    sizes: Blocks = field(default_factory=list)
    feasible: Callable[[FloatArray], list[Any]] | None = None

    @property
    def N(self) -> int:
        """The number of data."""
        return self.loss.N

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """The shapes (m_t, n_t)."""
        return [rows.shape for rows in self.blocks]

    def rows(self, u: Blocks, v: Blocks) -> FloatArray:
        """Return w0 + A(u v^T)."""
        return self.w0 + self.apply_factors(u, v)

    def apply_factors(self, u: Blocks, v: Blocks) -> FloatArray:
        """Return A(u v^T); as a difference of `rows` it would drown in w0 where the gradients are small."""
        self.passes += 1
        return np.asarray(sum(rows.apply_factors(*uv) for rows, *uv in zip(self.blocks, u, v, strict=True)))

    def adjoint(self, dual: FloatArray) -> Blocks:
        """Return S_t = (1/N) sum_k q_k G_k."""
        self.passes += 1
        return [rows.adjoint(dual / self.N) for rows in self.blocks]

    def matvec(self, factor: Blocks) -> Blocks:
        """Return G_k v_t, one (d, m_t, r_t) array a block."""
        self.passes += 1
        return [rows.matvec(x) for rows, x in zip(self.blocks, factor, strict=True)]

    def risk(self, rows: FloatArray) -> float:
        """Return (1/N) sum phi(rows)."""
        return self.loss.value(rows) / self.N

    def dual(self, slopes: FloatArray) -> float:
        """Return the dual objective (1/N) (<slopes, w0> - sum phi*(slopes))."""
        return (float(slopes @ self.w0) - self.loss.conjugate(slopes)) / self.N


def canonical_rows(gradients: Gradients, loss: Loss) -> CanonicalRows:
    """Return the rows of one block; forms them for dense cross-entropy gradients only."""
    if not isinstance(gradients, DenseGradients):
        return MappedRows(gradients, loss)
    if isinstance(loss, Squared):
        N, K, m, n = gradients.shape
        return DenseRows(gradients.array.reshape(N * K, m, n))
    if isinstance(loss, CrossEntropy):
        _, K, m, n = gradients.shape
        rows = np.empty((loss.d, m, n))
        for i, (datum, label) in enumerate(zip(gradients.array, loss.labels, strict=True)):
            for j, k in enumerate(k for k in range(K) if k != label):
                np.subtract(datum[k], datum[label], out=rows[i * (K - 1) + j])
        return DenseRows(rows)
    return MappedRows(gradients, loss)


def canonical_problem(problem: Any) -> CanonicalProblem:
    """Return a `LinearizedProblem` as a `CanonicalProblem`."""
    rows = [canonical_rows(block, problem.canonical_loss) for block in problem.blocks]
    return CanonicalProblem(rows, problem.w0, problem.canonical_loss, problem.lam)


def dense(core: CanonicalProblem) -> FloatArray:
    """Return the rows of all blocks side by side, shape (d, sum m_t n_t)."""
    parts = []
    for rows in core.blocks:
        m, n = rows.shape
        right = rows.matvec(np.eye(n)) if n <= m else rows.rmatvec(np.eye(m))
        parts.append(right.reshape(len(core.w0), -1))
    return np.concatenate(parts, axis=1)


def gram(core: CanonicalProblem) -> FloatArray:
    """Return the Gram matrix <G_k, G_l> of the rows, all blocks together, shape (d, d)."""
    rows = dense(core)
    return np.asarray(rows @ rows.T)
