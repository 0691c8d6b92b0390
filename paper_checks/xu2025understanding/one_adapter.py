r"""One adapter of rank one from a balanced start: the flow in closed form, alignment, and the floor that is passed."""

from typing import Any, NamedTuple

from flint import arb, ctx, fmpq, fmpq_mat, fmpq_series

from lora_proofs import Case, Comparison, at_most, equal, instances

from .paper import ALPHAS, PAPER, scale


@PAPER.theorem("closed-form", m=(2, 3), n=(2, 3))
def closed_form(case: Case) -> Comparison:
    r"""From a balanced start, z(t) = e^{Mt} z_0 / N(t), N^2 = 1 + \int_0^t |e^{Ms} z_0|^2 ds, solves the gradient flow.

    For every E. S = z z^T = y y^T / N^2 with y = e^{Mt} z_0 is a power series in t over Q; measured is the number of
    its first coefficients at which dS/dt differs from that of db/dt = (E - b a^T) a, da/dt = (E - b a^T)^T b.
    """
    return equal(mismatches(case, balanced=True), 0)


@closed_form.control("|a| is not |b|")
def _(case: Case) -> Comparison:
    return equal(mismatches(case, balanced=False), 0)


def mismatches(case: Case, balanced: bool) -> int:
    """Count the coefficients up to t^6 that differ, over the entries of S."""
    m, n, terms = case["m"], case["n"], 8
    E = instances.integers(case.rng, m, n) + fmpq_mat(m, n, [fmpq(1, 2)] * (m * n))
    b, a = ([fmpq(3), fmpq(4), fmpq(0)][:k] for k in (m, n))
    a = a if balanced else [2 * x for x in a]
    start = fmpq_mat(m + n, 1, [x / 5 for x in (*b, *a)])
    M = fmpq_mat(m + n, m + n)
    for i in range(m):
        for j in range(n):
            M[i, m + j] = M[m + j, i] = E[i, j]
    power, coefficients = start, [start]
    for k in range(1, terms):
        power = M * power / k
        coefficients.append(power)
    y = [fmpq_series([c[i, 0] for c in coefficients], prec=terms) for i in range(m + n)]
    N2 = 1 + sum((x * x for x in y), fmpq_series([0], prec=terms)).integral()
    S = [[p * q / N2 for q in y] for p in y]
    bb, aa = sum(S[i][i] for i in range(m)), sum(S[m + i][m + i] for i in range(n))
    decay = [aa] * m + [bb] * n
    wrong = 0
    for i in range(m + n):
        for j in range(m + n):
            rate = -(decay[i] + decay[j]) * S[i][j]
            rate += sum(M[i, k] * S[k][j] + S[i][k] * M[k, j] for k in range(m + n))
            wrong += sum(x != 0 for x in (S[i][j].derivative() - rate).coeffs()[: terms - 2])
    return wrong


class State(NamedTuple):
    """The losses on the target direction and off it, and the growth s = alpha^2 p^2 (w^2 - 1) / (2 sigma)."""

    on: arb
    off: arb
    growth: arb
    time: arb


SIGMA, P = fmpq(2), fmpq(3, 2)
MISALIGNED = fmpq(25)
"""|n|^2, shared equally by b and a."""


FITTING = ({"alpha": "1/100", "growth": 2}, {"alpha": "1/1000", "growth": 3}, {"alpha": "1/10000", "growth": 4})
"""About when the target direction is fitted."""


def shares(alpha: Any, misaligned: Any, w: Any, t: Any) -> tuple[Any, Any]:
    """Return (b_u)^2 = b_u a_v = (a_v)^2 and |b_n|^2 = |a_n|^2 at the time t, w = e^{sigma t}: numbers or series."""
    norm = 1 + alpha**2 * (P**2 * (w * w - 1) / (2 * SIGMA) + misaligned * t)  # N^2
    return alpha**2 * P**2 * w * w / norm / 2, alpha**2 * misaligned / norm / 2


def state(alpha: Any, growth: int, misaligned: Any = MISALIGNED) -> State:
    """Enclose the losses |E - b a^T|_F^2 on and off u v^T at the time at which e^{sigma t} = 10^growth."""
    w = fmpq(10) ** growth
    t = arb(w).log() / arb(SIGMA)
    along, across = shares(arb(alpha), arb(misaligned), arb(w), t)
    growth_term = alpha**2 * P**2 * (w * w - 1) / (2 * SIGMA)
    return State((arb(SIGMA) - along) ** 2, 2 * along * across + across**2, arb(growth_term), t)


@PAPER.formula("shares", alpha=("1/10", "1/1"), seeded=False)
def shares_solve(case: Case) -> Comparison:
    r"""E = sigma u v^T: b_u a_v = (alpha p e^{sigma t})^2 / (2 N^2), |b_n|^2 = |a_n|^2 = alpha^2 |n|^2 / (2 N^2).

    N^2 = 1 + alpha^2 p^2 (e^{2 sigma t} - 1) / (2 sigma) + alpha^2 |n|^2 t. So x = b_u a_v, y = |b_n|^2 solve
    dx/dt = 2 x (sigma - x - y), dy/dt = -2 y (x + y), from |a|^2 = |b|^2 = x + y, and start at alpha^2 p^2 / 2 and
    alpha^2 |n|^2 / 2. Measured: the number of the first coefficients in t at which they do not, over Q.
    """
    return equal(share_mismatches(case, drag=2), 0)


@shares_solve.control("the misaligned part decays at half the rate")
def _(case: Case) -> Comparison:
    return equal(share_mismatches(case, drag=1), 0)


def share_mismatches(case: Case, drag: int) -> int:
    """Count the coefficients up to t^6 at which the closed form does not solve the equations."""
    alpha, terms = scale(case), 8
    t = fmpq_series([0, 1], prec=terms)
    x, y = shares(alpha, MISALIGNED, (SIGMA * t).exp(), t)
    wrong = (x.derivative() - 2 * x * (SIGMA - x - y), y.derivative() + drag * y * (x + y))
    start = x[0] - alpha**2 * P**2 / 2, y[0] - alpha**2 * MISALIGNED / 2
    return sum(c != 0 for series in wrong for c in series.coeffs()[: terms - 1]) + sum(c != 0 for c in start)


@PAPER.theorem("alignment", points=FITTING, alpha=ALPHAS, growth=(1, 2, 3, 4, 8), seeded=False)
def alignment(case: Case) -> Comparison:
    r"""|E - b a^T|^2 off the target direction stays below sigma alpha^2 |n|^2 / (4 (1 - c)) + alpha^4 |n|^4 / 4.

    c = alpha^2 p^2 / (2 sigma) < 1. With X = c e^{2 sigma t} it is sigma alpha^2 |n|^2 X / N^4 + (alpha |n| / N)^4 / 4
    where N^2 >= 1 - c + X, and X / (1 - c + X)^2 is largest at X = 1 - c, when the target direction is being fitted.
    So "reducing the initialisation scale improves alignment". Here growth is log10 of e^{sigma t}. Measured: the ratio
    to the bound.
    """
    alpha = scale(case)
    return at_most(state(alpha, case["growth"]).off / off_bound(alpha), 1)


@alignment.control("a fifth less, when the target direction is being fitted", points=FITTING)
def _(case: Case) -> Comparison:
    alpha = scale(case)
    return at_most(state(alpha, case["growth"]).off / (off_bound(alpha) * fmpq(4, 5)), 1)


def off_bound(alpha: Any) -> arb:
    """Return the bound of `alignment`."""
    c = alpha**2 * P**2 / (2 * SIGMA)
    return arb(SIGMA * alpha**2 * MISALIGNED / (4 * (1 - c)) + alpha**4 * MISALIGNED**2 / 4)


@PAPER.proposition("transient", alpha=ALPHAS, growth=(4, 6, 10), seeded=False)
def transient(case: Case) -> Comparison:
    r"""For every alpha the loss tends to 0: what a small alpha bounds is a floor on the way, not the limit.

    With s = alpha^2 p^2 (e^{2 sigma t} - 1) / (2 sigma) <= N^2, the loss is at most (sigma (1 + alpha^2 |n|^2 t) /
    s)^2 + sigma alpha^2 |n|^2 / s + (alpha^2 |n|^2 / (2 s))^2. A smaller alpha leaves a smaller error once the target
    direction is fitted, and gets there later by log(1/alpha) / sigma. One adapter, E within its reach. Measured: the
    ratio.
    """
    return at_most(decay(case, factor=1), 1)


@transient.control("a growth twice as fast", growth=(10,), alpha=ALPHAS[:2])
def _(case: Case) -> Comparison:
    return at_most(decay(case, factor=2), 1)


def decay(case: Case, factor: int) -> arb:
    """Return the loss over its bound, with s multiplied by `factor`."""
    alpha = scale(case)
    with ctx.extraprec(4 * case["growth"]):  # sigma - b_u a_v has lost the digits of e^{2 sigma t}
        found = state(alpha, case["growth"])
        s, stray, sigma = found.growth * factor, arb(alpha**2 * MISALIGNED), arb(SIGMA)
        bound = (sigma * (1 + stray * found.time) / s) ** 2 + sigma * stray / s + (stray / s / 2) ** 2
        return (found.on + found.off) / bound


@PAPER.corollary("spectral", sigma=("1/2", "3/1"), alpha=("1/10", "1/1000"), seeded=False)
def spectral(case: Case) -> Comparison:
    r"""From a spectral start, n = 0, sigma - b_u a_v = (sigma - x_0) / (1 + x_0 (e^{2 sigma t} - 1) / sigma).

    x_0 = alpha^2 / 2, and the loss is half the square: every precision is reached, in a time of order log(1/alpha) /
    sigma. x = b_u a_v obeys dx/dt = 2 (sigma - x) x; measured is the number of the first coefficients in t at which
    the formula does not, over Q.
    """
    return equal(logistic_mismatches(case, rate=2), 0)


@spectral.control("half the rate")
def _(case: Case) -> Comparison:
    return equal(logistic_mismatches(case, rate=1), 0)


def logistic_mismatches(case: Case, rate: int) -> int:
    """Count the coefficients up to t^8 that differ."""
    sigma, start = fmpq(*map(int, case["sigma"].split("/"))), scale(case) ** 2 / 2
    growth = fmpq_series([0, rate * sigma], prec=10).exp()
    x = sigma - (sigma - start) / (1 + start * (growth - 1) / sigma)
    difference = x.derivative() - 2 * (sigma - x) * x
    return sum(y != 0 for y in difference.coeffs()[:9])
