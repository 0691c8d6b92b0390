import json
import math
import sys
from fractions import Fraction
from types import SimpleNamespace

import flint
import mpmath
import numpy as np
import pytest

from lora_proofs import verify as exported
from lora_proofs.enclosure import Enclosure
from lora_proofs.judgement.cases import Case
from lora_proofs.judgement.claims import Comparison, OutOfScope, Paper, at_least, at_most, equal
from lora_proofs.judgement.ladder import DIRECTED
from lora_proofs.verify import Evidence, Outcome, Verdict, verify


def judge(check, params=None, **settings):
    """Verify a one-off claim."""
    paper = Paper(key="paper", title="", authors=(), year=2024, arxiv="")

    def documented(case):
        """Statement."""
        return check(case)

    return verify(paper.lemma("1", **settings)(documented), Case(params or {}))


def constantly(comparison):
    return judge(lambda case: comparison)


def test_the_package_exports_the_function():
    assert exported is verify


def test_a_float_error_that_precision_removes_does_not_refute():
    verdict = judge(lambda case: equal(mpmath.mpf(1) + mpmath.mpf(10) ** (10 - case.digits), 1))
    assert (verdict.outcome, verdict.digits, verdict.evidence) == ("holds", 32, "numerical")


def test_the_ladder_ends_at_64_digits():
    verdict = judge(lambda case: equal(mpmath.mpf(10) ** (30 - case.digits), 0))
    assert (verdict.outcome, verdict.digits) == ("holds", 64)


def test_a_violation_that_stays_is_a_failure():
    verdict = judge(lambda case: at_most(mpmath.mpf(1) / 3, mpmath.mpf("0.3")))
    assert (verdict.outcome, verdict.digits, verdict.evidence) == ("fails", 64, "numerical")


def test_a_measured_value_that_still_moves_is_inconclusive():
    verdict = judge(lambda case: at_most(mpmath.mpf(case.digits), 1))
    assert verdict.outcome == "inconclusive"
    assert "still moves" in verdict.reason


def test_a_bound_that_still_moves_is_inconclusive():
    verdict = judge(lambda case: at_most(1, {16: 0.0, 32: 0.0, 64: 0.75}[case.digits]))
    assert (verdict.outcome, verdict.digits) == ("inconclusive", 64)
    assert "bound still moves" in verdict.reason


def test_an_upper_end_that_still_moves_is_inconclusive():
    verdict = judge(lambda case: equal((1.0, float(case.digits)), 0.0))
    assert (verdict.outcome, verdict.digits) == ("inconclusive", 64)
    assert "still moves" in verdict.reason


@pytest.mark.parametrize("x", [0.1, 0.05, 1.5 * 2**-24, 0.5 * 2**-23])
def test_rounding_of_doubles_does_not_refute(x):
    for shift in np.float64([1e7, -1e9, 1e12]):
        verdict = judge(lambda case, shift=shift: equal((x + shift) - shift, x))
        assert verdict.outcome in ("holds", "inconclusive")


def test_an_error_that_turns_around_does_not_refute():
    modes = iter(range(10))
    errors = [1e-6, 1e-6, 1e-6, -1e-6, 1e-6, 1e-6]  # 16, 32 and 64 digits, then down, up and toward zero
    verdict = judge(lambda case: equal(errors[next(modes)], 0.0))
    assert (verdict.outcome, verdict.digits) == ("inconclusive", 16)
    assert "not alike" in verdict.reason


@pytest.mark.parametrize(("scatter", "outcome"), [(0.99e-7, "fails"), (1.01e-7, "inconclusive")])
def test_a_violation_in_doubles_stands_if_it_is_ten_times_its_scatter(scatter, outcome):
    runs = iter(range(10))
    values = [1e-6 + scatter] * 3 + [1e-6, 1e-6 + scatter / 2, 1e-6]
    assert judge(lambda case: equal(values[next(runs)], 0.0)).outcome == outcome


def test_a_violation_in_doubles_that_stands_is_settled_at_16_digits():
    seen = []

    def check(case):
        seen.append(case.digits)
        return at_most(1.0 / 3, 0.3)

    verdict = judge(check)
    assert (verdict.outcome, verdict.digits, seen) == ("fails", 16, [16, 32, 64, *[16] * len(DIRECTED)])


def test_doubles_that_change_with_the_digits_are_rounded_otherwise_too():
    def check(case):
        rounding = np.float64(2) / 3 - 6004799503160661 / 2**53  # 0 to nearest
        return equal(1e-7 + 1e-20 * case.digits + 1e9 * float(rounding), 0.0)

    verdict = judge(check)
    assert (verdict.outcome, verdict.digits) == ("inconclusive", 64)
    assert "not alike" in verdict.reason


def test_a_violation_that_moves_by_a_tenth_of_itself_is_inconclusive():
    def violated_by(last):
        return judge(lambda case: at_most(mpmath.mpf(last if case.digits == 64 else 3e-8), 0))

    assert violated_by(3.1e-8).outcome == "fails"
    assert violated_by(3.5e-8).outcome == "inconclusive"


@pytest.mark.parametrize("settings", [{"requires": (("jax", "pip install jax"),)}, {}])
def test_what_no_rounding_reaches_is_inconclusive(monkeypatch, settings):
    if not settings:
        monkeypatch.setattr("lora_proofs.judgement.ladder.DIRECTED", ())
    verdict = judge(lambda case: at_most(1.0, 0.5), **settings)
    assert verdict.outcome == "inconclusive"
    assert "cannot be changed here" in verdict.reason
    assert judge(lambda case: at_most(1, 0), **settings).outcome == "fails"


def test_each_rung_sees_the_same_instance_at_its_precision():
    seen = []

    def check(case):
        seen.append((case.digits, mpmath.mp.dps, flint.ctx.dps, case.rng.random()))
        return equal(mpmath.mpf(1), 0.0)

    before = mpmath.mp.dps, flint.ctx.dps
    judge(check)
    assert [rung[:3] for rung in seen[:3]] == [(d, d, d) for d in (16, 32, 64)]
    assert len({rung[3] for rung in seen}) == 1
    assert (mpmath.mp.dps, flint.ctx.dps) == before


def test_a_precision_that_a_check_sets_does_not_outlive_it():
    def check(case):
        mpmath.mp.dps = 7
        raise RuntimeError

    before = mpmath.mp.dps
    judge(check)
    assert mpmath.mp.dps == before


@pytest.mark.parametrize("one", [1, Fraction(1), flint.fmpz(1), flint.fmpq(1), np.int64(1)])
def test_exact_values_are_compared_without_tolerance(one):
    near = one + Fraction(1, 10**30) if isinstance(one, Fraction) else Fraction(10**30 + 1, 10**30)
    assert constantly(equal(one, Fraction(1))).evidence == "exact"
    verdict = constantly(at_most(near, one))
    assert (verdict.outcome, verdict.digits, verdict.evidence) == ("fails", 16, "exact")


def test_an_exact_value_beside_a_float_is_numerical():
    verdict = constantly(equal(Fraction(1, 3), 1 / 3))
    assert (verdict.outcome, verdict.evidence) == ("holds", "numerical")


@pytest.mark.parametrize(
    ("comparison", "outcome"),
    [
        (equal(1 + 0.9e-8, 1.0), "holds"),
        (equal(1 + 1.1e-8, 1.0), "fails"),
        (equal(1 - 1.1e-8, 1.0), "fails"),
        (equal(0.9e-8, 0.0), "holds"),
        (equal(100 + 0.9e-6, 100.0), "holds"),
        (at_most(1 + 1.1e-8, 1.0), "fails"),
        (at_most(-5.0, 1.0), "holds"),
        (at_least(1 - 1.1e-8, 1.0), "fails"),
        (at_least(5.0, 1.0), "holds"),
    ],
)
def test_the_tolerance_is_relative_above_one_and_absolute_below(comparison, outcome):
    assert constantly(comparison).outcome == outcome


def test_a_tolerance_of_its_own():
    assert judge(lambda case: equal(1.01, 1.0), tolerance=(0.1, "read off a plot")).outcome == "holds"


def test_comparisons_keep_the_digits_of_an_mpf():
    def check(case):
        with mpmath.workdps(60):
            return at_most(1 + mpmath.mpf(10) ** -40, mpmath.mpf(1))

    assert judge(check, tolerance=(1e-41, "the difference is in digit 40")).outcome == "fails"
    assert judge(check, tolerance=(1e-39, "the difference is in digit 40")).outcome == "holds"


@pytest.mark.parametrize(
    ("comparison", "outcome"),
    [
        (at_most((0.9, 1.0), 1), "holds"),
        (at_most((0.9, 1.1), 1), "inconclusive"),
        (at_most((1.1, 1.2), 1), "fails"),
        (at_least((1.0, 1.1), 1), "holds"),
        (at_least((0.9, 1.1), 1), "inconclusive"),
        (at_least((0.8, 0.9), 1), "fails"),
        (equal((1.0, 1.0 + 1e-9), 1), "holds"),
        (equal((0.9, 1.1), 1), "inconclusive"),
        (equal((1.1, 1.2), 1), "fails"),
        (equal((0.8, 0.9), 1), "fails"),
        (equal((Fraction(1), Fraction(1)), 1), "holds"),
        (at_most(Fraction(1, 2), (0.6, 0.7)), "holds"),
        (at_most(Fraction(65, 100), (0.6, 0.7)), "inconclusive"),
        (at_most(Fraction(8, 10), (0.6, 0.7)), "fails"),
    ],
)
def test_an_enclosure_is_certified_and_a_pair_is_numerical(comparison, outcome):
    def enclosed(side):
        return Enclosure(*side) if isinstance(side, tuple) else side

    verdict = constantly(comparison)
    assert (verdict.outcome, verdict.evidence) == (outcome, Evidence.NUMERICAL)
    proved = constantly(Comparison(enclosed(comparison.measured), comparison.relation, enclosed(comparison.bound)))
    assert (proved.outcome, proved.evidence, proved.digits) == (
        outcome, Evidence.CERTIFIED, 64 if outcome == "inconclusive" else 16,
    )  # fmt: skip


def test_balls_are_certified_and_a_float_bound_weakens_them():
    verdict = constantly(equal(flint.arb(1) / 3, Fraction(1, 3)))
    assert (verdict.outcome, verdict.evidence) == ("holds", "certified")
    assert constantly(at_most(Enclosure(0, 1), 2.0)).evidence == "numerical"


def test_a_bracket_that_precision_tightens_is_tried_again():
    verdict = judge(lambda case: equal(flint.arb(1, 10.0 ** (10 - case.digits)), 1))
    assert (verdict.outcome, verdict.digits) == ("holds", 32)


def test_ranks_are_integers_with_a_gap():
    def rank(r, gap):
        return SimpleNamespace(rank=r, gap=gap)

    assert constantly(equal(rank(3, 1e4), 3)).outcome == "holds"
    assert constantly(equal(rank(3, 1e4), 3)).evidence == "numerical"
    assert constantly(at_most(rank(4, 1e4), 3)).outcome == "fails"
    verdict = constantly(equal(rank(3, 999.0), 3))
    assert verdict.outcome == "inconclusive"
    assert "spectral gap" in verdict.reason


@pytest.mark.parametrize("x", [math.nan, mpmath.nan, np.float64("nan"), math.inf, -math.inf, (0.0, math.nan)])
def test_what_is_not_finite_neither_holds_nor_fails(x):
    for comparison in (equal(x, x), at_most(x, 1.0), at_least(x, 1.0), at_most(0.0, x)):
        verdict = constantly(comparison)
        assert verdict.outcome == "inconclusive"
        assert "not finite" in verdict.reason
        json.dumps(verdict.to_json(), allow_nan=False)


def test_nan_at_one_rung_does_not_spoil_the_next():
    assert judge(lambda case: equal(math.nan if case.digits == 16 else 1.0, 1.0)).outcome == "holds"
    last = judge(lambda case: at_least(math.nan if case.digits == 32 else 0.0, 1.0))
    assert last.outcome == "inconclusive"


def test_a_false_hypothesis_is_out_of_scope():
    def check(case):
        raise OutOfScope("W_1 is singular")

    verdict = judge(check)
    assert (verdict.outcome, verdict.reason, verdict.error) == ("out of scope", "W_1 is singular", False)


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (lambda case: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda case: case["K"], "no parameter 'K'"),
        (lambda case: True, "returned a bool, not a Comparison"),
        (lambda case: equal(True, 1), "TypeError: a bool is not a number"),
        (lambda case: equal("1", 1), "TypeError: cannot compare a str"),
        (lambda case: equal((2, 1), 1), "ValueError: the bracket"),
    ],
)
def test_a_check_that_breaks_is_an_error_not_an_outcome(check, reason):
    verdict = judge(check)
    assert (verdict.outcome, verdict.error) == ("inconclusive", True)
    assert reason in verdict.reason


def test_keyboard_interrupts_pass():
    def check(case):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(check)


def test_controls_are_caught_by_failing_or_by_a_false_hypothesis():
    paper = Paper(key="paper", title="", authors=(), year=2024, arxiv="")

    @paper.lemma("1")
    def lemma(case):
        """Statement."""
        return equal(1, 1)

    @lemma.control("off by one")
    def _(case):
        return equal(1, 2)

    @lemma.control("hypothesis dropped")
    def _(case):
        raise OutOfScope

    @lemma.control("nothing wrong")
    def _(case):
        return equal(1, 1)

    @lemma.control("broken")
    def _(case):
        raise ValueError

    verdicts = [verify(lemma, Case(), control) for control in lemma.controls]
    assert [verdict.caught for verdict in verdicts] == [True, True, False, False]
    assert verdicts[0].negative_control == "off by one"
    assert verify(lemma, Case()).caught is None


@pytest.mark.parametrize(
    "comparison",
    [
        equal(0.1, 0.1),
        equal(mpmath.mpf(1) / 3, Fraction(1, 3)),
        equal(Fraction(1, 3), 1),
        equal(flint.arb(2).sqrt(), 1.5),
        at_most((0.1, Fraction(1, 3)), 1),
        equal(SimpleNamespace(rank=3, gap=1e9), 3),
    ],
)
def test_json_loses_nothing(comparison):
    verdict = judge(lambda case: comparison, {"D": 8, "init": "uniform", "x": 0.1}, gap="typo: a sign")
    text = json.dumps(verdict.to_json(), allow_nan=False)
    back = Verdict.from_json(json.loads(text))
    assert back == verdict
    assert back.seconds == verdict.seconds
    assert json.dumps(back.to_json()) == text


def test_the_reproducer_names_the_case():
    verdict = judge(lambda case: equal(1, 1), {"D": 8, "init": "scaled gaussian"})
    command = "lora-proofs check paper:lemma-1 --case 'D=8,init=scaled gaussian' --seed 0 --seeds 1"
    assert verdict.reproducer == command
    assert judge(lambda case: equal(1, 1)).reproducer == "lora-proofs check paper:lemma-1 --seed 0 --seeds 1"


def test_a_check_runs_on_one_thread_so_that_its_rounding_is_the_same_everywhere():
    from threadpoolctl import threadpool_info

    def check(case):
        return at_most(max(pool["num_threads"] for pool in threadpool_info()), 1)

    assert judge(check).outcome == "holds"


def test_outcomes_read_as_in_the_reports():
    assert [str(outcome) for outcome in Outcome] == ["holds", "fails", "inconclusive", "out of scope"]


def test_what_was_asked_for_is_kept_and_reproduced():
    case = Case({"D": 8}, 3, backend="torch", dtype="float32")
    verdict = Verdict("paper:lemma-1", "lemma", case, Outcome.INCONCLUSIVE)
    assert verdict.reproduce("own.py") == (
        "lora-proofs check own.py paper:lemma-1 --case D=8 --seed 3 --seeds 1 --backend torch --dtype float32"
    )
    data = verdict.to_json()
    assert data["asked"] == {"backend": "torch", "dtype": "float32"}
    assert Verdict.from_json(json.loads(json.dumps(data))) == verdict
    assert Verdict.from_json(data).case.backend == "torch"
    assert "asked" not in constantly(equal(1, 1)).to_json()
    assert (verdict.seconds, verdict.error, verdict.digits, verdict.caught) == (0.0, False, 16, None)


def test_json_says_of_a_control_whether_it_was_caught():
    def control(outcome):
        return Verdict("paper:lemma-1", "lemma", Case(), outcome, negative_control="off by one")

    assert [control(outcome).to_json()["caught"] for outcome in Outcome] == [False, True, False, True]
    assert constantly(equal(1, 1)).to_json()["caught"] is None
    assert control(Outcome.FAILS).to_json()["negative_control"] == "off by one"


def test_seconds_are_those_that_pass(monkeypatch):
    times = iter([100.0, 100.25])
    monkeypatch.setattr(sys.modules[verify.__module__], "time", SimpleNamespace(perf_counter=lambda: next(times)))
    assert constantly(equal(1, 1)).seconds == 0.25


def test_a_verdict_says_what_its_value_was_computed_in():
    assert (constantly(equal(1.0, 1)).dtype, constantly(equal(1.0, 1)).backend) == ("float64", "numpy")
    assert (constantly(equal(flint.arb(1), 1)).dtype, constantly(equal(flint.arb(1), 1)).backend) == (
        "arb",
        "python-flint",
    )
    broken = judge(lambda case: 1 / 0)
    assert (broken.dtype, broken.backend, broken.evidence, broken.comparison) == ("", "", None, None)


def test_a_verdict_prints_what_was_found_and_how_to_get_there_where_it_is_not_what_was_expected():
    headline, rows = judge(lambda case: at_most(1, 2), {"D": 8}).summary()
    assert headline == "paper:lemma-1 at D=8, seed 0: holds"
    assert rows == {"measured": "1, claimed <= 2", "evidence": "exact, 16 digits"}
    headline, rows = judge(lambda case: at_most(3, 2), gap="typo: a sign").summary()
    assert headline == "paper:lemma-1 at seed 0: fails"
    assert rows["gap"] == "typo: a sign"
    assert rows["again"] == "lora-proofs check paper:lemma-1 --seed 0 --seeds 1"
    _, rows = judge(lambda case: 1 / 0).summary()
    assert rows.keys() == {"reason", "again"}


@pytest.mark.parametrize(("outcome", "caught"), [("fails", True), ("holds", False)])
def test_a_control_prints_whether_it_was_caught(outcome, caught):
    verdict = Verdict("paper:lemma-1", "lemma", Case(), Outcome(outcome), negative_control="off by one")
    _, rows = verdict.summary()
    assert rows["control"] == f"off by one ({'caught' if caught else 'not caught'})"
    assert ("again" in rows) is not caught
