"""Instances as Rocq data: the kernel computes that the adapters do it, and sees where they do not."""

import re
from pathlib import Path

import pytest

from lora_proofs import cli
from lora_proofs.formal import Development, Kernel, NoKernel, find_kernel, prove_instance, write_instance
from lora_proofs.formal.instances import KINDS


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def verdict(tmp_path, cache):
    """Return a function from a file's text to what is wrong with it."""
    try:
        kernel = find_kernel()
    except NoKernel:
        pytest.skip("there is no coqc here")

    def problems(text):
        (tmp_path / "case.v").write_text(text)
        [answer] = prove_instance(Development.shipped(), tmp_path / "case.v", kernel, cache)
        assert answer.name == "instance_holds"
        return "; ".join(answer.problems)

    return problems


CASES = [
    ("zeng2024expressive:lemma-1", {"D": 4, "L": 2, "R": 1}),
    ("zeng2024expressive:lemma-1", {"D": 3, "L": 3, "R": 2}),
    ("zeng2024expressive:theorem-3", {"D": 3, "L": 5, "Lbar": 2, "R": 1}),
    ("zeng2024expressive:theorem-7", {"D": 3, "L": 2, "H": 2, "R": 1}),
    ("zeng2024expressive:theorem-7", {"D": 2, "L": 1, "H": 1, "R": 1}),
]


@pytest.mark.parametrize(("label", "sizes"), CASES)
def test_the_kernel_computes_that_the_adapters_do_it(label, sizes, verdict):
    assert verdict(write_instance(label, sizes, seed=1)) == ""


def bump(text, name):
    """Add one to the first number of a definition."""
    head, tail = re.split(rf"(?<=Definition {name} :=\n)", text)
    return head + re.sub(r"-?\d+", lambda found: str(int(found[0]) + 1), tail, count=1)


@pytest.mark.parametrize(("label", "names"), [
    ("zeng2024expressive:lemma-1", ("frozen", "target", "adapters")),
    ("zeng2024expressive:theorem-3", ("frozen", "target", "adapters", "biases")),
    ("zeng2024expressive:theorem-7", ("frozen", "adapted_blocks", "target", "calibrations", "adapters", "Wo")),
])  # fmt: skip
def test_any_number_that_is_off_is_seen(label, names, verdict):
    text = write_instance(label, {}, seed=2)
    for name in names:
        assert "in instance_holds" in verdict(bump(text, name)), name


@pytest.mark.parametrize(("label", "old", "new"), [
    ("zeng2024expressive:lemma-1", "(repeat 1%nat 2)", "[1%nat; 0%nat]"),
    ("zeng2024expressive:lemma-1", "(repeat 1%nat 2)", "(repeat 1%nat 1)"),
    ("zeng2024expressive:theorem-3", "target 1 adapters", "target 0 adapters"),
    ("zeng2024expressive:theorem-3", "repeat (-1, 1) 3", "repeat (-1, 1000) 3"),
    ("zeng2024expressive:theorem-7", "theorem7_holds 3 2", "theorem7_holds 3 1"),
])  # fmt: skip
def test_a_rank_less_or_a_larger_box_is_seen(label, old, new, verdict):
    text = write_instance(label, {}, seed=3)
    assert old in text
    assert "in instance_holds" in verdict(text.replace(old, new))


def test_a_file_that_says_something_else_is_not_accepted(verdict):
    theorem = "Theorem instance_holds : true = true.\nProof. reflexivity. Qed.\n"
    assert "does not say that a check of instances.v is true" in verdict(theorem)
    own = "Definition lemma1_holds := true.\nTheorem instance_holds : lemma1_holds = true.\nProof. reflexivity. Qed.\n"
    assert "does not say that a check of instances.v is true" in verdict(own)
    text = write_instance("zeng2024expressive:lemma-1", {})
    assert "Admitted" in verdict(text.replace("Proof. vm_compute; reflexivity. Qed.", "Admitted."))


def test_a_check_that_was_loosened_is_not_accepted(verdict, monkeypatch):
    sources = Development.shipped().sources
    loose = sources["instances"].replace(
        "let k := length (snd D) in (k <=? R)", "let k := length (snd D) in (k <=? S R)"
    )
    assert loose != sources["instances"]
    monkeypatch.setattr(Development, "sources", {**sources, "instances": loose})
    said = verdict(write_instance("zeng2024expressive:lemma-1", {}))
    assert said == "rests on instances.rank_at_most, whose text is not the committed one"


@pytest.mark.parametrize("label", KINDS)
def test_the_same_seed_gives_the_same_file(label):
    assert write_instance(label, {}, 5) == write_instance(label, {}, 5) != write_instance(label, {}, 6)


@pytest.mark.parametrize(("label", "sizes", "said"), [
    ("zeng2024expressive:lemma-9", {}, "no instances are written for 'zeng2024expressive:lemma-9'"),
    ("zeng2024expressive:lemma-1", {"H": 2}, "no parameter 'H': they have D, L, R"),
    ("zeng2024expressive:lemma-1", {"D": 0}, "D is 0; pass a positive integer"),
    ("zeng2024expressive:theorem-3", {"L": 1, "Lbar": 2}, "pass Lbar <= L"),
])  # fmt: skip
def test_what_cannot_be_written(label, sizes, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        write_instance(label, sizes)


def test_a_file_without_a_theorem(tmp_path):
    (tmp_path / "case.v").write_text("Definition a := 1.\n")
    with pytest.raises(ValueError, match="states no theorem"):
        prove_instance(Development.shipped(), tmp_path / "case.v", Kernel("coqc", "Coq 0"), tmp_path)


@pytest.fixture
def command(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["lora-proofs", "prove", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr()

    return run


def test_the_command_writes_an_instance(command, tmp_path):
    file = tmp_path / "case.v"
    code, _ = command("zeng2024expressive:lemma-1", "--case", "D=3,L=2,R=1", "--seed", "4", "--to", str(file))
    assert not code
    assert file.read_text() == write_instance("zeng2024expressive:lemma-1", {"D": 3, "L": 2, "R": 1}, 4)


def test_the_command_without_a_kernel(command, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out = command()
    assert code == 3
    assert len(out.err.splitlines()) == 1
    assert "apt-get install coq" in out.err


@pytest.mark.parametrize(("arguments", "said"), [
    (("nobody2020",), "no theorem proves 'nobody2020'"),
    (("absent.v",), "there is no file absent.v"),
    (("--rewrite", "lemma1_iff"), "give no names with it"),
    (("--case", "D=3"), "say with --to where to write it"),
    (("--to", "x.v"), "--to writes an instance of one label, not of 0"),
    (("zeng2024expressive:lemma-1", "--case", "D=x,", "--to", "x.v"), "Error"),
])  # fmt: skip
def test_input_that_cannot_be_used(arguments, said, command):
    code, out = command(*arguments)
    assert code == 2
    assert said in out.err
    assert not Path("x.v").exists()
