"""The ladder of precisions, in the steps that whole verdicts (test_verify) do not show one by one."""

from fractions import Fraction
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest

from lora_proofs.enclosure import Enclosure
from lora_proofs.judgement.cases import Case
from lora_proofs.judgement.claims import Comparison, OutOfScope, Paper, at_least, at_most, equal
from lora_proofs.judgement.ladder import Finding, Outcome, _clearly_holds, run_once
from lora_proofs.judgement.values import Evidence, read
from lora_proofs.verify import verify


def judge(check, case=None, **settings):
    """Verify a one-off claim, and return the verdict and on which digits and types the check was run."""
    seen = []

    def documented(case):
        """Statement."""
        seen.append((case.digits, case.dtype))
        return check(case)

    claim = Paper(key="paper", title="", authors=(), year=2024, arxiv="").lemma("1", **settings)(documented)
    return verify(claim, case or Case()), seen


def scoped_out(case):
    raise OutOfScope


@pytest.mark.parametrize("check", [
    lambda case: at_most(3, 2), lambda case: at_most(Enclosure(3.0, 4.0), 2), lambda case: at_most(1.0, 2),
    scoped_out, lambda case: 1 / 0,
])  # fmt: skip
def test_nothing_is_tried_again_where_precision_can_change_nothing(check):
    _, seen = judge(check)
    assert seen == [(16, "float64")]


def test_a_bracket_that_straddles_is_tried_on_every_rung():
    for straddling in (Enclosure(1.0, 3.0), (1.0, 3.0)):
        verdict, seen = judge(lambda case, straddling=straddling: at_most(straddling, 2))
        assert verdict.outcome == "inconclusive"
        assert [digits for digits, _ in seen] == [16, 32, 64]


def test_single_precision_is_believed_only_where_the_claim_holds():
    single = Case(dtype="float32")
    verdict, seen = judge(lambda case: at_most(np.float32(1), 2), single)
    assert (verdict.outcome, verdict.digits, seen) == ("holds", 6, [(16, "float32")])
    verdict, seen = judge(lambda case: at_most(1.0, 2), single)  # computed in doubles all the same
    assert (verdict.outcome, verdict.digits, seen) == ("holds", 16, [(16, "float32")])
    verdict, seen = judge(lambda case: at_most(np.float32(3) if case.dtype == "float32" else 1.0, 2), single)
    assert (verdict.outcome, verdict.digits, seen) == ("holds", 16, [(16, "float32"), (16, "float64")])


@pytest.mark.parametrize(
    ("measured", "relation", "bound", "violation"),
    [
        ((2.0, 3.0), "=", 1, 1),
        ((-2.0, -1.0), "=", 1, -2),
        ((0.0, 3.0), "=", 1, 0),
        ((2.0, 3.0), "<=", (0.5, 1.0), 1),
        ((2.0, 3.0), ">=", (4.0, 6.0), -1),
        ((2.0, 3.0), "<=", 5, -3),
        ((2.0, 3.0), ">=", 1, 2),
    ],
)
def test_the_violation_is_signed_and_the_least_that_the_brackets_allow(measured, relation, bound, violation):
    sides = read(measured), read(bound)
    comparison = Comparison(measured, relation, bound)
    found = Finding(Outcome.FAILS, "", Evidence.NUMERICAL, comparison, *sides)
    assert found.violation == violation
    assert Finding(Outcome.INCONCLUSIVE).violation == 0


@pytest.mark.parametrize(
    ("measured", "relation", "bound", "clear"),
    [
        (1.25, "=", 1.0, True),
        (0.75, "=", 1.0, True),
        (1.2500001, "=", 1.0, False),
        (0.7499999, "=", 1.0, False),
        (100.0 + 25, "=", 100.0, True),
        (100.0 + 26, "=", 100.0, False),
        (0.25, "=", 0.0, True),
        (-0.25, "=", 0.0, True),
        (-5.0, "<=", 1.0, True),
        (1.3, "<=", 1.0, False),
        (5.0, ">=", 1.0, True),
        (0.7, ">=", 1.0, False),
        (1, "=", 1.0, False),
        (1.0, "=", 1, False),
        (np.float64(1), "=", 1.0, False),
        (float("nan"), "=", 1.0, False),
    ],
)
def test_half_the_slack_settles_two_floats_at_once(measured, relation, bound, clear):
    assert _clearly_holds(measured, relation, bound, rtol=0.5) is clear


def test_an_mpf_that_ignores_the_digits_needs_no_other_rounding(monkeypatch):
    monkeypatch.setattr("lora_proofs.judgement.ladder.DIRECTED", ())
    half, one = mpmath.mpf(0.5), mpmath.mpf(1)
    assert judge(lambda case: at_most(one, half))[0].outcome == "fails"
    assert judge(lambda case: at_most(one, Fraction(1, 2)))[0].outcome == "fails"
    assert judge(lambda case: at_most(one, 0.5))[0].outcome == "inconclusive"  # a bound in doubles
    assert judge(lambda case: at_most(1.0, half))[0].outcome == "inconclusive"


def moving(last, before, bound=0, tolerance=None):
    verdict, _ = judge(lambda case: at_most(mpmath.mpf(last if case.digits == 64 else before), bound),
                       tolerance=tolerance)  # fmt: skip
    return verdict.outcome


def test_what_counts_as_moving():
    assert moving(3.0e-8, 2.5e-8) == moving(2.5e-8, 3.0e-8) == "inconclusive"  # by more than a tenth of the violation
    assert moving(100 + 5e-7, 100) == moving(100, 100 + 5e-7) == "fails"  # by half the tolerance, which is relative
    assert moving(100 + 2e-6, 100) == "inconclusive"
    quarter = (0.25, "coarse")
    assert moving(1.0, 0.75, -100, quarter) == "fails"  # by the tolerance exactly
    assert moving(1.0, 0.74, -100, quarter) == "inconclusive"


def test_other_roundings_are_judged_with_the_tolerance_of_the_claim():
    assert judge(lambda case: equal(2.0, 1.0), tolerance=(0.5, "coarse"))[0].outcome == "fails"
    assert judge(lambda case: at_least(0.4, 1.0), tolerance=(0.5, "coarse"))[0].outcome == "fails"


def test_a_check_that_loaded_a_library_is_run_again_on_the_same_instance():
    draws, digits = [], []

    def check(case):
        draws.append(case.rng.random())
        return equal(draws[-1], draws[-1])

    limit = SimpleNamespace(set_digits=digits.append, renew=lambda: len(draws) == 1)
    found = run_once(check, Case(digits=32), 1e-8, limit)
    assert found.outcome is Outcome.HOLDS
    assert draws == [draws[0]] * 2
    assert digits == [32, 32]
