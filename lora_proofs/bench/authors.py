"""The construction in Zeng & Lee's own code, timed from a clone that the user names. None of it is copied here."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lora_proofs.bench.timing import Ratio

_SIZES = {"smoke": ((8, 2),), "quick": ((64, 4), (256, 4)), "full": ((64, 4), (256, 4), (1024, 4))}

_SCRIPT = """
import contextlib, io, json, sys, time, types
import numpy as np
import torch
sys.modules.setdefault("wandb", types.ModuleType("wandb"))
sys.path.insert(0, sys.argv[1])
from helper import our_construction
from lora_proofs import instances
from lora_proofs.constructions import adapt_linear_chain
torch.set_default_dtype(torch.float64)
D, L, runs = map(int, sys.argv[2:])
rng = np.random.default_rng(0)
frozen, target, R = instances.chain(rng, D, L), instances.uniform(rng, D), -(-D // L)
tensors, goal = [torch.asarray(W) for W in frozen], torch.asarray(target)
calls = lambda: adapt_linear_chain(frozen, target, R), lambda: our_construction(goal, tensors, R, False)
times = [], []
for run in range(runs + 1):
    for call, out in zip(calls, times):
        with contextlib.redirect_stdout(io.StringIO()):
            start = time.process_time()
            call()
            out.append(time.process_time() - start)
print(json.dumps([out[1:] for out in times]))
"""


def time_authors(path: Path, size: str = "full") -> Iterator[Ratio]:
    """Yield our time beside that of the authors' code (PyTorch, float64), in a process of its own.

    Parameters
    ----------
    path : Path
        A clone of https://github.com/UW-Madison-Lee-Lab/Expressive_Power_of_LoRA. Its code is run.

    Raises
    ------
    ValueError
        If the folder is not such a clone, or its code does not run here.
    """
    helper = path / "helper.py"
    if not helper.is_file() or "def our_construction(" not in helper.read_text(encoding="utf-8", errors="replace"):
        raise ValueError(
            f"{path} is no clone of UW-Madison-Lee-Lab/Expressive_Power_of_LoRA: "
            "it has no helper.py with our_construction; clone it and pass its folder"
        )
    for D, L in _SIZES[size]:
        runs = 1 if size == "smoke" else 5
        command = [sys.executable, "-c", _SCRIPT, str(path.resolve()), str(D), str(L), str(runs)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ValueError(f"the code in {path} does not run here: {reason}")
        ours, theirs = json.loads(done.stdout.splitlines()[-1])
        name = f"adapt_linear_chain, D = {D}, L = {L}, R = {-(-D // L)}"
        yield Ratio(name, "the authors' code (PyTorch)", tuple(ours), tuple(theirs))
