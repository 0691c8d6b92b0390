"""Adapters on all layers, or tuning the last layers: mean squared error against the number of tuned parameters.

Lbar = 1, L = 8, width 16. Adapters of rank R on all eight layers have 256 R parameters, the last k layers 256 k;
biases, which are tuned as well, are not counted on either side, as published. Adam, the best of 12 settings by
validation, fresh batches.
"""

from shared.zeng2024expressive_instances import relu
from shared.zeng2024expressive_panels import grid, row, seeds
from shared.zeng2024expressive_panels import plot as plot_panel
from shared.zeng2024expressive_runs import best_adapters

from lora_proofs import plotting

CLAIMS = ("zeng2024expressive:lemma-4", "zeng2024expressive:formula-parameters-of-final-layers")
PANELS = {False: "random", True: "pretrained"}
LORA, FINAL = "LoRA", "final layers"
RETRAINED = (LORA, FINAL)
L = 8


def cases(quick):
    """Return one case a panel, method and seed; --quick: random only."""
    wanted = [(m, p) for p in PANELS for m in (LORA, FINAL) if not (quick and p)]
    return [{"method": m, "pretrained": p, "seed": s, "quick": quick} for m, p in wanted for s in seeds(quick)]


def compute(method, pretrained, seed, quick):
    """Return test errors."""
    from lora_proofs.training import train_final_layers

    frozen, target = relu(seed, L, 1, pretrained)
    settings = grid(quick)
    sizes = settings.pop("ranks")
    if method == LORA:
        best = best_adapters([target], [frozen], ranks=sizes, seeds=(seed,), **settings)
    else:
        sizes = (1, 4, 7) if quick else tuple(range(1, L))
        best = train_final_layers([target], [frozen], last_layers=sizes, seeds=(seed,), **settings).best
    return [row(PANELS[pretrained], method, seed, 256 * k, y) for k, y in zip(sizes, best.test_loss[0], strict=True)]


def plot(rows, published):
    """Draw a panel for random and one for pretrained frozen networks."""
    names = [name for name in PANELS.values() if plotting.points(rows, panel=name)]
    figure, axes = plotting.grid(1, len(names), sharey=True)
    for ax, name in zip(axes[0], names, strict=True):
        plot_panel(ax, rows, published, {LORA: ("LoRA", 0), FINAL: ("last layers", 1)}, name)
        ax.set_xlabel("tuned parameters")
    axes[0, 0].set_ylabel("mean squared error")
    axes[0, -1].legend()
    return figure
