r"""Training the linearised last layer of real transformers: LoRA of rank 1 to 16 and full fine-tuning.

Columns: film reviews (Rotten Tomatoes) and questions with sentences of privacy policies, by MiniLM with prompts as
read-out; MNIST digits 3 and 8 by DINOv2 S/14, and English against Spanish prompts in one voice by Whisper tiny.en,
with a frozen Gaussian read-out. N = 32 examples, 16 a class, two logits, query and value weights of the last layer,
lambda = 0.05 lambda_max. Top: objective less the certified optimum of full fine-tuning; the dashed line is the width of
its certificate, below which nothing can be told. Middle: sigma_1(S)/lambda, S the gradient of the risk, which is 1 at
an optimum. Bottom: accuracy on 200 held-out examples; the dashed line is the certified optimum's.
LoRA by gradient descent on all examples with weight decay lambda on both factors, from u = 0 and v Gaussian of standard
deviation 1/(sqrt(r) n), in float32, evaluated in float64; full fine-tuning by accelerated proximal gradient from 0.
Steps: 1/L for full fine-tuning; for LoRA, at every rank, 1 / 2(lambda + |S|_F + c |(u, v)|_F^2), where c makes the
bracket at least the largest curvature at the optimum. The paper has constant steps, and RoBERTa, ViT and wav2vec2 on
other data; its curves are not given as numbers.
"""

from typing import Any

import numpy as np
from scipy.linalg import eigh, eigvalsh
from shared.jang2024lora_tasks import NAMES, Task, load

from lora_proofs import plotting
from lora_proofs.ntk import Solution, solve

CLAIMS = ("jang2024lora:theorem-4.1", "jang2024lora:figure-few-shot-descent")
SHARE = 0.05  # of lam_max
RANKS, SEEDS = (1, 2, 4, 8, 16), 5


def cases(quick: bool) -> list[dict[str, Any]]:
    """Return one case a task."""
    if quick:
        return [{"task": "docstrings", "steps": 100, "seeds": 1, "tests": 40}]
    return [{"task": task, "steps": 300, "seeds": SEEDS, "tests": 200} for task in NAMES if task != "docstrings"]


def compute(task: str, steps: int, seeds: int, tests: int) -> list[dict[str, Any]]:
    """Return excess, sigma_1(S)/lambda and test accuracy at 26 steps."""
    data = load(task, SHARE, tests)
    optimum = solve(data.problem, gap=1e-9)
    at = np.linspace(0, steps, 26).round().astype(int).tolist()
    rows = lora(data, optimum, at, seeds) + full(data, optimum, at)
    found = data.accuracy([(u @ v.T).ravel() for u, v in optimum.factors])
    for x in (0, steps):
        rows.append(("excess", "certificate", "", x, optimum.upper - optimum.lower))
        rows.append(("accuracy", "certified optimum", "", x, found))
    return [
        {"panel": f"{task}: {what}", "curve": curve, "seed": seed, "x": x, "y": y} for what, curve, seed, x, y in rows
    ]


def lora(data: Task, optimum: Solution, at: list[int], seeds: int) -> list[tuple[Any, ...]]:
    """Train all ranks and seeds by gradient descent side by side: one pass over the gradients serves all.

    The steps are taken in float32; what is recorded is computed in float64.
    """
    lam, (m, n) = data.problem.lam, data.problem.shapes[0]
    size = sum(float(np.vdot(x, x)) for pair in optimum.factors for x in pair)
    bend = max(0.0, top_curvature(data, optimum) - 2 * lam) / size
    runs = [(r, seed) for r in RANKS for seed in range(seeds)]
    start = {run: np.random.default_rng(run).standard_normal((2, n, run[0])) / (np.sqrt(run[0]) * n) for run in runs}
    u = {run: np.zeros((2, m, run[0]), np.float32) for run in runs}
    v = {run: x.astype(np.float32) for run, x in start.items()}
    single = data._replace(rows=[rows.astype(np.float32) for rows in data.rows])
    found: list[tuple[Any, ...]] = []
    for k in range(at[-1] + 1):
        if k in at:
            deltas = products(u, v, float)
            risks, S = slope(data, deltas)
            decay = [lam / 2 * sum(float(np.vdot(x, x)) for x in (u[run], v[run])) for run in runs]
            found += record(data, runs, k, risks + decay - optimum.lower, S, deltas)
        deltas = products(u, v, np.float32)
        S = slope(single, deltas)[1].reshape(2, len(runs), m, n)
        for i, run in enumerate(runs):
            pull = lam + float(np.linalg.norm(S[:, i]))
            step = 1 / (2 * (pull + bend * float(np.vdot(u[run], u[run]) + np.vdot(v[run], v[run]))))
            du, dv = lam * u[run] + S[:, i] @ v[run], lam * v[run] + S[:, i].swapaxes(1, 2) @ u[run]
            u[run], v[run] = u[run] - step * du, v[run] - step * dv
    return found


def products(u: dict[Any, Any], v: dict[Any, Any], dtype: Any) -> Any:
    """Return u v^T of every run, shape (2, runs, m n)."""
    made = [u[run].astype(dtype) @ v[run].astype(dtype).swapaxes(1, 2) for run in u]
    return np.stack(made, axis=1).reshape(2, len(made), -1)


def full(data: Task, optimum: Solution, at: list[int]) -> list[tuple[Any, ...]]:
    """Train delta itself by accelerated proximal gradient (Beck & Teboulle 2009), restarted where it overshoots."""
    problem = data.problem
    step = 4 * problem.N / np.linalg.norm(np.concatenate(data.rows, axis=1), 2) ** 2
    delta = ahead = np.zeros((2, 1, data.rows[0].shape[1]))
    t, sizes = 1.0, [0.0]
    rows: list[tuple[Any, ...]] = []
    for k in range(at[-1] + 1):
        if k in at:
            risks, S = slope(data, delta)
            value = risks + problem.lam * sum(sizes)
            rows += record(data, [("full", "")], k, value - optimum.lower, S, delta)
        _, S = slope(data, ahead)
        shrunk = [shrink(x.reshape(problem.shapes[0]), step * problem.lam) for x in ahead - step * S]
        new, sizes = np.stack([x.ravel() for x, _ in shrunk])[:, None], [size for _, size in shrunk]
        if np.vdot(ahead - new, new - delta) > 0:
            t = 1.0
        momentum = (t - 1) / ((1 + np.sqrt(1 + 4 * t * t)) / 2)
        t = (1 + np.sqrt(1 + 4 * t * t)) / 2
        ahead, delta = new + momentum * (new - delta), new
    return rows


def shrink(M: Any, tau: float) -> tuple[Any, float]:
    """Return the matrix whose singular values are those of M less tau, where that is positive, and their sum."""
    squares, V = eigh(M.T @ M, subset_by_value=(tau * tau, np.inf))
    s = np.sqrt(squares)
    return (M @ V * (1 - tau / s)) @ V.T, float(np.sum(s - tau))


def slope(data: Task, deltas: Any) -> tuple[Any, Any]:
    """Return the risk of each run, (runs,), and its gradient, (2, runs, m n), at updates (2, runs, m n)."""
    start = data.problem.offsets[:, 0] * data.problem.canonical_loss.labels
    margins = start + sum(delta @ rows.T for delta, rows in zip(deltas, data.rows, strict=True))
    q = (-1 / (1 + np.exp(margins)) / data.problem.N).astype(deltas.dtype)
    return np.logaddexp(0, -margins).mean(axis=1), np.stack([q @ rows for rows in data.rows])


def record(data: Task, runs: list[Any], k: int, excess: Any, S: Any, deltas: Any) -> list[tuple[Any, ...]]:
    """Return three rows a run."""
    matrices = S.reshape(*S.shape[:2], *data.problem.shapes[0])
    norms = np.array([max(spectral_norm(x) for x in pair) for pair in matrices.swapaxes(0, 1)])
    measured = {"excess": excess, "sigma": norms / data.problem.lam, "accuracy": data.accuracy(deltas)}
    names = [(f"r = {r}" if r != "full" else "full fine-tuning", seed) for r, seed in runs]
    return [(what, *name, k, y) for what, ys in measured.items() for name, y in zip(names, ys, strict=True)]


def spectral_norm(S: Any) -> float:
    """Return sigma_1(S), from the Gram matrix: a tenth of the time of an SVD, and exact enough for a curve."""
    top = len(S) - 1
    return float(np.sqrt(eigvalsh(S @ S.T, subset_by_index=[top, top])[0]))


def top_curvature(data: Task, optimum: Solution) -> float:
    """Return the largest eigenvalue of the Hessian of the LoRA objective at the optimum, by power iteration."""
    u, v = (np.stack([pad(pair[side]) for pair in optimum.factors]) for side in (0, 1))
    m, n, r, lam = u.shape[1], v.shape[1], u.shape[2], data.problem.lam
    deltas = (u @ v.swapaxes(1, 2)).reshape(2, 1, -1)
    start = data.problem.offsets[:, 0] * data.problem.canonical_loss.labels
    p = 1 / (1 + np.exp(start + sum(delta[0] @ rows.T for delta, rows in zip(deltas, data.rows, strict=True))))
    S = slope(data, deltas)[1].reshape(2, m, n)
    rng, top = np.random.default_rng(0), 0.0
    x, y = rng.standard_normal((2, m, r)), rng.standard_normal((2, n, r))
    for _ in range(100):
        size = np.sqrt(np.vdot(x, x) + np.vdot(y, y))
        x, y = x / size, y / size
        moved = (x @ v.swapaxes(1, 2) + u @ y.swapaxes(1, 2)).reshape(2, -1)
        w = p * (1 - p) / data.problem.N * sum(z @ rows.T for z, rows in zip(moved, data.rows, strict=True))
        H = np.stack([w @ rows for rows in data.rows]).reshape(2, m, n)
        x, y = lam * x + S @ y + H @ v, lam * y + S.swapaxes(1, 2) @ x + H.swapaxes(1, 2) @ u
        top = float(np.sqrt(np.vdot(x, x) + np.vdot(y, y)))
    return top


def pad(factor: Any) -> Any:
    """Return a factor with columns of zeros up to four."""
    return np.pad(factor, ((0, 0), (0, max(0, 4 - factor.shape[1]))))


def plot(rows: list[dict[str, Any]], published: list[dict[str, Any]]) -> Any:
    """Draw one column a task."""
    tasks = list(dict.fromkeys(str(row["panel"]).split(":")[0] for row in rows))
    figure, axes = plotting.grid(3, len(tasks), height=1.6, sharex=True, sharey="row" if len(tasks) > 1 else False)
    labels = {"excess": r"$L - P^*$", "sigma": r"$\sigma_1(S)/\lambda$", "accuracy": "test accuracy"}
    curves = [*(f"r = {r}" for r in RANKS), "full fine-tuning"]
    for column, task in zip(axes.T, tasks, strict=True):
        column[0].set_title(NAMES[task])
        for ax, what in zip(column, labels, strict=True):
            mine = plotting.points(rows, panel=f"{task}: {what}")
            for index, curve in enumerate(curves):
                plotting.band(ax, plotting.points(mine, curve=curve), curve, index, ms=2)
            for curve in ("certificate", "certified optimum"):
                if ends := plotting.points(mine, curve=curve):
                    plotting.line(ax, ends, curve, ls="--", lw=0.8)
            ax.set(yscale="linear" if what == "accuracy" else "log")
        column[1].axhline(1, color="k", lw=0.8, ls="--")
        column[-1].set_xlabel("step")
    for ax, label in zip(axes[:, 0], labels.values(), strict=True):
        ax.set_ylabel(label)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4)
    return figure
