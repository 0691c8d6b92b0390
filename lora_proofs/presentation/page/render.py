"""Write the pages: an index of every claim, and a page a paper. No network, no script that is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lora_proofs.falsify.instance import closeness
from lora_proofs.judgement.claims import Claim, Paper
from lora_proofs.judgement.verify import RTOL, Evidence, Outcome
from lora_proofs.presentation.page import layers
from lora_proofs.presentation.page.mathml import typeset
from lora_proofs.presentation.page.pictures import Picture
from lora_proofs.presentation.report import ClaimReport, Report

OUTCOMES = ("holds", "gap confirmed", "inconclusive", "fails", "not run")


@dataclass(frozen=True)
class Entry:
    """A claim as the pages show it."""

    report: ClaimReport
    closest: float | None

    @property
    def claim(self) -> Claim:
        """The claim itself."""
        return self.report.claim

    @property
    def anchor(self) -> str:
        """Its id in a page."""
        return self.claim.label.replace(":", "-")

    @property
    def name(self) -> str:
        """Such as "Lemma 1"."""
        return f"{self.claim.kind.capitalize()} {self.claim.number}"

    @cached_property
    def statement(self) -> Markup:
        """The first paragraph, typeset."""
        return Markup(typeset(self.claim.statement.split("\n\n")[0]))

    @cached_property
    def details(self) -> Markup:
        """The rest: hypotheses, steps, what is measured."""
        return Markup(typeset(self.claim.statement.partition("\n\n")[2]))

    @cached_property
    def gap(self) -> Markup:
        """The gap that is recorded, typeset."""
        return Markup(typeset(self.claim.gap).removeprefix("<p>").removesuffix("</p>"))

    @property
    def outcome(self) -> str:
        """One of `OUTCOMES`."""
        tally = self.report.tally
        if self.report.not_run or not tally.cases:
            return "not run"
        if self.report.problem or tally.errors or tally.caught < tally.controls:
            return "fails"
        if tally.outcomes[Outcome.FAILS]:
            return "gap confirmed" if self.claim.false_as_printed else "fails"
        return "inconclusive" if tally.outcomes[Outcome.INCONCLUSIVE] else "holds"

    @property
    def evidence(self) -> list[str]:
        """Kinds of evidence that its verdicts have."""
        return [str(kind) for kind in Evidence if self.report.tally.evidence[kind]]

    @property
    def approach(self) -> str:
        """How close measured values come to the bound, in words."""
        if self.closest is None or not math.isfinite(self.closest):
            return ""
        return f"{self.closest:.3g}"

    @property
    def command(self) -> str:
        """What checks this claim again."""
        return " ".join(filter(None, ["lora-proofs check", self.report.path, self.claim.label]))


@dataclass(frozen=True)
class Chapter:
    """A paper with its claims and pictures."""

    paper: Paper
    entries: list[Entry]
    pictures: list[Picture]

    @property
    def file(self) -> str:
        """The name of its page."""
        return f"{self.paper.key}.html"

    @property
    def counts(self) -> dict[str, int]:
        """How many of its claims have each outcome, zeros left out."""
        found = [entry.outcome for entry in self.entries]
        return {outcome: found.count(outcome) for outcome in OUTCOMES if outcome in found}


def write_pages(folder: Path, report: Report, pictures: Sequence[Picture], reference: Path | str) -> list[Path]:
    """Write ``index.html``, a page for each paper of the report, and one on how all is built.

    Parameters
    ----------
    folder : Path
        Created if need be.
    report : Report
    pictures : sequence of Picture
        Each goes to the paper whose key its name begins with, else to the paper of its first claim.
    reference : Path or str
        The first page of the API reference, in `folder`, or the command that installs what writes it; see
        `write_reference`.

    Raises
    ------
    OSError
        If a page cannot be written.
    """
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    chapters = _chapters(report, pictures)
    known: dict[str, Any] = {"report": report, "chapters": chapters, "outcomes": OUTCOMES, "Evidence": Evidence}
    known["reference"] = reference.relative_to(folder).as_posix() if isinstance(reference, Path) else ""
    known["installs_reference"] = "" if isinstance(reference, Path) else reference
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"index.html": environment.get_template("index.html.j2").render(known)}
    for chapter in chapters:
        pages[chapter.file] = environment.get_template("paper.html.j2").render(chapter=chapter, **known)
    pages["built.html"] = environment.get_template("built.html.j2").render(parts=layers.chapters())
    for name, text in pages.items():
        (folder / name).write_text(text, "utf-8")
    return [folder / name for name in pages]


def _chapters(report: Report, pictures: Sequence[Picture]) -> list[Chapter]:
    closest = _closest(report)
    entries = [Entry(claim, closest.get(claim.claim.label)) for claim in report.claims]
    keys = {selection.paper.key for selection in report.selections}

    def home(picture: Picture) -> str:
        prefix = picture.name.partition("_")[0]
        return prefix if prefix in keys else next((label.partition(":")[0] for label in picture.claims), "")

    return [
        Chapter(
            selection.paper,
            [entry for entry in entries if entry.claim.label.partition(":")[0] == selection.paper.key],
            [picture for picture in pictures if home(picture) == selection.paper.key],
        )
        for selection in report.selections
    ]


def _closest(report: Report) -> dict[str, float]:
    """Return, for each claim, the largest ratio of measured value to bound over its cases; 1 is the bound itself."""
    tolerance = {e.claim.label: e.claim.tolerance[0] if e.claim.tolerance else RTOL for e in report.claims}
    found: dict[str, float] = {}
    for verdict in report.verdicts():
        if verdict.negative_control is None and verdict.comparison and verdict.comparison.relation != "=":
            ratio = closeness(verdict.comparison, tolerance[verdict.claim])
            if math.isfinite(ratio):
                found[verdict.claim] = max(ratio, found.get(verdict.claim, -math.inf))
    return found
