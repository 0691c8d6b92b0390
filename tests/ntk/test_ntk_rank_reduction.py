"""Rank reduction: planted minimisers of high rank, the bound and its tightness, and points that are no minimisers."""

import numpy as np
import pytest
from builders import planted

from lora_proofs.adapters import Adapter
from lora_proofs.ntk.certificate import certify
from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.ntk.rank_reduction import reduce_adapters, reduce_rank
from lora_proofs.ntk.solvers.solve import solve

PLANTS = [
    ([(12, 12)], [12], 15),
    ([(10, 14)], [8], 10),
    ([(9, 5)], [4], 3),
    ([(5, 5)] * 4, [5] * 4, 10),
    ([(6, 9), (9, 3)], [4, 2], 7),
    ([(40, 40)], [30], 64),
]


@pytest.mark.parametrize(("shapes", "ranks", "N"), PLANTS)
def test_a_minimiser_of_high_rank_becomes_one_that_meets_the_bound(shapes, ranks, N):
    problem, u, v = planted(shapes, ranks, N)
    before = certify(problem, u, v)
    assert before.gap < 1e-10  # the plant is a minimiser
    reduced = reduce_rank(problem, u, v)
    assert reduced.ranks_before == tuple(ranks)
    assert sum(r * (r + 1) // 2 for r in reduced.ranks) <= reduced.equations <= N
    assert reduced.fit_change < 1e-11
    assert reduced.norm == pytest.approx(reduced.norm_before, rel=1e-11)
    assert problem.objective(*reduced) == pytest.approx(before.upper, rel=1e-11)
    assert certify(problem, *reduced).gap < 1e-10
    assert reduced.gap > 1e6
    for x, y in reduced.factors:
        assert x.shape[1] == np.linalg.matrix_rank(x @ y.T, tol=1e-9)
        np.testing.assert_allclose(x.T @ x, y.T @ y, atol=1e-10)


def test_blocks_share_the_bound_instead_of_having_it_each():
    problem, u, v = planted([(5, 5)] * 4, [5] * 4, 10)
    reduced = reduce_rank(problem, u, v)
    assert sum(r * (r + 1) // 2 for r in reduced.ranks) <= 10
    assert sum(reduced.ranks) < sum([4] * 4)  # r(r+1)/2 <= 10 block by block would allow 4 in each


def tight(r, lam, drop=0):
    """Return the instance for which r(r+1)/2 = KN and the only minimiser, the identity, has rank r."""
    gradients, labels = [], []
    for i in range(r):
        for j in range(i, r):
            G = np.zeros((r, r))
            G[i, j] = G[j, i] = 1.0 if i == j else 0.5
            gradients.append(G)
            labels.append(1 + lam if i == j else 0.0)
    N = len(gradients) - drop
    gradients, labels = np.array(gradients[:N])[:, None], np.array(labels[:N])
    return LinearizedProblem(gradients, np.zeros(N), labels, "squared", lam / N), np.eye(r)


@pytest.mark.parametrize("r", [1, 2, 3, 4])
def test_the_bound_is_tight(r):
    problem, eye = tight(r, 0.5)
    assert certify(problem, eye, eye).gap < 1e-13
    assert reduce_rank(problem, eye, eye).ranks == (r,)
    problem, eye = tight(r, 0.0)
    reduced = reduce_rank(problem, eye, eye)
    assert reduced.ranks == (r,)
    assert problem.objective(*reduced) < 1e-25


def test_with_one_equation_less_the_tight_instance_gives_way():
    problem, eye = tight(3, 0.5, drop=1)
    reduced = reduce_rank(problem, eye, eye)
    assert reduced.ranks == (2,)
    assert reduced.fit_change < 1e-13


@pytest.mark.parametrize(("loss", "K", "d"), [("squared", 2, 12), ("logistic", 1, 6), ("cross_entropy", 3, 12)])
@pytest.mark.parametrize("lam", [0.0, 0.1])
def test_away_from_a_minimiser_fits_stay_and_the_norm_falls(loss, K, d, lam):
    """The negative control: the norm is kept at a minimiser only, because there alone it is a function of the fits."""
    rng = np.random.default_rng(d)
    labels = {"squared": rng.standard_normal((6, K)), "logistic": rng.choice([-1, 1], 6)}
    gradients = [rng.standard_normal((6, K, 9, 8)), rng.standard_normal((6, K, 4, 7))]
    problem = LinearizedProblem(
        gradients, rng.standard_normal((6, K)), labels.get(loss, rng.integers(0, K, 6)), loss, lam
    )
    assert problem.d == d
    u, v = ([rng.standard_normal((s[k], 8)) for s in problem.shapes] for k in (0, 1))
    reduced = reduce_rank(problem, u, v)
    assert reduced.ranks_before == (8, 4)
    assert sum(r * (r + 1) // 2 for r in reduced.ranks) <= d
    assert reduced.fit_change < 1e-12
    np.testing.assert_allclose(problem.rows(*reduced), problem.rows(u, v), atol=1e-10)
    assert reduced.norm < 0.999 * reduced.norm_before
    assert reduced.norm == pytest.approx(sum(np.linalg.norm(x @ y.T, "nuc") for x, y in reduced.factors))


def test_duplicated_gradients_count_once():
    rng = np.random.default_rng(0)
    G = rng.standard_normal((9, 1, 8, 8))
    doubled = LinearizedProblem(np.repeat(G, 2, axis=0), np.zeros(18), np.zeros(18), "squared", 0.3)
    reduced = reduce_rank(doubled, rng.standard_normal((8, 6)), rng.standard_normal((8, 6)))
    assert reduced.ranks == (3,)  # 18 equations would admit 5
    assert reduced.equations == 6
    assert reduced.fit_change < 1e-12


def test_the_certified_optimum_of_a_random_problem_obeys_theorem_3_1():
    rng = np.random.default_rng(5)
    problem = LinearizedProblem(rng.standard_normal((6, 1, 8, 8)), np.zeros(6), rng.standard_normal(6), "squared", 0.02)
    [(u, v)] = solve(problem).factors
    reduced = reduce_rank(problem, u, v)
    assert reduced.ranks[0] <= 3
    assert problem.objective(*reduced) == pytest.approx(problem.objective(u, v), rel=1e-9)


@pytest.mark.parametrize("alpha", [None, 3.0])
def test_a_trained_adapter_keeps_its_linearised_outputs(alpha):
    rng = np.random.default_rng(1)
    problem = LinearizedProblem(
        [rng.standard_normal((5, 1, 7, 6)), rng.standard_normal((5, 1, 4, 4))],
        np.zeros(5),
        rng.choice([-1, 1], 5),
        "logistic",
        0.0,
    )
    adapters = [
        Adapter(A=rng.standard_normal((4, n)), B=rng.standard_normal((m, 4)), alpha=alpha) for m, n in problem.shapes
    ]
    reduced = reduce_adapters(problem, adapters)
    assert sum(a.rank * (a.rank + 1) // 2 for a in reduced) <= 5
    np.testing.assert_allclose(
        problem.apply([a.delta() for a in reduced]), problem.apply([a.delta() for a in adapters]), atol=1e-11
    )
    assert sum(np.linalg.norm(a.delta(), "nuc") for a in reduced) < sum(
        np.linalg.norm(a.delta(), "nuc") for a in adapters
    )


def test_zero_columns_and_zero_updates_vanish():
    problem, u, v = planted([(6, 6)], [2], 9)
    padded = reduce_rank(problem, np.pad(u[0], ((0, 0), (0, 3))), np.pad(v[0], ((0, 0), (0, 3))))
    assert padded.ranks_before == padded.ranks == (2,)
    assert isinstance(padded.u, np.ndarray)
    nothing = reduce_rank(problem, np.zeros((6, 2)), np.zeros((6, 2)))
    assert nothing.ranks == (0,)
    assert nothing.u.shape == (6, 0)
    assert nothing.norm == nothing.fit_change == 0
    assert reduce_rank(problem, np.zeros((6, 0)), np.zeros((6, 0))).ranks == (0,)


def test_bad_input_is_refused():
    problem, u, v = planted([(6, 6)], [2], 9)
    with pytest.raises(ValueError, match="shape"):
        reduce_rank(problem, u, [v[0][:, :1]])
    with pytest.raises(ValueError, match="blocks"):
        reduce_adapters(problem, [])


def test_plain_arrays_give_plain_arrays():
    problem, (u,), (v,) = planted([(9, 5)], [4], 3)
    reduced = reduce_rank(problem, u, v)
    assert reduced.u.shape == (9, reduced.ranks[0])
    assert reduced.v.shape == (5, reduced.ranks[0])
    ((x, y),) = reduced.factors
    assert x is reduced.u
    assert y is reduced.v
    (pair,) = reduce_rank(problem, [u], [v]).factors
    assert [side.shape for side in pair] == [x.shape, y.shape]
