"""A part of the SVD and its bracket, against LAPACK's whole one."""

import numpy as np
import pytest

from lora_proofs import instances
from lora_proofs.constructions import adapt_linear_chain
from lora_proofs.constructions.chain import square_chain
from lora_proofs.constructions.chain.operators import LU, norm, operator_norm
from lora_proofs.constructions.chain.partial_svd import (
    _from_above,
    _from_below,
    _gamma,
    _width,
    is_worthwhile,
    partial_svd,
    rounded_product,
)
from lora_proofs.linalg import unit_roundoff

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
    assert partial_svd(E, k) is None


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


# ------------------------------------------------------------------------------ room for the worst rounding
# Rounding that happens is far below what the analysis of Higham allows: what is tested is that each of its terms is
# there, and no more than a fiftieth above it.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gamma_is_that_of_a_few_roundings_more(dtype):
    for inner in (1, 100, 10**6):
        nu = inner * np.finfo(dtype).eps / 2
        assert nu / (1 - nu) < _gamma(np.ones(1, dtype), inner) <= (inner + 3) / inner * nu / (1 - 1.1 * nu)


def test_a_product_allows_for_the_rounding_of_every_factor():
    rng = np.random.default_rng(0)
    weights = [scale * instances.gaussian(rng, 40, 40).astype(np.float32) for scale in (1, 3, 0.1, 20)]
    gamma, P, off = _gamma(weights[0], 40), weights[0], 0.0
    for W in weights[1:]:
        off = np.linalg.norm(W) * (off + gamma * np.linalg.norm(P))
        P = W @ P
    assert off < rounded_product(weights)[1] < 1.02 * off
    assert rounded_product([np.array([[2]], dtype=object), np.array([[3]], dtype=object)]) == ([[6]], 0.0)


def diagonal(size, leading, at_the_cut, rest, dtype=np.float32):
    """Return a diagonal matrix whose singular value at the cut is known, and its leading right singular vectors."""
    s = np.array([*leading, at_the_cut, *np.full(size - len(leading) - 1, rest)], dtype)
    return np.diag(s), np.eye(size, dtype=dtype)[:, : len(leading) + 1]


@pytest.mark.parametrize(("size", "leading", "rest"), [(64, [2.0], 0.5), (64, [2.0] * 40, 0.0), (16, [1.0] * 12, 1.0)])
def test_the_lower_end_leaves_room_for_rounding(size, leading, rest):
    E, V = diagonal(size, leading, 1.0, rest)
    Y, k = E @ V, V.shape[1]
    below = _from_below(E, V, Y, 1.0)
    squares = (_gamma(E, size) + _gamma(E, k + 1)) * np.linalg.norm(Y) ** 2
    off = _gamma(E, size) * np.linalg.norm(E) * np.linalg.norm(V)
    expected = (np.sqrt(1 - squares) - off) / np.sqrt(1 + _gamma(E, size) * k)
    assert 1 - expected < 1 - below < 1.02 * (1 - expected)


UPPER = [(64, [2.0], 0.5), (64, [9.0] * 40, 1.0), (16, [1.0] * 12, 0.0), (4, [1.0], 1.0)]


@pytest.mark.parametrize(("size", "leading", "rest"), UPPER)
def test_the_upper_end_leaves_room_for_rounding(size, leading, rest):
    E, V = diagonal(size, leading, 1.0, rest)
    V = V[:, :-1]
    Y, k = E @ V, V.shape[1]
    F = np.linalg.norm(E - Y @ V.T)
    rounding = _gamma(E, size) * F**2
    c2 = 1 + 1.01 * rounding / 8
    c2 += rounding + _gamma(E, size + 1) * size * c2
    formed = unit_roundoff(E) * F + _gamma(E, k + 1) * np.linalg.norm(Y) * np.linalg.norm(V)
    expected = np.sqrt(c2) + formed
    above = _from_above(E, V, Y, 1.0, 0.0)
    assert expected - 1 < above - 1 < 1.02 * (expected - 1)


def test_the_upper_end_is_rounded_up():
    """In float64 and for a small matrix, the roundings of the root and of the sum are as large as all else."""
    E, V = diagonal(2, [1.0], 1.0, 0.0, np.float64)
    u = 2.0**-53
    squares = (_gamma(E, 2) / 8 + _gamma(E, 2) + 2 * _gamma(E, 3)) / 2
    formed = u + _gamma(E, 2)
    assert _from_above(E, V[:, :1], E @ V[:, :1], 1.0, 0.0) - 1 > squares + formed + 0.5e-15


@pytest.mark.parametrize("guess", [1e-3, 0.7, 1.0, 1.5, 100.0])
def test_the_ends_hold_whatever_was_guessed(guess):
    E, V = diagonal(64, [3.0, 2.0], 1.0, 0.5, np.float64)
    assert _from_below(E, V, E @ V, guess) <= 1.0
    assert _from_above(E, V[:, :2], E @ V[:, :2], guess, 1e-12) >= 1.0
    if 1 <= guess < 2:
        assert _from_below(E, V, E @ V, guess) > 0.3
    if guess <= 1:
        assert _from_above(E, V[:, :2], E @ V[:, :2], guess, 1e-12) < 2.1


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_ends_hold_whatever_vectors_were_found(scale):
    """Columns that are too long or too short, or not singular vectors at all, leave a true bracket, only a wide one."""
    E, V = diagonal(64, [3.0], 1.0, 0.5, np.float64)
    assert _from_below(E, scale * V, E @ (scale * V), scale) <= 1.0
    assert _from_below(E, scale * V[:, :1], E @ (scale * V[:, :1]), 3 * scale) <= 3.0
    turned = np.linalg.qr(np.random.default_rng(0).standard_normal((64, 2)))[0]
    assert -1e-12 < _from_below(E, turned, E @ turned, 1.0) <= 1.0
    assert _from_above(E, turned[:, :1], E @ turned[:, :1], 1.0, 0.0) >= np.linalg.norm(
        E - E @ turned[:, :1] @ turned[:, :1].T, 2
    )


def test_the_width_is_estimated_from_the_residuals():
    rng = np.random.default_rng(0)
    for gap in (1e-9, 1e-3, 1.0):
        Q = np.linalg.qr(rng.standard_normal((5, 5)))[0]
        theta2 = np.array([9.0, 4.0 + gap, 4.0, 1.0, 0.5])
        width, vectors = _width(Q @ np.diag(theta2) @ Q.T, np.array([[0.01]]), 2)
        rho = 0.01 * np.abs(vectors[-1])
        expected = sum(min(rho[i], rho[i] ** 2 / (theta2[i] - 4)) for i in (0, 1)) + min(rho[2], rho[2] ** 2 / 3)
        assert width == pytest.approx(expected / 4, rel=1e-5)
        assert np.abs(vectors.T @ Q[:, :3]).max(axis=0)[0] == pytest.approx(1)


def test_what_is_worth_a_part_of_the_svd():
    def worth(size, k, dtype=float):
        return is_worthwhile(np.broadcast_to(np.zeros(1, dtype), (size, size)), k)

    assert worth(1024, 1)
    assert worth(1024, 32)
    assert worth(2048, 64)
    assert not worth(1023, 1)
    assert not worth(1024, 33)
    assert not worth(1024, 0)
    assert not worth(1024, 1, np.float32)
    assert not worth(1024, 1, object)


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


def test_a_residual_counts_where_nothing_is_left_of_the_second_value():
    width, _ = _width(np.diag([0.0, 0.0, 0.0, 0.0, 9.0]), np.array([[0.5]]), 1)
    assert width > 1
    assert _width(np.zeros((5, 5)), np.array([[0.5]]), 1)[0] == 0
