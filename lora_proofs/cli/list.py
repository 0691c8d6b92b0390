"""``lora-proofs list``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from lora_proofs.cli.running import SEEDS, select_claims
from lora_proofs.cli.terminal import bad_input, note, output_file, require_folders, say, write

if TYPE_CHECKING:
    from lora_proofs.judgement.claims import Claim
    from lora_proofs.judgement.collect import Selection


@click.command(name="list")
@click.option("--json", "json_file", type=output_file, metavar="FILE", help="Write the list as JSON ('-': stdout).")
@click.option(
    "--coverage", is_flag=True, help="List each paper's statements: those checked, and why the others are not."
)
def list_claims(json_file: str | None, coverage: bool) -> None:
    """List papers and claims with their statements and numbers of cases.

    Example: lora-proofs list --coverage
    """
    require_folders(json_file)
    selections = select_claims(())
    if coverage:
        _list_coverage(selections, json_file)
        return
    if json_file:
        write(json_file, json.dumps({"schema": 1, "papers": [_describe(s) for s in selections]}, indent=1) + "\n")
    for selection in selections:
        paper = selection.paper
        source = f", arXiv:{paper.arxiv}" if paper.arxiv else ""
        say(f"{paper.key}: {paper.title} ({paper.year}{source})", "head", json_file)
        for claim in selection.claims:
            say(f"  {claim.label}  [{claim.kind}; cases: {_number_of_cases(claim)}]", "", json_file)
            say(f"      {claim.statement.splitlines()[0]}", "", json_file)


def _list_coverage(selections: list[Selection], json_file: str | None) -> None:
    """Print what is checked of each paper, and note where the table of statements and the claims disagree."""
    from lora_proofs.judgement.coverage import KNOWN, discrepancies, read_coverage
    from lora_proofs.judgement.environment import data_folder

    with bad_input():
        found = read_coverage(data_folder("paper_checks") / "coverage.toml")
    papers = [selection.paper for selection in selections]
    for line in discrepancies(found, papers):
        note(f"warning: {line}")
    shown = [found[paper.key] for paper in papers if paper.key in found]
    if json_file:
        write(json_file, json.dumps({"schema": 1, "papers": [paper.to_json() for paper in shown]}, indent=1) + "\n")
    for paper in shown:
        headline, *lines = paper.lines()
        say(headline, "head", json_file)
        for line in lines:
            say(line, "", json_file)
    for mark in ("summary", "recalled"):
        say(f"[{mark}] {KNOWN[mark]}", "", json_file)


def _number_of_cases(claim: Claim) -> int:
    return len(claim.grid) * len(claim.seeds(SEEDS))


def _describe(selection: Selection) -> dict[str, Any]:
    paper = selection.paper
    return {
        "key": paper.key,
        "title": paper.title,
        "authors": paper.authors,
        "year": paper.year,
        "arxiv": paper.arxiv,
        "claims": [
            {
                "label": claim.label,
                "kind": claim.kind,
                "number": claim.number,
                "statement": claim.statement,
                "cases": _number_of_cases(claim),
                "controls": [control.description for control in claim.controls],
                "gap": claim.gap,
            }
            for claim in selection.claims
        ],
    }
