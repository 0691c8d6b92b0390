r"""Where Theorem 3.1 is tight, where it is not, what it needs, and how many rows the cross-entropy sees."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, equal, exact, instances, ntk
from lora_proofs.exact import inner

from .paper import PAPER
from .planted import on_face
from .variational import sizes


def tight_instance(r: int, lam: int) -> ntk.traps.Trap:
    """Return G_ii = E_ii, G_ij = (E_ij + E_ji)/2, labels 1 + lam and 0, at the identity: KN = r(r+1)/2."""
    G = [exact.diagonal([int(i == j) for j in range(r)]) for i in range(r)]
    for i, j in combinations(range(r), 2):
        g = fmpq_mat(r, r)
        g[i, j] = g[j, i] = fmpq(1, 2)
        G.append(g)
    labels = tuple(fmpq(1 + lam if i < r else 0) for i in range(len(G)))
    eye = exact.identity(r)
    return ntk.traps.Trap("tight", "squared", fmpq(lam), tuple(G), (fmpq(0),) * len(G), labels, eye, eye)


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


def rank_if_unique(trap: ntk.traps.Trap) -> int:
    """Return the rank of the functionals on symmetric matrices, after checking that the identity is stationary."""
    if not all(exact.is_zero(part) for part in trap.gradient()):
        raise ArithmeticError("the identity is no minimiser")
    return exact.rank(on_face(trap, trap.u, trap.v))


@PAPER.theorem("3.1-tight-unregularised", r=(2, 3, 4, 5), proof="theorem31_tight")
def theorem_3_1_tight_unregularised(case: Case) -> Comparison:
    r"""\lambda = 0: with the G of theorem-3.1-tight and target I, every interpolant has rank r.

    The interpolants are I + K with K skew (measured: the dimension of the kernel of A is r(r-1)/2, as that of the
    skew matrices, on which A vanishes), and det(I + K) = \prod (1 + \mu^2) >= 1 over pairs \pm i\mu of eigenvalues of
    K, which is checked on random K and ends the check if it fails.
    """
    r, trap = case["r"], tight_instance(case["r"], 0)
    X = instances.integers(case.rng, r, r)
    K = X - X.transpose()
    point = exact.identity(r) + K
    if any(inner(G, point) != y for G, y in zip(trap.gradients, trap.labels, strict=True)) or point.det() < 1:
        raise ArithmeticError("I + K should interpolate, and not be singular")
    return equal(kernel_dimension(trap), r * (r - 1) // 2)


@theorem_3_1_tight_unregularised.control("one functional fewer")
def _(case: Case) -> Comparison:
    trap = tight_instance(case["r"], 0)
    return equal(kernel_dimension(trap.without(trap.N - 1)), case["r"] * (case["r"] - 1) // 2)


def kernel_dimension(trap: ntk.traps.Trap) -> int:
    """Return the dimension of the kernel of delta -> A(delta)."""
    m, n = trap.shape
    return m * n - exact.rank(fmpq_mat([G.entries() for G in trap.gradients]))


@PAPER.theorem("3.1-loose-unregularised", shape=("4-3-9", "5-5-10", "3-6-6", "3-6-13", "4-4-16"))
def theorem_3_1_loose(case: Case) -> Comparison:
    r"""\lambda = 0, almost every G: any fits are attained at rank r' = \lceil d / max(m, n) \rceil, below \sqrt{2d}.

    Freeze v (n x r', m >= n) or u: A(u v^T) = c is a linear system with r' max(m, n) >= d unknowns, and it is
    solvable for every c if its matrix has rank d, as it has for almost all G and frozen factors once it has at one
    rational point. Measured: the largest rank at three random integer points. (This is LoRA with a frozen factor,
    too. 768 x 768, d = 64: r' = 1.)
    """
    m, n, d = sizes(case["shape"])
    return equal(max(frozen_rank(case, -(-d // max(m, n))) for _ in range(3)), d)


@theorem_3_1_loose.control("a rank less")
def _(case: Case) -> Comparison:
    m, n, d = sizes(case["shape"])
    return equal(frozen_rank(case, -(-d // max(m, n)) - 1), d)


def frozen_rank(case: Case, r: int) -> int:
    """Return the rank of u -> A(u v^T) for random integer G and v, where u belongs to the longer side."""
    m, n, d = sizes(case["shape"])
    if r == 0:
        return 0
    rng = case.rng.spawn(1)[0]  # the point belongs to the method: a wide range makes it generic, on any seed
    frozen = instances.integers(rng, min(m, n), r, -(10**6), 10**6)
    G = (instances.integers(rng, max(m, n), min(m, n), -(10**6), 10**6) for _ in range(d))
    return exact.rank(fmpq_mat([(g * frozen).entries() for g in G]))


@PAPER.formula("no-minimiser", n=(2, 3, 5, 7), seeded=False)
def no_minimiser(case: Case) -> Comparison:
    r"""\lambda = 0 and separable data: the risk has no minimiser, so Theorem 3.1 needs its hypothesis.

    The logistic loss log(1 + e^w) is positive, and tends to 0 where w -> -\infty. On the instance L0_n some \delta of
    rank 1 has all of its slopes -y_k <G_k, \delta> negative (measured: how many are, of n + 1), so along t \delta the
    loss tends to 0, which it never attains. `solve` refuses it. (For \lambda > 0, L >= \lambda|\delta|_*: a minimiser
    exists.)
    """
    trap = ntk.traps.logistic_unregularised(case["n"])
    try:
        ntk.solve(trap.problem())
    except ValueError:
        return equal(falling_rows(trap), trap.N)
    raise ArithmeticError("the solver has found a minimiser, which there is not")


@no_minimiser.control("with the opposite label as well on one datum")
def _(case: Case) -> Comparison:
    trap = ntk.traps.logistic_unregularised(case["n"])
    both = (*trap.gradients, trap.gradients[0]), (*trap.offsets, trap.offsets[0]), (*trap.labels, -trap.labels[0])
    doubled = ntk.traps.Trap("inseparable", "logistic", trap.lam, *both, trap.u, trap.v, None, trap.better)
    return equal(falling_rows(doubled), doubled.N)


def falling_rows(trap: ntk.traps.Trap) -> int:
    """Return the number of data whose margin falls along t delta for the better point delta, of one column."""
    u, v = trap.better if trap.better else (trap.u, trap.v)
    return sum(int(y * (u.transpose() * G * v)[0, 0] > 0) for G, y in zip(trap.gradients, trap.labels, strict=True))


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
