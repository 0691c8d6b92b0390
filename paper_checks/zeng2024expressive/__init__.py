"""Zeng & Lee, The Expressive Power of Low-Rank Adaptation, arXiv 2310.17513v3: linear models and ReLU networks.

Statement numbers and wordings are as recalled and to be compared with v3; every docstring states exactly what is
checked. The modules follow the paper: linear models, ReLU networks, error bounds, tuning the final layers; then the
algebra with symbols, and real weights.
"""

from . import algebra, errors, final_layers, linear, relu
from .paper import PAPER

__all__ = ["PAPER", "algebra", "errors", "final_layers", "linear", "relu"]
