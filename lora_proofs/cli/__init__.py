"""The command line.

Of each command only its options are loaded at first; what it needs, it imports itself, so that ``--help`` is quick.
"""

from __future__ import annotations

import sys

import click

from lora_proofs import __version__
from lora_proofs.cli.adapters import compress, export, inspect, plan
from lora_proofs.cli.audit import audit
from lora_proofs.cli.bench import bench
from lora_proofs.cli.check import check, list_claims
from lora_proofs.cli.falsify import falsify
from lora_proofs.cli.grade import grade
from lora_proofs.cli.present import figure, report
from lora_proofs.cli.terminal import INTERRUPTED, BadInput, discard_output, note


def main() -> None:
    """Run the command line; whatever is wrong with the input takes one line."""
    try:
        sys.exit(cli.main(prog_name="lora-proofs", standalone_mode=False))
    except click.ClickException as problem:
        note(f"Error: {problem.format_message()}")
        sys.exit(problem.exit_code)
    except click.Abort:
        note("interrupted")
        sys.exit(INTERRUPTED)
    except OSError as problem:  # such as a full disk under standard output
        discard_output()
        note(f"Error: {problem}")
        sys.exit(BadInput.exit_code)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lora-proofs", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Verify the theory of Low-Rank Adaptation (LoRA) by computing with it."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (audit, bench, check, compress, export, falsify, figure, grade, inspect, list_claims, plan, report):
    cli.add_command(command)
