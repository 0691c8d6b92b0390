"""Exercise 4: an attention head at rank D/2 (the step behind Theorem 7 of Zeng & Lee, arXiv 2310.17513v3).

Fill in the functions marked ``@hole``, then try ``lora-proofs check attention_head.py``.
"""

import numpy as np

from lora_proofs import Adapter, Case, Paper, at_most, equal
from lora_proofs.homework import hole

PAPER = Paper(
    key="attention_head",
    title="The Expressive Power of Low-Rank Adaptation",
    authors=("Yuchen Zeng", "Kangwook Lee"),
    year=2023,
    arxiv="2310.17513v3",
)


@hole
def head_rank(D):
    """Return the least rank with which adapting W_Q and W_K, D x D, reaches every matrix W_K^T W_Q."""
    return -(-D // 2)


@hole
def adapt_head(W_Q, W_K, scores):
    """Return (A_Q, B_Q), (A_K, B_K) of rank ceil(D/2) with (W_K + B_K A_K)^T (W_Q + B_Q A_Q) = scores.

    W_Q, W_K and scores are D x D, the first two non-singular.
    """
    D = len(scores)
    R = -(-D // 2)
    U, s, Vt = np.linalg.svd(scores - W_K.T @ W_Q)
    # First half of E through W_Q: W_K^T B_Q A_Q = E_1. Second half through W_K, with W_Q already adapted.
    A_Q, B_Q = Vt[:R], np.linalg.solve(W_K.T, U[:, :R] * s[:R])
    A_K = (U[:, R:]).T
    B_K = np.linalg.solve((W_Q + B_Q @ A_Q).T, Vt[R:].T * s[R:])
    pad = R - len(A_K)
    return (A_Q, B_Q), (np.pad(A_K, ((0, pad), (0, 0))), np.pad(B_K, ((0, 0), (0, pad))))


@PAPER.theorem("7-rank", D=(2, 3, 4, 5, 8))
def least_rank(case: Case):
    r"""The least rank that reaches every W_K^T W_Q is \lceil D/2 \rceil."""
    return equal(int(head_rank(case["D"])), -(-case["D"] // 2))


@PAPER.theorem("7", D=(4, 5, 8), tolerance=(1e-6, "random factors are ill conditioned in floats"))
def attention_scores(case: Case):
    r"""With adapters of rank \lceil D/2 \rceil, (W_K + \Delta_K)^T (W_Q + \Delta_Q) is the target's W_K^T W_Q."""
    D = case["D"]
    W_Q, W_K = (np.linalg.qr(W)[0] + 0.3 * np.eye(D) for W in case.rng.standard_normal((2, D, D)))
    scores = case.rng.standard_normal((D, D))
    pairs = adapt_head(W_Q.copy(), W_K.copy(), scores.copy())
    query, key = (Adapter(np.asarray(A), np.asarray(B)) for A, B in pairs)
    if max(query.rank, key.rank) > -(-D // 2):
        raise ValueError(f"the adapters have ranks {query.rank} and {key.rank}; at most {-(-D // 2)} is allowed")
    reached = key.merge(W_K).T @ query.merge(W_Q)
    return at_most(np.linalg.norm(reached - scores, 2) / np.linalg.norm(scores, 2), 0)
