"""Convergence of training: loss on the batch of each epoch, for nine ranks.

ReLU networks of width 16, random, Adam on fresh batches; of the 12 settings the one that is best by validation at the
end, for each seed. Published are single runs, the best over settings and seeds for each rank; ranks 1, 4, 8, 13 and 16
are read off a logarithmic axis, 2, 5, 11 and 14 off small linear ones.
"""

from zeng2024expressive_instances import relu
from zeng2024expressive_panels import grid, row, seeds
from zeng2024expressive_panels import plot as plot_panel
from zeng2024expressive_runs import best_adapters

from lora_proofs import plotting

SHOWN = (1, 2, 4, 5, 8, 11, 13, 14, 16)
STEP = 50


def cases(quick):
    """Return one case a depth and seed."""
    return [{"Lbar": a, "seed": s, "quick": quick} for a in (1, 2) for s in seeds(quick)]


def compute(Lbar, seed, quick):
    """Return the training loss at every 50th epoch, and at the last."""
    frozen, target = relu(seed, 2 * Lbar, Lbar, pretrained=False)
    settings = grid(quick)
    best = best_adapters([target], [frozen], seeds=(seed,), **settings)
    epochs = range(0, settings["epochs"] + 1, STEP)
    return [
        row(f"Lbar={Lbar}, L={2 * Lbar}", f"rank {R}", seed, epoch, losses[min(epoch, settings["epochs"] - 1)])
        for R, losses in zip(settings["ranks"], best.train_loss[0], strict=True)
        if R in SHOWN
        for epoch in epochs
    ]


def plot(rows, published):
    """Draw a column a depth; the ranks of the two published pictures above and below."""
    computed = {r["curve"] for r in rows}
    pictures = [[R for R in ranks if f"rank {R}" in computed] for ranks in ((1, 4, 8, 13, 16), (2, 5, 11, 14))]
    pictures = [ranks for ranks in pictures if ranks]
    figure, axes = plotting.grid(len(pictures), 2, height=2.6, sharex=True, sharey="row")
    for ranks, line in zip(pictures, axes, strict=True):
        curves = {f"rank {R}": (f"$R$ = {R}", index) for index, R in enumerate(ranks)}
        for Lbar, ax in zip((1, 2), line, strict=True):
            ax.set_yscale("log")
            plot_panel(ax, rows, published, curves, f"Lbar={Lbar}, L={2 * Lbar}")
            for drawn in ax.get_lines():
                drawn.set_markersize(3.5 if drawn.get_markerfacecolor() == "none" else 0)
        line[0].set_ylabel("training loss")
        line[1].legend(loc="upper right", ncols=3)
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    return figure
