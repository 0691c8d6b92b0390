"""Convergence of training: loss on the batch of each epoch, for five ranks, on fresh batches and on a single one.

ReLU networks of width 16, random, Adam; of the 12 settings the one that is best by validation at the end, for each
seed: median and range. Published are single runs, for each rank the best of all settings and seeds. The published code,
in its last version, trains on the same batch at nearly every epoch (its validation resets the random numbers); the
lower row does so at every epoch. For Lbar = 1 it is only there, on points that the adapters have fitted, that the loss
of some runs falls as far as published.
"""

from shared.zeng2024expressive_instances import relu
from shared.zeng2024expressive_panels import grid, row, seeds
from shared.zeng2024expressive_panels import plot as plot_panel
from shared.zeng2024expressive_runs import best_adapters

from lora_proofs import plotting

SHOWN = (1, 4, 8, 13, 16)
BATCHES = {"fresh": "fresh batches", "fixed": "one batch"}
STEP = 50
_ONE_RUN = "one run, the best of 60, which the range of five seeds need not contain"
ARTEFACTS = {f"Lbar={Lbar}, L={2 * Lbar}, one batch/rank {R}": _ONE_RUN for Lbar in (1, 2) for R in SHOWN}


def cases(quick):
    """Return one case a depth, protocol and seed; --quick: Lbar = 1 only."""
    depths = (1,) if quick else (1, 2)
    return [{"Lbar": a, "batches": b, "seed": s, "quick": quick} for a in depths for b in BATCHES for s in seeds(quick)]


def compute(Lbar, batches, seed, quick):
    """Return the training loss at every 50th epoch, and at the last."""
    frozen, target = relu(seed, 2 * Lbar, Lbar, pretrained=False)
    settings = grid(quick)
    if batches == "fixed":
        settings |= {"ranks": tuple(R for R in settings["ranks"] if R in SHOWN), "batches": "fixed"}
    best = best_adapters([target], [frozen], seeds=(seed,), **settings)
    epochs = range(0, settings["epochs"] + 1, STEP)
    return [
        row(_panel(Lbar, batches), f"rank {R}", seed, epoch, losses[min(epoch, settings["epochs"] - 1)])
        for R, losses in zip(settings["ranks"], best.train_loss[0], strict=True)
        if R in SHOWN
        for epoch in epochs
    ]


def _panel(Lbar, batches):
    return f"Lbar={Lbar}, L={2 * Lbar}, {BATCHES[batches]}"


def plot(rows, published):
    """Draw a column a depth, fresh batches above and one batch below; the published marks in both."""
    curves = {f"rank {R}": (f"$R$ = {R}", index) for index, R in enumerate(SHOWN)}
    depths = [Lbar for Lbar in (1, 2) if plotting.points(rows, panel=_panel(Lbar, "fresh"))]
    figure, axes = plotting.grid(2, len(depths), height=2.4, sharex=True, sharey="col")
    for batches, line in zip(BATCHES, axes, strict=True):
        for Lbar, ax in zip(depths, line, strict=True):
            ax.set_yscale("log")
            name = _panel(Lbar, batches)
            marks = plotting.points(published, panel=_panel(Lbar, "fixed"))
            plot_panel(ax, rows, [{**mark, "panel": name} for mark in marks], curves, name)
            for drawn in ax.get_lines():
                drawn.set_markersize(3 if drawn.get_markerfacecolor() == "none" else 0)
        line[0].set_ylabel("training loss")
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(SHOWN))
    return figure
