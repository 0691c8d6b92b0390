"""lam = 0: least risk and low rank, on rows that are nearly dependent, of any scale, separable or almost."""

import numpy as np
import pytest

from lora_proofs.ntk import GapWarning, LinearizedProblem, certify, null_space, solve
from lora_proofs.ntk.bracket import dual_bound_at_zero
from lora_proofs.ntk.solvers import unregularised as module
from lora_proofs.ntk.solvers.unregularised import least_risk, optimal_rows, realise, row_sizes
from lora_proofs.ntk.units import normalised


def problem_of(G, y, loss="squared", offsets=None):
    N, K = (G[0] if isinstance(G, list) else G).shape[:2]
    return LinearizedProblem(G, np.zeros((N, K)) if offsets is None else offsets, y, loss, 0.0)


@pytest.mark.parametrize(("shape", "d", "rank"), [((4, 4), 12, 3), ((8, 5), 12, 2), ((5, 8), 16, 2), ((3, 7), 7, 1)])
def test_the_rank_is_what_a_frozen_factor_needs(shape, d, rank):
    rng = np.random.default_rng(0)
    solution = solve(problem_of(rng.normal(size=(d, 1, *shape)), rng.normal(size=d)))
    assert solution.ranks == [rank]
    assert solution.upper <= 1e-23
    assert solution.lower == 0


def test_blocks_share_the_rows():
    rng = np.random.default_rng(1)
    G = [rng.normal(size=(10, 1, 6, 4)), rng.normal(size=(10, 1, 3, 4))]
    assert solve(problem_of(G, rng.normal(size=10))).ranks == [1, 1]


@pytest.mark.parametrize("n", [3, 4, 5])
def test_the_rank_is_raised_where_a_frozen_factor_does_not_reach(n):
    """G_k = e_1 x_k^T, frozen v: a column of v gives one number for all k, so n columns are needed for n rows."""
    rng = np.random.default_rng(2)
    G = np.zeros((n, 1, 6, n))
    G[:, 0, 0] = rng.normal(size=(n, n))
    problem = problem_of(G, rng.normal(size=n))
    core = normalised(problem).problem
    u, v = realise(core, 0 * core.w0, row_sizes(core))
    assert core.rows(u, v) == pytest.approx(0 * core.w0, abs=1e-12)
    assert u[0].shape[1] == v[0].shape[1] == n or u[0].shape[1] in (n, 2 ** int(np.ceil(np.log2(n))))
    solution = solve(problem)
    assert solution.upper <= 1e-25
    assert solution.ranks == [1]  # without the columns that are 0, the update has the rank of G


def test_a_target_that_is_met_already_needs_no_columns():
    rng = np.random.default_rng(3)
    core = normalised(problem_of(rng.normal(size=(3, 1, 2, 4)), np.ones(3))).problem
    u, v = realise(core, core.w0, row_sizes(core))
    assert (u[0].shape, v[0].shape) == ((2, 0), (4, 0))


@pytest.mark.parametrize("ratio", [1e-3, 1e-6, 1e-9])
def test_rows_of_very_different_norms_are_all_fitted(ratio):
    rng = np.random.default_rng(4)
    G = rng.integers(-9, 10, (2, 1, 2, 2)).astype(float)
    G[1] *= ratio
    problem = problem_of(G, np.ones(2))
    solution = solve(problem)
    assert solution.lower == 0
    assert solution.upper <= (1e-13 / ratio) ** 2
    assert certify(problem, *([x] for x in solution.factors[0])).lower == 0


@pytest.mark.parametrize("distance", [1e-4, 1e-6, 1e-7])
def test_near_duplicates_with_contradictory_labels_are_fitted(distance):
    rng = np.random.default_rng(5)
    g = rng.normal(size=(4, 4))
    G = np.stack([g, g + distance * rng.normal(size=(4, 4))])[:, None]
    solution = solve(problem_of(G, np.array([1.0, -1.0])))
    assert solution.lower == 0
    assert solution.upper <= (1e-13 / distance) ** 2


def test_exact_duplicates_with_contradictory_labels_are_not():
    rng = np.random.default_rng(6)
    g = rng.normal(size=(4, 4))
    solution = solve(problem_of(np.stack([g, g, 2 * g])[:, None], np.array([1.0, -1.0, 0.0])))
    assert solution.lower == pytest.approx(1 / 3, rel=1e-12)
    assert solution.gap <= 1e-12


def test_rows_too_near_for_floats_get_an_honest_bracket():
    rng = np.random.default_rng(7)
    g = rng.normal(size=(3, 3))
    h = g * (1 + 4e-16 * rng.integers(-1, 2, (3, 3)))
    problem = problem_of(np.stack([g, h])[:, None], np.array([1.0, -1.0]))
    with pytest.warns(GapWarning):
        solution = solve(problem)
    assert solution.lower == 0
    assert solution.upper <= 0.5 * (1 + 1e-9) + 1


def test_several_cuts_are_tried_and_the_best_is_kept():
    rng = np.random.default_rng(8)
    g = rng.normal(size=(3, 3))
    for distance, count in ((1e-2, 1), (1e-10, 2), (1e-13, 2), (1e-17, 1)):
        G = np.stack([g, g + distance * rng.normal(size=(3, 3))])[:, None]
        core = normalised(problem_of(G, np.array([1.0, -1.0]))).problem
        points = list(least_risk(core))
        assert len(points) == count
        if count == 2:
            assert points[0].value < points[1].value == pytest.approx(0.5, rel=1e-6)


def test_blocks_of_any_scale_are_used():
    """One block fits some rows, a block 1e80 times smaller the others."""
    rng = np.random.default_rng(9)
    big, small = rng.normal(size=(4, 1, 1, 2)), 1e-80 * rng.normal(size=(4, 1, 2, 2))
    for G in ([big, small], [small, big], [big, small, np.zeros((4, 1, 2, 2))]):
        solution = solve(problem_of(G, rng.normal(size=4)))
        assert solution.upper <= 1e-25
    with pytest.raises(AssertionError):
        assert solve(problem_of(big, rng.normal(size=4))).upper <= 1e-25


@pytest.mark.parametrize("loss", ["logistic", "cross_entropy"])
@pytest.mark.parametrize("size", [1.0, 300.0, 3000.0])
def test_offsets_of_thousands_have_their_least_risk_found(loss, size):
    rng = np.random.default_rng(10)
    K = 1 if loss == "logistic" else 3
    G, f = rng.normal(size=(12, K, 1, 2)), size * rng.normal(size=(12, K))
    y = rng.choice([-1, 1], 12) if K == 1 else rng.integers(0, K, 12)
    solution = solve(problem_of(G, y, loss, f))
    assert solution.gap <= 1e-9
    assert solution.lower > 0


def test_the_least_risk_is_a_stationary_point():
    rng = np.random.default_rng(11)
    G = rng.normal(size=(30, 1, 2, 2))
    core = normalised(problem_of(G, rng.choice([-1, 1], 30), "logistic")).problem
    sizes = row_sizes(core)
    U, s = module._left(core, sizes)
    B = np.linalg.qr(sizes[:, None] * U)[0]
    w = optimal_rows(core, B)
    # Newton's method ends where the risk no longer falls, which it does with the square of this.
    assert np.linalg.norm(B.T @ core.loss.derivative(w)) <= 1e-8
    assert w - core.w0 == pytest.approx(B @ (B.T @ (w - core.w0)), abs=1e-12)
    assert sizes == pytest.approx(np.linalg.norm(G.reshape(30, 4), axis=1) * sizes[0] / np.linalg.norm(G[0]), rel=1e-8)
    assert s[0] >= s[-1] > 0


def test_a_full_step_that_overshoots_is_shortened():
    """From w = 20 the curvature is 2e-9, and Newton's step goes to -5e8."""
    rows = np.array([[1.0], [-1.0], [0.5]])
    problem = problem_of(rows.reshape(3, 1, 1, 1), np.ones(3), "logistic", np.array([-12.0, 14.0, -13.0]))
    core = normalised(problem).problem
    B = np.linalg.qr(core.blocks[0].matvec(np.eye(1)).reshape(3, 1))[0]
    w = optimal_rows(core, B)
    assert abs(float(B[:, 0] @ core.loss.derivative(w))) <= 1e-8
    assert solve(problem).gap <= 1e-9


@pytest.mark.parametrize("share", [1.0, 2.0**-20, 2.0**-30, 2.0**-40])
def test_inseparable_data_of_any_scale_are_solved(share):
    """log(1 + e^-a)/2 + log(1 + e^(sa))/2 has a minimiser for every s > 0, if at 1/s (from afar) in the end."""
    g = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
    solution = solve(problem_of(np.stack([g, -share * g])[:, None], np.array([1, 1]), "logistic"))
    a = np.log(1 / share) if share < 1 else 0.0
    for _ in range(50):
        a -= (-1 / (1 + np.exp(a)) + share / (1 + np.exp(-share * a))) / (np.exp(-a) + share**2 / 4)
    least = (np.log1p(np.exp(-a)) + np.log1p(np.exp(share * a))) / 2
    assert solution.lower <= least * (1 + 1e-12)
    assert solution.upper >= least * (1 - 1e-12)
    assert solution.gap <= 1e-8


@pytest.mark.parametrize("share", [1.0, 1e-5, 1e-10])
def test_separable_data_of_any_scale_are_refused(share):
    rng = np.random.default_rng(12)
    g, h = rng.normal(size=(2, 2, 2))
    with pytest.raises(ValueError, match="separable"):
        solve(problem_of(np.stack([g, share * h])[:, None], np.array([1, -1]), "logistic"))
    # In part: the first two contradict each other, the third can be separated.
    with pytest.raises(ValueError, match="separable"):
        solve(problem_of(np.stack([g, -g, share * h])[:, None], np.array([1, 1, 1]), "logistic"))


def test_rows_that_see_nothing_do_not_separate():
    G = np.zeros((3, 1, 2, 2))
    G[0], G[1] = 1.0, -1.0
    solution = solve(problem_of(G, np.array([1, 1, 1]), "logistic"))
    assert solution.upper == pytest.approx(np.log(2))
    assert solution.gap <= 1e-12


def test_the_dual_bound_leaves_room_for_rounding():
    rng = np.random.default_rng(13)
    for loss in ("squared", "logistic", "cross_entropy"):
        K = 1 if loss == "logistic" else 2
        y = {"squared": rng.normal(size=(20, K)), "logistic": rng.choice([-1, 1], 20)}.get(loss, rng.integers(0, K, 20))
        problem = problem_of(rng.normal(size=(20, K, 1, 2)), y, loss)
        point = next(iter(least_risk(normalised(problem).problem)))
        core = normalised(problem).problem
        lower = dual_bound_at_zero(core, core.loss.derivative(point.w))
        assert lower < point.value
        assert lower == pytest.approx(point.value, rel=1e-12)
        # Slopes that are no good are no bound either: the value at 0.
        assert dual_bound_at_zero(core, 0 * core.w0) == 0


def test_too_many_rows_leave_the_lower_end_at_0(monkeypatch):
    monkeypatch.setattr(null_space, "_ENTRIES", 3)
    rng = np.random.default_rng(14)
    problem = problem_of(rng.normal(size=(5, 1, 1, 1)), np.ones(5))
    with pytest.warns(GapWarning):
        assert solve(problem).lower == 0
