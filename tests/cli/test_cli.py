import json
import os
import pty
import re
import resource
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from lora_proofs import cli
from lora_proofs.judgement import collect

ROOT = Path(__file__).resolve().parents[2]

CHECK = '''
from fractions import Fraction
from lora_proofs import Paper, at_most, equal
from lora_proofs.claims import OutOfScope

PAPER = Paper(key="study", title="A title", authors=("A. Author", "B. Author"), year=2024, arxiv="2401.00001v1")

@PAPER.lemma("1", n=(1, 2))
def lemma_1(case):
    """For every n: n <= n.

    A second line.
    """
    return at_most(Fraction(case["n"]), Fraction(case["n"]))

@lemma_1.control("one less")
def _(case):
    return at_most(Fraction(case["n"]), Fraction(case["n"] - 1))

@PAPER.theorem("fails", n=(1,), k=(1, 2))
def theorem_2(case):
    """Statement."""
    return at_most(Fraction(case["k"]), Fraction(1))

@PAPER.theorem("doubtful", m=("low", "high"))
def theorem_3(case):
    """Statement."""
    return at_most((0.0, 2.0), 1.0)

@PAPER.formula("scope")
def formula(case):
    """Statement."""
    raise OutOfScope("never true")

@PAPER.formula("uncaught")
def formula_2(case):
    """Statement."""
    return equal(1, 1)

@formula_2.control("no change")
def _(case):
    return equal(1, 1)

@PAPER.formula("false", gap="false as printed: 2 > 1.")
def formula_3(case):
    """Statement."""
    return at_most(2, 1)

@PAPER.formula("true", gap="false as printed: but it is not.")
def formula_4(case):
    """Statement."""
    return at_most(1, 1)

@PAPER.formula("broken")
def formula_5(case):
    """Statement."""
    return at_most(1, [1])

@PAPER.formula("absent", requires=(("no_such_module", "pip install it"),))
def formula_6(case):
    """Statement."""
    return equal(1, 1)
'''


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Make the checks folder one that holds the study alone."""
    monkeypatch.setenv("LORA_PROOFS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "paper_checks"
    folder.mkdir()
    (folder / "study.py").write_text(CHECK)
    monkeypatch.setattr(collect, "data_folder", lambda name: folder)
    return folder / "study.py"


@pytest.fixture
def run(study, monkeypatch, capsys):
    """Run a command line in this process: exit code, standard output, standard error."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["lora-proofs", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, *capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["study:lemma-1"], 0),
        (["study:formula-false"], 0),
        (["study:formula-absent"], 0),
        (["study:theorem-doubtful"], 0),
        (["study:theorem-doubtful", "--strict"], 3),
        (["study:lemma-1", "--strict"], 0),
        (["study:theorem-fails"], 1),
        (["study:theorem-fails", "study:theorem-doubtful", "--strict"], 1),
        (["study:formula-scope"], 1),
        (["study:formula-uncaught"], 1),
        (["study:formula-true"], 1),
        (["study:formula-broken"], 1),
        (["study"], 1),
        ([], 1),
        (["study:theorem-fails", "--case", "k=1"], 0),
    ],
)
def test_exit_codes(run, words, code):
    assert run("check", *words)[0] == code


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "study:lemma-2"], "no paper or claim is called 'study:lemma-2'; did you mean study:lemma-1"),
        (["check", "nowhere.py"], "there is no file"),
        (["check", "--seeds", "0"], "'--seeds'"),
        (["check", "--seed", "x"], "'--seed'"),
        (["check", "-j", "0"], "-1 for every core"),
        (["check", "-j", "-2"], "-1 for every core"),
        (["check", "--case", "n"], "'n' is not NAME=VALUE"),
        (["check", "--case", "nn=3"], "no selected claim has a parameter 'nn'; did you mean n?"),
        (["check", "--case", "zzz=3"], "no selected claim has a parameter 'zzz'; known: k, m, n"),
        (["check", "--case", "n=3,m=low"], "no selected claim has all of the parameters n, m"),
        (["check", "study:formula-scope", "--case", "n=3"], "known: none"),
        (["check", "--json", "no/folder/out.json"], "the folder of no/folder/out.json does not exist"),
        (["check", "--junit", "no/folder/out.xml"], "does not exist"),
        (["check", "study:lemma-1", "--json", "/dev/full"], "cannot write /dev/full"),
        (["check", "--no-such-option"], "No such option"),
        (["no-such-command"], "No such command"),
    ],
)
def test_bad_input_takes_one_line(run, words, message):
    code, out, error = run(*words)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert out == "" or "/dev/full" in words


def test_a_check_file_that_does_not_load_takes_one_line(run, tmp_path):
    (tmp_path / "mine.py").write_text("\n1 / 0\n")
    code, out, error = run("check", "mine.py")
    assert (code, out) == (2, "")
    assert re.fullmatch(r"Error: cannot load \S+mine\.py, line 2: ZeroDivisionError: division by zero\n", error)


def test_seeds_and_cases(run):
    def cases(*words):
        verdicts = json.loads(run("check", "study:lemma-1", "--json", "-", *words)[1])["verdicts"]
        return [(v["params"]["n"], v["seed"]) for v in verdicts if v["negative_control"] is None]

    assert cases() == [(n, seed) for n in (1, 2) for seed in range(5)]
    assert cases("--seeds", "2", "--seed", "7") == [(1, 7), (1, 8), (2, 7), (2, 8)]
    assert cases("--case", "n=5", "--case", "n=6", "--seeds", "1") == [(5, 0), (6, 0)]


def test_a_case_restricts_the_run_to_the_claims_that_have_its_parameters(run):
    code, out, error = run("check", "--case", "n=4,k=1")
    assert code == 0
    assert "theorem-fails" in out
    assert "lemma-1" not in out
    assert "1 of 9 claims have these parameters; the others are left out" in error


def test_the_reproducer_reproduces(run):
    _, out, _ = run("check", "study")
    (command,) = [line.split() for line in out.splitlines() if "theorem-fails --case" in line][:1]
    assert command[:2] == ["lora-proofs", "check"]
    code, out, _ = run(*command[1:])
    assert code == 1
    assert "fails on 1 of 1 case" in out


def test_json_goes_to_a_file_or_to_standard_output(run, tmp_path):
    code, out, error = run("check", "study", "--seeds", "1", "--json", "-")
    data = json.loads(out)
    assert (code, data["schema"]) == (1, 1)
    assert data["environment"]["command"] == "lora-proofs check study --seeds 1 --json -"
    assert "holds on 2 of 2 cases (exact)" in error
    _, out, error = run("check", "study", "--seeds", "1", "--json", "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert "holds on 2 of 2 cases (exact)" in out
    assert [v["outcome"] for v in written["verdicts"]] == [v["outcome"] for v in data["verdicts"]]


def test_junit_parses(run, tmp_path):
    run("check", "study", "--seeds", "1", "--junit", "out.xml", "--strict")
    (suite,) = ET.parse(tmp_path / "out.xml").getroot()
    assert suite.get("name") == "study"
    assert {case.get("classname") for case in suite} >= {"study:lemma-1", "study:formula-absent"}


def test_the_run_is_the_same_in_processes(run):
    def verdicts(*words):
        data = json.loads(run("check", "study", "--json", "-", *words)[1])
        return [{**verdict, "seconds": 0} for verdict in data["verdicts"]]

    assert verdicts("-j", "2") == verdicts()


def test_what_is_piped_is_plain(run):
    _, out, error = run("check", "study")
    assert "\x1b" not in out + error
    assert error == ""


def test_a_missing_package_is_named_with_the_command_that_installs_it(run):
    code, out, _ = run("check", "study:formula-absent")
    assert code == 0
    assert "not run: 1 claim of study, without no_such_module: pip install it" in out


def test_list_shows_every_claim(run):
    code, out, _ = run("list")
    assert code == 0
    assert "study: A title (2024, arXiv:2401.00001v1)" in out
    assert "study:lemma-1  [lemma; cases: 10]\n      For every n: n <= n.\n" in out
    assert "A second line" not in out


def test_the_central_papers_are_listed_first():
    words = [sys.executable, "-m", "lora_proofs", "list"]
    out = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    papers = [line.partition(":")[0] for line in out.splitlines() if not line.startswith(" ")]
    assert papers[:2] == ["zeng2024expressive", "jang2024lora"]
    assert papers[2:] == sorted(papers[2:])
    assert len(papers) > 20


def test_gaps_are_written_out_on_demand(run):
    assert "gaps recorded: 1, 1 of them false as printed; --gaps shows them" in run("check", "study:formula-false")[1]
    assert "study:formula-false: false as printed: 2 > 1." in run("check", "study:formula-false", "--gaps")[1]


def test_list_as_json(run):
    code, out, error = run("list", "--json", "-")
    data = json.loads(out)
    assert (code, data["schema"]) == (0, 1)
    (paper,) = data["papers"]
    assert (paper["key"], paper["authors"]) == ("study", ["A. Author", "B. Author"])
    assert paper["claims"][0] == {
        "label": "study:lemma-1",
        "kind": "lemma",
        "number": "1",
        "statement": "For every n: n <= n.\n\nA second line.",
        "cases": 10,
        "controls": ["one less"],
        "gap": "",
    }
    assert "study:lemma-1" in error


def test_version_and_help(run):
    assert run("--version")[:2] == (0, "lora-proofs 0.1.0\n")
    for words in ([], ["--help"], ["check", "--help"], ["list", "-h"]):
        code, out, _ = run(*words)
        assert code == 0
        assert "Usage: lora-proofs" in out


@pytest.mark.parametrize("words", [["--help"], ["check", "--help"], ["list", "--help"], ["--version"]])
def test_help_starts_quickly(words):
    heavy = ["scipy", "sympy", "cvxpy", "matplotlib", "flint", "mpmath", "joblib", "rich"]
    code = f"""
import atexit, sys
from lora_proofs.cli import main
sys.argv = ["lora-proofs", *{words}]
atexit.register(lambda: print("HEAVY", [m for m in {heavy} if m in sys.modules]))
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_a_terminal_gets_colours_and_a_bar(study):
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "lora_proofs", "check", str(study), "study:lemma-1"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    with subprocess.Popen(command, cwd=ROOT, stdout=child, stderr=child, env=env) as run:
        os.close(child)
        shown = b""
        while True:
            try:
                piece = os.read(parent, 4096)
            except OSError:  # the terminal is gone
                break
            shown += piece
            if not piece:
                break
    os.close(parent)
    assert run.returncode == 0
    assert b"\x1b[32m" in shown
    assert b"14/14" in shown


def test_the_template_runs():
    template = ROOT / "paper_checks" / "TEMPLATE.py"
    command = [sys.executable, "-m", "lora_proofs", "check", str(template)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "8 of 8 controls caught" in done.stdout


def test_output_that_nobody_reads_changes_nothing_else(study):
    environment = {**os.environ, "LORA_PROOFS_CACHE": str(study.parent / "cache")}
    for words, code in ((["study:lemma-1"], 0), (["study:theorem-fails"], 1)):
        read, write = os.pipe()
        os.close(read)
        command = [sys.executable, "-m", "lora_proofs", "check", str(study), *words, "--json", "kept.json"]
        run = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=environment, text=True)
        os.close(write)
        assert (run.returncode, run.stderr) == (code, "")
        assert json.loads(Path("kept.json").read_text())["verdicts"]
        Path("kept.json").unlink()


def test_a_full_disk_gives_one_line():
    for words in (["list"], ["list", "--json", "-"]):
        with open("/dev/full", "w") as full:
            run = subprocess.run(
                [sys.executable, "-m", "lora_proofs", *words], stdout=full, stderr=subprocess.PIPE, text=True
            )
        assert run.returncode == 2
        assert run.stderr.endswith("No space left on device\n")
        assert "Traceback" not in run.stderr


def test_xml_for_standard_output(run):
    code, out, err = run("check", "study:lemma-1", "--junit", "-")
    assert (code, ET.fromstring(out).tag) == (0, "testsuites")
    assert "lemma-1" in err
    assert run("check", "study:lemma-1", "--junit", "-", "--json", "-")[0] == 2


def test_list_is_quick():
    """About 0.4 s of processor time, where NumPy alone takes 0.1 s; twice that on a busy machine."""

    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "lora_proofs", "list"], check=True, capture_output=True, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 1


def test_a_command_loads_no_other():
    code = "import sys; from lora_proofs.cli import cli; cli(['grade', '--help'], standalone_mode=False)"
    code += "; print([m for m in sys.modules if m.startswith('lora_proofs.cli.')])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "['lora_proofs.cli.terminal', 'lora_proofs.cli.grade']"


def test_every_command_has_a_file_of_its_name():
    files = {file.stem for file in (ROOT / "lora_proofs" / "cli").glob("[a-z]*.py")} - {"terminal", "running"}
    assert files == {*cli.COMMANDS}
    assert all(cli.cli.get_command(None, name).name == name for name in cli.COMMANDS)
