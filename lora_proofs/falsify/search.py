"""Successive halving over the points of the grid, then differential evolution of the random numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import default_rng

from lora_proofs.falsify.instance import Evaluation, Instance, evaluate
from lora_proofs.judgement.cases import Params
from lora_proofs.judgement.claims import Claim
from lora_proofs.judgement.values import Evidence, encode
from lora_proofs.judgement.verify import Outcome

BUDGET = 1000
POPULATION = 16
MUTATION = (0.2, 0.8)
"""Smaller steps than scipy's (0.5, 1): few generations are affordable, and these got further on all trial claims."""

FINALISTS = 3
"""How many points of the grid, those that came closest, have their random numbers optimised."""

ENOUGH = 10
"""Numerical violations that end a search: each costs the whole precision ladder."""


@dataclass
class Search:
    """What a search found; it fills while the search runs.

    Attributes
    ----------
    claim : Claim
    worst : Evaluation or None
        None before the first instance is judged.
    outcomes : Counter
        How many instances had which outcome.
    costly : int
        How many violations were numerical.
    errors : Counter
        How often the check raised what.
    interrupted : bool
    """

    claim: Claim
    worst: Evaluation | None = None
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    costly: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False

    @property
    def tried(self) -> int:
        """How many instances were judged."""
        return sum(self.outcomes.values())

    @property
    def violated(self) -> bool:
        """Whether a violation was confirmed."""
        return self.outcomes[Outcome.FAILS] > 0

    @property
    def exit_code(self) -> int:
        """1 if a violation is confirmed and the claim is not recorded as false, otherwise 0."""
        return int(self.violated and not self.claim.false_as_printed)

    def record(self, evaluation: Evaluation) -> None:
        """Count an instance, and keep it if it is the worst so far."""
        verdict = evaluation.verdict
        self.outcomes[verdict.outcome] += 1
        self.costly += verdict.outcome is Outcome.FAILS and verdict.evidence is Evidence.NUMERICAL
        self.errors.update([verdict.reason] if verdict.error else [])
        if self.worst is None or evaluation.rank > self.worst.rank:
            self.worst = evaluation

    def to_json(self) -> dict[str, Any]:
        """Return plain data; ``instance`` is what `Instance.from_json` reads."""
        worst = self.worst
        return {
            "schema": 1,
            "claim": self.claim.label,
            "ratio": encode(worst.ratio) if worst else None,
            "outcome": worst.verdict.outcome.value if worst else None,
            "instance": worst.instance.to_json() if worst else None,
            "verdict": worst.verdict.to_json() if worst else None,
            "outcomes": {outcome.value: count for outcome, count in sorted(self.outcomes.items())},
            "errors": dict(self.errors),
            "gap": self.claim.gap,
            "interrupted": self.interrupted,
        }


class _Spent(Exception):
    """The budget is spent, or enough violations are found."""


def falsify(
    claim: Claim, budget: int = BUDGET, seed: int = 0, progress: Callable[[Search], object] = lambda search: None
) -> Search:
    """Search a claim's instances for the largest ratio of measured value to bound.

    Half of the budget goes to seeds, by successive halving over the points of the grid (Jamieson & Talwalkar,
    arXiv:1502.07943v1; points that tie stay together). With the other half scipy's differential evolution moves the
    random numbers themselves, at the points that came closest and from the seeds that did. `ENOUGH` numerical
    violations end the search. A claim that draws nothing is tried on its grid, and that is all.

    Parameters
    ----------
    claim : Claim
    budget : int
        How many instances to judge.
    seed : int
        First seed of the instances; with it the search is reproducible.
    progress : callable
        Called with the search after every instance.

    Returns
    -------
    Search
        Also after Ctrl-C, with the worst instance so far and ``interrupted=True``.

    Raises
    ------
    ValueError
        If the budget is not a positive integer.

    Examples
    --------
    >>> from lora_proofs import Paper, at_most
    >>> PAPER = Paper(key="markov1884", title="Dissertation", authors=("A. Markov",), year=1884, arxiv="")
    >>> @PAPER.lemma("1", n=(1, 2))
    ... def lemma_1(case):
    ...     "For every x in [0, 1)^n: the mean of x is at most 1/2, which is false."
    ...     return at_most(float(case.rng.random(case["n"]).mean()), 0.5)
    >>> search = falsify(lemma_1, budget=40)
    >>> print(search.worst.verdict.outcome, search.worst.ratio > 1.5)
    fails True
    """
    if type(budget) is not int or budget < 1:
        raise ValueError(f"budget is {budget!r}; pass the number of instances to judge, at least 1")
    search = Search(claim)

    def attempt(instance: Instance) -> Evaluation:
        if search.tried >= budget or search.costly >= ENOUGH:
            raise _Spent
        evaluation = evaluate(claim, instance)
        search.record(evaluation)
        progress(search)
        return evaluation

    try:
        arms = _try_seeds(claim, budget // 2, seed, attempt)
        _move_random_numbers(arms, budget - search.tried, attempt)
        while claim.seeded:  # what the divisions left over
            for arm in arms:
                arm.pull(attempt)
    except _Spent:
        pass
    except KeyboardInterrupt:
        search.interrupted = True
    return search


Attempt = Callable[[Instance], Evaluation]


@dataclass
class _Arm:
    """A point of the grid: how many seeds were tried there, and the findings that came closest."""

    params: Params
    first_seed: int
    tried: int = 0
    best: list[Evaluation] = field(default_factory=list)

    @property
    def rank(self) -> tuple[int, float]:
        return self.best[0].rank

    def pull(self, attempt: Attempt) -> None:
        """Try the next seed."""
        self.best.append(attempt(Instance(self.params, self.first_seed + self.tried)))
        self.tried += 1
        self.best.sort(key=lambda evaluation: evaluation.rank, reverse=True)
        del self.best[POPULATION:]


def _try_seeds(claim: Claim, budget: int, seed: int, attempt: Attempt) -> list[_Arm]:
    """Return the points of the grid, the one that came closest first."""
    arms = [_Arm(claim.grid[i], seed) for i in default_rng(seed).permutation(len(claim.grid))]
    for arm in arms:
        arm.pull(attempt)
    alive = list(arms) if claim.seeded else []
    rounds = math.ceil(math.log2(len(arms))) + 1
    for _ in range(rounds):
        for arm in alive:
            for _ in range(budget // (rounds * len(alive))):
                arm.pull(attempt)
        alive.sort(key=lambda arm: arm.rank, reverse=True)
        better_half = alive[: (len(alive) + 1) // 2]
        alive = [arm for arm in alive if arm.rank >= better_half[-1].rank]
    return sorted(arms, key=lambda arm: arm.rank, reverse=True)


def _move_random_numbers(arms: list[_Arm], budget: int, attempt: Attempt) -> None:
    """Maximise the ratio over the tapes, at each of the finalists."""
    finalists = [arm for arm in arms if len(arm.best[0].reel.coordinates)][:FINALISTS]
    for arm in finalists:
        share = budget // len(finalists)
        while len(arm.best) < POPULATION <= share:
            arm.pull(attempt)
            share -= 1
        if len(arm.best) == POPULATION:
            _evolve(arm.best, share, arm.first_seed, attempt)


def _evolve(parents: list[Evaluation], budget: int, seed: int, attempt: Attempt) -> None:
    from scipy.optimize import Bounds, differential_evolution

    best = parents[0]
    drawn, (low, high) = best.reel.coordinates, best.reel.bounds()
    # A parent that drew fewer numbers is completed from the best one.
    tapes = [p.reel.coordinates[: len(drawn)] for p in parents]
    start = np.clip([np.concatenate([tape, drawn[len(tape) :]]) for tape in tapes], low, high)

    def objective(tape: np.ndarray) -> float:
        return _cost(attempt(Instance(best.instance.params, best.instance.seed, tuple(tape.tolist()))))

    generations = max(0, budget // len(parents) - 1)
    differential_evolution(  # atol = -1: a plateau is no reason to stop
        objective, Bounds(low, high), init=start, maxiter=generations, mutation=MUTATION,
        seed=default_rng(seed), polish=False, tol=0, atol=-1,
    )  # fmt: skip


def _cost(evaluation: Evaluation) -> float:
    """Return a bounded decreasing function of the ratio: only the order counts, and infinities would not survive."""
    settled, ratio = evaluation.rank
    if settled == 0 or math.isnan(ratio):
        return 2.0
    return -math.copysign(1.0, ratio) if math.isinf(ratio) else -ratio / (1 + abs(ratio))
