"""How close the claims come to their bounds: measured / bound, the median and the worst case of each claim.

All inequalities among the claims of the two papers, each on its own grid and one seed, judged as by
`lora-proofs check`; 1 is the bound, attained; what is below 1e-4 is drawn there. A bracket counts with the end that is
kinder to the claim. Claims that are recorded as false as printed are crosses: they are expected beyond 1. Claims whose
models are not installed, and cases out of scope, are left out.
"""

import math

from lora_proofs import plotting
from lora_proofs.falsify.instance import closeness
from lora_proofs.judgement.collect import collect
from lora_proofs.verify import verify

PAPERS = ("zeng2024expressive", "jang2024lora")
SOURCES = ("../paper_checks/zeng2024expressive", "../paper_checks/jang2024lora")
QUICK = "zeng2024expressive:theorem-5"


def cases(quick):
    """Return one case a claim; --quick: the variants of Theorem 5."""
    labels = [c.label for s in collect(PAPERS) for c in s.claims if not c.missing]
    return [{"label": label} for label in labels if not quick or label.startswith(QUICK)]


def compute(label):
    """Return the median and the largest ratio of a claim that is an inequality, and nothing for others."""
    (selection,) = collect([label])
    (claim,) = selection.claims
    ratios = []
    for case in claim.cases():
        comparison = verify(claim, case).comparison
        if comparison is not None and comparison.relation != "=":
            ratios.append(closeness(comparison))
    ratios = sorted(r for r in ratios if math.isfinite(r))
    if not ratios:
        return []
    kind = "false as printed" if claim.gap.startswith("false as printed") else "worst"
    values = {"median": ratios[len(ratios) // 2], kind: ratios[-1]}
    shared = {"panel": claim.paper, "seed": "", "x": len(ratios), "claim": label.partition(":")[2]}
    return [{**shared, "curve": curve, "y": y} for curve, y in values.items()]


def plot(rows, published):
    """Draw a panel a paper and a line a claim, the worst ratios above."""
    papers = [paper for paper in PAPERS if plotting.points(rows, panel=paper)]
    worst = [{r["claim"]: r for r in rows if r["panel"] == p and r["curve"] != "median"} for p in papers]
    most = max(map(len, worst))
    figure, axes = plotting.grid(1, len(papers), height=1 + 0.13 * most)
    for ax, paper, found in zip(axes[0], papers, worst, strict=True):
        order = sorted(found, key=lambda claim: found[claim]["y"])
        place = {claim: i for i, claim in enumerate(order)}
        for curve, index, options in (
            ("median", 0, {"mfc": "none", "alpha": 1}),
            ("worst", 0, {"alpha": 1}),
            ("false as printed", 1, {"marker": "x", "alpha": 1}),
        ):
            shown = [
                {"x": max(r["y"], 1e-4), "y": place[r["claim"]]}
                for r in plotting.points(rows, panel=paper, curve=curve)
            ]
            if shown:
                plotting.dots(ax, shown, curve, index, **options)
        ax.axvline(1, color="k", lw=0.8)
        ax.set(xscale="log", xlabel="measured / bound", title=paper, ylim=(-1, len(order)))
        ax.set_yticks(range(len(order)), order, fontsize=5)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
