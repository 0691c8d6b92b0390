"""How often random sensing recovers a signal that is a combination of three atoms, against the number of measurements.

l1-synthesis by a linear programme (HiGHS); a signal counts as recovered if its relative error is below 1e-6. A Gaussian
20 x 30 frame with Gaussian or heavy-tailed (Student t, 3 degrees of freedom) sensing, the same frame with five atoms
twice, and the identity of size 20. 60 trials a point, in 3 groups whose range is the band. The orders of growth,
m of the order of k log(n / k), are not fitted. Not in the published chapter.
"""

import numpy as np
from scipy.optimize import linprog

CLAIMS = ("chen2024frames:theorem-f-null-space-property", "chen2024frames:formula-duplicated-atom")

N_ROWS, ATOMS, SPARSITY, TRIALS = 20, 30, 3, 20
CURVES = ("Gaussian sensing", "t3 sensing", "repeated atoms", "identity")


def cases(quick):
    """One case a curve, a number of measurements and a group of trials."""
    sizes = (6, 12) if quick else (3, 4, 6, 8, 10, 12, 14, 16)
    groups = range(1 if quick else 3)
    return [{"curve": curve, "m": m, "group": group} for curve in CURVES for m in sizes for group in groups]


def compute(curve, m, group):
    """Share of recovered signals, and of recovered coefficients, in one group."""
    rng = np.random.default_rng((CURVES.index(curve), m, group))
    signals = coefficients = 0
    for _ in range(TRIALS):
        F = np.eye(N_ROWS) if curve == "identity" else rng.standard_normal((N_ROWS, ATOMS)) / np.sqrt(N_ROWS)
        if curve == "repeated atoms":
            F = np.hstack([F, F[:, :5]])
        A = rng.standard_t(3, (m, N_ROWS)) if curve == "t3 sensing" else rng.standard_normal((m, N_ROWS))
        x = np.zeros(F.shape[1])
        x[rng.choice(len(x), SPARSITY, replace=False)] = rng.standard_normal(SPARSITY)
        B = A @ F
        parts = linprog(np.ones(2 * len(x)), A_eq=np.hstack([B, -B]), b_eq=B @ x).x
        found = parts[: len(x)] - parts[len(x) :]
        signals += np.linalg.norm(F @ (found - x)) < 1e-6 * np.linalg.norm(F @ x)
        coefficients += np.linalg.norm(found - x) < 1e-6 * np.linalg.norm(x)
    return [
        {"panel": panel, "curve": curve, "seed": group, "x": m, "y": count / TRIALS}
        for panel, count in (("signal", signals), ("coefficients", coefficients))
    ]


def plot(rows, published):
    """Draw the success rates of signals and of coefficients."""
    from lora_proofs import plotting

    figure, axes = plotting.grid(columns=2, sharey=True)
    for ax, panel in zip(axes[0], ("signal", "coefficients"), strict=True):
        for index, curve in enumerate(CURVES):
            plotting.band(ax, plotting.points(rows, panel=panel, curve=curve), curve, index)
        ax.set(xlabel="measurements $m$", title=panel)
    axes[0, 0].set_ylabel("share recovered")
    axes[0, 0].legend(loc="lower right")
    return figure
