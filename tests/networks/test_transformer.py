from fractions import Fraction
from importlib import import_module

import mpmath
import numpy as np
import pytest
from builders import transformer
from flint import fmpq
from hypothesis import given
from strategies import LIBRARIES, generators, sizes

from lora_proofs import exact
from lora_proofs.networks.transformer import TransformerBlock, TransformerNetwork
from lora_proofs.precision import lift


def paper_forward(network, Z):
    """The model of arXiv:2310.17513v3, one token and one head at a time."""
    for block in network.blocks:
        out = np.zeros_like(Z)
        for j in range(Z.shape[1]):
            attended = np.zeros(Z.shape[0])
            for Q, K, V, O in zip(block.W_Q, block.W_K, block.W_V, block.W_O, strict=True):
                logits = np.array([(K @ Z[:, i]) @ (Q @ Z[:, j]) for i in range(Z.shape[1])])
                weights = np.exp(logits - max(logits))
                attended += O @ (V @ sum(w * Z[:, i] for i, w in enumerate(weights / sum(weights))))
            out[:, j] = block.W_2 @ np.maximum(block.W_1 @ attended + block.b_1, 0) + block.b_2
        Z = out
    return network.W_out @ Z


@given(generators, sizes, sizes)
def test_forward_pass_is_the_papers(rng, D, N):
    network = transformer(rng, D, H=int(rng.integers(1, 4)), L=int(rng.integers(1, 3)))
    Z = rng.normal(size=(D, N))
    expected = paper_forward(network, Z)
    np.testing.assert_allclose(network(Z), expected, rtol=1e-8, atol=1e-9 * abs(expected).max())


def test_a_token_attends_by_its_own_column():
    eye, zero = np.eye(2), np.zeros(2)
    network = TransformerNetwork(
        [TransformerBlock([eye], [np.diag([9.0, 0.0])], [eye], [eye], eye, zero, eye, zero)], eye
    )
    Z = np.array([[0.0, 9.0], [1.0, 0.0]])  # only the second token queries along the first axis, and finds itself
    np.testing.assert_allclose(network(Z), [[4.5, 9.0], [0.5, 0.0]], atol=1e-12)


def test_leading_axes_are_a_batch_and_tokens_are_exchangeable():
    rng = np.random.default_rng(0)
    network, Z = transformer(rng), rng.normal(size=(2, 4, 3, 5))
    Y = network(Z)
    assert Y.shape == Z.shape
    np.testing.assert_allclose(network(Z[1, 2]), Y[1, 2], rtol=1e-12)
    order = [3, 0, 4, 1, 2]
    np.testing.assert_allclose(network(Z[..., order]), Y[..., order], rtol=1e-9, atol=1e-12)


def test_huge_logits_do_not_overflow():
    rng = np.random.default_rng(0)
    assert np.isfinite(transformer(rng)(1e6 * rng.normal(size=(3, 4)))).all()


@pytest.mark.parametrize("library", LIBRARIES)
def test_other_array_libraries(library):
    xp = import_module(library)
    reference = transformer(np.random.default_rng(0))
    network = transformer(np.random.default_rng(0), convert=lambda x: xp.asarray(x.astype(np.float32)))
    Z = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)
    Y = network(xp.asarray(Z))
    assert isinstance(Y, type(network.W_out))
    assert Y.dtype == xp.float32
    np.testing.assert_allclose(np.asarray(Y), reference(Z), rtol=1e-3, atol=1e-3)


def test_more_digits():
    with mpmath.workdps(40):
        network = transformer(np.random.default_rng(0), convert=lambda x: lift(x, 40))
        Z = lift(np.random.default_rng(1).normal(size=(3, 4)), 40)
        Y = network(Z)
        assert all(type(y) is mpmath.mpf for y in Y.flat)
        reference = transformer(np.random.default_rng(0))(Z.astype(float))
        np.testing.assert_allclose(Y.astype(float), reference, rtol=1e-10)
        with mpmath.workdps(80):
            assert max(abs(network(Z) - Y).ravel()) < mpmath.mpf(10) ** -33


def test_names_weights_and_biases():
    network = transformer(np.random.default_rng(0), D=3, H=2, L=2)
    assert (network.depth, network.width, network.blocks[0].heads) == (2, 3, 2)
    assert list(network.named_weights)[:3] == ["blocks.0.W_Q.0", "blocks.0.W_Q.1", "blocks.0.W_K.0"]
    assert list(network.named_weights)[-3:] == ["blocks.1.W_1", "blocks.1.W_2", "W_out"]
    assert len(network.weights) == 2 * (4 * 2 + 2) + 1
    assert network.named_weights["blocks.1.W_O.1"] is network.blocks[1].W_O[1]
    assert [b.shape for b in network.biases] == [(3,)] * 4
    assert network.biases[2] is network.blocks[1].b_1


def test_replaced_keeps_the_rest():
    network = transformer(np.random.default_rng(0))
    other = network.replaced({"blocks.1.W_V.0": np.eye(3), "W_out": np.zeros((3, 3))}, [np.ones(3)] * 4)
    changed = [name for name, W in other.named_weights.items() if W is not network.named_weights[name]]
    assert changed == ["blocks.1.W_V.0", "W_out"]
    assert all((b == 1).all() for b in other.biases)


@pytest.mark.parametrize("number", [Fraction, fmpq])
def test_rational_weights_are_kept_and_have_no_forward_pass(number):
    def convert(x):
        return np.vectorize(lambda v: number(int(10 * v)), otypes=[object])(x)

    network = transformer(np.random.default_rng(0), convert=convert)
    assert network.is_rational
    assert all(type(v) is fmpq for W in (*network.weights, *network.biases) for v in W.flat)
    with pytest.raises(ValueError, match="softmax leaves the rationals"):
        network(np.ones((3, 2)))


def test_flint_matrices_and_lists_of_fractions():
    W = [[Fraction(1), Fraction(1, 2)], [Fraction(0), Fraction(3)]]
    block = TransformerBlock([exact.matrix(W)], [W], [W], [W], W, exact.matrix([[1], [2]]), W, [Fraction(0)] * 2)
    assert exact.is_rational(block.W_Q[0])
    assert block.b_1.tolist() == [1, 2]


def test_bad_networks_are_refused():
    W, b = np.eye(2), np.zeros(2)
    good = {name: [W] for name in ("W_Q", "W_K", "W_V", "W_O")} | {"W_1": W, "b_1": b, "W_2": W, "b_2": b}
    for changes, match in (
        ({"W_Q": []}, "one square matrix a head"),
        ({"W_Q": W}, r"W_Q\[0\] has shape"),
        ({"W_Q": [W, W]}, "numbers of heads differ"),
        ({"W_K": [np.eye(3)]}, r"W_K\[0\]"),
        ({"W_V": [W * np.nan]}, r"W_V\[0\] contains NaN"),
        ({"W_1": np.ones((2, 3))}, "W_1 has shape"),
        ({"b_2": np.zeros(3)}, "b_2 has shape"),
        ({"W_2": W.astype(int)}, "W_2 has dtype"),
        ({"W_2": exact.array(W)}, "different kinds"),
        ({"W_2": lift(W, 40), "b_1": exact.array(b)}, "different kinds"),
    ):
        with pytest.raises(ValueError, match=match):
            TransformerBlock(**{**good, **changes})
    with pytest.raises(ValueError, match="all of them as rationals, or none"):
        TransformerBlock(**{n: [lift(W, 40)] for n in ("W_Q", "W_K", "W_V", "W_O")}, W_1=exact.array(W),
                         b_1=lift(b, 40), W_2=lift(W, 40), b_2=lift(b, 40))  # fmt: skip
    block = TransformerBlock(**good)
    wide = transformer(np.random.default_rng(0)).blocks[0]
    for blocks, W_out, match in (
        ([], W, "at least one"),
        ([W], W, "at least one"),
        ([block, wide], W, "widths"),
        ([block], np.eye(3), "W_out has shape"),
        ([block], exact.array(W), "different kinds"),
    ):
        with pytest.raises(ValueError, match=match):
            TransformerNetwork(blocks, W_out)
    for Z in (np.zeros(2), np.zeros((3, 2)), np.array(1.0)):
        with pytest.raises(ValueError, match="one token a column"):
            TransformerNetwork([block], W)(Z)


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        (None, "not a NoneType"), ("text", "not a str"), (np.zeros(3), r"not \(3,\)"), (np.eye(3) * 1j, "complex128"),
        (np.full((3, 2), "a"), "dtype <U1"), (np.zeros((3, 2), dtype="datetime64[D]"), "datetime64"),
    ],
)  # fmt: skip
def test_inputs_that_are_no_tokens(bad, match):
    with pytest.raises(ValueError, match=match):
        transformer(np.random.default_rng(0))(bad)


@pytest.mark.parametrize("blocks", [None, 3.0, "text", [], [np.eye(2)], {}])
def test_blocks_that_are_none(blocks):
    with pytest.raises(ValueError, match="at least one TransformerBlock"):
        TransformerNetwork(blocks, np.eye(2))


def test_a_width_of_0_is_refused():
    empty = np.zeros((0, 0))
    with pytest.raises(ValueError, match="width 1 at least"):
        TransformerBlock(*([empty] for _ in range(4)), empty, np.zeros(0), empty, np.zeros(0))
