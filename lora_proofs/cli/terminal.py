"""What the commands share: one line for bad input, a progress bar, files and standard output."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

INTERRUPTED = 130


_COLOURS: dict[str, dict[str, Any]] = {
    "head": {"bold": True},
    "good": {"fg": "green"},
    "doubt": {"fg": "yellow"},
    "bad": {"fg": "red"},
    "": {},
}


class BadInput(click.ClickException):
    """Input that cannot be used; shown in one line."""

    exit_code = 2


output_file = click.Path(dir_okay=False, allow_dash=True)


def reads(read: Callable[[Any], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Make an option's callback that reads its value, and turns the one clear line of a ValueError into bad input."""

    def callback(context: click.Context, option: click.Parameter, value: Any) -> Any:
        try:
            return read(value)
        except ValueError as problem:
            raise click.BadParameter(str(problem)) from None

    return callback


def _jobs(value: int) -> int:
    if value == 0 or value < -1:
        raise ValueError("give a positive number, or -1 for every core")
    return value


json_option = click.option("--json", "json_file", type=output_file, metavar="FILE", help="Write JSON ('-': stdout).")
jobs_option = click.option(
    "-j", "--jobs", default=1, show_default=True, callback=reads(_jobs), metavar="N",
    help="Worker processes; -1 uses every core.",
)  # fmt: skip


@contextmanager
def bad_input(first: type[Exception] = ValueError, *others: type[Exception]) -> Iterator[None]:
    """Turn the one clear line of an exception of these kinds into bad input."""
    kinds = (first, *others)
    try:
        yield
    except kinds as problem:
        raise BadInput(str(problem)) from None


@contextmanager
def progress_bar(total: int, done: int) -> Iterator[Callable[..., None]]:
    """Show a live bar on a terminal, and nothing where standard error is piped.

    What is yielded takes a label and how many units are done with it, one by default.
    """
    if not sys.stderr.isatty():
        yield lambda label, count=1: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=total, completed=done)
        shown, waiting = time.perf_counter(), 0

        def advance(label: str, count: int = 1) -> None:
            nonlocal shown, waiting
            waiting += count
            if (now := time.perf_counter()) - shown > 0.05:  # drawing takes longer than a small case
                progress.update(bar, advance=waiting, description=label)
                shown, waiting = now, 0

        yield advance
        progress.update(bar, advance=waiting)


def require_folders(*files: str | None) -> None:
    """Refuse an output file that cannot be written now, not after the run."""
    for file in files:
        if not file or file == "-":
            continue
        folder = Path(file).absolute().parent
        if not folder.is_dir():
            raise BadInput(f"the folder of {file} does not exist")
        if not os.access(file if Path(file).exists() else folder, os.W_OK):
            raise BadInput(f"cannot write {file}: permission denied")


def write(file: str, text: str | Iterable[str]) -> None:
    """Write a text, or pieces of one, to a file, or to standard output for ``-``."""
    try:
        with click.open_file(file, "w", encoding="utf-8") as stream:
            stream.writelines([text] if isinstance(text, str) else text)
            stream.flush()
    except BrokenPipeError:
        discard_output()
    except OSError as problem:
        raise BadInput(f"cannot write {file}: {problem.strerror}") from None


def say(text: str, style: str, json_file: str | None) -> None:
    """Print for people: on standard output, unless that carries the JSON.

    Whoever closes it early, as ``head`` does, has read enough: files and exit code do not depend on it.
    """
    try:
        click.secho(text, err=json_file == "-", **_COLOURS[style])
    except BrokenPipeError:
        discard_output()


def discard_output() -> None:
    """Let nothing more be written to standard output, not even when Python closes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def note(text: str) -> None:
    """Print a line on standard error."""
    click.echo(text, err=True)
