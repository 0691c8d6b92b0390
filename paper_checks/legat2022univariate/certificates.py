"""Descent on two squares, its certificates over Q, the semidefinite program, Gram matrices, and sampled norms."""

import warnings

import numpy as np
from flint import fmpq, fmpq_poly

from lora_proofs import Case, Comparison, at_most, equal, exact
from lora_proofs.enclosure import Enclosure

from .paper import NORMS, PAPER, hankel, random_poly, residual, value, weights


def descend(case: Case, p: np.ndarray, w: np.ndarray, r: int) -> np.ndarray:
    """Return a second-order critical point of f_p, shape (r, d + 1): trust region from a random start, then Newton."""
    from scipy.optimize import minimize

    n = len(p) // 2 + 1

    def parts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        u = x.reshape(r, n)
        q = sum(np.convolve(row, row) for row in u) - p
        M = np.hstack([np.array([np.pad(row, (a, n - 1 - a)) for a in range(n)]).T for row in u])
        return q, M, (w * q)[np.add.outer(np.arange(n), np.arange(n))]

    def f(x: np.ndarray) -> tuple[float, np.ndarray]:
        q, M, _ = parts(x)
        return float(np.sum(w * q**2)), 4 * M.T @ (w * q)

    def hess(x: np.ndarray) -> np.ndarray:
        _, M, H = parts(x)
        return 8 * M.T @ (w[:, None] * M) + 4 * np.kron(np.eye(r), H)

    start = case.rng.standard_normal(r * n)
    x = minimize(f, start, jac=True, hess=hess, method="trust-exact", options={"gtol": 1e-9, "maxiter": 500}).x
    for _ in range(3):
        x = x - np.linalg.lstsq(hess(x), f(x)[1], rcond=1e-9)[0]
    return x.reshape(r, n)


def dual_bound(y: np.ndarray, p: fmpq_poly, w: list[fmpq]) -> fmpq:
    r"""Return -2 <y, p> - |y|^2 for a y near the given one with H(y) >= 0, checked over Q: a lower bound of f_p.

    |s - p|^2 >= 2 <y, s - p> - |y|^2, and <y, s> >= 0 for every sum of squares s. The shift adds the moments of d + 2
    points of the projective line, whose Hankel matrix is positive definite.
    """
    d = len(w) // 2
    angle = np.pi * (np.arange(d + 2) + 0.5) / (d + 2)
    inside = [float(np.sum(np.cos(angle) ** (2 * d - k) * np.sin(angle) ** k)) for k in range(2 * d + 1)]
    index = np.add.outer(np.arange(d + 1), np.arange(d + 1))
    m = np.array([float(w_k) for w_k in w]) * y
    lacking = max(0.0, -np.linalg.eigvalsh(m[index])[0]) + 1e-14 * (1 + np.abs(m).max())
    m = m + 2 * lacking / np.linalg.eigvalsh(np.array(inside)[index])[0] * np.array(inside)
    rational = [exact.number(float(x)) for x in m]
    if not exact.is_positive_semidefinite(hankel(rational)):
        raise ArithmeticError("the shifted Hankel matrix is not positive semidefinite")
    return sum((-2 * m_k * p[k] - m_k**2 / w_k for k, (m_k, w_k) in enumerate(zip(rational, w, strict=True))), fmpq(0))


def random_target(case: Case) -> tuple[fmpq_poly, list[fmpq]]:
    """Return p of degree 2d, in general no sum of squares, and the weights."""
    d = case["d"]
    return fmpq_poly([fmpq(int(x), 8) for x in case.rng.integers(-8, 9, 2 * d + 1)]), weights(case["norm"], d)


def descent(case: Case, p: fmpq_poly, w: list[fmpq], r: int) -> list[fmpq_poly]:
    """Return the critical point where a descent with r squares ends, its floats read as rationals."""
    found = descend(case, np.array([float(p[k]) for k in range(len(w))]), np.array([float(x) for x in w]), r)
    return [fmpq_poly([exact.number(float(x)) for x in row]) for row in found]


def positive_target(case: Case) -> tuple[fmpq_poly, list[fmpq]]:
    """Return p of degree 2d with p >= 1, for odd d: a square of degree 2d has a root, so p is none."""
    square = [random_poly(case, case["d"]) for _ in range(2)]
    return residual(square, -_powers(case["d"])), weights(case["norm"], case["d"])


def certified_gap(case: Case, p: fmpq_poly, w: list[fmpq], r: int = 2) -> Enclosure:
    """Enclose f_p(u) - min f_p, u from a descent with r squares; L is the dual bound of a y near the best residual."""
    found, best = descent(case, p, w, r), best_of_others(case, p, w)
    q = residual(best, p)
    lower = dual_bound(np.array([float(q[k]) for k in range(len(w))]), p, w)
    return above(value(found, p, w), value(best, p, w), lower)


def best_of_others(case: Case, p: fmpq_poly, w: list[fmpq]) -> list[fmpq_poly]:
    """Return the better one of two further descents, with two squares and with three."""
    return min((descent(case, p, w, squares) for squares in (2, 3)), key=lambda u: value(u, p, w))


def above(found: fmpq, best: fmpq, lower: fmpq) -> Enclosure:
    """Enclose found - min f_p for lower <= min f_p <= best: a point above another one is no minimum."""
    return exact.enclosure(found - min(found, best), found - lower)


@PAPER.theorem("1-descent", d=(1, 2, 4), norm=NORMS, sampled=True)
def theorem_1_descent(case: Case) -> Comparison:
    """Where a descent on two squares ends is a global minimum, for p that are sums of squares and p that are not.

    Measured: an enclosure [f_p(u) - f_p(v), f_p(u) - L] of the distance from the least value over sums of any number of
    squares, with v from other descents, on two squares and on three, and L the dual bound of a y near q for which
    H(y) >= 0 is checked over Q.
    """
    return at_most(certified_gap(case, *random_target(case)), 0)


@theorem_1_descent.control("one square", points=[{"d": 3, "norm": "coefficient"}])
def _(case: Case) -> Comparison:
    return at_most(certified_gap(case, *positive_target(case), r=1), 0)


@PAPER.theorem("1-semidefinite-program", d=(3,), norm=("coefficient",), sampled=True)
def theorem_1_semidefinite_program(case: Case) -> Comparison:
    r"""The least f_p over two squares is the least |s - p|^2 over all sums of squares, a semidefinite program.

    The program max -2 <y, p> - |y|^2, H(y) >= 0, is solved by Clarabel through cvxpy, in three units of y; each y is
    shifted until H(y) >= 0 over Q. Measured: an enclosure as in theorem-1-descent with the best L of these y, so that
    nothing rests on the solver's word.
    """
    return at_most(gap_to_solver(case, *random_target(case)), 0)


@theorem_1_semidefinite_program.control("one square")
def _(case: Case) -> Comparison:
    return at_most(gap_to_solver(case, *positive_target(case), r=1), 0)


def gap_to_solver(case: Case, p: fmpq_poly, w: list[fmpq], r: int = 2) -> Enclosure:
    """Enclose f_p(u) - min f_p, u from a descent with r squares, L from the solver's y."""
    coefficients = np.array([float(p[k]) for k in range(len(w))])
    # The solver is now and then rough, in one unit or another.
    lower = max(dual_bound(unit * solve_dual(unit, coefficients), p, w) for unit in (1, 8, 64))
    found, best = descent(case, p, w, r), best_of_others(case, p, w)
    return above(value(found, p, w), value(best, p, w), lower)


def solve_dual(unit: float, coefficients: np.ndarray) -> np.ndarray:
    """Return the y / unit that maximises -2 <y, p> - |y|^2 under H(y) >= 0, as Clarabel has it."""
    import cvxpy

    n = len(coefficients) // 2 + 1
    y = cvxpy.Variable(2 * n - 1)
    H = sum(y[k] * np.fliplr(np.eye(n, k=n - 1 - k)) for k in range(2 * n - 1))  # symmetric, which cvxpy cannot see
    objective = cvxpy.Minimize(cvxpy.sum_squares(y) + 2 * (coefficients / unit) @ y)
    tight = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it may be inaccurate: its answer is judged over Q
        cvxpy.Problem(objective, [(H + H.T) / 2 >> 0]).solve(solver="CLARABEL", **tight)
    return np.asarray(y.value)


@PAPER.corollary("gram-certificate", d=(2, 4, 6))
def gram_certificate(case: Case) -> Comparison:
    r"""A positive p has a rational Gram matrix: p = \sum_{jk} G_jk x^(j + k), G > 0, from two squares found by descent.

    Peyrl & Parrilo's rounding: descend for p - e \sum x^(2j), add e I, and spread what is left over the antidiagonals.
    Counted: an identity that is not exact, and a G that is not >= 0, both over Q.
    """
    square = [random_poly(case, case["d"]) for _ in range(2)]
    return equal(_gram_defects(case, residual(square, -_powers(case["d"]))), 0)


@gram_certificate.control("p(1) < 0")
def _(case: Case) -> Comparison:
    p = residual([random_poly(case, case["d"])], -_powers(case["d"]))
    return equal(_gram_defects(case, p - p(1) - fmpq(1)), 0)


def _powers(d: int) -> fmpq_poly:
    return fmpq_poly([int(k % 2 == 0) for k in range(2 * d + 1)])


def _gram_defects(case: Case, p: fmpq_poly) -> int:
    d, margin = case["d"], fmpq(1, 4)
    target = p - margin * _powers(d)
    found = descend(case, np.array([float(target[k]) for k in range(2 * d + 1)]), np.ones(2 * d + 1), 2)
    G = exact.matrix(found.T @ found) + margin * exact.identity(d + 1)
    for k in range(2 * d + 1):
        cells = [(i, k - i) for i in range(d + 1) if 0 <= k - i <= d]
        lacking = (p[k] - sum((G[i, j] for i, j in cells), fmpq(0))) / len(cells)
        for i, j in cells:
            G[i, j] += lacking
    written = [sum((G[i, k - i] for i in range(d + 1) if 0 <= k - i <= d), fmpq(0)) for k in range(2 * d + 1)]
    return int(fmpq_poly(written) != p) + int(not exact.is_positive_semidefinite(G))


@PAPER.formula("sampled-norm", d=(3, 8), extra=(1, 4))
def sampled_norm(case: Case) -> Comparison:
    """With N > 2d equally spaced points on the unit circle the mean of |p|^2 is the coefficient norm squared.

    So f_p and its gradient cost FFTs, O(r N log N). Measured: the largest error of the gradient computed by FFTs,
    relative to it.
    """
    return at_most(_fft_error(case, 2 * case["d"] + case["extra"]), 0)


@sampled_norm.control("N = 2d: the highest power aliases with the constant")
def _(case: Case) -> Comparison:
    return at_most(_fft_error(case, 2 * case["d"]), 0)


def _fft_error(case: Case, N: int) -> float:
    d = case["d"]
    u, p = case.rng.standard_normal((2, d + 1)), case.rng.standard_normal(2 * d + 1)
    q = sum(np.convolve(row, row) for row in u) - p
    direct = np.array([4 * np.correlate(q, row, "valid") for row in u])
    folded = np.bincount(np.arange(2 * d + 1) % N, p, minlength=N)
    values = np.fft.fft(u, N)
    sampled = np.sum(values**2, axis=0) - np.fft.fft(folded)
    by_fft = 4 * np.fft.ifft(sampled * values.conj()).real[:, : d + 1]
    return float(np.abs(by_fft - direct).max() / np.abs(direct).max())
