import sys

import pytest

from lora_proofs.judgement import collect as module
from lora_proofs.judgement import environment
from lora_proofs.judgement.collect import CollectError, collect
from lora_proofs.judgement.environment import data_folder

CHECK = '''
from lora_proofs import Paper, equal
PAPER = Paper(key="{key}", title="A title", authors=("A. Author",), year=2024, arxiv="")

@PAPER.lemma("1")
def lemma_1(case):
    """Statement."""
    return equal(1, 1)

@PAPER.theorem("2")
def theorem_2(case):
    """Statement."""
    return equal(1, 1)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Stand in for the checks folder."""
    home = tmp_path / "paper_checks"
    home.mkdir()
    for key in ("a2020", "b2021"):
        (home / f"{key}.py").write_text(CHECK.format(key=key))
    (home / "TEMPLATE.py").write_text("raise RuntimeError('collected')")
    (home / "_shared.py").write_text("raise RuntimeError('collected')")
    monkeypatch.setattr(module, "data_folder", lambda name: home)
    return home


def labels(selections):
    return [claim.label for selection in selections for claim in selection.claims]


def private_modules():
    return {name for name in sys.modules if name.startswith("_lora_proofs_check_")}


def test_the_checkout_has_its_own_checks_folder():
    assert data_folder("paper_checks").name == "paper_checks"
    assert (data_folder("paper_checks").parent / "pyproject.toml").is_file()


def test_an_installed_copy_carries_its_checks(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "PACKAGE", tmp_path / "site-packages" / "lora_proofs")
    assert data_folder("paper_checks") == tmp_path / "site-packages" / "lora_proofs" / "paper_checks"


def test_no_selector_is_every_paper_but_the_template(folder):
    assert labels(collect()) == [f"{key}:{claim}" for key in ("a2020", "b2021") for claim in ("lemma-1", "theorem-2")]


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        (["b2021"], ["b2021:lemma-1", "b2021:theorem-2"]),
        (["b2021:theorem-2"], ["b2021:theorem-2"]),
        (["b2021:theorem-2", "a2020:lemma-1"], ["a2020:lemma-1", "b2021:theorem-2"]),
        (["a2020:lemma-1", "a2020"], ["a2020:lemma-1", "a2020:theorem-2"]),
    ],
)
def test_keys_and_labels(folder, selectors, expected):
    assert sorted(labels(collect(selectors))) == expected


def test_paths_to_files_and_folders(folder):
    assert labels(collect([str(folder / "b2021.py")])) == ["b2021:lemma-1", "b2021:theorem-2"]
    assert labels(collect([str(folder)])) == labels(collect())


def test_a_relative_folder_is_a_path(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert labels(collect(["paper_checks"])) == labels(collect())


def test_a_label_narrows_the_file_beside_it(folder, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(CHECK.format(key="mine"))
    assert labels(collect([str(mine), "mine:theorem-2"])) == ["mine:theorem-2"]
    assert labels(collect([str(mine), "a2020:lemma-1"])) == ["mine:lemma-1", "mine:theorem-2", "a2020:lemma-1"]


def test_a_label_loads_only_its_own_file(folder):
    (folder / "broken.py").write_text("1 / 0")
    assert labels(collect(["a2020:lemma-1"])) == ["a2020:lemma-1"]


def test_a_package_with_relative_imports(folder):
    package = folder / "c2022"
    package.mkdir()
    (package / "__init__.py").write_text("from .paper import PAPER\nfrom . import lemmas\n")
    (package / "paper.py").write_text(
        'from lora_proofs import Paper\nPAPER = Paper(key="c2022", title="", authors=(), year=2022, arxiv="")\n'
    )
    (package / "lemmas.py").write_text(
        "from lora_proofs import equal\nfrom .paper import PAPER\n"
        '@PAPER.lemma("1")\ndef lemma_1(case):\n    "Statement."\n    return equal(1, 1)\n'
    )
    for selector in ("c2022", str(package), str(package / "__init__.py")):
        assert labels(collect([selector])) == ["c2022:lemma-1"]


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("a2020:lemma-2", "no paper or claim is called 'a2020:lemma-2'; did you mean a2020:lemma-1"),
        ("a2021", "did you mean"),
        ("zzz", "`lora-proofs list` shows the labels"),
        ("nowhere/file.py", "there is no file .*nowhere/file.py"),
    ],
)
def test_an_unknown_selector_takes_one_line(folder, selector, message):
    with pytest.raises(CollectError, match=message) as caught:
        collect([selector])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\ny = 1 / 0\n", r"mine\.py, line 2: ZeroDivisionError: division by zero"),
        ("import numpy as np\nnp.linalg.inv(np.zeros((2, 2)))\n", r"mine\.py, line 2: LinAlgError: Singular matrix"),
        ("import no_such_module\n", r"mine\.py, line 1: ModuleNotFoundError"),
        ("raise SystemExit('two\\nlines')\n", r"mine\.py, line 1: SystemExit: two lines"),
        (CHECK[: len(CHECK) // 2], r"mine\.py, line \d+: SyntaxError"),
        ("\0", r"mine\.py"),
        ("x = 1\n", "defines no Paper"),
        (CHECK.format(key="k") + "\nPAPER.lemma('1')(lemma_1.check)", r"line 15: ValueError: two claims are labelled"),
    ],
)
def test_a_file_that_does_not_load_is_blamed_in_one_line(tmp_path, source, message):
    mine = tmp_path / "mine.py"
    mine.write_text(source)
    before = private_modules()
    with pytest.raises(CollectError, match=message) as caught:
        collect([str(mine)])
    assert "\n" not in str(caught.value)
    if "no Paper" not in message:
        assert private_modules() == before


def test_a_package_that_does_not_load_leaves_no_module_behind(tmp_path):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("from . import good, bad\n")
    (tmp_path / "pack" / "good.py").write_text("")
    (tmp_path / "pack" / "bad.py").write_text("\n\nraise ValueError('why')\n")
    before = private_modules()
    with pytest.raises(CollectError, match=r"bad\.py, line 3: ValueError: why"):
        collect([str(tmp_path / "pack")])
    assert private_modules() == before


def test_two_files_with_one_key(folder):
    (folder / "twin.py").write_text(CHECK.format(key="a2020"))
    with pytest.raises(CollectError, match="'a2020' stands in both"):
        collect()


def test_an_empty_folder(tmp_path):
    with pytest.raises(CollectError, match="there is no check file in"):
        collect([f"{tmp_path}/"])
