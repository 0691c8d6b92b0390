"""Real attention heads: what adapters of rank R leave of a fine-tune, against the singular-value tail.

bert_pretrained -> bert_ft (rxnfp), and MiniLM's heads against their next neighbour. A dot is the spectral error of the
rank-R adapters on (W_V, W_O) or (W_Q, W_K^T) over sigma_1(E); the line is the median tail sigma_{2R+1}(E) / sigma_1(E),
which square factors would attain (Lemma 1) and a head need not. The dashed line is the threshold R = d_head, where
rank E = 2 d_head is spent. The paper has no such figure.
"""

import numpy as np

from lora_proofs import plotting, pretrained
from lora_proofs.constructions import adapt_linear_chain

CLAIMS = ("zeng2024expressive:lemma-1-heads", "zeng2024expressive:lemma-1-heads-below")
HEADS = {"BERT": [(l, h) for l in (0, 5, 11) for h in range(4)], "MiniLM": [(l, h) for l in (0, 5) for h in (0, 4, 8)]}
SHARES = (0, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)
"""Ranks, as shares of the threshold d_head."""


def cases(quick):
    """Return one case a model, layer and head; --quick: one head a model."""
    return [{"model": m, "layer": l, "head": h} for m, heads in HEADS.items() for l, h in heads[: 1 if quick else None]]


def compute(model, layer, head):
    """Return errors and tails, for both pairs of factors."""
    if model == "BERT":
        frozen, tuned = pretrained.load("bert_pretrained"), pretrained.load("bert_ft")
        start, goal = frozen.head(layer, head), tuned.head(layer, head)
    else:
        mini = pretrained.load("all-MiniLM-L6-v2")
        start, goal = mini.head(layer, head), mini.head(layer, head + 1)
    rows = []
    for factors, chain, target in (
        ("OV", [start.W_V, start.W_O], goal.value_output),
        ("QK", [start.W_Q, start.W_K.T], goal.query_key),
    ):
        sigma = np.linalg.svd(target - chain[1] @ chain[0], compute_uv=False)
        for R in sorted({round(share * chain[0].shape[0]) for share in SHARES}):
            error = float(adapt_linear_chain(chain, target, R).error)
            tail = sigma[2 * R] if len(sigma) > 2 * R else 0.0
            for curve, value in (("adapters", error), ("tail", tail)):
                shared = {"panel": f"{model}, {factors}", "seed": "", "layer": layer, "head": head}
                rows.append({**shared, "curve": curve, "x": R, "y": float(value / sigma[0])})
    return rows


def plot(rows, published):
    """Draw a row a model, a column a pair of factors."""
    figure, axes = plotting.grid(2, 2, sharey=True)
    for ax, (model, factors) in zip(axes.flat, [(m, f) for m in HEADS for f in ("OV", "QK")], strict=True):
        mine = plotting.points(rows, panel=f"{model}, {factors}")
        tails, errors = (plotting.points(mine, curve=curve) for curve in ("tail", "adapters"))
        plotting.line(ax, tails, r"median $\sigma_{2R+1}(E)$", floor=1e-17)
        plotting.dots(ax, errors, "adapters of rank $R$", floor=1e-17)
        ax.axvline(max(r["x"] for r in mine), ls="--", color="0.5", lw=1, label=r"$R = d_{head}$")
        ax.set(yscale="log", title=f"{model}, {'$W_O W_V$' if factors == 'OV' else '$W_K^T W_Q$'}", ylim=(3e-18, 3))
    for ax in axes[-1]:
        ax.set_xlabel("rank $R$")
    for ax in axes[:, 0]:
        ax.set_ylabel(r"error / $\sigma_1(E)$")
    axes[0, 0].legend(loc="lower left")
    return figure
