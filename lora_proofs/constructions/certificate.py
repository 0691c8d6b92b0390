r"""Certify that a ReLU network equals its target on a whole domain, not on sampled points.

The certificate follows the state of the network as an affine function h = P s + c of the last state s that is known to
be the target's. In each layer one of two things must be true on the whole region where s lives:

- *activity*: every pre-activation is >= 0, so ReLU does nothing and h stays affine in s;
- *identity*: the first pre-activations are those of the target's next layer, W s + b, up to a deviation that is
  bounded and carried along. Then the next state is known, whatever its ReLU switches off.

This covers the construction of Zeng & Lee (Lemma 2, Theorems 3 and 6, arXiv 2310.17513v3) and every other network that
imitates its target block by block. All arithmetic is over Q (a float is a dyadic rational), with square roots rounded
up, so the verdict is rigorous for the network as it is stored: *exact* for rational networks, which must agree with
deviation 0, and *certified*, with a bound on the deviation, for floating ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import flint
import numpy as np

from lora_proofs.domains import Ball, Box, Domain
from lora_proofs.exact import array, block, identity, is_rational, matrix, number, sqrt_above
from lora_proofs.networks import ReluNetwork

_MATCH = Fraction(1, 10**6)
"""Relative deviation up to which a layer of a floating network counts as an imitation of a target layer."""


@dataclass(frozen=True)
class Certificate:
    """What `certify_relu_network` found.

    Attributes
    ----------
    holds : bool
        True only if every part was checked and the network equals the target on the whole domain: exactly for rational
        networks, up to ``tolerance`` times the size of the target for floating ones.
    evidence : str
        "exact" or "certified"; both are rigorous for the network as it is stored. Empty if not `holds`.
    reasons : list of str
        One sentence a part that was checked; the last one says what is missing if not `holds`.
    error : Fraction or None
        A rigorous bound of |f_k(x) - target_k(x)| for all x of the domain and all k; None if none was found.
    """

    holds: bool
    evidence: str
    reasons: list[str]
    error: Fraction | None


@dataclass(frozen=True)
class _Region:
    """Where the state lives: a box (centre m, radius r), or a ball of radius rho in the first d coordinates."""

    m: Any
    r: Any
    rho: Any = None
    d: int = 0

    def extent(self, P: Any, c: Any) -> tuple[list[Any], list[Any]]:
        """Return bounds of each entry of P s + c over the region: exact for a box, rounded outward for a ball."""
        centre = (P * self.m + c).entries()
        if self.rho is None:
            spread = (_absolute(P) * self.r).entries()
        else:
            spread = [self.rho * sqrt_above(sum((v * v for v in row[: self.d]), flint.fmpq(0))) for row in P.table()]
        return [a - b for a, b in zip(centre, spread, strict=True)], [
            a + b for a, b in zip(centre, spread, strict=True)
        ]


def certify_relu_network(
    network: ReluNetwork, target: ReluNetwork, domain: Domain, *, tolerance: float = 1e-8
) -> Certificate:
    """Certify that the network equals the target on the whole domain.

    Parameters
    ----------
    network, target : ReluNetwork
        Floating or rational. The network may be wider than the target: inputs are then padded with zeros, and its first
        outputs are compared.
    domain : Box or Ball
        A bounded set of inputs of the target.
    tolerance : float
        For floating networks: the largest error allowed, relative to the largest pre-activation of the target's last
        layer that is seen on sampled points of the domain. Rational networks must agree exactly.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        If the network is narrower than the target, or the domain is of another dimension.
    """
    if network.d_in < target.d_in or network.d_out < target.d_out:
        raise ValueError(
            f"the network maps R^{network.d_in} to R^{network.d_out}, but the target R^{target.d_in} to "
            f"R^{target.d_out}; pass a network that is at least as wide as its target"
        )
    exact = all(is_rational(x) for net in (network, target) for x in (*net.weights, *net.biases))
    layers = [(matrix(W), _column(b)) for W, b in zip(network.weights, network.biases, strict=True)]
    goals = [(matrix(W), _column(b)) for W, b in zip(target.weights, target.biases, strict=True)]
    reasons: list[str] = []
    error = _follow(layers, goals, _input_region(domain, target.d_in, network.d_in), exact, reasons)
    if error is None:
        return Certificate(False, "", reasons, None)
    bound = max(Fraction(int(e.p), int(e.q)) for e in error)
    allowed = Fraction(0) if exact else Fraction(tolerance) * Fraction(_size(target, domain))
    holds = bound <= allowed
    reasons.append(
        f"on the whole domain the outputs differ by at most {float(bound):.3g}"
        + ("" if holds else f", more than the {float(allowed):.3g} that is allowed")
    )
    return Certificate(holds, ("exact" if exact else "certified") if holds else "", reasons, bound)


def _follow(
    layers: Sequence[tuple[Any, Any]],
    goals: Sequence[tuple[Any, Any]],
    region: _Region,
    exact: bool,
    reasons: list[str],
) -> list[Any] | None:
    """Follow the network through its layers; return bounds of the errors of the outputs, or None and the reason why."""
    width = layers[0][0].ncols()
    P, c = identity(width), _column([0] * width)
    error = [flint.fmpq(0)] * goals[0][0].ncols()
    done, first = 0, 1
    for l, (W, b) in enumerate(layers, start=1):
        P, c = W * P, W * c + b
        low, high = region.extent(P, c)
        deviation, size = None, flint.fmpq(0)
        if done < len(goals):
            deviation, size = _deviation(P, c, *goals[done], region, error)
        if deviation is not None and max(deviation) <= (0 if exact else number(_MATCH) * size):
            done += 1
            reasons.append(
                f"layers {first} to {l} have the pre-activations of target layer {done} "
                f"(weights and biases agree, deviation at most {float(max(deviation)):.3g})"
            )
            error, first = deviation, l + 1
            region = _box(*([max(v, flint.fmpq(0)) for v in bound] for bound in (low, high)))
            P, c = identity(len(low)), _column([0] * len(low))
        elif min(low) >= 0:
            reasons.append(f"layer {l}: every pre-activation is active, at least {float(min(low)):.3g}")
        else:
            reasons.append(
                f"layer {l}: some pre-activation may be as low as {float(min(low)):.3g}, and they are not those "
                + (f"of target layer {done + 1}" if done < len(goals) else "of an identity")
                + (f" (they may differ by {float(max(deviation)):.3g})" if deviation is not None else "")
            )
            return None
    if done < len(goals):
        reasons.append(f"the network ends before target layer {done + 1} is imitated")
        return None
    if first <= len(layers):  # surplus layers after the last target layer must pass its output through
        d = goals[-1][0].nrows()
        return _deviation(P, c, identity(d), _column([0] * d), region, error)[0]
    return error


def _deviation(P: Any, c: Any, goal: Any, bias: Any, region: _Region, error: list[Any]) -> tuple[list[Any] | None, Any]:
    """Bound |P s + c - goal t - bias| for the state s in the region and the target's state t, |s - t| <= error.

    Also return the size of goal s + bias, which the deviation is to be compared with; (None, 0) if P is too small.
    """
    rows, columns = goal.nrows(), goal.ncols()
    if P.nrows() < rows or P.ncols() < columns:
        return None, flint.fmpq(0)
    padded = flint.fmpq_mat([row + [0] * (P.ncols() - columns) for row in goal.table()])
    rest = block(P, range(rows), range(P.ncols())) - padded
    low, high = region.extent(rest, block(c, range(rows), range(1)) - bias)
    carried = (_absolute(goal) * _column(error)).entries()
    size = max(max(-a, b) for a, b in zip(*region.extent(padded, bias), strict=True))
    return [max(-a, b) + e for a, b, e in zip(low, high, carried, strict=True)], size


def _box(lower: list[Any], upper: list[Any]) -> _Region:
    return _Region(
        _column([(a + b) / 2 for a, b in zip(lower, upper, strict=True)]),
        _column([(b - a) / 2 for a, b in zip(lower, upper, strict=True)]),
    )


def _input_region(domain: Domain, d: int, width: int) -> _Region:
    """Return the domain in R^d, padded with zeros to the width of the network."""
    if isinstance(domain, Box):
        lower, upper = ([*array(bound), *[flint.fmpq(0)] * (width - d)] for bound in domain.bounds(d))
        return _box(lower, upper)
    if isinstance(domain, Ball):
        return _Region(_column([0] * width), None, number(domain.radius), d)
    raise ValueError(f"the domain is {domain!r}; pass a Box or a Ball: the theorem needs a bounded set")


def _size(target: ReluNetwork, domain: Domain) -> float:
    """Return the largest pre-activation of the target's last layer on sampled points: never more than on the domain."""
    floats = [
        (np.array([[float(v) for v in row] for row in matrix(W).table()]), np.array([float(v) for v in array(b)]))
        for W, b in zip(target.weights, target.biases, strict=True)
    ]
    x = domain.sample(np.random.default_rng(0), 64, target.d_in)
    for W, b in floats[:-1]:
        x = np.maximum(x @ W.T + b, 0.0)
    W, b = floats[-1]
    return float(np.max(np.abs(x @ W.T + b)))


def _column(values: Any) -> Any:
    entries = [number(v) for v in values]
    return flint.fmpq_mat(len(entries), 1, entries)


def _absolute(P: Any) -> Any:
    return flint.fmpq_mat(P.nrows(), P.ncols(), [abs(v) for v in P.entries()])
