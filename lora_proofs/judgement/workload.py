"""The cases of a run as plain data: long lists of them in little memory, which a worker or a journal can read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from lora_proofs.judgement.claims import Case, Claim, Control, Grid, Params
from lora_proofs.judgement.collect import Selection
from lora_proofs.judgement.environment import PACKAGE, digest, versions


@dataclass(frozen=True)
class Stretch:
    """Consecutive cases of a plan: one claim, or one of its controls, at each point on each seed.

    ``source`` is the digest of the check file, by which a worker knows that what it loads has changed; ``first`` is
    the position in the plan.
    """

    path: str
    source: str
    label: str
    kind: str
    gap: str
    control: str | None
    points: Grid
    seeds: range
    backend: str
    dtype: str
    first: int

    def __len__(self) -> int:
        return len(self.points) * len(self.seeds)

    def case(self, number: int) -> Case:
        """Return a case by its number in the stretch."""
        point, seed = divmod(number, len(self.seeds))
        return Case(self.points[point], self.seeds[seed], backend=self.backend, dtype=self.dtype)


Plan = Sequence[Stretch]


def plan(
    selections: Sequence[Selection],
    seeds: int = 1,
    seed0: int = 0,
    at: Sequence[Params] = ({},),
    backend: str = Case.backend,
    dtype: str = Case.dtype,
) -> Plan:
    """List the stretches of a run in the order in which its verdicts will be reported.

    Claims whose requirements are not installed have none. See `Claim.cases` for `seeds`, `seed0` and `at`.
    """
    stretches: list[Stretch] = []
    first = 0
    for selection in selections:
        path, source = str(selection.path), digest(selection.path)
        for claim in (claim for claim in selection.claims if not claim.missing):
            sources: list[tuple[str | None, Claim | Control]] = [(None, claim)]
            sources += [(control.description, control) for control in claim.controls]
            for name, of in sources:
                points, numbers = of.points(at), of.seeds(seeds, seed0)
                stretches.append(
                    Stretch(
                        path, source, claim.label, claim.kind, claim.gap, name, points, numbers, backend, dtype, first
                    )
                )
                first += len(stretches[-1])
    return stretches


def size(stretches: Plan) -> int:
    """Return the number of cases of a plan."""
    return sum(map(len, stretches))


def fingerprint(stretches: Plan) -> str:
    """Digest the sources, the versions of what computes, and the plan."""
    parts = [digest(PACKAGE), json.dumps(versions()), *map(repr, stretches)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
