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

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, at_most, equal, exact, instances, ntk
from lora_proofs.enclosure import Enclosure

from .paper import PAPER
from .planted import Plant, on_face, planted
from .variational import sizes


def largest_rank(d: int) -> int:
    """Return the largest r with r(r+1)/2 <= d."""
    return (isqrt(8 * d + 1) - 1) // 2


def minimiser(case: Case, top: Any = 0) -> Plant:
    """Return an instance of d rows with a planted minimiser of rank k: no minimiser if top > 1."""
    m, n, k, d = sizes(case["shape"])
    return planted(case.rng, [(m, n)], [k], k, d, top=top, lam=2)


def float_minimiser(case: Case, drop: int = 0) -> tuple[ntk.LinearizedProblem, list[Any], list[Any]]:
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
    free = ntk.LinearizedProblem(G, np.zeros(N), np.zeros(N), "squared", lam)
    return ntk.LinearizedProblem(G, np.zeros(N), free.apply_factors(u, v) + rho, "squared", lam), u, v


def excess(problem: ntk.LinearizedProblem, minimiser: tuple[Any, Any], point: tuple[Any, Any]) -> Enclosure:
    """Return the enclosure, in ball arithmetic, of how far a point is above the optimum that the minimiser attains."""
    return ntk.certify(problem, *minimiser, rigorous=True).excess(*point)


def spent(factors: list[Any]) -> int:
    """Return the sum of r_t(r_t + 1)/2 over factors of r_t columns."""
    return sum(x.shape[1] * (x.shape[1] + 1) // 2 for x in factors)


SHAPES = [{"shapes": "8x8", "d": 9}, {"shapes": "6x9", "d": 6}, {"shapes": "5x4", "d": 2}, {"shapes": "4x4", "d": 10}]


@PAPER.theorem(
    "3.1",
    points=[{**p, "shapes": p["shapes"].replace("x", "-")} for p in SHAPES],
    proof=(
        "factors_solve_nuclear",
        "nuclear_solved_by_factors",
        "theorem31_nuclear",
        "theorem31_full",
        "theorem31_control",
    ),
)
def theorem_3_1(case: Case) -> Comparison:
    r"""If a global minimiser exists, there is one with r(r+1)/2 <= KN.

    The wording is as recalled; to be compared with v3. A planted minimiser of full rank is reduced. Measured: an
    enclosure (ball arithmetic) of the excess over the optimum of full fine-tuning of a point that has at most as many
    columns as the theorem allows: what the reduction leaves beyond them is cut off.
    """
    problem, u, v = float_minimiser(case)
    reduced = ntk.reduce_rank(problem, u, v)
    return at_most(excess(problem, (u, v), leading_columns(reduced.u, reduced.v, largest_rank(problem.d))), 0)


@theorem_3_1.control("the columns beyond the bound are cut off instead")
def _(case: Case) -> Comparison:
    problem, u, v = float_minimiser(case)
    k = largest_rank(problem.d) - 2 if case["d"] == 10 else largest_rank(problem.d)
    return at_most(excess(problem, (u, v), leading_columns(u, v, k)), 0)


def leading_columns(u: list[Any], v: list[Any], k: int) -> tuple[list[Any], list[Any]]:
    """Return balanced factors of the best approximation of rank k, or the factors of one block that has no more."""
    if u[0].shape[1] <= k:
        return u, v
    left, s, right = np.linalg.svd(u[0] @ v[0].T, full_matrices=False)
    return [left[:, :k] * np.sqrt(s[:k])], [right[:k].T * np.sqrt(s[:k])]


@PAPER.theorem("3.1-steps", shape=("4-4-4-6", "5-4-3-5", "5-5-5-9"), proof="symmetric_null")
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
        fits = sum((exact.trace(G.transpose() * change) ** 2 for G in trap.gradients), fmpq(0))
        total += exact.trace(a.transpose() * a * S) ** 2 + fits
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
    blocks together. Measured: \sum_t r_t(r_t+1)/2 of the reduced point; theorem-3.1-blocks-optimal says that it is a
    minimiser.
    """
    problem, u, v = float_minimiser(case)
    return at_most(spent(ntk.reduce_rank(problem, u, v).u), case["d"])


@theorem_3_1_blocks.control("before the reduction")
def _(case: Case) -> Comparison:
    _, u, _ = float_minimiser(case)
    return at_most(spent(u), case["d"])


@PAPER.theorem("3.1-blocks-optimal", points=[{"shapes": "5-5+5-5+5-5+5-5", "d": 10}, {"shapes": "6-9+9-3", "d": 7}])
def theorem_3_1_blocks_optimal(case: Case) -> Comparison:
    r"""The point of theorem-3.1-blocks is a minimiser. Measured: an enclosure of its excess over the optimum."""
    problem, u, v = float_minimiser(case)
    reduced = ntk.reduce_rank(problem, u, v)
    return at_most(excess(problem, (u, v), (reduced.u, reduced.v)), 0)


@theorem_3_1_blocks_optimal.control("its last column set to 0 in one block")
def _(case: Case) -> Comparison:
    problem, u, v = float_minimiser(case)
    reduced = ntk.reduce_rank(problem, u, v)
    t = int(np.argmax(reduced.ranks))
    less = [x * (np.arange(x.shape[1]) > 0) if k == t else x for k, x in enumerate(reduced.u)]
    return at_most(excess(problem, (u, v), (less, reduced.v)), 0)
