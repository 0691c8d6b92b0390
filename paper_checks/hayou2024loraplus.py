r"""Hayou, Ghosh & Yu, LoRA+: Efficient Low Rank Adaptation of Large Models, arXiv 2402.12354v2, ICML 2024.

Sections 3 and 4 were read in a text conversion, metadata and abstract elsewhere. Propositions 1 and 2 are about the toy
model below; theorem 1, "informal" and for Adam, is checked on the same model with the sign of the gradient, which is
Adam without memory. "Efficient" means that the shares d_1 of A and d_2 of B in every step after the first are of order
1 in the width. The recommended ratio 2^4 and the gains of 1 to 2 per cent are empirical and not checked.

Toy model (2): f = b a^T x with a, x in R^n, b in R, target y, loss (f - y)^2 / 2, U = f - y. A step of gradient descent
is

    a+ = a - eta_A U b x,   b+ = b - eta_B U a^T x.

Only p = a^T x and b enter f = b p, and |x|^2 = n for inputs of order 1: training is a recursion of two numbers, over Q.
Start ("Init[1]"): b = 0 and p of order 1, as with entries of a of variance 1 / n.
"""

from collections.abc import Callable
from math import ceil, log, sqrt
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, Paper, at_least, at_most, equal, exact, instances

PAPER = Paper(
    key="hayou2024loraplus",
    title="LoRA+: Efficient Low Rank Adaptation of Large Models",
    authors=("Soufiane Hayou", "Nikhil Ghosh", "Bin Yu"),
    year=2024,
    arxiv="2402.12354v2",
)

STEPS = 4


def sign(x: Any) -> int:
    """Return -1, 0 or 1."""
    return int(x > 0) - int(x < 0)


# ------------------------------------------------------------------------------------------- the change of f in a step


@PAPER.formula("decomposition", n=(1, 3, 8), proof="decomposition")
def decomposition(case: Case) -> Comparison:
    """One step changes f by d_1 + d_2 + d_3: A moves, B moves, both do.

    d_1 = -eta_A U b^2 |x|^2, d_2 = -eta_B U (a^T x)^2, d_3 = eta_A eta_B U^2 b (a^T x) |x|^2.
    """
    measured, (first, second, third) = one_step(case)
    return equal(measured, first + second + third)


@decomposition.control("without the product of both moves")
def _(case: Case) -> Comparison:
    measured, (first, second, _) = one_step(case)
    return equal(measured, first + second)


def one_step(case: Case) -> tuple[Any, tuple[Any, Any, Any]]:
    """Return the change of f after a step with vectors, and the three terms."""
    a, x = (instances.integers(case.rng, case["n"], 1, 1, 5) for _ in range(2))
    b, y, eta_A, eta_B = (fmpq(int(z), 7) for z in case.rng.integers(1, 6, 4))
    p, square = (sum(u * v for u, v in zip(z.entries(), x.entries(), strict=True)) for z in (a, x))
    U = b * p - y - fmpq(1, 11)  # not 0
    after = (b - eta_B * U * p) * exact.inner(a - eta_A * U * b * x, x)
    return after - b * exact.inner(a, x), (
        -eta_A * U * b**2 * square,
        -eta_B * U * p**2,
        eta_A * eta_B * U**2 * b * p * square,
    )


@PAPER.formula("decomposition-sign", n=(1, 3, 8))
def decomposition_sign(case: Case) -> Comparison:
    """For the sign of the gradient (Adam without memory), d_1 = -eta_A s |b| |x|_1 and d_2 = -eta_B s |a^T x|.

    With s = sign U; d_3 = eta_A eta_B s^2 sign(b) sign(a^T x) |x|_1. A's share grows like n, as with gradient descent.
    """
    measured, terms = one_sign_step(case)
    return equal(measured, sum(terms))


@decomposition_sign.control("the Euclidean norm in place of |x|_1", n=(3, 8))
def _(case: Case) -> Comparison:
    measured, (first, second, third) = one_sign_step(case)
    return equal(measured, first / case["n"] + second + third)


def one_sign_step(case: Case) -> tuple[Any, tuple[Any, Any, Any]]:
    """Return the change of f after a sign step with vectors, and the three terms."""
    a, x = (instances.integers(case.rng, case["n"], 1, 1, 5) for _ in range(2))
    x = fmpq_mat(case["n"], 1, [v * (-1) ** i for i, v in enumerate(x.entries())])
    b, y, eta_A, eta_B = (fmpq(int(z), 7) for z in case.rng.integers(1, 6, 4))
    p = exact.inner(a, x) + fmpq(1, 2)  # a shift of a along e_1 / (2 x_1), so that p is not 0
    a = a + fmpq_mat(case["n"], 1, [fmpq(1, 2) / x[0, 0], *[0] * (case["n"] - 1)])
    U = b * p - y - fmpq(1, 11)
    step = fmpq_mat(case["n"], 1, [sign(U * b * v) for v in x.entries()])
    after = (b - eta_B * sign(U * p)) * exact.inner(a - eta_A * step, x)
    length = sum(abs(v) for v in x.entries())
    terms = (
        -eta_A * U / abs(U) * abs(b) * length,
        -eta_B * U / abs(U) * abs(p),
        eta_A * eta_B * p / abs(p) * length,
    )
    return after - b * p, terms


# ----------------------------------------------------------------------------------------------- the scale of the rates


def run(p: Any, b: Any, y: Any, eta_A: Any, eta_B: Any, square: Any, steps: int = STEPS) -> list[tuple[Any, Any]]:
    """Return (p, b) at the start and after each step, for |x|^2 = square."""
    path = [(p, b)]
    for _ in range(steps):
        U = b * p - y
        p, b = p - eta_A * U * b * square, b - eta_B * U * p
        path.append((p, b))
    return path


def run_sign(p: Any, b: Any, y: Any, eta_A: Any, eta_B: Any, length: Any) -> list[tuple[Any, Any]]:
    """Return (p, b) at the start and after each step of sign descent, for |x|_1 = length."""
    path = [(p, b)]
    for _ in range(STEPS):
        U = b * p - y
        p, b = p - eta_A * sign(U * b) * length, b - eta_B * sign(U * p)
        path.append((p, b))
    return path


def draw(case: Case) -> tuple[Any, Any]:
    """Return a start p of order 1 and a target y of order 1."""
    p, y = (fmpq(int(z), 8) for z in case.rng.integers(6, 11, 2))
    return p, y


@PAPER.formula("2-recursion", n=(2, 5), descent=("gradient", "sign"), proof="closed")
def recursion(case: Case) -> Comparison:
    """Training (a, b) by the gradient, or by its sign, is a recursion of p = a^T x and b, with |x|^2 or |x|_1 alone.

    The loss (b a^T x - y)^2 / 2 is quadratic in a and in b, so central differences are exact derivatives. Measured is
    the sum of the differences over four steps, at random a, b, x, y.
    """
    return equal(recursion_difference(case, swapped=False), 0)


@recursion.control("|x|^2 and |x|_1 interchanged")
def _(case: Case) -> Comparison:
    return equal(recursion_difference(case, swapped=True), 0)


def recursion_difference(case: Case, swapped: bool) -> Any:
    """Return the sum of |differences| of (a^T x, b) between training with vectors and the recursion."""
    n, eta_A, eta_B = case["n"], fmpq(1, 50), fmpq(1, 20)
    by_sign = case["descent"] == "sign"
    a, x = (fmpq_mat(n, 1, [fmpq(int(z), 7) for z in case.rng.choice([-5, -3, 2, 4], n)]) for _ in range(2))
    b, y = (fmpq(int(z), 3) for z in case.rng.integers(1, 6, 2))
    sizes = [sum(v * v for v in x.entries()), sum(abs(v) for v in x.entries())]
    p = sum(u * v for u, v in zip(a.entries(), x.entries(), strict=True))
    path = (run_sign if by_sign else run)(p, b, y, eta_A, eta_B, sizes[by_sign != swapped])

    def loss(a: fmpq_mat, b: Any) -> Any:
        return (b * exact.inner(a, x) - y) ** 2 / 2

    difference = fmpq(0)
    for p, b_there in path:
        difference += abs(exact.inner(a, x) - p) + abs(b - b_there)
        units = [fmpq_mat(n, 1, [int(i == k) for i in range(n)]) for k in range(n)]
        in_a = [(loss(a + e, b) - loss(a - e, b)) / 2 for e in units]
        in_b = (loss(a, b + 1) - loss(a, b - 1)) / 2
        if by_sign:
            in_a, in_b = [sign(g) for g in in_a], sign(in_b)
        a, b = a - eta_A * fmpq_mat(n, 1, in_a), b - eta_B * in_b
    return difference


WIDTHS = (4**3, 4**5, 4**7)


@PAPER.proposition("2", n=WIDTHS)
def efficient(case: Case) -> Comparison:
    """With eta_A = c / n and eta_B = c training does not depend on the width: f_t, a_t^T x and b_t are those of n = 1.

    So d_1, d_2, d_3 are of order 1 from the second step on. Measured is the sum of the differences over the path, c =
    1/2, and of those of the first step from p and b_1 = c y p.
    """
    return equal(path_difference(case, fmpq(1, 2 * case["n"]), fmpq(1, 2), run), 0)


@efficient.control("eta_A = c / n^2")
def _(case: Case) -> Comparison:
    return equal(path_difference(case, fmpq(1, 2 * case["n"] ** 2), fmpq(1, 2), run), 0)


@PAPER.theorem("1", n=WIDTHS, proof="equal_exponents")
def efficient_sign(case: Case) -> Comparison:
    """With the sign of the gradient, too, eta_A = c / n and eta_B = c make training independent of the width.

    For |x|_1 = n; measured as for proposition 2, with b_1 = c. With equal rates c / n, B moves by c / n a step.
    """
    return equal(path_difference(case, fmpq(1, 2 * case["n"]), fmpq(1, 2), run_sign), 0)


@efficient_sign.control("equal rates c / n")
def _(case: Case) -> Comparison:
    return equal(path_difference(case, fmpq(1, 2 * case["n"]), fmpq(1, 2 * case["n"]), run_sign), 0)


def path_difference(case: Case, eta_A: Any, eta_B: Any, descend: Callable[..., list[tuple[Any, Any]]]) -> Any:
    """Return the sum of |differences| between the paths of width n and width 1, and from the first step as it is."""
    (p, y), half = draw(case), fmpq(1, 2)
    wide, narrow = descend(p, fmpq(0), y, eta_A, eta_B, case["n"]), descend(p, fmpq(0), y, half, half, 1)
    first = (p, half * y * p if descend is run else half)
    pairs = [*zip(wide, narrow, strict=True), (narrow[1], first)]
    return sum(abs(u - v) for at, other in pairs for u, v in zip(at, other, strict=True))


@PAPER.proposition("1-rates-1-n", n=WIDTHS, sampled=True)
def stall(case: Case) -> Comparison:
    """Equal rates c / n do not make both shares of order 1: f_T = O(1 / n) after T steps from b = 0.

    While |U| <= y, b and p are at most B and P with B+ = B + (c / n) y P, P+ = P + c y B. Their product is below 5 / n
    for c = 1/2, T = 4, p, y <= 5/4, n >= 64.
    """
    rate = fmpq(1, 2 * case["n"])
    return at_most(final_output(*draw(case), rate, rate, case["n"]), fmpq(5, case["n"]))


@stall.control("the rates of LoRA+")
def _(case: Case) -> Comparison:
    rates = fmpq(1, 2 * case["n"]), fmpq(1, 2)
    return at_most(final_output(*draw(case), *rates, case["n"]), fmpq(5, case["n"]))


@stall.control("3 / n, at the largest start and target")
def _(case: Case) -> Comparison:
    rate, largest = fmpq(1, 2 * case["n"]), fmpq(5, 4)
    return at_most(final_output(largest, largest, rate, rate, case["n"]), fmpq(3, case["n"]))


def final_output(p: Any, y: Any, eta_A: Any, eta_B: Any, n: int) -> Any:
    """Return f_T from b = 0."""
    path = run(p, fmpq(0), y, eta_A, eta_B, n)
    if any(b * p < 0 for p, b in path):
        raise ArithmeticError("f left [0, y]: the bound does not apply")
    return path[-1][0] * path[-1][1]


@PAPER.proposition("1-rates-sqrt", n=WIDTHS[1:], sampled=True)
def stall_sqrt(case: Case) -> Comparison:
    """Equal rates c n^{-1/2} do not make both shares of order 1: f_T = O(n^{-1/2}) after T steps from b = 0.

    While |U| <= y, p + sqrt(n) b grows by 1 + c y a step at most, so sqrt(n) f_T <= p^2 (1 + c y)^{2 T} / 4: the shares
    vanish at every fixed T. (The orders alone would allow e = -1/2: they ask for eta_A eta_B of order 1 / n.)
    """
    (p, y), n = draw(case), case["n"]
    rate = fmpq(1, 2 * round(n**0.5))
    return at_most(scaled_output(run(p, fmpq(0), y, rate, rate, n), p, y, n), bound_sqrt(p, y, 2 * STEPS))


@stall_sqrt.control("one factor 1 + c y less", n=WIDTHS[2:])
def _(case: Case) -> Comparison:
    (p, y), n = draw(case), case["n"]
    rate = fmpq(1, 2 * round(n**0.5))
    return at_most(scaled_output(run(p, fmpq(0), y, rate, rate, n), p, y, n), bound_sqrt(p, y, 2 * STEPS - 1))


@stall_sqrt.control("the rates of LoRA+")
def _(case: Case) -> Comparison:
    (p, y), n = draw(case), case["n"]
    path = run(p, fmpq(0), y, fmpq(1, 2 * n), fmpq(1, 2), n)
    return at_most(scaled_output(path, p, y, n), bound_sqrt(p, y, 2 * STEPS))


def bound_sqrt(p: Any, y: Any, power: int) -> Any:
    """Return p^2 (1 + y / 2)^power / 4."""
    return p**2 * (1 + y / 2) ** power / 4


def scaled_output(path: list[tuple[Any, Any]], p: Any, y: Any, n: int) -> Any:
    """Return sqrt(n) f_T."""
    if any(not 0 <= q * b <= 2 * y for q, b in path):
        raise ArithmeticError("f left [0, 2 y]: the bound does not apply")
    return round(n**0.5) * path[-1][0] * path[-1][1]


@PAPER.proposition("1-rates-1", n=WIDTHS, sampled=True)
def blow_up(case: Case) -> Comparison:
    """Equal rates c do not make both shares of order 1: the error grows like n at the second step.

    From b = 0: b_1 = c y p, U_1 = -y (1 - c p^2) and b_2 = b_1 + c |U_1| p, and a^T x grows by c |U_1| b_1 n. So |U_2|
    >= c |U_1| b_1 b_2 n - y, for c = 1/2 and p, y in [3/4, 5/4]. Measured: the quotient of the two.
    """
    return at_least(second_error(case, fmpq(1, 2)), 1)


@blow_up.control("rates c / n", n=WIDTHS[1:])
def _(case: Case) -> Comparison:
    return at_least(second_error(case, fmpq(1, 2 * case["n"])), 1)


def second_error(case: Case, rate: Any) -> Any:
    """Return |U_2| at equal rates, over c |U_1| b_1 b_2 n - y for c = 1/2."""
    (p, y), c = draw(case), fmpq(1, 2)
    error, b_1 = y * (1 - c * p**2), c * y * p
    bound = c * error * b_1 * (b_1 + c * error * p) * case["n"] - y
    p, b = run(p, fmpq(0), y, rate, rate, case["n"], steps=2)[-1]
    return abs(b * p - y) / bound


# ---------------------------------------------------------------------------------------------- what "efficient" means


@PAPER.lemma("rescaling", kappa=(2, 3))
def rescaling(case: Case) -> Comparison:
    """The map (a, b, eta_A, eta_B) -> (k a, b / k, k^2 eta_A, eta_B / k^2) leaves every f_t unchanged.

    Only eta_A eta_B is visible in f. Measured is the sum of |differences| of f over the path.
    """
    return equal(rescaled_difference(case, power=2), 0)


@rescaling.control("rates scaled by k instead of k^2")
def _(case: Case) -> Comparison:
    return equal(rescaled_difference(case, power=1), 0)


def rescaled_difference(case: Case, power: int) -> Any:
    """Return the sum of |f_t - f_t of the rescaled problem|."""
    (p, y), k = draw(case), fmpq(case["kappa"])
    b, eta_A, eta_B = fmpq(1, 3), fmpq(1, 10), fmpq(1, 5)
    one = run(p, b, y, eta_A, eta_B, 4)
    other = run(k * p, b / k, y, k**power * eta_A, eta_B / k**power, 4)
    return sum(abs(p * b - q * c) for (p, b), (q, c) in zip(one, other, strict=True))


@PAPER.proposition(
    "1-rescaled",
    n=(2**4, 2**8, 2**12),
    gap="scope restriction: proposition 1 needs the start Init[1] or Init[2], and stability needs a^T x of order 1",
)
def equal_rates_rescaled(case: Case) -> Comparison:
    """With a_0 scaled up by n^{1/4}, equal rates c / sqrt(n) give LoRA+'s outputs f_t at every width, exactly.

    By the rescaling: a^T x is then of order n^{1/4} and b of order n^{-1/4}, and the product of the rates is that of
    LoRA+, c^2 / n. The paper excludes this freedom of the product B A on purpose (its footnote on stability). Measured
    is the sum of |differences| of f over the path.
    """
    return equal(equal_rates_difference(case, scale=round(case["n"] ** 0.25)), 0)


@equal_rates_rescaled.control("the start of LoRA+")
def _(case: Case) -> Comparison:
    return equal(equal_rates_difference(case, scale=1), 0)


def equal_rates_difference(case: Case, scale: int) -> Any:
    """Return the sum of |f_t - f_t of LoRA+| for equal rates c / sqrt(n) from scale times the start."""
    (p, y), n = draw(case), case["n"]
    rate = fmpq(1, 2 * round(n**0.5))
    plus = run(p, fmpq(0), y, fmpq(1, 2 * n), fmpq(1, 2), n)
    same = run(scale * p, fmpq(0), y, rate, rate, n)
    return sum(abs(p * b - q * c) for (p, b), (q, c) in zip(plus, same, strict=True))


@PAPER.proposition("1-many-steps", n=(2**5, 2**7, 2**12, 2**16, 2**20), seeded=False)
def logarithm(case: Case) -> Comparison:
    """Equal rates c / sqrt(n) learn in a number of steps that grows with n: f >= 1/4 = y / 4 after O(log n) steps.

    So proposition 1 is about a fixed number of steps as n grows. From p = 1, b = 0:
    while f <= 1/4, q = p + sqrt(n) b grows by 1 + 3 c / 4 a step at least, d = p - sqrt(n) b does not grow, and
    f = (q^2 - d^2) / (4 sqrt n): log(1 + sqrt n) / (2 log(1 + 3 c / 4)) steps suffice, rounded up. Here c = 1/2.
    Numbers double in length with each step over Q, so the steps are counted in floats.
    """
    return at_most(float(steps_to_quarter(case["n"], 0.5)), float(ceil(log(1 + sqrt(case["n"])) / (2 * log(1.375)))))


@logarithm.control("rates c / n")
def _(case: Case) -> Comparison:
    steps = steps_to_quarter(case["n"], 0.5 / sqrt(case["n"]))
    return at_most(float(steps), float(ceil(log(1 + sqrt(case["n"])) / (2 * log(1.375)))))


def steps_to_quarter(n: int, c: float) -> int:
    """Count the steps until f >= 1/4, at most 100, from p = 1, b = 0 with both rates c / sqrt(n)."""
    p, b, rate = 1.0, 0.0, c / sqrt(n)
    for step in range(100):
        if p * b >= 0.25:
            return step
        U = p * b - 1
        p, b = p - rate * U * b * n, b - rate * U * p
    return 100
