"""The rigour of the rigorous bracket: wide balls, few bits, cancellation, and optima that are known exactly."""

from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest

from lora_proofs.ntk import FactoredGradients, LinearizedProblem, certify, rigorous, solve
from lora_proofs.ntk.rigorous import _down, _dual, _entropy, _norm_bound, _objective, _outputs, _up, enclose, precision

LOSSES = ("squared", "logistic", "cross_entropy")


def random_problem(loss, seed=0, N=3, K=3, lam=0.1, blocks=2):
    rng = np.random.default_rng(seed)
    K = 1 if loss == "logistic" else K
    gradients = [rng.normal(size=(N, K, 4 + t, 3)) for t in range(blocks)]
    labels = {"squared": rng.normal(size=(N, K)), "logistic": rng.choice([-1, 1], N)}.get(loss, rng.integers(0, K, N))
    return LinearizedProblem(gradients, rng.normal(size=(N, K)), labels, loss, lam)


def point(problem, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(m, 2)) for m, _ in problem.shapes], [rng.normal(size=(n, 2)) for _, n in problem.shapes]


def exactly(x):
    return mpmath.mpf(float(x))


def outputs(problem, u, v):
    """Return f + <G, u v^T> in mpmath, from the definition."""
    return [
        [
            exactly(problem.offsets[i, k])
            + sum(
                exactly(block.array[i, k, a, b]) * sum(exactly(x[a, t]) * exactly(y[b, t]) for t in range(x.shape[1]))
                for block, x, y in zip(problem.blocks, u, v, strict=True)
                for a in range(x.shape[0])
                for b in range(y.shape[0])
            )
            for k in range(problem.K)
        ]
        for i in range(problem.N)
    ]


def value(problem, labels, u, v):
    """Return P(u, v) in mpmath, from the losses as papers print them."""
    z = outputs(problem, u, v)
    if problem.loss == "squared":
        risk = sum((z[i][k] - exactly(labels[i, k])) ** 2 / 2 for i in range(problem.N) for k in range(problem.K))
    elif problem.loss == "logistic":
        risk = sum(mpmath.log(1 + mpmath.exp(-int(labels[i]) * z[i][0])) for i in range(problem.N))
    else:
        risk = sum(mpmath.log(sum(map(mpmath.exp, z[i]))) - z[i][labels[i]] for i in range(problem.N))
    squares = sum(exactly(x) ** 2 for f in (*u, *v) for x in f.ravel())
    return risk / problem.N + exactly(problem.lam) / 2 * squares


@pytest.mark.parametrize("loss", LOSSES)
def test_the_objective_is_that_of_the_definition(loss):
    problem = random_problem(loss)
    u, v = point(problem)
    with mpmath.workdps(80):
        true = value(problem, problem.canonical_loss.labels, u, v)
        found = enclose(problem, u, v)
        with flint.ctx.workprec(300):
            wide = flint.arb(found.objective.mid(), found.objective.rad())
            assert abs(wide - flint.arb(str(true))) < 2e-36 * abs(wide) + 2 * wide.rad()
        assert found.objective.rad() < 1e-33
        upper, lower, _ = found.ends()
        assert lower <= true <= upper <= true * (1 + 1e-15)


@pytest.mark.parametrize("bits", [20, 53, 128])
@pytest.mark.parametrize(("g", "y", "lam"), [(3, 2, 1), (1, 5, 2), (7, 3, 4)])
def test_an_exact_optimum_is_contained_at_any_precision(monkeypatch, bits, g, y, lam):
    """(g d - y)^2 / 2 + lam |d| has the optimum lam y / g - lam^2 / (2 g^2), at d = (g y - lam) / g^2."""
    monkeypatch.setattr(rigorous, "_BITS", bits)
    problem = LinearizedProblem(
        np.full((1, 1, 1, 1), float(g)), np.zeros((1, 1)), np.full((1, 1), float(y)), "squared", lam
    )
    optimum = Fraction(lam * y, g) - Fraction(lam**2, 2 * g**2)
    root = np.array([[np.sqrt((g * y - lam) / g**2)]])
    for u, v in [(root, root), (2 * root, root), (1.001 * root, root), (0 * root, root)]:
        enclosure = enclose(problem, [u], [v]).optimum()
        assert Fraction(enclosure.lower) <= optimum <= Fraction(enclosure.upper)
    gap = Fraction(enclose(problem, [root], [root]).own_excess().upper)
    assert gap < 100 * Fraction(1, 2 ** min(bits, 50)) * g * y * g * y


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bits", [12, 20, 40])
def test_few_bits_widen_the_bracket_and_keep_it_true(monkeypatch, loss, bits):
    for seed in range(5):
        problem = random_problem(loss, seed)
        solution = solve(problem, gap=1e-12)
        u, v = [u for u, _ in solution.factors], [v for _, v in solution.factors]
        sharp = enclose(problem, u, v).optimum()
        monkeypatch.setattr(rigorous, "_BITS", bits)
        wide = enclose(problem, u, v).optimum()
        monkeypatch.undo()
        assert wide.lower <= sharp.lower < sharp.upper <= wide.upper
        assert sharp.upper - sharp.lower < 1e-10


def test_the_norm_of_a_matrix_of_wide_balls():
    """Every matrix in the balls has to be below: the radius counts with the root of the number of entries."""
    for m, n in ((1, 1), (2, 2), (2, 5)):
        ones = [flint.arb(1, 0.5)] * (m * n)
        assert float(_norm_bound(ones, (m, n)).upper()) >= 1.5 * np.sqrt(m * n)
        assert float(_norm_bound(ones, (m, n)).upper()) <= 1.5 * np.sqrt(m * n) * (1 + 1e-8)  # radii have 30 bits
    with precision():
        third = [flint.arb(1) / 3, flint.arb(0), flint.arb(0), flint.arb(-1) / 7]
        bound = _norm_bound(third, (2, 2))
        assert bound > flint.fmpq(1, 3)
        assert bound < flint.fmpq(1, 3) * (1 + flint.fmpq(1, 10**13))


@pytest.mark.parametrize("exponent", [-2000, 0, 2000])
def test_the_norm_of_a_matrix_of_any_size(exponent):
    with precision():
        unit = flint.arb(2) ** exponent
        bound = _norm_bound([3 * unit, 0 * unit, 0 * unit, -5 * unit], (2, 2)) / unit
        assert bound >= 5
        assert bound <= 5 + flint.arb("1e-12")
    assert _norm_bound([flint.arb(0)] * 4, (2, 2)) == 0
    assert not _norm_bound([flint.arb(1), flint.arb("inf")], (1, 2)).is_finite()
    assert not _norm_bound([flint.arb("nan")], (1, 1)).is_finite()


def test_gradients_that_cancel_leave_their_rounding_in_the_norm(monkeypatch):
    """S = 1 + 2^-30 - 1 is 2^-30: with 20 bits it is 0 with a radius, and c = lam / |S| must not be larger than 1."""
    G = np.array([1 + 2.0**-30, -1.0]).reshape(2, 1, 1, 1)
    problem = LinearizedProblem(G, np.zeros((2, 1)), np.ones((2, 1)), "squared", 2.0**-31)
    zero = [np.zeros((1, 1))]
    exact_ratio = 2.0**-30 / 2 / 2.0**-31
    for bits in (20, 128):
        monkeypatch.setattr(rigorous, "_BITS", bits)
        upper, lower, ratio = enclose(problem, zero, zero).ends()
        assert ratio >= exact_ratio
        assert lower <= 0.5 <= upper
    assert ratio <= exact_ratio * (1 + 1e-12)


@pytest.mark.parametrize("x", [Fraction(1, 3), Fraction(2, 3), Fraction(1), Fraction(10**40 + 1, 10**40)])
def test_ends_are_rounded_outwards(x):
    with precision():
        ball = flint.arb(flint.fmpq(x.numerator, x.denominator))
        assert Fraction(_down(ball)) < x < Fraction(_up(ball))
        assert Fraction(_up(ball)) - Fraction(_down(ball)) < Fraction(1, 10**15)
        assert _up(flint.arb(1, 0.25)) > 1.25
        assert _down(flint.arb(1, 0.25)) < 0.75
        assert _down(-ball) == 0
        assert Fraction(_up(-ball)) > -x
    assert _up(flint.arb("nan")) == _up(flint.arb("inf")) == np.inf
    assert _down(flint.arb("nan")) == _down(flint.arb("inf")) == 0


@pytest.mark.parametrize(("mid", "rad"), [(0.3, 0.1), (0.01, 0.01), (0.0, 0.2), (0.05, 0.06), (1.0, 0.0), (0.0, 0.0)])
def test_the_entropy_of_a_ball_holds_that_of_every_number_in_it(mid, rad):
    with precision():
        found = _entropy(flint.arb(mid, rad))
        for p in np.linspace(max(mid - rad, 0.0), mid + rad, 101):
            assert found.contains(flint.arb(p) * flint.arb(p).log() if p else flint.arb(0)) or found.overlaps(
                flint.arb(p) * flint.arb(p).log()
            )
        assert not rad or float(found.rad()) < 0.5


def test_a_dual_point_outside_of_the_domain_proves_nothing():
    problem = random_problem("cross_entropy", N=1, K=3)
    with precision():
        inside = [flint.arb(0.25), flint.arb(0.5)]
        assert _dual(problem, inside) != 0
        just_out = [flint.arb(0.5), flint.arb(0.5) + flint.arb(2) ** -100]
        assert _dual(problem, just_out) == 0
        assert _dual(problem, [flint.arb(-(2.0**-100)), flint.arb(0.5)]) == 0
        logistic = random_problem("logistic", N=1)
        assert _dual(logistic, [flint.arb(1) + flint.arb(2) ** -60]) == 0
        assert _dual(logistic, [flint.arb(1)]) != 0


def test_slopes_that_sum_to_more_than_one_are_shrunk_into_the_simplex():
    """At large margins the slopes of cross-entropy sum to 1 but for rounding: D must not be given up for that."""
    rng = np.random.default_rng(0)
    kept = 0
    for seed in range(20):
        problem = random_problem("cross_entropy", seed, N=4, K=5, lam=10.0)
        far = LinearizedProblem(
            [block.array for block in problem.blocks],
            problem.offsets - 40 * np.eye(5)[problem.canonical_loss.labels] * rng.random((4, 1)),
            problem.canonical_loss.labels,
            "cross_entropy",
            10.0,
        )
        zero = [np.zeros((m, 1)) for m, _ in far.shapes], [np.zeros((n, 1)) for _, n in far.shapes]
        upper, lower, ratio = enclose(far, *zero).ends()
        assert lower <= upper
        kept += ratio <= 1 and lower > 0.999 * upper
    assert kept > 10


@pytest.mark.parametrize("loss", LOSSES)
def test_the_dual_value_is_that_of_the_definition(loss):
    """D(c q) with c = 1 / (|S|_op / lam), for the slopes q at the point, against 50 digits."""
    problem = random_problem(loss, lam=0.01)
    u, v = point(problem)
    found = enclose(problem, u, v)
    labels, N, K = problem.canonical_loss.labels, problem.N, problem.K
    with mpmath.workdps(50):
        z, f = outputs(problem, u, v), [[exactly(x) for x in row] for row in problem.offsets]
        if loss == "squared":
            full = [[z[i][k] - exactly(labels[i, k]) for k in range(K)] for i in range(N)]
        elif loss == "logistic":
            full = [[-int(y) / (1 + mpmath.exp(int(y) * z[i][0]))] for i, y in enumerate(labels)]
        else:
            sums = [sum(map(mpmath.exp, row)) for row in z]
            full = [[mpmath.exp(x) / sums[i] - (k == labels[i]) for k, x in enumerate(row)] for i, row in enumerate(z)]
        S = [
            sum(float(full[i][k]) * block.array[i, k] for i in range(N) for k in range(K)) / N
            for block in problem.blocks
        ]
        ratio = max(np.linalg.norm(block, 2) for block in S) / problem.lam
        assert ratio > 1
        assert found.ends()[2] == pytest.approx(ratio, rel=1e-12)
        c = 1 / mpmath.mpf(ratio)

        def dual(i):
            q = [c * x for x in full[i]]
            if loss == "squared":
                return sum(
                    x * (w - exactly(labels[i, k])) - x**2 / 2 for k, (x, w) in enumerate(zip(q, f[i], strict=True))
                )
            if loss == "logistic":
                p = -int(labels[i]) * q[0]
                return q[0] * f[i][0] - p * mpmath.log(p) - (1 - p) * mpmath.log(1 - p)
            y = labels[i]
            rest = [x for k, x in enumerate(q) if k != y]
            inner = sum(x * (f[i][k] - f[i][y]) for k, x in enumerate(q) if k != y)
            return inner - sum(x * mpmath.log(x) for x in (*rest, 1 - sum(rest)))

        expected = sum(dual(i) for i in range(N)) / N
    # q are floats, and c differs by the rounding of the bound of |S|_op.
    assert float(found.dual) == pytest.approx(float(expected), rel=1e-11)


def test_factored_gradients_give_the_bracket_of_their_products():
    rng = np.random.default_rng(2)
    L, R = rng.integers(-4, 5, (4, 2, 5, 2)).astype(float), rng.integers(-4, 5, (4, 1, 3, 2)).astype(float)
    labels, offsets = np.array([0, 1, 1, 0]), rng.normal(size=(4, 2))
    u, v = [rng.normal(size=(5, 2))], [rng.normal(size=(3, 2))]
    ends = [
        enclose(LinearizedProblem(blocks, offsets, labels, "cross_entropy", 0.5), u, v).ends()
        for blocks in (FactoredGradients(L, R), L @ R.swapaxes(2, 3))
    ]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_excess_of_other_points(loss):
    problem = random_problem(loss)
    solution = solve(problem, gap=1e-12)
    u, v = [u for u, _ in solution.factors], [v for _, v in solution.factors]
    balls = enclose(problem, u, v)
    worse = [1.5 * x for x in u]
    found = balls.excess(worse, v)
    with precision():
        difference = _objective(problem, _outputs(problem, balls.gradients, worse, v), worse, v) - balls.objective
    assert found.lower <= float(difference) <= found.upper
    assert found.upper - found.lower < 1e-9 * float(difference) + 1e-10
    own = balls.own_excess()
    assert own.lower == 0 < own.upper
    upper, lower, _ = balls.ends()
    assert own.upper >= upper - lower - 1e-15
    assert balls.optimum() == type(balls.optimum())(lower, upper)
    better = [0.5 * x for x in worse]
    assert enclose(problem, worse, v).excess(better, v).lower == 0


def test_without_a_norm_only_what_meets_the_constraint_is_feasible():
    """lam = 0: the optimum of an over-determined least-squares problem, over Q."""
    G = np.array([1.0, 2.0]).reshape(2, 1, 1, 1)
    problem = LinearizedProblem(G, np.zeros((2, 1)), np.array([[1.0], [1.0]]), "squared", 0.0)
    optimum = Fraction(1, 2) * Fraction(1, 2) * (Fraction(2, 5) ** 2 + Fraction(1, 5) ** 2)
    root = [np.array([[np.sqrt(0.6)]])]
    found = enclose(problem, root, root)
    enclosure = found.optimum()
    assert Fraction(enclosure.lower) <= optimum <= Fraction(enclosure.upper)
    assert enclosure.upper - enclosure.lower < 1e-15
    assert found.ends()[2] == np.inf
    fitted = LinearizedProblem(G, np.zeros((2, 1)), np.array([[1.0], [2.0]]), "squared", 0.0)
    one = [np.ones((1, 1))]
    assert enclose(fitted, one, one).ends()[2] <= 5e-324
    assert enclose(fitted, one, one).optimum().upper <= 5e-324


def test_the_precision_does_not_outlive_a_bracket():
    before = flint.ctx.prec
    certify(random_problem("squared"), *point(random_problem("squared")), rigorous=True)
    assert flint.ctx.prec == before
    with precision():
        assert flint.ctx.prec == 128
    with pytest.raises(ZeroDivisionError), precision():
        raise ZeroDivisionError
    assert flint.ctx.prec == before
