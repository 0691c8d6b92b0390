"""``lora-proofs plan``, ``export``, ``compress`` and ``inspect``: networks and adapters in files."""

from __future__ import annotations

import click

from lora_proofs.cli.terminal import BadInput, bad_input, output_file, require_folders, say, write


@click.command()
@click.argument("frozen", type=click.Path(exists=True, dir_okay=False))
@click.argument("target", type=click.Path(exists=True, dir_okay=False))
@click.option("--json", "json_file", type=output_file, metavar="FILE", help="Write JSON ('-': stdout).")
def plan(frozen: str, target: str, json_file: str | None) -> None:
    """Plan the ranks that turn one ReLU network into another.

    FROZEN and TARGET are safetensors files of tensors LAYER.weight and LAYER.bias, as torch.nn.Sequential names them;
    ReLU follows every layer. Exit code: 2 bad input; else 0.
    """
    from lora_proofs.tools.planner import plan_files

    require_folders(json_file)
    try:
        found = plan_files(frozen, target)
    except ValueError as problem:
        raise BadInput(str(problem)) from None
    say(str(found), "", json_file)
    if json_file:
        write(json_file, found.to_json())


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
    """
    from lora_proofs.tools.export import export_adapters

    with bad_input():
        for line in export_adapters(frozen, target, folder, rank, box).lines:
            say(line, "", None)


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


@click.command()
@click.argument("adapter", type=click.Path(exists=True, file_okay=False))
@click.argument("base", type=click.Path(exists=True))
@click.option("--json", "json_file", type=output_file, metavar="FILE", help="Write JSON ('-': stdout).")
def inspect(adapter: str, base: str, json_file: str | None) -> None:
    """Show what a PEFT adapter does to its base.

    Spectra, intruder dimensions and ranks of every module, beside the papers' thresholds. BASE is the model's folder,
    or its safetensors file.
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
