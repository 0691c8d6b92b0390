r"""Galim et al., Parameter-Efficient Fine-Tuning of State Space Models, arXiv 2410.09016v3, ICML 2025.

A first version called its method SDLoRA, the third SDT (sparse dimension tuning). Abstracts, metadata and the names in
the official repository were read; the statements on prefix-tuning and on SDT are as recalled and re-derived here. Not
checked: that LoRA is not effective on state space modules, which is empirical.

One channel of a diagonal (S4) layer: h_t = diag(a) h_{t-1} + b x_t, y_t = c^T h_t, with H states. In a selective layer
(S6, Mamba) a, b, c depend on x_t. A prefix is M tokens p_1, ..., p_M before the input.
"""

from .paper import PAPER
from . import prefixes, parameters

__all__ = ["PAPER", "parameters", "prefixes"]
