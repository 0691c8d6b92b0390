"""Rectangular factor pairs, planted over Q: what Lemma 1 becomes for an attention head.

P_O and P_V are the projections onto range(O) and onto the row space of V, T is the target and E = T - O V. The theorem
and its proof stand in `lora_proofs.constructions.chain.factor_pair`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from flint import fmpq_mat

from lora_proofs import Case, Comparison, at_least, constructions, equal, exact, instances

from .paper import PAPER, residual


class Thresholds(NamedTuple):
    """The three ranks that decide which adapters can be exact."""

    outside_O: int  # rank((I - P_O) T)
    outside_V: int  # rank(T (I - P_V))
    change: int  # rank(T - O V)

    def least_rank_of_error(self, r_V: int, r_O: int) -> int:
        """Return what rank(T - (O + Delta_O)(V + Delta_V)) cannot go below."""
        return max(0, self.outside_O - r_O, self.outside_V - r_V, self.change - r_V - r_O)


def thresholds(V: fmpq_mat, O: fmpq_mat, T: fmpq_mat) -> Thresholds:
    """Return the three ranks; rank((I - P_O) T) = rank [O T] - rank O needs no projection."""
    O_and_T = fmpq_mat([a + b for a, b in zip(O.table(), T.table(), strict=True)])
    V_and_T = fmpq_mat(V.table() + T.table())
    return Thresholds(exact.rank(O_and_T) - exact.rank(O), exact.rank(V_and_T) - exact.rank(V), exact.rank(T - O * V))


def planted_pair(case: Case) -> tuple[fmpq_mat, fmpq_mat, fmpq_mat]:
    """Return V, O and T = (O M + X)(V + Y) with integer M - I, X, Y of the case's ranks, for example ``"1-2-1"``.

    Drawn again until T has full rank, as the theorem supposes.
    """
    rng, (D, d, n) = case.rng, sizes(case["shape"])
    of_M, of_X, of_Y = (min(r, D, d, n) for r in sizes(case["planted"]))
    O = instances.rational_planted_rank(rng, D, d, min(D, d))
    V = instances.rational_planted_rank(rng, d, n, min(d, n))
    T = fmpq_mat(D, n)
    while exact.rank(T) < min(D, d, n):
        M = exact.identity(d) + instances.rational_planted_rank(rng, d, d, of_M)
        X, Y = instances.rational_planted_rank(rng, D, d, of_X), instances.rational_planted_rank(rng, d, n, of_Y)
        T = (O * M + X) * (V + Y)
    return V, O, T


def sizes(text: str) -> list[int]:
    """Read ``"6-3-5"``."""
    return [int(part) for part in text.split("-")]


def least_ranks(needed: Thresholds, d: int) -> list[tuple[int, int]]:
    """Return all minimal pairs of ranks (R_V, R_O) that meet the thresholds."""
    pairs = ((max(needed.outside_V, needed.change - r), r) for r in range(needed.outside_O, d + 1))
    return sorted({r_V: (r_V, r_O) for r_V, r_O in reversed([p for p in pairs if p[0] <= d])}.values())


@PAPER.lemma(
    "1-pair",
    shape=("6-3-5", "7-2-4", "5-4-5", "4-5-3", "6-4-3"),
    planted=("1-1-1", "2-1-0", "1-0-2", "3-2-2"),
    proof=("pair_iff", "pair_counts_are_not_enough"),
)
def pair(case: Case) -> Comparison:
    r"""For O (D x d), V (d x n) of full rank and T = O'V' of rank d there are exact adapters, if three ranks allow.

    (O + \Delta_O)(V + \Delta_V) = T with rank \Delta_V <= R_V, rank \Delta_O <= R_O if and only if
    rank((I - P_O) T) <= R_O, rank(T (I - P_V)) <= R_V and rank(T - OV) <= R_V + R_O. Where d >= max(D, n), this is
    Lemma 1 for L = 2. Checked at every minimal pair (R_V, R_O); that less does not do: lemma-1-pair-necessity.
    """
    return equal(misses(case), 0)


def misses(case: Case, *, less: int = 0, exchanged: bool = False) -> Fraction:
    """Return the largest squared residual at the minimal pairs of ranks, plus the ranks that adapters have too many.

    A control asks for a rank less than there must be in each factor, or takes the target for another one.
    """
    V, O, T = planted_pair(case)
    goal = planted_pair(case)[2] if exchanged else T
    residuals, excess = [], 0
    for ranks in least_ranks(thresholds(V, O, T), V.nrows()):
        adapters = constructions.exact_factor_pair([V, O], T, ranks).adapters
        excess += sum(max(exact.rank(a.delta()) - max(r - less, 0), 0) for a, r in zip(adapters, ranks, strict=True))
        residuals.append(exact.frobenius_norm_squared(residual([V, O], adapters, goal)))
    return max(residuals) + excess


@pair.control("one rank less in each factor", shape=("6-3-5", "4-5-3"), planted=("1-1-1",))
def _(case: Case) -> Comparison:
    return equal(misses(case, less=1), 0)


@pair.control("the adapters of another target", shape=("6-3-5", "4-5-3"), planted=("1-1-1",))
def _(case: Case) -> Comparison:
    return equal(misses(case, exchanged=True), 0)


@PAPER.lemma(
    "1-pair-necessity",
    shape=("6-3-5", "7-2-4", "4-5-3"),
    ranks=("0-1", "1-1", "2-1"),
    sampled=True,
    proof="pair_necessary",
)
def pair_necessity(case: Case) -> Comparison:
    r"""For all adapters rank(T - (O + \Delta_O)(V + \Delta_V)) is at least each of three differences.

    rank((I - P_O) T) - R_O, since (I - P_O)(O + \Delta_O) = (I - P_O) \Delta_O; likewise rank(T (I - P_V)) - R_V; and
    rank(T - OV) - R_V - R_O. Where one is positive no adapters are exact. Here random integer adapters are tried.
    """
    return rank_of_error(case, extra=0)


@pair_necessity.control("a rank more in each factor", shape=("6-3-5",), ranks=("1-1",))
def _(case: Case) -> Comparison:
    return rank_of_error(case, extra=1)


def rank_of_error(case: Case, extra: int) -> Comparison:
    """Compare the rank of the error that adapters of R_V + extra, R_O + extra leave with the least for R_V, R_O.

    The target is R_V + extra, R_O + extra and one rank more away from O V, so that these adapters are near the best.
    """
    rng, (D, d, n) = case.rng, sizes(case["shape"])
    r_V, r_O = sizes(case["ranks"])
    O, V = instances.integers(rng, D, d), instances.integers(rng, d, n)
    on_V = instances.rational_planted_rank(rng, d, n, min(r_V + extra, d, n))
    on_O = instances.rational_planted_rank(rng, D, d, min(r_O + extra, D, d))
    changed = (O + on_O) * (V + on_V)
    T = changed + instances.rational_planted_rank(rng, D, n, 1)
    return at_least(exact.rank(T - changed), thresholds(V, O, T).least_rank_of_error(r_V, r_O))


SQUARE_ONLY = (
    "scope restriction: Lemma 1 needs square non-singular factors; a head of width d < D has none, and filled up with "
    "zeros to D x D its factors are singular"
)


@PAPER.lemma("1-pair-below", t=(2, 3, 5), seeded=False, gap=SQUARE_ONLY)
def pair_below(case: Case) -> Comparison:
    r"""Below the threshold a rectangular pair need not reach \sigma_{2R+1}(E): the least error can be t times as large.

    O = [I; 0], V = [I, 0], d = 2, D = n = 4, R = 1, T = diag(0, 0, t, t): \sigma_3(E) = 1 for E = diag(-1, -1, t, t),
    while every pair of rank-1 adapters has an error of at least \sigma_2((I - P_O) T) = t. Adapters that make the
    product zero have the error \|T\|_2 = t, so that t is the minimum.
    """
    return equal(least_error_on_diagonal(case["t"]), case["t"])


@pair_below.control("sigma_{2R+1}(E), as for square factors")
def _(case: Case) -> Comparison:
    return equal(least_error_on_diagonal(case["t"]), 1)


def least_error_on_diagonal(t: int) -> Fraction:
    """Return the least error of rank-1 adapters for T = diag(0, 0, t, t), once shown from both sides.

    From below, sigma_2(M) = t for M = (I - P_O) T, as M^T M is t^2 times a projection of rank 2. From above, adapters
    with the product 0 and T^T T <= t^2 I.
    """
    O, V = fmpq_mat(4, 2, [1, 0, 0, 1, 0, 0, 0, 0]), fmpq_mat(2, 4, [1, 0, 0, 0, 0, 1, 0, 0])
    T = exact.matrix(np.diag([0, 0, t, t]))
    M = T - O * O.transpose() * T
    gram = M.transpose() * M
    below = gram * gram == t**2 * gram and exact.rank(gram) == 2
    on_O, on_V = fmpq_mat(4, 2, [-1, 0, 0, 0, 0, 0, 0, 0]), fmpq_mat(2, 4, [0, 0, 0, 0, 0, -1, 0, 0])
    zero = exact.is_zero((O + on_O) * (V + on_V)) and exact.rank(on_O) == exact.rank(on_V) == 1
    above = zero and exact.is_positive_semidefinite(t**2 * exact.identity(4) - T.transpose() * T)
    if not (below and above):
        raise ArithmeticError(f"the least error is not {t}")
    return Fraction(t)
