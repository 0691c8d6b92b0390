"""The paper, and two instances of which the others are made."""

from __future__ import annotations

from dataclasses import replace

import flint

from lora_proofs import Paper, ntk

PAPER = Paper(
    key="park2026rank",
    title="Rethinking the Rank Threshold for LoRA Fine-Tuning",
    authors=("Juneyoung Park",),
    year=2026,
    arxiv="2605.03724v1",
)

CAPACITY = flint.fmpq(135, 100)
"""The constant C* of the abstract, "approximately 1.35 under Gaussian-iid features"."""


def capacity(m: int, n: int, r: int) -> int:
    """Return r(m + n) - r^2, the dimension of the m x n matrices of rank r."""
    return r * (m + n) - r * r


def capacity_ratio(trap: ntk.traps.Trap) -> flint.fmpq:
    """Return the capacity over KN."""
    return flint.fmpq(capacity(*trap.shape, trap.r), trap.N)


def defects(trap: ntk.traps.Trap) -> int:
    """Return how far the point of a trap is from a strict minimum up to the gauge that is not global: 0 if it is one.

    Counted over Q: gradient entries that are not 0, negative curvatures, zero ones in excess of the dimension of the
    gauge orbit; and 1 unless a better point of the same rank is known.
    """
    verdict = ntk.exact_second_order(trap)
    stationary = sum(x != 0 for part in trap.gradient() for x in part.entries())
    negative, zero, _ = verdict.inertia
    return stationary + negative + zero - verdict.gauge + (not trap.is_spurious())


def padded(trap: ntk.traps.Trap, n: int) -> ntk.traps.Trap:
    """Return the instance within n x n matrices, zeros elsewhere: for lam > 0 a strict minimum stays one.

    On the new entries of u and v the Hessian is lam.
    """

    def widen(x: flint.fmpq_mat, columns: int) -> flint.fmpq_mat:
        out = flint.fmpq_mat(n, columns)
        for i in range(x.nrows()):
            for j in range(x.ncols()):
                out[i, j] = x[i, j]
        return out

    u, v = widen(trap.u, trap.r), widen(trap.v, trap.r)
    better = None if trap.better is None else (widen(trap.better[0], trap.r), widen(trap.better[1], trap.r))
    return replace(
        trap, name=f"{trap.name} in {n} x {n}", gradients=tuple(widen(G, n) for G in trap.gradients),
        u=u, v=v, inertia=None, better=better,
    )  # fmt: skip
