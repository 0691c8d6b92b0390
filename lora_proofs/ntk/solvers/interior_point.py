r"""The referee: a dual interior-point method that shares no step with the primal methods.

The d dual variables q are followed along the maximisers of D(q) + mu sum_t log det Z_t(q), where
Z_t = [[lam I, S_t], [S_t^T, lam I]] is positive definite exactly when |S_t|_op < lam. With B = Z^{-1} and
E_k = d Z / d q_k, the barrier has derivatives <B, E_k> and -tr(B E_k B E_l), and the primal estimate is
delta = 2 mu B_12.

Its accuracy ends near relative 1e-7. From there Newton's method on the face takes over: with W = [U; V] / sqrt 2, U and
V the r singular vectors of S that are active, it solves the optimality conditions of max D(q) subject to
W^T E(q) W = lam I for q and the multiplier X (r x r), delta = -2 W_u X W_v^T. The Lagrangian's Hessian is that of
eigenvalues,

    2 tr(X W^T E_k R E_l W),    R = the inverse of lam I - E on the inactive eigenvectors (0 on the others),

without which the convergence would be linear (Overton 1992, SIAM J. Optim. 2; here for singular values).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lora_proofs.ntk.canonical import CanonicalProblem
from lora_proofs.ntk.losses import Loss
from lora_proofs.ntk.points import Point, evaluate
from lora_proofs.ntk.types import Blocks, FloatArray

_SHRINK = 0.2
_CENTERING_STEPS = 60
_FACE_STEPS = 30
_STAGES = 60

_INSIDE = 1e-6
"""Share of the centre of the simplex in the point where the path starts."""

_SETTLED = 0.1
"""Relative change of the slopes from which on they are still on the way."""

_QUIET = np.errstate(all="ignore")
"""Slopes of 1e-200 have inverses that overflow: what comes of it is looked at, and need not be announced."""


def conjugate_slope(loss: Loss, dual: FloatArray) -> FloatArray:
    """Return phi*'(dual), the rows w with phi'(w) = dual."""
    if loss.name == "squared":
        return dual
    shares = dual.reshape(loss.N, -1)
    return np.asarray(np.log(shares) - np.log1p(-shares.sum(axis=1, keepdims=True))).ravel()


def conjugate_hessian(loss: Loss, dual: FloatArray) -> FloatArray:
    """Return phi*''(dual), shape (d, d), block diagonal over the data."""
    if loss.name == "squared":
        return np.eye(len(dual))
    shares = dual.reshape(loss.N, -1)
    width = shares.shape[1]
    hessian = np.diag(1 / dual)
    for i, rest in enumerate(1 - shares.sum(axis=1)):
        hessian[i * width : (i + 1) * width, i * width : (i + 1) * width] += 1 / rest
    return hessian


def _in_domain(loss: Loss, dual: FloatArray) -> bool:
    if loss.name == "squared":
        return True
    return bool((dual > 0).all() and (dual.reshape(loss.N, -1).sum(axis=1) < 1).all())


def _longest(loss: Loss, dual: FloatArray, step: NDArray[Any]) -> float:
    """Return the largest t <= 1 for which no entry of dual, nor 1 - sum dual, falls below a tenth of what it was.

    Where phi*' = log dual is far off, Newton's step would go to the boundary, from which there is no way back.
    """
    if loss.name == "squared":
        return 1.0
    shares, moves = dual.reshape(loss.N, -1), step.reshape(loss.N, -1)
    shares = np.concatenate([shares, 1 - shares.sum(axis=1, keepdims=True)], axis=1)
    moves = np.concatenate([moves, -moves.sum(axis=1, keepdims=True)], axis=1)
    return float(min(1.0, 0.9 / max(1e-300, float((-moves / shares).max()))))


def _stepped(loss: Loss, dual: FloatArray, step: FloatArray) -> FloatArray:
    """Return dual + step with `_longest`'s rule applied to every entry and then to every datum by itself.

    On the face an entry near 0 has no say in the solution, and must not hold up the others.
    """
    if loss.name == "squared":
        return dual + step
    shares = dual.reshape(loss.N, -1)
    moved = np.maximum(step.reshape(shares.shape), -0.9 * shares)
    rest = 1 - shares.sum(axis=1, keepdims=True)
    used = moved.sum(axis=1, keepdims=True)
    return np.asarray(shares + np.minimum(1.0, 0.9 * rest / np.maximum(used, 1e-300)) * moved).ravel()


def _lifted(gradient: FloatArray, diagonal: float) -> FloatArray:
    m, n = gradient.shape
    lifted = np.zeros((m + n, m + n))
    lifted[:m, m:], lifted[m:, :m] = gradient, gradient.T
    lifted[np.diag_indices(m + n)] = diagonal
    return lifted


def interior_point(core: CanonicalProblem) -> Iterator[Point]:
    """Yield primal points: after each crossover to the face, as soon as the path is close enough to try one.

    Parameters
    ----------
    core : CanonicalProblem
        A problem with lam > 0; its rows are held densely.
    """
    lam, loss = core.lam, core.loss
    core.passes += 1
    G = [rows.matvec(np.eye(rows.shape[1])) / core.N for rows in core.blocks]
    q = loss.derivative(core.w0)
    if max(float(np.linalg.norm(S, 2)) for S in _combine(G, q)) <= lam:
        yield evaluate(core, *_empty(core))
        return
    if loss.name != "squared":  # slopes of margins of hundreds are on the boundary, where phi*' is infinite
        q = (1 - _INSIDE) * q + _INSIDE * loss.N / (loss.N + len(q))
    top = max(float(np.linalg.norm(S, 2)) for S in _combine(G, q))
    q = q * (0.5 * lam / top)
    size = sum(sum(shape) for shape in core.shapes)
    mu = core.risk(core.w0) / size
    delta: Blocks = []
    found = False
    for _ in range(_STAGES):
        try:
            q, delta = _centre(core, G, q, mu)
            close = mu * size <= 1e-4 * max(abs(core.dual(q)), 1e-3 * core.risk(core.w0))
            points = [_estimate(core, delta), _face_newton(core, G, q, delta)] if close else []
        except np.linalg.LinAlgError:
            break  # rounding ends the path
        if points:
            found = True  # Newton's method may have left for a face of no optimum
            yield min((point for point in points if point is not None), key=lambda point: point.value)
        mu *= _SHRINK
        if mu * size < 1e-15 * core.risk(core.w0):
            break
    if not found:  # no face: what the path came to
        yield _estimate(core, delta) if delta else evaluate(core, *_empty(core))


def _estimate(core: CanonicalProblem, delta: Blocks) -> Point:
    """Return the point of the primal estimates delta of the path."""
    u, v = [], []
    for D in delta:
        U, s, Vt = np.linalg.svd(D, full_matrices=False)
        u.append(U * np.sqrt(s))
        v.append(Vt.T * np.sqrt(s))
    return evaluate(core, u, v)


def _combine(G: list[FloatArray], dual: FloatArray) -> Blocks:
    return [np.tensordot(dual, block, axes=1) for block in G]


def _empty(core: CanonicalProblem) -> tuple[Blocks, Blocks]:
    return [np.zeros((m, 0)) for m, _ in core.shapes], [np.zeros((n, 0)) for _, n in core.shapes]


def _barrier(core: CanonicalProblem, rows: list[FloatArray], dual: FloatArray, mu: float) -> float:
    """Return -D(q) - mu sum log det Z_t(q), inf outside the domain."""
    if not _in_domain(core.loss, dual):
        return float("inf")
    total = -core.dual(dual)
    for S in _combine(rows, dual):
        try:
            total -= 2 * mu * float(np.log(np.linalg.cholesky(_lifted(S, core.lam)).diagonal()).sum())
        except np.linalg.LinAlgError:
            return float("inf")
    return total


@_QUIET
def _centre(core: CanonicalProblem, G: list[FloatArray], dual: FloatArray, mu: float) -> tuple[FloatArray, Blocks]:
    """Return the maximiser of D + mu log det Z, by damped Newton steps, and the primal estimates 2 mu B_12."""
    value = _barrier(core, G, dual, mu)
    delta: Blocks = []
    for _ in range(_CENTERING_STEPS):
        H = conjugate_hessian(core.loss, dual) / core.N
        g = (conjugate_slope(core.loss, dual) - core.w0) / core.N
        delta = []
        for rows, S in zip(G, _combine(G, dual), strict=True):
            m = S.shape[0]
            B = np.asarray(np.linalg.inv(_lifted(S, core.lam)))
            B11, B12, B22 = B[:m, :m], B[:m, m:], B[m:, m:]
            moved = B11 @ rows @ B22 + B12 @ rows.swapaxes(1, 2) @ B12
            flat = rows.reshape(len(dual), -1)
            g -= 2 * mu * (flat @ B12.ravel())
            H += 2 * mu * (moved.reshape(len(dual), -1) @ flat.T)
            delta.append(np.asarray(2 * mu * B12))
        step = -np.linalg.solve((H + H.T) / 2, g)
        decrement = -float(g @ step)
        # An entry of 1e-100 that ought to be 1e-10 has no say in the decrement, but all in the estimate of w.
        settled = core.loss.name == "squared" or float(np.abs(step / dual).max()) <= _SETTLED
        if decrement <= 1e-6 * mu and settled:
            break
        t = _longest(core.loss, dual, step)
        hidden = 1e-14 * abs(value)
        while (trial := _barrier(core, G, dual + t * step, mu)) > value + hidden - 0.1 * t * decrement and t > 1e-8:
            t /= 2
        if trial > value + hidden:
            break
        dual, value = dual + t * step, trial
    return dual, delta


@dataclass
class _Face:
    """The active eigenvectors W (m + n, r) of one block's lifted S, and the multiplier X in their frame."""

    W: FloatArray
    X: FloatArray
    m: int

    def factors(self) -> tuple[FloatArray, FloatArray]:
        """Return u, v with u v^T = -2 W_u X_+ W_v^T, X_+ the positive part."""
        e, V = np.linalg.eigh(self.X)
        root = V * np.sqrt(2 * np.maximum(e, 0.0))
        return -self.W[: self.m] @ root, self.W[self.m :] @ root


@_QUIET
def _face_newton(core: CanonicalProblem, rows: list[FloatArray], dual: FloatArray, delta: Blocks) -> Point | None:
    """Return the optimum on the face that (dual, delta) suggests; None if that is no face of an optimum."""
    spectra = [np.linalg.svd(D, compute_uv=False) for D in delta]
    slacks = [core.lam - np.linalg.svd(S, compute_uv=False) for S in _combine(rows, dual)]
    # On the path delta_a times its slack is mu: what is active has a large share of delta and little slack.
    total = sum(float(s.sum()) for s in spectra)
    actives = [s[s * core.lam > slack * total] for s, slack in zip(spectra, slacks, strict=True)]
    if not any(s.size for s in actives):
        return None
    faces = []
    for S, s in zip(_combine(rows, dual), actives, strict=True):
        W = np.linalg.eigh(_lifted(S, 0.0))[1][:, sum(S.shape) - s.size :]
        faces.append(_Face(W, np.diag(s[::-1]), S.shape[0]))
    last = np.inf
    for _ in range(_FACE_STEPS):
        step, faces = _face_step(core, rows, dual, faces)
        dual = _stepped(core.loss, dual, step)
        moved = float(np.linalg.norm(step))
        if moved > 10 * last and moved > 1e-3 * np.linalg.norm(dual):
            return None  # a wrong face: the path has to come closer first
        if moved <= 1e-15 * np.linalg.norm(dual) or (moved > 0.5 * last and moved <= 1e-9 * np.linalg.norm(dual)):
            break
        last = moved
    pairs = [face.factors() for face in faces]
    return evaluate(core, [u for u, _ in pairs], [v for _, v in pairs])


def _face_step(
    core: CanonicalProblem, all_rows: list[FloatArray], dual: FloatArray, faces: list[_Face]
) -> tuple[FloatArray, list[_Face]]:
    """Return the Newton step in dual, and the faces at dual with their new multipliers."""
    d, lam = len(dual), core.lam
    H = conjugate_hessian(core.loss, dual) / core.N
    columns, frames = [], []
    defects: list[NDArray[Any]] = []
    for rows, S, face in zip(all_rows, _combine(all_rows, dual), faces, strict=True):
        m, r = face.m, face.W.shape[1]
        values, vectors = np.linalg.eigh(_lifted(S, 0.0))
        rest, W = vectors[:, : len(values) - r], vectors[:, len(values) - r :]
        turned = W.T @ face.W
        EW = np.concatenate([rows @ W[m:], rows.swapaxes(1, 2) @ W[:m]], axis=1)
        bent = (rest.T @ EW) / np.sqrt(np.maximum(lam - values[: len(rest.T)], 1e-12 * lam))[:, None]
        H += 2 * (bent @ (turned @ face.X @ turned.T)).reshape(d, -1) @ bent.reshape(d, -1).T
        i, j = np.triu_indices(r)
        weight = np.where(i == j, 1.0, np.sqrt(2))
        columns.append((W.T @ EW)[:, i, j] * weight)
        defects.append((lam * np.eye(r) - np.diag(values[len(rest.T) :]))[i, j] * weight)
        frames.append((W, m, i, j, weight))
    step, multipliers = _saddle_point(
        H,
        np.concatenate(columns, axis=1),
        (core.w0 - conjugate_slope(core.loss, dual)) / core.N,
        np.concatenate(defects),
    )
    parts = np.split(multipliers, np.cumsum([len(frame[2]) for frame in frames])[:-1])
    return step, [_face(*frame, part) for frame, part in zip(frames, parts, strict=True)]


def _saddle_point(H: FloatArray, C: FloatArray, right: FloatArray, below: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return x, y with H x + C y = right and C^T x = below, scaled first: phi*'' = 1/q has entries of any size."""
    row_scales = 1 / np.sqrt(H.diagonal())
    C = row_scales[:, None] * C
    column_scales = 1 / np.maximum(np.linalg.norm(C, axis=0), 1e-300)
    C = C * column_scales
    zero = np.zeros((C.shape[1], C.shape[1]))
    system = np.block([[row_scales[:, None] * H * row_scales, C], [C.T, zero]])
    if not np.isfinite(system).all():
        raise np.linalg.LinAlgError("the system overflows")
    solution = np.linalg.lstsq(system, np.concatenate([row_scales * right, column_scales * below]), rcond=1e-15)[0]
    return row_scales * solution[: len(row_scales)], column_scales * solution[len(row_scales) :]


def _face(
    W: FloatArray, m: int, i: NDArray[np.intp], j: NDArray[np.intp], weight: FloatArray, multiplier: FloatArray
) -> _Face:
    X = np.zeros((W.shape[1], W.shape[1]))
    X[i, j] = X[j, i] = multiplier / weight
    return _Face(W, X, m)
