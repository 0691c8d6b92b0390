"""What is said of kernel-checked theorems: nothing before they are accepted, nothing once their text has changed."""

import json
from dataclasses import replace

import pytest

from lora_proofs.claims import Paper, at_most
from lora_proofs.formal import Development
from lora_proofs.formal.kernel import Kernel
from lora_proofs.formal.prover import Answer, _keep
from lora_proofs.judgement.collect import Selection
from lora_proofs.judgement.environment import cache_folder, data_folder
from lora_proofs.judgement.tally import Tally
from lora_proofs.presentation.page import write_latex, write_pages
from lora_proofs.presentation.proofs import REFUTED as BEGINS
from lora_proofs.presentation.proofs import Proof, accepted_proofs, proves
from lora_proofs.presentation.report import Report
from lora_proofs.verify import verify

THEOREM = Proof(
    "sum_of_naturals", "sum_of_naturals : forall n, 2 * sum n = n * (n + 1)", "For every n.", "In N.", False
)
REFUTED = Proof("one_less", "one_less : ~ forall n, 2 * sum n = n * n", "A refuted weakening.", "", True)


@pytest.fixture
def report():
    paper = Paper(key="gauss1796", title="Tagebuch", authors=("C. F. Gauss",), year=1796, arxiv="")

    @paper.theorem("1", n=(4, 100), proof="sum_of_naturals")
    def theorem(case):
        """For every n: the sum is at most its square."""
        return at_most(case["n"], case["n"] ** 2)

    verdicts = [verify(theorem, case) for case in theorem.cases()]
    tally = Tally()
    for position, verdict in enumerate(verdicts):
        tally.add(position, verdict)
    selection = Selection(data_folder("paper_checks") / "gauss1796.py", paper, (theorem,))
    return Report([selection], {theorem.label: tally}, 1.0, "", lambda: verdicts, {theorem.label: (THEOREM, REFUTED)})


def test_a_claim_names_theorems():
    paper = Paper(key="paper", title="A title", authors=("A. Author",), year=2024, arxiv="")
    with pytest.raises(ValueError, match="proof names theorems"):

        @paper.lemma("2", proof="not a name")
        def lemma(case):
            """Statement."""


def test_every_form_of_the_report_says_proved(report, tmp_path):
    (line,) = [line.text for line in report.lines() if "theorem-1 " in line.text]
    assert "proved for all sizes: sum_of_naturals (differs from the print)" in line
    data = json.loads("".join(report.json()))
    assert data["summary"]["proved"] == 1
    assert [row["proved"] for row in data["verdicts"]] == [True, True]
    assert data["proofs"]["gauss1796:theorem-1"][0]["statement"] == THEOREM.statement
    write_pages(tmp_path, report, [], "no reference")
    page = (tmp_path / "gauss1796.html").read_text("utf-8")
    assert all(text in page for text in ("Proved for all sizes", "For every n.", "In N.", "Weakening refuted"))
    assert "forall n, 2 * sum n = n * (n + 1)" in page
    write_latex(tmp_path / "table.tex", report)
    table = (tmp_path / "table.tex").read_text("utf-8")
    assert r"sum\_of\_naturals" in table
    assert "For every n. Differs from the print: In N." in table


def test_a_refuted_weakening_proves_no_claim(report):
    weak = replace(report, proofs={"gauss1796:theorem-1": (REFUTED,)})
    assert proves((REFUTED,)) == ""
    assert weak.summary["proved"] == 0
    assert not any("proved" in line.text for line in weak.lines())


def test_the_label_comes_with_acceptance_and_goes_with_the_text(monkeypatch, tmp_path):
    monkeypatch.setenv("LORA_PROOFS_CACHE", str(tmp_path))
    shipped = Development.shipped()
    theorem = next(theorem for theorem in shipped.theorems if theorem.name == "lemma1_iff")
    paper = Paper(key="zeng2024expressive", title="A title", authors=("A. Author",), year=2024, arxiv="")

    @paper.lemma("1", proof="lemma1_iff")
    def lemma(case):
        """Statement."""

    assert accepted_proofs([lemma]) == {}
    answer = Answer(theorem.name, theorem.file, theorem.claims, theorem.says, theorem.differs, "a statement")
    _keep(shipped, Kernel("coqc", "Coq 0"), cache_folder(), [answer])
    (proof,) = accepted_proofs([lemma])[lemma.label]
    assert (proof.name, proof.statement, proof.says) == ("lemma1_iff", "a statement", theorem.says)
    changed = {**shipped.sources, "chain": shipped.sources["chain"] + "\n"}
    monkeypatch.setattr(Development, "sources", changed)
    assert accepted_proofs([lemma]) == {}


def test_checks_and_theorems_name_each_other():
    from lora_proofs.judgement.collect import collect

    claims = [claim for selection in collect() for claim in selection.claims]
    named = {(name, claim.label) for claim in claims for name in claim.proof}
    assert named == {(theorem.name, label) for theorem in Development.shipped().theorems for label in theorem.claims}


def test_a_claim_that_is_false_as_printed_is_not_proved(monkeypatch, tmp_path):
    from lora_proofs.judgement.collect import collect

    monkeypatch.setenv("LORA_PROOFS_CACHE", str(tmp_path))
    shipped = Development.shipped()
    theorem = next(theorem for theorem in shipped.theorems if theorem.name == "sigma_counterexample")
    claims = [claim for selection in collect() for claim in selection.claims if theorem.name in claim.proof]
    answer = Answer(theorem.name, theorem.file, theorem.claims, theorem.says, theorem.differs, "a statement")
    _keep(shipped, Kernel("coqc", "Coq 0"), cache_folder(), [answer])
    proofs = accepted_proofs(claims)
    assert [*proofs] == ["zeng2024expressive:lemma-2-error-as-recalled"]
    assert [proves(found) for found in proofs.values()] == [""]


def test_the_controls_say_that_they_refute_and_some_stand_elsewhere():
    theorems = Development.shipped().theorems
    refuting = {theorem.name for theorem in theorems if theorem.says.startswith(BEGINS)}
    assert {theorem.name for theorem in theorems if theorem.file == "controls"} < refuting
    assert {"frobenius_not_spectral", "pair_counts_are_not_enough", "telescoping_without_first"} < refuting
    assert "theorem31_tight" not in refuting  # it is what its claim says
