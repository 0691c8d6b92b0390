"""Where descent on r squares ends, from 40 random starts: one square is caught, two are not.

f(u) = |u_1^2 + ... + u_r^2 - p|^2 in the coefficient norm. Left: p of degree 10 is a sum of two squares, so its least
value is 0. Right: p of degree 10 is none, and f less the least value found is drawn. Each start is Gaussian; the 40
final values, of a trust-region method, are sorted. Values below 1e-28 (left) and 1e-16 (right) are drawn there.
The published experiments, at degrees up to a million, are not repeated.
"""

import numpy as np
from scipy.optimize import minimize

CLAIMS = ("legat2022univariate:theorem-1", "legat2022univariate:theorem-1-sharp")

D, STARTS = 5, 40


def target(kind):
    """Return the coefficients of p."""
    rng = np.random.default_rng(3)
    u = rng.standard_normal((2, D + 1))
    p = sum(np.convolve(row, row) for row in u)
    return p if kind == "sum of squares" else p - rng.uniform(2, 4, 2 * D + 1)


def cases(quick):
    """One case a polynomial and number of squares."""
    return [
        {"kind": kind, "r": r, "starts": 8 if quick else STARTS}
        for kind in ("sum of squares", "not a sum of squares")
        for r in (1, 2, 3)
    ]


def compute(kind, r, starts):
    """Sorted final values."""
    p, n = target(kind), D + 1

    def parts(x):
        u = x.reshape(r, n)
        q = sum(np.convolve(row, row) for row in u) - p
        M = np.hstack([np.array([np.pad(row, (a, D - a)) for a in range(n)]).T for row in u])
        return q, M

    def f(x):
        q, M = parts(x)
        return q @ q, 4 * M.T @ q

    def hessian(x):
        q, M = parts(x)
        return 8 * M.T @ M + 4 * np.kron(np.eye(r), q[np.add.outer(np.arange(n), np.arange(n))])

    ends = []
    for seed in range(starts):
        start = np.random.default_rng(seed).standard_normal(r * n)
        x = minimize(f, start, jac=True, hess=hessian, method="trust-exact", options={"gtol": 1e-12, "maxiter": 500}).x
        for _ in range(2):
            x = x - np.linalg.lstsq(hessian(x), f(x)[1], rcond=1e-9)[0]
        ends.append(float(f(x)[0]))
    return [{"panel": kind, "curve": f"r = {r}", "seed": "", "x": i + 1, "y": y} for i, y in enumerate(sorted(ends))]


def plot(rows, published):
    """Draw the sorted values."""
    from lora_proofs import plotting

    figure, axes = plotting.grid(columns=2)
    for ax, kind in zip(axes[0], ("sum of squares", "not a sum of squares"), strict=True):
        of_kind = plotting.points(rows, panel=kind)
        least, floor = (0.0, 1e-28) if kind == "sum of squares" else (min(row["y"] for row in of_kind), 1e-16)
        for index, r in enumerate((1, 2, 3)):
            curve = [{**row, "y": row["y"] - least} for row in plotting.points(of_kind, curve=f"r = {r}")]
            plotting.dots(ax, curve, f"r = {r}", index, floor=floor)
        ax.set(
            yscale="log", xlabel="start, sorted by its final value", title=f"p is {kind}".replace("is sum", "is a sum")
        )
        ax.legend(loc="center")
    axes[0, 0].set_ylabel("final $f_p(u)$")
    axes[0, 1].set_ylabel("final $f_p(u)$ less the least")
    return figure
