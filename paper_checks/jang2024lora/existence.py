r"""Theorem 3.1: a minimiser of low rank, r(r+1)/2 <= KN. Its proof over Q, its form for blocks, where it is tight.

The proof is that of Barvinok and Pataki; `lora_proofs.ntk.rank_reduction` states it and computes with it. d is the
number of independent rows, at most KN. With a minimiser delta = a b^T, a = U_0 s^{1/2} and b = V_0 s^{1/2}, k
columns:

1. The fits of a (I + tau S) b^T, S symmetric, are those of a b^T plus tau <T_l, S>, T_l = sym(a^T G_l b): d
   equations. If k(k+1)/2 > d, some S != 0 solves them all.
2. While I + tau S >= 0, the nuclear norm is tr a^T a (I + tau S). At a minimiser with lam > 0, tr a^T a S = 0: lam
   |.|_* = <M, .> on the face, a combination of the fits. (At lam = 0 the norm does not matter.)
3. det(I + tau S) has a real zero, since S has a real eigenvalue other than 0; the one next to 0 keeps I + tau S >= 0.
   There a column is lost, and nothing else has changed.
"""

from collections.abc import Sequence
from itertools import combinations
from math import isqrt
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, at_most, equal, exact, instances
from lora_proofs.ntk import LinearizedProblem, certify, reduce_rank, solve
from lora_proofs.ntk.rational_problem import inner
from lora_proofs.ntk.traps import Trap, logistic_unregularised

from .paper import PAPER, Bracket
from .planted import Plant, diagonal, on_face, planted
from .variational import exact_trace, sizes


def largest_rank(d: int) -> int:
    """Return the largest r with r(r+1)/2 <= d."""
    return (isqrt(8 * d + 1) - 1) // 2


def minimiser(case: Case, top: Any = 0) -> Plant:
    """Return an instance of d rows with a planted minimiser of rank k: no minimiser if top > 1."""
    m, n, k, d = sizes(case["shape"])
    return planted(case.rng, [(m, n)], [k], k, d, top=top, lam=2)


def float_minimiser(case: Case, drop: int = 0) -> tuple[LinearizedProblem, list[Any], list[Any]]:
    """Return a squared problem with one block a shape and a planted minimiser of full rank in each, in floats."""
    shapes = [tuple(sizes(shape)) for shape in case["shapes"].split("+")]
    N, lam = case["d"] - drop, 0.3
    rho = case.rng.uniform(1, 2, N)
    G, u, v = [], [], []
    for m, n in shapes:
        g = case.rng.standard_normal((N, 1, m, n)) / 5
        U, V = (np.linalg.qr(case.rng.standard_normal((k, min(m, n))))[0] for k in (m, n))
        g[0, 0] = (lam * N * U @ V.T - np.tensordot(rho[1:], g[1:, 0], 1)) / rho[0]
        R = case.rng.standard_normal((min(m, n),) * 2) + 2 * np.eye(min(m, n))
        G, u, v = [*G, g], [*u, U @ R], [*v, V @ R]
    free = LinearizedProblem(G, np.zeros(N), np.zeros(N), "squared", lam)
    return LinearizedProblem(G, np.zeros(N), free.bilinear(u, v) + rho, "squared", lam), u, v


def excess_after_reduction(problem: LinearizedProblem, u: list[Any], v: list[Any]) -> tuple[Bracket, list[int]]:
    """Return a bracket, proved in ball arithmetic, of how far the reduced point is from optimal; and its ranks."""
    reduced = reduce_rank(problem, u, v)
    certificate = certify(problem, reduced.u, reduced.v, rigorous=True)
    return (0.0, certificate.upper - certificate.lower), list(reduced.ranks)


SHAPES = [{"shapes": "8x8", "d": 9}, {"shapes": "6x9", "d": 6}, {"shapes": "5x4", "d": 2}, {"shapes": "4x4", "d": 10}]


@PAPER.theorem("3.1", points=[{**p, "shapes": p["shapes"].replace("x", "-")} for p in SHAPES])
def theorem_3_1(case: Case) -> Comparison:
    r"""If a global minimiser exists, there is one with r(r+1)/2 <= KN.

    The wording is as recalled; to be compared with v3. A planted minimiser of full rank is reduced. Measured: a
    rigorous bracket (ball arithmetic) of the excess over the optimum of full fine-tuning of a point that has at most
    as many columns as the theorem allows.
    """
    problem, u, v = float_minimiser(case)
    excess, (rank,) = excess_after_reduction(problem, u, v)
    if rank > largest_rank(problem.d):
        raise ArithmeticError(f"{rank} columns are left")
    return at_most(excess, 0)


@theorem_3_1.control("the columns beyond the bound are cut off instead")
def _(case: Case) -> Comparison:
    problem, u, v = float_minimiser(case)
    k = largest_rank(problem.d) - 1 if case["d"] == 10 else largest_rank(problem.d)
    left, s, right = np.linalg.svd(u[0] @ v[0].T, full_matrices=False)
    cut = [left[:, :k] * np.sqrt(s[:k])], [right[:k].T * np.sqrt(s[:k])]
    certificate = certify(problem, *cut, rigorous=True)
    return at_most((problem.objective(*cut) - problem.objective(u, v), certificate.upper), 0)


@PAPER.theorem("3.1-steps", shape=("4-4-4-6", "5-4-3-5", "5-5-5-9"))
def theorem_3_1_steps(case: Case) -> Comparison:
    r"""Steps 1 and 2 over Q, at a planted minimiser of rank k with k(k+1)/2 > d, \lambda = 2.

    There is S != 0 with <T_l, S> = 0 for all l; the fits of a(I + \tau S)b^T are the same for every \tau; and the norm
    does not change, tr(a^T a S) = 0. Measured: tr(a^T a S)^2 plus the squares of all changes of the fits at \tau = 1,
    summed over a basis of such S.
    """
    return equal(change_along_null_directions(minimiser(case)), 0)


@theorem_3_1_steps.control("at balanced factors of a point that is no minimiser")
def _(case: Case) -> Comparison:
    plant = minimiser(case)
    turns = [instances.rational_orthogonal(case.rng, size) for size in plant.trap.shape]
    return equal(change_along_null_directions(plant, turns), 0)


def change_along_null_directions(plant: Plant, turns: Sequence[fmpq_mat] = ()) -> Any:
    """Return the sum of squares of what steps 1 and 2 say is 0; `turns` are orthogonal matrices that move a and b."""
    trap, k = plant.trap, plant.ranks[0]
    a, b = (O * x for O, x in zip(turns, (trap.u, trap.v), strict=True)) if turns else (trap.u, trap.v)
    forms, corners = on_face(trap, a, b), [(i, j) for i in range(k) for j in range(i, k)]
    basis, nullity = null_space(forms)
    if not nullity:
        raise ArithmeticError("k(k+1)/2 does not exceed the number of independent equations")
    total = fmpq(0)
    for c in range(nullity):
        S = fmpq_mat(k, k)
        for row, (i, j) in enumerate(corners):
            S[i, j] = S[j, i] = basis[row, c]
        change = a * S * b.transpose()
        fits = sum((inner(G, change) ** 2 for G in trap.gradients), fmpq(0))
        total += exact_trace(a.transpose() * a * S) ** 2 + fits
    return total


def null_space(x: fmpq_mat) -> tuple[fmpq_mat, int]:
    """Return a matrix whose first columns are a basis of the null space of x, and how many."""
    echelon, r = x.rref()
    n = x.ncols()
    pivots = [next(j for j in range(n) if echelon[i, j] != 0) for i in range(r)]
    free = [j for j in range(n) if j not in pivots]
    out = fmpq_mat(n, max(1, len(free)))
    for c, j in enumerate(free):
        out[j, c] = fmpq(1)
        for i, p in enumerate(pivots):
            out[p, c] = -echelon[i, j]
    return out, len(free)


@PAPER.theorem("3.1-blocks", points=[{"shapes": "5-5+5-5+5-5+5-5", "d": 10}, {"shapes": "6-9+9-3", "d": 7}])
def theorem_3_1_blocks(case: Case) -> Comparison:
    r"""With blocks: some minimiser has \sum_t r_t(r_t+1)/2 <= KN, which is more than r_t(r_t+1)/2 <= KN in each.

    Step 1 with one S_t a block: d equations for \sum_t k_t(k_t+1)/2 unknowns; steps 2 and 3 hold for I + \tau S of all
    blocks together. Measured: \sum_t r_t(r_t+1)/2 of a point with a rigorous relative gap below 1e-9.
    """
    problem, u, v = float_minimiser(case)
    excess, ranks = excess_after_reduction(problem, u, v)
    if excess[1] > 1e-9 * problem.objective(u, v):
        raise ArithmeticError("the reduced point is not optimal")
    return at_most(sum(r * (r + 1) // 2 for r in ranks), case["d"])


@theorem_3_1_blocks.control("before the reduction")
def _(case: Case) -> Comparison:
    _, u, _ = float_minimiser(case)
    return at_most(sum(x.shape[1] * (x.shape[1] + 1) // 2 for x in u), case["d"])


# ------------------------------------------------------------------------------------------------ tight, and not tight


def tight_instance(r: int, lam: int) -> Trap:
    """Return G_ii = E_ii, G_ij = (E_ij + E_ji)/2, labels 1 + lam and 0, at the identity: KN = r(r+1)/2."""
    G = [diagonal([int(i == j) for j in range(r)]) for i in range(r)]
    for i, j in combinations(range(r), 2):
        g = fmpq_mat(r, r)
        g[i, j] = g[j, i] = fmpq(1, 2)
        G.append(g)
    labels = tuple(fmpq(1 + lam if i < r else 0) for i in range(len(G)))
    eye = exact.identity(r)
    return Trap("tight", "squared", fmpq(lam), tuple(G), (fmpq(0),) * len(G), labels, eye, eye)


@PAPER.theorem("3.1-tight", r=(1, 2, 3, 4, 5), lam=(1, 3), seeded=False)
def theorem_3_1_tight(case: Case) -> Comparison:
    r"""For every r an instance with KN = r(r+1)/2 and \lambda > 0 has a single minimiser, of rank r.

    \delta = I has M = \lambda I, hence |M|_op = \lambda and <M, I> = \lambda|I|_*: a minimiser. The squared loss
    makes the fits unique, so another minimiser \delta' has the same M, and tr \delta' = |\delta'|_*: it is symmetric,
    positive semidefinite. The G determine a symmetric matrix (measured: their rank on symmetric matrices): \delta' =
    I.
    """
    trap = tight_instance(case["r"], case["lam"])
    return equal(rank_if_unique(trap), case["r"] * (case["r"] + 1) // 2)


@theorem_3_1_tight.control("one functional fewer", r=(2, 3), lam=(1,))
def _(case: Case) -> Comparison:
    trap = tight_instance(case["r"], case["lam"])
    return equal(rank_if_unique(trap.without(trap.N - 1)), trap.N)


def rank_if_unique(trap: Trap) -> int:
    """Return the rank of the functionals on symmetric matrices, after checking that the identity is stationary."""
    if not all(exact.is_zero(part) for part in trap.gradient()):
        raise ArithmeticError("the identity is no minimiser")
    return exact.rank(on_face(trap, trap.u, trap.v))


@PAPER.theorem("3.1-tight-unregularised", r=(2, 3, 4, 5))
def theorem_3_1_tight_unregularised(case: Case) -> Comparison:
    r"""\lambda = 0: with the G of theorem-3.1-tight and target I, every interpolant has rank r.

    The interpolants are I + K with K skew (measured: the dimension of the kernel of A is r(r-1)/2, as that of the
    skew matrices, on which A vanishes), and det(I + K) = \prod (1 + \mu^2) >= 1 over pairs \pm i\mu of eigenvalues of
    K, which is checked on random K and ends the check if it fails.
    """
    r, trap = case["r"], tight_instance(case["r"], 0)
    X = instances.integers(case.rng, r, r)
    K = X - X.transpose()
    if any(inner(G, K) != 0 for G in trap.gradients) or (exact.identity(r) + K).det() < 1:
        raise ArithmeticError("I + K should interpolate, and not be singular")
    return equal(kernel_dimension(trap), r * (r - 1) // 2)


@theorem_3_1_tight_unregularised.control("one functional fewer")
def _(case: Case) -> Comparison:
    trap = tight_instance(case["r"], 0)
    return equal(kernel_dimension(trap.without(trap.N - 1)), case["r"] * (case["r"] - 1) // 2)


def kernel_dimension(trap: Trap) -> int:
    """Return the dimension of the kernel of delta -> A(delta)."""
    m, n = trap.shape
    return m * n - exact.rank(fmpq_mat([G.entries() for G in trap.gradients]))


@PAPER.theorem("3.1-loose-unregularised", shape=("4-3-9", "5-5-10", "3-6-6", "3-6-13", "4-4-16"))
def theorem_3_1_loose(case: Case) -> Comparison:
    r"""\lambda = 0, almost every G: any fits are attained at rank r' = \lceil d / max(m, n) \rceil, below \sqrt{2d}.

    Freeze v (n x r', m >= n) or u: A(u v^T) = c is a linear system with r' max(m, n) >= d unknowns, and it is
    solvable for every c if its matrix has rank d, as it has for almost all G and frozen factors once it has at one
    rational point. Measured: the rank at a random integer point. (This is LoRA with a frozen factor, too. 768 x 768,
    d = 64: r' = 1.)
    """
    m, n, d = sizes(case["shape"])
    return equal(frozen_rank(case, -(-d // max(m, n))), d)


@theorem_3_1_loose.control("a rank less")
def _(case: Case) -> Comparison:
    m, n, d = sizes(case["shape"])
    return equal(frozen_rank(case, -(-d // max(m, n)) - 1), d)


def frozen_rank(case: Case, r: int) -> int:
    """Return the rank of u -> A(u v^T) for random integer G and v, where u belongs to the longer side."""
    m, n, d = sizes(case["shape"])
    if r == 0:
        return 0
    frozen = instances.integers(case.rng, min(m, n), r)
    G = (instances.integers(case.rng, max(m, n), min(m, n)) for _ in range(d))
    return exact.rank(fmpq_mat([(g * frozen).entries() for g in G]))


# ------------------------------------------------------------------------------------------------ existence


@PAPER.formula("no-minimiser", n=(2, 3, 5, 7), seeded=False)
def no_minimiser(case: Case) -> Comparison:
    r"""\lambda = 0 and separable data: the risk has no minimiser, so Theorem 3.1 needs its hypothesis.

    The logistic loss log(1 + e^w) is positive, and tends to 0 where w -> -\infty. On the instance L0_n some \delta of
    rank 1 has all of its slopes -y_k <G_k, \delta> negative (measured: how many are, of n + 1), so along t \delta the
    loss tends to 0, which it never attains. `solve` refuses it. (For \lambda > 0, L >= \lambda|\delta|_*: a minimiser
    exists.)
    """
    trap = logistic_unregularised(case["n"])
    try:
        solve(trap.problem())
    except ValueError:
        return equal(falling_rows(trap), trap.N)
    raise ArithmeticError("the solver has found a minimiser, which there is not")


@no_minimiser.control("with the opposite label as well on one datum")
def _(case: Case) -> Comparison:
    trap = logistic_unregularised(case["n"])
    both = (*trap.gradients, trap.gradients[0]), (*trap.offsets, trap.offsets[0]), (*trap.labels, -trap.labels[0])
    doubled = Trap("inseparable", "logistic", trap.lam, *both, trap.u, trap.v, None, trap.better)
    return equal(falling_rows(doubled), doubled.N)


def falling_rows(trap: Trap) -> int:
    """Return the number of data whose margin falls along t delta for the better point delta."""
    u, v = trap.better if trap.better else (trap.u, trap.v)
    return sum(int(y * inner(G * v, u) > 0) for G, y in zip(trap.gradients, trap.labels, strict=True))


@PAPER.formula("canonical-rows", N=(2, 4), K=(2, 3, 5))
def canonical_rows(case: Case) -> Comparison:
    r"""Cross-entropy sees (K-1)N rows of the KN: Theorems 3.1 and 4.1 hold with (K-1)N in place of KN.

    log sum_k exp z_k - z_y = log(1 + sum_{k != y} e^{z_k - z_y}) depends on the differences z_k - z_y alone: its
    functionals are G_k - G_y. Measured: their rank, for random integer G whose KN functionals are independent.
    """
    N, K = case["N"], case["K"]
    G, labels = independent_functionals(case), case.rng.integers(0, K, N)
    rows = [(G[i * K + k], G[i * K + int(labels[i])]) for i in range(N) for k in range(K)]
    differences = [[x - y for x, y in zip(*pair, strict=True)] for pair in rows]
    return equal(exact.rank(fmpq_mat(differences)), (K - 1) * N)


@canonical_rows.control("all KN rows, as for the squared loss")
def _(case: Case) -> Comparison:
    return equal(canonical_rows(case).measured, case["N"] * case["K"])


def independent_functionals(case: Case) -> list[list[Any]]:
    """Return KN independent random rows of 5 x 5 entries."""
    NK = case["N"] * case["K"]
    while True:
        G = instances.integers(case.rng, NK, 25)
        if exact.rank(G) == NK:
            return G.table()
