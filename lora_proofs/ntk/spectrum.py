"""Leading singular triplets, and upper bounds on the operator norm that hold in spite of rounding."""

import numpy as np

from lora_proofs.ntk.types import FloatArray

_FULL = 160
"""Sizes up to which a full SVD costs less than an iteration."""

_SWEEPS = 2
_EPS = 2.0**-52


def leading(
    matrix: FloatArray, count: int, guess: FloatArray | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return U (m, k), s (k,), V (n, k): the k = count largest singular values of a matrix and their vectors.

    Exact to rounding for small matrices; for large ones, Ritz values, which are never too large.

    Parameters
    ----------
    matrix : array (m, n)
    count : int
    guess : array (n, p), optional
        Right vectors to start from.
    """
    m, n = matrix.shape
    count = min(count, m, n)
    if min(m, n) <= _FULL:
        U, s, Vt = np.linalg.svd(matrix, full_matrices=False)
        return U[:, :count], s[:count], Vt[:count].T
    fresh = np.random.default_rng(0).standard_normal((n, max(2 * count, 12)))
    V = fresh if guess is None else np.concatenate([guess, fresh[:, :count]], axis=1)[:, : min(m, n)]
    for _ in range(3 * _SWEEPS if guess is None else _SWEEPS):
        U = np.linalg.qr(matrix @ V)[0]
        V = np.linalg.qr(matrix.T @ U)[0]
    left, s, right = np.linalg.svd(matrix @ V, full_matrices=False)
    return left[:, :count], s[:count], V @ right[:count].T


def slack(terms: int) -> float:
    """Return a bound on the rounding of a sum of so many products, relative to the sum of their absolute values."""
    return 8 * _EPS * (1 + float(np.sqrt(terms)))


def operator_norm_bound(matrix: FloatArray) -> float:
    r"""Return a float >= |S|_op, larger than it by a relative n * 1e-15 or so.

    A Cholesky factorisation of A in floating point that runs to completion proves A >= -g tr(A) I with
    g = (n+1) eps / (1 - (n+1) eps) (Demmel 1989; Rump 2006, BIT 46). It is applied to
    c^2 I - S^T S, whose own rounding is at most (m + 4) eps |S|_F^2; c grows until the factorisation succeeds.
    """
    from scipy.linalg import LinAlgError, cholesky

    if not min(matrix.shape) or not matrix.any():
        return 0.0
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    top = float(np.linalg.norm(matrix, np.inf))
    if not np.isfinite(top):
        return float("inf")
    matrix = matrix / top
    m, n = matrix.shape
    gram = matrix.T @ matrix
    trace = float(np.trace(gram))
    sigma2 = float(leading(matrix, 1)[1][0]) ** 2 if n <= _FULL else _largest_eigenvalue(gram)
    margin = 1e-14 * sigma2
    diagonal = gram.diagonal()
    negated = -gram
    while True:
        square = sigma2 + margin
        negated[np.diag_indices(n)] = square - diagonal
        try:
            cholesky(negated, lower=True, check_finite=False)
        except LinAlgError:
            margin *= 4
            continue
        rounding = _EPS * ((n + 2) * n * square + (m + 4) * trace)
        return float(np.sqrt(square + rounding) * top * (1 + 8 * _EPS))


def _largest_eigenvalue(matrix: FloatArray) -> float:
    """Return the largest eigenvalue of a symmetric matrix by Lanczos' method, good to a few roundings."""
    from scipy.sparse.linalg import eigsh

    start = np.random.default_rng(0).standard_normal(len(matrix))
    return float(eigsh(matrix, k=1, v0=start, ncv=min(len(matrix) - 1, 40), return_eigenvectors=False)[0])
