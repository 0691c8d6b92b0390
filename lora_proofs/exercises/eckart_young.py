"""Exercise 1: the best adapter of one matrix.

Fill in the functions marked ``@hole``, then try ``lora-proofs check eckart_young.py``.
"""

import numpy as np

from lora_proofs import Adapter, Case, Paper, equal
from lora_proofs.homework import hole

PAPER = Paper(
    key="eckart_young",
    title="The approximation of one matrix by another of lower rank",
    authors=("Carl Eckart", "Gale Young"),
    year=1936,
    arxiv="",
)


@hole
def adapter(W, target, r):
    """Return (A, B), of shapes (r, in) and (out, r), such that W + B A is as close to the target as rank r allows."""
    raise NotImplementedError("yours to write")


@hole
def least_rank(W, target, tolerance):
    """Return the least r for which some adapter of rank r has ||W + B A - target||_2 <= tolerance."""
    raise NotImplementedError("yours to write")


@PAPER.theorem("1", out=(5, 8), in_=(6,), r=(1, 3))
def spectral(case: Case):
    r"""For every W and target, the adapter of rank r has \|W + B A - target\|_2 = \sigma_{r+1}(target - W)."""
    residual, s = adapted(case)
    return equal(np.linalg.norm(residual, 2), s[case["r"]])


@PAPER.theorem("2", out=(5, 8), in_=(6,), r=(1, 3))
def frobenius(case: Case):
    r"""The same adapter has \|W + B A - target\|_F^2 = \sum_{i > r} \sigma_i(target - W)^2."""
    residual, s = adapted(case)
    return equal(np.linalg.norm(residual) ** 2, np.sum(s[case["r"] :] ** 2))


@PAPER.corollary("1", n=(6, 9))
def rank_for_a_tolerance(case: Case):
    r"""The least rank that reaches a spectral tolerance is the number of singular values of target - W above it."""
    W, E = case.rng.standard_normal((2, case["n"], case["n"]))
    s = np.linalg.svd(E, compute_uv=False)
    r = int(case.rng.integers(1, case["n"]))
    return equal(int(least_rank(W, W + E, float(s[r - 1 : r + 1].mean()))), r)


def adapted(case: Case):
    """Return W + B A - target for the adapter handed in, and the singular values of target - W."""
    out, in_, r = case["out"], case["in_"], case["r"]
    W, target = case.rng.standard_normal((2, out, in_))
    A, B = adapter(W.copy(), target.copy(), r)
    update = Adapter(np.asarray(A), np.asarray(B))
    if update.rank != r:
        raise ValueError(f"the adapter has rank {update.rank}; rank {r} is wanted")
    return update.merge(W) - target, np.linalg.svd(target - W, compute_uv=False)
