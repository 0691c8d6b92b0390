r"""What a ReLU network reaches on a domain, between rigorous bounds, and how far two networks are seen to differ.

From below: values at rational points of the domain, over Q. Nothing is rounded, whatever cancels and however the
entries are scaled: floats are the dyadic rationals that they are, and every point lies in the domain exactly.

From above: the states are affine in x up to a remainder, h = P x + c + e with |e| <= r entry by entry. For l <= z <= u
with l < 0 < u, and any s in [0, 1], 0 <= ReLU(z) - s z <= max((1 - s) u, -s l): an affine function again (Singh et al.,
*Fast and effective robustness certification*, NeurIPS 2018). Cutting the domain makes that as sharp as one likes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from flint import fmpq, fmpq_mat
from numpy.typing import NDArray

from lora_proofs.constructions.relu.regions import Affine, ExactRegion, exact_layers
from lora_proofs.domains import Ball, Box, Domain, check_domain
from lora_proofs.exact.algebra import absolute, sqrt_above
from lora_proofs.exact.matrices import (
    Matrix,
    array,
    block,
    diagonal,
    fraction,
    matrix,
    number,
    ones,
    vector,
    vstack,
    zeros,
)
from lora_proofs.linalg import Array
from lora_proofs.networks.relu import ReluNetwork

_POINTS = 32
"""Points of a domain: its centre, its two extreme corners, and random ones, half of them on the border."""

_GRID = 64
"""Random points are multiples of the domain's size by 1 / _GRID."""

_CANDIDATES, _PROMISING = 4096, 8
"""Points that are looked at in floats where a target is 0 at all others, and those that are kept."""

_CUTS = 128
"""Cuts of the domain that are spent on showing that a target is 0, where it is 0 at all points."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What can be said of a network and its target without following the one through the layers of the other."""

    network: ReluNetwork
    target: ReluNetwork
    domain: Domain

    @cached_property
    def points(self) -> fmpq_mat:
        """Rational points of the domain, (n, d); more of them where the target is 0 at the first."""
        points = rational_points(self.domain, self.target.d_in)
        if any(outputs(self.target, points).entries()):
            return points
        return vstack(points, promising_points(self.target, self.domain))

    @cached_property
    def size(self) -> Fraction:
        """A lower bound of the largest |target_k(x)| over the domain and all outputs k."""
        return largest(outputs(self.target, self.points).entries())

    @cached_property
    def seen(self) -> Fraction:
        """A lower bound of the largest |f_k(x) - target_k(x)|."""
        return difference_at(self.network, self.target, self.points)

    @cached_property
    def tops(self) -> list[fmpq]:
        """Upper bounds of the target's last pre-activations; where one is negative, that output is 0."""
        return ceilings(self.target, self.domain, self.target.d_in, 0 if self.size else _CUTS)

    @property
    def ceiling(self) -> Fraction:
        """An upper bound of the largest |target_k(x)|."""
        return fraction(max(0, *self.tops))

    @cached_property
    def most(self) -> Fraction:
        """An upper bound of the largest |f_k(x) - target_k(x)|: outputs are not negative, so that of the larger one."""
        own = ceilings(self.network, self.domain, self.target.d_in, 0 if self.ceiling else _CUTS)
        return max(self.ceiling, fraction(max(0, *own[: self.target.d_out])))


def rational_points(domain: Domain, size: int) -> fmpq_mat:
    """Return points of the domain in R^size as the rows of an ``fmpq_mat`` (n, size): the same ones at every call.

    Raises
    ------
    ValueError
        If the domain is none, or of another dimension.
    """
    rng = np.random.default_rng(0)
    border = np.arange(_POINTS) % 2 == 0
    check_domain(domain)
    if isinstance(domain, Box):
        lower, upper = (array(bound) for bound in domain.bounds(size))
        t = rng.integers(0, _GRID + 1, (_POINTS, size))
        t[border] = np.where(2 * t[border] > _GRID, _GRID, 0)
        t[:3] = [[0], [_GRID], [_GRID // 2]]
        return matrix(lower + array(t) * (upper - lower) / _GRID)
    v = rng.integers(-_GRID, _GRID + 1, (_POINTS, size))
    v[np.all(v == 0, axis=1)] = 1
    t = np.where(border, _GRID, np.floor(_GRID * rng.uniform(size=_POINTS) ** (1 / size)).astype(int))
    t[0] = 0
    radius = number(domain.radius)
    lengths = [sqrt_above(int(row @ row)) for row in v]
    scales = [radius * s / (_GRID * length) for s, length in zip(t.tolist(), lengths, strict=True)]
    return matrix(array(v) * np.array(scales, dtype=object)[:, None])


def promising_points(network: ReluNetwork, domain: Domain) -> fmpq_mat:
    """Return the points, (n, d), out of many random ones, where the network's last pre-activations are largest.

    They are chosen in floats, and kept only if they lie in the domain exactly.
    """
    x = domain.sample(np.random.default_rng(1), _CANDIDATES, network.d_in)
    with np.errstate(all="ignore"):
        z = x @ _rounded(network.weights[0]).T + _rounded(network.biases[0])
        for W, b in zip(network.weights[1:], network.biases[1:], strict=True):
            z = np.maximum(z, 0) @ _rounded(W).T + _rounded(b)
    best = np.argsort(np.nan_to_num(np.maximum.reduce(z.T)))[-_PROMISING:]
    lower, upper = (array(bound) for bound in domain.bounds(network.d_in))
    inside = [v for v in array(x[best]) if np.all(lower <= v) and np.all(v <= upper)]
    if isinstance(domain, Ball):
        inside = [v for v in inside if sum(v * v) <= number(domain.radius) ** 2]
    return fmpq_mat(len(inside), network.d_in, [entry for v in inside for entry in v])


def _rounded(values: Array) -> NDArray[np.float64]:
    """Return floats near the values, or infinities if one is beyond their range."""
    try:
        return array(values).astype(float)
    except OverflowError:
        return np.full(values.shape, np.inf)


def outputs(network: ReluNetwork, points: Matrix) -> fmpq_mat:
    """Return the outputs as an ``fmpq_mat`` (n, d_out) for the inputs that are the rows of points, padded with zeros.

    Parameters
    ----------
    network : ReluNetwork
        Floating or rational.
    points : array or ``fmpq_mat`` (n, d), d <= d_in
    """
    inputs = matrix(points).transpose()
    n = inputs.ncols()
    state = vstack(inputs, zeros(network.d_in - inputs.nrows(), n))
    for layer in exact_layers(network):
        before = layer.weight * state + layer.offset * ones(1, n)
        state = fmpq_mat(before.nrows(), n, [max(v, fmpq(0)) for v in before.entries()])
    return state.transpose()


def difference_at(network: ReluNetwork, target: ReluNetwork, points: Matrix) -> Fraction:
    """Return the largest |f_k(x) - target_k(x)| over the outputs k of the target and the points x, exactly.

    It bounds the supremum over any set that holds the points from below, as `Certificate.error` does from above.

    Parameters
    ----------
    network, target : ReluNetwork
        Floating or rational. The network may be wider than its target: see `certify_relu_network`.
    points : array or ``fmpq_mat`` (n, d)
        Inputs of the target as rows, floats or rationals.

    Raises
    ------
    ValueError
        If there are no points, or they are of another dimension.

    Examples
    --------
    >>> import numpy as np
    >>> from lora_proofs import ReluNetwork
    >>> from lora_proofs.constructions import difference_at
    >>> one, other = (ReluNetwork([np.eye(2)], [np.array([0.0, b])]) for b in (0.0, 0.5))
    >>> difference_at(one, other, np.array([[1.0, 1.0], [1.0, -1.0]]))
    Fraction(1, 2)
    """
    rows = matrix(points)
    if not rows.nrows() or rows.ncols() != target.d_in:
        raise ValueError(f"points has shape {rows.nrows(), rows.ncols()}; pass rows of {target.d_in} numbers")
    goal = outputs(target, rows)
    own = block(outputs(network, rows), range(goal.nrows()), range(goal.ncols()))
    return largest((own - goal).entries())


def ceilings(network: ReluNetwork, domain: Domain, size: int, cuts: int = 0) -> list[fmpq]:
    """Return upper bounds of the last pre-activations over the domain in R^size, padded with zeros.

    So many cuts of the domain, or of the box around it, in half are spent where some bound is still positive.
    """
    layers = exact_layers(network)
    cells, tops = [ExactRegion.of(domain, size, network.d_in)], []
    while cells:
        cell = cells.pop(0)
        if cell.is_empty():
            continue
        high = _ceilings(layers, cell)
        if cuts and max(cell.radius.entries()) > 0 and max(high) > 0:
            cuts -= 1
            cells += cell.halves()
        else:
            tops.append(high)
    return [max(values) for values in zip(*tops, strict=True)]


def _ceilings(layers: Sequence[Affine], region: ExactRegion) -> list[fmpq]:
    """Return upper bounds of the last pre-activations over one region."""
    width = region.centre.nrows()
    state, remainder = Affine.identity(width), zeros(width, 1)
    high: list[fmpq] = []
    for layer in layers:
        state, remainder = state.then(layer), absolute(layer.weight) * remainder
        least, most = region.extent(state)
        low = [a - r for a, r in zip(least, remainder.entries(), strict=True)]
        high = [b + r for b, r in zip(most, remainder.entries(), strict=True)]
        # ReLU becomes an affine function of slope s, in the middle of a gap that joins the remainder.
        slopes = [_slope(l, u) for l, u in zip(low, high, strict=True)]
        gaps = [max((1 - s) * u, -s * l, fmpq(0)) / 2 for s, l, u in zip(slopes, low, high, strict=True)]
        scale, gap = diagonal(slopes), vector(gaps)
        state = Affine(scale * state.weight, scale * state.offset + gap)
        remainder = scale * remainder + gap
    return high


def _slope(low: fmpq, high: fmpq) -> fmpq:
    """Return the slope s that stands for ReLU between these bounds, with few digits."""
    if low >= 0 or high <= 0:
        return fmpq(int(low >= 0))
    return fmpq(round(_GRID * float(high / (high - low))), _GRID)


def largest(values: Sequence[fmpq]) -> Fraction:
    """Return the largest absolute value of the rationals, or 0 if there are none."""
    return fraction(max(map(abs, values), default=0))
