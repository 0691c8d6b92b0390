"""ScaledGD for X X^T = A of rank 4 in dimension 20: quadratic from the Nystroem start at step size 1/2, else linear.

Drawn is |X_t X_t^T - A|_F / |A|_F; dots: 5 draws of A and Omega. Solid lines: the theory for the first draw, from the
scalar iteration s -> (1 - eta) s + eta / s of the singular values of Y^T Omega, A = Y Y^T. Small random start: 0.001
Gaussian; its dashed line is the slope 1 - eta = 1/2 of what lies outside the columns of A. A is a product of Gaussian
factors; the published figure, with other data, shows the same three behaviours.
"""

import numpy as np

CLAIMS = ("li2024crucial:theorem-symmetric-quadratic", "li2024crucial:theorem-symmetric-linear")

N, K, STEPS = 20, 4, 40
STARTS = {"Nystroem, 1/2": 0.5, "Nystroem, 2/5": 0.4, "random, 1/2": 0.5}


def cases(quick):
    """One case a seed."""
    return [{"seed": seed} for seed in range(2 if quick else 5)]


def compute(seed):
    """Run the three methods."""
    rng = np.random.default_rng(seed)
    Y, Omega = rng.standard_normal((N, K)), rng.standard_normal((N, K))
    A = Y @ Y.T
    rows = []
    for name, eta in STARTS.items():
        X = A @ Omega if name.startswith("Nystroem") else 0.001 * Omega
        for t in range(STEPS + 1):
            y = np.linalg.norm(X @ X.T - A) / np.linalg.norm(A)
            rows.append({"panel": "error", "curve": name, "seed": seed, "x": t, "y": float(y)})
            X = X - eta * (X @ X.T - A) @ X @ np.linalg.inv(X.T @ X)
        if seed == 0 and name.startswith("Nystroem"):
            rows += theory(name, eta, Y, Omega)
    tail = [2.0 ** -(t - 12) for t in range(12, 41)]
    if seed == 0:
        rows += [{"panel": "theory", "curve": "slope", "seed": "", "x": 12 + t, "y": y} for t, y in enumerate(tail)]
    return rows


def theory(name, eta, Y, Omega):
    """Return |Y (N_t N_t^T - I) Y^T|_F / |A|_F with N_t = U diag(s_t) V^T from the scalar iteration."""
    U, s, _ = np.linalg.svd(Y.T @ Omega)
    rows = []
    for t in range(STEPS + 1):
        y = np.linalg.norm(Y @ (U * ((s - 1) * (s + 1))) @ U.T @ Y.T) / np.linalg.norm(Y @ Y.T)
        rows.append({"panel": "theory", "curve": name, "seed": "", "x": t, "y": float(y)})
        s = (1 - eta) * s + eta / s
    return rows


def plot(rows, published):
    """Draw errors down to the level of rounding."""
    from lora_proofs import plotting

    figure, axes = plotting.grid(height=2.5)
    ax = axes[0, 0]
    for index, name in enumerate(STARTS):
        label = name.replace("Nystroem", "Nyström").replace(", ", r", $\eta=$")
        plotting.band(ax, plotting.points(rows, panel="error", curve=name), label, index, ls="")
        plotting.line(ax, plotting.points(rows, panel="theory", curve=name), None, index)
    plotting.line(ax, plotting.points(rows, panel="theory", curve="slope"), None, 6, ls="--")
    ax.set(yscale="log", ylim=(1e-17, 1e8), xlabel="iteration $t$", ylabel=r"$|X_tX_t^T-A|_F/|A|_F$")
    ax.legend(loc="upper right")
    return figure
