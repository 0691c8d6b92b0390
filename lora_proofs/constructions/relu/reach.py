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
from typing import Any

import flint
import numpy as np

from lora_proofs.domains import Ball, Box, Domain
from lora_proofs.exact.matrices import array, block, fraction, identity, matrix, number, sqrt_above
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
    def points(self) -> Any:
        """Rational points of the domain, (n, d); more of them where the target is 0 at the first."""
        points = rational_points(self.domain, self.target.d_in)
        if any(outputs(self.target, points).entries()):
            return points
        return flint.fmpq_mat([*points.table(), *promising_points(self.target, self.domain).table()])

    @cached_property
    def size(self) -> Fraction:
        """A lower bound of the largest |target_k(x)| over the domain and all outputs k."""
        return largest(outputs(self.target, self.points).entries())

    @cached_property
    def seen(self) -> Fraction:
        """A lower bound of the largest |f_k(x) - target_k(x)|."""
        return difference_at(self.network, self.target, self.points)

    @cached_property
    def tops(self) -> list[Any]:
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


def rational_points(domain: Domain, d: int) -> Any:
    """Return points of the domain in R^d as the rows of an ``fmpq_mat`` (n, d): the same ones at every call.

    Raises
    ------
    ValueError
        If the domain is none, or of another dimension.
    """
    rng = np.random.default_rng(0)
    border = np.arange(_POINTS) % 2 == 0
    if isinstance(domain, Box):
        lower, upper = (array(bound) for bound in domain.bounds(d))
        t = rng.integers(0, _GRID + 1, (_POINTS, d))
        t[border] = np.where(2 * t[border] > _GRID, _GRID, 0)
        t[:3] = [[0], [_GRID], [_GRID // 2]]
        return matrix(lower + array(t) * (upper - lower) / _GRID)
    if isinstance(domain, Ball):
        v = rng.integers(-_GRID, _GRID + 1, (_POINTS, d))
        v[np.all(v == 0, axis=1)] = 1
        t = np.where(border, _GRID, np.floor(_GRID * rng.uniform(size=_POINTS) ** (1 / d)).astype(int))
        t[0] = 0
        rho = number(domain.radius)
        lengths = [sqrt_above(int(row @ row)) for row in v]
        scales = [rho * s / (_GRID * length) for s, length in zip(t.tolist(), lengths, strict=True)]
        return matrix(array(v) * np.array(scales, dtype=object)[:, None])
    raise ValueError(f"the domain is {domain!r}; pass a Box or a Ball: the theorem needs a bounded set")


def promising_points(network: ReluNetwork, domain: Domain) -> Any:
    """Return the points, (n, d), out of many random ones, where the network's last pre-activations are largest.

    They are chosen in floats, and kept only if they lie in the domain exactly.
    """
    x = domain.sample(np.random.default_rng(1), _CANDIDATES, network.d_in)
    with np.errstate(all="ignore"):
        z = x @ _rounded(network.weights[0]).T + _rounded(network.biases[0])
        for W, b in zip(network.weights[1:], network.biases[1:], strict=True):
            z = np.maximum(z, 0) @ _rounded(W).T + _rounded(b)
    best = np.argsort(np.nan_to_num(np.maximum.reduce(z.T)))[-_PROMISING:]
    lower, upper = (array(bound) for bound in around(domain).bounds(network.d_in))
    inside = [v for v in array(x[best]) if np.all(lower <= v) and np.all(v <= upper)]
    if isinstance(domain, Ball):
        inside = [v for v in inside if sum(v * v) <= number(domain.radius) ** 2]
    return flint.fmpq_mat(len(inside), network.d_in, [entry for v in inside for entry in v])


def _rounded(x: Any) -> Any:
    """Return floats near x, or infinities if it is beyond their range."""
    try:
        return array(x).astype(float)
    except OverflowError:
        return np.full(array(x).shape, np.inf)


def outputs(network: ReluNetwork, points: Any) -> Any:
    """Return the outputs as an ``fmpq_mat`` (n, d_out) for the inputs that are the rows of points, padded with zeros.

    Parameters
    ----------
    network : ReluNetwork
        Floating or rational.
    points : array or ``fmpq_mat`` (n, d), d <= d_in
    """
    x = matrix(points).transpose()
    n, missing = x.ncols(), network.d_in - x.nrows()
    h = flint.fmpq_mat([*x.table(), *[[0] * n] * missing]) if missing else x
    ones = flint.fmpq_mat(1, n, [1] * n)
    for W, b in zip(network.weights, network.biases, strict=True):
        z = matrix(W) * h + column(b) * ones
        h = flint.fmpq_mat(z.nrows(), n, [max(v, flint.fmpq(0)) for v in z.entries()])
    return h.transpose()


def difference_at(network: ReluNetwork, target: ReluNetwork, points: Any) -> Fraction:
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
    points = matrix(points)
    if not points.nrows() or points.ncols() != target.d_in:
        raise ValueError(f"points has shape {points.nrows(), points.ncols()}; pass rows of {target.d_in} numbers")
    goal = outputs(target, points)
    own = block(outputs(network, points), range(goal.nrows()), range(goal.ncols()))
    return largest((own - goal).entries())


def ceilings(network: ReluNetwork, domain: Domain, d: int, cuts: int = 0) -> list[Any]:
    """Return upper bounds of the last pre-activations over the domain in R^d, padded with zeros.

    So many cuts of the domain, or of the box around it, in half are spent where some bound is still positive.
    """
    rho = number(domain.radius) if isinstance(domain, Ball) else None
    padding = [0] * (network.d_in - d)
    lower, upper = (column([*array(bound), *padding]) for bound in around(domain).bounds(d))
    layers = [(matrix(W), column(b)) for W, b in zip(network.weights, network.biases, strict=True)]
    cells, tops = [((lower + upper) / 2, (upper - lower) / 2)], []
    while cells:
        middle, radius = cells.pop(0)
        nearest = [max(abs(m) - r, 0) for m, r in zip(middle.entries(), radius.entries(), strict=True)]
        if rho is not None and sum(v * v for v in nearest) > rho * rho:
            continue
        high, widest = _ceilings(layers, middle, radius, rho), max(radius.entries())
        if cuts and widest > 0 and max(high) > 0:
            cuts, half = cuts - 1, 0 * radius
            half[radius.entries().index(widest), 0] = widest / 2
            cells += [(middle - half, radius - half), (middle + half, radius - half)]
        else:
            tops.append(high)
    return [max(values) for values in zip(*tops, strict=True)]


def _ceilings(layers: Sequence[tuple[Any, Any]], middle: Any, radius: Any, rho: Any) -> list[Any]:
    """Return upper bounds of the last pre-activations over one box, or what of it lies in the ball of radius rho."""
    P, c, r = identity(middle.nrows()), 0 * middle, 0 * middle
    high: list[Any] = []
    for W, b in layers:
        P, c, r = W * P, W * c + b, absolute(W) * r
        least, most = P * middle - absolute(P) * radius, P * middle + absolute(P) * radius
        if rho is not None:
            ends = [rho * sqrt_above(sum(v * v for v in row)) for row in P.table()]
            least = column([max(l, -end) for l, end in zip(least.entries(), ends, strict=True)])
            most = column([min(u, end) for u, end in zip(most.entries(), ends, strict=True)])
        low, high = (least + c - r).entries(), (most + c + r).entries()
        slopes = [_slope(l, u) for l, u in zip(low, high, strict=True)]
        gaps = [max((1 - s) * u, -s * l, flint.fmpq(0)) / 2 for s, l, u in zip(slopes, low, high, strict=True)]
        S, gap = matrix(np.diag(slopes)), column(gaps)
        P, c, r = S * P, S * c + gap, S * r + gap
    return high


def _slope(low: Any, high: Any) -> Any:
    """Return the slope s that stands for ReLU between these bounds, with few digits."""
    if low >= 0 or high <= 0:
        return flint.fmpq(int(low >= 0))
    return flint.fmpq(round(_GRID * float(high / (high - low))), _GRID)


def around(domain: Domain) -> Box:
    """Return the domain, or the box around a ball."""
    if isinstance(domain, Box):
        return domain
    if isinstance(domain, Ball):
        return Box(-domain.radius, domain.radius)
    raise ValueError(f"the domain is {domain!r}; pass a Box or a Ball: the theorem needs a bounded set")


def column(values: Any) -> Any:
    """Return the numbers of a sequence or an array as an ``fmpq_mat`` of one column."""
    entries = array(values)
    return flint.fmpq_mat(len(entries), 1, entries.tolist())


def absolute(P: Any) -> Any:
    """Return the absolute values of the entries."""
    return flint.fmpq_mat(P.nrows(), P.ncols(), [abs(v) for v in P.entries()])


def largest(values: Sequence[Any]) -> Fraction:
    """Return the largest absolute value of the rationals, or 0 if there are none."""
    return fraction(max(map(abs, values), default=0))
