"""lam = 0: which directions count, Newton from afar, separability, factors of low rank."""

from itertools import pairwise
from types import SimpleNamespace

import flint
import numpy as np
import pytest

from lora_proofs.ntk import LinearizedProblem, solve
from lora_proofs.ntk.bracket import dual_bound_at_zero
from lora_proofs.ntk.solvers.unregularised import (
    _equalised,
    _left,
    _newton,
    _require_inseparable,
    least_risk,
    optimal_rows,
    realise,
    row_sizes,
)
from lora_proofs.ntk.units import normalised

EPS = 2.0**-52


def core_of(G, labels, loss="squared", offsets=None):
    G = np.asarray(G, float)
    offsets = np.zeros(G.shape[:2]) if offsets is None else offsets
    return normalised(LinearizedProblem(G, offsets, labels, loss, 0.0)).problem


def nearly_dependent(*shares, loss="squared"):
    """Return rows e_1, e_1 + share e_2, e_1 + share e_3, ... of 4 x 4 matrices."""
    G = np.zeros((len(shares) + 1, 1, 4, 4))
    G[:, 0, 0, 0] = 1
    for i, share in enumerate(shares):
        G[i + 1, 0, 0, i + 1] = share
    labels = np.arange(len(G)) % 2 * 2 - 1
    return core_of(G, labels[:, None].astype(float) if loss == "squared" else labels, loss)


@pytest.mark.parametrize(("shares", "risks"), [
    ([0.5], 1), ([1e-6], 1), ([1e-10], 2), ([1e-13], 2), ([1e-10, 1e-13], 3), ([1e-17], 1),
])  # fmt: skip
def test_every_cut_that_uses_other_directions_is_tried(shares, risks):
    points = list(least_risk(nearly_dependent(*shares)))
    assert len(points) == risks
    assert all(a.value <= b.value + 1e-12 for a, b in pairwise(points))


def test_many_rows_have_more_noise():
    """Of 64 rows a direction of 5e-15 is rounding, though of two it is not."""
    G = np.zeros((64, 1, 9, 9))
    for i in range(63):
        G[i, 0, i // 9, i % 9] = 1
    G[63, 0, 0, 0], G[63, 0, 8, 8] = 1, 1e-14
    assert len(list(least_risk(core_of(G, np.arange(64.0)[:, None])))) == 1
    assert len(list(least_risk(nearly_dependent(1e-14)))) == 2


def test_rows_that_differ_by_a_millionth_can_be_told_apart():
    """Labels +1 and -1 at gradients G and G + 1e-6 E: the least risk is 0, not that of one direction."""
    G = np.zeros((2, 1, 2, 2))
    G[:, 0, 0, 0], G[1, 0, 1, 1] = 1, 1e-6
    solution = solve(LinearizedProblem(G, np.zeros((2, 1)), np.array([[1.0], [-1.0]]), "squared", 0.0))
    assert solution.lower == 0
    assert solution.upper < 1e-15


def test_blocks_are_brought_to_one_size():
    rng = np.random.default_rng(0)
    G = [scale * rng.normal(size=(3, 1, 4, 5)) for scale in (1e-9, 1.0, 1e5)] + [np.zeros((3, 1, 2, 2))]
    core = normalised(LinearizedProblem(G, np.zeros((3, 1)), np.ones((3, 1)), "squared", 0.0)).problem
    scaled = _equalised(core)
    equal, exponents = scaled.problem, [-2 * e for e in scaled.exponents]
    assert all(0.5 <= sizes.max() < 4 for sizes in equal.sizes[:3])
    assert exponents[3] == 0
    v = [rng.normal(size=(n, 1)) for _, n in core.shapes]
    for one, other, e in zip(core.matvec(v), equal.matvec(v), exponents, strict=True):
        np.testing.assert_array_equal(np.ldexp(one, -e), other)


@pytest.mark.parametrize("start", [0.1, 3.0, 8.0, 30.0])
def test_newton_finds_the_minimum_from_afar(start):
    """phi(w) + phi(-w): full steps diverge from |w| > 1.1 or so."""
    core = core_of(np.array([1.0, -1.0]).reshape(2, 1, 1, 1), np.array([1, 1]), "logistic")
    B = np.array([[1.0], [-1.0]]) / np.sqrt(2)
    w = _newton(core, B, np.array([start, -start]))
    np.testing.assert_allclose(w, 0, atol=1e-9)
    np.testing.assert_array_equal(_newton(core, np.zeros((2, 0)), np.array([start, 1.0])), [start, 1.0])


def one_dimensional(value, slope, curvature=1.0):
    loss = SimpleNamespace(
        value=lambda w: value(float(w[0])), derivative=slope, hessian_vector=lambda w, z: curvature * z
    )
    return SimpleNamespace(loss=loss)


def test_a_step_must_gain_and_is_halved_until_it_does():
    values = {0.0: 0.0, 1.0: 1e-5, 0.5: -0.4, 1 / 3: -0.2}
    near = one_dimensional(
        lambda w: min(values.items(), key=lambda pair: abs(pair[0] - w))[1], lambda w: np.where(w == 0, -1.0, 0.0)
    )
    np.testing.assert_allclose(_newton(near, np.eye(1), np.zeros(1)), 0.5)


def test_the_optimal_rows_are_stationary():
    rng = np.random.default_rng(1)
    for loss, K in (("squared", 2), ("logistic", 1), ("cross_entropy", 3)):
        N = 20
        labels = {"squared": rng.normal(size=(N, K)), "logistic": rng.choice([-1, 1], N)}.get(
            loss, rng.integers(0, K, N)
        )
        core = core_of(rng.normal(size=(N, K, 2, 2)), labels, loss, 3 * rng.normal(size=(N, K)))
        sizes = row_sizes(core)
        U, s = _left(core, sizes)
        B = np.linalg.qr(sizes[:, None] * U)[0]
        w = optimal_rows(core, B)
        assert np.linalg.norm(B.T @ core.loss.derivative(w)) < 1e-8
        np.testing.assert_allclose(w - core.w0, B @ (B.T @ (w - core.w0)), atol=1e-12)
        np.testing.assert_allclose(U.T @ U, np.eye(len(s)), atol=1e-12)


@pytest.mark.parametrize(("B", "separable"), [
    ([[1.0], [1.0]], True), ([[1.0], [-1.0]], False), ([[1.0], [-1e-9]], False), ([[1.0], [0.0]], True),
    ([[1.0], [-1e-17]], True), ([[1.0], [1.0], [-1e-17]], True), ([[1.0], [-1e-15]], False),
    ([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], True),
    ([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], False),
    ([[1.0, 0.1], [-1.0, 0.1]], True),
])  # fmt: skip
def test_what_separates_the_data(B, separable):
    if separable:
        with pytest.raises(ValueError, match="separable"):
            _require_inseparable(np.array(B))
    else:
        _require_inseparable(np.array(B))


def test_factors_have_the_least_rank_that_a_frozen_side_allows_and_more_where_it_must_be():
    rng = np.random.default_rng(2)
    for N, rank in ((1, 1), (8, 1), (9, 2), (16, 2), (17, 3)):
        core = core_of(rng.normal(size=(N, 1, 8, 5)), rng.normal(size=(N, 1)))
        w = np.zeros(N)
        u, v = realise(core, w, row_sizes(core))
        assert [x.shape[1] for x in (*u, *v)] == [rank, rank]
        np.testing.assert_allclose(core.rows(u, v), w, atol=1e-10)
    G = np.zeros((2, 1, 3, 3))
    G[0, 0, 0, 0] = G[1, 0, 0, 1] = 1  # one row of u is all that counts: rank 1 reaches one datum
    core = core_of(G, np.array([[1.0], [2.0]]))
    u, v = realise(core, np.zeros(2), row_sizes(core))
    np.testing.assert_allclose(core.rows(u, v), 0, atol=1e-12)
    assert u[0].shape[1] == 2
    u, v = realise(core, core.w0, row_sizes(core))
    assert u[0].shape == (3, 0)


def test_tall_and_wide_blocks_are_realised_together():
    rng = np.random.default_rng(3)
    G = [rng.normal(size=(6, 1, 2, 7)), rng.normal(size=(6, 1, 7, 2))]
    core = normalised(LinearizedProblem(G, np.zeros((6, 1)), rng.normal(size=(6, 1)), "squared", 0.0)).problem
    u, v = realise(core, np.zeros(6), row_sizes(core))
    np.testing.assert_allclose(core.rows(u, v), 0, atol=1e-12)
    assert [x.shape for x in u] == [(2, 1), (7, 1)]


def test_a_dual_point_that_rounding_puts_beside_the_simplex_is_drawn_in():
    core = core_of(np.ones((1, 1, 1, 1)), np.array([1]), "logistic", np.full((1, 1), -5.0))
    core.feasible = lambda q: [flint.arb(1 + 2 * EPS)]
    assert core.loss.conjugate(np.array([1 + 2 * EPS])) == np.inf
    assert 4.99 < dual_bound_at_zero(core, np.ones(1)) <= 5
