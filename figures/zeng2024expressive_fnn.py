"""ReLU networks: mean squared error of rank-R adapters against R, trained and constructed.

Width 16; Lbar = 1, L = 2 and Lbar = 2, L = 4; random and pretrained frozen networks; above on a linear, below on a
logarithmic axis. The construction is exact from R = 8 on: what is left there is rounding, 1e-28 in double precision.
The published curve stops at 1e-10 to 1e-6, the floor of float32 (drawn: the published construction in float32, whose
biases of up to 1e+6 also move some points below the threshold for Lbar = 2). Gradient update: Adam, the best of 12
settings by validation, on fresh batches. Hollow marks: the published values, read off five pictures, and to 4 digits
from print for Lbar = 1, random.
"""

import numpy as np
from shared.zeng2024expressive_instances import (
    BATCH,
    TEST_POINTS,
    D,
    inputs,
    mean_squared_error,
    published_construction,
    relu,
)
from shared.zeng2024expressive_panels import BOX, CONSTRUCTION, FLOAT32, GRADIENT, grid, row, seeds
from shared.zeng2024expressive_panels import plot as plot_panel
from shared.zeng2024expressive_runs import best_adapters

from lora_proofs import plotting
from lora_proofs.constructions import adapt_relu_network

CLAIMS = ("zeng2024expressive:theorem-3",)
RETRAINED = (GRADIENT,)
PANELS = {
    (Lbar, pretrained): f"Lbar={Lbar}, L={2 * Lbar}, {'pretrained' if pretrained else 'random'}"
    for pretrained in (False, True)
    for Lbar in (1, 2)
}


def cases(quick):
    """Return one case a panel and seed; --quick: no pretrained panels."""
    wanted = [key for key in PANELS if not (quick and key[1])]
    return [{"Lbar": a, "pretrained": p, "seed": s, "quick": quick} for a, p in wanted for s in seeds(quick)]


def compute(Lbar, pretrained, seed, quick):
    """Return the test errors of the construction, of the published one in float32, and of trained adapters."""
    frozen, target = relu(seed, 2 * Lbar, Lbar, pretrained)
    name, x, settings = PANELS[Lbar, pretrained], inputs(seed, TEST_POINTS, D), grid(quick)
    sampled = inputs(seed, BATCH, D)
    rows = []
    for R in settings["ranks"]:
        ours = adapt_relu_network(frozen, target, R, domain=BOX).network
        theirs = published_construction(frozen, target, R, sampled)
        rows.append(row(name, CONSTRUCTION, seed, R, mean_squared_error(ours, target, x)))
        rows.append(row(name, FLOAT32, seed, R, mean_squared_error(theirs, target, x.astype(np.float32))))
    best = best_adapters([target], [frozen], seeds=(seed,), **settings)
    return rows + [row(name, GRADIENT, seed, R, y) for R, y in zip(settings["ranks"], best.test_loss[0], strict=True)]


def plot(rows, published):
    """Draw a column a panel, on a linear and on a logarithmic axis."""
    names = [name for name in PANELS.values() if plotting.points(rows, panel=name)]
    curves = {GRADIENT: ("gradient update", 0), CONSTRUCTION: ("construction", 1), FLOAT32: ("published, float32", 3)}
    figure, axes = plotting.grid(2, len(names), sharex=True)
    for column, name in zip(axes.T, names, strict=True):
        column[1].set_yscale("log")
        for ax in column:
            plot_panel(ax, rows, published, curves, name)
        column[0].set_title(column[0].get_title().replace(", r", "\nr").replace(", p", "\np"))
        column[1].set(xlabel="rank $R$", title="")
    for ax in axes[:, 0]:
        ax.set_ylabel("mean squared error")
    axes[0, 0].legend(loc="upper right")
    return figure
