"""Certificates: never above or below the truth, small at optima, and not to be fooled."""

from fractions import Fraction

import numpy as np
import pytest

from lora_proofs.enclosure import Enclosure
from lora_proofs.ntk import FactoredGradients, LinearizedProblem, certify, solve, stationarity_bound
from lora_proofs.ntk.canonical import canonical_problem
from lora_proofs.ntk.certificate import relative_gap
from lora_proofs.ntk.points import evaluate, gradient, hessian
from lora_proofs.ntk.spectrum import leading, operator_norm_bound

LOSSES = ("squared", "logistic", "cross_entropy")


def random_problem(loss, seed=0, n=9, N=6, share=0.1, blocks=1):
    rng = np.random.default_rng(seed)
    K = 1 if loss == "logistic" else 2
    gradients = [rng.normal(size=(N, K, n + t, n)) for t in range(blocks)]
    labels = {"squared": rng.normal(size=(N, K)), "logistic": rng.choice([-1, 1], N)}.get(loss, rng.integers(0, K, N))
    offsets = rng.normal(size=(N, K))
    top = LinearizedProblem(gradients, offsets, labels, loss, 0.0).lam_max
    return LinearizedProblem(gradients, offsets, labels, loss, share * top)


def factors(solution):
    return [u for u, _ in solution.factors], [v for _, v in solution.factors]


@pytest.fixture(params=LOSSES)
def loss(request):
    return request.param


@pytest.mark.parametrize("rigorous", [False, True])
def test_bracket_contains_the_optimum_from_any_point(loss, rigorous):
    problem = random_problem(loss, blocks=2)
    optimum = solve(problem, gap=1e-11)
    u, v = factors(optimum)
    rng = np.random.default_rng(1)
    for noise in (1e-6, 1e-3, 0.1, 3.0):
        for _ in range(5):
            shaken = [[x + noise * rng.normal(size=x.shape) for x in side] for side in (u, v)]
            found = certify(problem, *shaken, rigorous=rigorous)
            assert found.lower <= optimum.upper
            assert found.upper >= optimum.lower
            assert found.gap >= 0


def test_rigorous_gap_is_small_at_an_optimum(loss):
    problem = random_problem(loss, n=16, N=12)
    u, v = factors(solve(problem, gap=1e-13))
    proved, measured = certify(problem, u, v, rigorous=True), certify(problem, u, v)
    assert proved.rigorous
    assert proved.gap <= 1e-11
    # The floats are widened by their rounding, of which the balls have next to none.
    assert measured.lower <= proved.lower <= proved.upper <= measured.upper
    assert proved.lower == pytest.approx(measured.lower, rel=1e-11)
    assert measured.operator_norm_ratio == pytest.approx(1, abs=1e-10)
    assert measured.complementary_slackness <= 1e-10


def test_rigorous_takes_factored_gradients_and_refuses_operators():
    rng = np.random.default_rng(2)
    L, R = rng.normal(size=(4, 2, 7, 2)), rng.normal(size=(4, 1, 6, 2))
    labels = np.array([0, 1, 1, 0])
    factored = LinearizedProblem(FactoredGradients(L, R), np.zeros((4, 2)), labels, "cross_entropy", 0.05)
    dense = LinearizedProblem(L @ R.swapaxes(2, 3), np.zeros((4, 2)), labels, "cross_entropy", 0.05)
    u, v = factors(solve(dense, gap=1e-12))
    assert certify(factored, u, v, rigorous=True).lower == pytest.approx(
        certify(dense, u, v, rigorous=True).lower, rel=1e-11
    )

    class Operator:
        shape = (4, 2, 7, 6)

        def apply(self, delta):
            return np.zeros((4, 2))

        def adjoint(self, c):
            return np.zeros((7, 6))

    hidden = LinearizedProblem(Operator(), np.zeros((4, 2)), labels, "cross_entropy", 0.05)
    with pytest.raises(ValueError, match="gradients themselves"):
        certify(hidden, u, v, rigorous=True)
    free = LinearizedProblem(Operator(), np.zeros((4, 2)), labels, "cross_entropy", 0.0)
    with pytest.raises(ValueError, match="gradients themselves"):
        certify(free, u, v, rigorous=True)


def test_enclosures_are_proofs_and_tuples_are_not(loss):
    problem = random_problem(loss)
    solution = solve(problem)
    proved, measured = solution.certify(), solution.certify(rigorous=False)
    assert isinstance(proved.enclosure, Enclosure)
    assert (proved.enclosure.lower, proved.enclosure.upper) == (proved.lower, proved.upper)
    assert measured.enclosure == (measured.lower, measured.upper)
    own = proved.excess()
    assert own.lower == 0 < own.upper <= 1e-8 * proved.upper
    assert measured.excess()[0] == 0
    u, v = factors(solution)
    worse = [1.1 * x for x in u], v
    true = problem.objective(*worse) - solution.upper
    for certificate in (proved, measured):
        found = certificate.excess(*worse)
        low, high = (found.lower, found.upper) if certificate is proved else found
        assert low == pytest.approx(true, rel=1e-5)
        assert high == pytest.approx(true, rel=1e-5)
        assert low < high
    # At the certificate's own point nothing is known from below.
    assert proved.excess(u, v).lower == 0


def test_extreme_margins_stay_inside_the_simplex():
    G = np.array([[[[800.0]], [[0.0]]], [[[-800.0]], [[0.0]]]])
    problem = LinearizedProblem(G, np.zeros((2, 2)), [0, 1], "cross_entropy", 1e-3)
    for rigorous in (False, True):
        found = certify(problem, np.ones((1, 1)), np.ones((1, 1)), rigorous=rigorous)
        assert 0 <= found.lower <= found.upper


def test_an_infeasible_dual_point_would_lie_about_the_optimum():
    """Negative control: without the scaling, D at the slopes of a poor point exceeds the optimum."""
    problem = random_problem("squared")
    core, optimum = canonical_problem(problem), solve(problem)
    zero = evaluate(core, [np.zeros((9, 1))], [np.zeros((9, 1))])
    assert core.dual(core.loss.derivative(zero.w)) > 2 * optimum.upper
    assert certify(problem, zero.u, zero.v).lower <= optimum.upper


def test_a_mutated_gradient_is_caught():
    """Negative control: the optimum of one problem is not certified for a problem with one other gradient."""
    problem = random_problem("cross_entropy")
    u, v = factors(solve(problem))
    G = problem.blocks[0].array.copy()
    G[0, 0] *= 1.01
    other = LinearizedProblem(G, problem.offsets, problem.canonical_loss.labels, problem.loss, problem.lam)
    assert certify(problem, u, v).gap <= 1e-8
    assert certify(other, u, v).gap > 1e-5


def test_operator_norm_bound_is_above_and_tight():
    rng = np.random.default_rng(3)
    for m, n in ((1, 1), (1, 7), (7, 1), (30, 20), (20, 30), (200, 190)):
        for scale in (1e-200, 1e-8, 1.0, 1e200):
            S = scale * rng.normal(size=(m, n))
            truth = np.linalg.norm(S / scale, 2)
            assert truth <= operator_norm_bound(S) / scale <= truth * (1 + 1e-9)
    Q = np.linalg.qr(rng.normal(size=(50, 50)))[0]
    assert 1 - 1e-13 <= operator_norm_bound(Q) <= 1 + 1e-11
    assert operator_norm_bound(np.zeros((4, 3))) == 0
    assert operator_norm_bound(np.full((2, 2), np.nan)) == np.inf


def test_leading_triplets_of_a_large_matrix_improve_with_a_guess():
    rng = np.random.default_rng(4)
    S = rng.normal(size=(180, 220))
    _, s, Vt = np.linalg.svd(S)
    U, found, V = leading(S, 3, Vt[:6].T)
    assert found == pytest.approx(s[:3], rel=1e-12)
    np.testing.assert_allclose(S @ V, U * found, atol=1e-10)
    assert (leading(S, 3)[1] <= s[:3] * (1 + 1e-12)).all()


def test_gradient_and_hessian_are_derivatives(loss):
    problem = random_problem(loss, n=4, N=3, blocks=2)
    core, rng, e = canonical_problem(problem), np.random.default_rng(5), 1e-5
    u, v = ([rng.normal(size=(shape[i], 2)) for shape in problem.shapes] for i in (0, 1))

    flat = [x for uv in zip(u, v, strict=True) for x in uv]

    def at(step):
        parts = np.split(step, np.cumsum([x.size for x in flat])[:-1])
        moved = [x + p.reshape(x.shape) for x, p in zip(flat, parts, strict=True)]
        return evaluate(core, moved[0::2], moved[1::2])

    size = sum(x.size for x in (*u, *v))
    step = rng.normal(size=size)
    g = gradient(core, at(np.zeros(size)))
    assert (at(e * step).value - at(-e * step).value) / (2 * e) == pytest.approx(g @ step, rel=1e-6)
    second = (gradient(core, at(e * step)) - gradient(core, at(-e * step))) / (2 * e)
    assert hessian(core, at(np.zeros(size))) @ step == pytest.approx(second, rel=1e-6, abs=1e-6)


def test_stationarity_bound_is_above_the_excess(loss):
    problem = random_problem(loss, n=6, N=4, blocks=2)
    optimum = solve(problem, gap=1e-11)
    u, v = factors(optimum)
    rng = np.random.default_rng(6)
    for noise in (0.0, 1e-6, 1e-3, 0.1, 1.0):
        # A zero column makes the point rank-deficient: at the optimum itself the bound is then 0 but for rounding.
        padded = [[np.pad(x, ((0, 0), (0, 1))) for x in side] for side in (u, v)]
        shaken = [[x + noise * rng.normal(size=x.shape) for x in side] for side in padded]
        bound = stationarity_bound(problem, *shaken)
        assert bound >= problem.objective(*shaken) - optimum.upper
        if not noise:
            assert bound <= 1e-6 * optimum.upper


def test_stationarity_bound_says_what_it_needs():
    with pytest.raises(ValueError, match="lam > 0"):
        stationarity_bound(random_problem("squared", share=0.0), np.ones((9, 1)), np.ones((9, 1)))
    with pytest.raises(ValueError, match="zero column"):
        stationarity_bound(random_problem("squared"), np.ones((9, 0)), np.ones((9, 0)))


def test_certificate_at_lam_zero():
    rng = np.random.default_rng(7)
    G = rng.normal(size=(12, 1, 2, 2))
    problem = LinearizedProblem(G, np.zeros((12, 1)), rng.normal(size=(12, 1)), "squared", 0.0)
    A = G.reshape(12, 4)
    best, *_ = np.linalg.lstsq(A, problem.canonical_loss.labels.ravel(), rcond=None)
    truth = problem.risk(problem.w0 + A @ best)
    U, s, Vt = np.linalg.svd(best.reshape(2, 2))
    found = certify(problem, U * s, Vt.T)
    assert found.lower == pytest.approx(truth, rel=1e-12)
    assert found.gap <= 1e-12
    assert certify(problem, np.zeros((2, 1)), np.zeros((2, 1))).lower <= truth * (1 + 1e-12)


def test_a_risk_of_zero_is_certified():
    problem = LinearizedProblem(np.ones((1, 1, 2, 2)), np.zeros((1, 1)), np.zeros((1, 1)), "squared", 0.1)
    found = certify(problem, np.zeros((2, 1)), np.zeros((2, 1)))
    assert (found.lower, found.gap, found.complementary_slackness) == (0, 0, 0)
    assert found.upper <= 1e-300


def test_gaps_are_relative_to_the_objective_and_never_of_an_inverted_bracket():
    problem, free = random_problem("squared"), random_problem("squared", share=0.0)
    assert relative_gap(problem, 2.0, 2.0) == 0
    assert relative_gap(problem, 2.0, 1.5) == 0.25
    assert relative_gap(free, 2.0, 1.5) == 0.5 / free.risk(free.w0)
    with pytest.raises(ArithmeticError, match="inverted"):
        relative_gap(problem, 1.0, np.nextafter(1.0, 2.0))


def test_brackets_of_subnormal_size_are_rounded_outwards():
    """(d - y)^2 / 2 + lam |d| with lam > y has the optimum y^2 / 2 at 0: here a few units of 5e-324."""
    for y in np.ldexp(np.random.default_rng(8).uniform(1, 2, 30), -534):
        problem = LinearizedProblem(np.ones((1, 1, 1, 1)), np.zeros((1, 1)), np.full((1, 1), y), "squared", 2 * y)
        optimum = Fraction(y) ** 2 / 2
        found = certify(problem, np.zeros((1, 1)), np.zeros((1, 1)))
        assert Fraction(found.lower) <= optimum <= Fraction(found.upper)
        assert found.excess() == (0.0, found.upper - found.lower)
        a = 2.0**-268
        low, high = found.excess(np.full((1, 1), a), np.full((1, 1), a))
        excess = (Fraction(a) ** 2 - Fraction(y)) ** 2 / 2 + 2 * Fraction(y) * Fraction(a) ** 2 - optimum
        assert Fraction(low) <= excess <= Fraction(high)


@pytest.mark.parametrize(("m", "n", "r"), [(1, 1, 1), (1, 1, 2), (2, 2, 3), (1, 1, 3), (2, 1, 3)])
def test_stationarity_bound_is_that_of_its_proof(m, n, r):
    rng = np.random.default_rng(9)
    G, y, lam = rng.normal(size=(m, n)), 1.7, 0.3
    problem = LinearizedProblem(G[None, None], np.zeros((1, 1)), np.full((1, 1), y), "squared", lam)
    u, v = rng.normal(size=(m, r)), rng.normal(size=(n, r))
    rho = np.sum(G * (u @ v.T)) - y
    slope = np.concatenate([rho * G @ v + lam * u, rho * G.T @ u + lam * v])
    Q = np.concatenate([u, v])
    s = np.linalg.svd(Q)[1][-1] if m + n >= r else 0.0
    for curvature in (-0.5, 0.0, 0.5):
        excess = np.sum(G**2) * s**2 + max(0.0, -curvature)
        expected = np.linalg.norm(slope) * np.linalg.norm(Q) / 2 + excess * (y**2 / 2) / lam
        assert stationarity_bound(problem, u, v, curvature) == pytest.approx(expected, rel=1e-12)


def test_the_smallest_curvature_enters_the_stationarity_bound():
    """At 0 the gradient and s vanish: what is left is the negative curvature, |S|_op - lam."""
    problem = LinearizedProblem(np.ones((1, 1, 1, 1)), np.zeros((1, 1)), np.full((1, 1), 2.0), "squared", 0.5)
    assert stationarity_bound(problem, np.zeros((1, 1)), np.zeros((1, 1))) == pytest.approx((2 - 0.5) * 2 / 0.5)
