"""Which numbered statements of a paper are known to exist, which are checked, and which are not and why.

``paper_checks/coverage.toml`` has a table a paper. A statement names the claims that check it, by the part of their
labels after the colon, and says what is not checked::

    [eckart1936approximation]
    others = ["formula-residual"]
    "Theorem 1" = { known = "read", checked = ["theorem-1"] }
    "Theorem 2" = { known = "recalled", "not checked" = "about infinite matrices" }

``others`` are the claims of this project that belong to no numbered statement.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_proofs.judgement.claims import Paper
from lora_proofs.judgement.collect import CollectError

KNOWN = {
    "read": "in the paper's text, abstract or official code",
    "summary": "in a third party's summary",
    "recalled": "number or wording to be compared with the paper",
}
"""How a statement is known."""


@dataclass(frozen=True)
class Statement:
    """A statement of a paper: the claims that check it, and why it, or a part of it, is not checked."""

    name: str
    known: str
    checked: tuple[str, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Coverage:
    """The statements of one paper, and the claims beyond them."""

    key: str
    statements: tuple[Statement, ...]
    others: tuple[str, ...]

    @property
    def named(self) -> set[str]:
        """All claims that are named, without the paper's key."""
        return {name for statement in self.statements for name in statement.checked} | set(self.others)

    def lines(self) -> Iterator[str]:
        """Yield the coverage for people."""
        whole = sum(not statement.missing for statement in self.statements)
        part = sum(bool(statement.checked and statement.missing) for statement in self.statements)
        counts = f"{whole} of {len(self.statements)} statements checked, {part} more in part"
        yield f"{self.key}: {counts}; {len(self.others)} further claims"
        for statement in self.statements:
            mark = "" if statement.known == "read" else f" [{statement.known}]"
            yield f"  {statement.name}{mark}: {', '.join(statement.checked) or 'not checked'}"
            if statement.missing:
                yield f"      {'not checked: ' if statement.checked else ''}{statement.missing}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data, with full labels."""
        statements = [
            {
                "statement": statement.name,
                "known": statement.known,
                "checked": [f"{self.key}:{name}" for name in statement.checked],
                "not_checked": statement.missing,
            }
            for statement in self.statements
        ]
        return {"key": self.key, "statements": statements, "others": [f"{self.key}:{name}" for name in self.others]}


def read_coverage(file: Path) -> dict[str, Coverage]:
    """Read what is covered, a paper, from a TOML file.

    Raises
    ------
    CollectError
        If the file is missing or malformed, in one line.
    """
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
        return {key: _coverage(key, table) for key, table in tables.items()}
    except (OSError, ValueError) as problem:
        raise CollectError(f"cannot read {file}: {problem}") from None


def _coverage(key: str, table: Mapping[str, Any]) -> Coverage:
    entries = [_statement(f"[{key}] {name!r}", name, entry) for name, entry in table.items() if name != "others"]
    return Coverage(key, tuple(entries), _names(f"[{key}] others", table.get("others", [])))


def _statement(where: str, name: str, entry: object) -> Statement:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} is no table; write known, checked, 'not checked'")
    if unknown := entry.keys() - {"known", "checked", "not checked"}:
        raise ValueError(f"{where} has {', '.join(sorted(unknown))}; write known, checked, 'not checked'")
    if entry.get("known") not in KNOWN:
        raise ValueError(f"{where} must say known = one of {', '.join(KNOWN)}")
    checked, missing = _names(f"{where}, checked,", entry.get("checked", [])), entry.get("not checked", "")
    if not (checked or missing):
        raise ValueError(f"{where} names neither the claims that check it nor why it is not checked")
    return Statement(name, entry["known"], checked, missing)


def _names(where: str, found: object) -> tuple[str, ...]:
    if not isinstance(found, list):
        raise ValueError(f"{where} must be a list of claims, not {found!r}")
    return tuple(found)


def discrepancies(coverage: Mapping[str, Coverage], papers: Iterable[Paper]) -> list[str]:
    """Return a line, with what to do, for each claim or paper that only one of the two sides knows."""
    claims = {paper.key: {claim.label.partition(":")[2] for claim in paper.claims} for paper in papers}
    lines = [f"no paper has the key {key!r}: rename or remove the table [{key}]" for key in coverage.keys() - claims]
    for key, present in claims.items():
        if key not in coverage:
            lines.append(f"{key} has no table: add [{key}] with the paper's statements")
            continue
        for name in coverage[key].named - present:
            lines.append(f"{key}:{name} is named but is no claim: restore it, or name what checks the statement now")
        for name in present - coverage[key].named:
            lines.append(f"{key}:{name} is not named: add it to the statement that it checks, or to others")
        for name in set(coverage[key].others) & {n for s in coverage[key].statements for n in s.checked}:
            lines.append(f"{key}:{name} stands in others and in a statement: remove it from one of them")
    return sorted(lines)
