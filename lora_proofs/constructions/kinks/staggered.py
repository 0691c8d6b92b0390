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
from itertools import accumulate, pairwise

import flint
import numpy as np

from lora_proofs.constructions.certificate import Certificate, decimal, read_tolerance
from lora_proofs.constructions.chain.linear_chain import adapt_linear_chain
from lora_proofs.constructions.kinks.pencils import Floats
from lora_proofs.constructions.kinks.system import KinkSystem, float_networks, read_kinks, solve_kinks, solve_some_kinks
from lora_proofs.constructions.relu.blocks import AdaptedReluNetwork
from lora_proofs.constructions.relu.certify import conclude
from lora_proofs.constructions.relu.reach import Survey, absolute, around, column, largest
from lora_proofs.domains import Domain
from lora_proofs.exact import matrices as exact
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
    lower, upper = (np.asarray(bound.tolist(), dtype=float) for bound in around(domain).bounds(D))
    error = np.zeros(D)
    c, biases, start = np.zeros(D), [], 0
    for node, (Z, b), (S, T) in zip(solution.nodes, solution.steps(), pairwise(mixings), strict=True):
        size = np.maximum(abs(lower), abs(upper))
        block = layers[start : node.layer]
        before, carried = S, error
        for F, P in zip(block, accumulate(block, lambda P, F: F @ P, initial=S), strict=False):
            P, shift, slack = F @ P, F @ c, margin * (abs(F) @ (abs(before) @ size + c))
            carried = abs(F) @ carried + slack
            last = start == node.layer - 1
            offset = T @ b if last else np.zeros(D)
            low = P @ (lower + upper) / 2 - abs(P) @ (upper - lower) / 2 + offset
            c = np.maximum(0.0, carried - low)
            if last:
                c[node.neurons] = 0.0
            biases.append(c + offset - shift)
            before, start = P, start + 1
        error = carried + abs(P - T @ Z) @ size
        middle, radius = Z @ (lower + upper) / 2 + b, abs(Z) @ (upper - lower) / 2
        lower, upper = middle - radius, middle + radius
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
    D, target = network.d_in, solution.target
    survey = Survey(network, target, domain)
    layers = [(exact.matrix(W), column(b)) for W, b in zip(network.weights, network.biases, strict=True)]
    lower, upper = (column(bound) for bound in around(domain).bounds(D))
    S, c, e = exact.identity(D), column([0] * D), column([0] * D)
    reasons: list[str] = []
    start = 0
    for node, T, (Z, b) in zip(solution.nodes, solution.mixings(root), solution.steps(), strict=True):
        T, Z, b = exact.matrix(T), exact.matrix(Z), column(b)
        middle, radius = (lower + upper) / 2, (upper - lower) / 2
        P, q, product = S, c, exact.identity(D)
        for l in range(start, node.layer):
            W, bias = layers[l]
            P, q, product = W * P, W * q + bias, W * product
            low = (P * middle + q - absolute(P) * radius - absolute(product) * e).entries()
            bent = node.neurons if l + 1 == node.layer else range(0)
            least = min((v for i, v in enumerate(low) if i not in bent), default=flint.fmpq(0))
            if least < 0:
                reasons.append(f"layer {l + 1}: a neuron that should be active may be as low as {decimal(least)}")
                return conclude(survey, None, reasons, "certified", allowed)
            reasons.append(
                f"layer {l + 1}: {D - len(bent)} neurons are active"
                + (f", {len(bent)} are those of target layer {node.target}" if bent else "")
            )
        rest, shift = P - T * Z, q - T * b
        centre, spread = (
            (rest * middle + shift).entries(),
            (absolute(rest) * radius + absolute(product) * e).entries(),
        )
        c = column([0 if i in node.neurons else v for i, v in enumerate(centre)])
        e = column(
            [s + abs(v) if i in node.neurons else s for i, (s, v) in enumerate(zip(spread, centre, strict=True))]
        )
        if any(T[i, i] <= 0 for i in node.neurons):
            reasons.append(f"layer {node.layer}: a scale is not positive, so ReLU does not pass it on")
            return conclude(survey, None, reasons, "certified", allowed)
        centre, spread = Z * middle + b, absolute(Z) * radius
        high = (T * (centre + spread)).entries()  # of the bent neurons, where T is diagonal
        e = column(
            [
                min(v, max(flint.fmpq(0), top + v)) if i in node.neurons else v
                for i, (v, top) in enumerate(zip(e.entries(), high, strict=True))
            ]
        )
        lower, upper = (
            column([max(v, flint.fmpq(0)) if i in node.neurons else v for i, v in enumerate(bound.entries())])
            for bound in (centre - spread, centre + spread)
        )
        S, start = T, node.layer
    return conclude(survey, largest(e.entries()), reasons, "certified", allowed)
