"""Hessian, gauge and verdicts, against finite differences, brute force and the exact instances."""

import sys

import numpy as np
import pytest
from scipy.linalg import null_space

from lora_proofs.ntk import hessian as hessian_module
from lora_proofs.ntk import traps
from lora_proofs.ntk.gradients import FactoredGradients
from lora_proofs.ntk.hessian import Gauge, Hessian
from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.ntk.second_order import exact_second_order, second_order
from lora_proofs.ntk.solve import solve

CASES = [
    ("squared", 2, [(5, 4)], [3], 0.0),
    ("squared", 1, [(4, 4)], [2], 0.3),
    ("logistic", 1, [(5, 3), (2, 6)], [2, 1], 0.0),
    ("logistic", 1, [(3, 3)], [1], 0.1),
    ("cross_entropy", 3, [(4, 5), (3, 3)], [2, 3], 0.05),
    ("cross_entropy", 2, [(6, 4)], [2], 0.0),
]


def random_problem(loss, K, shapes, lam, N=6, seed=0):
    rng = np.random.default_rng(seed)
    labels = {
        "squared": rng.standard_normal((N, K)),
        "logistic": rng.choice([-1, 1], N),
        "cross_entropy": rng.integers(0, K, N),
    }[loss]
    gradients = [rng.standard_normal((N, K, m, n)) for m, n in shapes]
    return LinearizedProblem(gradients, rng.standard_normal((N, K)), labels, loss, lam)


def random_point(shapes, ranks, seed=1):
    rng = np.random.default_rng(seed)
    pairs = list(zip(shapes, ranks, strict=True))
    return [rng.standard_normal((m, r)) for (m, _), r in pairs], [rng.standard_normal((n, r)) for (_, n), r in pairs]


@pytest.mark.parametrize(("loss", "K", "shapes", "ranks", "lam"), CASES)
def test_gradient_and_hessian_are_the_derivatives_of_the_objective(loss, K, shapes, ranks, lam):
    problem, (u, v) = random_problem(loss, K, shapes, lam), random_point(shapes, ranks)
    hessian, rng = Hessian(problem, u, v), np.random.default_rng(2)
    for z in rng.standard_normal((3, hessian.size)):
        x, y = hessian.unpack(z)

        def value(t, x=x, y=y):
            step = [[a + t * b for a, b in zip(p, q, strict=True)] for p, q in ((u, x), (v, y))]
            return problem.objective(*step)

        h = 1e-4
        first, second = (value(h) - value(-h)) / (2 * h), (value(h) - 2 * value(0) + value(-h)) / h**2
        assert hessian.gradient() @ z == pytest.approx(first, rel=1e-5, abs=1e-5)
        assert z @ hessian.matrix() @ z == pytest.approx(second, rel=1e-4, abs=1e-4)
        projected = hessian.project(z)
        np.testing.assert_allclose(
            hessian.apply(z), hessian.project(hessian.matrix() @ projected), atol=1e-11 * np.abs(hessian.matrix()).max()
        )


@pytest.mark.parametrize(("loss", "K", "shapes", "ranks", "lam"), CASES)
@pytest.mark.parametrize("deficient", [False, True])
def test_the_gauge_is_the_tangent_space_of_the_orbit(loss, K, shapes, ranks, lam, deficient):
    problem, (u, v) = random_problem(loss, K, shapes, lam), random_point(shapes, ranks)
    if deficient:
        u[0][:, 0] = 0
        v[0][:, 0] = 0
    hessian = Hessian(problem, u, v)
    tangents = []
    for t, r in enumerate(ranks):
        for i, j in np.ndindex(r, r):
            X = np.zeros((r, r))
            X[i, j] = 1
            if lam:
                X = X - X.T
            x, y = [0 * a for a in u], [0 * b for b in v]
            x[t], y[t] = u[t] @ X, -v[t] @ X.T
            tangents.append(hessian.pack(x, y))
    T = np.array(tangents)
    assert hessian.gauge.dimension == np.linalg.matrix_rank(T)
    normal = null_space(T) if np.any(T) else np.eye(hessian.size)
    z = np.random.default_rng(3).standard_normal((4, hessian.size))
    np.testing.assert_allclose(hessian.project(z), z @ normal @ normal.T, atol=1e-12)


def test_the_objective_is_constant_along_the_orbit():
    rng = np.random.default_rng(0)
    for lam, R in [(0.3, np.linalg.qr(rng.standard_normal((2, 2)))[0]), (0.0, rng.standard_normal((2, 2)))]:
        problem, (u, v) = random_problem("squared", 1, [(4, 4)], lam), random_point([(4, 4)], [2])
        moved = problem.objective(u[0] @ R, v[0] @ np.linalg.inv(R).T)
        assert moved == pytest.approx(problem.objective(u, v), rel=1e-12)


@pytest.mark.parametrize(("loss", "K", "shapes", "ranks", "lam"), CASES)
def test_lanczos_finds_what_diagonalisation_finds(loss, K, shapes, ranks, lam):
    hessian = Hessian(random_problem(loss, K, shapes, lam), *random_point(shapes, ranks))
    low, z, high = hessian.dense_extremes()
    other_low, other_z, other_high = hessian.lanczos_extremes()
    assert other_low == pytest.approx(low, abs=1e-8 * high)
    assert other_high == pytest.approx(high, rel=1e-6)
    assert abs(z @ other_z) == pytest.approx(1, abs=1e-5)


def test_lanczos_restarts_until_it_has_converged(monkeypatch):
    problem, (u, v) = random_problem("squared", 1, [(40, 40)], 0.01, N=40), random_point([(40, 40)], [4])
    hessian = Hessian(problem, [x / 20 for x in u], [x / 20 for x in v])
    monkeypatch.setattr(hessian_module, "_LANCZOS_STEPS", 25)
    low, z, high = hessian.lanczos_extremes()
    assert low == pytest.approx(hessian.dense_extremes()[0], abs=1e-6 * high)
    assert np.linalg.norm(hessian.apply(z) - low * z) < 1e-6 * high


@pytest.mark.parametrize(
    "trap",
    [
        traps.family_a(),
        *(traps.family_b(r) for r in range(1, 7)),
        *(traps.family_c(r) for r in (3, 4, 5)),
        *(traps.family_d(n) for n in range(2, 9)),
        *(traps.family_d(*sizes) for sizes in [(4, 2), (3, 2, 5)]),
        *(traps.logistic(r) for r in (1, 2, 3)),
        *(traps.logistic_unregularised(n) for n in (4, 5)),
        *(traps.family_b(3).without(k) for k in range(9)),
        *(traps.family_d(4).without(k) for k in range(5)),
    ],
    ids=lambda t: t.name,
)
def test_the_float_verdict_is_the_exact_one(trap):
    over_q, result = exact_second_order(trap), second_order(trap.problem(), *trap.factors())
    assert result.verdict == over_q.verdict
    assert result.gauge == over_q.gauge
    assert (result.escape is None) == (over_q.escape is None) == (over_q.verdict != "saddle")
    values = np.linalg.eigvalsh(Hessian(trap.problem(), *([x] for x in trap.factors())).matrix())
    negative, positive = sum(values < -1e-12), sum(values > 1e-12)
    assert (negative, len(values) - negative - positive, positive) == over_q.inertia
    if over_q.verdict == "saddle":
        du, dv = result.escape
        u, v = trap.factors()
        assert trap.problem().objective(u + du, v + dv) < trap.problem().objective(u, v)


def test_large_problems_get_the_same_verdict_without_a_dense_hessian(monkeypatch):
    monkeypatch.setattr(sys.modules["lora_proofs.ntk.second_order"], "_DENSE", 0)
    for trap in (traps.family_b(4), traps.family_c(3), traps.family_d(5, 2), traps.family_b(3).without(8)):
        assert second_order(trap.problem(), *trap.factors()).verdict == exact_second_order(trap).verdict


def test_dense_and_factored_gradients_get_the_same_answer():
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((5, 1, 7, 2)), rng.standard_normal((5, 1, 6, 2))
    labels, (u, v) = rng.choice([-1, 1], 5), random_point([(7, 6)], [2])
    dense = LinearizedProblem(left @ right.swapaxes(2, 3), np.zeros(5), labels, "logistic", 0.1)
    factored = LinearizedProblem(FactoredGradients(left, right), np.zeros(5), labels, "logistic", 0.1)
    a, b = second_order(dense, u, v), second_order(factored, u, v)
    assert a.min_curvature == pytest.approx(b.min_curvature, rel=1e-10)
    assert a.gradient_norm == pytest.approx(b.gradient_norm, rel=1e-12)
    assert a.verdict == b.verdict == "not stationary"


def test_a_padded_optimum_is_no_saddle_and_a_padded_trap_is_one():
    """A rank-deficient second-order point is global; so a trap, which is not, must show an escape once padded."""
    problem = random_problem("squared", 1, [(5, 4)], 0.05)
    [(u, v)] = solve(problem, gap=1e-12).factors
    padded = second_order(problem, *(np.pad(x, ((0, 0), (0, 1))) for x in (u, v)))
    assert padded.verdict != "saddle"
    assert padded.min_curvature >= -1e-9
    for r in (1, 2, 3):
        trap = traps.family_b(r)
        u, v = (np.pad(x, ((0, 0), (0, 1))) for x in trap.factors())
        result = second_order(trap.problem(), u, v)
        assert result.verdict == "saddle"
        assert result.min_curvature * trap.N == pytest.approx(1 - 5 / 4)  # lam - sigma_1
        assert result.gauge == (r + 1) * r // 2  # the zero column turns into the others


def test_at_the_optimum_of_random_problems_no_curvature_is_negative():
    for seed, (loss, K) in enumerate([("squared", 1), ("logistic", 1), ("cross_entropy", 3)]):
        problem = random_problem(loss, K, [(6, 5), (4, 7)], 0.02, seed=seed)
        u, v = (list(x) for x in zip(*solve(problem, gap=1e-12).factors, strict=True))
        result = second_order(problem, u, v)
        assert result.verdict in {"strict minimum", "degenerate"}


def test_the_origin_is_a_strict_minimum_above_lam_max_and_a_saddle_below():
    problem = random_problem("squared", 1, [(5, 4)], 1.0)
    zero = np.zeros((5, 2)), np.zeros((4, 2))
    for factor, verdict in [(1.1, "strict minimum"), (0.9, "saddle")]:
        scaled = random_problem("squared", 1, [(5, 4)], factor * problem.lam_max)
        result = second_order(scaled, *zero)
        assert result.verdict == verdict
        assert result.min_curvature == pytest.approx((factor - 1) * problem.lam_max)


def test_forms_in_and_out():
    trap = traps.family_b(2).without(4)
    u, v = trap.factors()
    (du, _), (du_list, _) = (second_order(trap.problem(), *p).escape for p in [(u, v), ([u], [v])])
    assert isinstance(du, np.ndarray)
    assert isinstance(du_list, list)


def test_a_point_off_a_critical_one_is_not_stationary_until_the_tolerance_says_so():
    trap = traps.family_b(2)
    u, v = trap.factors()
    result = second_order(trap.problem(), u + 1e-3, v)
    assert (result.verdict, result.escape) == ("not stationary", None)
    assert second_order(trap.problem(), u + 1e-5, v, tolerance=1e-4).verdict == "strict minimum"


def test_a_curvature_that_the_gradient_may_explain_is_called_degenerate():
    """At lam = lam_max the objective along u = v = s is s^4/2, up to a constant: flat, whatever is seen at s = 0.01."""
    problem = LinearizedProblem(np.ones((1, 1, 1, 1)), [0.0], [1.0], "squared", 1.0)
    result = second_order(problem, np.array([[1e-2]]), np.array([[1e-2]]), tolerance=1e-4)
    assert result.min_curvature > 1e-4
    assert result.verdict == "degenerate"
    assert second_order(problem, np.zeros((1, 1)), np.zeros((1, 1))).verdict == "degenerate"


@pytest.mark.parametrize(
    ("u", "v", "message"),
    [
        (np.zeros((5, 0)), np.zeros((4, 0)), "no columns"),
        (np.zeros((4, 1)), np.zeros((5, 1)), "shape"),
        (np.zeros((5, 2)), np.zeros((4, 1)), "shape"),
        (np.full((5, 1), np.nan), np.zeros((4, 1)), "NaN"),
        ([np.zeros((5, 1))] * 2, [np.zeros((4, 1))] * 2, "blocks"),
    ],
)
def test_bad_input_is_refused(u, v, message):
    with pytest.raises(ValueError, match=message):
        second_order(random_problem("squared", 1, [(5, 4)], 0.1), u, v)


def test_the_gauge_of_no_columns_in_one_block_is_empty():
    assert Gauge([np.zeros((3, 0))], [np.zeros((2, 0))], 0.0).dimension == 0
