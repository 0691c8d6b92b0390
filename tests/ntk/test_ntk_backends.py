"""The NTK solvers, certificates and verdicts on every array library and device that is here (see `backends`)."""

import numpy as np
import pytest

from lora_proofs import Adapter, ntk

AGREE = 1e-10


def problems(xp, loss):
    rng = np.random.default_rng(0)
    K, N = {"squared": (2, 4), "logistic": (1, 6), "cross_entropy": (3, 4)}[loss]
    labels = {"squared": rng.standard_normal((N, K)), "logistic": rng.choice([-1.0, 1.0], N)}.get(
        loss, np.arange(N) % K
    )
    G = [rng.standard_normal((N, K, 5, 6)), rng.standard_normal((N, K, 4, 3))]
    offsets = 0.1 * rng.standard_normal((N, K))
    plain = ntk.LinearizedProblem(G, offsets, labels, loss, 0.05)
    ours = [xp.asarray(g) for g in G], xp.asarray(offsets), xp.asarray(labels, labels.dtype.name)
    return plain, ntk.LinearizedProblem(*ours, loss, 0.05)


@pytest.mark.parametrize("loss", ["squared", "logistic", "cross_entropy"])
def test_solving_certifying_and_judging(xp, loss):
    plain, problem = problems(xp, loss)
    expected, solution = ntk.solve(plain), ntk.solve(problem)
    assert (solution.upper, solution.lower) == pytest.approx((expected.upper, expected.lower), rel=AGREE)
    u, v = (list(side) for side in zip(*solution.factors, strict=True))
    assert all(xp.owns(x) for x in (*u, *v))
    assert ntk.certify(problem, u, v).gap < 1e-8
    assert ntk.certify(problem, u, v, rigorous=True).lower == pytest.approx(expected.lower, rel=1e-8)
    assert ntk.second_order(problem, u, v).verdict != "saddle"
    assert ntk.thresholds(problem, solution) == ntk.thresholds(plain, expected)


def test_escapes_and_reduced_ranks(xp):
    _, problem = problems(xp, "squared")
    zero = (
        [xp.asarray(np.zeros((m, 2))) for m, _ in problem.shapes],
        [xp.asarray(np.zeros((n, 2))) for _, n in problem.shapes],
    )
    judged = ntk.second_order(problem, *zero)
    assert judged.verdict == "saddle"
    assert all(xp.owns(x) for side in judged.escape for x in side)
    rng = np.random.default_rng(1)
    u, v = ([xp.asarray(rng.standard_normal((shape[i], 3))) for shape in problem.shapes] for i in (0, 1))
    reduced = ntk.reduce_rank(problem, u, v)
    assert all(xp.owns(x) for x in (*reduced.u, *reduced.v))
    assert reduced.fit_change < AGREE


def test_one_block_and_factored_gradients(xp):
    rng = np.random.default_rng(0)
    left, right, y = rng.standard_normal((4, 1, 5, 2)), rng.standard_normal((4, 1, 6, 2)), rng.standard_normal((4, 1))
    dense = np.einsum("ikmt,iknt->ikmn", left, right)
    expected = ntk.solve(ntk.LinearizedProblem(dense, 0 * y, y, "squared", 0.05))
    G = ntk.FactoredGradients(xp.asarray(left), xp.asarray(right))
    solution = ntk.solve(ntk.LinearizedProblem(G, xp.asarray(0 * y), xp.asarray(y), "squared", 0.05))
    assert solution.upper == pytest.approx(expected.upper, rel=AGREE)
    problem = ntk.LinearizedProblem(xp.asarray(dense), 0 * y, y, "squared", 0.05)
    (u, v), *_ = ntk.solve(problem).factors
    assert xp.owns(u)
    assert ntk.reduce_rank(problem, u, v).fit_change < AGREE
    adapters = [Adapter(A=v.T, B=u)]
    assert xp.owns(ntk.rank_reduction.reduce_adapters(problem, adapters)[0].A)
