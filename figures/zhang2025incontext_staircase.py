"""Loss of linear attention under gradient flow: a staircase with separate key and query, one drop with merged ones.

Population loss for D = 4 inputs with eigenvalues 0.4, 0.3, 0.2, 0.1 and N = 31 examples in context, as in the official
code's default. Separate: 8 heads with rank-one key and query; merged: 8 heads with full key-query matrices; entries of
the start Gaussian of size 0.02. Dots: median and range of 5 starts; dashed: the levels L_0, ..., L_4 of the plateaus.
The flow is integrated, not discretised; the published figures train by gradient descent on samples.
"""

import numpy as np
from scipy.integrate import solve_ivp

CLAIMS = ("zhang2025incontext:formula-19", "zhang2025incontext:formula-14-aligned")

VALUES, N, HEADS, SIZE = np.array([0.4, 0.3, 0.2, 0.1]), 31, 8, 0.02
D = len(VALUES)
L = np.diag(VALUES)
SECOND = L @ L + (L + np.sum(VALUES) * np.eye(D)) @ L / N
TIMES = np.geomspace(1.0, 1e4, 49)


def cases(quick):
    """One case a start."""
    return [{"seed": seed} for seed in range(1 if quick else 5)]


def compute(seed):
    """Integrate both flows from one start."""
    rng = np.random.default_rng(seed)
    rows = []
    for name, flow, size in (("separate", separate, HEADS * (1 + 2 * D)), ("merged", merged, HEADS * (1 + D * D))):
        start = SIZE * rng.standard_normal(size)
        path = solve_ivp(flow, (0, TIMES[-1]), start, "LSODA", t_eval=TIMES, rtol=1e-8, atol=1e-12).y.T
        for t, theta in zip(TIMES, path, strict=True):
            K = np.einsum("h,hab->ab", *parts(theta, name))
            y = np.trace(L - 2 * L @ K @ L + K.T @ SECOND @ K @ L)
            rows.append({"panel": "flow", "curve": name, "seed": seed, "x": float(t), "y": float(y)})
    return rows + (levels() if seed == 0 else [])


def levels():
    """Return L_m, the loss after m of the eigendirections, at both ends of the axis."""
    steps = VALUES / (1 + (1 + np.sum(VALUES) / VALUES) / N)
    heights = np.sum(VALUES) - np.concatenate([[0.0], np.cumsum(steps)])
    return [
        {"panel": "levels", "curve": f"L_{m}", "seed": "", "x": x, "y": float(y)}
        for m, y in enumerate(heights)
        for x in (1.0, 1e4)
    ]


def parts(theta, name):
    """Return v (heads) and U (heads, D, D) of the packed parameters."""
    v, rest = theta[:HEADS], theta[HEADS:]
    if name == "merged":
        return v, rest.reshape(HEADS, D, D)
    k, q = rest.reshape(2, HEADS, D)
    return v, k[:, :, None] * q[:, None, :]


def slope(v, U):
    """Return minus the gradient of the loss with respect to K."""
    return -2 * (SECOND @ np.einsum("h,hab->ab", v, U) - L) @ L


def merged(t, theta):
    """Return minus the gradient with respect to v_h and U_h."""
    v, U = parts(theta, "merged")
    G = slope(v, U)
    return np.concatenate([np.einsum("hab,ab->h", U, G), (v[:, None, None] * G).ravel()])


def separate(t, theta):
    """Return minus the gradient with respect to v_h, k_h and q_h."""
    v, U = parts(theta, "separate")
    k, q = theta[HEADS:].reshape(2, HEADS, D)
    G = slope(v, U)
    return np.concatenate(
        [np.einsum("hab,ab->h", U, G), (v[:, None] * (q @ G.T)).ravel(), (v[:, None] * (k @ G)).ravel()]
    )


def plot(rows, published):
    """Draw both losses over the levels."""
    from lora_proofs import plotting

    figure, axes = plotting.grid(height=2.4)
    ax = axes[0, 0]
    for m in range(D + 1):
        plotting.line(ax, plotting.points(rows, curve=f"L_{m}"), None, 6, lw=0.7, ls="--", alpha=0.6)
    for index, name in enumerate(("separate", "merged")):
        plotting.band(ax, plotting.points(rows, panel="flow", curve=name), name, index, ls="", ms=3)
    ax.set(xscale="log", xlabel="time $t$ of the gradient flow", ylabel="loss", ylim=(0, 1.05))
    ax.legend(loc="upper right", title="key and query", bbox_to_anchor=(1, 0.94))
    return figure
