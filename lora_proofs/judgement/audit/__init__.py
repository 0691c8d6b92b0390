"""Mutation testing for checks: what a claim calls is replaced, and somebody has to notice."""

from lora_proofs.judgement.audit.explanations import Explanations, read_explanations
from lora_proofs.judgement.audit.mutation import Audit, audit, audit_all

__all__ = ["Audit", "Explanations", "audit", "audit_all", "read_explanations"]


def __dir__() -> list[str]:
    return __all__
