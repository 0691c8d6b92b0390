"""Park, Rethinking the Rank Threshold for LoRA Fine-Tuning, arXiv 2605.03724v1: thresholds, labels, regularisation.

Statements are those of the abstract, to be compared with the paper. The order of the imports is the order of the claims
in reports.
"""

from . import capacity, regularised
from .paper import PAPER

__all__ = ["PAPER", "capacity", "regularised"]
