r"""lam = 0: minimise the risk alone, in d numbers, and realise the optimal rows by factors of low rank.

With an orthonormal basis B (d x k) of the range of A, the problem is min_z risk(w0 + B z): least squares for the
squared loss, a smooth convex problem otherwise. It has no minimiser exactly if some z has B z <= 0 and B z != 0, that
is, if a direction separates the data at least in part; linear programming finds out.

Rank. Freeze any v of r columns: u -> A(u v^T) is linear, with r m unknowns. For almost every G and v it is onto as soon
as r max(m, n) >= k, so that one block needs rank ceil(k / max(m, n)) only; r = min(m, n) always suffices.

Where rows are nearly dependent, how many directions to use is a choice between a small residual and a small delta:
several are tried. The lower end of the bracket makes no such choice; it is found over Q (`null_space`).
"""

from collections.abc import Iterator

import numpy as np

from lora_proofs.ntk.canonical import CanonicalProblem, CanonicalRows, ScaledRows, dense
from lora_proofs.ntk.points import Point, balanced, evaluate
from lora_proofs.ntk.reductions import Scaled
from lora_proofs.ntk.solvers.burer_monteiro import temperatures
from lora_proofs.ntk.types import Blocks, FloatArray

_STEPS = 200
_CUTS = (1e-15, 1e-12, 1e-9)
"""Singular values of the rows, each of norm 1, up to which a direction is not used: tried in this order."""

_LENGTHS = [0.5**k for k in range(40)]
"""Shares of a Newton step that are tried."""

_EPS = 2.0**-52


def least_risk(core: CanonicalProblem) -> Iterator[Point]:
    """Yield minimisers of the risk, one for every cut that uses other directions.

    Raises
    ------
    ValueError
        If the data are separable, so that no minimiser exists.
    """
    scaled = _equalised(core)
    equal = scaled.problem
    sizes = row_sizes(equal)
    U, s = _left(equal, sizes)
    ranks = sorted({int((s > cut * s[:1].sum()).sum()) for cut in (max(_CUTS[0], len(s) * _EPS), *_CUTS[1:])})
    separable = None
    for rank in reversed(ranks):
        B = np.linalg.qr(sizes[:, None] * U[:, :rank])[0]
        try:
            w = optimal_rows(equal, B)
        except ValueError as error:
            separable = error
            break
        u, v = realise(equal, w, sizes)
        pairs = [balanced(x, y, 4 * _EPS) for x, y in zip(u, v, strict=True)]
        yield evaluate(core, *scaled.lift([x for x, _ in pairs], [y for _, y in pairs]))
    if separable is not None:
        raise separable


def _equalised(core: CanonicalProblem) -> Scaled:
    """Return the problem with blocks 2^-e_t G_t of size 1, all e_t even: without lam no block costs more."""
    exponents = [2 * (int(np.frexp(x.max())[1]) // 2) if x.any() else 0 for x in core.sizes]
    blocks: list[CanonicalRows] = [ScaledRows(rows, 2.0**-e) for rows, e in zip(core.blocks, exponents, strict=True)]
    sizes = [np.ldexp(x, -e) for x, e in zip(core.sizes, exponents, strict=True)]
    return Scaled(CanonicalProblem(blocks, core.w0, core.loss, 0.0, sizes=sizes), [-e // 2 for e in exponents])


def row_sizes(core: CanonicalProblem) -> FloatArray:
    """Return the bounds on the norms of the rows, all blocks together; 1 where a row is 0."""
    sizes = np.linalg.norm(core.sizes, axis=0)
    return np.where(sizes > 0, sizes, 1.0)


def _left(core: CanonicalProblem, sizes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the left singular vectors and singular values of the rows, each scaled to norm 1."""
    R = np.asarray(np.linalg.qr((dense(core) / sizes[:, None]).T, mode="r"))
    U, s, _ = np.linalg.svd(R.T, full_matrices=False)
    return U, s


def optimal_rows(core: CanonicalProblem, basis: FloatArray) -> FloatArray:
    """Return the rows w of a minimiser of the risk over w0 + range basis, for orthonormal basis.

    Raises
    ------
    ValueError
        If the data are separable, so that no minimiser exists.
    """
    if core.loss.name == "squared":
        w = core.w0 - basis @ (basis.T @ core.w0)
        return np.asarray(w - basis @ (basis.T @ w))
    _require_inseparable(basis)
    w = core.w0
    for T in temperatures(core):
        w = T * _newton(core, basis, w / T)
    return w


def _newton(core: CanonicalProblem, basis: FloatArray, rows: FloatArray) -> FloatArray:
    """Return the minimiser over rows + range basis by damped Newton steps, once rounding hides any further descent."""
    for _ in range(_STEPS):
        slope = basis.T @ core.loss.derivative(rows)
        if np.linalg.norm(slope) <= _EPS:
            break
        curvature = basis.T @ core.loss.hessian_vector(rows, basis)
        curvature[np.diag_indices_from(curvature)] += 1e-14 * np.trace(curvature) + np.finfo(float).tiny
        step = -basis @ np.linalg.solve(curvature, slope)
        now, descent = core.loss.value(rows), float(core.loss.derivative(rows) @ step)
        share = next(
            (share for share in _LENGTHS if core.loss.value(rows + share * step) <= now + 1e-4 * share * descent), None
        )
        if share is None:
            break
        rows = rows + share * step
    return rows


def _require_inseparable(basis: FloatArray) -> None:
    """Raise unless no z has B z <= 0 but B z != 0 for the basis B; with rows of norm 1, lest small ones pass for 0."""
    from scipy.optimize import linprog

    norms = np.linalg.norm(basis, axis=1)
    seen = norms > _EPS
    basis = basis[seen] / norms[seen, None]
    if not basis.size:
        return
    result = linprog(basis.sum(axis=0), A_ub=basis, b_ub=np.zeros(len(basis)), bounds=(-1, 1), method="highs")
    if result.status == 0 and float(result.fun or 0.0) < -1e-7:
        raise ValueError(
            "the data are separable by the gradients and lam = 0, so the risk has no minimiser: "
            "its infimum is reached only at infinity; pass lam > 0"
        )


def realise(core: CanonicalProblem, w: FloatArray, sizes: FloatArray) -> tuple[Blocks, Blocks]:
    """Return factors with w0 + A(u v^T) = w, of rank as small as a frozen v allows; w - w0 is in the range of A."""
    rng = np.random.default_rng(0)
    target = (w - core.w0) / sizes
    rank = -(-len(w) // sum(max(shape) for shape in core.shapes))
    largest = max(min(shape) for shape in core.shapes)
    if not target.any():
        return [np.zeros((m, 0)) for m, _ in core.shapes], [np.zeros((n, 0)) for _, n in core.shapes]
    while True:
        # Freeze the factor of the shorter side, and solve for the longer one.
        frozen = [_frozen(rng, min(shape), rank) for shape in core.shapes]
        parts = [
            (rows.matvec(x) if m >= n else rows.rmatvec(x)).reshape(len(w), -1) / sizes[:, None]
            for rows, x, (m, n) in zip(core.blocks, frozen, core.shapes, strict=True)
        ]
        solution, missed = _solved(np.concatenate(parts, axis=1), target)
        if missed <= 1e-10 * np.linalg.norm(target) or rank >= largest:
            break
        rank *= 2
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]
    free = [x.reshape(max(s), -1) for x, s in zip(np.split(solution, ends), core.shapes, strict=True)]
    u = [x if m >= n else y for x, y, (m, n) in zip(free, frozen, core.shapes, strict=True)]
    v = [y if m >= n else x for x, y, (m, n) in zip(free, frozen, core.shapes, strict=True)]
    return u, v


def _solved(matrix: FloatArray, target: FloatArray) -> tuple[FloatArray, float]:
    """Return the x of all cuts with the least |matrix x - target|, refined twice, and that distance."""
    best, least = np.zeros(matrix.shape[1]), float(np.linalg.norm(target))
    for cut in _CUTS:
        x = np.zeros(matrix.shape[1])
        for _ in range(3):
            x = x + np.linalg.lstsq(matrix, target - matrix @ x, rcond=cut)[0]
            missed = float(np.linalg.norm(matrix @ x - target))
            if missed < least:
                best, least = x, missed
    return best, least


def _frozen(rng: np.random.Generator, size: int, rank: int) -> FloatArray:
    return np.asarray(np.linalg.qr(rng.standard_normal((size, min(size, rank))))[0])
