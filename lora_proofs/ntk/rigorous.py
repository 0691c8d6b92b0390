r"""The bracket of `certify` in ball arithmetic: a theorem about the stored numbers, rounding included.

No singular value enters. P is evaluated in balls at the given factors. For D the slopes q are only a guess: S(q) is
enclosed in balls, rounded to a float matrix, and c = lam / bound(|S|_op), where the bound is a Cholesky factorisation
with its error bound (`spectrum.operator_norm_bound`) plus the norm of the rounding of S. Then c q is dual feasible
whatever q is, and D(c q) is evaluated in balls. At lam = 0 the nearest q with S(q) = 0 takes its place, and that is
found over Q (`null_space`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

import flint
import numpy as np

from lora_proofs.enclosure import Enclosure
from lora_proofs.ntk.gradients import DenseGradients, FactoredGradients
from lora_proofs.ntk.losses import CrossEntropy, Logistic
from lora_proofs.ntk.null_space import feasible
from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.ntk.spectrum import operator_norm_bound
from lora_proofs.ntk.types import Blocks, FloatArray

_BITS = 128


@contextmanager
def precision() -> Iterator[None]:
    """Compute in balls of `_BITS` bits."""
    saved = flint.ctx.prec
    flint.ctx.prec = _BITS
    try:
        yield
    finally:
        flint.ctx.prec = saved


@dataclass(frozen=True, eq=False)
class Balls:
    """The bracket at a point in balls: P(u, v), a dual value D, |S|_op / lam; and the gradients, for other points."""

    problem: LinearizedProblem
    gradients: list[Any]
    objective: Any
    dual: Any
    ratio: Any

    def ends(self) -> tuple[float, float, float]:
        """Return P and |S|_op / lam rounded up, and D rounded down between them: (upper, lower, ratio)."""
        with precision():
            return _up(self.objective), _down(self.dual), _up(self.ratio)

    def optimum(self) -> Enclosure:
        """Return the enclosure of the optimum, [D, P]."""
        upper, lower, _ = self.ends()
        return Enclosure(lower, upper)

    def excess(self, u: Blocks, v: Blocks) -> Enclosure:
        """Return the enclosure of P(u, v) - optimum at any point: at least P(u, v) less P of this bracket, and 0."""
        with precision():
            value = _objective(self.problem, _outputs(self.problem, self.gradients, u, v), u, v)
            return Enclosure(_down(value - self.objective), _up(value - self.dual))

    def own_excess(self) -> Enclosure:
        """Return the enclosure of P - optimum at the point of this bracket, [0, P - D]."""
        with precision():
            return Enclosure(0.0, _up(self.objective - self.dual))


def enclose(problem: LinearizedProblem, u: Blocks, v: Blocks) -> Balls:
    """Return P(u, v), D and |S|_op / lam in balls.

    Raises
    ------
    ValueError
        If a block is given as an operator, whose arithmetic cannot be enclosed, or lam = 0 and there are too many rows.
    """
    with precision():
        gradients = [_rows(block) for block in problem.blocks]
        outputs = _outputs(problem, gradients, u, v)
        objective = _objective(problem, outputs, u, v)
        dual = _slopes(problem, outputs)
        weights = _transposed(problem, [flint.arb(x) for x in dual.tolist()])
        if not problem.lam:
            sums = [_combined(rows, weights) for rows in gradients]
            ratio = flint.arb(0) if all(x == 0 for x in (y for row in sums for y in row)) else flint.arb("inf")
            return Balls(problem, gradients, objective, _dual(problem, feasible(problem, dual)), ratio)
        norms = [
            _norm_bound(_combined(rows, weights), shape) for rows, shape in zip(gradients, problem.shapes, strict=True)
        ]
        ratio = reduce(flint.arb.max, norms) / problem.N / flint.arb(problem.lam)
        # The slopes of cross-entropy sum to 1 but for rounding: a little less keeps them inside the simplex.
        shrink = (1 / ratio if not bool(ratio <= 1) else flint.arb(1)) * (1 - flint.arb(2) ** -50)
        return Balls(
            problem, gradients, objective, _dual(problem, [shrink * flint.arb(x) for x in dual.tolist()]), ratio
        )


def _rows(block: Any) -> Any:
    """Return the gradients of a block as an arb_mat (NK, mn) of exact entries; factors are multiplied in balls."""
    N, K, m, n = block.shape
    if isinstance(block, DenseGradients):
        return flint.arb_mat(N * K, m * n, block.array.ravel().tolist())
    if not isinstance(block, FactoredGradients):
        raise ValueError("a rigorous bracket needs the gradients themselves; pass them dense or as FactoredGradients")
    L, R = (np.broadcast_to(x, (N, K, *x.shape[2:])).reshape(N * K, *x.shape[2:]) for x in _factors(block))
    entries: list[Any] = []
    for left, right in zip(L, R, strict=True):
        entries += (_matrix(left) * _matrix(right).transpose()).entries()
    return flint.arb_mat(N * K, m * n, entries)


def _factors(block: FactoredGradients) -> tuple[FloatArray, FloatArray]:
    return block.left_factors, block.right_factors


def _matrix(values: FloatArray) -> Any:
    return flint.arb_mat(*values.shape, values.ravel().tolist())


def _outputs(problem: LinearizedProblem, gradients: list[Any], u: Blocks, v: Blocks) -> list[list[Any]]:
    """Return balls for f + <G, u v^T>, N lists of K."""
    outputs = flint.arb_mat(problem.N * problem.K, 1, problem.offsets.ravel().tolist())
    for rows, x, y in zip(gradients, u, v, strict=True):
        if x.shape[1]:
            outputs += rows * flint.arb_mat(rows.ncols(), 1, (_matrix(x) * _matrix(y).transpose()).entries())
    entries = outputs.entries()
    return [entries[i * problem.K : (i + 1) * problem.K] for i in range(problem.N)]


def _objective(problem: LinearizedProblem, outputs: list[list[Any]], u: Blocks, v: Blocks) -> Any:
    """Return P(u, v) for its outputs."""
    squares = sum((flint.arb(x) ** 2 for f in (*u, *v) for x in f.ravel().tolist()), flint.arb(0))
    return _risk(problem, outputs) / problem.N + flint.arb(problem.lam) / 2 * squares


def _canonical(problem: LinearizedProblem, outputs: list[list[Any]]) -> list[list[Any]]:
    """Return balls for the canonical rows of these outputs, one list a datum."""
    labels = problem.canonical_loss.labels.tolist()  # type: ignore[attr-defined]
    if isinstance(problem.canonical_loss, CrossEntropy):
        return [[x - row[y] for k, x in enumerate(row) if k != y] for row, y in zip(outputs, labels, strict=True)]
    if isinstance(problem.canonical_loss, Logistic):
        return [[-y * row[0]] for row, y in zip(outputs, labels, strict=True)]
    return [[x - y for x, y in zip(row, ys, strict=True)] for row, ys in zip(outputs, labels, strict=True)]


def _risk(problem: LinearizedProblem, outputs: list[list[Any]]) -> Any:
    """Return the sum of the losses at these outputs."""
    rows = _canonical(problem, outputs)
    if isinstance(problem.canonical_loss, CrossEntropy | Logistic):
        return sum((sum((x.exp() for x in row), flint.arb(0)).log1p() for row in rows), flint.arb(0))
    return sum((x**2 for row in rows for x in row), flint.arb(0)) / 2


def _slopes(problem: LinearizedProblem, outputs: list[list[Any]]) -> FloatArray:
    """Return phi' in floats, as a guess at a dual point; 0 where it overflows."""
    rows = np.array([float(x.mid()) for row in _canonical(problem, outputs) for x in row])
    if not np.isfinite(rows).all():
        return np.zeros(problem.d)
    return problem.derivative(rows)


def _transposed(problem: LinearizedProblem, dual: list[Any]) -> Any:
    """Return the weights c of the gradients in S = (1/N) sum c_ik G_ik as a row, for a canonical dual point."""
    loss, N, K = problem.canonical_loss, problem.N, problem.K
    if isinstance(loss, Logistic):
        dual = [-y * x for y, x in zip(loss.labels.tolist(), dual, strict=True)]
    elif isinstance(loss, CrossEntropy):
        parts = [dual[i * (K - 1) : (i + 1) * (K - 1)] for i in range(N)]
        dual = [
            x
            for part, y in zip(parts, loss.labels.tolist(), strict=True)
            for x in (*part[:y], -sum(part, flint.arb(0)), *part[y:])
        ]
    return flint.arb_mat(1, N * K, dual)


def _combined(rows: Any, weights: Any) -> list[Any]:
    """Return the entries of N S = sum c_k G_k."""
    return list((weights * rows).entries())


def _norm_bound(balls: list[Any], shape: tuple[int, int]) -> Any:
    """Return a ball whose upper end is at least |S|_op, for a matrix S of balls; of any size, since it is scaled first.

    The float matrix differs from S by at most the largest radius in every entry, in norm by sqrt(mn) times that.
    """
    top = reduce(flint.arb.max, (x.abs_upper() for x in balls))
    if bool(top == 0) or not top.is_finite():
        return top
    unit = flint.arb(2) ** int((top.log() / flint.arb(2).log()).mid().floor().unique_fmpz())
    scaled = [x / unit for x in balls]
    S = np.array([float(x.mid()) for x in scaled]).reshape(shape)
    radius = max(_up(abs(x - flint.arb(y))) for x, y in zip(scaled, S.ravel().tolist(), strict=True))
    bound = flint.arb(operator_norm_bound(S)) + flint.arb(radius) * flint.arb(S.size).sqrt()
    return flint.arb((bound * unit).upper())


def _dual(problem: LinearizedProblem, dual: list[Any]) -> Any:
    """Return (1/N) sum_i (<q_i, w0_i> - phi*(q_i)) for balls dual; D(0) = 0 where dual may leave the domain of phi*."""
    offsets = [[flint.arb(x) for x in row] for row in problem.offsets.tolist()]
    w0 = [x for row in _canonical(problem, offsets) for x in row]
    total = sum((a * b for a, b in zip(dual, w0, strict=True)), flint.arb(0))
    if isinstance(problem.canonical_loss, CrossEntropy | Logistic):
        width = problem.d // problem.N
        for i in range(problem.N):
            part = dual[i * width : (i + 1) * width]
            part = [*part, 1 - sum(part, flint.arb(0))]
            if not all(bool(p >= 0) for p in part):
                return flint.arb(0)
            total -= sum((_entropy(p) for p in part), flint.arb(0))
    else:
        total -= sum((x**2 for x in dual), flint.arb(0)) / 2
    return total / problem.N


def _entropy(share: Any) -> Any:
    """Return a ball for p log p, for a ball p of nonnegative numbers; 0 <= -p log p <= sqrt(p) covers 0."""
    if bool(share > 0):
        return share * share.log()
    top = flint.arb(_up(share)).sqrt() if _up(share) > 0 else flint.arb(0)
    return flint.arb(0).union(-top)


def _up(ball: Any) -> float:
    """Return a float that is at least every number of the ball."""
    return float(np.nextafter(float(ball.upper()), np.inf)) if ball.is_finite() else float("inf")


def _down(ball: Any) -> float:
    """Return a float >= 0 that is at most every number of the ball, none of which is negative."""
    return max(0.0, -_up(-ball)) if ball.is_finite() else 0.0
