r"""Burer-Monteiro for small problems: Newton's method in the factors, with the rank grown until nothing is violated.

At a stationary point of rank below the size, or one whose gradient S of the risk satisfies |S_t|_op <= lam for all
blocks, (u, v) is a global minimum (arXiv 2402.11867v3). While some singular value exceeds lam, its pair of
singular vectors, added as a new column, is a direction of descent: the objective along s (u_1, v_1) is
s^2 (lam - sigma_1) + O(s^4). So spurious minima of one rank are left through the next rank, and at rank d + 1 at the
latest none is left.
"""

import numpy as np

from lora_proofs.ntk.canonical import CanonicalProblem
from lora_proofs.ntk.points import Point, balanced, evaluate, gradient, hessian
from lora_proofs.ntk.reductions import Scaled
from lora_proofs.ntk.types import Blocks, FloatArray

_NEWTON_STEPS = 300
_GAUGE = 1e-11
"""Shift, as a share of the mean eigenvalue, that makes the Hessian definite along (u, v) -> (uO, vO), where it is 0."""

_ROUNDING = 1e-12
"""Share of the objective below which differences of it are not trusted."""

_MODERATE = 16.0
"""Size of the rows up to which the exponential losses are solved as they are."""


def _moved(point: Point, step: FloatArray) -> tuple[Blocks, Blocks]:
    sizes = [x.size for pair in zip(point.u, point.v, strict=True) for x in pair]
    parts = np.split(step, np.cumsum(sizes)[:-1])
    u = [x + part.reshape(x.shape) for x, part in zip(point.u, parts[0::2], strict=True)]
    v = [x + part.reshape(x.shape) for x, part in zip(point.v, parts[1::2], strict=True)]
    return u, v


def newton(core: CanonicalProblem, point: Point, tolerance: float) -> Point:
    """Return a stationary point: Newton steps until the gradient is below tolerance or lost in rounding."""
    shift = 0.0
    for _ in range(_NEWTON_STEPS):
        g = gradient(core, point)
        if np.linalg.norm(g) <= tolerance:
            break
        trial, shift = _descend(core, point, g, shift)
        if trial is None:
            break
        point = trial
    return point


def _descend(core: CanonicalProblem, point: Point, slope: FloatArray, shift: float) -> tuple[Point | None, float]:
    """Return a lower point and the next shift: Newton's step with the Hessian shifted as Levenberg's rule asks.

    The shift grows until the Hessian is definite and the objective falls by a fair share of what the model promises.
    The point is None when no step gains anything that rounding does not hide.
    """
    from scipy.linalg.lapack import dpotrf, dpotrs

    curvature = hessian(core, point)
    diagonal = curvature.diagonal().copy()
    scale = float(diagonal.mean())
    while shift < 1e12 * scale:
        shifted = max(shift, _GAUGE * scale)
        curvature.flat[:: len(curvature) + 1] = diagonal + shifted
        factor, indefinite = dpotrf(curvature.T, lower=True, clean=False)
        if indefinite:
            shift = max(10 * shift, 1e-4 * scale)
            continue
        step = -dpotrs(factor, slope, lower=True)[0]
        promised = float(shifted * (step @ step) - slope @ step) / 2
        trial = evaluate(core, *_moved(point, step))
        gained = point.value - trial.value
        if promised <= _ROUNDING * abs(point.value):
            # Rounding hides the descent, but not yet the decay of the gradient.
            decays = np.linalg.norm(gradient(core, trial)) < 0.5 * np.linalg.norm(slope)
            return (trial if decays else None), shift
        if gained > 0.1 * promised:
            if gained > 0.75 * promised:
                shift = shift / 4 if shift > 1e-9 * scale else 0.0
            return trial, shift
        shift = max(4 * shift, 1e-4 * scale)
    return None, shift


def _grown(core: CanonicalProblem, point: Point, tolerance: float) -> Point | None:
    """Return the point with the violated singular pairs of S as new columns; None if there are none."""
    triplets = [np.linalg.svd(S, full_matrices=False) for S in point.S]
    violated = sorted(
        ((float(sigma), t, i) for t, (_, s, _) in enumerate(triplets) for i, sigma in enumerate(s)), reverse=True
    )
    violated = [item for item in violated if item[0] > core.lam * (1 + tolerance)]
    if not violated:
        return None
    rank = sum(u.shape[1] for u in point.u)
    room = int(np.ceil(np.sqrt(2 * len(point.w) * len(point.u)))) - rank
    chosen = violated[: max(1, room)]
    new = [[i for _, t, i in chosen if t == block] for block in range(len(triplets))]
    du = [-U[:, i] for (U, _, _), i in zip(triplets, new, strict=True)]
    dv = [Vt[i].T for (_, _, Vt), i in zip(triplets, new, strict=True)]
    a = core.apply_factors(du, dv)
    bend = float(a @ core.loss.hessian_vector(point.w, a)) / core.N
    slope = sum(sigma - core.lam for sigma, _, _ in chosen)
    # lam tau <= P is no restriction, and where the loss is flat to rounding the model knows no other.
    tau = point.value / core.lam
    tau = min(tau, slope / bend) if bend * tau > slope else tau
    for _ in range(60):
        root = np.sqrt(tau)
        grown = evaluate(
            core,
            [np.concatenate([x, root * y], axis=1) for x, y in zip(point.u, du, strict=True)],
            [np.concatenate([x, root * y], axis=1) for x, y in zip(point.v, dv, strict=True)],
        )
        if grown.value < point.value or tau * slope < _ROUNDING * point.value:
            return grown
        tau /= 4
    return None


def temperatures(core: CanonicalProblem) -> list[float]:
    """Return falling temperatures T that end in 1, more than one only where the rows make the loss almost flat.

    Margins of hundreds turn the exponential losses into hinges, whose curvature is 0 to rounding away from the kinks.
    T phi(w / T) is phi seen from afar, with w / T of size 10. And with factors sqrt(T) u, sqrt(T) v it is T times the
    same problem but for its w0, which is w0 / T: so a minimiser is followed from T to T / 4 without another loss.
    """
    hottest = 1.0 if core.loss.name == "squared" else float(np.abs(core.w0).max()) / _MODERATE
    stages = int(np.ceil(np.log(max(hottest, 1.0)) / np.log(4)))
    return [4.0**k for k in range(stages, -1, -1)]


def minimise(core: CanonicalProblem, u: Blocks, v: Blocks, tolerance: float) -> Point:
    """Return a global minimum as `minimise_at` does, by way of higher `temperatures`."""
    for T in temperatures(core):
        cooler = CanonicalProblem(core.blocks, core.w0 / T, core.loss, core.lam, core.passes) if T > 1 else core
        stage = Scaled(cooler, [int(np.log2(T)) // 2] * len(core.blocks))
        point = minimise_at(cooler, *stage.reduce(u, v), max(tolerance, 1e-4 * (T > 1)))
        u, v = stage.lift(point.u, point.v)
        core.passes = cooler.passes
    return point


def minimise_at(core: CanonicalProblem, u: Blocks, v: Blocks, tolerance: float) -> Point:
    """Return a global minimum of the LoRA objective (and so of the convex one), up to the tolerance.

    Parameters
    ----------
    core : CanonicalProblem
        A problem with lam > 0, small enough for dense Newton systems of size sum (m_t + n_t) r_t.
    u, v : lists of (m_t, r_t), (n_t, r_t)
        Where to start; r_t = 0 is fine.
    tolerance : float
        |S_t|_op <= lam (1 + tolerance) at the result, unless rounding does not allow it.
    """
    point = evaluate(core, u, v)
    scale = max(core.lam, max(float(np.linalg.norm(S)) for S in point.S))
    grown: Point | None = point
    for _ in range(len(point.w) + 50):
        if grown is None:
            break
        if any(x.size for x in grown.u):
            point = newton(core, grown, 1e-3 * tolerance * scale)
            pairs = [balanced(x, y) for x, y in zip(point.u, point.v, strict=True)]
            point = evaluate(core, [x for x, _ in pairs], [y for _, y in pairs])
        grown = _grown(core, point, tolerance)
    return point
