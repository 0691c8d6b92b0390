"""Endings of gradient descent: the exact traps catch some runs, and nothing is called a trap without a better point."""

import numpy as np
import pytest

from lora_proofs.ntk import traps
from lora_proofs.ntk.landscape import descend, frequency_map, polish, survey
from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.ntk.second_order import second_order


def gaussian(N, rng, loss="squared", K=1, lam=0.1, shapes=((6, 6),)):
    gradients = [rng.standard_normal((N, K, m, n)) for m, n in shapes]
    labels = {"squared": rng.standard_normal((N, K)), "logistic": rng.choice([-1, 1], N)}
    labels = labels.get(loss, rng.integers(0, K, N))
    unit = LinearizedProblem(gradients, np.zeros((N, K)), labels, loss, 1.0)
    return LinearizedProblem(gradients, np.zeros((N, K)), labels, loss, lam * unit.lam_max)


@pytest.mark.parametrize("r", [1, 2])
def test_some_runs_end_in_the_exact_trap(r):
    trap = traps.family_b(r)
    result = survey(trap.problem(), r, runs=100)
    assert set(result.endings) == {"global", "trap"}
    assert 0 < result.fraction("trap") < 0.2
    value = float(trap.value.p) / float(trap.value.q)
    caught = [k for k, ending in enumerate(result.endings) if ending == "trap"]
    np.testing.assert_allclose(result.values[caught] * trap.N, value, rtol=1e-10)
    for k in caught:
        u, v = result.points[k]
        assert second_order(trap.problem(), u, v).verdict == "strict minimum"
        np.testing.assert_allclose(u[0] @ v[0].T, np.diag([1.0] * r + [0.0]), atol=1e-6)
    assert result.best < result.values[caught].min()
    assert result.upper * trap.N == pytest.approx(value - 11 / 50)


def test_above_the_sharp_threshold_all_runs_are_global():
    for seed, (loss, K, N) in enumerate([("squared", 1, 4), ("logistic", 1, 4), ("cross_entropy", 3, 2)]):
        problem = gaussian(N, np.random.default_rng(seed), loss, K, shapes=((5, 4), (3, 6)))
        assert problem.d == 4  # r(r+3)/2 = 5
        assert survey(problem, 2, runs=10).fraction("global") == 1


def test_gaussian_instances_below_the_threshold_have_traps_too():
    result = survey(gaussian(14, np.random.default_rng([0, 14])), 1)
    assert 0 < result.fraction("trap") < 1
    assert result.best < 0.75 * result.values.max()


def test_at_lam_0_runs_that_interpolate_are_global():
    result = survey(gaussian(6, np.random.default_rng(0), lam=0.0), 1, runs=10)  # d = r max(m, n)
    assert result.fraction("global") == 1
    assert result.values.max() < 1e-8


def test_too_small_a_rank_is_not_called_a_trap():
    result = survey(gaussian(9, np.random.default_rng([0, 9])), 1, runs=10)
    assert result.values.min() > result.upper * 1.001
    assert result.fraction("best known") > 0
    assert result.fraction("global") == 0
    assert all(v <= result.best * (1 + 1e-7) for v, e in zip(result.values, result.endings, strict=True) if e[0] == "b")


def test_the_map_has_one_survey_for_each_size_and_rank():
    surveys = list(frequency_map(gaussian, [2, 5], [1, 2], runs=3))
    assert [(s.d, s.r) for s in surveys] == [(2, 1), (2, 2), (5, 1), (5, 2)]
    assert surveys[0].lower == surveys[1].lower
    assert all(len(s.endings) == 3 for s in surveys)
    again = list(frequency_map(gaussian, [2, 5], [1, 2], runs=3))
    assert all(np.array_equal(s.values, t.values) for s, t in zip(surveys, again, strict=True))


@pytest.mark.parametrize(("loss", "K"), [("squared", 2), ("logistic", 1), ("cross_entropy", 3)])
def test_a_batch_of_runs_is_the_runs_one_by_one_and_each_descends(loss, K):
    problem = gaussian(4, np.random.default_rng(1), loss, K, shapes=((5, 4), (3, 6)))
    rng = np.random.default_rng(2)
    starts = [0.1 * rng.standard_normal((3, n, 2)) for _, n in problem.shapes]
    values = []
    for steps in (0, 1, 5, 40):
        U, V = descend(problem, 2, np.random.default_rng(2), runs=3, scale=0.1, steps=steps)
        values.append([problem.objective([u[k] for u in U], [v[k] for v in V]) for k in range(3)])
        if steps == 0:
            assert all(np.array_equal(a, b) for a, b in zip(V, starts, strict=True))
            assert not any(u.any() for u in U)
        if steps == 1:  # one step by hand: from u = 0 the gradient is (S v, lam v)
            for k in range(3):
                v = [x[k] for x in starts]
                S = problem.adjoint(problem.derivative(problem.w0))
                directions = [s @ x for s, x in zip(S, v, strict=True)]
                length = -U[0][k][0, 0] / directions[0][0, 0]
                assert length > 0
                for t in range(2):
                    np.testing.assert_allclose(U[t][k], -length * directions[t], atol=1e-12)
                    np.testing.assert_allclose(V[t][k], (1 - length * problem.lam) * v[t], atol=1e-12)
    assert (np.diff(values, axis=0) < 0).all()


def test_polishing_descends_to_a_stationary_point():
    problem = gaussian(6, np.random.default_rng(3), shapes=((5, 4), (3, 6)))
    U, V = descend(problem, 2, np.random.default_rng(0), runs=1, scale=0.1, steps=300)
    rough = [u[0] for u in U], [v[0] for v in V]
    fine = polish(problem, *rough)
    assert problem.objective(*fine) <= problem.objective(*rough)
    assert second_order(problem, *fine).relative_gradient < 1e-10


def test_bad_input_is_refused():
    problem = traps.family_a().problem()
    for arguments in ({"rank": 0}, {"rank": 1, "runs": 0}, {"rank": 1.5}):
        with pytest.raises(ValueError, match="whole number"):
            survey(problem, **arguments)
