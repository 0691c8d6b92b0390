import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from strategies import generators, sizes

from lora_proofs import instances, precision
from lora_proofs.linalg import namespace

DIGITS = 40
few = settings(max_examples=15)


@pytest.fixture(autouse=True)
def forty_digits():
    with mpmath.workdps(DIGITS):
        yield


def lift(x):
    return precision.lift(x, DIGITS)


def largest(x):
    return max([abs(v) for v in np.asarray(x).ravel()], default=0)


def test_lifting_does_not_round():
    x = np.array([[0.1, -1e300], [5e-324, 0.0]])
    assert precision.lift(x, 16) is x
    lifted = lift(x)
    assert (lifted.astype(float) == x).all()
    assert lifted[0, 0] == mpmath.mpf(0.1) != mpmath.mpf("0.1")
    assert lift(x[0]).shape == (2,)
    assert precision.asarray(lifted) is lifted


@few
@given(generators, sizes, sizes)
def test_singular_value_decomposition(rng, m, n):
    with mpmath.workdps(DIGITS):
        x = lift(instances.gaussian(rng, m, n))
        k = min(m, n)
        U, s, Vt = precision.linalg.svd(x, full_matrices=False)
        assert (U.shape, s.shape, Vt.shape) == ((m, k), (k,), (k, n))
        assert largest((U * s) @ Vt - x) < 1e-37
        assert largest(U.T @ U - precision.eye(k)) < 1e-37
        assert largest(Vt @ Vt.T - precision.eye(k)) < 1e-37
        assert list(s) == sorted(s, reverse=True)
        assert largest(precision.linalg.svdvals(x) - s) < 1e-37
        full = precision.linalg.svd(x)
        assert (full[0].shape, full[2].shape) == ((m, m), (n, n))


@few
@given(generators, sizes)
def test_other_factorisations(rng, n):
    with mpmath.workdps(DIGITS):
        x = lift(instances.gaussian(rng, n + 2, n))
        Q, R = precision.linalg.qr(x)
        assert Q.shape == (n + 2, n)
        assert largest(Q @ R - x) < 1e-37
        assert largest(np.tril(R, -1)) == 0
        symmetric = x.T @ x
        values, vectors = precision.linalg.eigh(symmetric)
        assert largest(symmetric @ vectors - vectors * values) < 1e-35
        assert list(values) == sorted(values)
        assert abs(precision.linalg.matrix_norm(x) ** 2 - sum(v * v for v in x.ravel())) < 1e-35


@few
@given(generators, sizes)
def test_solutions_are_good_to_the_last_digits(rng, n):
    with mpmath.workdps(DIGITS):
        a, x = lift(instances.orthogonal(rng, n)), lift(instances.gaussian(rng, n, 2))
        assert largest(precision.linalg.solve(a, a @ x) - x) < 1e-37
        assert largest(precision.linalg.solve(a, a @ x[:, 0]) - x[:, 0]) < 1e-37
        assert largest(precision.linalg.inv(a) - a.T) < 1e-14  # orthogonal only to 16 digits
        assert largest(precision.linalg.inv(a) @ a - precision.eye(n)) < 1e-37


def test_ill_conditioned_systems():
    """The Hilbert matrix of order 12 has condition number 1e16: sixteen of the forty digits are lost, no more."""
    n = 12
    hilbert = precision.asarray(np.array([[mpmath.mpf(1) / (i + j + 1) for j in range(n)] for i in range(n)]))
    x = precision.linalg.solve(hilbert, hilbert @ precision.asarray(np.ones((n, 1))))
    assert largest(x - 1) < 1e-22


def test_singular_systems_are_refused():
    with pytest.raises(np.linalg.LinAlgError):
        precision.linalg.inv(lift(np.ones((3, 3))))
    with pytest.raises(np.linalg.LinAlgError):
        precision.linalg.solve(lift(np.zeros((2, 2))), lift(np.ones((2, 1))))


def test_empty_right_hand_sides():
    assert precision.linalg.solve(lift(np.eye(3)), lift(np.zeros((3, 0)))).shape == (3, 0)


def test_solves_with_a_matrix_that_is_singular_to_all_but_the_last_digits():
    with mpmath.workdps(30):
        x = lift(np.array([[1.0, 2], [3, 6]])) + lift(np.array([[0.0, 0], [0, 1]])) * mpmath.mpf(10) ** -28
        y = precision.linalg.solve(x, lift(np.array([[1.0], [4]])))
        assert abs(y[1, 0] * (x[1, 1] - 6) - 1) < 1e-28
    with pytest.raises(np.linalg.LinAlgError):
        precision.linalg.solve(lift(np.ones((2, 2))), lift(np.ones((2, 1))))


def test_the_namespace_of_constructions():
    xp = namespace(lift(np.eye(2)))
    assert xp is precision
    assert largest(xp.sqrt(lift(np.array([2.0, 9.0]))) - [mpmath.sqrt(2), 3]) == 0
    assert xp.eye(2, 3).shape == (2, 3)
    assert xp.zeros((0, 2)).shape == (0, 2)
    assert xp.concat([lift(np.eye(2)), lift(np.eye(2))], axis=0).shape == (4, 2)
    assert xp.unit_roundoff() == mpmath.eps / 2
    assert all(isinstance(v, mpmath.mpf) for v in (*xp.eye(2).ravel(), *xp.zeros(2)))


def test_the_balls_leave_the_context_of_flint_alone():
    import flint

    before = flint.ctx.prec
    precision.linalg.inv(lift(np.eye(2)))
    assert flint.ctx.prec == before


def test_a_decomposition_that_stalls_is_done_on_a_turned_matrix(monkeypatch):
    rng = np.random.default_rng(0)
    x, plain, tries = lift(rng.standard_normal((4, 3))), mpmath.svd_r, []

    def stalls(*args, **options):
        tries.append(args)
        if len(tries) % 2:
            raise RuntimeError("svd: no convergence to an eigenvalue after 96 iterations")
        return plain(*args, **options)

    monkeypatch.setattr(mpmath, "svd_r", stalls)
    U, s, Vt = precision.linalg.svd(x, full_matrices=False)
    assert largest((U * s) @ Vt - x) < 1e-14
    assert largest(U.T @ U - np.eye(3)) < 1e-14
    assert largest(precision.linalg.svdvals(x) - s) < 1e-14
    assert len(tries) == 4


def test_the_module_is_no_package():
    """Else tools that walk packages would import NumPy's own modules as ours."""
    assert not hasattr(precision, "__path__")
    assert precision.__name__ == "lora_proofs.precision"
