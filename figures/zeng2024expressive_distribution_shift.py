"""Distribution shift: adapters fitted to N(0, I), tested on N(0, I) and on N(0, 25 I).

Above: accuracy in the binary task (the published picture), trained as published, with an improper loss on one batch at
every epoch, and with a proper loss on fresh batches. Below: mean squared error of regression, on fresh batches. The
construction is made for |x_i| <= 6; most of the shifted inputs lie outside, where it promises nothing. Adam, the best
of 12 settings by validation loss.
"""

import numpy as np
from shared.zeng2024expressive_instances import TEST_POINTS, D, inputs, mean_squared_error, relu
from shared.zeng2024expressive_panels import BOX, GRADIENT, grid, row, seeds
from shared.zeng2024expressive_panels import plot as plot_panel
from shared.zeng2024expressive_runs import best_adapters
from zeng2024expressive_classification import PROPER, PROTOCOLS, TASKS, classes

from lora_proofs import plotting
from lora_proofs.constructions import adapt_relu_network

CLAIMS = ("zeng2024expressive:theorem-3",)
RETRAINED = ("not shifted", "shifted")


def cases(quick):
    """Return one case a depth and seed; --quick: Lbar = 1 only."""
    return [{"Lbar": a, "seed": s, "quick": quick} for a in (1, 2)[: 1 if quick else 2] for s in seeds(quick)]


def compute(Lbar, seed, quick):
    """Return accuracies of classification and errors of regression, with and without shift."""
    frozen, target = relu(seed, 2 * Lbar, Lbar, pretrained=False)
    settings = grid(quick)
    ranks, K = settings["ranks"], TASKS["binary"]
    binary, regression = f"binary, Lbar={Lbar}", f"regression, Lbar={Lbar}"
    tests = {"not shifted": inputs(seed, TEST_POINTS, D), "shifted": inputs(seed, TEST_POINTS, D, spread=5.0)}
    rows = []
    for R in ranks:
        ours = adapt_relu_network(frozen, target, R, domain=BOX).network
        for test, x in tests.items():
            agree = np.mean(classes(ours(x), K) == classes(target(x), K))
            rows.append(row(binary, f"construction, {test}", seed, R, agree))
            rows.append(row(regression, f"construction, {test}", seed, R, mean_squared_error(ours, target, x)))
    for kind, protocol in (("", PROTOCOLS[GRADIENT]), (f", {PROPER}", PROTOCOLS[PROPER])):
        best = best_adapters([target], [frozen], seeds=(seed,), classes=K, **protocol, **settings)
        for test, values in (("not shifted", best.test_accuracy), ("shifted", best.shifted_accuracy)):
            rows += [row(binary, test + kind, seed, R, y) for R, y in zip(ranks, values[0], strict=True)]
    best = best_adapters([target], [frozen], seeds=(seed,), **settings)
    for test, values in (("not shifted", best.test_loss), ("shifted", best.shifted_loss)):
        rows += [row(regression, test, seed, R, y) for R, y in zip(ranks, values[0], strict=True)]
    return rows


def plot(rows, published):
    """Draw a column a depth: accuracy above, squared error below."""
    curves = {
        "not shifted": ("gradient update, N(0, I)", 0),
        "shifted": ("gradient update, N(0, 25 I)", 5),
        f"not shifted, {PROPER}": ("corrected, N(0, I)", 2),
        f"shifted, {PROPER}": ("corrected, N(0, 25 I)", 6),
        "construction, not shifted": ("construction, N(0, I)", 1),
        "construction, shifted": ("construction, N(0, 25 I)", 3),
    }
    depths = [a for a in (1, 2) if plotting.points(rows, panel=f"binary, Lbar={a}")]
    figure, axes = plotting.grid(2, len(depths), height=2.4, sharex=True, sharey="row")
    for column, a in zip(axes.T, depths, strict=True):
        column[1].set_yscale("log")
        for ax, task in zip(column, ("binary", "regression"), strict=True):
            plot_panel(ax, rows, published, curves, f"{task}, Lbar={a}")
        column[1].set_xlabel("rank $R$")
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("mean squared error")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=min(3, 2 * len(depths)))
    return figure
