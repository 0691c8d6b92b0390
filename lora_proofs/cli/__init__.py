"""The command line: one file a command, named by it.

A command's file is loaded when the command is called, and holds only its options at first; what it needs, it imports
itself, so that ``--help`` is quick.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from lora_proofs import __version__
from lora_proofs.cli.terminal import INTERRUPTED, BadInput, discard_output, note

COMMANDS = (
    "audit", "bench", "check", "compress", "export", "falsify", "figure", "grade", "inspect", "list", "plan", "prove",
    "report",
)  # fmt: skip


class _Commands(click.Group):
    """The commands, each of which is the `click.Command` in the file of its name."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f"{__name__}.{name}")
        return next(value for value in vars(module).values() if isinstance(value, click.Command))


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


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lora-proofs", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Verify the theory of Low-Rank Adaptation (LoRA) by computing with it."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
