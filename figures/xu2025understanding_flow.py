"""Gradient flow of a LoRA adapter: the floor that a small start leaves is passed, a direction out of reach waits.

Left: loss of one rank-one adapter, E = 2 u v^T in R^(6 x 6), from a random balanced start of scale alpha: closed form
(lines), integration of b and a (dots), and the closed form from a spectral start (dotted), over sigma t -
log(1/alpha). Right: two layers of order 4 and rank 3, time until the loss of a new rank-one direction of size 1 is a
quarter of what it was, from starts at alpha times four unit vectors along the direction's modes: one within reach of
W_1 and W_2, and one outside, with log(1/alpha) and (alpha^(-2) - 4) / 2. Not a published figure.
"""

from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from lora_proofs import plotting

CLAIMS = ("xu2025understanding:proposition-transient", "xu2025understanding:corollary-escape")
SIGMA, N = 2.0, 6
ALPHAS = (1e-1, 1e-2, 1e-3, 1e-4)
STARTS = (0.3, 0.1, 0.03, 0.01)
LOSS, ESCAPE = "loss", "time"


def cases(quick: bool) -> list[dict[str, Any]]:
    """One case a scale."""
    return [{"alpha": a} for a in ALPHAS] + [{"alpha": -a} for a in STARTS[: 2 if quick else None]]


def start(rng: np.random.Generator) -> tuple[np.ndarray, float, float, float]:
    """Return z_0 of norm sqrt(2) with |b| = |a| = 1, E = SIGMA e_1 e_1^T, its components along e+ and e-, and |n|."""
    b, a = (x / np.linalg.norm(x) for x in rng.standard_normal((2, N)))
    b[0], a[0] = abs(b[0]), abs(a[0])
    return np.concatenate((b, a)), (b[0] + a[0]) / 2**0.5, (b[0] - a[0]) / 2**0.5, np.sqrt(2 - b[0] ** 2 - a[0] ** 2)


def closed_form(alpha: float, z: np.ndarray, p: float, q: float, n: float, t: np.ndarray) -> np.ndarray:
    """Return |E - b a^T|_F^2 / 2 at times t."""
    w = np.exp(SIGMA * t)
    norm = 1 + alpha**2 * (p**2 * (w**2 - 1) / (2 * SIGMA) + q**2 * (1 - w**-2) / (2 * SIGMA) + n**2 * t)
    bu, av = (alpha * (p * w + s * q / w) / 2**0.5 for s in (1, -1))
    bn, an = (alpha**2 * float(x @ x) for x in (z[1:N], z[N + 1 :]))
    # sigma - b_u a_v without cancellation: sigma norm - b_u a_v as a sum of its terms
    on = SIGMA * (1 + alpha**2 * n**2 * t) + alpha**2 * (q**2 - p**2) / 2
    off = (bu**2 * an + av**2 * bn + bn * an) / norm**2
    return ((on / norm) ** 2 + off) / 2


def one_adapter(alpha: float) -> list[dict[str, Any]]:
    """Return lines and dots of the left panel."""
    rows = []
    for seed in range(5):
        z, p, q, n = start(np.random.default_rng(seed))
        shift = np.log(1 / alpha) / SIGMA
        t = shift + np.linspace(-1.0, 7.0, 41) / SIGMA
        E = np.zeros((N, N))
        E[0, 0] = SIGMA

        def flow(_: float, x: np.ndarray, E: np.ndarray = E) -> np.ndarray:
            residual = E - np.outer(x[:N], x[N:])
            return np.concatenate((residual @ x[N:], residual.T @ x[:N]))

        path = solve_ivp(flow, (0, t[-1]), alpha * z, t_eval=t[::5], rtol=1e-10, atol=1e-13, method="DOP853")
        curve = f"alpha = {alpha:g}"
        for when, x in zip(path.t, path.y.T, strict=True):
            loss = float(np.sum((E - np.outer(x[:N], x[N:])) ** 2)) / 2
            rows.append({"panel": LOSS, "curve": curve, "seed": seed, "x": SIGMA * (when - shift), "y": loss})
        if seed == 0:
            spectral = np.zeros(2 * N)
            for name, model in (("line", (z, p, q, n)), ("spectral", (spectral, 2**0.5, 0.0, 0.0))):
                for when, loss in zip(t, closed_form(alpha, *model, t), strict=True):
                    x = SIGMA * (when - shift)
                    rows.append({"panel": LOSS, "curve": f"{name} {curve}", "seed": "", "x": x, "y": loss})
    return rows


def two_layers(alpha: float) -> list[dict[str, Any]]:
    """Return times for a direction within reach and one without, and the lower bound of the latter."""
    rows = []
    for name, mode in (("within", 0), ("outside", 3)):
        W = np.diag([1.0, 1.0, 1.0, 0.0])
        unit = np.eye(4)[mode]
        Y = W + np.outer(unit, unit)

        def flow(_: float, x: np.ndarray, W: np.ndarray = W, Y: np.ndarray = Y) -> np.ndarray:
            b1, a1, b2, a2 = x.reshape(4, 4)
            left, right = W + np.outer(b2, a2), W + np.outer(b1, a1)
            E = Y - left @ right
            G1, G2 = left.T @ E, E @ right.T
            return np.concatenate((G1 @ a1, G1.T @ b1, G2 @ a2, G2.T @ b2))

        def done(_: float, x: np.ndarray, W: np.ndarray = W, Y: np.ndarray = Y) -> float:
            b1, a1, b2, a2 = x.reshape(4, 4)
            return float(np.sum((Y - (W + np.outer(b2, a2)) @ (W + np.outer(b1, a1))) ** 2)) - 0.25

        done.terminal = True
        path = solve_ivp(
            flow, (0, 10 / alpha**2), alpha * np.tile(unit, 4), rtol=1e-9, atol=1e-12, method="LSODA", events=done
        )
        rows.append({"panel": ESCAPE, "curve": name, "seed": 0, "x": alpha, "y": path.t[-1]})
    rows.append({"panel": ESCAPE, "curve": "bound", "seed": "", "x": alpha, "y": (alpha**-2 - 4) / 2})
    rows.append({"panel": ESCAPE, "curve": "log", "seed": "", "x": alpha, "y": np.log(1 / alpha)})
    return rows


def compute(alpha: float) -> list[dict[str, Any]]:
    """Positive scales are the left panel's, negative ones the right panel's."""
    return one_adapter(alpha) if alpha > 0 else two_layers(-alpha)


def plot(rows: list[dict[str, Any]], published: list[dict[str, Any]]) -> Any:
    """Draw losses and times."""
    figure, ((left, right),) = plotting.grid(1, 2)
    for i, alpha in enumerate(ALPHAS):
        curve, style = f"alpha = {alpha:g}", {"color": plotting.COLOURS[i]}
        dots = [r for r in plotting.points(rows, panel=LOSS, curve=curve) if str(r["seed"]) == "0"]
        plotting.line(left, plotting.points(rows, panel=LOSS, curve=f"line {curve}"), "", **style)
        plotting.line(left, plotting.points(rows, panel=LOSS, curve=f"spectral {curve}"), "", ls=":", **style)
        plotting.dots(left, dots, rf"$\alpha = 10^{{{round(np.log10(alpha))}}}$", i)
    left.set(yscale="log", xlabel=r"$\sigma t - \log(1/\alpha)$", ylabel="loss")
    left.legend(loc="lower left")
    plotting.line(right, plotting.points(rows, panel=ESCAPE, curve="bound"), r"$(\alpha^{-2} - 4) / 2$", 1)
    plotting.line(right, plotting.points(rows, panel=ESCAPE, curve="log"), r"$\log(1/\alpha)$", 0)
    plotting.dots(right, plotting.points(rows, panel=ESCAPE, curve="outside"), "outside range and row space", 1)
    plotting.dots(right, plotting.points(rows, panel=ESCAPE, curve="within"), "within", 0)
    right.set(xscale="log", yscale="log", xlabel=r"scale $\alpha$ of the start", ylabel="time to a quarter of the loss")
    right.legend(loc="upper right")
    return figure
