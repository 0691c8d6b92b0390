"""What README.md shows works: its Python runs, and its commands, options, labels, extras and files exist."""

import os
import re
import shlex
import sys
import tomllib
from pathlib import Path, PurePosixPath

import click
import pytest

from lora_proofs.cli import cli
from lora_proofs.judgement.collect import collect
from lora_proofs.presentation.figures import find_figures

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(found[1], found[2], README.count("\n", 0, found.start(2))) for found in FENCED.finditer(README)]
PYTHON = [pytest.param(code, line, id=f"line {line + 1}") for kind, code, line in BLOCKS if kind == "python"]
SPANS = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCED.sub("", README))]


def commands():
    """Yield the simple commands, as lists of words: of shell blocks, of console lines after $, and of code spans."""
    lines = [span for span in SPANS if span.startswith("lora-proofs ")]
    for kind, text, _ in BLOCKS:
        whole = text.replace("\\\n", " ").splitlines()
        if kind in ("sh", "bash"):
            lines += whole
        elif kind != "python":
            lines += [line.removeprefix("$ ") for line in whole if line.startswith("$ ")]
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        command = []
        for word in [*lexer, "&&"]:
            if set(word) <= set("&|;<>()"):
                if command:
                    yield command
                command = []
            elif command or not re.match(r"\w+=", word):  # VARIABLE=value before a command
                command.append(word)


COMMANDS = list(commands())
OURS = [words[1:] for words in COMMANDS if PurePosixPath(words[0]).name == "lora-proofs"]


def parse(words):
    """Parse the words of one `lora-proofs` command, without running it or looking at the files that it names."""
    if words == ["--version"] or words[-1] in ("-h", "--help"):
        words = words[:-1]
    if not words:
        return {}
    command = cli.get_command(click.Context(cli), words[0])
    assert command, f"there is no command lora-proofs {words[0]}"
    context = click.Context(command, info_name=words[0])
    values, extra, _ = command.make_parser(context).parse_args(list(words[1:]))
    assert not extra, f"lora-proofs {words[0]} takes no further {extra}"
    return values


def named(name, command):
    """Return the words that commands of one name take as an argument."""
    found = [parse(words).get(name) for words in OURS if words and words[0] == command]
    return [word for taken in found if isinstance(taken, tuple) for word in taken]


def test_there_is_something_to_look_at():
    assert PYTHON
    assert OURS


@pytest.mark.parametrize(("code", "line"), PYTHON)
def test_python_runs(code, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # as when activated
    exec(compile("\n" * line + code, str(ROOT / "README.md"), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_commands_and_options_exist(words):
    try:
        parse(words)
    except click.UsageError as problem:
        pytest.fail(f"lora-proofs {shlex.join(words)}: {problem.format_message()}")


def test_an_option_that_does_not_exist_is_seen():
    with pytest.raises(click.NoSuchOption):
        parse(["check", "--sedes", "3"])
    with pytest.raises(AssertionError, match="no command"):
        parse(["verify"])
    with pytest.raises(AssertionError, match="no further"):
        parse(["plan", "a", "b", "c"])


def test_papers_and_claims_exist():
    shown = {word for command in ("check", "falsify", "report") for word in named("selectors", command)}
    shown |= {span for span in SPANS if re.fullmatch(r"[a-z]+\d{4}[a-z]+:[\w.+-]+", span)}
    known = {selection.paper.key for selection in collect()}
    known |= {claim.label for selection in collect() for claim in selection.claims}
    assert {word for word in shown if re.match(r"[a-z]+\d{4}[a-z]", word)} <= known


def test_figures_exist():
    known = {script.name for script in find_figures()}
    known |= {name.partition("_")[0] for name in known}
    assert {word for word in named("names", "figure") if not word.isupper()} <= known


def test_extras_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    shown = re.findall(r"(?:lora-proofs|\.)\[([\w,]+)\]", README)
    assert {extra for group in shown for extra in group.split(",")} <= extras.keys()


def test_files_exist():
    words = [word for command in COMMANDS for word in command]
    words += [word for span in SPANS for word in span.split()]
    words += re.findall(r"\]\(([^)#:]+)\)", README)  # links to files
    top = {path.name for path in ROOT.iterdir()}
    paths = {word for word in words if "/" in word and word.split("/")[0] in top}
    assert paths
    assert [path for path in paths if not (any(ROOT.glob(path)) if "*" in path else (ROOT / path).exists())] == []
