"""Linear model: mean squared error of rank-R adapters against R, trained and constructed.

Two frozen layers of width 16, one target layer, random and pretrained. The line is the closed form
sum_{i > 2R} sigma_i^2 / 16, the expectation of what the construction leaves; the gradient curve is Adam's best of 12
settings by validation, on fresh batches. Hollow marks: the published values, read off the picture.
"""

import numpy as np
from shared.zeng2024expressive_instances import TEST_POINTS, D, inputs, linear
from shared.zeng2024expressive_panels import CONSTRUCTION, GRADIENT, grid, row, seeds
from shared.zeng2024expressive_panels import plot as plot_panel
from shared.zeng2024expressive_runs import best_adapters

from lora_proofs import plotting
from lora_proofs.constructions import adapt_linear_chain

CLAIMS = ("zeng2024expressive:lemma-1",)
RETRAINED = (GRADIENT,)
PANELS = {False: "random", True: "pretrained"}


def cases(quick):
    """Return one case a panel and seed."""
    return [{"pretrained": p, "seed": s, "quick": quick} for p in PANELS for s in seeds(quick)]


def compute(pretrained, seed, quick):
    """Return the test errors of the two kinds of adapters, and the closed form."""
    frozen, target = linear(seed, pretrained)
    name, x, settings = PANELS[pretrained], inputs(seed, TEST_POINTS, D), grid(quick)
    sigma = np.linalg.svd(target - frozen[1] @ frozen[0], compute_uv=False)
    rows = []
    for R in settings["ranks"]:
        A_1, A_2 = adapt_linear_chain(frozen, target, R).adapters
        error = A_2.merge(frozen[1]) @ A_1.merge(frozen[0]) - target
        rows.append(row(name, "closed form", seed, R, np.sum(sigma[2 * R :] ** 2) / D))
        rows.append(row(name, CONSTRUCTION, seed, R, np.mean((x @ error.T) ** 2)))
    best = best_adapters([[target]], [frozen], seeds=(seed,), **settings)
    return rows + [row(name, GRADIENT, seed, R, y) for R, y in zip(settings["ranks"], best.test_loss[0], strict=True)]


def plot(rows, published):
    """Draw a panel for random and one for pretrained frozen layers."""
    curves = {GRADIENT: ("gradient update", 0), CONSTRUCTION: ("construction", 1)}
    figure, axes = plotting.grid(1, 2, sharey=True)
    for ax, name in zip(axes[0], PANELS.values(), strict=True):
        plotting.line(ax, plotting.points(rows, panel=name, curve="closed form"), r"$\sum_{i>2R}\sigma_i^2/D$")
        plot_panel(ax, rows, published, curves, name)
        ax.set_xlabel("rank $R$")
    axes[0, 0].set_ylabel("mean squared error")
    axes[0, 1].legend()
    return figure
