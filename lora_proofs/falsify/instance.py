"""One instance of a claim, and how close it comes to breaking it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

from lora_proofs.claims import Case, Claim, Comparison, Params
from lora_proofs.falsify.rounding import DIRECTED, rounding
from lora_proofs.falsify.tape import Tape
from lora_proofs.values import Evidence, read
from lora_proofs.verify import RTOL, Outcome, Verdict, verify


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


@dataclass(frozen=True)
class Finding:
    """An instance, its verdict, how close that comes to the bound (more than 1 is beyond it), and what it drew."""

    instance: Instance
    verdict: Verdict
    ratio: float | None
    rng: Tape = field(repr=False, compare=False)

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
        return math.inf if x > 0 else -math.inf


def judge(claim: Claim, instance: Instance) -> Finding:
    """Judge a claim on one instance, by the precision ladder and, where that cannot tell, by directed rounding.

    More digits refute a numerical violation only if the check computes with them. Where it stays in double precision
    whatever ``case.digits`` says, the violation has to stand, by the same amount to a tenth, when the check rounds
    down, up and toward zero (`rounding`). What rounding makes up scatters, and is *inconclusive*; so is what cannot be
    tried, for want of the modes.
    """
    finding = _judge(claim, instance)
    verdict, comparison = finding.verdict, finding.verdict.comparison
    if verdict.outcome is not Outcome.FAILS or verdict.evidence is not Evidence.NUMERICAL or not comparison:
        return finding
    if "mpf" in (read(comparison.measured).dtype, read(comparison.bound).dtype):
        return finding
    if DIRECTED and all(_stands(claim, finding, mode) for mode in DIRECTED):
        return finding
    scatter = "violated in double precision only, and not alike when it rounds up or down; compute with case.digits"
    return replace(finding, verdict=replace(verdict, outcome=Outcome.INCONCLUSIVE, reason=scatter))


def _judge(claim: Claim, instance: Instance) -> Finding:
    cases: list[_TapedCase] = []

    def check(case: Case) -> Comparison:
        cases.append(_TapedCase(case.params, case.seed, case.digits, instance.tape))
        return claim.check(cases[-1])

    verdict = verify(replace(claim, check=check), Case(instance.params, instance.seed))
    ratio = closeness(verdict.comparison, _tolerance(claim)) if verdict.comparison else math.nan
    return Finding(instance, verdict, None if math.isnan(ratio) else ratio, cases[-1].rng)


def _tolerance(claim: Claim) -> float:
    return claim.tolerance[0] if claim.tolerance else RTOL


def _stands(claim: Claim, finding: Finding, mode: int) -> bool:
    """Tell whether the claim is broken by the same amount, to a tenth, when everything is rounded in one direction."""

    def check(case: Case) -> Comparison:
        with rounding(mode):
            return claim.check(case)

    again = _judge(replace(claim, check=check), finding.instance)
    if again.verdict.outcome is not Outcome.FAILS or finding.ratio is None or again.ratio is None:
        return False
    return again.ratio == finding.ratio or abs(again.ratio - finding.ratio) <= abs(finding.ratio - 1) / 10
