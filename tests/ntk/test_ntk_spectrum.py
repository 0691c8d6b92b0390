"""The bound of the operator norm leaves room for the worst rounding, not only for that which happens."""

import numpy as np
import pytest

from lora_proofs.ntk import spectrum
from lora_proofs.ntk.spectrum import leading, operator_norm_bound, slack

EPS = 2.0**-52


def shaped(m, n, s):
    """Return a matrix (m, n) whose singular values are s, and which is diagonal."""
    S = np.zeros((m, n))
    S[np.arange(len(s)), np.arange(len(s))] = s
    return S


@pytest.mark.parametrize(("m", "n", "s"), [
    (100, 100, np.ones(100)), (4000, 2, [1.0]), (4000, 2, [1.0, 1.0]), (2, 4000, [1.0]), (100, 100, [1.0]),
    (200, 170, np.ones(170)),
])  # fmt: skip
@pytest.mark.parametrize("scale", [1.0, 3.0, 1e-200])
def test_each_rounding_of_the_factorisation_is_allowed_for(m, n, s, scale):
    """(n + 2) n c^2 for the Cholesky factorisation, (m + 4) |S|_F^2 for the product: half of it in the root."""
    rounding = EPS * ((min(m, n) + 2) * min(m, n) + (max(m, n) + 4) * np.sum(np.square(s))) / 2
    above = operator_norm_bound(scale * shaped(m, n, s)) / scale - 1
    assert rounding < above < 1.02 * rounding + 1e-13


def test_a_number_is_rounded_up_by_a_few_units():
    """Half the margin of 1e-14, four units for the square and its root, and eight for the scaling."""
    assert (operator_norm_bound(np.array([[1.0]])) - 1) / EPS == 34
    # A row of 100 ones, of norm 10, has |S|_F^2 = c^2 = 100: (3 + 104) / 2 units for their rounding.
    assert 82 < (operator_norm_bound(np.ones((1, 100))) / 10 - 1) / EPS < 86


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999999, 1.0])
def test_a_poor_estimate_of_the_norm_does_no_harm(monkeypatch, share):
    S = shaped(200, 170, np.linspace(3, 1, 170))
    monkeypatch.setattr(spectrum, "_largest_eigenvalue", lambda A: share)  # S is scaled by its largest row sum
    assert 3 <= operator_norm_bound(S) <= 6.4
    monkeypatch.setattr(spectrum, "leading", lambda S, k: (None, np.array([share * 3.0 / 4.0]), None))
    assert 1 <= operator_norm_bound(shaped(4, 4, [1.0, 0.5])) <= 2.1


def test_what_is_empty_zero_or_not_finite():
    assert operator_norm_bound(np.zeros((0, 3))) == operator_norm_bound(np.zeros((3, 2))) == 0
    for bad in (np.nan, np.inf):
        assert operator_norm_bound(np.array([[1.0, bad]])) == np.inf


def test_the_slack_of_a_sum_grows_with_the_root_of_its_terms():
    assert [slack(terms) / EPS for terms in (0, 1, 100)] == [8, 16, 88]


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (180, 170), (170, 180), (400, 165)])
@pytest.mark.parametrize("k", [1, 2, 9])
def test_leading_triplets(shape, k):
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((size, min(shape))))[0] for size in shape)
    s = 2.0 ** -np.arange(min(shape))
    S = U * s @ V.T
    k_found = min(k, *shape)
    for guess in (None, V[:, : k + 3]):
        left, values, right = leading(S, k, guess)
        assert (left.shape, values.shape, right.shape) == ((shape[0], k_found), (k_found,), (shape[1], k_found))
        np.testing.assert_allclose(values, s[:k_found], rtol=1e-6)
        np.testing.assert_allclose(left * values @ right.T, U[:, :k_found] * s[:k_found] @ V[:, :k_found].T, atol=1e-5)
        for Q in (left, right):
            np.testing.assert_allclose(Q.T @ Q, np.eye(k_found), atol=1e-12)


def test_a_guess_is_used_and_never_more_of_it_than_there_are_columns():
    """From the right space, two sweeps are exact even where singular values are close; from elsewhere they are not."""
    rng = np.random.default_rng(1)
    U, V = (np.linalg.qr(rng.standard_normal((170, 170)))[0] for _ in range(2))
    s = np.linspace(1, 0.99, 170)
    S = U * s @ V.T
    np.testing.assert_allclose(leading(S, 2, V[:, :2])[1], s[:2], rtol=1e-12)
    assert leading(S, 2)[1][0] < 0.9999
    np.testing.assert_allclose(leading(S, 100, V[:, :170])[1], s[:100], rtol=1e-12)


@pytest.mark.parametrize(("k", "least", "most"), [(1, 0.012, 0.016), (9, 0.009, 0.0115)])
def test_without_a_guess_a_flat_spectrum_is_known_to_a_percent_or_two(k, least, most):
    """Six sweeps of 12 columns, or of 2 k: less would be poor, and more is not worth its time."""
    rng = np.random.default_rng(1)
    U, V = (np.linalg.qr(rng.standard_normal((170, 170)))[0] for _ in range(2))
    assert least < 1 - leading(U * np.linspace(1, 0.5, 170) @ V.T, k)[1][0] < most
