"""A certificate that holds for a network that differs from its target is the worst bug that this library could have."""

from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import generators

from lora_proofs import Ball, Box, ReluNetwork, exact, instances
from lora_proofs.constructions import adapt_relu_network, certify_relu_network

DOMAINS = [Box(-4.0, 4.0), Ball(4.0)]


def mapped(convert, net):
    return ReluNetwork([convert(W) for W in net.weights], [convert(b) for b in net.biases])


def rational(net):
    return mapped(exact.array, net)


def changed(net, layer, kind, index, by):
    """The network with one entry of one weight or bias changed."""
    parts = {"weights": list(net.weights), "biases": list(net.biases)}
    parts[kind][layer] = parts[kind][layer].copy()
    parts[kind][layer][index] += by
    return ReluNetwork(**parts)


def integer_network(rng, D, L):
    return ReluNetwork(
        [exact.array(instances.nonsingular(rng, D)) for _ in range(L)],
        [exact.array(rng.integers(-3, 4, D)) for _ in range(L)],
    )


def exact_error(network, target, domain, rng, n=40):
    """The largest error on sampled points of the domain, computed over Q."""
    x = exact.array(domain.sample(rng, n, target.d_in))
    pad = exact.array(np.zeros((n, network.d_in - target.d_in)))
    difference = rational(network)(np.concatenate([x, pad], axis=1))[:, : target.d_out] - rational(target)(x)
    return max(abs(v) for v in difference.ravel())


def refused(certificate):
    assert not certificate.holds
    assert certificate.evidence == ""
    assert certificate.reasons, "a refusal says what is missing"
    return True


@pytest.fixture(scope="module", params=DOMAINS, ids=["box", "ball"])
def floating(request):
    """(network, target, domain) that are certified."""
    rng = np.random.default_rng(0)
    target = instances.relu_network(rng, 4, 2)
    result = adapt_relu_network(instances.relu_network(rng, 4, 5), target, 2, domain=request.param)
    return result.network, target, request.param


@pytest.fixture(scope="module", params=[Box(-1, 1), Ball(Fraction(3, 2))], ids=["box", "ball"])
def exactly(request):
    rng = np.random.default_rng(0)
    target = integer_network(rng, 3, 2)
    result = adapt_relu_network(integer_network(rng, 3, 4), target, 2, domain=request.param)
    return result.network, target, request.param


# ------------------------------------------------------------------------------------------ what it must say


def test_floating_networks_are_certified_with_a_bound(floating):
    certificate = certify_relu_network(*floating)
    assert (certificate.holds, certificate.evidence) == (True, "certified")
    assert exact_error(*floating, np.random.default_rng(0)) <= exact.number(certificate.error) < fmpq(1, 10**10)
    text = " ".join(certificate.reasons)
    for part in (
        "layer 1: every pre-activation is active",
        "layers 1 to 2 have the pre-activations of target layer 1",
        "layers 3 to 5 have the pre-activations of target layer 2",
        "(the outputs differ by at most",
        "weights and biases agree",
        "whole domain",
    ):
        assert part in text


def test_rational_networks_are_certified_exactly(exactly):
    certificate = certify_relu_network(*exactly)
    assert (certificate.holds, certificate.evidence, certificate.error) == (True, "exact", 0)
    assert (certificate.difference.lower, certificate.difference.upper) == (0, 0)
    assert "weights and biases agree exactly" in certificate.reasons[1]
    assert certificate.size > 0
    assert exact_error(*exactly, np.random.default_rng(0)) == 0


def test_only_rational_networks_have_exact_evidence(exactly):
    network, target, domain = exactly
    floats = mapped(lambda x: x.astype(float), target)
    assert certify_relu_network(floats, floats, domain).evidence == "certified", "integers in floats are floats"
    assert certify_relu_network(network, floats, domain).evidence == "certified"
    assert certify_relu_network(mapped(lambda x: x.astype(float), network), target, domain).evidence in (
        "certified",
        "",
    )
    assert certify_relu_network(target, target, Box(-0.5, 0.25)).evidence == "exact", "floats are dyadic rationals"


# ------------------------------------------------------------------------------------------- mutants are caught


@pytest.mark.parametrize("layer", range(5))
@pytest.mark.parametrize("by", [1e-6, -1e-6, 1e-2])
def test_a_nudged_entry_is_caught(floating, layer, by):
    network, target, domain = floating
    for i in range(4):
        assert refused(certify_relu_network(changed(network, layer, "biases", i, by), target, domain))
        for j in range(4):
            mutant = changed(network, layer, "weights", (i, j), by)
            assert refused(certify_relu_network(mutant, target, domain))


@pytest.mark.parametrize("by", [fmpq(1, 10**30), fmpq(-1, 10**30), fmpq(1)])
def test_any_change_of_a_rational_network_is_caught(exactly, by):
    network, target, domain = exactly
    for layer in range(network.depth):
        for i in range(3):
            assert refused(certify_relu_network(changed(network, layer, "biases", i, by), target, domain))
            for j in range(3):
                assert refused(certify_relu_network(changed(network, layer, "weights", (i, j), by), target, domain))


def test_any_change_of_a_rational_target_is_caught(exactly):
    network, target, domain = exactly
    for layer in range(target.depth):
        for i in range(3):
            assert refused(certify_relu_network(network, changed(target, layer, "biases", i, fmpq(1, 10**30)), domain))


@pytest.mark.parametrize("factor", [1 + 1e-3 / 4, 1.1, 2.0])
def test_a_larger_domain_is_caught(floating, factor):
    """The biases are tight, so that already a thousandth more of the box switches neurons off."""
    network, target, domain = floating
    larger = Ball(4.0 * factor) if isinstance(domain, Ball) else Box(-4.0 * factor, 4.0 * factor)
    assert refused(certify_relu_network(network, target, larger))
    assert "as low as -" in certify_relu_network(network, target, larger).reasons[-1]


def test_a_box_larger_in_one_coordinate_is_caught():
    rng = np.random.default_rng(0)
    target, lower = integer_network(rng, 3, 1), [-1, -1, -1]
    network = adapt_relu_network(integer_network(rng, 3, 2), target, 2, domain=Box(-1, 1)).network
    for i in range(3):
        for bounds in (
            Box(lower, [1 + (k == i) * Fraction(1, 1000) for k in range(3)]),
            Box([-1 - (k == i) * Fraction(1, 1000) for k in range(3)], 1),
        ):
            certificate = certify_relu_network(network, target, bounds)
            assert not certificate.holds or exact_error(network, target, bounds, rng) == 0
    for excess in (Fraction(1, 1000), Fraction(1, 10**30)):
        assert refused(certify_relu_network(network, target, Box(-1 - excess, 1 + excess)))


def test_the_box_does_not_fit_into_the_ball(floating):
    network, target, domain = floating
    if isinstance(domain, Ball):
        assert refused(certify_relu_network(network, target, Box(-4.0, 4.0)))
        assert certify_relu_network(network, target, Box(-2.0, 2.0)).holds, "whose corners have norm 4"
    else:
        assert certify_relu_network(network, target, Ball(4.0)).holds


def test_other_orders_and_lengths_are_caught(floating):
    network, target, domain = floating
    swapped = ReluNetwork(target.weights[::-1], target.biases[::-1])
    assert refused(certify_relu_network(network, swapped, domain))
    assert refused(certify_relu_network(ReluNetwork(network.weights[::-1], network.biases[::-1]), target, domain))
    for depth in range(1, network.depth):
        shorter = ReluNetwork(network.weights[:depth], network.biases[:depth])
        assert refused(certify_relu_network(shorter, target, domain))
    longer = ReluNetwork([*network.weights, network.weights[-1]], [*network.biases, network.biases[-1]])
    assert refused(certify_relu_network(longer, target, domain))
    first = ReluNetwork(target.weights[:1], target.biases[:1])
    assert refused(certify_relu_network(network, first, domain))


def test_frozen_networks_are_no_targets():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        frozen, target = instances.relu_network(rng, 3, 4), instances.relu_network(rng, 3, 2)
        assert refused(certify_relu_network(frozen, target, Box(-1, 1)))


def test_a_dead_neuron_does_not_excuse_the_others():
    """Outputs of size 1: that a pre-activation of the target is -1e9 does not make 5 a small error."""
    target = ReluNetwork([np.eye(2)], [np.array([-1e9, 0.0])])
    network = ReluNetwork([np.eye(2)], [np.array([-1e9, 5.0])])
    assert refused(certify_relu_network(network, target, Box(-1.0, 1.0)))
    assert certify_relu_network(target, target, Box(-1.0, 1.0)).holds


def test_the_tolerance_is_that_of_the_caller(floating):
    network, target, domain = floating
    nudged = changed(network, network.depth - 1, "biases", 0, 1e-7)
    assert certify_relu_network(nudged, target, domain, tolerance=1e-5).holds
    assert refused(certify_relu_network(nudged, target, domain, tolerance=1e-9))
    certificate = certify_relu_network(nudged, target, domain, tolerance=1e-5)
    assert exact_error(nudged, target, domain, np.random.default_rng(0)) <= exact.number(certificate.error)


# ------------------------------------------------------------------- what the error is small against


def floats(weights, biases):
    return ReluNetwork([np.array(W, dtype=float) for W in weights], [np.array(b, dtype=float) for b in biases])


def decided(certificate):
    return "not decided" not in certificate.reasons[-1]


@pytest.mark.parametrize("scale", [1e-300, 1e-9, 1.0, 3e5, 1e300])
def test_a_target_that_is_zero_needs_an_error_of_zero(scale):
    """ReLU(s x - s) is 0 on [0, 1], however large its pre-activations are; 9e-9 s more is not."""
    target, network = floats([[[scale]]], [[-scale]]), floats([[[scale]]], [[-scale * (1 - 9e-9)]])
    certificate = certify_relu_network(network, target, Box(0, 1))
    assert refused(certificate)
    assert decided(certificate)
    assert certificate.size == 0
    assert certificate.difference.lower == certificate.error > 0
    assert certify_relu_network(target, target, Box(0, 1)).holds
    dead = floats([[[scale]]], [[-scale * 1.25]])
    assert certify_relu_network(floats([[[scale]]], [[-scale * 1.125]]), dead, Box(0, 1)).holds, "both are 0"
    assert certify_relu_network(dead, target, Box(0, 1)).error == 0


def test_cancellation_makes_no_size():
    """The target's last pre-activation is 0 everywhere; products of floats in it round by up to 1e4."""
    x, y, s = 1 + 2.0**-30, 2.0**-20, 2.0**66
    W = np.array([[x * s, y * s, -(x + y) * s]] * 3)
    target, network = (floats([np.ones((3, 1)), W], [np.zeros(3), np.full(3, b)]) for b in (0.0, 1e-5))
    certificate = certify_relu_network(network, target, Box(0, 1))
    assert refused(certificate)
    assert decided(certificate)
    assert (certificate.size, float(certificate.error)) == (0, 1e-5)


def test_a_dead_target_is_followed_though_boxes_do_not_show_it():
    """-ReLU(x + 1) - 1/4 on [-2, 2], carried with an error: layer by layer its top seems to be 1/2, but it is -1/4."""
    target = floats([[[1.0]], [[-1.0]]], [[1.0], [-0.25]])
    network = floats([[[1.0 + 1e-12]], [[-1.0]]], [[1.0], [-0.25]])
    certificate = certify_relu_network(network, target, Box(-2, 2))
    assert certificate.holds
    assert certificate.error == 0


def test_an_output_that_is_dead_has_no_error_beside_one_that_lives():
    """The second pre-activation is off by 10, but stays below -1e8."""
    target, network = (floats([[[1e9], [1e9]]], [[0.0, b]]) for b in (-1.25e9, -1.25e9 + 10))
    certificate = certify_relu_network(network, target, Box(0, 1))
    assert (certificate.holds, certificate.error) == (True, 0)
    barely = floats([[[1e9], [1e9]]], [[0.0, -1e9 + 4]])
    assert certify_relu_network(barely, floats([[[1e9], [1e9]]], [[0.0, -1e9 - 6]]), Box(0, 1)).error == 4


def test_a_tolerance_that_takes_in_everything_leaves_the_error_as_it_is():
    target, network = (floats([np.eye(2)], [[0.0, b]]) for b in (0.0, 2.0**-20))
    for tolerance in (1.0, 1e10):
        certificate = certify_relu_network(network, target, Box(-1, 1), tolerance=tolerance)
        assert (certificate.holds, certificate.error) == (True, Fraction(1, 2**20))


def test_the_size_is_that_of_all_outputs_together():
    target, network = (floats([[[1.0], [0.0]]], [[0.0, b]]) for b in (0.0, 5e-9))
    certificate = certify_relu_network(network, target, Box(0, 1))
    assert certificate.holds, "the first output reaches 1"
    assert certificate.size == 1
    assert refused(certify_relu_network(network, target, Box(0, 0.25)))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_threshold_is_the_tolerance_times_the_size(sign):
    """The target reaches 1/3 on the box, exactly, and the networks differ by 2^-20 everywhere."""
    one, other = floats([np.eye(1)], [[0.0]]), floats([np.eye(1)], [[sign * 2.0**-20]])
    threshold = Fraction(3, 2**20)
    for tolerance, holds in ((threshold, True), (threshold - Fraction(1, 10**30), False)):
        certificate = certify_relu_network(other, one, Box(Fraction(1, 10), Fraction(1, 3)), tolerance=tolerance)
        assert certificate.holds == holds
        assert decided(certificate)
        assert certificate.size == Fraction(1, 3)
        assert certificate.error == certificate.difference.lower == Fraction(1, 2**20)


def test_what_is_not_known_is_not_decided():
    """Permuted neurons are not followed; and an error bound may be too loose for a tolerance that the truth meets."""
    rng = np.random.default_rng(0)
    target = instances.relu_network(rng, 3, 2)
    order = [1, 2, 0]
    permuted = ReluNetwork(
        [target.weights[0][order], target.weights[1][:, order]], [target.biases[0][order], target.biases[1]]
    )
    certificate = certify_relu_network(permuted, target, Box(-1, 1))
    assert refused(certificate)
    assert not decided(certificate)
    assert certificate.error is None
    assert certificate.difference.lower == 0 < certificate.difference.upper
    W, b = np.array([[1.0, 1e-4], [0.0, 1.0]]), np.array([4.0, 0.0])
    loose = certify_relu_network(floats([np.eye(2), W], [[0, 1e-5], b]), floats([np.eye(2), W], [[0, 0], b]), Box(0, 1))
    assert refused(loose)
    assert decided(loose) == (loose.difference.lower > Fraction(1e-8) * loose.size)


def test_a_bump_between_the_points_is_not_decided():
    """The target is 0; the network is a bump around 1/128, where no point lies, so that nothing was seen to differ."""
    target = floats([[[1.0]], [[-1.0]]], [[0.0], [0.0]])
    bump = floats([[[1.0], [-1.0]], [[-1.0, -1.0]]], [[-1 / 128, 1 / 128], [1e-3]])
    certificate = certify_relu_network(bump, target, Box(0, 1))
    assert refused(certificate)
    assert not decided(certificate)
    assert certificate.difference.lower == 0 < 1e-3 <= certificate.difference.upper


def test_the_difference_brackets_the_supremum():
    target, network = floats([np.eye(2)], [[0.0, 0.0]]), floats([np.diag([1.0, 1 + 1e-9])], [[0.0, 0.0]])
    certificate = certify_relu_network(network, target, Box(-1, 1))
    assert certificate.difference.lower == certificate.difference.upper == Fraction(1 + 1e-9) - 1
    other = floats([[[2.0, 0.0], [0.0, -1.0]]], [[1.0, 0.0]])
    refusal = certify_relu_network(other, target, Box(-1, 1))
    assert refused(refusal)
    assert refusal.error is None
    assert decided(refusal)
    assert (refusal.difference.lower, refusal.difference.upper) == (2, 3), "(1, 1) against at most 3"


@pytest.mark.parametrize("tolerance", [float("nan"), float("inf"), -1e-9, None, "1", 1j])
def test_a_tolerance_is_a_finite_number(tolerance):
    target = floats([np.eye(1)], [[0.0]])
    with pytest.raises(ValueError, match=r"tolerance is .*; pass a finite number >= 0"):
        certify_relu_network(target, target, Box(0, 1), tolerance=tolerance)
    assert certify_relu_network(target, target, Box(0, 1), tolerance=0).holds


def test_entries_beyond_the_range_of_floats():
    huge = fmpq(10) ** 400
    target = ReluNetwork([exact.array([[huge, 1], [0, 1 / huge]])] * 2, [exact.array([0, 1])] * 2)
    certificate = certify_relu_network(target, target, Box(-1, 1))
    assert (certificate.holds, certificate.evidence, certificate.size > 10**800) == (True, "exact", True)
    other = ReluNetwork(target.weights, [target.biases[0], exact.array([0, 2])])
    assert refused(certify_relu_network(other, target, Box(-1, 1)))
    mixed = certify_relu_network(floats([np.eye(2)] * 2, [np.ones(2)] * 2), target, Box(-1, 1))
    assert refused(mixed)
    assert "e+" in mixed.reasons[-1]
    deep = floats([[[1e200]]] * 4, [[1.0]] * 4)
    assert certify_relu_network(deep, deep, Box(-1, 1)).holds
    assert str(certify_relu_network(deep, deep, Box(-1, 1))).startswith("Certificate: holds (certified)")


def test_an_error_is_carried_through_layers_of_large_norm():
    """1e-9 in the first layer, through two layers of gain 1000: the bound is within a factor of the dimension."""
    D = 4
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((D, D)))[0]
    W, b = [np.eye(D), 1000 * Q, 1000 * Q.T], [np.full(D, 5.0), np.full(D, 1e5), np.full(D, 1e8)]
    certificate = certify_relu_network(ReluNetwork([W[0] + 1e-9, *W[1:]], b), ReluNetwork(W, b), Box(-1, 1))
    assert 4e-3 < certificate.difference.lower <= certificate.error < 8.01e-3
    row = certify_relu_network(
        floats([[[1.0]], [[1000.0], [0.0]]], [[1e-9], [0.0, 1.0]]),
        floats([[[1.0]], [[1000.0], [0.0]]], [[0.0], [0.0, 1.0]]),
        Box(0, 1),
    )
    assert row.error == Fraction(1e-9) * 1000, "entry by entry"


def test_an_error_is_carried_through_surplus_layers():
    target, early = floats([np.eye(2)], [np.ones(2)]), floats([np.eye(2), np.eye(2)], [np.ones(2) + 1e-9, np.zeros(2)])
    both = floats([np.eye(2), np.eye(2)], [np.ones(2) + 1e-9, np.array([0.0, 2e-9])])
    assert certify_relu_network(early, target, Box(0, 1)).error == Fraction(1 + 1e-9) - 1
    assert certify_relu_network(both, target, Box(0, 1)).error == Fraction(1 + 1e-9) - 1 + Fraction(2e-9)


# --------------------------------------------------------------------------------------- soundness, at random


@given(generators, st.floats(-13, -7), st.sampled_from(DOMAINS))
def test_the_error_bound_is_one(rng, exponent, domain):
    """Networks with noise in all entries: wherever a bound is stated, it bounds the error over Q on every sample."""
    target = instances.relu_network(rng, 3, 2, "gaussian")
    network = adapt_relu_network(instances.relu_network(rng, 3, 4, "orthogonal"), target, 2, domain=domain).network
    noisy = ReluNetwork(
        [W * (1 + 10**exponent * rng.normal(size=W.shape)) for W in network.weights],
        [b + 10**exponent * (1 + np.abs(b)) * rng.uniform(0, 20, size=b.shape) for b in network.biases],
    )
    certificate = certify_relu_network(noisy, target, domain, tolerance=1e-2)
    if certificate.error is not None:
        assert exact_error(noisy, target, domain, rng) <= exact.number(certificate.error)


def test_the_error_bound_is_stated_often_enough_to_be_tested():
    stated = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        target = instances.relu_network(rng, 3, 2)
        noisy = changed(target, 0, "weights", (0, 0), 1e-7)
        stated += certify_relu_network(noisy, target, Box(-1, 1), tolerance=1e-2).error > 0
    assert stated == 10


def _disguised(rng, target):
    """The target with identity layers, an active pair of layers in place of one, or a mutation, at random."""
    weights, biases = list(target.weights), list(target.biases)
    D = target.d_in
    for _ in range(rng.integers(0, 3)):
        place = int(rng.integers(0, len(weights) + 1))
        kind = rng.integers(0, 3)
        if kind == 0 or place == len(weights):
            weights.insert(place, exact.array(exact.identity(D)))
            biases.insert(place, exact.array(rng.integers(-1, 2, D)))
        elif kind == 1:  # W = (W G^-1) G, with a bias that is large enough, or is not
            G = instances.nonsingular(rng, D, -1, 1)
            offset = exact.array(rng.integers(0, 8, D))
            second = exact.array(exact.divide_right(exact.matrix(weights[place]), G))
            biases[place : place + 1] = [offset, biases[place] - second @ offset]
            weights[place : place + 1] = [exact.array(G), second]
        else:
            weights[place] = weights[place].copy()
            weights[place][tuple(rng.integers(0, D, 2))] += int(rng.integers(-1, 2))
    return ReluNetwork(weights, biases)


def test_whatever_is_certified_exactly_is_equal():
    """Small integers, so that coincidences happen: many disguises are certified, many are not."""
    certified = equal = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        D = 2
        target = ReluNetwork(
            [exact.array(rng.integers(-1, 2, (D, D))) for _ in range(2)],
            [exact.array(rng.integers(-2, 3, D)) for _ in range(2)],
        )
        network = _disguised(rng, target)
        domain = (Box(0, 1), Box(-1, 2), Ball(1))[seed % 3]
        certificate = certify_relu_network(network, target, domain)
        error = exact_error(network, target, domain, rng)
        if certificate.error is not None:
            assert error <= exact.number(certificate.error)
        if certificate.holds:
            assert error == 0
        certified += certificate.holds
        equal += error == 0
    assert 100 < certified <= equal < 400


# ----------------------------------------------------------------------------- networks that others have made


@settings(max_examples=20)
@given(generators)
def test_targets_imitate_themselves_also_with_identities_between(rng):
    target, eye, zero = integer_network(rng, 3, 2), exact.array(exact.identity(3)), exact.array(np.zeros(3))
    W, b = target.weights, target.biases
    for domain in (Box(-1, 2), Ball(1)):
        for network in (
            target,
            ReluNetwork([*W, eye], [*b, zero]),
            ReluNetwork([W[0], eye, W[1]], [b[0], zero, b[1]]),
            ReluNetwork([W[0], eye, eye, W[1], eye], [b[0], zero, zero, b[1], zero]),
        ):
            assert certify_relu_network(network, target, domain).holds
    early = ReluNetwork([eye, *W], [zero, *b])
    assert certify_relu_network(early, target, Box(0, 1)).holds
    assert refused(certify_relu_network(early, target, Box(-1, 1))), "an identity layer cuts negative inputs off"
    shifted = ReluNetwork([eye, *W], [zero + 1, b[0] - W[0] @ (zero + 1), b[1]])
    assert certify_relu_network(shifted, target, Box(-1, 1)).holds
    assert certify_relu_network(shifted, target, Ball(1)).holds


@settings(max_examples=20)
@given(generators)
def test_permuted_and_padded_variants(rng):
    """Neurons of an active layer may be permuted and rescaled; those of a network may be joined by idle ones."""
    target = integer_network(rng, 3, 2)
    result = adapt_relu_network(integer_network(rng, 3, 4), target, 2, domain=Box(-1, 1))
    W, b = list(result.network.weights), list(result.network.biases)
    order, scale = rng.permutation(3), rng.integers(1, 4, 3)
    W[0], b[0] = W[0][order] * scale[:, None], b[0][order] * scale
    W[1] = W[1][:, order] * exact.array([Fraction(1, int(s)) for s in scale])
    permuted = ReluNetwork(W, b)
    assert certify_relu_network(permuted, target, Box(-1, 1)).holds

    def pad(x):
        wide = np.zeros([5] * x.ndim, dtype=int).astype(object)
        wide[tuple(slice(n) for n in x.shape)] = x
        return exact.array(wide)

    padded = mapped(pad, permuted)
    certificate = certify_relu_network(padded, target, Box(-1, 1))
    assert (certificate.holds, certificate.evidence) == (True, "exact")
    leaking = changed(padded, 1, "weights", (4, 0), 1)
    leaking = changed(leaking, 2, "weights", (0, 4), 1)  # an idle neuron that speaks into the next block
    assert refused(certify_relu_network(leaking, target, Box(-1, 1)))
    idle = changed(changed(padded, 1, "biases", 4, 1), 0, "weights", (0, 4), 1)  # speaks, but is not listened to
    assert certify_relu_network(idle, target, Box(-1, 1)).holds


def test_equal_functions_may_go_uncertified_but_not_the_other_way_round():
    """Permuted neurons of a target layer give the same function; the certificate does not see that, and says so."""
    rng = np.random.default_rng(0)
    target = integer_network(rng, 3, 2)
    order = [1, 2, 0]
    permuted = ReluNetwork(
        [target.weights[0][order], target.weights[1][:, order]], [target.biases[0][order], target.biases[1]]
    )
    assert exact_error(permuted, target, Box(-1, 1), rng) == 0
    assert refused(certify_relu_network(permuted, target, Box(-1, 1)))


def test_a_constant_target_on_a_point():
    target = ReluNetwork([np.eye(2)], [np.ones(2)])
    for domain in (Box(0, 0), Ball(0)):
        assert certify_relu_network(ReluNetwork([2 * np.eye(2)], [np.ones(2)]), target, domain).holds
        assert refused(certify_relu_network(ReluNetwork([np.eye(2)], [np.full(2, 1.1)]), target, domain))


# ------------------------------------------------------------------------------------------------- bad input


def test_bad_input_is_refused_with_advice():
    rng = np.random.default_rng(0)
    network, narrow = instances.relu_network(rng, 4, 2), instances.relu_network(rng, 3, 2)
    for arguments, match in (
        (
            (narrow, network, Box(-1, 1)),
            r"R\^3 to R\^3, but .* R\^4 .*; pass a network that is at least as wide",
        ),
        ((network, network, None), "the domain is None; pass a Box or a Ball"),
        ((network, network, Box(np.zeros(3), np.ones(3))), r"shape \(3,\), but the network takes vectors of size 4"),
        (([np.eye(4)], network, Box(-1, 1)), "network is of type list; pass a ReluNetwork"),
        ((network, [np.eye(4)], Box(-1, 1)), "target is of type list; pass a ReluNetwork"),
    ):
        with pytest.raises(ValueError, match=match):
            certify_relu_network(*arguments)
