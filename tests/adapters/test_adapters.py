from fractions import Fraction
from importlib import import_module

import mpmath
import numpy as np
import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st
from strategies import LIBRARIES, matrices

from lora_proofs import Adapter
from lora_proofs.instances import gaussian


def factors(r=2, out=3, in_=4, seed=0):
    rng = np.random.default_rng(seed)
    return gaussian(rng, r, in_), gaussian(rng, out, r)


def objects(convert, rows):
    return np.array([[convert(x) for x in row] for row in rows], dtype=object)


@given(matrices(m=st.integers(1, 5), n=4), matrices(m=3, n=st.integers(1, 5)))
def test_delta_is_the_scaled_product_and_merge_adds_it(A, B):
    r = min(len(A), B.shape[1])
    A, B = A[:r], B[:, :r]
    W = np.arange(12.0).reshape(3, 4)
    adapter = Adapter(A, B)
    assert (adapter.rank, adapter.shape, adapter.scaling) == (r, (3, 4), 1.0)
    np.testing.assert_array_equal(adapter.delta(), B @ A)
    np.testing.assert_array_equal(adapter.merge(W), W + B @ A)
    assert np.linalg.matrix_rank(adapter.delta()) <= r


def test_alpha_scales_as_peft_does():
    A, B = factors(r=2)
    adapter = Adapter(A, B, alpha=16)
    assert adapter.scaling == 8.0
    np.testing.assert_allclose(adapter.delta(), 8 * B @ A, rtol=1e-15)


def test_the_transpose_adapts_the_transposed_weight():
    adapter = Adapter(*factors(), alpha=3)
    np.testing.assert_array_equal(adapter.T.delta(), adapter.delta().T)
    assert adapter.T.shape == (4, 3)


@pytest.mark.parametrize("alpha", [None, 4])
def test_rank_zero_is_legal_and_changes_nothing(alpha):
    W = np.ones((3, 4), dtype=np.float32)
    adapter = Adapter(np.zeros((0, 4), np.float32), np.zeros((3, 0), np.float32), alpha)
    zero = Adapter.zero(3, 4, like=W)
    for a in (adapter, zero, zero.T.T):
        assert (a.rank, a.scaling) == (0, 1.0)
        assert a.delta().dtype == np.float32
        np.testing.assert_array_equal(a.merge(W), W)


@pytest.mark.parametrize("number", [mpmath.mpf, Fraction, fmpq])
def test_exact_and_multiprecision_entries_stay_what_they_are(number):
    A, B = objects(number, [[1, 2]]), objects(number, [[3], [1]])
    merged = Adapter(A, B, alpha=5).merge(objects(number, [[1, 0], [0, 1]]))
    assert merged.tolist() == [[16, 30], [5, 11]]
    assert all(type(x) is type(number(1)) for x in merged.flat)
    assert (Adapter.zero(2, 2, like=A).merge(B @ A) == B @ A).all()


def test_scaling_of_rationals_is_exact():
    A, B = objects(Fraction, [[1]] * 3), objects(Fraction, [[1, 1, 1]])
    assert Adapter(A, B, alpha=1).delta().item() == 1  # 3 times 1/3, which a float is not


@pytest.mark.parametrize("library", LIBRARIES)
def test_other_array_libraries(library):
    xp = import_module(library)
    A, B = (xp.asarray(x.astype(np.float32)) for x in factors())
    adapter = Adapter(A, B, alpha=4)
    W = xp.ones((3, 4), dtype=xp.float32)
    for x in (adapter.delta(), adapter.merge(W), adapter.T.delta(), Adapter.zero(3, 4, like=W).delta()):
        assert isinstance(x, type(A))
        assert x.dtype == xp.float32
    np.testing.assert_allclose(np.asarray(adapter.merge(W)), 1 + 2 * np.asarray(B) @ np.asarray(A), rtol=1e-5)


def test_read_only_arrays_are_left_alone():
    A, B = factors()
    A.flags.writeable = B.flags.writeable = False
    Adapter(A, B, alpha=2).merge(np.ones((3, 4)))


def test_bad_input_is_refused_with_what_to_pass_instead():
    A, B = factors()
    for bad in (A * np.nan, np.full_like(A, np.inf), A[0], A.astype(int), A * 1j):
        with pytest.raises(ValueError, match="A "):
            Adapter(bad, B)
    with pytest.raises(ValueError, match="no common rank"):
        Adapter(A, B[:, :1])
    with pytest.raises(ValueError, match="are they exchanged"):
        Adapter(B, A)
    with pytest.raises(ValueError, match="W "):
        Adapter(A, B).merge(np.ones((4, 3)))


@pytest.mark.parametrize("alpha", [0, -1.0, float("nan"), float("inf"), True, "8"])
def test_alpha_must_be_a_finite_positive_number(alpha):
    with pytest.raises(ValueError, match="alpha"):
        Adapter(*factors(), alpha=alpha)
