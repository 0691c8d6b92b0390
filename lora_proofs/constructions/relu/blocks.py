r"""Adapters and biases that turn a frozen ReLU network into a shallower target (Zeng & Lee, Lemma 2, Theorems 3 and 6).

The frozen layers are partitioned into blocks, one a target layer. In a block the adapters turn the product of the
weights into the target's matrix (`adapt_linear_chain`), and the biases keep every inner ReLU from acting: with P_l the
product of the first l adapted layers of the block, the inner states are

    h_l = P_l x + c_l,    c_l = max(0, -min_x P_l x)    entry by entry, over the region that x can reach,

so b_l = c_l - F_l c_{l-1}; the last bias removes c_{L-1} again and puts the target's bias in. The paper takes twice the
largest norm instead of c_l; such offsets multiply from layer to layer, and cost digits where the tight ones do not.

A target of width d < D lives in the first d coordinates: inputs are padded with zeros, and the biases of the other
neurons switch them off at the end of every block, so that the next block starts from a padded vector again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import hypot
from typing import Any

import numpy as np

from lora_proofs.constructions.certificate import Certificate
from lora_proofs.constructions.chain.conditioning import Conditioning
from lora_proofs.constructions.chain.linear_chain import adapt_chain
from lora_proofs.constructions.chain.operators import norm
from lora_proofs.constructions.chain.square_chain import AdaptedChain
from lora_proofs.constructions.relu.biases import active_biases
from lora_proofs.constructions.relu.certify import certify_relu_network
from lora_proofs.constructions.relu.norm_bounds import corrected_bound
from lora_proofs.constructions.relu.partition import Partition, best_partition, read_partition, required_ranks
from lora_proofs.constructions.relu.regions import Region
from lora_proofs.display import Readable, show
from lora_proofs.domains import Domain
from lora_proofs.exact.algebra import sqrt_above
from lora_proofs.exact.matrices import array, is_rational
from lora_proofs.linalg import (
    Array,
    chain_product,
    check_one_kind,
    check_ranks,
    is_object,
    like,
    namespace,
    scalar,
    to_numpy,
)
from lora_proofs.networks.relu import ReluNetwork

_SAMPLES = 512
"""Points of the domain on which `AdaptedReluNetwork.error` is measured."""


@dataclass(frozen=True, eq=False, repr=False)
class AdaptedReluNetwork(Readable):
    """The result of `adapt_relu_network`.

    Attributes
    ----------
    network : ReluNetwork
        The adapted network, R^D -> R^D. For a narrower target, pad its input with zeros and read its first d outputs,
        or call this result itself.
    adapters, biases : list
        One adapter and one bias a layer of the frozen network.
    partition : list of range
        The block of frozen layers (numbered from 0) that imitates each target layer.
    conditioning : Conditioning
        That of the worst block.
    bound : float or Fraction
        An upper bound of ||f(x) - target(x)||_2 over the domain, in exact arithmetic: Theorem 5 as corrected,
        sum_i E_i m_{i-1} prod_{k>i} (||Wbar_k||_2 + E_k) with E_i = sigma_{R_i + 1} of block i, m_0 = max ||x||_2 over
        the domain and m_i = ||Wbar_i||_2 m_{i-1} + ||bbar_i||_2. Zero if every block has the rank that it needs.
    """

    network: ReluNetwork
    adapters: list[Any]
    biases: list[Array]
    partition: Partition
    conditioning: Conditioning
    bound: Any
    target: ReluNetwork
    domain: Domain

    def __call__(self, x: Array) -> Array:
        """Return the outputs for inputs of the target, shape (..., d_in) -> (..., d_out)."""
        xp, extra = namespace(x), self.network.d_in - self.target.d_in
        padded = xp.concat([x, xp.repeat(0 * x[..., :1], extra, axis=-1)], axis=-1) if extra else x
        return self.network(padded)[..., : self.target.d_out]

    @cached_property
    def certificate(self) -> Certificate:
        """Whether the network equals the target on the whole domain, and why: see `certify_relu_network`."""
        return certify_relu_network(self.network, self.target, self.domain)

    @cached_property
    def error(self) -> Any:
        """The largest ||f(x) - target(x)||_2 over seeded points of the domain (inner ones and extreme ones).

        A lower bound of the supremum, to compare with `bound`; `certificate.error` bounds it from above.
        """
        W = self.network.weights[0]
        xp = namespace(W)
        x = self.domain.sample(np.random.default_rng(0), 8 if is_object(W) else _SAMPLES, self.target.d_in)
        points = like(W, x)
        difference = self(points) - self.target(points)
        scale = xp.max(abs(difference))
        if not scale:
            return Fraction(0) if is_rational(W) else scalar(scale)
        squares = xp.max(xp.sum((difference / scale) ** 2, axis=-1))  # between 1 and d, whatever the scale
        root = sqrt_above(squares) if is_rational(W) else xp.sqrt(squares)
        return float(scale * root) if is_rational(W) else scalar(scale * root)

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        rows = {"ranks": show([adapter.rank for adapter in self.adapters])}
        rows["blocks"] = " | ".join(" ".join(str(layer + 1) for layer in block) for block in self.partition)
        rows["conditioning"], _ = self.conditioning.summary()
        known = vars(self)  # the error and the certificate take time: they are shown once they have been asked for
        if "error" in known:
            rows["error"] = f"{show(self.error)} on sampled points"
        if "certificate" in known:
            rows["certificate"], _ = self.certificate.summary()
        return f"{self.network.depth} layers for {self.target.depth}, bound {show(self.bound)}", rows


def adapt_by_blocks(
    frozen: ReluNetwork,
    target: ReluNetwork,
    ranks: int | Sequence[int],
    *,
    domain: Domain,
    partition: str | Sequence[int] | Sequence[Sequence[int]] | None = None,
) -> AdaptedReluNetwork:
    """Return adapters and biases with which the frozen network imitates the target on the whole domain.

    Zeng & Lee, Lemma 2 (one target layer), Theorems 3 and 5 (uniform partition) and 6 (any partition, a rank for each
    layer), and the appendix on narrower targets, arXiv 2310.17513v3. Equality holds on the domain if in every block the
    ranks sum to at least rank(Wbar_i - product of the block); otherwise each block is the best approximation.

    Parameters
    ----------
    frozen : ReluNetwork
        L layers of one width D; in every block all weights but the first must be non-singular. Rational networks
        (object arrays of Fraction or fmpq) are adapted over Q, exactly.
    target : ReluNetwork
        Lbar <= L layers of one width d <= D.
    ranks : int or L ints
    domain : Box or Ball
        Inputs of the target.
    partition : None, "best", sizes of blocks, or lists of layers
        None is the uniform partition. "best" is the one whose largest lack of rank is least; its cost is
        O(L^2 Lbar) ranks.

    Returns
    -------
    AdaptedReluNetwork

    Raises
    ------
    ValueError
        If the input is malformed, a weight is singular where it must not be, or the ranks do not suffice over Q.
    """
    D, d = check_networks(frozen, target)
    if is_rational(frozen.weights[0]):
        frozen, target = _over_Q(frozen), _over_Q(target)
    L, Lbar = frozen.depth, target.depth
    budget = check_ranks(ranks, L)
    if isinstance(partition, str):
        if partition != "best":
            raise ValueError(f"partition is {partition!r}; pass 'best', the block sizes, or None for the uniform one")
        needed = required_ranks(frozen.weights, [Corner(W) for W in target.weights])
        blocks = best_partition(L, Lbar, lambda i, b: max(0, needed(i, b) - sum(budget[l] for l in b)))
    else:
        blocks = read_partition(partition, L, Lbar)

    region = Region.of(domain, d, D, frozen.weights[0])
    layers: list[Array] = []
    biases: list[Array] = []
    chains: list[AdaptedChain] = []
    for i, indices in enumerate(blocks):
        weights = [frozen.weights[l] for l in indices]
        chain = _adapt_block(weights, Corner(target.weights[i]), [budget[l] for l in indices], indices)
        merged = [a.merge(W) for W, a in zip(weights, chain.adapters, strict=True)]
        block_biases, region = active_biases(merged, target.biases[i], region)
        layers, biases, chains = layers + merged, biases + block_biases, [*chains, chain]
    return AdaptedReluNetwork(
        network=ReluNetwork(layers, biases),
        adapters=[a for chain in chains for a in chain.adapters],
        biases=biases,
        partition=blocks,
        conditioning=max((chain.conditioning for chain in chains), key=lambda c: c.rounding),
        bound=_bound(target, [chain.bound for chain in chains], domain),
        target=target,
        domain=domain,
    )


def adapt_rational_network(
    frozen: ReluNetwork,
    target: ReluNetwork,
    ranks: int | Sequence[int],
    *,
    domain: Domain,
    partition: str | Sequence[int] | Sequence[Sequence[int]] | None = None,
) -> AdaptedReluNetwork:
    """Return what `adapt_by_blocks` does, over Q: floating networks are read as the dyadic rationals that they hold.

    The networks may hold ``fmpq_mat`` weights; ``adapters`` are `exact.RationalAdapter`, the weights and biases of
    ``network`` object arrays of ``fmpq``. ValueError if the ranks do not suffice for an exact representation.

    Examples
    --------
    >>> from lora_proofs import Box, exact
    >>> one, zero = [[1, 0], [0, 1]], [0, 0]
    >>> frozen = ReluNetwork([exact.array(one)] * 2, [exact.array(zero)] * 2)
    >>> target = ReluNetwork([exact.array([[1, 1], [0, 1]])], [exact.array(zero)])
    >>> exact.adapt_relu_network(frozen, target, 1, domain=Box(-1, 1)).certificate.evidence
    'exact'
    """
    for name, network in (("frozen", frozen), ("target", target)):
        if not isinstance(network, ReluNetwork):
            raise ValueError(f"{name} is of type {type(network).__name__}; pass a ReluNetwork(weights, biases)")
    return adapt_by_blocks(_over_Q(frozen), _over_Q(target), ranks, domain=domain, partition=partition)


def _over_Q(network: ReluNetwork) -> ReluNetwork:
    return ReluNetwork([array(W) for W in network.weights], [array(b) for b in network.biases])


def check_networks(frozen: ReluNetwork, target: ReluNetwork) -> tuple[int, int]:
    """Return the widths (D, d), or raise ValueError if the frozen network cannot be adapted to the target."""
    for name, network in (("frozen", frozen), ("target", target)):
        if not isinstance(network, ReluNetwork):
            raise ValueError(f"{name} is of type {type(network).__name__}; pass a ReluNetwork(weights, biases)")
        if len(set(network.widths)) > 1:
            raise ValueError(
                f"the {name} network has widths {network.widths}; the theorem needs one width for all layers"
            )
    D, d = frozen.d_in, target.d_in
    if d > D:
        raise ValueError(f"the target has width {d}, the frozen network only {D}; pass a target that is no wider")
    if target.depth > frozen.depth:
        raise ValueError(f"the target has {target.depth} layers, the frozen network only {frozen.depth}")
    everything = [*frozen.weights, *frozen.biases, *target.weights, *target.biases]
    if len({is_rational(x) for x in everything}) > 1:
        raise ValueError("some weights or biases are rational and some floating; pass one kind (exact.array converts)")
    check_one_kind(**{f"array_{i}": x for i, x in enumerate(everything)})
    return D, d


@dataclass(frozen=True, eq=False)
class Corner:
    """The map from the product of a block to its goal: the target's matrix in the first d rows and columns."""

    weight: Array

    def __call__(self, Pi: Array) -> Array:
        """Return Pi with the weight in its corner."""
        xp, d = namespace(Pi), self.weight.shape[0]
        return xp.concat([xp.concat([self.weight, Pi[:d, d:]], axis=1), Pi[d:, :]], axis=0)


def _adapt_block(weights: list[Array], corner: Corner, ranks: list[int], indices: range) -> AdaptedChain:
    try:
        return adapt_chain(weights, corner(chain_product(weights)), ranks)
    except ValueError as error:
        raise ValueError(f"in the block of layers {indices[0] + 1} to {indices[-1] + 1}: {error}") from None


def _bound(target: ReluNetwork, tails: Sequence[Any], domain: Domain) -> Any:
    if not any(tails):
        return Fraction(0)
    norms = [norm(np.asarray(to_numpy(W), dtype=float)) for W in target.weights]
    biases = [hypot(*np.asarray(to_numpy(b), dtype=float)) for b in target.biases]
    return corrected_bound([float(E) for E in tails], norms, biases, domain.largest_norm(target.d_in))
