from fractions import Fraction

import array_api_strict
import mpmath
import numpy as np
import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st
from strategies import chains, generators, matrices, sizes

from lora_proofs import instances, linalg, precision
from lora_proofs.exact import array

BACKENDS = {
    "numpy": lambda x: x,
    "strict": array_api_strict.asarray,
    "mpf": lambda x: precision.lift(x, 32),
}


@pytest.fixture(params=BACKENDS)
def convert(request):
    with mpmath.workdps(32):
        yield BACKENDS[request.param]


def numpy_of(x):
    return np.asarray(x).astype(float)


def test_namespaces():
    x = np.eye(2)
    assert linalg.namespace(precision.lift(x, 32)) is precision
    assert linalg.namespace(x, precision.lift(x, 32)) is precision
    assert linalg.namespace(array_api_strict.asarray(x)).__name__ == "array_api_strict"
    assert "numpy" in linalg.namespace(x).__name__


# --------------------------------------------------------------------------------------------- validation


@pytest.mark.parametrize("x", [np.eye(2), np.eye(2, dtype=np.float32), array_api_strict.eye(2)])
def test_good_arrays_are_returned_as_they_are(x):
    assert linalg.check_matrix("x", x, (2, None)) is x


@pytest.mark.parametrize("number", [Fraction, fmpq, mpmath.mpf])
def test_object_arrays_of_numbers_are_good(number):
    x = np.array([[number(1), number(2)]], dtype=object)
    assert linalg.check_matrix("x", x, (1, 2)) is x
    assert linalg.check_vector("x", x[0], 2).shape == (2,)


def test_lists_become_arrays():
    assert linalg.check_matrix("x", [[1.0, 2.0]]).shape == (1, 2)


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (np.ones(2), r"x has shape \(2,\); pass an array of shape \(2 x any\)"),
        (np.ones((3, 2)), r"x has shape \(3, 2\); pass an array of shape \(2 x any\)"),
        (np.array([[1.0], [np.nan]]), "x contains NaN or infinity; pass finite numbers"),
        (np.array([[1.0], [-np.inf]]), "x contains NaN or infinity"),
        (np.array([[mpmath.mpf("inf")], [1]], dtype=object), "x contains NaN or infinity"),
        (np.array([[mpmath.nan], [1]], dtype=object), "x contains NaN or infinity"),
        (np.ones((2, 1), dtype=int), r"dtype int64; pass real floating numbers, such as x.astype\(float\)"),
        (np.ones((2, 1), dtype=bool), "dtype bool; pass real floating"),
        (np.ones((2, 1), dtype=complex), "dtype complex128; pass real floating"),
        (np.array([[None], [1]], dtype=object), "holds None, which is no real number"),
        (np.array([["a"], [1]], dtype=object), "holds 'a', which is no real number"),
    ],
)
def test_bad_matrices_are_refused(x, match):
    with pytest.raises(ValueError, match=match):
        linalg.check_matrix("x", x, (2, None))


@pytest.mark.parametrize("rank", [-1, 1.0, 0.5, True, np.bool_(True), "1", None, np.float64(2)])
def test_bad_ranks_are_refused(rank):
    with pytest.raises(ValueError, match="pass a whole number >= 0"):
        linalg.check_rank("r", rank)
    with pytest.raises(ValueError, match=r"ranks\[1\] is .*; pass a whole number >= 0"):
        linalg.check_ranks([1, rank], 2)


def test_ranks_are_one_for_all_or_one_a_layer():
    assert linalg.check_ranks(2, 3) == [2, 2, 2]
    assert linalg.check_ranks(np.array([0, 1]), 2) == linalg.check_ranks((0, 1), 2) == [0, 1]
    with pytest.raises(ValueError, match="3 ranks are given for 2 layers; pass one int, or one a layer"):
        linalg.check_ranks([1, 2, 3], 2)


# -------------------------------------------------------------------------------------------- factorisations


@given(generators, sizes, sizes)
def test_norms_and_singular_values(rng, m, n):
    x = instances.gaussian(rng, m, n)
    s = np.linalg.svd(x, compute_uv=False)
    for convert in BACKENDS.values():
        np.testing.assert_allclose(numpy_of(linalg.singular_values(convert(x))), s, rtol=1e-12, atol=1e-13)
        assert float(linalg.spectral_norm(convert(x))) == pytest.approx(s[0])
        assert float(linalg.frobenius_norm(convert(x))) == pytest.approx(np.linalg.norm(x))


def test_an_empty_matrix_has_norm_zero():
    assert linalg.spectral_norm(np.zeros((0, 3))) == 0


@given(matrices(rank=st.integers(0, 6), gap=np.inf))
def test_numerical_rank_sees_the_cliff(x):
    rank, gap = linalg.numerical_rank(x)
    assert rank == np.linalg.matrix_rank(x)
    assert gap > 1e3 or rank == min(x.shape)


@given(matrices(m=5, n=5, rank=2, gap=1e3, cond=1.0))
def test_gap_is_the_ratio_at_the_cut(x):
    assert linalg.numerical_rank(x).rank == 5
    rank, gap = linalg.numerical_rank(x, scale=1e-2 / np.finfo(float).eps / 5)  # the cut is between the clusters
    assert rank == 2
    assert gap == pytest.approx(1e3, rel=1e-9)


def test_rounding_errors_of_a_difference_have_no_rank():
    rng = np.random.default_rng(0)
    x, Q = instances.gaussian(rng, 6, 6), instances.orthogonal(rng, 6)
    noise = Q.T @ (Q @ x) - x
    assert linalg.numerical_rank(noise).rank > 0
    assert linalg.numerical_rank(noise, scale=10 * linalg.spectral_norm(x)).rank == 0


def test_rank_at_32_digits_is_finer():
    x = np.diag([1.0, 1e-20])
    assert linalg.numerical_rank(x).rank == 1
    with mpmath.workdps(32):
        rank, gap = linalg.numerical_rank(precision.lift(x, 32))
    assert rank == 2
    assert gap > 1e3
    assert linalg.numerical_rank(np.zeros((0, 2))).rank == linalg.numerical_rank(np.zeros((2, 2))).rank == 0


def test_singular_is_relative_to_the_size(convert):
    rng = np.random.default_rng(0)
    x = instances.gaussian(rng, 4, 4)
    assert not linalg.is_singular(convert(x))
    assert not linalg.is_singular(convert(1e-200 * x))
    assert linalg.is_singular(convert(np.ones((4, 4))))
    assert linalg.is_singular(convert(np.zeros((4, 4))))


def test_what_is_singular_in_double_precision_need_not_be():
    x = np.diag([1.0, 1e-20])
    assert linalg.is_singular(x)
    with mpmath.workdps(32):
        assert not linalg.is_singular(precision.lift(x, 32))


def test_divide_right(convert):
    rng = np.random.default_rng(0)
    x, y = instances.orthogonal(rng, 4), instances.gaussian(rng, 2, 4)
    np.testing.assert_allclose(numpy_of(linalg.divide_right(convert(y), convert(x))) @ x, y, atol=1e-13)
    np.testing.assert_allclose(numpy_of(linalg.inverse_transpose(convert(x))), np.linalg.inv(x).T, atol=1e-13)


def test_divide_right_by_a_singular_matrix(convert):
    """Consistent: a solution, the one of smallest norm. Inconsistent: the least-squares one."""
    rng = np.random.default_rng(0)
    x = numpy_of(array(instances.rational_planted_rank(rng, 5, 5, 3)))  # integers: of rank 3 at every precision
    z = instances.gaussian(rng, 2, 5)
    found = numpy_of(linalg.divide_right(convert(z @ x), convert(x)))
    np.testing.assert_allclose(found @ x, z @ x, atol=1e-12)
    np.testing.assert_allclose(found, z @ x @ np.linalg.pinv(x, rcond=1e-12), atol=1e-12)
    residual = numpy_of(linalg.divide_right(convert(z), convert(x))) @ x - z
    np.testing.assert_allclose(residual @ x.T, 0, atol=1e-12)
    assert np.abs(residual).max() > 0.1


def test_a_division_by_a_graded_singular_matrix_leaves_no_residual(convert):
    """Through the pseudo-inverse it would be about 1e-16 * 1e10, though the quotient is of size 1."""
    rng = np.random.default_rng(0)
    x = instances.with_singular_values(rng, 6, 6, np.geomspace(1, 1e-10, 5))
    y = instances.gaussian(rng, 2, 6) @ x
    found = numpy_of(linalg.divide_right(convert(y), convert(x)))
    np.testing.assert_allclose(found @ x, y, atol=1e-14)


@given(chains(L=4, init="gaussian"))
def test_chain_products_are_applied_in_order(weights):
    x = np.arange(1.0, len(weights[0]) + 1)
    h = x
    for W in weights:
        h = W @ h
    np.testing.assert_allclose(linalg.chain_product(weights) @ x, h, rtol=1e-9, atol=1e-9)


@given(generators, sizes, sizes, st.integers(0, 6))
def test_truncation_attains_eckart_young(rng, m, n, r):
    x = instances.gaussian(rng, m, n)
    s = [*np.linalg.svd(x, compute_uv=False), *[0.0] * 6]
    for convert in BACKENDS.values():
        y = numpy_of(linalg.truncate(convert(x), r))
        assert np.linalg.matrix_rank(y) == min(r, m, n)
        assert np.linalg.norm(x - y, 2) == pytest.approx(s[r], abs=1e-12)


def test_like_keeps_namespace_and_dtype():
    x = linalg.like(array_api_strict.ones(2, dtype=array_api_strict.float32), np.eye(2))
    assert x.dtype == array_api_strict.float32
    assert isinstance(linalg.like(precision.lift(np.eye(2), 32), np.eye(2))[0, 0], mpmath.mpf)


def test_unit_roundoff():
    assert linalg.unit_roundoff(np.eye(1)) == 2**-53
    assert linalg.unit_roundoff(np.eye(1, dtype=np.float32)) == 2**-24
    with mpmath.workdps(40):
        assert 1e-42 < linalg.unit_roundoff(precision.lift(np.eye(1), 40)) < 1e-40


def test_floats_and_object_arrays():
    x = np.eye(2)
    assert linalg.floats(x) is x
    assert linalg.floats(array(x)).dtype == float
    assert linalg.is_object(array(x))
    assert not linalg.is_object(x)
