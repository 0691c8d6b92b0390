"""Have the kernel check the theorems that claims name, and compare what it prints with the committed text."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lora_proofs.formal.development import Development, Theorem, required, stated, unproved_steps
from lora_proofs.formal.kernel import Compiled, Kernel, compiled, recheck, what_is_wrong
from lora_proofs.formal.questions import Replies, ask

_CHECKS = "instances"
"""The theory whose definitions the files of data rest on."""
_RATIONAL = "From Coq Require Import List QArith.\n"
"""The notations in which the kernel answers about it."""


@dataclass(frozen=True)
class Answer:
    """What the kernel says of a theorem.

    Attributes
    ----------
    name, file, claims, says, differs
        As in `Theorem`.
    statement : str
        As the kernel prints it; empty where it has none.
    assumptions : list of str
        What the proof assumes: nothing, or it is not accepted.
    seconds : float
        What compiling its file took.
    problems : list of str
        Why it is not accepted.
    """

    name: str
    file: str
    claims: tuple[str, ...]
    says: str
    differs: str
    statement: str = ""
    assumptions: list[str] = field(default_factory=list)
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        """Whether the kernel has checked it on this machine and it says what is committed."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return the fields, with `accepted`."""
        return {**asdict(self), "accepted": self.accepted}


def prove(
    development: Development,
    theorems: Sequence[Theorem],
    kernel: Kernel,
    cache: Path,
    *,
    rewrite: bool = False,
    again: bool = False,
    advance: Callable[[str], None] = lambda name: None,
) -> list[Answer]:
    """Return what the kernel says of theorems, after compiling what they need.

    Parameters
    ----------
    development : Development
    theorems : sequence of Theorem
    kernel : Kernel
    cache : Path
        Where compiled theories and the accepted theorems are kept.
    rewrite : bool
        Commit the printed text instead of comparing with it. Needs all theorems of the development.
    again : bool
        Have coqchk check all that is compiled once more; what it objects to is every theorem's problem.
    advance : callable
        Told the name of every file that has been compiled.

    Raises
    ------
    RuntimeError
        If the kernel does not answer.
    """
    checks = [name for name in [_CHECKS] if rewrite and name in development.sources]
    files = development.needed(dict.fromkeys([*(theorem.file for theorem in theorems), *checks]))
    with compiled(development, files, kernel, cache, advance) as done:
        whole = [name for name in files if name in done.seconds]
        asked = [theorem.path for theorem in theorems if theorem.file in done.seconds]
        replies = ask(kernel, done.folder, development.prelude, whole, asked, development.definitions(whole))
        objections = recheck(kernel, done) if again else []
        of_checks = (
            ask(kernel, done.folder, _RATIONAL, checks, [], development.definitions(checks)) if checks else Replies()
        )
    if rewrite:
        development.write_statements(kernel.name, _texts(replies, asked) | of_checks.definitions)
    committed = development.read_statements()
    unproved = {name: unproved_steps(development.sources[name]) for name in files}
    answers = [_answer(development, theorem, done, replies, committed, unproved) for theorem in theorems]
    answers = [replace(answer, problems=[*answer.problems, *objections]) for answer in answers]
    _keep(development, kernel, cache, answers)
    return answers


def prove_instance(development: Development, file: Path, kernel: Kernel, cache: Path) -> list[Answer]:
    """Return what the kernel says of the theorems in a file of data: see `instances.write_instance`.

    A theorem there has to say that a check of ``instances.v`` is true, so that what is accepted has a meaning that the
    file itself cannot change: that of the definitions of ``instances.v``, whose text is committed.

    Raises
    ------
    RuntimeError
        If the kernel does not answer.
    ValueError
        If the file states no theorem.
    """
    source = file.read_text(encoding="utf-8")
    names = stated(source)
    if not names:
        raise ValueError(f"{file} states no theorem: pass a file that --to has written")
    problems = [f"{file.name}, {step}" for step in unproved_steps(source)]
    replies, theory, committed = Replies(), "the_instance", development.read_statements()
    start = time.perf_counter()
    with compiled(development, [_CHECKS, *required(source, development.sources)], kernel, cache) as done:
        (done.folder / f"{theory}.v").write_text(source, encoding="utf-8")
        result = kernel.run(done.folder / f"{theory}.v")
        if result.returncode:
            problems.append(what_is_wrong(result.stderr or result.stdout, source))
        else:
            asked = [f"{theory}.{name}" for name in names]
            replies = ask(kernel, done.folder, _RATIONAL, [theory], asked, development.definitions([_CHECKS]))
    seconds = round(time.perf_counter() - start, 2)
    answers = []
    for name in names:
        statement = " ".join(replies.statements.get(f"{theory}.{name}", "").split())
        assumptions = replies.assumptions.get(f"{theory}.{name}", [])
        found = [*problems, *(f"assumes {assumption}" for assumption in assumptions)]
        if statement and not re.fullmatch(r"instances\.\w+_holds\b.* = true", statement):
            found.append(f"does not say that a check of instances.v is true: {statement}")
        found += _changed(replies.rest_on([f"{theory}.{name}"]), replies, committed)
        says = "A check of instances.v is true of the data in the file, by computation."
        answers.append(Answer(name, file.name, (), says, "", statement, assumptions, seconds, found))
    return answers


def accepted(development: Development, cache: Path) -> dict[str, Answer]:
    """Return by name the theorems that a kernel has accepted on this machine, in the text that they have now."""
    try:
        kept = json.loads(_record(development, cache).read_text(encoding="utf-8"))
        return {name: Answer(**{**entry, "claims": tuple(entry["claims"])}) for name, entry in kept["theorems"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _record(development: Development, cache: Path) -> Path:
    parts = [development.digest(), repr(development.theorems), repr(development.read_statements())]
    return cache / "formal" / f"accepted-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}.json"


def _keep(development: Development, kernel: Kernel, cache: Path, answers: Sequence[Answer]) -> None:
    path = _record(development, cache)
    known = accepted(development, cache)
    for answer in answers:
        known.pop(answer.name, None)
        if answer.accepted:
            known[answer.name] = answer
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"kernel": kernel.name, "theorems": {name: asdict(answer) for name, answer in known.items()}})
    path.write_text(text + "\n", encoding="utf-8")


def _texts(replies: Replies, asked: Sequence[str]) -> dict[str, str]:
    """Return the statements of theorems, then the definitions that they rest on."""
    statements = {name: replies.statements[name] for name in asked if name in replies.statements}
    return statements | {name: replies.definitions[name] for name in replies.rest_on(asked)}


def _answer(
    development: Development,
    theorem: Theorem,
    done: Compiled,
    replies: Replies,
    committed: Mapping[str, str],
    unproved: Mapping[str, Sequence[str]],
) -> Answer:
    problems = []
    if theorem.file not in development.sources:
        problems.append(f"there is no {theorem.file}.v")
    elif theorem.file in done.broken:
        problems.append(f"{theorem.file}.v is not accepted: {done.broken[theorem.file]}")
    elif theorem.path in replies.missing:
        problems.append(f"{theorem.file}.v has no theorem of this name")
    assumptions = replies.assumptions.get(theorem.path, [])
    problems += [f"assumes {assumption}" for assumption in assumptions]
    for name in development.needed([theorem.file]):
        problems += [f"{name}.v, {step}" for step in unproved[name]]
    if theorem.path in replies.statements:
        problems += _differences(theorem.path, replies, committed)
    return Answer(
        **asdict(theorem),
        statement=replies.statements.get(theorem.path, ""),
        assumptions=assumptions,
        seconds=done.seconds.get(theorem.file, 0.0),
        problems=problems,
    )


def _differences(path: str, replies: Replies, committed: Mapping[str, str]) -> list[str]:
    """Say where the kernel's text of a theorem, or of a definition that it rests on, is not the committed one."""
    found = []
    for name, text in _texts(replies, [path]).items():
        if name not in committed:
            found.append(f"the text of {name} is not committed (lora-proofs prove --rewrite commits it)")
        elif text.split() != committed[name].split():
            what = "says something else than its committed text" if name == path else f"rests on {name}, which changed"
            found.append(f"{what}: {_first_difference(committed[name].split(), text.split())}")
    return found


def _changed(names: Sequence[str], replies: Replies, committed: Mapping[str, str]) -> list[str]:
    """Name the definitions whose text is not the committed one."""
    changed = [n for n in names if replies.definitions[n].split() != committed.get(n, "").split()]
    return [f"rests on {name}, whose text is not the committed one" for name in changed]


def _first_difference(old: Sequence[str], new: Sequence[str]) -> str:
    at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = max(0, at - 3)
    return f"'{' '.join(new[start : at + 6])}' in place of '{' '.join(old[start : at + 6])}'"
