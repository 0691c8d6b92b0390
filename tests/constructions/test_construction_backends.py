"""Every construction and certificate on every array library and device that is here (see `backends`)."""

import numpy as np
import pytest
from builders import transformer

from lora_proofs import Box, ReluNetwork, instances
from lora_proofs.constructions import (
    adapt_linear_chain,
    adapt_relu_network,
    adapt_transformer,
    certify_relu_network,
    error_bounds,
)
from lora_proofs.constructions.relu.error_bounds import fit_to_distribution

AGREE = 1e-10


def tame(rng, D):
    """Return a matrix with singular values from 2 down to 1, all different: no choice of a basis is arbitrary."""
    return instances.with_singular_values(rng, D, D, np.geomspace(2, 1, D))


def chain(rng, D, L):
    return [tame(rng, D) for _ in range(L)], tame(rng, D)


def tame_network(rng, D, L):
    return ReluNetwork([tame(rng, D) for _ in range(L)], [rng.uniform(-1, 1, D) for _ in range(L)])


def relu(xp, network):
    return ReluNetwork([xp.asarray(W) for W in network.weights], [xp.asarray(b) for b in network.biases])


def assert_adapters_agree(xp, adapters, expected, dtype="float64", atol=AGREE):
    for ours, theirs in zip(adapters, expected, strict=True):
        assert xp.owns(ours.A, dtype)
        assert xp.owns(ours.B, dtype)
        np.testing.assert_allclose(xp.to_numpy(ours.delta()), theirs.delta(), atol=atol)


@pytest.mark.parametrize(
    ("D", "L", "ranks"),
    [
        (4, 3, [2, 1, 1]),  # the threshold
        (4, 2, [2, 1]),  # below it
        (140, 2, 70),  # factorised once, norms by iteration
    ],
)
def test_linear_chains(xp, D, L, ranks):
    frozen, target = chain(np.random.default_rng(0), D, L)
    expected = adapt_linear_chain(frozen, target, ranks)
    result = adapt_linear_chain([xp.asarray(W) for W in frozen], xp.asarray(target), ranks)
    assert result.error == pytest.approx(expected.error, abs=AGREE)
    assert result.bound == pytest.approx(expected.bound, abs=AGREE)
    product = np.eye(D)
    for W, a in zip(frozen, result.adapters, strict=True):
        assert xp.owns(a.A)
        assert xp.owns(a.B)
        product = (W + xp.to_numpy(a.delta())) @ product
    if D < 100:  # larger ones choose their directions by another factorisation in NumPy
        assert_adapters_agree(xp, result.adapters, expected.adapters)
    assert np.linalg.norm(product - target, 2) == pytest.approx(expected.error, abs=AGREE)


def test_float32_stays_float32(xp):
    frozen, target = chain(np.random.default_rng(1), 4, 2)
    result = adapt_linear_chain([xp.asarray(W, "float32") for W in frozen], xp.asarray(target, "float32"), 2)
    assert all(xp.owns(x, "float32") for a in result.adapters for x in (a.A, a.B))
    assert result.error < 1e-4


def test_a_part_of_the_svd_with_a_certified_tail(xp):
    """What `adapt_linear_chain` does for few ranks of a large matrix, at a size that a test can afford."""
    from lora_proofs.constructions.chain.partial_svd import partial_svd

    rng = np.random.default_rng(0)
    E = instances.with_singular_values(rng, 200, 200, np.geomspace(1, 1e-8, 200))
    part = partial_svd(xp.asarray(E), 2)
    s = np.linalg.svd(E, compute_uv=False)
    V = xp.to_numpy(part.V)
    assert xp.owns(part.V)
    assert part.lower <= s[2] <= part.upper <= part.lower * (1 + 1e-8)
    assert np.linalg.norm(E - E @ V @ V.T, 2) == pytest.approx(s[2], rel=1e-9)


def test_factor_pairs(xp):
    rng = np.random.default_rng(0)
    V, O = instances.gaussian(rng, 2, 4), instances.gaussian(rng, 4, 2)
    T = (O + instances.planted_rank(rng, 4, 2, 1)) @ (V + instances.planted_rank(rng, 2, 4, 1))
    expected = adapt_linear_chain([V, O], T, 1)
    result = adapt_linear_chain([xp.asarray(V), xp.asarray(O)], xp.asarray(T), 1)
    assert result.bound == pytest.approx(expected.bound, abs=AGREE)
    assert result.error < AGREE
    assert all(xp.owns(x) for a in result.adapters for x in (a.A, a.B))


def test_relu_networks_and_their_certificates(xp):
    rng = np.random.default_rng(0)
    frozen, target = (tame_network(rng, 4, depth) for depth in (4, 2))
    expected = adapt_relu_network(frozen, target, 2, domain=Box(-2, 2))
    result = adapt_relu_network(relu(xp, frozen), relu(xp, target), 2, domain=Box(-2, 2))
    assert result.certificate.holds
    assert result.error < AGREE
    assert_adapters_agree(xp, result.adapters, expected.adapters)
    for ours, theirs in zip(result.biases, expected.biases, strict=True):
        assert xp.owns(ours)
        np.testing.assert_allclose(xp.to_numpy(ours), theirs, atol=AGREE)
    again = certify_relu_network(result.network, relu(xp, target), Box(-2, 2))
    assert (again.holds, again.evidence) == (True, "certified")


def test_error_bounds(xp):
    rng = np.random.default_rng(0)
    frozen, target = (instances.relu_network(rng, 4, depth) for depth in (2, 1))
    x = rng.uniform(-2, 2, (40, 4))
    for bounds in (error_bounds, fit_to_distribution):
        expected = bounds(frozen, target, 1, x)
        result = bounds(relu(xp, frozen), relu(xp, target), 1, xp.asarray(x))
        for name in ("recalled", "corrected", "moments"):
            assert getattr(result, name) == pytest.approx(getattr(expected, name), rel=AGREE)
        assert result.sharp == pytest.approx(expected.sharp, rel=1e-4)  # the multipliers come from an iteration
        assert all(xp.owns(F) for F in result.layers)


def test_transformers(xp):
    def convert(x):
        return xp.asarray(x if x.ndim == 1 else tame(np.random.default_rng(abs(int(1e6 * x[0, 0]))), 4))

    rng = np.random.default_rng(0)
    result = adapt_transformer(*(transformer(rng, 4, 1, 1, convert=convert) for _ in range(2)), 2)
    assert result.certificate.holds
    assert result.error < 1e-8
    assert all(xp.owns(x) for a in result.adapters for x in (a.A, a.B))
