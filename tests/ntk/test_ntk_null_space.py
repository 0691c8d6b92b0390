"""Dependencies of the rows: exact at every scale, near the given point, in the simplex, and none where none is."""

from contextlib import contextmanager

import flint
import numpy as np
import pytest

from lora_proofs.ntk import FactoredGradients, LinearizedProblem, null_space
from lora_proofs.ntk.null_space import TooLarge, feasible


@contextmanager
def bits(n):
    saved, flint.ctx.prec = flint.ctx.prec, n
    try:
        yield
    finally:
        flint.ctx.prec = saved


def problem_of(G, loss="squared", labels=None, lam=0.0):
    N, K = (G[0] if isinstance(G, list) else G).shape[:2]
    labels = np.zeros((N, K)) if labels is None else labels
    return LinearizedProblem(G, np.zeros((N, K)), labels, loss, lam)


def leftover(problem, p):
    """Return balls for the entries of sum_k p_k G_k, relative to sum_k |p_k| |G_k|."""
    loss, found = problem.canonical_loss, []
    for block in problem.blocks:
        array = block.array if hasattr(block, "array") else block.left_factors @ block.right_factors.swapaxes(2, 3)
        N, K, m, n = array.shape
        if problem.loss == "cross_entropy":
            rows = [[array[i, k], array[i, y]] for i, y in enumerate(loss.labels) for k in range(K) if k != y]
        else:
            signs = -loss.labels if problem.loss == "logistic" else np.ones(N * K)
            rows = [[y * g, 0 * g] for y, g in zip(signs, array.reshape(N * K, m, n), strict=True)]
        for a, b in np.ndindex(m, n):
            terms = [x * (flint.arb(g[a, b]) - flint.arb(h[a, b])) for x, (g, h) in zip(p, rows, strict=True)]
            size = sum((abs(t) for t in terms), flint.arb(0))
            found.append(sum(terms, flint.arb(0)) / (size + flint.arb(2) ** -3000))
    return found


def is_feasible(problem, p):
    with bits(2000):
        return all(x.contains(0) and bool(abs(x) < 1e-30) for x in leftover(problem, p))


def floats(p):
    return np.array([float(x.mid()) for x in p])


@pytest.mark.parametrize("d", [5, 7, 12])  # at 12 rows of 4 entries the columns are fewer than the null space
def test_the_nearest_point_with_vanishing_S(d):
    rng = np.random.default_rng(d)
    G, q = rng.normal(size=(d, 1, 2, 2)), rng.normal(size=d)
    problem = problem_of(G)
    p = feasible(problem, q)
    assert is_feasible(problem, p)
    B = np.linalg.qr(G.reshape(d, 4))[0]
    assert floats(p) == pytest.approx(q - B @ (B.T @ q), abs=1e-13)
    assert not is_feasible(problem, [flint.arb(x) for x in floats(p).tolist()])  # rounded it is feasible no more


def test_both_ways_agree():
    rng = np.random.default_rng(0)
    rows = flint.fmpz_mat(rng.integers(-9, 10, (9, 3)).tolist())
    exponents, q = rng.integers(-8, 9, 9).tolist(), rng.uniform(0.1, 1, 9)
    columns = [[rows[i, j] for i in range(9)] for j in range(3)]
    for relative in (False, True):
        with bits(256):
            one = null_space._without(columns, exponents, q, relative)
            other = null_space._projected(null_space._null_space(rows), exponents, q, relative)
            assert all(bool(abs(x - y) < 1e-60) for x, y in zip(one, other, strict=True))
    A = np.array(rows.tolist(), dtype=float) * 2.0 ** np.array(exponents)[:, None]
    expected = q - q * (A @ np.linalg.lstsq(A.T @ (q[:, None] * A), A.T @ q, rcond=None)[0])
    assert floats(one) == pytest.approx(expected, rel=1e-8)


def test_nearly_dependent_rows_are_not_dependent():
    rng = np.random.default_rng(1)
    g = rng.normal(size=(2, 3))
    twice = problem_of(np.stack([g, 2 * g])[:, None])
    assert floats(feasible(twice, np.array([1.0, 0.0]))) == pytest.approx([0.8, -0.4], rel=1e-14)
    near = g.copy()
    near[0, 0] = np.nextafter(near[0, 0], 9)
    assert floats(feasible(problem_of(np.stack([g, near])[:, None]), np.ones(2))).tolist() == [0, 0]


@pytest.mark.parametrize("sizes", [(1e-150, 1e150), (1e150, 1.0), (1.0, 1e-300)])
def test_scales_of_rows_and_blocks_do_not_matter(sizes):
    rng = np.random.default_rng(2)
    G = rng.integers(-9, 10, (6, 1, 1, 2)) / 8.0
    H = rng.integers(-9, 10, (6, 1, 2, 1)) / 8.0
    G[3:] = G[:3]
    H[3:] = H[:3]
    reference = floats(feasible(problem_of([G, H]), np.arange(6.0)))
    assert np.abs(reference).max() > 0.1
    powers = [2.0 ** round(np.log2(s)) for s in sizes]
    problem = problem_of([powers[0] * G, powers[1] * H])
    p = feasible(problem, np.arange(6.0))
    assert is_feasible(problem, p)
    assert floats(p) == pytest.approx(reference, abs=1e-13)
    rows = np.array([1, 1, 1, 2.0**-300, 2.0**300, 1])[:, None, None, None]
    problem = problem_of([rows * G, rows * H])
    p = feasible(problem, np.arange(6.0))
    assert is_feasible(problem, p)
    assert np.abs(floats(p)).max() > 0.1


def test_factors_and_operators_have_the_same_dependencies():
    rng = np.random.default_rng(3)
    L, R = rng.integers(-3, 4, (7, 1, 2, 2)) / 4.0, rng.integers(-3, 4, (7, 1, 2, 2)) * 2.0**40
    dense = L @ R.swapaxes(2, 3)

    class Operator:
        shape = dense.shape

        def apply(self, delta):
            return np.einsum("ikmn,mn->ik", dense, delta)

        def adjoint(self, c):
            return np.einsum("ik,ikmn->mn", c, dense)

    q = rng.normal(size=7)
    expected = floats(feasible(problem_of(dense), q))
    factored = problem_of(FactoredGradients(L, R))
    assert floats(feasible(factored, q)) == pytest.approx(expected, abs=1e-13)
    assert is_feasible(factored, feasible(factored, q))
    operator = LinearizedProblem(Operator(), np.zeros((7, 1)), np.zeros((7, 1)), "squared", 0.0)
    assert floats(feasible(operator, q)) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("loss", ["logistic", "cross_entropy"])
def test_slopes_stay_in_the_simplex_and_small_ones_move_by_small_shares(loss):
    rng = np.random.default_rng(4)
    K = 1 if loss == "logistic" else 3
    labels = rng.choice([-1, 1], 9) if K == 1 else rng.integers(0, 3, 9)
    G = rng.normal(size=(9, K, 1, 2))
    width = max(1, K - 1)
    q = rng.uniform(0.1, 0.9, 9 * width) / width
    q[1], q[2] = 1e-12, 1e-25
    # The last gradient that has a weight is what makes q feasible but for rounding.
    (S,) = problem_of(G, loss, labels).adjoint(q)
    last = 0 if K == 1 else max(k for k in range(K) if k != labels[8])
    G[8, last] -= 9 * S / (-labels[8] * q[-1] if K == 1 else q[-1])
    problem = problem_of(G, loss, labels)
    shaken = q * (1 + 1e-9 * rng.normal(size=len(q)))
    p = feasible(problem, shaken)
    assert is_feasible(problem, p)
    found = floats(p)
    assert (found >= 0).all()
    assert (found.reshape(9, -1).sum(axis=1) <= 1 + 1e-15).all()
    assert found[2] == 0
    assert found[1] == pytest.approx(shaken[1], rel=1e-6)
    assert found == pytest.approx(shaken, rel=1e-6, abs=1e-20)


def test_sums_above_1_are_scaled_down():
    with bits(256):
        p = null_space._within([flint.arb(x) for x in (0.9, 0.3, 0.1, 0.2)], 2)
        assert floats(p) == pytest.approx(np.array([0.9, 0.3, 0.1, 0.2]) / 1.2)
        assert bool(p[0] + p[1] <= 1 + flint.arb(2) ** -200)
        kept = [flint.arb(x) for x in (0.5, 0.5, 0.1, 0.2)]
        assert null_space._within(kept, 2) is kept


def test_zero_gradients_leave_everything_free():
    q = np.array([1.0, -2.0, 3.0])
    assert floats(feasible(problem_of(np.zeros((3, 1, 2, 2))), q)).tolist() == q.tolist()
    halves = problem_of(np.zeros((3, 1, 2, 2)), "logistic", np.array([1, -1, 1]))
    assert floats(feasible(halves, np.zeros(3))).tolist() == [0, 0, 0]


def test_too_many_rows(monkeypatch):
    problem = problem_of(np.ones((3, 1, 2, 2)))
    monkeypatch.setattr(null_space, "_ENTRIES", 12)
    assert is_feasible(problem, feasible(problem, np.ones(3)))
    monkeypatch.setattr(null_space, "_ENTRIES", 11)
    with pytest.raises(TooLarge, match="more than 11 entries"):
        feasible(problem, np.ones(3))
    monkeypatch.setattr(null_space, "_ENTRIES", 12)
    monkeypatch.setattr(null_space, "_ORDER", 2)
    with pytest.raises(TooLarge, match="3 x 4 rows"):
        feasible(problem, np.ones(3))


def test_the_precision_is_left_as_it_was():
    before = flint.ctx.prec
    feasible(problem_of(np.ones((3, 1, 2, 2))), np.ones(3))
    assert flint.ctx.prec == before


def test_each_datum_keeps_its_own_sum_within_1():
    p = [flint.arb(x) for x in (0.25, 0.25, 0.5, 1.5)]
    assert [float(x) for x in null_space._within(p, 2)] == [0.125, 0.125, 0.25, 0.75]
    assert [float(x) for x in null_space._within(p[:2], 2)] == [0.25, 0.25]


def test_the_largest_order_is_still_taken(monkeypatch):
    monkeypatch.setattr(null_space, "_ORDER", 2)
    assert len(null_space._null_space(flint.fmpz_mat([[1, 2], [2, 4]]))) == 1
    with pytest.raises(TooLarge, match="too many"):
        null_space._null_space(flint.fmpz_mat(3, 3, list(range(9))))
