"""Exact spurious minima of the linearised LoRA problem, as rational instances with exact derivatives."""

from lora_proofs.ntk.traps.families import family_a, family_b, family_c, family_d, logistic, logistic_unregularised
from lora_proofs.ntk.traps.rational_instance import Trap, load_traps

__all__ = [
    "Trap",
    "family_a",
    "family_b",
    "family_c",
    "family_d",
    "load_traps",
    "logistic",
    "logistic_unregularised",
]


def __dir__() -> list[str]:
    return __all__
