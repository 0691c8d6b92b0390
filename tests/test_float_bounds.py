"""Bounds of norms: they hold the exact value at every scale, and are no wider than rounding asks for."""

import numpy as np
import pytest

from lora_proofs import Adapter, exact
from lora_proofs.constructions.chain import partial_svd as partial
from lora_proofs.exact import enclosures
from lora_proofs.float_bounds import Product, balance, distance_enclosure, frobenius_enclosure
from lora_proofs.tools.compress import compress, difference_norm, distance


def holds(lower, upper, square):
    """Tell whether the interval holds the root of an exact square."""
    low = exact.number(lower) ** 2 <= square
    return low and (upper == np.inf or square <= exact.number(upper) ** 2)


def square(x):
    return exact.number(exact.frobenius_norm_squared(x))


def product(pair):
    return exact.number(pair.scaling) * exact.matrix(pair.left) * exact.matrix(pair.right)


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-200, 1e-160, 1.0, 1e160, 1e300])
def test_a_norm_at_every_scale(scale):
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = np.round(rng.uniform(1, 9, (3, 4)), 3) * scale
        found = frobenius_enclosure(x)
        assert holds(found.lower, found.upper, square(exact.matrix(x)))
        assert found.upper - found.lower <= 1e-14 * found.upper + 1e-322


def test_the_norm_of_nothing_is_nothing():
    for x in (np.zeros((2, 3)), np.zeros((0, 3))):
        found = frobenius_enclosure(x)
        assert (found.lower, found.upper) == (0, 0)
    assert distance_enclosure([Product(np.zeros((2, 1)), np.ones((1, 2)))]).upper == 0


@pytest.mark.parametrize("exponent", [-300, -170, -100, 0, 100, 150])
def test_distances_hold_the_exact_one(exponent):
    """Columns of very different sizes, sums that cancel, and a matrix to compare with."""
    rng = np.random.default_rng(abs(exponent))
    for trial in range(30):
        k = int(rng.integers(1, 4))
        sizes = 10.0 ** rng.uniform(-150, 150, k)
        left, right = rng.standard_normal((4, k)) * sizes, rng.standard_normal((k, 3)) / sizes[:, None]
        left = left * 10.0 ** (exponent / 2)
        right = right * 10.0 ** (exponent / 2)
        if not (np.all(np.isfinite(left)) and np.all(np.isfinite(right))):
            continue
        pair = Product(left, right, float(rng.uniform(0.1, 30)))
        near = Product(-left * (1 + 1e-15 * (trial % 3)), right, pair.scaling)
        found = distance_enclosure([pair, near])
        assert holds(found.lower, found.upper, square(product(pair) + product(near)))
        size = distance_enclosure([pair])
        assert holds(size.lower, size.upper, square(product(pair)))
        x = rng.standard_normal((4, 3)) * 10.0**exponent
        beside = distance_enclosure([pair], x)
        assert holds(beside.lower, beside.upper, square(exact.matrix(x) - product(pair)))
        assert beside.upper - beside.lower <= 1e-13 * (size.upper + frobenius_enclosure(x).upper)


def test_cancelling_terms_leave_a_lower_end_of_zero():
    pair = Product(np.ones((2, 1)) / 3, np.ones((1, 2)) / 3)
    assert distance_enclosure([pair, Product(-pair.left, pair.right)]).lower == 0


def test_balanced_products_are_exact():
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((3, 2)) * [1e200, 1e-200], rng.standard_normal((2, 3)) * [[1e50], [1e-50]]
    found = balance([Product(left, right, 4.0)])
    back = exact.number(2) ** found.exponent * exact.matrix(found.left) * exact.matrix(found.right)
    first = exact.matrix(left[:, :1]) * exact.matrix(right[:1])
    assert max(np.max(np.abs(found.left)), np.max(np.abs(found.right))) <= 1
    assert exact.frobenius_norm_squared(back - 4 * first) * 10**200 < exact.frobenius_norm_squared(first)


@pytest.mark.parametrize("seed", range(4))
def test_compression_at_every_scale(seed):
    rng = np.random.default_rng(seed)
    for _ in range(40):
        r, total = int(rng.integers(1, 4)), float(rng.uniform(-290, 290))
        share = float(rng.uniform(-30, 30))
        B, A = rng.standard_normal((4, r)), rng.standard_normal((r, 3))
        adapter = Adapter(A * 10.0 ** (total / 2 - share), B * 10.0 ** (total / 2 + share), 2.5)
        found = compress(adapter, int(rng.integers(0, r)))
        true = square(delta(adapter) - delta(found.adapter))
        assert holds(*found.error, true)
        assert holds(*found.norm, square(delta(adapter)))
        assert found.error[1] <= found.best * (1 + 1e-9) + 1e-12 * found.norm[1]
        assert holds(*distance(np.ones((4, 3)), adapter), square(exact.matrix(np.ones((4, 3))) - delta(adapter)))


def delta(adapter):
    return exact.number(adapter.scaling) * exact.matrix(adapter.B) * exact.matrix(adapter.A)


def test_finite_factors_of_an_infinite_product_are_answered():
    M = np.random.default_rng(0).standard_normal((4, 4)) * np.logspace(-300, 300, 16).reshape(4, 4)
    adapter = Adapter(M, M)
    found = compress(adapter, rank=1)
    assert found.norm == (np.finfo(float).max, np.inf)
    assert holds(*difference_norm(adapter, found.adapter), square(delta(adapter) - delta(found.adapter)))


@pytest.mark.parametrize("scale", [1e-290, 1e-165, 1e160, 1e290])
def test_brackets_of_a_part_of_the_spectrum_at_every_scale(scale):
    rng = np.random.default_rng(0)
    s = np.geomspace(1, 1e-3, 160)
    Q, _ = np.linalg.qr(rng.standard_normal((160, 160)))
    found = partial.partial_svd((Q * s) * scale, 3)
    assert found.lower <= s[3] * scale * (1 + 1e-12)
    assert found.upper >= s[3] * scale * (1 - 1e-12)
    assert found.upper - found.lower < 1e-8 * found.upper
    assert found.values == pytest.approx(s[:3] * scale, rel=1e-9)


def test_enclosures_hold_where_the_guessed_vectors_are_no_basis(monkeypatch):
    """Both Gram matrices are far from I: a product of two negative factors is no bound."""
    guess = (3.0 * np.eye(2), np.ones(2), 3.0 * np.eye(2))
    monkeypatch.setattr(enclosures, "svd", lambda x, full_matrices: guess)
    lower, upper = exact.singular_value_enclosures([[9, 0], [0, 9]])
    assert max(lower) <= 9 <= min(upper)


U = 2.0**-53


@pytest.mark.parametrize("rows", [1, 50])
def test_a_norm_leaves_room_for_a_sum_in_any_order(rows):
    found = frobenius_enclosure(np.ones((rows, rows)))
    assert (rows**2 + 7.9) * U * rows < found.upper - rows < (rows**2 + 20) * U * rows
    assert (rows**2 + 7.9) * U * rows < rows - found.lower < (rows**2 + 20) * U * rows


@pytest.mark.parametrize(("width", "ratio"), [(1, 1.0), (50, 1.0), (4, 3.0), (4, 5.0), (4, 0.0)])
def test_a_distance_leaves_room_for_the_rounding_of_product_and_difference(width, ratio):
    product = Product(np.ones((3, width)), np.ones((width, 3)))
    x = np.full((3, 3), ratio * width)
    found, true = distance_enclosure([product], x), 3 * abs(ratio - 1) * width
    sizes = 3 * width + 3 * ratio * width
    slack = (width + 8) * U * sizes + 17 * U * true
    assert 0.999 * slack < found.upper - true < 1.03 * slack + 4 * U * true
    assert 0.999 * slack < true - found.lower < 1.03 * slack + 4 * U * true or found.lower == 0


def test_columns_of_zeros_change_nothing():
    left, right = np.array([[3.0, 0.0], [4.0, 0.0]]), np.array([[1.0], [1.0]])
    found = distance_enclosure([Product(left, right)])
    assert found.lower < 5 < found.upper
    assert found.upper - found.lower < 1e-13
