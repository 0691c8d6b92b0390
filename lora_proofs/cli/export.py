"""``lora-proofs export``."""

from __future__ import annotations

import click

from lora_proofs.cli.terminal import bad_input, say


@click.command()
@click.argument("frozen", type=click.Path(exists=True, dir_okay=False))
@click.argument("target", type=click.Path(exists=True, dir_okay=False))
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--rank", type=click.IntRange(min=1), default=8, show_default=True, help="Rank of every adapter.")
@click.option("--box", type=float, default=4.0, show_default=True, help="ReLU networks: certify for |x_i| up to this.")
def export(frozen: str, target: str, folder: str, rank: int, box: float) -> None:
    """Build a PEFT adapter between two stored models.

    FROZEN and TARGET are safetensors files: of the same tensors (a base and its fine-tune: each matrix that differs
    gets its best adapter), or two ReLU networks of different depth as `plan` reads them (Theorem 3, biases included).

    Example: lora-proofs export base.safetensors tuned.safetensors ./adapter
    """
    from lora_proofs.tools.export import export_adapters

    with bad_input():
        for line in export_adapters(frozen, target, folder, rank, box).lines:
            say(line, "", None)
