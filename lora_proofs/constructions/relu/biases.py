"""Biases with which the inner ReLUs of a block of layers do nothing, on the region that its inputs range over."""

from itertools import accumulate

import numpy as np

from lora_proofs.constructions.relu.regions import Region
from lora_proofs.exact.matrices import is_rational
from lora_proofs.linalg import Array, like, namespace, unit_roundoff


def active_biases(layers: list[Array], target_bias: Array, region: Region) -> tuple[list[Array], Region]:
    """Return the biases of a block of adapted layers, and the box that its outputs range over."""
    first = layers[0]
    xp, D, d = namespace(first), first.shape[0], target_bias.shape[0]
    # A floating bias keeps a margin of some roundings of F h, so that the neuron is active in spite of them; those of
    # the layers before come on top, carried on as independent errors are, since their worst case is out of all bounds.
    margin = 0 if is_rational(first) else 64 * D * unit_roundoff(first)
    offset = slack = 0 * first[:, 0]
    size = region.extent(like(first, np.eye(D)))[2]
    biases: list[Array] = []
    products = accumulate(layers, lambda product, layer: layer @ product)
    for l, (layer, product) in enumerate(zip(layers, products, strict=True)):
        shift = layer @ offset
        slack = margin * (abs(layer) @ (size + offset)) + _carried(layer, slack)
        low, high, size = region.extent(product)
        last = l == len(layers) - 1  # it puts the target's bias in, and switches off the neurons that the target lacks
        offset = xp.concat([target_bias, -high[d:] - slack[d:]]) if last else _positive(slack - low)
        biases.append(offset - shift)
    return biases, Region.between(_positive(low + offset - slack), _positive(high + offset + slack))


def _carried(layer: Array, error: Array) -> Array:
    """Return the root mean square of F e for independent e of these sizes; 0 over Q, where nothing is rounded."""
    xp = namespace(layer)
    top, size = xp.max(abs(layer)), xp.max(error)
    if is_rational(layer) or not (top and size):
        return 0 * error
    return top * size * xp.sqrt((layer / top) ** 2 @ (error / size) ** 2)


def _positive(values: Array) -> Array:
    return namespace(values).where(values > 0, values, 0 * values)
