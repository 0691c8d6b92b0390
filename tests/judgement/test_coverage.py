"""The table of statements agrees with the claims; if a test fails here, its message says what to do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lora_proofs import cli
from lora_proofs.judgement import coverage
from lora_proofs.judgement.claims import Paper, equal
from lora_proofs.judgement.collect import CollectError, collect
from lora_proofs.judgement.coverage import KNOWN, discrepancies, read_coverage
from lora_proofs.judgement.environment import data_folder

ROOT = Path(__file__).resolve().parents[2]
FILE = data_folder("paper_checks") / "coverage.toml"


@pytest.fixture(scope="module")
def papers():
    return [selection.paper for selection in collect()]


def test_no_claim_has_disappeared_and_every_claim_is_named(papers):
    found = discrepancies(read_coverage(FILE), papers)
    assert not found, f"edit {FILE.name}, or restore the claim:\n" + "\n".join(found)


def test_no_statement_and_no_further_claim_is_named_twice(papers):
    for entry in read_coverage(FILE).values():
        names = [statement.name for statement in entry.statements]
        assert len(set(names)) == len(names)
        assert len(set(entry.others)) == len(entry.others)
        for statement in entry.statements:
            assert len(set(statement.checked)) == len(statement.checked)


def study(*numbers):
    paper = Paper(key="study", title="", authors=(), year=2024, arxiv="")
    for number in numbers:

        @paper.lemma(number)
        def _(case):
            """Statement."""
            return equal(1, 1)

    return paper


@pytest.fixture
def table(tmp_path):
    def write(text):
        file = tmp_path / "coverage.toml"
        file.write_text(text)
        return file

    return write


STUDY = """
[study]
others = ["lemma-2"]
"Lemma 1" = { known = "read", checked = ["lemma-1"] }
"Lemma 3" = { known = "recalled", "not checked" = "too long" }
"Lemma 4" = { known = "summary", checked = ["lemma-1"], "not checked" = "n = 2" }
"""


@pytest.mark.parametrize(
    ("numbers", "line"),
    [
        (
            ["1"],
            "study:lemma-2 is named but is no claim: restore it, or name what checks the statement now",
        ),
        (
            ["2"],
            "study:lemma-1 is named but is no claim: restore it, or name what checks the statement now",
        ),
        (
            ["1", "2", "9"],
            "study:lemma-9 is not named: add it to the statement that it checks, or to others",
        ),
    ],
)
def test_each_discrepancy_is_one_line_that_says_what_to_do(table, numbers, line):
    assert discrepancies(read_coverage(table(STUDY)), [study(*numbers)]) == [line]


def test_papers_and_tables_match(table):
    found = read_coverage(table(STUDY))
    assert discrepancies(found, [study("1", "2")]) == []
    assert discrepancies(found, []) == ["no paper has the key 'study': rename or remove the table [study]"]
    assert discrepancies({}, [study("1")]) == ["study has no table: add [study] with the paper's statements"]
    twice = read_coverage(table(STUDY.replace('"lemma-2"', '"lemma-1", "lemma-2"')))
    assert discrepancies(twice, [study("1", "2")]) == [
        "study:lemma-1 stands in others and in a statement: remove it from one of them"
    ]


def test_lines_and_json(table):
    found = read_coverage(table(STUDY))["study"]
    assert "\n".join(found.lines()) == (
        "study: 1 of 3 statements checked, 1 more in part; 1 further claims\n"
        "  Lemma 1: lemma-1\n"
        "  Lemma 3 [recalled]: not checked\n"
        "      too long\n"
        "  Lemma 4 [summary]: lemma-1\n"
        "      not checked: n = 2"
    )
    data = found.to_json()
    assert data["others"] == ["study:lemma-2"]
    assert data["statements"][2] == {
        "statement": "Lemma 4",
        "known": "summary",
        "checked": ["study:lemma-1"],
        "not_checked": "n = 2",
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[study", "cannot read"),
        ('[study]\n"Lemma 1" = { checked = ["lemma-1"] }', "must say known = one of read, summary, recalled"),
        ('[study]\n"Lemma 1" = { known = "read" }', "names neither the claims that check it nor why"),
        ('[study]\n"Lemma 1" = { known = "read", unchecked = "why" }', "write known, checked, 'not checked'"),
        ('[study]\n"Lemma 1" = "lemma-1"', "'Lemma 1' is no table"),
        ('[study]\nothers = ["lemma-1"]\n"Lemma 2" = { known = "read", checked = "lemma-2" }', "must be a list"),
    ],
)
def test_a_malformed_table_takes_one_line(table, text, complaint):
    with pytest.raises(CollectError, match=complaint) as problem:
        read_coverage(table(text))
    assert "\n" not in str(problem.value)
    assert str(table(text)) in str(problem.value)


def test_a_missing_table_takes_one_line(tmp_path):
    with pytest.raises(CollectError, match="cannot read"):
        read_coverage(tmp_path / "coverage.toml")


def test_the_command_lists_every_paper(papers):
    done = CliRunner().invoke(cli.cli, ["list", "--coverage"])
    assert done.exit_code == 0, done.output
    assert [line.split(":")[0] for line in done.stdout.splitlines() if "further claims" in line] == [
        paper.key for paper in papers
    ]
    assert f"[recalled] {KNOWN['recalled']}" in done.stdout


def test_the_command_writes_json():
    done = CliRunner().invoke(cli.cli, ["list", "--coverage", "--json", "-"])
    data = json.loads(done.stdout)
    assert data["schema"] == 1
    named = {label for paper in data["papers"] for label in paper["others"]}
    named |= {label for paper in data["papers"] for entry in paper["statements"] for label in entry["checked"]}
    assert named == {f"{key}:{name}" for key, entry in read_coverage(FILE).items() for name in entry.named}


def test_the_command_notes_discrepancies(monkeypatch):
    monkeypatch.setattr(coverage, "discrepancies", lambda *_: ["a line"])
    assert CliRunner().invoke(cli.cli, ["list", "--coverage"]).stderr == "warning: a line\n"


def test_the_command_loads_nothing_that_checks_compute_with():
    code = (
        "import sys; from lora_proofs.cli import cli; cli(['list', '--coverage'], standalone_mode=False); "
        "print([m for m in ('sympy', 'cvxpy', 'jax', 'torch', 'matplotlib', 'joblib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"
