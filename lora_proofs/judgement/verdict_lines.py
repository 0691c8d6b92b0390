"""The verdicts of a workload as lines of its journal: what a line holds, and what the workload knows already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lora_proofs.judgement.environment import cache_folder
from lora_proofs.judgement.journal import Journal, line
from lora_proofs.judgement.values import encode
from lora_proofs.judgement.verify import Verdict
from lora_proofs.judgement.workload import Workload

_FOUND = (
    "outcome", "evidence", "measured", "relation", "bound", "digits", "dtype", "backend", "seconds", "reason", "error"
)  # fmt: skip
"""What a line holds, in this order."""


def journal_of(workload: Workload, warn: Callable[[str], object]) -> Journal[Verdict]:
    """Open the journal of a workload; see `Journal` for `warn`."""

    def read(position: int, data: list[Any]) -> Verdict:
        batch, number = workload.locate(position)
        case = batch.case(number)
        known = {
            "claim": batch.label,
            "kind": batch.kind,
            "gap": batch.gap,
            "params": case.params,
            "seed": case.seed,
            "negative_control": batch.control,
            "asked": {"backend": batch.backend, "dtype": batch.dtype},
        }
        return Verdict.from_json({**dict(zip(_FOUND, data, strict=True)), **known})

    return Journal(cache_folder() / f"{workload.fingerprint}.jsonl", workload.size, read, warn)


def verdict_line(position: int, verdict: Verdict) -> bytes:
    """Write the verdict on the case at this position of a workload."""
    found = verdict.comparison
    compared = (encode(found.measured), found.relation, encode(found.bound)) if found else (None, None, None)
    settled = (verdict.digits, verdict.dtype, verdict.backend, verdict.seconds, verdict.reason, verdict.error)
    return line(position, (verdict.outcome, verdict.evidence, *compared, *settled))
