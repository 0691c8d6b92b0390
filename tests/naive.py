"""The constructions of Zeng & Lee (arXiv:2310.17513v3) as the paper writes them: short, slow, and badly conditioned.

They are compared with the library on instances that double precision can bear.
"""

import numpy as np


def linear_chain(frozen, target, ranks):
    """Lemma 1: the updates Delta_1, ..., Delta_L, by singular values in descending order and explicit products."""
    D, L = len(target), len(frozen)
    U, s, Vt = np.linalg.svd(target - product(frozen))
    P, updates, spent = np.eye(D), [], 0
    for l in range(L):
        S = product(frozen[l + 1 :]) if l + 1 < L else np.eye(D)
        columns = slice(spent, min(spent + ranks[l], D))
        A = np.linalg.solve(S, (U * s)[:, columns])
        B = np.linalg.solve(P.T, Vt.T)[:, columns]
        updates.append(A @ B.T)
        P = (frozen[l] + updates[l]) @ P
        spent = columns.stop
    return updates


def eckart_young(frozen, target, ranks):
    """The smallest error in spectral norm: sigma_{R_1 + ... + R_L + 1}, with sigma_d = 0 for d > D."""
    s = np.linalg.svd(target - product(frozen), compute_uv=False)
    return s[sum(ranks)] if sum(ranks) < len(s) else 0.0


def relu_network(frozen_weights, weights, biases, R, lower, upper):
    """Lemma 2 in every block of Theorem 3's uniform partition: weights and biases on the box lower <= x <= upper."""
    L, Lbar = len(frozen_weights), len(weights)
    M = L // Lbar
    adapted_weights, adapted_biases = [], []
    for i in range(Lbar):
        block = frozen_weights[i * M : (i + 1) * M if i < Lbar - 1 else L]
        updates = linear_chain(block, weights[i], [R] * len(block))
        layers = [W + Delta for W, Delta in zip(block, updates, strict=True)]
        adapted_weights += layers
        adapted_biases += one_block(layers, biases[i], lower, upper)
        lower, upper = (np.maximum(v, 0) for v in image(weights[i], biases[i], lower, upper))
    return adapted_weights, adapted_biases


def one_block(layers, target_bias, lower, upper):
    """Lemma 2: twice the largest pre-activation keeps the inner neurons active; the last bias takes it back."""
    P, c, biases = np.eye(len(lower)), np.zeros(len(lower)), []
    for F in layers[:-1]:
        P, c = F @ P, F @ c
        b = np.full(len(c), 2 * np.max(np.abs(image(P, c, lower, upper))))
        biases.append(b)
        c = c + b
    passed_on = sum(product(layers[l + 1 :]) @ b for l, b in enumerate(biases))
    return [*biases, target_bias - passed_on]


def image(W, b, lower, upper):
    """The least and the greatest value of each entry of W x + b on the box."""
    centre, spread = W @ (lower + upper) / 2 + b, np.abs(W) @ (upper - lower) / 2
    return centre - spread, centre + spread


def product(weights):
    """W_L ... W_1."""
    P = np.eye(len(weights[0]))
    for W in weights:
        P = W @ P
    return P
