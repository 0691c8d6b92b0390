"""Mutation testing for checks: what could be wrong in a check without a verdict changing.

A claim is run on the smallest case on which it holds, and each of its controls on the smallest on which it is caught.
Of each function that the check calls (see `tracing`) what it returns is replaced, one replacement at a time
(see `replacements`), in the claim and in its controls. A replacement is *killed* if the claim then no longer
holds or a control is no longer caught, and a *survivor* if nothing is noticed. One after which the check raises, or
takes too long, is neither: it is counted apart. Multiples that merely measure in another unit, in that they multiply
both sides of every comparison, are not counted at all.

What the check itself returns is replaced as well, by a comparison that always holds. A control that enters the check
notices; where none does, it will do that some other replacement changes the comparison of the claim and of a control:
then the two share what makes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from lora_proofs.judgement.audit.explanations import Explanations, read_explanations
from lora_proofs.judgement.audit.replacements import FACTORS, HELD, SHIFTS, ZERO, replaced
from lora_proofs.judgement.audit.rerun import (
    Raised,
    Run,
    Runs,
    TookTooLong,
    clear,
    in_other_units,
    time_limit,
    trace_runs,
)
from lora_proofs.judgement.audit.tracing import Places, changed, functions_of
from lora_proofs.judgement.claims import Claim
from lora_proofs.judgement.collect import load
from lora_proofs.judgement.ladder import RTOL, Outcome
from lora_proofs.judgement.threads import Limit, one_thread
from lora_proofs.judgement.workers import Workers

PATIENCE = 4
"""A replacement may take so many times as long as claim and controls do, and some seconds besides."""
GRACE_SECONDS = 1.0


@dataclass(frozen=True)
class Survivor:
    """A replacement that no verdict notices; ``reason`` is its explanation, if there is one."""

    function: str
    place: str
    replacement: str
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        data = {"function": self.function, "place": self.place, "replacement": self.replacement}
        return data | ({"explained": self.reason} if self.reason else {})


@dataclass
class Audit:
    """What became of the replacements in one claim; ``skipped`` says why there are none.

    ``notes`` say what is wrong with the controls, apart from that.
    """

    claim: str
    replacements: int = 0
    killed: int = 0
    raised: list[Survivor] = field(default_factory=list)
    survivors: list[Survivor] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: str = ""
    seconds: float = 0.0

    @property
    def unexplained(self) -> list[Survivor]:
        """The survivors without a reason."""
        return [survivor for survivor in self.survivors if not survivor.reason]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        data: dict[str, Any] = {"claim": self.claim, "replacements": self.replacements, "killed": self.killed}
        data |= {"raised": len(self.raised), "survivors": [survivor.to_json() for survivor in self.survivors]}
        data |= {"notes": self.notes} if self.notes else {}
        return data | ({"skipped": self.skipped} if self.skipped else {})


def audit(claim: Claim, path: Path, explanations: Explanations | None = None) -> Audit:
    """Replace what the functions that a claim's check calls return, and see whether that is noticed.

    Parameters
    ----------
    claim : Claim
    path : Path
        The check file or package folder that it stands in.
    explanations : Explanations, optional
        From `read_explanations`, by default.
    """
    start = time.perf_counter()
    explanations = explanations or read_explanations(path)
    places = Places(path, frozenset(explanations.instances))
    found = Audit(claim.label, skipped=_reason_to_skip(claim))
    if not found.skipped:
        with one_thread() as threads:
            if runs := trace_runs(claim, places, threads):
                found.notes = _notes(runs, places, explanations)
                _Auditor(runs, places, explanations, found, threads).audit()
            else:
                found.skipped = "it holds on no case"
    found.seconds = time.perf_counter() - start
    return found


def notes(claim: Claim, path: Path, explanations: Explanations | None = None) -> list[str]:
    """Say what is wrong with a claim's controls, apart from what replacements show; a line each.

    Every control enters the claim's check, or a function of the check file that the check calls and that makes no
    instance; one of them at least fails. See `audit` for the parameters.
    """
    explanations = explanations or read_explanations(path)
    places = Places(path, frozenset(explanations.instances))
    if _reason_to_skip(claim):
        return []
    with one_thread() as threads:
        runs = trace_runs(claim, places, threads)
    return _notes(runs, places, explanations) if runs else ["it holds on no case"]


def _notes(runs: Runs, places: Places, explanations: Explanations) -> list[str]:
    explained = explanations.controls.get(runs.own.claim.label, {})
    lines = [f"the control {control.description!r} is caught on no case" for control in runs.uncaught]
    for control in runs.apart(places):
        if control.description not in explained:
            lines.append(f"the control {control.description!r} enters no function that the check calls")
    if not any(run.baseline.outcome is Outcome.FAILS for run in runs.controls):
        lines.append("no control fails")
    return lines


def _reason_to_skip(claim: Claim) -> str:
    if claim.false_as_printed:
        return "it is recorded as false"
    return f"it needs {claim.missing[0][0]}" if claim.missing else ""


@dataclass
class _Auditor:
    """The audit of one claim, under way."""

    runs: Runs
    places: Places
    explanations: Explanations
    found: Audit
    threads: Limit
    shared: bool = False  # a function was found that makes a comparison of the claim and one of a control

    def audit(self) -> None:
        """Try every replacement."""
        claim, trace = self.runs.own.claim, self.runs.own.trace
        checks = {getattr(check, "__code__", None) for check in (claim.check, *(c.check for c in claim.controls))}
        called = {code: f for code, f in trace.functions.items() if code not in self.runs.generators | checks}
        for code, functions in functions_of(called).items():
            for name in filter(partial(self._is_worth_trying, code), called[code].names):
                self._try(functions, name, self.runs.caches if called[code].cached else {})
        if isinstance(claim.check, FunctionType):
            self._try([claim.check], HELD, {})

    def _is_worth_trying(self, code: CodeType, name: str) -> bool:
        """Tell whether a replacement changes any value.

        Where the function returns zero here and no control calls it, zero is tried: nothing shows that it is not always
        zero. An inequality with room to spare does not notice that a bracket is shifted by a little.
        """
        if name in SHIFTS and not (
            self.runs.own.baseline.comparison and self.runs.own.baseline.comparison.relation == "="
        ):
            return False
        differs = [run.trace.functions[code].names.get(name, False) for run in self._callers(code)]
        return any(differs) if name == ZERO and len(differs) > 1 else differs[0] or name == ZERO

    def _callers(self, code: CodeType) -> list[Run]:
        """Return the runs that call a function, the claim's first."""
        return [run for run in (self.runs.own, *self.runs.controls) if code in run.trace.functions]

    def _try(self, functions: list[FunctionType], name: str, caches: Mapping[CodeType, Any]) -> None:
        """Replace what a function returns."""
        claim, code = self.runs.own.claim, functions[0].__code__
        place = Survivor(self.places.name(code), self.places.place(code), name)
        change = partial(replaced, name=name, rtol=claim.tolerance[0] if claim.tolerance else RTOL)
        seconds = PATIENCE * sum(run.seconds for run in (self.runs.own, *self.runs.controls)) + GRACE_SECONDS
        try:
            with time_limit(seconds), changed(functions, change, self.places, self.runs.generators), _emptied(caches):
                killed = self._is_killed(FACTORS.get(name)) or (functions == [claim.check] and self.shared)
        except (Raised, TookTooLong):
            self.found.raised.append(place)
        except _ChangeOfUnits:
            return
        else:
            self.found.killed += killed
            if not killed:
                reason = self.explanations.of(claim.label, place.function, name)
                self.found.survivors.append(replace(place, reason=reason))
        self.found.replacements += 1

    def _is_killed(self, factor: Fraction | None) -> bool:
        """Tell whether a run does not come out as it should: quick looks first."""
        own = self.runs.own
        found = own.run_once(self.threads)
        if own.notices(found):
            self.shared = self.shared or (own.baseline != found and self._moves_a_control())
            return True
        findings, problem = [(own, found)], None
        for run in self.runs.controls:
            try:
                findings.append((run, run.run_once(self.threads)))
            except Raised as raised:
                problem = raised
                continue
            if run.notices(findings[-1][1]):
                self.shared = True
                return True
        if problem:
            raise problem
        moved = any(run.baseline.measured != found.measured for run, found in findings)
        if factor and moved and all(in_other_units(run.baseline, found, factor) for run, found in findings):
            raise _ChangeOfUnits
        return not all(run.still_comes_out(self.threads) for run, _ in findings)

    def _moves_a_control(self) -> bool:
        """Tell whether what is replaced now makes the measured value, or the bound, of a control too."""
        for run in self.runs.controls:
            try:
                if run.run_once(self.threads) != run.baseline:
                    return True
            except (Raised, TookTooLong):
                continue
        return False


class _ChangeOfUnits(Exception):
    """Measured value and bound are multiplied by the same number wherever they change: no verdict could notice."""


@contextmanager
def _emptied(caches: Mapping[Any, list[Any]]) -> Iterator[None]:
    """Forget what was computed before, and what is computed meanwhile."""
    clear(caches)
    try:
        yield
    finally:
        clear(caches)


def audit_all(
    claims: Sequence[tuple[Path, str]], workers: Workers | None, progress: Callable[[str], object] = lambda label: None
) -> Iterator[Audit]:
    """Audit claims, each given by its check file and its label, on workers from `lora_proofs.judgement.workers`.

    Audits are yielded in the order in which they end.
    """
    if workers is None:
        for given in claims:
            progress(given[1])
            yield _work(given)
        return
    from concurrent.futures import as_completed

    slot = next(iter(workers.slots()))
    for future in as_completed([workers.submit(slot, _work, given) for given in claims]):
        yield future.result()


_loaded: dict[Path, dict[str, Claim]] = {}


def _work(given: tuple[Path, str]) -> Audit:
    path, label = given
    if path not in _loaded:
        _loaded[path] = {claim.label: claim for _, paper in load(path) for claim in paper.claims}
    return audit(_loaded[path][label], path)
