"""Print the time of the constructions on each device, beside NumPy, and how far the results are apart.

Wall time with the device synchronised, median of three runs after one that is not counted.
"""

import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from lora_proofs import instances
from lora_proofs.constructions import adapt_linear_chain

sys.path.insert(0, str(Path(__file__).parents[1]))
from backends import BACKENDS

SIZES = ((1024, 4, 256), (2048, 4, 512), (4096, 2, 64))


def timed(backend, frozen, target, R):
    """Return the median time and the last result. Results hold floats, so that the device has finished."""
    arrays, goal, times = [backend.asarray(W) for W in frozen], backend.asarray(target), []
    for _ in range(4):
        start = time.perf_counter()
        result = adapt_linear_chain(arrays, goal, R)
        for a in result.adapters:
            backend.to_numpy(a.A)
        times.append(time.perf_counter() - start)
    return median(times[1:]), result


if __name__ == "__main__":
    for D, L, R in SIZES:
        rng = np.random.default_rng(0)
        frozen, target = instances.chain(rng, D, L), instances.uniform(rng, D)
        for backend in BACKENDS:
            if backend.name in {"numpy", "cupy", "torch-cuda"}:
                seconds, result = timed(backend, frozen, target, R)
                print(f"D = {D}, L = {L}, R = {R}: {backend.name:10} {seconds:8.2f} s, error {result.error:.3e}")
