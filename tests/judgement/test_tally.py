import itertools
from fractions import Fraction

import pytest

from lora_proofs.enclosure import Enclosure
from lora_proofs.judgement.cases import Case
from lora_proofs.judgement.claims import OutOfScope, Paper, at_most
from lora_proofs.judgement.tally import SHOWN, Tally
from lora_proofs.verify import verify

OUTCOMES = ("holds", "fails", "inconclusive", "out of scope", "error")


def verdicts(gap=""):
    """Return a verdict of each kind, of a claim and of a control."""
    paper = Paper(key="paper", title="", authors=(), year=2024, arxiv="")

    @paper.lemma("1", gap=gap)
    def claim(case):
        """Statement."""
        return {
            "holds": lambda: at_most(Fraction(1), 1),
            "fails": lambda: at_most(Fraction(2), 1),
            "inconclusive": lambda: at_most(Enclosure(0.5, 2.0), 1),
            "out of scope": lambda: (_ for _ in ()).throw(OutOfScope("no")),
            "error": lambda: 1 / 0,
        }[case["kind"]]()

    claim.control("the same")(claim.check)
    cases = [Case({"kind": kind}) for kind in OUTCOMES]
    return [verify(claim, case, control) for control in (None, claim.controls[0]) for case in cases]


def counted(entries):
    tally = Tally()
    for position, verdict in entries:
        tally.add(position, verdict)
    return tally


def test_every_verdict_is_counted_where_it_belongs():
    tally = counted(enumerate(verdicts()))
    assert tally.outcomes == {"holds": 1, "fails": 1, "inconclusive": 2, "out of scope": 1}
    assert tally.evidence == {"exact": 2, "certified": 1}
    assert (tally.cases, tally.controls, tally.caught, tally.errors, tally.exact) == (5, 5, 2, 2, 1)
    assert tally.unexpected == 6  # fails, inconclusive, error; the controls that hold, are inconclusive, or raise
    assert tally.bad == 4
    assert [position for position, _ in tally.shown] == [1, 2, 4]


def test_a_failure_that_is_recorded_is_expected():
    tally = counted(enumerate(verdicts(gap="false as printed: it is.")))
    assert tally.unexpected == 5
    assert tally.exact == 2


@pytest.mark.parametrize("cut", [0, 3, 7])
@pytest.mark.parametrize("turned", [False, True])
def test_parts_add_up_to_the_whole_in_any_order(cut, turned):
    entries = list(enumerate(verdicts() * 2))
    parts = [counted(entries[:cut]), counted(entries[cut:])]
    whole = Tally()
    for part in reversed(parts) if turned else parts:
        whole.merge(part)
    expected = counted(entries)
    assert whole.seconds == pytest.approx(expected.seconds)
    whole.seconds = expected.seconds
    assert whole == expected


def test_memory_does_not_grow_with_the_number_of_verdicts():
    failing = verdicts()[1]
    tally = counted(zip(range(10_000), itertools.repeat(failing), strict=False))
    assert tally.unexpected == 10_000
    assert [position for position, _ in tally.shown] == list(range(SHOWN))
