"""The verdict on a claim at a case: what a comparison is worth, and the precision ladder behind it.

The type of a value says what it is evidence for; an author never declares it. All comparisons are made in
exact rational arithmetic, so none loses a digit.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any, NamedTuple

from lora_proofs.claims import Case, Check, Claim, Comparison, Control, OutOfScope, format_point
from lora_proofs.display import Readable, show
from lora_proofs.threads import Limit, one_thread
from lora_proofs.values import Evidence, Quantity, decode, encode, read

__all__ = ["LADDER", "RTOL", "Evidence", "Outcome", "Verdict", "verify"]

LADDER = (16, 32, 64)
SINGLE_DIGITS = 6
RTOL = 1e-8


class Outcome(StrEnum):
    """What became of a claim on a case."""

    HOLDS = "holds"
    FAILS = "fails"
    INCONCLUSIVE = "inconclusive"
    OUT_OF_SCOPE = "out of scope"


_USUAL = {"backend": Case.backend, "dtype": Case.dtype}


@dataclass(frozen=True, repr=False)
class Verdict(Readable):
    """The outcome of one claim, or of one negative control, on one case.

    Attributes
    ----------
    claim, kind, gap : str
        Label, kind and recorded gap of the claim.
    case : Case
        With the digits of the rung that settled the outcome.
    outcome : Outcome
    evidence : Evidence or None
        None when there is no comparison to read it off.
    comparison : Comparison or None
        With values in the form that JSON keeps: float, ``mpf``, ``Fraction`` (exact), int (a numerical
        rank), or a pair of these (a bracket).
    dtype, backend : str
        What the measured value was computed in, read off its type; empty when there is none. What was asked for is
        in the case.
    seconds : float
        Time spent, all rungs together. Not part of equality.
    negative_control : str or None
        Description of the control; None for a claim proper.
    reason : str
        Why the outcome is no plain *holds* or *fails*; one line.
    error : bool
        True when the check raised an exception or returned what is no comparison.
    """

    claim: str
    kind: str
    case: Case
    outcome: Outcome
    evidence: Evidence | None = None
    comparison: Comparison | None = None
    dtype: str = ""
    backend: str = ""
    seconds: float = field(default=0.0, compare=False)
    negative_control: str | None = None
    gap: str = ""
    reason: str = ""
    error: bool = False

    @property
    def digits(self) -> int:
        """The working precision that settled the outcome."""
        return self.case.digits

    @property
    def caught(self) -> bool | None:
        """Whether the negative control was caught; None for a claim proper."""
        if self.negative_control is None:
            return None
        return self.outcome in (Outcome.FAILS, Outcome.OUT_OF_SCOPE)

    @property
    def reproducer(self) -> str:
        """The command that runs this case alone."""
        return self.reproduce()

    def reproduce(self, path: str = "") -> str:
        """Return the command that runs this case alone, for a check file outside the checks folder too."""
        case = ["--case", format_point(self.case.params)] if self.case.params else []
        words = ["lora-proofs", "check", *filter(None, [path]), self.claim, *case]
        words += ["--seed", str(self.case.seed), "--seeds", "1"]
        words += ["--backend", self.case.backend] if self.case.backend != Case.backend else []
        words += ["--dtype", self.case.dtype] if self.case.dtype != Case.dtype else []
        return shlex.join(words)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain data, from which `from_json` makes an equal verdict."""
        measured, relation, bound = (
            (self.comparison.measured, self.comparison.relation, self.comparison.bound)
            if self.comparison
            else (None, None, None)
        )
        asked = {"backend": self.case.backend, "dtype": self.case.dtype}
        data = {
            "claim": self.claim,
            "kind": self.kind,
            "outcome": self.outcome.value,
            "evidence": self.evidence.value if self.evidence else None,
            "measured": encode(measured),
            "relation": relation,
            "bound": encode(bound),
            "params": dict(self.case.params),
            "seed": self.case.seed,
            "digits": self.digits,
            "dtype": self.dtype,
            "backend": self.backend,
            "seconds": self.seconds,
            "negative_control": self.negative_control,
            "caught": self.caught,
            "gap": self.gap,
            "reason": self.reason,
            "error": self.error,
        }
        return data if asked == _USUAL else {**data, "asked": asked}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Verdict:
        """Read what `to_json` wrote."""
        comparison = None
        if data["relation"] is not None:
            comparison = Comparison(decode(data["measured"]), data["relation"], decode(data["bound"]))
        return cls(
            claim=data["claim"],
            kind=data["kind"],
            case=Case(data["params"], data["seed"], data["digits"], **data.get("asked", {})),
            outcome=Outcome(data["outcome"]),
            evidence=Evidence(data["evidence"]) if data["evidence"] else None,
            comparison=comparison,
            dtype=data["dtype"],
            backend=data["backend"],
            seconds=data["seconds"],
            negative_control=data["negative_control"],
            gap=data["gap"],
            reason=data["reason"],
            error=data["error"],
        )

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        point = format_point(self.case.params)
        headline = f"{self.claim} at {point}{', ' if point else ''}seed {self.case.seed}: {self.outcome}"
        rows = {}
        if self.comparison:
            found = self.comparison
            rows["measured"] = f"{show(found.measured)}, claimed {found.relation} {show(found.bound)}"
            rows["evidence"] = f"{self.evidence}, {self.digits} digits"
        if self.negative_control is not None:
            rows["control"] = f"{self.negative_control} ({'caught' if self.caught else 'not caught'})"
        expected = self.outcome is Outcome.HOLDS if self.caught is None else self.caught
        rows |= {"gap": self.gap, "reason": self.reason, "again": "" if expected else self.reproducer}
        return headline, {name: text for name, text in rows.items() if text}


def _weigh(measured: Quantity, bound: Quantity) -> Evidence:
    """Name the evidence of a comparison: that of the measured value, unless the bound is weaker.

    A bracket is compared with a slack, so a bound that is a float costs it nothing.
    """
    pair = (measured.evidence, bound.evidence)
    if Evidence.NUMERICAL in pair and measured.evidence is not Evidence.CERTIFIED:
        return Evidence.NUMERICAL
    return Evidence.CERTIFIED if Evidence.CERTIFIED in pair else Evidence.EXACT


def _judge(measured: Quantity, relation: str, bound: Quantity, rtol: float) -> tuple[Outcome, str]:
    """Compare at one precision, with ``slack = rtol * max(1, |bound|)``, or none where both are exact."""
    if doubt := measured.doubt or bound.doubt:
        return Outcome.INCONCLUSIVE, doubt
    if _clearly_holds(measured.value, relation, bound.value, rtol):
        return Outcome.HOLDS, ""
    exact = _weigh(measured, bound) is Evidence.EXACT
    slack = Fraction(0) if exact else Fraction(rtol) * max(Fraction(1), bound.size)
    least, most = measured.low - bound.high, measured.high - bound.low
    not_above, above = most <= slack, least > slack
    not_below, below = least >= -slack, most < -slack
    holds = (not_above or relation == ">=") and (not_below or relation == "<=")
    fails = (above and relation != ">=") or (below and relation != "<=")
    if holds:
        return Outcome.HOLDS, ""
    return (Outcome.FAILS, "") if fails else (Outcome.INCONCLUSIVE, "the bracket straddles the bound")


def _clearly_holds(measured: Any, relation: str, bound: Any, rtol: float) -> bool:
    """Compare two floats with half the slack: what the rounding of this line could change is far from it."""
    if not type(measured) is type(bound) is float:
        return False
    excess, slack = measured - bound, rtol * max(1.0, abs(bound)) / 2
    return (relation == ">=" or excess <= slack) and (relation == "<=" or excess >= -slack)


def _moves(now: Quantity, before: Quantity, rtol: float) -> bool:
    """Tell whether more precision still changes a measured number; a bracket is certified at any rung."""
    if now.evidence is Evidence.CERTIFIED:
        return False
    return bool(before.doubt) or abs(now.low - before.low) > Fraction(rtol) * max(Fraction(1), now.size)


def verify(claim: Claim, case: Case, control: Control | None = None) -> Verdict:
    """Judge a claim, or one of its negative controls, on a case.

    The check runs with 16 digits, and where the claim is not met again with 32 and with 64. A violation
    counts as *fails* only if it is exact or certified, or is there at 64 digits while the measured value has stopped
    moving since 32; a check that computes with floats whatever ``case.digits`` says forgoes that protection. Where
    ``case.dtype`` is float32, that is tried first, and believed only if the claim holds.

    Parameters
    ----------
    claim : Claim
    case : Case
        Its digits are ignored: the ladder sets them, 6 of them standing for float32.
    control : Control, optional
        One of ``claim.controls``, to judge in place of the claim.

    Returns
    -------
    Verdict
        Also when the check raises: `OutOfScope` gives *out of scope*, any other exception *inconclusive* with
        ``error=True``.
    """
    with one_thread() as threads:
        return judge(claim, case, control, threads)


def judge(claim: Claim, case: Case, control: Control | None, threads: Limit) -> Verdict:
    """Do as `verify` does, where native libraries are already limited to one thread."""
    start = time.perf_counter()
    check = control.check if control else claim.check
    rtol = claim.tolerance[0] if claim.tolerance else RTOL
    digits, found = _climb(check, case, rtol, threads)
    return Verdict(
        claim=claim.label,
        kind=claim.kind,
        case=case if digits == case.digits else replace(case, digits=digits),
        outcome=found.outcome,
        evidence=found.evidence,
        comparison=found.comparison,
        dtype=found.measured.dtype if found.measured else "",
        backend=found.measured.backend if found.measured else "",
        seconds=time.perf_counter() - start,
        negative_control=control.description if control else None,
        gap=claim.gap,
        reason=found.reason,
        error=found.error,
    )


class _Finding(NamedTuple):
    """The part of a verdict that one rung of the ladder sees."""

    outcome: Outcome
    reason: str = ""
    evidence: Evidence | None = None
    comparison: Comparison | None = None
    measured: Quantity | None = None
    rigorous: bool = False
    error: bool = False

    @property
    def final(self) -> bool:
        """Whether more precision can change nothing: it holds, nothing is compared, or the violation is rigorous."""
        violated = self.outcome is Outcome.FAILS and self.rigorous
        return self.outcome is Outcome.HOLDS or violated or self.evidence in (Evidence.EXACT, None)


def _climb(check: Check, case: Case, rtol: float, threads: Limit) -> tuple[int, _Finding]:
    """Run the check with more and more digits until its outcome is final; return the digits that settled it."""
    if case.dtype == "float32":
        found = _look(check, Case(case.params, case.seed, backend=case.backend, dtype="float32"), rtol, threads)
        if found.outcome is Outcome.HOLDS:
            single = found.measured is not None and found.measured.dtype == "float32"
            return SINGLE_DIGITS if single else LADDER[0], found
    before: Quantity | None = None
    measured: Quantity | None = None
    for digits in LADDER:
        found = _look(check, Case(case.params, case.seed, digits, backend=case.backend), rtol, threads)
        if found.final:
            return digits, found
        before, measured = measured, found.measured
    if found.outcome is Outcome.FAILS and before and measured and _moves(measured, before, rtol):
        moving = f"violated, but the measured value still moves at {LADDER[-1]} digits"
        found = found._replace(outcome=Outcome.INCONCLUSIVE, reason=moving)
    return digits, found


def _look(check: Check, rung: Case, rtol: float, threads: Limit) -> _Finding:
    """Run the check once and judge what it returns."""
    threads.set_digits(rung.digits)
    found = _judge_once(check, rung, rtol)
    if threads.renew():  # the check itself loaded a library, and ran it on as many threads as that liked
        threads.set_digits(rung.digits)
        found = _judge_once(check, replace(rung), rtol)
    return found


def _judge_once(check: Check, rung: Case, rtol: float) -> _Finding:
    try:
        comparison = check(rung)
        if not isinstance(comparison, Comparison):
            raise TypeError(f"the check returned a {type(comparison).__name__}, not a Comparison")
        measured, bound = read(comparison.measured), read(comparison.bound)
    except OutOfScope as scope:
        return _Finding(Outcome.OUT_OF_SCOPE, _one_line(str(scope)))
    except Exception as problem:
        reason = _one_line(f"{type(problem).__name__}: {problem}")
        return _Finding(Outcome.INCONCLUSIVE, reason, error=True)
    outcome, reason = _judge(measured, comparison.relation, bound, rtol)
    kept = Comparison(measured.value, comparison.relation, bound.value)
    rigorous = Evidence.NUMERICAL not in (measured.evidence, bound.evidence)
    return _Finding(outcome, reason, _weigh(measured, bound), kept, measured, rigorous)


def _one_line(text: str) -> str:
    return " ".join(text.split())
