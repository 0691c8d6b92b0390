"""Give data that a change of code leaves as it is the fingerprint of the new code, once its quick grid shows that.

The figure's quick grid is computed by the code of a commit at which its data was current, and by the code that is
there now, each in a process of its own. If all rows agree to the last digit, the data is stamped; else it stays stale.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

from lora_proofs.judgement.environment import PACKAGE, cache_folder
from lora_proofs.presentation.figures import Figure, FigureError

_STALE = """
import json
try:
    from lora_proofs.presentation.figures import find_figures
except ImportError:
    from lora_proofs.gallery import scripts as find_figures
stale = {}
for figure in find_figures():
    try:
        stale[figure.name] = figure.stale
    except ImportError as problem:
        stale[figure.name] = str(problem)
print(json.dumps(stale))
"""
"""Asks the code of a commit which of its figures are stale, or cannot be asked here."""


_Row = dict[str, str]


@dataclass(frozen=True)
class Restamped:
    """What became of a figure's data: ``stamped``, or why not; ``current`` where there was nothing to do."""

    name: str
    stamped: bool
    current: bool = False
    reason: str = ""


class _Refused(Exception):
    """The data cannot be stamped; the message says why."""


def restamp(figures: Sequence[Figure], commit: str, jobs: int = 1) -> Iterator[Restamped]:
    """Stamp the data of figures that a change since a commit left as it was.

    Parameters
    ----------
    figures : sequence of Figure
        Of the full grid, in a checkout.
    commit : str
        At which the data was current, as git names it.
    jobs : int
        Worker processes.

    Yields
    ------
    Restamped
        Figure by figure.

    Raises
    ------
    FigureError
        If there is no such commit.
    """
    before, number = _checkout(commit)
    stale: dict[str, bool | str] = {}
    for figure in figures:
        try:
            if not figure.stale:
                yield Restamped(figure.name, stamped=False, current=True)
                continue
            stale = stale or json.loads(_python(before, "-c", _STALE))
            _require_unchanged(figure, before, stale.get(figure.name, "it was no figure"))
            _require_equal(figure, _quick_rows(before, figure, jobs), _quick_rows(PACKAGE.parent, figure, jobs))
        except ImportError as problem:
            yield Restamped(figure.name, stamped=False, reason=f"cannot be computed: {problem}")
        except _Refused as problem:
            yield Restamped(figure.name, stamped=False, reason=str(problem))
        else:
            figure.stamp(number)
            yield Restamped(figure.name, stamped=True)


def _checkout(commit: str) -> tuple[Path, str]:
    """Return a folder with the files of a commit, kept for the next time, and the commit's full name."""
    try:
        number = _git("rev-parse", "--verify", f"{commit}^{{commit}}").strip()
        folder = cache_folder() / f"commit-{number}"
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=folder.parent) as scratch:
                _git("archive", "--output", f"{scratch}/files.zip", number)
                with zipfile.ZipFile(f"{scratch}/files.zip") as archive:
                    archive.extractall(f"{scratch}/files")
                os.rename(f"{scratch}/files", folder)
    except (OSError, subprocess.CalledProcessError) as problem:
        said = (getattr(problem, "stderr", "") or str(problem)).strip().splitlines()
        raise FigureError(f"{commit} is no commit of a checkout in {PACKAGE.parent}: {said[-1]}") from None
    return folder, number


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(PACKAGE.parent), *arguments], capture_output=True, text=True, check=True
    ).stdout


def _python(folder: Path, *arguments: str) -> str:
    """Run Python with the code of a folder and a cache of its own, and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "LORA_PROOFS_CACHE": str(_cache_of(folder))}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise _Refused(f"cannot be computed: {(done.stderr.strip().splitlines() or ['killed'])[-1]}")
    return done.stdout


def _cache_of(folder: Path) -> Path:
    return cache_folder() / "restamp" if folder == PACKAGE.parent else folder / ".cache"


def _require_unchanged(figure: Figure, before: Path, stale: bool | str) -> None:
    """Refuse data that was not current before, that has changed since, or that is of other cases."""
    if stale:
        raise _Refused("was stale before" if stale is True else f"cannot be computed: {stale}")
    data = before / figure.data.relative_to(PACKAGE.parent)
    if not figure.data.is_file() or figure.data.read_bytes() != data.read_bytes():
        raise _Refused("has other data than before")
    if figure.sidecar.get("cases") != figure.cases:
        raise _Refused("has other cases than before")


def _quick_rows(folder: Path, figure: Figure, jobs: int) -> list[_Row]:
    """Compute the quick grid by the code of a folder; what a commit has computed is kept."""
    data = Figure(folder / figure.path.relative_to(PACKAGE.parent), quick=True).data
    if folder == PACKAGE.parent:
        data.unlink(missing_ok=True)
    _python(folder, "-m", "lora_proofs", "figure", figure.name, "--quick", "-j", str(jobs))
    with data.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _require_equal(figure: Figure, before: list[_Row], now: list[_Row]) -> None:
    """Refuse rows that differ, but for measured times."""
    timed, nothing = getattr(figure.module, "TIMED", ()), _Row()
    for number, (old, new) in enumerate(zip_longest(before, now, fillvalue=nothing), 1):
        if {**old, "y": ""} == {**new, "y": ""} and old.get("panel") in timed:
            continue
        if old != new:
            raise _Refused(f"differs in row {number} of its quick grid: {_short(old)} before, {_short(new)} now")


def _short(row: _Row) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items() if value) or "nothing"
