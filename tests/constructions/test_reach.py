"""Values at rational points bound what networks reach from below, affine bounds from above; neither is ever wrong."""

from fractions import Fraction
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
from flint import fmpq
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import LIBRARIES, generators

from lora_proofs import Ball, Box, ReluNetwork, exact
from lora_proofs.constructions import difference_at
from lora_proofs.constructions.relu.reach import (
    Survey,
    ceilings,
    outputs,
    promising_points,
    rational_points,
)
from lora_proofs.domains import check_domain

DOMAINS = [Box(Fraction(1, 10), Fraction(1, 3)), Box(-4, 4), Ball(Fraction(1, 3)), Ball(0), Box(2, 2), Ball(1e-200)]


def random_network(rng, widths):
    weights = [rng.integers(-3, 4, (n, m)).astype(float) / 2 for m, n in pairwise(widths)]
    return ReluNetwork(weights, [rng.integers(-3, 4, n).astype(float) / 2 for n in widths[1:]])


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
@pytest.mark.parametrize("d", [1, 2, 5])
def test_points_lie_in_the_domain_exactly_and_reach_its_border(domain, d):
    points = exact.array(rational_points(domain, d))
    assert points.shape == (32, d)
    if isinstance(domain, Box):
        lower, upper = (exact.array(bound) for bound in domain.bounds(d))
        assert np.all(lower <= points)
        assert np.all(points <= upper)
        assert any(np.all(x == lower) for x in points)
        assert any(np.all(x == upper) for x in points)
        assert any(np.all(x == (lower + upper) / 2) for x in points)
        assert sum(np.all((x == lower) | (x == upper)) for x in points) >= 15
    else:
        squares, rho = [sum(v * v for v in x) for x in points], exact.number(domain.radius)
        assert max(squares) <= rho**2
        assert sum(s >= rho**2 * (1 - fmpq(1, 10**20)) for s in squares) >= 15
        assert np.all(points[0] == 0)
        if d == 5 and rho:
            inner = [float(s / rho**2) for s in squares[1::2]]
            assert min(inner) < 0.8
            assert np.median(inner) > 0.6, "where most of the volume is"
    if domain.largest_norm(d) > 0 and domain is not DOMAINS[4]:
        assert len({tuple(x) for x in points.tolist()}) > (2 if d == 1 else 16)


def test_outputs_are_the_networks_own_and_round_nothing():
    network = random_network(np.random.default_rng(0), (2, 4, 3))
    x = np.array([[1.0, 2.0], [-0.5, 3.0], [4.0, -1.0]])
    assert np.array_equal(exact.array(outputs(network, x)).astype(float), network(x))
    wide = ReluNetwork([np.hstack([network.weights[0], np.ones((4, 2))]), network.weights[1]], network.biases)
    assert outputs(wide, x) == outputs(network, x), "missing inputs are zeros"
    huge = ReluNetwork([np.full((1, 1), 1e300)] * 3, [np.zeros(1)] * 3)
    assert outputs(huge, np.array([[1e300]]))[0, 0] == exact.number(1e300) ** 4


def test_the_difference_is_the_largest_over_outputs_and_points():
    one = ReluNetwork([np.eye(3)], [np.zeros(3)])
    other = ReluNetwork([np.eye(2)], [np.array([0.25, -0.5])])
    assert difference_at(one, other, np.array([[1.0, 1.0], [2.0, 0.0]])) == Fraction(1, 2)
    assert difference_at(one, other, np.array([[1.0, 0.0]])) == Fraction(1, 4)
    assert difference_at(one, other, np.array([[-1.0, 0.125]])) == Fraction(1, 8)
    assert difference_at(one, one, np.array([[1.0, 1.0, 1.0]])) == 0


@given(generators, st.sampled_from([(1, 1), (2, 3, 2), (3, 3, 3, 2), (2, 2, 2, 2, 1)]), st.sampled_from([0, 1, 5, 40]))
def test_ceilings_are_never_exceeded(rng, widths, cuts):
    network = random_network(rng, widths)
    for domain in (Box(-1, 2), Ball(1), Box(Fraction(1, 3), Fraction(1, 2))):
        tops = ceilings(network, domain, widths[0], cuts)
        values = exact.array(outputs(network, rational_points(domain, widths[0])))
        assert all(np.all(column <= max(top, 0)) for column, top in zip(values.T, tops, strict=True))


def test_ceilings_of_one_layer_and_of_active_layers_are_attained():
    W, b = np.array([[1.0, -2.0], [3.0, 0.5]]), np.array([0.5, -20.0])
    assert ceilings(ReluNetwork([W], [b]), Box(-1, 2), 2) == [fmpq(9, 2), -13]
    active = ReluNetwork([np.eye(2), W], [np.full(2, 5.0), b])
    assert ceilings(active, Box(-1, 2), 2) == [fmpq(9, 2) - 5, fmpq(9, 2)]
    padded = ReluNetwork([np.array([[1.0, 7.0]])], [np.zeros(1)])
    assert ceilings(padded, Box(-1, 2), 1) == [2]


def test_one_kink_is_relaxed_as_stated_and_cuts_remove_it():
    """On [-2, 2], z = x + 1 is in [-1, 3]: slope 3/4, so that -ReLU(z) - 1/4 is bounded by 3/4 - 1/4, at z = -1."""
    network = ReluNetwork([np.eye(1), np.array([[-1.0]])], [np.array([1.0]), np.array([-0.25])])
    assert ceilings(network, Box(-2, 2), 1) == [fmpq(1, 2)]
    assert ceilings(network, Box(-2, 2), 1, 1) == [fmpq(1, 4)], "z in [-1, 1]: slope 1/2"
    assert ceilings(network, Box(-2, 2), 1, 2) == [fmpq(-1, 4)]
    assert ceilings(network, Box(-2, 2), 1, 50) == [fmpq(-1, 4)]
    uneven = ReluNetwork([np.eye(1), np.array([[1.0]])], [np.array([1.0]), np.zeros(1)])
    assert ceilings(uneven, Box(-2, -0.875), 1) == [fmpq(1, 8)], "slope 7/64, the nearest to 1/9"


def test_a_ball_is_less_than_the_box_around_it():
    W, b = np.array([[3.0, 4.0]]), np.array([-6.0])
    network = ReluNetwork([W], [b])
    assert ceilings(network, Ball(1), 2) == [-1], "the norm of the row is 5"
    assert ceilings(network, Box(-1, 1), 2) == [1]
    assert ceilings(ReluNetwork([-W], [-b]), Ball(1), 2) == [11]
    shifted = ReluNetwork([np.eye(2), np.array([[1.0, 1.0]])], [np.zeros(2), np.array([-1.5])])
    assert float(ceilings(shifted, Ball(1), 2)[0]) == pytest.approx(0.5 * 2**0.5 - 0.5), "slopes of 1/2"
    assert -0.09 < float(ceilings(shifted, Ball(1), 2, 60)[0]) < 0, "they sum to at most the root of 2"
    assert ceilings(ReluNetwork([np.eye(2)], [np.zeros(2)]), Ball(0), 2, 5) == [0, 0]


def test_the_longest_edge_is_cut():
    network = ReluNetwork([np.eye(2), np.array([[0.0, -1.0]])], [np.array([9.0, 1.0]), np.zeros(1)])
    domain = Box([-1, -2], [1, 2])
    assert ceilings(network, domain, 2) == [fmpq(3, 4)]
    assert ceilings(network, domain, 2, 1) == [fmpq(1, 2)]


@settings(max_examples=20)
@given(generators)
def test_a_survey_brackets_both_functions(rng):
    network, target = random_network(rng, (3, 4, 3)), random_network(rng, (2, 3, 2))
    survey = Survey(network, target, Box(-1, 1))
    x = exact.array(rng.integers(-8, 9, (40, 2))) / 8
    goal = exact.array(outputs(target, x))
    assert survey.size <= survey.ceiling
    assert survey.seen <= survey.most
    assert goal.max() <= exact.number(survey.ceiling)
    assert difference_at(network, target, x) <= survey.most
    assert survey.size == exact.array(outputs(target, survey.points)).astype(float).max()
    assert survey.seen == difference_at(network, target, survey.points)


def test_promising_points_beyond_one_face_are_dropped():
    """The floats next to 1/3 and 1/10 lie beyond these ends of the box, exactly; the best points lie there."""
    box = Box([Fraction(1, 3), 0], [Fraction(2, 3), Fraction(1, 10)])
    down = ReluNetwork([np.array([[-1.0, 0.0]])], [np.ones(1)])
    up = ReluNetwork([np.array([[0.0, 1.0]])], [np.ones(1)])
    assert promising_points(down, box).nrows() == promising_points(up, box).nrows() == 0
    inner = ReluNetwork([np.array([[1.0, 0.0]])], [np.ones(1)])
    assert promising_points(inner, Box([0, 0], [Fraction(2, 3), 1])).nrows() == 8


@pytest.mark.parametrize(("norm", "kept"), [(0.4, 8), (0.5, 8), (0.6, 0)])
def test_promising_points_outside_the_ball_are_dropped(norm, kept):
    class Wild(Ball):
        def sample(self, rng, n, d):
            return np.full((n, d), norm / d**0.5)

    network = ReluNetwork([np.eye(4)], [np.zeros(4)])
    assert promising_points(network, Wild(0.5)).nrows() == kept


@pytest.mark.parametrize("library", LIBRARIES)
def test_networks_of_other_libraries(library):
    xp = import_module(library)
    network = ReluNetwork([xp.asarray(np.eye(2))], [xp.asarray(np.full(2, -5.0))])
    assert Survey(network, network, Box(0, 1)).size == 0
    assert ceilings(network, Box(0, 1), 2) == [-4, -4]


def test_cuts_are_spent_where_a_bound_is_positive():
    """The left half is dead at once; in the right one lies the kink. One output is dead, the other is not yet."""
    W, b = np.array([[-1.0], [0.0]]), np.array([-0.25, -1.0])
    network = ReluNetwork([-np.eye(1), W], [np.array([1.0]), b])
    assert ceilings(network, Box(-2, 2), 1) == [fmpq(1, 2), -1]
    assert ceilings(network, Box(-2, 2), 1, 2) == [fmpq(-1, 4), -1]


def test_points_of_another_dimension_are_refused():
    network = ReluNetwork([np.eye(2)], [np.zeros(2)])
    for points in (np.zeros((0, 2)), np.zeros((3, 1)), np.zeros((3, 3))):
        with pytest.raises(ValueError, match=r"points has shape .*; pass rows of 2 numbers"):
            difference_at(network, network, points)


def test_small_parts():
    assert Box(-1, 2).bounds(1)[1][0] == 2
    assert Ball(3).bounds(2)[0].tolist() == [-3, -3]
    assert exact.absolute(exact.matrix([[-1, 2], [0, -3]])) == exact.matrix([[1, 2], [0, 3]])
    assert exact.vector([1, 2.5]) == exact.matrix([[1], [fmpq(5, 2)]])
    for use in (check_domain, lambda domain: rational_points(domain, 1)):
        with pytest.raises(ValueError, match="the domain is 4; pass a Box or a Ball"):
            use(4)


@pytest.mark.parametrize("domain", [Box(0, 1), Ball(1), Box(Fraction(1, 10), Fraction(9, 10))], ids=str)
def test_a_target_that_lives_in_a_corner_of_its_domain_is_found(domain):
    """ReLU(1 / 16 - |x - 7 / 16|_1) on R^3: no point of the grid lies in that octahedron, some of the others do."""
    eye = np.eye(3)
    bump = ReluNetwork(
        [np.vstack([eye, -eye]), np.full((1, 6), -1.0)],
        [np.r_[np.full(3, -7 / 16), np.full(3, 7 / 16)], np.array([1 / 8])],
    )
    assert not any(outputs(bump, rational_points(domain, 3)).entries())
    found = exact.array(promising_points(bump, domain))
    assert found.shape == (8, 3)
    if isinstance(domain, Box):
        assert found.min() >= exact.number(domain.lower)
        assert found.max() <= exact.number(domain.upper)
    else:
        assert max(sum(v * v for v in x) for x in found) <= 1
    assert 0 < Survey(bump, bump, domain).size <= Fraction(1, 8)


def test_promising_points_outside_the_domain_are_dropped_and_overflow_is_harmless():
    network = ReluNetwork([np.eye(2)], [np.full(2, -5.0)])
    third = Box(Fraction(1, 3) - Fraction(1, 10**20), Fraction(1, 3) + Fraction(1, 10**20))
    assert promising_points(network, third).nrows() == 0, "no float is that near to 1/3"
    assert Survey(network, network, third).size == 0
    huge = ReluNetwork([exact.array([[fmpq(10) ** 400]])], [exact.array([-(fmpq(10) ** 401)])])
    assert promising_points(huge, Box(0, 1)).nrows() == 8
    assert Survey(huge, huge, Box(0, 1)).size == 0
