from fractions import Fraction
from itertools import product

import array_api_strict
import mpmath
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import generators

from lora_proofs import Ball, Box, ReluNetwork, exact, instances
from lora_proofs.constructions import adapt_relu_network
from lora_proofs.precision import lift

BOX = Box(-4.0, 4.0)


def network(seed, D, L, init="uniform"):
    return instances.relu_network(np.random.default_rng(seed), D, L, init)


def mapped(convert, net):
    return ReluNetwork([convert(W) for W in net.weights], [convert(b) for b in net.biases])


def relative_error(f, target, domain, n=2000):
    x = domain.sample(np.random.default_rng(99), n, target.d_in)
    expected = target(x)
    return np.max(np.abs(f(x) - expected)) / np.max(np.abs(expected))


def check_adapters(result, frozen, ranks):
    budget = [ranks] * frozen.depth if isinstance(ranks, int) else ranks
    assert len(result.adapters) == len(result.biases) == result.network.depth == frozen.depth
    for W, new, a, R in zip(frozen.weights, result.network.weights, result.adapters, budget, strict=True):
        np.testing.assert_allclose(new, W + a.B @ a.A, rtol=1e-12, atol=1e-12)
        assert a.rank <= R
    assert all((b == c).all() for b, c in zip(result.biases, result.network.biases, strict=True))


# ------------------------------------------------------------------------------------------- Theorems 3 and 6


@pytest.mark.parametrize(("D", "L", "Lbar"), [(16, 4, 2), (16, 32, 16), (64, 4, 2)])
@pytest.mark.parametrize("seed", range(6))
def test_the_network_equals_its_target_on_the_domain(D, L, Lbar, seed):
    frozen, target, R = network(seed, D, L), network(seed + 100, D, Lbar), -(-D // (L // Lbar))
    result = adapt_relu_network(frozen, target, R, domain=BOX)
    assert relative_error(result, target, BOX) <= 1e-11
    assert result.certificate.holds, result.certificate.reasons[-1]
    assert result.certificate.evidence == "certified"
    check_adapters(result, frozen, R)


def test_no_seed_fails_where_sampled_biases_do():
    for seed in range(60):
        frozen, target = network(seed, 16, 16), network(seed + 1000, 16, 8)
        result = adapt_relu_network(frozen, target, 8, domain=BOX)
        assert relative_error(result, target, BOX, 500) <= 1e-9


@given(generators, st.sampled_from([(2, 2, 1), (4, 4, 2), (4, 6, 3), (5, 7, 3), (3, 3, 3), (6, 6, 2)]))
def test_boxes_and_balls(rng, sizes):
    D, L, Lbar = sizes
    R = -(-D // (L // Lbar))
    frozen = instances.relu_network(rng, D, L, "orthogonal")
    target = instances.relu_network(rng, D, Lbar, "gaussian")
    centre = rng.normal(size=D)
    for domain in (Box(centre - 1, centre + 2), Box(0, 1), Ball(3.0), Ball(0)):
        result = adapt_relu_network(frozen, target, R, domain=domain)
        x = domain.sample(rng, 200, D)
        np.testing.assert_allclose(result(x), target(x), rtol=1e-8, atol=1e-8)
        assert result.certificate.holds or not target(x).any()
        assert result.error == pytest.approx(0, abs=1e-8)


@given(generators, st.sampled_from([(4, 2, 1), (4, 4, 2), (5, 7, 3)]))
def test_naive_twin_agrees(rng, sizes):
    D, L, Lbar = sizes
    R = -(-D // (L // Lbar))
    frozen = instances.relu_network(rng, D, L, "orthogonal")
    target = instances.relu_network(rng, D, Lbar, "orthogonal")
    lower, upper = np.full(D, -1.0), np.full(D, 2.0)
    twin = ReluNetwork(*naive.relu_network(frozen.weights, target.weights, target.biases, R, lower, upper))
    result = adapt_relu_network(frozen, target, R, domain=Box(-1, 2))
    x = result.domain.sample(rng, 200, D)
    np.testing.assert_allclose(twin(x), target(x), atol=1e-6)
    np.testing.assert_allclose(result(x), twin(x), atol=1e-6)
    block = result.partition[0]
    papers = naive.one_block([result.network.weights[l] for l in block], target.biases[0], lower, upper)
    assert (result.biases[0] >= 0).all() or len(block) == 1
    assert (result.biases[0] <= papers[0] / 2 * (1 + 1e-9)).all() or len(block) == 1


def test_outside_the_domain_the_function_differs():
    target = network(1, 8, 2)
    result = adapt_relu_network(network(0, 8, 4), target, 4, domain=BOX)
    assert relative_error(result, target, Box(-80, 80)) > 0.1


@pytest.mark.parametrize(
    ("D", "d", "L", "Lbar", "R"), [(6, 2, 2, 1, 1), (8, 3, 3, 1, 1), (8, 3, 6, 2, 1), (8, 4, 6, 3, 2)]
)
@pytest.mark.parametrize("domain", [Box(-1.0, 2.0), Ball(2.0)])
def test_narrower_targets_need_only_their_width(D, d, L, Lbar, R, domain):
    frozen, target = network(D, D, L), network(d, d, Lbar)
    result = adapt_relu_network(frozen, target, R, domain=domain)
    x = domain.sample(np.random.default_rng(0), 300, d)
    np.testing.assert_allclose(result(x), target(x), atol=1e-9)
    padded = np.concatenate([x, np.zeros((300, D - d))], axis=1)
    np.testing.assert_allclose(result.network(padded)[:, :d], target(x), atol=1e-9)
    assert result.certificate.holds
    assert not adapt_relu_network(frozen, target, R - 1, domain=domain).certificate.holds


def test_a_rank_for_each_layer():
    frozen, target = network(0, 6, 5), network(1, 6, 2)
    ranks = [0, 6, 1, 3, 2]
    result = adapt_relu_network(frozen, target, ranks, domain=BOX)
    assert result.partition == [range(0, 2), range(2, 5)]
    assert relative_error(result, target, BOX) < 1e-9
    assert result.certificate.holds
    check_adapters(result, frozen, ranks)
    for fewer in ([0, 5, 1, 3, 2], [0, 6, 1, 2, 2]):
        assert not adapt_relu_network(frozen, target, fewer, domain=BOX).certificate.holds


@pytest.mark.parametrize("seed", range(5))
def test_one_rank_less_is_not_enough(seed):
    frozen, target = network(seed, 8, 4), network(seed + 100, 8, 2)
    result = adapt_relu_network(frozen, target, 3, domain=BOX)
    assert not result.certificate.holds
    assert result.certificate.evidence == ""
    assert relative_error(result, target, BOX) > 1e-6


# -------------------------------------------------------------------------------------------------- partitions


def planted(seed=0):
    """Frozen layers of which the first alone nearly is target layer 1, and the other four target layer 2."""
    rng = np.random.default_rng(seed)
    frozen = instances.relu_network(rng, 6, 5, "orthogonal")
    W = frozen.weights
    weights = [
        W[0] + instances.planted_rank(rng, 6, 6, 1),
        naive.product(W[1:]) + instances.planted_rank(rng, 6, 6, 4),
    ]
    return frozen, ReluNetwork(weights, [rng.normal(size=6) for _ in range(2)])


def test_the_best_partition_beats_the_uniform_one():
    frozen, target = planted()
    best = adapt_relu_network(frozen, target, 1, domain=BOX, partition="best")
    assert best.partition == [range(0, 1), range(1, 5)]
    assert best.certificate.holds
    assert relative_error(best, target, BOX) < 1e-12
    uniform = adapt_relu_network(frozen, target, 1, domain=BOX)
    assert uniform.partition == [range(0, 2), range(2, 5)]
    assert not uniform.certificate.holds
    for same in ([1, 4], [[0], [1, 2, 3, 4]], [[1], [2, 3, 4, 5]]):
        assert adapt_relu_network(frozen, target, 1, domain=BOX, partition=same).partition == best.partition


# ------------------------------------------------------------------------------------------------------ biases


def test_biases_are_tight_on_a_box():
    """Over Q: at the worst corner, an inner neuron that needs an offset is exactly at the kink of its ReLU."""
    rng = np.random.default_rng(0)
    D = 3
    frozen = ReluNetwork([exact.array(instances.nonsingular(rng, D)) for _ in range(3)], [exact.array(np.zeros(D))] * 3)
    target = ReluNetwork([exact.array(instances.nonsingular(rng, D))], [exact.array(np.ones(D))])
    result = adapt_relu_network(frozen, target, 1, domain=Box(-1, 2))
    W, b = result.network.weights, result.network.biases
    h = P = exact.array([list(corner) for corner in product((-1, 2), repeat=D)])
    for l in range(2):
        h, P = h @ W[l].T + b[l], P @ W[l].T
        assert (P.min(axis=0) < 0).any(), "else nothing is tested"
        assert (h.min(axis=0) == np.maximum(P.min(axis=0), 0)).all()


def test_biases_are_tight_on_a_ball():
    frozen, target = network(0, 4, 3), network(1, 4, 1)
    result = adapt_relu_network(frozen, target, 2, domain=Ball(2.0))
    P, c = np.eye(4), np.zeros(4)
    for W, b in zip(result.network.weights[:-1], result.biases[:-1], strict=True):
        P, c = W @ P, W @ c + b
        worst = -2.0 * P / np.linalg.norm(P, axis=1, keepdims=True)  # row i: the point where neuron i is least
        least = np.einsum("ij,ij->i", P, worst) + c
        assert (least >= 0).all()
        assert (least <= 1e-10 * np.abs(c).max()).all()


# ---------------------------------------------------------------------------------------------- error and bound


@given(generators, st.integers(0, 4), st.sampled_from([(4, 2, 1), (4, 4, 2), (4, 3, 3)]))
def test_the_bound_is_one(rng, R, sizes):
    """Theorem 5 as corrected: below the threshold, on every point of the domain."""
    D, L, Lbar = sizes
    frozen = instances.relu_network(rng, D, L, "orthogonal")
    target = instances.relu_network(rng, D, Lbar, "orthogonal")
    for domain in (Box(-2.0, 1.0), Ball(2.0)):
        result = adapt_relu_network(frozen, target, R, domain=domain)
        x = domain.sample(rng, 500, D)
        measured = np.linalg.norm(result(x) - target(x), axis=1).max()
        assert measured <= result.bound * (1 + 1e-9) + 1e-9
        assert result.error <= result.bound * (1 + 1e-9) + 1e-9
        assert (result.bound < 1e-9) == (R * (L // Lbar) >= D)


def test_the_bound_is_the_corrected_theorem_5():
    """sum_i E_i m_{i-1} prod_{k>i} (||Wbar_k|| + E_k) with m_i = ||Wbar_i|| m_{i-1} + ||bbar_i||, spelled out."""
    frozen, target = network(0, 4, 6), network(1, 4, 3)
    result = adapt_relu_network(frozen, target, 1, domain=Ball(3.0))
    E = [naive.eckart_young(frozen.weights[2 * i : 2 * i + 2], target.weights[i], [1, 1]) for i in range(3)]
    w = [np.linalg.norm(W, 2) for W in target.weights]
    m = [3.0]
    for i in range(2):
        m.append(w[i] * m[i] + np.linalg.norm(target.biases[i]))
    expected = E[0] * m[0] * (w[1] + E[1]) * (w[2] + E[2]) + E[1] * m[1] * (w[2] + E[2]) + E[2] * m[2]
    assert result.bound == pytest.approx(expected, rel=1e-9)


def test_one_block_below_the_threshold_is_its_linear_error():
    """With all outputs active the error of one block is that of its matrices, and the bound is attained up to x."""
    D = 4
    target = ReluNetwork([np.diag([4.0, 3, 2, 1])], [np.full(D, 100.0)])
    result = adapt_relu_network(ReluNetwork([np.eye(D)], [np.zeros(D)]), target, 1, domain=Ball(1.0))
    assert result.bound == pytest.approx(2.0)
    np.testing.assert_allclose(
        result(np.eye(D)[1:2] * 0.999), target(np.eye(D)[1:2] * 0.999) - [[0, 1.998, 0, 0]], atol=1
    )
    assert result.error <= 2.0


# ------------------------------------------------------------------------- array libraries and arithmetics


@pytest.mark.parametrize("domain", [Box(-1.0, 1.0), Ball(1.0)])
def test_array_api_strict_gives_the_same(domain):
    frozen, target = network(0, 6, 4), network(1, 4, 2)
    expected = adapt_relu_network(frozen, target, 2, domain=domain)
    strict = adapt_relu_network(
        mapped(array_api_strict.asarray, frozen), mapped(array_api_strict.asarray, target), 2, domain=domain
    )
    kind = type(array_api_strict.asarray(0.0))
    assert all(isinstance(x, kind) for x in (*strict.network.weights, *strict.network.biases))
    x = domain.sample(np.random.default_rng(0), 50, 4)
    np.testing.assert_allclose(np.asarray(strict(array_api_strict.asarray(x))), expected(x), atol=1e-10)
    assert strict.error < 1e-10
    assert strict.certificate.holds


def test_inputs_are_left_alone_and_their_dtype_is_kept():
    frozen, target = (
        mapped(lambda x: x.astype(np.float32), network(s, 6, L, "orthogonal")) for s, L in ((0, 4), (1, 2))
    )
    arrays = [x for net in (frozen, target) for x in (*net.weights, *net.biases)]
    before = [x.copy() for x in arrays]
    for x in arrays:
        x.setflags(write=False)
    result = adapt_relu_network(frozen, target, 3, domain=Box(-1.0, 1.0))
    assert all((old == x).all() for old, x in zip(before, arrays, strict=True))
    assert {x.dtype for x in (*result.network.weights, *result.network.biases)} == {np.dtype(np.float32)}
    assert relative_error(result, target, Box(-1.0, 1.0)) < 1e-3


@pytest.mark.parametrize("domain", [Box(-1.0, 1.0), Ball(1.0)])
def test_32_digits(domain):
    frozen, target = network(0, 4, 4), network(1, 4, 2)
    with mpmath.workdps(32):
        result = adapt_relu_network(*(mapped(lambda x: lift(x, 32), net) for net in (frozen, target)), 2, domain=domain)
        assert result.error < mpmath.mpf("1e-25")
        assert result.certificate.holds
        assert result.certificate.evidence == "certified"
        assert result.certificate.error < Fraction(1, 10**25)


# --------------------------------------------------------------------------------------------------- bad input


def rational(net):
    return mapped(exact.array, net)


F, T = network(0, 4, 4), network(1, 4, 2)
SINGULAR = ReluNetwork([np.eye(4), np.ones((4, 4))] * 2, [np.zeros(4)] * 4)


@pytest.mark.parametrize(
    ("frozen", "target", "ranks", "options", "match"),
    [
        (
            F,
            network(1, 5, 2),
            4,
            {},
            "the target has width 5, the frozen .* only 4; pass a target that is no wider",
        ),
        (F, network(1, 4, 5), 4, {}, "the target has 5 layers, the frozen network only 4"),
        (SINGULAR, T, 4, {}, r"in the block of layers 1 to 2: .*W_2\) is singular"),
        (rational(F), T, 4, {}, "rational and some floating; pass one kind"),
        (F, rational(T), 4, {}, "rational and some floating; pass one kind"),
        (rational(F), ReluNetwork(rational(T).weights, T.biases), 4, {}, "rational and some floating; pass one kind"),
        ([np.eye(4)], T, 4, {}, "frozen is of type list; pass a ReluNetwork"),
        (F, None, 4, {}, "target is of type NoneType; pass a ReluNetwork"),
        (ReluNetwork([np.ones((3, 4))], [np.ones(3)]), T, 4, {}, r"frozen network has widths \(4, 3\).*one width"),
        (F, T, -1, {}, "ranks is -1; pass a whole number >= 0"),
        (F, T, 0.5, {}, "ranks is 0.5; pass a whole number >= 0"),
        (F, T, True, {}, "ranks is True; pass a whole number >= 0"),
        (F, T, [1, 2], {}, "2 ranks are given for 4 layers; pass one int, or one a layer"),
        (F, T, 4, {"domain": None}, "the domain is None; pass a Box or a Ball.*bounded"),
        (F, T, 4, {"domain": (-1, 1)}, r"the domain is \(-1, 1\); pass a Box or a Ball"),
        (F, T, 4, {"domain": Box(np.zeros(3), np.ones(3))}, r"shape \(3,\), but the network takes vectors of size 4"),
        (F, T, 4, {"partition": "worst"}, "partition is 'worst'; pass 'best', the block sizes, or None"),
        (F, T, 4, {"partition": [1, 2]}, r"\[1, 2\] is no partition of 4 layers into 2"),
        (F, T, 4, {"partition": [[1, 0], [2, 3]]}, "is no partition of 4 layers into 2"),
    ],
)
def test_bad_input_is_refused_with_advice(frozen, target, ranks, options, match):
    with pytest.raises(ValueError, match=match):
        adapt_relu_network(frozen, target, ranks, **{"domain": BOX, **options})


@settings(max_examples=5)
@given(generators)
def test_results_are_reproducible(rng):
    frozen, target = instances.relu_network(rng, 4, 4), instances.relu_network(rng, 4, 2)
    first, second = (adapt_relu_network(frozen, target, 1, domain=BOX) for _ in range(2))
    assert all((x == y).all() for x, y in zip(first.network.weights, second.network.weights, strict=True))
    assert (first.error, first.bound) == (second.error, second.bound)


@pytest.mark.parametrize("domain", [Ball(0), Box(1.0, 1.0), Ball(1e-6), Box(-4, 4), Box(-1e4, 1e4)], ids=repr)
@pytest.mark.parametrize("sizes", [(4, 6, 3), (8, 8, 2), (16, 8, 2)], ids=repr)
def test_biases_bear_the_rounding_of_the_layers_before(sizes, domain):
    D, L, Lbar = sizes
    for seed, init in enumerate(("uniform", "gaussian", "orthogonal", "scaled gaussian")):
        rng = np.random.default_rng(seed)
        frozen, target = (instances.relu_network(rng, D, depth, init) for depth in (L, Lbar))
        result = adapt_relu_network(frozen, target, -(-D // (L // Lbar)), domain=domain)
        assert result.certificate.holds, result.certificate.reasons[-1]


@pytest.mark.parametrize("scale", [1e-250, 1e-160, 1e160])
def test_errors_of_any_scale_are_neither_lost_nor_infinite(scale):
    """One layer, whose rank is one too small: the error is proportional to the scale of the weights."""
    rng = np.random.default_rng(0)
    W, goal = rng.standard_normal((2, 4, 4))
    results = []
    for s in (1.0, scale):
        frozen, target = (ReluNetwork([s * V], [np.full(4, 20 * s)]) for V in (W, goal))
        results.append(adapt_relu_network(frozen, target, 3, domain=Box(-1.0, 1.0)))
    usual, scaled = results
    assert scaled.error == pytest.approx(scale * usual.error, rel=1e-9)
    assert 0 < scaled.error <= scaled.bound
    assert scaled.bound == pytest.approx(scale * usual.bound, rel=1e-9)
    assert not scaled.certificate.holds


@pytest.mark.parametrize(("D", "L", "family"), [(4, 12, "gaussian"), (6, 6, "uniform")])
def test_margins_grow_with_the_roundings_that_layers_carry_on(D, L, family):
    """Rank one in many layers: what the first ones round is amplified, and must not switch a later neuron off."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        frozen, target = instances.relu_network(rng, D, L, family), instances.relu_network(rng, D, 1, family)
        certificate = adapt_relu_network(frozen, target, 1, domain=Box(-4, 4)).certificate
        assert certificate.holds, (seed, certificate.reasons)
