"""The enclosures hold the root that is known, and nothing is certified where there is none."""

import flint
import numpy as np
import pytest

from lora_proofs import exact, instances
from lora_proofs.constructions.kinks.krawczyk import certify_root
from lora_proofs.constructions.kinks.pencils import LowRankSystem, Pencil, _Schur


def square_minus(a):
    def system(x):
        return flint.arb_mat(1, 1, [x[0] ** 2 - a]), flint.arb_mat(1, 1, [2 * x[0]])

    return system


def test_the_root_of_two_is_enclosed():
    (root,) = certify_root(square_minus(2), [1.4])
    with flint.ctx.workprec(160):
        assert root.contains(flint.arb(2).sqrt())
    assert root.rad() < 1e-15


def test_two_equations():
    def system(x):  # x y = 6, x + y = 5
        return flint.arb_mat(2, 1, [x[0] * x[1] - 6, x[0] + x[1] - 5]), flint.arb_mat([[x[1], x[0]], [1, 1]])

    x, y = certify_root(system, [2.1, 2.9])
    assert x.contains(2)
    assert y.contains(3)
    assert not x.contains(3)


@pytest.mark.parametrize(("a", "guess"), [(-1, 0.3), (0, 1e-3), (0, 0.0), (2, 0.0)])
def test_no_root_a_double_root_and_a_singular_start_are_not_certified(a, guess):
    assert certify_root(square_minus(a), [guess]) is None


def test_what_the_system_does_not_settle_is_not_certified():
    """The equation is known up to 1e-20 only, and its slope is 1e-12: its root only up to 1e-8."""

    def system(x):
        wide = flint.arb(0, 1e-20)
        return flint.arb_mat(1, 1, [(x[0] - 1) * flint.arb(1e-12) + wide]), flint.arb_mat([[flint.arb(1e-12)]])

    assert certify_root(system, [1.0]) is None


def test_every_unknown_must_be_enclosed():
    def system(x):  # x = 1; y = 1 up to 1e-3
        value = flint.arb_mat(2, 1, [x[0] - 1, x[1] - 1 + flint.arb(0, 1e-3)])
        return value, flint.arb_mat([[1, 0], [0, 1]])

    assert certify_root(system, [1.0, 1.0]) is None
    assert certify_root(lambda x: tuple(m * flint.arb(1) for m in system(x)), [1.0, 1.0]) is None


def test_the_slope_is_that_of_the_whole_box():
    """x^2 = 2e-40 has two roots within 3e-20: no box of half-width 5e-20 isolates one, though slopes at points do."""
    assert certify_root(square_minus(flint.arb(2e-40)), [1.4e-20]) is None
    assert certify_root(square_minus(flint.arb(2e-20)), [1.4e-10]) is not None


def test_the_enclosure_is_sharp_and_holds_the_root_of_a_steep_system():
    def system(x):  # 1e6 (x^3 - 5) = 0
        return flint.arb_mat(1, 1, [1000000 * (x[0] ** 3 - 5)]), flint.arb_mat([[3000000 * x[0] ** 2]])

    (root,) = certify_root(system, [1.7])
    with flint.ctx.workprec(200):
        assert root.contains(flint.arb(5).root(3))
    assert 0 < root.rad() < 1e-30


def test_a_jacobian_that_is_not_finite_is_not_certified():
    def system(x):
        return flint.arb_mat(1, 1, [x[0]]), flint.arb_mat([[flint.arb("nan")]])

    assert certify_root(system, [1.0]) is None


def test_a_system_that_meets_a_singular_matrix_is_not_certified():
    def system(x):
        raise ZeroDivisionError("singular matrix in solve()")

    assert certify_root(system, [1.0]) is None


def planted(rng, D, k):
    """Return the pencil diag(t) W - Pi and scales at which it has corank k, all dyadic."""
    scales = exact.array(rng.integers(4, 12, D)) / 8
    Pi = instances.nonsingular(rng, D)
    goal = exact.array(Pi + instances.rational_planted_rank(rng, D, D, D - k))
    return Pencil(exact.array(-Pi), exact.array(np.eye(D)), goal / scales[:, None], np.arange(D), D - k), scales


@pytest.mark.parametrize(("D", "k"), [(3, 1), (6, 2), (10, 3)])
def test_planted_scales_are_enclosed(D, k):
    pencil, scales = planted(np.random.default_rng(D), D, k)
    system = LowRankSystem([pencil], np.ones(D, dtype=bool))
    assert system.equations == k * k
    balls = system.certify(scales.astype(float))
    assert all(ball.contains(flint.arb(v)) for ball, v in zip(balls, scales.tolist(), strict=True))
    assert sum(not ball.is_exact() for ball in balls) == k * k


def test_the_enclosure_and_the_rank_agree_with_an_independent_solver():
    rng = np.random.default_rng(1)
    pencil, scales = planted(rng, 8, 2)
    system = LowRankSystem([pencil], np.ones(8, dtype=bool))
    root = system.solve(scales.astype(float) * np.exp(0.01 * rng.standard_normal(8)))
    s = np.linalg.svd(pencil.rounded().at(root), compute_uv=False)
    assert s[6] < 1e-13 * s[0] < s[5]
    balls = system.certify(root)
    assert max(abs(float(ball) - v) for ball, v in zip(balls, root, strict=True)) < 1e-9


def test_the_derivative_is_that_of_the_schur_complement():
    # A wrong Jacobian would make Krawczyk's test unsound, not just weak.
    pencil, scales = planted(np.random.default_rng(7), 6, 2)
    schur = _Schur.of(pencil, scales.astype(float))
    t, free, h = [flint.arb(v) for v in scales.tolist()], np.array([4, 0, 3]), flint.arb(2) ** -60
    with flint.ctx.workprec(400):
        value, rows = schur.evaluate(t, free)
        for place, j in enumerate(free):
            moved = [v + h if i == j else v for i, v in enumerate(t)]
            quotients = [(b - a) / h for a, b in zip(value, schur.evaluate(moved, free)[0], strict=True)]
            for row, quotient in zip(rows, quotients, strict=True):
                assert abs(row[place] - quotient) < 1e-12 * (1 + abs(quotient))
    assert np.allclose(schur.jacobian(scales.astype(float))[:, free], np.array(rows, dtype=float), rtol=1e-10)


def test_a_point_that_is_no_root_is_not_certified():
    pencil, scales = planted(np.random.default_rng(2), 6, 2)
    assert LowRankSystem([pencil], np.ones(6, dtype=bool)).certify(10 * scales.astype(float) ** 3) is None


def test_a_negative_root_is_refused_where_a_positive_one_is_asked_for():
    pencil, scales = planted(np.random.default_rng(3), 5, 2)
    negative = Pencil(pencil.constant, -pencil.left, pencil.right, pencil.unknowns, pencil.rank)
    root = -scales.astype(float)
    assert LowRankSystem([negative], np.ones(5, dtype=bool)).certify(root) is None
    assert LowRankSystem([negative], np.zeros(5, dtype=bool)).certify(root) is not None


def test_unknowns_of_any_sign_are_found():
    """The negative scales of a planted pencil, asked for without a sign, from a start nearby."""
    rng = np.random.default_rng(6)
    pencil, scales = planted(rng, 6, 2)
    negative = Pencil(pencil.constant, -pencil.left, pencil.right, pencil.unknowns, pencil.rank)
    system = LowRankSystem([negative], np.zeros(6, dtype=bool))
    root = system.solve(-scales.astype(float) * np.exp(0.01 * rng.standard_normal(6)))
    assert np.linalg.svd(negative.rounded().at(root), compute_uv=False)[4] < 1e-11
    assert np.all(root < 0)


def test_a_system_without_a_positive_root_is_given_up():
    """1 + t = 0 for t > 0."""
    one = exact.array([[1]])
    system = LowRankSystem([Pencil(one, one, one, np.array([0]), 0)], np.ones(1, dtype=bool))
    assert system.solve(np.ones(1)) is None


@pytest.mark.parametrize("k", [1, 3])
def test_unknowns_that_a_pencil_does_not_hold_have_derivative_zero(k):
    """Two planted pencils with unknowns of their own, certified together."""
    rng = np.random.default_rng(8)
    (one, first), (other, second) = (planted(rng, D, k) for D in (k * k + 1, k * k + 2))
    moved = Pencil(other.constant, other.left, other.right, other.unknowns + len(first), other.rank)
    scales = np.concatenate([first, second])
    balls = LowRankSystem([one, moved], np.ones(len(scales), dtype=bool)).certify(scales.astype(float))
    assert all(ball.contains(flint.arb(v)) for ball, v in zip(balls, scales.tolist(), strict=True))
    schur = _Schur.of(one, scales.astype(float))
    t = [flint.arb(v) for v in scales.tolist()]
    value, rows = schur.evaluate(t, np.arange(len(scales)))
    assert (len(value), len(rows), len(rows[0])) == (k * k, k * k, len(scales))
    assert all(row[j] == 0 for row in rows for j in range(len(first), len(scales)))


def test_more_equations_than_unknowns_are_not_certified():
    pencil, scales = planted(np.random.default_rng(4), 3, 2)
    assert LowRankSystem([pencil], np.ones(3, dtype=bool)).certify(scales.astype(float)) is None


def test_a_system_without_equations_needs_no_steps():
    pencil, scales = planted(np.random.default_rng(5), 3, 1)
    easy = Pencil(pencil.constant, pencil.left, pencil.right, pencil.unknowns, 3)
    system = LowRankSystem([easy], np.ones(3, dtype=bool))
    start = scales.astype(float)
    assert np.array_equal(system.solve(start), start)
    assert len(system.certify(start)) == 3
