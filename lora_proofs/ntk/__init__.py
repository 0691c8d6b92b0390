"""The linearised (NTK) regime of LoRA: certified optima, second-order verdicts, rank thresholds."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lora_proofs.ntk.gradients import FactoredGradients
from lora_proofs.ntk.problem import LinearizedProblem, as_blocks

_HOME = {
    "certify": "certificate",
    "linearize": "linearize",
    "reduce_rank": "rank_reduction",
    "second_order": "second_order",
    "solve": "solve",
    "thresholds": "thresholds",
}

__all__ = ["FactoredGradients", "LinearizedProblem", "as_blocks", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME and find_spec(f"{__name__}.{_HOME[name]}"):
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
