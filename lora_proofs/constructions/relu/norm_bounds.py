r"""Bounds of the error below the rank threshold that know norms only: Theorems 5 and 6, as recalled and corrected.

The quantities and the inequality (2) that the proof cites are those of `error_bounds`, which has sharper bounds.
"""

from collections.abc import Sequence
from typing import Any


def corrected_bound(tails: Sequence[Any], norms: Sequence[Any], biases: Sequence[Any], size: Any) -> Any:
    r"""Return sum_i E_i m_{i-1} prod_{k>i} (||Wbar_k||_2 + E_k), m_i = ||Wbar_i||_2 m_{i-1} + ||bbar_i||_2.

    Theorems 5 and 6 (arXiv 2310.17513v3, as recalled) with m_0 = (tr Sigma)^{1/2} for ||Sigma||_F^{1/2} and spectral
    for Frobenius norms. *Proof*: |h_i| <= m_i, because ReLU shrinks norms and |h_0|^2 = tr Sigma; by (2), |d_i| <=
    |delta_i| <= ||F_i||_2 |d_{i-1}| + E_i m_{i-1}, and ||F_i||_2 <= ||Wbar_i||_2 + E_i. Unroll. It is attained at every
    depth: with Wbar_i = w_i I, w_i >= 0, bbar_i = 0 and F_i x = (w_i + E_i) x for one point x >= 0, every inequality is
    an equality.

    Parameters
    ----------
    tails, norms, biases : sequences of Lbar numbers
        E_i, ||Wbar_i||_2 and ||bbar_i||_2; floats, mpf, or rationals.
    size : number
        (tr Sigma)^{1/2}; max ||x||_2 makes it a bound of the largest error.
    """
    error = 0 * size
    for E, norm, bias in zip(tails, norms, biases, strict=True):
        error = (norm + E) * error + E * size
        size = norm * size + bias
    return error


def recalled_bound(tails: Sequence[Any], norms: Sequence[Any], biases: Sequence[Any], size: Any) -> Any:
    r"""Return beta sum_i max_k (||Wbar_k||_F + E_k)^{Lbar-i} E_i, Theorems 5 and 6 as recalled (arXiv 2310.17513v3).

    beta is the largest of s = ||Sigma||_F^{1/2} and, over i, s prod_{j<=i} ||Wbar_j||_F + sum_{j<=i} prod_{j<k<i}
    ||Wbar_k||_F ||bbar_j||_2. It is no bound: for Lbar = 1, ||Wbar_1||_F <= 1, it is s E_1, which is less than
    tr(Sigma)^{1/2} E_1.

    Parameters
    ----------
    tails, norms, biases : sequences of Lbar numbers
        E_i, ||Wbar_i||_F and ||bbar_i||_2.
    size : number
        ||Sigma||_F^{1/2}.
    """
    depth, product, drift, beta = len(tails), size, 0 * size, size
    for norm, bias in zip(norms, biases, strict=True):
        product = norm * product
        beta = max(beta, product + drift + bias)
        drift = norm * drift + bias
    growth = max(norm + E for norm, E in zip(norms, tails, strict=True))
    return beta * sum(growth ** (depth - i) * E for i, E in enumerate(tails, start=1))
