"""Jang, Lee & Ryu, LoRA Training in the NTK Regime has No Spurious Local Minima, arXiv 2402.11867v3.

Statement numbers and wordings are as recalled and to be compared with v3; every docstring states exactly what is
checked. What goes beyond the paper carries its proof, step by step, and the steps are claims of their own. The order of
the imports is the order of the claims in reports.
"""

from . import variational, solvers, existence, tightness, landscape, perturbation, sharp, sharp_steps, spurious
from . import unregularised, descent, certificates, generalisation, transformer
from .paper import PAPER

__all__ = [
    "PAPER",
    "certificates",
    "descent",
    "existence",
    "generalisation",
    "landscape",
    "perturbation",
    "sharp",
    "sharp_steps",
    "solvers",
    "spurious",
    "tightness",
    "transformer",
    "unregularised",
    "variational",
]
