"""Labelled sentences that every Python has: what the standard library says about mathematics and about files.

A sentence is the first one of a docstring, and its label is the topic of its module. So a real few-shot text
classification needs no download and no data package. Another Python version brings slightly other sentences.
"""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

TOPICS: dict[str, tuple[str, ...]] = {
    "mathematics": ("cmath", "decimal", "fractions", "math", "numbers", "random", "statistics"),
    "file system": (
        "filecmp",
        "fileinput",
        "fnmatch",
        "glob",
        "os",
        "os.path",
        "pathlib",
        "shutil",
        "stat",
        "tempfile",
    ),
}
"""The modules of each topic. Its position in this mapping is the class number, and its name serves as a prompt."""

_PROSE = re.compile(r"[A-Z][^>=|*{}<\\_\[\]`]*\.")
_WORDS = range(4, 31)


@cache
def sentences() -> dict[str, tuple[str, ...]]:
    """Return the sentences of each topic, sorted, without the ones that occur in two topics.

    ``python -OO`` leaves only the docstrings of functions written in C.
    """
    found = {topic: set(_sentences(modules)) for topic, modules in TOPICS.items()}
    shared = set.intersection(*found.values())
    return {topic: tuple(sorted(those - shared)) for topic, those in found.items()}


def _sentences(modules: tuple[str, ...]) -> Iterator[str]:
    for name in modules:
        for documented in _members(import_module(name)):
            first = re.split(r"(?<=\.)\s+", " ".join((inspect.getdoc(documented) or "").split()))[0]
            if _PROSE.fullmatch(first) and len(first.split()) in _WORDS:
                yield first


def _members(module: ModuleType) -> Iterator[Any]:
    """Yield the public functions and classes of a module, and the public methods and properties of these classes."""
    for name in getattr(module, "__all__", vars(module)):
        value = getattr(module, name)
        if name.startswith("_") or not (inspect.isroutine(value) or inspect.isclass(value)):
            continue
        yield value
        if inspect.isclass(value):
            for inner, member in vars(value).items():
                if not inner.startswith("_") and (inspect.isroutine(member) or inspect.isdatadescriptor(member)):
                    yield member
