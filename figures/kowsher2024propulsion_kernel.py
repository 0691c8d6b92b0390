"""How far the tangent kernel of Propulsion is from that of full fine-tuning, against the width of a layer.

One layer with Gaussian weights, 32 random unit inputs of dimension 64; both kernels up to their constants (k^2 for the
degree). Mean over the outputs: the relative Frobenius distance, 5 draws, and its exact root mean square over W,
(sum (G_ii G_jj + G_ij^2) / d_out)^(1/2) / |G| with G the Gram matrix. One output: the kernel of a single output with
the best constant; rank one against rank 32. The published heat maps, of four data sets, are not repeated.
"""

import numpy as np

CLAIMS = (
    "kowsher2024propulsion:theorem-1-mean",
    "kowsher2024propulsion:theorem-1-for-one-output",
)

INPUTS, DIMENSION = 32, 64


def cases(quick):
    """One case a width and a seed."""
    widths = (16, 256) if quick else (16, 64, 256, 1024, 4096, 16384)
    return [{"width": width, "seed": seed} for width in widths for seed in range(2 if quick else 5)]


def compute(width, seed):
    """Distances of both kernels, and the theory."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((DIMENSION, INPUTS))
    X /= np.linalg.norm(X, axis=0)
    features = rng.standard_normal((width, DIMENSION)) @ X
    G = X.T @ X
    mean = features.T @ features / width
    one = np.outer(features[0], features[0])
    one *= np.sum(G * one) / np.sum(one**2)
    size = np.linalg.norm(G)
    expected = np.sqrt(np.sum(np.outer(np.diag(G), np.diag(G)) + G**2) / width) / size
    measured = {"mean over the outputs": mean, "one output": one}
    rows = [
        {"panel": "distance", "curve": curve, "seed": seed, "x": width, "y": np.linalg.norm(kernel - G) / size}
        for curve, kernel in measured.items()
    ]
    if seed == 0:
        rows.append({"panel": "distance", "curve": "expected", "seed": "", "x": width, "y": expected})
    return rows


def plot(rows, published):
    """Distances against the width."""
    from lora_proofs import plotting

    figure, axes = plotting.grid()
    ax = axes[0, 0]
    plotting.line(ax, plotting.points(rows, curve="expected"), "expected", 6)
    for index, curve in enumerate(("mean over the outputs", "one output")):
        plotting.dots(ax, plotting.points(rows, curve=curve), curve, index)
    ax.set(xscale="log", yscale="log", xlabel="width $d_{out}$", ylabel="relative distance of kernels")
    ax.legend(loc="lower left")
    return figure
