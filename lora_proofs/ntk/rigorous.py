r"""The bracket of `certify` in ball arithmetic: a theorem about the stored numbers, rounding included.

No singular value enters. P is evaluated in balls at the given factors. For D the slopes q are only a guess: S(q) is
enclosed in balls, rounded to a float matrix, and c = lam / bound(|S|_op), where the bound is a Cholesky factorisation
with its error bound (`spectrum.operator_norm_bound`) plus the norm of the rounding of S. Then c q is dual feasible
whatever q is, and D(c q) is evaluated in balls.
"""

from typing import Any

import flint
import numpy as np

from lora_proofs.ntk.core import Array, Blocks
from lora_proofs.ntk.gradients import DenseGradients, FactoredGradients
from lora_proofs.ntk.losses import CrossEntropy, Logistic
from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.ntk.spectrum import operator_norm_bound

_BITS = 128


def enclose(problem: LinearizedProblem, u: Blocks, v: Blocks) -> tuple[float, float, float]:
    """Return (upper, lower, ratio): outward-rounded P(u, v), D(c q) and |S|_op / lam.

    Raises
    ------
    ValueError
        If lam = 0 or a block is given as an operator, whose arithmetic cannot be enclosed.
    """
    if not problem.lam:
        raise ValueError("a rigorous bracket needs lam > 0; at lam = 0 use certify(..., rigorous=False)")
    saved = flint.ctx.prec
    flint.ctx.prec = _BITS
    try:
        blocks = [_rows(block) for block in problem.blocks]
        z = _outputs(problem, blocks, u, v)
        squares = sum((flint.arb(x) ** 2 for f in (*u, *v) for x in f.ravel().tolist()), flint.arb(0))
        upper = _risk(problem, z) / problem.N + flint.arb(problem.lam) / 2 * squares
        q = problem.slope(problem.rows(u, v)).tolist()
        c = _transposed(problem, [flint.arb(x) for x in q])
        top = max(_norm_bound(rows, c, shape, problem.N) for rows, shape in zip(blocks, problem.shapes, strict=True))
        ratio = flint.arb(top) / flint.arb(problem.lam)
        # The slopes of cross-entropy sum to 1 but for rounding: a little less keeps them inside the simplex.
        shrink = (1 / ratio if not bool(ratio <= 1) else flint.arb(1)) * (1 - flint.arb(2) ** -50)
        lower = _dual(problem, [shrink * x for x in q])
        return _up(upper), max(0.0, -_up(-lower)), _up(ratio)  # no loss is negative
    finally:
        flint.ctx.prec = saved


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


def _factors(block: FactoredGradients) -> tuple[Array, Array]:
    return block.left_factors, block.right_factors


def _matrix(x: Array) -> Any:
    return flint.arb_mat(*x.shape, x.ravel().tolist())


def _outputs(problem: LinearizedProblem, blocks: list[Any], u: Blocks, v: Blocks) -> list[list[Any]]:
    """Return balls for f + <G, u v^T>, N lists of K."""
    z = flint.arb_mat(problem.N * problem.K, 1, problem.offsets.ravel().tolist())
    for rows, x, y in zip(blocks, u, v, strict=True):
        if x.shape[1]:
            z += rows * flint.arb_mat(rows.ncols(), 1, (_matrix(x) * _matrix(y).transpose()).entries())
    entries = z.entries()
    return [entries[i * problem.K : (i + 1) * problem.K] for i in range(problem.N)]


def _risk(problem: LinearizedProblem, z: list[list[Any]]) -> Any:
    """Return the sum of the losses at outputs z."""
    labels = problem.canonical_loss.labels.tolist()  # type: ignore[attr-defined]
    zero, one = flint.arb(0), flint.arb(1)
    if isinstance(problem.canonical_loss, CrossEntropy):
        return sum((sum(((x - row[y]).exp() for x in row), zero).log() for row, y in zip(z, labels, strict=True)), zero)
    if isinstance(problem.canonical_loss, Logistic):
        return sum(((one + (-y * row[0]).exp()).log() for row, y in zip(z, labels, strict=True)), zero)
    pairs = ((x, t) for row, target in zip(z, labels, strict=True) for x, t in zip(row, target, strict=True))
    return sum(((x - t) ** 2 for x, t in pairs), zero) / 2


def _transposed(problem: LinearizedProblem, q: list[Any]) -> Any:
    """Return the weights c of the gradients in S = (1/N) sum c_ik G_ik as a row, for canonical q."""
    loss, N, K = problem.canonical_loss, problem.N, problem.K
    if isinstance(loss, Logistic):
        q = [-y * x for y, x in zip(loss.labels.tolist(), q, strict=True)]
    elif isinstance(loss, CrossEntropy):
        parts = [q[i * (K - 1) : (i + 1) * (K - 1)] for i in range(N)]
        q = [
            x
            for part, y in zip(parts, loss.labels.tolist(), strict=True)
            for x in (*part[:y], -sum(part, flint.arb(0)), *part[y:])
        ]
    return flint.arb_mat(1, N * K, q)


def _norm_bound(rows: Any, c: Any, shape: tuple[int, int], N: int) -> float:
    """Return a float >= |S|_op for S = (1/N) sum c_k G_k."""
    balls = (c * rows).entries()
    S = np.array([float(x.mid()) for x in balls]).reshape(shape)
    radius = max(_up(abs(x - flint.arb(y))) for x, y in zip(balls, S.ravel().tolist(), strict=True))
    bound = flint.arb(operator_norm_bound(S)) + flint.arb(radius) * flint.arb(S.size).sqrt()
    return _up(bound / N)


def _dual(problem: LinearizedProblem, q: list[Any]) -> Any:
    """Return (1/N) sum_i (<q_i, w0_i> - phi*(q_i)) for balls q; 0 where q may leave the domain of phi*."""
    loss, f = problem.canonical_loss, [[flint.arb(x) for x in row] for row in problem.offsets.tolist()]
    total = flint.arb(0)
    if isinstance(loss, CrossEntropy | Logistic):
        K = problem.K
        for i, (row, y) in enumerate(zip(f, loss.labels.tolist(), strict=True)):
            if isinstance(loss, Logistic):
                w, part = [-y * row[0]], [q[i]]
            else:
                w = [x - row[y] for k, x in enumerate(row) if k != y]
                part = q[i * (K - 1) : (i + 1) * (K - 1)]
            total += sum((a * b for a, b in zip(part, w, strict=True)), flint.arb(0))
            part = [*part, 1 - sum(part, flint.arb(0))]
            if not all(bool(p >= 0) for p in part):
                return flint.arb(0)
            total -= sum((_entropy(p) for p in part), flint.arb(0))
        return total / problem.N
    targets = loss.labels.ravel().tolist()  # type: ignore[attr-defined]
    for x, offset, y in zip(q, (x for row in f for x in row), targets, strict=True):
        total += x * (offset - y) - x**2 / 2
    return total / problem.N


def _entropy(p: Any) -> Any:
    """Return a ball for p log p, for a ball p of nonnegative numbers; 0 <= -p log p <= sqrt(p) covers 0."""
    if bool(p > 0):
        return p * p.log()
    top = flint.arb(_up(p)).sqrt() if _up(p) > 0 else flint.arb(0)
    return flint.arb(0).union(-top)


def _up(x: Any) -> float:
    """Return a float that is at least every number of the ball x."""
    return float(np.nextafter(float(x.upper()), np.inf))
