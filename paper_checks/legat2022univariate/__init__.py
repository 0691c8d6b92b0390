r"""Legat, Yuan & Parrilo, Low-Rank Univariate Sum of Squares Has No Spurious Local Minima, arXiv 2205.11466v2.

SIAM Journal on Optimization, 2023. The abstract and the metadata were read; the theorem's number and its proof were
not, so the steps below are re-derived. Polynomials p of degree at most 2d and u_1, ..., u_r of degree at most d;

    f_p(u) = |u_1^2 + ... + u_r^2 - p|^2,    <x^j, x^k> = w_j [j = k],    q = u_1^2 + ... + u_r^2 - p.

The weights are w_k = 1 or Bombieri's 1 / binom(2d, k). H(q) is the Hankel matrix <q, x^(j + k)>, j, k <= d. If
<q, u_i v> = 0 for all v and H(q) >= 0, then |s - p|^2 >= |q|^2 + 2 <q, s> >= |q|^2 for every sum of squares s: the
point is a global minimum of the convex problem over all sums of squares, so for every r.
"""

from . import landscape, certificates
from .paper import PAPER

__all__ = ["PAPER", "certificates", "landscape"]
