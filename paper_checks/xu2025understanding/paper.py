r"""LoRA in matrix factorisation under gradient flow (AISTATS 2025): alignment, spectral start, and limits.

From the abstract: from a small initialisation of scale alpha, gradient flow reaches a neighbourhood of the optimum,
smaller for smaller alpha, with an error that the misalignment of the singular spaces of pretrained model and target
governs; from a spectral initialisation it reaches any precision. Problem 2 and the theorems were not at hand.
Re-derived here, for

    L = |Y - (W_2 + B_2 A_2)(W_1 + B_1 A_1)|_F^2 / 2,   W_1, W_2 frozen,

and, where a closed form exists, for one adapter of rank one, L = |E - b a^T|_F^2 / 2 with E = sigma u v^T, from a
balanced start |a| = |b|: with z = (b, a), M = [[0, E], [E^T, 0]], gradient flow is dz/dt = (M - |z|^2/2) z. In z_0 =
alpha (p e + n), e = (u, v)/sqrt(2) is the direction to be found and n, orthogonal to (u, v) and (u, -v), what is
misaligned.
"""

from flint import fmpq

from lora_proofs import Case, Paper

PAPER = Paper(
    key="xu2025understanding",
    title="Understanding the Learning Dynamics of LoRA: A Gradient Flow Perspective on Low-Rank Adaptation in Matrix "
    "Factorization",
    authors=(
        "Ziqing Xu",
        "Hancheng Min",
        "Lachlan Ewen MacDonald",
        "Jinqi Luo",
        "Salma Tarmoun",
        "Enrique Mallada",
        "Rene Vidal",
    ),
    year=2025,
    arxiv="2503.06982v1",
)

ALPHAS = ("1/10", "1/100", "1/1000", "1/10000")
"""Scales of the start."""


def scale(case: Case) -> fmpq:
    """Return alpha."""
    return fmpq(*map(int, case["alpha"].split("/")))
