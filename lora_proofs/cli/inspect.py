"""``lora-proofs inspect``."""

from __future__ import annotations

import click

from lora_proofs.cli.terminal import bad_input, json_option, require_folders, say, write


@click.command()
@click.argument("adapter", type=click.Path(exists=True, file_okay=False))
@click.argument("base", type=click.Path(exists=True))
@json_option
def inspect(adapter: str, base: str, json_file: str | None) -> None:
    """Show what a PEFT adapter does to its base.

    Spectra, intruder dimensions and ranks of every module, beside the papers' thresholds. BASE is the model's folder,
    or its safetensors file.

    Example: lora-proofs inspect ./adapter model.safetensors
    """
    from lora_proofs.adapters import PeftFolder
    from lora_proofs.tools.inspect import inspect_adapter, read_base, table, to_json

    require_folders(json_file)
    with bad_input():
        weights, d_head = read_base(base)
        folder = PeftFolder.read(adapter, beside=True)
        reports = inspect_adapter(folder.adapters, weights, d_head, folder.fan_in_fan_out)
    say(table(reports), "", json_file)
    if beside := folder.beside:
        more = f" and {len(beside) - 5} more" if len(beside) > 5 else ""
        say(f"not inspected, though the adapter holds it: {', '.join(beside[:5])}{more}", "doubt", json_file)
    if json_file:
        write(json_file, to_json(reports))
