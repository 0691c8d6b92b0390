r"""Second-order verdicts: whether a LoRA point (u, v) is a strict local minimum, a saddle, or neither.

L is constant along the orbit of O(r), (u, v) -> (u R, v R), and for lam = 0 along that of GL(r), (u R, v R^{-T}). With
several blocks each has its own group. The curvature along the orbit is 0 at a stationary point and says nothing, so it
is projected out: "strict" means strict up to this gauge. Setting: Jang, Lee & Ryu, arXiv 2402.11867v3.

"Strict minimum" is a statement about a neighbourhood, since no computed point is exactly stationary. Let g be the
gradient, mu > 0 the least curvature on the slice (u, v) + (complement of the orbit's tangents), and T a bound on the
third derivative of L on the ball of radius rho = 2 |g| / mu about (u, v). If 2 T |g| < mu^2 (Kantorovich's condition):

1. On the part of the slice in that ball the curvatures are at least mu - T rho > 0, and on its rim the slope outwards
   is at least -|g| + mu rho - T rho^2 / 2 > 0: L has one minimiser there, in the interior, with positive curvatures.
2. Where rho is smaller than |u W|, |v W| over |W| for all W that move (u, v) (`Gauge.reach`), the orbits through the
   ball cross the slice: the gradient there is orthogonal to both, so it is 0. A strict minimum of L, up to the gauge.

Past a fold, where a minimum and a saddle have met and vanished, a small gradient a t^2 goes with a curvature 2 a t and
T = 2 a: 2 T |g| = mu^2, and the test refuses. T is explicit. Along (x, y) of length 1, w moves by t J + t^2 K with
J = A(x v^T + u y^T) and K = A(x y^T), so the third derivative is (1/N) sum (phi'''[J, J, J] + 6 phi''[J, K]), where
|J| <= |A| s with s^2 = |u|_op^2 + |v|_op^2, and |K| <= |A| / 2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lora_proofs.display import Readable, show
from lora_proofs.exact import algebra, matrices
from lora_proofs.exact.algebra import inertia, inner
from lora_proofs.exact.matrices import floats
from lora_proofs.linalg import spectral_norm
from lora_proofs.ntk.canonical import canonical_problem, gram
from lora_proofs.ntk.hessian import Hessian, norm
from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.ntk.reductions import as_passed
from lora_proofs.ntk.traps.rational_instance import Trap
from lora_proofs.ntk.types import Blocks, FloatArray

_DENSE = 600
"""Up to this many variables the Hessian is formed and diagonalised; Lanczos takes over beyond."""

_CURVATURE_TOLERANCE = 1e-9
"""Share of |Hessian| below which a computed curvature is not told from 0."""

_ROUNDING = 1e-15
"""Share of its scale by which a computed gradient may be off."""

_INDEPENDENT = 1e-12
"""Share of the largest singular value of u v^T below which, at lam = 0, its last one is taken for 0."""

_TWIST = {"squared": 0.0, "logistic": 3**-0.5 / 6, "cross_entropy": 2**1.5 * 3**-0.5 / 6}
"""Bounds on |phi'''[J, J, J]| over |J|^3 for one datum: a third cumulant is at most range^3 / (6 sqrt 3), and the range
of J (with a 0 for the label) is at most |J| for one row, and sqrt 2 |J| for several."""


@dataclass(frozen=True, eq=False, repr=False)
class SecondOrder(Readable):
    """The result of `second_order`.

    Attributes
    ----------
    verdict : str
        "strict minimum" (within 2 `gradient_norm` / `min_curvature` there is one, up to the gauge), "saddle" (a
        negative curvature and a lower point were found), "not stationary", or "degenerate" (none of these is decided).
    escape : (du, dv) or None
        For a saddle: a step for which the objective at (u + du, v + dv) was found to be lower; arrays or lists, as u
        and v were given, and of their library, dtype and device.
    gradient_norm : float
        Frobenius norm of the gradient; at lam = 0, as all that follows, at the balanced point of the orbit.
    relative_gradient : float
        The same, over (lam + |S|_F) |(u, v)|_F, with the larger of S here and at delta = 0.
    min_curvature : float
        The smallest eigenvalue of the Hessian on the complement of the gauge: an upper bound always, since it is the
        curvature of a direction that was found.
    residual : float
        |H z - min_curvature z| for that unit direction z: an eigenvalue is within this distance.
    max_curvature : float
        The largest eigenvalue, in absolute value, that was met.
    gauge : int
        Dimension of the orbit.
    """

    verdict: str
    escape: tuple[Any, Any] | None
    gradient_norm: float
    relative_gradient: float
    min_curvature: float
    residual: float
    max_curvature: float
    gauge: int

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        rows = {
            "gradient": f"{show(self.gradient_norm)}, relative {show(self.relative_gradient)}",
            "curvature": f"smallest {show(self.min_curvature)} +- {show(self.residual)}",
            "gauge": f"of dimension {self.gauge}",
        }
        return self.verdict, rows


@dataclass(frozen=True, eq=False, repr=False)
class ExactSecondOrder(Readable):
    """The result of `exact_second_order`.

    Attributes
    ----------
    verdict : str
        As in `SecondOrder`, but decided over Q.
    inertia : (int, int, int)
        Numbers of negative, zero and positive eigenvalues of the Hessian.
    gauge : int
        Dimension of the orbit; a strict minimum has no further zero eigenvalue.
    escape : (fmpq_mat, fmpq_mat) or None
        For a saddle: a rational step (du, dv) that lowers the objective.
    """

    verdict: str
    inertia: tuple[int, int, int]
    gauge: int
    escape: tuple[Any, Any] | None

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        negative, zero, positive = self.inertia
        curvatures = f"{negative} negative, {zero} zero ({self.gauge} along the orbit), {positive} positive"
        return self.verdict, {"curvatures": curvatures}


def second_order(problem: LinearizedProblem, u: Any, v: Any, tolerance: float = 1e-6) -> SecondOrder:
    r"""Judge (u, v) by its gradient, its smallest curvature across the gauge orbit, and the third derivative nearby.

    "Strict minimum" says that L has a strict minimum, up to the gauge, next to (u, v): see the module for the test and
    its proof. The flatter the minimum, the better (u, v) must be converged. At lam = 0 (u, v) is first moved along its
    orbit to balanced factors, u^T u = v^T v, where that is possible: derivatives at others differ by what scales them.
    It is numerical evidence; `exact_second_order` decides over Q.

    Parameters
    ----------
    problem : LinearizedProblem
    u, v : lists of arrays (m_t, r_t), (n_t, r_t), one a block; plain arrays if there is one block
    tolerance : float, optional
        The relative gradient up to which a point passes for stationary.

    Returns
    -------
    SecondOrder

    Raises
    ------
    ValueError
        If the shapes do not fit, or u and v have no columns at all.

    Examples
    --------
    >>> import numpy as np
    >>> from lora_proofs.ntk import LinearizedProblem, solve
    >>> rng = np.random.default_rng(0)
    >>> gradients, labels = rng.standard_normal((8, 1, 3, 4)), rng.standard_normal((8, 1))
    >>> problem = LinearizedProblem(gradients, 0 * labels, labels, "squared", 0.1)
    >>> ((u, v),) = solve(problem).factors
    >>> second_order(problem, u, v).verdict
    'strict minimum'
    >>> second_order(problem, 0 * u, 0 * v).verdict
    'saddle'
    """
    passed = as_passed(problem, u)
    u, v = passed.reduce(u, v)
    if not any(x.size for x in u):
        raise ValueError("u and v have no columns; append a column of zeros to ask for the curvature at delta = 0")
    turns: Blocks = [np.eye(x.shape[1]) if problem.lam else _balancing(x, y) for x, y in zip(u, v, strict=True)]
    hessian = Hessian(problem, *_turned(u, v, turns))
    length, scale = float(np.linalg.norm(hessian.gradient())), hessian.gradient_scale()
    relative = length / scale if scale else 0.0

    low, direction, high = hessian.dense_extremes() if hessian.size <= _DENSE else hessian.lanczos_extremes()
    residual = float(np.linalg.norm(hessian.apply(direction) - low * direction))
    least = low - residual - _CURVATURE_TOLERANCE * high
    verdict, escape = "degenerate", None
    if relative > tolerance:
        verdict = "not stationary"
    elif least > 0 and _minimum_nearby(hessian, length + _ROUNDING * scale, least):
        verdict = "strict minimum"
    elif low < -max(_CURVATURE_TOLERANCE, relative ** (2 / 3)) * high:
        back: Blocks = [np.asarray(np.linalg.inv(R)) for R in turns]
        step = _decrease(problem, u, v, *_turned(*hessian.unpack(direction), back))
        if step is not None:
            verdict, escape = "saddle", passed.lift(*step)
    return SecondOrder(verdict, escape, length, relative, low, residual, high, hessian.gauge.dimension)


def _minimum_nearby(hessian: Hessian, gradient: float, least: float) -> bool:
    """Tell whether the module's test proves a strict minimum, from |gradient| and the least curvature off the gauge."""
    radius = 2 * gradient / least
    return 2 * _third_derivative(hessian, radius) * gradient < least**2 and radius < hessian.gauge.reach


def _third_derivative(hessian: Hessian, radius: float) -> float:
    """Return a bound on the third derivative of L along unit directions, on the ball of that radius about (u, v)."""
    problem = hessian.problem
    G = gram(canonical_problem(problem))
    A2, N = float(np.linalg.eigvalsh(G)[-1]), problem.N
    datum = float(np.sqrt(np.diag(G).reshape(N, -1).sum(axis=1).max()))  # the largest |A_i|, the rows of one datum
    s = radius + max(float(np.hypot(*map(spectral_norm, uv))) for uv in zip(hessian.u, hessian.v, strict=True))
    return (3 * problem.canonical_loss.smoothness * A2 * s + _TWIST[problem.loss] * datum * A2 * s**3) / N


def _balancing(u: FloatArray, v: FloatArray) -> FloatArray:
    """Return R for which u R and v R^{-T} are balanced if u v^T has full rank; else a multiple of I if it can be."""
    (left, A), (right, B) = np.linalg.qr(u), np.linalg.qr(v)
    r = u.shape[1]
    if r <= min(len(left), len(right)):
        U, s, _ = np.linalg.svd(A @ B.T)
        if r and s[-1] > _INDEPENDENT * s[0]:
            return np.asarray(np.linalg.solve(A, U * np.sqrt(s)))
    a, b = float(np.linalg.norm(u)), float(np.linalg.norm(v))
    return np.eye(r) * (np.sqrt(b / a) if a and b else 1.0)


def _turned(u: Blocks, v: Blocks, turns: list[FloatArray]) -> tuple[Blocks, Blocks]:
    """Return (u R, v R^{-T})."""
    return (
        [np.asarray(x @ R) for x, R in zip(u, turns, strict=True)],
        [np.asarray(np.linalg.solve(R, y.T).T) for y, R in zip(v, turns, strict=True)],
    )


def exact_second_order(trap: Trap) -> ExactSecondOrder:
    r"""Judge the point of a rational instance over Q: exact gradient, exact inertia, exact dimension of the orbit.

    The orbit has dimension r(r-1)/2 - k(k-1)/2 with k = r - rank [u; v] for lam > 0, and r^2 - (r - rank u)(r - rank v)
    for lam = 0: the group less what leaves (u, v) where it is. If no eigenvalue is negative and no more than these are
    zero, the Hessian is positive across the orbit, and (u, v) is a strict minimum up to the gauge.

    Raises
    ------
    ValueError
        If the loss is logistic and a margin is not 0.
    """
    H = trap.hessian()
    signs, gauge = inertia(H), _orbit_dimension(trap)
    if not all(algebra.is_zero(part) for part in trap.gradient()):
        return ExactSecondOrder("not stationary", signs, gauge, None)
    if signs[0]:
        return ExactSecondOrder("saddle", signs, gauge, _rational_escape(trap, H))
    return ExactSecondOrder("strict minimum" if signs[1] == gauge else "degenerate", signs, gauge, None)


def _orbit_dimension(trap: Trap) -> int:
    r, rank_u, rank_v = trap.r, algebra.rank(trap.u), algebra.rank(trap.v)
    if trap.lam == 0:
        return r * r - (r - rank_u) * (r - rank_v)
    k = r - algebra.rank(matrices.matrix(trap.u.table() + trap.v.table()))
    return (r * (r - 1) - k * (k - 1)) // 2


def _rational_escape(trap: Trap, hessian: Any) -> tuple[Any, Any]:
    """Return a rational step along a negative curvature; it is one however roughly the eigenvector is known."""
    direction = matrices.matrix(np.linalg.eigh(floats(hessian))[1][:, :1])
    if not inner(hessian * direction, direction) < 0:
        raise ValueError(f"{trap.name}: the negative curvature of this Hessian is too small for a float eigenvector")
    (m, n), r, entries = trap.shape, trap.r, direction.entries()
    du, dv = (
        matrices.matrix(np.reshape(entries[: m * r], (m, r))),
        matrices.matrix(np.reshape(entries[m * r :], (n, r))),
    )
    start = trap.objective(trap.u, trap.v)
    while not trap.objective(trap.u + du, trap.v + dv) < start:
        du, dv = du / 2, dv / 2
    return du, dv


def _decrease(problem: LinearizedProblem, u: Blocks, v: Blocks, du: Blocks, dv: Blocks) -> tuple[Blocks, Blocks] | None:
    """Return the multiple of (du, dv) that lowers the objective most, from 2 |(u, v)| down, if one does."""
    best, step = problem.objective(u, v), None
    size = max(1.0, norm(u), norm(v))
    for t in (sign * size * 2.0 ** (1 - k) for k in range(40) for sign in (1, -1)):
        value = problem.objective(
            [a + t * b for a, b in zip(u, du, strict=True)], [a + t * b for a, b in zip(v, dv, strict=True)]
        )
        if value < best:
            best, step = value, ([t * b for b in du], [t * b for b in dv])
    return step
