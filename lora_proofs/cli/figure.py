"""``lora-proofs figure``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from lora_proofs.cli.running import select_claims
from lora_proofs.cli.terminal import INTERRUPTED, BadInput, bad_input, jobs_option, note, progress_bar, say

if TYPE_CHECKING:
    from lora_proofs.presentation.figures import Figure


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--quick", is_flag=True, help="Small grids, all figures in minutes; kept apart from the full data.")
@click.option("--reuse-data", is_flag=True, help="Draw from the data that is there, and compute nothing.")
@click.option("--check", "compare", is_flag=True, help="Compare with the published values.")
@click.option("--restamp", "commit", metavar="COMMIT",
              help="Keep stale data if code and a commit at which it was current agree on the quick grid.")  # fmt: skip
@jobs_option
def figure(names: tuple[str, ...], quick: bool, reuse_data: bool, compare: bool, commit: str | None, jobs: int) -> None:
    """Rebuild figures.

    NAME is a figure or a paper; without any, all of them are meant. Only what is stale is computed.

    Exit code: 1 a published curve, not recorded as an artefact, lies outside our band over seeds and its reading error,
    at more points than chance explains if it was trained anew (--check; small grids have one seed and few epochs: with
    --quick nothing is judged), or data stays stale (--restamp); 2 bad input; 130 interrupted; else 0.

    Example: lora-proofs figure zeng2024expressive_fnn --reuse-data
    """
    from lora_proofs.presentation.figures import FigureError, find_figures

    with bad_input(FigureError, OSError):
        found = find_figures(names, quick)
        if commit:
            sys.exit(_restamp_figures(found, commit, jobs))
        if not reuse_data:
            _compute_figures(found, jobs)
        for script in found:
            svg, _ = script.draw(_statements(script.claims))
            say(f"{script.name}: {svg}", "", None)
        disagrees = compare and _compare_figures(found)
    sys.exit(1 if disagrees else 0)


def _compute_figures(found: list[Figure], jobs: int) -> None:
    from lora_proofs.judgement.environment import cache_folder, versions
    from lora_proofs.presentation.figures import rebuild

    stale = [script for script in found if script.stale]
    try:
        with progress_bar(sum(len(script.cases) for script in stale), 0) as advance:
            for script in stale:
                rebuild(script, jobs, cache_folder(), versions(), advance, lambda text: note(f"warning: {text}"))
    except KeyboardInterrupt:
        note("interrupted: finished cases are kept; the same command goes on from there")
        sys.exit(INTERRUPTED)
    except ImportError as problem:
        raise BadInput(f"{problem}; README says what the figures need") from None


def _restamp_figures(found: list[Figure], commit: str, jobs: int) -> int:
    """Stamp what the quick grid shows to be unchanged; return the exit code."""
    from lora_proofs.presentation.restamp import restamp

    left = 0
    for entry in restamp(found, commit, jobs):
        left += bool(entry.reason)
        text = entry.reason or ("is current" if entry.current else f"is equal to that of {commit}: stamped")
        say(f"{entry.name} {text}", "doubt" if entry.reason else "good", None)
    return 1 if left else 0


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
