"""Intruder dimensions: how many for an update of rank r, and where the spiked direction comes to lie.

Left: intruders (eps = 0.5, k = 10) of W_0 + Delta, n = 200, singular values 3 i^(-0.35), Delta = (F / sqrt r) P Q^T
with random orthonormal P, Q; lines min(r, 10) and the r at which F / sqrt r = sigma_10. Right: Gaussian W_0 of noise
level 1/sqrt n and a random tau u v^T, squared cosine of u and y_1 against the limit 1 - 1/tau^2, and the largest with
any pretrained vector. Not a published figure: the paper's are of trained language models.
"""

from typing import Any

import numpy as np

from lora_proofs import plotting

CLAIMS = ("shuttleworth2024illusion:theorem-large-update", "shuttleworth2024illusion:formula-spike")
N, K = 200, 10
RANKS = (1, 2, 4, 8, 16, 32, 64, 200)
NORMS = (3.0, 6.0, 12.0)
TAUS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0)
COUNTS, SPIKE = "intruders", "rank one"


def cases(quick: bool) -> list[dict[str, Any]]:
    """One case a seed."""
    return [{"seed": seed} for seed in range(2 if quick else 10)]


def compute(seed: int) -> list[dict[str, Any]]:
    """Count intruders over ranks and norms; measure cosines over tau."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    spectrum = 3.0 * np.arange(1, N + 1) ** -0.35
    for F in NORMS:
        for r in sorted({*RANKS, K}):
            P, Q = (np.linalg.qr(rng.standard_normal((N, r)))[0] for _ in range(2))
            Y = np.linalg.svd(np.diag(spectrum) + F / np.sqrt(r) * P @ Q.T)[0]
            count = int((np.abs(Y[:, :K]).max(axis=0) < 0.5).sum())
            rows.append({"panel": COUNTS, "curve": f"F = {F:g}", "seed": seed, "x": r, "y": count})
    frozen = rng.standard_normal((N, N)) / np.sqrt(N)
    X = np.linalg.svd(frozen)[0]
    u, v = (w / np.linalg.norm(w) for w in rng.standard_normal((2, N)))
    for tau in TAUS:
        y = np.linalg.svd(frozen + tau * np.outer(u, v))[0][:, 0]
        rows.append({"panel": SPIKE, "curve": "with u", "seed": seed, "x": tau, "y": float(u @ y) ** 2})
        rows.append(
            {"panel": SPIKE, "curve": "with some x", "seed": seed, "x": tau, "y": float(np.max((X.T @ y) ** 2))}
        )
    if seed == 0:
        for tau in np.linspace(0.5, 4, 71):
            rows.append({"panel": SPIKE, "curve": "limit", "seed": "", "x": tau, "y": max(0.0, 1 - tau**-2)})
        for r in sorted({*RANKS, K}):
            rows.append({"panel": COUNTS, "curve": "limit", "seed": "", "x": r, "y": min(r, K)})
        for F in NORMS:
            rows.append(
                {"panel": COUNTS, "curve": f"limit F = {F:g}", "seed": "", "x": (F / spectrum[K - 1]) ** 2, "y": 0}
            )
    return rows


def plot(rows: list[dict[str, Any]], published: list[dict[str, Any]]) -> Any:
    """Draw counts and cosines."""
    figure, ((left, right),) = plotting.grid(1, 2)
    plotting.line(left, plotting.points(rows, panel=COUNTS, curve="limit"), "min(r, k)")
    for i, F in enumerate(NORMS):
        plotting.band(left, plotting.points(rows, panel=COUNTS, curve=f"F = {F:g}"), rf"$\|\Delta\|_F = {F:g}$", i)
        (end,) = plotting.points(rows, panel=COUNTS, curve=f"limit F = {F:g}")
        if end["x"] < 250:
            left.axvline(end["x"], ls=":", lw=0.8, color=plotting.COLOURS[i])
    left.set(xscale="log", xlabel="rank r of the update", ylabel="intruder dimensions, k = 10")
    left.legend(loc="upper left")
    plotting.line(right, plotting.points(rows, panel=SPIKE, curve="limit"), r"$1 - 1/\tau^2$")
    plotting.band(right, plotting.points(rows, panel=SPIKE, curve="with u"), "with the new direction u", 0, ls="")
    plotting.band(right, plotting.points(rows, panel=SPIKE, curve="with some x"), "largest with a pretrained $x_i$", 1)
    right.axhline(0.25, ls=":", lw=0.8, color="0.4")
    right.text(4, 0.265, r"$\epsilon^2$", ha="right", fontsize=7)
    right.set(xlabel=r"size $\tau$ of the rank-one update", ylabel="squared cosine with $y_1$", ylim=(0, 1.05))
    right.legend(loc="center right")
    return figure
