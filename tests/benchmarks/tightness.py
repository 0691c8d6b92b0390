"""Print how far the error bounds below the threshold are from the measured error, over instances and depths.

Bound / E |f - target|_2, uniform on 500 points of |x|_inf <= 4; median of the seeds 0 to 4. The column "recalled" is no
bound in general (see the claim theorem-5-as-recalled); "moments" and "sharp" are those of `ErrorBounds`. The last one
is the measured error of the adapters and biases of `fit_to_distribution` over that of Theorem 5's, both on 500 other
points. Networks that are dead on all points are left out. Run it as ``python tests/benchmarks/tightness.py``.
"""

from statistics import median

import numpy as np

from lora_proofs import Box, instances
from lora_proofs.constructions import AdaptedReluNetwork, adapt_relu_network
from lora_proofs.constructions.relu.error_bounds import error_bounds, fit_to_distribution

BOUNDS = ("recalled", "corrected", "moments", "sharp")
INITIALISATIONS = ("uniform", "scaled gaussian", "orthogonal")
SIZES = (
    *((16, 2, 1, R) for R in (1, 3, 5, 7)),
    *((16, 4, 2, R) for R in (1, 4, 7)),
    (16, 8, 2, 3),
    (16, 8, 4, 5),
    (16, 16, 8, 7),
    (32, 4, 2, 8),
)


def ratios(D: int, L: int, Lbar: int, R: int, init: str, seed: int) -> list[float]:
    """Return the bounds over the measured mean error, and the fitted error over it; nothing where that is 0."""
    rng = np.random.default_rng(seed)
    frozen, target = (instances.relu_network(rng, D, depth, init) for depth in (L, Lbar))
    x, others = rng.uniform(-4, 4, (2, 500, D))
    ours = adapt_relu_network(frozen, target, R, domain=Box(-4.0, 4.0))
    fitted = adapt_relu_network(frozen, fit_to_distribution(frozen, target, R, x).network, R, domain=Box(-4.0, 4.0))

    def error(network: AdaptedReluNetwork, x: np.ndarray) -> float:
        return float(np.mean(np.linalg.norm(network(x) - target(x), axis=1)))

    measured, bounds = error(ours, x), error_bounds(frozen, target, R, x)
    if measured == 0:
        return []
    return [*(float(getattr(bounds, name)) / measured for name in BOUNDS), error(fitted, others) / error(ours, others)]


if __name__ == "__main__":
    print(f"{'initialisation':18}{'(D, L, Lbar, R)':18}" + "".join(f"{name:>11}" for name in (*BOUNDS, "fitted")))
    for init in INITIALISATIONS:
        for size in SIZES:
            rows = [row for seed in range(5) if (row := ratios(*size, init, seed))]
            columns = zip(*rows, strict=True)
            print(f"{init:18}{size!s:18}" + "".join(f"{median(column):11.3g}" for column in columns))
