"""Run many cases, serially, in processes or on a cluster, and survive a kill in the middle.

A stretch of cases is plain data: a worker loads the check file by itself and builds each case from parameters and seed.
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
from lora_proofs.judgement.environment import cache_folder, digest, versions
from lora_proofs.judgement.journal import Entry, Journal, line
from lora_proofs.judgement.tally import Tally
from lora_proofs.judgement.threads import one_thread
from lora_proofs.judgement.verify import judge
from lora_proofs.judgement.workers import Workers
from lora_proofs.judgement.workload import Plan, Stretch, size

__all__ = ["cache_folder", "sweep", "versions"]

# A worker reports after this time. A journey to it and back takes some milliseconds, which should not be felt, and a
# kill loses the work of at most two journeys a worker.
BATCH_SECONDS = 0.1

# Quick cases are written down together, after this time: doing one thing for many cases is much faster than many things
# for each, and a kill costs no more than this.
HANDFUL_SECONDS = 0.01

# The precision of mpmath is a global of the process, so two threads of one worker must not run checks at once.
_ALONE = Lock()


Tallies = dict[str, Tally]


@dataclass(frozen=True)
class _Piece:
    """Some cases of a stretch, by their numbers."""

    stretch: Stretch
    numbers: Sequence[int]


@dataclass
class _Done:
    """What a worker reports: so many of the cases that it was given, from the first on."""

    lines: list[bytes] = field(default_factory=list)
    tallies: Tallies = field(default_factory=dict)

    def add(self, entries: Iterable[Entry]) -> None:
        """Take in verdicts."""
        for position, verdict in entries:
            self.lines.append(line(position, verdict))
            self.tallies.setdefault(verdict.claim, Tally()).add(position, verdict)


def sweep(
    stretches: Plan,
    journal: Journal,
    workers: Workers | None = None,
    progress: Callable[[str, int], object] = lambda label, count: None,
) -> Tallies:
    """Run the cases that the journal does not hold, and count the verdicts of each claim, those of the journal too.

    Parameters
    ----------
    stretches : Plan
    journal : Journal
        Where the verdicts are kept; it is deleted from the disk when the run is complete.
    workers : Workers, optional
        From `lora_proofs.judgement.workers`; none: this process.
    progress : callable
        Called with a label and the number of verdicts that came in.
    """
    tallies: Tallies = {}
    held = bytearray(size(stretches))
    for position, verdict in journal.finished():
        held[position] = True
        tallies.setdefault(verdict.claim, Tally()).add(position, verdict)
    todo = [piece for stretch in stretches if (piece := _missing(stretch, held)).numbers]
    with closing(_gather(todo, workers) if workers else _here(todo)) as reports:
        for done in reports:
            journal.write(done.lines)
            for label, tally in done.tallies.items():
                tallies.setdefault(label, Tally()).merge(tally)
            progress(next(reversed(done.tallies)), len(done.lines))
    journal.delete()
    return tallies


def _missing(stretch: Stretch, held: bytearray) -> _Piece:
    here = held[stretch.first : stretch.first + len(stretch)]
    return _Piece(stretch, [i for i, there in enumerate(here) if not there] if any(here) else range(len(stretch)))


@cache
def _claims(path: str, source: str) -> dict[str, Claim]:
    """Load a check file, once a process and state of the file."""
    if digest(Path(path)) != source:
        raise CollectError(f"{path} is not the file that the run started with: it changed, or this machine has another")
    return {claim.label: claim for _, paper in load(Path(path)) for claim in paper.claims}


def _judge(pieces: Iterable[_Piece]) -> Generator[list[Entry], None, None]:
    """Yield the verdicts on the cases, in order: by the handful where they are quick, one by one where they are slow.

    A handful ends with its point of the grid, since the next point may be a slow one.
    """
    with _ALONE, one_thread() as threads:
        for stretch, numbers in ((piece.stretch, piece.numbers) for piece in pieces):
            claim = _claims(stretch.path, stretch.source)[stretch.label]
            control = next((c for c in claim.controls if c.description == stretch.control), None)
            handful: list[Entry] = []
            start = time.perf_counter()
            for number in numbers:
                handful.append((stretch.first + number, judge(claim, stretch.case(number), control, threads)))
                last_of_point = (number + 1) % len(stretch.seeds) == 0
                if last_of_point or time.perf_counter() - start > HANDFUL_SECONDS:
                    yield handful
                    handful, start = [], time.perf_counter()
            if handful:
                yield handful


def _here(pieces: Iterable[_Piece]) -> Generator[_Done, None, None]:
    """Judge all of the cases in this process."""
    with closing(_judge(pieces)) as judged:
        for handful in judged:
            done = _Done()
            done.add(handful)
            yield done


def _work(pieces: list[_Piece]) -> _Done:
    """Judge as many of the cases as `BATCH_SECONDS` allow, but one at least."""
    end = time.perf_counter() + BATCH_SECONDS
    done = _Done()
    with closing(_judge(pieces)) as judged:
        for handful in judged:
            done.add(handful)
            if time.perf_counter() > end:
                break
    return done


def _gather(pieces: Iterable[_Piece], workers: Workers) -> Generator[_Done, None, None]:
    """Give each worker more than it manages in `BATCH_SECONDS`, and give to anyone what it brings back undone."""
    todo = deque(pieces)
    left = sum(len(piece.numbers) for piece in todo)
    reach = 1  # more than the latest worker managed, but not so many that they wait behind slow ones
    flying: dict[Future[_Done], tuple[str, list[_Piece]]] = {}
    while todo or flying:
        slots = workers.slots()
        for slot in set(slots) - {slot for slot, _ in flying.values()}:
            if todo:
                given = list(_take(todo, min(reach, 1 + left // (2 * len(slots)))))
                left -= sum(len(piece.numbers) for piece in given)
                flying[workers.submit(slot, _work, given)] = slot, given
        for undone, done in _landed(flying):
            left += sum(len(piece.numbers) for piece in undone)
            todo.extendleft(reversed(undone))
            reach = 1 + 2 * len(done.lines)
            yield done


def _landed(flying: dict[Future[_Done], tuple[str, list[_Piece]]]) -> list[tuple[deque[_Piece], _Done]]:
    """Wait for reports; return them with what they leave undone.

    No future outlives this call: a cluster would compute one again whose result is lost with a worker.
    """
    landed = []
    for future in wait(flying, return_when=FIRST_COMPLETED).done:
        undone, done = deque(flying.pop(future)[1]), future.result()
        list(_take(undone, len(done.lines)))
        landed.append((undone, done))
    return landed


def _take(pieces: deque[_Piece], count: int) -> Iterator[_Piece]:
    """Take so many cases from the left, or all that there are."""
    while pieces and count:
        piece = pieces.popleft()
        taken, rest = piece.numbers[:count], piece.numbers[count:]
        if rest:
            pieces.appendleft(replace(piece, numbers=rest))
        yield replace(piece, numbers=taken)
        count -= len(taken)
