"""What averaging the factors of LoRA clients misses of the average update, against how far the clients have drifted.

n clients with B_i = B + e N_i, A_i = A + e M_i, all Gaussian with entries N(0, 1), 32 x 32 weights, r = 4. Drawn is the
root mean square of the entries of mean(B) mean(A) - mean(B A). Dots: median and range of 10 draws. Lines: the root of
its exact mean square, e^4 r (n - 1) / n^2; B A itself has entries of size sqrt(r) = 2. With a common frozen A it is 0.
The survey describes the remedies in words.
"""

import numpy as np

CLAIMS = ("mao2024survey:formula-federated", "mao2024survey:formula-federated-frozen")

D, R, CLIENTS = 32, 4, (2, 8, 32)


def cases(quick):
    """One case a drift and draw."""
    drifts = (0.01, 1.0) if quick else (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    return [{"drift": e, "seed": seed} for e in drifts for seed in range(2 if quick else 10)]


def compute(drift, seed):
    """Deviations for each number of clients, and the theory."""
    rng = np.random.default_rng(seed)
    rows = []
    for n in CLIENTS:
        B = rng.standard_normal((D, R)) + drift * rng.standard_normal((n, D, R))
        A = rng.standard_normal((R, D)) + drift * rng.standard_normal((n, R, D))
        gap = B.mean(axis=0) @ A.mean(axis=0) - (B @ A).mean(axis=0)
        rows.append(row(f"{n} clients", seed, drift, np.sqrt(np.mean(gap**2))))
        if seed == 0:
            rows.append(row(f"{n} clients, mean", "", drift, drift**2 * np.sqrt(R * (n - 1)) / n))
    return rows


def row(curve, seed, x, y):
    """Return one row."""
    return {"panel": "deviation", "curve": curve, "seed": seed, "x": x, "y": float(y)}


def plot(rows, published):
    """Draw the deviation against the drift."""
    from lora_proofs import plotting

    figure, axes = plotting.grid(height=2.4)
    ax = axes[0, 0]
    for index, n in enumerate(CLIENTS):
        plotting.line(ax, plotting.points(rows, curve=f"{n} clients, mean"), None, index)
        plotting.band(ax, plotting.points(rows, curve=f"{n} clients"), f"$n={n}$", index, ls="")
    ax.set(xscale="log", yscale="log", xlabel=r"drift $\epsilon$ of the clients' factors")
    ax.set_ylabel(r"$\overline{B}\,\overline{A}-\overline{BA}$, rms entry")
    ax.legend(title="clients")
    return figure
