r"""The rank of the certified optimum, against lambda.

Left: the last layer (query and value) of real transformers, N = 32 examples, two classes; the tasks of the figure of
the training curves. Right: Gaussian G, 32 x 32, random classes, five draws. Theorem 3.1 promises an optimum of rank r
with r(r+1)/2 <= d; here d = N, since cross-entropy of two logits sees their difference (dashed lines). The rank is
the number of singular values of the update above 1e-8 of the largest; the data has the ratio of the two at the cut,
``gap``, and the number of singular values of the dual matrix S within 1e-6 of lambda, ``multiplicity``, which bounds
the rank of every optimum. The relative duality gap is at most 1e-9, where rounding allows it.
"""

from typing import Any

import numpy as np
from shared.jang2024lora_tasks import NAMES, load

from lora_proofs import plotting
from lora_proofs.ntk import LinearizedProblem, solve, thresholds

CLAIMS = ("jang2024lora:theorem-3.1",)
SHARES = (0.7, 0.4, 0.2, 0.1, 0.04, 0.01, 0.004, 0.001)
SIDE = 32


def cases(quick: bool) -> list[dict[str, Any]]:
    """Return one case a task, and one a size and draw."""
    if quick:
        return [{"task": "Gaussian", "size": 8, "seed": 0}]
    gaussian = [{"task": "Gaussian", "size": size, "seed": seed} for size in (8, 32, 128) for seed in range(5)]
    return [{"task": task, "size": 32, "seed": 0} for task in NAMES] + gaussian


def compute(task: str, size: int, seed: int) -> list[dict[str, Any]]:
    """Return the rank at each lambda, and the bound."""
    real = task != "Gaussian"
    unit = load(task, 1.0, 40).problem if real else gaussian(size, seed)
    panel = "real transformers" if real else "Gaussian gradients"
    curve = task if real else f"N = {size}"
    blocks, labels = list(unit.blocks), unit.canonical_loss.labels
    rows = []
    for share in SHARES:
        problem = LinearizedProblem(blocks, unit.offsets, labels, "logistic", share * unit.lam_max)
        rank, gap, multiplicity, width = optimum(problem)
        columns = {"gap": gap, "multiplicity": multiplicity, "width": width}
        rows.append({"panel": panel, "curve": curve, "seed": seed, "x": share, "y": rank, **columns})
    bound = thresholds(unit)["existence"].rank
    for share in (SHARES[0], SHARES[-1]):
        columns = {"gap": "", "multiplicity": "", "width": ""}
        rows.append({"panel": panel, "curve": f"{curve}: bound", "seed": "", "x": share, "y": bound, **columns})
    return rows


def optimum(problem: LinearizedProblem) -> tuple[int, float, int, float]:
    """Return the rank, its spectral gap, the multiplicity of lambda in S, and the relative duality gap."""
    solution = solve(problem, gap=1e-9)
    # Singular values of u v^T, from the small factors of two QR factorisations.
    cores = [np.linalg.qr(u)[1] @ np.linalg.qr(v)[1].T for u, v in solution.factors if u.size]
    sizes = np.sort(np.concatenate([np.linalg.svd(core, compute_uv=False) for core in cores]))[::-1]
    rank = int(np.sum(sizes > 1e-8 * sizes[0]))
    below = max(sizes[rank] if rank < len(sizes) else 0.0, 1e-16 * sizes[0])
    S = problem.adjoint(problem.derivative(problem.rows(*map(list, zip(*solution.factors, strict=True)))))
    top = np.concatenate([np.linalg.svd(block, compute_uv=False) for block in S])
    return rank, sizes[rank - 1] / below, int(np.sum(top > (1 - 1e-6) * problem.lam)), solution.gap


def gaussian(size: int, seed: int) -> LinearizedProblem:
    """Return a logistic problem with standard normal gradients and random labels, at lambda = 1."""
    rng = np.random.default_rng([seed, size])
    G, labels = rng.standard_normal((size, 1, SIDE, SIDE)), rng.choice([-1.0, 1.0], size)
    return LinearizedProblem(G, np.zeros((size, 1)), labels, "logistic", 1.0)


def plot(rows: list[dict[str, Any]], published: list[dict[str, Any]]) -> Any:
    """Draw the two panels."""
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    figure, axes = plotting.grid(1, len(panels), height=2.4)
    for ax, panel in zip(axes[0], panels, strict=True):
        mine, real = plotting.points(rows, panel=panel), panel == "real transformers"
        curves = [c for c in dict.fromkeys(str(row["curve"]) for row in mine) if not c.endswith("bound")]
        for index, curve in enumerate(curves):
            bound = plotting.points(mine, curve=f"{curve}: bound")
            if not real or not index:
                plotting.line(ax, bound, "Theorem 3.1" if real else "", 6 if real else index, ls="--", lw=0.8)
            dodge = 1.06 ** (index - len(curves) / 2)  # equal ranks would cover each other
            drawn = [{**row, "x": row["x"] * dodge} for row in plotting.points(mine, curve=curve)]
            plotting.band(ax, drawn, NAMES.get(curve, curve), index)
        ax.set(xscale="log", xlabel=r"$\lambda/\lambda_{\max}$", title=panel)
        ax.set_ylim(0, (1.1 if real else 1.45) * max(float(row["y"]) for row in mine))
        ax.yaxis.get_major_locator().set_params(integer=True)
        ax.legend(fontsize=6, loc="center left" if real else "upper left")
    axes[0, 0].set_ylabel("rank of the optimum")
    return figure
