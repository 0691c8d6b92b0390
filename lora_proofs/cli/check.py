"""``lora-proofs check``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from lora_proofs.cli.running import SEEDS, run_checks, select_claims
from lora_proofs.cli.terminal import (
    BadInput,
    jobs_option,
    json_option,
    note,
    output_file,
    reads,
    require_folders,
    say,
    write,
)
from lora_proofs.judgement.cases import Params, parse_point

if TYPE_CHECKING:
    from lora_proofs.judgement.collect import Selection


def _points(texts: Sequence[str]) -> list[Params]:
    return [parse_point(text) for text in texts]


def _backend(name: str) -> str:
    if name != "numpy":
        from lora_proofs.backends import load_backend

        load_backend(name)
    return name


@click.command()
@click.argument("selectors", nargs=-1, metavar="[PATH|LABEL]...")
@click.option("--seeds", type=click.IntRange(min=1), default=SEEDS, show_default=True, help="Seeds per case.")
@click.option("--seed", default=0, show_default=True, help="The first seed.")
@click.option(
    "--case", "points", multiple=True, callback=reads(_points), metavar="K=V,...",
    help="Fix parameters in place of the grid's values, such as D=8,L=2. May be given several times.",
)  # fmt: skip
@jobs_option
@click.option("--dask", metavar="ADDRESS", help="Run on the cluster of this Dask scheduler, such as tcp://host:8786.")
@click.option(
    "--backend", default="numpy", show_default=True, metavar="NAME", callback=reads(_backend),
    help="Array library of claims judged in floats: numpy, strict, jax, torch or cupy.",
)  # fmt: skip
@click.option(
    "--dtype", type=click.Choice(["float64", "float32"]), default="float64", show_default=True,
    help="With float32, claims that do not hold in it are tried in float64.",
)  # fmt: skip
@json_option
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

    Example: lora-proofs check zeng2024expressive --seeds 20
    """
    from lora_proofs.judgement.workload import Workload

    require_folders(json_file, junit_file)
    if json_file == junit_file == "-":
        raise BadInput("--json and --junit cannot both write to standard output")
    selections = select_claims(selectors)
    if points:
        _require_parameters(selections, points)
    workload = Workload.of(selections, seeds, seed, points or [{}], backend, dtype)
    report = run_checks(workload, selections, jobs, dask)
    for line in report.lines(gaps):
        say(line.text, line.style, "-" if junit_file == "-" else json_file)
    if json_file:
        write(json_file, report.json())
    if junit_file:
        from lora_proofs.presentation.junit import write_junit

        write(junit_file, write_junit(report, strict))
    sys.exit(report.exit_code(strict))


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
