"""The linearised (NTK) regime of LoRA: certified optima, second-order verdicts, rank thresholds."""

from typing import TYPE_CHECKING

from lora_proofs import lazy_face

# Eager, because a submodule of the same name would otherwise shadow the function once it is imported.
from lora_proofs.ntk.linearize import linearize
from lora_proofs.ntk.second_order import second_order
from lora_proofs.ntk.thresholds import thresholds

if TYPE_CHECKING:
    from lora_proofs.ntk.certificate import Certificate, certify, stationarity_bound
    from lora_proofs.ntk.gradients import FactoredGradients
    from lora_proofs.ntk.problem import LinearizedProblem, as_blocks
    from lora_proofs.ntk.rank_reduction import reduce_rank
    from lora_proofs.ntk.solvers.solve import GapWarning, Solution, solve

__all__ = [
    "Certificate",
    "FactoredGradients",
    "GapWarning",
    "LinearizedProblem",
    "Solution",
    "as_blocks",
    "certify",
    "linearize",
    "reduce_rank",
    "second_order",
    "solve",
    "stationarity_bound",
    "thresholds",
]

__getattr__, __dir__ = lazy_face(__name__)
