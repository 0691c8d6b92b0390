"""The losses in canonical rows, against their printed definitions in 50 digits."""

import mpmath
import numpy as np
import pytest

from lora_proofs.ntk.losses import make_loss

CASES = [("squared", 1), ("squared", 3), ("logistic", 1), ("cross_entropy", 2), ("cross_entropy", 4)]


def make(name, K, N=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = {"squared": rng.normal(size=(N, K)), "logistic": rng.choice([-1, 1], N)}.get(name, rng.integers(0, K, N))
    return make_loss(name, labels, N, K), labels


def printed(name, labels, z):
    """Return the loss of outputs z (N, K) as papers print it."""
    z = [[mpmath.mpf(float(x)) for x in row] for row in z]
    if name == "squared":
        return sum(
            (x - mpmath.mpf(float(y))) ** 2 / 2
            for row, ys in zip(z, labels, strict=True)
            for x, y in zip(row, ys, strict=True)
        )
    if name == "logistic":
        return sum(mpmath.log(1 + mpmath.exp(-int(y) * row[0])) for row, y in zip(z, labels, strict=True))
    return sum(mpmath.log(sum(map(mpmath.exp, row))) - row[y] for row, y in zip(z, labels, strict=True))


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def case(request):
    return request.param


@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0, 30.0, 300.0])
def test_the_value_is_that_of_the_printed_loss(case, size):
    name, K = case
    loss, labels = make(*case)
    z = size * np.random.default_rng(1).normal(size=(5, K))
    with mpmath.workdps(50):
        assert loss.value(loss.affine_rows(z)) == pytest.approx(float(printed(name, labels, z)), rel=1e-13)
    assert (loss.N, loss.d, loss.name) == (5, 5 * (K - 1 if name == "cross_entropy" else K), name)


def test_small_risks_keep_their_digits():
    with mpmath.workdps(50):
        for name, K, z in (("logistic", 1, [[60.0]]), ("cross_entropy", 3, [[50.0, 0.0, 10.0]])):
            labels = np.array([1 if name == "logistic" else 0])
            loss = make_loss(name, labels, 1, K)
            assert loss.value(loss.affine_rows(np.array(z))) == pytest.approx(
                float(printed(name, labels, z)), rel=1e-14
            )


def test_rows_are_linear_in_outputs_and_transposed_by_the_transpose(case):
    _, K = case
    loss, _ = make(*case)
    rng = np.random.default_rng(2)
    z, q, batch = rng.normal(size=(5, K)), rng.normal(size=loss.d), rng.normal(size=(5, K, 2, 3))
    assert loss.linear_rows(z) @ q == pytest.approx(np.sum(z * loss.adjoint(q)), rel=1e-12)
    np.testing.assert_allclose(loss.affine_rows(z) - loss.affine_rows(0 * z), loss.linear_rows(z), atol=1e-12)
    assert loss.linear_rows(batch).shape == (loss.d, 2, 3)
    np.testing.assert_array_equal(loss.linear_rows(batch)[:, 1, 2], loss.linear_rows(batch[:, :, 1, 2]))


def test_the_sizes_of_rows_are_bounds(case):
    _, K = case
    loss, _ = make(*case)
    rng = np.random.default_rng(3)
    G = rng.normal(size=(5, K, 4, 3))
    bounds = loss.row_sizes(np.linalg.norm(G, axis=(2, 3)))
    rows = np.linalg.norm(loss.linear_rows(G), axis=(1, 2))
    assert bounds.shape == (loss.d,)
    assert (rows <= bounds * (1 + 1e-15)).all()
    opposite = np.ones((5, K, 1, 1))
    if loss.name == "cross_entropy":  # attained where the gradients of the label and of the others are opposite
        data = np.arange(5)
        opposite[data, loss.labels] = -1
    np.testing.assert_allclose(np.abs(loss.linear_rows(opposite)).ravel(), loss.row_sizes(np.ones((5, K))))


def test_slopes_and_curvatures_are_derivatives(case):
    loss, _ = make(*case)
    rng = np.random.default_rng(4)
    w, step = rng.normal(size=loss.d), rng.normal(size=(loss.d, 2))
    e = 1e-5
    for x in step.T:
        assert (loss.value(w + e * x) - loss.value(w - e * x)) / (2 * e) == pytest.approx(
            loss.derivative(w) @ x, rel=1e-8
        )
    np.testing.assert_allclose(
        (loss.derivative(w + e * step[:, 0]) - loss.derivative(w - e * step[:, 0])) / (2 * e),
        loss.hessian_vector(w, step)[:, 0],
        rtol=1e-7,
    )
    np.testing.assert_allclose(loss.hessian_vector(w, step)[:, 1], loss.hessian_vector(w, step[:, 1]), rtol=1e-12)


@pytest.mark.parametrize(("name", "K", "w", "bend"), [
    ("squared", 2, [5.0, -1.0], 1.0), ("logistic", 1, [0.0], 0.25), ("cross_entropy", 3, [40.0, 40.0], 0.5),
    ("cross_entropy", 2, [0.0], 0.25),
])  # fmt: skip
def test_the_bend_is_the_largest_eigenvalue_of_the_curvature(name, K, w, bend):
    loss, _ = make(name, K, N=1)
    assert np.linalg.eigvalsh(loss.hessian_vector(np.array(w), np.eye(loss.d))).max() == pytest.approx(bend, rel=1e-12)
    assert loss.smoothness == {"squared": 1, "logistic": 0.25, "cross_entropy": 0.5}[name]
    for seed in range(50):
        at = np.random.default_rng(seed).normal(size=loss.d) * 3
        assert np.linalg.eigvalsh(loss.hessian_vector(at, np.eye(loss.d))).max() <= loss.smoothness * (1 + 1e-12)


def test_slopes_at_large_margins_neither_overflow_nor_vanish():
    logistic = make_loss("logistic", np.array([1, 1]), 2, 1)
    np.testing.assert_allclose(logistic.derivative(np.array([-700.0, 700.0])), [np.exp(-700.0), 1.0], rtol=1e-13)
    many = make_loss("cross_entropy", np.array([0]), 1, 3)
    np.testing.assert_allclose(many.derivative(np.array([-700.0, -600.0])), np.exp([-700.0, -600.0]), rtol=1e-13)
    np.testing.assert_allclose(many.derivative(np.array([700.0, 700.0])), [0.5, 0.5], rtol=1e-13)


def test_the_conjugate_is_the_largest_value_of_slope_less_loss(case):
    """phi*(phi'(w)) = <phi'(w), w> - phi(w), with equality there alone (Fenchel and Young)."""
    loss, _ = make(*case)
    rng = np.random.default_rng(5)
    for size in (0.1, 1.0, 5.0):
        w = size * rng.normal(size=loss.d)
        q = loss.derivative(w)
        assert loss.conjugate(q) == pytest.approx(q @ w - loss.value(w), rel=1e-9, abs=1e-12)
        for _ in range(20):
            other = w + rng.normal(size=loss.d)
            assert loss.conjugate(q) >= q @ other - loss.value(other) - 1e-12


def test_small_slopes_keep_the_digits_of_their_conjugate():
    many = make_loss("cross_entropy", np.array([0]), 1, 3)
    with mpmath.workdps(50):
        q = [mpmath.mpf(1e-13), mpmath.mpf(3e-14)]
        rest = 1 - sum(q)
        expected = sum(x * mpmath.log(x) for x in (*q, rest))
        assert many.conjugate(np.array([1e-13, 3e-14])) == pytest.approx(float(expected), rel=1e-14)


def test_the_domain_of_the_conjugate_and_a_few_roundings_beside_it():
    logistic, many = make("logistic", 1, N=1)[0], make("cross_entropy", 4, N=1)[0]
    for loss, inside in ((logistic, [[0.0], [1.0], [1 + 2**-52]]), (many, [[0, 0, 0], [0.25, 0.5, 0.25], [1, 0, 0]])):
        for q in inside:
            assert loss.conjugate(np.array(q, float)) <= 1e-15
    assert many.conjugate(np.array([0.5, 0.25, 0.25 + 4 * 2.0**-52])) < 0
    for loss, outside in (
        (logistic, [[-1e-300], [1 + 1e-14], [2.0]]),
        (many, [[0.5, 0.5, 1e-14], [-1e-300, 0, 0], [1.0, -0.5, 0.5]]),
    ):
        for q in outside:
            assert loss.conjugate(np.array(q, float)) == np.inf
    assert many.conjugate(np.array([0.5, 0.25, 0.125])) == pytest.approx(
        0.5 * np.log(0.5) + 0.25 * np.log(0.25) + 2 * 0.125 * np.log(0.125)
    )
    assert logistic.conjugate(np.array([0.25])) == pytest.approx(0.25 * np.log(0.25) + 0.75 * np.log(0.75))


def test_the_rise_is_a_bound_and_not_a_loose_one(case):
    loss, _ = make(*case)
    rng = np.random.default_rng(6)
    for size in (1e-6, 0.1, 0.9, 1.1, 10.0):
        for _ in range(10):
            w, e = 3 * rng.normal(size=loss.d), size * rng.random(loss.d)
            rise = loss.rise(w, e)
            worst = max(loss.value(w + s * e) - loss.value(w) for s in (np.sign(w), np.ones(loss.d)))
            assert worst <= rise + 1e-12
            if size <= 1e-6:
                assert rise <= np.abs(loss.derivative(w)) @ e * (1 + 1e-5)
            assert rise <= np.abs(w) @ e + e @ e / 2 if loss.name == "squared" else rise <= e.sum()
    assert loss.rise(w, 0 * e) == 0


def test_the_rise_of_a_softmax_grows_by_no_more_than_twice_the_largest_change():
    loss = make("logistic", 1, N=2)[0]
    w, e = np.array([-3.0, -4.0]), np.array([0.25, 0.5])
    assert loss.rise(w, e) == pytest.approx(loss.derivative(w) @ e * np.exp(1.0), rel=1e-12)
    assert loss.rise(w, np.array([0.25, 1.0])) == 1.25
    assert loss.rise(np.array([30.0, 30.0]), e) == 0.75


def test_the_size_of_what_a_conjugate_adds_up():
    squared, logistic, many = (
        make(name, K, N=1)[0] for name, K in (("squared", 2), ("logistic", 1), ("cross_entropy", 3))
    )
    assert squared.conjugate_size(np.array([3.0, -4.0])) == 12.5
    q = np.array([0.25])
    assert logistic.conjugate_size(q) == pytest.approx(0.25 * np.log(4) + 0.25 * (1 - np.log(0.75)))
    assert logistic.conjugate_size(np.array([0.9])) == pytest.approx(-0.9 * np.log(0.9) + 0.9 * (1 + np.log(10)))
    q = np.array([0.25, 0.5])
    assert many.conjugate_size(q) == pytest.approx(0.25 * np.log(4) + 0.5 * np.log(2) + 0.75 * (1 + np.log(4)))
    assert 0 < many.conjugate_size(np.array([0.5, 0.5])) < 1000  # nothing is left of 1: the logarithm is cut
    assert many.conjugate_size(np.zeros(2)) == 0


@pytest.mark.parametrize(
    ("name", "labels", "N", "K", "message"),
    [
        ("squared", np.ones((2, 3)), 2, 2, r"shape \(2, 3\)"),
        ("squared", np.ones(2), 2, 2, r"shape \(2,\)"),
        ("squared", np.ones(3), 2, 1, r"shape \(3,\)"),
        ("squared", np.array([[np.nan]]), 1, 1, "finite"),
        ("squared", np.array([["a"]]), 1, 1, "finite"),
        ("logistic", np.ones((2, 2)), 2, 1, "one label a datum"),
        ("logistic", np.array([0, 1]), 2, 1, r"2 \* y - 1"),
        ("logistic", np.array([1, -1]), 2, 2, "takes one output"),
        ("cross_entropy", np.zeros((2, 1)), 2, 3, "one label a datum"),
        ("cross_entropy", np.array([0, 3]), 2, 3, "class numbers 0, ..., 2"),
        ("cross_entropy", np.array([0, -1]), 2, 3, "class numbers"),
        ("cross_entropy", np.array([0, 0.5]), 2, 3, "class numbers"),
        ("cross_entropy", np.array([0, 0]), 2, 1, "K >= 2"),
        ("hinge", np.array([1, 1]), 2, 1, "'squared', 'logistic' or 'cross_entropy'"),
    ],
)
def test_labels_that_do_not_fit_are_refused(name, labels, N, K, message):
    with pytest.raises(ValueError, match=message):
        make_loss(name, labels, N, K)


def test_labels_of_one_output_may_be_a_vector_or_a_column():
    assert make_loss("squared", np.ones(2), 2, 1).labels.shape == (2, 1)
    assert make_loss("squared", np.ones((2, 1)), 2, 1).labels.shape == (2, 1)
    assert make_loss("logistic", np.ones((2, 1)), 2, 1).labels.shape == (2,)
    assert make_loss("cross_entropy", np.array([0.0, 1.0]), 2, 2).labels.dtype == np.intp
