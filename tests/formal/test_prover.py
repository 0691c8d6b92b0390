"""What is said of a theorem that is no longer what it was: by a stand-in for the kernel, and by the kernel itself."""

import json
import stat
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lora_proofs.cli import cli
from lora_proofs.formal import Development, Kernel, NoKernel, accepted, find_kernel, prove
from lora_proofs.formal.development import bare, required, unproved_steps
from lora_proofs.formal.kernel import Compiled, recheck

BASE = "Definition twice (n : nat) := n + n.\n"
SUMS = """From LoraProofs Require Import base.
(* an aside: (* Admitted *) *)
Theorem twice_double : forall n : nat, twice n = 2 * n.
Proof.
intro n; unfold twice; simpl; rewrite <- plus_n_O; reflexivity.
Qed.
"""
TABLE = '[sums.twice_double]\nclaims = ["paper2024:lemma-1"]\nsays = "Twice is double."\n'


@pytest.fixture(params=["stand-in", "coqc"])
def kernel(request, tmp_path):
    if request.param == "coqc":
        try:
            return find_kernel()
        except NoKernel:
            pytest.skip("there is no coqc here")
    script = tmp_path / "coqc"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("coqc_stand_in.py")} "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return Kernel(str(script), "Coq 0")


@pytest.fixture
def development(tmp_path, kernel):
    """A development that is accepted, with its text committed."""
    write(tmp_path / "theories", base=BASE, sums=SUMS)
    (tmp_path / "theorems.toml").write_text(TABLE)
    whole = Development(tmp_path / "theories")
    assert all(answer.accepted for answer in prove(whole, whole.theorems, kernel, tmp_path / "cache", rewrite=True))
    return whole


def write(folder, **sources):
    folder.mkdir(exist_ok=True)
    for name, text in sources.items():
        (folder / f"{name}.v").write_text(text)


def problems(development, kernel):
    """Prove what lies in the folder now, and return what is wrong with the one theorem."""
    now = Development(development.folder)
    [answer] = prove(now, now.theorems, kernel, development.folder.parent / "cache")
    assert answer.accepted == (not answer.problems)
    return "; ".join(answer.problems)


def test_a_theorem_is_accepted_with_its_statement(development, kernel):
    cache = development.folder.parent / "cache"
    [answer] = prove(development, development.theorems, kernel, cache)
    assert (answer.name, answer.file, answer.claims) == ("twice_double", "sums", ("paper2024:lemma-1",))
    assert answer.statement == "forall n : nat, base.twice n = 2 * n"
    assert (answer.assumptions, answer.problems, answer.accepted) == ([], [], True)
    assert set(development.read_statements()) == {"sums.twice_double", "base.twice"}


CHANGES = {
    "broken proof": ("reflexivity", "exact I", "in twice_double, line 5"),
    "added hypothesis": ("n : nat, twice", "n : nat, n = n -> twice", "says something else than its committed text"),
    "weakened conclusion": ("twice n = 2 * n.", "twice n = 2 * n \\/ n = 0.", "says something else"),
    "renamed theorem": ("twice_double", "twice_is_double", "no theorem of this name"),
    "axiom": ("Theorem", "Axiom magic : forall n : nat, twice n = 2 * n.\nTheorem", "magic : forall n : nat, "),
    "variable": ("Theorem", "Variable magic : forall n : nat, twice n = 2 * n.\nTheorem", "magic : forall n : nat, "),
    "unproved step": ("Theorem", "Lemma hole : 0 = 1.\nProof.\nAdmitted.\nTheorem", "sums.v, line 5: Admitted"),
}
PROOFS = {
    "added hypothesis": ("intro n;", "intros n _;"),
    "weakened conclusion": ("intro n;", "intro n; left;"),
    "axiom": ("intro n; unfold twice; simpl; rewrite <- plus_n_O; reflexivity", "exact magic"),
    "variable": ("intro n; unfold twice; simpl; rewrite <- plus_n_O; reflexivity", "exact magic"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_named(change, development, kernel):
    old, new, said = CHANGES[change]
    source = SUMS.replace(old, new, 1).replace(*PROOFS.get(change, ("", "")))
    write(development.folder, sums=source)
    assert said in problems(development, kernel)
    write(development.folder, sums=SUMS)
    assert problems(development, kernel) == ""


def command(development, monkeypatch, kernel):
    """Run lora-proofs prove on a development; return its exit code and what it prints."""
    monkeypatch.setenv("LORA_PROOFS_CACHE", str(development.folder.parent / "cache"))
    monkeypatch.setattr(Development, "shipped", lambda: Development(development.folder))
    monkeypatch.setattr("lora_proofs.formal.find_kernel", lambda: kernel)
    result = CliRunner().invoke(cli, ["prove"])
    return result.exit_code, result.output


@pytest.mark.parametrize("change", CHANGES)
def test_the_command_names_a_change_and_exits_with_1(change, development, kernel, monkeypatch):
    old, new, said = CHANGES[change]
    write(development.folder, sums=SUMS.replace(old, new, 1).replace(*PROOFS.get(change, ("", ""))))
    code, output = command(development, monkeypatch, kernel)
    assert (code, "sums.twice_double: NOT accepted" in output, said in output) == (1, True, True)


def test_the_command_shows_the_statement_beside_the_words(development, kernel, monkeypatch):
    code, output = command(development, monkeypatch, kernel)
    assert code == 0
    assert "    Twice is double.\n    the kernel's statement: forall n : nat, base.twice n = 2 * n\n" in output
    assert output.endswith("accepts 1 of 1 theorems\n")


def test_a_changed_definition_is_named(development, kernel):
    write(
        development.folder,
        base=BASE.replace("n + n", "n + n + 0"),
        sums=SUMS.replace("unfold twice;", "unfold twice; rewrite <- plus_n_O;"),
    )
    assert "rests on base.twice, which changed" in problems(development, kernel)


def test_what_requires_a_broken_file_is_not_accepted(development, kernel):
    write(development.folder, base=BASE + "Theorem wrong : 0 = 1.\nProof.\nexact I.\nQed.\n")
    assert "sums.v is not accepted: requires base.v, which is broken" in problems(development, kernel)


def test_an_uncommitted_statement_is_not_accepted(development, kernel):
    development.statements.unlink()
    assert "the text of sums.twice_double is not committed" in problems(development, kernel)


def test_a_file_is_compiled_once(development, kernel):
    seen = development.folder.parent / "cache" / "formal"
    before = {path: path.stat().st_mtime_ns for path in seen.rglob("*.vo")}
    assert len(before) == 2
    assert problems(development, kernel) == ""
    assert {path: path.stat().st_mtime_ns for path in seen.rglob("*.vo")} == before


def test_proved_is_said_of_the_present_text_only(development, kernel):
    cache = development.folder.parent / "cache"
    assert [*accepted(development, cache)] == ["twice_double"]
    write(development.folder, base=BASE + "\n")
    assert accepted(Development(development.folder), cache) == {}
    assert problems(development, kernel) == ""
    assert [*accepted(Development(development.folder), cache)] == ["twice_double"]
    (development.folder.parent / "theorems.toml").write_text(TABLE.replace("double.", "threefold."))
    assert accepted(Development(development.folder), cache) == {}


def test_what_is_not_accepted_is_forgotten(development, kernel):
    cache = development.folder.parent / "cache"
    record = next((cache / "formal").glob("accepted-*.json"))
    assert json.loads(record.read_text())["kernel"] == kernel.name
    write(development.folder, sums=SUMS.replace("reflexivity", "exact I"))
    assert problems(development, kernel)
    assert accepted(Development(development.folder), cache) == {}


def test_selecting(development):
    for name in ("paper2024", "paper2024:lemma-1", "twice_double", "sums", "sums.twice_double"):
        assert [theorem.name for theorem in development.select([name])] == ["twice_double"]
    with pytest.raises(ValueError, match="no theorem proves 'paper2024:lemma-2'"):
        development.select(["paper2024:lemma-2"])


@pytest.mark.parametrize(("table", "said"), [
    ("[sums.a]\nclaims = []\n", "says"),
    ('[sums.a]\nsays = "A."\nclaim = []\n', "unknown key 'claim'"),
    ('[sums.a]\nsays = "A."\n[base.a]\nsays = "B."\n', "stands under sums and base"),
    ("[sums", "theorems.toml"),
])  # fmt: skip
def test_a_table_that_cannot_be_used(table, said, tmp_path):
    write(tmp_path / "theories", sums=SUMS)
    (tmp_path / "theorems.toml").write_text(table)
    with pytest.raises(ValueError, match=said):
        _ = Development(tmp_path / "theories").theorems


def test_reading_sources():
    assert bare('a (* b (* c\n *) d *) e "Admitted" f').split() == ["a", "e", "f"]
    assert unproved_steps("Lemma a : b.\nAdmitted. (* admit *)\nUnset Guard Checking.") == [
        "line 2: Admitted", "line 3: Unset Guard Checking",
    ]  # fmt: skip
    assert unproved_steps("Lemma admitted_words : Axiomatic.") == []
    source = "From LoraProofs Require Import chain relu.\nFrom mathcomp Require Import all_algebra.\n"
    source += "(* From LoraProofs Require Import svd. *)"
    assert required(source, ["svd", "relu", "chain"]) == ["relu", "chain"]


def test_theories_in_a_circle(tmp_path):
    write(tmp_path, a="From LoraProofs Require Import b.", b="From LoraProofs Require Import a.")
    with pytest.raises(ValueError, match="a -> b -> a"):
        Development(tmp_path).needed(["a"])


def test_without_a_kernel(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoKernel, match=r"apt-get install coq .*opam install"):
        find_kernel()


def test_the_shipped_development():
    shipped = Development.shipped()
    assert [name for name in shipped.sources if unproved_steps(shipped.sources[name])] == []
    for theorem in shipped.theorems:
        assert f"{theorem.name}" in shipped.sources[theorem.file], theorem
    committed = shipped.read_statements()
    assert [theorem.path for theorem in shipped.theorems if theorem.path not in committed] == []
    listed = (shipped.folder / "_CoqProject").read_text().split()
    assert sorted(name for name in listed if name.endswith(".v")) == sorted(f"{name}.v" for name in shipped.sources)


def test_theorems_name_claims_that_exist():
    from lora_proofs.judgement.collect import collect

    labels = {claim.label for selection in collect() for claim in selection.claims}
    assert [c for theorem in Development.shipped().theorems for c in theorem.claims if c not in labels] == []


def test_coqchk_is_heard_but_for_the_machine_numbers_of_the_kernel(tmp_path):
    report = (
        "CONTEXT SUMMARY\n* Theory: Set is predicative\n* Axioms:\n    Coq.Floats.PrimFloat.sqrt{more}\n"
        "* Constants/Inductives relying on type-in-type: <none>\n"
    )
    coqchk = tmp_path / "coqchk"
    done = Compiled(tmp_path, {}, {})

    def objections(more):
        (tmp_path / "report").write_text(report.format(more=more))
        coqchk.write_text(f"#!/bin/sh\ncat {tmp_path}/report\n")
        coqchk.chmod(0o755)
        return recheck(Kernel(str(tmp_path / "coqc"), "Coq 0"), done)

    assert objections("") == []
    assert objections("\n    LoraProofs.chain.assumed") == ["coqchk: Axioms: LoraProofs.chain.assumed"]
