r"""Ranks that suffice, by every rule, and the rank that the certified optimum has, against N.

Two logits, cross-entropy, a query and a value block of 384 x 384. Lines: Theorem 4.1 with KN = 2N rows; the same with
the d = N rows that the loss sees; the sharp rule r(r+3)/2 > d; r >= d, for any gradients without perturbation; the
rank that an optimum needs at most, Theorem 3.1; and the rules for lambda = 0, d <= 384 r and Park's capacity (as
recalled). Dots: the rank of the certified optimum at lambda = 0.01 lambda_max, median and range over five draws:
film reviews through MiniLM, the same with random labels, and Gaussian gradients, 48 x 48, with random labels.
"""

from typing import Any

import numpy as np
from jang2024lora_rank import optimum
from shared.jang2024lora_tasks import classes, difference, linearizer

from lora_proofs import plotting
from lora_proofs.ntk import LinearizedProblem, thresholds
from lora_proofs.pretrained import datasets

CLAIMS = ("jang2024lora:formula-thresholds",)
RULES = {
    "any gradients": r"any $G$, no $P$",
    "theorem 4.1": "Theorem 4.1",
    "canonical rows": "Theorem 4.1, rows $d$",
    "sharp": r"sharp, a.e. $G$",
    "existence": "an optimum's rank at most",
    "lam = 0": r"$\lambda = 0$, a.e. $G$",
    "capacity": r"$\lambda = 0$, capacity",
}
SIZES = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SHARE = 0.01


def cases(quick: bool) -> list[dict[str, Any]]:
    """Return the lines, and one case a kind of data, size and draw."""
    lines = [{"kind": "rules", "size": 0, "seed": 0}]
    if quick:
        return lines + [{"kind": "Gaussian", "size": size, "seed": 0} for size in (4, 16)]
    drawn = [("Gaussian", size) for size in (4, 8, 16, 32, 64, 128, 256)] + [("reviews", size) for size in (8, 32, 64)]
    return lines + [{"kind": kind, "size": size, "seed": seed} for kind, size in drawn for seed in range(5)]


def compute(kind: str, size: int, seed: int) -> list[dict[str, Any]]:
    """Return the rules' ranks, or those of optima."""
    if kind == "rules":
        tables = {N: thresholds(N=N, K=2, shapes=[(384, 384)] * 2, loss="cross_entropy") for N in SIZES}
        return [_row(rule, "", N, table[rule].rank) for rule in RULES for N, table in tables.items()]
    rng = np.random.default_rng([seed, size])
    random = rng.choice([-1.0, 1.0], size)
    if kind == "Gaussian":
        return [_row("Gaussian, random labels", seed, size, at(rng.standard_normal((size, 48, 48)), 0, random))]
    texts, labels = datasets.draw(classes("reviews"), size, seed)
    margins, blocks = difference(linearizer("reviews")(texts), np.float64)
    named = {"film reviews": np.where(labels == 1, 1.0, -1.0), "reviews, random labels": random}
    return [_row(name, seed, size, at(blocks, margins, signs)) for name, signs in named.items()]


def at(blocks: Any, margins: Any, signs: Any) -> int:
    """Return the rank of the optimum for gradients (N, m, n) of the margins, one array a block."""
    gradients = [block[:, None] for block in (blocks if isinstance(blocks, list) else [blocks])]
    offsets = np.zeros(len(signs)) + margins
    unit = LinearizedProblem(gradients, offsets, signs, "logistic", 1.0)
    return optimum(LinearizedProblem(gradients, offsets, signs, "logistic", SHARE * unit.lam_max))[0]


def _row(curve: str, seed: Any, N: int, rank: Any) -> dict[str, Any]:
    return {"panel": "rank", "curve": curve, "seed": seed, "x": N, "y": rank}


def plot(rows: list[dict[str, Any]], published: list[dict[str, Any]]) -> Any:
    """Draw lines for the rules, dots for the optima."""
    figure, axes = plotting.grid(height=3.4)
    ax = axes[0, 0]
    styles = ("-", "-", "--", "-", ":", "-", "--")
    for index, (rule, label) in enumerate(RULES.items()):
        colour = (6, 0, 0, 2, 6, 4, 4)[index]
        plotting.line(ax, plotting.points(rows, curve=rule), label, colour, ls=styles[index])
    measured = [curve for curve in dict.fromkeys(row["curve"] for row in rows) if curve not in RULES]
    for index, curve in enumerate(measured):
        dodge = (1, 0.92, 1.08)[index]  # equal ranks would cover each other
        drawn = [{**row, "x": row["x"] * dodge} for row in plotting.points(rows, curve=curve)]
        plotting.band(ax, drawn, curve, (1, 3, 5)[index], ls="")
    ax.set(xscale="log", yscale="log", xlabel="data $N$", ylabel="rank $r$", ylim=(0.8, 500))
    ax.set_xscale("log", base=2)
    figure.legend(loc="outside lower center", ncols=2, fontsize=6)
    return figure
