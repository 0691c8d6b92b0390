"""Print how long Zeng & Lee's training loop takes for one network, and ours for all 960 of a panel: five seeds.

Their code is not part of this project: clone github.com/UW-Madison-Lee-Lab/Expressive_Power_of_LoRA and run
``OMP_NUM_THREADS=1 NPROC=1 python tests/benchmarks/training_loop.py CLONE`` (with torch and tqdm; wandb, which it
imports, is replaced by an empty module). One thread each; theirs is the less of two, before and after ours, without the
start of the process, the time of a run of one epoch; ours, in two processes, is with start and compilation. Theirs
trains one network after the other. About five minutes on two cores.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

OURS = """
import sys
from shared.zeng2024expressive_instances import relu
from shared.zeng2024expressive_panels import grid
from lora_proofs.training import train_adapters
depth, *seeds = map(int, sys.argv[1:])
frozen, target = zip(*(relu(seed, 2 * depth, depth, False) for seed in seeds))
train_adapters(target, frozen, seeds=seeds, **grid(quick=False))
"""
NETWORKS = 5 * 16 * 12
"""Seeds, ranks, and settings of Adam."""


def seconds(commands: Sequence[Sequence[str]], folder: str | Path, path: str) -> tuple[float, float]:
    """Return the wall and the processor time of commands run side by side in a folder, with `path` as PYTHONPATH."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    options = {"cwd": folder, "env": {**os.environ, "PYTHONPATH": path}}
    running = [subprocess.Popen(c, **options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for c in commands]
    codes = [process.wait() for process in running]
    if any(codes):
        raise RuntimeError(f"{commands[0][:2]} did not run in {folder}")
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def theirs(clone: Path, stubs: str, depth: int) -> tuple[float, float]:
    """Return the times of their loop of 5000 epochs for one network of rank 8."""
    options = {"width": 16, "target_depth": depth, "frozen_depth": 2 * depth, "rank": 8, "method": "sgd", "wandb": 0}
    options |= {"batch_size": 256, "lr": 1e-3, "n_test": 5000, "exp": "fnn", "seed": 0}
    command = [sys.executable, "run_exp.py", *(f"--{name}={value}" for name, value in options.items())]
    whole, start = (seconds([[*command, f"--n_epochs={epochs}"]], clone, stubs) for epochs in (5000, 1))
    return whole[0] - start[0], whole[1] - start[1]


def main(clone: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as stubs:
        (Path(stubs) / "wandb.py").touch()
        for depth in (1, 2):
            before = theirs(clone, stubs, depth)
            ours = [[sys.executable, "-c", OURS, str(depth), *seeds] for seeds in ("024", "13")]
            panel = seconds(ours, root / "figures", str(root))
            one = map(min, before, theirs(clone, stubs, depth))
            for kind, loop, ours_all in zip(("wall", "processor"), one, panel, strict=True):
                print(
                    f"Lbar = {depth}, L = {2 * depth}, {kind} time: their loop, one network {loop:.1f} s; ours, "
                    f"{NETWORKS} networks {ours_all:.1f} s; {NETWORKS * loop / ours_all:.0f} times",
                    flush=True,
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
