from fractions import Fraction

import cvxpy as cp
import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import generators

from lora_proofs import Box, ReluNetwork, exact, instances
from lora_proofs.constructions import adapt_relu_network
from lora_proofs.constructions.relu.error_bounds import (
    _scalar_multipliers,
    corrected_bound,
    error_bounds,
    fit_to_distribution,
    recalled_bound,
)
from lora_proofs.constructions.relu.multipliers import coupling
from lora_proofs.precision import lift

SIZES = ((4, 1, 1, 2), (6, 4, 2, 1), (6, 5, 3, 2), (5, 8, 4, 1), (6, 3, 3, 5))


def pair(rng, D, L, Lbar, init="uniform"):
    return instances.relu_network(rng, D, L, init), instances.relu_network(rng, D, Lbar, init)


def rms(network, target, x):
    return float(np.sqrt(np.mean(np.sum((network(x) - target(x)) ** 2, axis=1))))


@pytest.mark.parametrize("init", ["uniform", "orthogonal", "gaussian"])
@given(generators, st.sampled_from(SIZES))
def test_every_bound_holds_and_more_knowledge_never_hurts(init, rng, size):
    D, L, Lbar, R = size
    frozen, target = pair(rng, D, L, Lbar, init)
    x = rng.uniform(-4, 4, (60, D))
    bounds = error_bounds(frozen, target, R, x)
    measured = rms(adapt_relu_network(frozen, target, R, domain=Box(-4, 4)), target, x)
    assert measured <= bounds.sharp * (1 + 1e-8) + 1e-12
    assert bounds.sharp <= bounds.moments * (1 + 1e-12)
    assert bounds.moments <= bounds.corrected * (1 + 1e-12)


def test_layers_are_what_the_adapters_make_of_the_blocks():
    rng = np.random.default_rng(0)
    frozen, target = pair(rng, 6, 5, 2)
    result = adapt_relu_network(frozen, target, [1, 2, 0, 1, 1], domain=Box(-4, 4), partition=[3, 2])
    bounds = error_bounds(frozen, target, [1, 2, 0, 1, 1], rng.uniform(-4, 4, (9, 6)), partition=[3, 2])
    for F, N, E, W, block in zip(
        bounds.layers, bounds.residuals, bounds.tails, target.weights, result.partition, strict=True
    ):
        product = np.linalg.multi_dot([np.eye(6), *[result.network.weights[l] for l in reversed(block)]])
        np.testing.assert_allclose(F, product, atol=1e-9)
        np.testing.assert_allclose(F + N, W, atol=1e-12)
        assert np.linalg.norm(N, 2) == pytest.approx(E, rel=1e-10)


def test_a_narrow_target_is_bounded_too():
    rng = np.random.default_rng(1)
    frozen, target = instances.relu_network(rng, 8, 4), instances.relu_network(rng, 5, 2)
    x = rng.uniform(-4, 4, (80, 5))
    bounds = error_bounds(frozen, target, 1, x)
    measured = rms(adapt_relu_network(frozen, target, 1, domain=Box(-4, 4)), target, x)
    assert 0.05 * bounds.sharp < measured <= bounds.sharp <= bounds.moments <= bounds.corrected


def test_nothing_is_left_at_the_threshold():
    rng = np.random.default_rng(2)
    frozen, target = pair(rng, 4, 4, 2)
    bounds = error_bounds(frozen, target, 2, rng.uniform(-1, 1, (5, 4)))
    assert (bounds.recalled, bounds.corrected, bounds.moments, bounds.sharp) == (0, 0, 0, 0)


def test_exact_blocks_cost_nothing_wherever_they_stand():
    rng = np.random.default_rng(3)
    frozen, target = pair(rng, 4, 3, 3)
    x = rng.uniform(-4, 4, (50, 4))
    for ranks in ([4, 1, 4], [1, 4, 4], [4, 4, 1], [4, 1, 1]):
        bounds = error_bounds(frozen, target, ranks, x)
        measured = rms(adapt_relu_network(frozen, target, ranks, domain=Box(-4, 4)), target, x)
        assert measured <= bounds.sharp
        assert bounds.sharp <= bounds.moments * (1 + 1e-12)
        assert [E == 0 for E in bounds.tails] == [r == 4 for r in ranks]


def test_a_layer_that_vanishes_leaves_the_bound_of_moments():
    frozen = ReluNetwork([np.eye(2), np.zeros((2, 2))], [np.zeros(2)] * 2)
    target = ReluNetwork([2 * np.eye(2), np.eye(2)], [np.zeros(2)] * 2)
    bounds = error_bounds(frozen, target, 0, np.ones((1, 2)))
    assert bounds.sharp == bounds.moments == pytest.approx(np.sqrt(8))


@pytest.mark.parametrize(("Lbar", "D"), [(2, 4), (3, 3)])
def test_the_multipliers_are_the_best(Lbar, D):
    # The referee minimises the same convex function with a conic solver, written out from the docstring.
    rng = np.random.default_rng(4)
    frozen, target = pair(rng, D, Lbar, Lbar)
    x = rng.uniform(-4, 4, (60, D))
    bounds = error_bounds(frozen, target, 1, x)
    n = D * Lbar
    u = np.concatenate([h @ N.T for h, N in zip(bounds.states, bounds.residuals, strict=True)], axis=1)
    S = np.eye(n)
    for i in range(1, Lbar):
        S[i * D : (i + 1) * D, (i - 1) * D : i * D] = -bounds.layers[i]
    last = np.diag([0.0] * (n - D) + [1.0] * D)
    T = cp.diag(cp.Variable(n))
    values, vectors = np.linalg.eigh(u.T @ u / len(u))
    half = vectors * np.sqrt(np.maximum(values, 0))
    problem = cp.Problem(cp.Minimize(cp.matrix_frac(T @ half, T @ S + S.T @ T - last)))
    problem.solve(solver="CLARABEL")
    assert bounds.sharp**2 == pytest.approx(problem.value, rel=1e-6)


@pytest.mark.parametrize("Lbar", [1, 2, 3, 4])
def test_scalar_multipliers_already_give_the_bound_of_moments(Lbar):
    """What the proof that `sharp` is at most `moments` starts from; for one block both are equal."""
    rng = np.random.default_rng(12)
    frozen, target = pair(rng, 4, Lbar, Lbar)
    bounds = error_bounds(frozen, target, 1, rng.uniform(-4, 4, (30, 4)))
    t = _scalar_multipliers(bounds.layers, bounds._moments)
    Y = np.concatenate(bounds._deviations, axis=1) * t
    value = np.mean(np.sum(Y * np.linalg.solve(coupling(bounds.layers, t), Y.T).T, axis=1)) ** 0.5
    assert value <= bounds.moments * (1 + 1e-12)
    assert value == pytest.approx(bounds.moments, rel=1e-12 if Lbar == 1 else 0.5)
    assert t[-1] == 1
    assert len(t) == 4 * Lbar
    for i, (F, before, after) in enumerate(zip(bounds.layers[1:], bounds._moments, bounds._moments[1:], strict=False)):
        assert t[4 * i] * before == pytest.approx(t[4 * i + 4] * np.linalg.norm(F, 2) * after)


def test_one_block_costs_the_residual_in_the_metric_of_the_inputs():
    rng = np.random.default_rng(5)
    frozen, target = pair(rng, 5, 2, 1)
    x = rng.uniform(-4, 4, (40, 5))
    bounds = error_bounds(frozen, target, 1, x)
    Sigma = x.T @ x / len(x)
    expected = np.sqrt(np.trace(bounds.residuals[0] @ Sigma @ bounds.residuals[0].T))
    assert bounds.moments == pytest.approx(expected)
    assert bounds.sharp == pytest.approx(expected)


@pytest.mark.parametrize("init", ["uniform", "orthogonal"])
@given(generators, st.sampled_from(SIZES))
def test_a_fit_is_reached_with_the_same_ranks_and_keeps_its_bounds(init, rng, size):
    D, L, Lbar, R = size
    frozen, target = pair(rng, D, L, Lbar, init)
    x = rng.uniform(-4, 4, (60, D))
    fit = fit_to_distribution(frozen, target, R, x)
    adapted = adapt_relu_network(frozen, fit.network, R, domain=Box(-4, 4))
    np.testing.assert_allclose(adapted(x), fit.network(x), atol=1e-7)
    assert all(a.rank <= R for a in adapted.adapters)
    assert rms(fit.network, target, x) <= fit.sharp * (1 + 1e-8) + 1e-12
    assert fit.sharp <= fit.moments * (1 + 1e-12)


def test_no_adapter_and_bias_of_an_active_layer_beat_the_fit():
    rng = np.random.default_rng(8)
    frozen, target = pair(rng, 5, 1, 1)
    target = ReluNetwork(target.weights, [target.biases[0] + 100])
    x = rng.uniform(-4, 4, (60, 5)) @ np.diag([1, 2, 0.5, 0.1, 1]) + 1
    fit = fit_to_distribution(frozen, target, 2, x)
    best = rms(fit.network, target, x)
    assert best == pytest.approx(fit.sharp)
    assert best < 0.9 * error_bounds(frozen, target, 2, x).sharp
    A, B, c = rng.standard_normal((2, 5)), rng.standard_normal((5, 2)), rng.standard_normal(5)
    residual = (target.weights[0] - frozen.weights[0]) @ x.T
    ones = np.ones((1, len(x)))
    for _ in range(3000):  # alternating least squares, from a random start
        B, c = np.split(np.linalg.lstsq(np.vstack([A @ x.T, ones]).T, residual.T, rcond=None)[0].T, [2], axis=1)
        A = (
            np.linalg.pinv(B)
            @ np.linalg.lstsq(x - x.mean(0), (residual - residual.mean(1)[:, None]).T, rcond=None)[0].T
        )
    found = np.sqrt(np.mean(np.sum((residual - B @ (A @ x.T) - c) ** 2, axis=0)))
    assert found == pytest.approx(best, rel=1e-6)


def test_a_fit_at_the_threshold_is_exact():
    rng = np.random.default_rng(9)
    frozen, target = pair(rng, 4, 4, 2)
    fit = fit_to_distribution(frozen, target, 2, rng.uniform(-1, 1, (5, 4)))
    assert (fit.moments, fit.sharp, fit.tails) == (0, 0, [0, 0])
    np.testing.assert_array_equal(fit.network.weights[1], target.weights[1])


def test_64_digits_agree_with_16():
    rng = np.random.default_rng(6)
    frozen, target = pair(rng, 4, 4, 2)
    x = rng.uniform(-4, 4, (20, 4))
    coarse = error_bounds(frozen, target, 1, x)
    with mpmath.workdps(64):

        def lifted(network):
            return ReluNetwork([lift(W, 64) for W in network.weights], [lift(b, 64) for b in network.biases])

        fine = error_bounds(lifted(frozen), lifted(target), 1, lift(x, 64))
        for name in ("recalled", "corrected", "moments", "sharp"):
            assert isinstance(getattr(fine, name), mpmath.mpf)
            assert float(getattr(fine, name)) == pytest.approx(getattr(coarse, name), rel=1e-10)


def test_the_scalar_forms_keep_rationals():
    tails, norms, biases = [Fraction(1, 3), Fraction(1, 5)], [Fraction(2), Fraction(3)], [Fraction(1), Fraction(0)]
    # (3 + 1/5) * 1/3 * 7 + 1/5 * (2 * 7 + 1)
    assert corrected_bound(tails, norms, biases, Fraction(7)) == Fraction(112, 15) + 3
    # beta = max(7, 14 + 1, 42 + 1 + 0), growth = 16/5
    assert recalled_bound(tails, norms, biases, Fraction(7)) == 43 * (Fraction(16, 5) * Fraction(1, 3) + Fraction(1, 5))


def test_the_drift_of_the_biases_follows_the_recalled_formula():
    norms, biases, s = [2.0, 3.0, 5.0], [0.5, 0.25, 0.125], 1.5
    drifts = [sum(np.prod([norms[k] for k in range(j + 1, i)]) * biases[j] for j in range(i + 1)) for i in range(3)]
    beta = max(s, *(s * np.prod(norms[: i + 1]) + drifts[i] for i in range(3)))
    assert recalled_bound([0.0, 0.0, 1.0], norms, biases, s) == pytest.approx(beta)


def test_the_recalled_bound_is_that_of_its_norms():
    rng = np.random.default_rng(10)
    frozen, target = pair(rng, 4, 4, 2)
    x = rng.uniform(-4, 4, (30, 4))
    bounds = error_bounds(frozen, target, 1, x)
    size = np.linalg.norm(np.mean([np.outer(v, v) for v in x], axis=0)) ** 0.5
    norms, biases = ([np.linalg.norm(v) for v in part] for part in (target.weights, target.biases))
    assert bounds.recalled == pytest.approx(recalled_bound(bounds.tails, norms, biases, size), rel=1e-12)
    spectral = [np.linalg.norm(W, 2) for W in target.weights]
    root = np.mean(np.sum(x**2, axis=1)) ** 0.5
    assert bounds.corrected == pytest.approx(corrected_bound(bounds.tails, spectral, biases, root), rel=1e-12)


def test_bounds_of_a_distribution_at_zero():
    """What is left is what the biases make: (3 + E_2) 0 + E_2 b_1."""
    zero = Fraction(0)
    assert corrected_bound([zero, Fraction(1, 2)], [Fraction(2), Fraction(3)], [Fraction(5), zero], zero) == Fraction(
        5, 2
    )
    assert recalled_bound([zero, Fraction(1, 2)], [Fraction(2), Fraction(3)], [Fraction(5), zero], zero) == Fraction(
        5, 2
    )


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(7)
    frozen, target = pair(rng, 3, 2, 1)
    with pytest.raises(ValueError, match=r"points has shape \(2, 4\); pass an array of shape \(any x 3\)"):
        error_bounds(frozen, target, 1, np.ones((2, 4)))
    with pytest.raises(ValueError, match="points is empty; pass at least one input"):
        error_bounds(frozen, target, 1, np.ones((0, 3)))
    with pytest.raises(ValueError, match="the target has 2 layers, the frozen network only 1"):
        error_bounds(target, frozen, 1, np.ones((2, 3)))
    rational = ReluNetwork([exact.array(W) for W in frozen.weights], [exact.array(b) for b in frozen.biases])
    with pytest.raises(ValueError, match="are rational, but singular values are not"):
        error_bounds(rational, ReluNetwork(rational.weights[:1], rational.biases[:1]), 1, exact.array(np.ones((2, 3))))
