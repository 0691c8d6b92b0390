"""``lora-proofs bench``."""

from __future__ import annotations

from pathlib import Path

import click

from lora_proofs.cli.terminal import bad_input, say


@click.command()
@click.option("--quick", is_flag=True, help="Small sizes, in a minute.")
@click.option(
    "--peer", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="PATH",
    help="A clone of the code of Zeng & Lee's authors, to be timed on the same networks.",
)  # fmt: skip
def bench(quick: bool, peer: Path | None) -> None:
    """Time the library beside its peers, taken in turn in one run, and print the ratios.

    Example: lora-proofs bench --quick
    """
    from lora_proofs.bench import compare, pairs, table, time_authors

    size = "quick" if quick else "full"
    with bad_input(ValueError, ImportError):
        found = list(time_authors(peer, size)) if peer else []
        found += [compare(*pair[1:]) for pair in pairs(size)]
    say(table(found), "", None)
