"""Kim, Kim & Ryu, LoRA Training Provably Converges to a Low-Rank Global Minimum or It Fails Loudly, arXiv 2502.09376v3.

Theorem 1 and its corollary, a chain of inequalities that proves its special regime and more, the sharp examples, and
the relation to the linearised regime. The order of the imports is the order of the claims in reports.
"""

from . import chain, theorem, corollaries, linearised
from .paper import PAPER

__all__ = ["PAPER", "chain", "corollaries", "linearised", "theorem"]
