"""What the commands that run claims share: selecting them, and running them until they end or are ended."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from lora_proofs.cli.terminal import INTERRUPTED, bad_input, note, progress_bar

if TYPE_CHECKING:
    from lora_proofs.judgement.collect import Selection
    from lora_proofs.judgement.workers import Workers
    from lora_proofs.judgement.workload import Workload
    from lora_proofs.presentation.report import Report

SEEDS = 5
"""Seeds per case, where the command line says nothing."""


def select_claims(selectors: Sequence[str]) -> list[Selection]:
    """Collect what the selectors name; see `lora_proofs.judgement.collect.collect`."""
    from lora_proofs.judgement.collect import CollectError, collect

    with bad_input(CollectError):
        return collect(selectors)


@dataclass
class Run:
    """A run under way: who works, and whom to tell how far it has come."""

    workers: Workers | None
    advance: Callable[..., None]
    interrupted: bool = False


@contextmanager
def running(
    total: int, jobs: int, dask: str | None = None, done: int = 0, kept: Callable[[], str] = lambda: ""
) -> Iterator[Run]:
    """Run a block with workers and a progress bar.

    Parameters
    ----------
    total, done : int
        How many units of work there are, and how many of them were done before.
    jobs, dask
        Who works: so many processes, or the cluster of a scheduler.
    kept : callable
        Says what is left of the work when a worker dies, and what to do about it.
    """
    from lora_proofs.judgement.collect import CollectError
    from lora_proofs.judgement.workers import ClusterError, WorkerDied, cluster, processes

    run = Run(None, lambda label, count=1: None)
    try:
        with (
            bad_input(ClusterError, CollectError),  # the latter from a check file that changed meanwhile
            cluster(dask) if dask else processes(jobs) as run.workers,
            progress_bar(total, done) as run.advance,
        ):
            yield run
    except KeyboardInterrupt:
        run.interrupted = True
    except WorkerDied as problem:
        raise click.ClickException(f"{problem}; {kept()}") from None


def run_checks(workload: Workload, selections: list[Selection], jobs: int, dask: str | None) -> Report:
    """Run a workload with a progress bar and a journal; end the process where the run cannot go on."""
    from lora_proofs.judgement.sweep import sweep
    from lora_proofs.judgement.verdict_lines import journal_of
    from lora_proofs.presentation.proofs import accepted_proofs
    from lora_proofs.presentation.report import Report

    journal = journal_of(workload, warn=lambda text: note(f"warning: {text}"))
    if journal.kept:
        note(f"resuming: {journal.kept} of {journal.size} cases were finished before")

    def kept() -> str:
        return f"{journal.kept} of {journal.size} cases are kept; the same command goes on from there"

    start = time.perf_counter()
    with running(
        journal.size, jobs, dask, journal.kept, lambda: f"{kept()}, with -j 1 it needs the least memory"
    ) as run:
        tallies = sweep(workload, journal, run.workers, run.advance)
    if run.interrupted:
        note(f"interrupted: {kept()}")
        sys.exit(INTERRUPTED)
    command = shlex.join(["lora-proofs", *sys.argv[1:]])
    proofs = accepted_proofs(claim for selection in selections for claim in selection.claims)
    return Report(selections, tallies, time.perf_counter() - start, command, journal.entries, proofs)
