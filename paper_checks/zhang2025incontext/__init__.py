"""Checks of Zhang et al., "Training Dynamics of In-Context Learning in Linear Attention" (arXiv 2501.16265v2)."""

from .paper import PAPER
from . import landscape, dynamics

__all__ = ["PAPER", "dynamics", "landscape"]
