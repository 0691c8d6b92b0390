"""The names that scripts rely on, importable from where they are promised."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import lora_proofs

FROM_THE_PACKAGE = {
    "Adapter": "adapters",
    "Ball": "domains",
    "Box": "domains",
    "Case": "claims",
    "Paper": "claims",
    "ReluNetwork": "networks",
    "TransformerBlock": "networks",
    "TransformerNetwork": "networks",
    "at_least": "claims",
    "at_most": "claims",
    "equal": "claims",
    "plan": "tools.planner",
    "verify": "verify",
}
FROM_MODULES = [
    ("constructions", "adapt_linear_chain"),
    ("constructions", "adapt_relu_network"),
    ("constructions", "adapt_transformer"),
    ("constructions", "certify_relu_network"),
    ("constructions", "certify_transformer"),
    ("constructions", "functionality_gaps"),
    ("adapters", "load_peft"),
    ("adapters", "save_peft"),
    ("tools.compress", "compress"),
    ("exact", "adapt_linear_chain"),
    ("exact", "adapt_relu_network"),
    ("ntk", "LinearizedProblem"),
    ("ntk", "certify"),
    ("ntk", "reduce_rank"),
    ("ntk", "second_order"),
    ("ntk", "solve"),
    ("ntk", "thresholds"),
    ("claims", "Claim"),
    ("claims", "Comparison"),
    ("claims", "OutOfScope"),
    ("verify", "Evidence"),
    ("verify", "Outcome"),
    ("verify", "Verdict"),
    ("judgement.collect", "collect"),
    ("judgement.sweep", "sweep"),
    ("presentation.report", "Report"),
    ("presentation.figures", "find_figures"),
    ("homework", "grade"),
    ("homework", "hole"),
    ("presentation.page", "write_pages"),
    ("cli", "main"),
]


@pytest.mark.parametrize(("name", "module"), FROM_THE_PACKAGE.items())
def test_names_of_the_package_are_those_of_their_modules(name, module):
    assert getattr(lora_proofs, name) is getattr(import_module(f"lora_proofs.{module}"), name)
    assert name in lora_proofs.__all__


@pytest.mark.parametrize(("module", "name"), FROM_MODULES)
def test_names_of_modules(module, name):
    assert callable(getattr(import_module(f"lora_proofs.{module}"), name))


def test_all_and_dir_tell_what_there_is():
    assert sorted(lora_proofs.__all__) == dir(lora_proofs)
    assert all(getattr(lora_proofs, name) is not None for name in lora_proofs.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        lora_proofs.no_such_name  # noqa: B018


PACKAGE = Path(lora_proofs.__file__).parent
MODULES = {"claims", "domains", "instances", "linalg", "precision", "symbolic"}
LAZY = sorted(
    ".".join(["lora_proofs", *file.parent.relative_to(PACKAGE).parts])
    for file in PACKAGE.rglob("__init__.py")
    if "\nlazy_face(__name__)" in file.read_text("utf-8")
)


@pytest.mark.parametrize("face", LAZY)
def test_a_lazy_face_gives_each_of_its_names_whatever_is_loaded_first(face):
    package = import_module(face)
    folder = Path(package.__file__).parent
    for file in folder.glob("[!_]*.py"):
        import_module(f"{face}.{file.stem}")
    for name in {file.stem for file in folder.glob("[!_]*.py")} & {*package.__all__} - MODULES:
        assert callable(getattr(package, name)), f"{face}.{name} is hidden by the module of that name"
    assert dir(package) == sorted(package.__all__)
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        package.no_such_name  # noqa: B018


def test_a_lazy_face_loads_what_is_asked_for_and_nothing_else():
    code = "import sys, lora_proofs.constructions as c; c.Certificate; "
    code += "print([m for m in sys.modules if m.startswith('lora_proofs.constructions.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['lora_proofs.constructions.certificate']"


@pytest.mark.parametrize("face", ["falsify", "homework", "judgement.audit", "linalg", "ntk.traps"])
def test_a_face_that_is_loaded_whole_shows_its_public_names_alone(face):
    package = import_module(f"lora_proofs.{face}")
    assert dir(package) == sorted(package.__all__)
