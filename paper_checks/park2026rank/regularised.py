r"""lam > 0: no capacity excludes strict minima that are not global, nor lets a rank reach an optimum of higher rank.

"Global" is meant in two senses, which each claim tells apart: among the points of rank r, and for full fine-tuning.
"""

from __future__ import annotations

from dataclasses import replace

import flint
import numpy as np

from lora_proofs import Case, Comparison, OutOfScope, at_least, at_most, equal, ntk
from lora_proofs.enclosure import Enclosure

from .enclosure import Array, Sum, enclose_minimum
from .paper import CAPACITY, PAPER, capacity, capacity_ratio, defects, padded

GAP = "scope restriction: the capacity rule is about lam = 0"


@PAPER.theorem("regularised-exact", gap=GAP, seeded=False, points=[
    {"r": 1, "n": 8}, {"r": 1, "n": 32}, {"r": 2, "n": 16}, {"r": 3, "n": 16},
])  # fmt: skip
def regularised_exact(case: Case) -> Comparison:
    r"""For lam > 0 strict minima (modulo O(r)) with a better point of the same rank exist at every capacity/KN.

    Family B_r of `lora_proofs.ntk.traps`, KN = r(r+3)/2, within n x n matrices: r(2n - r) / KN grows with n. Counted
    over Q: defects.
    """
    trap = padded(ntk.traps.family_b(case["r"]), case["n"])
    if not capacity_ratio(trap) > CAPACITY:
        raise OutOfScope("the capacity is below 1.35 KN")
    return equal(defects(trap), 0)


@regularised_exact.control("a functional less: KN < r(r+3)/2")
def _(case: Case) -> Comparison:
    trap = padded(ntk.traps.family_b(case["r"]), case["n"])
    return equal(defects(replace(trap.without(trap.N - 1), better=trap.better)), 0)


@PAPER.theorem("regularised-gaussian", gap=GAP, points=[
    {"n": 8, "r": 1, "N": 6}, {"n": 16, "r": 1, "N": 8}, {"n": 24, "r": 1, "N": 12}, {"n": 16, "r": 2, "N": 12},
])  # fmt: skip
def regularised_gaussian(case: Case) -> Comparison:
    r"""So they do for iid Gaussian G, whatever is proved of typical labels: for some labels (capacity/KN 2.5 to 5).

    1. Newton's method looks for rho with sigma_1(M) = (1 + delta) lam and sigma_2 = ... = sigma_{r+1} = lam, M =
       sum rho_k G_k; u, v are made of the pairs 2, ..., r + 1, and y = A(u v^T) + rho makes (u, v) stationary.
    2. G is drawn anew, up to 60 times, until that is a strict minimum and a better point of rank r is found.
    3. The minimum is enclosed by Krawczyk's test with the strictly upper part of u fixed (the gauge O(r)).

    Measured: (its value - that of the better point) / its value, as a ball, against 1/1000.
    """
    data, u, v, better = gaussian_trap(case)
    return at_least(relative_excess(data, (u, v), better), 1e-3)


@regularised_gaussian.control("the minimum compared with a point that is worse", points=[{"n": 8, "r": 1, "N": 6}])
def _(case: Case) -> Comparison:
    data, u, v, _ = gaussian_trap(case)
    return at_least(relative_excess(data, (u, v), (1.01 * u, 1.01 * v)), 1e-3)


def relative_excess(data: Sum, point: tuple[Array, Array], better: tuple[Array, Array]) -> flint.arb:
    """Return a ball for the relative excess of the strict minimum near the point."""
    r = point[0].shape[1]
    minimum = enclose_minimum(data, *point, fixed=[i * r + j for i in range(r) for j in range(i + 1, r)])
    return (minimum - data.value(*better)) / minimum


def gaussian_trap(case: Case) -> tuple[Sum, Array, Array, tuple[Array, Array]]:
    """Return Gaussian G with labels, a strict minimum (u, v), u lower triangular, and a better point of rank r."""
    n, r, N = case["n"], case["r"], case["N"]
    for _ in range(60):
        G = case.rng.standard_normal((N, n, n))
        rho = coalescing(G, case.rng.standard_normal(N), r, top=1.2 if r == 1 else 1.05)
        U, s, Vt = np.linalg.svd(np.tensordot(rho, G, 1))
        u, v = U[:, 1 : r + 1], Vt[1 : r + 1].T
        rotation = np.linalg.qr(u[:r].T)[0]
        u, v = u @ rotation, v @ rotation
        y = np.einsum("kij,ia,ja->k", G, u, v) + rho
        problem = ntk.LinearizedProblem(G[:, None], np.zeros((N, 1)), y[:, None], "squared", 1 / N)
        if s[0] < 1.01 or ntk.second_order(problem, u, v).verdict != "strict minimum":
            continue
        u[np.triu_indices(r, 1)] = 0.0
        value = problem.objective(u, v)
        for size in (0.5, 0.8, 1.1):
            start = u.copy(), v.copy()
            start[0][:, 0], start[1][:, 0] = size * U[:, 0], size * Vt[0]
            (a,), (b,) = ntk.polish(problem, [start[0]], [start[1]])
            if problem.objective(a, b) < (1 - 2e-3) * value:
                return Sum(G, y, 1.0), u, v, (a, b)
    raise OutOfScope("no such labels found for 60 draws of G")


def coalescing(G: Array, rho: Array, r: int, top: float) -> Array:
    """Return rho near the given one for which M has singular values top, 1, ..., 1 (r times) and smaller ones."""
    k = r + 1
    target, upper = np.diag([top] + [1.0] * r), np.triu_indices(k)
    for _ in range(60):
        U, s, Vt = np.linalg.svd(np.tensordot(rho, G, 1))
        scale = s[1:k].mean()
        T = np.einsum("ia,kij,bj->kab", U[:, :k], G, Vt[:k])
        T = (T + T.transpose(0, 2, 1)) / 2
        system = np.column_stack([T[:, *upper].T, -target[upper]])
        step = np.linalg.lstsq(system, (scale * target - np.diag(s[:k]))[upper], rcond=None)[0][:-1]
        length, size = np.linalg.norm(step), np.linalg.norm(rho)
        rho = rho + step * min(1.0, 0.3 * size / max(length, 1e-300))
        if length < 1e-13 * size:
            break
    s = np.linalg.svd(np.tensordot(rho, G, 1), compute_uv=False)
    return rho / s[1:k].mean()


@PAPER.proposition("representation", gap=GAP, seeded=False, points=[
    {"k": 8, "n": 48, "r": 1}, {"k": 8, "n": 48, "r": 7}, {"k": 4, "n": 16, "r": 1}, {"k": 4, "n": 16, "r": 3},
])  # fmt: skip
def representation(case: Case) -> Comparison:
    r"""However large the capacity, rank r < rank(delta*) stays above the optimum of full fine-tuning, here by (k-r)/2.

    The k^2 functionals are the entries of the leading k x k block of delta, n x n; lam = 1, y = 2 I_k. Compression to
    that block lowers |delta|_*. With singular values t_i of the block, von Neumann's inequality gives the bound
    sum_i ((t_i - 2)^2/2 + t_i), least at t_i = 1 with 3/2 each, while those that are 0 cost 2: for rank r at least
    3r/2 + 2(k - r), which delta = diag(1, ..., 1, 0, ..., 0) attains. KN = k^2, and rank delta* = k = sqrt(KN).
    """
    if not capacity(case["n"], case["n"], case["r"]) > CAPACITY * case["k"] ** 2:
        raise OutOfScope("the capacity is below 1.35 KN")
    trap = observed_block(case["k"], case["n"])
    return equal(trap.objective(*diagonal(case["n"], case["r"])) - trap.value, flint.fmpq(case["k"] - case["r"], 2))


@representation.control("r = k")
def _(case: Case) -> Comparison:
    trap = observed_block(case["k"], case["n"])
    return at_least(trap.objective(*diagonal(case["n"], case["k"])) - trap.value, flint.fmpq(1, 2))


def diagonal(n: int, r: int) -> tuple[flint.fmpq_mat, flint.fmpq_mat]:
    """Return u = v = [I_r; 0] with n rows."""
    u = flint.fmpq_mat(n, r, [int(i == j) for i in range(n) for j in range(r)])
    return u, u


def observed_block(k: int, n: int) -> ntk.traps.Trap:
    """Return that instance, at its optimum u = v = [I_k; 0]."""
    G = []
    for i in range(k):
        for j in range(k):
            g = flint.fmpq_mat(n, n)
            g[i, j] = 1
            G.append(g)
    y = [flint.fmpq(2 * (i == j)) for i in range(k) for j in range(k)]
    return ntk.traps.Trap(
        "block", "squared", flint.fmpq(1), tuple(G), (flint.fmpq(0),) * k**2, tuple(y), *diagonal(n, k)
    )


@PAPER.proposition("rank-of-the-optimum", loss=("squared", "logistic"), share=(0.02, 0.1))
def rank_of_the_optimum(case: Case) -> Comparison:
    r"""R >= rank(delta*) is what LoRA needs to represent the optimum, and it can be certified: the practical rule.

    Gaussian G, 12 x 12, N = 12, lam = share * lam_max. The solver's factors have the columns of its optimum. Measured:
    what descent with as many columns leaves above the optimum over all ranks, as an enclosure.
    """
    return at_most(excess_of_columns(case, 0), 0)


@rank_of_the_optimum.control("all columns but the largest left out", share=(0.02,), loss=("squared",))
def _(case: Case) -> Comparison:
    return at_most(excess_of_columns(case, 11), 0)


def excess_of_columns(case: Case, fewer: int) -> Enclosure | tuple[float, float]:
    """Return the enclosure of the excess of a Newton descent from the optimum's largest columns, less `fewer`."""
    problem, u, v = solved(case)
    k = max(1, u.shape[1] - fewer)
    return ntk.certify(problem, u, v, rigorous=True).excess(*ntk.polish(problem, [u[:, :k]], [v[:, :k]]))


def solved(case: Case) -> tuple[ntk.LinearizedProblem, Array, Array]:
    """Return a Gaussian problem and the factors of its optimum, the largest column first."""
    rng, N = case.rng, 12
    G, zeros = rng.standard_normal((N, 1, 12, 12)), np.zeros((N, 1))
    labels = rng.standard_normal((N, 1)) if case["loss"] == "squared" else rng.choice([-1, 1], N)
    unit = ntk.LinearizedProblem(G, zeros, labels, case["loss"], 1.0)
    problem = ntk.LinearizedProblem(G, zeros, labels, case["loss"], case["share"] * unit.lam_max)
    ((u, v),) = ntk.solve(problem, gap=1e-10).factors
    order = np.argsort(-(u * u).sum(axis=0))
    return problem, u[:, order], v[:, order]
