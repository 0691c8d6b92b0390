"""Verify the theory of Low-Rank Adaptation (LoRA) by computing with it.

The mathematics (adapters, constructions, exact arithmetic) and the judgement (claims, verdicts, reports)
are two halves that do not import each other. Everything below loads on first use, so that importing the
package costs next to nothing.
"""

from typing import TYPE_CHECKING

from lora_proofs.lazy import lazy_face

__version__ = "0.1.0"


if TYPE_CHECKING:
    from lora_proofs import (
        adapters,
        claims,
        constructions,
        domains,
        exact,
        falsify,
        instances,
        linalg,
        networks,
        ntk,
        precision,
        pretrained,
        tools,
    )
    from lora_proofs.adapters import Adapter
    from lora_proofs.claims import Case, Comparison, OutOfScope, Paper, at_least, at_most, equal
    from lora_proofs.constructions import required_rank
    from lora_proofs.domains import Ball, Box
    from lora_proofs.enclosure import Enclosure
    from lora_proofs.networks import ReluNetwork, TransformerBlock, TransformerNetwork
    from lora_proofs.tools.planner import plan
    from lora_proofs.verify import verify

__all__ = [
    "Adapter", "Ball", "Box", "Case", "Comparison", "Enclosure", "OutOfScope", "Paper", "ReluNetwork",
    "TransformerBlock", "TransformerNetwork", "__version__", "adapters", "at_least", "at_most", "claims",
    "constructions", "domains", "equal", "exact", "falsify", "instances", "linalg", "networks", "ntk", "plan",
    "precision", "pretrained", "required_rank", "tools", "verify",
]  # fmt: skip

lazy_face(__name__)
