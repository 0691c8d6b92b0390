"""Where kinks may go, the equations that this leaves, and what is needed to call a solution one."""

from dataclasses import replace

import flint
import numpy as np
import pytest

from lora_proofs import ReluNetwork, exact, instances
from lora_proofs.constructions.kinks.system import (
    Node,
    float_networks,
    permuted,
    read_kinks,
    solve_kinks,
    solve_some_kinks,
)


def pair(D, L, Lbar, seed=0):
    rng = np.random.default_rng(seed)
    return instances.relu_network(rng, D, L), instances.relu_network(rng, D, Lbar)


def solved(D=6, L=3, R=4, kinks=(3, 3)):
    frozen, target = pair(D, L, 2)
    nodes = read_kinks(kinks, D, L, 2)
    return solve_kinks(frozen, target, nodes, [R] * L, np.random.default_rng(0))


class Found:
    """A system whose certified solution is what a test says it is."""

    equations = 1

    def __init__(self, system, balls):
        self.positive, self.balls = system.positive, balls

    def certify(self, root):
        return self.balls


def test_the_entries_of_a_mixing_matrix():
    rows, columns, scales = Node(1, 1, range(1, 3)).entries(4)
    places = set(zip(rows.tolist(), columns.tolist(), scales.tolist(), strict=True))
    assert places == {(1, 1, True), (2, 2, True), (0, 0, False), (0, 3, False), (3, 0, False), (3, 3, False)}


def test_the_pencils_are_those_of_the_statement():
    """T_e Z - Pi T_s between the nodes, for T from the unknowns."""
    system, root = solved()
    T_1, T_2, one = system.mixings(root)
    W = system.frozen.weights
    Z = system.target.weights
    expected = [T_1 @ Z[0] - W[0], T_2 - W[1] @ T_1, one @ Z[1] - W[2] @ T_2]
    for pencil, M in zip(system.system.pencils, expected, strict=True):
        np.testing.assert_allclose(pencil.rounded().at(root), M, atol=1e-12)
        assert pencil.rank == 4
    assert system.system.equations == 12
    assert np.array_equal(one, np.eye(6))
    for T, neurons in ((T_1, range(3)), (T_2, range(3, 6))):
        for i in neurons:
            assert T[i, i] > 0
            assert np.count_nonzero(T[i]) == np.count_nonzero(T[:, i]) == 1
    steps = system.steps()
    assert np.array_equal(steps[0][0], Z[0])
    assert np.array_equal(steps[1][0], np.eye(6))
    assert not np.any(steps[1][1])
    assert np.array_equal(steps[2][1], system.target.biases[1])


def test_existence_says_what_it_rests_on():
    system, root = solved()
    certificate = system.existence(root)
    assert (certificate.holds, certificate.evidence, certificate.error) == (True, "certified", None)
    assert "12 equations in 24 unknowns, 12 of them fixed" in certificate.reasons[0]
    least = min(root[system.system.positive])
    assert f"its 6 scales are positive, the least about {least:.2g}" in certificate.reasons[1]
    balls = [flint.arb(v, 1e-20 if j else 1e-9) for j, v in enumerate(root.tolist())]
    assert "within 1e-09 of a point" in replace(system, system=Found(system.system, balls)).existence(root).reasons[0]


def test_no_existence_with_a_singular_frozen_weight():
    system, root = solved()
    W = [W.copy() for W in system.frozen.weights]
    W[1][0] = W[1][1]
    certificate = replace(system, frozen=ReluNetwork(W, system.frozen.biases)).existence(root)
    assert (certificate.holds, certificate.evidence) == (False, "")
    assert "a frozen weight could not be shown to be non-singular" in certificate.reasons[0]


def test_no_existence_with_a_singular_mixing_matrix():
    """A root at which the block of a T that mixes is 0: the solver never meets one, so it is put there."""
    system, root = solved()
    free = np.flatnonzero(~system.system.positive)
    for lost in (free[:9], free[9:]):
        values = root.copy()
        values[lost] = 0.0
        stub = replace(system, system=Found(system.system, [flint.arb(v) for v in values.tolist()]))
        certificate = stub.existence(values)
        assert (certificate.holds, certificate.evidence) == (False, "")
        assert "a mixing matrix could not be shown to be invertible" in certificate.reasons[0]
    good = replace(system, system=Found(system.system, [flint.arb(v) for v in root.tolist()]))
    assert good.existence(root).holds


def test_no_existence_without_a_certified_root():
    system, root = solved()
    certificate = replace(system, system=Found(system.system, None)).existence(root)
    assert not certificate.holds
    assert "Krawczyk's test does not show" in certificate.reasons[0]
    assert not system.existence(root * 1.5).holds


def test_equations_and_unknowns_are_compared():
    frozen, target = pair(6, 3, 2)
    nodes = read_kinks([3, 3], 6, 3, 2)
    with pytest.raises(ValueError, match="27 equations for 24 unknowns"):
        solve_kinks(frozen, target, nodes, [3] * 3, np.random.default_rng(0))


def test_the_first_systems_that_pass_the_count_are_tried():
    """Three coranks of 3, so 27 equations, in every system for these sizes."""
    frozen, target = pair(8, 3, 2)
    system, _ = next(solve_some_kinks(frozen, target, [5] * 3, np.random.default_rng(0)))
    assert system.system.equations == 27
    assert next(solve_some_kinks(frozen, target, [5] * 3, np.random.default_rng(0), 27), None) is not None
    assert next(solve_some_kinks(frozen, target, [5] * 3, np.random.default_rng(0), 26), None) is None
    wide = next(solve_some_kinks(frozen, target, [9, 8, 8], np.random.default_rng(0), 0))
    assert wide[0].system.equations == 0


def test_permuting_hidden_neurons_keeps_the_function():
    target = instances.relu_network(np.random.default_rng(0), 4, 3)
    other = permuted(target, np.random.default_rng(3))
    x = np.random.default_rng(2).uniform(-4, 4, (9, 4))
    np.testing.assert_allclose(other(x), target(x), atol=1e-12)
    assert not np.array_equal(other.weights[0], target.weights[0])
    assert not np.array_equal(other.weights[1], target.weights[1])


def test_networks_of_floats_of_one_width():
    frozen, target = pair(3, 2, 2)
    single = ReluNetwork([W.astype(np.float32) for W in frozen.weights], [b.astype(np.float32) for b in frozen.biases])
    one, other = float_networks(single, target)
    assert {W.dtype for W in (*one.weights, *one.biases)} == {np.dtype(float)}
    assert np.array_equal(other.weights[1], target.weights[1])
    wide, _ = pair(4, 2, 1)
    rational = ReluNetwork([exact.array(W) for W in frozen.weights], [exact.array(b) for b in frozen.biases])
    for networks, match in (
        ((wide, target), r"target has widths \(3, 3, 3\)"),
        ((frozen, wide), r"target has widths \(4, 4, 4\)"),
        ((rational, target), "frozen holds rationals"),
        ((frozen, rational), "target holds rationals"),
        ((None, target), "frozen is of type NoneType"),
        (
            (ReluNetwork(frozen.weights[:1], frozen.biases[:1]), target),
            "the target has 2 layers, the frozen network only 1",
        ),
    ):
        with pytest.raises(ValueError, match=match):
            float_networks(*networks)
