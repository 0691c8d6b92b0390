"""The linearised (NTK) regime of LoRA: certified optima, second-order verdicts, exact traps, rank thresholds."""

from lora_proofs.ntk.certificate import Certificate, certify, stationarity_bound
from lora_proofs.ntk.few_shot import few_shot_problem
from lora_proofs.ntk.gradients import FactoredGradients
from lora_proofs.ntk.landscape import Survey, frequency_map, survey
from lora_proofs.ntk.linearize import Linearization, linearize
from lora_proofs.ntk.problem import LinearizedProblem, as_blocks
from lora_proofs.ntk.rank_reduction import ReducedRank, reduce_adapters, reduce_rank
from lora_proofs.ntk.rational_problem import Trap, load_traps
from lora_proofs.ntk.second_order import ExactSecondOrder, SecondOrder, exact_second_order, second_order
from lora_proofs.ntk.solve import Solution, solve
from lora_proofs.ntk.thresholds import Threshold, Thresholds, thresholds

__all__ = [
    "Certificate",
    "ExactSecondOrder",
    "FactoredGradients",
    "Linearization",
    "LinearizedProblem",
    "ReducedRank",
    "SecondOrder",
    "Solution",
    "Survey",
    "Threshold",
    "Thresholds",
    "Trap",
    "as_blocks",
    "certify",
    "exact_second_order",
    "few_shot_problem",
    "frequency_map",
    "linearize",
    "load_traps",
    "reduce_adapters",
    "reduce_rank",
    "second_order",
    "solve",
    "stationarity_bound",
    "survey",
    "thresholds",
]
