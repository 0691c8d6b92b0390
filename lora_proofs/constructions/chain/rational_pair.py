"""Rectangular factor pairs over Q: the theorem of `lora_proofs.constructions.chain.factor_pair`, without rounding."""

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from flint import fmpq_mat

from lora_proofs.constructions.chain.conditioning import EXACT
from lora_proofs.constructions.chain.rational_chain import adapt_rational_chain
from lora_proofs.constructions.chain.square_chain import AdaptedChain
from lora_proofs.exact.adapter import RationalAdapter
from lora_proofs.exact.algebra import divide_right, full_rank_factorization, kernel
from lora_proofs.exact.matrices import Matrix, block, hstack, identity, matrix, vstack
from lora_proofs.linalg import check_list, check_ranks


class _Pair(NamedTuple):
    """The frozen factors V (d, n) and O (D, d), and the target T (D, n) of their product."""

    V: fmpq_mat
    O: fmpq_mat
    T: fmpq_mat


def exact_factor_pair(frozen: Sequence[Matrix], target: Matrix, ranks: int | Sequence[int]) -> AdaptedChain:
    """Return rational adapters of the given ranks with (O + Delta_O)(V + Delta_V) = T, exactly: the theorem over Q.

    Parameters
    ----------
    frozen : list of two matrices, shapes (d, n) and (D, d)
        [V, O], each of full rank: ``fmpq_mat``, or lists of rows of Fractions or integers.
    target : matrix (D, n)
        Of rank d if d <= min(D, n); of any rank if there is no bottleneck, or if T = P_O T P_V.
    ranks : int or two ints
        R, or R_V, R_O.

    Returns
    -------
    AdaptedChain
        ``adapters`` are `RationalAdapter`; ``error`` and ``bound`` are the Fraction 0.

    Raises
    ------
    ValueError
        If the input is malformed, a factor does not have full rank, no exact adapters of these ranks exist (a rank
        condition fails), or the target has too low a rank for the theorem.

    Examples
    --------
    >>> found = exact_factor_pair([[[1, 0]], [[0], [1]]], [[2, 2], [1, 1]], 1)
    >>> on_V, on_O = found.adapters
    >>> on_O.merge([[0], [1]]) * on_V.merge([[1, 0]])
    [2, 2]
    [1, 1]
    """
    pair = _checked(frozen, target)
    (d, n), D = (pair.V.nrows(), pair.V.ncols()), pair.O.nrows()
    on_V, on_O = _adapt(_without_slack(pair), *(min(rank, d) for rank in check_ranks(ranks, 2)))
    adapters = [
        RationalAdapter(A=block(on_V.A, range(on_V.rank), range(n)), B=on_V.B),
        RationalAdapter(A=on_O.A, B=block(on_O.B, range(D), range(on_O.rank))),
    ]
    if adapters[1].merge(pair.O) * adapters[0].merge(pair.V) != pair.T:
        raise ArithmeticError("the adapted product is not the target: please report this instance")
    return AdaptedChain(adapters, error=Fraction(0), bound=Fraction(0), conditioning=EXACT)


def _checked(frozen: Sequence[Matrix], target: Matrix) -> _Pair:
    factors = check_list("frozen", frozen)
    if len(factors) != 2:
        raise ValueError(f"frozen holds {len(factors)} matrices; a factor pair is [V, O], in the order of application")
    V, O, T = matrix(factors[0]), matrix(factors[1]), matrix(target)
    (d, n), D = (V.nrows(), V.ncols()), O.nrows()
    if O.ncols() != d or (T.nrows(), T.ncols()) != (D, n):
        raise ValueError(
            f"V {(d, n)}, O {(D, O.ncols())} and the target {(T.nrows(), T.ncols())} do not fit; "
            "pass V (d, n), O (D, d) and a target (D, n)"
        )
    if V.rank() < min(d, n) or O.rank() < min(D, d):
        raise ValueError("V or O is rank-deficient; pass factors of full rank")
    return _Pair(V, O, T)


def _without_slack(pair: _Pair) -> _Pair:
    """Extend as `factor_pair` does where there is no bottleneck, by unit vectors."""
    V, O, T = pair
    if V.ncols() < V.nrows():
        new = _completion(V)
        V, T = hstack(V, new), hstack(T, O * new)
    if O.nrows() < O.ncols():
        new = _completion(O.transpose()).transpose()
        O, T = vstack(O, new), vstack(T, new * V)
    return _Pair(V, O, T)


def _adapt(pair: _Pair, rank_V: int, rank_O: int) -> tuple[RationalAdapter, RationalAdapter]:
    """Return exact adapters of a pair with d <= min(D, n): Lemma 1's within the frozen factors, else the theorem's."""
    (V, O, T), d = pair, pair.V.nrows()
    outside_O, outside_V, change = hstack(O, T).rank() - d, vstack(V, T).rank() - d, (T - O * V).rank()
    for name, needed, given in (
        ("rank((I - P_O) T)", outside_O, rank_O),
        ("rank(T (I - P_V))", outside_V, rank_V),
        ("rank(T - O V)", change, rank_V + rank_O),
    ):
        if needed > given:
            raise ValueError(f"no exact adapters exist: {name} is {needed}, but the ranks allow {given}")
    if outside_O == outside_V == 0:
        core = divide_right(divide_right(T.transpose(), O.transpose()).transpose(), V)  # T = O core V
        on_V, on_O = adapt_rational_chain([identity(d)] * 2, core, [rank_V, rank_O]).adapters
        return RationalAdapter(A=on_V.A * V, B=on_V.B), RationalAdapter(A=on_O.A, B=O * on_O.B)
    if T.rank() != d:
        raise ValueError(f"the target has rank {T.rank()}; a pair with d = {d} needs a target of rank {d}")
    return _by_theorem(pair, rank_V, rank_O)


def _by_theorem(pair: _Pair, rank_V: int, rank_O: int) -> tuple[RationalAdapter, RationalAdapter]:
    """Return the pair of the proof, O' G and G^{-1} V' with T = O' V', in its letters."""
    (V, O, T), d = pair, pair.V.nrows()
    O1, V1 = full_rank_factorization(T)
    C, F = _common(O, O1)
    Y, H = _common(V1.transpose(), V.transpose())
    # The form m must vanish on the chosen C and Y: C keeps what m kills as long as that lasts, then Y gives way.
    m = Y.transpose() * F - H.transpose() * C
    killed = kernel(m)
    chosen = _first(hstack(killed, _completion(killed)), d - rank_O)
    C, F = C * chosen, F * chosen
    chosen = _first(kernel((m * chosen).transpose()), d - rank_V)
    Y, H = Y * chosen, H * chosen
    G = next(G for G in _completions_of_G(C, F, Y, H) if G.det() != 0)
    B_V, A_V = full_rank_factorization(G.solve(V1) - V)
    B_O, A_O = full_rank_factorization(O1 * G - O)
    return RationalAdapter(A=A_V, B=B_V), RationalAdapter(A=A_O, B=B_O)


def _completions_of_G(*demands: fmpq_mat) -> Iterator[fmpq_mat]:
    """Yield solutions of G C = F, Y^T G = H^T for the demands C, F, Y, H, with small integers in the free corner."""
    C, F, Y, H = demands
    d, t, u = C.nrows(), C.ncols(), Y.ncols()
    C_rest, Y_rest = _completion(C), _completion(Y)
    full_C, full_Y = hstack(C, C_rest), hstack(Y, Y_rest).transpose()
    draw = random.Random(0)
    while True:
        corner = fmpq_mat(d - u, d - t, [draw.randint(-2, 2) for _ in range((d - u) * (d - t))])
        rows = hstack(H.transpose() * C, H.transpose() * C_rest)
        inner = vstack(rows, hstack(Y_rest.transpose() * F, corner))
        yield full_Y.solve(divide_right(inner, full_C))


def _common(matrix: fmpq_mat, injective: fmpq_mat) -> tuple[fmpq_mat, fmpq_mat]:
    """Return C, F with matrix C = injective F, the columns of C a basis of {c : matrix c in range injective}."""
    both, d = kernel(hstack(matrix, -injective)), matrix.ncols()
    columns = range(both.ncols())
    return block(both, range(d), columns), block(both, range(d, d + injective.ncols()), columns)


def _completion(independent: fmpq_mat) -> fmpq_mat:
    """Return unit vectors that complete independent columns to a basis."""
    n, k = independent.nrows(), independent.ncols()
    echelon, _ = hstack(independent, identity(n)).rref()
    pivots = [next(j for j in range(k + n) if echelon[i, j] != 0) - k for i in range(n)]
    return block(identity(n), range(n), [j for j in pivots if j >= 0])


def _first(matrix: fmpq_mat, count: int) -> fmpq_mat:
    """Return the first columns."""
    return block(matrix, range(matrix.nrows()), range(count))
