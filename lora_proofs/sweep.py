"""Run many cases, serially or in processes, and survive a kill in the middle.

A task is plain data: a worker loads the check file by itself and builds the case from parameters and seed. So a
verdict depends neither on the number of workers, nor on the order, nor on what ran before.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lora_proofs.claims import Case, Claim, Control, Params
from lora_proofs.collect import Selection, load
from lora_proofs.verify import Verdict, verify

# Sending a batch to a worker costs about a millisecond; below this duration that would be felt, and a kill
# loses at most one batch a worker.
BATCH_SECONDS = 0.1


@dataclass(frozen=True)
class Task:
    """One claim, or one of its controls, on one case.

    ``source`` is the digest of the check file, by which a worker knows that what it loaded has changed.
    """

    path: str
    source: str
    label: str
    control: str | None
    params: Params
    seed: int

    @property
    def key(self) -> str:
        """A text that distinguishes the task from every other task of a run."""
        return _key(self.label, self.control, self.params, self.seed)


def _key(label: str, control: str | None, params: Params, seed: int) -> str:
    return json.dumps([label, control, sorted(params.items()), seed])


def plan(selections: Sequence[Selection], seeds: int = 1, seed0: int = 0, at: Sequence[Params] = ({},)) -> list[Task]:
    """List the tasks of a run in the order in which its verdicts will be reported.

    Claims whose requirements are not installed have none. See `Claim.cases` for `seeds`, `seed0` and `at`.
    """
    tasks = []
    digests = {selection.path: _digest(selection.path) for selection in selections}
    for path, claim in ((s.path, claim) for s in selections for claim in s.claims if not claim.missing):
        sources: list[tuple[str | None, Claim | Control]] = [(None, claim)]
        sources += [(control.description, control) for control in claim.controls]
        for name, source in sources:
            cases = source.cases(seeds, seed0, at)
            tasks += [Task(str(path), digests[path], claim.label, name, case.params, case.seed) for case in cases]
    return tasks


def sweep(
    tasks: Sequence[Task],
    jobs: int = 1,
    journal: Journal | None = None,
    progress: Callable[[Verdict], object] = lambda verdict: None,
) -> list[Verdict]:
    """Run the tasks that the journal does not hold, and return all verdicts in the order of the tasks.

    Parameters
    ----------
    tasks : sequence of Task
    jobs : int
        Number of worker processes; 1 runs in this process, -1 uses every core.
    journal : Journal, optional
        Where finished verdicts are kept until the run is complete.
    progress : callable
        Called with each verdict as it comes.
    """
    verdicts = dict(journal.finished) if journal else {}
    todo = [task for task in tasks if task.key not in verdicts]
    for verdict in _run(todo, jobs):
        if journal:
            journal.append(verdict)
        verdicts[_verdict_key(verdict)] = verdict
        progress(verdict)
    if journal:
        journal.delete()
    return [verdicts[task.key] for task in tasks]


def _verdict_key(verdict: Verdict) -> str:
    return _key(verdict.claim, verdict.negative_control, verdict.case.params, verdict.case.seed)


@cache
def _claims(path: str, source: str) -> dict[str, Claim]:
    """Load a check file, once a process and state of the file."""
    return {claim.label: claim for _, paper in load(Path(path)) for claim in paper.claims}


def _perform(task: Task) -> Verdict:
    claim = _claims(task.path, task.source)[task.label]
    controls = {control.description: control for control in claim.controls}
    return verify(claim, Case(task.params, task.seed), controls[task.control] if task.control else None)


def _run(tasks: Sequence[Task], jobs: int) -> Iterator[Verdict]:
    """Yield the verdicts of the tasks as they come."""
    from joblib import Parallel, delayed, effective_n_jobs

    if effective_n_jobs(jobs) == 1:
        yield from map(_perform, tasks)
        return
    costs: dict[tuple[str, str | None], float] = {}
    workers = Parallel(n_jobs=jobs, backend="loky", batch_size=1, return_as="generator_unordered")
    for verdicts in workers(delayed(_perform_batch)(batch) for batch in _batches(tasks, costs)):
        for verdict in verdicts:
            costs[verdict.claim, verdict.negative_control] = verdict.seconds
            yield verdict


def _batches(tasks: Sequence[Task], costs: dict[tuple[str, str | None], float]) -> Iterator[list[Task]]:
    """Cut the tasks into batches of about `BATCH_SECONDS`, by what the latest case of each claim cost.

    `costs` fills while the batches are consumed; a claim that has no cost yet goes out one case at a time.
    """
    batch: list[Task] = []
    expected = 0.0
    for task in tasks:
        batch.append(task)
        expected += costs.get((task.label, task.control), BATCH_SECONDS)
        if expected >= BATCH_SECONDS:
            yield batch
            batch, expected = [], 0.0
    if batch:
        yield batch


def _perform_batch(tasks: list[Task]) -> list[Verdict]:
    # Ctrl-C reaches the whole process group. The parent ends the workers; a traceback from each would bury
    # its message.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return [_perform(task) for task in tasks]


@dataclass
class Journal:
    """The verdicts of an unfinished run, one JSON object a line; only the parent process writes it.

    Attributes
    ----------
    path : Path
        Named by a fingerprint of everything that the verdicts depend on, so a stale one is never read.
    finished : dict
        Task key to verdict, as an earlier run that was cut off left them.
    warn : callable
        Told, once and in one line, when the verdicts cannot be kept. The run goes on.
    """

    path: Path
    warn: Callable[[str], object]
    finished: dict[str, Verdict] = field(default_factory=dict)
    _writable: bool = True

    @classmethod
    def open(cls, tasks: Sequence[Task], warn: Callable[[str], object]) -> Journal:
        """Open the journal of these tasks and read what an earlier run finished."""
        journal = cls(cache_folder() / f"{_fingerprint(tasks)}.jsonl", warn)
        wanted = {task.key for task in tasks}
        try:
            journal.path.parent.mkdir(parents=True, exist_ok=True)
            text = journal.path.read_text("utf-8", "replace") if journal.path.exists() else ""
        except OSError as problem:
            journal._give_up(problem)
            return journal
        if not text.endswith("\n"):
            journal._write("\n" if text else "")  # a kill tore the last line: start a new one
        verdicts = filter(None, map(_parse_line, text.split("\n")))
        journal.finished = {key: verdict for verdict in verdicts if (key := _verdict_key(verdict)) in wanted}
        return journal

    def append(self, verdict: Verdict) -> None:
        """Write one verdict, at once."""
        self.finished[_verdict_key(verdict)] = verdict
        self._write(json.dumps(verdict.to_json()) + "\n")

    @property
    def kept(self) -> int:
        """How many verdicts the next run would find."""
        return len(self.finished) if self._writable else 0

    def delete(self) -> None:
        """Remove the journal of a completed run, which must never be served in place of a new one."""
        if self._writable:
            self.path.unlink(missing_ok=True)

    def _write(self, text: str) -> None:
        if not self._writable:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as problem:
            self._give_up(problem)

    def _give_up(self, problem: OSError) -> None:
        self._writable = False
        self.warn(f"cannot keep finished cases in {self.path.parent} ({problem.strerror}); the run goes on")


def _parse_line(line: str) -> Verdict | None:
    try:
        return Verdict.from_json(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def cache_folder() -> Path:
    """Return the folder in which unfinished runs are kept."""
    if folder := os.environ.get("LORA_PROOFS_CACHE"):
        return Path(folder)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lora_proofs"


def _fingerprint(tasks: Sequence[Task]) -> str:
    """Digest the sources, the versions of what computes, and the selection of tasks."""
    parts = [_digest(Path(__file__).parent), json.dumps(versions())]
    parts += [f"{task.path} {task.source} {task.key}" for task in tasks]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _digest(path: Path) -> str:
    """Digest a Python file, or all those of a package."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
        digest.update(f"{file.relative_to(path.parent)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that compute."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "scipy", "python-flint", "mpmath"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
