"""Dropout against its ridge, and the escape from B = 0.

Left: a linear regression with 40 data and 8 weights, dropout 0.1. The loss with fresh masks, averaged over T steps at
fixed weights, less the loss without dropout, over the ridge p / (1 - p) sum |X_j|^2 w_j^2; 40 runs a box. The dashed
lines are 1 +- the exact standard deviation T^(-1/2). Right: one weight, loss (a b - 1)^2 / 2 from a = 1, b = 0,
learning rate 0.02: ALLoRA's factor (|.| + 1 / 25)^(-1/2) for a and b, five times the rate for b alone, and dropout 0.3
on the input (median and range of 20 runs). The published figures, on language models, are not repeated.
"""

import numpy as np

CLAIMS = (
    "huang2024allora:proposition-dropout-is-a-ridge",
    "huang2024allora:proposition-short-training",
    "huang2024allora:proposition-escape-by-the-rate",
)

LENGTHS = (1, 4, 16, 64, 256)
METHODS = ("LoRA", "LoRA, dropout", "ALLoRA", "LoRA, 5 times the rate for B")


def cases(quick):
    """One case for the left panel, one for each method and seed on the right."""
    runs = [{"what": "ridge", "seed": 0}, {"what": "LoRA", "seed": 0}, {"what": "ALLoRA", "seed": 0}]
    runs += [{"what": METHODS[3], "seed": 0}]
    return runs + [{"what": "LoRA, dropout", "seed": seed} for seed in range(3 if quick else 20)]


def ridge(rng):
    """Ratios of the observed to the expected regularisation, and the exact standard deviation."""
    p, n, data = 0.1, 8, 40
    X, w, y = rng.standard_normal((data, n)), rng.standard_normal(n), rng.standard_normal(data)
    plain, expected = np.sum((X @ w - y) ** 2), p / (1 - p) * np.sum(X**2 @ w**2)
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    losses = np.sum((bits * w / (1 - p) @ X.T - y) ** 2, axis=1)
    odds = np.prod(np.where(bits, 1 - p, p), axis=1)
    deviation = np.sqrt(odds @ (losses - odds @ losses) ** 2) / expected
    rows = []
    for T in LENGTHS:
        seen = (losses[rng.choice(2**n, (40, T), p=odds)].mean(axis=1) - plain) / expected
        rows += [{"panel": "ridge", "curve": "runs", "seed": run, "x": T, "y": y} for run, y in enumerate(seen)]
        for curve, sign in (("above", 1), ("below", -1)):
            rows.append({"panel": "ridge", "curve": curve, "seed": "", "x": T, "y": 1 + sign * deviation / T**0.5})
    return rows


def compute(what, seed):
    """Rows of one panel, or of one run."""
    rng = np.random.default_rng(seed)
    if what == "ridge":
        return ridge(rng)
    a, b, rate, eta, p = 1.0, 0.0, 0.02, 5.0, 0.3
    rows = []
    for step in range(101):
        rows.append({"panel": "escape", "curve": what, "seed": seed, "x": step, "y": a * b})
        m = (rng.random() > p) / (1 - p) if what == "LoRA, dropout" else 1.0
        slope = rate * (m * a * b - 1) * m
        up = (abs(a) + eta**-2) ** -0.5 if what == "ALLoRA" else 1.0
        out = {"ALLoRA": (abs(b) + eta**-2) ** -0.5, METHODS[3]: eta}.get(what, 1.0)
        a, b = a - up * slope * b, b - out * slope * a
    return rows


def plot(rows, published):
    """Boxes on the left, curves on the right."""
    from lora_proofs import plotting

    figure, axes = plotting.grid(columns=2)
    left, right = axes[0]
    runs = plotting.points(rows, panel="ridge", curve="runs")
    values = [[row["y"] for row in plotting.points(runs, x=float(T))] for T in LENGTHS]
    left.boxplot(values, positions=range(len(LENGTHS)), widths=0.5, flierprops={"ms": 2})
    left.set_xticks(range(len(LENGTHS)), [str(T) for T in LENGTHS])
    for index, curve in enumerate(("above", "below")):
        theory = [row["y"] for row in plotting.points(rows, panel="ridge", curve=curve)]
        left.plot(range(len(LENGTHS)), theory, "--", color=plotting.COLOURS[0], label=None if index else "1 ± std")
    left.set(xlabel="steps $T$", ylabel="seen / expected ridge")
    left.legend()
    for index, method in enumerate(METHODS):
        plotting.band(right, plotting.points(rows, panel="escape", curve=method), method, index, marker="")
    right.axhline(0.5, color="k", lw=0.5)
    right.set(xlabel="steps", ylabel="$a b$ / target")
    right.legend(loc="lower right")
    return figure
