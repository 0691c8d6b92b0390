r"""Huang & Balestriero, ALLoRA: Adaptive Learning Rate Mitigates LoRA Fatal Flaws, arXiv 2410.09692v1.

Abstract and metadata were read (submitted to ICLR 2025). The learning-rate factor (|.| + 1 / eta^2)^{-1/2} is as
recalled and as a third-party optimiser implements it. The three flaws (dropout is unreliable in short training, B = 0
starts slowly, the scaling factor interacts between layers) are made precise here and re-derived; accuracies are not
checked.

The adapter is Delta = A B, A (m x r), B (r x n) with B = 0 at the start. Dropout with rate p multiplies each input by
an independent mask / (1 - p).
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from math import comb, prod

from flint import arb, fmpq, fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, Paper, at_least, equal, exact, instances

PAPER = Paper(
    key="huang2024allora",
    title="ALLoRA: Adaptive Learning Rate Mitigates LoRA Fatal Flaws",
    authors=("Hai Huang", "Randall Balestriero"),
    year=2024,
    arxiv="2410.09692v1",
)


def rate(case: Case) -> fmpq:
    """Return the dropout rate, given in percent."""
    return fmpq(case["percent"], 100)


def masks(n: int, p: fmpq) -> Iterator[tuple[tuple[int, ...], fmpq]]:
    """Yield all masks with their probabilities: an entry is 0 with probability p."""
    for mask in product((0, 1), repeat=n):
        yield mask, prod((1 - p if kept else p for kept in mask), start=fmpq(1))


# ------------------------------------------------------------------------------------------------- dropout


Data = tuple[fmpq_mat, fmpq_mat, fmpq_mat]


def regression(case: Case, n: int) -> Data:
    """Return integer data X (5 x n), weights w other than 0, which masks would not change, and labels y."""
    w = instances.integers(case.rng, n, 1, 1, 3)
    return instances.integers(case.rng, 5, n), w, instances.integers(case.rng, 5, 1)


def losses(data: Data, p: fmpq, scale: fmpq) -> list[tuple[Fraction, Fraction]]:
    """Return the loss of every mask with its probability."""
    X, w, y = data
    return [
        (exact.frobenius_norm_squared(X * (scale * exact.diagonal(mask)) * w - y), exact.fraction(q))
        for mask, q in masks(w.nrows(), p)
    ]


def ridge_loss(data: Data, factor: fmpq) -> Fraction:
    r"""Return the loss without dropout, plus a factor times \sum_j |X_j|^2 w_j^2."""
    X, w, y = data
    plain = sum(e * e for e in (X * w - y).entries())
    ridge = sum((X[i, j] * w[j, 0]) ** 2 for i in range(X.nrows()) for j in range(X.ncols()))
    return exact.fraction(plain + factor * ridge)


@PAPER.proposition("dropout-is-a-ridge", n=(3, 6), percent=(5, 50), proof="dropout_is_ridge")
def dropout_is_a_ridge(case: Case) -> Comparison:
    r"""In the mean over masks the squared loss with dropout is the loss plus p / (1 - p) \sum_j |X_j|^2 w_j^2.

    For one mask for all data, as for one for each datum. Over all 2^n masks.
    """
    p, data = rate(case), regression(case, case["n"])
    return equal(sum(v * q for v, q in losses(data, p, 1 / (1 - p))), ridge_loss(data, p / (1 - p)))


@dropout_is_a_ridge.control("the factor p")
def _(case: Case) -> Comparison:
    p, data = rate(case), regression(case, case["n"])
    return equal(sum(v * q for v, q in losses(data, p, 1 / (1 - p))), ridge_loss(data, p))


@dropout_is_a_ridge.control("masks that are not divided by 1 - p")
def _(case: Case) -> Comparison:
    p, data = rate(case), regression(case, case["n"])
    return equal(sum(v * q for v, q in losses(data, p, fmpq(1))), ridge_loss(data, p / (1 - p)))


def spread(case: Case) -> Fraction:
    """Return the mean square deviation from the ridge's loss: of one step, over that of the mean over T steps."""
    p, data = rate(case), regression(case, 3)
    values, centre = losses(data, p, 1 / (1 - p)), ridge_loss(data, p / (1 - p))
    if all(v == centre for v, _ in values):
        raise OutOfScope("the loss is the same for every mask")
    over_steps = Fraction(0)
    for steps in product(values, repeat=case["T"]):
        mean = sum(v for v, _ in steps) / case["T"]
        over_steps += (mean - centre) ** 2 * prod((q for _, q in steps), start=Fraction(1))
    return sum((v - centre) ** 2 * q for v, q in values) / over_steps


@PAPER.proposition("short-training", T=(2, 3), percent=(10, 50))
def short_training(case: Case) -> Comparison:
    """The loss seen over T steps with fresh masks deviates from loss plus ridge by T^{-1/2} of what one step does.

    Root mean square, weights held fixed: this is how dropout becomes a reliable regulariser in long training only.
    Compared are squares, over all sequences of T masks.
    """
    return equal(spread(case), case["T"])


@short_training.control("T^{-1}", T=(2, 3), percent=(50,))
def _(case: Case) -> Comparison:
    return equal(spread(case), case["T"] ** 2)


@PAPER.proposition("unreliable", percent=(10, 50), seeded=False)
def unreliable(case: Case) -> Comparison:
    r"""One datum x = w = 1, y = 0: the deviation of one step is (p (1 - p))^{-1/2} times the ridge p / (1 - p).

    For small p one step is dominated by noise: the ridge is seen after some 1 / p steps. Compared are squares.
    """
    p = Fraction(case["percent"], 100)
    return equal(_one_weight(case), p / (1 - p) ** 3)


@unreliable.control("the deviation is the ridge itself", percent=(10,))
def _(case: Case) -> Comparison:
    p = Fraction(case["percent"], 100)
    return equal(_one_weight(case), (p / (1 - p)) ** 2)


def _one_weight(case: Case) -> Fraction:
    """Return the variance of the loss (mask / (1 - p))^2 over one mask."""
    p = rate(case)
    values = [
        (exact.fraction(squared_mask), exact.fraction(q)) for squared_mask, q in ((fmpq(0), p), ((1 - p) ** -2, 1 - p))
    ]
    centre = sum(v * q for v, q in values)
    return sum((v - centre) ** 2 * q for v, q in values)


# ---------------------------------------------------------------------------------------------- slow starts


def signed_shifts(n: int) -> Iterator[fmpq_mat]:
    """Yield the n 2^n signed cyclic shifts, over which the mean of G M G^T is (Tr M / n) I."""
    for k in range(n):
        for s in product((-1, 1), repeat=n):
            yield fmpq_mat(n, n, [s[i] * (j == (i + k) % n) for i in range(n) for j in range(n)])


@PAPER.proposition("slow-start", m=(4, 5), r=(1, 2))
def slow_start(case: Case) -> Comparison:
    r"""From B = 0 the first step changes Delta by -s A A^T M, M the gradient; the loss falls at r / m of the full rate.

    In the mean over A with orthonormal columns, that is over an orbit of signed shifts: Tr M^T A A^T M against |M|^2.
    """
    return equal(_first_fall(case), Fraction(case["r"], case["m"]))


@slow_start.control("r / n", m=(4, 5), r=(1, 2))
def _(case: Case) -> Comparison:
    return equal(_first_fall(case), Fraction(case["r"], 3))


def _first_fall(case: Case) -> Fraction:
    """Return the mean fall of the loss at the first step, as a share of |M|^2."""
    m, r = case["m"], case["r"]
    M = instances.rational_planted_rank(case.rng, m, 3, 2)
    A = exact.block(instances.rational_orthogonal(case.rng, m), range(m), range(r))
    falls = [exact.frobenius_norm_squared(A.transpose() * G * M) for G in signed_shifts(m)]
    return sum(falls, Fraction(0)) / len(falls) / exact.fraction(sum(e * e for e in M.entries()))


@PAPER.proposition(
    "dropout-and-the-first-step", n=(3, 5), percent=(10, 50),
    gap="scope restriction: that dropout slows the escape from B = 0 is not so for the mean of the first step",
)  # fmt: skip
def dropout_and_the_first_step(case: Case) -> Comparison:
    """From B = 0 the mean over masks of the first step of B is the step without dropout: it slows later steps only.

    At B = 0 the residual does not depend on the mask, and the mean of mask / (1 - p) is 1; the ridge has gradient 0
    there. Measured: the squared difference.
    """
    return equal(_first_step_error(case, 1 / (1 - rate(case))), 0)


@dropout_and_the_first_step.control("masks that are not divided by 1 - p")
def _(case: Case) -> Comparison:
    return equal(_first_step_error(case, fmpq(1)), 0)


def _first_step_error(case: Case, scale: fmpq) -> Fraction:
    X, _, y = regression(case, case["n"])
    A = instances.rational_planted_rank(case.rng, case["n"], 2, 2)
    mean = fmpq_mat(2, 1)
    for mask, weight in masks(case["n"], rate(case)):
        mean += weight * (A.transpose() * (scale * exact.diagonal(mask)) * X.transpose() * y)
    return exact.frobenius_norm_squared(mean - A.transpose() * X.transpose() * y)


# ------------------------------------------------------------------------------------------------- scaling


@PAPER.proposition("ripples", L=(2, 3, 4))
def ripples(case: Case) -> Comparison:
    r"""The product of W_l + s A_l B_l over L layers is a polynomial in s of degree L, led by \prod A_l B_l.

    So the scaling s of the adapters acts jointly. Measured: the square of the L-th difference at s = 0, 1, ..., L less
    L! times the product of the adapters, plus that of the difference of order L + 1.
    """
    return equal(_ripple_error(case, case["L"]), 0)


@ripples.control("degree L - 1")
def _(case: Case) -> Comparison:
    return equal(_ripple_error(case, case["L"] - 1), 0)


def _ripple_error(case: Case, degree: int) -> Fraction:
    L = case["L"]
    W = [instances.nonsingular(case.rng, 3) for _ in range(L)]
    updates = [instances.rational_planted_rank(case.rng, 3, 3, 2) for _ in range(L)]
    at = [exact.product([w + s * u for w, u in zip(W, updates, strict=True)]) for s in range(degree + 2)]

    def difference(order: int) -> fmpq_mat:
        return sum(((-1) ** (order - s) * comb(order, s) * at[s] for s in range(order + 1)), fmpq_mat(3, 3))

    leading = prod(range(1, degree + 1)) * exact.product(updates)
    return exact.frobenius_norm_squared(difference(degree) - leading) + exact.frobenius_norm_squared(
        difference(degree + 1)
    )


@PAPER.proposition("scaling-is-a-learning-rate", root=(2, 3), steps=(1, 3))
def scaling_is_a_learning_rate(case: Case) -> Comparison:
    r"""Descent with scaling s and rate h is descent with scaling 1, rate h s, and A, B times s^{1/2} at the start.

    For one matrix and a quadratic loss: so one of the three is superfluous. The squared difference of s A B after some
    steps, s the square of an integer.
    """
    return equal(_scaled_difference(case, case["root"] ** 2), 0)


@scaling_is_a_learning_rate.control("the learning rate is kept")
def _(case: Case) -> Comparison:
    return equal(_scaled_difference(case, 1), 0)


def _scaled_difference(case: Case, factor: int) -> Fraction:
    root, h = case["root"], fmpq(1, 200)
    target = instances.nonsingular(case.rng, 3)
    A, B = instances.rational_planted_rank(case.rng, 3, 2, 2), fmpq_mat(2, 3)
    scaled = _descend(A, B, target, root**2, h, case["steps"])
    return exact.frobenius_norm_squared(scaled - _descend(root * A, root * B, target, 1, factor * h, case["steps"]))


def _descend(A: fmpq_mat, B: fmpq_mat, target: fmpq_mat, s: int, h: fmpq, steps: int) -> fmpq_mat:
    """Return s A B after steps of gradient descent on |s A B - target|^2 / 2."""
    for _ in range(steps):
        M = s * (s * A * B - target)
        A, B = A - h * M * B.transpose(), B - h * A.transpose() * M
    return s * A * B


# ------------------------------------------------------------------------------------------------- ALLoRA


def steps_to_half(start: fmpq, target: fmpq, h: fmpq, method: str, eta: int) -> int:
    """Count the steps from b = 0 until a b >= target / 2, on (a b - target)^2 / 2; every comparison is rigorous."""
    a, b, half = arb(start), arb(0), arb(target / 2)
    for step in range(1000):
        reached = a * b - half
        if reached >= 0:
            return step
        if not reached < 0:
            raise ArithmeticError("the enclosure straddles the half")
        slope = h * (a * b - arb(target))
        up, out = {
            "LoRA": (arb(1), arb(1)),
            "larger rate for B": (arb(1), arb(eta)),
            "ALLoRA": tuple((abs(x) + fmpq(1, eta**2)).rsqrt() for x in (a, b)),
        }[method]
        a, b = a - up * slope * b, b - out * slope * a
    raise ArithmeticError("the half was not reached")


def lead(case: Case, first: str, second: str) -> int:
    """Return how many steps the first method is ahead of the second, for a random start and target."""
    start, target = fmpq(int(case.rng.integers(5, 16)), 10), fmpq(int(case.rng.integers(5, 21)), 10)
    later, sooner = (steps_to_half(start, target, fmpq(1, 50), m, case["eta"]) for m in (second, first))
    return later - sooner


@PAPER.proposition("escape", eta=(3, 5), sampled=True)
def escape(case: Case) -> Comparison:
    """With one weight: ALLoRA is half-way from b = 0 sooner than LoRA, at the same rate; the factor is eta at b = 0."""
    return at_least(lead(case, "ALLoRA", "LoRA"), 1)


@escape.control("LoRA is sooner", eta=(3,))
def _(case: Case) -> Comparison:
    return at_least(lead(case, "LoRA", "ALLoRA"), 1)


@escape.control("LoRA is sooner than itself", eta=(3,))
def _(case: Case) -> Comparison:
    return at_least(lead(case, "LoRA", "LoRA"), 1)


@PAPER.proposition(
    "escape-by-the-rate", eta=(3, 5), sampled=True,
    gap="scope restriction: the sooner escape is that of a larger learning rate for B, as in LoRA+, not of adaptivity",
)  # fmt: skip
def escape_by_the_rate(case: Case) -> Comparison:
    r"""LoRA with eta times the rate for B is half-way no later than ALLoRA.

    The factor (|b| + 1 / eta^2)^{-1/2} never exceeds eta.
    """
    return at_least(lead(case, "larger rate for B", "ALLoRA"), 0)


@escape_by_the_rate.control("ALLoRA is no later", eta=(5,))
def _(case: Case) -> Comparison:
    return at_least(lead(case, "ALLoRA", "larger rate for B"), 0)
