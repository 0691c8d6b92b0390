"""``lora-proofs plan``."""

from __future__ import annotations

import click

from lora_proofs.cli.terminal import bad_input, json_option, require_folders, say, write


@click.command()
@click.argument("frozen", type=click.Path(exists=True, dir_okay=False))
@click.argument("target", type=click.Path(exists=True, dir_okay=False))
@json_option
def plan(frozen: str, target: str, json_file: str | None) -> None:
    """Plan the ranks that turn one ReLU network into another.

    FROZEN and TARGET are safetensors files of tensors LAYER.weight and LAYER.bias, as torch.nn.Sequential names them;
    ReLU follows every layer. Exit code: 2 bad input; else 0.

    Example: lora-proofs plan frozen.safetensors target.safetensors
    """
    from lora_proofs.tools.planner import plan_files

    require_folders(json_file)
    with bad_input():
        found = plan_files(frozen, target)
    say(str(found), "", json_file)
    if json_file:
        write(json_file, found.to_json())
