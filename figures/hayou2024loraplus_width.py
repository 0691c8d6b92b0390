"""Error of the toy model f = b a^T x after 12 steps of gradient descent against its width n, for three rates.

Start b = 0, a Gaussian and corrected to a^T x = 1, x random signs, target 1; c = 1/4. Dots: runs with vectors of length
n, 3 draws (equal but for rounding). Lines: LoRA+ at width 1, and the first order in 1/n, 1 - 12 c / n, for equal rates
c / n. Equal rates c / sqrt(n) learn as well, in a number of steps that grows like log n, with a^T x of order n^{1/4}.
The published figures show test errors of language models and of a small network, not this quantity.
"""

import numpy as np

CLAIMS = ("hayou2024loraplus:proposition-2", "hayou2024loraplus:proposition-1-rates-1-n")

C, STEPS = 0.25, 12
RATES = {
    "LoRA+": lambda n: (C / n, C),
    "equal, 1/n": lambda n: (C / n, C / n),
    "equal, 1/sqrt(n)": lambda n: (C / np.sqrt(n), C / np.sqrt(n)),
}


def cases(quick):
    """One case a width and draw."""
    exponents = (2, 8) if quick else range(2, 17, 2)
    return [{"n": 2**e, "seed": seed} for e in exponents for seed in range(1 if quick else 3)]


def compute(n, seed):
    """Errors after the last step, and the theory."""
    rng = np.random.default_rng(seed)
    x = rng.choice([-1.0, 1.0], n)
    a = rng.standard_normal(n)
    a = a + (1 - a @ x) / n * x
    rows = [row(name, seed, n, train(a, x, *rates(n))) for name, rates in RATES.items()]
    if seed == 0:
        rows.append(row("LoRA+ at width 1", "", n, train(np.ones(1), np.ones(1), *RATES["LoRA+"](1))))
        rows.append(row("first order", "", n, 1 - STEPS * C / n))
    return rows


def row(curve, seed, n, y):
    """Return one row."""
    return {"panel": "error", "curve": curve, "seed": seed, "x": n, "y": float(y)}


def train(a, x, eta_A, eta_B):
    """Return |f - 1| after the steps."""
    b = 0.0
    for _ in range(STEPS):
        U = b * (a @ x) - 1
        a, b = a - eta_A * U * b * x, b - eta_B * U * (a @ x)
    return abs(b * (a @ x) - 1)


def plot(rows, published):
    """Draw the errors against the width."""
    from lora_proofs import plotting

    figure, axes = plotting.grid(height=2.4)
    ax = axes[0, 0]
    plotting.line(ax, plotting.points(rows, curve="LoRA+ at width 1"), None, 0)
    plotting.line(ax, plotting.points(rows, curve="first order"), None, 1)
    labels = (r"LoRA+: $c/n$, $c$", r"equal: $c/n$", r"equal: $c/\sqrt{n}$")
    for index, (name, label) in enumerate(zip(RATES, labels, strict=True)):
        plotting.dots(ax, plotting.points(rows, curve=name), label, index)
    ax.set(xscale="log", xlabel="width $n$", ylabel="$|f-y|$ after 12 steps", ylim=(-0.05, 1.1))
    ax.legend(title=r"rates $\eta_A$, $\eta_B$", loc=(0.2, 0.45))
    return figure
