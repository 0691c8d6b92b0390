"""What a Tucker-2 stack represents: ranks, dimension, and how far LoRA's stacks are from it."""

from fractions import Fraction

import numpy as np

from lora_proofs import Case, Comparison, at_most, equal, exact, instances

from .paper import PAPER, Stack, factorize, independent, lotr, side_by_side, squared, transposed
from .parameters import trained


@PAPER.lemma("representation", d=(6,), L=(3, 5), r=(1, 2, 3), proof="shared_factors")
def representation(case: Case) -> Comparison:
    r"""A stack is A G_s B^T of rank r iff its two unfoldings, [Delta_s] and [Delta_s^T], have rank at most r.

    Measured: the squared error of the factors that are read off the unfoldings of a planted stack, plus how much wider
    than r they are. Conversely the unfolding A [G_s B^T] has rank at most r.
    """
    return equal(_representation(case, lotr(case, case["r"])), 0)


@representation.control("independent layers of rank r")
def _(case: Case) -> Comparison:
    return equal(_representation(case, independent(case, case["r"])), 0)


@representation.control("the cores in the order of the layers, backward", r=(2, 3), d=(6,), L=(3, 5))
def _(case: Case) -> Comparison:
    return equal(_representation(case, lotr(case, case["r"]), step=-1), 0)


def _representation(case: Case, stack: Stack, step: int = 1) -> Fraction:
    A, cores, B = factorize(stack)
    cores = cores[::step]
    error = squared([layer - A * G * B.transpose() for layer, G in zip(stack, cores, strict=True)])
    return error + max(A.ncols(), B.ncols()) - min(case["r"], case["d"])


@PAPER.proposition("rank-of-lora-stacks", d=(7,), L=(2, 3, 4), r=(1, 2), proof="lora_stack")
def rank_of_lora_stacks(case: Case) -> Comparison:
    """Independent LoRA layers of rank r need LoTR of rank min(r L, d), for almost all layers: no sharing.

    Over Q at one instance each; r L is an upper bound for all.
    """
    return equal(_ranks_of_unfoldings(_generic(case)), 2 * min(case["r"] * case["L"], case["d"]))


@rank_of_lora_stacks.control("rank r")
def _(case: Case) -> Comparison:
    return equal(_ranks_of_unfoldings(_generic(case)), 2 * case["r"])


def _ranks_of_unfoldings(stack: Stack) -> int:
    """Return the sum of the ranks of both unfoldings."""
    return exact.rank(side_by_side(stack)) + exact.rank(side_by_side(transposed(stack)))


def _generic(case: Case) -> Stack:
    d, r = case["d"], case["r"]
    wide = 10**6  # random integers of this size lie on no proper subvariety that matters, but for odds of 1e-5
    return [
        instances.integers(case.rng, d, r, -wide, wide) * instances.integers(case.rng, r, d, -wide, wide)
        for _ in range(case["L"])
    ]


@PAPER.proposition("layers-have-rank-r", d=(6,), L=(3,), r=(1, 2, 4), sampled=True, proof="shared_factors")
def layers_have_rank_r(case: Case) -> Comparison:
    """Each layer of a LoTR stack of rank r is a LoRA update of rank at most r: LoTR is LoRA with shared factors."""
    return at_most(_largest_rank(case), case["r"])


@layers_have_rank_r.control("rank r - 1")
def _(case: Case) -> Comparison:
    return at_most(_largest_rank(case), case["r"] - 1)


def _largest_rank(case: Case) -> int:
    return max(exact.rank(layer) for layer in lotr(case, case["r"]))


@PAPER.formula("dimension", d=(4, 5), L=(1, 3), r=(1, 2))
def dimension(case: Case) -> Comparison:
    r"""The stacks of rank r have dimension 2 d r + (L - 2) r^2: 2 r^2 fewer than there are parameters.

    (A, G, B) and (A P, P^{-1} G Q^{-T}, B Q) are the same. Measured: the rank of the derivative at an integer point.
    """
    return equal(_tangent_rank(case), trained(case["d"], case["r"], case["L"] - 2))


@dimension.control("all parameters")
def _(case: Case) -> Comparison:
    return equal(_tangent_rank(case), trained(case["d"], case["r"], case["L"]))


def _tangent_rank(case: Case) -> int:
    d, L, r = case["d"], case["L"], case["r"]
    wide = 10**6
    A, B = (np.array(case.rng.integers(-wide, wide, (d, r)), dtype=object) for _ in range(2))
    G = np.array(case.rng.integers(-wide, wide, (L, r, r)), dtype=object)
    rows = []
    for i in range(d):
        for k in range(r):
            E = np.zeros((d, r), dtype=object)
            E[i, k] = 1
            rows += [
                np.concatenate([(E @ g @ B.T).ravel() for g in G]),
                np.concatenate([(A @ g @ E.T).ravel() for g in G]),
            ]
    for s in range(L):
        for k in range(r):
            for m in range(r):
                layers = np.zeros((L, d, d), dtype=object)
                layers[s] = np.outer(A[:, k], B[:, m])
                rows.append(layers.ravel())
    return exact.rank_lower_bound([[int(x) for x in row] for row in rows])
