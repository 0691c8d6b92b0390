r"""The Hessian of the LoRA objective at (u, v), and the gauge orbit along which it says nothing.

In the direction (x, y) it is

    lam (|x|^2 + |y|^2) + 2 <S, x y^T> + (1/N) sum phi''(w) J^2,    J = A(x v^T + u y^T),    S = grad of the risk,

which is the form that the second-order conditions of Jang, Lee & Ryu (arXiv 2402.11867v3) refer to.
"""

from itertools import pairwise

import numpy as np

from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.ntk.types import Blocks, FloatArray

_LANCZOS_STEPS = 300
_LANCZOS_RESTARTS = 10

_CONVERGED = 1e-9
"""Residual over |Hessian| at which Lanczos stops."""


class Hessian:
    """The Hessian at (u, v) on the complement of the gauge; vectors hold u_1, v_1, u_2, v_2, ... row by row.

    The Jacobian of the rows, d x sum (m_t + n_t) r_t, takes two passes over the gradients and is kept, so that no
    product with the Hessian needs another.
    """

    def __init__(self, problem: LinearizedProblem, u: Blocks, v: Blocks) -> None:
        self.problem, self.u, self.v = problem, u, v
        self.w = problem.rows(u, v)
        self.slope = problem.adjoint(problem.derivative(self.w))
        self.gauge = Gauge(u, v, problem.lam)
        canonical = problem.canonical_loss.linear_rows
        parts = [
            canonical(side).reshape(problem.d, -1)
            for block, x, y in zip(problem.blocks, u, v, strict=True)
            for side in (block.matvec(y), block.rmatvec(x))
        ]
        self.jacobian: FloatArray = np.concatenate(parts, axis=1)
        self.size = self.jacobian.shape[1]

    def unpack(self, vector: FloatArray) -> tuple[Blocks, Blocks]:
        """Return the blocks x_t, y_t of vector, shape (..., size); leading axes stay."""
        factors = [factor for pair in zip(self.u, self.v, strict=True) for factor in pair]
        ends = np.cumsum([0] + [factor.size for factor in factors])
        blocks = [
            vector[..., a:b].reshape(*vector.shape[:-1], *factor.shape)
            for factor, (a, b) in zip(factors, pairwise(ends), strict=True)
        ]
        return blocks[::2], blocks[1::2]

    def pack(self, left: Blocks, right: Blocks) -> FloatArray:
        """Return the vector, or vectors, of blocks (..., m_t, r_t) and (..., n_t, r_t)."""
        blocks = [block for pair in zip(left, right, strict=True) for block in pair]
        return np.concatenate([block.reshape(*block.shape[:-2], -1) for block in blocks], axis=-1)

    def _pull(self, left: Blocks, right: Blocks) -> FloatArray:
        """Return lam (left, right) + (S right, S^T left)."""
        lam, triples = self.problem.lam, list(zip(self.slope, left, right, strict=True))
        return self.pack(
            [lam * left + S @ right for S, left, right in triples],
            [lam * right + S.T @ left for S, left, right in triples],
        )

    def gradient(self) -> FloatArray:
        """Return the gradient of the objective."""
        return self._pull(self.u, self.v)

    def gradient_scale(self) -> float:
        """Return (lam + |S|_F) |(u, v)|_F, with the larger of S here and at delta = 0: the scale of gradients."""
        start = self.problem.adjoint(self.problem.derivative(self.problem.w0))
        return (self.problem.lam + max(norm(start), norm(self.slope))) * norm([*self.u, *self.v])

    def apply(self, vector: FloatArray) -> FloatArray:
        """Return P H P vector, with P the projection off the gauge."""
        vector = self.project(vector)
        bent = self.problem.hessian_vector(self.w, self.jacobian @ vector)
        return self.project(self._pull(*self.unpack(vector)) + bent @ self.jacobian / self.problem.N)

    def matrix(self) -> FloatArray:
        """Return H itself, gauge included, as a dense matrix."""
        bent = self.problem.hessian_vector(self.w, self.jacobian)
        return np.asarray(self._pull(*self.unpack(np.eye(self.size))) + self.jacobian.T @ bent / self.problem.N)

    def project(self, vector: FloatArray) -> FloatArray:
        """Return vector, shape (..., size), less its part along the gauge."""
        return self.pack(*self.gauge.remove(*self.unpack(vector)))

    def spectrum(self) -> tuple[FloatArray, FloatArray]:
        """Return eigenvalues of P H P, ascending, and eigenvectors; the gauge gets the largest absolute value."""
        off_gauge = self.project(np.eye(self.size))
        H = off_gauge @ self.matrix() @ off_gauge
        lift = float(np.abs(np.linalg.eigvalsh(H)).max())
        values, vectors = np.linalg.eigh(H + lift * (np.eye(self.size) - off_gauge))
        return values, vectors

    def dense_extremes(self) -> tuple[float, FloatArray, float]:
        """Return the smallest eigenvalue with its vector, and the largest absolute value, by diagonalisation."""
        values, vectors = self.spectrum()
        return float(values[0]), vectors[:, 0], float(np.abs(values).max())

    def lanczos_extremes(self) -> tuple[float, FloatArray, float]:
        """Return the same by Lanczos, restarted from the best direction until it is one to within 1e-9 |H|."""
        z: FloatArray = np.asarray(np.random.default_rng(0).standard_normal(self.size))
        high = 0.0
        for _ in range(_LANCZOS_RESTARTS):
            low, z, largest, residual = self._lanczos(self.project(z))
            high = max(high, largest)
            if residual <= _CONVERGED * high:
                break
        return low, z, high

    def _lanczos(self, start: FloatArray) -> tuple[float, FloatArray, float, float]:
        """Return the lowest Ritz value, its vector, the largest absolute Ritz value, and the residual of the first."""
        steps = min(_LANCZOS_STEPS, self.size - self.gauge.dimension)
        basis, T = np.empty((steps, self.size)), np.zeros((steps + 1, steps + 1))
        basis[0] = start / np.linalg.norm(start)
        for k in range(steps):
            image, known = self.apply(basis[k]), basis[: k + 1]
            T[k, k] = basis[k] @ image
            for _ in range(2):  # once is not enough in floating point; twice is
                image = image - (known @ image) @ known
            beta = float(np.linalg.norm(image))
            last = k + 1 == steps or beta <= 1e-14 * np.abs(T).max()
            if last or k % 10 == 9:
                values, vectors = np.linalg.eigh(T[: k + 1, : k + 1])
                high, residual = float(np.abs(values).max()), beta * abs(float(vectors[-1, 0]))
                if last or residual <= _CONVERGED * high:
                    break
            basis[k + 1] = image / beta
            T[k, k + 1] = T[k + 1, k] = beta
        return float(values[0]), vectors[:, 0] @ known, high, residual


class Gauge:
    """The tangent space of the orbit of (u, v): (u W, v W), W skew, or for lam = 0 (u X, -v X^T), X arbitrary.

    The nearest tangent to (x, y) solves a Sylvester equation, which u^T u and v^T v diagonalise: for lam > 0
    g W + W g = K with g = u^T u + v^T v and K = u^T x + v^T y less its transpose; for lam = 0
    u^T u X + X v^T v = u^T x - y^T v.
    """

    def __init__(self, u: Blocks, v: Blocks, lam: float) -> None:
        self.u, self.v, self.skew = u, v, lam > 0
        grams = [(x.T @ x, y.T @ y) for x, y in zip(u, v, strict=True)]
        if self.skew:
            grams = [(a + b, a + b) for a, b in grams]
        self._bases = [(*np.linalg.eigh(a), *np.linalg.eigh(b)) for a, b in grams]
        # 1 / (a_i + b_j), and 0 for the pairs that leave (u, v) where it is.
        self._inverse = []
        self.reach = np.inf
        """A lower bound of |(u X, v X^T)|_F / |X|_F over the X that move (u, v)."""
        for a, _, b, _ in self._bases:
            sums = a[:, None] + b
            moved = sums > 1e-14 * sums.max(initial=0.0)
            turning = np.triu(moved, 1) if self.skew else moved
            self.reach = min(self.reach, float(np.sqrt(sums[turning].min(initial=np.inf) / 2)))
            self._inverse.append(np.where(moved, 1 / np.where(moved, sums, 1.0), 0.0))

    @property
    def dimension(self) -> int:
        """The dimension of the orbit."""
        return sum(int(np.count_nonzero(np.triu(x, 1) if self.skew else x)) for x in self._inverse)

    def remove(self, left: Blocks, right: Blocks) -> tuple[Blocks, Blocks]:
        """Return (left, right) less its part along the orbit; leading axes of x_t, y_t are a batch."""
        pairs = [self._remove(t, *block) for t, block in enumerate(zip(left, right, strict=True))]
        return [left for left, _ in pairs], [right for _, right in pairs]

    def _remove(self, t: int, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        u, v, (_, left, _, right) = self.u[t], self.v[t], self._bases[t]
        if self.skew:
            K = u.T @ x + v.T @ y
            W = left @ ((left.T @ (K - K.swapaxes(-1, -2)) @ right) * self._inverse[t]) @ right.T
            return x - u @ W, y - v @ W
        K = u.T @ x - y.swapaxes(-1, -2) @ v
        X = left @ ((left.T @ K @ right) * self._inverse[t]) @ right.T
        return x - u @ X, y + v @ X.swapaxes(-1, -2)


def norm(blocks: Blocks) -> float:
    """Return the Frobenius norm of all blocks together."""
    return float(np.sqrt(sum(np.vdot(x, x) for x in blocks)))
