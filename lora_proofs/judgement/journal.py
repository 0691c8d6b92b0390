"""The verdicts of a run, kept on disk: what survives a kill, and what the reports are written from."""

from __future__ import annotations

import json
import os
import re
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import IO
from weakref import finalize

from lora_proofs.judgement.environment import cache_folder
from lora_proofs.judgement.values import encode
from lora_proofs.judgement.verify import Verdict
from lora_proofs.judgement.workload import Plan, Stretch, fingerprint, size

Entry = tuple[int, Verdict]
"""A verdict and its position in the plan."""

# What a line holds; the plan knows the rest.
_FOUND = (
    "outcome", "evidence", "measured", "relation", "bound", "digits", "dtype", "backend", "seconds", "reason", "error"
)  # fmt: skip
_encode = json.JSONEncoder(check_circular=False, allow_nan=False).encode
_LINE = re.compile(rb"(\d+) \[.*\]\n")


def line(position: int, verdict: Verdict) -> bytes:
    """Write a line of the journal: the position in the plan and what was found there, as JSON."""
    found = verdict.comparison
    compared = (encode(found.measured), found.relation, encode(found.bound)) if found else (None, None, None)
    settled = (verdict.digits, verdict.dtype, verdict.backend, verdict.seconds, verdict.reason, verdict.error)
    row = (verdict.outcome, verdict.evidence, *compared, *settled)
    return f"{position} {_encode(row)}\n".encode()


def _read(text: bytes, stretch: Stretch, number: int) -> Verdict:
    """Read what `line` wrote."""
    case = stretch.case(number)
    data = dict(zip(_FOUND, json.loads(text.partition(b" ")[2]), strict=True))
    known = {
        "claim": stretch.label,
        "kind": stretch.kind,
        "gap": stretch.gap,
        "params": case.params,
        "seed": case.seed,
        "negative_control": stretch.control,
        "asked": {"backend": stretch.backend, "dtype": stretch.dtype},
    }
    return Verdict.from_json({**data, **known})


class Journal:
    """The lines of one plan's verdicts. Only the parent process writes them.

    Attributes
    ----------
    path : Path
        Named by a fingerprint of everything that the verdicts depend on, so a stale one is never read.
    size : int
        How many verdicts the plan asks for.
    kept : int
        How many verdicts the next run would find.
    """

    def __init__(self, stretches: Plan, warn: Callable[[str], object]) -> None:
        """Open the journal of a plan; `warn` is told, in one line, when nothing can be kept. The run goes on."""
        self.path = cache_folder() / f"{fingerprint(stretches)}.jsonl"
        self.size = size(stretches)
        self._stretches = [stretch for stretch in stretches if len(stretch)]
        self._durable = True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = self.path.open("a+b", buffering=0)
        except OSError as problem:
            warn(f"cannot keep finished cases in {self.path.parent} ({problem.strerror}); the run goes on")
            self._file = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115, kept as long as the journal
            self._durable = False
        finalize(self, self._file.close)
        self._end_torn_line()
        self.kept = sum(1 for _ in self.finished())

    def _end_torn_line(self) -> None:
        if (end := self._file.seek(0, os.SEEK_END)) and os.pread(self._file.fileno(), 1, end - 1) != b"\n":
            self._file.write(b"\n")  # a kill tore the last line: start a new one

    def finished(self) -> Iterator[Entry]:
        """Yield, once each, the verdicts that the file holds."""
        seen = bytearray(self.size)
        with self._reader() as lines:
            for text in lines:
                entry = self._parse(text)
                if entry and not seen[entry[0]]:
                    seen[entry[0]] = True
                    yield entry

    def write(self, lines: Iterable[bytes]) -> None:
        """Write verdicts, as `line` makes them, at once."""
        text = b"".join(lines)
        self._file.write(text)
        self.kept += text.count(b"\n") if self._durable else 0

    def verdicts(self) -> Iterator[Verdict]:
        """Yield the verdicts of a completed run in the order of the plan."""
        places = array("q", [0]) * self.size
        place = 0
        with self._reader() as lines:
            for text in lines:
                # A torn line that looks whole is overruled: its case ran again, and stands further down.
                if (found := _LINE.fullmatch(text)) and int(found[1]) < self.size:
                    places[int(found[1])] = place
                place += len(text)
            for stretch in self._stretches:
                for number in range(len(stretch)):
                    lines.seek(places[stretch.first + number])
                    yield _read(lines.readline(), stretch, number)

    def delete(self) -> None:
        """Remove the journal of a completed run, which must never be served in place of a new one.

        What it holds can be read as long as this object lives.
        """
        if self._durable:
            self.path.unlink(missing_ok=True)

    def _reader(self) -> IO[bytes]:
        reader = os.fdopen(os.dup(self._file.fileno()), "rb")
        reader.seek(0)
        return reader

    def _parse(self, text: bytes) -> Entry | None:
        """Read a line; None for what a kill or a full disk left of it."""
        found = _LINE.fullmatch(text)
        if not found or (position := int(found[1])) >= self.size:
            return None
        stretch = self._stretches[bisect_right(self._stretches, position, key=attrgetter("first")) - 1]
        try:
            return position, _read(text, stretch, position - stretch.first)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
