r"""Zhang, Singh, Latham & Saxe, Training Dynamics of In-Context Learning in Linear Attention, arXiv 2501.16265v2.

Published at ICML 2025. Metadata, abstract, and the official code's data and networks were read: merged key-query
weights have two fixed points and one abrupt drop; separate ones exponentially many fixed points, saddle-to-saddle
dynamics and in-context principal component regression. The formulas are as recalled, re-derived, and checked over Q.

Inputs x_1, ..., x_N, x_q ~ N(0, L) in R^D, a task w ~ N(0, I), labels y = w^T x. With b = (1/N) sum y_n x_n a linear
attention layer predicts b^T K x_q, K = sum_i v_i U_i over its heads; rank-one keys and queries have U_i = k_i q_i^T.
The loss E (y_q - b^T K x_q)^2 is a polynomial of degree 4 in the inputs. Every mean is therefore a finite sum: 0 with
probability 1/2, -1, 1 with 1/6 each and -2, 2 with 1/12 each have the moments of N(0, 1) up to the fifth.
"""

from itertools import combinations, product
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, Paper, equal, exact, instances

PAPER = Paper(
    key="zhang2025incontext",
    title="Training Dynamics of In-Context Learning in Linear Attention",
    authors=("Yedi Zhang", "Aaditya K. Singh", "Peter E. Latham", "Andrew Saxe"),
    year=2025,
    arxiv="2501.16265v2",
)

LAW = {0: fmpq(1, 2), -1: fmpq(1, 6), 1: fmpq(1, 6), -2: fmpq(1, 12), 2: fmpq(1, 12)}
"""A law on the integers with the moments 0, 1, 0, 3, 0 of the standard normal one."""


def trace(x: fmpq_mat) -> Any:
    """Return the trace."""
    return sum((x[i, i] for i in range(x.nrows())), fmpq(0))


def diagonal(values: Any) -> fmpq_mat:
    """Return a diagonal matrix."""
    n = len(values)
    return fmpq_mat(n, n, [values[i] if i == j else 0 for i in range(n) for j in range(n)])


def nonzero(x: fmpq_mat) -> int:
    """Count the entries that are not 0."""
    return sum(v != 0 for v in x.entries())


# ------------------------------------------------------------------------------------ attention as a cubic network

LAYERS = ({"D": 3, "N": 4, "heads": 2}, {"D": 2, "N": 5, "heads": 3})


@PAPER.proposition("cubic-feature", points=LAYERS)
def cubic_feature(case: Case) -> Comparison:
    """A merged linear attention layer is a two-layer linear network on the cubic feature z = vec(b x_q^T).

    Tokens (x_n, y_n) and (x_q, 0); each head has a value matrix and a key-query matrix whose blocks between labels and
    inputs are 0. The last label of sum_i (1/N) W^V_i X X^T W^KQ_i X is sum_i v_i <U_i, b x_q^T>.
    """
    return equal(*attention_and_network(case, stray=0))


@cubic_feature.control("a key-query matrix that also reads labels")
def _(case: Case) -> Comparison:
    return equal(*attention_and_network(case, stray=1))


def attention_and_network(case: Case, stray: int) -> tuple[Any, Any]:
    """Return the prediction of the attention layer and that of the two-layer network."""
    D, N = case["D"], case["N"]
    x, w = instances.nonsingular(case.rng, D), instances.integers(case.rng, 1, D, 1, 3)
    x = fmpq_mat([[*row, *more] for row, more in zip(x.table(), random_rows(case, D, N + 1 - D), strict=True)])
    y = (w * x).entries()
    tokens = fmpq_mat([*x.table(), [*y[:N], 0]])
    b = sum((y[n] * column(x, n) for n in range(1, N)), y[0] * column(x, 0)) / N
    attention = network = fmpq(0)
    for _ in range(case["heads"]):
        v, U = int(case.rng.integers(1, 4)), instances.integers(case.rng, D, D, 1, 4)
        values = diagonal([0] * D + [v])
        keys = fmpq_mat([[*row, 0] for row in U.table()] + [[stray] * D + [0]])
        attention += (values * tokens * tokens.transpose() * keys * tokens)[D, N] / N
        network += v * (b.transpose() * U * column(x, N))[0, 0]
    return attention, network


def random_rows(case: Case, rows: int, columns: int) -> Any:
    """Return integers as rows."""
    return instances.integers(case.rng, rows, columns, 1, 3).table()


def column(x: fmpq_mat, k: int) -> fmpq_mat:
    """Return a column as a matrix."""
    return exact.block(x, range(x.nrows()), range(k, k + 1))


# ------------------------------------------------------------------------- the loss, its minimum, its fixed points

MOMENTS = ({"D": 1, "N": 3}, {"D": 2, "N": 1}, {"D": 2, "N": 2}, {"D": 3, "N": 1})


@PAPER.lemma("second-moment", points=MOMENTS)
def second_moment(case: Case) -> Comparison:
    """For the sample covariance M of N inputs from N(0, L): E M^2 = L^2 + (L + Tr L I) L / N.

    The left side is the finite sum over 5^(D N) samples. Counted are the entries that differ.
    """
    L, average = sampled_moment(case)
    return equal(nonzero(average - moment(L, case["N"])), 0)


@second_moment.control("without the trace, as if inputs had no fourth moments across coordinates")
def _(case: Case) -> Comparison:
    L, average = sampled_moment(case)
    return equal(nonzero(average - (L * L + L * L / case["N"])), 0)


def moment(L: fmpq_mat, N: int) -> fmpq_mat:
    """Return L^2 + (L + Tr L I) L / N."""
    return L * L + (L + trace(L) * exact.identity(L.nrows())) * L / N


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


def loss(K: fmpq_mat, L: fmpq_mat, N: int) -> Any:
    """Return E (y_q - b^T K x_q)^2 = Tr (L - 2 L K L + K^T E[M^2] K L)."""
    return trace(L - 2 * L * K * L + K.transpose() * moment(L, N) * K * L)


@PAPER.formula("loss", points=({"D": 1, "N": 2}, {"D": 2, "N": 1}))
def loss_formula(case: Case) -> Comparison:
    """The loss is E (y_q - b^T K x_q)^2 = Tr (L - 2 L K L + K^T E[M^2] K L).

    The left side is the finite sum over inputs, query (signs: two moments suffice) and task (signs), for a random K.
    """
    return equal(*sampled_loss(case, flip=False))


@loss_formula.control("K transposed", points=({"D": 2, "N": 1},))
def _(case: Case) -> Comparison:
    return equal(*sampled_loss(case, flip=True))


def sampled_loss(case: Case, flip: bool) -> tuple[Any, Any]:
    """Return the mean over all draws, and the formula at K or at its transpose."""
    D, N = case["D"], case["N"]
    R, K = instances.nonsingular(case.rng, D), instances.nonsingular(case.rng, D)
    K = K if K.transpose() != K else fmpq_mat(D, D, [K[0, 0] + i for i in range(D * D)])
    total = fmpq(0)
    for xi, *signs in product(product(LAW, repeat=D * N), *[list(product((1, -1), repeat=D))] * 2):
        weight = fmpq(1, 4**D)
        for value in xi:
            weight *= LAW[value]
        x, (query, w) = R * fmpq_mat(D, N, xi), (fmpq_mat(D, 1, sign) for sign in signs)
        residual = w.transpose() * (R * query - x * x.transpose() / N * K * R * query)
        total += weight * residual[0, 0] ** 2
    return total, loss(K.transpose() if flip else K, R * R.transpose(), N)


def gradient(K: fmpq_mat, L: fmpq_mat, N: int) -> fmpq_mat:
    """Return the gradient of the loss with respect to K."""
    return 2 * (moment(L, N) * K - L) * L


def spectrum(case: Case) -> list[Any]:
    """Return D different rational eigenvalues, descending: random steps, divided by their sum."""
    steps = [int(x) for x in case.rng.integers(1, 5, case["D"])]
    values = [sum(steps[: i + 1]) for i in range(case["D"])][::-1]
    return [fmpq(value, sum(values)) for value in values]


def solution(values: Any, N: int, learned: Any) -> fmpq_mat:
    """Return K with 1 / (l_d + (l_d + Tr L) / N) at the learned eigendirections, else 0."""
    total = sum(values)
    return diagonal([1 / (v + (v + total) / N) if d in learned else fmpq(0) for d, v in enumerate(values)])


CONTEXTS = ({"D": 3, "N": 4}, {"D": 4, "N": 31})


@PAPER.theorem("minimiser", points=CONTEXTS)
def minimiser(case: Case) -> Comparison:
    """The global minimiser is K = (L + (L + Tr L I) / N)^{-1}, not L^{-1}: the loss is a convex quadratic of K.

    L has random eigenvectors over Q. Counted are the entries of the gradient that are not 0.
    """
    L = turned(case, spectrum(case))
    N = case["N"]
    K = (L + (L + trace(L) * exact.identity(case["D"])) / N).inv()
    return equal(nonzero(gradient(K, L, N)), 0)


@minimiser.control("the inverse of L")
def _(case: Case) -> Comparison:
    L = turned(case, spectrum(case))
    return equal(nonzero(gradient(L.inv(), L, case["N"])), 0)


def turned(case: Case, values: Any) -> fmpq_mat:
    """Return a matrix with these eigenvalues and random rational eigenvectors."""
    Q = instances.rational_orthogonal(case.rng, case["D"])
    return Q * diagonal(values) * Q.transpose()


@PAPER.theorem("fixed-points", points=CONTEXTS)
def fixed_points(case: Case) -> Comparison:
    """Separate key and query: each of the 2^D subsets of eigendirections gives a fixed point.

    At heads v = 1 / (l_d + (l_d + Tr L) / N), k = q = e_d for d in the subset, and zero heads, all derivatives vanish.
    Counted are the subsets where they do.
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
    L, D = diagonal(values), len(values)
    scale = solution(values, N, learned)
    heads = [(scale[d, d], unit(D, key), unit(D, d)) for d, key in zip(learned, keys, strict=True)]
    K = sum((v * k * q.transpose() for v, k, q in heads), fmpq_mat(D, D))
    G = gradient(K, L, N)
    zero = (fmpq(0), fmpq_mat(D, 1), fmpq_mat(D, 1))
    parts = [(k.transpose() * G * q, v * G * q, v * G.transpose() * k) for v, k, q in [*heads, zero]]
    return sum(nonzero(part) for head in parts for part in head)


def unit(D: int, d: int) -> fmpq_mat:
    """Return e_d as a column."""
    return fmpq_mat(D, 1, [int(i == d) for i in range(D)])


@PAPER.theorem("plateaus", points=CONTEXTS)
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
        defect += abs(loss(solution(values, N, range(m)), diagonal(values), N) - level)
        if m < case["D"]:
            level -= values[m] / (1 + (1 + trace_term * total / values[m]) / N)
    return defect


@PAPER.theorem("cubic-saddle", points=CONTEXTS)
def cubic_saddle(case: Case) -> Comparison:
    """From such a fixed point a new head t (1, e_d, e_d) lowers the loss at third order: by 2 l_d^2 t^3 - O(t^6).

    Exactly, it changes by -2 l_d^2 t^3 + l_d (E M^2)_dd t^6; with merged weights a head t (1, e_d e_d^T) leaves zero at
    second order. Measured is the sum of |differences| over the missing directions, at t = 1/8.
    """
    return equal(escape_defect(case, order=3), 0)


@cubic_saddle.control("an escape at second order, as with merged weights")
def _(case: Case) -> Comparison:
    return equal(escape_defect(case, order=2), 0)


def escape_defect(case: Case, order: int) -> Any:
    """Return the sum over d > 1 of |change of the loss - its polynomial in t|, where direction 1 has been learned."""
    values, N, t = spectrum(case), case["N"], fmpq(1, 8)
    L, K = diagonal(values), solution(values, N, range(1))
    defect = fmpq(0)
    for d in range(1, case["D"]):
        k = t * unit(case["D"], d)
        change = loss(K + t * k * k.transpose(), L, N) - loss(K, L, N)
        defect += abs(change + 2 * values[d] ** 2 * t**order - values[d] * moment(L, N)[d, d] * t**6)
    return defect


@PAPER.theorem("merged-escape", points=CONTEXTS)
def merged_escape(case: Case) -> Comparison:
    """Merged weights leave zero at the rate 2 |L^2|_F: v' = 2 <L^2, U>, U' = 2 v L^2 is the flow to first order.

    So the time of the drop grows by 1 / (2 |L^2|_F) for each e-fold smaller start. The derivatives are exact central
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
    L, D, square = diagonal(values), len(values), fmpq(0)
    for a, b in product(range(D), repeat=2):
        U = unit(D, a) * unit(D, b).transpose()
        # The loss is c_1 v U + c_2 (v U)^2 here: the difference keeps the first term.
        square += ((loss(U, L, N) - loss(-U, L, N)) / 2) ** 2
    return square


@PAPER.theorem("balance", points=CONTEXTS)
def balance(case: Case) -> Comparison:
    """Gradient flow conserves v_i^2 - |k_i|^2 and |k_i|^2 - |q_i|^2 of every head.

    For v dF/dv = <k, dF/dk> = <q, dF/dq>. Two random heads; the derivatives are exact differences of the loss, which is
    quadratic in each factor. Measured is the sum of the absolute differences of the three.
    """
    first, second = radial_derivatives(case)
    return equal(sum(abs(head[0] - other) for head in (first, second) for other in head[1:]), 0)


@balance.control("across two heads")
def _(case: Case) -> Comparison:
    first, second = radial_derivatives(case)
    return equal(abs(first[0] - second[1]), 0)


def radial_derivatives(case: Case) -> list[tuple[Any, ...]]:
    """Return <theta, dF/dtheta> for theta = v, k, q of two random heads."""
    D, L = case["D"], diagonal(spectrum(case))
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


@PAPER.theorem("scalar-flow", points=CONTEXTS)
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
    G = gradient(diagonal([s**3 for s in sizes]), diagonal(values), N)
    final, count = solution(values, N, range(D)), 0
    for d, s in enumerate(sizes):
        e = unit(D, d)
        speed = 2 * values[d] ** 2 * s**2 * (1 - s**power / final[d, d])
        count += nonzero(e.transpose() * G * e * s**2 + speed * exact.identity(1))
        count += nonzero(s**2 * G * e + speed * e) + nonzero(s**2 * G.transpose() * e + speed * e)
    return count
