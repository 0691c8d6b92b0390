"""Zeng & Lee, The Expressive Power of Low-Rank Adaptation, arXiv 2310.17513v3.

Linear models, ReLU networks and other activations, transformers. Statement numbers and wordings are as recalled and to
be compared with v3; every docstring states exactly what is checked. The order of the imports is the order of the claims
in reports.
"""

from . import (
    linear,
    strengthened,
    pairs,
    heads,
    relu,
    models,
    sharper,
    errors,
    tightness,
    final_layers,
    activations,
    transformer,
    transformer_limits,
    algebra,
)
from .paper import PAPER

__all__ = [
    "PAPER",
    "activations",
    "algebra",
    "errors",
    "final_layers",
    "heads",
    "linear",
    "models",
    "pairs",
    "relu",
    "sharper",
    "strengthened",
    "tightness",
    "transformer",
    "transformer_limits",
]
