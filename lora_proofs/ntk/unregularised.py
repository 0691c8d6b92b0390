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
from scipy.optimize import linprog

from lora_proofs.ntk.burer_monteiro import Point, balanced, evaluate, temperatures
from lora_proofs.ntk.core import Array, Blocks, Core, Rows, ScaledRows, dense
from lora_proofs.ntk.null_space import TooLarge
from lora_proofs.ntk.spectrum import slack

_STEPS = 200
_CUTS = (1e-15, 1e-12, 1e-9)
"""Singular values of the rows, each of norm 1, up to which a direction is not used: tried in this order."""

_GAP = 1e3
"""Ratio of singular values at which the rank of rows too many for exact arithmetic is believed."""

_EPS = 2.0**-52


def least_risk(core: Core) -> Iterator[Point]:
    """Yield minimisers of the risk, one for every cut that uses other directions.

    Raises
    ------
    ValueError
        If the data are separable, so that no minimiser exists.
    """
    equal, exponents = _equalised(core)
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
        u, v = (
            [np.ldexp(x, -e // 2) for x, e in zip(side, exponents, strict=True)] for side in zip(*pairs, strict=True)
        )
        yield evaluate(core, u, v)
    if separable is not None:
        raise separable


def _equalised(core: Core) -> tuple[Core, list[int]]:
    """Return the problem with blocks 2^-e_t G_t of size 1, and the even e_t: without lam no block costs more."""
    exponents = [2 * (int(np.frexp(x.max())[1]) // 2) if x.any() else 0 for x in core.sizes]
    blocks: list[Rows] = [ScaledRows(rows, 2.0**-e) for rows, e in zip(core.blocks, exponents, strict=True)]
    sizes = [np.ldexp(x, -e) for x, e in zip(core.sizes, exponents, strict=True)]
    return Core(blocks, core.w0, core.loss, 0.0, sizes=sizes), exponents


def row_sizes(core: Core) -> Array:
    """Return the bounds on the norms of the rows, all blocks together; 1 where a row is 0."""
    sizes = np.linalg.norm(core.sizes, axis=0)
    return np.where(sizes > 0, sizes, 1.0)


def _left(core: Core, sizes: Array) -> tuple[Array, Array]:
    """Return the left singular vectors and singular values of the rows, each scaled to norm 1."""
    R = np.asarray(np.linalg.qr((dense(core) / sizes[:, None]).T, mode="r"))
    U, s, _ = np.linalg.svd(R.T, full_matrices=False)
    return U, s


def optimal_rows(core: Core, B: Array) -> Array:
    """Return the rows w of a minimiser of the risk over w0 + range B, for orthonormal B.

    Raises
    ------
    ValueError
        If the data are separable, so that no minimiser exists.
    """
    if core.loss.name == "squared":
        for w in [core.w0]:
            w = w - B @ (B.T @ w)
        return w - B @ (B.T @ w)
    if B.shape[1]:
        _require_inseparable(B)
    w = core.w0
    for T in temperatures(core):
        w = T * _newton(core, B, w / T)
    return w


def _newton(core: Core, B: Array, w: Array) -> Array:
    for _ in range(_STEPS if B.shape[1] else 0):
        g = B.T @ core.loss.slope(w)
        if np.linalg.norm(g) <= 1e-15 * np.sqrt(len(w)):
            break
        H = B.T @ core.loss.curvature(w, B)
        H[np.diag_indices_from(H)] += 1e-14 * np.trace(H) / len(H) + np.finfo(float).tiny
        step, t = -np.linalg.solve(H, g), 1.0
        descent = float(g @ step)
        while core.loss.value(w + t * (B @ step)) > core.loss.value(w) + 1e-4 * t * descent and t > 1e-9:
            t /= 2
        w = w + t * (B @ step)
        if -descent <= 1e-30 * len(w):
            break
    return w


def _require_inseparable(B: Array) -> None:
    """Raise unless no z has B z <= 0 but B z != 0; with rows of norm 1, lest small ones pass for 0."""
    norms = np.linalg.norm(B, axis=1)
    B, k = B[norms > 1e-14] / norms[norms > 1e-14, None], B.shape[1]
    result = linprog(B.sum(axis=0), A_ub=B, b_ub=np.zeros(len(B)), bounds=[(-1, 1)] * k, method="highs")
    if result.status == 0 and float(result.fun or 0.0) < -1e-7:
        raise ValueError(
            "the data are separable by the gradients and lam = 0, so the risk has no minimiser: "
            "its infimum is reached only at infinity; pass lam > 0"
        )


def realise(core: Core, w: Array, sizes: Array) -> tuple[Blocks, Blocks]:
    """Return factors with w0 + A(u v^T) = w, of rank as small as a frozen v allows; w - w0 is in the range of A."""
    rng = np.random.default_rng(0)
    target = w - core.w0
    total = sum(max(shape) for shape in core.shapes)
    r = max(1, -(-len(w) // total))
    largest = max(min(shape) for shape in core.shapes)
    scale = float(np.linalg.norm(target / sizes))
    if scale == 0:
        return [np.zeros((m, 0)) for m, _ in core.shapes], [np.zeros((n, 0)) for _, n in core.shapes]
    best: tuple[float, Blocks, Blocks] = np.inf, [], []
    while True:
        # Freeze the factor of the shorter side, and solve for the longer one.
        frozen = [_frozen(rng, min(shape), r) for shape in core.shapes]
        parts = [
            (rows.right(x) if m >= n else rows.left(x)).reshape(len(w), -1)
            for rows, x, (m, n) in zip(core.blocks, frozen, core.shapes, strict=True)
        ]
        matrix = np.concatenate(parts, axis=1) / sizes[:, None]
        ends = np.cumsum([part.shape[1] for part in parts])[:-1]
        for cut in _CUTS:
            solution = np.zeros(matrix.shape[1])
            for _ in range(3):  # refined until the residual is that of the rounding of the factors
                residual = (target - matrix @ solution * sizes) / sizes
                solution = solution + np.linalg.lstsq(matrix, residual, rcond=cut)[0]
            free = [x.reshape(max(s), -1) for x, s in zip(np.split(solution, ends), core.shapes, strict=True)]
            u = [x if m >= n else y for x, y, (m, n) in zip(free, frozen, core.shapes, strict=True)]
            v = [y if m >= n else x for x, y, (m, n) in zip(free, frozen, core.shapes, strict=True)]
            missed = float(np.linalg.norm((core.rows(u, v) - w) / sizes))
            if missed < best[0]:
                best = missed, u, v
        if best[0] <= 1e-10 * scale or r >= largest:
            return best[1], best[2]
        r = min(2 * r, largest)


def _frozen(rng: np.random.Generator, n: int, r: int) -> Array:
    return np.asarray(np.linalg.qr(rng.standard_normal((n, min(n, r))))[0])


def dual_bound_at_zero(core: Core, q: Array) -> float:
    """Return the dual objective at the part of q orthogonal to the rows, the feasible one, less its rounding; >= 0."""
    assert core.feasible is not None
    try:
        p = np.array([float(x.mid()) for x in core.feasible(q)])
        lost = 0.0
    except TooLarge:
        p, lost = _projected(core, q)
    p = p / (1 + 4 * _EPS * len(q) / core.N) if core.loss.name != "squared" else p
    size = float(np.abs(p) @ np.abs(core.w0)) + core.loss.conjugate_size(p)
    return max(0.0, core.dual(p) - slack(len(q)) * size / core.N - lost)


def _projected(core: Core, q: Array) -> tuple[Array, float]:
    """Return the part of q orthogonal to the rows in floats, and what rounding may add to the dual objective.

    Unless a gap of the singular values decides what the rank is, every direction counts as reachable.
    """
    sizes = row_sizes(core)
    U, s = _left(core, sizes)
    noise = len(q) * _EPS * s[0]
    rank = int((s > noise).sum())
    dropped = max(noise, float(s[rank:].max(initial=0.0)))
    if not rank or s[rank - 1] < _GAP * dropped:
        return np.zeros(len(q)), 0.0
    B = np.linalg.qr(sizes[:, None] * U[:, :rank])[0]
    p = q - B @ (B.T @ q)
    p = p - B @ (B.T @ p)
    turned = slack(len(q)) * float(s[0] / s[rank - 1]) * float(sizes.max() / sizes.min())
    return p, turned * float(np.linalg.norm(q) * (np.linalg.norm(core.w0) + np.linalg.norm(p))) / core.N
