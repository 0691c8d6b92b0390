r"""Gradient dynamics for low-rank fine-tuning beyond kernels: why the overlap with the perturbation grows at once.

Published, with a changed title, as "Low-rank fine-tuning lies between lazy training and feature learning" (COLT 2025,
PMLR 291:1415-1471). From its abstract: a two-layer base model f, a teacher f* whose weights are those of f perturbed
by a rank-one matrix, Gaussian inputs; online SGD from the base reaches the teacher in d k^{O(1)} iterations, which
does not depend on the Hermite expansion of the activation, unlike for generalised linear models (base zero); learning
from scratch can take significantly more. The theorems themselves were not at hand: what follows is re-derived, in a
setting where it is exact, and is not the paper's generality.

    f_v(x) = sum_{i<=k} lambda_i sigma(<w_i + c_i v, x>),  |v| = 1,  v orthogonal to all w_i,  |w_i|^2 + c_i^2 = 1,

with c, lambda and the w_i known, the teacher f_u, and m = <u, v>. sigma has normalised Hermite coefficients a_p, and
kappa(t) = sum_p a_p^2 t^p. A base of zeros (w_i = 0, c_i = 1, k = 1) is the generalised linear model (GLM).
"""

from .paper import PAPER
from . import drift, noise

__all__ = ["PAPER", "drift", "noise"]
