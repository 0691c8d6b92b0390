"""The bracket of floats: every bound on rounding is needed somewhere, none is loose, an inverted one is an error."""

import mpmath as mp
import numpy as np
import pytest
from ntk_attack import lower_bound, objective

from lora_proofs.ntk import LinearizedProblem, certify, solve
from lora_proofs.ntk import bracket as bracket_module
from lora_proofs.ntk.bracket import Bracket, bracket, dual_bound, norm_ratio, upper_end
from lora_proofs.ntk.points import evaluate
from lora_proofs.ntk.spectrum import slack
from lora_proofs.ntk.units import normalised

LOSSES = ("squared", "logistic", "cross_entropy")


def at(problem, u, v):
    own = normalised(problem)
    return own, evaluate(own.problem, *own.reduce([u], [v]))


def cancelling(seed, loss="squared"):
    """Return a problem and a point whose fits are small differences of large numbers: rounding is all there is."""
    rng = np.random.default_rng(seed)
    N, K = 3, 2 if loss == "cross_entropy" else 1
    G = rng.normal(size=(N, K, 4, 3))
    u, v = 1e4 * rng.normal(size=(4, 2)), 1e4 * rng.normal(size=(3, 2))
    v[:, 1] = v[:, 0] + 1e-3 * rng.normal(size=3)
    u[:, 1] = -u[:, 0]
    labels = {"squared": np.zeros((N, K)), "logistic": np.ones(N)}.get(loss, np.zeros(N, int))
    free = LinearizedProblem(G, np.zeros((N, K)), labels, loss, 1e-9)
    fits = np.einsum("ikmn,mn->ik", G, u @ v.T)
    return LinearizedProblem(G, -fits + rng.normal(size=(N, K)), labels, loss, free.lam), u, v


@pytest.mark.parametrize("loss", LOSSES)
def test_the_upper_end_is_above_the_objective_where_rounding_hides_it(loss):
    below = 0
    for seed in range(12):
        problem, u, v = cancelling(seed, loss)
        own, point = at(problem, u, v)
        with mp.workdps(60):
            exact = objective(problem, [u], [v])
            found = own.units.upper(upper_end(own.problem, point))
            assert exact <= found <= exact * (1 + mp.mpf("1e-3"))
            below += own.units.upper(point.value) < exact
            # What is added for the rounding of the rows is needed: P and its own rounding are not enough.
            below += own.units.upper(point.value * (1 + 2 * slack(3))) < exact
    assert below >= 4


@pytest.mark.parametrize("loss", LOSSES)
def test_without_cancellation_the_upper_end_is_the_objective(loss):
    rng = np.random.default_rng(0)
    K = 1 if loss == "logistic" else 3
    labels = {"squared": rng.normal(size=(5, K)), "logistic": rng.choice([-1, 1], 5)}.get(loss, rng.integers(0, K, 5))
    problem = LinearizedProblem(rng.normal(size=(5, K, 4, 3)), np.zeros((5, K)), labels, loss, 0.1)
    u, v = 0.1 * rng.normal(size=(4, 1)), 0.1 * rng.normal(size=(3, 1))
    own, point = at(problem, u, v)
    assert point.value < upper_end(own.problem, point) < point.value * (1 + 1e-12)


def test_unbalanced_and_superfluous_columns_do_not_widen_the_bracket():
    rng = np.random.default_rng(1)
    problem = LinearizedProblem(rng.normal(size=(5, 1, 4, 3)), np.zeros(5), rng.normal(size=5), "squared", 1e-30)
    u, v = rng.normal(size=(4, 2)), rng.normal(size=(3, 2))
    own, point = at(problem, u, v)
    _, skew = at(problem, u * [1e6, 1e-6], v * [1e-6, 1e6])
    by = [upper_end(own.problem, x) - x.value for x in (skew, point)]
    assert by[0] == pytest.approx(by[1], rel=1e-2)


def test_the_operator_norm_is_bounded_where_its_sum_cancels():
    """S = q (G - G') / 2 is far below the rounding of its terms, so that its floats may say anything."""
    rng = np.random.default_rng(2)
    needed = 0
    for _ in range(20):
        g = rng.normal(size=(3, 3))
        h = -g * (1 + 1e-15 * rng.normal(size=(3, 3)))
        w = np.float64(rng.uniform(1, 2))
        problem = LinearizedProblem(np.stack([g, h])[:, None], [w, w * (1 + 2**-50)], np.zeros(2), "squared", 1e-16)
        own = normalised(problem)
        q = own.problem.w0
        ratio = norm_ratio(own.problem, q, own.problem.adjoint(q))
        with mp.workdps(60):
            c = [mp.mpf(float(x)) for x in problem.offsets.ravel()]
            S = (c[0] * mp.matrix(g.tolist()) + c[1] * mp.matrix(h.tolist())) / 2
            exact = max(mp.svd_r(S, compute_uv=False)) / mp.mpf(problem.lam)
            assert exact <= ratio
            computed = np.linalg.norm(own.problem.adjoint(q)[0], 2) / own.problem.lam
            needed += bool(computed * (1 + 1e-12) < exact)
    assert needed >= 3


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_ratio_is_that_of_the_worst_block_and_tight(blocks):
    rng = np.random.default_rng(3)
    G = [10.0**t * rng.normal(size=(6, 1, 4, 3)) for t in range(blocks)]
    problem = LinearizedProblem(G, np.zeros(6), rng.normal(size=6), "squared", 0.1)
    own = normalised(problem)
    q = own.problem.loss.derivative(own.problem.w0)
    S = problem.adjoint(problem.derivative(problem.w0))
    expected = max(np.linalg.norm(x, 2) for x in S) / 0.1
    assert expected < norm_ratio(own.problem, q, own.problem.adjoint(q)) < expected * (1 + 1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_dual_bound_is_below_the_dual_value_in_60_digits(loss):
    rng = np.random.default_rng(4)
    K = 1 if loss == "logistic" else 3
    for seed in range(8):
        N = 4
        labels = {"squared": rng.normal(size=(N, K)), "logistic": rng.choice([-1, 1], N)}.get(
            loss, rng.integers(0, K, N)
        )
        G, f = rng.normal(size=(N, K, 3, 3)), 10.0 ** (seed % 3) * rng.normal(size=(N, K))
        problem = LinearizedProblem(G, f, labels, loss, 1.0)
        problem = LinearizedProblem(G, f, labels, loss, 0.3 * problem.lam_max)
        zero = [np.zeros((3, 0))], [np.zeros((3, 0))]
        with mp.workdps(60):
            exact = lower_bound(problem, *zero)
            found = certify(problem, *zero).lower
            assert found <= exact
            assert found == pytest.approx(float(max(exact, 0)), rel=1e-11, abs=1e-300)


def test_slopes_that_sum_to_more_than_1_are_brought_back():
    problem = LinearizedProblem(np.ones((2, 3, 2, 2)), np.ones((2, 3)), [0, 1], "cross_entropy", 1.0)
    core = normalised(problem).problem
    q = np.array([0.5, 0.5 + 1e-15, 0.25, 0.75])
    assert dual_bound(core, q, 0.5) == pytest.approx(np.log(2) / 2 + 0.5 * (0.25 * np.log(4) + 0.75 * np.log(4 / 3)))
    # No value is below 0, the dual value of q = 0.
    assert dual_bound(core, 3 * q, 1.0) == 0


def test_an_inverted_bracket_is_an_error():
    assert Bracket(1.0, 1.0, 1.0).width == 0
    with pytest.raises(ArithmeticError, match="inverted"):
        Bracket(1.0, np.nextafter(1.0, 2), 1.0)


def test_a_residual_that_lost_its_digits_gets_a_better_dual_point(monkeypatch):
    rng = np.random.default_rng(5)
    G, y = rng.normal(size=(6, 1, 5, 4)), rng.normal(size=6)
    top = LinearizedProblem(G, np.zeros(6), y, "squared", 0.0).lam_max
    problem = LinearizedProblem(G, np.zeros(6), y, "squared", 1e-9 * top)
    solution = solve(problem)
    assert solution.gap <= 1e-10
    (u, v), *_ = solution.factors
    with mp.workdps(60):
        assert solution.lower <= objective(problem, [u], [v]) <= solution.upper
    monkeypatch.setattr(bracket_module, "_REFINED", 0)
    own, point = at(problem, u, v)
    rough = bracket(own.problem, point)
    assert rough.width > 1e-9 * rough.upper


def test_at_lam_zero_the_ratio_says_whether_S_vanishes():
    problem = LinearizedProblem(np.ones((1, 1, 2, 2)), [[0.0]], [[1.0]], "squared", 0.0)
    assert certify(problem, np.zeros((2, 1)), np.zeros((2, 1))).operator_norm_ratio == np.inf
    half = np.full((2, 1), 0.5)
    assert certify(problem, half, half).operator_norm_ratio == 0


def one_matrix(N, loss="squared", lam=0.1, w0=0.0):
    """Return a problem of gradients 4 x 3 in its own units, whose w0 is given."""
    rng = np.random.default_rng(N)
    labels = np.ones(N) if loss == "logistic" else np.zeros(N)
    return normalised(LinearizedProblem(rng.normal(size=(N, 1, 4, 3)), np.full(N, w0), labels, loss, lam)).problem


def test_the_sum_of_the_risk_is_widened_where_nothing_else_rounds():
    core = one_matrix(5, "logistic")
    point = evaluate(core, [np.zeros((4, 1))], [np.zeros((3, 1))])
    assert upper_end(core, point) == point.value * (1 + slack(5)) > np.log(2)


def test_the_rounding_of_the_rows_is_that_of_sums_over_all_entries():
    core = one_matrix(5, w0=2.0)
    u, v = [np.ones((4, 2))], [np.ones((3, 2))]
    point = evaluate(core, u, v)
    e = slack(1) * np.abs(core.w0) + slack(12) * 2 * np.sqrt(12) * core.sizes[0]
    expected = point.value * (1 + slack(5)) + np.sum(np.abs(point.w) * e + e**2 / 2) / core.N
    assert upper_end(core, point) == pytest.approx(expected, rel=1e-15)
    assert upper_end(core, point) - point.value == pytest.approx(expected - point.value, rel=0.05, abs=0)


def test_the_dual_is_lowered_by_the_absolute_values_of_its_terms():
    core = one_matrix(2, w0=2.0)
    core.w0[1] = -core.w0[1]
    q = core.w0.copy()
    p = q / (1 + 4 * 2.0**-52 * 2 / core.N)
    size = np.abs(p) @ np.abs(core.w0) + core.loss.conjugate_size(p)
    assert core.dual(p) - dual_bound(core, q, 0.5) == pytest.approx(slack(2) * size / core.N, rel=0.05, abs=0)


def test_without_a_regulariser_the_ratio_is_infinite_if_any_entry_of_the_slopes_is_not_0():
    G = np.zeros((1, 1, 2, 2))
    G[0, 0, 0, 0] = 1
    core = normalised(LinearizedProblem(G, np.ones(1), np.zeros(1), "squared", 0.0)).problem
    assert bracket(core, evaluate(core, [np.zeros((2, 1))], [np.zeros((2, 1))])).ratio == np.inf


def test_without_columns_no_dual_point_is_refined():
    core = one_matrix(3, w0=2.0)
    point = evaluate(core, [np.zeros((4, 0))], [np.zeros((3, 0))])
    q = core.loss.derivative(point.w)
    np.testing.assert_array_equal(bracket_module._refined(core, point, q), q)
