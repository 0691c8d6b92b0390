"""The driver of mutants itself, on a module of a few lines."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import mutations
import pytest

TOY = '''
"""A docstring with 1 number."""

LIMIT = 10


def clip(x: float) -> float:
    if x < 0:
        raise ValueError(f"{x + 1} is below 0")
    return min(x, LIMIT)


def unused(x):
    return x + 1
'''
TESTS = """
import toy
import pytest


def test_clip():
    assert toy.clip(1) == 1
    assert toy.clip(11) == 10
    with pytest.raises(ValueError):
        toy.clip(-1)
"""


def names(source):
    return [mutant.name for mutant in mutations.mutants(ast.parse(source))]


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_what_tests_see_is_killed_and_what_they_cannot_see_survives(tmp_path):
    (tmp_path / "toy.py").write_text(TOY)
    (tmp_path / "test_toy.py").write_text(TESTS)
    code = (
        "import json; from pathlib import Path; from mutants import judge\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "judged = judge('toy', folder / 'toy.py', [folder / 'test_toy.py'], size=100)\n"
        "print(json.dumps({mutant.name: verdict for mutant, verdict in judged}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    verdicts = json.loads(done.stdout)
    assert verdicts["(module): LIMIT = 10 => LIMIT = 20"] == "killed"
    assert verdicts["clip: return min(x, LIMIT) => return max(x, LIMIT)"] == "killed"
    assert verdicts["clip: if x < 0 => if False"] == "killed"
    assert verdicts["clip: if x < 0 => if x <= 0"] == "survives"  # no test clips 0
    assert verdicts["unused: return x + 1 => return x - 1"] == "survives"  # no test runs it
    assert not any("below 0" in name or "docstring" in name for name in verdicts)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_what_does_not_end_is_stopped():
    code = "import mutants, signal; print(mutants.forked(lambda: any(iter(int, 1)), 0.1)[0] == -signal.SIGXCPU)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_fault_of_the_driver_kills_no_mutant():
    code = "import mutants; mutants.forked(lambda: 1 / 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "the driver itself failed" in done.stderr


def test_a_mutant_keeps_its_name_when_its_function_moves():
    moved = TOY.replace("def unused", "def another(y):\n    return y * 2 + LIMIT\n\n\ndef unused")
    assert set(names(TOY)) < set(names(moved))
    drawn = {mutant.name for mutant in mutations.sample(mutations.mutants(ast.parse(TOY)), 8)}
    assert len(drawn) == 8
    again = {mutant.name for mutant in mutations.sample(mutations.mutants(ast.parse("\n\n" + TOY)), 8)}
    assert drawn == again


def test_equal_changes_of_one_function_are_counted():
    found = names("def f(x):\n    return (x + 1) * (x + 1)")
    assert {"f: x + 1 => x + 2", "f: x + 1 => x + 2 (no. 2)"} < set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("def f(x): return x <= 2", "return x <= 2 => return x < 2"),
        ("def f(x): return x <= 2", "x <= 2 => x <= 3"),
        ("def f(x): return 2.0**-40 * x", "2.0 ** (-40) * x => 9.094947017729282e-10 * x"),
        ("def f(x): return a and not b", "a and (not b) => a and b"),
        ("def f(x): return norm(x) + r", "norm(x) + r => x + r"),
        ("def f(x): return norm(x) + r", "return norm(x) + r => return r"),
        ("def f(x) -> float: return x", "return x => return 1000 * x"),
        ("def f(x) -> bool: return x", "return x => return not x"),
        ("def f(x):\n    x += 1\n    return x", "x += 1 => pass"),
        ("def f(x): return [y for y in x if y]", "return [y for y in x if y] => return [y for y in x if True]"),
        ("def f(x):\n    if x:\n        return 1", "if x => if False"),
        ("def f(x):\n    try:\n        g()\n    finally:\n        raise E('1')", "raise E => pass"),
    ],
)
def test_what_is_changed(source, change):
    assert any(name.endswith(f"f: {change}") for name in names(source)), names(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""1 + 1"""',
        "def f(x: Literal[1] = None) -> Literal[2]: ...",
        "@dataclass(frozen=True)\nclass A: ...",
        "def f(x):\n    assert x > 1",
        "def f(x): return f'{x + 1}'",
        "import os",
        "rng = np.random.default_rng(7)",
    ],
)
def test_what_is_left_alone(source):
    assert names(source) == []


def test_signs_of_indices_and_axes_are_left_alone():
    found = names("def f(x):\n    return x[1], sum(x, axis=1), g(1)")
    assert "f: x[1] => x[2]" in found
    assert "f: x[1] => x[-1]" not in found
    assert "f: g(1) => g(-1)" in found
    assert not any("axis=-1" in name for name in found)
    assert names("y = x.reshape(-1)") == ["(module): y = x.reshape(-1) => y = -1"]
