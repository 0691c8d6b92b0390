"""Mutation testing for checks: what could be wrong in a check without a verdict changing.

A claim is run on the smallest case on which it holds, and each of its controls on the smallest on which it is caught.
Of each function that the check calls (`lora_proofs.tracing`) what it returns is replaced, one replacement at a time
(`lora_proofs.replacements`), in the claim and in its controls. A replacement is *killed* if the claim then no longer
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

from lora_proofs.claims import Claim
from lora_proofs.collect import load
from lora_proofs.explanations import Explanations, read_explanations
from lora_proofs.replacements import FACTORS, HELD, SHIFTS, ZERO, replaced
from lora_proofs.rerun import Raised, RanAway, Run, at_most, in_other_units, smallest
from lora_proofs.threads import Limit, one_thread
from lora_proofs.tracing import Function, Places, caches_of, changed, functions_of

PATIENCE = 10
"""A replacement may take so many times as long as claim and controls do, and some seconds besides."""
GRACE_SECONDS = 2.0


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
    """What became of the replacements in one claim; ``skipped`` says why there are none."""

    claim: str
    replacements: int = 0
    killed: int = 0
    raised: list[Survivor] = field(default_factory=list)
    survivors: list[Survivor] = field(default_factory=list)
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
    found = Audit(claim.label)
    with one_thread() as threads:
        found.skipped = _reason_to_skip(claim)
        if not found.skipped:
            _Auditor(claim, Places(path, frozenset(explanations.instances)), explanations, found, threads).audit()
    found.seconds = time.perf_counter() - start
    return found


def _reason_to_skip(claim: Claim) -> str:
    if claim.false_as_printed:
        return "it is recorded as false"
    return f"it needs {claim.missing[0][0]}" if claim.missing else ""


@dataclass
class _Auditor:
    """The audit of one claim, under way."""

    claim: Claim
    places: Places
    explanations: Explanations
    found: Audit
    threads: Limit
    own: Run = field(init=False)
    controls: list[Run] = field(init=False)
    makers: set[CodeType] = field(init=False)
    seconds: float = field(init=False)
    shared: bool = False  # a function was found that makes a comparison of the claim and one of a control

    def audit(self) -> None:
        """Try every replacement."""
        claim, threads = self.claim, self.threads
        own = smallest(claim, None, threads)
        if own is None:
            self.found.skipped = "it holds on no case"
            return
        controls = [run for control in claim.controls if (run := smallest(claim, control, threads))]
        self.own, self.controls = own, sorted(controls, key=lambda run: run.seconds)
        runs = [own, *self.controls]
        self.seconds = PATIENCE * sum(run.seconds for run in runs) + GRACE_SECONDS
        caches = caches_of(self.places)
        for run in runs:
            _clear(caches)
            run.follow(self.places, caches, threads)
        self.makers = set().union(*(run.trace.makers for run in runs))
        checks = {getattr(check, "__code__", None) for check in (claim.check, *(c.check for c in claim.controls))}
        called = {code: f for code, f in own.trace.functions.items() if code not in self.makers | checks}
        objects = functions_of(called)
        for code, functions in objects.items():
            for name in _names(called[code], own):
                self._try(functions, name, caches if called[code].cached else {})
        if isinstance(claim.check, FunctionType):
            self._try([claim.check], HELD, {})

    def _try(self, functions: list[FunctionType], name: str, caches: Mapping[CodeType, Any]) -> None:
        """Replace what a function returns."""
        code = functions[0].__code__
        place = Survivor(self.places.name(code), self.places.place(code), name)
        change = partial(replaced, name=name)
        try:
            with at_most(self.seconds), changed(functions, change, self.places, self.makers), _emptied(caches):
                killed = self._is_killed(FACTORS.get(name)) or (functions == [self.claim.check] and self.shared)
        except (Raised, RanAway):
            self.found.raised.append(place)
        except _ChangeOfUnits:
            return
        else:
            self.found.killed += killed
            if not killed:
                reason = self.explanations.of(self.claim.label, place.function, name)
                self.found.survivors.append(replace(place, reason=reason))
        self.found.replacements += 1

    def _is_killed(self, factor: Fraction | None) -> bool:
        """Tell whether a run does not come out as it should: quick looks first."""
        found = self.own.look(self.threads)
        if self.own.notices(found):
            self.shared = self.shared or (self.own.usual != found and self._moves_a_control())
            return True
        findings = [(self.own, found)]
        for run in self.controls:
            findings.append((run, run.look(self.threads)))
            if run.notices(findings[-1][1]):
                self.shared = True
                return True
        moved = any(run.usual.measured != found.measured for run, found in findings)
        if factor and moved and all(in_other_units(run.usual, found, factor) for run, found in findings):
            raise _ChangeOfUnits
        return not all(run.confirm(self.threads) for run, _ in findings)

    def _moves_a_control(self) -> bool:
        """Tell whether what is replaced now makes the measured value, or the bound, of a control too."""
        for run in self.controls:
            try:
                if run.look(self.threads) != run.usual:
                    return True
            except (Raised, RanAway):
                continue
        return False


class _ChangeOfUnits(Exception):
    """Measured value and bound are multiplied by the same number wherever they change: no verdict could notice."""


def _names(function: Function, run: Run) -> Iterator[str]:
    """Yield the replacements worth trying: zero always, since the usual value may be zero on this case alone.

    An inequality that has room to spare does not notice that a bracket is shifted by a little.
    """
    equality = run.usual.comparison is not None and run.usual.comparison.relation == "="
    for name, differs in function.names.items():
        if name == ZERO or (differs and (equality or name not in SHIFTS)):
            yield name


def _clear(caches: Mapping[Any, list[Any]]) -> None:
    for wrappers in caches.values():
        for wrapper in wrappers:
            wrapper.cache_clear()


@contextmanager
def _emptied(caches: Mapping[Any, list[Any]]) -> Iterator[None]:
    """Forget what was computed before, and what is computed meanwhile."""
    _clear(caches)
    try:
        yield
    finally:
        _clear(caches)


def audit_all(
    claims: Sequence[tuple[Path, str]], workers: Any, progress: Callable[[str], object] = lambda label: None
) -> Iterator[Audit]:
    """Audit claims, each given by its check file and its label, on workers from `lora_proofs.workers`.

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
