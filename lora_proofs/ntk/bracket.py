r"""The bracket of floats at a point (u, v): P(u, v) from above and D(c q) from below, each widened by its rounding.

The problem is in units of its own (`units`). With row sizes g_k >= |G_k|_F and s(k) = 8 eps (1 + sqrt k), the bound on
the relative rounding of a sum of k products (beyond k = 60 it holds with high probability only: Higham & Mary, SIAM J.
Sci. Comput. 41, 2019, whereas the worst case is k eps),

    rows         |fl(w_k) - w_k| <= e_k = s(1) |w0_k| + s(m n) g_k sum_a |u_a| |v_a|, columns a
    P            sum phi(fl w) + the rise of phi for changes e of w, + s of the sum itself
    S            |fl(S) - S|_F <= s(d) (1/N) sum |q_k| g_k, added to the bound on |fl(S)|_op
    D            s of the sum of the absolute values of its terms

So the bracket is narrow evidence, not a theorem: that is `certify(..., rigorous=True)`.
"""

from dataclasses import dataclass

import numpy as np

from lora_proofs.ntk.canonical import CanonicalProblem
from lora_proofs.ntk.null_space import TooLarge
from lora_proofs.ntk.points import Point, gradient, jacobian
from lora_proofs.ntk.spectrum import operator_norm_bound, slack
from lora_proofs.ntk.types import Blocks, FloatArray

_EPS = 2.0**-52

_RESOLUTION = 1e-10
"""Relative width from which on a better dual point is looked for."""

_REFINED = 2**20
"""Entries of the Jacobian up to which it is."""


@dataclass(frozen=True)
class Bracket:
    """lower <= optimum <= upper in the units of the core, from one point; ratio >= max |S_t|_op / lam."""

    upper: float
    lower: float
    ratio: float

    def __post_init__(self) -> None:
        if self.lower > self.upper:
            raise ArithmeticError(
                f"the bracket [{self.lower!r}, {self.upper!r}] is inverted: rounding was worse than its bound; "
                "please report the problem"
            )

    @property
    def width(self) -> float:
        """The distance of the ends."""
        return self.upper - self.lower


def upper_end(core: CanonicalProblem, point: Point) -> float:
    """Return the objective at the point, and what its rounding may hide."""
    changes = slack(1) * np.abs(core.w0)
    for sizes, u, v in zip(core.sizes, point.u, point.v, strict=True):
        nuclear = float(np.linalg.norm(u, axis=0) @ np.linalg.norm(v, axis=0))
        changes = changes + slack(u.shape[0] * v.shape[0]) * nuclear * sizes
    return point.value * (1 + slack(len(changes))) + core.loss.rise(point.w, changes) / core.N


def norm_ratio(core: CanonicalProblem, dual: FloatArray, gradients: Blocks) -> float:
    """Return an upper bound on max_t |S_t|_op / lam for S = (1/N) sum q_k G_k, whose rounding is unknown."""
    rounding = [slack(len(dual)) * float(np.abs(dual) @ g) / core.N for g in core.sizes]
    return (
        max(operator_norm_bound(x) + rounding_size for x, rounding_size in zip(gradients, rounding, strict=True))
        / core.lam
    )


def dual_bound(core: CanonicalProblem, dual: FloatArray, ratio: float) -> float:
    """Return the dual objective at a point, scaled to be feasible, less what its rounding may hide; at least 0."""
    scaled = dual / (max(1.0, ratio) * (1 + 4 * _EPS * len(dual) / core.N))
    size = float(np.abs(scaled) @ np.abs(core.w0)) + core.loss.conjugate_size(scaled)
    return max(0.0, core.dual(scaled) - slack(len(dual)) * size / core.N)


def dual_bound_at_zero(core: CanonicalProblem, dual: FloatArray) -> float:
    """Return the dual objective at the feasible point nearby, less its rounding; 0 if too many rows depend."""
    assert core.feasible is not None
    try:
        feasible = np.array([float(x.mid()) for x in core.feasible(dual)])
    except TooLarge:
        return 0.0
    if core.loss.name != "squared":
        feasible = feasible / (1 + slack(1))  # rounding must not lead out of the simplex
    size = float(np.abs(feasible) @ np.abs(core.w0)) + core.loss.conjugate_size(feasible)
    return max(0.0, core.dual(feasible) - slack(len(dual)) * size / core.N)


def bracket(core: CanonicalProblem, point: Point) -> Bracket:
    """Return the bracket at a point."""
    dual = core.loss.derivative(point.w)
    if not core.lam:
        ratio = float(np.inf if any(x.any() for x in point.S) else 0.0)
        return Bracket(upper_end(core, point), dual_bound_at_zero(core, dual), ratio)
    ratio = norm_ratio(core, dual, point.S)
    upper, lower = upper_end(core, point), dual_bound(core, dual, ratio)
    if core.loss.name == "squared" and upper - lower > _RESOLUTION * upper and _jacobian_size(point) <= _REFINED:
        refined_dual = _refined(core, point, dual)
        refined = norm_ratio(core, refined_dual, core.adjoint(refined_dual))
        lower = max(lower, dual_bound(core, refined_dual, refined))
    return Bracket(upper, lower, ratio)


def _jacobian_size(point: Point) -> int:
    return len(point.w) * sum(x.size for x in (*point.u, *point.v))


def _refined(core: CanonicalProblem, point: Point, dual: FloatArray) -> FloatArray:
    """Return a dual point nearer to the optimum where lam is tiny and the residual w lost its digits.

    At the optimum S v = -lam u and S^T u = -lam v, that is J^T q / N = -lam (u, v) for the dual point q and the
    Jacobian J of the rows: the least change of it that makes it so.
    """
    J = jacobian(core, point)
    if not J.size:
        return dual
    return dual - np.linalg.lstsq(J.T, core.N * gradient(core, point), rcond=1e-12)[0]
