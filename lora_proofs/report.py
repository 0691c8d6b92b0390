"""What a run found: as text, as JSON (schema 1) and as JUnit XML, and the exit code that follows from it."""

from __future__ import annotations

import json
import platform
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from lora_proofs import __version__
from lora_proofs.claims import Claim, format_point
from lora_proofs.collect import Selection, checks_folder
from lora_proofs.sweep import versions
from lora_proofs.verify import Evidence, Outcome, Verdict

# A claim that fails everywhere should not bury the other claims.
SHOWN_PER_CLAIM = 3


@dataclass(frozen=True)
class Line:
    """A line of the text report; ``style`` is one of head, good, doubt, bad, or empty."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class ClaimReport:
    """One claim with its verdicts and those of its controls.

    ``path`` is what a reproducing command must name beside the label: empty in the checks folder.
    """

    claim: Claim
    path: str
    verdicts: tuple[Verdict, ...]
    controls: tuple[Verdict, ...]

    @property
    def not_run(self) -> bool:
        """Whether the claim needs a package that is not installed."""
        return bool(self.claim.missing)

    @cached_property
    def outcomes(self) -> Counter[Outcome]:
        """How often each outcome came up, controls left out."""
        return Counter(verdict.outcome for verdict in self.verdicts)

    @property
    def problem(self) -> str:
        """What is wrong with the claim as a whole, though each verdict by itself may be in order."""
        if self.verdicts and self.outcomes[Outcome.OUT_OF_SCOPE] == len(self.verdicts):
            return "out of scope on every case"
        refuted = self.outcomes[Outcome.FAILS] or self.outcomes[Outcome.INCONCLUSIVE]
        if self.verdicts and self.claim.false_as_printed and not refuted:
            return "recorded as false as printed, yet it fails on no case"
        return ""

    def expected(self, verdict: Verdict) -> bool:
        """Tell whether a verdict is as it should be."""
        if verdict.error:
            return False
        if verdict.negative_control is not None:
            return bool(verdict.caught)
        if verdict.outcome is Outcome.FAILS:
            return self.claim.false_as_printed
        return verdict.outcome is not Outcome.INCONCLUSIVE

    @property
    def unexpected(self) -> list[Verdict]:
        """The verdicts that a reader must see."""
        return [verdict for verdict in (*self.verdicts, *self.controls) if not self.expected(verdict)]

    @property
    def exact(self) -> bool:
        """Whether exact evidence settles at least one case of the claim."""
        return any(v.evidence is Evidence.EXACT and self.expected(v) for v in self.verdicts)

    @property
    def sentence(self) -> str:
        """Outcome, evidence, controls and time in one line."""
        if self.not_run or not self.verdicts:
            return "not run"
        caught = sum(bool(verdict.caught) for verdict in self.controls)
        controls = f"{caught} of {_count(len(self.controls), 'control')} caught" if self.controls else "no control"
        seconds = sum(verdict.seconds for verdict in (*self.verdicts, *self.controls))
        return f"{self._finding}; {controls}; {seconds:.1f} s"

    @property
    def _finding(self) -> str:
        if self.problem:
            return f"error: {self.problem}"
        outside = self.outcomes[Outcome.OUT_OF_SCOPE]
        tried = len(self.verdicts) - outside
        holds = self.outcomes[Outcome.HOLDS]
        if holds == tried and self.claim.sampled:
            text = f"no counterexample in {tried} {'try' if tried == 1 else 'tries'}"
        elif holds == tried:
            text = f"holds on {holds} of {_count(tried, 'case')}"
        else:
            parts = [f"{outcome} on {self.outcomes[outcome]}" for outcome in _WORST_FIRST if self.outcomes[outcome]]
            text = f"{', '.join(parts)} of {_count(tried, 'case')}"
            text += " (false as printed, as recorded)" if self.claim.false_as_printed else ""
        evidence = Counter(verdict.evidence for verdict in self.verdicts if verdict.evidence)
        if len(evidence) == 1:
            text += f" ({next(iter(evidence))})"
        elif evidence:
            text += f" ({', '.join(f'{evidence[kind]} {kind}' for kind in Evidence if evidence[kind])})"
        return text + (f", out of scope on {outside} more" if outside else "")

    @property
    def style(self) -> str:
        """The style of the claim's line."""
        if self.not_run or not self.verdicts:
            return "doubt"
        bad = self.problem or any(v.outcome is not Outcome.INCONCLUSIVE or v.error for v in self.unexpected)
        return "bad" if bad else "doubt" if self.unexpected else "good"


_WORST_FIRST = (Outcome.FAILS, Outcome.INCONCLUSIVE, Outcome.HOLDS)


@dataclass(frozen=True)
class Report:
    """Everything that a run found.

    Attributes
    ----------
    selections : sequence of Selection
    verdicts : sequence of Verdict
        In the order of the plan.
    seconds : float
        Wall-clock time of the run.
    command : str
        The command line, for the record.
    """

    selections: Sequence[Selection]
    verdicts: Sequence[Verdict]
    seconds: float
    command: str = ""

    @cached_property
    def claims(self) -> list[ClaimReport]:
        """One entry for each claim that ran, or that lacks a package."""
        found: dict[str, list[Verdict]] = {}
        for verdict in self.verdicts:
            found.setdefault(verdict.claim, []).append(verdict)
        home = checks_folder()
        return [
            ClaimReport(
                claim,
                "" if selection.path.parent == home else str(selection.path),
                tuple(v for v in found.get(claim.label, ()) if v.negative_control is None),
                tuple(v for v in found.get(claim.label, ()) if v.negative_control is not None),
            )
            for selection in self.selections
            for claim in selection.claims
            if claim.label in found or claim.missing
        ]

    @cached_property
    def summary(self) -> dict[str, int]:
        """Counts of verdicts by outcome, of controls, of claims.

        A *fails* of a claim that is recorded as false counts under ``gaps_confirmed`` alone.
        """
        outcomes = sum((entry.outcomes for entry in self.claims), Counter[Outcome]())
        confirmed = sum(entry.outcomes[Outcome.FAILS] for entry in self.claims if entry.claim.false_as_printed)
        controls = [verdict for entry in self.claims for verdict in entry.controls]
        return {
            "holds": outcomes[Outcome.HOLDS],
            "fails": outcomes[Outcome.FAILS] - confirmed,
            "inconclusive": outcomes[Outcome.INCONCLUSIVE],
            "out_of_scope": outcomes[Outcome.OUT_OF_SCOPE],
            "controls": len(controls),
            "controls_caught": sum(bool(verdict.caught) for verdict in controls),
            "gaps_confirmed": confirmed,
            "errors": sum(v.error for v in self.verdicts) + sum(bool(entry.problem) for entry in self.claims),
            "not_run": sum(entry.not_run for entry in self.claims),
            "claims": sum(bool(entry.verdicts) for entry in self.claims),
            "claims_exact": sum(entry.exact for entry in self.claims),
        }

    def exit_code(self, strict: bool = False) -> int:
        """Return 0 when all is well, 1 when something fails, 3 for a mere inconclusive under `strict`."""
        counts = self.summary
        if counts["fails"] or counts["errors"] or counts["controls_caught"] < counts["controls"]:
            return 1
        return 3 if strict and counts["inconclusive"] else 0

    def lines(self) -> Iterator[Line]:
        """Write the text report."""
        yield from self._claim_lines()
        yield from self._section("Gaps recorded", ((e.claim.label, e.claim.gap) for e in self.claims))
        own = ((e.claim.label, e.claim.tolerance) for e in self.claims)
        yield from self._section("Own tolerances", ((n, f"{t[0]:g}, because {t[1]}" if t else "") for n, t in own))
        lacking = ((e.claim.label, e.claim.missing) for e in self.claims)
        needs = ((n, "; ".join(f"needs {m}: {how}" for m, how in missing)) for n, missing in lacking)
        yield from self._section("Not run", needs)
        yield from self._detail_lines()
        yield Line("")
        yield self._last_line()

    def _claim_lines(self) -> Iterator[Line]:
        width = max((len(_short(entry.claim)) for entry in self.claims), default=0)
        entries = {entry.claim.label: entry for entry in self.claims}
        for selection in self.selections:
            shown = [entries[claim.label] for claim in selection.claims if claim.label in entries]
            if shown:
                yield Line(f"{selection.paper.key}: {selection.paper.title}", "head")
            for entry in shown:
                yield Line(f"  {_short(entry.claim):{width}}  {entry.sentence}", entry.style)

    @staticmethod
    def _section(title: str, rows: Iterator[tuple[str, str]]) -> Iterator[Line]:
        filled = [(name, text) for name, text in rows if text]
        if filled:
            yield Line("")
            yield Line(title, "head")
            yield from (Line(f"  {name}: {text}") for name, text in filled)

    def _detail_lines(self) -> Iterator[Line]:
        for entry in self.claims:
            for verdict in entry.unexpected[:SHOWN_PER_CLAIM]:
                yield Line("")
                yield Line(describe(verdict), "doubt" if verdict.outcome is Outcome.INCONCLUSIVE else "bad")
                yield Line(f"  {verdict.reproduce(entry.path)}")
            if (more := len(entry.unexpected) - SHOWN_PER_CLAIM) > 0:
                yield Line(f"  and {more} more of {entry.claim.label}")

    def _last_line(self) -> Line:
        counts = self.summary
        share = f"{counts['claims_exact']} of {_count(counts['claims'], 'claim')}"
        share += f" ({counts['claims_exact'] / counts['claims']:.0%})" if counts["claims"] else ""
        text = (
            f"holds {counts['holds']}, fails {counts['fails']}, inconclusive {counts['inconclusive']}, "
            f"out of scope {counts['out_of_scope']}, errors {counts['errors']}; "
            f"{counts['controls_caught']} of {_count(counts['controls'], 'control')} caught; "
            f"{_count(counts['gaps_confirmed'], 'gap')} confirmed; {_count(counts['not_run'], 'claim')} not run; "
            f"exact evidence for {share}; {self.seconds:.1f} s"
        )
        return Line(text, "bad" if self.exit_code() else "doubt" if counts["inconclusive"] else "good")

    def json(self) -> str:
        """Write the report as JSON, schema 1."""
        data = {
            "schema": 1,
            "environment": {
                "lora-proofs": __version__,
                **versions(),
                "platform": platform.platform(),
                "command": self.command,
            },
            "summary": self.summary,
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
        }
        return json.dumps(data, indent=1, allow_nan=False) + "\n"

    def junit(self, strict: bool = False) -> str:
        """Write the report as JUnit XML: a suite a paper, a test case a verdict."""
        root = ET.Element("testsuites", name="lora-proofs")
        entries = {entry.claim.label: entry for entry in self.claims}
        for selection in self.selections:
            cases = [
                case
                for claim in selection.claims
                if claim.label in entries
                for case in _junit_cases(entries[claim.label], strict)
            ]
            tags = Counter(child.tag for case in cases for child in case)
            counts = {"failures": tags["failure"], "errors": tags["error"], "skipped": tags["skipped"]}
            suite = ET.SubElement(root, "testsuite", name=selection.paper.key, tests=str(len(cases)))
            suite.attrib.update({name: str(count) for name, count in counts.items()})
            suite.attrib["time"] = f"{sum(float(case.get('time', '0')) for case in cases):.3f}"
            suite.extend(cases)
        ET.indent(root)
        return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _junit_cases(entry: ClaimReport, strict: bool) -> Iterator[ET.Element]:
    claim = entry.claim
    for verdict in (*entry.verdicts, *entry.controls):
        case = ET.Element("testcase", classname=claim.label, name=_name(verdict), time=f"{verdict.seconds:.3f}")
        if tag := _junit_tag(entry, verdict, strict):
            child = ET.SubElement(case, tag, message=_clean(describe(verdict)))
            child.text = _clean(verdict.reproduce(entry.path))
        yield case
    whole = ET.Element("testcase", classname=claim.label, name="the claim as a whole", time="0.000")
    if entry.problem:
        ET.SubElement(whole, "error", message=_clean(entry.problem))
        yield whole
    if entry.not_run:
        needs = "; ".join(f"needs {module}: {command}" for module, command in claim.missing)
        ET.SubElement(whole, "skipped", message=_clean(needs))
        yield whole


def _junit_tag(entry: ClaimReport, verdict: Verdict, strict: bool) -> str:
    if verdict.error:
        return "error"
    if verdict.negative_control is None and verdict.outcome is Outcome.OUT_OF_SCOPE:
        return "skipped"
    if entry.expected(verdict):
        return ""
    doubtful = verdict.negative_control is None and verdict.outcome is Outcome.INCONCLUSIVE
    return "skipped" if doubtful and not strict else "failure"


def describe(verdict: Verdict) -> str:
    """Say in one line what became of a claim on a case, with the numbers."""
    control = f", control {verdict.negative_control!r} not caught" if verdict.caught is False else ""
    text = f"{verdict.claim} at {_name(verdict, with_control=False)}{control}: {verdict.outcome}"
    if verdict.comparison:
        found = verdict.comparison
        text += f": measured {show(found.measured)}, claimed {found.relation} {show(found.bound)}"
        text += f" ({verdict.evidence}, {verdict.digits} digits)"
    return text + (f": {verdict.reason}" if verdict.reason else "")


def show(value: Any) -> str:
    """Write a value shortly, for people; JSON keeps all of it."""
    if isinstance(value, tuple):
        return f"[{show(value[0])}, {show(value[1])}]"
    if isinstance(value, Fraction):
        if max(value.numerator.bit_length(), value.denominator.bit_length()) <= 64:
            return str(value)
        import mpmath

        return f"about {mpmath.nstr(mpmath.mpf(value.numerator) / value.denominator, 6)}"
    if isinstance(value, (int, float)):
        return f"{value:.6g}"
    import mpmath

    return str(mpmath.nstr(value, 6))


def _name(verdict: Verdict, with_control: bool = True) -> str:
    point = format_point(verdict.case.params)
    control = f", control: {verdict.negative_control}" if with_control and verdict.negative_control else ""
    return f"{point}{', ' if point else ''}seed {verdict.case.seed}{control}"


def _short(claim: Claim) -> str:
    return f"{claim.kind}-{claim.number}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _clean(text: str) -> str:
    """Drop the control characters that XML does not allow."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)
