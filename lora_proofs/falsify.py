"""Search the instances of a claim for the one that comes closest to breaking it.

The instance space is the claim's own: the points of its grid, and the random numbers that its check draws. An
`Instance` fixes both; its *tape* holds the random numbers, one real coordinate for each, so that an optimiser can move
them. Every instance is judged by `verify`, and the search climbs on the ratio of the settled verdict, so what more
digits take back attracts it no longer than it takes to look.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.random import Generator, default_rng

from lora_proofs.claims import Case, Claim, Comparison, Params
from lora_proofs.values import Evidence, encode, read
from lora_proofs.verify import RTOL, Outcome, Verdict, verify

BUDGET = 1000
POPULATION = 16
FINALISTS = 3
"""How many points of the grid, those that came closest, have their random numbers optimised."""

ENOUGH = 10
"""Violations that end a search: each of a numerical kind costs the whole precision ladder."""

NEIGHBOURS = 4
NUDGE = 2.0**-40
"""Relative size of the perturbations under which a violation in double precision must stand still."""

_LAST = 1 - 2.0**-53
_WIDEST = 2**40
_LARGEST_NORMAL = 8.0


# ------------------------------------------------------------------------------------------- instances


class Tape(Generator):
    """A generator that takes its random numbers from a tape while that lasts, and from its source then.

    A tape holds one coordinate for each number: a standard normal variate itself, and the quantile in [0, 1) of one
    that is uniform on an interval or on a range of integers. Other distributions are drawn from the source. With an
    empty tape the numbers are those of the source.
    """

    def __init__(self, source: Generator, tape: Sequence[float] = ()) -> None:
        super().__init__(source.bit_generator)
        self._tape = np.asarray(tape, dtype=float)
        self._played: list[np.ndarray] = []
        self._kinds: list[np.ndarray] = []
        self._position = 0

    @property
    def coordinates(self) -> np.ndarray:
        """All coordinates so far: played back, they give the same numbers again."""
        return np.concatenate([np.empty(0), *self._played])

    @property
    def bounded(self) -> np.ndarray:
        """Which coordinates are quantiles."""
        return np.concatenate([np.empty(0, dtype=bool), *self._kinds])

    def _play(self, shape: tuple[int, ...], fresh: Callable[[int], np.ndarray], bounded: bool) -> Any:
        n = math.prod(shape)
        known = self._tape[self._position : self._position + n]
        known = np.clip(known, 0.0, _LAST) if bounded else known
        coordinates = np.concatenate([known, fresh(n - len(known))])
        self._position += n
        self._played.append(coordinates)
        self._kinds.append(np.full(n, bounded))
        return coordinates.reshape(shape)

    # The signatures are numpy's; a precision or an output array of the caller's own is left to numpy.

    def random(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Draw as numpy does."""
        if args or kwargs:
            return super().random(size, *args, **kwargs)
        return _unpack(self._play(_shape(size), super().random, bounded=True))

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """Draw as numpy does."""
        low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        return _unpack(low + (high - low) * np.asarray(self.random(_shape(size, low, high))))

    def standard_normal(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Draw as numpy does."""
        if args or kwargs:
            return super().standard_normal(size, *args, **kwargs)
        return _unpack(self._play(_shape(size), super().standard_normal, bounded=False))

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Draw as numpy does."""
        loc, scale = np.asarray(loc, dtype=float), np.asarray(scale, dtype=float)
        return _unpack(loc + scale * np.asarray(self.standard_normal(_shape(size, loc, scale))))

    def integers(
        self, low: Any, high: Any = None, size: Any = None, dtype: Any = np.int64, endpoint: bool = False
    ) -> Any:
        """Draw as numpy does."""
        first, stop = (0, low) if high is None else (low, high)
        plain = np.ndim(first) == np.ndim(stop) == 0 and np.dtype(dtype) == np.int64
        width = int(stop) + bool(endpoint) - int(first) if plain else 0
        if not 0 < width <= _WIDEST:
            return super().integers(low, high, size, dtype, endpoint)
        draw = super().integers
        # The middle of the cell: moving it by a rounding error leaves the integer as it is.
        cells = self._play(_shape(size), lambda n: (draw(0, width, n) + 0.5) / width, bounded=True)
        return (int(first) + np.floor(cells * width).astype(np.int64))[()]


def _unpack(x: np.ndarray) -> Any:
    """Return a Python float for what has no axes, as numpy's generators do."""
    return x if x.ndim else float(x)


def _shape(size: Any, *parameters: np.ndarray) -> tuple[int, ...]:
    if size is None:
        return np.broadcast_shapes(*(p.shape for p in parameters))
    return tuple(int(n) for n in np.atleast_1d(np.asarray(size, dtype=int)))


@dataclass(frozen=True)
class _TapedCase(Case):
    tape: tuple[float, ...] = ()

    @cached_property
    def rng(self) -> Tape:
        return Tape(Case(self.params, self.seed).rng, self.tape)


@dataclass(frozen=True)
class Instance:
    """One instance of a claim: a point of its grid, a seed, and the random numbers where they are not the seed's."""

    params: Params
    seed: int = 0
    tape: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data, with the tape as hexadecimal floats, which lose nothing."""
        return {"params": dict(self.params), "seed": self.seed, "tape": [x.hex() for x in self.tape]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Instance:
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError
            If it is anything else.
        """
        try:
            params, seed, tape = dict(data["params"]), data["seed"], tuple(map(float.fromhex, data["tape"]))
            if type(seed) is not int or not all(map(math.isfinite, tape)):
                raise ValueError("the seed is no integer, or the tape holds what is not finite")
            return cls(Case(params).params, seed, tape)
        except (KeyError, TypeError, AttributeError, OverflowError) as problem:
            raise ValueError(f"this is no instance with params, seed and tape ({problem})") from None


# ------------------------------------------------------------------------------------------- judgement


@dataclass(frozen=True)
class Finding:
    """An instance, its verdict, and how close that comes to the bound; more than 1 is beyond it."""

    instance: Instance
    verdict: Verdict
    ratio: float | None
    coordinates: np.ndarray = field(repr=False, compare=False, default_factory=lambda: np.empty(0))
    bounded: np.ndarray = field(repr=False, compare=False, default_factory=lambda: np.empty(0, dtype=bool))

    @property
    def rank(self) -> tuple[int, float]:
        """The order of the search: violations before all else, then by the ratio; what is unsettled comes last."""
        settled = {Outcome.FAILS: 2, Outcome.HOLDS: 1}.get(self.verdict.outcome, 0)
        return settled, -math.inf if self.ratio is None else self.ratio


def closeness(comparison: Comparison, rtol: float = RTOL) -> float:
    r"""Return how close a comparison comes to its bound: at most 1 where it holds, up to the tolerance.

    For ``measured <= bound`` this is measured / bound, and for ``measured >= bound`` it is bound / measured. A bracket
    counts with the end that is kinder to the claim. If both numbers are negative the quotient is inverted, and where a
    positive number is to be at most one that is not, the ratio is infinite. For ``measured = bound``, and where the
    bound is 0, it is the deviation in units of the tolerance, \|measured - bound\| / (rtol max(1, \|bound\|)); exact
    values, which are given no tolerance, are measured in the same unit.
    """
    measured, bound = read(comparison.measured), read(comparison.bound)
    if measured.doubt or bound.doubt:
        return math.nan
    above, below = measured.low - bound.high, bound.low - measured.high
    unit = Fraction(rtol) * max(Fraction(1), bound.size)
    if comparison.relation == "=":
        return _float(max(Fraction(0), above, below) / unit)
    if bound.size == 0:
        return _float((above if comparison.relation == "<=" else below) / unit)
    small, large = (measured.low, bound.high) if comparison.relation == "<=" else (bound.low, measured.high)
    return _quotient(small, large)


def _quotient(small: Fraction, large: Fraction) -> float:
    """Return small / large, which is above 1 exactly if small > large, whatever the signs are."""
    if small == large:
        return 1.0
    if large > 0:
        return _float(small / large)
    if small < 0 and large < 0:
        return _float(large / small)
    return math.inf if small > large else 0.0


def _float(x: Fraction) -> float:
    try:
        return float(x)
    except OverflowError:
        return math.copysign(math.inf, x)


def judge(claim: Claim, instance: Instance) -> Finding:
    """Judge a claim on one instance, by the precision ladder.

    A numerical violation is refuted by more digits only if the check computes with them. Where it stays in double
    precision whatever it is told, the violation has to stand still when the random numbers move by `NUDGE`, which is
    much more than rounding moves them; what rounding makes up scatters, and is *inconclusive*.
    """
    finding = _judge(claim, instance)
    verdict, comparison = finding.verdict, finding.verdict.comparison
    if verdict.outcome is not Outcome.FAILS or verdict.evidence is not Evidence.NUMERICAL or not comparison:
        return finding
    if "mpf" in (read(comparison.measured).dtype, read(comparison.bound).dtype) or not len(finding.coordinates):
        return finding
    if all(_stands(finding, neighbour) for neighbour in _neighbours(claim, finding)):
        return finding
    scatter = f"violated in double precision only, and not alike where the instance moves by {NUDGE:.0e}"
    return replace(finding, verdict=replace(verdict, outcome=Outcome.INCONCLUSIVE, reason=scatter))


def _judge(claim: Claim, instance: Instance) -> Finding:
    cases: list[_TapedCase] = []

    def check(case: Case) -> Comparison:
        cases.append(_TapedCase(case.params, case.seed, case.digits, instance.tape))
        return claim.check(cases[-1])

    verdict = verify(replace(claim, check=check), Case(instance.params, instance.seed))
    ratio = closeness(verdict.comparison, _tolerance(claim)) if verdict.comparison else math.nan
    rng = cases[-1].rng
    return Finding(instance, verdict, None if math.isnan(ratio) else ratio, rng.coordinates, rng.bounded)


def _tolerance(claim: Claim) -> float:
    return claim.tolerance[0] if claim.tolerance else RTOL


def _neighbours(claim: Claim, finding: Finding) -> Iterable[Finding]:
    rng = default_rng(0)
    for _ in range(NEIGHBOURS):
        moved = finding.coordinates * (1 + NUDGE * rng.standard_normal(len(finding.coordinates)))
        yield _judge(claim, Instance(finding.instance.params, finding.instance.seed, tuple(moved.tolist())))


def _stands(finding: Finding, neighbour: Finding) -> bool:
    """Tell whether the neighbour breaks the claim by the same amount, to a tenth."""
    if neighbour.verdict.outcome is not Outcome.FAILS or finding.ratio is None or neighbour.ratio is None:
        return False
    if finding.ratio == neighbour.ratio:
        return True
    return abs(neighbour.ratio - finding.ratio) <= abs(finding.ratio - 1) / 10


# ---------------------------------------------------------------------------------------------- search


@dataclass
class Search:
    """What a search found; it fills while the search runs.

    Attributes
    ----------
    claim : Claim
    worst : Finding or None
        None before the first instance is judged.
    outcomes : Counter
        How many instances had which outcome.
    interrupted : bool
    """

    claim: Claim
    worst: Finding | None = None
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    interrupted: bool = False

    @property
    def violated(self) -> bool:
        """Whether a violation was confirmed."""
        return self.outcomes[Outcome.FAILS] > 0

    @property
    def exit_code(self) -> int:
        """1 if a violation is confirmed and the claim is not recorded as false, otherwise 0."""
        return int(self.violated and not self.claim.false_as_printed)

    def record(self, finding: Finding) -> None:
        """Count an instance, and keep it if it is the worst so far."""
        self.outcomes[finding.verdict.outcome] += 1
        if self.worst is None or finding.rank > self.worst.rank:
            self.worst = finding

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
    random numbers themselves, at the points that came closest and from the seeds that did. `ENOUGH` violations end
    the search. A claim that draws nothing is tried on its grid, and that is all.

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
    """
    if type(budget) is not int or budget < 1:
        raise ValueError(f"budget is {budget!r}; pass the number of instances to judge, at least 1")
    search = Search(claim)

    def attempt(instance: Instance) -> Finding:
        if sum(search.outcomes.values()) >= budget or search.outcomes[Outcome.FAILS] >= ENOUGH:
            raise _Spent
        finding = judge(claim, instance)
        search.record(finding)
        progress(search)
        return finding

    try:
        arms = _try_seeds(claim, budget, seed, attempt)
        _move_random_numbers(arms, budget - sum(search.outcomes.values()), seed, attempt)
    except _Spent:
        pass
    except KeyboardInterrupt:
        search.interrupted = True
    return search


Attempt = Callable[[Instance], Finding]


def _try_seeds(claim: Claim, budget: int, seed: int, attempt: Attempt) -> list[list[Finding]]:
    """Return the findings at every point of the grid, the point that came closest first."""
    order = default_rng(seed).permutation(len(claim.grid))
    arms = [[attempt(Instance(claim.grid[i], seed))] for i in order]
    rounds = math.ceil(math.log2(len(arms))) + 1
    alive = list(arms) if claim.seeded else []
    for _ in range(rounds):
        for arm in alive:
            for _ in range(budget // (2 * rounds * len(alive))):
                arm.append(attempt(Instance(arm[0].instance.params, seed + len(arm))))
        alive.sort(key=_closest, reverse=True)
        median = [_closest(arm) for arm in alive[: (len(alive) + 1) // 2]]
        alive = [arm for arm in alive if _closest(arm) >= median[-1]]
    return sorted(arms, key=_closest, reverse=True)


def _closest(arm: list[Finding]) -> tuple[int, float]:
    return max(finding.rank for finding in arm)


def _move_random_numbers(arms: list[list[Finding]], budget: int, seed: int, attempt: Attempt) -> None:
    """Minimise minus the ratio over the tapes, at each of the finalists."""
    finalists = [arm for arm in arms if len(arm[0].coordinates)][:FINALISTS]
    for arm in finalists:
        share = budget // len(finalists)
        while len(arm) < POPULATION and share > 0:
            arm.append(attempt(Instance(arm[0].instance.params, seed + len(arm))))
            share -= 1
        if share >= POPULATION:
            _evolve(sorted(arm, key=lambda f: f.rank, reverse=True)[:POPULATION], share, seed, attempt)


def _evolve(parents: list[Finding], budget: int, seed: int, attempt: Attempt) -> None:
    from scipy.optimize import Bounds, differential_evolution

    best = parents[0]
    low = np.where(best.bounded, 0.0, -_LARGEST_NORMAL)
    high = np.where(best.bounded, _LAST, _LARGEST_NORMAL)
    n = len(best.coordinates)
    # A parent that drew fewer numbers is completed from the best one.
    tapes = [np.concatenate([p.coordinates[:n], best.coordinates[len(p.coordinates) :]]) for p in parents]

    def objective(tape: np.ndarray) -> float:
        return _cost(attempt(Instance(best.instance.params, best.instance.seed, tuple(tape.tolist()))))

    differential_evolution(
        objective, Bounds(low, high), init=np.clip(tapes, low, high),
        maxiter=budget // len(parents), seed=default_rng(seed), polish=False, tol=0, atol=-1,
    )  # fmt: skip


def _cost(finding: Finding) -> float:
    """Return a bounded decreasing function of the ratio: only the order counts, and infinities would not survive."""
    settled, ratio = finding.rank
    if settled == 0 or math.isnan(ratio):
        return 2.0
    return -math.copysign(1.0, ratio) if math.isinf(ratio) else -ratio / (1 + abs(ratio))
