r"""How often gradient descent ends in a spurious minimum, as the rank crosses the threshold.

Squared loss, d rows, rank r; percentages of runs from the standard initialisation, u = 0 and v Gaussian of standard
deviation 0.1, each polished by Newton's method. A run counts as trapped only if it ends at a strict minimum (modulo the
gauge) and a better point of rank r is known. Left: the planted instances B_k, d = k(k+3)/2, whose trap has rank k: 100
runs each. Middle and right: Gaussian G, 6 x 6, and Gaussian targets, lambda = 0.05 lambda_max: 12 runs on each of 6
draws together, the trapped ones and all that end above the certified optimum of full fine-tuning, be it that rank r
cannot reach it. Above the solid line r(r+3)/2 > d, so that there is no trap for almost every G; above the dashed one
r(r+1)/2 > d, the threshold of Theorem 4.1. The paper has no such picture.
"""

from typing import Any

import numpy as np

from lora_proofs import plotting
from lora_proofs.ntk import LinearizedProblem, traps
from lora_proofs.ntk.landscape import survey

CLAIMS = ("jang2024lora:theorem-4.1-sharp", "jang2024lora:formula-descent-into-a-trap")
RANKS = (1, 2, 3, 4, 5)


def cases(quick: bool) -> list[dict[str, Any]]:
    """Return one case a number of rows and draw."""
    if quick:
        planted = [{"planted": k, "rows": 0, "seed": 0, "runs": 25, "ranks": 3} for k in (1, 2)]
        return planted + [{"planted": 0, "rows": d, "seed": 0, "runs": 5, "ranks": 3} for d in (2, 4, 6)]
    planted = [{"planted": k, "rows": 0, "seed": 0, "runs": 100, "ranks": 5} for k in (1, 2, 3, 4)]
    draws = [(d, seed) for d in (2, 4, 6, 9, 12, 16) for seed in range(6)]
    return planted + [{"planted": 0, "rows": d, "seed": seed, "runs": 12, "ranks": 5} for d, seed in draws]


def compute(planted: int, rows: int, seed: int, runs: int, ranks: int) -> list[dict[str, Any]]:
    """Return the shares of the runs, in percent, at each rank of one problem."""
    problem = traps.family_b(planted).problem() if planted else gaussian(rows, seed)
    found = []
    for r in RANKS[:ranks]:
        ends = survey(problem, r, runs=runs, seed=seed)
        shares = {"planted: trapped": ends.fraction("trap")}
        if not planted:
            shares = {"Gaussian: trapped": ends.fraction("trap"), "Gaussian: not optimal": 1 - ends.fraction("global")}
        undecided = 100 * ends.fraction("undecided")
        found += [
            {"panel": panel, "curve": f"d = {problem.d}", "seed": "", "x": r, "y": 100 * y}
            | {"draw": seed, "undecided": undecided}
            for panel, y in shares.items()
        ]
    return found


def gaussian(d: int, seed: int) -> LinearizedProblem:
    """Return a problem with standard normal gradients and targets."""
    rng = np.random.default_rng([seed, d])
    G, y = rng.standard_normal((d, 1, 6, 6)), rng.standard_normal((d, 1))
    unit = LinearizedProblem(G, np.zeros((d, 1)), y, "squared", 1.0)
    return LinearizedProblem(G, np.zeros((d, 1)), y, "squared", 0.05 * unit.lam_max)


def plot(rows: list[dict[str, Any]], published: list[dict[str, Any]]) -> Any:
    """Draw one map a panel: rows across, ranks upwards."""
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    figure, axes = plotting.grid(1, len(panels), height=2.5)
    for ax, panel in zip(axes[0], panels, strict=True):
        mine = plotting.points(rows, panel=panel)
        sizes = sorted({int(str(row["curve"]).removeprefix("d = ")) for row in mine})
        ranks = sorted({int(row["x"]) for row in mine})
        for j, d in enumerate(sizes):
            column = plotting.points(mine, curve=f"d = {d}")
            for r in ranks:
                share = float(np.mean([row["y"] for row in column if row["x"] == r]))
                shade = plotting.COLOURS[1] if share else "white"
                alpha = 0.15 + 0.75 * share / 100 if share else 1
                ax.add_patch(_square(j, r, facecolor=shade, alpha=alpha))
                ax.text(j, r, f"{share:.0f}" if share >= 1 or not share else f"{share:.1f}", ha="center", va="center")
        for style, width, least in (("-", 1.6, _sharp), ("--", 1.0, _paper)):
            edge = [least(d) - 0.5 for d in sizes]
            x = np.repeat(np.arange(len(sizes) + 1) - 0.5, 2)[1:-1]
            ax.plot(x, np.repeat(edge, 2), "k", ls=style, lw=width)
        ax.set(xlim=(-0.5, len(sizes) - 0.5), ylim=(0.5, ranks[-1] + 0.5), title=f"{panel} (%)")
        ax.set_xticks(range(len(sizes)), map(str, sizes))
        ax.set_yticks(ranks)
        ax.grid(visible=False)
        ax.set_xlabel("rows $d = KN$")
    axes[0, 0].set_ylabel("rank $r$")
    return figure


def _square(j: int, r: int, **options: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((j - 0.5, r - 0.5), 1, 1, lw=0, **options)


def _sharp(d: int) -> int:
    return next(r for r in range(1, d + 2) if r * (r + 3) > 2 * d)


def _paper(d: int) -> int:
    return next(r for r in range(1, d + 2) if r * (r + 1) > 2 * d)
