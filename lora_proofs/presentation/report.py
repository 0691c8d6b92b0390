"""What a run found: as text, as JSON (schema 1), and the exit code that follows from it."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lora_proofs import __version__
from lora_proofs.display import show
from lora_proofs.judgement.cases import format_point
from lora_proofs.judgement.claims import Claim
from lora_proofs.judgement.collect import Selection
from lora_proofs.judgement.environment import data_folder, versions
from lora_proofs.judgement.tally import Tally
from lora_proofs.judgement.verify import Evidence, Outcome, Verdict
from lora_proofs.presentation.proofs import Proof, proves


@dataclass(frozen=True)
class Line:
    """A line of the text report; ``style`` is one of head, good, doubt, bad, or empty."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class ClaimReport:
    """One claim and what its verdicts and those of its controls add up to.

    ``path`` is what a reproducing command must name beside the label: empty in the checks folder.
    """

    claim: Claim
    path: str
    tally: Tally
    proofs: tuple[Proof, ...] = ()

    @property
    def not_run(self) -> bool:
        """Whether the claim needs a package that is not installed."""
        return bool(self.claim.missing)

    @property
    def problem(self) -> str:
        """What is wrong with the claim as a whole, though each verdict by itself may be in order."""
        outcomes, cases = self.tally.outcomes, self.tally.cases
        if cases and outcomes[Outcome.OUT_OF_SCOPE] == cases:
            return "out of scope on every case"
        refuted = outcomes[Outcome.FAILS] or outcomes[Outcome.INCONCLUSIVE]
        if cases and self.claim.false_as_printed and not refuted:
            return "recorded as false as printed, yet it fails on no case"
        return ""

    @property
    def sentence(self) -> str:
        """Outcome, evidence, controls and time in one line."""
        tally = self.tally
        if self.not_run or not tally.cases:
            return "; ".join(filter(None, ["not run", proves(self.proofs)]))
        controls = f"{tally.caught} of {_count(tally.controls, 'control')} caught" if tally.controls else "no control"
        return "; ".join(filter(None, [self._finding, proves(self.proofs), controls, f"{tally.seconds:.1f} s"]))

    @property
    def _finding(self) -> str:
        if self.problem:
            return f"error: {self.problem}"
        outcomes, evidence = self.tally.outcomes, self.tally.evidence
        outside = outcomes[Outcome.OUT_OF_SCOPE]
        tried = self.tally.cases - outside
        holds = outcomes[Outcome.HOLDS]
        if holds == tried and self.claim.sampled:
            text = f"no counterexample in {tried} {'try' if tried == 1 else 'tries'}"
        elif holds == tried:
            text = f"holds on {holds} of {_count(tried, 'case')}"
        else:
            parts = [f"{outcome} on {outcomes[outcome]}" for outcome in _WORST_FIRST if outcomes[outcome]]
            text = f"{', '.join(parts)} of {_count(tried, 'case')}"
            text += " (false as printed, as recorded)" if self.claim.false_as_printed else ""
        if len(evidence) == 1:
            text += f" ({next(iter(evidence))})"
        elif evidence:
            text += f" ({', '.join(f'{evidence[kind]} {kind}' for kind in Evidence if evidence[kind])})"
        return text + (f", out of scope on {outside} more" if outside else "")

    @property
    def style(self) -> str:
        """The style of the claim's line."""
        if self.not_run or not self.tally.cases:
            return "doubt"
        bad = self.problem or self.tally.bad
        return "bad" if bad else "doubt" if self.tally.unexpected else "good"


_WORST_FIRST = (Outcome.FAILS, Outcome.INCONCLUSIVE, Outcome.HOLDS)

# The summary names this many claims of a kind: it has to fit on a screen.
_NAMED = 4


@dataclass(frozen=True)
class Report:
    """Everything that a run found.

    Attributes
    ----------
    selections : sequence of Selection
    tallies : mapping of str to Tally
        By the claims' labels.
    seconds : float
        Wall-clock time of the run.
    command : str
        The command line, for the record.
    verdicts : callable
        Returns an iterator over the verdicts, in the order of the plan.
    proofs : mapping of str to tuple of Proof
        By the claims' labels: see `accepted_proofs`.
    """

    selections: Sequence[Selection]
    tallies: Mapping[str, Tally]
    seconds: float
    command: str = ""
    verdicts: Callable[[], Iterable[Verdict]] = tuple
    proofs: Mapping[str, tuple[Proof, ...]] = field(default_factory=dict)

    @cached_property
    def claims(self) -> list[ClaimReport]:
        """One entry for each claim that ran, or that lacks a package."""
        home = data_folder("paper_checks")
        return [
            ClaimReport(
                claim,
                "" if selection.path.parent == home else str(selection.path),
                self.tallies.get(claim.label, Tally()),
                self.proofs.get(claim.label, ()),
            )
            for selection in self.selections
            for claim in selection.claims
            if claim.label in self.tallies or claim.missing
        ]

    @cached_property
    def summary(self) -> dict[str, int]:
        """Counts of verdicts by outcome, of controls, of claims.

        A *fails* of a claim that is recorded as false counts under ``gaps_confirmed`` alone.
        """
        tallies = [entry.tally for entry in self.claims]
        outcomes = sum((tally.outcomes for tally in tallies), Counter[Outcome]())
        confirmed = sum(e.tally.outcomes[Outcome.FAILS] for e in self.claims if e.claim.false_as_printed)
        return {
            "holds": outcomes[Outcome.HOLDS],
            "fails": outcomes[Outcome.FAILS] - confirmed,
            "inconclusive": outcomes[Outcome.INCONCLUSIVE],
            "out_of_scope": outcomes[Outcome.OUT_OF_SCOPE],
            "controls": sum(tally.controls for tally in tallies),
            "controls_caught": sum(tally.caught for tally in tallies),
            "gaps_confirmed": confirmed,
            "errors": sum(tally.errors for tally in tallies) + sum(bool(entry.problem) for entry in self.claims),
            "not_run": sum(entry.not_run for entry in self.claims),
            "claims": sum(bool(tally.cases) for tally in tallies),
            "claims_exact": sum(bool(tally.exact) for tally in tallies),
            "proved": sum(bool(proves(entry.proofs)) for entry in self.claims),
        }

    def exit_code(self, strict: bool = False) -> int:
        """Return 0 when all is well, 1 when something fails, 3 for a mere inconclusive under `strict`."""
        counts = self.summary
        if counts["fails"] or counts["errors"] or counts["controls_caught"] < counts["controls"]:
            return 1
        return 3 if strict and counts["inconclusive"] else 0

    def lines(self, gaps: bool = False) -> Iterator[Line]:
        """Write the text report: claims, what does not hold and why, and a screenful of summary last.

        Parameters
        ----------
        gaps : bool
            Write out the recorded gaps, which the summary only counts.
        """
        yield from self._claim_lines()
        yield from self._detail_lines()
        if gaps:
            yield from self._section("Gaps recorded", ((e.claim.label, e.claim.gap) for e in self.claims))
        own = ((e.claim.label, e.claim.tolerance) for e in self.claims)
        yield from self._section("Own tolerances", ((n, f"{t[0]:g}, because {t[1]}" if t else "") for n, t in own))
        yield Line("")
        yield from self._summary_lines(gaps)
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
            for _, verdict in entry.tally.shown:
                yield Line("")
                yield Line(describe(verdict), "doubt" if verdict.outcome is Outcome.INCONCLUSIVE else "bad")
                yield Line(f"  {verdict.reproduce(entry.path)}")
            if (more := entry.tally.unexpected - len(entry.tally.shown)) > 0:
                yield Line(f"  and {more} more of {entry.claim.label}")

    def _summary_lines(self, gaps: bool) -> Iterator[Line]:
        """Name the claims at which a reader must look, and count what was not run and what is recorded."""
        for kind, style, counts in self._concerns():
            found = [(label, number) for label, number in counts.items() if number]
            yield from (Line(f"{kind}: {label}, {_count(number, 'time')}", style) for label, number in found[:_NAMED])
            if len(found) > _NAMED:
                yield Line(f"{kind}: {len(found) - _NAMED} more", style)
        yield from self._not_run_lines()
        recorded = [entry.claim for entry in self.claims if entry.claim.gap]
        if recorded and not gaps:
            false = sum(claim.false_as_printed for claim in recorded)
            yield Line(f"gaps recorded: {len(recorded)}, {false} of them false as printed; --gaps shows them")

    def _concerns(self) -> Iterator[tuple[str, str, dict[str, int]]]:
        """Yield what may be wrong: its name, its style, and how often it came up, by the claims' labels."""
        tallies = {entry.claim.label: entry.tally for entry in self.claims}
        expected = {entry.claim.label for entry in self.claims if entry.claim.false_as_printed}
        fails = {label: tally.outcomes[Outcome.FAILS] for label, tally in tallies.items() if label not in expected}
        yield "fails", "bad", fails
        yield "error", "bad", {e.claim.label: e.tally.errors + bool(e.problem) for e in self.claims}
        yield "control not caught", "bad", {label: tally.controls - tally.caught for label, tally in tallies.items()}
        yield "inconclusive", "doubt", {n: tally.outcomes[Outcome.INCONCLUSIVE] for n, tally in tallies.items()}

    def _not_run_lines(self) -> Iterator[Line]:
        """Say in one line for each set of missing packages what was not run, and what installs them."""
        lacking: dict[tuple[tuple[str, str], ...], list[Claim]] = {}
        for entry in self.claims:
            if entry.not_run:
                lacking.setdefault(entry.claim.missing, []).append(entry.claim)
        for missing, claims in lacking.items():
            modules = " and ".join(module for module, _ in missing)
            commands = " && ".join(dict.fromkeys(command for _, command in missing))
            papers = ", ".join(dict.fromkeys(claim.paper for claim in claims))
            yield Line(f"not run: {_count(len(claims), 'claim')} of {papers}, without {modules}: {commands}", "doubt")

    def _last_line(self) -> Line:
        counts = self.summary
        share = f"{counts['claims_exact']} of {_count(counts['claims'], 'claim')}"
        share += f" ({counts['claims_exact'] / counts['claims']:.0%})" if counts["claims"] else ""
        proved = f"{_count(counts['proved'], 'claim')} proved for all sizes; " if counts["proved"] else ""
        text = (
            f"holds {counts['holds']}, fails {counts['fails']}, inconclusive {counts['inconclusive']}, "
            f"out of scope {counts['out_of_scope']}, errors {counts['errors']}; "
            f"{counts['controls_caught']} of {_count(counts['controls'], 'control')} caught; "
            f"{_count(counts['gaps_confirmed'], 'gap')} confirmed; {_count(counts['not_run'], 'claim')} not run; "
            f"exact evidence for {share}; "
            f"{proved}{self.seconds:.1f} s"
        )
        return Line(text, "bad" if self.exit_code() else "doubt" if counts["inconclusive"] else "good")

    def json(self) -> Iterator[str]:
        """Write the report as JSON, schema 1, piece by piece: a verdict a line."""
        head = {
            "schema": 1,
            "environment": {
                "lora-proofs": __version__,
                **versions(),
                "platform": platform.platform(),
                "command": self.command,
            },
            "summary": self.summary,
            "proofs": {label: [proof.to_json() for proof in proofs] for label, proofs in self.proofs.items()},
            "verdicts": [],
        }
        yield json.dumps(head, indent=1).removesuffix("]\n}")
        separator = "\n  "
        proved = {label for label, proofs in self.proofs.items() if proves(proofs)}
        for verdict in self.verdicts():
            row = {**verdict.to_json(), "proved": verdict.claim in proved}
            yield f"{separator}{json.dumps(row, allow_nan=False)}"
            separator = ",\n  "
        yield "\n ]\n}\n"


def describe(verdict: Verdict) -> str:
    """Say in one line what became of a claim on a case, with the numbers."""
    control = f", control {verdict.negative_control!r} not caught" if verdict.caught is False else ""
    text = f"{verdict.claim} at {name_case(verdict, with_control=False)}{control}: {verdict.outcome}"
    if verdict.comparison:
        found = verdict.comparison
        text += f": measured {show(found.measured)}, claimed {found.relation} {show(found.bound)}"
        text += f" ({verdict.evidence}, {verdict.digits} digits)"
    return text + (f": {verdict.reason}" if verdict.reason else "")


def name_case(verdict: Verdict, with_control: bool = True) -> str:
    """Name a verdict's case, as reports do: its parameters, its seed, and which control it is of."""
    point = format_point(verdict.case.params)
    control = f", control: {verdict.negative_control}" if with_control and verdict.negative_control else ""
    return f"{point}{', ' if point else ''}seed {verdict.case.seed}{control}"


def _short(claim: Claim) -> str:
    return f"{claim.kind}-{claim.number}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
