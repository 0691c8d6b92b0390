"""Run many cases, serially, in processes or on a cluster, and survive a kill in the middle.

A batch of cases is plain data: a worker loads the check file by itself and builds each case from parameters and seed.
So a verdict depends neither on the number of workers, nor on the order, nor on what ran before.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from threading import Lock

from lora_proofs.judgement.claims import Claim
from lora_proofs.judgement.collect import CollectError, load
from lora_proofs.judgement.journal import Journal
from lora_proofs.judgement.scripts import script_digest
from lora_proofs.judgement.tally import Tally
from lora_proofs.judgement.threads import one_thread
from lora_proofs.judgement.verdict_lines import verdict_line
from lora_proofs.judgement.verify import Verdict, decide
from lora_proofs.judgement.workers import Workers
from lora_proofs.judgement.workload import Batch, Workload

# A worker reports after this time. A journey to it and back takes some milliseconds, which should not be felt, and a
# kill loses the work of at most two journeys a worker.
REPORT_SECONDS = 0.1

# Quick cases are written down together, after this time: doing one thing for many cases is much faster than many things
# for each, and a kill costs no more than this.
GROUP_SECONDS = 0.01

# The precision of mpmath is a global of the process, so two threads of one worker must not run checks at once.
_ALONE = Lock()


Tallies = dict[str, Tally]

_Entry = tuple[int, Verdict]
"""A verdict and its position in the workload."""


@dataclass(frozen=True)
class _Chunk:
    """Some cases of a batch, by their numbers."""

    batch: Batch
    numbers: Sequence[int]


@dataclass
class _Progress:
    """What a worker reports: so many of the cases that it was given, from the first on."""

    lines: list[bytes] = field(default_factory=list)
    tallies: Tallies = field(default_factory=dict)

    def add(self, entries: Iterable[_Entry]) -> None:
        """Take in verdicts."""
        for position, verdict in entries:
            self.lines.append(verdict_line(position, verdict))
            self.tallies.setdefault(verdict.claim, Tally()).add(position, verdict)


def sweep(
    workload: Workload,
    journal: Journal[Verdict],
    workers: Workers | None = None,
    progress: Callable[[str, int], object] = lambda label, count: None,
) -> Tallies:
    """Run the cases that the journal does not hold, and count the verdicts of each claim, those of the journal too.

    Parameters
    ----------
    workload : Workload
    journal : Journal
        Where the verdicts are kept; it is deleted from the disk when the run is complete.
    workers : Workers, optional
        From `lora_proofs.judgement.workers`; none: this process.
    progress : callable
        Called with a label and the number of verdicts that came in.
    """
    tallies: Tallies = {}
    held = bytearray(workload.size)
    for position, verdict in journal.finished():
        held[position] = True
        tallies.setdefault(verdict.claim, Tally()).add(position, verdict)
    todo = [chunk for batch in workload.batches if (chunk := _missing(batch, held)).numbers]
    with closing(_gather(todo, workers) if workers else _here(todo)) as reports:
        for done in reports:
            journal.write(done.lines)
            for label, tally in done.tallies.items():
                tallies.setdefault(label, Tally()).merge(tally)
            progress(next(reversed(done.tallies)), len(done.lines))
    journal.delete()
    return tallies


def _missing(batch: Batch, held: bytearray) -> _Chunk:
    here = held[batch.first : batch.first + len(batch)]
    return _Chunk(batch, [i for i, there in enumerate(here) if not there] if any(here) else range(len(batch)))


@cache
def _claims(path: str, source: str) -> dict[str, Claim]:
    """Load a check file, once a process and state of the file."""
    if script_digest(Path(path)) != source:
        raise CollectError(f"{path} is not the file that the run started with: it changed, or this machine has another")
    return {claim.label: claim for _, paper in load(Path(path)) for claim in paper.claims}


def _verdicts(chunks: Iterable[_Chunk]) -> Generator[list[_Entry], None, None]:
    """Yield the verdicts on the cases, in order: in groups where they are quick, one by one where they are slow.

    A group ends with its point of the grid, since the next point may be a slow one.
    """
    with _ALONE, one_thread() as threads:
        for batch, numbers in ((chunk.batch, chunk.numbers) for chunk in chunks):
            claim = _claims(batch.path, batch.source)[batch.label]
            control = next((c for c in claim.controls if c.description == batch.control), None)
            group: list[_Entry] = []
            start = time.perf_counter()
            for number in numbers:
                group.append((batch.first + number, decide(claim, batch.case(number), control, threads)))
                last_of_point = (number + 1) % len(batch.seeds) == 0
                if last_of_point or time.perf_counter() - start > GROUP_SECONDS:
                    yield group
                    group, start = [], time.perf_counter()
            if group:
                yield group


def _here(chunks: Iterable[_Chunk]) -> Generator[_Progress, None, None]:
    """Judge all of the cases in this process."""
    with closing(_verdicts(chunks)) as groups:
        for group in groups:
            done = _Progress()
            done.add(group)
            yield done


def _work(chunks: list[_Chunk]) -> _Progress:
    """Judge as many of the cases as `REPORT_SECONDS` allow, but one at least."""
    end = time.perf_counter() + REPORT_SECONDS
    done = _Progress()
    with closing(_verdicts(chunks)) as groups:
        for group in groups:
            done.add(group)
            if time.perf_counter() > end:
                break
    return done


def _gather(chunks: Iterable[_Chunk], workers: Workers) -> Generator[_Progress, None, None]:
    """Give each worker more than it manages in `REPORT_SECONDS`, and give to anyone what it brings back undone."""
    todo = deque(chunks)
    left = sum(len(chunk.numbers) for chunk in todo)
    reach = 1  # more than the latest worker managed, but not so many that they wait behind slow ones
    in_flight: dict[Future[_Progress], tuple[str, list[_Chunk]]] = {}
    while todo or in_flight:
        slots = workers.slots()
        for slot in set(slots) - {slot for slot, _ in in_flight.values()}:
            if todo:
                given = list(_take(todo, min(reach, 1 + left // (2 * len(slots)))))
                left -= sum(len(chunk.numbers) for chunk in given)
                in_flight[workers.submit(slot, _work, given)] = slot, given
        for undone, done in _completed(in_flight):
            left += sum(len(chunk.numbers) for chunk in undone)
            todo.extendleft(reversed(undone))
            reach = 1 + 2 * len(done.lines)
            yield done


def _completed(in_flight: dict[Future[_Progress], tuple[str, list[_Chunk]]]) -> list[tuple[deque[_Chunk], _Progress]]:
    """Wait for reports; return them with what they leave undone.

    No future outlives this call: a cluster would compute one again whose result is lost with a worker.
    """
    completed = []
    for future in wait(in_flight, return_when=FIRST_COMPLETED).done:
        undone, done = deque(in_flight.pop(future)[1]), future.result()
        list(_take(undone, len(done.lines)))
        completed.append((undone, done))
    return completed


def _take(chunks: deque[_Chunk], count: int) -> Iterator[_Chunk]:
    """Take so many cases from the left, or all that there are."""
    while chunks and count:
        chunk = chunks.popleft()
        taken, rest = chunk.numbers[:count], chunk.numbers[count:]
        if rest:
            chunks.appendleft(replace(chunk, numbers=rest))
        yield replace(chunk, numbers=taken)
        count -= len(taken)
