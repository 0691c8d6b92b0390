"""Layers that share the kinks of a target layer: the network, its certificate, and what the certificate refuses."""

import numpy as np
import pytest

from lora_proofs import Ball, Box, ReluNetwork, exact, instances
from lora_proofs.constructions import adapt_relu_network, certify_relu_network
from lora_proofs.constructions.kinks.gauge import adapt_by_gauge
from lora_proofs.constructions.kinks.staggered import adapt_staggered, certify_staggered
from lora_proofs.constructions.kinks.system import read_kinks


def pair(D, L, Lbar, seed=0, init="uniform"):
    rng = np.random.default_rng(seed)
    return instances.relu_network(rng, D, L, init), instances.relu_network(rng, D, Lbar, init)


def over_Q(network):
    return ReluNetwork([exact.array(W) for W in network.weights], [exact.array(b) for b in network.biases])


@pytest.mark.parametrize(
    ("D", "L", "Lbar", "R", "kinks"),
    [
        (16, 3, 2, 10, None),
        (8, 3, 2, 5, None),
        (12, 3, 2, 8, [5, 7]),
        (16, 4, 2, 7, [0, 16, 0]),
        (8, 5, 3, 7, [4, 4, 0, 8]),
        (6, 2, 1, 3, [0]),
    ],
)
def test_the_network_is_the_target(D, L, Lbar, R, kinks):
    frozen, target = pair(D, L, Lbar)
    domain = Box(-4, 4)
    result = adapt_staggered(frozen, target, R, domain=domain, kinks=kinks)
    assert max(a.rank for a in result.adapters) <= R
    for W, adapter, F in zip(frozen.weights, result.adapters, result.network.weights, strict=True):
        assert np.array_equal(adapter.merge(W), F)
    assert result.certificate.holds, result.certificate.reasons
    x = exact.array(domain.sample(np.random.default_rng(1), 16, D))
    worst = np.max(abs(over_Q(result.network)(x) - over_Q(target)(x)))
    assert 0 < worst <= exact.number(result.certificate.error)
    assert result.existence.holds, result.existence.reasons


def test_the_biases_allow_for_what_the_layers_miss():
    frozen, target = pair(8, 3, 2, seed=1)  # a mixing matrix has condition 6e10
    certificate = adapt_staggered(frozen, target, 6, domain=Box(-4, 4)).certificate
    assert certificate.error is not None, certificate.reasons  # every neuron that should be active is


def test_whole_layers_would_need_more():
    frozen, target = pair(8, 3, 2)
    assert adapt_relu_network(frozen, target, 5, domain=Box(-4, 4)).error > 1e-3
    result = adapt_staggered(frozen, target, 5, domain=Box(-4, 4))
    assert result.partition == [range(1), range(1, 2), range(2, 3)]
    assert not certify_relu_network(result.network, target, Box(-4, 4)).holds  # it follows whole layers only


def test_a_ball_and_a_box_off_centre():
    frozen, target = pair(8, 3, 2, seed=1)
    for domain in (Ball(2), Box(1, 3), Box(np.arange(8.0) - 9, np.arange(8.0))):
        result = adapt_staggered(frozen, target, 5, domain=domain)
        assert result.certificate.holds, result.certificate.reasons


@pytest.mark.parametrize("what", ["bias", "weight", "target", "domain", "scale"])
def test_the_certificate_refuses_what_is_wrong(what):
    frozen, target = pair(8, 3, 2)
    result = adapt_staggered(frozen, target, 5, domain=Box(-4, 4))
    weights, biases, root, domain = list(result.network.weights), list(result.network.biases), result.root, Box(-4, 4)
    solution = result.solution
    if what == "bias":
        biases[1] = biases[1] + 1e-3
    elif what == "weight":
        weights[0] = weights[0] + 1e-4
    elif what == "target":
        object.__setattr__(solution, "target", ReluNetwork(target.weights, [target.biases[0], target.biases[1] + 1]))
    elif what == "domain":
        domain = Box(-40, 40)
    else:
        root = np.where(solution.system.positive, -root, root)
    certificate = certify_staggered(ReluNetwork(weights, biases), solution, root, domain)
    assert not certificate.holds
    assert certificate.evidence == ""


def test_the_certificate_bounds_a_small_fault():
    frozen, target = pair(8, 3, 2)
    result = adapt_staggered(frozen, target, 5, domain=Box(-4, 4))
    biases = [*result.network.biases[:-1], result.network.biases[-1] + 1e-3]
    certificate = certify_staggered(
        ReluNetwork(result.network.weights, biases), result.solution, result.root, Box(-4, 4)
    )
    assert 1e-3 * (1 - 1e-6) < float(certificate.error) < 1e-3 * (1 + 1e-6)


def lowest(network, layer, domain):
    """The least pre-activations of a layer over a box, where all ReLUs before it are the identity, over Q."""
    P, c = exact.identity(network.d_in), exact.matrix(np.zeros((network.d_in, 1)))
    for W, b in zip(network.weights[:layer], network.biases[:layer], strict=True):
        P, c = exact.matrix(W) * P, exact.matrix(W) * c + exact.matrix(b[:, None])
    lower, upper = (exact.array(bound) for bound in domain.bounds(network.d_in))
    P, c = exact.array(P), exact.array(c)[:, 0]
    return P @ (lower + upper) / 2 - abs(P) @ (upper - lower) / 2 + c


def test_biases_are_as_small_as_rounding_allows():
    frozen, target = pair(8, 3, 2)
    for domain in (Box(-4, 4), Box(-1, 4)):
        result = adapt_staggered(frozen, target, 5, domain=domain)
        low = lowest(result.network, 1, domain)[result.solution.nodes[0].neurons.stop :]
        assert min(low) >= 0
        assert float(max(low)) < 1e-10
        assert np.all(result.biases[1][result.solution.nodes[0].neurons] < 1e3)


def test_every_neuron_that_is_not_bent_must_be_active():
    """One neuron after the other, in each layer, is switched off a little where its bias was just enough."""
    frozen, target = pair(6, 4, 2)
    domain = Box(-4, 4)
    result = adapt_staggered(frozen, target, 5, domain=domain, kinks=[0, 6, 0])
    assert result.certificate.holds
    for i in range(6):  # the next layer makes up for it, so that the networks differ only where the neuron is off
        less = 1e-6 * np.eye(6)[i]
        biases = [result.biases[0] - less, result.biases[1] + result.network.weights[1] @ less, result.biases[2]]
        shifted = ReluNetwork(result.network.weights, [*biases, *result.biases[3:]])
        certificate = certify_staggered(shifted, result.solution, result.root, domain)
        assert certificate.error is None
        assert "layer 1: a neuron that should be active" in certificate.reasons[-1]


@pytest.mark.parametrize("seed", range(4))
def test_the_region_of_the_next_layer_is_all_that_the_target_reaches(seed):
    shared = adapt_staggered(*pair(6, 3, 2, seed), 4, domain=Box(-4, 4))
    first, second = (node.neurons for node in shared.solution.nodes[:2])
    weights = shared.network.weights
    for i in first:
        less = 1e-3 * np.eye(6)[i]
        biases = [shared.biases[0], shared.biases[1] - less, shared.biases[2] + weights[2] @ less]
        certificate = certify_staggered(ReluNetwork(weights, biases), shared.solution, shared.root, Box(-4, 4))
        assert certificate.error is None
        assert "layer 2: a neuron that should be active" in certificate.reasons[-1]
    assert set(first) | set(second) == set(range(6))


def test_a_dead_output_has_no_error():
    frozen, target = pair(6, 3, 2)
    dead = ReluNetwork(target.weights, [target.biases[0], target.biases[1] - np.r_[np.full(5, 1e3), 0.0]])
    result = adapt_staggered(frozen, dead, 4, domain=Box(-4, 4))
    assert result.certificate.holds
    off = ReluNetwork(result.network.weights, [*result.biases[:-1], result.biases[-1] + np.r_[np.full(5, 10.0), 0.0]])
    certificate = certify_staggered(off, result.solution, result.root, Box(-4, 4))
    assert certificate.holds, "10 more is still -990"
    assert certificate.error < 1e-10
    all_dead = ReluNetwork(target.weights, [target.biases[0], target.biases[1] - 1e3])
    result = adapt_staggered(frozen, all_dead, 4, domain=Box(-4, 4))
    assert (result.certificate.holds, result.certificate.error, result.certificate.size) == (True, 0, 0)
    alive = [*result.biases[:-1], result.biases[-1] + 2e3]
    certificate = certify_staggered(
        ReluNetwork(result.network.weights, alive), result.solution, result.root, Box(-4, 4)
    )
    assert not certificate.holds
    assert certificate.difference.lower > 900


def test_a_scale_that_is_not_positive_is_refused():
    """A network whose first layer is 0 and whose T is 0 there: the bent neurons carry nothing on."""
    frozen, target = pair(4, 3, 2)
    result = adapt_staggered(frozen, target, 4, domain=Box(-1, 1))
    scales = result.solution.system.positive
    for value in (0.0, -1.0):
        root = np.where(scales, value, result.root)
        certificate = certify_staggered(result.network, result.solution, root, Box(-1, 1))
        assert not certificate.holds
    zero = ReluNetwork([0 * W for W in result.network.weights], [0 * b for b in result.biases])
    certificate = certify_staggered(zero, result.solution, 0 * result.root, Box(-1, 1))
    assert not certificate.holds
    assert "a scale is not positive" in certificate.reasons[-1]


@pytest.mark.parametrize("tolerance", [-1, float("nan"), None])
def test_the_tolerance_is_a_number(tolerance):
    result = adapt_staggered(*pair(4, 3, 2), 4, domain=Box(-1, 1))
    with pytest.raises(ValueError, match="pass a finite number >= 0"):
        certify_staggered(result.network, result.solution, result.root, Box(-1, 1), tolerance=tolerance)
    tight = certify_staggered(result.network, result.solution, result.root, Box(-1, 1), tolerance=0)
    assert tight.holds == (tight.error == 0)


def test_more_seeds_and_families():
    for init in ("gaussian", "scaled gaussian", "orthogonal"):
        frozen, target = pair(6, 3, 2, seed=2, init=init)
        assert adapt_staggered(frozen, target, 4, domain=Box(-1, 1)).certificate.holds


def test_places_of_the_kinks():
    nodes = read_kinks([0, 3, 1, 4], D=4, L=5, Lbar=3)
    assert [(v.layer, v.target, v.neurons) for v in nodes] == [
        (2, 1, range(3)),
        (3, 1, range(3, 4)),
        (4, 2, range(4)),
        (5, 3, range(4)),
    ]


@pytest.mark.parametrize("kinks", ["44", 8, [4.0, 4], [9, -1], [None, 8], [[4], [4]], {4: 4}])
def test_kinks_are_whole_numbers(kinks):
    frozen, target = pair(8, 3, 2)
    with pytest.raises(ValueError, match=r"^kinks.* is .*; pass a (list of 2 numbers of neurons|whole number >= 0)"):
        adapt_staggered(frozen, target, 8, domain=Box(-1, 1), kinks=kinks)
    for adapt in (adapt_staggered, adapt_by_gauge):
        with pytest.raises(ValueError, match="seed is None; pass a whole number >= 0"):
            adapt(frozen, target, 8, domain=Box(-1, 1), seed=None)


@pytest.mark.parametrize("kinks", [[8], [4, 3], [4, 5], [8, 8], [8, 0, 0]])
def test_malformed_kinks(kinks):
    frozen, target = pair(8, 3, 2)
    with pytest.raises(ValueError, match="numbers of neurons for layers 1 to 2"):
        adapt_staggered(frozen, target, 8, domain=Box(-1, 1), kinks=kinks)


def test_too_small_ranks_and_a_domain_that_is_none():
    frozen, target = pair(8, 3, 2)
    with pytest.raises(ValueError, match="pass larger ranks"):
        adapt_staggered(frozen, target, 4, domain=Box(-1, 1))
    with pytest.raises(ValueError, match="48 equations for 40 unknowns"):
        adapt_staggered(frozen, target, 4, domain=Box(-1, 1), kinks=[4, 4])
    with pytest.raises(ValueError, match="pass a Box or a Ball"):
        adapt_staggered(frozen, target, 5, domain=4)
