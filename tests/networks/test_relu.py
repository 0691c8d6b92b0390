import datetime
from fractions import Fraction
from importlib import import_module
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from flint import fmpq
from hypothesis import given
from strategies import LIBRARIES, generators, sizes

from lora_proofs import ReluNetwork
from lora_proofs.instances import gaussian, relu_network


def paper_forward(weights, biases, x):
    """Section 2 of arXiv:2310.17513v3, one input and one neuron at a time."""
    h = list(x)
    for W, b in zip(weights, biases, strict=True):
        h = [max(sum(w * v for w, v in zip(row, h, strict=True)) + c, 0) for row, c in zip(W, b, strict=True)]
    return h


def rectangular(seed=0, widths=(3, 5, 2, 4)):
    rng = np.random.default_rng(seed)
    weights = [gaussian(rng, m, n) for n, m in pairwise(widths)]
    return ReluNetwork(weights, [gaussian(rng, 1, m)[0] for m in widths[1:]])


@given(generators, sizes, sizes)
def test_forward_pass_is_the_papers(rng, D, L):
    network = relu_network(rng, D, L, init="gaussian")
    x = gaussian(rng, 4, D)
    expected = [paper_forward(network.weights, network.biases, row) for row in x]
    np.testing.assert_allclose(network(x), expected, rtol=1e-10, atol=1e-10)


def test_the_last_layer_is_rectified_too():
    assert ReluNetwork([-np.eye(1)], [np.zeros(1)])(np.ones(1)).tolist() == [0.0]


def test_leading_axes_are_a_batch():
    network = rectangular()
    x = gaussian(np.random.default_rng(1), 6, 3)
    assert network(x.reshape(2, 3, 3)).shape == (2, 3, 4)
    np.testing.assert_allclose(network(x.reshape(2, 3, 3)).reshape(6, 4), network(x), rtol=1e-13)
    np.testing.assert_allclose(network(x[0]), network(x)[0], rtol=1e-13)


def test_dimensions():
    network = rectangular()
    assert (network.depth, network.widths, network.width) == (3, (3, 5, 2, 4), 5)
    assert (network.d_in, network.d_out) == (3, 4)


@pytest.mark.parametrize("number", [mpmath.mpf, Fraction, fmpq])
def test_exact_and_multiprecision_entries_stay_what_they_are(number):
    def convert(rows):
        return np.vectorize(number, otypes=[object])(rows)

    rng = np.random.default_rng(0)
    W = [rng.integers(-3, 4, (3, 3)).tolist() for _ in range(3)]
    b = [rng.integers(-3, 4, 3).tolist() for _ in range(3)]
    x = rng.integers(-3, 4, (5, 3)).tolist()
    y = ReluNetwork([convert(w) for w in W], [convert(c) for c in b])(convert(x))
    assert y.tolist() == [paper_forward(W, b, row) for row in x]
    assert all(type(v) is type(number(1)) for v in y.flat)
    assert 0 in y


@pytest.mark.parametrize("library", LIBRARIES)
def test_other_array_libraries(library):
    xp = import_module(library)
    reference = rectangular()
    x = gaussian(np.random.default_rng(1), 6, 3).astype(np.float32)
    weights, biases = (
        [xp.asarray(z.astype(np.float32)) for z in part] for part in (reference.weights, reference.biases)
    )
    y = ReluNetwork(weights, biases)(xp.asarray(x))
    assert isinstance(y, type(weights[0]))
    assert y.dtype == xp.float32
    np.testing.assert_allclose(np.asarray(y), reference(x), rtol=1e-4, atol=1e-5)


def test_nan_in_the_input_is_not_rectified_away():
    assert np.isnan(rectangular()(np.array([np.nan, 1.0, 1.0]))).all()


def test_bad_networks_are_refused():
    W, b = np.eye(2), np.zeros(2)
    for weights, biases, match in (
        ([], [], "at least one layer"),
        ([W, W], [b], "as many biases"),
        ([W, np.eye(3)], [b, np.zeros(3)], "weight 2"),
        ([W, W], [b, np.zeros(3)], "bias 2"),
        ([W], [np.zeros((2, 1))], "bias 1"),
        ([W * np.nan], [b], "weight 1"),
        ([W], [b + np.inf], "bias 1"),
        ([W.astype(int)], [b], "weight 1"),
        ([b], [b], "weight 1"),
        (None, [b], "weights is of type NoneType; pass a list of arrays"),
        ([W], None, "biases is of type NoneType; pass a list of arrays"),
        (W[0, 0], [b], "weights is of type float64"),
        ("ab", [b, b], "weights is of type str"),
        ({"weight": W}, [b], "weights is of type dict"),
        ([None], [b], "weight 1 is None, no array"),
        ([W, None], [b, b], "weight 2 is None, no array"),
        ([W], [None], "bias 1 is None, no array"),
        (["ab"], [b], "weight 1"),
        ([[["a", "b"], ["c", "d"]]], [b], "weight 1 has dtype <U1"),
        ([[[1.0, 2.0], [3.0]]], [b], "weight 1 is .* with as many in every row"),
        ([W * 1j], [b], "weight 1 has dtype complex128"),
        ([(W * 1j).astype(object)], [b], "weight 1 is an object array that holds 1j, which is no real number"),
        ([np.full((2, 2), np.datetime64("2020-01-01"))], [b], "weight 1 has dtype datetime64"),
        ([np.full((2, 2), datetime.date(2020, 1, 1))], [b], "weight 1"),
        ([np.zeros((0, 2))], [np.zeros(0)], r"weight 1 has shape \(0, 2\); pass at least one input and one neuron"),
        ([np.zeros((2, 0))], [b], r"weight 1 has shape \(2, 0\); pass at least one input and one neuron"),
        ([W, np.zeros((0, 2))], [b, np.zeros(0)], r"weight 2 has shape \(0, 2\)"),
    ):
        with pytest.raises(ValueError, match=match):
            ReluNetwork(weights, biases)
    for x in (np.zeros(3), np.zeros((2, 1)), np.array(1.0)):
        with pytest.raises(ValueError, match="inputs must have shape"):
            ReluNetwork([W], [b])(x)
