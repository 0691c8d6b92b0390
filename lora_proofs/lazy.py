"""Packages whose public names load on first use. Standard library only: every face uses it."""

import ast
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any


def lazy_face(package: str) -> None:
    """Load the public names of a package on first use: those that it imports under ``TYPE_CHECKING``.

    Type checkers, editors and the test of layers see plain imports; when the package runs, each of them waits until
    its name is asked for (PEP 562).
    """
    face = sys.modules[package]
    tree = ast.parse(Path(str(face.__file__)).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.asname or alias.name: (str(node.module), alias.name) for node in imports for alias in node.names}

    class Face(ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name not in homes:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            module, original = homes[name]
            if module == package:
                return import_module(f"{package}.{original}")
            found = getattr(import_module(module), original)
            setattr(self, name, found)
            return found

        def __setattr__(self, name: str, value: Any) -> None:
            # A module that is loaded is set in its package, and would hide the public name that is called as it is.
            if not isinstance(value, ModuleType) or homes.get(name, (package,))[0] == package:
                super().__setattr__(name, value)

        def __dir__(self) -> list[str]:
            return sorted(self.__all__)

    face.__class__ = Face
