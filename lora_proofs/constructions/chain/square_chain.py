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

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from lora_proofs.adapters import Adapter
from lora_proofs.constructions.chain.conditioning import Conditioning, measure_conditioning
from lora_proofs.constructions.chain.dual_bases import DualBases, splits
from lora_proofs.constructions.chain.long_product import is_doubtful, long_difference
from lora_proofs.constructions.chain.operators import DIRECT, LU, norm, operator_norm, product_norm
from lora_proofs.constructions.chain.partial_svd import is_worthwhile, partial_svd, rounded_product
from lora_proofs.constructions.chain.scaling import balanced
from lora_proofs.display import Readable, show
from lora_proofs.linalg import (
    Array,
    NotFiniteError,
    chain_product,
    check_list,
    check_matrix,
    check_one_kind,
    check_ranks,
    floats,
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

_ACCEPTABLE = (1e-8, 1e-3)
"""Shares of the best possible reach of the later layers below which the next, less economical basis is tried. The
second one is for targets that the first one serves ill; the better result is kept."""

_ENOUGH = 100
"""An error this close to the bound, in multiples of the rounding of the product, needs no second try."""

_FULL_RANK = 1e3
"""An estimate of sigma_min(E) this far above rounding spares the SVD of E where the ranks sum to D."""

_A_DIGIT = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class AdaptedChain(Readable):
    """The result of `adapt_linear_chain` and its relatives.

    Attributes
    ----------
    adapters : list of Adapter (over Q, of `exact.RationalAdapter`)
        One a layer, of rank at most R_l; rank 0 for a layer that needs no update.
    error : float or mpf
        ||prod (W_l + Delta_l) - target||_2, computed from the adapters as returned, merged and multiplied layer by
        layer in their own arithmetic; in more digits where ``conditioning.merging`` says that this would hide it.
        Beyond 128 rows by an iteration that stops where a product's own rounding begins.
    bound : float or mpf
        The Eckart-Young value sigma_{R_1 + ... + R_L + 1}(target - Pi): no adapters of these ranks do better. For a
        rectangular pair a lower bound that is at least as large, and that the best adapters need not meet.
    conditioning : Conditioning
    tail : (float, float) or None
        Where only a part of the SVD was computed (see `partial_svd`): bounds of that singular value that hold in spite
        of rounding; ``bound`` is the lower one. Otherwise None.
    """

    adapters: list[Any]
    error: Any
    bound: Any
    conditioning: Conditioning
    tail: tuple[float, float] | None = None

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        rows = {"ranks": show([adapter.rank for adapter in self.adapters])}
        rows["conditioning"], _ = self.conditioning.summary()
        return f"error {show(self.error)}, bound {show(self.bound)}", rows


class _Chain(NamedTuple):
    """The frozen matrices, the factorisations of W_2, ..., W_L, and the target."""

    frozen: list[Array]
    factors: list[LU]
    target: Array

    def solve_back(self, layer: int, columns: Array) -> Array:
        """Return S_l^{-1} columns, layer by layer: the product S_l would be far worse conditioned than its factors."""
        return reduce(lambda Y, lu: lu.solve(Y), reversed(self.factors[layer:]), columns)

    def carry(self, layer: int, columns: Array) -> Array:
        """Return S_l columns."""
        return reduce(lambda Y, W: W @ Y, self.frozen[layer + 1 :], columns)

    def bases(self, directions: Array | None, budget: Sequence[int]) -> DualBases:
        """Return directions (None: all unit vectors), its own dual, and its images under S_L^{-1} T, ..., S_1^{-1} T.

        Without a choice of directions to make, T directions is the only image.
        """
        image = self.target if directions is None else self.target @ directions
        directions = like(self.target, np.eye(image.shape[0])) if directions is None else directions
        if next((r for r in budget if r), 0) >= directions.shape[1]:
            return DualBases(directions, directions, (image,))
        return DualBases(
            directions, directions, tuple(accumulate(reversed(self.factors), lambda Y, lu: lu.solve(Y), initial=image))
        )


class _State(NamedTuple):
    """P_l, None for the identity, and the directions that are left."""

    P: LU | None
    bases: DualBases

    def apply(self, columns: Array) -> Array:
        """Return P_l times the columns."""
        return columns if self.P is None else self.P.x @ columns

    def precede(self, rows: Array) -> Array:
        """Return the rows times P_l."""
        return rows if self.P is None else rows @ self.P.x


def adapt_square_chain(frozen: Sequence[Array], target: Array, ranks: int | Sequence[int]) -> AdaptedChain:
    """Do what `lora_proofs.constructions.adapt_linear_chain` says, for square matrices."""
    given, goal = _checked(frozen, target)
    budget = check_ranks(ranks, len(given))
    try:
        return _adapted(given, goal, budget)
    except NotFiniteError:
        raise ValueError(
            "the chain is too ill-conditioned for this arithmetic: its adapters overflow; pass the matrices through "
            "precision.lift, or as rationals to exact.adapt_linear_chain"
        ) from None


def _adapted(given: list[Array], goal: Array, budget: list[int]) -> AdaptedChain:
    """Return the chain for valid input, or raise NotFiniteError where numbers overflow."""
    units = balanced(given, goal)
    chain = _factorised(*units.divide(given, goal))
    Pi, rounding = rounded_product(chain.frozen)
    E = chain.target - Pi
    noise = 2 * E.shape[0] * unit_roundoff(E) * max(norm(Pi, _A_DIGIT), norm(chain.target, _A_DIGIT))
    del Pi
    missing = _missing(E, sum(budget), noise, rounding)
    adapters, error = _attempt(chain, budget, E, missing, _ACCEPTABLE[0], noise)
    if error - missing.bound > _ENOUGH * noise:
        with suppress(NotFiniteError):
            second = _attempt(chain, budget, E, missing, _ACCEPTABLE[1], noise)
            adapters, error = min((adapters, error), second, key=itemgetter(1))
    conditioning = measure_conditioning(chain.frozen, adapters, chain.target, units.layers)
    if is_doubtful(conditioning.merging, E):
        error = norm(long_difference(chain.frozen, adapters, chain.target))
    conditioning = conditioning.after(float(error - missing.bound), chain.target)
    bound, tail = units.target(missing.bound), missing.tail and _outward(*map(units.target, missing.tail))
    return AdaptedChain(units.adapters(adapters), units.target(error), tail[0] if tail else bound, conditioning, tail)


def _outward(lower: float, upper: float) -> tuple[float, float]:
    """Return the ends moved by a rounding, such as a subnormal number suffers in its change of units."""
    return max(0.0, float(np.nextafter(lower, -np.inf))), float(np.nextafter(upper, np.inf))


def _attempt(
    chain: "_Chain", budget: list[int], change: Array, missing: "_Missing", share: float, noise: Any
) -> tuple[list[Adapter], Any]:
    """Spend the missing directions layer by layer; return the adapters, and the error of their product."""
    state = _State(None, chain.bases(missing.V, budget))
    adapters: list[Adapter] = []
    changes: list[tuple[Array, Array]] = []
    for layer, r in enumerate(budget):
        before = state
        adapter, state = _spend(chain, layer, min(r, before.bases.size), before, share)
        adapters.append(adapter)
        if missing.tail:
            changes.append((chain.carry(layer, adapter.B), before.precede(adapter.A)))
        state = state._replace(bases=state.bases.onward())
    if missing.tail:  # prod F_l - target = sum_l S_l Delta_l P_{l-1} - E needs no product of square matrices
        xp = namespace(change)
        del before, state
        difference = xp.concat([B for B, _ in changes], axis=1) @ xp.concat([A for _, A in changes], axis=0) - change
    else:
        difference = before.precede(adapters[-1].merge(chain.frozen[-1])) - chain.target
    return adapters, norm(difference, atol=float(noise) / 10, guess=missing.guess)


def _checked(frozen: Sequence[Array], target: Array) -> tuple[list[Array], Array]:
    """Return the matrices, or say what is wrong with them."""
    frozen = [check_matrix(f"frozen[{i}] (W_{i + 1})", W) for i, W in enumerate(check_list("frozen", frozen))]
    if not frozen:
        raise ValueError("frozen is empty; pass a list of at least one weight matrix")
    D = frozen[0].shape[0]
    if D == 0:
        raise ValueError(
            f"frozen[0] (W_1) has shape {tuple(frozen[0].shape)}; pass square matrices with at least one row"
        )
    for i, W in enumerate(frozen):
        check_matrix(f"frozen[{i}] (W_{i + 1})", W, (D, D))
    target = check_matrix("target", target, (D, D))
    if any(is_object(x) and not hasattr(x[0, 0], "_mpf_") for x in (target, *frozen)):
        raise ValueError("a matrix is rational; pass all of them to lora_proofs.exact.adapt_linear_chain")
    check_one_kind(target=target, **{f"W_{i}": W for i, W in enumerate(frozen, start=1)})
    return frozen, target


def _factorised(frozen: list[Array], target: Array) -> _Chain:
    """Return the chain with W_2, ..., W_L factorised, or say which of them is singular."""
    factors = [LU(W) for W in frozen[1:]]
    for i, lu in enumerate(factors, start=1):
        if lu.singular:
            raise ValueError(
                f"frozen[{i}] (W_{i + 1}) is singular to working precision; Lemma 1 needs W_2, ..., W_L to be "
                "non-singular: pass others, or all matrices through precision.lift or to exact.adapt_linear_chain"
            )
    return _Chain(frozen, factors, target)


class _Missing(NamedTuple):
    """An orthonormal basis of the directions of E to spend (None: all), sigma_{rank+1}(E), and what is known of it."""

    V: Array | None
    bound: Any
    tail: tuple[float, float] | None = None
    guess: Array | None = None


def _missing(difference: Array, rank: int, noise: Any, rounding: float) -> _Missing:
    """Find the directions in which the product misses the target, by as little of the SVD as will do."""
    D, xp = difference.shape[0], namespace(difference)
    if rank >= D > DIRECT and not is_object(difference) and LU(difference).smallest > _FULL_RANK * noise:
        return _Missing(None, 0.0)
    if is_worthwhile(difference, rank):
        part = partial_svd(difference, rank)
        if part is not None:
            spent = sum(1 for sigma in part.values if sigma > noise)
            tail = (max(0.0, part.lower - rounding), part.upper + rounding)
            return _Missing(part.V[:, :spent], tail[0], tail, part.next)
    _, s, Vt = svd(difference, full_matrices=False)
    spent = min(rank, sum(1 for sigma in s if sigma > noise))
    return _Missing(xp.matrix_transpose(Vt[:spent, :]), scalar(s[rank] if rank < D else 0 * s[0]))


def _spend(chain: _Chain, layer: int, rank: int, state: _State, share: float) -> tuple[Adapter, _State]:
    """Spend so many of the directions that are left on one layer; return its adapter, and the state after it."""
    W, bases = chain.frozen[layer], state.bases
    if rank == 0:
        nothing = Adapter.zero(W.shape[0], W.shape[1], like=W)
        return nothing, state._replace(P=_product(chain, layer, nothing, state))
    if rank == bases.size:
        return _step(chain, layer, state, *bases.halves(rank))
    best, best_reach = None, -1.0
    for first, rest in splits(bases, rank, lambda V: W @ state.apply(V)):
        step = _step(chain, layer, state, first, rest)
        reach = _reach(step[1])
        if reach > best_reach:
            best, best_reach = step, reach
        if best_reach > share * _ideal_reach(W, state, rest.size, best_reach, share):
            break
    if best is None or (best_reach == 0 and is_singular(chain.frozen[0])):
        raise ValueError(
            f"W_1 is too singular to be repaired by an adapter of rank {rank} in layer {layer + 1}: to working "
            "precision the later layers cannot reach the target; pass a larger rank for layer 1, or a non-singular W_1"
        )
    return best


def _step(chain: _Chain, layer: int, state: _State, first: DualBases, rest: DualBases) -> tuple[Adapter, _State]:
    """Spend the first directions V_l, N_l: B = S_l^{-1} target V_l - W_l P_{l-1} V_l, A P_{l-1} = N_l^T."""
    W = chain.frozen[layer]
    rows = namespace(W).matrix_transpose(first.N)
    adapter = Adapter(
        A=rows + 0 if state.P is None else state.P.divide_right(rows),
        B=chain.solve_back(layer, first.images[0]) - W @ state.apply(first.V),
    )
    return adapter, _State(_product(chain, layer, adapter, state), rest)


def _product(chain: _Chain, layer: int, adapter: Adapter, state: _State) -> LU | None:
    """Return P_l = F_l P_{l-1}, which the last layer has no use for."""
    if layer == len(chain.frozen) - 1:
        return None
    W = chain.frozen[layer]
    return LU(state.precede(adapter.merge(W) if adapter.rank else W))


def _reach(state: _State) -> float:
    """Return 1 / ||N^T P^{-1}||, or 0 if some row of N^T is no combination of the rows of P."""
    if state.P is None:
        return 1.0
    xp = namespace(state.P.x)
    P, N = state.P if not is_object(state.P.x) else LU(floats(state.P.x)), floats(state.bases.N)
    if min(N.shape) > DIRECT and not P.singular:
        return 1 / operator_norm(
            lambda y: xp.matrix_transpose(N) @ P.solve(y),
            lambda y: P.solve_transposed(N @ y),
            N[:, :1],
            _A_DIGIT,
        )
    rows = namespace(N).matrix_transpose(N)
    A = P.divide_right(rows)
    if P.singular and spectral_norm(A @ P.x - rows) > 1e-6 * spectral_norm(rows):
        return 0.0
    return float(1 / spectral_norm(A))


def _ideal_reach(weight: Array, state: _State, left: int, reach: float, share: float) -> float:
    """Return what `_reach` would be if the left directions were those in which the frozen layers are largest.

    That is sigma_left(W P V), and only asked for if ||W P V|| does not show already that the reach is good enough.
    """
    factors = [floats(x) for x in (weight, None if state.P is None else state.P.x, state.bases.V) if x is not None]
    if reach > 2 * share * product_norm(factors, _A_DIGIT):
        return 0.0
    return float(singular_values(chain_product(factors[::-1]))[left - 1])
