r"""Where an adapted network may put the kinks of its target, and the equations that this leaves.

Theorem 3 of Zeng & Lee (arXiv 2310.17513v3) imitates whole layers at a fixed scale; this is more general, and sharper.
Let z^k be the pre-activations of target layer k, M_k = Wbar_k ... Wbar_1, and N_l the product of the first l adapted
layers. Give every neuron i of every hidden target layer k to a frozen layer l(k, i), layer after layer, and ask

    T_l = N_l M_k^{-1}  (k = k(l), the target layer whose kinks layer l makes)

to have in row and column i, for each neuron i that it is given, one entry only, the diagonal one, and that positive.
Then layer l can bend z_i alone: its neuron i does so, its other neurons mix the other coordinates and are kept active.
Rescaling whole layers (*gauge*) is the case where every target layer is given to one frozen layer: T_l is diagonal.

Between two layers s < e that are given neurons, Lemma 1 leaves only rank(T_e Z - Pi T_s) <= R_{s+1} + ... + R_e, with
Pi the frozen product and Z = 1 or the target's weight, whichever lies between. The T are unknown: linear pencils.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from lora_proofs.constructions.certificate import Certificate
from lora_proofs.constructions.kinks.count import kink_plans
from lora_proofs.constructions.kinks.krawczyk import BITS
from lora_proofs.constructions.kinks.pencils import Floats, LowRankSystem, Pencil
from lora_proofs.exact import algebra, matrices
from lora_proofs.linalg import check_rank, is_object, to_numpy
from lora_proofs.networks.relu import ReluNetwork

_TRIES = 6
"""Starts of Newton's method where other systems may be tried: those that have solutions mostly need one to five."""

_TRIES_OF_SCALES = 30
"""The same where the unknowns are scales only: the systems are small, and there is no other."""

_PLANS = 12
"""Systems that are tried."""


@dataclass(frozen=True)
class Node:
    """Frozen layer `layer` bends these neurons of target layer `target`; layers count from 1, neurons from 0."""

    layer: int
    target: int
    neurons: range

    def entries(self, width: int) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.bool_]]:
        """Return rows, columns and "is a scale" of the entries of T that are free."""
        given = np.isin(np.arange(width), self.neurons)
        rows, columns = np.nonzero(np.diag(given) | np.outer(~given, ~given))
        return rows, columns, given[rows]


def read_kinks(kinks: Sequence[int], D: int, L: int, Lbar: int) -> list[Node]:
    """Return the nodes for the numbers of neurons that layers 1, ..., L - 1 are given; layer L bends the output.

    Raises
    ------
    ValueError
        If these are not L - 1 numbers, of which consecutive ones sum to D for each hidden target layer.
    """
    if isinstance(kinks, str | bytes) or not isinstance(kinks, Sequence | np.ndarray):
        raise ValueError(f"kinks is of type {type(kinks).__name__}; pass a list of {L - 1} numbers of neurons")
    sizes = [check_rank(f"kinks[{l}]", n) for l, n in enumerate(kinks)]
    nodes, k, done = [], 1, 0
    for layer, n in enumerate(sizes, start=1):
        if n:
            nodes.append(Node(layer, k, range(done, done + n)))
            k, done = (k + 1, 0) if done + n == D else (k, done + n)
    if len(sizes) != L - 1 or any(v.neurons.stop > D for v in nodes) or (k, done) != (Lbar, 0):
        raise ValueError(
            f"kinks is {list(kinks)!r}; pass numbers of neurons for layers 1 to {L - 1}, consecutive ones of which "
            f"sum to the width {D} for each of the {Lbar - 1} hidden target layers"
        )
    return [*nodes, Node(L, Lbar, range(D))]


@dataclass(frozen=True, eq=False)
class KinkSystem:
    """The equations for given networks, places of the kinks and ranks; over Q, as the floats are read exactly.

    Attributes
    ----------
    frozen, target : ReluNetwork
        Of one width, in float64; the neurons of the target are in the order in which the nodes name them.
    nodes : list of Node
        The last one is the output, whose T is the identity.
    system : LowRankSystem
    """

    frozen: ReluNetwork
    target: ReluNetwork
    nodes: list[Node]
    system: LowRankSystem

    @classmethod
    def of(cls, frozen: ReluNetwork, target: ReluNetwork, nodes: list[Node], ranks: Sequence[int]) -> "KinkSystem":
        """Set up the pencils T_e Z - Pi T_s between consecutive nodes."""
        D = frozen.d_in
        weights = [matrices.matrix(W) for W in frozen.weights]
        one, total = matrices.identity(D), 0
        pencils: list[Pencil] = []
        positive: list[NDArray[np.bool_]] = []
        before: tuple[Node | None, Any] = (None, None)
        for node in nodes:
            s, previous = (before[0].layer, before[0].target) if before[0] else (0, 0)
            Pi = algebra.product(weights[s : node.layer])
            Z = matrices.matrix(target.weights[node.target - 1]) if node.target > previous else one
            constant, left, right, unknowns = 0 * one, [], [], []
            if node is nodes[-1]:
                constant += Z
            else:
                rows, columns, scales = node.entries(D)
                after = np.arange(total, total + len(rows))
                left, right, unknowns = [matrices.array(one)[:, rows]], [matrices.array(Z)[columns]], [after]
                positive, total = [*positive, scales], total + len(rows)
            if before[0] is None:
                constant -= Pi
            else:
                rows, columns, _ = before[0].entries(D)
                left, right = [*left, matrices.array(-Pi)[:, rows]], [*right, matrices.array(one)[columns]]
                unknowns = [*unknowns, before[1]]
            pencils.append(
                Pencil(
                    matrices.array(constant),
                    np.concatenate([np.empty((D, 0), dtype=object), *left], axis=1),
                    np.concatenate([np.empty((0, D), dtype=object), *right]),
                    np.concatenate([np.empty(0, dtype=int), *unknowns]),
                    sum(ranks[s : node.layer]),
                )
            )
            before = (node, None if node is nodes[-1] else after)
        return cls(frozen, target, nodes, LowRankSystem(pencils, np.concatenate([np.empty(0, dtype=bool), *positive])))

    def mixings(self, values: Any) -> list[Any]:
        """Return the matrices T of all nodes, the identity last; values may hold floats or balls."""
        D, start = self.frozen.d_in, 0
        out: list[Any] = []
        for node in self.nodes[:-1]:
            rows, columns, _ = node.entries(D)
            T = np.zeros((D, D), dtype=np.asarray(values).dtype)
            T[rows, columns] = values[start : start + len(rows)]
            out, start = [*out, T], start + len(rows)
        return [*out, np.eye(D)]

    def steps(self) -> list[tuple[Floats, Floats]]:
        """Return what the target does from node to node: its weight and bias, or the identity and zero."""
        D, previous, out = self.frozen.d_in, 0, []
        for node in self.nodes:
            k = node.target
            layer = to_numpy(self.target.weights[k - 1]), to_numpy(self.target.biases[k - 1])
            out.append(layer if k > previous else (np.eye(D), np.zeros(D)))
            previous = k
        return out

    def existence(self, root: Floats) -> Certificate:
        """Certify that real adapters of these ranks, with biases, equal the target on every bounded domain.

        Krawczyk's test shows a true solution near the floating one; its scales are shown to be positive, and its T and
        the frozen weights to be invertible. Then Lemma 1, in the form without an assumption on Pi + LR_r(E), has
        adapters for the layers between two nodes, and large enough biases do the rest, whatever the target's biases
        are. All inputs are read as the dyadic rationals that they are.

        Returns
        -------
        Certificate
            ``holds`` False says that this could not be shown, not that there are no such adapters.
        """
        equations, unknowns = self.system.equations, len(self.system.positive)
        if any(algebra.rank_lower_bound(W) < self.frozen.d_in for W in self.frozen.weights):
            return Certificate(False, "", ["a frozen weight could not be shown to be non-singular"], None)
        with flint.ctx.workprec(BITS):
            balls = self.system.certify(root)
            if balls is None:
                reason = f"Krawczyk's test does not show a positive solution of the {equations} equations near the root"
                return Certificate(False, "", [reason], None)
            if any(flint.arb_mat(T.tolist()).det().contains(0) for T in self.mixings(np.array(balls, dtype=object))):
                return Certificate(False, "", ["a mixing matrix could not be shown to be invertible"], None)
        radius, scales = max((float(v.rad()) for v in balls), default=0.0), root[self.system.positive]
        return Certificate(
            True,
            "certified",
            [
                f"Krawczyk's test: {equations} equations in {unknowns} unknowns, {unknowns - equations} of them "
                f"fixed at floats, have exactly one solution within {radius:.2g} of a point near the floating root",
                f"its {len(scales)} scales are positive, the least about {min(scales, default=1.0):.2g}, and all T are "
                "invertible",
                "all frozen weights are non-singular, so that Lemma 1 has adapters between the nodes",
            ],
            None,
        )


def solve_kinks(
    frozen: ReluNetwork,
    target: ReluNetwork,
    nodes: list[Node],
    ranks: Sequence[int],
    rng: np.random.Generator,
    tries: int = 30,
) -> tuple[KinkSystem, Floats]:
    """Return a system with a floating root. The neurons of its target may be in another order: see `permuted`.

    Raises
    ------
    ValueError
        If there are more equations than unknowns, or no start of Newton's method leads to a root.
    """
    for attempt in range(tries):
        system = KinkSystem.of(frozen, permuted(target, rng) if attempt else target, nodes, ranks)
        equations, unknowns = system.system.equations, len(system.system.positive)
        if equations > unknowns:
            raise ValueError(
                f"the ranks leave {equations} equations for {unknowns} unknowns, so generic networks have no solution; "
                "pass larger ranks, or other kinks"
            )
        noise = (0.1 + 0.9 * attempt / tries) * rng.standard_normal(unknowns)
        places = [v.entries(frozen.d_in) for v in nodes[:-1]]
        identity = np.concatenate([np.empty(0), *(rows == columns for rows, columns, _ in places)])
        root = system.system.solve(np.where(system.system.positive, np.exp(noise), identity + noise))
        if root is not None:
            return system, root
    raise ValueError(
        f"{tries} starts of Newton's method found no positive solution of {equations} equations in {unknowns} "
        "unknowns; pass larger ranks, or other kinks"
    )


def solve_some_kinks(
    frozen: ReluNetwork,
    target: ReluNetwork,
    ranks: Sequence[int],
    rng: np.random.Generator,
    largest: int | None = None,
) -> Iterator[tuple[KinkSystem, Floats]]:
    """Yield the systems with a floating root among the first few that pass the count: see `kink_plans`.

    `largest` bounds the number of equations of the systems that are tried.
    """
    D, L, Lbar = frozen.d_in, frozen.depth, target.depth
    for sizes in islice(kink_plans(D, ranks, Lbar), _PLANS):
        nodes = read_kinks(sizes, D, L, Lbar)
        ends = [0, *(node.layer for node in nodes)]
        if largest is None or sum(max(0, D - sum(ranks[s:e])) ** 2 for s, e in pairwise(ends)) <= largest:
            with suppress(ValueError):  # no root was found, which says nothing about the next system
                tries = _TRIES if len(nodes) > Lbar else _TRIES_OF_SCALES
                yield solve_kinks(frozen, target, nodes, ranks, rng, tries)


def permuted(target: ReluNetwork, rng: np.random.Generator) -> ReluNetwork:
    """Return the same function with the hidden neurons in another order."""
    weights, biases = list(target.weights), list(target.biases)
    for k in range(target.depth - 1):
        order = rng.permutation(len(biases[k]))
        weights[k], biases[k], weights[k + 1] = weights[k][order], biases[k][order], weights[k + 1][:, order]
    return ReluNetwork(weights, biases)


def float_networks(frozen: ReluNetwork, target: ReluNetwork) -> tuple[ReluNetwork, ReluNetwork]:
    """Return both networks in NumPy's float64, or say why these constructions do not apply to them."""
    out = []
    for name, network in (("frozen", frozen), ("target", target)):
        if not isinstance(network, ReluNetwork):
            raise ValueError(f"{name} is of type {type(network).__name__}; pass a ReluNetwork(weights, biases)")
        if any(is_object(x) for x in (*network.weights, *network.biases)):
            raise ValueError(
                f"{name} holds rationals or mpf, but the scales are irrational; pass float64 weights, which the "
                "certificates read exactly"
            )
        if len({*frozen.widths, *network.widths}) > 1:
            raise ValueError(
                f"{name} has widths {network.widths}; rescaling needs one width for all layers of both networks "
                "(pad a narrower target, or use adapt_relu_network)"
            )
        out.append(
            ReluNetwork(
                [np.asarray(W, dtype=np.float64) for W in network.weights],
                [np.asarray(b, dtype=np.float64) for b in network.biases],
            )
        )
    if target.depth > frozen.depth:
        raise ValueError(f"the target has {target.depth} layers, the frozen network only {frozen.depth}")
    return out[0], out[1]
