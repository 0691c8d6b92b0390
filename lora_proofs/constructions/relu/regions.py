"""Boxes and balls through layers: where the states of a network live, over Q and in the arithmetic of its weights."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs.domains import Ball, Domain, check_domain
from lora_proofs.exact.algebra import absolute, euclidean_norm_above, sqrt_above
from lora_proofs.exact.matrices import array, identity, is_rational, matrix, number, vector, zeros
from lora_proofs.linalg import Array, like, namespace
from lora_proofs.networks.relu import ReluNetwork

# ------------------------------------------------------------------------------------------------------------- over Q


class Affine(NamedTuple):
    """The map s -> weight s + offset, the offset a column."""

    weight: fmpq_mat
    offset: fmpq_mat

    @classmethod
    def identity(cls, size: int) -> "Affine":
        """Return the map that leaves R^size as it is."""
        return cls(identity(size), zeros(size, 1))

    def then(self, layer: "Affine") -> "Affine":
        """Return this map followed by a layer without its ReLU."""
        return Affine(layer.weight * self.weight, layer.weight * self.offset + layer.offset)


def exact_layers(network: ReluNetwork) -> list[Affine]:
    """Return the layers without their ReLUs; floats are the dyadic rationals that they are."""
    return [Affine(matrix(W), vector(array(b))) for W, b in zip(network.weights, network.biases, strict=True)]


@dataclass(frozen=True, eq=False)
class ExactRegion:
    """A box, as columns of centres and radii, or what of it lies in a ball around 0 of the first `size` coordinates."""

    centre: fmpq_mat
    radius: fmpq_mat
    ball: fmpq | None = None
    size: int = 0

    @classmethod
    def of(cls, domain: Domain, size: int, width: int) -> "ExactRegion":
        """Return the domain in R^size, padded with zeros to the width of a network."""
        lower, upper = ([*bound, *[0] * (width - size)] for bound in check_domain(domain).bounds(size))
        box = cls.between(lower, upper)
        ball = number(domain.radius) if isinstance(domain, Ball) else None
        return cls(box.centre, box.radius, ball, size)

    @classmethod
    def between(cls, lower: Iterable[Any], upper: Iterable[Any]) -> "ExactRegion":
        """Return the box between two corners."""
        low, high = vector(lower), vector(upper)
        return cls((low + high) / 2, (high - low) / 2)

    def extent(self, affine: Affine) -> tuple[list[fmpq], list[fmpq]]:
        """Return bounds of each entry of the map over the region: exact for a box, rounded outward for a ball."""
        middle, spread = affine.weight * self.centre, absolute(affine.weight) * self.radius
        low, high = (middle - spread).entries(), (middle + spread).entries()
        if self.ball is not None:
            ends = [self.ball * euclidean_norm_above(row[: self.size]) for row in affine.weight.table()]
            low = [max(value, -end) for value, end in zip(low, ends, strict=True)]
            high = [min(value, end) for value, end in zip(high, ends, strict=True)]
        offset = affine.offset.entries()
        return [a + c for a, c in zip(low, offset, strict=True)], [b + c for b, c in zip(high, offset, strict=True)]

    def is_empty(self) -> bool:
        """Tell whether no point of the box lies in the ball."""
        pairs = zip(self.centre.entries(), self.radius.entries(), strict=True)
        nearest = [max(abs(middle) - radius, fmpq(0)) for middle, radius in pairs]
        return self.ball is not None and bool(sum(value * value for value in nearest) > self.ball * self.ball)

    def halves(self) -> tuple["ExactRegion", "ExactRegion"]:
        """Return both halves of the region, cut across where the box is widest."""
        entries, half = self.radius.entries(), 0 * self.radius
        widest = max(entries)
        half[entries.index(widest), 0] = widest / 2
        centres = self.centre - half, self.centre + half
        left, right = (ExactRegion(centre, self.radius - half, self.ball, self.size) for centre in centres)
        return left, right


# ------------------------------------------------------------------------------------- in the arithmetic of the weights


@dataclass(frozen=True, eq=False)
class Region:
    """A box of these centres and radii, or a ball around 0 in the first `size` coordinates; floats, mpf or ``fmpq``."""

    centre: Array
    radius: Array
    ball: Any = None
    size: int = 0

    @classmethod
    def of(cls, domain: Domain, size: int, width: int, pattern: Array) -> "Region":
        """Return the domain in R^size, padded with zeros to the width, in the arithmetic of the pattern."""

        def padded(values: Sequence[Any]) -> Array:
            entries = [*values, *[0] * (width - size)]
            return like(pattern, entries if is_rational(pattern) else np.array([float(v) for v in entries]))

        if isinstance(domain, Ball):
            zero = padded([0] * size)
            return cls(zero, zero, padded([domain.radius] * size)[0], size)
        return cls.between(*(padded(bound.tolist()) for bound in check_domain(domain).bounds(size)))

    @classmethod
    def between(cls, lower: Array, upper: Array) -> "Region":
        """Return the box between two corners."""
        return cls((lower + upper) / 2, (upper - lower) / 2)

    def extent(self, weight: Array) -> tuple[Array, Array, Array]:
        """Return the least and the greatest value of each entry of weight x, and the size of the terms it sums."""
        if self.ball is None:
            spread = abs(weight) @ self.radius
        elif is_rational(weight):
            squares = np.sum(np.asarray(weight[:, : self.size] ** 2), axis=1)
            spread = np.array([self.ball * sqrt_above(square) for square in squares], dtype=object)
        else:
            xp = namespace(weight)
            spread = self.ball * xp.sqrt(xp.sum(weight[:, : self.size] ** 2, axis=1))
        middle = weight @ self.centre
        return middle - spread, middle + spread, abs(weight) @ abs(self.centre) + spread
