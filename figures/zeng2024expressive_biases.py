"""LoRA with fixed and with updatable biases: mean squared error against the number of tuned parameters.

Lbar = 1, L = 2, width 16; 64 R parameters, and 32 more with the biases. Both published curves are artefacts. "Updatable
biases" of the random panel are the values of the closed-form construction (drawn: it meets them to the four digits that
are compared), since the published selection does not look at the method. "Fixed biases" are the first run that the log
returned for each seed, whatever its setting: the grey band is the range of all 12 settings over the seeds. Corrected:
both curves trained on fresh batches, the best setting by validation.
"""

from shared.zeng2024expressive_instances import TEST_POINTS, D, inputs, mean_squared_error, relu
from shared.zeng2024expressive_panels import BOX, CONSTRUCTION, grid, row, seeds
from shared.zeng2024expressive_panels import plot as plot_panel
from shared.zeng2024expressive_runs import best_adapters

from lora_proofs import plotting
from lora_proofs.constructions import adapt_relu_network

CLAIMS = ("zeng2024expressive:theorem-3",)
_FIRST_RUN = "the first run of each seed that the log returned, whatever its setting, is plotted in place of the best"
ARTEFACTS = {
    "random/updatable biases": "these are the values of the closed-form construction, not of training",
    "random/fixed biases": _FIRST_RUN,
    "pretrained/updatable biases": f"{_FIRST_RUN}; runs of the construction are among them",
    "pretrained/fixed biases": _FIRST_RUN,
}
PANELS = {False: "random", True: "pretrained"}
FIXED, UPDATABLE, ANY = "fixed biases", "updatable biases", "fixed biases, any setting"


def cases(quick):
    """Return one case a panel and seed."""
    return [{"pretrained": p, "seed": s, "quick": quick} for p in PANELS for s in seeds(quick)]


def compute(pretrained, seed, quick):
    """Return test errors of trained adapters, without and with the biases, and of the construction."""
    from lora_proofs.training import train_adapters

    frozen, target = relu(seed, 2, 1, pretrained)
    name, x, settings = PANELS[pretrained], inputs(seed, TEST_POINTS, D), grid(quick)
    fixed = train_adapters([target], [frozen], seeds=(seed,), tune_biases=False, **settings)
    tuned = best_adapters([target], [frozen], seeds=(seed,), **settings)
    rows = []
    for i, R in enumerate(settings["ranks"]):
        ours = adapt_relu_network(frozen, target, R, domain=BOX).network
        rows += [row(name, ANY, seed, 64 * R, y) for y in fixed.test_loss[0, i].flat]
        rows.append(row(name, FIXED, seed, 64 * R, fixed.best.test_loss[0, i]))
        rows.append(row(name, UPDATABLE, seed, 64 * R + 32, tuned.test_loss[0, i]))
        rows.append(row(name, CONSTRUCTION, seed, 64 * R + 32, mean_squared_error(ours, target, x)))
    return rows


def plot(rows, published):
    """Draw a panel for random and one for pretrained frozen networks."""
    curves = {name: (name, index) for index, name in enumerate((FIXED, UPDATABLE, CONSTRUCTION))}
    figure, axes = plotting.grid(1, 2, sharey=True)
    for ax, name in zip(axes[0], PANELS.values(), strict=True):
        anything = {}
        for r in plotting.points(rows, panel=name, curve=ANY):
            anything.setdefault(r["x"], []).append(r["y"])
        low, high = ([end(y) for y in anything.values()] for end in (min, max))
        ax.fill_between([*anything], low, high, color="0.5", alpha=0.25, lw=0, label=ANY)
        plot_panel(ax, rows, published, curves, name)
        ax.set_xlabel("tuned parameters")
    axes[0, 0].set_ylabel("mean squared error")
    axes[0, 1].legend()
    return figure
