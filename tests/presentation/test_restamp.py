"""Data that a change of code leaves as it was is stamped; all other data stays stale."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from lora_proofs.judgement.environment import PACKAGE

SCRIPT = '''"""Title."""
TIMED = ("seconds",)
def cases(quick):
    return [{"n": n} for n in ((1,) if quick else (1, 2))]
def compute(n):
    import time
    rows = [("a", n + n), ("seconds", time.perf_counter())]
    return [{"panel": panel, "curve": "c", "seed": "", "x": n, "y": y} for panel, y in rows]
def plot(rows, published):
    from lora_proofs import plotting
    return plotting.grid()[0]
'''


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A repository of the package and one figure, whose data is committed."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(PACKAGE, folder / "lora_proofs", ignore=shutil.ignore_patterns("__pycache__", "figures"))
    shutil.copy(PACKAGE.parent / "pyproject.toml", folder)
    (folder / "figures").mkdir()
    (folder / "figures" / "small.py").write_text(SCRIPT)
    assert run(folder, "small").returncode == 0
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def run(folder, *arguments):
    command = [sys.executable, "-m", "lora_proofs", "figure", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder), "LORA_PROOFS_CACHE": str(folder / ".git" / "cache")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def edit(checkout):
    """Change a file, and put back what the test changed afterwards."""

    def change(name, old, new):
        path = checkout / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    yield change
    subprocess.run(["git", "checkout", "-q", "."], cwd=checkout, check=True)


def stamp(checkout):
    done = run(checkout, "--restamp", "HEAD")
    return done.returncode, done.stdout.strip(), json.loads((checkout / "figures/data/small.json").read_text())


def test_equal_rows_are_stamped_whatever_time_they_took(checkout, edit):
    assert stamp(checkout)[:2] == (0, "small is current")
    edit("figures/small.py", "n + n", "2 * n")
    code, said, side = stamp(checkout)
    assert (code, said) == (0, "small is equal to that of HEAD: stamped")
    assert len(side["restamped"]) == 40
    assert stamp(checkout)[:2] == (0, "small is current")


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("figures/small.py", "n + n", "3 * n", "differs in row 1 of its quick grid: panel a, curve c, x 1, y 2"),
        ("figures/small.py", "(1, 2)", "(1, 3)", "has other cases than before"),
        ("figures/small.py", "import time", "import no_such_module as time", "cannot be computed: Error: No module"),
        ("figures/data/small.csv", "a,c,,1,2", "a,c,,1,3", "has other data than before"),
    ],
)
def test_what_is_not_shown_to_be_equal_stays_stale(checkout, edit, name, old, new, reason):
    edit(name, old, new)
    code, said, side = stamp(checkout)
    assert code == 1
    assert said.startswith(f"small {reason}")
    assert "restamped" not in side


def test_an_unknown_commit_is_bad_input(checkout, edit):
    edit("figures/small.py", "n + n", "2 * n")
    done = run(checkout, "--restamp", "no-such-commit")
    assert done.returncode == 2
    assert "no-such-commit is no commit" in done.stderr
    assert len(done.stderr.splitlines()) == 1
