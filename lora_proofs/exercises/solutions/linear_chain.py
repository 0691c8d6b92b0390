"""Exercise 2: adapters of a linear chain (Lemma 1 of Zeng & Lee, arXiv 2310.17513v3).

Fill in the functions marked ``@hole``, then try ``lora-proofs check linear_chain.py``.
"""

import numpy as np

from lora_proofs import Adapter, Case, Paper, at_most, equal
from lora_proofs.homework import hole

PAPER = Paper(
    key="linear_chain",
    title="The Expressive Power of Low-Rank Adaptation",
    authors=("Yuchen Zeng", "Kangwook Lee"),
    year=2023,
    arxiv="2310.17513v3",
)


@hole
def threshold(D, L):
    """Return the least R with which every D x D target is reached by adapting every chain of L non-singular layers."""
    return -(-D // L)


@hole
def adapters(frozen, target, R):
    """Return [(A_1, B_1), ..., (A_L, B_L)] of rank R with (W_L + B_L A_L) ... (W_1 + B_1 A_1) = target.

    ``frozen`` is [W_1, ..., W_L], the first to be applied first; R is at least the threshold.
    """
    D, found = len(target), []
    U, s, Vt = np.linalg.svd(target - chain(frozen))
    for l in range(len(frozen)):
        mine = slice(l * R, min((l + 1) * R, D))
        # After this layer the product is Pi + the leading part of E: solve for the update of W_l behind the rest.
        before = chain([*(F + B @ A for F, (A, B) in zip(frozen, found, strict=False)), np.eye(D)])
        after = chain([np.eye(D), *frozen[l + 1 :]])
        A = np.linalg.solve(before.T, Vt[mine].T).T
        B = np.linalg.solve(after, U[:, mine] * s[mine])
        pad = R - A.shape[0]
        found.append((np.pad(A, ((0, pad), (0, 0))), np.pad(B, ((0, 0), (0, pad)))))
    return found


@PAPER.lemma("1-threshold", D=(4, 5, 6, 7), L=(2, 3))
def least_rank(case: Case):
    r"""The least uniform rank that reaches every target is \lceil D / L \rceil."""
    return equal(int(threshold(case["D"], case["L"])), -(-case["D"] // case["L"]))


@PAPER.lemma("1", D=(4, 6), L=(2, 3), tolerance=(1e-6, "chains of random layers are ill conditioned in floats"))
def reached(case: Case):
    r"""With R = \lceil D / L \rceil the adapted product equals the target: relative error 0."""
    return at_most(relative_error(case, -(-case["D"] // case["L"])), 0)


@PAPER.lemma("1-more", D=(6,), L=(3,), R=(3, 5), tolerance=(1e-6, "chains of random layers are ill conditioned"))
def reached_with_more(case: Case):
    r"""With a larger R it does too."""
    return at_most(relative_error(case, case["R"]), 0)


def relative_error(case: Case, R: int) -> float:
    """Return ||product - target||_2 / ||target||_2 for the adapters handed in."""
    D, L = case["D"], case["L"]
    frozen = [np.linalg.qr(W)[0] + 0.3 * np.eye(D) for W in case.rng.standard_normal((L, D, D))]
    target = case.rng.standard_normal((D, D))
    pairs = adapters([W.copy() for W in frozen], target.copy(), R)
    if len(pairs) != L:
        raise ValueError(f"{len(pairs)} adapters for {L} layers")
    updates = [Adapter(np.asarray(A), np.asarray(B)) for A, B in pairs]
    if any(update.rank > R for update in updates):
        raise ValueError(f"the adapters have ranks {[update.rank for update in updates]}; at most {R} is allowed")
    product = chain([update.merge(W) for update, W in zip(updates, frozen, strict=True)])
    return float(np.linalg.norm(product - target, 2) / np.linalg.norm(target, 2))


def chain(weights):
    """Return W_L ... W_1."""
    product = weights[0]
    for W in weights[1:]:
        product = W @ product
    return product
