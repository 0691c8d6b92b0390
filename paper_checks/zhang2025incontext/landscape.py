"""The model as a cubic network, its loss as a finite sum, the minimum and the fixed points (sections 3 and 4.2)."""

from collections.abc import Callable
from itertools import combinations, product
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, equal, exact, instances

from .paper import CONTEXTS, PAPER, gradient, loss, moment, solution, spectrum

LAW = {0: fmpq(1, 2), -1: fmpq(1, 6), 1: fmpq(1, 6), -2: fmpq(1, 12), 2: fmpq(1, 12)}
"""A law on the integers with the moments 0, 1, 0, 3, 0 of the standard normal one."""


# ------------------------------------------------------------------------------------ attention as a cubic network

LAYERS = ({"D": 3, "N": 4, "heads": 2}, {"D": 2, "N": 5, "heads": 3})


@PAPER.formula("6", points=LAYERS)
def cubic_feature(case: Case) -> Comparison:
    """A merged linear attention layer is a two-layer linear network on the cubic feature z = vec(b x_q^T).

    Tokens (x_n, y_n) and (x_q, 0); each head has a value matrix and a key-query matrix whose blocks between labels and
    inputs are 0. The last label of sum_i (1/N) W^V_i X X^T W^KQ_i X is sum_i v_i <U_i, b x_q^T>.
    """
    return equal(attention_less_network(case, stray=0), 0)


@cubic_feature.control("a key-query matrix that also reads labels")
def _(case: Case) -> Comparison:
    return equal(attention_less_network(case, stray=1), 0)


def attention_less_network(case: Case, stray: int) -> Any:
    """Return the prediction of the attention layer less that of the two-layer network."""
    D, N = case["D"], case["N"]
    x, w = instances.nonsingular(case.rng, D), instances.integers(case.rng, 1, D, 1, 3)
    x = fmpq_mat([[*row, *more] for row, more in zip(x.table(), random_rows(case, D, N + 1 - D), strict=True)])
    y = (w * x).entries()
    tokens = fmpq_mat([*x.table(), [*y[:N], 0]])
    b = sum((y[n] * exact.column(x, n) for n in range(1, N)), y[0] * exact.column(x, 0)) / N
    feature = b * exact.column(x, N).transpose()
    attention = network = fmpq(0)
    for _ in range(case["heads"]):
        v, U = int(case.rng.integers(1, 4)), instances.integers(case.rng, D, D, 1, 4)
        values = exact.diagonal([0] * D + [v])
        keys = fmpq_mat([[*row, 0] for row in U.table()] + [[stray] * D + [0]])
        attention += (values * tokens * tokens.transpose() * keys * tokens)[D, N] / N
        network += v * sum(u * z for u, z in zip(U.entries(), feature.entries(), strict=True))
    return attention - network


def random_rows(case: Case, rows: int, columns: int) -> Any:
    """Return integers as rows."""
    return instances.integers(case.rng, rows, columns, 1, 3).table()


# ------------------------------------------------------------------------- the loss, its fixed points

MOMENTS = ({"D": 1, "N": 3}, {"D": 2, "N": 1}, {"D": 2, "N": 2}, {"D": 3, "N": 1})


@PAPER.formula("15", points=MOMENTS)
def second_moment(case: Case) -> Comparison:
    """For the sample covariance M of N inputs from N(0, L): E M^2 = L^2 + (L + Tr L I) L / N.

    The left side is the finite sum over 5^(D N) samples. Counted are the entries that differ.
    """
    return entries_that_differ(case, moment)


@second_moment.control("without the trace, as if inputs had no fourth moments across coordinates")
def _(case: Case) -> Comparison:
    return entries_that_differ(case, lambda L, N: L * L + L * L / N)


def entries_that_differ(case: Case, formula: Callable[[fmpq_mat, int], fmpq_mat]) -> Comparison:
    """Count the entries in which the mean of M^2 differs from a formula in L and N."""
    L, average = sampled_moment(case)
    return equal(exact.count_nonzero(average - formula(L, case["N"])), 0)


def sampled_moment(case: Case) -> tuple[fmpq_mat, fmpq_mat]:
    """Return L = R R^T for a random R, and the mean of M^2 over all samples x_n = R xi_n."""
    D, N = case["D"], case["N"]
    R = instances.nonsingular(case.rng, D)
    average = fmpq_mat(D, D)
    for draws in product(LAW, repeat=D * N):
        weight = fmpq(1)
        for value in draws:
            weight *= LAW[value]
        S = fmpq_mat(D, N, draws)
        M = S * S.transpose() / N
        average += weight * (M * (R.transpose() * R) * M)
    return R * R.transpose(), R * average * R.transpose()


@PAPER.formula("5-loss", points=({"D": 1, "N": 2}, {"D": 2, "N": 1}))
def loss_formula(case: Case) -> Comparison:
    """The loss is E (y_q - b^T K x_q)^2 = Tr (L - 2 L K L + K^T E[M^2] K L).

    The left side is the finite sum over inputs, query (signs: two moments suffice) and task (signs), for a random K.
    """
    R, K = (instances.nonsingular(case.rng, case["D"]) for _ in range(2))
    return equal(sampled_loss(R, K, case["N"]) - loss(K, R * R.transpose(), case["N"]), 0)


@loss_formula.control("K transposed, for inputs of different variances", points=({"D": 2, "N": 1},))
def _(case: Case) -> Comparison:
    R, K = exact.diagonal([1, 2]), fmpq_mat([[1, 2], [0, 1]])
    return equal(sampled_loss(R, K, case["N"]) - loss(K.transpose(), R * R.transpose(), case["N"]), 0)


@loss_formula.control("the noise of one example more")
def _(case: Case) -> Comparison:
    R, K = (instances.nonsingular(case.rng, case["D"]) for _ in range(2))
    return equal(sampled_loss(R, K, case["N"]) - loss(K, R * R.transpose(), case["N"] + 1), 0)


def sampled_loss(R: fmpq_mat, K: fmpq_mat, N: int) -> Any:
    """Return the mean over all draws of the inputs R xi, the queries and the tasks."""
    D, total = R.nrows(), fmpq(0)
    for xi, *signs in product(product(LAW, repeat=D * N), *[list(product((1, -1), repeat=D))] * 2):
        weight = fmpq(1, 4**D)
        for value in xi:
            weight *= LAW[value]
        x, (query, w) = R * fmpq_mat(D, N, xi), (fmpq_mat(D, 1, sign) for sign in signs)
        residual = w.transpose() * (R * query - x * x.transpose() / N * K * R * query)
        total += weight * residual[0, 0] ** 2
    return total


@PAPER.formula("11", points=CONTEXTS)
def minimiser(case: Case) -> Comparison:
    """The global minimiser is K = (L + (L + Tr L I) / N)^{-1}, not L^{-1}: the loss is a convex quadratic of K.

    L has random eigenvectors over Q. Counted are the entries of the gradient that are not 0.
    """
    values, N = spectrum(case), case["N"]
    L = turned(case, values)
    K = (L + (L + sum(values) * exact.identity(case["D"])) / N).inv()
    return equal(exact.count_nonzero(gradient(K, L, N)), 0)


@minimiser.control("the inverse of L")
def _(case: Case) -> Comparison:
    L = turned(case, spectrum(case))
    return equal(exact.count_nonzero(gradient(L.inv(), L, case["N"])), 0)


def turned(case: Case, values: Any) -> fmpq_mat:
    """Return a matrix with these eigenvalues and random rational eigenvectors."""
    Q = instances.rational_orthogonal(case.rng, case["D"])
    return Q * exact.diagonal(values) * Q.transpose()


@PAPER.formula("16", points=CONTEXTS)
def fixed_points(case: Case) -> Comparison:
    """Separate key and query: each of the 2^D subsets of eigendirections gives a fixed point.

    At heads v = 1 / (l_d + (l_d + Tr L) / N), k = q = e_d for d in the subset, with a head v = 0, k = (1, ..., D), q in
    the span of these e_d (conditions C1 to C3), all derivatives vanish. Counted are the subsets where they do.
    """
    values, N = spectrum(case), case["N"]
    subsets = [S for m in range(case["D"] + 1) for S in combinations(range(case["D"]), m)]
    return equal(sum(head_derivatives(values, N, S, S) == 0 for S in subsets), 2 ** case["D"])


@fixed_points.control("heads that mix two eigendirections")
def _(case: Case) -> Comparison:
    values, N = spectrum(case), case["N"]
    subsets = [S for m in range(case["D"] + 1) for S in combinations(range(case["D"]), m)]
    mixed = [head_derivatives(values, N, S, [(d + 1) % case["D"] for d in S]) for S in subsets]
    return equal(sum(derivatives == 0 for derivatives in mixed), 2 ** case["D"])


def head_derivatives(values: Any, N: int, learned: Any, keys: Any) -> int:
    """Count the derivatives with respect to v_i, k_i, q_i that are not 0, for heads v, k = e_key, q = e_d."""
    L, D = exact.diagonal(values), len(values)
    scale = solution(values, N, learned)
    heads = [
        (scale[d, d], exact.unit_vector(D, key), exact.unit_vector(D, d)) for d, key in zip(learned, keys, strict=True)
    ]
    K = sum((v * k * q.transpose() for v, k, q in heads), fmpq_mat(D, D))
    G = gradient(K, L, N)
    idle = (fmpq(0), fmpq_mat(D, 1, range(1, D + 1)), sum((exact.unit_vector(D, d) for d in keys), fmpq_mat(D, 1)))
    parts = [(k.transpose() * G * q, v * G * q, v * G.transpose() * k) for v, k, q in [*heads, idle]]
    return sum(exact.count_nonzero(part) for head in parts for part in head)


@PAPER.formula("19", points=CONTEXTS)
def plateaus(case: Case) -> Comparison:
    """After m of the D eigendirections the loss is L_m = Tr L - sum_{d <= m} l_d / (1 + (1 + Tr L / l_d) / N).

    Measured is the sum over m of |loss - L_m|. The levels decrease, so the staircase has D steps.
    """
    return equal(level_defect(case, trace_term=1), 0)


@plateaus.control("without Tr L / l_d")
def _(case: Case) -> Comparison:
    return equal(level_defect(case, trace_term=0), 0)


def level_defect(case: Case, trace_term: int) -> Any:
    """Return the sum over m of |loss - L_m|."""
    values, N = spectrum(case), case["N"]
    total, level, defect = sum(values), sum(values), fmpq(0)
    for m in range(case["D"] + 1):
        defect += abs(loss(solution(values, N, range(m)), exact.diagonal(values), N) - level)
        if m < case["D"]:
            level -= values[m] / (1 + (1 + trace_term * total / values[m]) / N)
    return defect
