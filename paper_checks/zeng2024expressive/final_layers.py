"""Tuning the final layers instead: Lemma 4 and the count of parameters."""

from __future__ import annotations

from typing import Any

from flint import fmpq_mat

from lora_proofs import Box, Case, Comparison, OutOfScope, ReluNetwork, at_most, constructions, equal, exact, instances

from .paper import PAPER
from .strengthened import adapter_parameters


def relu(x: Any) -> list[Any]:
    """Return max(0, entry) for the entries of a column."""
    return [max(v, exact.number(0)) for v in x.entries()]


def is_inseparable(case: Case, first: Any, target: Any) -> bool:
    """Tell whether two points with the same first hidden state and different target outputs are found.

    Write a row of the target's pre-activation as gamma.p + const in terms of p = W_1 x + b_1, gamma = W_1^{-T} w. Let
    p_k move from -1 to -2, which ReLU does not see, while p_j keeps the target's neuron active. It takes two entries
    gamma_j, gamma_k that do not vanish.
    """
    D = case["D"]
    b, b_bar = (exact.matrix(case.rng.integers(-3, 4, (D, 1))) for _ in range(2))
    gamma = target * first.inv()
    if is_generalised_permutation(gamma):
        return False
    triples = ((i, j, k) for i in range(D) for j in range(D) for k in range(D) if j != k)
    i, j, k = next((i, j, k) for i, j, k in triples if gamma[i, j] != 0 and gamma[i, k] != 0)
    constant = b_bar[i, 0] - (target * first.solve(b))[i, 0]
    p = fmpq_mat(D, 1)
    p[j, 0] = (abs(constant) + 2 * abs(gamma[i, k]) + 1) / gamma[i, j]
    states = []
    for p[k, 0] in (-1, -2):
        x = first.solve(p - b)
        states.append((relu(first * x + b), relu(target * x + b_bar)))
    (hidden, output), (same_hidden, other_output) = states
    return bool(hidden == same_hidden and output != other_output)


def is_generalised_permutation(gamma: Any) -> bool:
    """Tell whether every row has at most one entry that is not zero."""
    return all(sum(v != 0 for v in row) <= 1 for row in gamma.table())


@PAPER.lemma("4", D=(2, 3, 4), proof="lemma4")
def lemma_4(case: Case) -> Comparison:
    r"""Random weights, D >= 2, \bar L = 1, \bar W != 0, inputs in R^D: tuning W_2, ..., W_L never gives f = \bar f.

    Almost surely, and for any biases: a row of \bar W W_1^{-1} has to have two non-zero entries. For continuous
    distributions that fails with probability 0; here it is a hypothesis. Certificate: two points with the same state
    after the frozen first layer and different target outputs. Measured: 1 if such a pair was found, exactly.
    """
    first, target = (instances.nonsingular(case.rng, case["D"]) for _ in range(2))
    if is_generalised_permutation(target * first.inv()):
        raise OutOfScope("the rows of the target are multiples of those of the first layer, which has probability 0")
    return equal(int(is_inseparable(case, first, target)), 1)


@lemma_4.control("the target is constant: W = 0")
def _(case: Case) -> Comparison:
    D = case["D"]
    return equal(int(is_inseparable(case, instances.nonsingular(case.rng, D), fmpq_mat(D, D))), 1)


@lemma_4.control("D = 1", D=(1,))
def _(case: Case) -> Comparison:
    first, target = (instances.nonsingular(case.rng, 1) for _ in range(2))
    return equal(int(is_inseparable(case, first, target)), 1)


@PAPER.lemma(
    "4-bounded-domain",
    instance=("recorded", "random"),
    D=(2, 3),
    gap="false as printed (as recalled): on a bounded domain the frozen first layer may be active everywhere, and the "
    "second layer then represents the target exactly; the statement as recalled, to be compared with v3, allows it",
)
def lemma_4_bounded_domain(case: Case) -> Comparison:
    r"""Random weights, D >= 2, inputs in a bounded X: tuning W_2, ..., W_L never gives f = \bar f on X.

    X = {|x|_\infty <= 4}. Where W_1 x + b_1 >= 0 on all of X, the second layer W_2 = \bar W W_1^{-1}, b_2 = \bar b -
    W_2 b_1 is a counterexample: for the recorded b_1 always, for random integers in -30, ..., 60 now and then.
    Measured: 0 if the exact certificate shows f = \bar f on all of X for this layer.
    """
    D = case["D"]
    first, target = instances.nonsingular(case.rng, D), instances.nonsingular(case.rng, D)
    if case["instance"] == "recorded":
        b = exact.matrix([[4 * sum((abs(v) for v in row), exact.number(0))] for row in first.table()])
    else:
        b = exact.matrix(case.rng.integers(-30, 61, (D, 1)))
    b_bar = exact.matrix(case.rng.integers(-3, 4, (D, 1)))
    second = target * first.inv()
    network = ReluNetwork(
        [exact.array(first), exact.array(second)], [exact.array(b)[:, 0], exact.array(b_bar - second * b)[:, 0]]
    )
    goal = ReluNetwork([exact.array(target)], [exact.array(b_bar)[:, 0]])
    return equal(int(not constructions.certify_relu_network(network, goal, Box(-4, 4)).holds), 1)


@PAPER.formula(
    "parameters-of-final-layers",
    D=(4,),
    L=(4, 5, 8),
    gap="local correction: LoRA at the threshold has 2D^2 adapter parameters and the last L - 1 layers (L - 1)D^2, so "
    "LoRA is cheaper only from L = 4 on; at L = 3 they are equal, at L = 2 LoRA needs twice as many",
    proof="parameters_final_layers",
)
def parameters_of_final_layers(case: Case) -> Comparison:
    r"""L >= 4: exact adapters for a one-layer target have fewer parameters than the last L - 1 layers have weights."""
    return at_most(lora_parameters(case), (case["L"] - 1) * case["D"] ** 2 - 1)


def lora_parameters(case: Case) -> int:
    """Return the number of adapter entries when D ranks are spread over L layers."""
    D, L = case["D"], case["L"]
    return adapter_parameters(case, [D // L + (l < D % L) for l in range(L)])


@parameters_of_final_layers.control("L = 3 and L = 2", L=(2, 3), D=(4,))
def _(case: Case) -> Comparison:
    return parameters_of_final_layers(case)
