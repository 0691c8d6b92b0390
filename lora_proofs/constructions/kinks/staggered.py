r"""Adapted networks whose layers share the kinks of a target layer neuron by neuron (sharper than Theorem 3).

At D = 16, L = 3 and two target layers, Theorem 3 of Zeng & Lee (arXiv 2310.17513v3) needs rank 16, and rescaling the
hidden layer does not help enough; giving half of the first layer's kinks to each of the first two frozen layers makes
rank 10 suffice. `kinks` has the equations; this module builds the network from a solution and follows it neuron by
neuron. With z the target's pre-activations, those that are bent already being replaced by ReLU(z_i), the state after a
layer that is given neurons is

    h = T z + c,    c_i = 0 for the neurons that this layer bends, else large enough for neuron i to be active.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs.constructions.certificate import Certificate, decimal, read_tolerance
from lora_proofs.constructions.chain.linear_chain import adapt_linear_chain
from lora_proofs.constructions.kinks.pencils import Floats
from lora_proofs.constructions.kinks.system import (
    KinkSystem,
    Node,
    float_networks,
    read_kinks,
    solve_kinks,
    solve_some_kinks,
)
from lora_proofs.constructions.relu.blocks import AdaptedReluNetwork
from lora_proofs.constructions.relu.certify import conclude
from lora_proofs.constructions.relu.reach import Survey, largest
from lora_proofs.constructions.relu.regions import Affine, ExactRegion, Region, exact_layers
from lora_proofs.domains import Domain, check_domain
from lora_proofs.exact.algebra import absolute
from lora_proofs.exact.matrices import identity, matrix, vector, zeros
from lora_proofs.linalg import Array, check_rank, check_ranks, to_numpy
from lora_proofs.networks.relu import ReluNetwork


@dataclass(frozen=True, eq=False, repr=False)
class StaggeredNetwork(AdaptedReluNetwork):
    """The result of `adapt_staggered`: ``partition`` lists the layers between the nodes of ``solution``.

    Attributes
    ----------
    solution : KinkSystem
        Which layer bends which neuron, and the equations that the mixing matrices T solve.
    root : float array
        The floating solution that the adapters are made from.
    """

    solution: KinkSystem
    root: Floats

    @cached_property
    def certificate(self) -> Certificate:
        """Whether this floating network equals the target on the whole domain: see `certify_staggered`."""
        return certify_staggered(self.network, self.solution, self.root, self.domain)

    @cached_property
    def existence(self) -> Certificate:
        """Whether real adapters of these ranks equal the target exactly: see `KinkSystem.existence`."""
        return self.solution.existence(self.root)


def adapt_staggered(
    frozen: ReluNetwork,
    target: ReluNetwork,
    ranks: int | Sequence[int],
    *,
    domain: Domain,
    kinks: Sequence[int] | None = None,
    seed: int = 0,
) -> StaggeredNetwork:
    """Return adapters and biases for which each frozen layer bends some of the target's neurons.

    Parameters
    ----------
    frozen, target : ReluNetwork
        L and Lbar <= L layers, all of one width D; computed with in float64.
    ranks : int or L ints
    domain : Box or Ball
    kinks : L - 1 ints, optional
        How many neurons of the target layers 1, ..., Lbar - 1 the frozen layers 1, ..., L - 1 bend, in order; by
        default the simplest of several choices for which a solution is found.
    seed : int
        Of the starts of Newton's method.

    Returns
    -------
    StaggeredNetwork

    Raises
    ------
    ValueError
        If the input is malformed, or Newton's method finds no solution: too small ranks, or a system without one.
    """
    frozen, target = float_networks(frozen, target)
    D, L = frozen.d_in, frozen.depth
    budget = check_ranks(ranks, L)
    rng = np.random.default_rng(check_rank("seed", seed))
    if kinks is None:
        found = next(solve_some_kinks(frozen, target, budget, rng), None)
        if found is None:
            raise ValueError(
                f"no solution was found for the ranks {budget}, with the kinks shared in the simplest ways; pass "
                "larger ranks, or kinks"
            )
        solution, root = found
    else:
        solution, root = solve_kinks(frozen, target, read_kinks(kinks, D, L, target.depth), budget, rng)
    mixings = [np.eye(D), *solution.mixings(root)]
    blocks = [range(s, e) for s, e in pairwise([0, *(node.layer for node in solution.nodes)])]
    chains = [
        adapt_linear_chain([frozen.weights[l] for l in P], T @ Z @ np.linalg.inv(S), [budget[l] for l in P])
        for P, (S, T), (Z, _) in zip(blocks, pairwise(mixings), solution.steps(), strict=True)
    ]
    adapters = [a for chain in chains for a in chain.adapters]
    layers = [to_numpy(a.merge(W)) for W, a in zip(frozen.weights, adapters, strict=True)]
    biases: list[Array] = [*_biases(layers, solution, mixings, domain)]
    return StaggeredNetwork(
        network=ReluNetwork(layers, biases),
        adapters=adapters,
        biases=biases,
        partition=blocks,
        conditioning=max((chain.conditioning for chain in chains), key=lambda c: c.rounding),
        bound=Fraction(0),
        target=target,
        domain=domain,
        solution=solution,
        root=root,
    )


def _biases(layers: list[Floats], solution: KinkSystem, mixings: list[Floats], domain: Domain) -> list[Floats]:
    """Return the biases that bend the neurons given to each layer at their place, and keep all others active.

    They allow for ``error``, which bounds how far the state after a node is from T z + c: a chain of layers misses T Z
    by more than a rounding where Newton's method left more, and later layers may magnify it.
    """
    D = layers[0].shape[0]
    margin = 64 * D * 2.0**-53  # some roundings of F h, so that an active neuron is active in spite of them
    lower, upper = (np.asarray(bound.tolist(), dtype=float) for bound in check_domain(domain).bounds(D))
    error = offset = np.zeros(D)
    biases, start = [], 0
    for node, (Z, b), (before, mixing) in zip(solution.nodes, solution.steps(), pairwise(mixings), strict=True):
        region, size = Region.between(lower, upper), np.maximum(abs(lower), abs(upper))
        carried, product = error, before
        for l in range(start, node.layer):
            layer, last = layers[l], l == node.layer - 1
            shift = layer @ offset
            carried = abs(layer) @ carried + margin * (abs(layer) @ (abs(product) @ size + offset))
            product = layer @ product
            bias = mixing @ b if last else np.zeros(D)
            offset = np.maximum(0.0, carried - (to_numpy(region.extent(product)[0]) + bias))
            if last:
                offset[node.neurons] = 0.0
            biases.append(offset + bias - shift)
        error = carried + abs(product - mixing @ Z) @ size
        # The target's next pre-activations, and of those that are bent here what ReLU leaves.
        middle, radius = Z @ (lower + upper) / 2 + b, abs(Z) @ (upper - lower) / 2
        lower, upper, start = middle - radius, middle + radius, node.layer
        lower[node.neurons], upper[node.neurons] = (np.maximum(0.0, v[node.neurons]) for v in (lower, upper))
    return biases


def certify_staggered(
    network: ReluNetwork, solution: KinkSystem, root: Floats, domain: Domain, *, tolerance: float = 1e-8
) -> Certificate:
    r"""Certify that a network of this form equals the target on the whole domain, up to a bound of the deviation.

    `certify_relu_network` follows whole layers; here the target is followed neuron by neuron. Shown of the state after
    each node, for all x of the domain (a ball is replaced by its box) and over Q, is |h - T z - c| <= e: in between,
    every neuron is active; at a node, the neurons that it bends have the pre-activation T_ii z_i up to e_i, so that
    ReLU makes T_ii ReLU(z_i) up to e_i of it, and the others are active. At the output T = 1 and c = 0. So whatever T
    the root stands for, the verdict is about the network as it is stored and the target.

    Returns
    -------
    Certificate
        ``evidence`` is "certified"; ``error`` bounds |f_k(x) - target_k(x)| for all x and k. ``holds`` is what it is
        for `certify_relu_network`.
    """
    allowed = read_tolerance(tolerance)
    D = network.d_in
    survey, layers = Survey(network, solution.target, domain), exact_layers(network)
    box = ExactRegion.between(*domain.bounds(D))
    state = _State(0, box, Affine.identity(D), zeros(D, 1))
    reasons: list[str] = []
    for node, T, (Z, b) in zip(solution.nodes, solution.mixings(root), solution.steps(), strict=True):
        followed = _active_until(node, layers, state, reasons)
        if followed is None:
            return conclude(survey, None, reasons, "certified", allowed)
        mixing, step = matrix(T), Affine(matrix(Z), vector(b))
        if any(mixing[i, i] <= 0 for i in node.neurons):
            reasons.append(f"layer {node.layer}: a scale is not positive, so ReLU does not pass it on")
            return conclude(survey, None, reasons, "certified", allowed)
        offset, deviation = _imitation_error(node, followed, mixing, step, state)
        state = _bent_state(node, mixing, step, state.region, offset, deviation)
    return conclude(survey, largest(state.deviation.entries()), reasons, "certified", allowed)


class _State(NamedTuple):
    """What is shown of the state h after a layer: |h - T z - c| <= deviation, entry by entry, for z in the region."""

    layer: int
    region: ExactRegion
    affine: Affine  # z -> T z + c
    deviation: fmpq_mat


def _active_until(
    node: Node, layers: Sequence[Affine], state: _State, reasons: list[str]
) -> tuple[Affine, fmpq_mat] | None:
    """Follow the layers up to a node, all of whose neurons must be active but those that the node bends.

    Returns the map from z to the node's pre-activations, and bounds of how far these are from it; or None, and the
    reason why.
    """
    affine, product = state.affine, identity(state.affine.weight.nrows())
    for l in range(state.layer, node.layer):
        affine, product = affine.then(layers[l]), layers[l].weight * product
        carried = (absolute(product) * state.deviation).entries()
        low = [v - e for v, e in zip(state.region.extent(affine)[0], carried, strict=True)]
        bent = node.neurons if l + 1 == node.layer else range(0)
        least = min((v for i, v in enumerate(low) if i not in bent), default=fmpq(0))
        if least < 0:
            reasons.append(f"layer {l + 1}: a neuron that should be active may be as low as {decimal(least)}")
            return None
        reasons.append(
            f"layer {l + 1}: {len(low) - len(bent)} neurons are active"
            + (f", {len(bent)} are those of target layer {node.target}" if bent else "")
        )
    return affine, absolute(product) * state.deviation


def _imitation_error(
    node: Node, followed: tuple[Affine, fmpq_mat], mixing: fmpq_mat, step: Affine, state: _State
) -> tuple[fmpq_mat, fmpq_mat]:
    """Return c and e with |pre-activations - T (Z z + b) - c| <= e: what is constant goes into c where ReLU is idle."""
    affine, carried = followed
    rest, shift = affine.weight - mixing * step.weight, affine.offset - mixing * step.offset
    centre = (rest * state.region.centre + shift).entries()
    spread = (absolute(rest) * state.region.radius + carried).entries()
    offset = vector([0 if i in node.neurons else v for i, v in enumerate(centre)])
    pairs = enumerate(zip(spread, centre, strict=True))
    return offset, vector([s + abs(v) if i in node.neurons else s for i, (s, v) in pairs])


def _bent_state(
    node: Node, mixing: fmpq_mat, step: Affine, region: ExactRegion, offset: fmpq_mat, deviation: fmpq_mat
) -> _State:
    """Return what is shown after ReLU has bent the node's neurons: of those, z and the pre-activations are cut at 0."""
    centre, spread = step.weight * region.centre + step.offset, absolute(step.weight) * region.radius
    high = (mixing * (centre + spread)).entries()  # of the bent neurons, where T is diagonal
    pairs = enumerate(zip(deviation.entries(), high, strict=True))
    least = vector([min(e, max(fmpq(0), top + e)) if i in node.neurons else e for i, (e, top) in pairs])
    corners = (
        [max(v, fmpq(0)) if i in node.neurons else v for i, v in enumerate(bound.entries())]
        for bound in (centre - spread, centre + spread)
    )
    return _State(node.layer, ExactRegion.between(*corners), Affine(mixing, offset), least)
