r"""Adapters and biases that turn a frozen transformer into a target of the same size (Zeng & Lee, Theorem 7).

A head enters a block only through the products M = W_K^T W_Q and W_1 N, N = W_O W_V, and each is a Lemma 1 problem of
two factors. With the target's tokens Zbar = C Z at the block's entry (C = I at the first),

    adapted M = C^T Mbar C,    adapted W_1 N = Wbar_1 Nbar C,    b_1 = bbar_1

make the logits and the pre-activations of block l those of the target, whatever the input: the ReLUs are matched, not
linearised, so no bounded domain is needed. W_2 stays frozen in all blocks but the last, so the next block has
C = Wbar_2 W_2^{-1}, and C b_2 = bbar_2; in the last block W_out W_2 is one more product of two factors, and
W_out b_2 = Wbar_out bbar_2.

What is inverted is frozen: W_K, W_O, W_out, W_1, and W_2 of all blocks but the last. The target's matrices may be
singular, as long as its biases b_2 can still be transported, and no truncation LR_r(E) need be non-singular.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from lora_proofs.adapters import Adapter
from lora_proofs.constructions.certificate import Certificate
from lora_proofs.constructions.chain.conditioning import Conditioning
from lora_proofs.constructions.chain.linear_chain import adapt_chain
from lora_proofs.constructions.chain.operators import LU
from lora_proofs.constructions.transformer.certify import certify_transformer, check_same_size, standard_radius
from lora_proofs.display import Readable
from lora_proofs.domains import Ball
from lora_proofs.exact import algebra, matrices
from lora_proofs.exact.adapter import RationalAdapter
from lora_proofs.exact.matrices import fraction
from lora_proofs.linalg import (
    Array,
    check_ranks,
    is_object,
    like,
    namespace,
    numerical_rank,
    scalar,
    spectral_norm,
    to_numpy,
)
from lora_proofs.networks.transformer import TransformerNetwork
from lora_proofs.precision import lift

_TOKENS = 10
_SAMPLES = 64
"""Inputs, of `_TOKENS` tokens each, on which `AdaptedTransformer.error` is measured."""

_DIGITS = 30
"""Decimal digits with which outputs beyond the range of floats are measured."""


@dataclass(frozen=True, eq=False, repr=False)
class AdaptedTransformer(Readable):
    """The result of `adapt_transformer`.

    Attributes
    ----------
    network : TransformerNetwork
        The adapted network.
    adapters : list of Adapter (over Q, of `exact.RationalAdapter`)
        One a weight matrix, in the order of ``network.weights`` and ``network.named_weights``; of rank 0 for W_1, for
        W_2 of all blocks but the last, and for every matrix that needs no update.
    biases : list of array
        In the order of ``network.biases``.
    conditioning : Conditioning
        That of the worst two-factor problem.
    target : TransformerNetwork
    """

    network: TransformerNetwork
    adapters: list[Any]
    biases: list[Array]
    conditioning: Conditioning
    target: TransformerNetwork

    @property
    def named_adapters(self) -> dict[str, Any]:
        """The adapters of positive rank, by the names of ``network.named_weights``."""
        named = zip(self.network.named_weights, self.adapters, strict=True)
        return {name: adapter for name, adapter in named if adapter.rank}

    @cached_property
    def certificate(self) -> Certificate:
        """Whether the matrix identities of Theorem 7 hold, which make the two functions equal for every input.

        See `certify_transformer`. ``certificate.error`` bounds the difference for tokens of norm at most sqrt(D).
        """
        return certify_transformer(self.network, self.target)

    @cached_property
    def _samples(self) -> tuple[Any, Any]:
        """The root mean squares of ||f(z) - target(z)||_2 and of ||target(z)||_2 over the tokens of seeded inputs."""
        import mpmath

        networks, W = (self.network, self.target), self.network.W_out
        if is_object(W):
            distance, size = _sampled(*networks, inputs=1)
            return distance, size or 1.0
        distance, size = _sampled(*networks, inputs=_SAMPLES)
        limits = namespace(W).finfo(W.dtype)
        if isfinite(distance) and float(limits.smallest_normal / limits.eps) < size < float("inf"):
            return distance, size
        with mpmath.workdps(_DIGITS):
            distance, size = _sampled(_lifted(self.network), _lifted(self.target), inputs=1)
        return distance, size or 1.0

    @property
    def error(self) -> Any:
        """The relative output error ||f(Z) - target(Z)||_F / ||target(Z)||_F, over seeded inputs Z together.

        The inputs are 64 of 10 tokens each (one, for mpf), of norm at most sqrt(D), as standard normal ones have. Over
        Q there is no forward pass, and the error is the Fraction 0 by the identities.
        """
        if self.network.is_rational:
            return self.certificate.error
        distance, size = self._samples
        return distance / size if is_object(self.network.W_out) else float(distance / size)

    @property
    def bound(self) -> Any:
        """A rigorous upper bound of `error`, for any inputs with tokens of norm at most sqrt(D).

        It is ``certificate.error`` over the root mean square of the target's output tokens, those that `error` sees. It
        follows from what is left of the matrix identities, whatever the ranks; attention is steep, so that it soon
        exceeds 1 where they do not suffice. What rounding adds to `error` in the forward passes is not in it.
        """
        certified = self.certificate.error
        if self.network.is_rational or certified is None:
            return certified
        try:
            return float(certified / fraction(self._samples[1]))
        except OverflowError:
            return float("inf")

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        ranks = {name: adapter.rank for name, adapter in self.named_adapters.items()}
        rows = {
            "ranks": f"up to {max(ranks.values(), default=0)}, {len(ranks)} of {len(self.adapters)} matrices adapted"
        }
        rows["conditioning"], _ = self.conditioning.summary()
        if "certificate" in vars(self):  # it takes time: it is shown once it has been asked for
            rows["certificate"], _ = self.certificate.summary()
        return self.network.summary()[0], rows


def _sampled(network: TransformerNetwork, target: TransformerNetwork, inputs: int) -> tuple[Any, Any]:
    """Return the root mean squares of ||f(z) - target(z)||_2 and ||target(z)||_2 over the tokens of seeded inputs."""
    W, D = network.W_out, network.width
    xp = namespace(W)
    tokens = Ball(standard_radius(D)).sample(np.random.default_rng(0), inputs * _TOKENS, D)
    Z = like(W, tokens.reshape(_TOKENS, inputs, D).transpose(1, 2, 0))
    with np.errstate(all="ignore"):
        expected, found = target(Z), network(Z)
        scale = scalar(xp.max(xp.abs(expected))) or 1.0

        def size(outputs: Array) -> Any:
            return scalar(xp.sqrt(xp.sum((outputs / scale) ** 2) / (inputs * _TOKENS))) * scale

        return size(found - expected), size(expected)


def _lifted(network: TransformerNetwork) -> TransformerNetwork:
    """Return the network in mpf."""
    weights, biases = ([lift(to_numpy(x), _DIGITS) for x in arrays] for arrays in (network.weights, network.biases))
    return network.replaced(dict(zip(network.named_weights, weights, strict=True)), biases)


def adapt_transformer(
    frozen: TransformerNetwork, target: TransformerNetwork, ranks: int | Sequence[int]
) -> AdaptedTransformer:
    """Return adapters and biases with which the frozen transformer equals the target on every input.

    Zeng & Lee, Theorem 7 (arXiv 2310.17513v3): adapters on W_Q, W_K, W_V, W_O of every head, on W_2 of the last block
    and on W_out, and new biases. The functions are equal if the ranks of the two factors of each product sum to at
    least the rank of its gap (see `functionality_gaps`); where they do not, that product is the best approximation,
    for floating networks, and an error over Q.

    Parameters
    ----------
    frozen, target : TransformerNetwork
        Of the same depth, number of heads and width. Rational networks are adapted over Q, exactly. Frozen W_K, W_O,
        W_1, W_out, and W_2 of all blocks but the last, must be non-singular.
    ranks : int, or one int a weight matrix
        One rank for all adapters, or one for each of ``frozen.weights``, in their order; those of the matrices that
        Theorem 7 leaves frozen are not spent.

    Returns
    -------
    AdaptedTransformer

    Raises
    ------
    ValueError
        If the networks differ in size or arithmetic, a frozen weight is singular where it must not be, a product of
        the weights leaves the range of floats, or, over Q, the ranks do not suffice or a bias of the target cannot be
        transported.

    Examples
    --------
    >>> import numpy as np
    >>> from lora_proofs import TransformerBlock, TransformerNetwork
    >>> rng = np.random.default_rng(0)
    >>> def draw():
    ...     W = lambda: rng.standard_normal((2, 2))
    ...     block = TransformerBlock([W()], [W()], [W()], [W()], W(), np.zeros(2), W(), np.zeros(2))
    ...     return TransformerNetwork([block], W())
    >>> adapted = adapt_transformer(draw(), draw(), 1)
    >>> adapted.certificate.holds
    True
    """
    check_same_size(frozen, target, names=("frozen", "target"))
    named = frozen.named_weights
    budget = dict(zip(named, check_ranks(ranks, len(named)), strict=True))
    _check_invertible(frozen)
    with np.errstate(over="ignore", invalid="ignore"):
        C = _calibrations(frozen, target)
        pairs = [*_pairs(frozen, target, C)]
    found: dict[str, Any] = {}
    conditionings: list[Conditioning] = []
    for pair in pairs:
        adapters, conditioning = _adapt_pair(pair, named, budget)
        found |= adapters
        conditionings.append(conditioning)
    merged = {name: adapter.merge(named[name]) for name, adapter in found.items()}
    biases: list[Array] = []
    for l, goal in enumerate(target.blocks):
        last = l == frozen.depth - 1
        onward, wanted = (merged["W_out"], target.W_out @ goal.b_2) if last else (C[l + 1], goal.b_2)
        biases += [goal.b_1, _transported(l, onward, wanted)]
    kind = RationalAdapter if frozen.is_rational else Adapter
    return AdaptedTransformer(
        network=frozen.replaced(merged, biases),
        adapters=[found.get(name) or kind.zero(W.shape[0], W.shape[1], like=W) for name, W in named.items()],
        biases=biases,
        conditioning=max(conditionings, key=lambda c: c.rounding),
        target=target,
    )


def functionality_gaps(frozen: TransformerNetwork, target: TransformerNetwork) -> list[int]:
    """Return the rank-based functionality gaps G_1, ..., G_{L+1} of Zeng & Lee, section 4: R >= max ceil(G_i / 2) does.

    With B_0 = I and B_i the W_2 of block i, for each of the two networks: G_i, i <= L, is the largest rank over the
    heads of the differences of the two B_{i-1}^T W_K^T W_Q B_{i-1}, and of the two W_1 W_O W_V B_{i-1}; G_{L+1} that of
    the two W_out W_2. Exact for rational networks, numerical ranks for floating ones.
    """
    check_same_size(frozen, target, names=("frozen", "target"))

    def products(network: TransformerNetwork) -> Iterator[list[Array]]:
        for l, block in enumerate(network.blocks):
            V, Q, K = block.W_V, block.W_Q, block.W_K
            if l:
                B = network.blocks[l - 1].W_2
                V, Q, K = ([W @ B for W in part] for part in (V, Q, K))
            logits = [k.T @ q for k, q in zip(K, Q, strict=True)]
            yield logits + [block.W_1 @ o @ v for o, v in zip(block.W_O, V, strict=True)]
        yield [network.W_out @ network.blocks[-1].W_2]

    return [
        max(_rank_of_difference(a, b) for a, b in zip(ours, theirs, strict=True))
        for ours, theirs in zip(products(target), products(frozen), strict=True)
    ]


class _Pair(NamedTuple):
    """A two-factor problem: adapters on the weights called `inner` and `outer` with outer @ inner = target."""

    inner: str
    outer: str
    target: Array
    transposed: bool = False  # the outer factor is the transposed weight, as in W_K^T W_Q


def _calibrations(frozen: TransformerNetwork, target: TransformerNetwork) -> list[Array]:
    """Return C_0 = I and C_l = Wbar_2 W_2^{-1}, l < L: the tokens of the target are C_l times the frozen's."""
    W = frozen.W_out
    start = like(W, np.eye(W.shape[0]))
    pairs = zip(frozen.blocks[:-1], target.blocks[:-1], strict=True)
    return [start, *(LU(own.W_2).divide_right(goal.W_2) for own, goal in pairs)]


def _pairs(frozen: TransformerNetwork, target: TransformerNetwork, calibrations: Sequence[Array]) -> Iterator[_Pair]:
    """Yield the two-factor problems of all heads and of the output layer."""
    for l, (own, goal) in enumerate(zip(frozen.blocks, target.blocks, strict=True)):
        W_1 = LU(own.W_1)
        for h in range(own.heads):
            logits = (goal.W_K[h] @ calibrations[l]).T @ (goal.W_Q[h] @ calibrations[l])
            yield _Pair(f"blocks.{l}.W_Q.{h}", f"blocks.{l}.W_K.{h}", logits, transposed=True)
            values = W_1.solve(goal.W_1 @ goal.W_O[h] @ goal.W_V[h] @ calibrations[l])
            yield _Pair(f"blocks.{l}.W_V.{h}", f"blocks.{l}.W_O.{h}", values)
    yield _Pair(f"blocks.{frozen.depth - 1}.W_2", "W_out", target.W_out @ target.blocks[-1].W_2)


def _adapt_pair(pair: _Pair, weights: dict[str, Array], budget: dict[str, int]) -> tuple[dict[str, Any], Conditioning]:
    """Return the adapters of the two weights by name, and how well conditioned they are."""
    inner, outer = weights[pair.inner], weights[pair.outer]
    xp = namespace(inner)
    if not is_object(inner) and not bool(xp.all(xp.isfinite(pair.target))):
        raise ValueError(
            f"what {pair.inner} and {pair.outer} are to become, products of the target's weights, leaves the range of "
            f"{inner.dtype}; divide the weights by a power of two, or pass them as rationals"
        )
    factors = [inner, outer.T if pair.transposed else outer]
    try:
        chain = adapt_chain(factors, pair.target, [budget[pair.inner], budget[pair.outer]])
    except ValueError as error:
        raise ValueError(f"W_1 = {pair.inner}, W_2 = {pair.outer}: {error}") from None
    on_inner, on_outer = chain.adapters
    return {pair.inner: on_inner, pair.outer: on_outer.T if pair.transposed else on_outer}, chain.conditioning


def _transported(layer: int, onward: Array, wanted: Array) -> Array:
    """Return the bias b_2 of a block with onward @ b_2 = wanted; in floats of least residual where there is none."""
    try:
        return LU(onward.T).divide_right(wanted[None, :])[0, :]
    except ValueError:
        raise ValueError(
            f"the target's b_2 of block {layer} is not in the range of its W_2, which is singular, so no bias of the "
            "frozen block stands for it; pass a target with a non-singular W_2"
        ) from None


def _check_invertible(frozen: TransformerNetwork) -> None:
    """Raise ValueError unless the frozen matrices that are inverted without an adapter are non-singular."""
    for l, block in enumerate(frozen.blocks):
        for name in ("W_1", "W_2") if l < frozen.depth - 1 else ("W_1",):
            if LU(getattr(block, name)).singular:
                raise ValueError(
                    f"blocks.{l}.{name} of the frozen network is singular; Theorem 7 does not adapt it and needs it "
                    "non-singular"
                )


def _rank_of_difference(own: Array, goal: Array) -> int:
    if matrices.is_rational(own):
        return algebra.rank(own - goal)
    return numerical_rank(own - goal, scale=spectral_norm(own) + spectral_norm(goal)).rank
