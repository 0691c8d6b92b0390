import subprocess
import sys
from pathlib import Path

import pytest

from lora_proofs.collect import collect, load
from lora_proofs.outline import NotOutlined, outline

ROOT = Path(__file__).resolve().parents[1]
PAPERS = [
    file
    for file in sorted((ROOT / "paper_checks").iterdir())
    if file.suffix == ".py" or (file / "__init__.py").is_file()
]

HEAD = """
import scipy.linalg as sl
from flint import arb, fmpq_mat
from collections.abc import Callable
from typing import TypeAlias
from lora_proofs import Paper, equal, instances

Pair: TypeAlias = Callable[[fmpq_mat], list[arb] | None]
HALF = arb(1) / 2
PAPER = Paper(key="study", title="A title", authors=("A. Author",), year=2024, arxiv="")
SIZES = [2 * n for n in range(3)]
"""
CLAIM = """
@PAPER.lemma("1", n=tuple(SIZES))
def lemma_1(case) -> fmpq_mat:
    \"Statement.\"
    return equal(sl.norm(instances.gaussian(case.rng, 2, 2)), HALF)
"""


def facts(paper):
    """Return all that a paper says of itself."""
    return (paper.key, paper.title, paper.authors, paper.year, paper.arxiv), [
        (c.label, c.kind, c.number, c.statement, c.grid, c.gap, c.tolerance, c.seeded, c.sampled, c.requires,
         [(control.description, control.grid, control.seeded) for control in c.controls])
        for c in paper.claims
    ]  # fmt: skip


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_an_outline_says_what_the_file_says(path):
    assert [facts(paper) for paper in outline(path)] == [facts(paper) for _, paper in load(path)]


def test_listing_loads_nothing_that_computes():
    code = """
import sys
sys.argv = ["lora-proofs", "list"]
from lora_proofs.cli import main
try:
    main()
except SystemExit:
    heavy = ["scipy", "sympy", "cvxpy", "matplotlib", "flint", "mpmath", "joblib", "rich", "jax", "torch"]
    own = [m for m in sys.modules if m.startswith("lora_proofs.") and m.split(".")[1] in ("constructions", "ntk")]
    print("HEAVY", [m for m in heavy if m in sys.modules], own, len(sys.modules) < 500)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "HEAVY [] [] True"
    assert "zeng2024expressive:lemma-1 " in done.stdout


def test_what_is_computed_with_a_stand_in_may_be_named_and_passed_on(tmp_path):
    (tmp_path / "study.py").write_text(HEAD + CLAIM)
    (paper,) = outline(tmp_path / "study.py")
    assert paper.claims[0].grid == ({"n": 0}, {"n": 2}, {"n": 4})


@pytest.mark.parametrize(
    "line",
    [
        "SIZES = range(int(float(HALF) * 4))",
        "SIZES = [HALF]",
        "if HALF > 0: SIZES = [7]",
        "SIZES = [7] if HALF == 1 else [8]",
        "SIZES = [n for n in instances.SIZES]",
        "SIZES = [7] if HALF else [8]",
        "SIZES = [len({HALF, HALF})]",
        "SIZES = [f'{HALF}']",
        "import no_such_module",
        "1 / 0",
        "SIZES = (",
    ],
)
def test_where_a_stand_in_would_decide_the_outline_gives_up(tmp_path, line):
    (tmp_path / "study.py").write_text(f"{HEAD}{line}\n{CLAIM}")
    with pytest.raises(NotOutlined):
        outline(tmp_path / "study.py")


def test_what_cannot_be_outlined_is_loaded(tmp_path):
    (tmp_path / "study.py").write_text(f"{HEAD}SIZES = range(int(float(HALF) * 4))\n{CLAIM}")
    (selection,) = collect([str(tmp_path / "study.py")], outlined=True)
    assert selection.claims[0].grid == ({"n": 0}, {"n": 1})
