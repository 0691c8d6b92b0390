"""A part of the SVD and its bracket, against LAPACK's whole one."""

import numpy as np
import pytest

from lora_proofs import instances
from lora_proofs.constructions import adapt_linear_chain, square_chain
from lora_proofs.constructions.operators import LU, norm, operator_norm
from lora_proofs.constructions.partial_svd import partial_svd, rounded_product

n, k = 300, 6


def spectrum(s):
    return instances.with_singular_values(np.random.default_rng(0), n, n, s)


SPECTRA = {
    "power law": 1 / np.arange(1, n + 1.0) ** 2,
    "geometric": np.geomspace(1, 1e-12, n),
    "flat": np.ones(n),
    "cluster at the cut": np.concatenate([np.full(k - 1, 2.0), [1 + 1e-9, 1.0], np.geomspace(0.9, 1e-3, n - k - 1)]),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_the_bracket_holds_the_singular_value_and_is_narrow(name):
    E = spectrum(SPECTRA[name])
    part, s = partial_svd(E, k), np.linalg.svd(E, compute_uv=False)
    assert part.lower <= s[k] * (1 + 1e-12)
    assert s[k] <= part.upper * (1 + 1e-12)
    assert part.upper - part.lower < 1e-8 * s[k]
    np.testing.assert_allclose(part.V.T @ part.V, np.eye(k), atol=1e-13)
    assert np.linalg.norm(E - E @ part.V @ part.V.T, 2) == pytest.approx(s[k], rel=1e-9)


def test_a_gaussian_matrix_has_no_gap_and_is_left_to_lapack_if_it_is_small():
    E = instances.gaussian(np.random.default_rng(0), n, n)
    part = partial_svd(E, k)
    assert part is None or part.lower <= np.linalg.svd(E, compute_uv=False)[k] <= part.upper


@pytest.mark.parametrize("rank", [0, 3])
def test_nothing_beyond_a_low_rank_but_rounding(rank):
    part = partial_svd(spectrum([*np.ones(rank), *np.zeros(n - rank)]), k)
    assert part.lower <= part.upper < 1e-10
    assert sum(value > 1e-10 for value in part.values) == rank


def test_a_loose_bracket_is_refused():
    """A Cholesky factorisation sees squares: sigma_{k+1} / sigma_1 = 1e-9 is below what it can tell from rounding."""
    assert partial_svd(spectrum([10.0 ** (-3 * i / 2) for i in range(12)] + [0.0] * (n - 12)), k) is None


def test_adapters_from_a_part_of_the_svd(monkeypatch):
    rng = np.random.default_rng(0)
    frozen = [instances.orthogonal(rng, n) for _ in range(3)]
    target = frozen[2] @ frozen[1] @ frozen[0] + spectrum(SPECTRA["power law"])
    expected = adapt_linear_chain(frozen, target, [2, 1, 3])
    monkeypatch.setattr(square_chain, "is_worthwhile", lambda E, k: True)
    result = adapt_linear_chain(frozen, target, [2, 1, 3])
    assert expected.tail is None
    assert result.tail[0] == result.bound <= expected.bound <= result.tail[1]
    assert result.error == pytest.approx(expected.error, rel=1e-8)
    product = np.eye(n)
    for W, a in zip(frozen, result.adapters, strict=True):
        product = (W + a.delta()) @ product
    assert np.linalg.norm(product - target, 2) == pytest.approx(result.error, rel=1e-8)


def test_rounding_of_a_product_is_bounded():
    rng = np.random.default_rng(0)
    weights = [instances.gaussian(rng, 40, 40).astype(np.float32) for _ in range(3)]
    P, bound = rounded_product(weights)
    exactly = weights[2].astype(float) @ weights[1].astype(float) @ weights[0].astype(float)
    assert 0 < np.linalg.norm(P - exactly, 2) <= bound


# --------------------------------------------------------------------------------------------- operators


@pytest.mark.parametrize("s", [np.geomspace(5, 1e-8, 200), np.ones(200), np.r_[1 + 1e-7, np.ones(199)], np.zeros(200)])
def test_norms_by_iteration(s):
    x = instances.with_singular_values(np.random.default_rng(0), 200, 200, s)
    assert norm(x) == pytest.approx(np.linalg.norm(x, 2), rel=1e-12, abs=1e-300)
    assert norm(x[:, :150], 0.1) == pytest.approx(np.linalg.norm(x[:, :150], 2), rel=0.2, abs=1e-300)


def test_a_guess_that_misses_the_leading_vector_does_no_harm():
    x = np.diag([3.0, 2.0, *np.ones(198)])
    guess = np.eye(200)[:, 1:2]
    assert operator_norm(lambda y: x @ y, lambda y: x.T @ y, guess, 1e-13, guess=guess) == pytest.approx(3, rel=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
def test_solves_and_singularity(order):
    rng = np.random.default_rng(0)
    x = np.array(instances.with_singular_values(rng, 200, 200, np.geomspace(1, 1e-6, 200)), order=order)
    y, lu = rng.standard_normal((200, 3)), LU(x)
    np.testing.assert_allclose(x @ lu.solve(y), y, atol=1e-8)
    np.testing.assert_allclose(x.T @ lu.solve_transposed(y), y, atol=1e-8)
    np.testing.assert_allclose(lu.divide_right(y.T) @ x, y.T, atol=1e-8)
    assert lu.smallest == pytest.approx(1e-6, rel=0.2)
    assert not lu.singular


@pytest.mark.parametrize("size", [5, 200])
def test_singular_matrices_are_recognised(size):
    rng = np.random.default_rng(0)
    x = instances.planted_rank(rng, size, size, size - 1)
    assert LU(x).singular
    assert LU(np.zeros((size, size))).singular
    rows = rng.standard_normal((2, size)) @ x
    np.testing.assert_allclose(LU(x).divide_right(rows) @ x, rows, atol=1e-8)
