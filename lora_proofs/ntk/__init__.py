"""The linearised (NTK) regime of LoRA: certified optima, second-order verdicts, rank thresholds."""

from typing import TYPE_CHECKING

from lora_proofs.lazy import lazy_face

if TYPE_CHECKING:
    from lora_proofs.ntk import traps
    from lora_proofs.ntk.certificate import Certificate, certify, stationarity_bound
    from lora_proofs.ntk.compression import compress
    from lora_proofs.ntk.gradients import FactoredGradients
    from lora_proofs.ntk.landscape import descend, polish, survey
    from lora_proofs.ntk.linearize import linearize
    from lora_proofs.ntk.problem import LinearizedProblem, as_blocks
    from lora_proofs.ntk.rank_reduction import reduce_rank
    from lora_proofs.ntk.second_order import exact_second_order, second_order
    from lora_proofs.ntk.solvers.solve import GapWarning, Solution, solve
    from lora_proofs.ntk.spectrum import operator_norm_bound
    from lora_proofs.ntk.thresholds import Thresholds, thresholds

__all__ = [
    "Certificate",
    "FactoredGradients",
    "GapWarning",
    "LinearizedProblem",
    "Solution",
    "Thresholds",
    "as_blocks",
    "certify",
    "compress",
    "descend",
    "exact_second_order",
    "linearize",
    "operator_norm_bound",
    "polish",
    "reduce_rank",
    "second_order",
    "solve",
    "stationarity_bound",
    "survey",
    "thresholds",
    "traps",
]

lazy_face(__name__)
