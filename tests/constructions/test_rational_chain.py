from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from flint import fmpq, fmpq_mat
from hypothesis import given
from hypothesis import strategies as st
from strategies import generators

from lora_proofs import Box, ReluNetwork, exact, instances
from lora_proofs.exact import adapt_linear_chain

I2 = exact.identity(2)


def check(frozen, target, ranks):
    """Adapt over Q and multiply the adapters back: every comparison is one of rational numbers."""
    result = adapt_linear_chain(frozen, target, ranks)
    budget = [ranks] * len(frozen) if isinstance(ranks, int) else ranks
    P = exact.identity(exact.matrix(target).nrows())
    for W, a, R in zip(frozen, result.adapters, budget, strict=True):
        assert isinstance(a.A, fmpq_mat)
        assert isinstance(a.B, fmpq_mat)
        assert a.rank <= R
        P = (exact.matrix(W) + a.B * a.A) * P
    assert exact.matrix(target) == P
    assert result.error == result.bound == 0
    assert isinstance(result.error, Fraction)
    return result


def threshold(frozen, target):
    return -(-exact.rank(exact.matrix(target) - exact.product(frozen)) // len(frozen))


# ------------------------------------------------------------------------------------------------ the chain


@pytest.mark.parametrize(("n", "entries", "count"), [(2, (-1, 0, 1), 81), (3, (0, 1), 512)])
@pytest.mark.parametrize("L", [1, 2, 3])
def test_every_small_target_from_the_identity(n, entries, count, L):
    frozen = [exact.identity(n)] * L
    targets = list(instances.all_matrices(n, entries))
    assert len(targets) == count
    for target in targets:
        check(frozen, target, threshold(frozen, target))


@pytest.mark.parametrize("seed", range(100))
def test_random_singular_targets(seed):
    rng = np.random.default_rng(seed)
    D, L = int(rng.integers(2, 7)), int(rng.integers(1, 5))
    frozen = [instances.nonsingular(rng, D) for _ in range(L)]
    target = instances.rational_planted_rank(rng, D, D, int(rng.integers(0, D)))
    assert target.det() == 0
    check(frozen, target, threshold(frozen, target))


@pytest.mark.parametrize("seed", range(10))
def test_permutations_and_projections(seed):
    rng = np.random.default_rng(seed)
    D, L = 5, 3
    frozen = [instances.permutation(rng, D) for _ in range(L)]
    for target in (instances.permutation(rng, D), instances.projection(rng, D, seed % 6), fmpq_mat(D, D)):
        check(frozen, target, threshold(frozen, target))


@pytest.mark.parametrize(
    "target",
    [
        [[0, 1], [-1, 0]],
        [[0, Fraction(4, 5)], [Fraction(4, 3), Fraction(8, 5)]],
        [[0, 0], [0, 0]],
        [[1, 0], [0, 1]],
        [[1, 1], [0, 1]],
    ],
)
def test_targets_that_the_paper_excludes(target):
    check([I2, I2], target, 1)


def test_skew_targets_of_every_even_size():
    """t^T K t = 0 for all t: no orthogonal choice of one direction a layer works."""
    for m in (1, 2, 3):
        J = fmpq_mat(2 * m, 2 * m)
        for i in range(m):
            J[2 * i, 2 * i + 1], J[2 * i + 1, 2 * i] = 1, -1
        check([exact.identity(2 * m)] * (2 * m), J, 1)


@given(generators, st.data())
def test_any_split_of_the_rank(rng, data):
    D = 4
    ranks = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    frozen = [instances.nonsingular(rng, D) for _ in ranks]
    target = exact.product(frozen) + instances.rational_planted_rank(rng, D, D, min(D, sum(ranks)))
    result = check(frozen, target, ranks)
    assert sum(a.rank for a in result.adapters) == min(D, sum(ranks))


@given(generators, st.integers(1, 5), st.integers(1, 3))
def test_a_rank_too_small_is_refused(rng, rank, L):
    D = 5
    frozen = [instances.nonsingular(rng, D) for _ in range(L)]
    target = exact.product(frozen) + instances.rational_planted_rank(rng, D, D, rank)
    R = threshold(frozen, target) - 1
    with pytest.raises(
        ValueError, match=rf"ranks sum to {R * L}, but .* has rank {rank}.*pass larger ranks, or floats"
    ):
        adapt_linear_chain(frozen, target, R)


@given(generators, st.integers(0, 4))
def test_singular_first_layer_needs_a_rank_of_its_corank(rng, corank):
    D, R = 4, 2
    frozen = [instances.rational_planted_rank(rng, D, D, D - corank), instances.nonsingular(rng, D)]
    target = instances.nonsingular(rng, D)
    if corank <= R:
        check(frozen, target, R)
    else:
        with pytest.raises(ValueError, match=r"W_1 is too singular.*pass a larger rank for layer 1"):
            adapt_linear_chain(frozen, target, R)


def test_a_singular_first_layer_is_refused_only_where_nothing_helps():
    """All singular W_1 and all targets in {-1,0,1}^(2x2), L = 2, R = 1, W_2 = I: no refusal has a counterexample.

    Adapters exist iff some P = W_1 + u v^T has rank(T - P) <= 1 and a row space that contains that of T.
    """
    values = [*range(-2, 3), fmpq(1, 2), fmpq(-1, 2)]
    rows = [(1, 0), (0, 1), (1, 1), (1, -1), (1, 2), (2, 1), (1, -2), (2, -1)]
    updates = [fmpq_mat(2, 1, u) * fmpq_mat(1, 2, v) for u in product(values, repeat=2) for v in rows]
    refusals = 0
    for W_1, target in product(instances.all_matrices(2, (-1, 0, 1)), repeat=2):
        if W_1.det() != 0:
            continue
        try:
            check([W_1, I2], target, 1)
        except ValueError:
            refusals += 1
            for P in (W_1 + update for update in updates):
                assert (target - P).rank() > 1 or fmpq_mat(P.table() + target.table()).rank() > P.rank()
    assert refusals > 0


def test_planted_singular_values_make_lemma_1_an_equality_of_rational_matrices():
    """E = U diag(s) V^T over Q: the target Pi + LR_r(E) is reached exactly, so the error is E - LR_r(E)."""
    rng = np.random.default_rng(0)
    D, R, s = 6, 1, [7, 5, 3, 2, 1]
    frozen = [instances.nonsingular(rng, D) for _ in range(3)]
    E, U, V = instances.planted_svd(rng, D, s)
    kept = fmpq_mat(D, D, [s[i] if i == j < 3 * R else 0 for i in range(D) for j in range(D)])
    truncated = exact.product(frozen) + U * kept * V.transpose()
    check(frozen, truncated, R)
    rest = exact.product(frozen) + E - truncated
    assert exact.frobenius_norm_squared(rest) == 2**2 + 1**2
    assert exact.is_positive_semidefinite(4 * exact.identity(D) - rest.transpose() * rest)


@pytest.mark.parametrize(
    "convert",
    [lambda W: W, lambda W: [[Fraction(int(v.p), int(v.q)) for v in row] for row in W.table()], exact.array],
)
def test_inputs_of_every_rational_kind(convert):
    rng = np.random.default_rng(0)
    frozen = [instances.nonsingular(rng, 3) for _ in range(2)]
    check([convert(W) for W in frozen], convert(instances.integers(rng, 3, 3)), 2)


def test_floats_are_dyadic_rationals():
    rng = np.random.default_rng(0)
    check(instances.chain(rng, 4, 8, "gaussian"), instances.gaussian(rng, 4, 4), 1)


@pytest.mark.parametrize(
    ("frozen", "target", "ranks", "match"),
    [
        ([], I2, 1, "frozen is empty; pass a list of at least one"),
        ([I2, 0 * I2], I2, 1, r"frozen\[1\] \(W_2\) is singular"),
        ([I2, exact.identity(3)], I2, 1, r"W_2.*\(3, 3\); pass a matrix of shape \(2, 2\)"),
        ([I2], exact.identity(3), 1, r"target has shape \(3, 3\); pass a matrix of shape \(2, 2\)"),
        ([[[1, float("nan")], [0, 1]]], I2, 1, "nan is not a finite real number; pass"),
        ([[[1], [0, 1]]], I2, 1, "list of rows of equal length"),
        ([I2], I2, -1, "ranks is -1; pass a whole number >= 0"),
        ([I2], I2, 0.5, "ranks is 0.5; pass a whole number >= 0"),
        ([I2], I2, True, "ranks is True; pass a whole number >= 0"),
        ([I2], I2, [1, 1], "2 ranks are given for 1 layers"),
    ],
)
def test_bad_input_is_refused_with_advice(frozen, target, ranks, match):
    with pytest.raises(ValueError, match=match):
        adapt_linear_chain(frozen, target, ranks)


# ------------------------------------------------------------------------------------------------- networks


def network(rng, D, L):
    return ReluNetwork(
        [exact.array(instances.nonsingular(rng, D)) for _ in range(L)],
        [exact.array(rng.integers(-3, 4, D)) for _ in range(L)],
    )


def rational_points(rng, n, d):
    return np.array([[fmpq(int(v), 7) for v in row] for row in rng.integers(-7, 8, (n, d))], dtype=object)


@pytest.mark.parametrize(
    ("D", "d", "L", "Lbar"),
    [
        *[(2, 2, 2, 1), (3, 3, 4, 2), (4, 4, 6, 3), (5, 5, 7, 3), (6, 6, 6, 2), (8, 8, 8, 4)],  # Theorem 3
        *[(6, 2, 2, 1), (8, 3, 3, 1), (8, 3, 6, 2), (8, 2, 4, 2)],  # a narrower target
    ],
)
def test_networks_are_equal_as_rational_functions(D, d, L, Lbar):
    rng = np.random.default_rng(D + L)
    frozen, target = network(rng, D, L), network(rng, d, Lbar)
    result = exact.adapt_relu_network(frozen, target, -(-d // (L // Lbar)), domain=Box(-1, 1))
    x = rational_points(rng, 64, d)
    assert (result(x) == target(x)).all()
    assert result.error == result.bound == 0
    assert result.certificate.holds
    assert result.certificate.evidence == "exact"
    assert result.certificate.error == 0
    assert (result(x * 1000) != target(x * 1000)).any(), "off the domain nothing is promised"
    for W, new, adapter in zip(frozen.weights, result.network.weights, result.adapters, strict=True):
        assert exact.matrix(new) == exact.matrix(W) + adapter.delta()
        assert adapter.delta().rank() <= -(-d // (L // Lbar))


def test_a_network_with_too_small_a_rank_is_refused_and_the_block_named():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"in the block of layers 1 to 2: the ranks sum to 2, but .* has rank 4"):
        exact.adapt_relu_network(network(rng, 4, 4), network(rng, 4, 2), 1, domain=Box(-1, 1))
