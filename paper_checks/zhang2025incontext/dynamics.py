"""The flow: how saddles are left, the sigmoid of merged weights, balance, and aligned heads (sections 3.3 and 4.3)."""

from itertools import product
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, equal, exact, instances

from .paper import CONTEXTS, PAPER, gradient, loss, solution, spectrum


@PAPER.formula("16-saddles", points=CONTEXTS)
def cubic_saddle(case: Case) -> Comparison:
    """From such a fixed point a new head t (1, e_d, e_d) lowers the loss at third order: by 2 l_d^2 t^3 - O(t^6).

    Exactly, it changes by -2 l_d^2 t^3 + l_d (E M^2)_dd t^6; with merged weights a head t (1, e_d e_d^T) leaves zero at
    second order. Measured is the sum of |differences| over the missing directions, at t = 1/8.
    """
    return equal(escape_defect(case, order=3), 0)


@cubic_saddle.control("an escape at second order, as with merged weights")
def _(case: Case) -> Comparison:
    return equal(escape_defect(case, order=2), 0)


@cubic_saddle.control("twice what is learned there, which is no fixed point")
def _(case: Case) -> Comparison:
    return equal(escape_defect(case, order=3, times=2), 0)


def escape_defect(case: Case, order: int, times: int = 1) -> Any:
    """Return the sum over d > 1 of |change of the loss - its polynomial in t|, where direction 1 has been learned.

    The derivative with respect to what has been learned is added.
    """
    values, N, t = spectrum(case), case["N"], fmpq(1, 8)
    L, K = exact.diagonal(values), times * solution(values, N, range(1))
    defect = abs(gradient(K, L, N)[0, 0])
    for d in range(1, case["D"]):
        k = t * exact.unit_vector(case["D"], d)
        change = loss(K + t * k * k.transpose(), L, N) - loss(K, L, N)
        second_moment = values[d] ** 2 + (values[d] + sum(values)) * values[d] / N
        defect += abs(change + 2 * values[d] ** 2 * t**order - values[d] * second_moment * t**6)
    return defect


@PAPER.formula("9-escape", points=CONTEXTS)
def merged_escape(case: Case) -> Comparison:
    """Merged weights leave zero at the rate 2 |L^2|_F: v' = 2 <L^2, U>, U' = 2 v L^2 is the flow to first order.

    (Time runs twice as fast here as in the paper, whose flow has a factor 1/2.) So the time of the drop grows by
    1 / (2 |L^2|_F) for each e-fold smaller start. The derivatives are exact central
    differences of the loss, quadratic in the head; measured is v'' / v at (v, U) = (1, 0), the square of the rate.
    """
    values, N = spectrum(case), case["N"]
    return equal(growth(values, N), 4 * sum(value**4 for value in values))


@merged_escape.control("the trace in place of the norm")
def _(case: Case) -> Comparison:
    values, N = spectrum(case), case["N"]
    return equal(growth(values, N), 4 * sum(value**2 for value in values) ** 2)


def growth(values: Any, N: int) -> Any:
    """Return <S, S> for the mixed second derivatives S of the loss with respect to v and U at 0."""
    L, D, square = exact.diagonal(values), len(values), fmpq(0)
    for a, b in product(range(D), repeat=2):
        U = exact.unit_vector(D, a) * exact.unit_vector(D, b).transpose()
        # The loss is c_1 v U + c_2 (v U)^2 here: the difference keeps the first term.
        square += ((loss(U, L, N) - loss(-U, L, N)) / 2) ** 2
    return square


@PAPER.formula("10", D=(4, 9), N=(3, 31))
def time_course(case: Case) -> Comparison:
    """For L = I and small balanced aligned weights the merged model is s(t) b^T x_q with a shifted sigmoid s(t).

    s = E / ((1 + (1 + D) / N) (E - 1) + sqrt(D) / w^2), E = exp(2 sqrt(D) t) in the paper's time, w the norm of a
    layer. For v = u, U = u I / sqrt(D) the flow gives u' = sqrt(D) u (1 - a s), a = 1 + (1 + D) / N; so s' = 2 sqrt(D)
    s (1 - a s), and (1 / s - a) E is constant. Measured is the sum of the absolute defects of the flow (the exact
    gradient at a random u) and of this constant (at a random rational E).
    """
    return equal(time_course_defect(case, spread=1), 0)


@time_course.control("1 + D / N in place of 1 + (1 + D) / N")
def _(case: Case) -> Comparison:
    return equal(time_course_defect(case, spread=0), 0)


@time_course.control("weights that are no multiple of the identity")
def _(case: Case) -> Comparison:
    return equal(time_course_defect(case, spread=1, skewed=1), 0)


def time_course_defect(case: Case, spread: int, skewed: int = 0) -> Any:
    """Return the sum of the defects, with a = 1 + (spread + D) / N; K is s I, with an entry beside the diagonal."""
    D, N, root = case["D"], case["N"], round(case["D"] ** 0.5)
    u, w, E = (fmpq(int(x), 10) for x in case.rng.integers(1, 6, 3))
    a, one = 1 + fmpq(spread + D, N), exact.identity(D)
    s, E = u**2 / root, E + 1
    K = s * one + skewed * exact.unit_vector(D, 0) * exact.unit_vector(D, 1).transpose()
    G = gradient(K, one, N) / 2  # the paper's flow has this half
    flow = abs(-exact.trace(G) * u / root - root * u * (1 - a * s)) + exact.count_nonzero(
        -u * G - u * (1 - a * s) * one
    )
    later = E / (a * (E - 1) + root / w**2)
    return flow + abs((1 / later - a) * E - (root / w**2 - a))


@PAPER.formula("14-balance", points=CONTEXTS)
def balance(case: Case) -> Comparison:
    """Gradient flow conserves v_i^2 - |k_i|^2 and |k_i|^2 - |q_i|^2 of every head.

    For v dF/dv = <k, dF/dk> = <q, dF/dq>. Two random heads; the derivatives are exact differences of the loss, which is
    quadratic in each factor. Measured is the sum of the absolute differences of the three.
    """
    return equal(sum(spread(*head) for head in radial_derivatives(case)), 0)


@balance.control("across two heads")
def _(case: Case) -> Comparison:
    first, second = radial_derivatives(case)
    return equal(spread(first[0], second[1], second[2]), 0)


def spread(first: Any, *others: Any) -> Any:
    """Return the sum of the absolute differences of the first number from the others."""
    return sum(abs(first - other) for other in others)


def radial_derivatives(case: Case) -> list[tuple[Any, ...]]:
    """Return <theta, dF/dtheta> for theta = v, k, q of two random heads."""
    D, L = case["D"], exact.diagonal(spectrum(case))
    heads = [
        [instances.integers(case.rng, 1, 1, 1, 3), *(instances.integers(case.rng, D, 1, 1, 3) for _ in "kq")]
        for _ in range(2)
    ]

    def value(heads: Any) -> Any:
        return loss(sum((k * v * q.transpose() for v, k, q in heads), fmpq_mat(D, D)), L, case["N"])

    def slope(head: int, part: int) -> Any:
        changed = []
        for scale in (2, 0):  # F(theta + theta) - F(theta - theta) = 2 <theta, dF/dtheta>: F is quadratic in theta
            heads_now = [list(h) for h in heads]
            heads_now[head][part] = scale * heads_now[head][part]
            changed.append(value(heads_now))
        return (changed[0] - changed[1]) / 2

    return [tuple(slope(head, part) for part in range(3)) for head in range(2)]


@PAPER.formula("14-aligned", points=CONTEXTS)
def scalar_flow(case: Case) -> Comparison:
    """Aligned balanced heads s (1, e_d, e_d), one a direction, stay so: s' = 2 l_d^2 s^2 (1 - (s / s_d)^3) for each.

    s_d^3 = 1 / (l_d + (l_d + Tr L) / N). From a small start w the direction d is learned at about 1 / (2 l_d^2 w), in
    the order of the eigenvalues. Counted are the entries of minus the gradient that differ, at random sizes s.
    """
    return equal(flow_defect(case, power=3), 0)


@scalar_flow.control("(s / s_d)^2")
def _(case: Case) -> Comparison:
    return equal(flow_defect(case, power=2), 0)


def flow_defect(case: Case, power: int) -> int:
    """Count the entries of -dF/dv, -dF/dk and -dF/dq of aligned heads that are not s' times 1, e_d and e_d."""
    values, N, D = spectrum(case), case["N"], case["D"]
    sizes = [fmpq(int(x), 7) for x in case.rng.integers(1, 6, D)]
    G = gradient(exact.diagonal([s**3 for s in sizes]), exact.diagonal(values), N)
    final, count = solution(values, N, range(D)), 0
    for d, s in enumerate(sizes):
        e = exact.unit_vector(D, d)
        speed = 2 * values[d] ** 2 * s**2 * (1 - s**power / final[d, d])
        count += exact.count_nonzero(e.transpose() * G * e * s**2 + speed * exact.identity(1))
        count += exact.count_nonzero(s**2 * G * e + speed * e) + exact.count_nonzero(
            s**2 * G.transpose() * e + speed * e
        )
    return count
