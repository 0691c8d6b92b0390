r"""Li, Zhang, Mokhtari & He, On the Crucial Role of Initialization for Matrix Factorization, arXiv 2410.18965v3.

Published at ICLR 2025. Scaled gradient descent (ScaledGD) started at the Nystroem sketch X_0 = A Omega of the matrix
that it factorises; LoRA with this start is NoRA. Title, authors, venue, versions and abstract were read: quadratic
convergence where linear rates were known, and fast or one-step convergence in the asymmetric case. The statements below
are as recalled, and re-derived.

Symmetric case, A = Y Y^T of rank k: X+ = X - eta (X X^T - A) X (X^T X)^+. From X_0 = A Omega on, X = Y N with
N_0 = Y^T Omega, and (N of full row rank)

    N+ = (1 - eta) N + eta (N^+)^T:

at eta = 1/2 Newton's iteration for the polar factor of N, on singular values Heron's for the square root of 1. It
converges quadratically from everywhere; at any other fixed step size the factor is |1 - 2 eta|.
"""

from fractions import Fraction
from itertools import count
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, Paper, at_most, equal, exact, instances

PAPER = Paper(
    key="li2024crucial",
    title="On the Crucial Role of Initialization for Matrix Factorization",
    authors=("Bingcong Li", "Liang Zhang", "Aryan Mokhtari", "Niao He"),
    year=2024,
    arxiv="2410.18965v3",
)

HALF = fmpq(1, 2)
SIZES = (
    {"n": 4, "k": 2, "r": 2, "eta": 0.5},
    {"n": 5, "k": 3, "r": 3, "eta": 0.25},
    {"n": 5, "k": 2, "r": 3, "eta": 0.5},
    {"n": 4, "k": 1, "r": 4, "eta": 0.25},
)
"""Exactly parametrised (r = k) and over-parametrised."""


def step_size(case: Case) -> fmpq:
    """Return eta."""
    return fmpq(*case["eta"].as_integer_ratio())


def instance(case: Case, nystroem: bool = True) -> tuple[fmpq_mat, fmpq_mat]:
    """Return A = Y Y^T of rank k and X_0 = A Omega of rank k with Omega (n x r) random, or X_0 = Omega.

    Omega is even: no singular value of Y^T Omega is then 1, where nothing would move.
    """
    n, k, r = case["n"], case["k"], case["r"]
    Y = general(case, n, k)
    A = Y * Y.transpose()
    draws = (2 * general(case, n, r) for _ in count())
    Omega = next(Omega for Omega in draws if exact.rank(A * Omega) == k)
    return A, A * Omega if nystroem else Omega


def general(case: Case, m: int, n: int) -> fmpq_mat:
    """Return an integer matrix of full rank with small entries."""
    draws = (instances.integers(case.rng, m, n, -2, 2) for _ in count())
    return next(M for M in draws if exact.rank(M) == min(m, n))


def pseudoinverse(x: fmpq_mat) -> fmpq_mat:
    """Return x^+ = V (U^T x V)^-1 U^T for x = U V^T of full rank."""
    U, Vt = exact.full_rank_factorization(x)
    return Vt.transpose() * (U.transpose() * x * Vt.transpose()).inv() * U.transpose()


def scaled_gd(A: fmpq_mat, X: fmpq_mat, eta: Any = HALF) -> fmpq_mat:
    """Return X - eta (X X^T - A) X (X^T X)^+."""
    return X - eta * (X * X.transpose() - A) * pseudoinverse(X).transpose()


def error(A: fmpq_mat, X: fmpq_mat) -> fmpq_mat:
    """Return E = X X^T - A."""
    return X * X.transpose() - A


# ------------------------------------------------------------------------------------------------- symmetric problems


@PAPER.lemma("range", points=SIZES)
def keeps_range(case: Case) -> Comparison:
    """From X_0 = A Omega every iterate of ScaledGD has the column space of A, for almost every Omega with r >= k.

    Measured: the rank of X_2 - X_0 after two steps, less what [A, X_2] has more than A.
    """
    return equal(rank_kept(*instance(case)), case["k"])


@keeps_range.control("a random X_0", points=SIZES[:3])
def _(case: Case) -> Comparison:
    return equal(rank_kept(*instance(case, nystroem=False)), case["k"])


def rank_kept(A: fmpq_mat, start: fmpq_mat) -> int:
    """Return the rank of what two steps change, less what [A, X_2] has more than A."""
    X = scaled_gd(A, scaled_gd(A, start))
    return exact.rank(X - start) - (exact.rank(exact.hstack(A, X)) - exact.rank(A))


@PAPER.theorem("symmetric-recursion", points=SIZES, proof="nora_newton")
def recursion(case: Case) -> Comparison:
    """E+ = (1 - 2 eta) E + eta^2 E (X X^T)^+ E for every X with the column space of A, r >= k.

    So |E+| <= |1 - 2 eta| |E| + eta^2 |(X X^T)^+| |E|^2. Counted are the entries that differ, over two steps.
    """
    A, X = instance(case)
    eta = step_size(case)
    return equal(sum(recursion_defect(A, Z, eta) for Z in (X, scaled_gd(A, X, eta))), 0)


@recursion.control("a random X_0, with parts outside the column space of A", points=SIZES[:3])
def _(case: Case) -> Comparison:
    return equal(recursion_defect(*instance(case, nystroem=False), HALF), 0)


@recursion.control("eta in place of eta^2", points=SIZES)
def _(case: Case) -> Comparison:
    return equal(recursion_defect(*instance(case), HALF, power=1), 0)


def recursion_defect(A: fmpq_mat, X: fmpq_mat, eta: Any, power: int = 2) -> int:
    """Count the entries in which E+ and its formula differ."""
    E, S = error(A, X), X * X.transpose()
    return exact.count_nonzero(
        error(A, scaled_gd(A, X, eta)) - (1 - 2 * eta) * E - eta**power * E * pseudoinverse(S) * E
    )


PLANTED = ({"n": 4, "k": 2, "steps": 3}, {"n": 4, "k": 3, "steps": 3}, {"n": 3, "k": 1, "steps": 4})


@PAPER.theorem(
    "symmetric-quadratic",
    points=PLANTED,
    gap="scope restriction: quadratic at the fixed step size 1/2 and at no other, see symmetric-linear",
)
def quadratic(case: Case) -> Comparison:
    """With eta = 1/2 and X_0 = A Omega, r = k, ScaledGD converges quadratically, globally.

    N_t = Y^+ X_t keeps the singular vectors of N_0 = Y^T Omega, and each singular value follows
    (s_t - 1) / (s_t + 1) = ((s_0 - 1) / (s_0 + 1))^(2^t). Omega is chosen such that N_0 = U diag(s_0) V^T over Q, with
    s_0 from 1/5 to 5; counted are the entries of U^T N_t V that differ from diag(s_t).
    """
    return equal(planted_defect(case, HALF), 0)


@quadratic.control("eta = 2/5: the closed form of Heron's iteration fails")
def _(case: Case) -> Comparison:
    return equal(planted_defect(case, fmpq(2, 5)), 0)


def planted_defect(case: Case, eta: Any) -> int:
    """Run ScaledGD on A = Y Y^T from a planted N_0, and count the entries that deviate from the closed form."""
    n, k = case["n"], case["k"]
    Y = general(case, n, k)
    Y_plus = (Y.transpose() * Y).inv() * Y.transpose()
    sizes = [fmpq(int(x)) for x in case.rng.integers(2, 6, k)]
    start = [s if case.rng.random() < 0.5 else 1 / s for s in sizes]
    U, V = (instances.rational_orthogonal(case.rng, k) for _ in range(2))
    N = U * fmpq_mat(k, k, [s if i == j else 0 for i, s in enumerate(start) for j in range(k)]) * V.transpose()
    A = Y * Y.transpose()
    X = A * (Y_plus.transpose() * N)
    for _ in range(case["steps"]):
        X = scaled_gd(A, X, eta)
    final = U.transpose() * Y_plus * X * V
    for i, s in enumerate(start):
        q = ((s - 1) / (s + 1)) ** (2 ** case["steps"])
        final[i, i] -= (1 + q) / (1 - q)
    return exact.count_nonzero(final)


@PAPER.theorem("symmetric-linear", eta=(0.1, 0.4, 0.6, 0.9), seeded=False)
def linear(case: Case) -> Comparison:
    """At a fixed step size eta in (0, 1) other than 1/2 the Nystroem start converges linearly, by |1 - 2 eta| a step.

    On singular values, s+ - 1 = (s - 1) (1 - eta - eta / s): measured is |s+ - 1| / |s - 1| at s = 1 + 2^-20 for A = I,
    which the formula puts within 2^-20 of |1 - 2 eta|.
    """
    eta = step_size(case)
    return at_most(abs(contraction(eta) - abs(1 - 2 * eta)), fmpq(1, 2**20))


@linear.control("quadratic convergence: the ratio is of the order of the error")
def _(case: Case) -> Comparison:
    return at_most(contraction(step_size(case)), fmpq(1, 2**20))


def contraction(eta: Any) -> Any:
    """Return |s+ - 1| / |s - 1| for one step of ScaledGD on A = 1, at X = s = 1 + 2^-20."""
    gap = fmpq(1, 2**20)
    one = exact.identity(1)
    return abs(scaled_gd(one, (1 + gap) * one, eta)[0, 0] - 1) / gap


@PAPER.theorem("symmetric-random-start", n=(3, 4), eta=(0.5, 0.25))
def outside(case: Case) -> Comparison:
    """From a start with X_0^T A = 0, X_t = (1 - eta)^t X_0: what lies outside the column space of A decays linearly.

    So without the Nystroem start the rate is 1 - eta at best. Counted are the entries that differ after three steps.
    """
    return equal(outside_defect(case, power=3), 0)


@outside.control("one step more")
def _(case: Case) -> Comparison:
    return equal(outside_defect(case, power=4), 0)


def outside_defect(case: Case, power: int) -> int:
    """Count the entries in which three steps from the kernel of A differ from (1 - eta)^power X_0."""
    n, eta = case["n"], step_size(case)
    Q = instances.rational_orthogonal(case.rng, n)
    y, start = exact.block(Q, range(n), range(1)), 3 * exact.block(Q, range(n), range(1, 2))
    A, X = y * y.transpose(), start
    for _ in range(3):
        X = scaled_gd(A, X, eta)
    return exact.count_nonzero(X - (1 - eta) ** power * start)


# -------------------------------------------------------------------------------------- under-parametrised: r below k


@PAPER.theorem("under-weak-optimality", points=({"n": 4, "k": 3, "r": 1}, {"n": 5, "k": 4, "r": 2}), sampled=True)
def weak_optimality(case: Case) -> Comparison:
    """For r < k every stationary point X of full rank in the column space of A has X^T A^+ X = I ("weak optimality").

    A X = X X^T X gives X = A^+ X X^T X. Tried at the eigenvectors that ScaledGD does not move; counted are the entries
    that differ.
    """
    A, X, _ = eigenvectors(case, first=0)
    if scaled_gd(A, X) != X:
        raise ArithmeticError("the point is not stationary")
    return equal(weak_defect(A, X), 0)


@weak_optimality.control("eigenvectors that are not scaled by the roots of their eigenvalues")
def _(case: Case) -> Comparison:
    A, X, _ = eigenvectors(case, first=0)
    return equal(weak_defect(A, 2 * X), 0)


def weak_defect(A: fmpq_mat, X: fmpq_mat) -> int:
    """Count the entries of X^T A^+ X - I that are not 0."""
    return exact.count_nonzero(X.transpose() * pseudoinverse(A) * X - exact.identity(X.ncols()))


@PAPER.theorem("under-global", points=({"n": 4, "k": 3, "r": 1}, {"n": 5, "k": 4, "r": 2}))
def under_global(case: Case) -> Comparison:
    """Weak optimality is necessary for a minimum, not sufficient: the last r eigenvectors have it as well.

    Measured is how far |X X^T - A|_F^2 there exceeds the least value, the sum of the squares of the last k - r
    eigenvalues: by the sum of the first r squares less that of the last r.
    """
    return excess_over_best(case, first=case["k"] - case["r"])


@under_global.control("at the first r eigenvectors")
def _(case: Case) -> Comparison:
    return excess_over_best(case, first=0)


def excess_over_best(case: Case, first: int) -> Comparison:
    """Compare |X X^T - A|_F^2 less its minimum at weakly optimal eigenvectors with what it is at the last ones."""
    A, X, values = eigenvectors(case, first)
    if weak_defect(A, X):
        raise ArithmeticError("the point is not weakly optimal")
    squares, r = [v**2 for v in values], case["r"]
    found = exact.number(exact.frobenius_norm_squared(error(A, X)))
    return equal(found - sum(squares[r:], fmpq(0)), sum(squares[:r], fmpq(0)) - sum(squares[-r:], fmpq(0)))


def eigenvectors(case: Case, first: int) -> tuple[fmpq_mat, fmpq_mat, list[Any]]:
    """Return A with eigenvalues k^2, ..., 4, 1, then r of its eigenvectors times the roots, and the eigenvalues."""
    n, k, r = case["n"], case["k"], case["r"]
    Q = instances.rational_orthogonal(case.rng, n)
    roots = [fmpq(k - i) for i in range(k)]
    Y = fmpq_mat(n, k, [Q[a, i] * roots[i] for a in range(n) for i in range(k)])
    return Y * Y.transpose(), exact.block(Y, range(n), range(first, first + r)), [x**2 for x in roots]


# ------------------------------------------------------------------------------------------------ asymmetric problems

ASYMMETRIC = (
    {"m": 4, "n": 5, "k": 2, "r": 2, "eta": 0.5},
    {"m": 5, "n": 4, "k": 3, "r": 4, "eta": 0.25},
    {"m": 5, "n": 5, "k": 1, "r": 2, "eta": 0.75},
)


@PAPER.theorem("asymmetric-one-step", points=ASYMMETRIC)
def one_step(case: Case) -> Comparison:
    """For min |X Y^T - A|_F^2 / 2 with X_0 = A Omega, Y_0 = 0, r >= k: ScaledGD with eta = 1 is done after one step.

    X does not move, as Y_0 = 0, and Y_1 = A^T X_0 (X_0^T X_0)^+, so X_0 Y_1^T = P A = A with P the projection on the
    columns of X_0. Measured is |X_1 Y_1^T - A|_F^2.
    """
    A, X = asymmetric(case)
    return equal(after_one_step(A, X, fmpq(1)), 0)


@one_step.control("a random X_0", points=({"m": 4, "n": 5, "k": 2, "r": 2}, {"m": 5, "n": 4, "k": 3, "r": 4}))
def _(case: Case) -> Comparison:
    A, _ = asymmetric(case)
    return equal(after_one_step(A, elsewhere(case, A), fmpq(1)), 0)


@one_step.control("eta = 9/10")
def _(case: Case) -> Comparison:
    return equal(after_one_step(*asymmetric(case), fmpq(9, 10)), 0)


@PAPER.theorem("asymmetric-step-size", points=ASYMMETRIC)
def asymmetric_step(case: Case) -> Comparison:
    """With a step size eta in (0, 1] the first step leaves the part 1 - eta of A: |X_1 Y_1^T - A| = (1 - eta) |A|."""
    A, X = asymmetric(case)
    eta = step_size(case)
    bound = (1 - eta) ** 2 * exact.number(exact.frobenius_norm_squared(A))
    return equal(after_one_step(A, X, eta), bound)


@asymmetric_step.control("a random X_0, which keeps more", points=({"m": 4, "n": 5, "k": 2, "r": 2},))
def _(case: Case) -> Comparison:
    A, _ = asymmetric(case)
    bound = exact.number(exact.frobenius_norm_squared(A)) / 4
    return equal(after_one_step(A, elsewhere(case, A), HALF), bound)


def asymmetric(case: Case) -> tuple[fmpq_mat, fmpq_mat]:
    """Return A (m x n) of rank k, and X_0 = A Omega of the rank min(k, r)."""
    A = general(case, case["m"], case["k"]) * general(case, case["k"], case["n"])
    draws = (A * general(case, case["n"], case["r"]) for _ in count())
    return A, next(X for X in draws if exact.rank(X) == min(case["k"], case["r"]))


def elsewhere(case: Case, A: fmpq_mat) -> fmpq_mat:
    """Return a random X_0 whose columns do not span those of A."""
    draws = (general(case, case["m"], case["r"]) for _ in count())
    return next(X for X in draws if exact.hstack(A, X).rank() > X.rank())


def after_one_step(A: fmpq_mat, X: fmpq_mat, eta: Any) -> Fraction:
    """Return |X Y_1^T - A|_F^2 for Y_1 = -eta (X 0^T - A)^T X (X^T X)^+."""
    Y = eta * A.transpose() * pseudoinverse(X).transpose()
    return exact.frobenius_norm_squared(X * Y.transpose() - A)
