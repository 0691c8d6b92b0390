"""Verify the theory of Low-Rank Adaptation (LoRA) by computing with it.

The mathematics (adapters, constructions, exact arithmetic) and the judgement (claims, verdicts, reports)
are two halves that do not import each other. Everything below loads on first use, so that importing the
package costs numpy and nothing more.
"""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"


def lazy_face(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package that imports its public names under ``TYPE_CHECKING``.

    Type checkers, editors and the test of layers see plain imports; when the package runs, each of them waits until
    its name is asked for (PEP 562). A name that is also that of a module in the package cannot wait: once loaded, the
    module would stand in its place.
    """
    face = sys.modules[package]
    tree = ast.parse(Path(str(face.__file__)).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.asname or alias.name: (str(node.module), alias.name) for node in imports for alias in node.names}

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = homes[name]
        if module == package:
            return import_module(f"{package}.{original}")
        found = getattr(import_module(module), original)
        setattr(face, name, found)
        return found

    return load, lambda: sorted(face.__all__)


# Eager, because a submodule of the same name would otherwise shadow the function once it is imported.
from lora_proofs.verify import verify  # noqa: E402

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

__all__ = [
    "Adapter", "Ball", "Box", "Case", "Comparison", "Enclosure", "OutOfScope", "Paper", "ReluNetwork",
    "TransformerBlock", "TransformerNetwork", "__version__", "adapters", "at_least", "at_most", "claims",
    "constructions", "domains", "equal", "exact", "falsify", "instances", "linalg", "networks", "ntk", "plan",
    "precision", "pretrained", "required_rank", "tools", "verify",
]  # fmt: skip

__getattr__, __dir__ = lazy_face(__name__)
