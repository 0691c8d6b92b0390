"""Finite training sets: error on the training points and on new ones, against the rank of the adapters.

400 training points for Lbar = 1, L = 2 and 800 for Lbar = 2, L = 4, all of them in each of 20,000 steps of Adam; the
best of 12 settings by validation on points of their own. The construction, which needs no data, is drawn beside.
"""

from shared.zeng2024expressive_instances import TEST_POINTS, D, inputs, mean_squared_error, relu
from shared.zeng2024expressive_panels import BOX, CONSTRUCTION, grid, row, seeds
from shared.zeng2024expressive_panels import plot as plot_panel
from shared.zeng2024expressive_runs import best_adapters

from lora_proofs import plotting
from lora_proofs.constructions import adapt_relu_network

CLAIMS = ("zeng2024expressive:theorem-3",)
RETRAINED = ("train", "test")
EPOCHS = 20_000


def cases(quick):
    """Return one case a depth and seed; --quick: Lbar = 1 only."""
    return [{"Lbar": a, "seed": s, "quick": quick} for a in (1, 2)[: 1 if quick else 2] for s in seeds(quick)]


def compute(Lbar, seed, quick):
    """Return training and test errors, and those of the construction."""
    frozen, target = relu(seed, 2 * Lbar, Lbar, pretrained=False)
    name, x, settings = f"Lbar={Lbar}, L={2 * Lbar}", inputs(seed, TEST_POINTS, D), grid(quick)
    settings |= {} if quick else {"epochs": EPOCHS}
    best = best_adapters([target], [frozen], seeds=(seed,), batches=400 * Lbar, **settings)
    rows = []
    for i, R in enumerate(settings["ranks"]):
        ours = adapt_relu_network(frozen, target, R, domain=BOX).network
        rows.append(row(name, CONSTRUCTION, seed, R, mean_squared_error(ours, target, x)))
        rows.append(row(name, "train", seed, R, best.train_loss[0, i, -1]))
        rows.append(row(name, "test", seed, R, best.test_loss[0, i]))
    return rows


def plot(rows, published):
    """Draw a panel a depth."""
    curves = {"train": ("training points", 2), "test": ("new points", 0), CONSTRUCTION: ("construction", 1)}
    names = list(dict.fromkeys(r["panel"] for r in rows))
    figure, axes = plotting.grid(1, len(names), height=2.6)
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_yscale("log")
        plot_panel(ax, rows, published, curves, name)
        ax.set_ylim(bottom=1e-9)
        ax.set_xlabel("rank $R$")
    axes[0, 0].set_ylabel("mean squared error")
    axes[0, -1].legend(loc="upper right")
    return figure
