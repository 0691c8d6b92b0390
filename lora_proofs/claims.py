"""The public names of a check file: papers, their claims, and the cases on which a claim is tried."""

from lora_proofs.judgement.cases import Case
from lora_proofs.judgement.claims import Claim, Comparison, OutOfScope, Paper, at_least, at_most, equal

__all__ = ["Case", "Claim", "Comparison", "OutOfScope", "Paper", "at_least", "at_most", "equal"]
