r"""How far from optimal a LoRA solution is at most: a bracket around the convex optimum, re-computed from the point.

The dual of min_delta risk(delta) + lam |delta|_* is

    max_q  D(q) = (1/N) sum_i (<q_i, w0_i> - phi*(q_i))    subject to  |S_t(q)|_op <= lam,  S(q) = (1/N) sum_k q_k G_k.

Any point gives a feasible q: take phi'(w) and scale it by c = min(1, lam / |S|_op); phi* stays finite, since its domain
contains 0 and is convex. So the lower end D(c q) needs no solver to be trusted, only a bound on |S|_op, and that is one
Cholesky factorisation (`spectrum.operator_norm_bound`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lora_proofs.display import Readable, show
from lora_proofs.enclosure import Enclosure
from lora_proofs.ntk.bracket import bracket, upper_end
from lora_proofs.ntk.canonical import canonical_problem, gram
from lora_proofs.ntk.inputs import real_number
from lora_proofs.ntk.points import evaluate, gradient, hessian
from lora_proofs.ntk.problem import LinearizedProblem, check_problem
from lora_proofs.ntk.types import Blocks
from lora_proofs.ntk.units import normalised

if TYPE_CHECKING:
    from lora_proofs.ntk.rigorous import Balls


@dataclass(frozen=True, repr=False)
class Certificate(Readable):
    """A bracket around the optimum of full fine-tuning, from one point (u, v).

    Attributes
    ----------
    upper : float
        The LoRA objective at (u, v): no less than the optimum.
    lower : float
        The dual objective at the scaled slopes: no more than the optimum.
    gap : float
        (upper - lower) / upper; at lam = 0, where the optimum may be 0, relative to the risk at delta = 0.
    operator_norm_ratio : float
        max_t |S_t|_op / lam, at most 1 at an optimum; inf at lam = 0 unless S = 0.
    complementary_slackness : float
        |<S, u v^T> + lam (|u|^2 + |v|^2) / 2| / upper, 0 at an optimum.
    rigorous : bool
        Whether upper and lower were enclosed in ball arithmetic, rounding included.

    Examples
    --------
    What a proof stands behind is an `Enclosure`, which counts as *certified*; a pair of floats is *numerical*.

    >>> G = np.array([[[[1.0, 0.0], [0.0, 1.0]]]])
    >>> problem = LinearizedProblem(G, [[0.0]], [[2.0]], "squared", 1.0)
    >>> u = v = np.array([[1.0], [0.0]])
    >>> certificate = certify(problem, u, v, rigorous=True)
    >>> certificate.enclosure.upper - certificate.enclosure.lower < 1e-12
    True
    >>> certificate.excess(0 * u, 0 * v).lower > 0.49  # 0 is no optimum, and that is proved
    True
    """

    upper: float
    lower: float
    gap: float
    operator_norm_ratio: float
    complementary_slackness: float
    rigorous: bool
    _bracket: Any = None

    @property
    def enclosure(self) -> Enclosure | tuple[float, float]:
        """The bracket of the optimum of full fine-tuning: an `Enclosure` if rigorous, else the pair (lower, upper)."""
        proved: Enclosure | None = self._bracket.optimum() if self.rigorous else None
        return proved or (self.lower, self.upper)

    def excess(self, u: Any = None, v: Any = None) -> Enclosure | tuple[float, float]:
        """Return a bracket of objective(u, v) - optimum: an `Enclosure` if rigorous, else a pair of floats.

        Its lower end is positive as soon as (u, v) is worse than the point of this certificate, so a claim "(u, v) is a
        global minimum" can come out *fails*: take the certificate at the best point known, `Solution.certify`.

        Parameters
        ----------
        u, v : lists of (m_t, r_t), (n_t, r_t), or one array each; optional
            Any other point, by default the one of the certificate itself, for which the bracket is [0, upper - lower].
        """
        found: Balls | _Floats = self._bracket
        if u is None or v is None:
            return found.own_excess()
        return found.excess(*found.problem.check_factors(u, v))

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        rows = {
            "operator norm": f"{show(self.operator_norm_ratio)} lam",
            "complementary slackness": show(self.complementary_slackness),
            "arithmetic": "balls, rounding included" if self.rigorous else "floats",
        }
        return f"optimum in [{self.lower:.12g}, {self.upper:.12g}] (relative gap {self.gap:.1e})", rows


def certify(problem: LinearizedProblem, u: Any, v: Any, rigorous: bool = False) -> Certificate:
    """Return a bracket around the optimum of full fine-tuning (all ranks), from the point (u, v) alone.

    Weak duality for the problem of Jang, Lee & Ryu, arXiv 2402.11867v3; see the module for the dual.

    Parameters
    ----------
    problem : LinearizedProblem
    u, v : lists of (m_t, r_t), (n_t, r_t), or one array each
    rigorous : bool
        Enclose every operation (python-flint balls; the bound on |S|_op by a Cholesky factorisation with its error
        bound): the bracket is then a theorem about the stored numbers, `Certificate.enclosure` an `Enclosure`. Takes
        dense or factored gradients; about as long as `solve` (0.03 s for 32 gradients of 48 x 48). Without it the ends
        are floats, widened by a bound on their rounding (`bracket`), and *numerical* evidence.

    Raises
    ------
    ValueError
        If the factors do not fit, or a rigorous bracket is asked for of an operator, or at lam = 0 of more than 2^18
        entries.

    Examples
    --------
    >>> import numpy as np
    >>> from lora_proofs.ntk import LinearizedProblem, solve
    >>> rng = np.random.default_rng(0)
    >>> gradients, labels = rng.standard_normal((8, 1, 3, 4)), rng.standard_normal((8, 1))
    >>> problem = LinearizedProblem(gradients, 0 * labels, labels, "squared", 0.1)
    >>> ((u, v),) = solve(problem).factors
    >>> certify(problem, u, v).gap <= 1e-8
    True
    >>> certify(problem, 0 * u, 0 * v).gap > 0.1  # no optimum
    True
    """
    check_problem(problem)
    u, v = problem.check_factors(u, v)
    found: Any
    if rigorous:
        from lora_proofs.ntk.rigorous import enclose

        found = enclose(problem, u, v)
        upper, lower, ratio = found.ends()
        gap = relative_gap(problem, upper, lower)
    else:
        found = _floats(problem, u, v)
        upper, lower, ratio, gap = found.upper, found.lower, found.ratio, found.gap
    S = problem.adjoint(problem.derivative(problem.rows(u, v)))
    slackness = _slackness(problem, S, u, v) / (upper or 1.0)
    return Certificate(upper, lower, gap, ratio, slackness, rigorous, found)


@dataclass(frozen=True)
class _Floats:
    """The bracket at a point in floats, widened by their rounding; see `rigorous.Balls`, which has the same methods."""

    problem: LinearizedProblem
    upper: float
    lower: float
    ratio: float
    gap: float

    def own_excess(self) -> tuple[float, float]:
        return 0.0, self.upper - self.lower

    def excess(self, u: Blocks, v: Blocks) -> tuple[float, float]:
        small = normalised(self.problem)
        point = evaluate(small.problem, *small.reduce(u, v))
        upper = upper_end(small.problem, point)
        lower = small.units.lower(2 * point.value - upper)
        return max(0.0, lower - self.upper), small.units.upper(upper) - self.lower


def _floats(problem: LinearizedProblem, u: Blocks, v: Blocks) -> _Floats:
    small = normalised(problem)
    found = bracket(small.problem, evaluate(small.problem, *small.reduce(u, v)))
    upper, lower = small.units.upper(found.upper), small.units.lower(found.lower)
    return _Floats(problem, upper, lower, found.ratio, relative_gap(small.problem, found.upper, found.lower))


def relative_gap(problem: Any, upper: float, lower: float) -> float:
    """Return (upper - lower) / upper, or at lam = 0 relative to the risk at delta = 0, of a problem or a core.

    Raises
    ------
    ArithmeticError
        If the bracket is inverted.
    """
    if lower > upper:
        raise ArithmeticError(f"the bracket [{lower!r}, {upper!r}] is inverted; please report the problem")
    scale = upper if problem.lam else problem.risk(problem.w0)
    return (upper - lower) / scale if upper > lower else 0.0


def _slackness(problem: LinearizedProblem, S: Blocks, u: Blocks, v: Blocks) -> float:
    inner = sum(float(np.vdot(M @ y, x)) for M, x, y in zip(S, u, v, strict=True))
    return abs(inner + problem.lam / 2 * sum(float(np.vdot(x, x)) for x in (*u, *v)))


def stationarity_bound(problem: LinearizedProblem, u: Any, v: Any, min_curvature: float | None = None) -> float:
    r"""Return a bound on L(u, v) - L* from first and second derivatives at (u, v) alone, lam > 0.

    With Q = [u; v], e_g = |grad L|_F, -e_H <= lambda_min(Hess L), s = sigma_min(Q), and b the largest eigenvalue of the
    Hessian of the risk in delta:

    1. Let q be the last right singular vector of Q. Along (x q^T, y q^T) with |x|^2 + |y|^2 = 1 the fit moves by
       A(x (v q)^T + (u q) y^T), a matrix of Frobenius norm at most s. So lam + 2 <S, x y^T> + b s^2 >= -e_H, and the
       leading pair of S gives |S|_op <= lam + b s^2 + e_H.
    2. By convexity L(u, v) - L(delta*) <= <S, u v^T - delta*> + lam ((|u|^2 + |v|^2) / 2 - |delta*|_*), where
       <S, u v^T> + lam (|u|^2 + |v|^2) / 2 = <grad L, Q> / 2 <= e_g |Q|_F / 2, and the rest is at most
       (|S|_op - lam) |delta*|_* <= (b s^2 + e_H) |delta*|_*.
    3. lam |delta*|_* <= L(0).

    A rank-deficient second-order point has s = 0 and is a global minimum, a lemma of arXiv 2402.11867v3 (recalled).
    With several blocks, s is the largest of the blocks' own sigma_min.

    Parameters
    ----------
    problem : LinearizedProblem
    u, v : lists of (m_t, r_t), (n_t, r_t) with r_t >= 1, or one array each
    min_curvature : float, optional
        A lower bound on the smallest eigenvalue of the Hessian of L; by default computed from the dense Hessian.

    Raises
    ------
    ValueError
        If lam = 0, or a block has no column (pad it with a zero column).
    """
    check_problem(problem)
    u, v = problem.check_factors(u, v)
    if not problem.lam:
        raise ValueError("the bound needs lam > 0: at lam = 0 nothing bounds the optimal delta")
    if any(x.shape[1] == 0 for x in u):
        raise ValueError("a block has rank 0; pad its factors with a zero column")
    core = canonical_problem(problem)
    point = evaluate(core, u, v)
    if min_curvature is not None:
        min_curvature = real_number("min_curvature", min_curvature, "pass a lower bound on the least eigenvalue")
    else:
        min_curvature = float(np.linalg.eigvalsh(hessian(core, point))[0])
    Q = [np.concatenate(pair) for pair in zip(u, v, strict=True)]
    s = max(0.0 if x.shape[0] < x.shape[1] else float(np.linalg.svd(x, compute_uv=False)[-1]) for x in Q)
    b = core.loss.smoothness * float(np.linalg.eigvalsh(gram(core))[-1]) / core.N
    excess = b * s**2 + max(0.0, -min_curvature)
    size = np.sqrt(sum(float(np.vdot(x, x)) for x in Q))
    return float(np.linalg.norm(gradient(core, point)) * size / 2 + excess * core.risk(core.w0) / core.lam)
