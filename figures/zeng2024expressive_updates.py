"""Real fine-tunes: the part ||Delta - LR_R(Delta)|| / ||Delta|| of an update that the best adapter of rank R leaves.

Two fine-tunes of one BERT (rxnfp: 12 layers of width 256, query, key, value and output), Frobenius norms; dots: median
over the layers, band: their range. The line is the same for a Gaussian matrix, which has no preferred directions:
real updates have full rank too, but fewer directions carry most of them. The paper has no such figure.
"""

import numpy as np

from lora_proofs import instances, plotting, pretrained

CLAIMS = ("zeng2024expressive:lemma-1-layers",)
TUNED = {"bert_ft": "fine-tuned", "bert_ft_10k_25s": "fine-tuned on 10,000"}
PARTS = ("W_Q", "W_K", "W_V", "W_O")
RANKS = (0, 1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256)


def cases(quick):
    """Return one case a fine-tune; --quick: one of them."""
    return [{"tuned": name} for name in list(TUNED)[: 1 if quick else 2]]


def compute(tuned):
    """Return the remainders of every layer's four updates, and of a Gaussian matrix."""
    before, after = pretrained.load("bert_pretrained"), pretrained.load(tuned)
    rows = []
    for layer in range(before.layers):
        for part in PARTS:
            update = after.tensors[layer, part] - before.tensors[layer, part]
            rows += _rows(TUNED[tuned], part, layer, update)
    return rows + _rows(TUNED[tuned], "Gaussian", "", instances.gaussian(np.random.default_rng(0), *update.shape))


def _rows(panel, curve, layer, update):
    square = np.linalg.svd(update, compute_uv=False) ** 2
    left = np.append(np.sqrt(np.cumsum(square[::-1])[::-1] / np.sum(square)), 0.0)
    shared = {"panel": panel, "curve": curve, "seed": "", "layer": layer}
    return [{**shared, "x": R, "y": float(left[R])} for R in RANKS]


def plot(rows, published):
    """Draw a panel a fine-tune."""
    names = [name for name in TUNED.values() if plotting.points(rows, panel=name)]
    figure, axes = plotting.grid(1, len(names), height=2.6, sharey=True)
    for ax, name in zip(axes[0], names, strict=True):
        mine = [r for r in rows if r["panel"] == name and r["y"] > 0]
        plotting.line(ax, plotting.points(mine, curve="Gaussian"), "Gaussian")
        for index, part in enumerate(PARTS):
            plotting.band(ax, plotting.points(mine, curve=part), f"${part}$", index)
        ax.set(xscale="symlog", title=name, xlabel="rank $R$", ylim=(0, 1.05))
        ax.set_xticks([0, 1, 4, 16, 64, 256], [0, 1, 4, 16, 64, 256])
        ax.minorticks_off()
    axes[0, 0].set_ylabel("relative remainder")
    axes[0, -1].legend(loc="lower left")
    return figure
