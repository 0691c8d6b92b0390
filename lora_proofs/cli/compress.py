"""``lora-proofs compress``."""

from __future__ import annotations

import click

from lora_proofs.cli.terminal import BadInput, bad_input, say


@click.command()
@click.argument("adapter", type=click.Path(exists=True, file_okay=False))
@click.argument("out", type=click.Path(file_okay=False))
@click.option("--rank", type=click.IntRange(min=1), help="Rank of the result.")
@click.option("--tolerance", type=float, help="Or: the smallest ranks with ||dW - dW'||_F <= TOLERANCE ||dW||_F.")
@click.option(
    "--problem", type=click.Path(exists=True, dir_okay=False), metavar="NPZ",
    help="Or: keep the outputs of this linearised problem (gradients.MODULE, offsets, labels, loss, lam).",
)  # fmt: skip
def compress(adapter: str, out: str, rank: int | None, tolerance: float | None, problem: str | None) -> None:
    """Reduce the ranks of a trained PEFT adapter.

    The result goes to another folder, OUT; its distance from the original is certified.

    Example: lora-proofs compress ./adapter ./smaller --rank 4
    """
    from lora_proofs.tools.compress import compress_folder, compress_folder_linearized

    if sum(option is not None for option in (rank, tolerance, problem)) != 1:
        raise BadInput("pass one of --rank, --tolerance and --problem")
    with bad_input():
        if problem is None:
            for name, found in compress_folder(adapter, out, rank, tolerance).items():
                say(f"{name}: {found}", "", None)
            return
        ranks, change = compress_folder_linearized(adapter, out, problem)
        for name, (before, after) in ranks.items():
            say(f"{name}: rank {before} -> {after}", "", None)
        norms = f"nuclear norm {change.norm_before:.6g} -> {change.norm:.6g}"
        say(f"outputs change by {change.fit_change:.1e} of the largest; {norms}", "", None)
