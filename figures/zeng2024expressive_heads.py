"""Real attention heads: what adapters of rank R leave of a fine-tune, against the singular-value tail.

bert_pretrained -> bert_ft (rxnfp), and MiniLM's heads against their next neighbour. A dot is the spectral error of the
rank-R adapters on (W_V, W_O) or (W_Q, W_K^T) over sigma_1(E); the line is the median tail sigma_{2R+1}(E) / sigma_1(E),
which square factors would attain (Lemma 1 of arXiv 2310.17513v3) and a head need not; the dashed line is the
threshold R = d_head, where rank E = 2 d_head is spent.

``python figures/zeng2024expressive_heads.py`` computes data/zeng2024expressive_heads.csv and draws the SVG beside it.
"""

import csv
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from lora_proofs import pretrained
from lora_proofs.constructions import adapt_linear_chain

DATA = Path(__file__).parent / "data" / "zeng2024expressive_heads.csv"
BERT_LAYERS, MINILM_LAYERS = (0, 5, 11), (0, 5)
SHARES = (0, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)
"""Ranks, as shares of the threshold d_head."""


def pairs() -> list[tuple[str, int, int, pretrained.Head, pretrained.Head]]:
    """Return (model, layer, head, frozen head, target head)."""
    frozen, tuned = pretrained.load("bert_pretrained"), pretrained.load("bert_ft")
    found = [("BERT", l, h, frozen.head(l, h), tuned.head(l, h)) for l in BERT_LAYERS for h in range(frozen.heads)]
    mini = pretrained.load("all-MiniLM-L6-v2")
    return found + [("MiniLM", l, h, mini.head(l, h), mini.head(l, h + 1)) for l in MINILM_LAYERS for h in (0, 4, 8)]


def compute() -> None:
    """Write one row a model, pair of factors, layer, head and rank."""
    rows: list[dict[str, Any]] = []
    for model, layer, head, frozen, target in pairs():
        for factors, chain, goal in (
            ("OV", [frozen.W_V, frozen.W_O], target.value_output),
            ("QK", [frozen.W_Q, frozen.W_K.T], target.query_key),
        ):
            sigma = np.linalg.svd(goal - chain[1] @ chain[0], compute_uv=False)
            for R in sorted({round(share * chain[0].shape[0]) for share in SHARES}):
                error = float(adapt_linear_chain(chain, goal, R).error)
                tail = float(sigma[2 * R]) if len(sigma) > 2 * R else 0.0
                rows.append({"model": model, "factors": factors, "layer": layer, "head": head, "rank": R,
                             "error": error, "tail": tail, "largest": float(sigma[0])})  # fmt: skip
    DATA.parent.mkdir(exist_ok=True)
    with DATA.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def plot() -> None:
    """Draw the rows: dots for the errors, a line for the tail."""
    with DATA.open() as file:
        rows = list(csv.DictReader(file))
    figure, axes = plt.subplots(2, 2, figsize=(9, 6.5), sharey=True, layout="constrained")
    for row, model in zip(axes, ("BERT", "MiniLM"), strict=True):
        for ax, factors in zip(row, ("OV", "QK"), strict=True):
            mine = [r for r in rows if (r["model"], r["factors"]) == (model, factors)]
            ranks = sorted({int(r["rank"]) for r in mine})
            floor = 1e-17  # zero on a logarithmic axis
            errors = [max(float(r["error"]) / float(r["largest"]), floor) for r in mine]
            tails = [[float(r["tail"]) / float(r["largest"]) for r in mine if int(r["rank"]) == R] for R in ranks]
            ax.plot([int(r["rank"]) for r in mine], errors, "o", ms=4, alpha=0.5, label="adapters of rank R")
            ax.plot(ranks, [max(median(t), floor) for t in tails], "k-", lw=1, label=r"median tail $\sigma_{2R+1}(E)$")
            ax.axvline(max(ranks), ls="--", color="0.5", lw=1, label="threshold R = d_head")
            ax.set(yscale="log", title=f"{model}, {'W_O W_V' if factors == 'OV' else 'W_K^T W_Q'}", xlabel="rank R")
        row[0].set_ylabel(r"error / $\sigma_1(E)$")
    axes[0, 0].legend(frameon=False, loc="lower left")
    figure.savefig(DATA.with_suffix(".svg"), metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    plt.rcParams["svg.hashsalt"] = "lora_proofs"
    compute()
    plot()
