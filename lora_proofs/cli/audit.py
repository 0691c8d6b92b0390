"""``lora-proofs audit``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from lora_proofs.cli.running import running, select_claims
from lora_proofs.cli.terminal import INTERRUPTED, bad_input, jobs_option, json_option, note, require_folders, say, write

if TYPE_CHECKING:
    from lora_proofs.judgement.audit.mutation import Audit


@click.command()
@click.argument("selectors", nargs=-1, metavar="[PATH|LABEL]...")
@json_option
@jobs_option
@click.option("--raised", is_flag=True, help="List the replacements after which a check raises, too.")
def audit(selectors: tuple[str, ...], json_file: str | None, jobs: int, raised: bool) -> None:
    """Test checks by mutation: find what could be wrong in them without a verdict changing.

    Each claim is run on its smallest case, with its controls. What one of the functions that it calls returns is
    replaced: by zero, by 1000 or 0.45 times itself, by one more, by its negation, by a bracket that lies elsewhere. A
    replacement after which the claim still holds and its controls are still caught is a survivor. It is printed with
    the reason that audit.toml, beside the check files, gives for it.

    Exit code: 0 no survivor without a reason; 1 some; 2 bad input; 130 interrupted, after what was found so far.

    Example: lora-proofs audit zeng2024expressive:lemma-1
    """
    from lora_proofs.judgement.audit.explanations import read_explanations
    from lora_proofs.judgement.audit.mutation import audit_all

    require_folders(json_file)
    selections = select_claims(selectors)
    with bad_input():
        for selection in selections:
            read_explanations(selection.path)
    claims = [(selection.path, claim.label) for selection in selections for claim in selection.claims]
    found: list[Audit] = []
    with running(len(claims), jobs, kept=lambda: "with -j 1 the audit needs the least memory") as run:
        for audited in audit_all(claims, run.workers, lambda label: run.advance(label, 0)):
            found.append(audited)
            run.advance(audited.claim)
    order = {label: number for number, (_, label) in enumerate(claims)}
    found.sort(key=lambda audited: order[audited.claim])
    for text, style in _lines(found, raised):
        say(text, style, json_file)
    if json_file:
        write(json_file, json.dumps({"claims": [audited.to_json() for audited in found]}, indent=1) + "\n")
    if run.interrupted:
        note(f"interrupted: {len(found)} of {len(claims)} claims are audited")
        sys.exit(INTERRUPTED)
    sys.exit(1 if any(audited.unexplained for audited in found) else 0)


def _lines(found: Sequence[Audit], raised: bool) -> Iterator[tuple[str, str]]:
    """Yield lines and styles for people."""
    for audited in found:
        if audited.skipped:
            yield f"{audited.claim}: not audited, {audited.skipped}", "doubt"
            continue
        style = "bad" if audited.unexplained else "doubt" if audited.survivors else "good"
        counts = f"killed {audited.killed}, survived {len(audited.survivors)}, raised {len(audited.raised)}"
        yield f"{audited.claim}: {audited.replacements} replacements; {counts}", style
        for survivor in audited.survivors:
            reason = f"; explained: {survivor.reason}" if survivor.reason else ""
            yield f"    survives: {survivor.function} ({survivor.place}): {survivor.replacement}{reason}", ""
        for line in audited.notes:
            yield f"    {line}", "doubt"
        for other in audited.raised if raised else ():
            yield f"    raises: {other.function} ({other.place}): {other.replacement}", ""
    total = sum(audited.replacements for audited in found)
    survivors = sum(len(audited.survivors) for audited in found)
    unexplained = sum(len(audited.unexplained) for audited in found)
    raising = sum(len(audited.raised) for audited in found)
    killed = sum(audited.killed for audited in found)
    yield (
        f"{total} replacements in {len(found)} claims: killed {killed}, "
        f"survived {survivors} ({_share(survivors, total)}, {unexplained} of them unexplained), "
        f"raised {raising} ({_share(raising, total)})",
        "bad" if unexplained else "good",
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"
