"""``lora-proofs falsify``."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lora_proofs.cli.running import select_claims
from lora_proofs.cli.terminal import INTERRUPTED, BadInput, json_option, progress_bar, require_folders, say, write

if TYPE_CHECKING:
    from lora_proofs.falsify import Search
    from lora_proofs.judgement.claims import Claim


@click.command()
@click.argument("selectors", nargs=-1, required=True, metavar="[PATH] LABEL")
@click.option("--budget", type=click.IntRange(min=1), metavar="N", help="Instances to try.  [default: 1000]")
@click.option("--seed", default=0, show_default=True, help="The first seed.")
@click.option(
    "--replay", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
    help="Judge the instance that an earlier search wrote with --json, in place of searching.",
)  # fmt: skip
@json_option
def falsify(
    selectors: tuple[str, ...], budget: int | None, seed: int, replay: str | None, json_file: str | None
) -> None:
    """Search for the instance that comes closest to breaking a claim.

    Exit code: 1 a violation is confirmed and the claim is not recorded as false; 2 bad input; 130 interrupted, after
    the worst instance so far; else 0.

    Example: lora-proofs falsify zeng2024expressive:lemma-1
    """
    from lora_proofs.falsify import BUDGET

    require_folders(json_file)
    claim = _one_claim(selectors)
    search = _replay(claim, replay) if replay else _search(claim, budget or BUDGET, seed)
    if search.tried and sum(search.errors.values()) == search.tried:
        raise BadInput(f"{claim.label} raises wherever it is tried: {next(iter(search.errors))}")
    for text, style in _describe_search(search, [*selectors], replay or json_file):
        say(text, style, json_file)
    if json_file:
        write(json_file, json.dumps(search.to_json(), indent=1, allow_nan=False) + "\n")
    sys.exit(INTERRUPTED if search.interrupted else search.exit_code)


def _one_claim(selectors: Sequence[str]) -> Claim:
    claims = [claim for selection in select_claims(selectors) for claim in selection.claims]
    if len(claims) != 1:
        raise BadInput(f"{' '.join(selectors)} names {len(claims)} claims; give the label of one: {claims[0].label}")
    if claims[0].missing:
        needs = "; ".join(f"{module}: {command}" for module, command in claims[0].missing)
        raise BadInput(f"{claims[0].label} needs {needs}")
    return claims[0]


def _search(claim: Claim, budget: int, seed: int) -> Search:
    from lora_proofs.falsify import falsify

    with progress_bar(budget, 0) as advance:
        return falsify(claim, budget, seed, lambda search: advance(f"measured/bound = {_ratio(search)}"))


def _replay(claim: Claim, file: str) -> Search:
    from lora_proofs.falsify import Instance, Search, evaluate

    try:
        data = json.loads(Path(file).read_text("utf-8"))
        if data["claim"] != claim.label:
            raise BadInput(f"{file} holds an instance of {data['claim']}, not of {claim.label}")
        instance = Instance.from_json(data["instance"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise BadInput(f"{file} is not what falsify --json writes: {problem}") from None
    search = Search(claim)
    search.record(evaluate(claim, instance))
    return search


_UNITS = {
    "<=": "",
    ">=": " (bound/measured: the claim is a lower bound)",
    "=": " (deviation in units of the tolerance)",
}


def _ratio(search: Search) -> str:
    worst = search.worst
    return "none" if worst is None or worst.ratio is None else f"{worst.ratio:.6g}"


def _describe_search(search: Search, selectors: list[str], file: str | None) -> Iterator[tuple[str, str]]:
    """Yield lines and styles for people."""
    from lora_proofs.presentation.report import describe

    worst = search.worst
    if worst is None:
        yield "no instance was judged", "doubt"
        return
    comparison = worst.verdict.comparison
    style = "bad" if search.exit_code else "good" if worst.ratio is not None else "doubt"
    yield f"measured/bound = {_ratio(search)}{_UNITS[comparison.relation] if comparison else ''}", style
    yield f"  {describe(worst.verdict)}{', its random numbers moved' if worst.instance.tape else ''}", ""
    total = search.tried
    counts = ", ".join(f"{outcome} {count}" for outcome, count in sorted(search.outcomes.items()))
    yield f"  instances {total}: {counts}{'; interrupted' if search.interrupted else ''}", ""
    for error, count in search.errors.most_common(1):
        yield f"  the check raised {sum(search.errors.values())} times, most often ({count}) {error}", "doubt"
    if search.claim.false_as_printed:
        yield f"  the claim is recorded as {search.claim.gap}", ""
    if not worst.instance.tape:
        yield f"  {worst.verdict.reproduce(shlex.join(selectors[:-1]))}", ""
    elif file and file != "-":
        yield f"  {shlex.join(['lora-proofs', 'falsify', *selectors, '--replay', file])}", ""
    else:
        yield "  --json FILE keeps the instance, and --replay FILE judges it again", ""
