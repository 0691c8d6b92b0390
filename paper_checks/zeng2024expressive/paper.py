"""The paper, and the families of instances on which its statements are tried."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from flint import fmpq_mat

from lora_proofs import Ball, Box, Case, Paper, ReluNetwork, constructions, exact, instances
from lora_proofs.backends import for_case
from lora_proofs.enclosure import Enclosure

PAPER = Paper(
    key="zeng2024expressive",
    title="The Expressive Power of Low-Rank Adaptation",
    authors=("Yuchen Zeng", "Kangwook Lee"),
    year=2024,
    arxiv="2310.17513v3",
)

RATIONAL = "rational"
"""The family of integer matrices, judged over Q; every other family is one of `instances.chain`, in floats."""


def frozen_chain(case: Case) -> list[Any]:
    """Return L non-singular D x D matrices of the case's family, in the case's library and precision."""
    if case["family"] == RATIONAL:
        return [instances.nonsingular(case.rng, case["D"]) for _ in range(case["L"])]
    return [for_case(W, case) for W in instances.chain(case.rng, case["D"], case["L"], case["family"])]


def target_matrix(case: Case) -> Any:
    """Return a float target of the case's family, drawn after `frozen_chain`."""
    return for_case(instances.chain(case.rng, case["D"], 1, case["family"])[0], case)


def random_network(case: Case, width: int, depth: int) -> ReluNetwork:
    """Return a network of the case's family, with random biases, in the case's library and precision."""
    if case["family"] == RATIONAL:
        weights = [exact.array(instances.nonsingular(case.rng, width)) for _ in range(depth)]
        return ReluNetwork(weights, [exact.array(case.rng.integers(-3, 4, width)) for _ in range(depth)])
    network = instances.relu_network(case.rng, width, depth, case["family"])
    return ReluNetwork([for_case(W, case) for W in network.weights], [for_case(b, case) for b in network.biases])


def input_domain(case: Case) -> Box | Ball:
    """Return |x|_inf <= 4, or |x|_2 <= 4."""
    return Box(-4, 4) if case["domain"] == "box" else Ball(4)


def certified_error(result: constructions.AdaptedReluNetwork) -> Fraction | Enclosure | tuple[Fraction, Fraction]:
    """Return sup |f - target| over the domain, relative to the largest |target| seen there: exactly 0, or a bracket.

    The bracket is proved of the floating network as it is stored, from the largest exact difference at rational points
    on. So it is certified where it shows that adapters exist; that this network misses the target shows nothing yet.
    """
    return certified(result.certificate)


def certified(certificate: constructions.Certificate) -> Fraction | Enclosure | tuple[Fraction, Fraction]:
    """Return what a certificate says of sup |f - target|, as `certified_error` does."""
    difference, size = certificate.difference, certificate.size or 1
    lower, upper = difference.lower / size, difference.upper / size
    if certificate.holds:
        return Fraction(0) if certificate.evidence == "exact" else exact.enclosure(lower, upper)
    return lower, upper


def residual(weights: list[Any], adapters: list[Any], target: fmpq_mat) -> fmpq_mat:
    """Return target - prod (W_l + Delta_l) over Q."""
    return target - exact.product([a.merge(W) for W, a in zip(weights, adapters, strict=True)])
