"""A claim or a control on one case, run again and again while something is changed."""

from __future__ import annotations

import math
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from types import CodeType
from typing import Any

from lora_proofs.judgement.audit.tracing import Places, Trace, caches_of, trace
from lora_proofs.judgement.cases import Case, Params
from lora_proofs.judgement.claims import Check, Claim, Control
from lora_proofs.judgement.ladder import LADDER, RTOL, Finding, Outcome, run_once
from lora_proofs.judgement.threads import Limit
from lora_proofs.judgement.verify import decide


class Raised(Exception):
    """The check raised."""


class TookTooLong(BaseException):
    """The check takes too long; no `Exception`, which the ladder would take for the check's own."""


@dataclass
class Run:
    """A claim, or one of its controls, on one case, at the digits that settle it."""

    claim: Claim
    control: Control | None
    params: Params
    digits: int
    seconds: float
    trace: Trace = field(default_factory=Trace)
    baseline: Finding = field(default_factory=lambda: Finding(Outcome.HOLDS))

    @property
    def check(self) -> Check:
        """The function that runs."""
        return self.control.check if self.control else self.claim.check

    def run_once(self, threads: Limit) -> Finding:
        """Run the check once, on the case made anew: a case keeps the state of its random numbers.

        Raises
        ------
        Raised
        """
        rtol = self.claim.tolerance[0] if self.claim.tolerance else RTOL
        found = run_once(self.check, Case(self.params, 0, self.digits), rtol, threads)
        if found.error:
            raise Raised(found.reason)
        return found

    def notices(self, found: Finding) -> bool:
        """Tell whether one run shows that the claim no longer holds, or that the control is no longer caught.

        A control that holds at some precision is not caught; whether one that does not hold is, `confirm` says.
        """
        return (found.outcome is Outcome.HOLDS) == (self.control is not None)

    def still_comes_out(self, threads: Limit) -> bool:
        """Tell by the whole ladder whether the claim still holds, or the control is still caught.

        Raises
        ------
        Raised
        """
        verdict = decide(self.claim, Case(self.params, 0), self.control, threads)
        if verdict.error:
            raise Raised(verdict.reason)
        return bool(verdict.caught) if self.control else verdict.outcome is Outcome.HOLDS


@dataclass
class Runs:
    """A claim and its controls, traced; ``uncaught`` are the controls that are caught on no case."""

    own: Run
    controls: list[Run]
    caches: dict[CodeType, list[Any]]
    uncaught: list[Control]

    @property
    def generators(self) -> set[CodeType]:
        """All functions that make instances."""
        return set().union(*(run.trace.generators for run in (self.own, *self.controls)))

    def apart(self, places: Places) -> list[Control]:
        """Return the controls that enter neither the claim's check nor a function of the check file that it calls."""
        functions = {code for code in self.own.trace.functions if places.kind(code) == "checks"} - self.generators
        entrances = functions | {getattr(self.own.check, "__code__", None)}
        return [run.control for run in self.controls if run.control and not run.trace.entered & entrances]


def trace_runs(claim: Claim, places: Places, threads: Limit) -> Runs | None:
    """Run a claim and its controls, the quick ones first, and note which functions they call.

    Nothing is returned for a claim that holds on no case.
    """
    own = on_smallest_case(claim, None, threads)
    if own is None:
        return None
    found = [(control, on_smallest_case(claim, control, threads)) for control in claim.controls]
    controls = sorted((run for _, run in found if run), key=lambda run: run.seconds)
    runs = Runs(own, controls, caches_of(places), [control for control, run in found if run is None])
    for run in (own, *controls):
        clear(runs.caches)
        run.trace = trace(partial(_note, run, threads), places, runs.caches)
    return runs


def _note(run: Run, threads: Limit) -> None:
    run.baseline = run.run_once(threads)


def clear(caches: Mapping[CodeType, Any]) -> None:
    """Forget what `functools.cache` keeps."""
    for wrappers in caches.values():
        for wrapper in wrappers:
            wrapper.cache_clear()


def on_smallest_case(claim: Claim, control: Control | None, threads: Limit) -> Run | None:
    """Find the case with the smallest numbers on which the claim holds, or its control is caught."""
    for params in sorted((control or claim).grid, key=_extent):
        verdict = decide(claim, Case(params, 0), control, threads)
        if verdict.caught if control else verdict.outcome is Outcome.HOLDS:
            return Run(claim, control, params, LADDER[0] if control else verdict.digits, verdict.seconds)
    return None


def _extent(params: Params) -> float:
    """Return the product of the numbers among the parameters, those in texts such as ``"4-4-2"`` too."""
    numbers = [float(n) for value in params.values() for n in re.findall(r"\d+(?:\.\d+)?", str(value))]
    return math.prod(1 + n for n in numbers)


def in_other_units(baseline: Finding, found: Finding, factor: Fraction) -> bool:
    """Tell whether both sides were multiplied by the same power of the factor, or left as they were."""
    before, after = (
        [x for side in (f.measured, f.bound) if side for x in (float(side.low), float(side.high))]
        for f in (baseline, found)
    )
    return len(before) == len(after) and any(
        all(math.isclose(x * float(factor) ** power, y, rel_tol=1e-9) for x, y in zip(before, after, strict=True))
        for power in (0, 1, 2, -1)
    )


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer by `TookTooLong`, where the system can do that."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
