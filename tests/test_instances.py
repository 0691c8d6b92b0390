import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq, fmpq_mat
from hypothesis import given
from hypothesis import strategies as st
from strategies import chains, generators, matrices, rational_matrices, sizes

from lora_proofs import instances, pretrained
from lora_proofs.backends import how_to_install
from lora_proofs.pretrained import bert


def identity(n):
    return fmpq_mat(n, n, [int(i == j) for i in range(n) for j in range(n)])


def test_every_family_is_reproducible_from_its_seed():
    def draw(seed):
        rng = np.random.default_rng(seed)
        network = instances.relu_network(rng, 3, 2)
        E, U, V = instances.planted_svd(rng, 3, [4, 1])
        return [*instances.chain(rng, 3, 2), *network.weights, *network.biases], [E, U, V]

    (floats, rationals), (again, rationals_again), (other, _) = draw(1), draw(1), draw(2)
    assert all((x == y).all() for x, y in zip(floats, again, strict=True))
    assert rationals == rationals_again
    assert not any((x == y).any() for x, y in zip(floats, other, strict=True))


def test_entries_have_the_distribution_that_the_docstring_names():
    rng = np.random.default_rng(0)
    D = 200
    spread = {init: np.std(instances.chain(rng, D, 1, init)[0]) for init in instances.INITIALISATIONS}
    expected = {"gaussian": 1, "scaled gaussian": D**-0.5, "uniform": (3 * D) ** -0.5, "orthogonal": D**-0.5}
    assert spread == pytest.approx(expected, rel=0.02)
    weights = instances.uniform(rng, D, 50)
    assert weights.shape == (D, 50)
    assert 0.99 < np.abs(weights).max() * 50**0.5 <= 1
    assert np.std(instances.gaussian(rng, D, D, scale=3.0)) == pytest.approx(3, rel=0.02)


@given(chains(init="orthogonal"))
def test_orthogonal_chains(weights):
    for W in weights:
        np.testing.assert_allclose(W.T @ W, np.eye(len(W)), atol=1e-14)


@given(matrices(rank=3, gap=1e4, cond=100.0))
def test_matrices_of_chosen_rank_gap_and_condition(M):
    k = min(M.shape)
    r = min(3, k)
    s = np.linalg.svd(M, compute_uv=False)
    expected = [*np.geomspace(100, 1, r), *[1e-4] * (k - r)]
    np.testing.assert_allclose(s, expected, rtol=1e-9)


@given(generators, sizes, sizes, st.data())
def test_planted_rank(rng, m, n, data):
    r = data.draw(st.integers(0, min(m, n)))
    assert np.linalg.matrix_rank(instances.planted_rank(rng, m, n, r)) == r


def test_ill_conditioned():
    M = instances.ill_conditioned(np.random.default_rng(0), 8, 1e6)
    assert np.linalg.cond(M) == pytest.approx(1e6, rel=1e-6)


@given(rational_matrices(rank=st.integers(0, 4)))
def test_rational_rank_is_exact(M):
    assert isinstance(M, fmpq_mat)
    assert M.rank() <= 4


@given(generators, sizes)
def test_rational_families_have_their_defining_property(rng, n):
    Q = instances.rational_orthogonal(rng, n)
    assert Q.transpose() * Q == identity(n)
    assert Q.det() == 1
    assert instances.nonsingular(rng, n).det() != 0
    M = instances.integers(rng, n, n + 1, -2, 5)
    assert all(-2 <= x <= 5 and x.q == 1 for x in M.entries())
    permutation = instances.permutation(rng, n)
    assert permutation * permutation.transpose() == identity(n)
    assert set(permutation.entries()) <= {0, 1}
    for r in range(n + 1):
        P = instances.projection(rng, n, r)
        assert P * P == P
        assert P.rank() == r


@given(generators, st.integers(2, 5))
def test_planted_svd_is_a_singular_value_decomposition(rng, n):
    s = sorted(rng.integers(1, 9, n - 1).tolist(), reverse=True)
    E, U, V = instances.planted_svd(rng, n, s)
    assert U.transpose() * U == V.transpose() * V == identity(n)
    assert U.transpose() * E * V == fmpq_mat(n, n, [s[i] if i == j < n - 1 else 0 for i in range(n) for j in range(n)])


def test_planted_singular_values_may_be_any_rationals():
    E, U, V = instances.planted_svd(np.random.default_rng(0), 2, [Fraction(5, 2), 0.5])
    assert U.transpose() * E * V == fmpq_mat([[fmpq(5, 2), 0], [0, fmpq(1, 2)]])


def test_exhaustive_families():
    assert sum(1 for _ in instances.all_matrices(2, (-1, 0, 1))) == 81
    singular = [M.det() == 0 for M in instances.all_matrices(3, (0, 1))]
    assert (len(singular), sum(singular)) == (512, 338)  # OEIS A055165: 174 of 512 are invertible
    # 8 of 16 and 320 of 512 matrices of signs are singular.
    assert [sum(M.det() == 0 for M in instances.all_matrices(n, (-1, 1))) for n in (2, 3)] == [8, 320]


def test_bad_requests_are_refused():
    rng = np.random.default_rng(0)
    for request, match in (
        (lambda: instances.chain(rng, 3, 2, "xavier"), "'orthogonal'"),
        (lambda: instances.planted_rank(rng, 3, 2, 3), "between 0 and 2"),
        (lambda: instances.with_singular_values(rng, 2, 2, [1.0, -1.0]), ">= 0"),
        (lambda: instances.with_singular_values(rng, 2, 2, [1.0, 1.0, 1.0]), "between 0 and 2"),
        (lambda: instances.ill_conditioned(rng, 3, 0.5), "condition number"),
        (lambda: instances.planted_svd(rng, 3, [1, 2]), "non-increasing"),
        (lambda: instances.planted_svd(rng, 3, [1, -2]), "non-negative"),
        (lambda: instances.nonsingular(rng, 3, 1, 1), "singular"),
    ):
        with pytest.raises(ValueError, match=match):
            request()


# ------------------------------------------- pretrained models, as seen where nothing is installed


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(bert, "find_spec", lambda module: None)
    pretrained.load.cache_clear()


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize("model", pretrained.REQUIRES)
def test_a_missing_package_gives_one_clear_line(model):
    with pytest.raises(ModuleNotFoundError, match="pip install") as caught:
        pretrained.load(model)
    assert how_to_install(*(module for module, _ in pretrained.REQUIRES[model])) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_what_is_missing_is_asked_for(monkeypatch):
    monkeypatch.setattr(bert, "find_spec", lambda module: None if module == "torch" else object())
    pretrained.load.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"needs torch, .*: pip install '\.\[pretrained\]'$"):
        pretrained.load("bert_ft")


def test_an_unknown_model_gives_the_choices():
    with pytest.raises(ValueError, match="'bert_pretrained', 'bert_ft'"):
        pretrained.load("gpt-5")


def test_asking_imports_nothing():
    code = "import sys; from lora_proofs import pretrained; pretrained.REQUIRES; "
    code += "sys.exit(any(m in sys.modules for m in ('torch', 'rxnfp', 'safetensors', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
