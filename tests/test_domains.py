from fractions import Fraction

import mpmath
import numpy as np
import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st
from strategies import generators, sizes

from lora_proofs import Ball, Box


@given(generators, sizes, st.floats(0, 100))
def test_samples_lie_in_the_domain_and_reach_its_border(rng, d, size):
    lower = rng.normal(size=d)
    for domain in (Box(lower, lower + size), Box(-size, size)):
        x = domain.sample(rng, 200, d)
        low, high = domain.bounds(d)
        assert x.shape == (200, d)
        assert (low <= x).all()
        assert (x <= high).all()
        assert np.isin(x[100:], np.concatenate([low, high])).all()
        assert np.linalg.norm(x, axis=1).max() <= domain.largest_norm(d) * (1 + 1e-15)
    x = Ball(size).sample(rng, 200, d)
    norms = np.linalg.norm(x, axis=1)
    assert norms.max() <= size
    assert norms[100:] == pytest.approx(np.full(100, size))


def test_samples_of_a_ball_are_uniform():
    norms = np.linalg.norm(Ball(1.0).sample(np.random.default_rng(0), 40000, 3)[:20000], axis=1)
    assert np.mean(norms <= 0.5) == pytest.approx(1 / 8, abs=0.01)


def test_samples_are_reproducible():
    first, second = (Box(-1, 1).sample(np.random.default_rng(3), 10, 2) for _ in range(2))
    assert (first == second).all()


def test_largest_norm_is_attained():
    assert Box(np.array([-3.0, 1.0]), np.array([2.0, 4.0])).largest_norm(2) == 5
    assert Box(-1, 2).largest_norm(4) == 4
    assert Ball(Fraction(5, 2)).largest_norm(7) == 2.5
    for scale in (1e-200, 1e200):
        assert Box(3 * scale, 4 * scale).largest_norm(1) == 4 * scale
        assert Box(np.array([3.0, -4.0]) * scale, 0 * scale + np.array([4.0, 3.0]) * scale).largest_norm(2) > 5 * scale


@pytest.mark.parametrize("number", [int, float, Fraction, fmpq, mpmath.mpf])
def test_bounds_keep_their_type(number):
    low, high = Box([number(-1), number(0)], number(2)).bounds(2)
    assert [float(v) for v in (*low, *high)] == [-1, 0, 2, 2]
    assert Ball(number(2)).largest_norm(1) == 2


def test_points_are_boxes_and_balls():
    assert (Box(0, 0).sample(np.random.default_rng(0), 4, 2) == 0).all()
    assert (Ball(0).sample(np.random.default_rng(0), 4, 2) == 0).all()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Box(1, 0), "the Box is empty: lower exceeds upper; pass lower <= upper"),
        (lambda: Box(np.array([0.0, 2]), np.array([1.0, 1])), "the Box is empty"),
        (lambda: Box(Fraction(1, 2), Fraction(1, 3)), "the Box is empty"),
        (lambda: Box(float("nan"), 1), "lower of the domain is or holds nan; pass finite numbers"),
        (lambda: Box(-np.inf, np.inf), "lower of the domain is or holds -inf; pass finite .*bounded"),
        (lambda: Box([0.0, 0.0], [1.0, np.inf]), "upper of the domain is or holds inf"),
        (lambda: Box(None, 1), "lower of the domain is or holds None"),
        (lambda: Box(1j, 1), "lower of the domain is or holds 1j"),
        (lambda: Box("0", "1"), "lower of the domain is or holds '0'"),
        (lambda: Box(np.zeros(2), np.ones(3)), r"shapes \(2,\) and \(3,\); pass numbers or \(d,\) arrays"),
        (lambda: Box(np.zeros((2, 2)), 1), r"shapes \(2, 2\) and \(\); pass numbers or \(d,\) arrays"),
        (lambda: Box(np.zeros(3), np.ones(3)).bounds(2), r"shape \(3,\), but .* vectors of size 2"),
        (lambda: Ball(-1), "the Ball of radius -1 is empty; pass a number >= 0"),
        (lambda: Ball([1, 2]), r"the Ball of radius \[1, 2\] is empty; pass a number >= 0"),
        (lambda: Ball(float("nan")), "radius of the domain is or holds nan; pass finite numbers"),
        (lambda: Ball(mpmath.inf), "radius of the domain is or holds .*inf"),
        (lambda: Ball("1"), "radius of the domain is or holds '1'"),
        (lambda: Ball(None), "radius of the domain is or holds None"),
    ],
)
def test_what_is_no_bounded_set_is_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
