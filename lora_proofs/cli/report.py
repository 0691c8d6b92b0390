"""``lora-proofs report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lora_proofs.cli.running import SEEDS, run_checks, select_claims
from lora_proofs.cli.terminal import BadInput, bad_input, jobs_option, note, require_folders, say

if TYPE_CHECKING:
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
@jobs_option
def report(
    selectors: tuple[str, ...], folder: Path | None, latex: Path | None, stored: Path | None, seeds: int, jobs: int
) -> None:
    """Write what was found for readers.

    As web pages, or as a LaTeX table with a bibliography. The claims are checked first; see --from.

    Example: lora-proofs report --html site
    """
    from lora_proofs.backends import how_to_install
    from lora_proofs.judgement.workload import Workload
    from lora_proofs.presentation.page import read_report, write_latex, write_pages, write_reference

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
            else run_checks(Workload.of(selections, seeds), selections, jobs, None)
        )
    try:
        if latex:
            say(f"{latex}, {write_latex(latex, found)}", "", None)
        if folder:
            pictures = _pictures({claim.claim.label for claim in found.claims})
            reference = write_reference(folder / "api") or how_to_install("pdoc")
            pages = write_pages(folder, found, pictures, reference)
            say(f"{pages[0]} and {len(pages) - 2} pages of papers", "", None)
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
