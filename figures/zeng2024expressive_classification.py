"""Classification by ReLU networks: test accuracy of rank-R adapters against R, trained and constructed.

The class of an input is the largest of the target's 16 outputs, or of the sums of their halves. Published: training
with a cross-entropy against the target's outputs themselves, which are no probabilities; the exact adapters do not
minimise it, so its plateau is no limit of LoRA. Corrected: the cross-entropy against the target's class.
Adam, the best of 12 settings by validation loss, fresh batches. Rank 0 is the construction without adapters, biases
updated, as published. The published pictures show the binary task only.
"""

import numpy as np
from zeng2024expressive_instances import RANKS, TEST_POINTS, D, inputs, relu
from zeng2024expressive_panels import BOX, CONSTRUCTION, GRADIENT, grid, row, seeds
from zeng2024expressive_panels import plot as plot_panel
from zeng2024expressive_runs import best_adapters

from lora_proofs import plotting
from lora_proofs.constructions import adapt_relu_network

CLAIMS = ("zeng2024expressive:theorem-3",)
TASKS = {"binary": 2, "16 classes": 16}
PROPER = "gradient update, proper loss"


def cases(quick):
    """Return one case a task, depth and seed; --quick: binary and Lbar = 1 only."""
    wanted = [(t, a) for t in TASKS for a in (1, 2)][: 1 if quick else None]
    return [{"task": t, "Lbar": a, "seed": s, "quick": quick} for t, a in wanted for s in seeds(quick)]


def compute(task, Lbar, seed, quick):
    """Return test accuracies."""
    frozen, target = relu(seed, 2 * Lbar, Lbar, pretrained=False)
    name, x, settings = f"{task}, Lbar={Lbar}", inputs(seed, TEST_POINTS, D), grid(quick)
    expected = classes(target(x), TASKS[task])
    rows = []
    for R in (0, *(settings["ranks"] if quick else RANKS)):
        ours = adapt_relu_network(frozen, target, R, domain=BOX).network
        rows.append(row(name, CONSTRUCTION, seed, R, np.mean(classes(ours(x), TASKS[task]) == expected)))
    for curve, loss in ((GRADIENT, "improper_cross_entropy"), (PROPER, "cross_entropy")):
        best = best_adapters([target], [frozen], seeds=(seed,), loss=loss, classes=TASKS[task], **settings)
        rows += [row(name, curve, seed, R, y) for R, y in zip(settings["ranks"], best.test_accuracy[0], strict=True)]
    return rows


def classes(outputs, K):
    """Return the class of each row of outputs, which are summed in K equal groups."""
    return np.argmax(outputs.reshape(len(outputs), K, -1).sum(axis=2), axis=1)


def plot(rows, published):
    """Draw a panel a task and depth."""
    curves = {
        GRADIENT: ("gradient update, published loss", 0),
        PROPER: ("gradient update, proper loss", 2),
        CONSTRUCTION: ("construction", 1),
    }
    names = list(dict.fromkeys(r["panel"] for r in rows))
    figure, axes = plotting.grid(max(1, len(names) // 2), min(2, len(names)), sharex=True, sharey="row")
    for ax, name in zip(axes.flat, names, strict=True):
        plot_panel(ax, rows, published, curves, name)
    for ax in axes[-1]:
        ax.set_xlabel("rank $R$")
    for ax in axes[:, 0]:
        ax.set_ylabel("accuracy")
    axes[0, -1].legend(loc="lower right")
    return figure
