import numpy as np
import pytest
import sympy

from lora_proofs.exact import symbolic
from lora_proofs.exact.symbolic import generic_rank, invariant_residuals, subadditivity_residual, telescoping_residual

x, y = sympy.symbols("x y")


def symbols(name, m, n):
    return sympy.Matrix(m, n, lambda i, j: sympy.Symbol(f"{name}_{i}{j}"))


@pytest.mark.parametrize("dimensions", [(2, 2), (2, 2, 2), (2, 2, 2, 2), (3, 3, 3), (3, 3, 3, 3), (2, 3, 1, 3)])
def test_telescoping_identity(dimensions):
    residual = telescoping_residual(dimensions)
    assert residual.shape == (dimensions[-1], dimensions[0])
    assert residual.is_zero_matrix


@pytest.mark.parametrize(
    ("dimensions", "ranks"),
    [((2, 2, 2), (1, 1)), ((3, 3, 3), (1, 2)), ((2, 2, 2, 2), (1, 1, 1)), ((3, 2, 4), (2, 1))],
)
def test_subadditivity_factorisation(dimensions, ranks):
    assert subadditivity_residual(dimensions, ranks).is_zero_matrix


@pytest.mark.parametrize(("n", "ranks"), [(2, (1,)), (2, (1, 1)), (2, (2, 1)), (2, (1, 1, 1)), (1, (1, 1, 1, 1))])
def test_invariant_of_lemma_1(n, ranks):
    residuals = invariant_residuals(n, ranks)
    assert len(residuals) == len(ranks)
    assert all(residual.is_zero_matrix for residual in residuals)


def test_naive_twins_written_out_with_sympy_matrices():
    """The two-layer identities straight from the paper: explicit inverses, and cancel instead of one ring."""
    W1, W2, D1, D2 = (symbols(name, 2, 2) for name in ("W1", "W2", "D1", "D2"))
    u, v, s, t = (symbols(name, 2, 1) for name in "uvst")
    telescoped = W2 * D1 + D2 * (W1 + D1)
    assert ((W2 + D2) * (W1 + D1) - W2 * W1 - telescoped).expand().is_zero_matrix
    Delta1 = W2.inv() * u * v.T
    Delta2 = s * t.T * (W1 + Delta1).inv()
    assert ((W2 + Delta2) * (W1 + Delta1) - W2 * W1 - u * v.T - s * t.T).applyfunc(sympy.cancel).is_zero_matrix


def test_a_wrong_identity_leaves_a_residual(monkeypatch):
    """Negative control: P_l in place of P_{l-1}."""
    right = symbolic._before
    monkeypatch.setattr(symbolic, "_before", lambda layers: [M * P for M, P in zip(layers, right(layers), strict=True)])
    monkeypatch.setattr(symbolic, "_chain", lambda layers: layers[-1] * right(layers)[-1])
    assert not telescoping_residual((2, 2, 2)).is_zero_matrix
    assert not subadditivity_residual((2, 2, 2), (1, 1)).is_zero_matrix


def test_a_wrong_adapter_breaks_the_invariant(monkeypatch):
    """Negative control: the frozen part before layer l, instead of the part after it, is inverted."""
    monkeypatch.setattr(symbolic, "_after", symbolic._before)
    assert not invariant_residuals(2, (1, 1))[0].is_zero_matrix


@pytest.mark.parametrize(
    ("matrix", "rank"),
    [
        (sympy.zeros(2, 3), 0),
        (sympy.Matrix([[1, 2], [2, 4]]), 1),
        (sympy.Matrix([[1, 2], [2, sympy.Rational(9, 2)]]), 2),
        (sympy.Matrix([[x, y], [x**2 / y, x]]), 1),
        (sympy.Matrix([[x, 1], [1, y]]), 2),
        (symbols("b", 6, 2) * symbols("a", 2, 6), 2),
        (symbols("w", 5, 3), 3),
    ],
)
def test_generic_rank(matrix, rank):
    assert generic_rank(matrix, np.random.default_rng(0)) == rank


def test_adapters_of_a_chain_reach_the_sum_of_their_ranks_generically():
    """The lower bound that makes the factorisation of inner width sum R_l sharp."""
    W = [symbols(f"w{l}", 4, 4) for l in (1, 2)]
    Delta = [symbols(f"b{l}", 4, 1) * symbols(f"a{l}", 1, 4) for l in (1, 2)]
    E = ((W[1] + Delta[1]) * (W[0] + Delta[0]) - W[1] * W[0]).expand()
    assert generic_rank(E, np.random.default_rng(0)) == 2


@pytest.mark.parametrize("entry", [sympy.sin(x), sympy.sqrt(2), sympy.Float(0.5), sympy.exp(x) + y])
def test_entries_that_are_not_rational_functions_are_refused(entry):
    with pytest.raises(ValueError, match="rational functions"):
        generic_rank(sympy.Matrix([[entry, sympy.cos(x) if entry == sympy.sin(x) else 1]]), np.random.default_rng(0))


def test_a_vanishing_denominator_is_not_a_rank():
    with pytest.raises(ValueError, match="denominator"):
        generic_rank(sympy.Matrix([[sympy.Rational(1, symbolic.PRIME)]]), np.random.default_rng(0))
