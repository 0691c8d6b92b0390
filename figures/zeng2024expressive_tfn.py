"""Transformers: mean squared error of rank-R adapters against R, trained and constructed.

Width 16, 2 heads, 10 tokens, one and two blocks, random and pretrained. The construction is exact from R = 8 = D / 2
on; the published curve shows float32 there (also drawn: the same construction in float32).

Departures. As published, every rank has a frozen model of its own for the construction on random models, since adapters
draw random numbers between the layers; all else uses the frozen model of rank 8. Gradient update, five seeds and 5000
epochs as published: the best by validation of some of the twelve published settings, learning rates 1e-2 and 1e-3 with
weight decay 0 and, for one block, 1e-3. For seed 0, at three ranks, the best of all twelve is drawn beside it.
"""

from functools import cache

import numpy as np
from shared.zeng2024expressive_instances import (
    RANKS,
    SEEDS,
    TEST_POINTS,
    TOKENS,
    D,
    inputs,
    mean_squared_error,
    transformer,
)
from shared.zeng2024expressive_panels import CONSTRUCTION, FLOAT32, GRADIENT, row
from shared.zeng2024expressive_panels import plot as plot_panel
from shared.zeng2024expressive_runs import best_adapters

from lora_proofs import plotting
from lora_proofs.constructions import adapt_transformer

CLAIMS = ("zeng2024expressive:theorem-7", "zeng2024expressive:corollary-7-random-floats")
ALL_SETTINGS = "gradient update, all settings"
PANELS = {(L, p): f"L={L}, {'pretrained' if p else 'random'}" for p in (False, True) for L in (1, 2)}
ARTEFACTS = {
    f"{name}/{FLOAT32}": "rounding in float32, which depends on the order of operations" for name in PANELS.values()
}
RETRAINED = (GRADIENT,)
QUICK = {"ranks": (1, 8), "learning_rates": (1e-2,), "weight_decays": (0.0,), "epochs": 20, "test_size": 500}


def cases(quick):
    """Return one case a panel, method and seed; --quick: one random block."""
    if quick:
        return [{"L": 1, "pretrained": False, "method": m, "seed": 0, "quick": True} for m in (CONSTRUCTION, GRADIENT)]
    wanted = {CONSTRUCTION: SEEDS, GRADIENT: SEEDS, ALL_SETTINGS: SEEDS[:1]}
    return [
        {"L": L, "pretrained": p, "method": method, "seed": seed, "quick": False}
        for method, seeds in wanted.items()
        for L, p in PANELS
        for seed in seeds
        if method != ALL_SETTINGS or not p
    ]


def compute(L, pretrained, method, seed, quick):
    """Return test errors of the construction in both precisions, or of trained adapters."""
    name, points = PANELS[L, pretrained], TEST_POINTS // 10 if quick else TEST_POINTS
    models = cache(lambda R: transformer(seed, L, R, pretrained))
    if method != CONSTRUCTION:
        frozen, target = models(D // 2)
        settings = QUICK if quick else _settings(method, L)
        best = best_adapters([target], [frozen], seeds=(seed,), **settings)
        return [row(name, method, seed, R, y) for R, y in zip(settings["ranks"], best.test_loss[0], strict=True)]
    x, rows = inputs(seed, points, D, TOKENS), []
    for R in (1, 7, 8, 16) if quick else range(1, D + 1):
        frozen, target = models(D // 2 if pretrained else R)
        ours = adapt_transformer(frozen, target, R).network
        single = adapt_transformer(_single(frozen), _single(target), R).network
        rows.append(row(name, CONSTRUCTION, seed, R, mean_squared_error(ours, target, x)))
        rows.append(row(name, FLOAT32, seed, R, mean_squared_error(single, target, x.astype(np.float32))))
    return rows


def _settings(method, L):
    if method == ALL_SETTINGS:
        return {"ranks": (2, 8, 14), "epochs": 5000}
    decays = (0.0, 1e-3) if L == 1 else (0.0,)
    return {"ranks": tuple(RANKS), "learning_rates": (1e-2, 1e-3), "weight_decays": decays, "epochs": 5000}


def _single(network):
    weights = {name: W.astype(np.float32) for name, W in network.named_weights.items()}
    return network.replaced(weights, [b.astype(np.float32) for b in network.biases])


def plot(rows, published):
    """Draw a column a panel, on a logarithmic axis."""
    curves = {
        GRADIENT: ("gradient update", 0),
        ALL_SETTINGS: ("best of all settings", 5),
        CONSTRUCTION: ("construction", 1),
        FLOAT32: ("the same, float32", 3),
    }
    names = [name for name in PANELS.values() if plotting.points(rows, panel=name)]
    figure, axes = plotting.grid(max(1, len(names) // 2), min(2, len(names)), sharex=True, sharey="row")
    for ax, name in zip(axes.flat, names, strict=True):
        ax.set_yscale("log")
        plot_panel(ax, rows, published, curves, name)
    for ax in axes[-1]:
        ax.set_xlabel("rank $R$")
    for ax in axes[:, 0]:
        ax.set_ylabel("mean squared error")
    axes[0, 0].legend(loc="lower left")
    return figure
