"""Checks of Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685v2, ICLR 2022)."""

from .paper import PAPER
from . import layer, similarity, counts, accuracies

__all__ = ["PAPER", "accuracies", "counts", "layer", "similarity"]
