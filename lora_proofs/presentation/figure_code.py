"""What a figure is computed by: the code of its script, of what scripts share, and of the library that these reach.

Only code that computes counts. Docstrings, comments, annotations of functions, what draws and what describes do not
enter, nor do names and places of our own modules: what moves, or is explained better, computes the same.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

from lora_proofs.judgement.environment import PACKAGE
from lora_proofs.judgement.scripts import load_script

_DESCRIBING = {"CLAIMS", "ARTEFACTS", "RETRAINED", "TIMED", "SOURCES", "__all__"}
"""Constants that compute nothing: they describe a figure, or excuse what `compare` and `restamp` find."""

_DRAWING = {"lora_proofs.plotting", "lora_proofs.display"}

_OURS = {"lora_proofs", "shared"}
"""Where imports lead to code that is digested itself; of other modules it matters which they are."""

_Name = tuple[str, str]
"""A module, and what is taken from it; an empty string stands for all of it."""


def fingerprint(script: Path) -> str:
    """Digest the code that a figure's script computes with, whatever the names and places of its files.

    Parameters
    ----------
    script : Path
        A script in the folder of figures; ``SOURCES`` in it names further files or folders, relative to that folder,
        that it runs without importing them.
    """
    digests = {_analysed(path.read_text("utf-8")).digest for path in computing_files(script)}
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def computing_files(script: Path) -> list[Path]:
    """Return the files whose code a script reaches by imports, those inside functions too, itself among them."""
    seen: set[Path] = set()
    queue = [script, *_declared(script)]
    while queue:
        path = queue.pop()
        if path not in seen:
            seen.add(path)
            needs = _analysed(path.read_text("utf-8")).needs
            queue += [file for need in needs for file in _files(need, script.parent)]
    return sorted(seen)


def import_script(path: Path) -> ModuleType:
    """Return a script as a module, imported by path; what it shares with its neighbours can be imported by name."""
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    return load_script(path, "figure")


class _Code(ast.NodeTransformer):
    """What of a file computes, and what that takes from other modules."""

    def __init__(self, text: str) -> None:
        self.imported: list[tuple[str, _Name]] = []  # by the name that it has here
        self.typing: list[tuple[str, _Name]] = []  # the same, of type checkers alone
        tree = self.visit(ast.parse(text))
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        others = {(local, *need) for local, need in self.imported if local in used and _root(need) not in _OURS}
        self.digest = hashlib.sha256(f"{_canonical(tree)} {sorted(others)}".encode()).hexdigest()
        self.needs = frozenset(self._needs(tree))

    def visit_Import(self, node: ast.Import) -> None:
        self.imported += [(alias.asname or alias.name.partition(".")[0], (alias.name, "")) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.imported += [(alias.asname or alias.name, (node.module or "", alias.name)) for alias in node.names]

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            return self.generic_visit(node)
        known = len(self.imported)
        self.generic_visit(node)
        self.imported, self.typing = self.imported[:known], self.typing + self.imported[known:]
        return None

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Drop docstrings, and the like below constants."""
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        names = {target.id for target in node.targets if isinstance(target, ast.Name)}
        return None if names & _DESCRIBING else self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        node.returns = None
        return None if node.name == "plot" else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def _needs(self, tree: ast.AST) -> Iterator[_Name]:
        """Yield what is imported; of a module that is only asked for attributes, these."""
        attributes: dict[str, set[str]] = {}
        otherwise: Counter[str] = Counter()
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                otherwise[node.id] += 1
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                attributes.setdefault(node.value.id, set()).add(node.attr)
                otherwise[node.value.id] -= 1
        for local, (module, name) in self.imported:
            whole = f"{module}.{name}" if name else module
            if local in attributes and not otherwise[local] and _library_file(whole):
                yield from ((whole, attribute) for attribute in attributes[local])
            else:
                yield module, name


@cache
def _analysed(text: str) -> _Code:
    return _Code(text)


def _canonical(node: object) -> str:
    """Write a tree in one way, whatever the version of Python."""
    if isinstance(node, list):
        return "[" + ",".join(map(_canonical, node)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []) and name != "kind")
    return type(node).__name__ + "(" + ",".join(f"{name}={_canonical(value)}" for name, value in fields) + ")"


def _root(need: _Name) -> str:
    return need[0].partition(".")[0]


def _declared(script: Path) -> Iterator[Path]:
    """Yield the Python files that a script names in ``SOURCES``."""
    for node in ast.parse(script.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SOURCES":
            for name in ast.literal_eval(node.value):
                place = script.parent / name
                yield from place.rglob("*.py") if place.is_dir() else [place]


def _files(need: _Name, folder: Path) -> Iterator[Path]:
    """Yield the files that hold what is needed: of the package, or beside the scripts in `folder`."""
    module, name = need
    if _root(need) == PACKAGE.name:
        yield from _library_files(module, name)
        return
    for path in (folder.joinpath(*module.split(".")), folder.joinpath(*module.split("."), name)):
        if path.with_suffix(".py").is_file():
            yield path.with_suffix(".py")


def _library_files(module: str, name: str) -> Iterator[Path]:
    path = _library_file(module)
    if path is None or _DRAWING & {module, f"{module}.{name}"}:
        return
    face = _analysed(path.read_text("utf-8")) if path.name == "__init__.py" else None
    if face and name and _library_file(f"{module}.{name}"):
        yield from _library_files(f"{module}.{name}", "")
        return
    # A face hands on what others define, on first use for the most part: its type checkers see from where.
    handed_on = face.imported + face.typing if face else []
    homes = [home for local, home in handed_on if name in ("", local)]
    for home in homes:
        yield from _library_files(*home)
    if not (name and homes):
        yield path


def _library_file(module: str) -> Path | None:
    """Return the file of a module of the package, that of a package being its face."""
    head, *inner = module.split(".")
    place = PACKAGE.joinpath(*inner)
    files = (place.with_suffix(".py"), place / "__init__.py")
    return next((file for file in files if head == PACKAGE.name and file.is_file()), None)
