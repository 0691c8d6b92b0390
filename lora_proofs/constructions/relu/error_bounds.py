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

Theorem 5 asks for some adapters and biases, and those of the SVD know nothing of x. With N_i = (I - U U^T) E, U the
leading r_i eigenvectors of E Cov(h_{i-1}) E^T, and the bias bbar_i + N_i E h_{i-1}, block i has the same rank, delta_i
becomes F_i d_{i-1} - N_i (h_{i-1} - E h_{i-1}), and |N_i (h_{i-1} - E h_{i-1})| is the least that rank r_i and a bias
allow (Eckart & Young). `moments` and `sharp` hold again, with the centred states; see `fit_to_distribution`.

None of this runs the adapted network. A bound that knew the target's states point by point would have to stop short of
(1) by choice, since (1) is the error itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from lora_proofs.constructions.relu.blocks import check_networks
from lora_proofs.constructions.relu.multipliers import Multipliers, best_multipliers, coupling
from lora_proofs.constructions.relu.norm_bounds import corrected_bound, recalled_bound
from lora_proofs.constructions.relu.partition import read_partition
from lora_proofs.display import Readable, show
from lora_proofs.exact.matrices import is_rational
from lora_proofs.linalg import (
    Array,
    chain_product,
    check_matrix,
    check_one_kind,
    check_ranks,
    frobenius_norm,
    like,
    namespace,
    scalar,
    spectral_norm,
    svd,
)
from lora_proofs.networks.relu import ReluNetwork


@dataclass(frozen=True, eq=False, repr=False)
class ErrorBounds(Readable):
    """Bounds of the error of an approximation, block by block; see `error_bounds` and `fit_to_distribution`.

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
    centres : list of arrays (d,)
        What the biases subtract from the states before N_i acts: 0, or the means.
    """

    target: ReluNetwork
    layers: list[Array]
    residuals: list[Array]
    tails: list[Any]
    states: list[Array]
    centres: list[Array]

    @property
    def network(self) -> ReluNetwork:
        """The approximation: layers F_i, biases bbar_i + N_i centre_i. `adapt_relu_network` represents it exactly."""
        shifts = [N @ m for N, m in zip(self.residuals, self.centres, strict=True)]
        return ReluNetwork(self.layers, [b + c for b, c in zip(self.target.biases, shifts, strict=True)])

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
        u = namespace(F[0]).concat(self._deviations[first:], axis=1)
        scale = scalar(namespace(u).max(abs(u)))
        u = u / scale
        best = best_multipliers(F, u, _scalar_multipliers(F, a))
        if best is None:  # some F_i = 0, or a scale beyond double precision
            return self.moments
        t = like(u, best)
        xp, Y = namespace(u), (u * t).T
        return scale * scalar(xp.sum(Y * xp.linalg.solve(coupling(F, t), Y)) / u.shape[0]) ** 0.5

    @cached_property
    def _moments(self) -> list[Any]:
        a: list[Any] = []
        for F, u in zip(self.layers, self._deviations, strict=True):
            carried = spectral_norm(F) * a[-1] if a else 0.0
            a.append(carried + _size(u))
        return a

    @cached_property
    def _deviations(self) -> list[Array]:
        parts = zip(self.states, self.centres, self.residuals, strict=True)
        return [(h - m) @ N.T for h, m, N in parts]

    @property
    def _bias_norms(self) -> list[Any]:
        return [_size(b[None, :]) for b in self.target.biases]

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        return f"{len(self.layers)} blocks, {len(self.states[0])} points", {"tails": show(self.tails)}


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
    differences, kept, states = _blocks(frozen, target, ranks, points, partition)
    residuals, tails = [], []
    for E, r in zip(differences, kept, strict=True):
        U, s, Vt = svd(E, full_matrices=False)
        residuals.append((U[:, r:] * s[r:]) @ Vt[r:, :] if r < E.shape[0] else 0 * E)
        tails.append(scalar(s[r]) if r < E.shape[0] else 0.0)
    layers = [W - N for W, N in zip(target.weights, residuals, strict=True)]
    return ErrorBounds(target, layers, residuals, tails, states, [0 * h[0, :] for h in states])


def fit_to_distribution(
    frozen: ReluNetwork,
    target: ReluNetwork,
    ranks: int | Sequence[int],
    points: Array,
    *,
    partition: Sequence[int] | Sequence[Sequence[int]] | None = None,
) -> ErrorBounds:
    """Return bounds for the approximation that is best in each block for the uniform distribution on the points.

    The result's ``network`` is what to adapt to: ``adapt_relu_network(frozen, fit.network, ranks, domain=...,
    partition=...)`` represents it exactly, with the same ranks. For one block whose outputs stay active, no adapters
    and biases have a smaller mean square error. ``corrected`` keeps its meaning, with E_i = ||N_i||_2; it takes no
    account of the biases and is no bound here.

    Parameters and errors are those of `error_bounds`.
    """
    differences, kept, states = _blocks(frozen, target, ranks, points, partition)
    xp = namespace(points)
    centres = [xp.sum(h, axis=0) / h.shape[0] for h in states]
    residuals = []
    for E, r, h, m in zip(differences, kept, states, centres, strict=True):
        X = (h - m) @ E.T
        U = xp.linalg.eigh(X.T @ X / X.shape[0])[1][:, E.shape[0] - min(r, E.shape[0]) :]
        residuals.append(E - U @ (U.T @ E) if r < E.shape[0] else 0 * E)
    layers = [W - N for W, N in zip(target.weights, residuals, strict=True)]
    return ErrorBounds(target, layers, residuals, [spectral_norm(N) for N in residuals], states, centres)


def _blocks(
    frozen: ReluNetwork, target: ReluNetwork, ranks: int | Sequence[int], points: Array, partition: Any
) -> tuple[list[Array], list[int], list[Array]]:
    """Return E = Wbar_i - prod W_l and the rank of each block, and the target's states at the points."""
    check_networks(frozen, target)
    if is_rational(frozen.weights[0]):
        raise ValueError("the networks are rational, but singular values are not; pass floats, or mpf (precision.lift)")
    points = check_matrix("points", points, (None, target.d_in))
    check_one_kind(points=points, frozen=frozen.weights[0])
    if not points.shape[0]:
        raise ValueError("points is empty; pass at least one input")
    blocks, budget = read_partition(partition, frozen.depth, target.depth), check_ranks(ranks, frozen.depth)
    d = target.d_in
    products = [chain_product([frozen.weights[l] for l in block])[:d, :d] for block in blocks]
    differences = [W - Pi for W, Pi in zip(target.weights, products, strict=True)]
    inner = zip(target.weights[:-1], target.biases[:-1], strict=True)
    states = list(accumulate(inner, lambda h, layer: ReluNetwork([layer[0]], [layer[1]])(h), initial=points))
    return differences, [sum(budget[l] for l in block) for block in blocks], states


def _size(rows: Array) -> Any:
    """Return (E ||h||^2)^{1/2} over the rows h."""
    return frobenius_norm(rows) / rows.shape[0] ** 0.5


def _scalar_multipliers(layers: Sequence[Array], sizes: Sequence[Any]) -> Multipliers:
    """Return t_i, d times each, with t_Lbar = 1 and t_i a_i = t_{i+1} ||F_{i+1}||_2 a_{i+1}."""
    t = [1.0]
    for W, before, after in zip(layers[:0:-1], sizes[-2::-1], sizes[:0:-1], strict=True):
        t.append(t[-1] * float(spectral_norm(W) * after / before))
    return np.repeat(t[::-1], layers[0].shape[0])
