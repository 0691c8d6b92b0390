"""Least rank for exact adapters of generic ReLU networks: [lower, upper] against L / Lbar, and the paper's threshold.

Bars: `required_rank(D, L, Lbar)`, for almost all weights near a seeded pair (upper ends by Krawczyk's test).
Steps: Theorem 3's ceil(D / floor(L / Lbar)). Dashes: width times depth ratio, as the abstract puts it. For Lbar = 1 the
threshold is the least rank; for deeper targets smaller ranks do. The paper has no such figure.
"""

import math

from lora_proofs import plotting
from lora_proofs.constructions import required_rank

CLAIMS = ("zeng2024expressive:proposition-required-rank",)
WIDTHS, TARGETS, RATIO = (8, 16), (1, 2, 3), 4


def cases(quick):
    """Return one case a width and depth of the target; --quick: width 8."""
    return [{"D": D, "Lbar": Lbar} for D in (WIDTHS[:1] if quick else WIDTHS) for Lbar in TARGETS]


def compute(D, Lbar):
    """Return both ends of the bracket and the paper's threshold, for each depth of the frozen network."""
    rows = []
    for L in range(Lbar, RATIO * Lbar + 1):
        bracket = required_rank(D, L, Lbar)
        values = {
            "lower": bracket.lower,
            "upper": bracket.upper,
            "threshold": bracket.upper_bounds["Theorem 3"],
            "abstract": D * Lbar / L,
        }
        panel = f"D={D}, Lbar={Lbar}"
        rows += [{"panel": panel, "curve": c, "seed": "", "x": L / Lbar, "y": y} for c, y in values.items()]
    return rows


def plot(rows, published):
    """Draw a panel a width and depth of the target."""
    names = list(dict.fromkeys(r["panel"] for r in rows))
    figure, axes = plotting.grid(len(names) // len(TARGETS), len(TARGETS), sharex=True, sharey="row")
    for ax, name in zip(axes.flat, names, strict=True):
        ends = [{r["x"]: r["y"] for r in plotting.points(rows, panel=name, curve=c)} for c in ("lower", "upper")]
        lower, upper = ends
        plotting.line(ax, plotting.points(rows, panel=name, curve="abstract"), r"$D\overline{L}/L$", 6, ls="--", lw=0.7)
        plotting.line(
            ax, plotting.points(rows, panel=name, curve="threshold"), "Theorem 3", 1, drawstyle="steps-post", lw=1
        )
        middle = [(lower[x] + upper[x]) / 2 for x in lower]
        spread = [max((upper[x] - lower[x]) / 2, 0.0) for x in lower]
        blue = plotting.COLOURS[0]
        ax.errorbar([*lower], middle, spread, fmt="none", ecolor=blue, elinewidth=3, label="[lower, upper]")
        settled = [x for x in lower if math.isclose(lower[x], upper[x])]
        ax.plot(settled, [lower[x] for x in settled], "o", color=blue, label="lower = upper")
        D, Lbar = (part.partition("=")[2] for part in name.split(", "))
        ax.yaxis.get_major_locator().set_params(integer=True)
        ax.set(title=rf"$D$ = {D}, $\overline{{L}}$ = {Lbar}", ylim=(0, None))
    for ax in axes[-1]:
        ax.set_xlabel(r"$L / \overline{L}$")
    for ax in axes[:, 0]:
        ax.set_ylabel("rank $R$")
    axes[0, -1].legend()
    return figure
