"""Time to find a rank-one perturbation of a base network, against the same with a base of zeros.

Left: drift -dL/dm of the overlap m, for the base of four neurons of the right panel and for the generalised linear
model (GLM). Right: time in which the overlap grows from d^(-1/2) to 9/10; lines are integrals of the drift, dots
stochastic gradient descent on the sphere in R^d with fresh batches of 16 d samples and step 0.02. Activation He_3 (and
He_2, He_4 for the lines of the GLM), |w_i|^2 + c_i^2 = 1, v orthogonal to the w_i. The GLM loses some of its first
overlap to the noise of the batches. Not a published figure.
"""

from typing import Any

import numpy as np
from numpy.polynomial import Polynomial
from scipy.integrate import quad

from lora_proofs import plotting

CLAIMS = ("dayi2024gradient:theorem-monotone", "dayi2024gradient:theorem-time")
DIMENSIONS = (16, 32, 64, 128, 256)
TIME, DRIFT = "time", "drift"
REACHED, STEP, BATCH = 0.9, 0.02, 16
LAMBDA = np.array([1.0, -1.0, 1.0, 1.0]) / 2
C = np.array([0.8, 0.6, 0.6, 0.8])
ANGLES = np.array([0.3, 1.2, 2.0, 2.9])
W = np.sqrt(1 - C**2)[:, None] * np.stack((np.cos(ANGLES), np.sin(ANGLES)), axis=1)
"""The base: k = 4 weights in a plane."""


def drift(p: int, weights: np.ndarray, c: np.ndarray, w: np.ndarray) -> Polynomial:
    """Return -dL/dm for the activation He_p / sqrt(p!)."""
    pairs = [(i, j) for i in range(len(c)) for j in range(len(c))]
    return p * sum(
        weights[i] * weights[j] * c[i] * c[j] * Polynomial([w[i] @ w[j], c[i] * c[j]]) ** (p - 1) for i, j in pairs
    )


BASE = drift(3, LAMBDA, C, W)
GLMS = {p: drift(p, np.ones(1), np.ones(1), np.zeros((1, 2))) for p in (2, 3, 4)}


def cases(quick: bool) -> list[dict[str, Any]]:
    """One case a dimension and seed."""
    return [{"d": d, "seed": s} for d in DIMENSIONS[: 3 if quick else None] for s in range(2 if quick else 5)]


def descend(rng: np.random.Generator, d: int, weights: np.ndarray, c: np.ndarray, w: np.ndarray) -> float:
    """Return the time, step size times steps, to reach the overlap; coordinates 0, 1 are the plane of w, 2 is u."""
    v = np.concatenate(([0, 0, d**-0.5], rng.standard_normal(d - 1)))
    v[3:] *= np.sqrt(1 - 1 / d) / np.linalg.norm(v[3:])
    steps = 0
    while v[2] < REACHED and steps < 20000:
        x = rng.standard_normal((BATCH * d, d + 2))
        base = x[:, :2] @ w.T
        student, teacher = base + np.outer(x @ v, c), base + np.outer(x[:, 2], c)
        gap = ((student**3 - 3 * student - teacher**3 + 3 * teacher) @ weights) / np.sqrt(6)
        slope = ((3 * student**2 - 3) @ (weights * c)) / np.sqrt(6)
        g = x.T @ (gap * slope) / len(x)
        g[:2] = 0
        v -= STEP * (g - (g @ v) * v)
        v /= np.linalg.norm(v)
        steps += 1
    return STEP * steps


def compute(d: int, seed: int) -> list[dict[str, Any]]:
    """Run both descents; the first case adds the lines."""
    rng = np.random.default_rng([d, seed])
    runs = (("base, SGD", LAMBDA, C, W), ("GLM, SGD", np.ones(1), np.ones(1), np.zeros((1, 2))))
    rows: list[dict[str, Any]] = [
        {"panel": TIME, "curve": name, "seed": seed, "x": d, "y": descend(rng, d, *model)} for name, *model in runs
    ]
    if (d, seed) == (DIMENSIONS[0], 0):
        lines = {"base": BASE} | {f"GLM p = {p}": D for p, D in GLMS.items()}
        for name, D in lines.items():
            for m in np.linspace(0, 1, 41):
                rows.append({"panel": DRIFT, "curve": name, "seed": "", "x": m, "y": D(m)})
            for x in np.geomspace(10, 1000, 21):
                y = quad(lambda m, D=D: 1 / ((1 - m * m) * D(m)), x**-0.5, REACHED)[0]
                rows.append({"panel": TIME, "curve": name, "seed": "", "x": x, "y": y})
    return rows


def plot(rows: list[dict[str, Any]], published: list[dict[str, Any]]) -> Any:
    """Draw drift and time."""
    figure, ((left, right),) = plotting.grid(1, 2)
    names = {"base": "base of 4 neurons, $He_3$"} | {f"GLM p = {p}": f"GLM, $He_{p}$" for p in GLMS}
    for i, (name, label) in enumerate(names.items()):
        style = {"ls": "-" if name == "base" else ("--", "-.", ":")[i - 1]}
        plotting.line(
            left, [r for r in plotting.points(rows, panel=DRIFT, curve=name) if r["x"] > 0], label, i, **style
        )
        plotting.line(right, plotting.points(rows, panel=TIME, curve=name), "", i, **style)
    plotting.band(right, plotting.points(rows, panel=TIME, curve="base, SGD"), "SGD, base", 0, ls="")
    plotting.band(right, plotting.points(rows, panel=TIME, curve="GLM, SGD"), "SGD, GLM, $He_3$", 2, ls="")
    left.set(xlabel="overlap m", ylabel=r"drift $-dL/dm$", yscale="log", ylim=(1e-3, 10))
    left.legend(loc="lower right")
    right.set(xlabel="dimension d", ylabel="time to overlap 9/10", xscale="log", yscale="log")
    right.legend(loc="upper left")
    return figure
