from fractions import Fraction
from importlib import import_module

import mpmath
import numpy as np
import pytest
from builders import transformer
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import LIBRARIES, generators

from lora_proofs import exact, instances
from lora_proofs.constructions.transformer.adapt import AdaptedTransformer, adapt_transformer, functionality_gaps
from lora_proofs.constructions.transformer.certify import certify_transformer
from lora_proofs.networks.transformer import TransformerBlock, TransformerNetwork
from lora_proofs.precision import lift


def authors(seed, D, H, L, convert=lambda x: x):
    """The weights of the authors' code."""
    rng = np.random.default_rng(seed)

    def head():
        return convert(instances.gaussian(rng, D, D))

    def matrix():
        return convert(instances.uniform(rng, D))

    def bias():
        return convert(instances.uniform(rng, 1, D)[0])

    blocks = [
        TransformerBlock(*([head() for _ in range(H)] for _ in range(4)), matrix(), bias(), matrix(), bias())
        for _ in range(L)
    ]
    return TransformerNetwork(blocks, matrix())


def integer(seed, D, H, L, **ranks):
    """A rational network; W_1=1, say, plants the rank of a matrix of the first block."""
    rng = np.random.default_rng(seed)

    def matrix():
        return exact.array(instances.nonsingular(rng, D))

    def bias():
        return exact.array(rng.integers(-3, 4, D))

    blocks = []
    for l in range(L):
        parts = {name: [matrix() for _ in range(H)] for name in ("W_Q", "W_K", "W_V", "W_O")}
        parts |= {"W_1": matrix(), "b_1": bias(), "W_2": matrix(), "b_2": bias()}
        for name, r in ranks.items() if l == 0 else ():
            planted = exact.array(instances.rational_planted_rank(rng, D, D, r))
            parts[name] = [planted] * H if isinstance(parts[name], list) else planted
        blocks.append(TransformerBlock(**parts))
    return TransformerNetwork(blocks, matrix())


def relative_error(network, target, inputs=16, N=10):
    Z = np.random.default_rng(99).normal(size=(inputs, target.width, N))
    return np.linalg.norm(network(Z) - target(Z)) / np.linalg.norm(target(Z))


def check_adapters(result, frozen, R):
    assert len(result.adapters) == len(frozen.weights)
    for name, new, a in zip(frozen.named_weights, result.network.weights, result.adapters, strict=True):
        W = frozen.named_weights[name]
        merged = a.merge(W)
        assert (new == merged).all() if exact.is_rational(merged) else np.allclose(new, merged, rtol=1e-13)
        assert a.rank <= R
        if "W_1" in name or ("W_2" in name and not name.startswith(f"blocks.{frozen.depth - 1}.")):
            assert a.rank == 0
    assert all((b == c).all() for b, c in zip(result.biases, result.network.biases, strict=True))


# ------------------------------------------------------------------------------------------------ Theorem 7


@pytest.mark.parametrize("sizes", [(16, 2, 1), (16, 2, 6), (64, 2, 2), (128, 2, 1), (16, 8, 2)])
def test_half_the_width_is_enough_and_less_is_not(sizes):
    frozen, target = authors(0, *sizes), authors(1000, *sizes)
    D = sizes[0]
    result = adapt_transformer(frozen, target, D // 2)
    assert relative_error(result.network, target) <= 1e-10
    assert result.error <= 1e-10
    check_adapters(result, frozen, D // 2)
    less = adapt_transformer(frozen, target, D // 2 - 1)
    assert less.error > 1e-2


@settings(max_examples=25)
@given(generators, st.integers(1, 5), st.integers(1, 3), st.integers(1, 3))
def test_any_size_and_number_of_tokens(rng, D, H, L):
    frozen, target = (
        transformer(rng, D, H, L, convert=lambda x: x if x.ndim == 1 else instances.orthogonal(rng, D))
        for _ in range(2)
    )
    result = adapt_transformer(frozen, target, -(-D // 2))
    assert result.certificate.holds, result.certificate.reasons
    assert result.certificate.evidence == "certified"
    for N in (1, 2, 7):
        Z = rng.normal(size=(4, D, N))
        np.testing.assert_allclose(result.network(Z), target(Z), atol=1e-7 * max(1, abs(target(Z)).max()))


@pytest.mark.parametrize("sizes", [(2, 2, 1), (3, 1, 2), (8, 2, 1), (8, 2, 3), (5, 3, 2)])
def test_rational_networks_are_equal_on_every_input(sizes):
    frozen, target = integer(0, *sizes), integer(1, *sizes)
    result = adapt_transformer(frozen, target, -(-sizes[0] // 2))
    assert result.certificate.holds
    assert result.certificate.evidence == "exact"
    assert result.certificate.reasons[-1] == "the functions are equal on every input"
    assert (result.error, result.bound) == (0, 0)
    assert isinstance(result.error, Fraction)
    check_adapters(result, frozen, -(-sizes[0] // 2))
    floats = [mapped(net, lambda x: x.astype(float)) for net in (result.network, target)]
    assert relative_error(*floats) < 1e-6


def mapped(net, convert):
    named = {name: convert(W) for name, W in net.named_weights.items()}
    blocks = [
        TransformerBlock(
            **{p: [named[f"blocks.{l}.{p}.{h}"] for h in range(b.heads)] for p in ("W_Q", "W_K", "W_V", "W_O")},
            W_1=named[f"blocks.{l}.W_1"], b_1=convert(b.b_1), W_2=named[f"blocks.{l}.W_2"], b_2=convert(b.b_2),
        )
        for l, b in enumerate(net.blocks)
    ]  # fmt: skip
    return TransformerNetwork(blocks, named["W_out"])


def test_the_gaps_are_the_papers_and_their_halves_suffice():
    D, H, L = 6, 2, 2
    frozen, rng = integer(0, D, H, L), np.random.default_rng(5)
    updates = {
        name: exact.matrix(frozen.named_weights[name]) + instances.rational_planted_rank(rng, D, D, r)
        for name, r in {"blocks.0.W_K.1": 3, "blocks.1.W_V.0": 2, "W_out": 4}.items()
    }
    target = frozen.replaced(updates, [b + 1 for b in frozen.biases])
    assert functionality_gaps(frozen, target) == [3, 2, 4]
    floats = [mapped(net, lambda x: x.astype(float)) for net in (frozen, target)]
    assert functionality_gaps(*floats) == [3, 2, 4]
    assert adapt_transformer(frozen, target, 2).certificate.holds
    with pytest.raises(ValueError, match="sum to 2, but"):
        adapt_transformer(frozen, target, 1)


def test_a_rank_for_each_matrix():
    frozen, target = integer(0, 4, 2, 2), integer(1, 4, 2, 2)
    ranks = [4 if "W_Q" in name or "W_O" in name or name == "W_out" else 0 for name in frozen.named_weights]
    result = adapt_transformer(frozen, target, ranks)
    assert result.certificate.holds
    assert [a.rank for a in result.adapters] == ranks
    assert list(result.named_adapters) == [n for n, r in zip(frozen.named_weights, ranks, strict=True) if r]


def test_below_the_threshold_every_product_is_the_best_one():
    frozen, target = authors(0, 6, 1, 1), authors(1, 6, 1, 1)
    (own,), (goal,) = frozen.blocks, target.blocks
    for R in range(3):
        (new,) = adapt_transformer(frozen, target, R).network.blocks
        M, M_bar = own.W_K[0].T @ own.W_Q[0], goal.W_K[0].T @ goal.W_Q[0]
        error = np.linalg.norm(new.W_K[0].T @ new.W_Q[0] - M_bar, 2)
        assert error == pytest.approx(np.linalg.svd(M_bar - M)[1][2 * R], rel=1e-9)


@pytest.mark.parametrize("sizes", [(4, 1, 1), (6, 2, 2), (16, 2, 1)])
def test_the_error_is_within_its_bound_at_every_rank(sizes):
    frozen, target = authors(0, *sizes), authors(1, *sizes)
    for R in range(sizes[0] // 2 + 1):
        result = adapt_transformer(frozen, target, R)
        assert result.error <= result.bound
        assert result.certificate.holds == (sizes[0] == 2 * R)
        assert result.certificate.evidence == ("certified" if sizes[0] == 2 * R else "")
    assert result.bound < 1e-3


@pytest.mark.parametrize("library", LIBRARIES)
def test_other_array_libraries(library):
    xp = import_module(library)
    frozen, target = (authors(seed, 4, 2, 2, convert=lambda x: xp.asarray(x, dtype=xp.float32)) for seed in (0, 1))
    result = adapt_transformer(frozen, target, 2)
    for x in (*result.network.weights, *result.biases, *(f for a in result.adapters for f in (a.A, a.B))):
        assert isinstance(x, type(frozen.W_out))
        assert x.dtype == xp.float32
    assert result.error < 1e-2


def test_read_only_arrays_and_more_digits():
    def frozen_array(x):
        x.flags.writeable = False
        return x

    result = adapt_transformer(authors(0, 4, 2, 2, frozen_array), authors(1, 4, 2, 2, frozen_array), 2)
    assert result.certificate.holds
    with mpmath.workdps(40):
        result = adapt_transformer(*(authors(seed, 4, 2, 2, lambda x: lift(x, 40)) for seed in (0, 1)), 2)
        assert result.error < 1e-30
        assert result.bound < 1e-20
        assert result.certificate.holds


# ----------------------------------------------------------------------------------------------- certificate


@pytest.mark.parametrize("kind", [authors, integer])
def test_a_change_of_any_weight_or_bias_is_seen(kind):
    frozen, target = kind(0, 3, 2, 2), kind(1, 3, 2, 2)
    network = adapt_transformer(frozen, target, 2).network
    assert certify_transformer(network, target).holds
    for name, W in network.named_weights.items():
        changed = network.replaced({name: 2 * W}, network.biases)
        certificate = certify_transformer(changed, target)
        assert not certificate.holds, name
        assert certificate.error > 0
        assert certificate.evidence == ""
    for i, b in enumerate(network.biases):
        biases = [c + 1 if i == j else c for j, c in enumerate(network.biases)]
        assert not certify_transformer(network.replaced({}, biases), target).holds, b


@settings(max_examples=25)
@given(generators, st.integers(1, 4), st.integers(1, 2), st.integers(1, 3), st.sampled_from([1e-6, 1e-3, 1.0]))
def test_the_bound_covers_what_a_perturbation_does(rng, D, H, L, size):
    def orthogonal(x):
        return x if x.ndim == 1 else instances.orthogonal(rng, D)

    target = transformer(rng, D, H, L, convert=orthogonal)
    network = target.replaced(
        {name: W + size * rng.normal(size=W.shape) for name, W in target.named_weights.items()},
        [b + size * rng.normal(size=b.shape) for b in target.biases],
    )
    for radius in (0.1, 2.0):
        bound = float(certify_transformer(network, target, radius=radius).error)
        Z = rng.normal(size=(64, D, 5))
        Z *= radius / np.linalg.norm(Z, axis=1, keepdims=True)
        seen = np.linalg.norm(network(Z) - target(Z), axis=1).max()
        assert seen <= bound * (1 + 1e-9)


def test_the_bound_is_of_the_order_of_the_perturbation():
    rng = np.random.default_rng(0)
    target = transformer(rng, 4, 2, 1)
    bounds = []
    for size in (1e-9, 1e-6):
        network = target.replaced({n: W + size for n, W in target.named_weights.items()}, target.biases)
        bounds.append(float(certify_transformer(network, target).error))
    assert bounds[1] / bounds[0] == pytest.approx(1e3, rel=1e-2)


def test_exchanged_heads_and_a_wrong_order_are_not_equal():
    target = integer(1, 3, 2, 1)
    (block,) = target.blocks
    swapped = target.replaced({"blocks.0.W_Q.0": block.W_Q[1], "blocks.0.W_Q.1": block.W_Q[0]}, target.biases)
    assert not certify_transformer(swapped, target).holds
    assert certify_transformer(target, target).holds


# ------------------------------------------------------------------------------------------------- bad input


def test_targets_may_be_singular_but_frozen_weights_may_not():
    frozen = integer(0, 4, 2, 2)
    singular = integer(1, 4, 2, 2, W_Q=1, W_K=0, W_V=2, W_O=0, W_1=1)
    assert adapt_transformer(frozen, singular, 2).certificate.holds
    with pytest.raises(ValueError, match=r"b_2 of block 0 is not in the range of its W_2"):
        adapt_transformer(frozen, integer(1, 4, 2, 2, W_2=1), 2)
    for name in ("W_1", "W_2"):
        with pytest.raises(ValueError, match=rf"blocks\.0\.{name} .*singular"):
            adapt_transformer(integer(0, 4, 2, 2, **{name: 3}), integer(1, 4, 2, 2), 4)
    with pytest.raises(ValueError, match=r"blocks\.0\.W_K\.0: .*singular"):
        adapt_transformer(integer(0, 4, 2, 2, W_K=3), integer(1, 4, 2, 2), 4)
    floats = authors(0, 3, 1, 2)
    for name in ("W_1", "W_2"):
        with pytest.raises(ValueError, match=rf"blocks\.0\.{name} .*singular"):
            adapt_transformer(
                floats.replaced({f"blocks.0.{name}": np.ones((3, 3))}, floats.biases), authors(1, 3, 1, 2), 2
            )


def test_a_network_whose_tokens_are_lost_is_not_certified():
    target = authors(0, 3, 1, 2)
    network = target.replaced({"blocks.0.W_2": np.ones((3, 3))}, target.biases)
    certificate = certify_transformer(network, target)
    assert not certificate.holds
    assert "not decided" not in certificate.reasons[-1]
    result = AdaptedTransformer(network, [], [], None, target)
    assert 1e-2 < result.error < result.bound


@pytest.mark.parametrize("scales", [(1e100, 1e-100), (1e-100, 1e100), (1e-200, 1.0), (1.0, 1e-200), (1e30, 1e30)])
def test_scales_neither_underflow_nor_overflow_in_the_error(scales):
    target = authors(0, 3, 2, 1)
    first, last = scales
    (block,) = target.blocks
    scaled = {"blocks.0.W_2": first * block.W_2, "W_out": last * target.W_out}
    target = target.replaced(scaled, [block.b_1, first * block.b_2])
    network = target.replaced({"W_out": target.W_out * (1 + 2.0**-20)}, target.biases)
    result = AdaptedTransformer(network, [], [], None, target)
    assert result.error == pytest.approx(2.0**-20, rel=1e-6)
    assert result.error <= result.bound < 1e-4


def test_a_forward_pass_beyond_floats_is_measured_in_more_digits():
    target = authors(0, 3, 2, 1)
    for c in (1e200, 1e-200):
        huge = target.replaced({n: c * W for n, W in target.named_weights.items()}, [c * b for b in target.biases])
        network = huge.replaced({"W_out": huge.W_out * (1 + 2.0**-20)}, huge.biases)
        result = AdaptedTransformer(network, [], [], None, huge)
        assert result.error == pytest.approx(2.0**-20, rel=1e-6)
        assert result.error <= result.bound < 1e-4


def test_products_beyond_floats_are_said_to_be():
    frozen, target = authors(0, 3, 2, 1), authors(1, 3, 2, 1)
    huge = target.replaced({n: 1e200 * W for n, W in target.named_weights.items()}, target.biases)
    with pytest.raises(ValueError, match=r"blocks\.0\.W_Q\.0 .* leaves the range of float64"):
        adapt_transformer(frozen, huge, 2)


@pytest.mark.parametrize(
    ("frozen", "target", "ranks", "match"),
    [
        (authors(0, 3, 1, 1), authors(1, 3, 1, 2), 2, "1 and 2 blocks"),
        (authors(0, 3, 1, 1), authors(1, 3, 2, 1), 2, "heads a block"),
        (authors(0, 3, 1, 1), authors(1, 4, 1, 1), 2, "3 and 4 as their width"),
        (authors(0, 3, 1, 1), integer(1, 3, 1, 1), 2, "different kinds"),
        (authors(0, 3, 1, 1), np.eye(3), 2, "target is of type ndarray"),
        (authors(0, 3, 1, 1), authors(1, 3, 1, 1), -1, "whole number"),
        (authors(0, 3, 1, 1), authors(1, 3, 1, 1), [1, 2], "2 ranks are given for 7 layers"),
    ],
)
def test_bad_input(frozen, target, ranks, match):
    with pytest.raises(ValueError, match=match):
        adapt_transformer(frozen, target, ranks)


def test_bad_radius():
    network = authors(0, 3, 1, 1)
    for radius in (0, -1, float("nan")):
        with pytest.raises(ValueError, match=r"positive number|finite"):
            certify_transformer(network, network, radius=radius)
