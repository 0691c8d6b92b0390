r"""lam = 0: minimise the risk alone, in d numbers, and realise the optimal rows by factors of low rank.

With an orthonormal basis B (d x k) of the range of A, the problem is min_z risk(w0 + B z): least squares for the
squared loss, a smooth convex problem otherwise. It has no minimiser exactly if some z has B z <= 0 and B z != 0, that
is, if a direction separates the data at least in part; linear programming finds out.

Rank. Freeze any v of r columns: u -> A(u v^T) is linear, with r m unknowns. For almost every G and v it is onto as soon
as r max(m, n) >= k, so that one block needs rank ceil(k / max(m, n)) only; r = min(m, n) always suffices.
"""

import numpy as np
from scipy.optimize import linprog

from lora_proofs.ntk.core import Array, Blocks, Core, gram

_STEPS = 200
_RANK = 1e-12
"""Eigenvalues of A A^T below this share of the largest count as 0."""


def range_basis(core: Core) -> Array:
    """Return an orthonormal basis B (d, k) of the range of A."""
    values, vectors = np.linalg.eigh(gram(core))
    return np.asarray(vectors[:, values > _RANK * values[-1]])


def optimal_rows(core: Core) -> Array:
    """Return the rows w of a minimiser of the risk.

    Raises
    ------
    ValueError
        If the data are separable, so that no minimiser exists.
    """
    B = range_basis(core)
    if B.shape[1] and core.loss.name != "squared":
        _require_inseparable(B)
    w = core.w0
    for _ in range(_STEPS):
        g = B.T @ core.loss.slope(w)
        if np.linalg.norm(g) <= 1e-15 * np.sqrt(len(w)):
            break
        H = B.T @ core.loss.curvature(w, B)
        H[np.diag_indices_from(H)] += 1e-14 * np.trace(H) / len(H)
        step, t = -np.linalg.solve(H, g), 1.0
        descent = float(g @ step)
        while core.loss.value(w + t * (B @ step)) > core.loss.value(w) + 1e-4 * t * descent and t > 1e-9:
            t /= 2
        w = w + t * (B @ step)
        if core.loss.name == "squared" or -descent <= 1e-30 * len(w):
            break
    return w


def _require_inseparable(B: Array) -> None:
    k = B.shape[1]
    result = linprog(B.sum(axis=0), A_ub=B, b_ub=np.zeros(len(B)), bounds=[(-1, 1)] * k, method="highs")
    if result.status == 0 and float(result.fun or 0.0) < -1e-7:
        raise ValueError(
            "the data are separable by the gradients and lam = 0, so the risk has no minimiser: "
            "its infimum is reached only at infinity; pass lam > 0"
        )


def realise(core: Core, w: Array) -> tuple[Blocks, Blocks]:
    """Return factors with w0 + A(u v^T) = w, of rank as small as a frozen v allows; w - w0 is in the range of A."""
    rng = np.random.default_rng(0)
    target = w - core.w0
    total = sum(max(shape) for shape in core.shapes)
    r = max(1, -(-len(w) // total))
    largest = max(min(shape) for shape in core.shapes)
    scale = float(np.linalg.norm(target))
    if scale == 0:
        return [np.zeros((m, 0)) for m, _ in core.shapes], [np.zeros((n, 0)) for _, n in core.shapes]
    while True:
        # Freeze the factor of the shorter side, and solve for the longer one.
        frozen = [_frozen(rng, min(shape), r) for shape in core.shapes]
        parts = [
            (rows.right(x) if m >= n else rows.left(x)).reshape(len(w), -1)
            for rows, x, (m, n) in zip(core.blocks, frozen, core.shapes, strict=True)
        ]
        solution, *_ = np.linalg.lstsq(np.concatenate(parts, axis=1), target, rcond=1e-13)
        ends = np.cumsum([part.shape[1] for part in parts])[:-1]
        free = [x.reshape(max(s), -1) for x, s in zip(np.split(solution, ends), core.shapes, strict=True)]
        u = [x if m >= n else y for x, y, (m, n) in zip(free, frozen, core.shapes, strict=True)]
        v = [y if m >= n else x for x, y, (m, n) in zip(free, frozen, core.shapes, strict=True)]
        if np.linalg.norm(core.rows(u, v) - w) <= 1e-10 * scale or r >= largest:
            return u, v
        r = min(2 * r, largest)


def _frozen(rng: np.random.Generator, n: int, r: int) -> Array:
    return np.asarray(np.linalg.qr(rng.standard_normal((n, min(n, r))))[0])


def dual_bound_at_zero(core: Core, q: Array) -> float:
    """Return the dual objective at the part of q orthogonal to the range of A, the feasible one; at least 0."""
    B = range_basis(core)
    return max(0.0, core.dual(q - B @ (B.T @ q)))
