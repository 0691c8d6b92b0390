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

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lora_proofs.adapters import Adapter
from lora_proofs.constructions.chain.conditioning import measure_conditioning
from lora_proofs.constructions.chain.long_product import is_doubtful, long_difference
from lora_proofs.constructions.chain.scaling import balanced
from lora_proofs.constructions.chain.square_chain import AdaptedChain, adapt_square_chain
from lora_proofs.linalg import (
    Array,
    check_list,
    check_matrix,
    check_one_kind,
    check_ranks,
    divide_right,
    floats,
    frobenius_norm,
    is_object,
    like,
    namespace,
    numerical_rank,
    scalar,
    singular_values,
    spectral_norm,
    svd,
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
    pair, goal, r_V, r_O = _checked(frozen, target, ranks)
    units = balanced(pair, goal)
    (V, O), T = units.divide(pair, goal)
    n, D = V.shape[1], O.shape[0]
    wide = _without_slack(V, O, T)
    bound = _lower_bound(*wide, r_V, r_O)
    on_V, on_O = _adapt(*wide, r_V, r_O, bound)
    adapters = [Adapter(A=on_V.A[:, :n], B=on_V.B), Adapter(A=on_O.A, B=on_O.B[:D, :])]
    conditioning, error = measure_conditioning([V, O], adapters, T, units.layers), _error(V, O, T, _Pair(*adapters))
    if is_doubtful(conditioning.merging, T):
        error = spectral_norm(long_difference([V, O], adapters, T))
    return AdaptedChain(units.adapters(adapters), units.target(error), units.target(bound), conditioning.after(0.0, T))


def _checked(frozen: Sequence[Array], target: Array, ranks: int | Sequence[int]) -> tuple[list[Array], Array, int, int]:
    frozen = check_list("frozen", frozen)
    if len(frozen) != 2:
        raise ValueError(f"frozen holds {len(frozen)} matrices; a factor pair is [V, O], in the order of application")
    V = check_matrix("frozen[0] (V)", frozen[0])
    O = check_matrix("frozen[1] (O)", frozen[1], (None, V.shape[0]))
    T = check_matrix("target", target, (O.shape[0], V.shape[1]))
    for name, x in (("frozen[0] (V)", V), ("frozen[1] (O)", O)):
        if not min(x.shape):
            raise ValueError(f"{name} of shape {tuple(x.shape)} is empty; pass factors with rows and columns")
    if any(is_object(x) and not hasattr(x[0, 0], "_mpf_") for x in (V, O, T)):
        raise ValueError("a matrix is rational; pass all of them to constructions.exact_factor_pair")
    check_one_kind(V=V, O=O, target=T)
    for name, x in (("frozen[0] (V)", V), ("frozen[1] (O)", O)):
        if numerical_rank(x).rank < min(x.shape):
            raise ValueError(
                f"{name} of shape {tuple(x.shape)} is rank-deficient to working precision; pass factors of full rank"
            )
    r_V, r_O = (min(r, *x.shape) for r, x in zip(check_ranks(ranks, 2), (V, O), strict=True))
    return [V, O], T, r_V, r_O


def _without_slack(inner: Array, outer: Array, target: Array) -> tuple[Array, Array, Array]:
    """Extend the factors and the target so that d <= min(D, n), leaving E as it is but for zero rows and columns.

    If n < d, columns complete the inner factor to an invertible matrix, and the target by what the outer one makes of
    them; if D < d, likewise with rows.
    """
    xp = namespace(inner, outer, target)
    (d, n), D = inner.shape, outer.shape[0]
    if n < d:
        new = svd(inner)[0][:, n:] * spectral_norm(inner)
        inner, target = xp.concat([inner, new], axis=1), xp.concat([target, outer @ new], axis=1)
    if d > D:
        new = svd(outer)[2][D:, :] * spectral_norm(outer)
        outer, target = xp.concat([outer, new], axis=0), xp.concat([target, new @ inner], axis=0)
    return inner, outer, target


def _adapt(inner: Array, outer: Array, target: Array, r_V: int, r_O: int, bound: Any) -> _Pair:
    """Return adapters of a pair with d <= min(D, n), by the first route that applies."""
    xp = namespace(inner, outer, target)
    Q_O, Q_V = xp.linalg.qr(outer)[0], xp.linalg.qr(inner.T)[0]
    core = Q_O.T @ target @ Q_V
    scale = spectral_norm(target) + spectral_norm(outer) * spectral_norm(inner)
    if numerical_rank(target - Q_O @ core @ Q_V.T, scale=scale).rank == 0:
        on_V, on_O = adapt_square_chain([inner @ Q_V, Q_O.T @ outer], core, [r_V, r_O]).adapters
        return _Pair(Adapter(A=on_V.A @ Q_V.T, B=on_V.B), Adapter(A=on_O.A, B=Q_O @ on_O.B))
    starts = [_by_spectrum(inner, outer, target, r_V)]
    U, s, Wt = svd(target, full_matrices=False)
    d, rounding = inner.shape[0], 2 * max(target.shape) * unit_roundoff(target)
    if s[d - 1] > rounding * s[0]:  # rank T >= d, as the theorem needs it
        root, balance = xp.sqrt(s[:d]), (spectral_norm(outer) / spectral_norm(inner)) ** 0.5
        O1, V1 = U[:, :d] * (root * balance), (Wt[:d, :].T * (root / balance)).T
        for cut in (2 * rounding * s[0] / s[d - 1], *_CUTS):
            starts += _by_theorem(inner, outer, V1, O1, r_V, r_O, cut)
            if _error(inner, outer, target, starts[-1]) <= max(2 * bound, scalar(cut * s[0])):
                break
    return _alternate(inner, outer, target, min(starts, key=lambda pair: _error(inner, outer, target, pair)), r_O)


def _error(inner: Array, outer: Array, target: Array, pair: _Pair) -> Any:
    return spectral_norm(pair.O.merge(outer) @ pair.V.merge(inner) - target)


def _lower_bound(inner: Array, outer: Array, target: Array, r_V: int, r_O: int) -> Any:
    xp = namespace(inner, outer, target)
    Q_O, Q_V = xp.linalg.qr(outer)[0], xp.linalg.qr(inner.T)[0]
    tails = (
        (target - outer @ inner, r_V + r_O),
        (target - Q_O @ (Q_O.T @ target), r_O),
        (target - (target @ Q_V) @ Q_V.T, r_V),
        (target, inner.shape[0]),
    )
    return max(scalar(singular_values(x)[r]) if r < min(x.shape) else 0.0 for x, r in tails)


def _by_theorem(inner: Array, outer: Array, V1: Array, O1: Array, r_V: int, r_O: int, cut: Any) -> list[_Pair]:
    """Return the pair of the proof for T = O' V', or none if G is singular whatever its free corner.

    With orthonormal C and Y, F = N C and H^T = Y^T K for N = O'^+ outer and K = V' inner^+. What is smaller than `cut`,
    relatively, counts as zero. Where a rank condition fails, G meets the demands on it as well as it can.
    """
    xp, d = namespace(inner, outer), inner.shape[0]
    C, N = _common(outer, O1, d - r_O, cut)
    Y, K = _common(V1.T, inner.T, d - r_V, cut)
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
    on_V = Adapter(A=Y_.T @ (V1 - G @ inner), B=xp.linalg.solve(G, Y_))
    return [_Pair(on_V, Adapter(A=C_.T, B=(O1 @ G - outer) @ C_))]


def _common(matrix: Array, X1: Array, at_least: int, cut: Any) -> tuple[Array, Array]:
    """Return an orthonormal basis of {c : matrix c in range X1}, and X1^+ matrix.

    A basis of fewer than `at_least` columns is filled up with those that come closest.
    """
    xp = namespace(matrix, X1)
    Q, R = xp.linalg.qr(X1)
    _, s, Vt = svd(matrix - Q @ (Q.T @ matrix), full_matrices=False)
    noise = cut * spectral_norm(matrix)
    rank = sum(1 for sigma in s if sigma > noise)
    return Vt[min(rank, matrix.shape[1] - at_least) :, :].T, xp.linalg.solve(R, Q.T @ matrix)


def _where_they_agree(C: Array, Y: Array, form: Array, count_C: int, count_Y: int) -> tuple[Array, Array]:
    """Return so many columns of the spaces of C and of Y on which the form vanishes, or is least."""
    if not min(form.shape):
        return C[:, :count_C], Y[:, :count_Y]
    left, _, right = svd(form)
    a, b = C.shape[1] - count_C, Y.shape[1] - count_Y  # C gives up the first a singular directions of m, Y the next b
    Y = Y @ namespace(form).concat([left[:, :a], left[:, min(a + b, Y.shape[1]) :]], axis=1)
    return C @ right[a:, :].T, Y[:, :count_Y]


def _complement(orthonormal: Array) -> Array:
    """Return an orthonormal basis of the complement of orthonormal columns."""
    if not orthonormal.shape[1]:
        return like(orthonormal, np.eye(orthonormal.shape[0]))
    return svd(orthonormal)[0][:, orthonormal.shape[1] :]


def _corners(N: Array, K: Array) -> Iterator[Array]:
    """Yield values of the free corner: what the frozen O, and the frozen V, would have there, and random ones."""
    yield (N + K) / 2
    if min(N.shape):
        scale = (spectral_norm(N) + spectral_norm(K)) / 2 or 1.0
        rng = np.random.default_rng(0)
        for _ in range(_CORNERS):
            yield like(N, rng.standard_normal(N.shape)) * (scale / max(N.shape) ** 0.5)


def _by_spectrum(inner: Array, outer: Array, target: Array, rank: int) -> _Pair:
    """Return Lemma 1's first step alone: the inner factor takes on the largest singular directions of E."""
    xp = namespace(inner, outer, target)
    E = target - outer @ inner
    K = svd(E, full_matrices=False)[2][:rank, :].T
    Q, R = xp.linalg.qr(outer)
    return _Pair(
        Adapter(A=K.T, B=xp.linalg.solve(R, Q.T @ (E @ K))), Adapter.zero(outer.shape[0], outer.shape[1], like=outer)
    )


def _alternate(inner: Array, outer: Array, target: Array, pair: _Pair, r_O: int) -> _Pair:
    """Improve the pair by alternating reduced-rank regression until a sweep gains next to nothing."""
    r_V, best = pair.V.rank, frobenius_norm(pair.O.merge(outer) @ pair.V.merge(inner) - target)
    for _ in range(_SWEEPS):
        V1 = pair.V.merge(inner)
        on_O = _regress(target - outer @ V1, V1, r_O)
        O1 = on_O.merge(outer)
        on_V = _regress((target - O1 @ inner).T, O1.T, r_V).T
        error = frobenius_norm(O1 @ on_V.merge(inner) - target)
        if not error < best:
            break
        pair, gain, best = _Pair(on_V, on_O), 1 - error / best, error
        if gain < _STALLED:
            break
    return pair


def _regress(target: Array, flat: Array, rank: int) -> Adapter:
    """Return the Z = B A of at most this rank that minimises the Frobenius norm of target - Z flat."""
    xp = namespace(flat, target)
    Q, R = xp.linalg.qr(flat.T)
    U, s, Wt = svd(target @ Q, full_matrices=False)
    return Adapter(A=divide_right(Wt[:rank, :], R.T), B=U[:, :rank] * s[:rank])
