"""The solver: against cvxpy, against its own referee, on 200 kinds of random instances, and on the odd corners."""

import sys

import numpy as np
import pytest

from lora_proofs.ntk import FactoredGradients, GapWarning, LinearizedProblem, certify, solve
from lora_proofs.ntk.points import balanced
from lora_proofs.ntk.solvers.active_subspace import active_subspace
from lora_proofs.ntk.units import normalised

LOSSES = ("squared", "logistic", "cross_entropy")


def labels_for(loss, rng, N, K):
    if loss == "squared":
        return rng.normal(size=(N, K))
    return rng.choice([-1, 1], N) if loss == "logistic" else rng.integers(0, K, N)


def random_block(rng, N, K, largest):
    """Return gradients of one of five kinds: full, rank one, duplicated, factored, decaying."""
    m, n = (int(x) for x in rng.integers(2, largest, size=2))
    kind, G = rng.integers(5), rng.normal(size=(N, K, m, n))
    if kind == 1:
        return rng.normal(size=(N, K, m, 1)) * rng.normal(size=(N, K, 1, n))
    if kind == 2:
        G[rng.integers(N, size=N // 2)] = G[0]
    if kind == 3:
        return FactoredGradients(rng.normal(size=(N, K, m, 2)), rng.normal(size=(N, 1, n, 2)))
    return G / np.arange(1, n + 1) if kind == 4 else G


def random_problem(seed, largest=40, most=64):
    """Return an instance of the family that the solver promises to solve: loss, sizes and lam are drawn by the seed."""
    rng = np.random.default_rng(seed)
    loss = LOSSES[seed % 3]
    N = int(rng.choice([size for size in (2, 3, 5, 8, 16, 32, 64) if size <= most]))
    K = 1 if loss == "logistic" else int(rng.integers(1 if loss == "squared" else 2, 4))
    blocks = [random_block(rng, N, K, largest) for _ in range(rng.integers(1, 5))]
    offsets, labels = rng.normal(size=(N, K)), labels_for(loss, rng, N, K)
    share = np.exp(rng.uniform(np.log(1e-3), np.log(0.9)))
    top = LinearizedProblem(blocks, offsets, labels, loss, 0.0).lam_max
    return LinearizedProblem(blocks, offsets, labels, loss, share * top)


def gaussian_problem(loss, m, n, N, share, seed=0):
    rng = np.random.default_rng(seed)
    K = 1 if loss == "logistic" else 2
    G, f, y = rng.normal(size=(N, K, m, n)), rng.normal(size=(N, K)), labels_for(loss, rng, N, K)
    return LinearizedProblem(G, f, y, loss, share * LinearizedProblem(G, f, y, loss, 0.0).lam_max)


def sides(solution):
    return [u for u, _ in solution.factors], [v for _, v in solution.factors]


def nuclear_norm_optimum(problem):
    """Return the optimum of full fine-tuning by cvxpy: the naive twin, which knows nothing of factors or duals."""
    import cvxpy as cp

    deltas = [cp.Variable(shape) for shape in problem.shapes]
    z = cp.reshape(problem.offsets.ravel(), (problem.N, problem.K), order="C")
    for block, delta in zip(problem.blocks, deltas, strict=True):
        A = block.array.reshape(problem.N * problem.K, -1)
        z = z + cp.reshape(A @ cp.vec(delta, order="C"), (problem.N, problem.K), order="C")
    y = problem.canonical_loss.labels
    if problem.loss == "squared":
        risk = cp.sum_squares(z - y) / 2
    elif problem.loss == "logistic":
        risk = cp.sum(cp.logistic(-cp.multiply(y, z[:, 0])))
    else:
        risk = sum(cp.log_sum_exp(z[i]) - z[i, int(y[i])] for i in range(problem.N))
    objective = risk / problem.N + problem.lam * sum(cp.normNuc(delta) for delta in deltas)
    return cp.Problem(cp.Minimize(objective)).solve(solver="CLARABEL")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_agrees_with_cvxpy(loss, share):
    problem = gaussian_problem(loss, 5, 4, 5, share)
    solution = solve(problem)
    assert solution.gap <= 1e-8
    assert nuclear_norm_optimum(problem) == pytest.approx(solution.upper, rel=1e-5)


@pytest.mark.parametrize("seed", range(45))
def test_every_kind_of_random_instance_is_solved_and_bracketed(seed):
    problem = random_problem(seed, most=32)
    solution = solve(problem)
    assert solution.gap <= 1e-8
    assert problem.objective(*sides(solution)) <= solution.upper  # but for the bound on rounding it is the objective
    assert solution.upper == pytest.approx(problem.objective(*sides(solution)), rel=1e-10)
    again = certify(problem, *sides(solution))
    assert again.lower <= solution.upper * (1 + 1e-12)
    assert again.gap <= 1e-7


@pytest.mark.parametrize("seed", range(100, 112))
def test_the_referee_agrees(seed):
    problem = random_problem(seed, largest=20, most=16)
    solution, referee = solve(problem), solve(problem, method="interior_point")
    assert referee.gap <= 1e-8
    assert referee.method == "interior point" + (" after exact compression" if "compression" in solution.method else "")
    assert referee.upper == pytest.approx(solution.upper, rel=1e-8)


def test_the_referee_survives_margins_of_hundreds():
    """Slopes of 1e-100 and less: Newton's method in q must neither leave the simplex nor creep along it."""
    rng = np.random.default_rng(0)
    G, f = 30 * rng.normal(size=(12, 3, 4, 4)), rng.normal(size=(12, 3))
    y = rng.integers(0, 3, 12)
    problem = LinearizedProblem(G, f, y, "cross_entropy", 1e-3 * LinearizedProblem(G, f, y, "cross_entropy", 0).lam_max)
    solution, referee = solve(problem), solve(problem, method="interior_point")
    assert max(solution.gap, referee.gap) <= 1e-8
    assert referee.upper == pytest.approx(solution.upper, rel=1e-8)


@pytest.mark.parametrize("loss", LOSSES)
def test_both_primal_methods_agree_on_a_large_block(loss):
    problem = gaussian_problem(loss, 60, 45, 10, 0.1)
    small, large = solve(problem, method="burer_monteiro"), solve(problem, method="active_subspace")
    assert max(small.gap, large.gap) <= 1e-8
    assert small.upper == pytest.approx(large.upper, rel=1e-8)
    assert small.rank == large.rank
    assert large.passes < small.passes


def test_beyond_the_size_of_full_decompositions():
    problem = gaussian_problem("cross_entropy", 200, 190, 6, 0.2)
    solution = solve(problem)
    assert solution.gap <= 1e-8
    assert solution.passes <= 40
    assert certify(problem, *sides(solution)).gap <= 1e-8


def test_compression_finds_the_same_optimum():
    rng = np.random.default_rng(1)
    L, R = rng.normal(size=(6, 2, 80, 1)), rng.normal(size=(6, 1, 70, 1))
    rest = (np.zeros((6, 2)), rng.integers(0, 2, 6), "cross_entropy", 0.1)
    factored = solve(LinearizedProblem(FactoredGradients(L, R), *rest))
    dense = solve(LinearizedProblem(L @ R.swapaxes(2, 3), *rest))
    assert "compression" in factored.method
    assert "compression" not in dense.method
    assert factored.upper == pytest.approx(dense.upper, rel=1e-8)
    assert [u.shape[0] for u, _ in factored.factors] == [80]


@pytest.mark.parametrize("loss", LOSSES)
def test_from_lam_max_on_the_solution_is_zero(loss):
    problem = gaussian_problem(loss, 6, 5, 4, 1 + 1e-9)
    for method in ("auto", "active_subspace", "interior_point"):
        solution = solve(problem, method=method)
        assert solution.rank == 0
        assert solution.gap <= 1e-12
        assert solution.upper == pytest.approx(problem.risk(problem.w0), rel=1e-14)


def test_solution_is_balanced_and_its_rank_stands_on_a_cliff():
    solution = solve(gaussian_problem("squared", 30, 25, 8, 0.1))
    (u, v), *_ = solution.factors
    assert u.T @ u == pytest.approx(v.T @ v, abs=1e-10)
    assert solution.rank == sum(solution.ranks) == u.shape[1]
    assert solution.spectral_gap > 1e3
    assert str(solution.rank) in str(solution)


def test_rank_obeys_the_bound_of_theorem_3_1_where_the_optimum_is_unique():
    for seed in range(6):
        solution = solve(gaussian_problem("squared", 20, 20, 5, 0.01, seed))
        assert solution.rank * (solution.rank + 1) / 2 <= 10


@pytest.mark.parametrize("blocks", [1, 2])
def test_lam_zero_interpolates_at_low_rank(blocks):
    rng = np.random.default_rng(2)
    G = [rng.normal(size=(12, 1, 8, 5)) for _ in range(blocks)]
    problem = LinearizedProblem(G, np.zeros((12, 1)), rng.normal(size=(12, 1)), "squared", 0.0)
    solution = solve(problem)
    assert solution.upper <= 1e-20
    assert solution.lower >= 0
    assert solution.gap <= 1e-12
    assert max(solution.ranks) <= 2


def test_lam_zero_least_squares_and_inseparable_labels():
    rng = np.random.default_rng(3)
    G = rng.normal(size=(20, 1, 2, 2))
    squared = LinearizedProblem(G, np.zeros((20, 1)), rng.normal(size=(20, 1)), "squared", 0.0)
    A = G.reshape(20, 4)
    residual = np.linalg.lstsq(A, squared.canonical_loss.labels.ravel(), rcond=None)[1][0]
    solution = solve(squared)
    assert solution.upper == pytest.approx(residual / 40, rel=1e-12)
    assert solution.gap <= 1e-12
    logistic = LinearizedProblem(G, np.zeros((20, 1)), rng.choice([-1, 1], 20), "logistic", 0.0)
    assert solve(logistic).gap <= 1e-8
    multiclass = rng.normal(size=(40, 3, 2, 2))
    assert (
        solve(LinearizedProblem(multiclass, np.zeros((40, 3)), rng.integers(0, 3, 40), "cross_entropy", 0)).gap <= 1e-8
    )


@pytest.mark.parametrize("loss", ["logistic", "cross_entropy"])
def test_separable_data_at_lam_zero_have_no_minimiser(loss):
    problem = gaussian_problem(loss, 8, 8, 5, 0.0)
    with pytest.raises(ValueError, match="separable"):
        solve(problem)


def test_gradients_that_see_nothing():
    problem = LinearizedProblem(np.zeros((3, 1, 4, 4)), np.zeros((3, 1)), np.ones((3, 1)), "squared", 0.1)
    solution = solve(problem)
    assert solution.rank == 0
    assert solution.gap <= 1e-13
    assert solve(LinearizedProblem(np.zeros((3, 1, 4, 4)), np.zeros((3, 1)), [1, -1, 1], "logistic", 0.0)).gap <= 1e-12


@pytest.mark.parametrize(("arguments", "message"), [({"gap": 0.0}, "gap is"), ({"method": "magic"}, "method is")])
def test_bad_calls_are_one_clear_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        solve(gaussian_problem("squared", 3, 3, 2, 0.5), **arguments)


def test_balanced_keeps_the_product_and_drops_null_columns():
    rng = np.random.default_rng(4)
    u, v = rng.normal(size=(7, 4)), rng.normal(size=(3, 4))
    a, b = balanced(u, v)
    assert a @ b.T == pytest.approx(u @ v.T, abs=1e-12)
    assert a.shape[1] == 3
    assert a.T @ a == pytest.approx(b.T @ b, abs=1e-12)
    assert balanced(np.zeros((4, 2)), np.zeros((4, 2)))[0].shape == (4, 0)


def test_an_interrupt_returns_the_best_point_with_its_bracket(monkeypatch):
    problem = gaussian_problem("squared", 60, 60, 10, 0.05)
    rounds = active_subspace(normalised(problem).problem)

    def interrupted(core):
        yield next(rounds)
        yield next(rounds)
        raise KeyboardInterrupt

    # The package shows the function `solve` in place of the module of that name.
    monkeypatch.setattr(sys.modules["lora_proofs.ntk.solvers.solve"], "active_subspace", interrupted)
    with pytest.warns(GapWarning, match="not the 1e-08 asked for"):
        solution = solve(problem)
    assert 1e-8 < solution.gap < 1
    assert solution.lower <= solution.upper == pytest.approx(problem.objective(*sides(solution)))


@pytest.mark.parametrize("method", ["burer_monteiro", "active_subspace", "interior_point"])
def test_the_bracket_belongs_to_the_factors(method):
    rng = np.random.default_rng(0)
    G, y = rng.normal(size=(6, 2, 7, 8)), rng.normal(size=(6, 2))
    problem = LinearizedProblem(G, 0 * y, y, "squared", 0.1)
    solution = solve(problem, method=method)
    u, v = (list(side) for side in zip(*solution.factors, strict=True))
    again = certify(problem, u, v)
    assert (again.upper, again.lower) == pytest.approx((solution.upper, solution.lower), rel=1e-12)


def test_a_block_that_is_not_needed_has_rank_0():
    """Columns are cut against the largest over all blocks, not each block against its own."""
    rng = np.random.default_rng(0)
    G, y = rng.normal(size=(4, 1, 5, 6)), rng.normal(size=(4, 1))
    problem = LinearizedProblem([1e-3 * G, G], 0 * y, y, "squared", 0.1)
    assert solve(problem).ranks[0] == 0
