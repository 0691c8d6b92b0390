"""``lora-proofs prove``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from lora_proofs.cli.terminal import (
    bad_input,
    json_option,
    note,
    progress_bar,
    require_folders,
    say,
    write,
)

if TYPE_CHECKING:
    from lora_proofs.formal import Answer, Kernel

NO_KERNEL = 3


@click.command()
@click.argument("names", nargs=-1, metavar="[LABEL|THEOREM|FILE.v]...")
@json_option
@click.option("--rewrite", is_flag=True, help="Commit what the kernel prints now as the text of all theorems.")
@click.option("--again", is_flag=True, help="Have coqchk check all that is compiled once more; takes minutes.")
def prove(names: tuple[str, ...], json_file: str | None, rewrite: bool, again: bool) -> None:
    """Have a proof kernel check the theorems that claims name: statements for all sizes, in Rocq.

    It compiles the theories (each once, in the cache), and asks the kernel for the statement and the assumptions of
    each theorem. A theorem is accepted if nothing is assumed and the statement, with the definitions that it rests on,
    is the committed one.

    Exit code: 0 all are accepted; 1 one is not, which and why is said; 2 bad input; 3 there is no kernel.
    """
    from lora_proofs.formal import Development, NoKernel, find_kernel, prove
    from lora_proofs.judgement.environment import cache_folder

    require_folders(json_file)
    development = Development.shipped()
    with bad_input():
        if rewrite and names:
            raise ValueError("--rewrite commits the text of all theorems: give no names with it")
        theorems = development.select(names)
    try:
        kernel = find_kernel()
    except NoKernel as problem:
        note(str(problem))
        sys.exit(NO_KERNEL)
    files = development.needed(dict.fromkeys(theorem.file for theorem in theorems))
    try:
        with progress_bar(len(files), 0) as advance:
            answers = prove(
                development, theorems, kernel, cache_folder(), rewrite=rewrite, again=again, advance=advance
            )
    except RuntimeError as problem:
        raise click.ClickException(str(problem)) from None
    _report(answers, kernel, json_file)


def _report(answers: Sequence[Answer], kernel: Kernel, json_file: str | None) -> None:
    for text, style in _lines(answers, kernel):
        say(text, style, json_file)
    if json_file:
        found = {"kernel": kernel.name, "theorems": [answer.to_json() for answer in answers]}
        write(json_file, json.dumps(found, indent=1) + "\n")
    sys.exit(0 if all(answer.accepted for answer in answers) else 1)


def _lines(answers: Sequence[Answer], kernel: Kernel) -> Iterator[tuple[str, str]]:
    """Yield lines and styles for people."""
    for answer in answers:
        yield (
            f"{answer.file}.{answer.name}: {'proved' if answer.accepted else 'NOT accepted'}",
            ("good" if answer.accepted else "bad"),
        )
        yield f"    {answer.says}", ""
        if answer.differs:
            yield f"    differs from the print: {answer.differs}", ""
        for problem in answer.problems:
            yield f"    {problem}", "bad"
    good = sum(answer.accepted for answer in answers)
    yield f"{kernel.name} accepts {good} of {len(answers)} theorems", "good" if good == len(answers) else "bad"
