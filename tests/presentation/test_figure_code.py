"""What of a figure's code enters its fingerprint: what computes, wherever it lies, and nothing else."""

import pytest

from lora_proofs.judgement.environment import PACKAGE
from lora_proofs.presentation import figure_code, figures
from lora_proofs.presentation.figure_code import computing_files, fingerprint

FILES = {
    "figures/a.py": '''"""Title."""
import numpy as np
from shared import grid
from lora_proofs import plotting, words
from lora_proofs.algebra import rank
def compute(n: int) -> list:
    """Return rows."""
    from lora_proofs import late
    return [rank(n) + words.double(grid.SIZE) + late.z]
def plot(rows, published):
    return plotting.grid(rows)
''',
    "figures/shared/grid.py": "SIZE = 3\n",
    "lora_proofs/__init__.py": "",
    "lora_proofs/plotting.py": "def grid(rows): return rows\n",
    "lora_proofs/late.py": "z = 1\n",
    "lora_proofs/far.py": "z = 2\n",
    "lora_proofs/words/__init__.py": "from lora_proofs.words.numbers import double, triple\n",
    "lora_proofs/words/numbers.py": "def double(x): return 2 * x\ndef triple(x): return 3 * x\n",
    "lora_proofs/algebra/__init__.py": """from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from lora_proofs.algebra.dense import rank_of_matrix as rank
    from lora_proofs.algebra.sparse import solve
""",
    "lora_proofs/algebra/dense.py": '''"""Matrices."""
from lora_proofs.algebra.cuts import CUT
def rank_of_matrix(x):
    """Return the rank."""
    return x - CUT
''',
    "lora_proofs/algebra/cuts.py": "CUT = 1\n'''The cut.'''\n",
    "lora_proofs/algebra/sparse.py": "def solve(x): return x\n",
}


@pytest.fixture
def script(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(figure_code, "PACKAGE", tmp_path / "lora_proofs")
    return tmp_path / "figures" / "a.py"


def test_all_that_is_reached_by_imports_and_nothing_else(script):
    reached = {path.relative_to(script.parents[1]).as_posix() for path in computing_files(script)}
    library = {"algebra/dense.py", "algebra/cuts.py", "late.py", "words/numbers.py"}
    assert reached == {"figures/a.py", "figures/shared/grid.py", *(f"lora_proofs/{name}" for name in library)}


@pytest.mark.parametrize(
    ("file", "old", "new", "changes"),
    [
        ("figures/a.py", "rank(n) +", "rank(n) -", True),
        ("figures/shared/grid.py", "3", "4", True),
        ("lora_proofs/algebra/cuts.py", "1", "2", True),
        ("lora_proofs/words/numbers.py", "2 * x", "x + x", True),
        ("lora_proofs/late.py", "1", "2", True),
        ("figures/a.py", "import late", "import far as late", True),
        ("lora_proofs/late.py", "z = 1", "from math import pi as z", True),
        ("lora_proofs/algebra/cuts.py", "CUT = 1", "from math import pi\nCUT = pi", True),
        ("figures/a.py", "Title", "Another title", False),
        ("figures/a.py", "n: int", "n", False),
        ("figures/a.py", "import numpy as np\n", "", False),
        ("figures/a.py", "plotting.grid(rows)", "plotting.grid(rows, 2)", False),
        ("lora_proofs/plotting.py", "return rows", "return 2 * rows", False),
        ("lora_proofs/algebra/dense.py", "Return the rank.", "Count rows.", False),
        ("lora_proofs/algebra/dense.py", "return x - CUT", "# why\n    return (x - CUT)", False),
        ("lora_proofs/algebra/dense.py", "(x):", "(x: float) -> float:", False),
        ("lora_proofs/algebra/cuts.py", "The cut", "A cut", False),
        ("lora_proofs/algebra/sparse.py", "return x", "return 2 * x", False),
        ("lora_proofs/far.py", "2", "3", False),
    ],
)
def test_what_computes_changes_the_fingerprint(script, file, old, new, changes):
    before = fingerprint(script)
    path = script.parents[1] / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert (fingerprint(script) != before) is changes


def test_a_module_that_moves_computes_the_same(script):
    before, algebra = fingerprint(script), script.parents[1] / "lora_proofs" / "algebra"
    (algebra / "dense.py").rename(algebra.parent / "ranks.py")
    (algebra / "cuts.py").rename(algebra / "thresholds.py")
    for path in (algebra / "__init__.py", algebra.parent / "ranks.py"):
        text = path.read_text().replace("algebra.dense", "ranks").replace("algebra.cuts", "algebra.thresholds")
        path.write_text(text)
    assert fingerprint(script) == before


def test_which_other_library_computes_matters(script):
    script.write_text(script.read_text().replace("rank(n)", "np.rank(n)"))
    before = fingerprint(script)
    script.write_text(script.read_text().replace("import numpy", "import jax.numpy"))
    assert fingerprint(script) != before


def test_declared_sources_enter(script):
    checks = script.parents[1] / "checks"
    checks.mkdir()
    (checks / "b.py").write_text("from lora_proofs import far\n")
    script.write_text(script.read_text() + 'SOURCES = ("../checks",)\n')
    before = fingerprint(script)
    (script.parents[1] / "lora_proofs" / "far.py").write_text("z = 3\n")
    assert fingerprint(script) != before


def test_real_figures_reach_the_mathematics_that_they_call():
    reached = {figure.name: set(computing_files(figure.path)) for figure in figures.find_figures()}
    for name in ("precision_depth", "zeng2024expressive_linear"):
        assert any(PACKAGE / "linalg" in path.parents for path in reached[name])
    assert PACKAGE / "exact" / "matrices.py" in reached["yang2024review_ranks"]
    assert not any(PACKAGE / "ntk" in path.parents for path in reached["precision_depth"])
    assert any(path.parent.name == "zeng2024expressive" for path in reached["worst_ratio"])
    names = {path.name for files in reached.values() for path in files}
    assert not {"plotting.py", "display.py"} & names
