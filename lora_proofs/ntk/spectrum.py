"""Leading singular triplets, and upper bounds on the operator norm that hold in spite of rounding."""

import numpy as np

from lora_proofs.ntk.types import FloatArray

_FULL = 160
"""Sizes up to which a full SVD costs less than an iteration."""

_SWEEPS = 2
_EPS = 2.0**-52


def leading(S: FloatArray, k: int, guess: FloatArray | None = None) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return U (m, k), s (k,), V (n, k): the k largest singular values of S and their vectors.

    Exact to rounding for small S; for large S, Ritz values of a subspace iteration, which are never too large.

    Parameters
    ----------
    S : array (m, n)
    k : int
    guess : array (n, p), optional
        Right vectors to start from.
    """
    m, n = S.shape
    k = min(k, m, n)
    if min(m, n) <= _FULL:
        U, s, Vt = np.linalg.svd(S, full_matrices=False)
        return U[:, :k], s[:k], Vt[:k].T
    fresh = np.random.default_rng(0).standard_normal((n, max(2 * k, 12)))
    V = fresh if guess is None else np.concatenate([guess, fresh[:, :k]], axis=1)[:, : min(m, n)]
    for _ in range(3 * _SWEEPS if guess is None else _SWEEPS):
        U = np.linalg.qr(S @ V)[0]
        V = np.linalg.qr(S.T @ U)[0]
    left, s, right = np.linalg.svd(S @ V, full_matrices=False)
    return left[:, :k], s[:k], V @ right[:k].T


def slack(terms: int) -> float:
    """Return a bound on the rounding of a sum of so many products, relative to the sum of their absolute values."""
    return 8 * _EPS * (1 + float(np.sqrt(terms)))


def operator_norm_bound(S: FloatArray) -> float:
    r"""Return a float >= |S|_op, larger than it by a relative n * 1e-15 or so.

    A Cholesky factorisation of A in floating point that runs to completion proves A >= -g tr(A) I with
    g = (n+1) eps / (1 - (n+1) eps) (Demmel 1989; Rump 2006, BIT 46). It is applied to
    c^2 I - S^T S, whose own rounding is at most (m + 4) eps |S|_F^2; c grows until the factorisation succeeds.
    """
    from scipy.linalg import LinAlgError, cholesky

    if not min(S.shape) or not S.any():
        return 0.0
    S = S if S.shape[0] >= S.shape[1] else S.T
    top = float(np.linalg.norm(S, np.inf))
    if not np.isfinite(top):
        return float("inf")
    S = S / top
    m, n = S.shape
    gram = S.T @ S
    trace = float(np.trace(gram))
    sigma2 = float(leading(S, 1)[1][0]) ** 2 if n <= _FULL else _largest_eigenvalue(gram)
    margin = 1e-14 * sigma2
    diagonal = gram.diagonal()
    negated = -gram
    while True:
        c2 = sigma2 + margin
        negated[np.diag_indices(n)] = c2 - diagonal
        try:
            cholesky(negated, lower=True, check_finite=False)
        except LinAlgError:
            margin *= 4
            continue
        rounding = _EPS * ((n + 2) * n * c2 + (m + 4) * trace)
        return float(np.sqrt(c2 + rounding) * top * (1 + 8 * _EPS))


def _largest_eigenvalue(A: FloatArray) -> float:
    """Return the largest eigenvalue of a symmetric matrix by Lanczos' method, good to a few roundings."""
    from scipy.sparse.linalg import eigsh

    start = np.random.default_rng(0).standard_normal(len(A))
    return float(eigsh(A, k=1, v0=start, ncv=min(len(A) - 1, 40), return_eigenvectors=False)[0])
