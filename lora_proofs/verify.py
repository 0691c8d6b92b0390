"""The verdict on a claim at a case."""

from lora_proofs.judgement.ladder import Evidence, Outcome
from lora_proofs.judgement.verify import Verdict, verify

__all__ = ["Evidence", "Outcome", "Verdict", "verify"]
