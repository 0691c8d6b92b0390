"""``lora-proofs list`` and ``check``."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from lora_proofs.cli.terminal import (
    INTERRUPTED,
    BadInput,
    bad_input,
    note,
    output_file,
    parse_jobs,
    progress_bar,
    require_folders,
    say,
    write,
)
from lora_proofs.judgement.claims import Params, parse_point

if TYPE_CHECKING:
    from lora_proofs.judgement.claims import Claim
    from lora_proofs.judgement.collect import Selection
    from lora_proofs.judgement.workload import Plan
    from lora_proofs.presentation.report import Report


SEEDS = 5


def _parse_case(context: click.Context, option: click.Parameter, values: Sequence[str]) -> list[Params]:
    try:
        return [parse_point(value) for value in values]
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from None


def _parse_backend(context: click.Context, option: click.Parameter, value: str) -> str:
    if value != "numpy":
        from lora_proofs.backends import namespace

        try:
            namespace(value)
        except ValueError as problem:
            raise click.BadParameter(str(problem)) from None
    return value


@click.command(name="list")
@click.option("--json", "json_file", type=output_file, metavar="FILE", help="Write the list as JSON ('-': stdout).")
@click.option(
    "--coverage", is_flag=True, help="List each paper's statements: those checked, and why the others are not."
)
def list_claims(json_file: str | None, coverage: bool) -> None:
    """List papers and claims with their statements and numbers of cases."""
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
    from lora_proofs.judgement.collect import checks_folder
    from lora_proofs.judgement.coverage import KNOWN, discrepancies, read_coverage

    with bad_input():
        found = read_coverage(checks_folder() / "coverage.toml")
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


@click.command()
@click.argument("selectors", nargs=-1, metavar="[PATH|LABEL]...")
@click.option("--seeds", type=click.IntRange(min=1), default=SEEDS, show_default=True, help="Seeds per case.")
@click.option("--seed", default=0, show_default=True, help="The first seed.")
@click.option(
    "--case", "points", multiple=True, callback=_parse_case, metavar="K=V,...",
    help="Fix parameters in place of the grid's values, such as D=8,L=2. May be given several times.",
)  # fmt: skip
@click.option(
    "-j", "--jobs", default=1, show_default=True, callback=parse_jobs, metavar="N",
    help="Worker processes; -1 uses every core.",
)  # fmt: skip
@click.option("--dask", metavar="ADDRESS", help="Run on the cluster of this Dask scheduler, such as tcp://host:8786.")
@click.option(
    "--backend", default="numpy", show_default=True, metavar="NAME", callback=_parse_backend,
    help="Array library of claims judged in floats: numpy, strict, jax, torch or cupy.",
)  # fmt: skip
@click.option(
    "--dtype", type=click.Choice(["float64", "float32"]), default="float64", show_default=True,
    help="With float32, claims that do not hold in it are tried in float64.",
)  # fmt: skip
@click.option("--json", "json_file", type=output_file, metavar="FILE", help="Write JSON ('-': stdout).")
@click.option("--junit", "junit_file", type=output_file, metavar="FILE", help="Write JUnit XML ('-': stdout).")
@click.option("--strict", is_flag=True, help="Exit with 3 when something is inconclusive.")
@click.option("--gaps", is_flag=True, help="Show the recorded differences between claims and print in full.")
def check(
    selectors: tuple[str, ...], seeds: int, seed: int, points: list[Params], jobs: int,
    dask: str | None, backend: str, dtype: str, json_file: str | None, junit_file: str | None, strict: bool,
    gaps: bool,
) -> None:  # fmt: skip
    """Check claims.

    Those of the given files, papers or labels; without any, every paper's.

    Exit code: 0 all hold; 1 something fails; 2 bad input; 3 inconclusive (with --strict); 130 interrupted.
    """
    from lora_proofs.judgement.workload import plan

    require_folders(json_file, junit_file)
    if json_file == junit_file == "-":
        raise BadInput("--json and --junit cannot both write to standard output")
    selections = select_claims(selectors)
    if points:
        _require_parameters(selections, points)
    stretches = plan(selections, seeds, seed, points or [{}], backend, dtype)
    report = run_checks(stretches, selections, jobs, dask)
    for line in report.lines(gaps):
        say(line.text, line.style, "-" if junit_file == "-" else json_file)
    if json_file:
        write(json_file, report.json())
    if junit_file:
        write(junit_file, report.junit(strict))
    sys.exit(report.exit_code(strict))


def run_checks(stretches: Plan, selections: list[Selection], jobs: int, dask: str | None) -> Report:
    """Run a plan with a progress bar and a journal; end the process where the run cannot go on."""
    from lora_proofs.judgement.collect import CollectError
    from lora_proofs.judgement.journal import Journal
    from lora_proofs.judgement.sweep import sweep
    from lora_proofs.judgement.workers import ClusterError, WorkerDied, cluster, processes
    from lora_proofs.presentation.report import Report

    journal = Journal(stretches, warn=lambda text: note(f"warning: {text}"))
    total = journal.size
    if journal.kept:
        note(f"resuming: {journal.kept} of {total} cases were finished before")
    start = time.perf_counter()
    try:
        with cluster(dask) if dask else processes(jobs) as workers, progress_bar(total, journal.kept) as advance:
            tallies = sweep(stretches, journal, workers, advance)
    except KeyboardInterrupt:
        note(f"interrupted: {journal.kept} of {total} cases are kept; the same command goes on from there")
        sys.exit(INTERRUPTED)
    except WorkerDied as problem:
        raise click.ClickException(
            f"{problem}; {journal.kept} of {total} cases are kept; "
            "the same command goes on from there, with -j 1 it needs the least memory"
        ) from None
    except (ClusterError, CollectError) as problem:  # the latter from a check file that changed while the run went on
        raise BadInput(str(problem)) from None
    command = shlex.join(["lora-proofs", *sys.argv[1:]])
    return Report(selections, tallies, time.perf_counter() - start, command, journal.verdicts)


def select_claims(selectors: Sequence[str]) -> list[Selection]:
    """Collect what the selectors name; see `lora_proofs.judgement.collect.collect`."""
    from lora_proofs.judgement.collect import CollectError, collect

    try:
        return collect(selectors)
    except CollectError as problem:
        raise BadInput(str(problem)) from None


def _require_parameters(selections: list[Selection], points: list[Params]) -> None:
    """Refuse --case where it names a parameter that no claim has, or fits no claim; say whom it leaves out."""
    claims = [claim for selection in selections for claim in selection.claims]
    grids = [[*claim.grid, *(p for control in claim.controls for p in control.grid)] for claim in claims]
    known = sorted({name for grid in grids for point in grid for name in point})
    for name in (name for point in points for name in point if name not in known):
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"
        raise BadInput(f"--case: no selected claim has a parameter {name!r}; {hint}")
    for point in points:
        if not any(point.keys() <= other.keys() for grid in grids for other in grid):
            raise BadInput(f"--case: no selected claim has all of the parameters {', '.join(point)}")
    fitting = sum(any(p.keys() <= q.keys() for p in points for q in grid) for grid in grids)
    if fitting < len(claims):
        note(f"--case: {fitting} of {len(claims)} claims have these parameters; the others are left out")


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
