"""Networks as stacked arrays, which is what is trained, and back."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lora_proofs.linalg import Array, check_matrix
from lora_proofs.networks.relu import ReluNetwork
from lora_proofs.networks.transformer import HEAD_PARTS, TransformerNetwork
from lora_proofs.training import forward

Network = ReluNetwork | TransformerNetwork | Sequence[Array]
"""A linear chain is the sequence of its matrices W_1, ..., W_L."""


class Stack(NamedTuple):
    """A network's weights (n, D, D) and biases (m, D), and the function that applies them.

    The first `adaptable` weights take adapters: all of them, except in a transformer (see `stack`).
    """

    weights: NDArray[Any]
    biases: NDArray[Any]
    forward: forward.Forward
    adaptable: int


def stack(network: Network) -> Stack:
    """Return the arrays of a network whose layers are all of one width D.

    Those of a transformer come in the order in which `forward.transformer` reads them. Adapters go where Zeng & Lee
    (arXiv:2310.17513v3, Theorem 7) put them: on W_Q, W_K, W_V, W_O, on W_2 of the last block and on W_out.

    Raises
    ------
    ValueError
        If a layer is not square, or the weights are not floats.
    """
    if isinstance(network, TransformerNetwork):
        return _stack_transformer(network)
    if isinstance(network, ReluNetwork):
        weights, biases, function = list(network.weights), list(network.biases), forward.relu_network
    else:
        weights, biases, function = [check_matrix("a weight", W) for W in network], [], forward.linear_chain
    shapes = sorted({tuple(W.shape) for W in weights})
    if len(shapes) != 1 or len(set(shapes[0])) != 1:
        raise ValueError(f"the layers have shapes {shapes}; pass at least one, square and of one width")
    D = weights[0].shape[0]
    return Stack(_floats(weights), _floats(biases).reshape(-1, D), function, len(weights))


def unstack(like: Network, weights: NDArray[Any], biases: NDArray[Any]) -> Network:
    """Return the network of the kind of `like` with these arrays, in the order of `stack`."""
    if isinstance(like, TransformerNetwork):
        return like.replaced(dict(zip(_order(like), weights, strict=True)), list(biases))
    if isinstance(like, ReluNetwork):
        return ReluNetwork(list(weights), list(biases))
    return list(weights)


def _stack_transformer(network: TransformerNetwork) -> Stack:
    named, order = network.named_weights, _order(network)
    adaptable = len(order) - 2 * network.depth + 1
    return Stack(_floats([named[name] for name in order]), _floats(network.biases), forward.transformer, adaptable)


def _order(network: TransformerNetwork) -> list[str]:
    L = network.depth
    heads = [(l, h) for l, block in enumerate(network.blocks) for h in range(block.heads)]
    attention = [f"blocks.{l}.{part}.{h}" for l, h in heads for part in HEAD_PARTS]
    fixed = [f"blocks.{l}.W_1" for l in range(L)] + [f"blocks.{l}.W_2" for l in range(L - 1)]
    return [*attention, f"blocks.{L - 1}.W_2", "W_out", *fixed]


def _floats(arrays: Sequence[Array]) -> NDArray[Any]:
    return np.asarray([np.asarray(x, dtype=float) for x in arrays])
