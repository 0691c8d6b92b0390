"""``lora-proofs report`` and ``figure``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lora_proofs.cli.check import SEEDS, run_checks, select_claims
from lora_proofs.cli.terminal import (
    INTERRUPTED,
    BadInput,
    bad_input,
    note,
    parse_jobs,
    progress_bar,
    require_folders,
    say,
)

if TYPE_CHECKING:
    from lora_proofs.presentation.figures import Figure
    from lora_proofs.presentation.page import Picture


@click.command()
@click.argument("selectors", nargs=-1, metavar="[PATH|LABEL]...")
@click.option("--html", "folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="Write the theorem index: index.html and a page a paper.")  # fmt: skip
@click.option("--latex", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write a table, and a bibliography beside it.")  # fmt: skip
@click.option("--from", "stored", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="Take the verdicts that check --json wrote, in place of checking now.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=1), default=SEEDS, show_default=True, help="Seeds per case.")
@click.option(
    "-j", "--jobs", default=1, show_default=True, callback=parse_jobs, metavar="N",
    help="Worker processes; -1 uses every core.",
)  # fmt: skip
def report(
    selectors: tuple[str, ...], folder: Path | None, latex: Path | None, stored: Path | None, seeds: int, jobs: int
) -> None:
    """Write what was found for readers.

    As web pages, or as a LaTeX table with a bibliography. The claims are checked first; see --from.
    """
    from lora_proofs.judgement.workload import plan
    from lora_proofs.presentation.page import read_report, write_latex, write_pages

    if not (folder or latex):
        raise BadInput("say what to write: --html DIR or --latex FILE")
    if str(latex) == "-":
        raise BadInput("--latex writes two files, FILE and its bibliography; give a name")
    require_folders(str(latex) if latex else None)
    with bad_input():
        selections = select_claims(selectors)
        found = (
            read_report(stored, selections)
            if stored
            else run_checks(plan(selections, seeds, 0), selections, jobs, None)
        )
    try:
        if latex:
            say(f"{latex}, {write_latex(latex, found)}", "", None)
        if folder:
            pages = write_pages(folder, found, _pictures({claim.claim.label for claim in found.claims}))
            say(f"{pages[0]} and {len(pages) - 1} pages of papers", "", None)
    except OSError as problem:
        raise BadInput(f"cannot write {problem.filename}: {problem.strerror}") from None


def _pictures(labels: set[str]) -> list[Picture]:
    """Return the figures that are drawn and illustrate one of these claims; say what is missing."""
    from lora_proofs.presentation.figures import find_figures
    from lora_proofs.presentation.page import Picture

    found, missing = [], []
    for script in find_figures():
        svg, caption = script.pictures[0], script.stored_caption
        if not svg.is_file() or caption is None:
            missing.append(script.name)
        elif set(script.claims) & labels:
            found.append(Picture(script.name, caption, svg.read_text("utf-8"), script.claims))
    if missing:
        note(f"figures that are not drawn yet are left out (`lora-proofs figure --reuse-data`): {', '.join(missing)}")
    return found


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--quick", is_flag=True, help="Small grids, all figures in minutes; kept apart from the full data.")
@click.option("--reuse-data", is_flag=True, help="Draw from the data that is there, and compute nothing.")
@click.option("--check", "compare", is_flag=True, help="Compare with the published values.")
@click.option(
    "-j", "--jobs", default=1, show_default=True, callback=parse_jobs, metavar="N",
    help="Worker processes; -1 uses every core.",
)  # fmt: skip
def figure(names: tuple[str, ...], quick: bool, reuse_data: bool, compare: bool, jobs: int) -> None:
    """Rebuild figures.

    NAME is a figure or a paper; without any, all of them are meant. Only what is stale is computed.

    Exit code: 1 a published curve, not recorded as an artefact, lies outside our band over seeds and its reading error,
    at more points than chance explains if it was trained anew (--check; small grids have one seed and few epochs: with
    --quick nothing is judged); 2 bad input; 130 interrupted; else 0.
    """
    from lora_proofs.presentation.figures import FigureError, find_figures

    try:
        found = find_figures(names, quick)
        if not reuse_data:
            _compute_figures(found, jobs)
        for script in found:
            svg, _ = script.draw(_statements(script.claims))
            say(f"{script.name}: {svg}", "", None)
        disagrees = compare and _compare_figures(found)
    except (FigureError, OSError) as problem:
        raise BadInput(str(problem)) from None
    sys.exit(1 if disagrees else 0)


def _compute_figures(found: list[Figure], jobs: int) -> None:
    from lora_proofs.judgement.sweep import cache_folder, versions
    from lora_proofs.presentation.figures import rebuild

    stale = [script for script in found if script.stale]
    try:
        with progress_bar(sum(len(script.cases) for script in stale), 0) as advance:
            for script in stale:
                rebuild(script, jobs, cache_folder(), versions(), advance)
    except KeyboardInterrupt:
        note("interrupted: finished cases are kept; the same command goes on from there")
        sys.exit(INTERRUPTED)
    except ImportError as problem:
        raise BadInput(f"{problem}; README says what the figures need") from None


def _compare_figures(found: list[Figure]) -> bool:
    """Print how the published curves lie; tell whether one of them disagrees."""
    wrong = False
    for script in found:
        if not script.published():
            say(f"{script.name}: nothing was published to compare with", "", None)
        for curve in script.compare():
            wrong |= not curve.agrees and not script.quick
            style = "good" if curve.inside == curve.points else "doubt" if curve.agrees or script.quick else "bad"
            tail = f"; {curve.worst}" if curve.worst else ""
            tail += f"; {curve.allowed} may lie outside by chance" if curve.allowed and curve.worst else ""
            tail += "; not judged" if script.quick and curve.worst else ""
            tail += f" (recorded: {curve.artefact})" if curve.artefact and curve.worst else ""
            say(f"{script.name} {curve.curve}: {curve.inside} of {curve.points} points agree{tail}", style, None)
    return wrong


def _statements(labels: Sequence[str]) -> dict[str, str]:
    return {c.label: c.statement for s in (select_claims(labels) if labels else ()) for c in s.claims}
