"""Approximation by a Tucker-2 stack: projections, quasi-optimality, unrelated layers, and the start of training."""

from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, at_least, at_most, equal, exact, instances

from .paper import PAPER, Stack, side_by_side, squared


@PAPER.lemma("two-projections", d=(5,), L=(3,), r=(1, 3))
def two_projections(case: Case) -> Comparison:
    r"""For orthogonal projections P, Q: \sum |D_s - P D_s Q|^2 = \sum |(I - P) D_s|^2 + |P D_s (I - Q)|^2.

    So it is at most \sum |(I - P) D_s|^2 + |D_s (I - Q)|^2. With the leading singular vectors of the two unfoldings
    that is the sum of their tails: the truncated higher-order SVD errs by at most sqrt 2 times the best LoTR stack.
    Over Q, with random rational projections.
    """
    return equal(_projected(case, projected=True), 1)


@two_projections.control("D_s in place of P D_s, as in the bound")
def _(case: Case) -> Comparison:
    return equal(_projected(case, projected=False), 1)


def _projected(case: Case, projected: bool) -> Fraction:
    """Return the left side over the right, with P D_s or D_s in its second sum."""
    stack = [instances.integers(case.rng, case["d"], case["d"]) for _ in range(case["L"])]
    P, Q = (_projection(case) for _ in range(2))
    kept = [P * x if projected else x for x in stack]
    rests = [x - P * x for x in stack] + [x - x * Q for x in kept]
    return squared([x - P * x * Q for x in stack]) / fraction(sum(e * e for x in rests for e in x.entries()))


def fraction(x: Any) -> Fraction:
    """Return a rational number of flint as a Fraction."""
    return Fraction(int(x.p), int(x.q))


def _projection(case: Case) -> fmpq_mat:
    basis = exact.block(instances.rational_orthogonal(case.rng, case["d"]), range(case["d"]), range(case["r"]))
    return basis * basis.transpose()


def tails(stack: np.ndarray, r: int) -> tuple[float, float]:
    """Return the sums of the squared singular values beyond r of both unfoldings of an (L, d, d) array."""
    unfoldings = (np.concatenate(list(stack), axis=1), np.concatenate(list(stack.transpose(0, 2, 1)), axis=1))
    first, second = (float(np.sum(np.linalg.svd(x, compute_uv=False)[r:] ** 2)) for x in unfoldings)
    return first, second


def fitted(stack: np.ndarray, r: int, sweeps: int) -> float:
    """Return the squared error of the truncated higher-order SVD, improved by alternating sweeps."""
    Q = np.linalg.svd(np.concatenate(list(stack.transpose(0, 2, 1)), axis=1))[0][:, :r]
    P = np.linalg.svd(np.concatenate(list(stack), axis=1))[0][:, :r]
    for _ in range(sweeps):
        P = np.linalg.svd(np.concatenate(list(stack @ Q), axis=1))[0][:, :r]
        Q = np.linalg.svd(np.concatenate(list(stack.transpose(0, 2, 1) @ P), axis=1))[0][:, :r]
    return float(np.sum((stack - P @ P.T @ stack @ Q @ Q.T) ** 2))


@PAPER.theorem("quasi-optimality", d=(8,), L=(4,), r=(1, 3), sampled=True)
def quasi_optimality(case: Case) -> Comparison:
    """The truncated higher-order SVD has at most the sum of the two tails as squared error; re-derived, in floats."""
    stack = case.rng.standard_normal((case["L"], case["d"], case["d"]))
    return at_most(fitted(stack, case["r"], 0) / sum(tails(stack, case["r"])), 1.0)


@quasi_optimality.control("the larger tail alone, which bounds the best error from below")
def _(case: Case) -> Comparison:
    stack = case.rng.standard_normal((case["L"], case["d"], case["d"]))
    return at_most(fitted(stack, case["r"], 0) / max(tails(stack, case["r"])), 1.0)


@PAPER.theorem("lower-bound", d=(8,), L=(4,), r=(1, 3), sampled=True)
def lower_bound(case: Case) -> Comparison:
    """No LoTR stack of rank r has a squared error below the larger tail of the two unfoldings (Eckart & Young).

    Tried with alternating minimisation, 20 sweeps; in floats.
    """
    stack = case.rng.standard_normal((case["L"], case["d"], case["d"]))
    return at_least(fitted(stack, case["r"], 20) / max(tails(stack, case["r"])), 1.0)


@lower_bound.control("the sum of the tails")
def _(case: Case) -> Comparison:
    stack = case.rng.standard_normal((case["L"], case["d"], case["d"]))
    return at_least(fitted(stack, case["r"], 20) / sum(tails(stack, case["r"])), 1.0)


@PAPER.proposition("unrelated-layers", L=(2, 4), r=(1, 2))
def unrelated_layers(case: Case) -> Comparison:
    """L partial isometries of rank r, orthogonal to each other: LoTR of rank r leaves 1 - 1 / L of the square.

    LoRA of rank r leaves nothing. The lower bound is Eckart & Young's: the first unfolding has L r singular values 1,
    which is checked over Q. The best stack keeps one layer. Measured: the share that keeping one layer leaves.
    """
    return equal(_unrelated(case), 1 - Fraction(1, case["L"]))


@unrelated_layers.control("half of it")
def _(case: Case) -> Comparison:
    return equal(_unrelated(case), Fraction(1, 2) * (1 - Fraction(1, case["L"])))


def _unrelated(case: Case) -> Fraction:
    L, r = case["L"], case["r"]
    U, V = (instances.rational_orthogonal(case.rng, L * r) for _ in range(2))
    parts = [range(s * r, (s + 1) * r) for s in range(L)]
    stack = [exact.block(U, range(L * r), p) * exact.block(V, range(L * r), p).transpose() for p in parts]
    unfolding = side_by_side(stack)
    if unfolding * unfolding.transpose() != exact.identity(L * r):
        raise ArithmeticError("the unfolding's singular values are not all 1")
    kept, _ = exact.full_rank_factorization(stack[0])
    P = kept * (kept.transpose() * kept).inv() * kept.transpose()
    return squared([x - P * x for x in stack]) / (L * r)  # each layer has r singular values 1


@PAPER.proposition("start", d=(4,), L=(3,), r=(2,))
def start(case: Case) -> Comparison:
    r"""With cores 0 and A, B random, as in the official code, the first gradient step moves the cores only.

    For a loss with gradients M_s with respect to Delta_s, the part \sum <M_s, A G_s B^T> is linear in each factor: its
    differences are its derivatives. Counted: entries of the gradients of A and B other than 0, and 1 if those of the
    cores are all 0.
    """
    return equal(_wrongly_moved(case, zero="G"), 0)


@start.control("cores random, A = 0: then they stay")
def _(case: Case) -> Comparison:
    return equal(_wrongly_moved(case, zero="A"), 0)


@start.control("all of them 0: then nothing moves")
def _(case: Case) -> Comparison:
    return equal(_wrongly_moved(case, zero="AG"), 0)


def _wrongly_moved(case: Case, zero: str) -> int:
    of_A, of_B, of_cores = (sum(x != 0 for x in g.entries()) for g in _gradients(*_at_start(case, zero)))
    return of_A + of_B + (of_cores == 0)


def _at_start(case: Case, zero: str) -> tuple[Stack, fmpq_mat, Stack, fmpq_mat]:
    """Return the M_s, A, the cores and B, random but for what is 0."""
    d, L, r = case["d"], case["L"], case["r"]
    A, B = (instances.rational_planted_rank(case.rng, d, r, r) for _ in range(2))
    G, M = ([instances.nonsingular(case.rng, n) for _ in range(L)] for n in (r, d))
    return M, A * int("A" not in zero), [g * int("G" not in zero) for g in G], B


def _gradients(M: Stack, A: fmpq_mat, G: Stack, B: fmpq_mat) -> tuple[fmpq_mat, fmpq_mat, fmpq_mat]:
    """Return the derivatives of sum_s <M_s, A G_s B^T> with respect to A, B and the cores, these below each other."""
    r = A.ncols()

    def value(A: fmpq_mat, B: fmpq_mat, cores: fmpq_mat) -> Any:
        parts = (exact.block(cores, range(s * r, (s + 1) * r), range(r)) for s in range(len(M)))
        pairs = ((m, A * g * B.transpose()) for m, g in zip(M, parts, strict=True))
        return sum((x * y for m, update in pairs for x, y in zip(m.entries(), update.entries(), strict=True)), fmpq(0))

    def slopes(at: fmpq_mat, function: Any) -> fmpq_mat:
        m, n = at.nrows(), at.ncols()
        units = (fmpq_mat(m, n, [int(k == e) for k in range(m * n)]) for e in range(m * n))
        return fmpq_mat(m, n, [function(at + E) - function(at) for E in units])

    cores = fmpq_mat([row for g in G for row in g.table()])
    return (
        slopes(A, lambda A: value(A, B, cores)),
        slopes(B, lambda B: value(A, B, cores)),
        slopes(cores, lambda cores: value(A, B, cores)),
    )
