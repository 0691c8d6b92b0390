import array_api_strict
import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import generators

from lora_proofs import exact, instances
from lora_proofs.constructions import adapt_factor_pair, exact_factor_pair
from lora_proofs.precision import lift

SHAPES = [
    (6, 3, 5),
    (5, 4, 9),
    (3, 2, 4),
    (4, 4, 6),
    (6, 4, 4),
    (3, 5, 4),
    (6, 4, 3),
    (2, 4, 6),
    (4, 4, 4),
]  # (D, d, n)


def planted(rng, D, d, n, outside_O, outside_V, inside):
    """Draw a pair and a target (O M + X)(V + Y) with X, Y, M - I of these ranks."""
    O, V, one = instances.gaussian(rng, D, d), instances.gaussian(rng, d, n), np.eye(d)
    M = one + instances.planted_rank(rng, d, d, min(inside, d))
    X = instances.planted_rank(rng, D, d, min(outside_O, D, d))
    return V, O, (O @ M + X) @ (V + instances.planted_rank(rng, d, n, min(outside_V, d, n)))


def numerical_ranks(V, O, T):
    """Return rank((I - P_O) T), rank(T (I - P_V)) and rank E, from explicit projections."""
    P_O, P_V = O @ np.linalg.pinv(O), np.linalg.pinv(V) @ V
    return [np.linalg.matrix_rank(x, tol=1e-8 * np.linalg.norm(T)) for x in (T - P_O @ T, T - T @ P_V, T - O @ V)]


def minimal_ranks(V, O, T):
    a, b, e = numerical_ranks(V, O, T)
    return [(max(b, e - r), r) for r in range(a, O.shape[1] + 1) if max(b, e - r) <= O.shape[1]]


def product(V, O, adapters):
    return adapters[1].merge(O) @ adapters[0].merge(V)


@given(generators, st.sampled_from(SHAPES), st.integers(0, 3), st.integers(0, 3), st.integers(0, 4))
def test_the_theorem_is_constructive(rng, shape, outside_O, outside_V, inside):
    V, O, T = planted(rng, *shape, outside_O, outside_V, inside)
    for ranks in minimal_ranks(V, O, T):
        result = adapt_factor_pair([V, O], T, ranks)
        assert result.error <= 1e-10 * np.linalg.norm(T, 2)
        assert result.error == pytest.approx(np.linalg.norm(product(V, O, result.adapters) - T, 2))
        assert all(a.rank <= r for a, r in zip(result.adapters, ranks, strict=True))


@given(generators, st.sampled_from(SHAPES), st.integers(0, 3), st.integers(0, 3))
def test_no_adapters_go_below_the_bound(rng, shape, r_V, r_O):
    D, d, n = shape
    V, O, T = instances.gaussian(rng, d, n), instances.gaussian(rng, D, d), instances.gaussian(rng, D, n)
    result = adapt_factor_pair([V, O], T, [r_V, r_O])
    slack = 1e-10 * np.linalg.norm(T, 2)
    assert result.bound <= result.error + slack
    assert result.error <= np.linalg.norm(T - O @ V, 2) + slack or np.linalg.norm(
        product(V, O, result.adapters) - T
    ) <= np.linalg.norm(T - O @ V)
    for scale in (0.1, 1):
        on_V, on_O = (scale * instances.planted_rank(rng, *x.shape, min(r, *x.shape)) for x, r in ((V, r_V), (O, r_O)))
        assert result.bound <= np.linalg.norm((O + on_O) @ (V + on_V) - T, 2) + slack


@given(generators, st.sampled_from([(3, 5, 4), (4, 4, 4), (2, 4, 4), (3, 3, 1)]), st.integers(0, 2), st.integers(0, 2))
def test_without_a_bottleneck_lemma_1_holds(rng, shape, r_V, r_O):
    D, d, n = shape
    V, O, T = instances.gaussian(rng, d, n), instances.gaussian(rng, D, d), instances.gaussian(rng, D, n)
    sigma = np.append(np.linalg.svd(T - O @ V, compute_uv=False), np.zeros(4))[r_V + r_O]
    result = adapt_factor_pair([V, O], T, [r_V, r_O])
    assert result.error == pytest.approx(sigma, abs=1e-9)
    assert result.bound == pytest.approx(sigma, abs=1e-9)


@given(generators, st.integers(0, 3), st.integers(0, 4))
def test_within_the_frozen_factors_lemma_1_holds(rng, R, rank):
    V, O = instances.gaussian(rng, 4, 7), instances.gaussian(rng, 6, 4)
    T = O @ instances.planted_rank(rng, 4, 4, rank) @ V
    sigma = np.append(np.linalg.svd(T - O @ V, compute_uv=False), np.zeros(4))[2 * R]
    assert adapt_factor_pair([V, O], T, R).error == pytest.approx(sigma, abs=1e-9)


def test_below_the_threshold_the_eckart_young_value_is_out_of_reach():
    O, V, T = np.eye(4)[:, :2], np.eye(4)[:2], np.diag([0.0, 0, 2, 2])
    assert np.linalg.svd(T - O @ V, compute_uv=False)[2] == pytest.approx(1)
    result = adapt_factor_pair([V, O], T, 1)
    assert (result.error, result.bound) == pytest.approx((2, 2))
    assert adapt_factor_pair([V, O], T, 2).error == pytest.approx(0, abs=1e-14)


def test_below_the_threshold_the_error_is_near_the_bound():
    rng = np.random.default_rng(0)
    V, O, T = planted(rng, 40, 16, 40, 16, 16, 16)
    for R in (2, 4, 8, 12, 15):
        result = adapt_factor_pair([V, O], T, R)
        assert result.bound <= result.error <= 1.5 * result.bound


@pytest.mark.parametrize("noise", [1e-14, 1e-11, 1e-7])
def test_a_nearly_representable_target_is_nearly_represented(noise):
    rng = np.random.default_rng(1)
    V, O, T = planted(rng, 7, 4, 6, 1, 1, 1)
    noisy = T + noise * instances.gaussian(rng, *T.shape)
    for ranks in minimal_ranks(V, O, T):
        assert adapt_factor_pair([V, O], noisy, ranks).error <= 1e3 * noise


def test_a_target_of_low_rank_outside_the_frozen_factors_is_approached():
    rng = np.random.default_rng(2)
    V, O, T = instances.gaussian(rng, 4, 6), instances.gaussian(rng, 7, 4), instances.planted_rank(rng, 7, 6, 2)
    errors = [adapt_factor_pair([V, O], T, R).error for R in range(5)]
    assert errors[:3] == sorted(errors[:3], reverse=True)
    assert errors[3:] == pytest.approx([0, 0], abs=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_array_library_gives_the_same(shape):
    V, O, T = planted(np.random.default_rng(3), *shape, 1, 1, 1)
    for x in (V, O, T):
        x.flags.writeable = False
    for R in (0, 1, 2):
        numpy, strict = (adapt_factor_pair([f(V), f(O)], f(T), R) for f in (np.asarray, array_api_strict.asarray))
        single = adapt_factor_pair([V.astype("f4"), O.astype("f4")], T.astype("f4"), R)
        assert isinstance(strict.adapters[1].B, type(array_api_strict.asarray(0.0)))
        assert strict.error == pytest.approx(numpy.error, abs=1e-9)
        assert single.adapters[0].A.dtype == np.float32
        assert single.bound == pytest.approx(numpy.bound, abs=1e-3)


def test_more_digits_give_a_smaller_error():
    V, O = (x.astype(float) for x in (np.array([[1, 2, 0, 1], [0, 1, 1, 3]]), np.array([[1, 0], [2, 1], [1, 1]])))
    T = np.array([[2, 1], [2, 1], [0, 3]]) @ (V + np.outer([1, 2], [1, 0, 0, 1]))
    with mpmath.workdps(32):
        result = adapt_factor_pair([lift(V, 32), lift(O, 32)], lift(T, 32), 2)
    assert result.error < 1e-28


def test_an_instance_beyond_the_arithmetic_carries_a_warning():
    rng = np.random.default_rng(4)
    V, O, T = planted(rng, 6, 3, 6, 1, 1, 1)
    assert adapt_factor_pair([V, O], T, 3).conditioning.warning == ""
    hopeless = adapt_factor_pair([V * 1e7, O * 1e7], T * 1e-3, 1)
    assert "precision.lift" in hopeless.conditioning.warning


@given(generators, st.sampled_from(SHAPES), st.integers(0, 2), st.integers(0, 2), st.integers(0, 3))
def test_over_q_adapters_exist_exactly_when_the_theorem_says_so(rng, shape, outside_O, outside_V, inside):
    D, d, n = shape
    O, V = (instances.rational_planted_rank(rng, *size, min(size)) for size in ((D, d), (d, n)))
    M = exact.identity(d) + instances.rational_planted_rank(rng, d, d, min(inside, d))
    X = instances.rational_planted_rank(rng, D, d, min(outside_O, D, d))
    T = (O * M + X) * (V + instances.rational_planted_rank(rng, d, n, min(outside_V, d, n)))
    if exact.rank(T) < min(shape):
        return
    beside = [a + b for a, b in zip(O.table(), T.table(), strict=True)]
    a, b, e = exact.rank(beside) - O.rank(), exact.rank(V.table() + T.table()) - V.rank(), exact.rank(T - O * V)
    for r_V in range(d + 1):
        for r_O in range(d + 1):
            if r_O >= a and r_V >= b and r_V + r_O >= e:
                result = exact_factor_pair([V, O], T, [r_V, r_O])
                assert result.adapters[1].merge(O) * result.adapters[0].merge(V) == T
                assert [x.rank <= r for x, r in zip(result.adapters, (r_V, r_O), strict=True)] == [True, True]
            else:
                with pytest.raises(ValueError, match="no exact adapters exist"):
                    exact_factor_pair([V, O], T, [r_V, r_O])


V, O, T = np.eye(3)[:2], np.eye(4)[:, :2], np.ones((4, 3))


@pytest.mark.parametrize(
    ("frozen", "target", "ranks", "words"),
    [
        ([V], T, 1, "factor pair is"),
        ([V, O, O], T, 1, "factor pair is"),
        ([V, O[:, :1]], T, 1, "pass an array of shape"),
        ([V, O], T.T, 1, "pass an array of shape"),
        ([V * np.nan, O], T, 1, "NaN"),
        ([V, O], T.astype(int), 1, "dtype"),
        ([V, O], T, -1, "whole number"),
        ([V, O], T, 0.5, "whole number"),
        ([V, O], T, [1, 1, 1], "3 ranks"),
        ([V[[0, 0]], O], T, 1, "full rank"),
        ([V, O * 0], T, 1, "full rank"),
    ],
)
def test_bad_input_is_refused_in_one_line(frozen, target, ranks, words):
    with pytest.raises(ValueError, match=words) as refusal:
        adapt_factor_pair(frozen, target, ranks)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("frozen", "target", "ranks", "words"),
    [
        ([V], T, 1, "factor pair is"),
        ([V, O[:, :1]], T, 1, "do not fit"),
        ([V, O], T.T, 1, "do not fit"),
        ([V, O + np.inf], T, 1, "finite"),
        ([V, O], T, -1, "whole number"),
        ([V[[0, 0]], O], T, 1, "full rank"),
        ([V, O], np.ones((4, 3)), 2, "needs a target of rank 2"),
    ],
)
def test_bad_rational_input_is_refused_in_one_line(frozen, target, ranks, words):
    with pytest.raises(ValueError, match=words):
        exact_factor_pair([x.tolist() for x in frozen], target.tolist(), ranks)
