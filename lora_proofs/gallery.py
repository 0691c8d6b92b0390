"""Figures: find their scripts, compute what is stale, draw it, and compare it with what was published.

A script in ``figures/`` defines ``cases(quick)``, ``compute(**case)`` and ``plot(rows, published)``. Rows are tidy:
panel, curve, seed, x, y. The data is a CSV with a JSON sidecar; a picture is drawn from nothing else.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib.util import module_from_spec, spec_from_file_location
from math import comb
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

from lora_proofs.claims import Params

Rows = list[dict[str, Any]]

_PACKAGE = Path(__file__).resolve().parent
_COLUMNS = ("panel", "curve", "seed", "x", "y")


class FigureError(ValueError):
    """A name means no figure, or a script or its data cannot be used; the message is one clear line."""


@dataclass(frozen=True)
class Deviation:
    """How a published curve lies with respect to the computed one.

    Attributes
    ----------
    curve : str
        ``panel/curve``.
    inside, points : int
        Published points inside the band over seeds or within their reading error, and all of them.
    allowed : int
        How many points may lie outside by chance: none, unless the curve was trained anew; see `chance_outside`.
    worst : str
        The point that lies farthest outside, in words; empty if none does.
    artefact : str
        Why the published curve is not to be met; such a curve is not judged.
    """

    curve: str
    inside: int
    points: int
    allowed: int
    worst: str
    artefact: str

    @property
    def agrees(self) -> bool:
        """Whether nothing is left to explain."""
        return self.points - self.inside <= self.allowed or bool(self.artefact)


@dataclass(frozen=True)
class Script:
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
        return _import(self.path)

    @property
    def cases(self) -> list[Params]:
        """What is to be computed, in units that are kept when a run is cut off."""
        return [dict(case) for case in self.module.cases(self.quick)]

    @property
    def fingerprint(self) -> str:
        """Digest of the code that computes; how it is drawn and described does not enter."""
        sources = [self.path, *_neighbours(self.path)]
        return hashlib.sha256("\n".join(_computing_code(path) for path in sources).encode()).hexdigest()

    @property
    def stale(self) -> bool:
        """Whether the data is missing, was edited, or was computed by other code or for other cases."""
        try:
            side = json.loads(self.data.with_suffix(".json").read_text("utf-8"))
            found = hashlib.sha256(self.data.read_bytes()).hexdigest()
        except (OSError, ValueError):
            return True
        expected = (self.fingerprint, found, self.cases)
        return (side.get("fingerprint"), side.get("sha256"), side.get("cases")) != expected

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
        side = {
            "figure": self.name,
            "cases": self.cases,
            "fingerprint": self.fingerprint,
            "sha256": hashlib.sha256(self.data.read_bytes()).hexdigest(),
            "environment": environment,
            "seconds": round(seconds, 1),
        }
        self.data.with_suffix(".json").write_text(json.dumps(side, indent=1) + "\n", "utf-8")

    def draw(self, statements: dict[str, str]) -> tuple[Path, Path]:
        """Draw the pictures from the data, and put the caption into the sidecar; see `caption`."""
        from lora_proofs import plotting

        with plotting.style():
            svg, png = plotting.save(self.module.plot(self.rows(), self.published()), self.data.with_suffix(""))
        sidecar = self.data.with_suffix(".json")
        side = json.loads(sidecar.read_text("utf-8"))
        sidecar.write_text(json.dumps({**side, "caption": self.caption(statements)}, indent=1) + "\n", "utf-8")
        return svg, png

    @property
    def stored_caption(self) -> str | None:
        """The caption in the sidecar; None while there is none."""
        try:
            side = json.loads(self.data.with_suffix(".json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return str(side["caption"]) if "caption" in side else None

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
        """Compare with the published values, curve by curve.

        A published point agrees when it lies, within its reading error, between the least and the largest computed
        value over the seeds. A point that was not computed does not agree; in a quick run it does not count. Curves
        whose name is in the script's ``RETRAINED`` come from other random numbers than the published ones: of their
        points so many may lie outside as do by chance.
        """
        computed: dict[tuple[str, str, float], list[float]] = {}
        for row in self.rows():
            computed.setdefault((str(row["panel"]), str(row["curve"]), row["x"]), []).append(row["y"])
        curves: dict[str, Rows] = {}
        for row in self.published():
            key = (str(row["panel"]), str(row["curve"]), row["x"])
            if key in computed or not self.quick:
                curves.setdefault(f"{row['panel']}/{row['curve']}", []).append({**row, "values": computed.get(key, [])})
        artefacts, retrained = getattr(self.module, "ARTEFACTS", {}), getattr(self.module, "RETRAINED", ())
        found = []
        for curve, rows in curves.items():
            by_chance = curve.partition("/")[2] in retrained and all(row["values"] for row in rows)
            allowed = chance_outside(len(rows), min(len(row["values"]) for row in rows)) if by_chance else 0
            found.append(_deviation(curve, rows, allowed, artefacts.get(curve, "")))
        return found


def chance_outside(points: int, seeds: int, published: int = 5, level: float = 0.99) -> int:
    """Return how many points of a curve lie outside the range over seeds by chance, at the level given.

    The published value is the median of runs whose random numbers we do not have. If theirs and ours are alike, all
    orders of the `published` and the `seeds` values are equally likely, and the median leaves our range with a known
    probability: 1 / 6 for five and five. Neighbouring points are counted as independent; they are not, which makes
    the count more variable than the binomial one, and this limit a strict one.

    Parameters
    ----------
    points, seeds : int
    published : int
        Odd: the number of runs of which the median was published.
    level : float
    """
    beyond = (published + 1) // 2
    p = 2 * comb(seeds + published - beyond, seeds) / comb(seeds + published, seeds)
    tail, allowed = 1 - (1 - p) ** points, 0
    while tail > 1 - level:
        allowed += 1
        tail -= comb(points, allowed) * p**allowed * (1 - p) ** (points - allowed)
    return allowed


def figures_folder() -> Path:
    """Return the checkout's ``figures``, or the one that an installed package carries."""
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "figures").is_dir():
        return checkout / "figures"
    return _PACKAGE / "figures"


def scripts(names: Sequence[str] = (), quick: bool = False) -> list[Script]:
    """Return the figures of these names, or of the papers of these keys; all of them for none.

    Raises
    ------
    FigureError
        When a name means nothing.
    """
    found = [Script(path, quick) for path in sorted(figures_folder().glob("*.py")) if _computes(path)]
    if not names:
        return found
    for name in names:
        if not any(script.name == name or script.name.startswith(f"{name}_") for script in found):
            known = [script.name for script in found]
            close = get_close_matches(name, known, n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(known)}"
            raise FigureError(f"no figure is called {name!r}; {hint}")
    return [s for s in found if any(s.name == name or s.name.startswith(f"{name}_") for name in names)]


def rebuild(
    script: Script, jobs: int, kept: Path, environment: dict[str, str], progress: Callable[[str], object]
) -> None:
    """Compute the cases of a figure that an earlier run did not finish, and write its data.

    Parameters
    ----------
    script : Script
    jobs : int
        Worker processes.
    kept : Path
        Folder in which finished cases wait until the figure is complete.
    environment : dict
        Versions, for the sidecar.
    progress : callable
        Told the figure's name whenever a case is finished.
    """
    cases = script.cases
    digest = hashlib.sha256(f"{script.fingerprint} {script.quick} {json.dumps(environment)}".encode()).hexdigest()[:16]
    journal = kept / f"figure-{script.name}-{digest}.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    finished = _read_journal(journal)
    for _ in (case for case in cases if _key(case) in finished):
        progress(script.name)
    todo = [case for case in cases if _key(case) not in finished]
    with journal.open("a", encoding="utf-8") as file:
        for case, rows, seconds in _computed(script.path, todo, jobs):
            finished[_key(case)] = (rows, seconds)
            file.write(json.dumps({"case": case, "rows": rows, "seconds": seconds}) + "\n")
            file.flush()
            progress(script.name)
    results = [finished[_key(case)] for case in cases]
    script.write([rows for rows, _ in results], sum(seconds for _, seconds in results), environment)
    journal.unlink()


def _computed(path: Path, cases: list[Params], jobs: int) -> Iterator[tuple[Params, Rows, float]]:
    from joblib import Parallel, delayed

    if jobs == 1 or len(cases) < 2:
        yield from (_compute(path, case) for case in cases)
        return
    os.environ.setdefault("NPROC", "1")  # XLA's threads: workers that share cores lose by more than one
    yield from Parallel(n_jobs=jobs, batch_size=1, return_as="generator_unordered")(
        delayed(_compute)(path, case) for case in cases
    )


def _compute(path: Path, case: Params) -> tuple[Params, Rows, float]:
    from threadpoolctl import threadpool_limits

    start = time.perf_counter()
    module = _import(path)
    with threadpool_limits(1):  # the sum of a product depends on the number of threads
        rows = [{name: _plain(value) for name, value in row.items()} for row in module.compute(**case)]
    return case, rows, time.perf_counter() - start


def _plain(value: Any) -> Any:
    """Turn a NumPy scalar into the Python number that JSON and CSV keep without loss."""
    return value.item() if hasattr(value, "item") else value


def _read_journal(path: Path) -> dict[str, tuple[Rows, float]]:
    finished = {}
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            entry = json.loads(line)
        except ValueError:  # torn by a kill
            continue
        finished[_key(entry["case"])] = (entry["rows"], entry["seconds"])
    return finished


def _key(case: Params) -> str:
    return json.dumps(case, sort_keys=True)


def _deviation(curve: str, rows: Rows, allowed: int, artefact: str) -> Deviation:
    inside, worst, farthest = 0, "", 0.0
    for row in rows:
        values, y, error = row["values"], row["y"], float(row["reading_error"])
        if values and min(values) - error <= y <= max(values) + error:
            inside += 1
            continue
        excess = abs(y - median(values)) / max(error, sys.float_info.min) if values else float("inf")
        if excess >= farthest:
            farthest = excess
            there = f"computed {min(values):.3g} to {max(values):.3g}" if values else "not computed"
            worst = f"x = {row['x']:g}: published {y:.4g} +- {error:.1g}, {there}"
    return Deviation(curve, inside, len(rows), allowed, worst, artefact)


def _read(path: Path) -> Rows:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{**row, "x": float(row["x"]), "y": float(row["y"])} for row in csv.DictReader(file)]
    except (KeyError, ValueError) as problem:
        raise FigureError(f"{path} is no table of a figure: {problem}") from None


def _computes(path: Path) -> bool:
    """Tell whether a file is a figure, without running it; else it is shared by figures."""
    return bool(re.search(r"^def compute\(", path.read_text("utf-8"), re.MULTILINE))


def _neighbours(path: Path) -> list[Path]:
    """Return the files of the folder that a script imports, theirs too."""
    found: list[Path] = []
    queue = [path]
    while queue:
        for node in ast.walk(ast.parse(queue.pop().read_text("utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for file in (path.parent / f"{name}.py" for name in names):
                if file.is_file() and file != path and file not in found:
                    found.append(file)
                    queue.append(file)
    return sorted(found)


def _computing_code(path: Path) -> str:
    """Return the code of a script without docstring, ``plot`` and what only describes."""
    tree = ast.parse(path.read_text("utf-8"))
    describing = {"CLAIMS", "ARTEFACTS", "RETRAINED"}
    body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.FunctionDef) and node.name in ("plot",))
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (isinstance(node, ast.Assign) and {ast.unparse(t) for t in node.targets} & describing)
    ]
    return "\n".join(ast.unparse(node) for node in body)


def _import(path: Path) -> ModuleType:
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = spec_from_file_location(f"_lora_proofs_figure_{path.stem}", path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
