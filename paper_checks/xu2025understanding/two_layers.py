r"""Two layers: conserved quantities, modes that decouple, and directions that adapters reach at third order only."""

from fractions import Fraction
from itertools import count
from typing import Any, NamedTuple

from flint import acb, arb, fmpq, fmpq_mat

from lora_proofs import Case, Comparison, at_most, equal, exact, instances

from .paper import ALPHAS, PAPER, scale


class Adapters(NamedTuple):
    """The trainable matrices."""

    B1: fmpq_mat
    A1: fmpq_mat
    B2: fmpq_mat
    A2: fmpq_mat


class Problem(NamedTuple):
    """The frozen matrices and the target."""

    W1: fmpq_mat
    W2: fmpq_mat
    Y: fmpq_mat

    def residual(self, x: Adapters) -> fmpq_mat:
        """Return Y - (W_2 + B_2 A_2)(W_1 + B_1 A_1)."""
        return self.Y - (self.W2 + x.B2 * x.A2) * (self.W1 + x.B1 * x.A1)

    def flow(self, x: Adapters) -> Adapters:
        """Return the negative gradient of L."""
        E = self.residual(x)
        G1, G2 = (self.W2 + x.B2 * x.A2).transpose() * E, E * (self.W1 + x.B1 * x.A1).transpose()
        A1t, A2t, B1t, B2t = (y.transpose() for y in (x.A1, x.A2, x.B1, x.B2))
        return Adapters(G1 * A1t, B1t * G1, G2 * A2t, B2t * G2)


def square(x: fmpq_mat) -> Fraction:
    """Return the squared Frobenius norm."""
    return exact.frobenius_norm_squared(x)


def draw(case: Case, m: int, n: int) -> fmpq_mat:
    """Return a random integer matrix."""
    return instances.integers(case.rng, m, n)


def random_adapters(case: Case, n: int, r: int) -> Adapters:
    """Return random integer adapters of rank r for square layers."""
    return Adapters(draw(case, n, r), draw(case, r, n), draw(case, n, r), draw(case, r, n))


@PAPER.formula("conservation", n=(3, 4), r=(1, 2))
def conservation(case: Case) -> Comparison:
    r"""Gradient flow conserves B_l^T B_l - A_l A_l^T, l = 1, 2, whatever W_1, W_2 and Y.

    Measured: the squared norm of the derivatives of both, exactly, at random integer points.
    """
    return equal(imbalance_rate(case, speed=1), 0)


@conservation.control("B learns twice as fast as A")
def _(case: Case) -> Comparison:
    return equal(imbalance_rate(case, speed=2), 0)


def imbalance_rate(case: Case, speed: int) -> Fraction:
    """Return the squared norm of the time derivatives, with the flow of B multiplied by `speed`."""
    n, r = case["n"], case["r"]
    problem, x = Problem(*(draw(case, n, n) for _ in range(3))), random_adapters(case, n, r)
    dx, total = problem.flow(x), Fraction(0)
    for B, A, dB, dA in ((x.B1, x.A1, dx.B1, dx.A1), (x.B2, x.A2, dx.B2, dx.A2)):
        half = speed * B.transpose() * dB - dA * A.transpose()
        total += square(half + half.transpose())
    return total


# ------------------------------------------------------------------------- two layers with common singular vectors


@PAPER.theorem("decoupling", n=(3, 4), r=(1, 2))
def decoupling(case: Case) -> Comparison:
    r"""If W_1, W_2 and Y share singular vectors and the adapters start along them, they stay so: modes decouple.

    Y = U D V^T, W_2 = U D_2 Q^T, W_1 = Q D_1 V^T, B_2 = U b_2, A_2 = a_2 Q^T, B_1 = Q b_1, A_1 = a_1 V^T with
    rectangular diagonals. Measured: the squared norm of the part of the gradient that is not of this form, over Q.
    """
    return equal(off_modes(case, aligned=True), 0)


@decoupling.control("Y with singular vectors of its own")
def _(case: Case) -> Comparison:
    return equal(off_modes(case, aligned=False), 0)


@PAPER.corollary("linear-rate", n=(3, 4), r=(1, 2))
def linear_rate(case: Case) -> Comparison:
    r"""Mode by mode |grad L|^2 = e^2 [(a_2^2 + b_2^2) h_1^2 + (a_1^2 + b_1^2) h_2^2], h = w + b a, e = y - h_2 h_1.

    With positive a, b, w and e > 0 all of them grow, the bracket too: L_mode(t) <= L_mode(0) e^{-2 mu t} with its
    value mu at the start. That is "any precision" from a spectral initialisation, for modes that the adapters have.
    Measured: the squared norm of the matrix gradient less the sum over modes.
    """
    problem, x, _, modes = common(case, aligned=True)
    found = sum(square(g) for g in problem.flow(x))
    return equal(found - sum(rate(*mode) for mode in modes), 0)


@linear_rate.control("the second layer's adapters left out of the bracket")
def _(case: Case) -> Comparison:
    problem, x, _, modes = common(case, aligned=True)
    found = sum(square(g) for g in problem.flow(x))
    return equal(found - sum(rate(*mode[:3], mode[3], mode[4], 0, 0) for mode in modes), 0)


def rate(y: Any, w1: Any, w2: Any, b1: Any, a1: Any, b2: Any, a2: Any) -> Fraction:
    """Return e^2 times the bracket of one mode."""
    h1, h2 = w1 + b1 * a1, w2 + b2 * a2
    value = (y - h2 * h1) ** 2 * ((a2 * a2 + b2 * b2) * h1 * h1 + (a1 * a1 + b1 * b1) * h2 * h2)
    return Fraction(int(value.p), int(value.q))


def rectangular(values: list[Any], m: int, n: int) -> fmpq_mat:
    """Return the m x n matrix with these diagonal entries."""
    return fmpq_mat(m, n, [values[i] if i == j else 0 for i in range(m) for j in range(n)])


def common(case: Case, aligned: bool) -> tuple[Problem, Adapters, tuple[fmpq_mat, ...], list[tuple[Any, ...]]]:
    """Return a problem in common singular vectors U, Q, V (Y not, unless aligned), spectral adapters and r modes."""
    n, r, rng = case["n"], case["r"], case.rng
    U, Q, V = (instances.rational_orthogonal(rng, n) for _ in range(3))
    y, w1, w2 = ([fmpq(int(x)) for x in rng.integers(low, low + 9, n)] for low in (30, 1, 1))
    b1, a1, b2, a2 = ([fmpq(int(x), 4) for x in rng.integers(1, 5, r)] for _ in range(4))
    turned = (instances.rational_orthogonal(rng, n) for _ in count())
    left = U if aligned else next(X for X in turned if abs((U.transpose() * X)[0, 0]) != 1)
    problem = Problem(
        Q * rectangular(w1, n, n) * V.transpose(),
        U * rectangular(w2, n, n) * Q.transpose(),
        left * rectangular(y, n, n) * V.transpose(),
    )
    x = Adapters(
        Q * rectangular(b1, n, r),
        rectangular(a1, r, n) * V.transpose(),
        U * rectangular(b2, n, r),
        rectangular(a2, r, n) * Q.transpose(),
    )
    return problem, x, (U, Q, V), list(zip(y[:r], w1[:r], w2[:r], b1, a1, b2, a2, strict=True))


def off_modes(case: Case, aligned: bool) -> Fraction:
    """Return the squared norm of the off-diagonal part of the gradient in the common bases."""
    problem, x, (U, Q, V), _ = common(case, aligned)
    g = problem.flow(x)
    parts = (Q.transpose() * g.B1, g.A1 * V, U.transpose() * g.B2, g.A2 * Q)
    total = Fraction(0)
    for part in parts:
        for i in range(part.nrows()):
            for j in range(part.ncols()):
                if i != j:
                    total += exact.frobenius_norm_squared(exact.block(part, range(i, i + 1), range(j, j + 1)))
    return total


# --------------------------------------------------------------------------------- targets out of first-order reach


@PAPER.proposition("saddle", n=(3, 4))
def saddle(case: Case) -> Comparison:
    r"""A direction u v^T out of range(W_2) and row(W_1) is learned only at third order in the start's scale.

    Y = W_2 W_1 + u v^T, W_1 and W_2 of rank n - 1: adapters of rank one represent Y exactly, but W_2^T E = 0 and E
    W_1^T = 0, so the linearised flow at zero vanishes: no alignment phase. Measured: the least order in alpha of the
    gradient at alpha times random integers; with the exact representation checked (else 0).
    """
    return equal(least_order(case, reachable=False), 3)


@saddle.control("u in range(W_2)")
def _(case: Case) -> Comparison:
    return equal(least_order(case, reachable=True), 3)


def least_order(case: Case, reachable: bool) -> int:
    """Return the least order with a non-zero coefficient, or 0 if the adapters that should represent Y do not."""
    n = case["n"]
    U, Q, V = (instances.rational_orthogonal(case.rng, n) for _ in range(3))
    kept = rectangular([*[fmpq(1)] * (n - 1), fmpq(0)], n, n)
    W1, W2 = Q * kept * V.transpose(), U * kept * Q.transpose()
    u, q, v = (exact.block(X, range(n), range(n - 1, n)) for X in (U, Q, V))
    witness = Adapters(q, v.transpose(), u, q.transpose())
    if not exact.is_zero(Problem(W1, W2, W2 * W1 + u * v.transpose()).residual(witness)):
        return 0
    if reachable:
        u = exact.block(U, range(n), range(1))
    problem = Problem(W1, W2, W2 * W1 + u * v.transpose())
    x = next(x for x in (random_adapters(case, n, 1) for _ in count()) if moves_all(x, U, Q, V))
    nodes = [fmpq(i) for i in range(8)]  # the gradient is a polynomial of degree 7 in alpha
    values = [[y for g in problem.flow(Adapters(*(alpha * m for m in x))) for y in g.entries()] for alpha in nodes]
    vandermonde = fmpq_mat(8, 8, [a**k for a in nodes for k in range(8)])
    coefficients = vandermonde.solve(fmpq_mat(values))
    return next(k for k in range(8) if any(coefficients[k, j] != 0 for j in range(coefficients.ncols())))


def moves_all(x: Adapters, U: fmpq_mat, Q: fmpq_mat, V: fmpq_mat) -> bool:
    """Tell whether the adapters have a part along every singular vector."""
    parts = (Q.transpose() * x.B1, x.A1 * V, U.transpose() * x.B2, x.A2 * Q)
    return all(y != 0 for part in parts for y in part.entries())


@PAPER.corollary("escape", alpha=ALPHAS, seeded=False)
def escape(case: Case) -> Comparison:
    r"""Such a direction takes (alpha^{-2} - 4 + artanh(1/4) - artanh(alpha^2)) / 2 to be learned up to x = 1/2.

    A time of order alpha^{-2}, not log(1/alpha). All four entries equal x: dx/dt = (1 - x^4) x^3, from alpha on.
    Certified quadrature of the time, less its leading term alpha^{-2} / 2.
    """
    alpha = scale(case)
    return equal(escape_time(alpha) - arb(1 / (2 * alpha**2)), rest_of_escape(alpha, end=fmpq(1, 4)))


@escape.control("artanh(1/2): a start at alpha, but an end at x^2 = 1/2")
def _(case: Case) -> Comparison:
    alpha = scale(case)
    return equal(escape_time(alpha) - arb(1 / (2 * alpha**2)), rest_of_escape(alpha, end=fmpq(1, 2)))


@escape.control("logarithmic, as for a direction within reach: at most 10 log(1/alpha)", alpha=ALPHAS[1:2])
def _(case: Case) -> Comparison:
    alpha = scale(case)
    return at_most(escape_time(alpha), 10 * (1 / arb(alpha)).log())


def rest_of_escape(alpha: Any, end: fmpq) -> arb:
    """Return the closed form up to x^2 = end, less alpha^{-2} / 2."""
    return (arb(end).atanh() - arb(alpha**2).atanh() - arb(1 / end)) / 2


def escape_time(alpha: Any) -> arb:
    """Enclose the time from alpha to 1/2, integrated over x^{-2}."""
    integral = acb.integral(lambda s, _: 1 / (1 - 1 / (s * s)) / 2, acb(4), acb(1 / alpha**2))
    return integral.real
