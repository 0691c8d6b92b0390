"""How the package is built: its layers, from which the pages, and the test that holds them apart, are made."""

from __future__ import annotations

import ast

from lora_proofs.judgement.environment import PACKAGE

MATHEMATICS = (
    {"linalg", "precision", "float_bounds", "exact", "tensor_files", "backends"},
    {"adapters", "networks", "domains", "instances"},
    {"constructions", "ntk", "training", "pretrained"},
    {"tools", "bench"},
)
"""Knows nothing about papers, claims or reports. Each layer imports those before it, and itself."""

JUDGEMENT = ({"judgement"}, {"falsify", "homework"})
"""Knows nothing about matrices."""

PRESENTATION = ({"presentation"},)
"""Stands on judgement."""

COMMON = {"display", "enclosure", "lazy"}
"""Both halves use these."""

LEAVES = {"plotting", "formal"}
"""Scripts of figures, commands, and what presents, use these."""

FREE = {"claims", "verify", "cli", "exercises", "__init__", "__main__"}
"""Faces, commands and coursework, which see both halves, and what stands alone."""


def purpose(room: str) -> str:
    """Return what a module or package of the root is there for: the first paragraph of its docstring, as plain text.

    Parameters
    ----------
    room : str

    Examples
    --------
    >>> purpose("networks")
    'Networks as their weights and their forward pass, and their files.'
    """
    place = PACKAGE / room
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "") if file.is_file() else ""
    return " ".join(text.split("\n\n")[0].replace("``", "").split())


def chapters() -> list[tuple[str, str, list[list[tuple[str, str]]]]]:
    """Return the parts of the package: a title, a sentence, and their layers as lists of rooms with their purpose."""
    parts = (
        ("Mathematics", "Knows nothing about papers, claims or reports.", MATHEMATICS),
        ("Judgement", "Knows nothing about matrices.", JUDGEMENT),
        ("Presentation", "Stands on judgement, and shows what it found.", PRESENTATION),
        ("Common ground", "Both halves use it.", (COMMON | LEAVES,)),
        ("What sees both halves", "Beside the folders paper_checks and figures.", (FREE - {"__init__", "__main__"},)),
    )
    return [
        (title, about, [[(room, purpose(room)) for room in sorted(layer) if purpose(room)] for layer in layers])
        for title, about, layers in parts
    ]
