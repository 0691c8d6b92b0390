import json
import xml.etree.ElementTree as ET
from fractions import Fraction
from pathlib import Path

import mpmath
import pytest

from lora_proofs.claims import OutOfScope, Paper, at_most, equal
from lora_proofs.enclosure import Enclosure
from lora_proofs.judgement.collect import Selection
from lora_proofs.judgement.environment import data_folder
from lora_proofs.judgement.tally import Tally
from lora_proofs.presentation.junit import write_junit
from lora_proofs.presentation.report import Report, show
from lora_proofs.verify import verify


class Study:
    """A paper whose claims return what they are told."""

    def __init__(self):
        self.paper = Paper(key="paper", title="A title", authors=("A. Author",), year=2024, arxiv="")

    def claim(self, number, outcomes, controls=(), **settings):
        @self.paper.lemma(number, n=tuple(range(len(outcomes))), **settings)
        def check(case):
            """Statement."""
            return play(outcomes[case["n"]])

        for index, outcome in enumerate(controls):
            check.control(f"control {index}", n=(0,))(lambda case, outcome=outcome: play(outcome))
        return self

    def report(self, path=None):
        verdicts = []
        for claim in self.paper.claims:
            for control in (None, *claim.controls) if not claim.missing else ():
                verdicts += [verify(claim, case, control) for case in (control or claim).cases()]
        selection = Selection(path or data_folder("paper_checks") / "paper.py", self.paper, tuple(self.paper.claims))
        tallies = {}
        for position, verdict in enumerate(verdicts):
            tallies.setdefault(verdict.claim, Tally()).add(position, verdict)
        return Report([selection], tallies, 1.5, "lora-proofs check paper", lambda: verdicts)


def play(outcome):
    if outcome == "out of scope":
        raise OutOfScope("a hypothesis is false")
    if outcome == "error":
        raise RuntimeError("broken \x00 check")
    return {
        "exact": equal(Fraction(1, 3), Fraction(1, 3)),
        "float": equal(1.0, 1.0),
        "bracket": at_most(Enclosure(0.5, 0.6), 1),
        "fails": at_most(Fraction(1, 2), Fraction(1, 3)),
        "inconclusive": at_most(Enclosure(0.5, 2.0), 1),
    }[outcome]


def text(report):
    return "\n".join(line.text for line in report.lines())


@pytest.mark.parametrize(
    ("outcomes", "controls", "settings", "sentence"),
    [
        (["exact"] * 3, ["fails"], {}, "holds on 3 of 3 cases (exact); 1 of 1 control caught"),
        (["exact", "exact", "float"], [], {}, "holds on 3 of 3 cases (2 exact, 1 numerical); no control"),
        (["bracket"], ["fails", "float"], {}, "holds on 1 of 1 case (certified); 1 of 2 controls caught"),
        (["float", "float"], [], {"sampled": True}, "no counterexample in 2 tries (numerical)"),
        (["float", "fails"], [], {"sampled": True}, "fails on 1, holds on 1 of 2 cases (1 exact, 1 numerical)"),
        (["inconclusive", "float"], [], {}, "inconclusive on 1, holds on 1 of 2 cases (1 certified, 1 numerical)"),
        (["float", "out of scope"], [], {}, "holds on 1 of 1 case (numerical), out of scope on 1 more"),
        (["out of scope"], [], {}, "error: out of scope on every case"),
        (["fails"], [], {"gap": "false as printed: no."}, "fails on 1 of 1 case (false as printed, as recorded)"),
        (["float"], [], {"gap": "false as printed: no."}, "error: recorded as false as printed, yet it fails on no"),
        (["float"], [], {"requires": (("no_such_module", "pip install it"),)}, "not run"),
    ],
)
def test_one_line_a_claim(outcomes, controls, settings, sentence):
    report = Study().claim("1", outcomes, controls, **settings).report()
    assert f"  lemma-1  {sentence}" in text(report)
    assert "proved" not in text(report)


@pytest.mark.parametrize(
    ("outcomes", "controls", "settings", "code", "strict"),
    [
        (["exact"], ["fails"], {}, 0, 0),
        (["exact"], ["out of scope"], {}, 0, 0),
        (["exact", "out of scope"], [], {}, 0, 0),
        (["exact", "fails"], [], {}, 1, 1),
        (["exact"], ["float"], {}, 1, 1),
        (["exact"], ["inconclusive"], {}, 1, 1),
        (["exact"], ["error"], {}, 1, 1),
        (["exact", "inconclusive"], [], {}, 0, 3),
        (["inconclusive", "fails"], [], {}, 1, 1),
        (["exact", "error"], [], {}, 1, 1),
        (["out of scope"], [], {}, 1, 1),
        (["exact", "fails"], [], {"gap": "false as printed: no."}, 0, 0),
        (["exact"], [], {"gap": "false as printed: no."}, 1, 1),
        (["inconclusive"], [], {"gap": "false as printed: no."}, 0, 3),
        (["fails"], [], {"gap": "typo: a sign."}, 1, 1),
        (["fails"], [], {"requires": (("no_such_module", "pip install it"),)}, 0, 0),
    ],
)
def test_exit_codes(outcomes, controls, settings, code, strict):
    report = Study().claim("1", outcomes, controls, **settings).report()
    assert (report.exit_code(), report.exit_code(strict=True)) == (code, strict)


def everything():
    return (
        Study()
        .claim("1", ["exact", "float", "out of scope"], ["fails", "out of scope"])
        .claim("2", ["fails", "inconclusive", "error"], ["float"], gap="typo: the sum starts at 1.")
        .claim("3", ["fails", "float"], gap="false as printed: 1/2 > 1/3.", tolerance=(1e-6, "read off a plot"))
        .claim("4", ["float"], requires=(("no_such_module", "pip install it"),))
        .claim("5", ["out of scope"])
    )


def test_the_summary_counts_every_verdict_once():
    report = everything().report()
    assert report.summary == {
        "holds": 3,
        "fails": 1,
        "inconclusive": 2,
        "out_of_scope": 2,
        "controls": 3,
        "controls_caught": 2,
        "gaps_confirmed": 1,
        "errors": 2,
        "not_run": 1,
        "claims": 4,
        "claims_exact": 2,
        "proved": 0,
    }
    counted = ("holds", "fails", "inconclusive", "out_of_scope", "controls", "gaps_confirmed")
    assert sum(report.summary[name] for name in counted) == len(report.verdicts())


def test_the_text_says_what_a_reader_must_know():
    shown = text(everything().report())
    for part in (
        "paper: A title",
        "paper:lemma-3: 1e-06, because read off a plot",
        "paper:lemma-2 at n=0, seed 0: fails: measured 1/2, claimed <= 1/3 (exact, 16 digits)",
        "  lora-proofs check paper:lemma-2 --case n=0 --seed 0 --seeds 1",
        "RuntimeError: broken",
        "and 1 more of paper:lemma-2",
        "exact evidence for 2 of 4 claims (50%)",
    ):
        assert part in shown
    assert "paper:lemma-3 at" not in shown


def test_the_summary_comes_last_and_names_what_to_look_at():
    last = text(everything().report()).rpartition("\n\n")[2].splitlines()
    assert last[:-1] == [
        "fails: paper:lemma-2, 1 time",
        "error: paper:lemma-2, 1 time",
        "error: paper:lemma-5, 1 time",
        "control not caught: paper:lemma-2, 1 time",
        "inconclusive: paper:lemma-2, 2 times",
        "not run: 1 claim of paper, without no_such_module: pip install it",
        "gaps recorded: 2, 1 of them false as printed; --gaps shows them",
    ]
    assert last[-1].startswith("holds 3, fails 1, inconclusive 2,")


def test_the_summary_fits_on_a_screen_however_much_fails():
    study = Study()
    for number in range(30):
        study.claim(str(number), ["fails", "inconclusive", "error"], ["float"], gap="typo: a sign.")
    last = text(study.report()).rpartition("\n\n")[2].splitlines()
    assert len(last) <= 24
    assert "fails: 26 more" in last


def test_what_is_not_run_takes_one_line_for_each_set_of_missing_packages():
    one, two = ("no_such_module", "pip install it"), ("nor_this", "pip install that")
    study = Study().claim("1", ["float"], requires=(one, two)).claim("2", ["float"], requires=(one,))
    study = study.claim("3", ["float"], requires=(one, two)).claim("4", ["float"], requires=(one, two))
    lines = [line for line in text(study.report()).splitlines() if line.startswith("not run")]
    assert lines == [
        "not run: 3 claims of paper, without no_such_module and nor_this: pip install it && pip install that",
        "not run: 1 claim of paper, without no_such_module: pip install it",
    ]


def test_gaps_are_shown_when_asked_for():
    report = everything().report()
    assert "the sum starts at 1" not in text(report)
    shown = "\n".join(line.text for line in report.lines(gaps=True))
    assert "paper:lemma-2: typo: the sum starts at 1.\n" in shown
    assert "paper:lemma-3: false as printed: 1/2 > 1/3.\n" in shown
    assert "gaps recorded" not in shown


def test_a_control_that_is_not_caught_is_named():
    shown = text(Study().claim("1", ["exact"], ["float"]).report())
    assert "paper:lemma-1 at n=0, seed 0, control 'control 0' not caught: holds: measured 1" in shown


def test_the_reproducer_names_a_file_outside_the_checks_folder():
    report = Study().claim("1", ["fails"]).report(path=Path("/somewhere/paper.py"))
    assert "lora-proofs check /somewhere/paper.py paper:lemma-1 --case n=0" in text(report)


def test_json_follows_the_schema():
    report = everything().report()
    data = json.loads("".join(report.json()))
    assert data["schema"] == 1
    assert data["summary"] == report.summary
    assert {"lora-proofs", "python", "numpy", "scipy", "python-flint", "mpmath", "platform", "command"} == set(
        data["environment"]
    )
    keys = {"claim", "kind", "outcome", "evidence", "measured", "relation", "bound", "params", "seed", "digits",
            "dtype", "backend", "seconds", "negative_control", "caught", "gap", "reason", "error",
            "proved"}  # fmt: skip
    assert all(set(verdict) == keys for verdict in data["verdicts"])
    assert len(data["verdicts"]) == len(report.verdicts())
    first = data["verdicts"][0]
    assert (first["claim"], first["measured"], first["bound"]) == ("paper:lemma-1", "1/3", "1/3")
    controls = [v for v in data["verdicts"] if v["negative_control"]]
    assert [v["caught"] for v in controls] == [True, True, False]


@pytest.mark.parametrize("strict", [False, True])
def test_junit_has_a_suite_a_paper_and_a_test_case_a_verdict(strict):
    report = everything().report()
    root = ET.fromstring(write_junit(report, strict).encode())
    (suite,) = root
    assert suite.get("name") == "paper"
    tags = {(c.get("classname"), c.get("name")): [child.tag for child in c] for c in suite}
    assert tags["paper:lemma-1", "n=0, seed 0"] == []
    assert tags["paper:lemma-1", "n=2, seed 0"] == ["skipped"]
    assert tags["paper:lemma-1", "n=0, seed 0, control: control 0"] == []
    assert tags["paper:lemma-2", "n=0, seed 0"] == ["failure"]
    assert tags["paper:lemma-2", "n=1, seed 0"] == (["failure"] if strict else ["skipped"])
    assert tags["paper:lemma-2", "n=2, seed 0"] == ["error"]
    assert tags["paper:lemma-2", "n=0, seed 0, control: control 0"] == ["failure"]
    assert tags["paper:lemma-3", "n=0, seed 0"] == []
    assert tags["paper:lemma-4", "the claim as a whole"] == ["skipped"]
    assert tags["paper:lemma-5", "the claim as a whole"] == ["error"]
    found = [tag for children in tags.values() for tag in children]
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.get(name)) == found.count(tag)
    assert int(suite.get("tests")) == len(suite)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456789, "0.123457"),
        (3, "3"),
        (Fraction(1, 3), "1/3"),
        (Fraction(10**400 + 1, 3), "about 3.33333e+399"),
        (mpmath.mpf(1) / 3, "0.333333"),
        ((0.5, Fraction(2)), "[0.5, 2]"),
    ],
)
def test_numbers_are_shown_shortly(value, shown):
    assert show(value) == shown


def test_no_verdict_at_all():
    report = Report([], {}, 0.0)
    assert report.exit_code() == 0
    assert "holds 0" in text(report)
    ET.fromstring(write_junit(report).encode())
