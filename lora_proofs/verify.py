"""The verdict on a claim at a case."""

from lora_proofs.judgement.ladder import Outcome
from lora_proofs.judgement.values import Evidence
from lora_proofs.judgement.verify import Verdict, verify

__all__ = ["Evidence", "Outcome", "Verdict", "verify"]
