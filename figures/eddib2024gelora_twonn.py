"""TwoNN reads the dimension off a slope, and reads the noise instead once neighbours are closer than it.

Left: -log(1 - F) against log mu for 3000 points on flat tori of dimension 1, 2, 4, 8, lines of slope d; F is the
empirical distribution of the ratio mu of second to first neighbour distance. Right: estimated dimension of a flat unit
square in R^12 with isotropic noise of standard deviation eta, for three numbers of points; lines at 2 and 12. Not a
published figure.
"""

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from lora_proofs import plotting

CLAIMS = ("eddib2024gelora:formula-pareto",)
DIMENSIONS, POINTS = (1, 2, 4, 8), 3000
NOISES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
SIZES = (500, 2000, 8000)
SLOPES, NOISE = "slopes", "noise"


def cases(quick: bool) -> list[dict[str, Any]]:
    """One case a seed."""
    return [{"seed": seed} for seed in range(1 if quick else 5)]


def ratios(x: np.ndarray, period: float | None = None) -> np.ndarray:
    """Return r_2 / r_1 for every row, on a torus if a period is given."""
    distances = cKDTree(x, boxsize=period).query(x, k=3)[0]
    return distances[:, 2] / distances[:, 1]


def compute(seed: int) -> list[dict[str, Any]]:
    """Sample tori and noisy squares."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for d in DIMENSIONS:
        mu = np.sort(ratios(rng.random((POINTS, d)), period=1.0))[: int(0.9 * POINTS)]
        if seed == 0:
            for i in range(0, len(mu), 150):
                F = (i + 0.5) / POINTS
                rows.append(
                    {"panel": SLOPES, "curve": f"d = {d}", "seed": seed, "x": np.log(mu[i]), "y": -np.log(1 - F)}
                )
            for x in (0.0, 2.3 / d):
                rows.append({"panel": SLOPES, "curve": f"slope {d}", "seed": "", "x": x, "y": d * x})
    for n in SIZES:
        for eta in NOISES:
            x = np.zeros((n, 12))
            x[:, :2] = rng.random((n, 2))
            estimate = (n - 1) / np.sum(np.log(ratios(x + eta * rng.standard_normal(x.shape))))
            rows.append({"panel": NOISE, "curve": f"N = {n}", "seed": seed, "x": max(eta, 3e-4), "y": float(estimate)})
    return rows


def plot(rows: list[dict[str, Any]], published: list[dict[str, Any]]) -> Any:
    """Draw slopes and estimates."""
    figure, ((left, right),) = plotting.grid(1, 2)
    for i, d in enumerate(DIMENSIONS):
        plotting.line(left, plotting.points(rows, panel=SLOPES, curve=f"slope {d}"), "", i)
        plotting.dots(left, plotting.points(rows, panel=SLOPES, curve=f"d = {d}"), f"torus, d = {d}", i)
    left.set(xlabel=r"$\log \mu$", ylabel=r"$-\log(1 - F)$")
    left.legend(loc="lower right")
    for y in (2, 12):
        right.axhline(y, color="k", lw=1.2)
    for i, n in enumerate(SIZES):
        plotting.band(right, plotting.points(rows, panel=NOISE, curve=f"N = {n}"), f"N = {n}", i)
    right.set(xscale="log", xlabel=r"noise $\eta$ (leftmost: none)", ylabel="TwoNN dimension", ylim=(0, 13))
    right.legend(loc="center left")
    return figure
