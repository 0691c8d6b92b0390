"""The audit finds checks that guard nothing, and is content with those that do."""

import json
from fractions import Fraction
from functools import partial

import flint
import mpmath
import numpy as np
import pytest
from click.testing import CliRunner

from lora_proofs.cli import cli
from lora_proofs.enclosure import Enclosure
from lora_proofs.judgement.audit.explanations import read_explanations
from lora_proofs.judgement.audit.mutation import audit, notes
from lora_proofs.judgement.audit.replacements import HELD, changes, is_number, options, replaced
from lora_proofs.judgement.audit.tracing import Places, changed, functions_of, trace
from lora_proofs.judgement.claims import Comparison, at_most
from lora_proofs.judgement.collect import CollectError, load
from lora_proofs.linalg import NumericalRank

HEAD = """
import dataclasses, functools
import numpy as np
from lora_proofs import Paper, at_most, equal, exact, instances
PAPER = Paper(key="toy", title="Toy", authors=("A",), year=2000, arxiv="")
def draw(case):
    return instances.integers(case.rng, case["n"], case["n"]), instances.nonsingular(case.rng, case["n"])
"""

VACUOUS = """
def residual(A, B):
    return exact.frobenius_norm_squared(A - A) * 1
@PAPER.lemma("1", n=(3, 2))
def lemma(case):
    "A statement."
    A, B = draw(case)
    return equal(residual(A, B), 0)
@lemma.control("another matrix, compared anew")
def _(case):
    A, B = draw(case)
    return equal(exact.frobenius_norm_squared(A - B), 0)
"""

GOOD = """
def residual(A, B):
    return exact.frobenius_norm_squared(A - B)
@PAPER.lemma("1", n=(3, 2))
def lemma(case):
    "A statement."
    A, B = draw(case)
    return equal(residual(A * B, A * B), 0)
@lemma.control("another matrix")
def _(case):
    A, B = draw(case)
    return equal(residual(A * B, B * A), 0)
"""

RETYPED = """
@PAPER.lemma("1", n=(2,))
def lemma(case):
    "A statement."
    A, B = draw(case)
    return equal(exact.rank(A * B) - exact.rank(A), 0)
@lemma.control("a bound that was never the claim's")
def _(case):
    return equal(1, 0)
"""

LOOSE = """
class Sizes:
    def __init__(self, x):
        self.x = x
    @functools.cached_property
    def norm(self):
        return float(np.abs(self.x).max())
@functools.cache
def bound(n):
    return 100.0 * n
@PAPER.lemma("1", n=(2, 3))
def lemma(case):
    "A statement."
    return at_most(Sizes(case.rng.uniform(0.5, 1.0, case["n"])).norm, bound(case["n"]))
@lemma.control("far beyond the bound")
def _(case):
    return at_most(Sizes(1e5 + case.rng.uniform(0.5, 1.0, case["n"])).norm, bound(case["n"]))
"""


def audited(folder, source, name="toy.py"):
    path = folder / name
    path.write_text(HEAD + source)
    ((_, paper),) = load(path)
    (claim,) = paper.claims
    return audit(claim, path)


def survivors(found):
    return {(survivor.function, survivor.replacement) for survivor in found.survivors}


def test_a_helper_that_says_nothing_survives(tmp_path):
    found = audited(tmp_path, VACUOUS)
    assert ("toy.residual", "zero") in survivors(found)
    assert found.replacements == found.killed + len(found.raised) + len(found.survivors)


def test_a_helper_that_claim_and_control_share_is_killed(tmp_path):
    found = audited(tmp_path, GOOD)
    assert survivors(found) == set()
    assert found.killed == found.replacements == 3  # residual, frobenius_norm_squared, and the check itself


def test_a_control_that_shares_nothing_leaves_the_check_unguarded(tmp_path):
    assert ("toy.lemma", HELD) in survivors(audited(tmp_path, RETYPED))


def test_loose_bounds_and_far_controls_let_factors_pass(tmp_path):
    found = audited(tmp_path, LOOSE)
    assert survivors(found) == {("toy.bound", "times 0.45"), ("toy.Sizes.norm", "times 0.45")}
    assert {other.place.rpartition(":")[0] for other in found.survivors} == {"toy.py"}


def test_functions_are_as_before_after_an_audit(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(HEAD + LOOSE)
    ((_, paper),) = load(path)
    check = paper.claims[0].check
    bound = check.__globals__["bound"]
    code = bound.__wrapped__.__code__
    audit(paper.claims[0], path)
    assert bound.__wrapped__.__code__ is code
    assert bound(2) == 200.0


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (True, "negated", False),
        (3, "zero", 0),
        (3, "plus one", 4),
        (2.0, "times 1000", 2000.0),
        (2.0, "times 0.45", 0.9),
        (Fraction(2), "times 0.45", Fraction(9, 10)),
        (flint.fmpq(2), "times 0.45", flint.fmpq(9, 10)),
        (flint.fmpz(2), "plus one", flint.fmpz(3)),
        (np.float32(2), "times 1000", np.float32(2000)),
        ((1.0, 3.0), "shifted up", (21.0, 23.0)),
        ((1.0, 1.0), "shifted down", (1.0 - 1e-7, 1.0 - 1e-7)),
        (Enclosure(Fraction(1), Fraction(2)), "shifted up", Enclosure(Fraction(11), Fraction(12))),
        (Enclosure(0, 2), "times 1000", Enclosure(0, 2000)),
        ((3, 0.5, True), "zero", (0, 0.0, True)),
        ([1.0, 2.0], "zero", [0.0, 0.0]),
        ({"a": 1.0, "b": "text"}, "zero", {"a": 0.0, "b": "text"}),
        (at_most(5, 3), HELD, Comparison(3, "<=", 3)),
        (NumericalRank(3, 1e6), "zero", None),
    ],
)
def test_a_value_is_replaced_by_one_of_its_type(value, name, expected):
    assert name in options(value)
    new = replaced(value, name)
    assert type(new) is type(value)
    if expected is not None:
        assert new == expected


def test_matrices_keep_their_type_and_shape():
    for value in (flint.fmpq_mat([[1, 2]]), np.ones((2, 3)), np.ones(2, dtype=np.float32), np.array([Fraction(1)])):
        new = replaced(value, "zero")
        assert type(new) is type(value)
        assert not np.any(np.asarray(new.tolist()) != 0)
    assert options(np.ones((0, 2))) == options("text") == options(None) == ()


def test_precise_numbers_and_balls_keep_their_type():
    with mpmath.workdps(40):
        assert replaced(mpmath.mpf(2), "times 0.45") == mpmath.mpf(9) / 10
    ball = flint.arb(1, 0.5)
    assert not replaced(ball, "shifted up").overlaps(ball)
    assert not replaced(ball, "shifted down").overlaps(ball)
    assert replaced(ball, "zero") == 0


def test_a_multiple_of_zero_makes_no_difference():
    assert not changes(0.0, "times 1000")
    assert changes(1.0, "times 1000")
    assert changes((0, 1.0), "times 0.45")
    assert changes(at_most((0, 1), 0), HELD)
    assert changes(at_most(Enclosure(0, 1), 0), HELD)
    assert not changes([flint.fmpq_mat(2, 2), np.zeros(2)], "zero")
    assert changes({"a": [flint.fmpq_mat([[1]])]}, "zero")


def test_whoever_draws_and_returns_no_number_makes_an_instance():
    assert is_number(1.0)
    assert is_number((np.ones(2), 1.0))
    assert not is_number(np.ones(2))
    assert not is_number([1, 2])


def test_library_functions_are_changed_for_the_check_file_alone(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(HEAD + GOOD)
    ((_, paper),) = load(path)
    claim, places = paper.claims[0], Places(path)
    (case, *_) = claim.cases()
    seen = trace(partial(claim.check, case), places)
    names = {places.name(code) for code in seen.functions}
    assert names == {"toy.residual", "lora_proofs.exact.algebra.frobenius_norm_squared", "toy.lemma"}
    assert {places.name(code) for code in seen.generators} >= {"toy.draw", "lora_proofs.instances.integers"}
    from lora_proofs import exact

    (functions,) = functions_of([exact.frobenius_norm_squared.__code__]).values()
    with changed(functions, lambda value: value + 1, places, ()) as count:
        assert exact.frobenius_norm_squared(exact.identity(2)) == 2  # called from here, which is no check file
        assert claim.check(next(claim.cases())).measured == 1
    assert count == [1]


def test_runaways_are_counted_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("lora_proofs.judgement.audit.mutation.GRACE_SECONDS", 0.2)
    source = """
def step(n):
    return n + 1
@PAPER.lemma("1", n=(2,))
def lemma(case):
    "A statement."
    n = 0
    while n < 5:
        n = step(n)
    return equal(n, 5)
@lemma.control("six")
def _(case):
    return equal(step(5), 5)
"""
    found = audited(tmp_path, source)
    assert ("toy.step", "zero") in {(other.function, other.replacement) for other in found.raised}


def test_reasons_come_from_the_file_beside_the_checks(tmp_path):
    (tmp_path / "audit.toml").write_text(
        '[instances]\n"toy.bound" = "a constant of the paper"\n'
        '[[survivors]]\nfunction = "toy.Sizes.norm"\nreplacement = "times 0.45"\nreason = "the claim is an order"\n'
    )
    found = audited(tmp_path, LOOSE)
    assert [(survivor.function, survivor.reason) for survivor in found.survivors] == [
        ("toy.Sizes.norm", "the claim is an order")
    ]
    assert found.unexplained == []


@pytest.mark.parametrize("text", ["[other]", "[[survivors]]\nfunction = 'f'", "nonsense"])
def test_a_malformed_file_of_reasons_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "audit.toml").write_text(text)
    with pytest.raises(CollectError, match=r"audit\.toml") as caught:
        read_explanations(tmp_path / "toy.py")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_command_line_lists_survivors_and_fails_where_one_has_no_reason(tmp_path, jobs):
    for name, source in (("toy.py", VACUOUS), ("other.py", GOOD.replace('"1"', '"2"'))):
        (tmp_path / name).write_text((HEAD + source).replace('"toy"', f'"{name[:-3]}"'))
    report = tmp_path / "found.json"
    done = CliRunner().invoke(cli, ["audit", str(tmp_path), "-j", jobs, "--json", str(report)])
    assert done.exit_code == 1, done.output
    assert "survives: toy.residual (toy.py:" in done.output
    good, vacuous = json.loads(report.read_text())["claims"]
    assert (good["claim"], good["replacements"], good["killed"], good["survivors"]) == ("other:lemma-2", 3, 3, [])
    assert vacuous["claim"] == "toy:lemma-1"
    assert {"function", "place", "replacement"} == vacuous["survivors"][0].keys()
    assert CliRunner().invoke(cli, ["audit", str(tmp_path / "other.py")]).exit_code == 0


def test_bad_input_takes_one_line(tmp_path):
    done = CliRunner().invoke(cli, ["audit", "no-such-label"])
    assert done.exit_code == 2


def test_notes_name_controls_that_enter_nothing_of_the_check_and_claims_that_none_contradicts(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(
        HEAD
        + """
def error(x):
    return abs(x)
@PAPER.lemma("1", n=(2,))
def lemma(case):
    "A statement."
    return at_most(error(0.5), 1)
@lemma.control("a helper of the check")
def _(case):
    return at_most(error(2.0), 1)
@lemma.control("the check itself")
def _(case):
    return at_most(lemma(case).measured, 0.4)
@lemma.control("something else")
def _(case):
    return at_most(2, 1)
@lemma.control("true")
def _(case):
    return at_most(error(0.5), 1)
@PAPER.lemma("2", n=(2,))
def unguarded(case):
    "A statement."
    return at_most(error(0.5), 1)
@unguarded.control("never fails")
def _(case):
    return at_most((error(0.5), 2.0), 1)
"""
    )
    ((_, paper),) = load(path)
    assert notes(paper.claims[0], path) == [
        "the control 'true' is caught on no case",
        "the control 'something else' enters no function that the check calls",
    ]
    assert notes(paper.claims[1], path) == ["the control 'never fails' is caught on no case", "no control fails"]
    (tmp_path / "audit.toml").write_text('[controls]\n"toy:lemma-1" = {"something else" = "a reason"}\n')
    assert notes(paper.claims[0], path) == ["the control 'true' is caught on no case"]
