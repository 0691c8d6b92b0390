"""What a figure's script is made of: the code that computes, the neighbours that it imports, the module itself."""

import ast
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def neighbours(path: Path) -> list[Path]:
    """Return the files of the folder that a script imports, theirs too."""
    found: list[Path] = []
    queue = [path]
    while queue:
        for node in ast.walk(ast.parse(queue.pop().read_text("utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for file in (path.parent / f"{name}.py" for name in names):
                if file.is_file() and file != path and file not in found:
                    found.append(file)
                    queue.append(file)
    return sorted(found)


def computing_code(path: Path) -> str:
    """Return the code of a script without docstring, ``plot`` and what only describes."""
    tree = ast.parse(path.read_text("utf-8"))
    describing = {"CLAIMS", "ARTEFACTS", "RETRAINED"}
    body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.FunctionDef) and node.name in ("plot",))
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (isinstance(node, ast.Assign) and {ast.unparse(t) for t in node.targets} & describing)
    ]
    return "\n".join(ast.unparse(node) for node in body)


def import_script(path: Path) -> ModuleType:
    """Return a script as a module, imported by path; its neighbours can be imported by name."""
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = spec_from_file_location(f"_lora_proofs_figure_{path.stem}", path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
