"""A report from the JSON that an earlier check wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from lora_proofs.judgement.collect import Selection
from lora_proofs.judgement.tally import Tally
from lora_proofs.judgement.verify import Verdict
from lora_proofs.presentation.proofs import accepted_proofs
from lora_proofs.presentation.report import Report


def read_report(path: Path, selections: Sequence[Selection]) -> Report:
    """Return the report whose verdicts a file holds, of the claims that are selected.

    Raises
    ------
    ValueError
        If it is no file that ``lora-proofs check --json`` wrote, or holds no verdict on these claims.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
        verdicts = [Verdict.from_json(row) for row in data["verdicts"]]
        command = str(data["environment"]["command"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"{path} is not what check --json writes: {problem}") from None
    tallies: dict[str, Tally] = {}
    known = {claim.label for selection in selections for claim in selection.claims}
    kept = [verdict for verdict in verdicts if verdict.claim in known]
    for position, verdict in enumerate(kept):
        tallies.setdefault(verdict.claim, Tally()).add(position, verdict)
    if not kept:
        raise ValueError(f"{path} holds no verdict on the selected claims")
    found = {verdict.claim.partition(":")[0] for verdict in kept}
    selections = [selection for selection in selections if selection.paper.key in found]
    proofs = accepted_proofs(claim for selection in selections for claim in selection.claims)
    return Report(selections, tallies, sum(verdict.seconds for verdict in kept), command, lambda: iter(kept), proofs)
