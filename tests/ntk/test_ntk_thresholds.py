"""The table of rank rules: its numbers, traps that miss each rule by one, and every step of the proofs on plants."""

import numpy as np
import pytest
from builders import planted

from lora_proofs.exact import floats
from lora_proofs.ntk import traps
from lora_proofs.ntk.hessian import Hessian
from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.ntk.second_order import second_order
from lora_proofs.ntk.solvers.solve import solve
from lora_proofs.ntk.thresholds import thresholds

ROBERTA = {"N": 32, "K": 2, "shapes": [(768, 768)] * 2, "loss": "cross_entropy"}


def test_the_rules_for_roberta_with_32_examples():
    table = thresholds(**ROBERTA)
    assert {rule.name: rule.rank for rule in table} == {
        "existence": 7,
        "theorem 4.1": 11,
        "canonical rows": 8,
        "sharp": 7,
        "any gradients": 32,
        "lam = 0": 1,
        "capacity": 1,
    }
    assert all(rule.applies for rule in table)
    squared = thresholds(**ROBERTA | {"loss": "squared"})
    assert (squared["existence"].rank, squared["theorem 4.1"].rank, squared["sharp"].rank) == (10, 11, 10)


@pytest.mark.parametrize("d", range(1, 60))
def test_each_rank_is_the_smallest_that_its_condition_admits(d):
    table = thresholds(N=d, K=1, shapes=[(100, 90), (30, 100)], loss="logistic")

    def least(condition):
        return next(r for r in range(200) if condition(r))

    assert table["existence"].rank == least(lambda r: (r + 1) * (r + 2) > 2 * d)
    assert table["theorem 4.1"].rank == table["canonical rows"].rank == least(lambda r: r * (r + 1) > 2 * d)
    assert table["sharp"].rank == least(lambda r: r * (r + 3) > 2 * d)
    assert table["any gradients"].rank == d
    assert table["lam = 0"].rank == least(lambda r: d <= 100 * r)
    assert table["capacity"].rank == least(lambda r: r * 190 - r * r + r * 130 - r * r > 1.35 * d)
    assert table["sharp"].rank <= table["theorem 4.1"].rank <= table["existence"].rank + 1


def test_the_capacity_must_exceed_its_bound_and_not_only_reach_it():
    """1.35 KN = 27 = 14 + 14 - 1 and 135 = 100 + 36 - 1 exactly, and with one datum fewer the bound is passed."""
    for KN, shape in ((20, (14, 14)), (100, (100, 36))):
        assert thresholds(N=KN, K=1, shapes=[shape], loss="squared")["capacity"].rank == 2
        assert thresholds(N=KN - 1, K=1, shapes=[shape], loss="squared")["capacity"].rank == 1
    assert thresholds(N=20, K=1, shapes=[(7, 7), (8, 7)], loss="squared")["capacity"].rank == 2  # 13 + 14 = 27
    assert thresholds(N=20, K=1, shapes=[(7, 7), (8, 8)], loss="squared")["capacity"].rank == 1


@pytest.mark.parametrize("d", [5, 9, 14])
def test_the_sharp_rule_excludes_equality_and_the_existence_rule_includes_it(d):
    """r(r+3)/2 = d at r = 2, 3, 4; and r(r+1)/2 = d' one step further."""
    r = {5: 2, 9: 3, 14: 4}[d]
    assert thresholds(N=d, K=1, shapes=[(50, 50)], loss="squared")["sharp"].rank == r + 1
    triangular = r * (r + 1) // 2
    table = thresholds(N=triangular, K=1, shapes=[(50, 50)], loss="squared")
    assert (table["existence"].rank, table["theorem 4.1"].rank) == (r, r + 1)


def test_full_rank_is_always_enough():
    table = thresholds(N=50, K=1, shapes=[(3, 4), (2, 9)], loss="squared")
    assert table["sharp"].rank == table["any gradients"].rank == table["lam = 0"].rank == 3
    assert table["existence"].rank == 3
    assert table["capacity"].rank is None


@pytest.mark.parametrize(
    ("trap", "rule"),
    [
        *((traps.family_b(r), "sharp") for r in range(1, 7)),
        *((traps.logistic(r), "sharp") for r in range(1, 6)),
        *((traps.family_c(r), "any gradients") for r in range(1, 6)),
        *((traps.family_d(n), "lam = 0") for n in range(2, 9)),
        *((traps.family_d(*sizes), "lam = 0") for sizes in [(4, 2), (5, 3), (3, 2, 5)]),
        *((traps.logistic_unregularised(n), "lam = 0") for n in range(2, 8)),
    ],
    ids=lambda x: getattr(x, "name", x),
)
def test_the_traps_miss_their_rule_by_one_functional(trap, rule):
    sizes = {"K": 1, "shapes": [trap.shape], "loss": trap.loss, "lam": float(trap.lam)}
    assert thresholds(N=trap.N, **sizes)[rule].rank == trap.r + 1
    assert thresholds(N=trap.N - 1, **sizes)[rule].rank == trap.r


def test_family_c_is_above_the_papers_threshold_and_so_needs_its_perturbation():
    for r in (3, 4, 5):
        trap = traps.family_c(r)
        assert thresholds(trap.problem())["theorem 4.1"].rank <= r


def test_the_capacity_rule_admits_exact_traps():
    for trap in (traps.family_d(4), traps.family_d(6), traps.family_d(8), traps.logistic_unregularised(4)):
        assert thresholds(trap.problem())["capacity"].rank == 1 == trap.r


# -------------------------------------------------------------------------------------- the steps of the proofs


def forms(problem, u, v):
    """Return the d x size Jacobian J, S, and the packing of directions at (u, v)."""
    hessian = Hessian(problem, [u], [v])
    return hessian.jacobian, hessian.slope[0], hessian


@pytest.mark.parametrize("r", [1, 2, 3, 4])
def test_steps_1_to_5_are_met_with_equality_by_family_b(r):
    trap = traps.family_b(r)
    problem, (u, v) = trap.problem(), trap.factors()
    J, S, hessian = forms(problem, u, v)
    lam, n, d, p = problem.lam, r + 1, trap.N, r * (r + 1) // 2
    sigma = np.linalg.svd(-S, compute_uv=False)
    assert sigma[0] > lam  # 1: a violated pair, and lam with multiplicity r = rank [u; v]
    np.testing.assert_allclose(sigma[1:], lam)
    e = np.eye(n)
    face = [np.outer(e[i], e[j]) + np.outer(e[j], e[i]) for i in range(r) for j in range(i + 1)]
    assert np.linalg.matrix_rank(np.array([problem.apply(X) for X in face])) == p  # 3
    t = np.eye(r)
    violated = [hessian.pack([np.outer(e[r], x)], [np.outer(e[r], x)]) for x in t]
    kernel = [hessian.pack([T], [T]) for i in range(r) for j in range(r) for T in [np.outer(e[i], t[j])]]
    W, N = np.array(violated + kernel), np.array(kernel)
    H, C = hessian.matrix(), J.T @ J / d
    q = H - C
    np.testing.assert_allclose(N @ q @ W.T, 0, atol=1e-14)  # 4: N is the kernel of q on W, and q < 0 off it
    assert np.linalg.eigvalsh(np.array(violated) @ q @ np.array(violated).T).max() < 0
    on_W, on_N = np.linalg.matrix_rank(J @ W.T), np.linalg.matrix_rank(J @ N.T)
    assert (on_W, on_N) == (r + on_N, p)
    assert d == np.linalg.matrix_rank(J) == r + p  # 5


@pytest.mark.parametrize(("n", "r", "m"), [(4, 1, 4), (5, 2, 5), (3, 2, 5), (4, 1, 6)])
def test_steps_6_to_8_are_met_with_equality_by_family_d(n, r, m):
    trap = traps.family_d(n, r, m)
    problem, (u, v) = trap.problem(), trap.factors()
    J, S, hessian = forms(problem, u, v)
    d, s = trap.N, n - r
    assert np.linalg.matrix_rank(S) == s
    np.testing.assert_allclose(S @ v, 0)
    np.testing.assert_allclose(S.T @ u, 0)
    assert np.linalg.matrix_rank(u) == np.linalg.matrix_rank(v) == r  # 6
    q = hessian.matrix() - J.T @ J / d
    values = np.linalg.eigvalsh(q)
    assert sum(values < -1e-12) == r * s  # 8
    null = np.linalg.eigh(q)[1][:, np.abs(values) < 1e-12]
    rho = -problem.derivative(problem.rows(u, v))
    np.testing.assert_allclose(rho @ J, 0, atol=1e-14)
    on_N = r * (m - s) + r * (n - s) - r * r
    assert np.linalg.matrix_rank(J @ null) == on_N
    assert d - 1 == np.linalg.matrix_rank(J) == r * s + on_N == r * max(m, n)


def test_any_gradients_step_5_sees_at_least_the_point_itself():
    for r in (2, 3, 4):
        trap = traps.family_c(r)
        problem, (u, v) = trap.problem(), trap.factors()
        J, _, hessian = forms(problem, u, v)
        e, t = np.eye(r + 1), np.eye(r)
        kernel = np.array([hessian.pack([T], [T]) for i in range(r) for j in range(r) for T in [np.outer(e[i], t[j])]])
        assert np.linalg.matrix_rank(J @ kernel.T) == 1  # A is not injective on the face: family_c is not generic
        assert np.linalg.matrix_rank(J) == r + 1  # d >= r + 1, with equality


@pytest.mark.parametrize(("r", "shape"), [(1, (4, 4)), (2, (4, 4)), (2, (6, 4)), (3, (5, 5)), (4, (6, 7))])
def test_above_the_sharp_threshold_every_planted_spurious_point_has_an_escape(r, shape):
    """Stationary points of full rank with sigma_1 = 1.02 lam, in G otherwise Gaussian: as hard as they can be."""
    threshold = r * (r + 3) // 2
    for seed in range(12):
        problem, u, v = planted([shape], [r], threshold - 1, seed=seed, spread=[1.02])
        assert second_order(problem, u, v).verdict == "saddle"
    at_threshold = [second_order(*planted([shape], [r], threshold, seed=s, spread=[1.02])).verdict for s in range(30)]
    assert "not stationary" not in at_threshold
    if r <= 2:
        assert "strict minimum" in at_threshold  # and with one more row there are traps in Gaussian G, too


def planted_unregularised(m, n, r, d, seed):
    """Return a squared problem with lam = 0, and a point of rank r where M, of full possible rank n - r, is not 0."""
    rng = np.random.default_rng(seed)
    rho = rng.standard_normal(d)
    rho[0] = 2.0
    G = rng.standard_normal((d, 1, m, n))
    U, V = (np.linalg.qr(rng.standard_normal((k, k)))[0] for k in (m, n))
    M = 0.01 * U[:, : n - r] @ V[:, : n - r].T
    G[0, 0] = (d * M - np.tensordot(rho[1:], G[1:, 0], 1)) / rho[0]
    u, v = U[:, n - r : n], V[:, n - r :]
    fits = np.einsum("dij,ic,jc->d", G[:, 0], u, v)
    return LinearizedProblem(G, np.zeros(d), fits + rho, "squared", 0.0), u, v


@pytest.mark.parametrize(("m", "n", "r"), [(3, 3, 1), (4, 4, 2), (6, 4, 1), (5, 4, 3)])
def test_up_to_r_max_m_n_every_planted_spurious_point_at_lam_0_has_an_escape(m, n, r):
    for seed in range(12):
        assert second_order(*planted_unregularised(m, n, r, r * m, seed)).verdict == "saddle"
    if (m, n, r) in {(3, 3, 1), (5, 4, 3)}:  # sizes at which Gaussian G meet it soon; family_d has them all
        verdicts = [second_order(*planted_unregularised(m, n, r, r * m + 1, seed)).verdict for seed in range(30)]
        assert "strict minimum" in verdicts


# ----------------------------------------------------------------------------------------------------- the table


def test_the_table_reads_well_and_marks_what_does_not_apply():
    problem = traps.family_b(2).problem()
    table = thresholds(problem, solve(problem))
    lines = str(table).splitlines()
    assert lines[0] == "N = 5, K = 1, squared, d = 5, blocks 3 x 3, lam = 0.2"
    assert len(lines) == 2 + 8
    assert sum("not at this lam" in line for line in lines) == 2
    assert [rule.name for rule in table if not rule.applies] == ["lam = 0", "capacity"]
    assert table["optimum"].rank == 2
    assert "value in [0.55" in table["optimum"].evidence
    unregularised = thresholds(**ROBERTA, lam=0.0)
    assert [rule.name for rule in unregularised if not rule.applies] == ["sharp"]
    with pytest.raises(KeyError, match="there are existence"):
        table["none"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "pass a LinearizedProblem"),
        (ROBERTA | {"loss": "hinge"}, "loss is 'hinge'"),
        (ROBERTA | {"N": 0}, "at least one datum"),
        (ROBERTA | {"N": 2.5}, "whole number"),
        (ROBERTA | {"loss": "logistic"}, "does not go with K = 2"),
        (ROBERTA | {"K": 1}, "does not go with K = 1"),
        (ROBERTA | {"shapes": []}, "one .m, n. a block"),
        (ROBERTA | {"shapes": [(3, 0)]}, "one .m, n. a block"),
        ({"problem": traps.family_a().problem(), "N": 3}, "pass the problem alone"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        thresholds(**arguments)


def test_the_optimum_of_a_trap_is_the_better_point():
    trap = traps.family_a()
    solution = solve(trap.problem())
    assert solution.upper * trap.N == pytest.approx(5 / 4)
    u, _ = trap.better
    np.testing.assert_allclose(solution.factors[0][0] @ solution.factors[0][1].T, floats(u) @ floats(u).T, atol=1e-6)
