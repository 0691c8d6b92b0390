"""Check files and scripts of figures: load one by its path, and tell which files it is made of."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from lora_proofs.judgement.environment import PACKAGE, digest_files


def load_script(path: Path, kind: str) -> ModuleType:
    """Import a file, or a package folder, by its path: under a name of its own, leaving nothing behind if that fails.

    Parameters
    ----------
    path : Path
    kind : str
        Enters the module's name, such as ``"check"``.

    Raises
    ------
    ValueError
        If it is no Python file.
    BaseException
        Whatever the script raises.
    """
    name = f"_lora_proofs_{kind}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    init = path / "__init__.py"
    spec = (
        spec_from_file_location(name, init, submodule_search_locations=[str(path)])
        if init.is_file()
        else spec_from_file_location(name, path)
    )
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file")
    _forget(name)
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        _forget(name)
        raise
    return module


def _forget(name: str) -> None:
    for loaded in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
        del sys.modules[loaded]


def script_digest(path: Path) -> str:
    """Digest a script, or all files of a package folder, and the helper modules that these import, theirs too.

    A helper is found on Python's path, and belongs neither to Python, nor to this package, nor to an installed one.
    """
    files = _files(path)
    queue = [*files]
    while queue:
        for name in _imported(queue.pop()[1]):
            helper = [(called, file) for called, file in _helper(name) if (called, file) not in files]
            files += helper
            queue += helper
    return digest_files(sorted(files))


def _files(place: Path) -> list[tuple[str, Path]]:
    """Return the Python files of a place, with their names within the folder that it lies in."""
    files = place.rglob("*.py") if place.is_dir() else [place]
    return [(str(file.relative_to(place.parent)), file) for file in files]


def _imported(file: Path) -> Iterator[str]:
    """Yield the top names of what a file imports from elsewhere."""
    try:
        tree = ast.parse(file.read_text("utf-8"))
    except (SyntaxError, ValueError):
        return  # loading it says what is wrong
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _helper(name: str) -> list[tuple[str, Path]]:
    if name in sys.stdlib_module_names or name == PACKAGE.name:
        return []
    if (spec := PathFinder.find_spec(name)) is None:
        return []
    places = [Path(place) for place in spec.submodule_search_locations or [spec.origin or ""]]
    helpers = [place for place in places if not {"site-packages", "dist-packages"} & {*place.parts}]
    return [file for place in helpers if place.suffix in ("", ".py") for file in _files(place)]
