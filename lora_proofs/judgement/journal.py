"""What survives a kill: the numbered entries of a run, kept on disk as lines of JSON."""

from __future__ import annotations

import json
import os
import re
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Generic, TypeVar
from weakref import finalize

Entry = TypeVar("Entry")

_encode = json.JSONEncoder(check_circular=False).encode
_LINE = re.compile(rb"(\d+) (\[.*\])\n")


def line(number: int, data: Sequence[Any]) -> bytes:
    r"""Write an entry of a journal, whose data is a list, as its line.

    Examples
    --------
    >>> line(3, ["holds", 0.5])
    b'3 ["holds", 0.5]\n'
    """
    return f"{number} {_encode(data)}\n".encode()


class Journal(Generic[Entry]):
    """Numbered entries of a run, on disk as soon as they are written. One process writes them.

    Parameters
    ----------
    path : Path
        Named by a digest of everything that the entries depend on, so that a stale one is never read.
    size : int
        How many entries the run asks for; they are numbered from 0.
    read : callable
        Makes an entry of its number and its data, a list. What raises there has been torn by a kill or a full disk.
    warn : callable
        Told in one line when nothing can be kept. The run goes on.

    Attributes
    ----------
    kept : int
        How many entries the next run would find.
    """

    def __init__(self, path: Path, size: int, read: Callable[[int, Any], Entry], warn: Callable[[str], object]) -> None:
        self.path = path
        self.size = size
        self._read = read
        self._durable = True
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b", buffering=0)
        except OSError as problem:
            warn(f"cannot keep finished cases in {path.parent} ({problem.strerror}); the run goes on")
            self._file = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115, kept as long as the journal
            self._durable = False
        finalize(self, self._file.close)
        self._end_torn_line()
        self.kept = sum(1 for _ in self.finished())

    def _end_torn_line(self) -> None:
        if (end := self._file.seek(0, os.SEEK_END)) and os.pread(self._file.fileno(), 1, end - 1) != b"\n":
            self._file.write(b"\n")  # a kill tore the last line: start a new one

    def finished(self) -> Iterator[tuple[int, Entry]]:
        """Yield, once each, the entries that the file holds, with their numbers."""
        seen = bytearray(self.size)
        with self._reader() as lines:
            for text in lines:
                found = _LINE.fullmatch(text)
                if not found or (number := int(found[1])) >= self.size or seen[number]:
                    continue
                try:
                    entry = self._read(number, json.loads(found[2]))
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue
                seen[number] = True
                yield number, entry

    def write(self, lines: Iterable[bytes]) -> None:
        """Write entries, as `line` makes them, at once."""
        text = b"".join(lines)
        self._file.write(text)
        self.kept += text.count(b"\n") if self._durable else 0

    def entries(self) -> Iterator[Entry]:
        """Yield the entries of a completed run in the order of their numbers."""
        places = array("q", [0]) * self.size
        place = 0
        with self._reader() as lines:
            for text in lines:
                # A torn line that looks whole is overruled: its case ran again, and stands further down.
                if (found := _LINE.fullmatch(text)) and int(found[1]) < self.size:
                    places[int(found[1])] = place
                place += len(text)
            for number in range(self.size):
                lines.seek(places[number])
                yield self._read(number, json.loads(lines.readline().partition(b" ")[2]))

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
