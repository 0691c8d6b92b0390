"""Units for the layers of a chain, by powers of two: no product or square of what is computed leaves the range."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from lora_proofs.adapters import Adapter
from lora_proofs.linalg import Array, is_object, namespace, power_below, times_power


class Units(NamedTuple):
    """The layers W_l in units of 2^{e_l}, their product and the target in units of the product of these.

    Attributes
    ----------
    layers : list of int
        e_1, ..., e_L; all 0 where the numbers are as they should be.
    """

    layers: list[int]

    def divide(self, weights: Sequence[Array], target: Array) -> tuple[list[Array], Array]:
        """Return the layers and the target in their units."""
        return [times_power(W, -e) for W, e in zip(weights, self.layers, strict=True)], self.target(target, -1)

    def target(self, value: Any, sign: int = 1) -> Any:
        """Return what is computed of the product, such as its error, in units of 1."""
        return times_power(value, sign * sum(self.layers))

    def adapters(self, adapters: Sequence[Adapter]) -> list[Adapter]:
        """Return the adapters in units of 1."""
        return [Adapter(a.A, times_power(a.B, e)) if e else a for a, e in zip(adapters, self.layers, strict=True)]


def balanced(weights: Sequence[Array], target: Array) -> Units:
    """Return units in which every layer is of about the same size, and the larger of product and target of size 1.

    Where the numbers are of moderate size these are the units in which they come.
    """
    if is_object(target):  # an mpf has all the exponents that it needs
        return Units([0] * len(weights))
    own = [_exponent(W) for W in weights]
    product, carried = times_power(weights[0], -own[0]), own[0]
    for W, e in zip(weights[1:], own[1:], strict=True):
        product = times_power(W, -e) @ product
        grown = _exponent(product)
        product, carried = times_power(product, -grown), carried + e + grown
    goal = max([e for e, x in ((carried, product), (_exponent(target), target)) if _is_nonzero(x)], default=sum(own))
    moderate = math.frexp(namespace(target).finfo(target.dtype).max)[1] // 8
    if max(map(abs, (*own, goal, sum(map(abs, own))))) <= moderate and abs(_exponent(target)) <= moderate:
        return Units([0] * len(weights))
    share, rest = divmod(goal - sum(own), len(own))
    return Units([e + share + (l < rest) for l, e in enumerate(own)])


def _exponent(array: Array) -> int:
    return math.frexp(power_below(array))[1]


def _is_nonzero(array: Array) -> bool:
    return bool(namespace(array).any(abs(array) > 0))
