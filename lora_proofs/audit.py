"""Mutation testing for checks: what could be wrong in a check without a verdict changing.

A claim is run on the smallest case on which it holds, and each of its controls on the smallest on which it is caught.
Of each function that the check calls (`lora_proofs.tracing`) what it returns is replaced, one replacement at a time
(`lora_proofs.replacements`), in the claim and in its controls. A replacement is *killed* if the claim then no longer
holds or a control is no longer caught, and a *survivor* if nothing is noticed. One after which the check raises, or
takes too long, is neither: it is counted apart. Survivors that cannot be helped are explained in ``audit.toml`` beside
the check files::

    [instances]  # functions that make instances, though they draw no random numbers
    "zeng2024expressive.pairs.sizes" = "reads the shape off the case"

    [[survivors]]  # replacement and claims may be left out, for all of them
    function = "lora_proofs.exact.rank"
    replacement = "times 1000"
    claims = ["zeng2024expressive:lemma-1"]
    reason = "..."

    [controls]  # controls that enter no function of the claim's check
    "zeng2024expressive:lemma-1" = { "singular layers" = "..." }
"""

from __future__ import annotations

import signal
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lora_proofs.claims import Case, Check, Claim, Control, Params
from lora_proofs.collect import CollectError, load
from lora_proofs.ladder import RTOL, Outcome, look_once
from lora_proofs.replacements import replace
from lora_proofs.threads import Limit, one_thread
from lora_proofs.tracing import Places, Trace, caches_of, changed, functions_of, trace
from lora_proofs.verify import judge

PATIENCE = 10
"""A replacement may take so many times as long as the check does, and this many seconds besides."""
GRACE_SECONDS = 2.0


@dataclass(frozen=True)
class Explanations:
    """What ``audit.toml`` says."""

    instances: Mapping[str, str] = field(default_factory=dict)
    survivors: Sequence[Mapping[str, Any]] = ()
    controls: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, claim: str, function: str, replacement: str) -> str:
        """Return the reason why a survivor cannot be helped, or nothing."""
        for entry in self.survivors:
            fits = entry["function"] == function and entry.get("replacement", replacement) == replacement
            if fits and claim in entry.get("claims", [claim]):
                return str(entry["reason"])
        return ""


def read_explanations(checks: Path) -> Explanations:
    """Read the ``audit.toml`` beside a check file; without one, nothing is explained.

    Raises
    ------
    CollectError
        If it is malformed, in one line.
    """
    file = checks.parent / "audit.toml"
    if not file.is_file():
        return Explanations()
    try:
        table = tomllib.loads(file.read_text("utf-8"))
        if unknown := table.keys() - {"instances", "survivors", "controls"}:
            raise ValueError(f"has {', '.join(sorted(unknown))}; write instances, survivors, controls")
        for entry in table.get("survivors", ()):
            if not {"function", "reason"} <= entry.keys() <= {"function", "reason", "replacement", "claims"}:
                raise ValueError(f"survivor {entry} needs function and reason, and may have replacement and claims")
        return Explanations(**table)
    except (OSError, ValueError, TypeError) as problem:
        raise CollectError(f"cannot read {file}: {problem}") from None


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


@dataclass
class _Run:
    """A claim, or one of its controls, on the case that the audit takes; ``digits`` settled it, in ``seconds``."""

    claim: Claim
    control: Control | None
    params: Params
    digits: int
    seconds: float
    trace: Trace = field(default_factory=Trace)

    @property
    def check(self) -> Check:
        return self.control.check if self.control else self.claim.check

    def case(self) -> Case:
        """Return the case anew, since a case keeps the state of its random numbers."""
        return Case(self.params, 0, self.digits)

    def noticed(self, threads: Limit) -> bool:
        """Tell whether the run comes out otherwise than it should, at the digits that settled it.

        A control that holds at any precision is not caught; whether one that does not hold is caught, `confirm` says.

        Raises
        ------
        _Raised
        """
        rtol = self.claim.tolerance[0] if self.claim.tolerance else RTOL
        found = look_once(self.check, self.case(), rtol, threads)
        if found.error:
            raise _Raised(found.reason)
        return (found.outcome is Outcome.HOLDS) == (self.control is not None)

    def confirm(self, threads: Limit) -> bool:
        """Tell by the whole ladder whether the run comes out as it should.

        Raises
        ------
        _Raised
        """
        verdict = judge(self.claim, Case(self.params, 0), self.control, threads)
        if verdict.error:
            raise _Raised(verdict.reason)
        return bool(verdict.caught) if self.control else verdict.outcome is Outcome.HOLDS


class _Raised(Exception):
    """The check raised."""


class _RanAway(BaseException):
    """The check takes too long; no `Exception`, which the ladder would take for the check's own."""


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
            _audit(claim, Places(path, frozenset(explanations.instances)), explanations, found, threads)
    found.seconds = time.perf_counter() - start
    return found


def _reason_to_skip(claim: Claim) -> str:
    if claim.false_as_printed:
        return "it is recorded as false"
    return f"it needs {claim.missing[0][0]}" if claim.missing else ""


def _audit(claim: Claim, places: Places, explanations: Explanations, found: Audit, threads: Limit) -> None:
    runs = [_smallest(claim, control, threads) for control in (None, *claim.controls)]
    if runs[0] is None:
        found.skipped = "it holds on no case"
        return
    whole = [run for run in runs if run is not None]
    caches = caches_of(places)
    for run in whole:
        _clear(caches)
        run.trace = trace(partial(run.check, run.case()), places, caches)
    own, *controls = whole
    controls.sort(key=lambda run: run.seconds)
    makers = set().union(*(run.trace.makers for run in whole))
    called = {code: f for code, f in own.trace.functions.items() if code not in makers and not _is_check(code, claim)}
    objects = functions_of(called)
    for code, function in called.items():
        for name in function.names:
            if code not in objects or not (function.names[name] or name == "zero"):
                continue
            found.replacements += 1
            seconds = sum(run.seconds for run in whole) * PATIENCE + GRACE_SECONDS
            survivor = Survivor(places.name(code), places.place(code), name)
            try:
                with (
                    _at_most(seconds),
                    changed(objects[code], partial(replace, name=name), places, makers),
                    _emptied(caches if function.cached else {}),
                ):
                    killed = _killed(own, controls, threads)
            except (_Raised, _RanAway):
                found.raised.append(survivor)
                continue
            found.killed += killed
            if not killed:
                reason = explanations.of(claim.label, survivor.function, name)
                found.survivors.append(Survivor(survivor.function, survivor.place, name, reason))


def _is_check(code: Any, claim: Claim) -> bool:
    return any(getattr(check, "__code__", None) is code for check in (claim.check, *(c.check for c in claim.controls)))


def _killed(own: _Run, controls: list[_Run], threads: Limit) -> bool:
    """Tell whether the claim no longer holds or a control is no longer caught: quick looks first."""
    if own.noticed(threads) or any(run.noticed(threads) for run in controls):
        return True
    return not (own.confirm(threads) and all(run.confirm(threads) for run in controls))


def _smallest(claim: Claim, control: Control | None, threads: Limit) -> _Run | None:
    """Find the case with the smallest numbers on which the claim holds, or its control is caught."""
    source = control or claim
    for params in sorted(source.grid, key=_extent):
        verdict = judge(claim, Case(params, 0), control, threads)
        if verdict.caught if control else verdict.outcome is Outcome.HOLDS:
            return _Run(claim, control, params, 16 if control else verdict.digits, verdict.seconds)
    return None


def _extent(params: Params) -> float:
    """Return the product of the numbers among the parameters."""
    extent = 1.0
    for value in params.values():
        if isinstance(value, str):
            parts = [int(part) for part in value.replace("x", "-").split("-") if part.isdigit()]
            extent *= 1 + sum(parts)
        elif not isinstance(value, bool):
            extent *= 1 + abs(value)
    return extent


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


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer, where the system can do that."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise _RanAway

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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
