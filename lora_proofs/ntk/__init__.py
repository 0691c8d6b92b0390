"""The linearised (NTK) regime of LoRA: certified optima, second-order verdicts, rank thresholds."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

# Eager, because a submodule of the same name would otherwise shadow the function once it is imported.
from lora_proofs.ntk.certificate import Certificate, certify, stationarity_bound
from lora_proofs.ntk.gradients import FactoredGradients
from lora_proofs.ntk.problem import LinearizedProblem, as_blocks
from lora_proofs.ntk.solve import Solution, solve

_HOME = {
    "linearize": "linearize",
    "reduce_rank": "rank_reduction",
    "second_order": "second_order",
    "thresholds": "thresholds",
}

__all__ = [
    "Certificate",
    "FactoredGradients",
    "LinearizedProblem",
    "Solution",
    "as_blocks",
    "certify",
    "solve",
    "stationarity_bound",
    *_HOME,
]


def __getattr__(name: str) -> Any:
    if name in _HOME and find_spec(f"{__name__}.{_HOME[name]}"):
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
