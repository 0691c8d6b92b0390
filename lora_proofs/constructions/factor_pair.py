r"""Adapters for a product of two rectangular factors, such as an attention head (after Zeng & Lee, Lemma 1).

A frozen pair V (d, n), O (D, d) with d < min(D, n) is a bottleneck: Lemma 1 (arXiv 2310.17513v3) has square factors,
and its equality is lost. With T the target, E = T - O V, P_O the projection onto range(O) and P_V the one onto the row
space of V, every pair of adapters of ranks R_V and R_O has an error of at least

    max( sigma_{R_V+R_O+1}(E), sigma_{R_O+1}((I - P_O) T), sigma_{R_V+1}(T (I - P_V)), sigma_{d+1}(T) ):

the second because (I - P_O)(O + Delta_O) = (I - P_O) Delta_O has rank R_O at most; the third is its transpose. Whether
some pair is exact is decided by this bound. Let O, V have full rank and rank T = d.

**Theorem.** Exact adapters exist if and only if rank((I - P_O) T) <= R_O, rank(T (I - P_V)) <= R_V and
rank E <= R_V + R_O.

*Proof.* Write T = O' V'. All exact pairs are O' G, G^{-1} V' with G invertible, so rank(O' G - O) <= R_O and
rank(V' - G V) <= R_V are needed. That is, G C = F with O C = O' F for some C of d - R_O independent columns, and
Y^T G = H^T with V'^T Y = V^T H for some Y of d - R_V. Such C lie in {c : O c in range O'}, of dimension
p = d - rank((I - P_O) T), such Y in a space of dimension q = d - rank(T (I - P_V)). The two demands on G agree if and
only if Y^T F = H^T C, that is, if the q x p form m = Y^T F - H^T C of the two whole spaces vanishes on the chosen
ones. These exist if and only if (d - R_O) + (d - R_V) <= p + q - rank m, and rank E = 2 d - p - q + rank m, since
E = [O' O] [V'; -V]. What is left of G is a free R_V x R_O corner; F and H have full column rank, so almost every
corner makes G invertible.

Below these ranks the bound need not be met. T = diag(0, 0, 2, 2), O = [I; 0], V = [I 0] has sigma_3(E) = 1, but rank-1
adapters leave an error of 2; and there are Gaussian pairs where no search came closer than 1.07 times the bound.
"""

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import flint
import numpy as np

from lora_proofs import exact
from lora_proofs.adapters import Adapter
from lora_proofs.constructions import rational
from lora_proofs.constructions.linear_chain import AdaptedChain, Conditioning, adapt_linear_chain
from lora_proofs.exact import Matrix, RationalAdapter, block, full_rank_factorization, identity, matrix
from lora_proofs.linalg import (
    Array,
    check_matrix,
    check_ranks,
    divide_right,
    floats,
    frobenius_norm,
    like,
    namespace,
    numerical_rank,
    scalar,
    singular_values,
    spectral_norm,
    unit_roundoff,
)

_CORNERS = 8
"""Random completions of G beside the two that keep G near the frozen factors. Almost every one is invertible; of
eight, one is also well conditioned."""

_CUTS = (1e-12, 1e-8, 1e-4)
"""Relative sizes below which what breaks a rank condition is tried as noise, after rounding itself: a target that is
nearly representable is then answered by the adapters of its neighbour."""

_SWEEPS = 500
_STALLED = 1e-3
"""Relative decrease of the Frobenius error in a sweep below which alternating regression stops."""


class _Pair(NamedTuple):
    """The updates of V and O."""

    V: Adapter
    O: Adapter


def adapt_factor_pair(frozen: Sequence[Array], target: Array, ranks: int | Sequence[int]) -> AdaptedChain:
    r"""Return adapters of the given ranks that bring O V to the target where they can, and near it where they cannot.

    The product is the target, to rounding, when the theorem above says so (and rank T = d). It attains the bound when
    there is no bottleneck, d >= max(D, n), or when the target stays within the frozen factors, T = P_O T P_V: then the
    d x d problem between orthonormal bases of range(O) and of the rows of V is Lemma 1's. Otherwise the pair of the
    proof, with the rank conditions met as well as can be, is improved by alternating reduced-rank regression (each
    half-step optimal in the Frobenius norm), and ``error`` may exceed ``bound``: whether or not there are better
    adapters, since the bound need not be met.

    Parameters
    ----------
    frozen : list of two arrays, shapes (d, n) and (D, d)
        [V, O] in the order of application, each of full rank. Any array library, or mpf objects.
    target : array (D, n)
    ranks : int or two ints
        R, or R_V, R_O; zeros allowed.

    Returns
    -------
    AdaptedChain
        ``error`` is ||(O + Delta_O)(V + Delta_V) - T||_2 of the adapters as returned, ``bound`` the maximum above:
        error >= bound, up to rounding, whatever the adapters.

    Raises
    ------
    ValueError
        If the input is malformed, or a factor does not have full rank.
    """
    V, O, T, r_V, r_O = _checked(frozen, target, ranks)
    n, D = V.shape[1], O.shape[0]
    wide = _without_slack(V, O, T)
    bound = _lower_bound(*wide, r_V, r_O)
    on_V, on_O = _adapt(*wide, r_V, r_O, bound)
    adapters = [Adapter(A=on_V.A[:, :n], B=on_V.B), Adapter(A=on_O.A, B=on_O.B[:D, :])]
    return AdaptedChain(
        adapters,
        error=_error(V, O, T, _Pair(*adapters)),
        bound=bound,
        conditioning=_conditioning(V, O, T, *adapters),
    )


def _checked(
    frozen: Sequence[Array], target: Array, ranks: int | Sequence[int]
) -> tuple[Array, Array, Array, int, int]:
    if len(frozen) != 2:
        raise ValueError(f"frozen holds {len(frozen)} matrices; a factor pair is [V, O], in the order of application")
    V = check_matrix("frozen[0] (V)", frozen[0])
    O = check_matrix("frozen[1] (O)", frozen[1], (None, V.shape[0]))
    T = check_matrix("target", target, (O.shape[0], V.shape[1]))
    for name, x in (("frozen[0] (V)", V), ("frozen[1] (O)", O)):
        if not min(x.shape) or numerical_rank(x).rank < min(x.shape):
            raise ValueError(f"{name} of shape {tuple(x.shape)} is rank-deficient or empty; pass factors of full rank")
    r_V, r_O = (min(r, *x.shape) for r, x in zip(check_ranks(ranks, 2), (V, O), strict=True))
    return V, O, T, r_V, r_O


def _without_slack(V: Array, O: Array, T: Array) -> tuple[Array, Array, Array]:
    """Extend V, O, T so that d <= min(D, n), leaving E as it is but for zero rows and columns.

    If n < d, columns complete V to an invertible matrix and T by what O makes of them; if D < d, likewise with rows.
    """
    xp = namespace(V, O, T)
    (d, n), D = V.shape, O.shape[0]
    if n < d:
        new = xp.linalg.svd(V)[0][:, n:] * spectral_norm(V)
        V, T = xp.concat([V, new], axis=1), xp.concat([T, O @ new], axis=1)
    if d > D:
        new = xp.linalg.svd(O)[2][D:, :] * spectral_norm(O)
        O, T = xp.concat([O, new], axis=0), xp.concat([T, new @ V], axis=0)
    return V, O, T


def _adapt(V: Array, O: Array, T: Array, r_V: int, r_O: int, bound: Any) -> _Pair:
    """Return adapters of a pair with d <= min(D, n), by the first route that applies."""
    xp = namespace(V, O, T)
    Q_O, Q_V = xp.linalg.qr(O)[0], xp.linalg.qr(V.T)[0]
    core = Q_O.T @ T @ Q_V
    scale = spectral_norm(T) + spectral_norm(O) * spectral_norm(V)
    if numerical_rank(T - Q_O @ core @ Q_V.T, scale=scale).rank == 0:
        on_V, on_O = adapt_linear_chain([V @ Q_V, Q_O.T @ O], core, [r_V, r_O]).adapters
        return _Pair(Adapter(A=on_V.A @ Q_V.T, B=on_V.B), Adapter(A=on_O.A, B=Q_O @ on_O.B))
    starts = [_by_spectrum(V, O, T, r_V)]
    U, s, Wt = xp.linalg.svd(T, full_matrices=False)
    d, rounding = V.shape[0], 2 * max(T.shape) * unit_roundoff(T)
    if s[d - 1] > rounding * s[0]:  # rank T >= d, as the theorem needs it
        root, balance = xp.sqrt(s[:d]), (spectral_norm(O) / spectral_norm(V)) ** 0.5
        O1, V1 = U[:, :d] * (root * balance), (Wt[:d, :].T * (root / balance)).T
        for cut in (2 * rounding * s[0] / s[d - 1], *_CUTS):
            starts += _by_theorem(V, O, V1, O1, r_V, r_O, cut)
            if _error(V, O, T, starts[-1]) <= max(2 * bound, scalar(cut * s[0])):
                break
    return _alternate(V, O, T, min(starts, key=lambda pair: _error(V, O, T, pair)), r_O)


def _error(V: Array, O: Array, T: Array, pair: _Pair) -> Any:
    return spectral_norm(pair.O.merge(O) @ pair.V.merge(V) - T)


def _lower_bound(V: Array, O: Array, T: Array, r_V: int, r_O: int) -> Any:
    xp = namespace(V, O, T)
    Q_O, Q_V = xp.linalg.qr(O)[0], xp.linalg.qr(V.T)[0]
    tails = (
        (T - O @ V, r_V + r_O),
        (T - Q_O @ (Q_O.T @ T), r_O),
        (T - (T @ Q_V) @ Q_V.T, r_V),
        (T, V.shape[0]),
    )
    return max(scalar(singular_values(x)[r]) if r < min(x.shape) else 0.0 for x, r in tails)


def _by_theorem(V: Array, O: Array, V1: Array, O1: Array, r_V: int, r_O: int, cut: Any) -> list[_Pair]:
    """Return the pair of the proof for T = O' V', or none if G is singular whatever its free corner.

    With orthonormal C and Y, F = N C and H^T = Y^T K for N = O'^+ O and K = V' V^+. What is smaller than `cut`,
    relatively, counts as zero. Where a rank condition fails, G meets the demands on it as well as it can.
    """
    xp, d = namespace(V, O), V.shape[0]
    C, N = _common(O, O1, d - r_O, cut)
    Y, K = _common(V1.T, V.T, d - r_V, cut)
    K = K.T
    C, Y = _where_they_agree(C, Y, Y.T @ (N - K) @ C, d - r_O, d - r_V)
    C_, Y_ = _complement(C), _complement(Y)

    def complete(corner: Array) -> Array:
        """Return G from G C = N C, Y^T G = Y^T K and its free corner Y_^T G C_."""
        rows = xp.concat([Y.T @ ((N + K) / 2) @ C, Y.T @ K @ C_], axis=1)
        rest = xp.concat([Y_.T @ N @ C, corner], axis=1)
        return xp.concat([Y, Y_], axis=1) @ xp.concat([rows, rest], axis=0) @ xp.concat([C, C_], axis=1).T

    def size(G: Array) -> float:
        """Return ||O' G|| ||G^{-1} V'||, by which a relative rounding of the factors is amplified."""
        left, right, G = floats(O1), floats(V1), floats(G)
        s = singular_values(G)
        if not s[-1] > 1e-14 * s[0]:
            return float("inf")
        return float(spectral_norm(left @ G) * spectral_norm(namespace(G).linalg.solve(G, right)))

    G = min((complete(corner) for corner in _corners(Y_.T @ N @ C_, Y_.T @ K @ C_)), key=size)
    if size(G) == float("inf"):
        return []
    on_V = Adapter(A=Y_.T @ (V1 - G @ V), B=xp.linalg.solve(G, Y_))
    return [_Pair(on_V, Adapter(A=C_.T, B=(O1 @ G - O) @ C_))]


def _common(X: Array, X1: Array, at_least: int, cut: Any) -> tuple[Array, Array]:
    """Return an orthonormal basis of {c : X c in range X1}, and X1^+ X.

    A basis of fewer than `at_least` columns is filled up with those that come closest.
    """
    xp = namespace(X, X1)
    Q, R = xp.linalg.qr(X1)
    _, s, Vt = xp.linalg.svd(X - Q @ (Q.T @ X), full_matrices=False)
    noise = cut * spectral_norm(X)
    rank = sum(1 for sigma in s if sigma > noise)
    return Vt[min(rank, X.shape[1] - at_least) :, :].T, xp.linalg.solve(R, Q.T @ X)


def _where_they_agree(C: Array, Y: Array, m: Array, t: int, u: int) -> tuple[Array, Array]:
    """Return t columns of the space of C and u of that of Y on which the form m vanishes, or is least."""
    if not min(m.shape):
        return C[:, :t], Y[:, :u]
    left, _, right = namespace(m).linalg.svd(m)
    a, b = C.shape[1] - t, Y.shape[1] - u  # C gives up the first a singular directions of m, Y the next b
    Y = Y @ namespace(m).concat([left[:, :a], left[:, min(a + b, Y.shape[1]) :]], axis=1)
    return C @ right[a:, :].T, Y[:, :u]


def _complement(x: Array) -> Array:
    """Return an orthonormal basis of the complement of the orthonormal columns of x."""
    if not x.shape[1]:
        return like(x, np.eye(x.shape[0]))
    return namespace(x).linalg.svd(x)[0][:, x.shape[1] :]


def _corners(N: Array, K: Array) -> Iterator[Array]:
    """Yield values of the free corner: what the frozen O, and the frozen V, would have there, and random ones."""
    yield (N + K) / 2
    if min(N.shape):
        scale = (spectral_norm(N) + spectral_norm(K)) / 2 or 1.0
        rng = np.random.default_rng(0)
        for _ in range(_CORNERS):
            yield like(N, rng.standard_normal(N.shape)) * (scale / max(N.shape) ** 0.5)


def _by_spectrum(V: Array, O: Array, T: Array, r: int) -> _Pair:
    """Return Lemma 1's first step alone: V takes on the r largest singular directions of E."""
    xp = namespace(V, O, T)
    E = T - O @ V
    K = xp.linalg.svd(E, full_matrices=False)[2][:r, :].T
    Q, R = xp.linalg.qr(O)
    return _Pair(Adapter(A=K.T, B=xp.linalg.solve(R, Q.T @ (E @ K))), Adapter.zero(O.shape[0], O.shape[1], like=O))


def _alternate(V: Array, O: Array, T: Array, pair: _Pair, r_O: int) -> _Pair:
    """Improve the pair by alternating reduced-rank regression until a sweep gains next to nothing."""
    r_V, best = pair.V.rank, frobenius_norm(pair.O.merge(O) @ pair.V.merge(V) - T)
    for _ in range(_SWEEPS):
        V1 = pair.V.merge(V)
        on_O = _regress(T - O @ V1, V1, r_O)
        O1 = on_O.merge(O)
        on_V = _regress((T - O1 @ V).T, O1.T, r_V).T
        error = frobenius_norm(O1 @ on_V.merge(V) - T)
        if not error < best:
            break
        pair, gain, best = _Pair(on_V, on_O), 1 - error / best, error
        if gain < _STALLED:
            break
    return pair


def _regress(Y: Array, X: Array, r: int) -> Adapter:
    """Return the Z = B A of rank at most r that minimises the Frobenius norm of Y - Z X, for a flat X."""
    xp = namespace(X, Y)
    Q, R = xp.linalg.qr(X.T)
    U, s, Wt = xp.linalg.svd(Y @ Q, full_matrices=False)
    return Adapter(A=divide_right(Wt[:r, :], R.T), B=U[:, :r] * s[:r])


def _conditioning(V: Array, O: Array, T: Array, on_V: Adapter, on_O: Adapter) -> Conditioning:
    V1, O1 = floats(on_V.merge(V)), floats(on_O.merge(O))
    on_V, on_O = (Adapter(A=floats(a.A), B=floats(a.B)) for a in (on_V, on_O))
    amplification = max(
        spectral_norm(O1 @ on_V.B) * spectral_norm(on_V.A),
        spectral_norm(on_O.B) * spectral_norm(on_O.A) * spectral_norm(V1),
    ) / (spectral_norm(floats(T)) or 1.0)
    rounding = amplification * float(unit_roundoff(T))
    return Conditioning(
        amplification=amplification,
        rounding=rounding,
        largest_update=max(spectral_norm(on_V.delta()), spectral_norm(on_O.delta())),
        warning=""
        if rounding < 1e-6
        else f"rounding these adapters alone can change the product by {rounding:.0e} of the target: this pair cannot "
        "be stored in this arithmetic; use precision.lift, or exact_factor_pair",
    )


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
        on_V, on_O = rational.adapt_linear_chain([identity(d)] * 2, core, [r_V, r_O]).adapters
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
