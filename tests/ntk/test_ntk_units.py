"""A change of units changes exponents alone, and what leaves the range of floats is rounded outward or refused."""

import math

import numpy as np
import pytest

from lora_proofs.ntk import LinearizedProblem, certify, solve, units
from lora_proofs.ntk.units import Units, normalised


def problem_at(gradient=0, output=0, loss="squared", lam=0.125, seed=0, n=4):
    """Return a problem whose gradients and outputs are scaled by powers of two, and lam with them."""
    rng = np.random.default_rng(seed)
    K = 1 if loss == "logistic" else 2
    G = [rng.normal(size=(5, K, n, 3)), rng.normal(size=(5, K, 2, 2))]
    offsets = rng.normal(size=(5, K))
    labels = {"squared": rng.normal(size=(5, K)), "logistic": rng.choice([-1, 1], 5)}.get(loss, rng.integers(0, 2, 5))
    if loss == "squared":
        offsets, labels = np.ldexp(offsets, output), np.ldexp(labels, output)
    return LinearizedProblem(
        [np.ldexp(g, gradient) for g in G], offsets, labels, loss, math.ldexp(lam, gradient + output)
    )


SCALES = [(-500, -500), (-498, 40), (500, 2), (40, 400), (2, -2), (400, -400)]


@pytest.mark.parametrize(("gradient", "output"), SCALES)
@pytest.mark.parametrize("loss", ["squared", "logistic", "cross_entropy"])
def test_the_solution_scales_to_the_last_bit(gradient, output, loss):
    output = output if loss == "squared" else 0
    reference = solve(problem_at(loss=loss))
    problem = problem_at(gradient, output, loss)
    solution = solve(problem)
    assert (solution.upper, solution.lower) == tuple(
        math.ldexp(x, 2 * output) for x in (reference.upper, reference.lower)
    )
    assert solution.gap == reference.gap
    for (u, v), (a, b) in zip(solution.factors, reference.factors, strict=True):
        np.testing.assert_array_equal(u, np.ldexp(a, (output - gradient) // 2))
        np.testing.assert_array_equal(v, np.ldexp(b, (output - gradient) // 2))
    u, v = (list(side) for side in zip(*solution.factors, strict=True))
    again = certify(problem, u, v)
    assert (again.upper, again.lower) == (solution.upper, solution.lower)
    proved = certify(problem, u, v, rigorous=True)
    assert solution.lower <= proved.lower <= proved.upper <= solution.upper


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_in_its_own_units_a_problem_is_of_size_1(loss):
    for gradient in (-301, -300, 0, 7, 300):
        own = normalised(problem_at(gradient, 0, loss))
        assert 1 <= max(x.max() for x in own.problem.sizes) < 4
        assert own.units.gradient % 2 == own.units.output % 2 == 0
        if loss == "squared":
            assert 1 <= np.abs(own.problem.w0).max() < 4
        else:
            assert own.units.output == 0
        u = [np.ones((m, 2)) for m, _ in own.problem.shapes]
        v = [np.ones((n, 2)) for _, n in own.problem.shapes]
        for x, y in zip(own.reduce(*own.lift(u, v)), (u, v), strict=True):
            np.testing.assert_array_equal(x[0], y[0])
        # The rows, the sizes and the factors are changed alike.
        problem = problem_at(gradient, 0, loss)
        expected = np.ldexp(problem.rows(*own.lift(u, v)), -own.units.output)
        np.testing.assert_allclose(own.problem.rows(u, v), expected, rtol=1e-13)


def test_large_blocks_are_scaled_without_a_copy():
    rng = np.random.default_rng(0)
    G = rng.normal(size=(4, 1, 260, 260))
    reference = solve(LinearizedProblem(G, np.zeros(4), np.ones(4), "squared", 0.1))
    scaled = solve(LinearizedProblem(np.ldexp(G, 300), np.zeros(4), np.ones(4), "squared", math.ldexp(0.1, 300)))
    assert scaled.upper == pytest.approx(reference.upper, rel=1e-12)
    (rows,) = normalised(scaled.problem).problem.blocks
    assert np.shares_memory(rows.given.array, scaled.problem.blocks[0].array)


def test_results_are_rounded_outward():
    tiny = Units(0, -530)  # 2^-1060 is subnormal: 14 bits are left
    value = 1 + 2.0**-20
    assert tiny.lower(value) < tiny.upper(value)
    assert tiny.lower(value) == math.ldexp(1.0, -1060)
    assert tiny.upper(value) == math.nextafter(math.ldexp(1.0, -1060), 1)
    assert tiny.lower(1.0) == tiny.upper(1.0) == math.ldexp(1.0, -1060)
    above = 1 + 0.75 * 2.0**-14  # to nearest, this is rounded up
    assert tiny.lower(above) == math.ldexp(1.0, -1060)
    assert tiny.upper(above) == math.nextafter(math.ldexp(1.0, -1060), 1)
    gone = Units(0, -600)
    assert (gone.lower(1.0), gone.upper(1.0)) == (0.0, 5e-324)
    assert (gone.lower(0.0), gone.upper(0.0)) == (0.0, 0.0)
    assert Units(0, 400).upper(1e200) == math.inf
    assert Units(0, 2).upper(3.0) == Units(0, 2).lower(3.0) == 48.0
    assert Units(0, 0).lower(-1.0) == 0.0


def test_what_overflows_is_refused():
    with pytest.raises(ValueError, match="whose square overflows; divide offsets, labels and gradients"):
        solve(LinearizedProblem(np.ones((1, 1, 2, 2)), [[0.0]], [[1e160]], "squared", 1.0))
    with pytest.raises(ValueError, match="the ratio underflows; pass lam = 0"):
        solve(LinearizedProblem(1e300 * np.ones((1, 1, 2, 2)), [[0.0]], [[1.0]], "squared", 1e-300))


def test_lam_beyond_all_proportion_is_as_good_as_a_large_one():
    for loss, labels in (("squared", [[2.0]]), ("logistic", [1])):
        problem = LinearizedProblem(1e-200 * np.ones((1, 1, 2, 2)), [[0.0]], labels, loss, 1e200)
        solution = solve(problem)
        assert solution.rank == 0
        assert solution.upper == pytest.approx(problem.risk(problem.w0), rel=1e-13)
        assert solution.gap <= 1e-13


def test_zero_gradients_and_zero_outputs_have_units():
    own = normalised(LinearizedProblem(np.zeros((1, 1, 2, 2)), [[0.0]], [[0.0]], "squared", 0.1))
    assert (own.units.gradient, own.units.output) == (0, 0)
    assert own.problem.lam == 0.1


def test_the_unit_of_outputs_is_read_off_absolute_values():
    problem = LinearizedProblem(np.ones((2, 1, 1, 1)), np.array([0.0, 1.0]), np.array([800.0, 0.0]), "squared", 0.1)
    own = normalised(problem)
    assert own.problem.w0.min() < -1
    assert 1 <= np.abs(own.problem.w0).max() < 4


def test_without_a_regulariser_no_ratio_underflows_and_dependencies_are_the_problems_own():
    assert normalised(problem_at(1000, 40, lam=0.0)).problem.lam == 0
    own = normalised(problem_at(400, 400, lam=0.0))
    assert own.problem.lam == 0
    assert len(own.problem.feasible(np.ones(10))) == 10
    edge = 2 - units._LARGEST  # lam, in units of the problem, is 2^-LARGEST: the least that is taken
    assert normalised(problem_at(lam=math.ldexp(1.0, edge))).problem.lam > 0
