r"""Adapters that turn a product of frozen matrices into a target matrix (Zeng & Lee, Lemma 1, arXiv 2310.17513v3).

Write Pi = W_L ... W_1, E = target - Pi, S_l = W_L ... W_{l+1}, and P_l for the product of the first l adapted layers.
Take dual bases V, N (N^T V = I) of the directions that E does not kill, and spend R_l columns of them in layer l:

    Delta_l = (S_l^{-1} E V_l) (N_l^T P_{l-1}^{-1})    keeps    S_l P_l = Pi + E V_{1..l} N_{1..l}^T,

which is the target once all columns are spent. The paper takes V = N from the SVD of E, the largest singular value
first. Any basis does, and here it is chosen layer by layer: among the directions that are left, those in which
S_l^{-1} target is smallest. No S_l is ever formed, and S_l^{-1} meets its bad directions last, when it is short. At
D = 64, L = 8 this makes the difference between errors of 1e+2 and 1e-10 in float64.

Where the orthogonal choice V = N meets a singular P_l (as it must for a skew target and R = 1), V and N are chosen
apart. So the paper's assumption that Pi + LR_r(E) be non-singular is not needed, and W_1 may be singular as well, as
long as the first adapter can repair it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import device

from lora_proofs.adapters import Adapter
from lora_proofs.linalg import (
    Array,
    chain_product,
    check_matrix,
    check_one_kind,
    check_ranks,
    divide_right,
    floats,
    inverse_transpose,
    is_object,
    is_singular,
    like,
    namespace,
    scalar,
    singular_values,
    spectral_norm,
    svd,
    unit_roundoff,
)

_ACCEPTABLE = 1e-8
"""Share of the best possible reach of the later layers below which the next, less economical basis is tried."""

_RANDOM_BASES = 8
"""Tries of a random basis. Almost every basis works where any does, so in exact arithmetic one would be enough; of
eight, one is also well conditioned."""

_TOLERABLE = 1e-6
"""Relative error from which on a result carries a warning."""


@dataclass(frozen=True)
class Conditioning:
    """How well the adapters can be stored and multiplied back in the arithmetic that they are returned in.

    Attributes
    ----------
    amplification : float
        max_l ||F_L ... F_{l+1} B_l|| ||A_l|| ||P_{l-1}|| / ||target||, with F_l the adapted layers: to first order, the
        relative change of the product for a relative change of one factor.
    rounding : float
        amplification * unit roundoff: what rounding the adapters may cost, whatever algorithm found them.
    largest_update : float
        max_l ||Delta_l||.
    warning : str
        Empty, or a sentence: rounding may cost, or has cost, more than 1e-6 of the target, and what to do.
    """

    amplification: float
    rounding: float
    largest_update: float
    warning: str


@dataclass(frozen=True, eq=False)
class AdaptedChain:
    """The result of `adapt_linear_chain` and its relatives.

    Attributes
    ----------
    adapters : list of Adapter (over Q, of `exact.RationalAdapter`)
        One a layer, of rank at most R_l; rank 0 for a layer that needs no update.
    error : float or mpf
        ||prod (W_l + Delta_l) - target||_2, computed from the adapters as returned.
    bound : float or mpf
        The Eckart-Young value sigma_{R_1 + ... + R_L + 1}(target - Pi): no adapters of these ranks do better. For a
        rectangular pair a lower bound that is at least as large, and that the best adapters need not meet.
    conditioning : Conditioning
    """

    adapters: list[Any]
    error: Any
    bound: Any
    conditioning: Conditioning


def adapt_square_chain(frozen: Sequence[Array], target: Array, ranks: int | Sequence[int]) -> AdaptedChain:
    """Do what `lora_proofs.constructions.adapt_linear_chain` says, for square matrices."""
    frozen = _checked(frozen, target)
    budget = check_ranks(ranks, len(frozen))
    D, xp = target.shape[0], namespace(target)
    Pi = chain_product(frozen)
    _, s, Vt = svd(target - Pi, full_matrices=False)
    noise = 2 * D * unit_roundoff(target) * max(spectral_norm(Pi), spectral_norm(target))
    spent = min(sum(budget), sum(1 for sigma in s if sigma > noise))

    V = N = xp.matrix_transpose(Vt[:spent, :])
    P = xp.eye(D, dtype=target.dtype, device=device(target))
    adapters = []
    for layer, r in enumerate(budget):
        adapter, P, V, N = _spend(frozen, target, layer, min(r, V.shape[1]), P, V, N)
        adapters.append(adapter)
    error, bound = spectral_norm(P - target), scalar(s[sum(budget)] if sum(budget) < D else 0 * s[0])
    return AdaptedChain(adapters, error, bound, measure_conditioning(frozen, adapters, target, float(error - bound)))


def _checked(frozen: Sequence[Array], target: Array) -> list[Array]:
    """Return the frozen matrices as a list of arrays, or say what is wrong with them or with the target."""
    frozen = [check_matrix(f"frozen[{i}] (W_{i + 1})", W) for i, W in enumerate(frozen)]
    if not frozen:
        raise ValueError("frozen is empty; pass a list of at least one weight matrix")
    D = frozen[0].shape[0]
    if D == 0:
        raise ValueError("frozen[0] (W_1) has shape (0, 0); pass square matrices with at least one row")
    for i, W in enumerate(frozen):
        check_matrix(f"frozen[{i}] (W_{i + 1})", W, (D, D))
    check_matrix("target", target, (D, D))
    if any(is_object(x) and not hasattr(x[0, 0], "_mpf_") for x in (target, *frozen)):
        raise ValueError("a matrix is rational; pass all of them to lora_proofs.exact.adapt_linear_chain")
    check_one_kind(target=target, **{f"W_{i}": W for i, W in enumerate(frozen, start=1)})
    for i, W in enumerate(frozen[1:], start=1):
        if is_singular(W):
            raise ValueError(f"frozen[{i}] (W_{i + 1}) is singular; Lemma 1 needs W_2, ..., W_L to be non-singular")
    return frozen


Step: TypeAlias = tuple[Adapter, Array, Array, Array]


def _spend(frozen: Sequence[Array], target: Array, layer: int, r: int, P: Array, V: Array, N: Array) -> Step:
    """Spend r columns of the dual bases V, N on one layer: return its adapter, the new P, and what is left of V, N."""
    W, left = frozen[layer], V.shape[1] - r
    if r == 0:
        return Adapter.zero(W.shape[0], W.shape[1], like=W), W @ P, V, N
    best, best_reach = None, -1.0
    for G in _bases(frozen, target, layer, P, V, r):
        step = _step(frozen, target, layer, r, P, V @ G, N @ inverse_transpose(G))
        reach = _reach(step[3], step[1]) if left else 1.0
        if reach > best_reach:
            best, best_reach = step, reach
        if best_reach > _ACCEPTABLE * _ideal_reach(W @ P @ V, left):
            break
    if best is None or (best_reach == 0 and is_singular(frozen[0])):
        raise ValueError(
            f"W_1 is too singular to be repaired by an adapter of rank {r} in layer {layer + 1}: "
            "the later layers cannot reach the target; pass a larger rank for layer 1, or a non-singular W_1"
        )
    return best


def _step(frozen: Sequence[Array], target: Array, layer: int, r: int, P: Array, V: Array, N: Array) -> Step:
    """Spend the first r columns of V and N: B = S_l^{-1} target V_l - W_l P_{l-1} V_l, A P_{l-1} = N_l^T."""
    W, K = frozen[layer], V[:, :r]
    B = _solve_back(frozen, layer, target @ K) - W @ (P @ K)
    adapter = Adapter(A=divide_right(namespace(W).matrix_transpose(N[:, :r]), P), B=B)
    return adapter, adapter.merge(W) @ P, V[:, r:], N[:, r:]


def _solve_back(frozen: Sequence[Array], layer: int, Y: Array) -> Array:
    """Return S_l^{-1} Y, one layer at a time: the product S_l would be far worse conditioned than its factors."""
    for W in reversed(frozen[layer + 1 :]):
        Y = namespace(W).linalg.solve(W, Y)
    return Y


def _bases(frozen: Sequence[Array], target: Array, layer: int, P: Array, V: Array, r: int) -> Iterator[Array]:
    """Yield matrices G: the columns of V G are a basis to spend, best first; the later are for degenerate cases."""
    xp = namespace(target)
    q = V.shape[1]
    if r == q:
        yield like(target, np.eye(q))  # the last columns: nothing to choose
        return
    grows = _right_singular_vectors(_solve_back(frozen, layer, target @ V))
    yield grows
    keeps = _right_singular_vectors(frozen[layer] @ (P @ V))
    mixed = xp.concat([grows[:, :r], keeps[:, r:]], axis=1)
    if not is_singular(mixed):
        yield mixed
    rng = np.random.default_rng(0)
    for _ in range(_RANDOM_BASES):
        yield like(target, rng.standard_normal((q, q)))


def _right_singular_vectors(x: Array) -> Array:
    """Return the right singular vectors of x as columns, the one of the smallest singular value first.

    They only choose a basis, so double precision is enough for an mpf matrix too.
    """
    work = floats(x)
    xp = namespace(work)
    return like(x, xp.flip(xp.matrix_transpose(svd(work)[2]), axis=1))


def _reach(N: Array, P: Array) -> float:
    """Return 1 / ||N^T P^{-1}||, or 0 if some row of N^T is no combination of the rows of P."""
    rows, P = namespace(N).matrix_transpose(floats(N)), floats(P)
    A = divide_right(rows, P)
    lost = spectral_norm(A @ P - rows) > 1e-6 * spectral_norm(rows)
    return 0.0 if lost else 1 / spectral_norm(A)


def _ideal_reach(WPV: Array, left: int) -> float:
    """Return what `_reach` would be if the left directions were those in which the frozen layers are largest."""
    return float(singular_values(floats(WPV))[left - 1]) if left else 0.0


def measure_conditioning(
    frozen: Sequence[Array], adapters: Sequence[Adapter], target: Array, excess: float
) -> Conditioning:
    """Return the `Conditioning` of adapters whose product misses the best possible error by the excess."""
    layers = [floats(a.merge(W)) for W, a in zip(frozen, adapters, strict=True)]
    first, last = (like(layers[0], np.eye(n)) for n in (layers[0].shape[1], layers[-1].shape[0]))
    before = list(accumulate(layers[:-1], lambda P, F: F @ P, initial=first))
    after = list(accumulate(reversed(layers[1:]), lambda S, F: S @ F, initial=last))[::-1]
    size = spectral_norm(floats(target)) or 1.0
    amplification = max(
        spectral_norm(S @ floats(a.B)) * spectral_norm(floats(a.A)) * spectral_norm(P) / size
        for S, a, P in zip(after, adapters, before, strict=True)
    )
    rounding = amplification * float(unit_roundoff(target))
    cost = max(rounding, excess / size)
    return Conditioning(
        amplification=amplification,
        rounding=rounding,
        largest_update=max(spectral_norm(floats(a.delta())) for a in adapters),
        warning=""
        if cost < _TOLERABLE
        else f"rounding costs {cost:.0e} of the target in this arithmetic: pass the matrices through precision.lift, "
        "or as rationals to exact.adapt_linear_chain",
    )
