"""Guiding a narrow Gaussian by a wide one: standard deviation and mean of what the guided flow samples.

Base N(0, 1), adapted model N(1, s^2), probability-flow equation from noise variance 10^6. Left, s = 0.3: the geometric
mean s^gamma (line), the tilted density p_0^(1-gamma) p_1^gamma (dashed), and the flow integrated from two points
(dots). Right: mean against gamma for four s; lines by quadrature, dots by integration, dashed the linear
extrapolation. Not a published figure.
"""

from typing import Any

import numpy as np
from scipy.integrate import quad, solve_ivp

from lora_proofs import plotting

CLAIMS = ("kasymov2024autolora:theorem-variance", "kasymov2024autolora:formula-mean")
GAMMAS = tuple(float(x) for x in np.linspace(-0.5, 3, 15))
WIDTHS = (1.0, 0.6, 0.3, 0.1)
START = 1e6
STD, MEAN = "standard deviation", "mean"


def cases(quick: bool) -> list[dict[str, Any]]:
    """One case a width."""
    return [{"s": s} for s in WIDTHS[2 if quick else 0 :]]


def flow(s: float, gamma: float) -> tuple[float, float]:
    """Return mean and standard deviation at tau = 0 from the images of 0 and sqrt(START)."""

    def velocity(u: float, x: np.ndarray) -> np.ndarray:
        tau = np.exp(u) - 1e-9
        return np.exp(u) * ((1 - gamma) * x / (1 + tau) + gamma * (x - 1) / (s * s + tau)) / 2

    ends = solve_ivp(
        velocity, (np.log(START), np.log(1e-9)), [0.0, START**0.5], rtol=1e-8, atol=1e-10, method="LSODA"
    ).y
    return float(ends[0, -1]), float(ends[1, -1] - ends[0, -1])


def mean(s: float, gamma: float) -> float:
    """Return the mean by quadrature of the linear equation, in u = log(tau + s^2)."""

    def integrand(u: float) -> float:
        tau = np.exp(u) - s * s
        return gamma / 2 * np.exp(-gamma * u / 2) * (1 + tau) ** ((gamma - 1) / 2)

    integral = quad(integrand, 2 * np.log(s), 2 * np.log(s) + 60, limit=200)[0]
    return float(s**gamma * integral)


def compute(s: float) -> list[dict[str, Any]]:
    """Integrate over gamma."""
    rows: list[dict[str, Any]] = []
    for gamma in GAMMAS:
        m, std = flow(s, gamma)
        if s == 0.3:
            rows.append({"panel": STD, "curve": "flow", "seed": 0, "x": gamma, "y": std})
        rows.append({"panel": MEAN, "curve": f"flow {s:g}", "seed": 0, "x": gamma, "y": m})
        rows.append({"panel": MEAN, "curve": f"s = {s:g}", "seed": "", "x": gamma, "y": mean(s, gamma)})
    for gamma in np.linspace(-0.5, 3, 71) if s == 0.3 else ():
        rows.append({"panel": STD, "curve": "geometric", "seed": "", "x": gamma, "y": s**gamma})
        precision = 1 - gamma + gamma / s**2
        if precision > 0.1:
            rows.append({"panel": STD, "curve": "tilted", "seed": "", "x": gamma, "y": precision**-0.5})
    return rows


def plot(rows: list[dict[str, Any]], published: list[dict[str, Any]]) -> Any:
    """Draw standard deviations and means."""
    figure, ((left, right),) = plotting.grid(1, 2)
    plotting.line(left, plotting.points(rows, panel=STD, curve="geometric"), r"$s_0^{1-\gamma} s_1^{\gamma}$")
    plotting.line(left, plotting.points(rows, panel=STD, curve="tilted"), "tilted density", 1, ls="--")
    plotting.dots(left, plotting.points(rows, panel=STD, curve="flow"), "guided flow", 0)
    left.set(xlabel=r"guidance $\gamma$", ylabel="standard deviation", yscale="log")
    left.legend(loc="upper right")
    right.plot((-0.5, 3), (-0.5, 3), "--", color="0.5", lw=0.8, label="linear")
    for i, s in enumerate(WIDTHS):
        plotting.line(right, plotting.points(rows, panel=MEAN, curve=f"s = {s:g}"), "", i)
        plotting.dots(right, plotting.points(rows, panel=MEAN, curve=f"flow {s:g}"), f"$s_1 = {s:g}$", i)
    right.set(xlabel=r"guidance $\gamma$", ylabel="mean")
    right.legend(loc="lower right")
    return figure
