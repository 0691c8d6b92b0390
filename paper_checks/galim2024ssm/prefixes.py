"""Prefixes: what M tokens reach of the initial states of a diagonal layer."""

from math import prod
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, at_most, equal, exact

from .paper import PAPER, Vector, distance, draw, initial_state, run, s4, s6, unrolled

LAYERS = {"S4": s4, "S6": s6}


@PAPER.proposition("prefix-is-initial-state", layer=tuple(LAYERS), M=(1, 3, 6), proof="prefix_is_initial_state")
def prefix_is_initial_state(case: Case) -> Comparison:
    r"""A prefix changes the outputs on the input just as the initial state \sum_m A_M ... A_{m+1} B_m p_m does.

    For every input and every prefix, in S4 and S6 layers. Measured: the largest difference over 5 outputs.
    """
    return equal(_effect_of_prefix(case, step=1), 0)


@prefix_is_initial_state.control("the prefix reversed", layer=tuple(LAYERS), M=(3, 6))
def _(case: Case) -> Comparison:
    return equal(_effect_of_prefix(case, step=-1), 0)


def _effect_of_prefix(case: Case, step: int) -> fmpq:
    """Return how far a prefix is from the initial state of that prefix, read forward or backward."""
    layer, prefix, inputs = LAYERS[case["layer"]](case, 4), draw(case, case["M"]), draw(case, 5)
    with_prefix = run(layer, prefix + inputs, [fmpq(0)] * 4)[len(prefix) :]
    return distance(with_prefix, unrolled(layer, inputs, initial_state(layer, prefix[::step])))


def reach(a: Vector, b: Vector, M: int) -> fmpq_mat:
    """Return the (H, M) matrix that maps a prefix to its state: columns diag(a)^{M-m} b."""
    return fmpq_mat(len(a), M, [b_i * a_i ** (M - 1 - m) for a_i, b_i in zip(a, b, strict=True) for m in range(M)])


def reached(a: Vector, b: Vector, M: int) -> int:
    """Return the rank of `reach`, and add the number of its columns that are not the states of unit prefixes."""
    states = reach(a, b, M)
    units = [initial_state(lambda x: (a, b, b), [fmpq(int(k == m)) for k in range(M)]) for m in range(M)]
    wrong = sum(states[i, m] != unit[i] for m, unit in enumerate(units) for i in range(len(a)))
    return exact.rank(states) + wrong


@PAPER.proposition("reachable-states", H=(4, 6), M=(1, 3, 4, 6), proof="reachable")
def reachable_states(case: Case) -> Comparison:
    """Distinct eigenvalues, b_i != 0: the states that M tokens reach have dimension min(M, H).

    So prefix-tuning is initial-state tuning for M >= H tokens, and less for fewer. The matrix is Vandermonde's with
    scaled rows.
    """
    a, b, _ = s4(case, case["H"])(fmpq(0))
    return equal(reached(a, b, case["M"]), min(case["M"], case["H"]))


@reachable_states.control("a repeated eigenvalue", H=(4,), M=(4, 6))
def _(case: Case) -> Comparison:
    a, b, _ = s4(case, case["H"])(fmpq(0))
    return equal(reached([a[0], *a[:-1]], b, case["M"]), min(case["M"], case["H"]))


@reachable_states.control("a state without input", H=(4,), M=(4, 6))
def _(case: Case) -> Comparison:
    a, b, _ = s4(case, case["H"])(fmpq(0))
    return equal(reached(a, [fmpq(0), *b[1:]], case["M"]), min(case["M"], case["H"]))


@PAPER.proposition(
    "repeated-eigenvalues", gap="scope restriction: the eigenvalues of the layer must be distinct", H=(5,)
)
def repeated_eigenvalues(case: Case) -> Comparison:
    """However many tokens: the reachable states have as many dimensions as there are eigenvalues with some b_i != 0."""
    distinct = int(case.rng.integers(2, 5))
    pool = draw(case, distinct)
    a = pool + [pool[int(k)] for k in case.rng.integers(0, distinct, case["H"] - distinct)]
    return equal(reached(a, draw(case, case["H"]), 3 * case["H"]), distinct)


@repeated_eigenvalues.control("M >= H tokens reach everything")
def _(case: Case) -> Comparison:
    return equal(repeated_eigenvalues(case).measured, case["H"])


@PAPER.formula("length-of-the-prefix", H=(3, 5), spread=(8, 64))
def length_of_the_prefix(case: Case) -> Comparison:
    r"""The first of the H tokens that reach the state e_i is 1 / (b_i \prod_{j != i} (a_i - a_j)).

    It is the leading coefficient of Lagrange's polynomial. So states whose eigenvalues are close, as slow ones are,
    need huge tokens: here a_i = 1 - n_i / spread, with distinct n_i in 1, ..., 7.
    """
    return equal(_first_token(case, 0), 1)


@length_of_the_prefix.control("one factor is forgotten")
def _(case: Case) -> Comparison:
    return equal(_first_token(case, 1), 1)


def _first_token(case: Case, forgotten: int) -> fmpq:
    """Return the first token over what the formula says, without the first factors of its product."""
    H, i = case["H"], int(case.rng.integers(case["H"]))
    a = [1 - fmpq(int(n), case["spread"]) for n in case.rng.choice(np.arange(1, 8), H, replace=False)]
    b, wanted = draw(case, H), fmpq_mat(H, 1)
    wanted[i, 0] = fmpq(1)
    factors = [a[i] - a_j for j, a_j in enumerate(a) if j != i]
    return reach(a, b, H).solve(wanted)[0, 0] * b[i] * prod(factors[forgotten:])


@PAPER.formula("decay", t=(0, 5, 20), H=(1, 4), sampled=True)
def decay(case: Case) -> Comparison:
    r"""An initial state h changes y_t by at most \rho^t \sum |c_i a_i h_i|, \rho = max |a_i|, for t = 0, 1, ...

    In an S4 layer: the effect of a prefix decays. Attained with one state. Measured: the ratio of the change to this
    bound.
    """
    return at_most(_decay(case, max), 1)


@decay.control("one per cent less, with one state", t=(0, 5, 20), H=(1,))
def _(case: Case) -> Comparison:
    return at_most(_decay(case, max), fmpq(99, 100))


@decay.control("the smallest |a_i|", t=(20,), H=(4,))
def _(case: Case) -> Comparison:
    return at_most(_decay(case, min), 1)


def _decay(case: Case, extreme: Any) -> fmpq:
    layer, h, inputs = s4(case, case["H"]), draw(case, case["H"]), draw(case, 14) * 2
    a, _, c = layer(fmpq(0))
    outputs = [run(layer, inputs[: case["t"] + 1], state)[-1] for state in (h, [fmpq(0)] * case["H"])]
    size = sum((abs(u * v * w) for u, v, w in zip(a, c, h, strict=True)), fmpq(0))
    return abs(outputs[0] - outputs[1]) / (size * extreme(map(abs, a)) ** case["t"])
