"""Who may import whom. The two halves, mathematics and judgement, do not know each other."""

import ast
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from lora_proofs.judgement import environment
from lora_proofs.presentation.page.layers import COMMON, FREE, JUDGEMENT, LEAVES, MATHEMATICS, PRESENTATION

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lora_proofs"

# The public calls over Q live in the face `exact`, beside rank and solve, though the constructions are built on these.
FACE = ("exact.__init__", "constructions")


def modules():
    return {path: ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py")}


def imports(path):
    """Yield (module, name) for every import of the package, those inside functions too."""
    package = ["lora_proofs", *path.relative_to(PACKAGE).parent.parts] if PACKAGE in path.parents else []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield from ((module, alias.name) for alias in node.names)


def own_imports(path):
    """Yield the modules of the package that a file imports, as dotted names within it."""
    for module, name in imports(path):
        head, _, inner = module.partition(".")
        if head == "lora_proofs":
            deeper = PACKAGE.joinpath(*filter(None, inner.split(".")), name)
            is_module = name and (deeper.is_dir() or deeper.with_suffix(".py").is_file())
            target = ".".join(filter(None, [inner, name if is_module else ""]))
            # Names that the package itself re-exports come from above every layer.
            yield target or ("" if name == "__version__" else "__init__")


def layer(top):
    for half in (MATHEMATICS, JUDGEMENT, PRESENTATION):
        for height, names in enumerate(half):
            if top in names:
                return half, height
    raise LookupError(f"module {top!r} has no layer: add it to tests/test_layers.py")


def test_every_import_goes_down_within_its_half():
    wrong = []
    for path, name in modules().items():
        top = name.split(".")[0]
        if top in FREE | LEAVES | COMMON:
            continue
        half, height = layer(top)
        below = (half, JUDGEMENT) if half is PRESENTATION else (half,)
        for target in filter(None, own_imports(path)):
            other = target.split(".")[0]
            if other in COMMON or (half is PRESENTATION and other in LEAVES):
                continue
            if other in FREE | LEAVES or layer(other)[0] not in below:
                wrong.append(f"{name} imports {target}")
            elif layer(other)[0] is half and layer(other)[1] > height and (name, other) != FACE:
                wrong.append(f"{name} imports {target}, which is higher")
    assert wrong == []


def test_no_circle_of_files():
    names = set(modules().values())
    graph = {}
    for path, name in modules().items():
        targets = {t if t in names else f"{t}.__init__" for t in own_imports(path) if t}
        graph[name] = {t for t in targets if (name, t.split(".")[0]) != FACE}
    while leaves := {name for name, targets in graph.items() if not targets & graph.keys()}:
        graph = {name: targets for name, targets in graph.items() if name not in leaves}
    assert graph == {}


def test_the_root_is_short():
    root = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert len(root) <= 12, sorted(root)


def test_digests_of_the_package_hold_the_mathematics():
    assert (PACKAGE / "linalg" / "arrays.py").is_file()
    assert environment.PACKAGE == PACKAGE
    named = {path.name for path in PACKAGE.rglob("*.py") if "Path(__file__)" in path.read_text("utf-8")}
    assert named == {"environment.py", "submission.py"}  # the latter for its neighbour, child.py


def test_claims_need_the_standard_library_and_numpy_only():
    files = [PACKAGE / "judgement" / name for name in ("cases.py", "claims.py")]
    tops = {module.split(".")[0] for file in files for module, _ in imports(file)} - {"lora_proofs"}
    assert tops <= {*sys.stdlib_module_names, "numpy"}


def test_checks_and_figures_use_public_names_only():
    private = [
        f"{path.name} uses {module}.{name}"
        for path in chain((ROOT / "paper_checks").rglob("*.py"), (ROOT / "figures").rglob("*.py"))
        for module, name in imports(path)
        if module.split(".")[0] == "lora_proofs"
        and any(part.startswith("_") for part in (*module.split("."), name) if part)
    ]
    assert private == []


@pytest.mark.parametrize("statement", ["import lora_proofs", "import lora_proofs.cli"])
def test_importing_the_package_loads_nothing_heavy(statement):
    heavy = ["scipy", "sympy", "cvxpy", "matplotlib", "flint", "mpmath", "joblib", "rich", "jax", "torch", "jinja2"]
    heavy += ["click"] if statement == "import lora_proofs" else []
    code = f"{statement}; import sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_collecting_all_checks_loads_nothing_heavy():
    heavy = ["cvxpy", "sympy", "jax", "torch", "scipy", "matplotlib", "jinja2", "lora_proofs.constructions.methods"]
    heavy += ["lora_proofs.ntk.problem", "lora_proofs.pretrained.minilm"]
    code = "from lora_proofs.judgement.collect import collect; import sys; collect(); "
    code += f"print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
