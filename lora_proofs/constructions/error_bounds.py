r"""Bounds of the error below the rank threshold: Theorems 5 and 6 of Zeng & Lee as recalled, corrected, and sharpened.

Below the threshold, block i of the adapted network is the layer F_i = Wbar_i - N_i, where F_i is the best approximation
of the target's matrix that the ranks allow: N_i is what the truncated SVD of E = Wbar_i - prod W_l leaves out, so that
||N_i||_2 = E_i = sigma_{r_i + 1}(E), with r_i the sum of the block's ranks. The biases make the inner ReLUs of a block
the identity on the bounded domain, so on every x of it, with h_0 = x and h_i the target's hidden states,

    d_i := f_i - h_i = ReLU(zbar_i + delta_i) - ReLU(zbar_i),    delta_i = F_i d_{i-1} - N_i h_{i-1},    d_0 = 0,   (1)

and, neuron by neuron, since ReLU is increasing and 1-Lipschitz,

    d_i * (delta_i - d_i) >= 0,    so also |d_i| <= |delta_i|.                                                       (2)

Let x be random; |v| := (E ||v||_2^2)^{1/2} is the norm of L2. Every bound but the recalled one is one of |f - target|,
hence of E ||f - target||_2 as well. Each holds for the distribution that it is given, be it uniform on a few points.
They know more and more:

- `corrected` knows tr Sigma = E ||x||_2^2, and norms of the target's weights and biases;
- `moments` knows the target's second moments E h_{i-1} h_{i-1}^T, and F_i and N_i themselves;
- `sharp` knows the joint second moments of N_1 h_0, ..., N_Lbar h_{Lbar-1}, and uses all of (2).

None runs the adapted network. A bound that knew the target's states point by point would have to stop short of (1) by
choice, since (1) is the error itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np

from lora_proofs.constructions.partition import read_partition
from lora_proofs.constructions.relu_network import _check_networks
from lora_proofs.exact import is_rational
from lora_proofs.linalg import (
    Array,
    chain_product,
    check_matrix,
    check_one_kind,
    check_ranks,
    floats,
    frobenius_norm,
    like,
    namespace,
    scalar,
    spectral_norm,
    svd,
)
from lora_proofs.networks import ReluNetwork

_STEPS = 60
"""Newton steps for the multipliers. Any multipliers give a bound, and 10 to 20 steps find the best ones to 1e-10."""

_MARGIN = 1e-12
"""Least eigenvalue of A(T), scaled to a unit diagonal, with which T is accepted: above the rounding of A(T)."""

Multipliers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
"""The diagonal t of T."""


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


@dataclass(frozen=True, eq=False)
class ErrorBounds:
    """Bounds of the error of the best approximation, block by block; see `error_bounds`.

    Attributes
    ----------
    target : ReluNetwork
    layers : list of arrays (d, d)
        F_i, what the blocks become.
    residuals : list of arrays (d, d)
        N_i = Wbar_i - F_i.
    tails : list of float or mpf
        E_i = ||N_i||_2.
    states : list of arrays (n, d)
        The target's states h_0, ..., h_{Lbar-1} at the n points.
    """

    target: ReluNetwork
    layers: list[Array]
    residuals: list[Array]
    tails: list[Any]
    states: list[Array]

    @cached_property
    def recalled(self) -> Any:
        """Theorems 5 and 6 as recalled: see `recalled_bound`."""
        x = self.states[0]
        size = frobenius_norm(x.T @ x / x.shape[0]) ** 0.5
        return recalled_bound(self.tails, [frobenius_norm(W) for W in self.target.weights], self._bias_norms, size)

    @cached_property
    def corrected(self) -> Any:
        """The same with tr Sigma and spectral norms: see `corrected_bound`."""
        norms = [spectral_norm(W) for W in self.target.weights]
        return corrected_bound(self.tails, norms, self._bias_norms, _size(self.states[0]))

    @property
    def moments(self) -> Any:
        r"""a_Lbar of a_i = ||F_i||_2 a_{i-1} + ||N_i Sigma_{i-1}^{1/2}||_F, Sigma_{i-1} = E h_{i-1} h_{i-1}^T, a_0 = 0.

        *Proof*: |N_i h_{i-1}|^2 = tr(N_i Sigma_{i-1} N_i^T); then |d_i| <= |delta_i| <= a_i by (1) and (2). It is at
        most `corrected`, because |N_i h_{i-1}| <= E_i |h_{i-1}| <= E_i m_{i-1}.
        """
        return self._moments[-1]

    @cached_property
    def sharp(self) -> Any:
        r"""(E u^T T A(T)^{-1} T u)^{1/2}, u = (N_1 h_0, ..., N_Lbar h_{Lbar-1}), for the best diagonal T >= 0.

        A(T) is symmetric and block tridiagonal, with 2 T_i on the diagonal, 2 T_Lbar - I in its last block, and
        -T_i F_i at (i, i - 1).

        *Proof*: let T = diag(T_1, ..., T_Lbar) >= 0 be such that A(T) is positive definite. By (2) and (1), for all x,

            ||d_Lbar||^2 <= ||d_Lbar||^2 + 2 sum_i d_i^T T_i (delta_i - d_i) = -d^T A(T) d - 2 d^T T u
                         <= u^T T A(T)^{-1} T u,

        the last by completing the square. Take expectations; the right side needs E u u^T only. This is the S-procedure
        for ReLU (the multipliers of Fazlyab et al., arXiv 1906.04893), applied to the error instead of the network.

        It is at most `moments`, already for T_i = t_i I with t_Lbar = 1 and t_i a_i = t_{i+1} ||F_{i+1}||_2 a_{i+1}:
        then -E d^T A d - 2 E d^T T u is at most the quadratic -y^T S y + 2 y^T c of y_i = |d_i| with S_ii = 2 t_i
        (2 t_i - 1 in the end), S_{i,i-1} = -t_i ||F_i||_2, c_i = t_i |N_i h_{i-1}|. Here S a = c >= 0 with S_ij <= 0
        off the diagonal and a > 0, so S is positive definite (an M-matrix), the maximum is at y = a, and its value is
        c^T a = a_Lbar^2. Blocks before the first N_i != 0 have d_i = 0 and are left out. For Lbar = 1 both are
        ||N_1 Sigma^{1/2}||_F, which is attained where the target and f are active.
        """
        first = next((i for i, a in enumerate(self._moments) if a > 0), None)
        if first is None:
            return self.moments
        F, a = self.layers[first:], self._moments[first:]
        u = namespace(F[0]).concat([h @ N.T for h, N in zip(self.states, self.residuals, strict=True)][first:], axis=1)
        scale = scalar(namespace(u).max(abs(u)))
        u = u / scale
        best = _best_multipliers(F, u, _scalar_multipliers(F, a))
        if best is None:  # some F_i = 0, or a scale beyond double precision
            return self.moments
        t = like(u, best)
        xp, Y = namespace(u), (u * t).T
        return scale * scalar(xp.sum(Y * xp.linalg.solve(_coupling(F, t), Y)) / u.shape[0]) ** 0.5

    @cached_property
    def _moments(self) -> list[Any]:
        a: list[Any] = []
        for F, N, h in zip(self.layers, self.residuals, self.states, strict=True):
            carried = spectral_norm(F) * a[-1] if a and a[-1] > 0 else 0.0
            a.append(carried + _size(h @ N.T))
        return a

    @property
    def _bias_norms(self) -> list[Any]:
        return [_size(b[None, :]) for b in self.target.biases]


def error_bounds(
    frozen: ReluNetwork,
    target: ReluNetwork,
    ranks: int | Sequence[int],
    points: Array,
    *,
    partition: Sequence[int] | Sequence[Sequence[int]] | None = None,
) -> ErrorBounds:
    """Return bounds of the error of `adapt_relu_network` with these ranks, for the uniform distribution on the points.

    Zeng & Lee, Theorems 5 (uniform partition) and 6 (any partition and ranks), arXiv 2310.17513v3.

    Parameters
    ----------
    frozen, target : ReluNetwork
        As for `adapt_relu_network`: L layers of one width D, and Lbar <= L layers of one width d <= D. Floating or mpf.
    ranks : int or L ints
    points : array (n, d)
        Inputs of the target, all of them in the domain that the network is adapted for.
    partition : None, sizes of blocks, or lists of layers
        As for `adapt_relu_network`.

    Returns
    -------
    ErrorBounds
        ``recalled``, ``corrected``, ``moments`` and ``sharp`` are computed when they are asked for.

    Raises
    ------
    ValueError
        If the ranks, the partition or the points do not fit the networks.
    """
    _check_networks(frozen, target)
    if is_rational(frozen.weights[0]):
        raise ValueError("the networks are rational, but singular values are not; pass floats, or mpf (precision.lift)")
    points = check_matrix("points", points, (None, target.d_in))
    check_one_kind(points=points, frozen=frozen.weights[0])
    if not points.shape[0]:
        raise ValueError("points is empty; pass at least one input")
    blocks, budget = read_partition(partition, frozen.depth, target.depth), check_ranks(ranks, frozen.depth)
    d = target.d_in
    layers, residuals, tails = [], [], []
    for W, block in zip(target.weights, blocks, strict=True):
        E = W - chain_product([frozen.weights[l] for l in block])[:d, :d]
        N, tail = _tail(E, sum(budget[l] for l in block))
        layers.append(W - N)
        residuals.append(N)
        tails.append(tail)
    inner = zip(target.weights[:-1], target.biases[:-1], strict=True)
    states = list(accumulate(inner, lambda h, layer: ReluNetwork([layer[0]], [layer[1]])(h), initial=points))
    return ErrorBounds(target, layers, residuals, tails, states)


def _tail(E: Array, r: int) -> tuple[Array, Any]:
    """Return E - LR_r(E) and its spectral norm."""
    if r >= min(E.shape):
        return 0 * E, 0.0
    U, s, Vt = svd(E, full_matrices=False)
    return (U[:, r:] * s[r:]) @ Vt[r:, :], scalar(s[r])


def _size(h: Array) -> Any:
    """Return (E ||h||^2)^{1/2} over the rows of h."""
    return frobenius_norm(h) / h.shape[0] ** 0.5


def _coupling(F: Sequence[Array], t: Array) -> Array:
    """Return A(T), of size Lbar d."""
    xp, depth, d = namespace(t), len(F), F[0].shape[0]
    zero = 0 * F[0]
    rows = [[-F[i] if j == i - 1 else zero for j in range(depth)] for i in range(depth)]
    lower = t[:, None] * xp.concat([xp.concat(row, axis=1) for row in rows], axis=0)
    last = like(t, np.r_[np.zeros((depth - 1) * d), np.ones(d)])
    eye = like(t, np.eye(depth * d))
    return lower + lower.T + eye * (2 * t - last)


def _scalar_multipliers(F: Sequence[Array], a: Sequence[Any]) -> Multipliers:
    """Return t_i, d times each, with t_Lbar = 1 and t_i a_i = t_{i+1} ||F_{i+1}||_2 a_{i+1}."""
    t = [1.0]
    for W, before, after in zip(F[:0:-1], a[-2::-1], a[:0:-1], strict=True):
        t.append(t[-1] * float(spectral_norm(W) * after / before))
    return np.repeat(t[::-1], F[0].shape[0])


def _best_multipliers(F: Sequence[Array], u: Array, t: Multipliers) -> Multipliers | None:
    """Minimise the convex phi(t) = tr(A^{-1} T G T), G = E u u^T, from t; None if A is not positive definite there.

    Damped Newton steps. With A = T S + S^T T - P and X = A^{-1} T, dphi = 2 tr(dT G X^T) - tr(X G X^T dA), and the
    derivative of T - A X_0 in t_j at X_0 = X is e_j p_j^T - s_j x_j^T, where p_j, s_j, x_j are the rows of I - S X, S
    and X. Double precision is enough for mpf layers too: the multipliers only choose the bound.
    """
    F, u = [np.asarray(floats(W)) for W in F], np.asarray(floats(u))
    n, G = len(t), u.T @ u / u.shape[0]
    S = np.eye(n) + np.tril(_coupling(F, np.ones(n)), -1)

    def phi(t: Multipliers) -> tuple[float, Any]:
        inverse = _positive_inverse(_coupling(F, t))
        return (np.inf if inverse is None else float(t @ (inverse * G) @ t)), inverse

    value, inverse = phi(t)
    if inverse is None:
        return None
    for _ in range(_STEPS):
        X = inverse * t
        P = np.eye(n) - S @ X
        PG, XG, SI = P @ G, X @ G, S @ inverse
        gradient = 2 * np.sum(P * XG, axis=1)
        hessian = 2 * (inverse * (PG @ P.T) - SI.T * (PG @ X.T) - SI * (XG @ P.T) + (SI @ S.T) * (XG @ X.T))
        step = _newton_step(hessian, gradient)
        scale, decrease = 1.0, float(-gradient @ step)
        while (trial := phi(t + scale * step))[0] > value - 0.1 * scale * decrease and scale > 1e-6:
            scale /= 2
        if trial[0] >= value:
            break
        t, converged = t + scale * step, value - trial[0] < 1e-12 * value
        value, inverse = trial
        if converged:
            break
    return t


def _positive_inverse(A: Any) -> Any:
    """Return A^{-1}, or None if A is not safely positive definite."""
    diagonal = np.diag(A)
    if not (diagonal > 0).all():
        return None
    scale = 1 / np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(A * np.outer(scale, scale))
    if not values[0] > _MARGIN:
        return None
    half = scale[:, None] * vectors / np.sqrt(values)
    return half @ half.T


def _newton_step(hessian: Any, gradient: Any) -> Any:
    """Return -H^{-1} g, H scaled to a unit diagonal and lifted a little where it is flat."""
    scale = 1 / np.sqrt(np.maximum(np.diag(hessian), np.finfo(float).tiny))
    scaled = hessian * np.outer(scale, scale)
    return -scale * np.linalg.solve(scaled + 1e-10 * np.eye(len(scale)), scale * gradient)
