r"""Bershatsky et al., LoTR: Low Tensor Rank Weight Adaptation, arXiv 2402.01376v2.

The updates of L layers form one tensor in Tucker-2 form: Delta_s = A G_s B^T, s = 1, ..., L, with A (d x r) and B (d x
r) shared and a core G_s (r x r) for each layer. Abstract, metadata, the official code (daskol/lotr, lotr/lotr.py) and
its table of parameter counts were read; the paper has no theorem that could be confirmed, what is checked is
re-derived.
"""

from .paper import PAPER
from . import parameters, expressivity, approximation

__all__ = ["PAPER", "approximation", "expressivity", "parameters"]
