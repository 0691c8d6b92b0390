"""What people say about the survivors of an audit, in ``audit.toml`` beside the check files.

A survivor that cannot be helped has its reason there::

    [instances]  # functions that make instances, though they draw no random numbers
    "zeng2024expressive.pairs.sizes" = "reads the shape off the case"

    [[survivors]]  # replacement and claims may be left out, for all of them
    function = "lora_proofs.exact.algebra.rank"
    replacement = "plus one"
    claims = ["zeng2024expressive:lemma-1"]
    reason = "..."

    [controls]  # controls that enter no function of the claim's check
    "zeng2024expressive:lemma-1" = { "singular layers" = "..." }
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_proofs.judgement.collect import CollectError


@dataclass(frozen=True)
class Explanations:
    """What ``audit.toml`` says."""

    instances: Mapping[str, str] = field(default_factory=dict)
    survivors: Sequence[Mapping[str, Any]] = ()
    controls: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, claim: str, function: str, replacement: str) -> str:
        """Return the reason why a survivor cannot be helped, or nothing."""
        for entry in self.survivors:
            fits = entry["function"] == function and entry.get("replacement", replacement) == replacement
            if fits and claim in entry.get("claims", [claim]):
                return str(entry["reason"])
        return ""


def read_explanations(checks: Path) -> Explanations:
    """Read the ``audit.toml`` beside a check file; without one, nothing is explained.

    Raises
    ------
    CollectError
        If it is malformed, in one line.
    """
    file = checks.parent / "audit.toml"
    if not file.is_file():
        return Explanations()
    try:
        table = tomllib.loads(file.read_text("utf-8"))
        if unknown := table.keys() - {"instances", "survivors", "controls"}:
            raise ValueError(f"has {', '.join(sorted(unknown))}; write instances, survivors, controls")
        for entry in table.get("survivors", ()):
            if not {"function", "reason"} <= entry.keys() <= {"function", "reason", "replacement", "claims"}:
                raise ValueError(f"survivor {entry} needs function and reason, and may have replacement and claims")
        return Explanations(**table)
    except (OSError, ValueError, TypeError) as problem:
        raise CollectError(f"cannot read {file}: {problem}") from None
