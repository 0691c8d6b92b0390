"""Xu et al., Understanding the Learning Dynamics of LoRA: A Gradient Flow Perspective, arXiv 2503.06982v1.

One adapter in closed form, then two layers. The order of the imports is the order of the claims in reports.
"""

from . import one_adapter, two_layers
from .paper import PAPER

__all__ = ["PAPER", "one_adapter", "two_layers"]
