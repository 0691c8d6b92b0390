from decimal import Decimal
from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest
from flint import fmpq, fmpq_mat, fmpz, fmpz_mat
from hypothesis import given
from hypothesis import strategies as st
from strategies import generators, matrices, rational_matrices, sizes

from lora_proofs import exact, instances
from lora_proofs.exact import enclosures

# -------------------------------------------------------------------------------------------- reading numbers


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (3, Fraction(3)),
        (-(2**100), Fraction(-(2**100))),
        (np.int8(-3), Fraction(-3)),
        (fmpz(7), Fraction(7)),
        (fmpq(1, 3), Fraction(1, 3)),
        (Fraction(1, 3), Fraction(1, 3)),
        (0.1, Fraction(0.1)),
        (5e-324, Fraction(5e-324)),
        (np.float32(0.1), Fraction(float(np.float32(0.1)))),
        (np.float64(-0.1), Fraction(-0.1)),
        (mpmath.mpf(0.1), Fraction(0.1)),
        (-mpmath.mpf(3) / 4, Fraction(-3, 4)),
        (mpmath.mpf(0), Fraction(0)),
    ],
)
def test_numbers_are_read_exactly(x, expected):
    q = exact.number(x)
    assert isinstance(q, fmpq)
    assert Fraction(int(q.p), int(q.q)) == expected


def test_multiprecision_numbers_are_read_exactly():
    with mpmath.workdps(50):
        third = mpmath.mpf(1) / 3
    error = exact.number(third) - fmpq(1, 3)
    assert 0 < abs(error) < fmpq(1, 10**50)


@pytest.mark.parametrize("x", [Decimal("0.1"), np.longdouble(1) / 3, "0.1", flint.arb("0.1")])
def test_what_is_accepted_is_not_rounded(x):
    """Whatever double precision cannot hold is read exactly or refused, never rounded in silence."""
    try:
        q = exact.number(x)
    except ValueError:
        return
    assert not isinstance(x, flint.arb)
    assert Fraction(int(q.p), int(q.q)) == (Fraction(x) if isinstance(x, str) else Fraction(*x.as_integer_ratio()))


@pytest.mark.parametrize(
    "x", [float("nan"), float("inf"), np.nan, mpmath.nan, mpmath.inf, "a", None, 1j, np.complex128(1 + 2j), [1]]
)
def test_what_is_no_number_is_refused(x):
    with pytest.raises(ValueError, match=r"not a finite real number; pass integers, fractions or finite floats"):
        exact.number(x)


@pytest.mark.parametrize(
    "x",
    [
        fmpq_mat(2, 2, [1, 2, 3, 4]),
        fmpz_mat(2, 2, [1, 2, 3, 4]),
        [[1, 2], [3, 4]],
        ([Fraction(1), 2.0], (fmpq(3), mpmath.mpf(4))),
        np.array([[1, 2], [3, 4]]),
        np.array([[1.0, 2], [3, 4]]),
        np.array([[Fraction(1), 2], [3, fmpz(4)]], dtype=object),
    ],
)
def test_matrices_of_every_kind(x):
    assert exact.matrix(x) == fmpq_mat(2, 2, [1, 2, 3, 4])
    assert (exact.array(exact.matrix(x)) == np.array([[1, 2], [3, 4]])).all()


@pytest.mark.parametrize("x", [[[1], [2, 3]], np.ones(2), np.ones((1, 1, 1)), 3, [1, 2], None])
def test_what_is_no_matrix_is_refused(x):
    with pytest.raises(ValueError, match="a rational matrix is an fmpq_mat, a 2-d array, or a list of rows"):
        exact.matrix(x)


def test_matrices_with_bad_entries_are_refused():
    for x in ([[float("nan")]], np.array([[np.inf]]), np.array([[1j]])):
        with pytest.raises(ValueError, match="not a finite real number"):
            exact.matrix(x)


def test_what_counts_as_rational():
    assert exact.is_rational(fmpq_mat(1, 1))
    assert exact.is_rational(fmpz_mat(1, 1))
    assert exact.is_rational(np.array([Fraction(1), 2, fmpq(3)], dtype=object))
    for x in (np.eye(1), np.eye(1, dtype=int), [[1]], np.array([Fraction(1), 1.0], dtype=object)):
        assert not exact.is_rational(x)
    assert not exact.is_rational(np.array([mpmath.mpf(1)], dtype=object))


# ------------------------------------------------------------------------------------------- linear algebra


@given(rational_matrices())
def test_rank_and_its_lower_bound(x):
    rank = np.linalg.matrix_rank(np.array(x.table(), dtype=float))
    assert exact.rank(x) == exact.rank_lower_bound(x) == rank


def test_rank_modulo_the_prime_is_only_a_lower_bound():
    assert exact.rank_lower_bound([[2**61 - 1]]) == 0 < exact.rank([[2**61 - 1]])
    assert exact.rank_lower_bound([[Fraction(1, 3), 1], [1, 3]]) == exact.rank([[Fraction(1, 3), 1], [1, 3]]) == 1


def test_rank_sees_what_floats_do_not():
    assert exact.rank([[1, 0], [0, Fraction(1, 10**40)]]) == 2
    assert exact.rank([[Fraction(1, 3), Fraction(2, 3)], [1, 2]]) == 1


@given(rational_matrices(rank=st.integers(0, 5)))
def test_full_rank_factorization(x):
    U, Vt = exact.full_rank_factorization(x)
    assert U * Vt == x
    assert U.ncols() == Vt.nrows() == U.rank() == Vt.rank() == x.rank()


@given(generators, sizes, st.integers(0, 6), sizes)
def test_divide_right(rng, n, rank, m):
    """Every consistent system is solved, with x singular or rectangular too."""
    x = instances.rational_planted_rank(rng, n, n + 1, min(rank, n))
    z = instances.integers(rng, m, n)
    assert exact.divide_right(z * x, x) * x == z * x
    square = instances.rational_planted_rank(rng, n, n, min(rank, n))
    assert exact.divide_right(z * square, square) * square == z * square


def test_inconsistent_systems_are_refused():
    for x in ([[1, 2], [2, 4]], [[0, 0], [0, 0]], [[1, 0]]):
        with pytest.raises(ValueError, match="no solution: a row of y is no combination of the rows of x"):
            exact.divide_right([[1, 2], [1, 3]], x)


@given(rational_matrices(n=4), st.booleans())
def test_positive_semidefinite(x, definite):
    gram = x.transpose() * x + (exact.identity(4) if definite else fmpq_mat(4, 4))
    assert exact.is_positive_semidefinite(gram)
    assert not exact.is_positive_semidefinite(gram - 1000 * exact.identity(4))


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([[0, 0], [0, 0]], True),
        ([[0, 1], [1, 0]], False),
        ([[0, 1], [1, 5]], False),
        ([[1, 1], [1, 1]], True),
        ([[1, 1], [1, Fraction(10**30 - 1, 10**30)]], False),
        ([[1, 1], [1, Fraction(10**30 + 1, 10**30)]], True),
        ([[1, 0], [1, 1]], False),
        ([[1, 2, 3], [2, 4, 6], [3, 6, 8]], False),
        ([[1, 2]], False),
    ],
)
def test_positive_semidefinite_at_the_border(x, expected):
    assert exact.is_positive_semidefinite(x) is expected


def test_norms_and_roots():
    assert exact.frobenius_norm_squared([[1, Fraction(1, 2)]]) == Fraction(5, 4)
    assert exact.is_zero(fmpq_mat(2, 2))
    assert not exact.is_zero([[0, Fraction(1, 10**50)]])
    assert exact.sqrt_above(Fraction(9, 4)) == fmpq(3, 2)
    assert exact.sqrt_above(0) == 0


@given(st.fractions(min_value=0, max_value=10**9))
def test_roots_are_rounded_up(q):
    root = exact.sqrt_above(q)
    square, q = root * root, exact.number(q)
    assert q <= square <= q * (1 + fmpq(1, 2**90))


def test_products_and_blocks():
    a, b = fmpq_mat(2, 2, [1, 2, 3, 4]), fmpq_mat(2, 2, [0, 1, 1, 0])
    assert exact.product([a, b]) == b * a
    assert exact.block(a, range(1, 2), range(2)) == fmpq_mat(1, 2, [3, 4])


# ------------------------------------------------------------------------------------------------ enclosures


def check_enclosures(x, width=1e-13):
    lower, upper = exact.singular_value_enclosures(x)
    with mpmath.workdps(450):
        entries = mpmath.matrix([[mpmath.mpf(int(v.p)) / int(v.q) for v in row] for row in exact.matrix(x).table()])
        gram = entries * entries.T if entries.rows <= entries.cols else entries.T * entries
        true = [mpmath.sqrt(max(v, 0)) for v in sorted(mpmath.eigsy(gram, eigvals_only=True), reverse=True)]
        tiny = mpmath.mpf(10) ** -200 * true[0]
        assert len(lower) == len(upper) == len(true)
        for low, sigma, high in zip(lower, true, upper, strict=True):
            assert mpmath.mpf(float(low)) <= sigma + tiny
            assert sigma - tiny <= mpmath.mpf(float(high))
        assert max(upper - lower) <= width * float(true[0]) + 1e-300


@given(rational_matrices(m=st.integers(1, 4), n=st.integers(1, 4)))
def test_enclosures_contain_the_singular_values(x):
    check_enclosures(x, width=1e-12)


@given(matrices(m=st.integers(1, 4), n=st.integers(1, 4), rank=st.integers(0, 4), gap=1e12, cond=100.0))
def test_enclosures_of_graded_matrices(x):
    check_enclosures(x, width=1e-12)


@pytest.mark.parametrize("scale", [Fraction(1, 3), Fraction(1, 10**150), Fraction(1, 10**200), Fraction(10**200)])
def test_enclosures_at_the_ends_of_the_range_of_floats(scale):
    for rows in ([[1, 2], [2, 4]], [[1, 2, 1], [2, 4, 2], [1, 1, 1]], [[1, 2], [3, 4]]):
        check_enclosures([[v * scale for v in row] for row in rows])


def test_enclosures_tell_what_they_must():
    E, _, _ = instances.planted_svd(np.random.default_rng(0), 4, [5, 3, 3])
    lower, upper = exact.singular_value_enclosures(E)
    assert (lower <= [5, 3, 3, 0]).all()
    assert (upper >= [5, 3, 3, 0]).all()
    assert (upper - lower < 1e-13).all()
    assert lower[3] == 0


@pytest.mark.parametrize(("left", "s", "right"), [
    (0.75, 4.0, 1.0), (1.0, 4.0, 0.75), (1.5, 2.0, 1.0), (1.0, 2.0, 1.5), (0.75, 8.0, 0.5), (1.5, 1.0, 2.0),
    (1.0, 2.0, 1.0), (1.0, 4.0, 1.0), (1.0, 0.0, 1.0), (0.0, 3.0, 1.0),
])  # fmt: skip
def test_enclosures_do_not_trust_the_floating_svd(monkeypatch, left, s, right):
    """Factors that are not orthogonal, or values that are wrong: the bounds are attained in dimension one."""
    monkeypatch.setattr(enclosures, "svd", lambda x, **kwargs: (np.array([[left]]), np.array([s]), np.array([[right]])))
    (lower,), (upper,) = exact.singular_value_enclosures([[3]])
    assert lower <= 3 <= upper


def test_enclosures_survive_an_svd_that_failed_altogether(monkeypatch):
    """Both factors far from orthogonal: (1 - eps_U)(1 - eps_V) is large and positive."""
    three = np.diag([3.0, 0.0])
    monkeypatch.setattr(enclosures, "svd", lambda x, **kwargs: (three, np.ones(2), three))
    lower, upper = exact.singular_value_enclosures([[9, 0], [0, 0]])
    assert (lower <= [9, 0]).all()
    assert (upper >= [9, 0]).all()


def test_enclosures_round_outwards(monkeypatch):
    """The sum of a guess and the residual's norm is rounded too: one unit more matters where it passes a power of 2."""
    rng = np.random.default_rng(0)
    guesses = np.ldexp(rng.random(2000), -rng.integers(20, 50, 2000))
    for guess, gap in zip(guesses, 2 - np.ldexp(rng.integers(1, 8, 2000).astype(float), -52), strict=True):
        monkeypatch.setattr(enclosures, "svd", lambda x, guess=guess, **_: (np.eye(1), np.array([guess]), np.eye(1)))
        true = Fraction(float(guess)) + Fraction(float(gap)) + Fraction(3, 8 * 2**52)
        (lower,), (upper,) = exact.singular_value_enclosures([[true]])
        assert Fraction(float(lower)) <= true <= Fraction(float(upper))


# ------------------------------------------------------------------------------------------------- adapters


def test_rational_adapters():
    A, B = fmpq_mat(1, 2, [1, 2]), fmpq_mat(2, 1, [fmpq(1, 3), 1])
    adapter = exact.RationalAdapter(A, B)
    assert (adapter.rank, adapter.scaling) == (1, 1)
    assert adapter.delta() == B * A
    assert adapter.merge([[1, 0], [0, 1]]) == exact.identity(2) + B * A


def test_the_constructions_are_found_here():
    assert exact.adapt_linear_chain([[[2]]], [[3]], 1).error == 0
    assert callable(exact.adapt_relu_network)
    with pytest.raises(AttributeError, match="no attribute 'adapt_everything'"):
        exact.adapt_everything  # noqa: B018


def test_an_enclosure_is_made_of_exact_numbers_only():
    found = exact.enclosure(flint.fmpq(1, 3), 1)
    assert (found.lower, found.upper) == (Fraction(1, 3), Fraction(1))
    with pytest.raises(TypeError, match="no exact number"):
        exact.enclosure(0, 0.5)
    with pytest.raises(ValueError, match="encloses no number"):
        exact.enclosure(1, Fraction(1, 3))
