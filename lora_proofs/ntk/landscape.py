r"""Where gradient descent ends: many runs from the standard LoRA initialisation, each ending certified.

A run is counted as caught in a trap only on evidence that no further training could undo: its end is a strict minimum
up to the gauge (`second_order`), and a point of the same rank with a lower objective is exhibited. An end above the
convex optimum for which no such point is known may simply be the best that rank r can do.

The question is the title of Jang, Lee & Ryu, arXiv 2402.11867v3; initialisation: Hu et al., arXiv 2106.09685v2.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lora_proofs.linalg import check_rank
from lora_proofs.ntk.hessian import Hessian, norm
from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.ntk.second_order import second_order
from lora_proofs.ntk.types import Blocks, FloatArray

_SETTLED = 1e-6
"""Relative gradient at which a run has settled; what is left to the minimum is Newton's business."""

_POLISHED = 1e-11
"""Relative gradient at which Newton's method stops: then `second_order` tells curvatures of 1e-7 |H| from 0."""

_NEWTON_STEPS = 50

_GAP = 1e-7
"""Relative differences of the objective from here on count; at lam = 0 relative to the risk at delta = 0."""


@dataclass(frozen=True, eq=False)
class Survey:
    """Endings of gradient descent on one problem, at one rank.

    Attributes
    ----------
    d, r : int
        Canonical rows of the problem, and the rank.
    endings : tuple of str, one a run
        "global": within 1e-7 of the certified optimum of full fine-tuning. "trap": a strict minimum, and a better point
        of rank r is known. "best known": a strict or degenerate minimum above that optimum, but no better point of rank
        r is known. "undecided": anything else, such as a degenerate point with a better one, or no stationary point.
    values : array (runs,)
        The objective at the ends.
    points : list of (u, v), one a run; lists of blocks
    lower, upper : float
        The certified bracket of the optimum of full fine-tuning.
    best : float
        The lowest objective known at rank r.
    """

    d: int
    r: int
    endings: tuple[str, ...]
    values: FloatArray
    points: list[tuple[Blocks, Blocks]]
    lower: float
    upper: float
    best: float

    def fraction(self, ending: str) -> float:
        """Return the share of runs with that ending."""
        return self.endings.count(ending) / len(self.endings)


def survey(
    problem: LinearizedProblem, rank: int, runs: int = 20, scale: float = 0.1, steps: int = 5000, seed: int = 0
) -> Survey:
    """Train LoRA `runs` times by gradient descent from its standard initialisation, and certify where each run ends.

    Parameters
    ----------
    problem : LinearizedProblem
        Small: its gradients are held as one dense array.
    rank : int
        Rank of every block.
    runs, steps, seed : int
    scale : float
        Standard deviation of the entries of v at the start; u starts at 0.

    Returns
    -------
    Survey

    Raises
    ------
    ValueError
        If rank or runs is not a positive whole number.
    """
    from lora_proofs.ntk.solvers.solve import solve

    if check_rank("r", rank) == 0 or check_rank("runs", runs) == 0:
        raise ValueError(f"r = {rank}, runs = {runs}; pass positive whole numbers")
    optimum = solve(problem)
    U, V = descend(problem, rank, np.random.default_rng(seed), runs=runs, scale=scale, steps=steps)
    points = [polish(problem, [u[k] for u in U], [v[k] for v in V]) for k in range(runs)]
    values = np.array([problem.objective(u, v) for u, v in points])
    reachable = all(u.shape[1] <= rank for u, _ in optimum.factors)
    best = float(min(values.min(), optimum.upper if reachable else np.inf))
    endings = tuple(
        _ending(problem, u, v, value, optimum.lower, best) for (u, v), value in zip(points, values, strict=True)
    )
    return Survey(problem.d, rank, endings, values, points, optimum.lower, optimum.upper, best)


def frequency_map(
    draw: Callable[[int, np.random.Generator], LinearizedProblem],
    sizes: Sequence[int],
    ranks: Sequence[int],
    runs: int = 20,
    seed: int = 0,
) -> Iterator[Survey]:
    """Yield a `survey` for each number of data and each rank: ``draw(N, rng)`` makes the problem, one for all ranks."""
    for N in sizes:
        problem = draw(N, np.random.default_rng([seed, N]))
        for r in ranks:
            yield survey(problem, r, runs=runs, seed=seed)


def descend(
    problem: LinearizedProblem, rank: int, rng: np.random.Generator, *, runs: int, scale: float, steps: int
) -> tuple[Blocks, Blocks]:
    """Return the ends (u, v) of gradient descent, shapes (runs, m_t, rank), (runs, n_t, rank), all runs in one batch.

    The step of each run is 1 / (lam + |S|_F + (bend/N) |A|^2 (|u|_F^2 + |v|_F^2)), by a bound on its Hessian, so that
    the objective falls without a line search. Stops early once all runs have settled.
    """
    U = [np.zeros((runs, m, rank)) for m, _ in problem.shapes]
    V = [scale * rng.standard_normal((runs, n, rank)) for _, n in problem.shapes]
    canonical = problem.canonical_loss.linear_rows
    A = [
        canonical(block.matvec(np.eye(n))).reshape(problem.d, -1)
        for block, (_, n) in zip(problem.blocks, problem.shapes, strict=True)
    ]
    bend = problem.canonical_loss.smoothness / problem.N * float(np.linalg.norm(np.concatenate(A, axis=1), 2)) ** 2
    # The losses see rows datum by datum: a batch of runs is one problem with as many times the data.
    single: Any = problem.canonical_loss
    loss = replace(single, labels=np.concatenate([single.labels] * runs))
    for _ in range(steps):
        deltas = [(u @ v.swapaxes(1, 2)).reshape(runs, -1) for u, v in zip(U, V, strict=True)]
        w = problem.w0 + sum(delta @ x.T for delta, x in zip(deltas, A, strict=True))
        q = loss.derivative(w.ravel()).reshape(runs, problem.d) / problem.N
        S = [(q @ x).reshape(runs, *shape) for x, shape in zip(A, problem.shapes, strict=True)]
        grad_u = [problem.lam * u + s @ v for u, v, s in zip(U, V, S, strict=True)]
        grad_v = [problem.lam * v + s.swapaxes(1, 2) @ u for u, v, s in zip(U, V, S, strict=True)]
        size, pull = _squares(U + V), problem.lam + np.sqrt(_squares(S))
        if (_squares(grad_u + grad_v) <= _SETTLED**2 * pull**2 * size).all():
            break
        step = (1 / (pull + bend * size))[:, None, None]
        U = [u - step * g for u, g in zip(U, grad_u, strict=True)]
        V = [v - step * g for v, g in zip(V, grad_v, strict=True)]
    return U, V


def polish(problem: LinearizedProblem, u: Blocks, v: Blocks) -> tuple[Blocks, Blocks]:
    """Return the stationary point near (u, v) that a Newton method reaches which only descends.

    Its step divides by the absolute curvatures, so that it leaves saddles, plus |gradient| / |(u, v)|, so that flat
    directions do not carry it off.
    """
    for _ in range(_NEWTON_STEPS):
        hessian = Hessian(problem, u, v)
        gradient, value = hessian.gradient(), problem.objective(u, v)
        length = float(np.linalg.norm(gradient))
        if length <= _POLISHED * hessian.gradient_scale():
            break
        curvatures, vectors = hessian.spectrum()
        step = vectors @ (gradient @ vectors / (np.abs(curvatures) + length / norm([*u, *v])))
        for t in 0.5 ** np.arange(30):
            trial = hessian.unpack(hessian.pack(u, v) - t * step)
            if problem.objective(*trial) <= value * (1 + 4 * np.finfo(float).eps):
                u, v = trial
                break
        else:
            break
    return u, v


def _ending(problem: LinearizedProblem, u: Blocks, v: Blocks, value: float, lower: float, best: float) -> str:
    scale = abs(value) if problem.lam else problem.risk(problem.w0)  # at lam = 0 the optimum may be 0
    if value - lower <= _GAP * scale:
        return "global"
    verdict = second_order(problem, u, v).verdict
    improvable = value - best > _GAP * scale
    if verdict == "strict minimum":
        return "trap" if improvable else "best known"
    return "best known" if verdict == "degenerate" and not improvable else "undecided"


def _squares(blocks: Any) -> FloatArray:
    """Return the sum of squares of each run."""
    return np.asarray(sum((x * x).sum(axis=(1, 2)) for x in blocks))
