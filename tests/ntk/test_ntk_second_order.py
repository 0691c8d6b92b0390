"""Hessian, gauge and verdicts, against finite differences, brute force and the exact instances."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.linalg import null_space

from lora_proofs import exact
from lora_proofs.ntk import hessian as hessian_module
from lora_proofs.ntk import traps
from lora_proofs.ntk.gradients import FactoredGradients
from lora_proofs.ntk.hessian import Gauge, Hessian
from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.ntk.second_order import _balancing, _third_derivative, exact_second_order, second_order
from lora_proofs.ntk.solvers.solve import solve

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


def newton(problem, u, v, off=()):
    """Return the stationary point next to (u, v) across gauge and `off`, its gradient and its least curvature."""
    for _ in range(30):
        hessian = Hessian(problem, [u], [v])
        P = hessian.project(np.eye(hessian.size)) - sum(np.outer(z, z) for z in off)
        step = np.linalg.pinv(P @ hessian.matrix() @ P, rcond=1e-10, hermitian=True) @ (P @ hessian.gradient())
        (du,), (dv,) = hessian.unpack(step)
        u, v = u - du, v - dv
        if np.linalg.norm(step) < 1e-14:
            break
    hessian = Hessian(problem, [u], [v])
    return u, v, float(np.linalg.norm(hessian.gradient())), hessian.spectrum()[0][0]


@pytest.mark.parametrize(
    ("trap", "change", "seed"),
    [
        (traps.family_b(1), "raise", 0),
        (traps.family_b(2), "shrink", 0),
        (traps.logistic(1), "shrink", 1),
        (traps.family_d(3), "shrink", 1),
    ],
    ids=["B1", "B2", "L+1", "D3"],
)
def test_past_a_fold_there_is_no_strict_minimum_and_before_it_there_is(trap, change, seed):
    """A minimum that meets a saddle and vanishes leaves points of small gradient and positive curvature behind."""
    base, (u, v) = trap.problem(), trap.factors()
    G = base.blocks[0].array + 0.01 * np.random.default_rng(seed).standard_normal(base.blocks[0].array.shape)

    def problem(s):
        moved = G.copy()
        if change == "raise":
            moved[0, 0, -1, -1] += s  # the better direction
        else:
            moved[1:] *= 1 - s
        return LinearizedProblem(moved, base.offsets, base.canonical_loss.labels, base.loss, base.lam)

    s, step, trail = 0.0, 0.02, []
    while step > 1e-12:
        a, b, gradient, curvature = newton(problem(s + step), u, v)
        if gradient < 1e-11 and curvature > 0 and np.linalg.norm(a - u) < 0.3:
            u, v, s = a, b, s + step
            trail.append((s, a, b))
        else:
            step /= 2
    before = [(t, a, b) for t, a, b in trail if t < s - 1e-6]
    assert before[-1][0] > s - 1e-2
    assert {second_order(problem(t), a, b).verdict for t, a, b in before} == {"strict minimum"}
    for past in (1e-8, 1e-6):
        beyond = problem(s + past)
        hessian = Hessian(beyond, [u], [v])
        valley = hessian.spectrum()[1][:, 0]
        verdicts = set()
        for t in np.linspace(-4, 4, 33) * past**0.5:
            (du,), (dv,) = hessian.unpack(t * valley)
            result = second_order(beyond, *newton(beyond, u + du, v + dv, [valley])[:2])
            assert result.relative_gradient > 1e-12
            verdicts.add(result.verdict)
        assert verdicts <= {"degenerate", "saddle", "not stationary"}
        assert "degenerate" in verdicts


@pytest.mark.parametrize(("loss", "K", "shapes", "ranks", "lam"), CASES)
def test_the_third_derivative_is_bounded_on_the_ball(loss, K, shapes, ranks, lam):
    problem, (u, v) = random_problem(loss, K, shapes, lam), random_point(shapes, ranks)
    hessian, rng = Hessian(problem, u, v), np.random.default_rng(2)
    radius, h = 0.5, 1e-4
    bound = _third_derivative(hessian, radius)
    centre = hessian.pack(u, v)
    for _ in range(20):
        z, out = rng.standard_normal((2, hessian.size))
        z, at = z / np.linalg.norm(z), centre + radius * out / np.linalg.norm(out)
        forms = [z @ Hessian(problem, *hessian.unpack(at + t * z)).matrix() @ z for t in (-h, h)]
        assert abs(forms[1] - forms[0]) / (2 * h) <= bound


@pytest.mark.parametrize(
    ("loss", "rows", "label", "w", "share"),
    [
        ("squared", [1.0], 0.0, 0.0, 1 - 1e-6),
        ("logistic", [1.0], -1, np.log(2 + 3**0.5), 0.99),
        ("cross_entropy", [1.0, -1.0, 0.0], 2, np.log(2 + 3**0.5) / 2, 0.99),
    ],
)
def test_the_bound_on_the_third_derivative_is_attained(loss, rows, label, w, share):
    """Along (1, 1) / sqrt 2 at u = v, where the loss twists most; for K = 3 two classes far above a third."""
    size = 1.0 if loss == "squared" else 60.0
    up = 60.0 if loss == "cross_entropy" else 0.0
    offsets = np.array([[x * (w - size**2) + up * (x != 0) for x in rows]])
    gradients = np.array(rows).reshape(1, -1, 1, 1)
    problem = LinearizedProblem(gradients, offsets, np.array([label]), loss, 0.0)
    u = [np.array([[size]])]
    hessian, z, h = Hessian(problem, u, u), np.full(2, 0.5**0.5), 1e-5
    forms = [z @ Hessian(problem, *hessian.unpack(hessian.pack(u, u) + t * z)).matrix() @ z for t in (-h, h)]
    third = abs(forms[1] - forms[0]) / (2 * h)
    assert share <= third / _third_derivative(hessian, 0.0) <= 1 + 1e-6
    assert _third_derivative(hessian, 1.0) > 1.01 * _third_derivative(hessian, 0.0)


@pytest.mark.parametrize(
    "trap", [traps.family_d(4), traps.family_d(4, 2), traps.family_d(3, 2, 5)], ids=lambda t: t.name
)
def test_unbalanced_factors_are_balanced_before_they_are_judged(trap):
    u, v = trap.factors()
    mixed = np.diag([1e3, 1e-2][: trap.r]) @ np.random.default_rng(0).normal(size=(trap.r, trap.r))
    for R in (1e4 * np.eye(trap.r), 1e-4 * np.eye(trap.r), mixed):
        result = second_order(trap.problem(), u @ R, v @ np.linalg.inv(R).T)
        assert result.verdict == "strict minimum"
        assert result.gauge == trap.r**2
        assert result.min_curvature == pytest.approx(second_order(trap.problem(), u, v).min_curvature, rel=1e-6)


def test_the_escape_fits_the_unbalanced_factors_it_was_asked_for():
    trap = traps.family_d(4, 2).without(1)
    u, v = trap.factors()
    for R in (1e3 * np.eye(2), np.array([[100.0, 3.0], [1.0, 0.1]])):
        a, b = u @ R, v @ np.linalg.inv(R).T
        result = second_order(trap.problem(), a, b)
        du, dv = result.escape
        assert trap.problem().objective(a + du, b + dv) < trap.problem().objective(a, b) * (1 - 1e-3)


def test_balancing_leaves_rank_deficient_factors_where_they_are_but_for_a_scale():
    u, v = np.eye(3, 2), np.zeros((4, 2))
    np.testing.assert_array_equal(_balancing(u, v), np.eye(2))
    v[0, 0] = 4.0
    R = _balancing(u, v)
    np.testing.assert_allclose(R, R[0, 0] * np.eye(2))
    assert np.linalg.norm(u @ R) == pytest.approx(np.linalg.norm(v / R[0, 0]))
    full = np.random.default_rng(0).standard_normal((7, 2))
    R = _balancing(full[:4], full[4:])
    a, b = full[:4] @ R, full[4:] @ np.linalg.inv(R).T
    np.testing.assert_allclose(a.T @ a, b.T @ b, atol=1e-12)
    np.testing.assert_allclose(a @ b.T, full[:4] @ full[4:].T, atol=1e-12)


@pytest.mark.parametrize(
    ("above", "verdict"), [(1e-10, "degenerate"), (-1e-10, "degenerate"), (1e-6, "strict minimum"), (-1e-6, "saddle")]
)
def test_a_curvature_below_a_billionth_of_the_largest_is_not_told_from_0(above, verdict):
    """At the origin of a scalar problem the curvatures are lam - 1 and lam + 1."""
    problem = LinearizedProblem(np.ones((1, 1, 1, 1)), [[0.0]], [[1.0]], "squared", 1 + above)
    result = second_order(problem, np.zeros((1, 1)), np.zeros((1, 1)))
    assert result.min_curvature == pytest.approx(above, rel=1e-5)
    assert result.verdict == verdict


def test_a_gradient_of_the_size_of_rounding_hides_curvatures_of_the_size_of_its_root():
    """A block that the datum does not see has the curvature lam, beside one at its minimum, of gradient about 1e-16."""
    for lam, verdict in ((1e-8, "degenerate"), (1e-5, "strict minimum")):
        G, root = np.ones((1, 1, 1, 1)), np.full((1, 1), (1 - lam) ** 0.5)
        problem, zero = LinearizedProblem([0 * G, G], [[0.0]], [[1.0]], "squared", lam), np.zeros((1, 1))
        assert second_order(problem, [zero, root], [zero, root]).verdict == verdict


@pytest.mark.parametrize(("sizes", "dimension"), [((1, 1e-4, 1e-4), 3), ((1, 1e-9, 1e-9), 2), ((1, 0, 0), 2)])
def test_the_gauge_sees_small_columns_and_not_vanishing_ones(sizes, dimension):
    Q = np.eye(4, len(sizes)) * np.array(sizes) / 2**0.5
    gauge = Gauge([Q], [Q], 0.1)
    assert gauge.dimension == dimension
    moved = [a * a + b * b for k, a in enumerate(sizes) for b in sizes[:k] if a * a + b * b > 1e-16]
    assert gauge.reach == pytest.approx((min(moved) / 2) ** 0.5)
    for X in np.random.default_rng(0).standard_normal((20, len(sizes), len(sizes))):
        W = X - X.T
        W[1:, 1:] *= dimension == 3
        assert 2**0.5 * np.linalg.norm(Q @ W) >= gauge.reach * np.linalg.norm(W) * (1 - 1e-12)


def test_a_single_column_has_no_gauge_for_lam_above_0_and_a_scaling_at_0():
    u, v = np.full((2, 1), 3.0), np.full((8, 1), 2.0)
    assert (Gauge([u], [v], 0.1).dimension, Gauge([u], [v], 0.1).reach) == (0, np.inf)
    assert (Gauge([u], [v], 0.0).dimension, Gauge([u], [v], 0.0).reach) == (1, pytest.approx(25**0.5))


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


MODULE = sys.modules["lora_proofs.ntk.second_order"]


def test_what_the_proof_of_a_minimum_is_given(monkeypatch):
    """The gradient with its rounding, and the curvature less what the eigenvector and rounding leave open."""
    given = []
    monkeypatch.setattr(MODULE, "_minimum_nearby", lambda hessian, gradient, least: given.append((gradient, least)))
    trap = traps.family_b(3)
    dense = Hessian.dense_extremes

    def poor(hessian):
        low, z, high = dense(hessian)
        z = z + 1e-3 * hessian.project(np.ones(hessian.size)) / hessian.size
        return low, z / np.linalg.norm(z), high

    monkeypatch.setattr(Hessian, "dense_extremes", poor)
    result = second_order(trap.problem(), *trap.factors())
    ((gradient, least),) = given
    assert result.residual > 1e-6 * result.max_curvature
    assert least == pytest.approx(result.min_curvature - result.residual - 1e-9 * result.max_curvature, rel=1e-12)
    scale = Hessian(trap.problem(), *([x] for x in trap.factors())).gradient_scale()
    assert gradient == pytest.approx(result.gradient_norm + 1e-15 * scale, rel=1e-9, abs=0)
    assert result.verdict == "degenerate"


@pytest.mark.parametrize(("gradient", "least", "third", "reach", "near"), [
    (1.0, 1.0, 0.0, 2.0, False), (1.0, 1.01, 0.0, 2.0, True), (1.0, 1.0, 0.0, 2.01, True),
    (1.0, 1.0, 0.5, 9.0, False), (1.0, 1.0, 0.49, 9.0, True), (1.0, 2.0, 1.99, 9.0, True), (1.0, 2.0, 2.0, 9.0, False),
])  # fmt: skip
def test_a_minimum_is_near_where_kantorovich_says_so(monkeypatch, gradient, least, third, reach, near):
    radii = []
    monkeypatch.setattr(MODULE, "_third_derivative", lambda hessian, radius: radii.append(radius) or third)
    hessian = SimpleNamespace(gauge=SimpleNamespace(reach=reach))
    assert MODULE._minimum_nearby(hessian, gradient, least) is near
    assert radii == [2 * gradient / least]


def test_a_gradient_of_the_tolerance_itself_passes_for_stationary():
    trap = traps.family_b(3)
    u, v = (x + 1e-7 for x in trap.factors())
    relative = second_order(trap.problem(), u, v).relative_gradient
    assert second_order(trap.problem(), u, v, tolerance=relative).verdict != "not stationary"
    assert second_order(trap.problem(), u, v, tolerance=relative * (1 - 1e-15)).verdict == "not stationary"


@pytest.mark.parametrize("scale", [1e-16, 1e-12, 1.0, 1e12])
def test_verdicts_know_no_units(scale):
    for trap in (traps.family_b(3), traps.family_b(3).without(8), traps.family_c(3)):
        problem, (u, v) = trap.problem(), trap.factors()
        loss = problem.canonical_loss
        other = LinearizedProblem(
            [block.array for block in problem.blocks], scale * problem.offsets, scale * loss.labels, "squared",
            scale * problem.lam,
        )  # fmt: skip
        found = second_order(other, np.sqrt(scale) * u, np.sqrt(scale) * v)
        assert found.verdict == second_order(problem, u, v).verdict


def test_a_direction_is_followed_both_ways_and_as_far_as_it_lowers_the_objective():
    problem, (u, v) = random_problem("squared", 1, [(4, 4)], 0.3), random_point([(4, 4)], [2])
    x, y = Hessian(problem, u, v).unpack(Hessian(problem, u, v).gradient())
    step = MODULE._decrease(problem, u, v, x, y)
    assert np.vdot(step[0][0], x[0]) < 0
    back = MODULE._decrease(problem, u, v, [-x[0]], [-y[0]])
    np.testing.assert_array_equal(back[0][0], step[0][0])
    assert MODULE._decrease(problem, u, v, [0 * x[0]], [0 * y[0]]) is None
    far = [100 * x for x in u], [100 * x for x in v]  # a long way, so that steps begin at 2 |(u, v)|
    step = MODULE._decrease(problem, *far, [-u[0]], [-v[0]])
    assert np.linalg.norm(step[0][0]) > 50 * np.linalg.norm(u[0])


def test_the_orbit_of_a_deficient_point_without_a_norm():
    """GL(r) acts, less what fixes both u and v: the r x r matrices from a complement of one kernel to the other."""
    trap = traps.logistic_unregularised(4)
    padded = replace(trap, u=pad(trap.u), v=pad(trap.v))
    found = exact_second_order(padded)
    r = trap.r + 1
    assert found.gauge == r * r - 1
    assert second_order(padded.problem(), *padded.factors()).gauge == found.gauge


def pad(x):
    return exact.matrix([[*row, 0] for row in x.table()])
