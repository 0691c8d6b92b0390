"""``lora-proofs grade``."""

from __future__ import annotations

import sys
from math import isfinite
from pathlib import Path

import click

from lora_proofs.cli.terminal import BadInput, bad_input, json_option, require_folders, say, write


@click.command()
@click.argument("homework", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--reference", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="The same check file with its holes filled in.",
)  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=1), default=20, show_default=True, help="Hidden seeds per case.")
@click.option("--seed", type=click.IntRange(min=0), help="The first hidden seed.  [default: drawn at random]")
@click.option("--seconds", type=click.FloatRange(min=0.01), default=10, show_default=True, help="Limit of one call.")
@click.option("--megabytes", type=click.IntRange(min=512), default=4096, show_default=True, help="Limit of memory.")
@json_option
def grade(
    homework: Path, reference: Path, seeds: int, seed: int | None, seconds: float, megabytes: int, json_file: str | None
) -> None:
    """Grade a homework on hidden cases.

    The reference's claims are run with the student's functions in the holes. HOMEWORK runs in a process of its own.
    Exit code: 0 full marks; 1 less; 2 bad input.

    Example: lora-proofs grade homework.py --reference solution.py
    """
    from secrets import randbelow

    from lora_proofs.homework import grade as run

    require_folders(json_file)
    if not isfinite(seconds):
        raise BadInput("--seconds must be a number")
    with bad_input():
        found = run(homework, reference, randbelow(10**6) if seed is None else seed, seeds, seconds, megabytes)
    for line in found.lines():
        say(line, "head" if line.startswith("score") else "", json_file)
    if json_file:
        write(json_file, found.to_json())
    sys.exit(0 if found.score == len(found.claims) else 1)
