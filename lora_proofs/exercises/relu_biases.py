"""Exercise 3: biases that keep neurons active on a box (the device behind Lemma 2 of Zeng & Lee, arXiv 2310.17513v3).

Fill in the function marked ``@hole``, then try ``lora-proofs check relu_biases.py``.
"""

import numpy as np

from lora_proofs import Box, Case, Paper, ReluNetwork, equal
from lora_proofs.constructions import certify_relu_network
from lora_proofs.homework import hole

PAPER = Paper(
    key="relu_biases",
    title="The Expressive Power of Low-Rank Adaptation",
    authors=("Yuchen Zeng", "Kangwook Lee"),
    year=2023,
    arxiv="2310.17513v3",
)


@hole
def biases(weights, bias, c):
    """Return [b_1, ..., b_L] for a network that equals ReLU(W_L ... W_1 x + bias) on the box |x_i| <= c.

    Layer l is h_l = ReLU(W_l h_{l-1} + b_l), h_0 = x. Keep the hidden neurons active on the whole box, with no larger
    biases than that needs.
    """
    raise NotImplementedError("yours to write")


@PAPER.lemma("2", D=(3, 5), L=(2, 3))
def equal_on_the_box(case: Case):
    r"""The network equals ReLU(W_L ... W_1 x + bias) for every x of the box: certified on all of it, 1 for yes."""
    weights, bias, c = instance(case)
    network = ReluNetwork(weights, handed_in(weights, bias, c))
    target = ReluNetwork([product(weights)], [bias])
    return equal(int(certify_relu_network(network, target, Box(-c, c)).holds), 1)


@PAPER.lemma("2-tight", D=(3, 5), L=(2, 3))
def first_bias_is_tight(case: Case):
    r"""Every neuron of the first layer has the bias c \sum_j |W_ij|, the least that keeps it active."""
    weights, bias, c = instance(case)
    ratio = handed_in(weights, bias, c)[0] / (c * np.abs(weights[0]).sum(axis=1))
    return equal(ratio[np.argmax(np.abs(ratio - 1))], 1)


def instance(case: Case):
    """Return weights, last bias, and half the width of the box."""
    D, L = case["D"], case["L"]
    return list(case.rng.standard_normal((L, D, D))), case.rng.standard_normal(D), float(case.rng.uniform(1, 4))


def handed_in(weights, bias, c):
    """Return the biases handed in, as arrays."""
    return [np.asarray(b, dtype=float) for b in biases([W.copy() for W in weights], bias.copy(), c)]


def product(weights):
    """Return W_L ... W_1."""
    found = weights[0]
    for W in weights[1:]:
        found = W @ found
    return found
