"""Rescaled targets: the same function, fewer ranks, a certificate for the network and one for its existence."""

import numpy as np
import pytest

from lora_proofs import Ball, Box, ReluNetwork, exact, instances
from lora_proofs.constructions import adapt_relu_network, certify_relu_network
from lora_proofs.constructions.kinks.gauge import adapt_by_gauge, rescale


def pair(D, L, Lbar, seed=0, init="uniform"):
    rng = np.random.default_rng(seed)
    return instances.relu_network(rng, D, L, init), instances.relu_network(rng, D, Lbar, init)


def over_Q(network):
    return ReluNetwork([exact.array(W) for W in network.weights], [exact.array(b) for b in network.biases])


@pytest.mark.parametrize(("D", "L", "Lbar", "R"), [(16, 4, 2, 7), (16, 2, 2, 14), (12, 4, 2, 5), (12, 3, 3, 10)])
@pytest.mark.parametrize("domain", [Box(-4, 4), Ball(3)], ids=["box", "ball"])
def test_fewer_ranks_than_theorem_3_suffice(D, L, Lbar, R, domain):
    frozen, target = pair(D, L, Lbar)
    assert -(-D // (L // Lbar)) > R
    result = adapt_by_gauge(frozen, target, R, domain=domain)
    assert max(a.rank for a in result.adapters) <= R
    assert result.certificate.holds, result.certificate.reasons
    assert result.certificate.evidence == "certified"
    x = exact.array(domain.sample(np.random.default_rng(1), 16, D))
    worst = np.max(abs(over_Q(result.network)(x) - over_Q(target)(x)))
    assert 0 < worst <= exact.number(result.certificate.error)
    assert result.existence.holds, result.existence.reasons
    assert adapt_relu_network(frozen, target, R, domain=domain).error > 1e-6


def test_the_network_is_the_frozen_one_with_its_adapters():
    frozen, target = pair(8, 2, 2)
    result = adapt_by_gauge(frozen, target, 7, domain=Box(-1, 1))
    for W, adapter, F in zip(frozen.weights, result.adapters, result.network.weights, strict=True):
        assert np.array_equal(adapter.merge(W), F)


def test_the_certificate_fails_for_another_target():
    frozen, target = pair(8, 2, 2)
    result = adapt_by_gauge(frozen, target, 7, domain=Box(-1, 1))
    other = ReluNetwork(result.rescaled.weights, [result.rescaled.biases[0], 2 * result.rescaled.biases[1]])
    assert not certify_relu_network(result.network, other, Box(-1, 1)).holds


def test_existence_is_refused_for_a_point_that_is_no_root():
    frozen, target = pair(12, 4, 2)
    result = adapt_by_gauge(frozen, target, 5, domain=Box(-1, 1))
    refused = result.solution.existence(np.full_like(result.root, 3.0))
    assert not refused.holds
    assert "Krawczyk" in refused.reasons[0]


def test_existence_is_refused_for_a_singular_frozen_layer():
    frozen, target = pair(6, 2, 2)
    result = adapt_by_gauge(frozen, target, [6, 6], domain=Box(-1, 1))
    assert result.existence.holds
    singular = np.ones((6, 6))
    broken = adapt_by_gauge(ReluNetwork([singular, frozen.weights[1]], frozen.biases), target, 6, domain=Box(-1, 1))
    assert not broken.existence.holds


def test_rescaling_keeps_the_function_over_Q():
    _, target = pair(5, 1, 3)
    scales = [np.array([0.5, 1.25, 3, 0.1, 7]), np.array([2.0, 1, 0.3, 9, 0.7])]
    x = exact.array(np.random.default_rng(0).integers(-8, 9, (20, 5))) / 4
    assert np.array_equal(rescale(target, scales)(x), over_Q(target)(x))
    with pytest.raises(ValueError, match="positive scales for each of the 2"):
        rescale(target, [scales[0], -scales[1]])


def test_one_target_layer_has_nothing_to_rescale():
    frozen, target = pair(6, 3, 1)
    result = adapt_by_gauge(frozen, target, 2, domain=Box(-1, 1))
    assert result.certificate.holds
    assert result.existence.holds
    with pytest.raises(ValueError, match="leave 9 equations for 0 unknowns"):
        adapt_by_gauge(frozen, target, 1, domain=Box(-1, 1))


def test_another_partition():
    frozen, target = pair(8, 4, 2)
    result = adapt_by_gauge(frozen, target, [7, 3, 2, 2], domain=Box(-1, 1), partition=[1, 3])
    assert result.partition == [range(1), range(1, 4)]
    assert result.certificate.holds


@pytest.mark.parametrize(
    ("frozen", "target", "ranks", "message"),
    [
        (pair(8, 2, 2)[0], pair(6, 2, 2)[1], 8, "one width"),
        (pair(8, 2, 2)[0], pair(8, 2, 3)[1], 8, "3 layers"),
        (pair(8, 2, 2)[0], pair(8, 2, 2)[1], 5, "18 equations for 8 unknowns"),
        (pair(8, 2, 2)[0], pair(8, 2, 2)[1], [8], "1 ranks are given for 2"),
        ("a network", pair(8, 2, 2)[1], 8, "pass a ReluNetwork"),
        (rescale(pair(4, 1, 1)[1], []), pair(4, 1, 1)[1], 4, "irrational"),
    ],
)
def test_bad_input(frozen, target, ranks, message):
    with pytest.raises(ValueError, match=message):
        adapt_by_gauge(frozen, target, ranks, domain=Box(-1, 1))
