"""Every control runs something of its claim's own check, and one of them at least fails.

What is wrong is also printed, a claim, by `lora-proofs audit`.
"""

import ast
from pathlib import Path

import pytest

from lora_proofs.judgement.audit.explanations import read_explanations
from lora_proofs.judgement.audit.mutation import notes
from lora_proofs.judgement.collect import collect
from lora_proofs.judgement.environment import data_folder

SELECTIONS = collect()
CLAIMS = [
    pytest.param(selection.path, claim, id=claim.label)
    for selection in SELECTIONS
    for claim in selection.claims
    if not claim.missing
]


@pytest.mark.parametrize(("path", "claim"), CLAIMS)
def test_controls_run_the_claims_own_check_and_one_of_them_fails(path, claim):
    assert notes(claim, path) == []


def test_what_is_explained_is_there():
    folder = data_folder("paper_checks")
    explanations = read_explanations(folder / "any.py")
    controls = {
        claim.label: {control.description for control in claim.controls}
        for selection in SELECTIONS
        for claim in selection.claims
    }
    for label, entries in explanations.controls.items():
        assert entries.keys() <= controls[label]
    named = [(entry["function"], entry.get("claims", [])) for entry in explanations.survivors]
    assert {label for _, labels in named for label in labels} <= controls.keys()
    for function in {*explanations.instances, *(function for function, _ in named)}:
        assert defined(function, folder), f"audit.toml names {function}, which is no function"


def defined(function, folder):
    """Tell whether a dotted name is that of a function or class in a file of the checks or the library."""
    parts = function.split(".")
    above = folder.parent if parts[0] == "lora_proofs" else folder
    for length in range(len(parts), 0, -1):
        path = above.joinpath(*parts[:length])
        file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if file.is_file():
            names = parts[length:]
            nodes = ast.parse(file.read_text("utf-8")).body
            for name in names:
                found = [n for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name == name]
                if not found:
                    return False
                nodes = found[0].body
            return bool(names)
    return False


def calls(path):
    return [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]


def name_of(call):
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def test_checks_take_sub_cases_from_derive():
    wrong = []
    for path in data_folder("paper_checks").rglob("*.py"):
        for call in calls(path):
            first = ast.unparse(call.args[0]) if call.args else ""
            if name_of(call) == "Case" or (name_of(call) == "replace" and first.rpartition(".")[2] == "case"):
                wrong.append(f"{path.name}:{call.lineno}: {ast.unparse(call)[:60]}")
    assert wrong == [], "take sub-cases from case.derive(...), which keeps the digits, the library and a search's tape"


PROVERS = {
    "enclosure.py",
    "exact/enclosures.py",
    "float_bounds.py",
    "ntk/rigorous.py",
}


def test_enclosures_are_made_by_code_that_proves():
    package = Path(__file__).resolve().parents[1] / "lora_proofs"
    makers = {
        path.relative_to(package).as_posix() if package in path.parents else f"paper_checks/{path.name}"
        for root in (package, data_folder("paper_checks"))
        for path in root.rglob("*.py")
        if any(name_of(call) == "Enclosure" for call in calls(path))
    }
    assert makers <= PROVERS
