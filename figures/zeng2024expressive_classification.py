"""Classification by ReLU networks: test accuracy of rank-R adapters against R, trained and constructed.

The class of an input is the largest of the target's 16 outputs, or of the sums of their halves (binary; the published
picture). Published: training on one batch at nearly every epoch, since the validation resets the random numbers (drawn:
at every epoch), with a cross-entropy against the target's outputs themselves, which are no probabilities. Its plateau
is that of the single batch. On fresh batches the accuracy keeps rising with either loss in the binary task; with 16
classes the published loss costs accuracy, a cross-entropy against the target's class does not. Adam, the best of 12
settings by validation loss. Rank 0 is the construction without adapters, biases updated, as published; the published
construction is drawn in float32 as well.
"""

import numpy as np
from shared.zeng2024expressive_instances import BATCH, RANKS, TEST_POINTS, D, inputs, published_construction, relu
from shared.zeng2024expressive_panels import BOX, CONSTRUCTION, FLOAT32, GRADIENT, grid, row, seeds
from shared.zeng2024expressive_panels import plot as plot_panel
from shared.zeng2024expressive_runs import best_adapters

from lora_proofs import plotting
from lora_proofs.constructions import adapt_relu_network

CLAIMS = ("zeng2024expressive:theorem-3",)
RETRAINED = (GRADIENT,)
TASKS = {"binary": 2, "16 classes": 16}
FRESH, PROPER = "published loss, fresh batches", "proper loss, fresh batches"
PROTOCOLS = {
    GRADIENT: {"loss": "improper_cross_entropy", "batches": "fixed"},
    FRESH: {"loss": "improper_cross_entropy"},
    PROPER: {"loss": "cross_entropy"},
}


def cases(quick):
    """Return one case a task, depth and seed; --quick: binary and Lbar = 1 only."""
    wanted = [(t, a) for t in TASKS for a in (1, 2)][: 1 if quick else None]
    return [{"task": t, "Lbar": a, "seed": s, "quick": quick} for t, a in wanted for s in seeds(quick)]


def compute(task, Lbar, seed, quick):
    """Return test accuracies."""
    frozen, target = relu(seed, 2 * Lbar, Lbar, pretrained=False)
    name, K, settings = f"{task}, Lbar={Lbar}", TASKS[task], grid(quick)
    x, sampled = inputs(seed, TEST_POINTS, D), inputs(seed, BATCH, D)
    expected = classes(target(x), K)
    rows = []
    for R in (0, *(settings["ranks"] if quick else RANKS)):
        ours = adapt_relu_network(frozen, target, R, domain=BOX).network
        theirs = published_construction(frozen, target, R, sampled)
        rows.append(row(name, CONSTRUCTION, seed, R, np.mean(classes(ours(x), K) == expected)))
        rows.append(row(name, FLOAT32, seed, R, np.mean(classes(theirs(x.astype(np.float32)), K) == expected)))
    for curve, protocol in PROTOCOLS.items():
        best = best_adapters([target], [frozen], seeds=(seed,), classes=K, **protocol, **settings)
        rows += [row(name, curve, seed, R, y) for R, y in zip(settings["ranks"], best.test_accuracy[0], strict=True)]
    return rows


def classes(outputs, K):
    """Return the class of each row of outputs, which are summed in K equal groups."""
    return np.argmax(outputs.reshape(len(outputs), K, -1).sum(axis=2), axis=1)


def plot(rows, published):
    """Draw a panel a task and depth."""
    curves = {
        GRADIENT: ("published loss, one batch", 0),
        FRESH: (FRESH, 5),
        PROPER: (PROPER, 2),
        CONSTRUCTION: ("construction", 1),
        FLOAT32: ("published, float32", 3),
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
