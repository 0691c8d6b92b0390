"""Rectangular factor pairs over Q: the theorem of `lora_proofs.constructions.chain.factor_pair`, without rounding."""

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction

import flint

from lora_proofs.constructions.chain import rational_chain
from lora_proofs.constructions.chain.conditioning import Conditioning
from lora_proofs.constructions.chain.square_chain import AdaptedChain
from lora_proofs.exact import matrices as exact
from lora_proofs.exact.adapter import RationalAdapter
from lora_proofs.exact.matrices import Matrix, block, full_rank_factorization, identity, matrix
from lora_proofs.linalg import check_list, check_ranks


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
    """
    frozen = check_list("frozen", frozen)
    if len(frozen) != 2:
        raise ValueError(f"frozen holds {len(frozen)} matrices; a factor pair is [V, O], in the order of application")
    V, O, T = matrix(frozen[0]), matrix(frozen[1]), matrix(target)
    (d, n), D = (V.nrows(), V.ncols()), O.nrows()
    if O.ncols() != d or (T.nrows(), T.ncols()) != (D, n):
        raise ValueError(
            f"V {(d, n)}, O {(D, O.ncols())} and the target {(T.nrows(), T.ncols())} do not fit; "
            "pass V (d, n), O (D, d) and a target (D, n)"
        )
    if V.rank() < min(d, n) or O.rank() < min(D, d):
        raise ValueError("V or O is rank-deficient; pass factors of full rank")
    r_V, r_O = (min(r, d) for r in check_ranks(ranks, 2))
    on_V, on_O = _adapt_over_Q(*_without_slack_over_Q(V, O, T), r_V, r_O)
    adapters = [
        RationalAdapter(A=_first(on_V.A, n), B=on_V.B),
        RationalAdapter(A=on_O.A, B=block(on_O.B, range(D), range(on_O.rank))),
    ]
    if adapters[1].merge(O) * adapters[0].merge(V) != T:
        raise ArithmeticError("the adapted product is not the target: please report this instance")
    return AdaptedChain(adapters, error=Fraction(0), bound=Fraction(0), conditioning=Conditioning(0.0, 0.0, 0.0, ""))


def _without_slack_over_Q(V: Matrix, O: Matrix, T: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Extend as `_without_slack` does, by unit vectors."""
    if V.ncols() < V.nrows():
        new = _completion(V)
        V, T = _beside(V, new), _beside(T, O * new)
    if O.nrows() < O.ncols():
        new = _completion(O.transpose()).transpose()
        O, T = _above(O, new), _above(T, new * V)
    return V, O, T


def _adapt_over_Q(V: Matrix, O: Matrix, T: Matrix, r_V: int, r_O: int) -> tuple[RationalAdapter, RationalAdapter]:
    """Return exact adapters of a pair with d <= min(D, n): Lemma 1's within the frozen factors, else the theorem's."""
    d = V.nrows()
    outside_O, outside_V, change = _beside(O, T).rank() - d, _above(V, T).rank() - d, (T - O * V).rank()
    for name, needed, given in (
        ("rank((I - P_O) T)", outside_O, r_O),
        ("rank(T (I - P_V))", outside_V, r_V),
        ("rank(T - O V)", change, r_V + r_O),
    ):
        if needed > given:
            raise ValueError(f"no exact adapters exist: {name} is {needed}, but the ranks allow {given}")
    if outside_O == outside_V == 0:
        core = exact.divide_right(exact.divide_right(T.transpose(), O.transpose()).transpose(), V)  # T = O core V
        on_V, on_O = rational_chain.adapt_linear_chain([identity(d)] * 2, core, [r_V, r_O]).adapters
        return RationalAdapter(A=on_V.A * V, B=on_V.B), RationalAdapter(A=on_O.A, B=O * on_O.B)
    if T.rank() != d:
        raise ValueError(f"the target has rank {T.rank()}; a pair with d = {d} needs a target of rank {d}")

    O1, V1 = full_rank_factorization(T)
    C, F = _common_over_Q(O, O1)
    Y, H = _common_over_Q(V1.transpose(), V.transpose())
    m = Y.transpose() * F - H.transpose() * C
    kernel = _kernel(m)
    S = _first(_beside(kernel, _completion(kernel)), d - r_O)
    C, F = C * S, F * S
    S = _first(_kernel((m * S).transpose()), d - r_V)
    Y, H = Y * S, H * S
    G = next(G for G in _completions_of_G(C, F, Y, H) if G.det() != 0)
    B_V, A_V = full_rank_factorization(G.solve(V1) - V)
    B_O, A_O = full_rank_factorization(O1 * G - O)
    return RationalAdapter(A=A_V, B=B_V), RationalAdapter(A=A_O, B=B_O)


def _completions_of_G(C: Matrix, F: Matrix, Y: Matrix, H: Matrix) -> Iterator[Matrix]:
    """Yield solutions of G C = F, Y^T G = H^T, with small integers in the free corner."""
    d, t, u = C.nrows(), C.ncols(), Y.ncols()
    C_, Y_ = _completion(C), _completion(Y)
    full_C, full_Y = _beside(C, C_), _beside(Y, Y_).transpose()
    draw = random.Random(0)
    while True:
        corner = flint.fmpq_mat(d - u, d - t, [draw.randint(-2, 2) for _ in range((d - u) * (d - t))])
        rows = _beside(H.transpose() * C, H.transpose() * C_)
        inner = _above(rows, _beside(Y_.transpose() * F, corner))
        yield full_Y.solve(exact.divide_right(inner, full_C))


def _common_over_Q(X: Matrix, X1: Matrix) -> tuple[Matrix, Matrix]:
    """Return C, F with X C = X1 F, the columns of C a basis of {c : X c in range X1}, for an injective X1."""
    both, d = _kernel(_beside(X, -X1)), X.ncols()
    columns = range(both.ncols())
    return block(both, range(d), columns), block(both, range(d, d + X1.ncols()), columns)


def _kernel(x: Matrix) -> Matrix:
    """Return a basis of {y : x y = 0} as columns."""
    basis, nullity = x.numer_denom()[0].nullspace()
    return block(flint.fmpq_mat(basis), range(x.ncols()), range(nullity))


def _completion(x: Matrix) -> Matrix:
    """Return unit vectors that complete the independent columns of x to a basis."""
    n, k = x.nrows(), x.ncols()
    echelon, _ = _beside(x, identity(n)).rref()
    pivots = [next(j for j in range(k + n) if echelon[i, j] != 0) - k for i in range(n)]
    new = [j for j in pivots if j >= 0]
    return flint.fmpq_mat(n, len(new), [int(i == j) for i in range(n) for j in new])


def _first(x: Matrix, k: int) -> Matrix:
    """Return the first k columns of x."""
    return block(x, range(x.nrows()), range(k))


def _beside(x: Matrix, y: Matrix) -> Matrix:
    entries = [v for left, right in zip(x.table(), y.table(), strict=True) for v in left + right]
    return flint.fmpq_mat(x.nrows(), x.ncols() + y.ncols(), entries)


def _above(x: Matrix, y: Matrix) -> Matrix:
    return flint.fmpq_mat(x.nrows() + y.nrows(), x.ncols(), x.entries() + y.entries())
