"""Find check files, load them by path, and resolve what the command line names."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from lora_proofs.judgement.claims import Claim, Paper
from lora_proofs.judgement.environment import data_folder
from lora_proofs.judgement.scripts import load_script

CENTRAL = ("zeng2024expressive", "jang2024lora")
"""The papers that come first wherever papers are listed; the others follow in alphabetical order."""


class CollectError(ValueError):
    """A selector names nothing, or a check file cannot be loaded; the message is one clear line."""


@dataclass(frozen=True)
class Selection:
    """A paper, the check file that it stands in, and those of its claims that are selected."""

    path: Path
    paper: Paper
    claims: tuple[Claim, ...]


_Papers = list[tuple[Path, Paper]]
"""Each with the check file that it stands in."""


def collect(selectors: Sequence[str] = ()) -> list[Selection]:
    """Load papers and select claims.

    Parameters
    ----------
    selectors : sequence of str
        Paths to check files, to package folders or to folders of these; paper keys; labels. None at all: every
        paper of the checks folder. A key or label is looked up in the files named beside it before the checks
        folder, and narrows that file to what it names.

    Raises
    ------
    CollectError
        With one line that says which selector or which file is at fault.

    Examples
    --------
    >>> (selection,) = collect(["hu2022lora:formula-3-merge"])
    >>> selection.paper.title, [claim.label for claim in selection.claims]
    ('LoRA: Low-Rank Adaptation of Large Language Models', ['hu2022lora:formula-3-merge'])
    """
    paths = [Path(selector) for selector in selectors if _is_path(selector)]
    names = [selector for selector in selectors if not _is_path(selector)]
    files = [file for path in paths for file in _check_files(path)]
    papers = [found for file in dict.fromkeys(files) for found in load(file)]
    known = {paper.key for _, paper in papers}
    if missing := [name.partition(":")[0] for name in names if name.partition(":")[0] not in known]:
        papers += _from_checks_folder(missing, known_files=set(files))
    elif not selectors:
        papers = _from_checks_folder([], known_files=set())
    _refuse_twins(papers)
    return _select(papers, names, everything={file for file, _ in papers if file in files or not selectors})


def load(path: Path) -> _Papers:
    """Import a check file, or a package folder, and return its papers.

    Raises
    ------
    CollectError
        When the import fails, naming file, line and cause, or when the file holds no `Paper`.
    """
    if path.is_file() and path.suffix != ".py":
        raise CollectError(f"{path} is no Python file")
    try:
        module = load_script(path, "check")
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        raise CollectError(_blame(path, problem)) from problem
    papers = {id(value): value for value in vars(module).values() if isinstance(value, Paper)}
    if not papers:
        raise CollectError(f"{path} is no check file: it defines no Paper")
    return [(path, paper) for paper in papers.values()]


def _is_path(selector: str) -> bool:
    path = Path(selector)
    return path.suffix == ".py" or len(path.parts) > 1 or any(_python_files(path))


def _python_files(folder: Path) -> list[Path]:
    return [*folder.glob("*.py"), *folder.glob("*/__init__.py")]


def _check_files(path: Path) -> list[Path]:
    """Return the check files that a path stands for."""
    path = path.resolve()
    if path.name == "__init__.py":
        path = path.parent
    if path.is_file() or (path / "__init__.py").is_file():
        return [path]
    found = [file.parent if file.name == "__init__.py" else file for file in _python_files(path)]
    checks = [file for file in found if file.stem != "TEMPLATE" and not file.stem.startswith("_")]
    if not checks:
        raise CollectError(f"there is no check file in {path}" if path.is_dir() else f"there is no file {path}")
    return sorted(checks, key=_rank)


def _rank(file: Path) -> tuple[int, str]:
    return (CENTRAL.index(file.stem) if file.stem in CENTRAL else len(CENTRAL)), file.stem


def _from_checks_folder(keys: list[str], known_files: set[Path]) -> _Papers:
    """Load the files named after these keys; every file, where a key has none or no key is given."""
    files = [file for file in _check_files(data_folder("paper_checks")) if file not in known_files]
    named = [file for file in files if file.stem in keys]
    wanted = named if keys and {file.stem for file in named} == set(keys) else files
    return [found for file in wanted for found in load(file)]


def _refuse_twins(papers: _Papers) -> None:
    seen: dict[str, Path] = {}
    for path, paper in papers:
        if paper.key in seen:
            raise CollectError(f"the paper key {paper.key!r} stands in both {seen[paper.key]} and {path}")
        seen[paper.key] = path


def _select(papers: _Papers, names: list[str], everything: set[Path]) -> list[Selection]:
    known = [paper.key for _, paper in papers]
    known += [claim.label for _, paper in papers for claim in paper.claims]
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(close)}?" if close else "`lora-proofs list` shows the labels"
            raise CollectError(f"no paper or claim is called {name!r}; {hint}")

    def chosen() -> Iterator[Selection]:
        for path, paper in papers:
            picked = tuple(claim for claim in paper.claims if {paper.key, claim.label} & set(names))
            if claims := picked or (tuple(paper.claims) if path in everything else ()):
                yield Selection(path, paper, claims)

    return list(chosen())


def _blame(path: Path, problem: BaseException) -> str:
    """Say in one line which file and line of the check are at fault, and why."""
    cause = " ".join(f"{type(problem).__name__}: {problem}".split())
    if isinstance(problem, SyntaxError):
        return f"cannot load {problem.filename or path}, line {problem.lineno or 1}: SyntaxError: {problem.msg}"
    own = [f for f in traceback.extract_tb(problem.__traceback__) if f.filename.startswith(str(path))]
    return f"cannot load {own[-1].filename}, line {own[-1].lineno}: {cause}" if own else f"cannot load {path}: {cause}"
