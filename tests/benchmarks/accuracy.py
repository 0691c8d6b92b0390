"""Print the accuracy table of the README: textbook order against `adapt_linear_chain`, in float64.

Relative Frobenius error of the product of the returned adapters, weights U(+-1/sqrt D), R = ceil(D / L), median of the
seeds 0 to 4. Run it as ``python tests/benchmarks/accuracy.py``.
"""

import sys
from pathlib import Path
from statistics import median

import numpy as np

from lora_proofs import instances
from lora_proofs.constructions import adapt_linear_chain
from lora_proofs.linalg import chain_product

sys.path.insert(0, str(Path(__file__).parents[1]))
from naive import linear_chain as textbook_chain

SIZES = ((16, 2), (16, 4), (16, 8), (64, 4), (64, 8), (128, 4))


def errors(D: int, L: int, seed: int) -> tuple[float, float]:
    """Return the relative errors of the textbook order and of ours."""
    rng = np.random.default_rng(seed)
    frozen, target, R = instances.chain(rng, D, L), instances.uniform(rng, D), -(-D // L)
    adapters = adapt_linear_chain(frozen, target, R).adapters
    updates = textbook_chain(frozen, target, [R] * L), [a.delta() for a in adapters]
    products = (chain_product([W + U for W, U in zip(frozen, us, strict=True)]) for us in updates)
    textbook, ours = (float(np.linalg.norm(P - target) / np.linalg.norm(target)) for P in products)
    return textbook, ours


if __name__ == "__main__":
    print(f"{'(D, L)':12}{'textbook':>10}{'ours':>10}")
    for D, L in SIZES:
        textbook, ours = (median(column) for column in zip(*(errors(D, L, s) for s in range(5)), strict=True))
        print(f"{(D, L)!s:12}{textbook:10.0e}{ours:10.0e}")
