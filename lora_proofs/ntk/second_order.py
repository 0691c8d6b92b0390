r"""Second-order verdicts: whether a LoRA point (u, v) is a strict local minimum, a saddle, or neither.

L is constant along the orbit of O(r), (u, v) -> (u R, v R), and for lam = 0 along that of GL(r), (u R, v R^{-T}). With
several blocks each has its own group. The curvature along the orbit is 0 at a stationary point and says nothing, so it
is projected out: "strict" means strict up to this gauge. Setting: Jang, Lee & Ryu, arXiv 2402.11867v3.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import is_array_api_obj
from numpy.typing import NDArray

from lora_proofs import exact
from lora_proofs.display import Readable, show
from lora_proofs.ntk.hessian import Hessian, norm
from lora_proofs.ntk.problem import LinearizedProblem, like_given
from lora_proofs.ntk.rational_problem import Trap, floats, inertia, inner

Array: TypeAlias = NDArray[np.float64]
Blocks: TypeAlias = list[Array]

_DENSE = 600
"""Up to this many variables the Hessian is formed and diagonalised; Lanczos takes over beyond."""

_CURVATURE_TOLERANCE = 1e-9
"""Share of |Hessian| below which a computed curvature is not told from 0."""


@dataclass(frozen=True, eq=False, repr=False)
class SecondOrder(Readable):
    """The result of `second_order`.

    Attributes
    ----------
    verdict : str
        "strict minimum" (up to the gauge), "degenerate" (no curvature is told apart from 0 on the negative side, some
        is not on the positive one), "saddle", or "not stationary".
    escape : (du, dv) or None
        For a saddle: a step for which the objective at (u + du, v + dv) was found to be lower; arrays or lists, as u
        and v were given, and of their library, dtype and device.
    gradient_norm : float
        Frobenius norm of the gradient.
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
    r"""Judge (u, v) by its gradient and by its smallest curvature across the gauge orbit.

    Curvatures below 1e-9 |H| count as 0, or below g^{2/3} |H| if the relative gradient g is larger than that allows:
    near a minimum flat to fourth order, w^4, a gradient g leaves a curvature of order g^{2/3}. The better (u, v) is
    converged, the finer the verdict. It is numerical evidence; `exact_second_order` decides over Q.

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
    """
    plain = is_array_api_obj(u)
    patterns = [u] if plain else list(u)
    u, v = problem.check_factors(u, v)
    if not any(x.size for x in u):
        raise ValueError("u and v have no columns; append a column of zeros to ask for the curvature at delta = 0")
    hessian = Hessian(problem, u, v)
    gradient = hessian.gradient()
    length, scale = float(np.linalg.norm(gradient)), hessian.gradient_scale()
    relative = length / scale if scale else 0.0

    low, direction, high = hessian.dense_extremes() if hessian.size <= _DENSE else hessian.lanczos_extremes()
    residual = float(np.linalg.norm(hessian.apply(direction) - low * direction))
    noise = max(_CURVATURE_TOLERANCE, relative ** (2 / 3)) * high
    verdict, escape = "degenerate", None
    if relative > tolerance:
        verdict = "not stationary"
    elif low - residual > noise:
        verdict = "strict minimum"
    elif low < -noise:
        step = _decrease(problem, u, v, *hessian.unpack(direction))
        if step is not None:
            du, dv = ([like_given(p, x) for p, x in zip(patterns, side, strict=True)] for side in step)
            verdict, escape = "saddle", (du[0], dv[0]) if plain else (du, dv)
    return SecondOrder(verdict, escape, length, relative, low, residual, high, hessian.gauge.dimension)


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
    if not all(exact.is_zero(part) for part in trap.gradient()):
        return ExactSecondOrder("not stationary", signs, gauge, None)
    if signs[0]:
        return ExactSecondOrder("saddle", signs, gauge, _rational_escape(trap, H))
    return ExactSecondOrder("strict minimum" if signs[1] == gauge else "degenerate", signs, gauge, None)


def _orbit_dimension(trap: Trap) -> int:
    r, rank_u, rank_v = trap.r, exact.rank(trap.u), exact.rank(trap.v)
    if trap.lam == 0:
        return r * r - (r - rank_u) * (r - rank_v)
    k = r - exact.rank(exact.matrix(trap.u.table() + trap.v.table()))
    return (r * (r - 1) - k * (k - 1)) // 2


def _rational_escape(trap: Trap, H: Any) -> tuple[Any, Any]:
    """Return a rational step along a negative curvature; it is one however roughly the eigenvector is known."""
    direction = exact.matrix(np.linalg.eigh(floats(H))[1][:, :1])
    if not inner(H * direction, direction) < 0:
        raise ValueError(f"{trap.name}: the negative curvature of this Hessian is too small for a float eigenvector")
    (m, n), r, entries = trap.shape, trap.r, direction.entries()
    du, dv = exact.matrix(np.reshape(entries[: m * r], (m, r))), exact.matrix(np.reshape(entries[m * r :], (n, r)))
    start = trap.objective(trap.u, trap.v)
    while not trap.objective(trap.u + du, trap.v + dv) < start:
        du, dv = du / 2, dv / 2
    return du, dv


def _decrease(problem: LinearizedProblem, u: Blocks, v: Blocks, x: Blocks, y: Blocks) -> tuple[Blocks, Blocks] | None:
    """Return the multiple of (x, y) that lowers the objective most, from 2 |(u, v)| down, if one does."""
    best, step = problem.objective(u, v), None
    size = max(1.0, norm(u), norm(v))
    for t in (sign * size * 2.0 ** (1 - k) for k in range(40) for sign in (1, -1)):
        value = problem.objective(
            [a + t * b for a, b in zip(u, x, strict=True)], [a + t * b for a, b in zip(v, y, strict=True)]
        )
        if value < best:
            best, step = value, ([t * b for b in x], [t * b for b in y])
    return step
