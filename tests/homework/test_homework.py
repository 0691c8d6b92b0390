"""Grading: honest work gets full marks; wrong and cheating work loses those of the claim that it attacks."""

import ast
import json
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from attacks import ATTACKS
from click.testing import CliRunner

from lora_proofs.cli import cli
from lora_proofs.homework import GradeError, grade, messages

EXERCISES = Path(__file__).parents[2] / "lora_proofs" / "exercises"
NAMES = sorted(path.stem for path in (EXERCISES / "solutions").glob("[a-z]*.py"))


def solution(name):
    return EXERCISES / "solutions" / f"{name}.py"


def marks(tmp_path, name, code, seeds=2, **limits):
    """Return the marks by claim of the reference solution with this code appended, which overrides what it defines."""
    homework = tmp_path / "homework.py"
    homework.write_text(f"{solution(name).read_text()}\n\n{code}\n")
    found = grade(homework, solution(name), seed=7, seeds=seeds, **limits)
    return {claim.claim.partition(":")[2]: claim.marks for claim in found.claims}, found


@pytest.mark.parametrize("name", NAMES)
def test_honest_work_gets_full_marks(name):
    found = grade(solution(name), solution(name), seed=100, seeds=5)
    assert found.score == len(found.claims)
    assert not any(claim.trouble for claim in found.claims)


@pytest.mark.parametrize("name", NAMES)
def test_a_homework_is_its_solution_with_holes(name):
    def outside_holes(path):
        tree = ast.parse(path.read_text())
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and any(ast.unparse(d) == "hole" for d in node.decorator_list):
                node.body = node.body[:1]
        return ast.dump(tree)

    homework = EXERCISES / f"{name}.py"
    assert outside_holes(homework) == outside_holes(solution(name))
    assert "yours to write" in homework.read_text()
    assert grade(homework, solution(name), seed=1, seeds=1).score == 0


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_lose_the_marks_of_what_they_attack(tmp_path, attack):
    name, code, attacked = ATTACKS[attack]
    code = code.replace("REFERENCE", str(solution(name)))
    found, whole = marks(tmp_path, name, code, seeds=1 if attack != "the first answer again" else 2, seconds=2)
    assert attacked <= found.keys()
    assert all(found[claim] < 1 for claim in attacked), found
    assert all(mark == 1 for claim, mark in found.items() if claim not in attacked), [c.trouble for c in whole.claims]


def test_at_least_thirty_attacks():
    assert len(ATTACKS) >= 30


def test_partial_credit_is_the_share_of_cases(tmp_path):
    code = "honest = adapter\ndef adapter(W, target, r):\n    return honest(W, target, 1)"
    found, _ = marks(tmp_path, "eckart_young", code)
    assert found == {"theorem-1": 0.5, "theorem-2": 0.5, "corollary-1": 1.0}


def test_the_process_sees_no_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret")
    code = (
        "import os\ndef least_rank(*a):\n"
        "    raise RuntimeError(str(dict(os.environ)) + os.getcwd() + str(os.listdir('.')))"
    )
    _, whole = marks(tmp_path, "eckart_young", code)
    trouble = whole.claims[2].trouble
    assert "s3cret" not in trouble
    assert os.getcwd() not in trouble


def test_homework_leaves_no_files(tmp_path):
    code = """
import os, posix, sqlite3
def least_rank(*a):
    left = 'LEFT'
    for leave in (
        lambda: open(left, 'w'), lambda: os.mkdir(left), lambda: os.mkfifo(left), lambda: posix.mkfifo(left),
        lambda: os.open(left, os.O_CREAT), lambda: sqlite3.connect(left), lambda: np.ones(3).tofile(left),
        lambda: np.memmap(left, float, 'w+', shape=3), lambda: os.symlink('/', left), lambda: os.chmod(__file__, 0),
    ):
        try:
            leave()
        except (OSError, AttributeError):
            pass
    return 'done'
""".replace("LEFT", str(tmp_path / "left"))  # fmt: skip
    _, whole = marks(tmp_path, "eckart_young", code, seeds=1)
    assert "done" in whole.claims[2].trouble
    assert [path.name for path in tmp_path.iterdir()] == ["homework.py"]
    assert (tmp_path / "homework.py").read_text()


def test_a_file_in_another_encoding_is_named_as_such(tmp_path):
    (tmp_path / "latin.py").write_bytes("x = 'ü'".encode("latin-1"))
    trouble = grade(tmp_path / "latin.py", solution("attention_head"), seed=0, seeds=1).claims[0].trouble
    assert "the file cannot be loaded: SyntaxError" in trouble


def test_a_reference_that_fails_is_refused(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text(solution("linear_chain").read_text().replace("-(-D // L)", "D // L", 1))
    with pytest.raises(GradeError, match="the reference does not solve linear_chain:lemma-1-threshold at D=4, L=3"):
        grade(solution("linear_chain"), broken, seed=0, seeds=1)
    with pytest.raises(GradeError, match="there is no file"):
        grade(tmp_path / "none.py", broken, seed=0)


def test_command_line(tmp_path):
    words = ["grade", str(solution("attention_head")), "--reference", str(solution("attention_head"))]
    run = CliRunner().invoke(cli, [*words, "--seeds", "2", "--json", str(tmp_path / "out.json")])
    assert run.exit_code == 0, run.output
    assert "score 2.00 of 2" in run.output
    data = json.loads((tmp_path / "out.json").read_text())
    assert (data["score"], data["out_of"], [c["marks"] for c in data["claims"]]) == (2, 2, [1, 1])
    words[1] = str(EXERCISES / "attention_head.py")
    assert CliRunner().invoke(cli, [*words, "--seeds", "1"]).exit_code == 1
    (tmp_path / "junk.py").write_text("x = 1")
    run = CliRunner().invoke(cli, [*words[:3], str(tmp_path / "junk.py")])
    assert (run.exit_code, run.output.count("\n")) == (2, 1)


def test_messages_come_back():
    data = [1, 2.5, None, True, "x", (np.arange(6.0).reshape(2, 3), [np.int64(3)]), {"a": Fraction(1, 3)}]
    back = messages.decode(messages.encode(data))
    np.testing.assert_array_equal(back[5][0], data[5][0])
    assert back[:5] == data[:5]
    assert back[5][1] == [3]
    assert back[6] == data[6]
    objects = np.array([[Fraction(1, 2)]], dtype=object)
    assert messages.decode(messages.encode(objects)) == [[Fraction(1, 2)]]


@pytest.mark.parametrize(
    "text",
    ["", "[1]", "{}", '{"array": "AA==", "dtype": "O", "shape": [1]}',
     '{"array": "AA==", "dtype": "<f8", "shape": [9]}',
     '{"fraction": "1/0"}', '{"fraction": "1e999999999"}', '{"fraction": 1}',
     '{"list": 3}', '{"array": 1, "dtype": "<f8", "shape": []}', "[" * 100000],
)  # fmt: skip
def test_what_is_no_message_is_refused(text):
    with pytest.raises(ValueError, match=r"no message|JSON|Expecting|reshape|base64|padding|buffer"):
        messages.decode(text)


@pytest.mark.parametrize("value", [object(), {1: 2}, 1j, np.array([1j]), lambda: 0])
def test_what_is_no_data_is_refused(value):
    with pytest.raises(TypeError, match="is no data"):
        messages.encode(value)
