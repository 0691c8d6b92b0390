"""Figures: find their scripts, compute what is stale, draw it, and compare it with what was published.

A script in ``figures/`` defines ``cases(quick)``, ``compute(**case)`` and ``plot(rows, published)``. Rows are tidy:
panel, curve, seed, x, y. The data is a CSV with a JSON sidecar; a picture is drawn from nothing else.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from lora_proofs.judgement.cases import Params
from lora_proofs.judgement.environment import data_folder
from lora_proofs.judgement.journal import Journal, line
from lora_proofs.presentation.figure_code import fingerprint, import_script
from lora_proofs.presentation.published import Deviation, Rows, compare

_COLUMNS = ("panel", "curve", "seed", "x", "y")


class FigureError(ValueError):
    """A name means no figure, or a script or its data cannot be used; the message is one clear line."""


@dataclass(frozen=True)
class Figure:
    """A figure: its script, its data, its pictures.

    Attributes
    ----------
    path : Path
    quick : bool
        Whether the small grid of cases is meant; its data is kept apart.
    """

    path: Path
    quick: bool = False

    @property
    def name(self) -> str:
        """The script's name, which is the figure's."""
        return self.path.stem

    @property
    def data(self) -> Path:
        """The CSV of computed rows."""
        folder = self.path.parent / "data"
        return (folder / "quick" if self.quick else folder) / f"{self.name}.csv"

    @property
    def pictures(self) -> tuple[Path, Path]:
        """SVG and PNG, beside the data."""
        return self.data.with_suffix(".svg"), self.data.with_suffix(".png")

    @cached_property
    def module(self) -> ModuleType:
        """The script, imported by path; its neighbours can be imported by name."""
        return import_script(self.path)

    @property
    def cases(self) -> list[Params]:
        """What is to be computed, in units that are kept when a run is cut off."""
        return [dict(case) for case in self.module.cases(self.quick)]

    @property
    def fingerprint(self) -> str:
        """Digest of the code that computes, the library's too; see `figure_code`."""
        return fingerprint(self.path)

    @property
    def sidecar(self) -> dict[str, Any]:
        """What is written down about the data; nothing while there is none."""
        try:
            return dict(json.loads(self.data.with_suffix(".json").read_text("utf-8")))
        except (OSError, ValueError):
            return {}

    @property
    def stale(self) -> bool:
        """Whether the data is missing, was edited, or was computed by other code or for other cases."""
        if not self.data.is_file():
            return True
        found = hashlib.sha256(self.data.read_bytes()).hexdigest()
        expected = (self.fingerprint, found, self.cases)
        return tuple(self.sidecar.get(key) for key in ("fingerprint", "sha256", "cases")) != expected

    def rows(self) -> Rows:
        """Read the computed rows; x and y are floats."""
        if not self.data.is_file():
            raise FigureError(f"{self.name} has no data in {self.data.parent}; run without --reuse-data")
        return _read(self.data)

    def published(self) -> Rows:
        """Read the published values, of which there may be none."""
        path = self.path.parent / "published" / f"{self.name}.csv"
        return _read(path) if path.is_file() else []

    def write(self, results: Sequence[Rows], seconds: float, environment: dict[str, str]) -> None:
        """Write the CSV and its sidecar."""
        rows = [row for result in results for row in result]
        if not rows or any(set(_COLUMNS) - row.keys() or row.keys() != rows[0].keys() for row in rows):
            raise FigureError(f"{self.name}: all rows need the same columns, {', '.join(_COLUMNS)} among them")
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with self.data.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        self._note(
            figure=self.name,
            cases=self.cases,
            fingerprint=self.fingerprint,
            sha256=hashlib.sha256(self.data.read_bytes()).hexdigest(),
            environment=environment,
            seconds=round(seconds, 1),
        )

    def stamp(self, commit: str) -> None:
        """Write down that the code that is there now computes the data as that of a commit did; see `restamp`."""
        self._note(**self.sidecar | {"fingerprint": self.fingerprint, "restamped": commit})

    def _note(self, **entries: Any) -> None:
        self.data.with_suffix(".json").write_text(json.dumps(entries, indent=1) + "\n", "utf-8")

    def draw(self, statements: dict[str, str]) -> tuple[Path, Path]:
        """Draw the pictures from the data, and put the caption into the sidecar; see `caption`."""
        from lora_proofs import plotting

        with plotting.style():
            svg, png = plotting.save(self.module.plot(self.rows(), self.published()), self.data.with_suffix(""))
        self._note(**self.sidecar | {"caption": self.caption(statements)})
        return svg, png

    @property
    def stored_caption(self) -> str | None:
        """The caption in the sidecar; None while there is none."""
        return self.sidecar.get("caption")

    @property
    def claims(self) -> tuple[str, ...]:
        """The labels of the claims that the figure illustrates."""
        return tuple(getattr(self.module, "CLAIMS", ()))

    def caption(self, statements: dict[str, str]) -> str:
        """Compose the caption: title, description, number of seeds, and the claims it illustrates.

        Parameters
        ----------
        statements : dict
            Label of a claim to its statement.
        """
        title, _, rest = (self.module.__doc__ or self.name).partition("\n")
        seeds = {row["seed"] for row in self.rows()} - {""}
        parts = [title.strip(), " ".join(rest.split())]
        parts += [f"Median and range over {len(seeds)} seeds."] if len(seeds) > 1 else []
        for label in self.claims:
            if label not in statements:
                raise FigureError(f"{self.name}: CLAIMS names {label!r}, which no paper has")
            parts.append(f"{label}: {statements[label].splitlines()[0]}")
        return " ".join(filter(None, parts))

    def compare(self) -> list[Deviation]:
        """Compare with the published values, curve by curve; see `published.compare`."""
        artefacts, retrained = (getattr(self.module, name, {}) for name in ("ARTEFACTS", "RETRAINED"))
        return compare(self.rows(), self.published(), artefacts, retrained, partly=self.quick)


def find_figures(names: Sequence[str] = (), quick: bool = False) -> list[Figure]:
    """Return the figures of these names, or of the papers of these keys; all of them for none.

    Raises
    ------
    FigureError
        When a name means nothing.
    """
    found = [Figure(path, quick) for path in sorted(data_folder("figures").glob("*.py"))]
    if not names:
        return found
    for name in names:
        if not any(figure.name == name or figure.name.startswith(f"{name}_") for figure in found):
            known = [figure.name for figure in found]
            close = get_close_matches(name, known, n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(known)}"
            raise FigureError(f"no figure is called {name!r}; {hint}")
    return [s for s in found if any(s.name == name or s.name.startswith(f"{name}_") for name in names)]


def rebuild(
    figure: Figure,
    jobs: int,
    kept: Path,
    environment: dict[str, str],
    progress: Callable[[str], object],
    warn: Callable[[str], object],
) -> None:
    """Compute the cases of a figure that an earlier run did not finish, and write its data.

    Parameters
    ----------
    figure : Figure
    jobs : int
        Worker processes.
    kept : Path
        Folder in which finished cases wait until the figure is complete.
    environment : dict
        Versions, for the sidecar.
    progress : callable
        Told the figure's name whenever a case is finished.
    warn : callable
        Told in one line when nothing can be kept.
    """
    cases = figure.cases
    parts = [figure.fingerprint, str(figure.quick), json.dumps(environment), json.dumps(cases)]
    digest = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]
    journal = Journal(kept / f"figure-{figure.name}-{digest}.jsonl", len(cases), _finished, warn)
    todo = set(range(len(cases)))
    for number, _ in journal.finished():
        todo.remove(number)
        progress(figure.name)
    for number, rows, seconds in _computed(figure.path, [(number, cases[number]) for number in sorted(todo)], jobs):
        journal.write([line(number, [rows, seconds])])
        progress(figure.name)
    results = list(journal.entries())
    figure.write([rows for rows, _ in results], sum(seconds for _, seconds in results), environment)
    journal.delete()


def _finished(_: int, data: list[Any]) -> tuple[Rows, float]:
    rows, seconds = data
    return rows, seconds


def _computed(path: Path, cases: list[tuple[int, Params]], jobs: int) -> Iterator[tuple[int, Rows, float]]:
    """Yield the number, the rows and the seconds of each case, as it is finished."""
    from joblib import Parallel, delayed

    from lora_proofs.judgement.workers import settle

    if jobs == 1 or len(cases) < 2:
        yield from (_compute(path, *case) for case in cases)
        return
    os.environ.setdefault("NPROC", "1")  # XLA's threads: workers that share cores lose by more than one
    yield from Parallel(n_jobs=jobs, batch_size=1, return_as="generator_unordered", initializer=settle)(
        delayed(_compute)(path, *case) for case in cases
    )


def _compute(path: Path, number: int, case: Params) -> tuple[int, Rows, float]:
    from threadpoolctl import threadpool_limits

    start = time.perf_counter()
    module = import_script(path)
    with threadpool_limits(1):  # the sum of a product depends on the number of threads
        rows = [{name: _plain(value) for name, value in row.items()} for row in module.compute(**case)]
    return number, rows, time.perf_counter() - start


def _plain(value: Any) -> Any:
    """Turn a NumPy scalar into the Python number that JSON and CSV keep without loss."""
    return value.item() if hasattr(value, "item") else value


def _read(path: Path) -> Rows:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{**row, "x": float(row["x"]), "y": float(row["y"])} for row in csv.DictReader(file)]
    except (KeyError, ValueError) as problem:
        raise FigureError(f"{path} is no table of a figure: {problem}") from None
