"""Verify the theory of Low-Rank Adaptation (LoRA) by computing with it.

The mathematics (adapters, constructions, exact arithmetic) and the judgement (claims, verdicts, reports)
are two halves that do not import each other. Everything below loads on first use, so that importing the
package costs numpy and nothing more.
"""

from importlib import import_module
from typing import Any

# Eager, because a submodule of the same name would otherwise shadow the function once it is imported.
from lora_proofs.judgement.verify import verify

__version__ = "0.1.0"

_HOME = {
    "Adapter": "adapters",
    "Ball": "domains",
    "Box": "domains",
    "Case": "claims",
    "Comparison": "claims",
    "Enclosure": "enclosure",
    "OutOfScope": "claims",
    "Paper": "claims",
    "ReluNetwork": "networks",
    "TransformerBlock": "networks",
    "TransformerNetwork": "networks",
    "at_least": "claims",
    "at_most": "claims",
    "equal": "claims",
    "required_rank": "constructions",
    "plan": "tools.planner",
}
_MODULES = ("adapters", "claims", "constructions", "domains", "exact", "falsify", "instances", "linalg", "networks",
            "ntk", "precision", "pretrained", "tools")  # fmt: skip

__all__ = [*_HOME, *_MODULES, "__version__", "verify"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
