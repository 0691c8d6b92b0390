r"""RandLoRA (ICLR 2025): full-rank updates from frozen random bases and trainable diagonals, and their bound.

\Delta = \sum_{j <= n} B_j \Lambda_j A \Gamma_j with B_j in R^{D x r}, one A in R^{r x d} for all j, both random and
frozen, and trainable diagonals \Lambda_j (r numbers) and \Gamma_j (d numbers, d <= D), as in the official code
(PaulAlbert31/RandLoRA, read). The text of Theorem 4.1 was not at hand and is stated as recalled; what its condition is
worth is derived here. That full rank helps on vision and language tasks is empirical and not checked.

Averages over isotropic random bases are taken over coordinate subspaces: both have the mean projection (r/D) I.
"""

from fractions import Fraction
from itertools import combinations
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, Paper, at_least, at_most, equal, exact, instances

PAPER = Paper(
    key="albert2025randlora",
    title="RandLoRA: Full-rank parameter-efficient fine-tuning of large models",
    authors=(
        "Paul Albert",
        "Frederic Z. Zhang",
        "Hemanth Saratchandran",
        "Cristian Rodriguez-Opazo",
        "Anton van den Hengel",
        "Ehsan Abbasnejad",
    ),
    year=2025,
    arxiv="2502.00987v2",
)

WIDE = 10**9
"""Entries up to this size: a minor that is not identically 0 vanishes with probability < 1e-7 (Schwartz, Zippel)."""


def draw(case: Case, m: int, n: int) -> fmpq_mat:
    """Return a random integer matrix with wide entries."""
    return instances.integers(case.rng, m, n, -WIDE, WIDE)


def scaled(x: fmpq_mat, rows: fmpq_mat | None = None, columns: fmpq_mat | None = None) -> fmpq_mat:
    """Return diag(rows) x diag(columns), the diagonals given as 1 x n matrices."""
    m, n = x.nrows(), x.ncols()
    left = [rows[0, i] if rows is not None else 1 for i in range(m)]
    right = [columns[0, j] if columns is not None else 1 for j in range(n)]
    return fmpq_mat(m, n, [left[i] * x[i, j] * right[j] for i in range(m) for j in range(n)])


def terms(case: Case, one_basis: bool = False) -> list[fmpq_mat]:
    """Return the n summands for random bases and diagonals; with `one_basis` all B_j are the same."""
    D, d, r, n = (case[name] for name in "Ddrn")
    A, B = draw(case, r, d), draw(case, D, r)
    out = []
    for _ in range(n):
        B = B if one_basis else draw(case, D, r)
        out.append(B * scaled(A, draw(case, 1, r), draw(case, 1, d)))
    return out


def total(parts: list[fmpq_mat]) -> fmpq_mat:
    """Return the sum of matrices."""
    return sum(parts[1:], parts[0])


SIZES = ({"D": 8, "d": 6, "r": 2, "n": 3}, {"D": 10, "d": 8, "r": 3, "n": 3}, {"D": 9, "d": 7, "r": 2, "n": 2})


@PAPER.proposition("full-rank", points=SIZES, proof="randlora")
def full_rank(case: Case) -> Comparison:
    r"""For generic bases and diagonals rank \Delta = min(D, d, n r), A shared: full rank from n = ceil(d/r) on.

    One rational point of that rank shows it for almost every one. Exact rank at a random integer point.
    """
    return equal(exact.rank(total(terms(case))), min(case["D"], case["d"], case["n"] * case["r"]))


@full_rank.control("one B for all j as well: rank r")
def _(case: Case) -> Comparison:
    return equal(exact.rank(total(terms(case, one_basis=True))), min(case["D"], case["d"], case["n"] * case["r"]))


@PAPER.formula("parameters", d=(12, 24), r=(2, 3, 6), seeded=False)
def parameters(case: Case) -> Comparison:
    r"""With n = d/r the diagonals have n (r + d) = d + d^2/r entries: a larger r means fewer parameters, unlike LoRA.

    LoRA has 2 d r.
    """
    return equal(count(case["d"], case["r"]), case["d"] + Fraction(case["d"] ** 2, case["r"]))


@parameters.control("twice as many terms as the width needs")
def _(case: Case) -> Comparison:
    return equal(count(2 * case["d"], case["r"]), case["d"] + Fraction(case["d"] ** 2, case["r"]))


def count(d: int, r: int) -> int:
    """Count the entries of the Lambda_j (n x r) and Gamma_j (n x d) of the official code."""
    n = d // r
    return n * r + n * d


@PAPER.proposition("dimension", points=({"D": 7, "d": 6, "r": 2, "n": 3}, {"D": 6, "d": 6, "r": 3, "n": 2}))
def dimension(case: Case) -> Comparison:
    r"""The updates form a set of dimension n (r + d - 1) only: full rank is not full dimension.

    Each term is unchanged by (t \Lambda_j, \Gamma_j / t), and that is all: the exact rank of the Jacobian at a random
    integer point, which is the generic one. A single term with r = d has full rank with 2 d - 1 degrees of freedom.
    """
    return equal(dimension_of_updates(case), case["n"] * (case["r"] + case["d"] - 1))


@dimension.control("as many dimensions as parameters")
def _(case: Case) -> Comparison:
    return equal(dimension_of_updates(case), case["n"] * (case["r"] + case["d"]))


def dimension_of_updates(case: Case) -> int:
    """Return the rank of the Jacobian at a random integer point."""
    return exact.rank(jacobian(case))


def jacobian(case: Case) -> fmpq_mat:
    """Return the derivatives of the entries of Delta, one row a parameter."""
    D, d, r, n = (case[name] for name in "Ddrn")
    A, rows = draw(case, r, d), []
    for _ in range(n):
        B, left, right = draw(case, D, r), draw(case, 1, r), draw(case, 1, d)
        for i in range(r):
            e = fmpq_mat(1, r, [int(i == k) for k in range(r)])
            rows.append((B * scaled(A, e, right)).entries())
        for i in range(d):
            e = fmpq_mat(1, d, [int(i == k) for k in range(d)])
            rows.append((B * scaled(A, left, e)).entries())
    return fmpq_mat(rows)


# --------------------------------------------------------------------------------------------- Theorem 4.1


def blocks(case: Case) -> tuple[fmpq_mat, list[fmpq_mat]]:
    """Return W = U diag(s) V^T of order n r with rational U, V, and its n blocks of r singular triplets."""
    r, n = case["r"], case["n"]
    size = r * n
    W, U, V = instances.planted_svd(case.rng, size, spectrum(case, size))
    parts = []
    for j in range(n):
        kept = fmpq_mat(size, size)
        for i in range(j * r, (j + 1) * r):
            kept[i, i] = spectrum(case, size)[i]
        parts.append(U * kept * V.transpose())
    return W, parts


def spectrum(case: Case, size: int) -> list[int]:
    """Return the singular values: all equal, or descending."""
    return [6] * size if case.params.get("spectrum") == "flat" else list(range(2 * size, 0, -2))


def square(x: fmpq_mat) -> Fraction:
    """Return the squared Frobenius norm."""
    return exact.frobenius_norm_squared(x)


@PAPER.theorem("4.1", r=(1, 2), n=(2, 3), errors=("equal", "of random terms"), sampled=True)
def theorem_4_1(case: Case) -> Comparison:
    r"""If each of the n blocks U_j S_j V_j^T of W is met by its term within eps, then \|W - \Delta\|_F <= n eps.

    The triangle inequality, compared as squares in rationals, eps being the largest distance of the terms tried, which
    are random, or miss their blocks by the same matrix: then n eps is attained. (That the terms have rank r almost
    surely is `full-rank`.) What eps can be is not said: see `block-floor`.
    """
    distance, eps_squared = distances(case)
    return at_most(distance, case["n"] ** 2 * eps_squared)


@theorem_4_1.control("99/100 n eps, with the same error in every block", r=(1, 2), n=(2, 3), errors=("equal",))
def _(case: Case) -> Comparison:
    distance, eps_squared = distances(case)
    return at_most(distance, Fraction(99, 100) ** 2 * case["n"] ** 2 * eps_squared)


def distances(case: Case) -> tuple[Fraction, Fraction]:
    """Return |W - Delta|_F^2 and eps^2."""
    W, parts = blocks(case)
    size, r = W.nrows(), case["r"]
    if case["errors"] == "equal":
        error = instances.rational_planted_rank(case.rng, size, size, r)
        found = [M - error for M in parts]
    else:
        found = random_terms(case, size, len(parts))
    return square(W - total(found)), largest_distance(parts, found)


def random_terms(case: Case, size: int, n: int) -> list[fmpq_mat]:
    """Return n terms of rank r with small entries."""
    r, found = case["r"], []
    A = instances.integers(case.rng, r, size)
    for _ in range(n):
        diagonals = instances.integers(case.rng, 1, r), instances.integers(case.rng, 1, size)
        found.append(instances.integers(case.rng, size, r) * scaled(A, *diagonals))
    return found


def largest_distance(parts: list[fmpq_mat], found: list[fmpq_mat]) -> Fraction:
    """Return eps^2, the largest squared distance of a term from its block."""
    return max(square(M - X) for M, X in zip(parts, found, strict=True))


@PAPER.proposition("block-floor", r=(1, 2), n=(2, 3))
def block_floor(case: Case) -> Comparison:
    r"""\|M - B \Lambda A \Gamma\|_F >= \|(I - P_B) M\|_F always, of mean square (1 - r/D) \|M\|_F^2.

    For B of isotropic columns and a fixed block M: the term lies in the range of B. So the eps of Theorem 4.1 is
    nearly the norm of the block unless r is comparable with D. Measured: the mean over all coordinate subspaces of
    dimension r.
    """
    M = blocks(case)[1][0]
    return equal(mean_floor(M, case["r"]), (1 - Fraction(case["r"], M.nrows())) * square(M))


@block_floor.control("a B with one more column")
def _(case: Case) -> Comparison:
    M = blocks(case)[1][0]
    return equal(mean_floor(M, case["r"] + 1), (1 - Fraction(case["r"], M.nrows())) * square(M))


def mean_floor(M: fmpq_mat, r: int) -> Fraction:
    """Return the mean over the coordinate subspaces of dimension r of the squared distance of M from them."""
    D = M.nrows()
    rows = [square(exact.block(M, range(i, i + 1), range(M.ncols()))) for i in range(D)]
    subsets = list(combinations(range(D), r))
    return sum((sum(rows[i] for i in range(D) if i not in S) for S in subsets), Fraction(0)) / len(subsets)


@PAPER.corollary("vacuous", r=(1, 2), n=(2, 3), spectrum=("flat", "descending"), sampled=True)
def vacuous(case: Case) -> Comparison:
    r"""In the mean square over the bases the bound n eps of Theorem 4.1 is at least \sqrt{n - 1} \|W\|_F.

    (n eps)^2 >= n \sum_j (1 - r/D) \|M_j\|_F^2 = n (1 - r/D) \|W\|_F^2 = (n - 1) \|W\|_F^2 for D = n r, with equality
    in the first step where all blocks have the same norm. \Delta = 0 attains \|W\|_F: the bound is true and
    conditional; it says nothing about how well RandLoRA approximates.
    """
    bound, norm = bound_squared(case)
    return at_least(bound, (case["n"] - 1) * norm)


@vacuous.control("sqrt(n): without the share that the range of B reaches", n=(2, 3), r=(1, 2), spectrum=("flat",))
def _(case: Case) -> Comparison:
    bound, norm = bound_squared(case)
    return at_least(bound, case["n"] * norm)


def bound_squared(case: Case) -> tuple[Fraction, Fraction]:
    """Return n^2 times the largest mean floor of a block, which the mean of the largest exceeds, and |W|_F^2."""
    W, parts = blocks(case)
    return case["n"] ** 2 * max(mean_floor(M, case["r"]) for M in parts), square(W)


# ------------------------------------------------------------------------------------------ at equal budget


@PAPER.formula("frozen-left", points=({"D": 6, "d": 4, "r": 2, "n": 2}, {"D": 7, "d": 5, "r": 2, "n": 3}))
def frozen_left(case: Case) -> Comparison:
    r"""With \Lambda_j = I, the best \Gamma leave \sum_i \|(I - P_i) w_i\|^2, P_i on the span of B_1 a_i, ..., B_n a_i.

    w_i and a_i are columns of W and A: column by column a projection onto n random vectors of R^D, of mean square
    (1 - n/D) \|W\|_F^2 for every W, and with n d parameters: the dimension count 1 - P/(D d). Exact least squares over
    all n d entries jointly, against the projections.
    """
    return equal(least_squares(case, columns=case["d"]), 1)


@frozen_left.control("one diagonal for all columns: Gamma_j a multiple of I")
def _(case: Case) -> Comparison:
    return equal(least_squares(case, columns=1), 1)


def least_squares(case: Case, columns: int) -> Any:
    """Return the least squared residual over `columns` free entries in each Gamma_j, over that of the projections."""
    D, d, r, n = (case[name] for name in "Ddrn")
    A, W = draw(case, r, d), draw(case, D, d)
    images = [draw(case, D, r) * A for _ in range(n)]
    features = []
    for X in images:
        for c in range(columns):
            kept = [[X[i, j] if columns == 1 or j == c else 0 for j in range(d)] for i in range(D)]
            features.append([x for row in kept for x in row])
    joint = residual(fmpq_mat(features).transpose(), fmpq_mat(D * d, 1, W.entries()))
    projected = fmpq(0)
    for i in range(d):
        here = fmpq_mat(D, n, [X[k, i] for k in range(D) for X in images])
        projected += gram_residual(here, exact.block(W, range(D), range(i, i + 1)))
    return joint / projected


def gram_residual(X: fmpq_mat, y: fmpq_mat) -> Any:
    """Return the squared distance of y from the range of X, as a quotient of Gram determinants."""
    both = fmpq_mat(
        X.nrows(), X.ncols() + 1, [z for row, end in zip(X.table(), y.table(), strict=True) for z in row + end]
    )
    return (both.transpose() * both).det() / (X.transpose() * X).det()


def residual(X: fmpq_mat, y: fmpq_mat) -> Any:
    """Return the least |X b - y|^2 over b, for X of full column rank."""
    Xt = X.transpose()
    b = (Xt * X).solve(Xt * y)
    e = X * b - y
    return (e.transpose() * e)[0, 0]


@PAPER.proposition("crossing", decay=(0, 1, 2, 4), n=(2, 4, 8), seeded=False)
def crossing(case: Case) -> Comparison:
    r"""At P = n d parameters, D = d, RandLoRA's \Gamma leave 1 - n/D of \|W\|_F^2, LoRA of rank n/2 its tail.

    LoRA wins exactly when the first n/2 squared singular values hold more than n/D of the whole: for i^{-1}, i^{-2},
    i^{-4} (decay = 1, 2, 4), not for equal ones (decay = 0). D = 16, \Lambda_j = I; with trained \Lambda_j RandLoRA's
    error is smaller, and the crossing at a faster decay: see the figure. Measured: the winner's margin, in rationals.
    """
    return at_least(margin(case), 0)


@crossing.control("the other wins")
def _(case: Case) -> Comparison:
    return at_least(-margin(case), 0)


def margin(case: Case) -> Fraction:
    """Return LoRA's error less RandLoRA's for equal singular values, the reverse for decaying ones."""
    D, n = 16, case["n"]
    squares = [Fraction(1, i ** case["decay"]) for i in range(1, D + 1)]
    lora = sum(squares[n // 2 :]) / sum(squares)
    difference = lora - (1 - Fraction(n, D))
    return difference if case["decay"] == 0 else -difference
