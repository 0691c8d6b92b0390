r"""Certify that a ReLU network equals its target on a whole domain, not on sampled points.

The certificate follows the state of the network as an affine function h = P s + c of the last state s that is known to
be the target's. In each layer one of two things must be true on the whole region where s lives:

- *activity*: every pre-activation is >= 0, so ReLU does nothing and h stays affine in s;
- *identity*: the first pre-activations are those of the target's next layer, W s + b, up to a deviation that is
  bounded and carried along. Then the next state is known, whatever its ReLU switches off.

This covers the construction of Zeng & Lee (Lemma 2, Theorems 3 and 6, arXiv 2310.17513v3) and every other network that
imitates its target block by block. All arithmetic is over Q (a float is a dyadic rational), with square roots rounded
up, so the verdict is rigorous for the network as it is stored: *exact* for rational networks, which must agree with
deviation 0, and *certified*, with a bound on the deviation, for floating ones. What that bound is small against is the
target itself, evaluated over Q at points of the domain: see `conclude`.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from flint import fmpq, fmpq_mat

from lora_proofs.constructions.certificate import Certificate, decimal, read_tolerance
from lora_proofs.constructions.relu.reach import Survey, largest
from lora_proofs.constructions.relu.regions import Affine, ExactRegion, exact_layers
from lora_proofs.domains import Domain
from lora_proofs.exact.algebra import absolute, euclidean_norm_above
from lora_proofs.exact.enclosures import enclosure, singular_value_enclosures
from lora_proofs.exact.matrices import block, hstack, is_rational, number, vector, zeros
from lora_proofs.networks.relu import ReluNetwork

_MATCH = Fraction(1, 10**6)
"""Deviation up to which a layer of a floating network counts as an imitation of a target layer: relative to the largest
pre-activation there, and beyond the tolerance. It makes no bound wrong; it decides whether there is one."""


class _Goal(NamedTuple):
    """A target layer, with an upper bound of its spectral norm where errors have to be carried through it."""

    layer: Affine
    norm: fmpq | None

    @classmethod
    def of(cls, layer: Affine, exact: bool) -> "_Goal":
        return cls(layer, None if exact else _spectral_norm_above(layer.weight))


class _Error(NamedTuple):
    """Bounds of |s - t|, the network's state against the target's: of every entry, and of the Euclidean norm."""

    entries: list[fmpq]
    norm: fmpq

    def after(self, goal: _Goal, own: list[fmpq], high: list[fmpq]) -> "_Error":
        """Return the bounds after ReLU(goal t + b), if the network adds errors of at most `own`.

        Its pre-activations or the target's are at most `high`, so both are at most high + e, and 0 if that is negative.
        """
        if self.norm == 0:
            before, norm = own, euclidean_norm_above(own)
        else:
            weight = goal.layer.weight
            by_entry = (absolute(weight) * vector(self.entries)).entries()
            by_norm = [euclidean_norm_above(row) * self.norm for row in weight.table()]
            before = [e + min(a, b) for e, a, b in zip(own, by_entry, by_norm, strict=True)]
            norm = euclidean_norm_above(own) + goal.norm * self.norm
        entries = [min(e, max(fmpq(0), top + e)) for e, top in zip(before, high, strict=False)]
        return _Error(entries, min(euclidean_norm_above(entries), norm))


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
        The largest error allowed of floating networks, relative to the target: see below. Rational ones must agree
        exactly.

    Returns
    -------
    Certificate
        ``holds`` is True only if ``error`` is at most ``tolerance`` times ``size``, a rigorous lower bound of the
        largest |target| on the domain; for rational networks only if ``error`` is 0. So a target that is 0 on the
        domain needs an error of 0. If False, the last of the ``reasons`` says that the functions differ by more, or
        that this is *not decided*: the bound of the error is too loose, or there is none.

    Raises
    ------
    ValueError
        If the network is narrower than the target, the domain is of another dimension, or the tolerance is no finite
        number >= 0.

    Examples
    --------
    >>> import numpy as np
    >>> from lora_proofs import Box, ReluNetwork
    >>> target = ReluNetwork([np.eye(2)], [np.zeros(2)])
    >>> twice = ReluNetwork([np.eye(2), np.eye(2)], [np.zeros(2), np.zeros(2)])
    >>> certify_relu_network(twice, target, Box(-1, 1)).holds
    True
    >>> certify_relu_network(twice, ReluNetwork([2 * np.eye(2)], [np.zeros(2)]), Box(-1, 1)).holds
    False
    """
    allowed = read_tolerance(tolerance)
    for name, net in (("network", network), ("target", target)):
        if not isinstance(net, ReluNetwork):
            raise ValueError(f"the {name} is of type {type(net).__name__}; pass a ReluNetwork(weights, biases)")
    if network.d_in < target.d_in or network.d_out < target.d_out:
        raise ValueError(
            f"the network maps R^{network.d_in} to R^{network.d_out}, but the target R^{target.d_in} to "
            f"R^{target.d_out}; pass a network that is at least as wide as its target"
        )
    exact = all(is_rational(x) for net in (network, target) for x in (*net.weights, *net.biases))
    goals = [_Goal.of(layer, exact) for layer in exact_layers(target)]
    region = ExactRegion.of(domain, target.d_in, network.d_in)
    survey = Survey(network, target, domain)
    reasons: list[str] = []
    match = Fraction(0) if exact else _MATCH + allowed
    errors = _follow(exact_layers(network), goals, region, survey.tops, match, reasons)
    error = None if errors is None else largest(errors)
    return conclude(survey, error, reasons, "exact" if exact else "certified", Fraction(0) if exact else allowed)


def conclude(
    survey: Survey, error: Fraction | None, reasons: list[str], evidence: str, tolerance: Fraction
) -> Certificate:
    """Weigh the bound of the error, or None, against the target, and add to the reasons which of three cases it is.

    With size <= max |target| <= ceiling on the domain, and the networks seen to differ by so much at a point: error <=
    tolerance * size shows what is claimed, seen > tolerance * ceiling its negation, and all else decides nothing.
    """
    size, seen, allowed = survey.size, survey.seen, tolerance * survey.size
    if (error is None or error > allowed) and survey.most <= allowed:
        error = survey.most
    difference = enclosure(seen, survey.most if error is None else error)
    if error is not None and error <= allowed:
        where = f", where the target reaches {decimal(size)}" if error else ""
        reasons.append(f"on the whole domain the outputs differ by at most {decimal(error)}{where}")
        return Certificate(True, evidence, reasons, error, difference, size)
    at_most = (
        f"; {reasons.pop()}"
        if error is None
        else f", on the whole domain by at most {decimal(error)}; allowed is {decimal(allowed)}"
    )
    verdict = "the outputs differ" if seen > tolerance * survey.ceiling else "not decided: the outputs differ"
    reasons.append(f"{verdict} by {decimal(seen)} at a point of the domain{at_most}")
    return Certificate(False, "", reasons, error, difference, size)


def _follow(
    layers: Sequence[Affine],
    goals: Sequence[_Goal],
    region: ExactRegion,
    tops: list[fmpq],
    match: Fraction,
    reasons: list[str],
) -> list[fmpq] | None:
    """Follow the network through its layers; return bounds of the errors of the outputs, or None and the reason why.

    `tops` are upper bounds of the target's last pre-activations, `match` is 0 for rational networks: see `_MATCH`.
    """
    state = Affine.identity(layers[0].weight.ncols())
    error = _Error([fmpq(0)] * goals[0].layer.weight.ncols(), fmpq(0))
    done, first = 0, 1
    for l, layer in enumerate(layers, start=1):
        state = state.then(layer)
        low, high = region.extent(state)
        own = _imitation(state, goals[done].layer, region, match) if done < len(goals) else None
        if own is not None:
            done += 1
            least = [min(a, b) for a, b in zip(high, tops, strict=False)] if done == len(goals) else high
            error = error.after(goals[done - 1], own, least)
            reasons.append(
                f"layers {first} to {l} have the pre-activations of target layer {done}: weights and biases agree "
                + ("exactly" if match == 0 else f"(the outputs differ by at most {decimal(max(error.entries))})")
            )
            # The network starts afresh: its next states are functions of ReLU(low), ..., ReLU(high).
            first, state = l + 1, Affine.identity(len(low))
            region = ExactRegion.between(*([max(v, fmpq(0)) for v in bound] for bound in (low, high)))
        elif min(low) >= 0:
            reasons.append(f"layer {l}: every pre-activation is active, at least {decimal(min(low))}")
        else:
            reasons.append(
                f"layer {l}: some pre-activation may be as low as {decimal(min(low))}, and they are not those of "
                + (f"target layer {done + 1}" if done < len(goals) else "an identity")
            )
            return None
    if done < len(goals):
        reasons.append(f"the network ends before target layer {done + 1} is imitated")
        return None
    if first <= len(layers):  # surplus layers after the last target layer must pass its output through
        own, _ = _deviation(state, Affine.identity(goals[-1].layer.weight.nrows()), region)
        return [a + b for a, b in zip(own, error.entries, strict=True)]
    return error.entries


def _imitation(state: Affine, goal: Affine, region: ExactRegion, match: Fraction) -> list[fmpq] | None:
    """Return bounds of |state - goal| if these are the layer's pre-activations, neuron by neuron; else None."""
    if state.weight.nrows() < goal.weight.nrows() or state.weight.ncols() < goal.weight.ncols():
        return None
    deviation, size = _deviation(state, goal, region)
    return deviation if max(deviation) <= number(match) * max(size) else None


def _deviation(state: Affine, goal: Affine, region: ExactRegion) -> tuple[list[fmpq], list[fmpq]]:
    """Bound the entries of |state - goal| (goal padded with zeros) and |goal| over the region."""
    count, width = goal.weight.nrows(), state.weight.ncols()
    padded = Affine(hstack(goal.weight, zeros(count, width - goal.weight.ncols())), goal.offset)
    own = block(state.weight, range(count), range(width)), block(state.offset, range(count), range(1))
    rest = region.extent(Affine(own[0] - padded.weight, own[1] - padded.offset))
    size = region.extent(padded)
    return [max(-a, b) for a, b in zip(*rest, strict=True)], [max(-a, b) for a, b in zip(*size, strict=True)]


def _spectral_norm_above(weight: fmpq_mat) -> fmpq:
    """Return a rational that is at least the spectral norm, whatever the scale of the matrix."""
    scale = max(map(abs, weight.entries()))
    return scale * number(singular_value_enclosures(weight / scale)[1][0]) if scale != 0 else scale
