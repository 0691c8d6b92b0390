"""The formal development as text: sources, what each requires, theorems that claims name, their committed text."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

LIBRARY = "LoraProofs"
"""The logical name under which the theories require each other."""

STATED = r"(?:Theorem|Lemma|Corollary|Proposition|Remark|Fact)"
DEFINED = r"(?:Definition|Fixpoint|CoFixpoint|Inductive|CoInductive|Variant|Record|Structure|Class|Instance)"

_REQUIRE = re.compile(rf"\bFrom\s+{LIBRARY}\s+Require\s+(?:Import\s+|Export\s+)?([\w\s]+)\.")
_COMMENT = re.compile(r"\(\*|\*\)|\"(?:[^\"]|\"\")*\"")
_UNPROVED = re.compile(
    r"\b(?:Admitted|admit|give_up|Axioms?|Parameters?|Conjectures?|bypass_check)\b"
    r"|\bUnset\s+(?:Guard|Positivity|Universe)\s+Checking\b"
)


@dataclass(frozen=True)
class Theorem:
    """A theorem that claims name.

    Attributes
    ----------
    name, file : str
        The theorem is `name` in ``theories/<file>.v``.
    claims : tuple of str
        Labels of the claims that it proves, or proves a part of.
    says, differs : str
        The statement in words, and what differs from the printed one.
    """

    name: str
    file: str
    claims: tuple[str, ...]
    says: str
    differs: str = ""

    @property
    def path(self) -> str:
        """The qualified name, such as ``chain.lemma1_iff``."""
        return f"{self.file}.{self.name}"


@dataclass(frozen=True)
class Development:
    """A folder of theories, with ``theorems.toml`` and ``statements.txt`` beside it."""

    folder: Path

    @classmethod
    def shipped(cls) -> Development:
        """Return the development that comes with the package."""
        return cls(Path(str(files("lora_proofs.formal") / "theories")))

    @property
    def statements(self) -> Path:
        """The file of the committed text."""
        return self.folder.parent / "statements.txt"

    @cached_property
    def sources(self) -> dict[str, str]:
        """The text of every theory by its name."""
        return {path.stem: path.read_text(encoding="utf-8") for path in sorted(self.folder.glob("*.v"))}

    @cached_property
    def theorems(self) -> list[Theorem]:
        """The theorems that claims name.

        Raises
        ------
        ValueError
            If ``theorems.toml`` is not what it has to be.
        """
        path = self.folder.parent / "theorems.toml"
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as problem:
            raise ValueError(f"{path.name}: {problem}") from None
        found = [_theorem(name, file, entry) for file, entries in table.items() for name, entry in entries.items()]
        seen: dict[str, str] = {}
        for theorem in found:
            if theorem.name in seen:
                raise ValueError(f"{path.name}: {theorem.name} stands under {seen[theorem.name]} and {theorem.file}")
            seen[theorem.name] = theorem.file
        return found

    def select(self, names: Iterable[str]) -> list[Theorem]:
        """Return the theorems of these names, claims or papers; all of them where none is given.

        Raises
        ------
        ValueError
            If one of the names is none of these.
        """
        chosen: list[Theorem] = []
        for name in names:
            hit = [
                t
                for t in self.theorems
                if name in (t.name, t.path, t.file, *t.claims) or any(c.split(":")[0] == name for c in t.claims)
            ]
            if not hit:
                raise ValueError(f"no theorem proves {name!r}: pass a claim's label, a paper's key or a theorem's name")
            chosen += [t for t in hit if t not in chosen]
        return chosen or ([] if names else self.theorems)

    def requires(self, file: str) -> list[str]:
        """Return the theories that a theory requires itself."""
        return required(self.sources[file], self.sources)

    def needed(self, names: Iterable[str]) -> list[str]:
        """Return theories with all that they require, in an order in which they can be compiled."""
        order: list[str] = []

        def visit(file: str, above: tuple[str, ...] = ()) -> None:
            if file in above:
                raise ValueError(f"the theories require each other in a circle: {' -> '.join((*above, file))}")
            if file not in order:
                for other in self.requires(file):
                    visit(other, (*above, file))
                order.append(file)

        for name in names:
            if name in self.sources:
                visit(name)
        return order

    def digest(self, files: Iterable[str] | None = None) -> str:
        """Digest the sources of theories, or of all, each with its name."""
        chosen = self.sources if files is None else files
        text = "\0".join(f"{name}\0{self.sources[name]}" for name in sorted(chosen))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def definitions(self, names: Iterable[str]) -> list[str]:
        """Return the qualified names of what theories define."""
        pattern = re.compile(
            rf"^\s*(?:#\[[^]]*\]\s*)?(?:Local\s+|Global\s+|Program\s+)*{DEFINED}\s+([\w']+)", re.MULTILINE
        )
        return [f"{name}.{found}" for name in names for found in pattern.findall(bare(self.sources[name]))]

    @property
    def prelude(self) -> str:
        """What a question to the kernel begins with: the notations in which it answers."""
        if not any("From mathcomp" in text for text in self.sources.values()):
            return ""
        return "From mathcomp Require Import all_ssreflect all_algebra.\nOpen Scope ring_scope.\n"

    def read_statements(self) -> dict[str, str]:
        """Return the committed text by qualified name; empty where there is none."""
        if not self.statements.is_file():
            return {}
        blocks = re.split(r"^== (\S+)\n", self.statements.read_text(encoding="utf-8"), flags=re.MULTILINE)
        return {name: text.strip() for name, text in zip(blocks[1::2], blocks[2::2], strict=True)}

    def write_statements(self, kernel: str, texts: Mapping[str, str]) -> None:
        """Commit the text that the kernel prints."""
        head = f"What {kernel} prints for the theorems that claims name, and for the definitions that they rest on.\n"
        head += "Written by `lora-proofs prove --rewrite`; `lora-proofs prove` compares.\n"
        blocks = [f"\n== {name}\n{text.strip()}\n" for name, text in texts.items()]
        self.statements.write_text(head + "".join(blocks), encoding="utf-8")


def bare(source: str) -> str:
    """Return a source without comments and strings; lines keep their numbers."""
    out, depth, last = [], 0, 0
    for mark in _COMMENT.finditer(source):
        piece = source[last : mark.start()]
        out.append(piece if not depth else "\n" * piece.count("\n"))
        if mark[0] == "(*":
            depth += 1
        elif mark[0] == "*)":
            depth = max(0, depth - 1)
        out.append("\n" * mark[0].count("\n"))
        last = mark.end()
    out.append(source[last:] if not depth else "")
    return "".join(out)


def stated(source: str) -> list[str]:
    """Return the names of the theorems and lemmas that a source states."""
    return re.findall(rf"^\s*{STATED}\s+([\w']+)", bare(source), re.MULTILINE)


def required(source: str, known: Iterable[str]) -> list[str]:
    """Return which of the known theories a source requires."""
    names = [name for found in _REQUIRE.findall(bare(source)) for name in found.split()]
    return [name for name in known if name in names]


def unproved_steps(source: str) -> list[str]:
    """Return the words of a source that leave something unproved, with their lines."""
    text = bare(source)
    return [f"line {text.count(chr(10), 0, hit.start()) + 1}: {hit[0]}" for hit in _UNPROVED.finditer(text)]


def _theorem(name: str, file: str, entry: Mapping[str, Any]) -> Theorem:
    where = f"theorems.toml, {file}.{name}"
    if unknown := entry.keys() - {"claims", "says", "differs"}:
        raise ValueError(f"{where}: unknown key {sorted(unknown)[0]!r}; the keys are claims, says, differs")
    if not isinstance(entry.get("says"), str) or not entry["says"]:
        raise ValueError(f"{where}: says, the statement in words, is missing")
    return Theorem(name, file, tuple(entry.get("claims", ())), entry["says"], entry.get("differs", ""))
