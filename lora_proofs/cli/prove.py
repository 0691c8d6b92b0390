"""``lora-proofs prove``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

import click

from lora_proofs.cli.terminal import (
    bad_input,
    json_option,
    note,
    output_file,
    progress_bar,
    reads,
    require_folders,
    say,
    write,
)
from lora_proofs.judgement.cases import Params, parse_point

if TYPE_CHECKING:
    from lora_proofs.formal import Answer, Development, Kernel

NO_KERNEL = 3


def _point(text: str | None) -> Params:
    return parse_point(text) if text else {}


@click.command()
@click.argument("names", nargs=-1, metavar="[LABEL|THEOREM|FILE.v]...")
@json_option
@click.option("--rewrite", is_flag=True, help="Commit what the kernel prints now as the text of all theorems.")
@click.option("--again", is_flag=True, help="Have coqchk check all that is compiled once more; takes minutes.")
@click.option("--to", "instance", type=output_file, metavar="FILE.v", help="Write an instance of LABEL; check nothing.")
@click.option("--case", "point", callback=reads(_point), metavar="K=V,...", help="Sizes of the instance, as D=4,L=2.")
@click.option("--seed", default=0, show_default=True, help="The instance's seed.")
def prove(
    names: tuple[str, ...],
    json_file: str | None,
    rewrite: bool,
    again: bool,
    instance: str | None,
    point: Params,
    seed: int,
) -> None:
    """Have a proof kernel check the theorems that claims name: statements for all sizes, in Rocq.

    It compiles the theories (each once, in the cache), and asks the kernel for the statement and the assumptions of
    each theorem. A theorem is accepted if nothing is assumed and the statement, with the definitions that it rests on,
    is the committed one.

    With --to, adapters that lora_proofs computes over Q are written as Rocq data; given such a FILE.v, the kernel
    computes itself that they have the rank and give the target.

    Exit code: 0 all are accepted; 1 one is not, which and why is said; 2 bad input; 3 there is no kernel.

    Example: lora-proofs prove zeng2024expressive
    """
    from lora_proofs.formal import Development, NoKernel, find_kernel, write_instance

    require_folders(json_file, instance)
    with bad_input():
        if instance:
            if len(names) != 1:
                raise ValueError(f"--to writes an instance of one label, not of {len(names)}")
            write(instance, write_instance(names[0], point, seed))
            return
        if point:
            raise ValueError("--case gives the sizes of an instance: say with --to where to write it")
        if rewrite and names:
            raise ValueError("--rewrite commits the text of all theorems: give no names with it")
        development = Development.shipped()
        files = [Path(name) for name in names if name.endswith(".v")]
        if missing := [file for file in files if not file.is_file()]:
            raise ValueError(f"there is no file {missing[0]}")
        labels = [name for name in names if not name.endswith(".v")]
        theorems = development.select(labels) if labels or not files else []
    try:
        kernel = find_kernel()
    except NoKernel as problem:
        note(str(problem))
        sys.exit(NO_KERNEL)
    answers = _ask(development, [theorem.name for theorem in theorems], files, kernel, rewrite, again)
    for text, style in _lines(answers, kernel):
        say(text, style, json_file)
    if json_file:
        found = {"kernel": kernel.name, "theorems": [answer.to_json() for answer in answers]}
        write(json_file, json.dumps(found, indent=1) + "\n")
    sys.exit(0 if all(answer.accepted for answer in answers) else 1)


def _ask(
    development: Development, names: Sequence[str], files: Sequence[Path], kernel: Kernel, rewrite: bool, again: bool
) -> list[Answer]:
    """Have the kernel check theorems, then files of data."""
    from lora_proofs.formal import prove, prove_instance
    from lora_proofs.judgement.environment import cache_folder

    theorems = [theorem for theorem in development.theorems if theorem.name in names]
    needed = development.needed(dict.fromkeys(theorem.file for theorem in theorems))
    answers: list[Answer] = []
    try:
        with bad_input(), progress_bar(len(needed), 0) as advance:
            if theorems:
                answers += prove(
                    development, theorems, kernel, cache_folder(), rewrite=rewrite, again=again, advance=advance
                )
            for file in files:
                answers += prove_instance(development, file, kernel, cache_folder())
    except RuntimeError as problem:
        raise click.ClickException(str(problem)) from None
    return answers


def _lines(answers: Sequence[Answer], kernel: Kernel) -> Iterator[tuple[str, str]]:
    """Yield lines and styles for people."""
    for answer in answers:
        verdict, style = ("proved", "good") if answer.accepted else ("NOT accepted", "bad")
        yield f"{answer.file}.{answer.name}: {verdict}", style
        yield f"    {answer.says}", ""
        if answer.differs:
            yield f"    differs from the print: {answer.differs}", ""
        if answer.statement:
            yield indent(f"the kernel's statement: {answer.statement}", "    "), ""
        for problem in answer.problems:
            yield f"    {problem}", "bad"
    good = sum(answer.accepted for answer in answers)
    yield f"{kernel.name} accepts {good} of {len(answers)} theorems", "good" if good == len(answers) else "bad"
