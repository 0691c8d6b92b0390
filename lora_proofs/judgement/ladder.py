"""What a comparison is worth, and the precision ladder that tells a violation from rounding.

The type of a value says what it is evidence for; an author never declares it. All comparisons are made in exact
rational arithmetic, so none loses a digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from lora_proofs.judgement.cases import Case
from lora_proofs.judgement.claims import Check, Claim, Comparison, OutOfScope
from lora_proofs.judgement.rounding import DIRECTED, rounding
from lora_proofs.judgement.threads import Limit
from lora_proofs.judgement.values import Evidence, Quantity, read

LADDER = (16, 32, 64)
SINGLE_DIGITS = 6
RTOL = 1e-8

LARGE = 10
"""A violation is large if it exceeds what other roundings make of it by this factor."""

COMPILED = ("jax", "cupy")
"""Libraries that compute in threads, or on a device, of their own: no rounding of ours reaches them."""


class Outcome(StrEnum):
    """What became of a claim on a case."""

    HOLDS = "holds"
    FAILS = "fails"
    INCONCLUSIVE = "inconclusive"
    OUT_OF_SCOPE = "out of scope"


class Finding(NamedTuple):
    """What one run of a check shows."""

    outcome: Outcome
    reason: str = ""
    evidence: Evidence | None = None
    comparison: Comparison | None = None
    measured: Quantity | None = None
    bound: Quantity | None = None
    error: bool = False

    @property
    def final(self) -> bool:
        """Whether more precision can change nothing: it holds, nothing is compared, or the violation is rigorous."""
        violated = self.outcome is Outcome.FAILS and self.evidence is Evidence.CERTIFIED
        return self.outcome is Outcome.HOLDS or violated or self.evidence in (Evidence.EXACT, None)

    @property
    def violation(self) -> Fraction:
        """By how much the measured value is above the bound, as a positive number, or below it, as a negative one."""
        if self.measured is None or self.bound is None or self.comparison is None:
            return Fraction(0)
        above, below = self.measured.low - self.bound.high, self.measured.high - self.bound.low
        if self.comparison.relation == "=":
            return above if above > 0 else min(below, Fraction(0))
        return above if self.comparison.relation == "<=" else below


_WEAKNESS = {evidence: place for place, evidence in enumerate(Evidence)}


def weaker_evidence(measured: Quantity, bound: Quantity) -> Evidence:
    """Name the evidence of a comparison: that of its weaker side."""
    return max(measured.evidence, bound.evidence, key=_WEAKNESS.__getitem__)


def compare(measured: Quantity, relation: str, bound: Quantity, rtol: float) -> tuple[Outcome, str]:
    """Compare at one precision, with ``slack = rtol * max(1, |bound|)``, or none where both are exact."""
    if doubt := measured.doubt or bound.doubt:
        return Outcome.INCONCLUSIVE, doubt
    if _clearly_holds(measured.value, relation, bound.value, rtol):
        return Outcome.HOLDS, ""
    exact = weaker_evidence(measured, bound) is Evidence.EXACT
    slack = Fraction(0) if exact else Fraction(rtol) * max(Fraction(1), bound.size)
    least, most = measured.low - bound.high, measured.high - bound.low
    not_above, above = most <= slack, least > slack
    not_below, below = least >= -slack, most < -slack
    holds = (not_above or relation == ">=") and (not_below or relation == "<=")
    fails = (above and relation != ">=") or (below and relation != "<=")
    if holds:
        return Outcome.HOLDS, ""
    return (Outcome.FAILS, "") if fails else (Outcome.INCONCLUSIVE, "the bracket straddles the bound")


def _clearly_holds(measured: object, relation: str, bound: object, rtol: float) -> bool:
    """Compare two floats with half the slack: what the rounding of this line could change is far from it."""
    if not type(measured) is type(bound) is float:
        return False
    excess, slack = measured - bound, rtol * max(1.0, abs(bound)) / 2
    return (relation == ">=" or excess <= slack) and (relation == "<=" or excess >= -slack)


def with_more_digits(claim: Claim, check: Check, case: Case, threads: Limit) -> tuple[int, Finding]:
    """Run a check of the claim, its own or a control's, with more and more digits until its outcome is final.

    Returns
    -------
    digits : int
        Those that settled the outcome.
    found : Finding
    """
    rtol = claim.tolerance[0] if claim.tolerance else RTOL

    def run(digits: int, dtype: str = "float64") -> Finding:
        return run_once(check, replace(case, digits=digits, dtype=dtype), rtol, threads)

    if case.dtype == "float32":
        found = run(LADDER[0], "float32")
        if found.outcome is Outcome.HOLDS:
            single = found.measured is not None and found.measured.dtype == "float32"
            return SINGLE_DIGITS if single else LADDER[0], found
    rungs: list[Finding] = []
    for digits in LADDER:
        found = run(digits)
        if found.final:
            return digits, found
        rungs.append(found)
    if found.outcome is not Outcome.FAILS:
        return digits, found
    if _still_moves(rungs[-1], rungs[-2], rtol):
        moving = f"violated, but measured value or bound still moves at {LADDER[-1]} digits"
        return digits, found._replace(outcome=Outcome.INCONCLUSIVE, reason=moving)
    ignored = _same(rungs)  # the check ignores its digits, and has shown nothing at 64 that it did not at 16
    digits = LADDER[0] if ignored else digits
    if _in_doubles(found.measured) or (ignored and _in_doubles(found.bound)):
        found = _with_other_roundings(claim, check, replace(case, digits=digits, dtype="float64"), found, threads)
    return digits, found


def _sides(now: Finding, before: Finding) -> Iterator[tuple[Quantity, Quantity | None]]:
    """Pair each side of a comparison with the same side on another rung."""
    for side, earlier in ((now.measured, before.measured), (now.bound, before.bound)):
        if side is not None:
            yield side, earlier


def _same(rungs: list[Finding]) -> bool:
    """Tell whether every rung saw the same numbers."""
    sides = (pair for rung in rungs[1:] for pair in _sides(rung, rungs[0]))
    return all(before is not None and now.value == before.value for now, before in sides)


def _in_doubles(side: Quantity | None) -> bool:
    return side is not None and side.evidence is Evidence.NUMERICAL and side.dtype != "mpf"


def _still_moves(now: Finding, before: Finding, rtol: float) -> bool:
    """Tell whether more precision still changes a side, or the violation by an amount that is not small against it."""
    change = abs(now.violation - before.violation)
    return LARGE * change > abs(now.violation) or any(_side_moves(*sides, rtol) for sides in _sides(now, before))


def _side_moves(now: Quantity, before: Quantity | None, rtol: float) -> bool:
    if now.evidence is Evidence.CERTIFIED:  # what is proved stands at any rung
        return False
    if before is None or before.doubt:
        return True
    change = max(abs(now.low - before.low), abs(now.high - before.high))
    return change > Fraction(rtol) * max(Fraction(1), now.size)


def _with_other_roundings(claim: Claim, check: Check, case: Case, found: Finding, threads: Limit) -> Finding:
    """Let a violation in floats stand if it is large against what rounding down, up and toward zero make of it.

    The signed violation is looked at: rounding errors turn it around, which its absolute value would not show.
    """
    rtol = claim.tolerance[0] if claim.tolerance else RTOL
    if not DIRECTED or {case.backend, *(module for module, _ in claim.requires)} & {*COMPILED}:
        untried = "violated in doubles, whose rounding cannot be changed here; compute with case.digits, or rigorously"
        return found._replace(outcome=Outcome.INCONCLUSIVE, reason=untried)
    violations = [found.violation]
    for mode in DIRECTED:
        again = run_once(check, replace(case), rtol, threads, mode)
        if again.outcome is not Outcome.FAILS:
            break
        violations.append(again.violation)
    else:
        scatter = max(violations) - min(violations)
        if LARGE * scatter <= min(map(abs, violations)):
            return found
    scatters = "violated in doubles only, and not alike when they round up or down; compute with case.digits"
    return found._replace(outcome=Outcome.INCONCLUSIVE, reason=scatters)


def run_once(check: Check, rung: Case, rtol: float, threads: Limit, mode: int | None = None) -> Finding:
    """Run the check once and judge what it returns."""
    threads.set_digits(rung.digits)
    found = _run_and_compare(check, rung, rtol, mode)
    if threads.renew():  # the check itself loaded a library, and ran it on as many threads as that liked
        threads.set_digits(rung.digits)
        found = _run_and_compare(check, replace(rung), rtol, mode)
    return found


def _run_and_compare(check: Check, rung: Case, rtol: float, mode: int | None) -> Finding:
    try:
        with rounding(mode):
            comparison = check(rung)
        if not isinstance(comparison, Comparison):
            raise TypeError(f"the check returned a {type(comparison).__name__}, not a Comparison")
        measured, bound = read(comparison.measured), read(comparison.bound)
    except OutOfScope as scope:
        return Finding(Outcome.OUT_OF_SCOPE, _one_line(str(scope)))
    except Exception as problem:
        reason = _one_line(f"{type(problem).__name__}: {problem}")
        return Finding(Outcome.INCONCLUSIVE, reason, error=True)
    outcome, reason = compare(measured, comparison.relation, bound, rtol)
    kept = Comparison(measured.value, comparison.relation, bound.value)
    return Finding(outcome, reason, weaker_evidence(measured, bound), kept, measured, bound)


def _one_line(text: str) -> str:
    return " ".join(text.split())
