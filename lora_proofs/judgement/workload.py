"""The cases of a run as plain data: long lists of them in little memory, which a worker or a journal can read."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from lora_proofs.judgement.cases import Case, Grid, Params
from lora_proofs.judgement.claims import Claim, Control
from lora_proofs.judgement.collect import Selection
from lora_proofs.judgement.environment import package_digest, versions
from lora_proofs.judgement.scripts import script_digest


@dataclass(frozen=True)
class Batch:
    """Consecutive cases of a workload: one claim, or one of its controls, at each point on each seed.

    ``source`` is the digest of the check file, by which a worker knows that what it loads has changed; ``first`` is
    the position in the workload.
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
        """Return a case by its number in the batch."""
        point, seed = divmod(number, len(self.seeds))
        return Case(self.points[point], self.seeds[seed], backend=self.backend, dtype=self.dtype)


@dataclass(frozen=True)
class Workload:
    """The cases of a run, in the order in which its verdicts will be reported. Made by `Workload.of`."""

    batches: tuple[Batch, ...]

    @classmethod
    def of(
        cls,
        selections: Sequence[Selection],
        seeds: int = 1,
        seed0: int = 0,
        at: Sequence[Params] = ({},),
        backend: str = Case.backend,
        dtype: str = Case.dtype,
    ) -> Workload:
        """List the cases of the selected claims, but of those whose requirements are not installed.

        See `Claim.cases` for `seeds`, `seed0` and `at`.

        Examples
        --------
        >>> from lora_proofs.judgement.collect import collect
        >>> workload = Workload.of(collect(["hu2022lora:formula-3-merge"]), seeds=2)
        >>> batch, number = workload.locate(1)
        >>> batch.label, batch.case(number).seed
        ('hu2022lora:formula-3-merge', 1)
        """

        def batches() -> Iterator[Batch]:
            first = 0
            for selection in selections:
                path, source = str(selection.path), script_digest(selection.path)
                for claim in (claim for claim in selection.claims if not claim.missing):
                    sources: list[tuple[str | None, Claim | Control]] = [(None, claim)]
                    sources += [(control.description, control) for control in claim.controls]
                    for control, of in sources:
                        batch = Batch(
                            path, source, claim.label, claim.kind, claim.gap, control,
                            of.points(at), of.seeds(seeds, seed0), backend, dtype, first,
                        )  # fmt: skip
                        first += len(batch)
                        yield batch

        return cls(tuple(batches()))

    @property
    def size(self) -> int:
        """The number of cases."""
        return sum(map(len, self.batches))

    def locate(self, position: int) -> tuple[Batch, int]:
        """Return the batch that a case stands in, and its number there."""
        batch = self._filled[bisect_right(self._firsts, position) - 1]
        return batch, position - batch.first

    @cached_property
    def _filled(self) -> list[Batch]:
        return [batch for batch in self.batches if len(batch)]

    @cached_property
    def _firsts(self) -> list[int]:
        return [batch.first for batch in self._filled]

    @property
    def fingerprint(self) -> str:
        """Digest of the sources, of the versions of what computes, and of the cases."""
        parts = [package_digest(), json.dumps(versions()), *map(repr, self.batches)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
