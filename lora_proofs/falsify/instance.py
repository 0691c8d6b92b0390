"""One instance of a claim, and how close it comes to breaking it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.random import default_rng

from lora_proofs.falsify.tape import Reel, Tape
from lora_proofs.judgement.cases import Case, Params
from lora_proofs.judgement.claims import Claim, Comparison
from lora_proofs.judgement.values import Evidence, read
from lora_proofs.judgement.verify import RTOL, Outcome, Verdict, verify


@dataclass(frozen=True)
class _TapedCase(Case):
    """A case whose random numbers, and those of the cases derived from it, are on one reel."""

    reel: Reel = field(default_factory=Reel, kw_only=True, repr=False, compare=False)

    @cached_property
    def rng(self) -> Tape:
        case = Case(self.params, self.seed)
        return Tape(case.rng, self.reel, key=repr((sorted(case.params.items()), case.seed)))


@dataclass(frozen=True)
class Instance:
    """One instance of a claim: a point of its grid, a seed, and the random numbers where they are not the seed's.

    Examples
    --------
    >>> Instance.from_json(Instance({"n": 2}, 7, (0.5,)).to_json())
    Instance(params={'n': 2}, seed=7, tape=(0.5,))
    """

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


@dataclass(frozen=True)
class Evaluation:
    """An instance, its verdict, how close that comes to the bound (more than 1 is beyond it), and what it drew."""

    instance: Instance
    verdict: Verdict
    ratio: float | None
    reel: Reel = field(repr=False, compare=False)

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

    Examples
    --------
    >>> closeness(Comparison(3.0, "<=", 4.0)), closeness(Comparison(3.0, ">=", 4.0))
    (0.75, 1.3333333333333333)
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


def _float(number: Fraction) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


NEIGHBOURS = 3
STEP = 1e-3
"""How many instances nearby must be violations, too, and how far their random numbers are from the first one's."""


def evaluate(claim: Claim, instance: Instance) -> Evaluation:
    """Judge a claim on one instance, by `verify`, and measure how close it comes to its bound.

    A violation that was seen in doubles alone must be there at the instance's neighbours. A search that maximises what
    is rounding ends where all roundings agree, such as half-way between two floats; a step aside, they do not.
    """
    evaluation = _evaluate_once(claim, instance)
    verdict = evaluation.verdict
    in_doubles = verdict.evidence is Evidence.NUMERICAL and verdict.digits == Case.digits
    if verdict.outcome is not Outcome.FAILS or not in_doubles:
        return evaluation
    if all(_evaluate_once(claim, near).verdict.outcome is Outcome.FAILS for near in _neighbours(evaluation)):
        return evaluation
    alone = "violated in doubles, and not at the instances nearby; compute with case.digits"
    return replace(evaluation, verdict=replace(verdict, outcome=Outcome.INCONCLUSIVE, reason=alone))


def _neighbours(evaluation: Evaluation) -> Iterator[Instance]:
    """Move all random numbers of an instance by a little, up or down."""
    tape, (low, high) = evaluation.reel.coordinates, evaluation.reel.bounds()
    signs = default_rng(0).choice([-1.0, 1.0], (NEIGHBOURS, len(tape)))
    for moved in np.clip(tape + STEP * signs, low, high):
        yield replace(evaluation.instance, tape=tuple(moved.tolist()))


def _evaluate_once(claim: Claim, instance: Instance) -> Evaluation:
    reels: list[Reel] = []

    def check(case: Case) -> Comparison:
        reels.append(Reel(instance.tape))
        given = {name: getattr(case, name) for name in ("params", "seed", "digits", "backend", "dtype")}
        return claim.check(_TapedCase(**given, reel=reels[-1]))

    verdict = verify(replace(claim, check=check), Case(instance.params, instance.seed))
    rtol = claim.tolerance[0] if claim.tolerance else RTOL
    ratio = closeness(verdict.comparison, rtol) if verdict.comparison else math.nan
    return Evaluation(instance, verdict, None if math.isnan(ratio) else ratio, reels[-1])
