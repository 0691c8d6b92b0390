r"""The inequalities at a second-order point (SOSP), each one a claim, from first principles.

At an SOSP of rank r with u^T u = v^T v (which holds for lam > 0): X = u v^T = U diag(s) V^T, M = -grad f(X), and for
rank X* <= r, d = (I - P_U) X* (I - P_V). M v = lam u and M^T u = lam v, so M = lam U V^T + S, S in the complement.
"""

from dataclasses import dataclass
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, at_least, at_most, equal, exact, instances
from lora_proofs.enclosure import Enclosure
from lora_proofs.exact import inertia, inner

from .paper import PAPER, Quadratic, above, plant


def second_order_point(case: Case, **changes: Any) -> Quadratic:
    """Return a random strict SOSP that is not global, of rank r for a target of rank r*; both drawn with the case."""
    r, k = case["r"], case["target"]
    roots = [fmpq(int(x), 12) for x in case.rng.integers(6, 9, r)]
    t = [fmpq(int(x), 10) for x in case.rng.integers(6, 11, k)]
    tilt = fmpq(int(case.rng.integers(0, 4)), 60)
    return plant(case.rng, **({"roots": roots, "t": t, "tilt": tilt, "spare": 1} | changes))


def marginal_point(case: Case) -> Quadratic:
    """Return a SOSP on the verge: its Hessian is >= 0, and with any more weight beyond lam in M it would not be."""
    q = second_order_point(case, tilt=0, share=1)
    if q.inertia()[0] or any(q.gradient()):
        raise ArithmeticError("the planted point is not of second order")
    return q


RANKS = ({"r": 1, "target": 1}, {"r": 2, "target": 1}, {"r": 2, "target": 2}, {"r": 3, "target": 1})


@PAPER.lemma("planted-points", points=RANKS)
def planted_points(case: Case) -> Comparison:
    """The instances of the other claims are what they should be: strict minima modulo O(r) that are not global.

    Counted over Q is whatever contradicts that: see `Quadratic.defects`. The excess over the minimum is positive.
    """
    q = second_order_point(case)
    if not q.excess() > 0:
        raise ArithmeticError("the planted point is global")
    return equal(q.defects(), 0)


@planted_points.control("M pushed 1/10 beyond beta sigma_r: an escape direction appears")
def _(case: Case) -> Comparison:
    return equal(second_order_point(case, tilt=0, share=fmpq(11, 10)).defects(), 0)


@PAPER.lemma("1-gradient", points=RANKS, sampled=True)
def gradient_bound(case: Case) -> Comparison:
    r"""At an SOSP: |\nabla f(X)|_op <= lam + beta sigma_r(X).

    1. If |M|_op > lam, its top pair (x, y) is orthogonal to U, V, since there M is lam U V^T.
    2. Let q be the last unit right singular vector of u; |u q|^2 = |v q|^2 = sigma_r. Along (x q^T, y q^T), X moves by
       x (v q)^T + (u q) y^T; by step 1 its terms are orthogonal, and its square is 2 sigma_r.
    3. So 0 <= 2 lam - 2 |M|_op + 2 beta sigma_r. Here alpha and beta are the extreme eigenvalues of the Hessian of f.

    The singular values of M above the bound are counted, by the inertia of M^T M.
    """
    return at_most(above_bound(second_order_point(case)), 0)


@gradient_bound.control("a stationary point that is not of second order")
def _(case: Case) -> Comparison:
    return at_most(above_bound(second_order_point(case, tilt=0, share=fmpq(11, 10))), 0)


@gradient_bound.control("99/100 of beta sigma_r, on the verge")
def _(case: Case) -> Comparison:
    return at_most(above_bound(marginal_point(case), fmpq(99, 100)), 0)


def above_bound(q: Quadratic, factor: Any = 1) -> int:
    """Return how many singular values of M exceed lam + factor beta sigma_r."""
    return above(q.M, q.lam + factor * q.beta * q.s[-1])


@PAPER.lemma("2-convexity", points=RANKS, sampled=True)
def convexity(case: Case) -> Comparison:
    r"""At an SOSP, for the global minimiser X*: alpha |X - X*|_F^2 <= <M, X*> - lam |X*|_*.

    1. alpha |X - X*|^2 <= <\nabla f(X) - \nabla f(X*), X - X*> = <M* - M, X - X*>: restricted strong convexity.
    2. <M*, X*> = lam |X*|_*, <M, X> = lam |X|_*, and <M*, X> <= lam |X|_* since |M*|_op <= lam.
    """
    return convexity_towards(second_order_point(case), 1)


@convexity.control("X* replaced by four times X*, which is no minimiser")
def _(case: Case) -> Comparison:
    return convexity_towards(second_order_point(case), 4)


def convexity_towards(q: Quadratic, factor: int) -> Comparison:
    """Compare the two sides with a multiple of X* in the place of X*."""
    step = factor * q.target - q.X
    return at_most(q.alpha * inner(step, step), factor * (inner(q.M, q.target) - q.lam * sum(q.t)))


@PAPER.lemma("3-outside", points=RANKS, sampled=True)
def outside(case: Case) -> Comparison:
    r"""At an SOSP: <M, X*> - lam |X*|_* <= beta sigma_r(X) |d|_*.

    Cut the singular values of M at lam: M = M_1 + E with |M_1|_op <= lam; by lemma 1, |E|_op <= beta sigma_r, and E
    lives in the complement of U, V: <M_1, X*> <= lam |X*|_* and <E, X*> = <E, d>. With lemma 2,
    alpha |X - X*|^2 <= beta sigma_r |d|_*.
    """
    return at_most(*outside_sides(second_order_point(case)))


@outside.control("99/100 of it, on the verge")
def _(case: Case) -> Comparison:
    left, right = outside_sides(marginal_point(case))
    return at_most(left, fmpq(99, 100) * right)


def outside_sides(q: Quadratic) -> tuple[Any, Any]:
    """Return <M, X*> - lam |X*|_* and beta sigma_r(X) |d|_*."""
    check_outside(q)
    return inner(q.M, q.target) - q.lam * sum(q.t), q.beta * q.s[-1] * q.outside


def check_outside(q: Quadratic) -> None:
    """Check the norm |d|_* that the plant declares: for X* = sum t_j u'_j v'_j^T with equal angles, d is c^2 X* turned.

    d has rank r* and singular values c^2 t_j, so |d|_F^2 = sum (c^2 t_j)^2 and |d|_* = c^2 sum t_j.
    """
    d = project_out(q.u) * q.target * project_out(q.v)
    share = q.outside / sum(q.t)
    if exact.rank(d) != len(q.t) or inner(d, d) != share**2 * sum(x**2 for x in q.t):
        raise ArithmeticError("the declared norm of d is wrong")


def project_out(u: fmpq_mat) -> fmpq_mat:
    """Return the orthogonal projection on the complement of the columns of u."""
    return exact.identity(u.nrows()) - u * (u.transpose() * u).inv() * u.transpose()


# ------------------------------------------------------------------- two matrices, no landscape: lemmas 4 and 5

SHAPES = (
    {"m": 4, "n": 4, "r": 1, "target": 1},
    {"m": 5, "n": 4, "r": 2, "target": 2},
    {"m": 6, "n": 6, "r": 3, "target": 2},
)


@dataclass(frozen=True)
class Pair:
    """X of rank r with smallest singular value s, X* of rank k <= r, the polar factor W of d, and |d|_*."""

    X: fmpq_mat
    s: Any
    target: fmpq_mat
    W: fmpq_mat
    outside: Any

    @property
    def distance(self) -> Any:
        """|X - X*|_F^2."""
        return inner(self.X - self.target, self.X - self.target)


def pair(case: Case, extra: int = 0) -> Pair:
    """Return random X = Q [S; 0] R^T and X* = Q [a; g; 0] [c; I; 0]^T R^T with diagonal S, g and orthogonal Q, R.

    Every X and X* have this form, up to the rationality of the numbers, and |d|_* = sum g.
    """
    m, n, r, k = case["m"], case["n"], case["r"], case["target"] + extra
    Q, R = instances.rational_orthogonal(case.rng, m), instances.rational_orthogonal(case.rng, n)
    s, g = ([fmpq(int(x), 6) for x in case.rng.integers(1, 13, size)] for size in (r, k))
    X, left, right, W = fmpq_mat(m, n), fmpq_mat(m, k), fmpq_mat(n, k), fmpq_mat(m, n)
    for i in range(r):
        X[i, i] = s[i]
        for j in range(k):
            left[i, j], right[i, j] = (fmpq(int(x), 6) for x in case.rng.integers(-6, 7, 2))
    for j in range(k):
        left[r + j, j], right[r + j, j], W[r + j, r + j] = g[j], fmpq(1), fmpq(1)
    X, target, W = (Q * x * R.transpose() for x in (X, left * right.transpose(), W))
    return Pair(X, min(s), target, W, sum(g))


@PAPER.lemma("4-eckart-young", points=SHAPES, sampled=True)
def eckart_young(case: Case) -> Comparison:
    r"""For rank X = r >= rank X*: |X - X*|_F^2 >= 2 sigma_r(X) |d|_*.

    1. Let W be the polar factor of d, of rank k, and s = sigma_r(X). As <X, W> = 0 and <X*, W> = <d, W> = |d|_*,
       |X - X*|^2 - 2 s |d|_* = |X* - (X + s W)|^2 - k s^2.
    2. X + s W has the singular values of X and k times s: r + k of them are >= s.
    3. rank X* <= r, so by Eckart & Young |X* - (X + s W)|^2 >= k s^2.

    With lemmas 2 and 3, 2 alpha sigma_r |d|_* <= beta sigma_r |d|_*: an SOSP that is not global has 2 alpha <= beta.
    """
    p = pair(case)
    return at_least(p.distance, 2 * p.s * p.outside)


@eckart_young.control("X* of rank r + 1: X and half of sigma_r in a new direction", points=({"n": 3},))
def _(case: Case) -> Comparison:
    X, W = fmpq_mat(3, 3), fmpq_mat(3, 3)
    X[0, 0], W[1, 1] = fmpq(2), fmpq(1)
    p = Pair(X, fmpq(2), X + W, W, fmpq(1))
    return at_least(p.distance, 2 * p.s * p.outside)


@eckart_young.control("201/100 in place of 2, where sigma_1 = sigma_r(X) and X* is as large in a complement", r=(1, 2))
def _(case: Case) -> Comparison:
    r = case["r"]
    X, target = fmpq_mat(2 * r, 2 * r), fmpq_mat(2 * r, 2 * r)
    for i in range(r):
        X[i, i] = target[r + i, r + i] = fmpq(3)
    p = Pair(X, fmpq(3), target, target / 3, fmpq(3 * r))
    return at_least(p.distance, fmpq(201, 100) * p.s * p.outside)


@PAPER.lemma("4-eckart-young-steps", points=SHAPES, sampled=True)
def eckart_young_steps(case: Case) -> Comparison:
    """Steps 1 and 2 of the proof: X + s W has r + k singular values >= s, and the identity of step 1 is exact.

    Counted by the inertia of (X + s W)^T (X + s W) - s^2; the check stops if the identity does not hold.
    """
    p = pair(case)
    identity_holds(p)
    return equal(at_least_count(p.X + p.s * p.W, p.s), case["r"] + case["target"])


@eckart_young_steps.control("s raised by 1/100")
def _(case: Case) -> Comparison:
    p = pair(case)
    return equal(at_least_count(p.X + p.s * p.W, fmpq(101, 100) * p.s), case["r"] + case["target"])


def identity_holds(p: Pair) -> None:
    """Check step 1, with <d, W> in the place of |d|_*."""
    rest = p.target - p.X - p.s * p.W
    if p.distance - 2 * p.s * p.outside != inner(rest, rest) - exact.rank(p.W) * p.s**2:
        raise ArithmeticError("the identity of step 1 does not hold")


def at_least_count(x: fmpq_mat, bound: Any) -> int:
    """Return how many singular values of x are at least the bound, exactly."""
    negative, _, _ = inertia(x.transpose() * x - bound**2 * exact.identity(x.ncols()))
    return int(x.ncols()) - negative


@PAPER.lemma("5-overlap", points=({"n": 3}, *SHAPES), sampled=True)
def overlap(case: Case) -> Comparison:
    r"""|d|_* <= |X - X*|_F^2 / sigma_{r*}(X*), r* the rank of X*.

    1. X* = U* S* V*^T, P = I - P_U, P' = I - P_V: d = (P U* S*^{1/2}) (P' V* S*^{1/2})^T, so |d|_* is at most the
       product of the Frobenius norms of the two factors.
    2. |P U* S*^{1/2}|_F^2 <= |P U* S*|_F^2 / sigma_{r*}(X*) = |P X*|_F^2 / sigma_{r*}(X*), and P X* = P (X* - X).

    X and X* have random rational singular vectors, or X is 1/100 of E_11 and X* is E_22, where one per mille of the
    bound is left. |d|_* is enclosed.
    """
    X, target, t, d = orthogonal(fmpq(1, 100), [1]) if "m" not in case.params else independent(case)
    return at_most(nuclear_norm(d), overlap_bound(X, target, min(t)))


@overlap.control("sigma_1(X*) in place of sigma_{r*}(X*), X small and orthogonal to X*", points=({"n": 3},))
def _(case: Case) -> Comparison:
    X, target, t, d = orthogonal(fmpq(1, 10), [10, 1])
    return at_most(nuclear_norm(d), overlap_bound(X, target, max(t)))


def overlap_bound(X: fmpq_mat, target: fmpq_mat, t: Any) -> Any:
    """Return |X - X*|_F^2 / t."""
    return inner(X - target, X - target) / t


def orthogonal(s: Any, t: list[Any]) -> tuple[fmpq_mat, fmpq_mat, list[Any], fmpq_mat]:
    """Return X = s E_11, X* with the singular values t on the diagonal after that, t, and d = X*."""
    X, target = fmpq_mat(3, 3), fmpq_mat(3, 3)
    X[0, 0] = s
    for j, value in enumerate(t):
        target[1 + j, 1 + j] = fmpq(value)
    return X, target, list(map(fmpq, t)), target


def independent(case: Case) -> tuple[fmpq_mat, fmpq_mat, list[Any], fmpq_mat]:
    """Return X and X* with independent rational singular vectors, the singular values of X*, and d."""
    sides, t = [], [fmpq(int(x), 6) for x in case.rng.integers(1, 13, case["target"])]
    s = [fmpq(int(x), 6) for x in case.rng.integers(1, 13, case["r"])]
    for values in (s, t):
        U, V = (
            exact.block(instances.rational_orthogonal(case.rng, case[a]), range(case[a]), range(len(values)))
            for a in "mn"
        )
        D = fmpq_mat(len(values), len(values))
        for i, x in enumerate(values):
            D[i, i] = x
        sides.append((U * D * V.transpose(), U, V))
    (X, U, V), (target, _, _) = sides
    return X, target, t, project_out(U) * target * project_out(V)


def nuclear_norm(x: fmpq_mat) -> Enclosure:
    """Return an enclosure of |x|_*: the ends of the singular values, added exactly."""
    lower, upper = (sum(map(exact.number, ends.tolist()), fmpq(0)) for ends in exact.singular_value_enclosures(x))
    return exact.enclosure(lower, upper)
