r"""Adapted networks that imitate the target with its hidden layers rescaled (sharper than Theorem 3 of Zeng & Lee).

For diagonal Lambda_i > 0 the networks with the layers

    Lambda_i Wbar_i Lambda_{i-1}^{-1},  Lambda_i bbar_i,    Lambda_0 = Lambda_Lbar = 1,

are one and the same function: ReLU(lambda z) = lambda ReLU(z) for lambda > 0. Theorem 3 (arXiv 2310.17513v3) asks for
the rank of Wbar_i - prod_{P_i} W_l, which is D for generic weights; here the Lambda_i are chosen so that all
Lambda_i Wbar_i Lambda_{i-1}^{-1} - prod_{P_i} W_l have rank at most the sum of the block's ranks. So R = 7 suffices at
(D, L, Lbar) = (16, 4, 2), where Theorem 3 asks for 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from lora_proofs.constructions.certificate import Certificate
from lora_proofs.constructions.kinks.pencils import Floats
from lora_proofs.constructions.kinks.system import KinkSystem, float_networks, read_kinks, solve_kinks
from lora_proofs.constructions.relu.blocks import AdaptedReluNetwork, adapt_by_blocks
from lora_proofs.constructions.relu.certify import certify_relu_network
from lora_proofs.constructions.relu.partition import read_partition
from lora_proofs.domains import Domain
from lora_proofs.exact import matrices
from lora_proofs.linalg import check_rank, check_ranks, floats
from lora_proofs.networks.relu import ReluNetwork


@dataclass(frozen=True, eq=False, repr=False)
class RescaledNetwork(AdaptedReluNetwork):
    """The result of `adapt_by_gauge`; ``bound`` is Theorem 5's for the rescaled target, rounding included.

    Attributes
    ----------
    rescaled : ReluNetwork
        The target with its hidden neurons rescaled by floats and perhaps reordered, over Q: the same function exactly.
    solution : KinkSystem
        The equations that the scales solve.
    root : float array
        The scales of all hidden neurons, layer by layer.
    """

    rescaled: ReluNetwork
    solution: KinkSystem
    root: Floats

    @cached_property
    def certificate(self) -> Certificate:
        """Whether this floating network equals the target on the whole domain: see `certify_relu_network`.

        The network's blocks have the pre-activations of the rescaled target, not of the target as it was passed; since
        both are the same function, on all of R^D and without rounding, a certificate against one holds for the other.
        """
        return certify_relu_network(self.network, self.rescaled, self.domain)

    @cached_property
    def existence(self) -> Certificate:
        """Whether real adapters of these ranks equal the target exactly: see `KinkSystem.existence`."""
        return self.solution.existence(self.root)


def adapt_by_gauge(
    frozen: ReluNetwork,
    target: ReluNetwork,
    ranks: int | Sequence[int],
    *,
    domain: Domain,
    partition: Sequence[int] | Sequence[Sequence[int]] | None = None,
    seed: int = 0,
) -> RescaledNetwork:
    """Return adapters and biases with which the frozen network imitates the target, its hidden layers rescaled.

    Parameters
    ----------
    frozen, target : ReluNetwork
        L and Lbar <= L layers, all of one width D; computed with in float64.
    ranks : int or L ints
        With k_i = D - (the sum of block i's ranks), or 0 if that is negative, sum_i k_i^2 <= (Lbar - 1) D is necessary
        for generic networks, and sufficient if a positive root exists.
    domain : Box or Ball
    partition : None, sizes of blocks, or lists of layers
        None is the uniform partition.
    seed : int
        Of the starts of Newton's method.

    Returns
    -------
    RescaledNetwork

    Raises
    ------
    ValueError
        If the input is malformed, or Newton's method finds no positive scales: too small ranks, or there are none.
    """
    frozen, target = float_networks(frozen, target)
    budget = check_ranks(ranks, frozen.depth)
    blocks = read_partition(partition, frozen.depth, target.depth)
    ends = {block[-1] - blocks[0][0] for block in blocks}
    kinks = [target.d_in * (l in ends) for l in range(frozen.depth - 1)]
    nodes = read_kinks(kinks, target.d_in, frozen.depth, target.depth)
    solution, root = solve_kinks(frozen, target, nodes, budget, np.random.default_rng(check_rank("seed", seed)))
    scales = list(root.reshape(target.depth - 1, target.d_in))
    near = rescale(solution.target, scales)
    rounded = ReluNetwork([floats(W) for W in near.weights], [floats(b) for b in near.biases])
    result = adapt_by_blocks(frozen, rounded, budget, domain=domain, partition=partition)
    parts: dict[str, Any] = {field.name: getattr(result, field.name) for field in fields(AdaptedReluNetwork)}
    return RescaledNetwork(**{**parts, "target": target}, rescaled=near, solution=solution, root=root)


def rescale(target: ReluNetwork, scales: Sequence[Floats]) -> ReluNetwork:
    """Return the target over Q with hidden neuron i of layer k scaled by scales[k - 1][i] > 0: the same function."""
    if len(scales) != target.depth - 1 or any(np.min(s) <= 0 for s in scales):
        raise ValueError(f"pass one vector of positive scales for each of the {target.depth - 1} hidden layers")
    one = matrices.array(np.ones(target.d_in)), matrices.array(np.ones(target.d_out))
    factors = [one[0], *map(matrices.array, scales), one[1]]
    return ReluNetwork(
        [
            after[:, None] * matrices.array(W) / before
            for W, before, after in zip(target.weights, factors, factors[1:], strict=False)
        ],
        [after * matrices.array(b) for b, after in zip(target.biases, factors[1:], strict=True)],
    )
