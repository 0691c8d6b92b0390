"""Print how long Zeng & Lee's training loop takes for one network, and ours for all 960 of a panel: five seeds.

Their code is not part of this project: clone github.com/UW-Madison-Lee-Lab/Expressive_Power_of_LoRA and run
``OMP_NUM_THREADS=1 NPROC=1 python tests/benchmarks/training_loop.py CLONE`` (with torch and tqdm; wandb, which it
imports, is replaced by an empty module). Processor time, one thread each; theirs is the less of two, before and after
ours, without the start of the process, the time of a run of one epoch; ours is with compilation. About six minutes.
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

OURS = """
import sys
from zeng2024expressive_instances import relu
from zeng2024expressive_panels import grid
from lora_proofs.training import train_adapters
frozen, target = zip(*(relu(seed, 2 * int(sys.argv[1]), int(sys.argv[1]), False) for seed in range(5)))
train_adapters(target, frozen, **grid(quick=False))
"""
NETWORKS = 5 * 16 * 12
"""Seeds, ranks, and settings of Adam."""


def processor_seconds(command: Sequence[str], folder: str | Path, path: str) -> float:
    """Return the processor time of a command that is run in a folder, with `path` as PYTHONPATH."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def theirs(clone: Path, stubs: str, depth: int) -> float:
    """Return the time of their loop of 5000 epochs for one network of rank 8."""
    options = {"width": 16, "target_depth": depth, "frozen_depth": 2 * depth, "rank": 8, "method": "sgd", "wandb": 0}
    options |= {"batch_size": 256, "lr": 1e-3, "n_test": 5000, "exp": "fnn", "seed": 0}
    command = [sys.executable, "run_exp.py", *(f"--{name}={value}" for name, value in options.items())]
    whole, start = (processor_seconds([*command, f"--n_epochs={epochs}"], clone, stubs) for epochs in (5000, 1))
    return whole - start


def main(clone: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as stubs:
        (Path(stubs) / "wandb.py").touch()
        for depth in (1, 2):
            before = theirs(clone, stubs, depth)
            panel = processor_seconds([sys.executable, "-c", OURS, str(depth)], root / "figures", str(root))
            one = min(before, theirs(clone, stubs, depth))
            print(
                f"Lbar = {depth}, L = {2 * depth}: their loop, one network {one:.1f} s; ours, {NETWORKS} networks "
                f"{panel:.1f} s; {NETWORKS * one / panel:.0f} times",
                flush=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
