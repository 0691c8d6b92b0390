import json
import math
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

from lora_proofs import Comparison, OutOfScope, Paper, at_least, at_most, cli, equal, exact, instances
from lora_proofs.constructions import adapt_linear_chain
from lora_proofs.falsify import Instance, Reel, Tape, closeness, evaluate, falsify
from lora_proofs.judgement import rounding as directed
from lora_proofs.judgement.collect import collect
from lora_proofs.linalg import namespace
from lora_proofs.precision import lift
from lora_proofs.verify import Outcome

ZENG = {claim.label.partition(":")[2]: claim for s in collect(["zeng2024expressive"]) for claim in s.claims}


def claim_of(check, **settings):
    """Make a one-off claim."""
    paper = Paper(key="paper", title="", authors=(), year=2024, arxiv="")

    def documented(case):
        """Statement."""
        return check(case)

    return paper.lemma("1", **settings)(documented)


# ------------------------------------------------------------------------------------------- the ratio


@pytest.mark.parametrize(
    ("comparison", "ratio"),
    [
        (at_most(3, 2), 1.5),
        (at_most(1.0, 2.0), 0.5),
        (at_least(3, 2), 2 / 3),
        (at_least(1, 2), 2.0),
        (at_most((1, 5), 2), 0.5),
        (at_most((3, 5), (1, 2)), 1.5),
        (at_least((1, 5), 2), 0.4),
        (at_least((1, 2), (4, 8)), 2.0),
        (at_most(-1, 2), -0.5),
        (at_most(-1, -2), 2.0),
        (at_most(-2, -1), 0.5),
        (at_most(1, -2), math.inf),
        (at_least(-1, 2), math.inf),
        (at_least(2, -1), -0.5),
        (at_most(1e-9, 0.0), 0.1),
        (at_most(Fraction(1), 0), 1e8),
        (at_least(-1e-9, 0.0), 0.1),
        (equal(2, 2), 0.0),
        (equal(1, 2), 0.5e8),
        (equal((0, 1e-3), 0), 0.0),
        (equal((1e-8, 1e-3), 0.5), 49900000.0),
        (at_most(Fraction(10**400), Fraction(1, 10**400)), math.inf),
    ],
)
def test_closeness(comparison, ratio):
    assert closeness(comparison) == pytest.approx(ratio, rel=1e-12)


@pytest.mark.parametrize("comparison", [at_most(math.nan, 1.0), at_most(1.0, math.inf)])
def test_what_is_not_finite_has_no_ratio(comparison):
    assert math.isnan(closeness(comparison))


@pytest.mark.parametrize("relation", ["<=", ">="])
def test_the_ratio_exceeds_one_exactly_where_an_exact_bound_is_broken(relation):
    values = [Fraction(p, q) for p in range(-3, 4) for q in (1, 2)]
    for measured in values:
        for bound in (b for b in values if b):
            holds = measured <= bound if relation == "<=" else measured >= bound
            assert (closeness(Comparison(measured, relation, bound)) <= 1) is holds, (measured, bound)


# --------------------------------------------------------------------------------------------- the tape


def draws(rng):
    return [
        rng.standard_normal(3), rng.integers(-3, 4, (2, 2)), rng.normal(1, 2), rng.uniform(-1, 1, 5), rng.integers(7),
        rng.choice(9, 4), rng.random(), rng.integers(0, 10, endpoint=True), rng.uniform(), rng.normal([1, 2], 3),
        rng.standard_normal(), rng.random((2, 1)), rng.choice([1, 2]), rng.uniform([0, 1], [2, 3], (2, 2)),
    ]  # fmt: skip


def others(rng):
    """Return draws that have no coordinates."""
    return [rng.permutation(5), rng.integers(0, [3, 4]), rng.exponential(), rng.integers(0, 2**62),
            rng.standard_normal(3, dtype=np.float32), rng.random(2, np.float32)]  # fmt: skip


def test_an_empty_tape_draws_what_its_source_does():
    for ours, numpys in zip(*(draws(r) + others(r) for r in (Tape(default_rng(5)), default_rng(5))), strict=True):
        assert type(ours) is type(numpys)
        np.testing.assert_array_equal(ours, numpys)


def test_a_tape_plays_the_same_numbers_back_whatever_its_source():
    first = Tape(default_rng(5))
    drawn = draws(first)
    second = Tape(default_rng(6), first.reel.coordinates)
    for one, other in zip(drawn, draws(second), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(first.reel.coordinates, second.reel.coordinates)


def test_a_tape_that_ends_goes_on_from_its_source():
    rng = Tape(default_rng(0), [0.25])
    np.testing.assert_array_equal(rng.standard_normal(3), [0.25, *default_rng(0).standard_normal(3)[1:]])


def test_what_has_no_coordinates_is_drawn_as_if_there_were_no_tape():
    plain, moved = default_rng(0), Tape(default_rng(0), [0.25] * 3)
    assert plain.standard_normal(3).tolist() != moved.standard_normal(3).tolist()
    np.testing.assert_array_equal(plain.permutation(9), moved.permutation(9))


def test_two_tapes_of_one_key_play_the_same_and_others_go_on():
    reel = Reel([0.25, 0.5, 0.75])
    one, twin, other = (Tape(default_rng(seed), reel, key) for seed, key in ((0, "a"), (0, "a"), (1, "b")))
    assert one.random(2).tolist() == [0.25, 0.5]
    assert other.random() == 0.75
    assert [twin.random(), *twin.random(2)] == [0.25, 0.5, default_rng(0).random(3)[2]]
    assert one.random() == default_rng(0).random(3)[2]
    assert len(reel.coordinates) == 4


def test_coordinates_are_kept_within_their_bounds():
    rng = Tape(default_rng(0), [7.0, -1.0, 7.0])
    assert rng.integers(0, 3) == 2
    assert rng.uniform(4, 5) == 4
    assert rng.random() < 1
    low, high = rng.reel.bounds()
    assert np.all((low <= rng.reel.coordinates) & (rng.reel.coordinates <= high))


def test_numbers_of_a_method_are_not_on_the_tape():
    rng = Tape(default_rng(0), [0.5])
    child = rng.spawn(1)[0]
    assert child.standard_normal() == default_rng(0).spawn(1)[0].standard_normal()
    assert len(rng.reel.coordinates) == 0


# --------------------------------------------------------------------------------------------- instances


def test_an_instance_survives_json_bit_for_bit():
    instance = Instance({"D": 3, "family": "gaussian", "x": 0.1}, 7, (0.1, -math.pi, 5e-324, 1e300))
    assert Instance.from_json(json.loads(json.dumps(instance.to_json()))) == instance


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"params": {}, "seed": 1.5, "tape": []},
        {"params": {}, "seed": 0, "tape": ["nan"]},
        {"params": {}, "seed": 0, "tape": ["x"]},
        {"params": {}, "seed": 0, "tape": [0.5]},
        {"params": {"D": [1]}, "seed": 0, "tape": []},
    ],
)
def test_what_is_no_instance_is_refused(data):
    with pytest.raises(ValueError, match=r"."):
        Instance.from_json(data)


def test_each_rung_of_the_ladder_sees_the_moved_instance():
    seen = []

    def check(case):
        seen.append((case.digits, case.rng.standard_normal()))
        return at_most(seen[-1][1], 0.0)

    evaluation = evaluate(claim_of(check), Instance({}, 0, (2.5,)))
    assert evaluation.verdict.outcome == "fails"
    assert seen[:2] == [(16, 2.5), (32, 2.5)]


def test_a_case_of_other_parameters_keeps_the_tape():
    def check(case):
        assert case.derive(n=5).rng.random() == case.derive(n=5).rng.random()
        return at_most(case.derive(n=5).rng.random() * case["n"], 1.0)

    assert evaluate(claim_of(check, n=(3,)), Instance({"n": 3}, 0, (0.5,))).ratio == 1.5


def test_a_false_hypothesis_and_an_exception_are_no_violations():
    def check(case):
        if case.rng.random() < 0.5:
            raise OutOfScope("small")
        raise ZeroDivisionError("oops")

    search = falsify(claim_of(check), budget=40)
    assert search.outcomes.keys() == {Outcome.OUT_OF_SCOPE, Outcome.INCONCLUSIVE}
    assert sum(search.errors.values()) == search.outcomes[Outcome.INCONCLUSIVE]
    assert search.exit_code == 0


# ------------------------------------------------------------------------- no artefact is a counterexample


def textbook(case, multiprecision):
    """Undo a product of Gaussian matrices layer by layer with explicit inverses: the residual is 0 in theory."""
    frozen = instances.chain(case.rng, 10, 8, "gaussian")
    if multiprecision:
        frozen = [lift(W, case.digits) for W in frozen]
    xp = namespace(frozen[0])
    product = xp.eye(10)
    for W in frozen:
        product = W @ product
    for W in frozen[::-1]:
        product = xp.linalg.inv(W) @ product
    return equal(xp.linalg.matrix_norm(product - xp.eye(10)), 0)


def test_rounding_that_more_digits_remove_is_no_counterexample():
    search = falsify(claim_of(lambda case: textbook(case, True)), budget=20)
    assert search.outcomes == {Outcome.HOLDS: 20}


def test_rounding_in_double_precision_only_is_no_counterexample():
    claim = claim_of(lambda case: textbook(case, False))
    search = falsify(claim, budget=60)
    assert search.outcomes[Outcome.INCONCLUSIVE] > 0
    assert not search.violated


@pytest.mark.parametrize("shift", [1e9, -3e8, 2e12])
def test_a_search_that_maximises_rounding_confirms_nothing(shift):
    def there_and_back(case):
        x = float(case.rng.standard_normal())
        return (x + shift) - shift, x

    signed = falsify(claim_of(lambda case: equal(*there_and_back(case)), n=(3,)), budget=200)
    absolute = falsify(claim_of(lambda case: at_most(abs(float(np.subtract(*there_and_back(case)))), 0.0)), budget=200)
    for search in (signed, absolute):
        assert search.outcomes[Outcome.INCONCLUSIVE] > 0
        assert search.exit_code == 0


def test_a_violation_in_double_precision_only_is_found():
    def check(case):
        W = instances.gaussian(case.rng, 5, 5)
        return at_most(float(np.linalg.norm(W)), 0.75 * float(np.linalg.svd(W)[1].sum()))

    assert falsify(claim_of(check), budget=300).violated


def test_directed_rounding_rounds_so_and_ends_with_its_context():
    below, above, toward_zero = directed.DIRECTED
    one, three = np.array([1.0, -1.0]), np.array([3.0, 3.0])
    nearest = one / three

    def quotients(mode):
        with directed.rounding(mode):
            return one / three

    assert np.all(quotients(below) < quotients(above))
    np.testing.assert_array_equal(np.abs(quotients(toward_zero)), quotients(below)[0])
    with pytest.raises(RuntimeError, match="stop"), directed.rounding(above):
        raise RuntimeError("stop")
    np.testing.assert_array_equal(one / three, nearest)


# ------------------------------------------------------------------------------------------------ search


def test_seeds_alone_find_the_point_of_the_grid():
    claim = claim_of(lambda case: at_most(case["n"] % 64, 62), n=tuple(range(64)), seeded=False)
    search = falsify(claim)
    assert search.tried == 64
    assert search.worst.instance == Instance({"n": 63})
    assert not search.worst.instance.tape


def test_the_random_numbers_are_moved_where_no_seed_goes():
    claim = claim_of(lambda case: at_most(float(np.sum(case.rng.standard_normal(4))), 15.0))  # 7.5 standard deviations
    search = falsify(claim, budget=400)
    assert search.violated
    assert evaluate(claim, Instance.from_json(search.to_json()["instance"])).verdict == search.worst.verdict


def test_integers_are_moved_too():
    claim = claim_of(lambda case: at_most(int(case.rng.integers(0, 10, 12).sum()), 94))
    assert falsify(claim, budget=500).violated


def test_a_search_is_reproducible_and_keeps_to_its_budget():
    claim = claim_of(lambda case: at_most(float(case.rng.random()), 2.0), n=(1, 2, 3))
    one, other = (falsify(claim, budget=100, seed=3) for _ in range(2))
    assert one.to_json()["instance"] == other.to_json()["instance"]
    assert one.tried == other.tried <= 100
    assert one.outcomes == {Outcome.HOLDS: one.tried}


@pytest.mark.parametrize("budget", [1, 2, 5, 17])
def test_small_budgets(budget):
    claim = claim_of(lambda case: at_most(float(case.rng.random()), 2.0), n=(1, 2, 3))
    assert 0 < falsify(claim, budget=budget).tried <= budget


@pytest.mark.parametrize("budget", [0, -1, 2.5, True])
def test_a_budget_is_a_positive_integer(budget):
    with pytest.raises(ValueError, match="pass the number of instances"):
        falsify(claim_of(lambda case: at_most(1, 2)), budget=budget)


def test_an_interrupted_search_returns_the_worst_so_far():
    drawn = []

    def check(case):
        if len(drawn) == 29:
            raise KeyboardInterrupt
        drawn.append(float(case.rng.random()))
        return at_most(drawn[-1], 2.0)

    search = falsify(claim_of(check))
    assert search.interrupted
    assert search.tried == 29
    assert search.worst.ratio == max(drawn) / 2


# ---------------------------------------------------------------------------------- what must be found


@pytest.mark.parametrize("label", ["lemma-2-error-as-recalled", "theorem-5-as-recalled", "lemma-4-bounded-domain"])
def test_what_is_false_as_recalled_is_refuted(label):
    search = falsify(ZENG[label], budget=100)
    assert search.violated
    assert search.worst.verdict.evidence in ("exact", "certified")
    assert search.exit_code == 0  # it is recorded as false
    assert falsify(replace(ZENG[label], gap=""), budget=100).exit_code == 1


OFF_BY_ONE = r"one rank less|rank more|rank R \+ 1|sigma_\{|stay below"
MUTANTS = [
    pytest.param(replace(claim, check=c.check, grid=c.grid, controls=[]), id=f"{label}: {c.description}")
    for label, claim in ZENG.items()
    for c in claim.controls
    if re.search(OFF_BY_ONE, c.description) and not claim.requires
]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_off_by_one_controls_are_refuted(mutant):
    assert falsify(mutant, budget=3).violated


def sparse_adapters(case, bound):
    """Compare the rank of prod (W + B A) - prod W, for a few random bits in A and B, with a bound."""
    D, L, R = case["D"], case["L"], case["R"]
    frozen = [instances.nonsingular(case.rng, D) for _ in range(L)]
    bits = case.rng.integers(0, 6, (L, D, 2 * R)) == 5
    updates = [exact.matrix(b[:, :R].astype(int)) * exact.matrix(b[:, R:].T.astype(int)) for b in bits]
    changed = exact.product([W + U for W, U in zip(frozen, updates, strict=True)])
    return at_most(exact.rank(changed - exact.product(frozen)), bound)


def floor_for_ceiling(case):
    """Ask for rank floor(D / M) where Corollary 4 has ceil(D / M)."""
    D, M = case["D"], case["L"] // case["Lbar"]
    frozen = [instances.nonsingular(case.rng, D) for _ in range(M)]
    E = instances.rational_planted_rank(case.rng, D, D, int(case.rng.integers(1, D + 1)))
    return at_most(exact.rank(E), M * (D // M) if len(frozen) == M else 0)


def error_of_chain(case, spent):
    """Compare the error of Lemma 1's adapters with a planted sigma_{spent + 1}, at the working precision."""
    D, L, R = case["D"], case["L"], case["R"]
    frozen = instances.chain(case.rng, D, L, "orthogonal")
    Pi = frozen[0] if L == 1 else np.linalg.multi_dot(frozen[::-1])
    target = Pi + instances.with_singular_values(case.rng, D, D, np.linspace(2, 1, D))
    frozen, target = [lift(W, case.digits) for W in frozen], lift(target, case.digits)
    result = adapt_linear_chain(frozen, target, R)
    s = np.linspace(2, 1, D)
    return at_most(result.error, float(s[spent(R * L)]) * (1 + 1e-6))


PLANTED = {
    "rank at most RL - 1": (
        lambda case: sparse_adapters(case, case["R"] * case["L"] - 1),
        {"D": (5,), "L": (2, 3), "R": (1, 2)},
    ),
    "floor for ceiling": (floor_for_ceiling, {"D": (4, 6, 8, 9), "L": (4, 6), "Lbar": (2, 3)}),
    "sigma_{RL+2} for sigma_{RL+1}": (
        lambda case: error_of_chain(case, lambda r: r + 1), {"D": (6,), "L": (2,), "R": (1, 2)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_planted_mutants_are_refuted(name):
    check, grid = PLANTED[name]
    search = falsify(claim_of(check, **grid), budget=150)
    assert search.violated
    assert search.exit_code == 1


TRUE = {
    "rank at most RL": (
        lambda case: sparse_adapters(case, case["R"] * case["L"]),
        {"D": (5,), "L": (2, 3), "R": (1, 2)},
    ),
    "sigma_{RL+1}": (lambda case: error_of_chain(case, lambda r: r), {"D": (6,), "L": (2,), "R": (1, 2)}),
}


@pytest.mark.parametrize("name", TRUE)
def test_their_true_twins_are_not(name):
    check, grid = TRUE[name]
    search = falsify(claim_of(check, **grid), budget=150)
    assert search.outcomes == {Outcome.HOLDS: search.tried}
    assert search.worst.ratio == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "label",
    [
        "lemma-2-error-corrected-trace", "lemma-2-error-corrected-frobenius", "theorem-5-corrected",
        "theorem-5-trace-on-the-counterexample", "theorem-6-error-corrected", "lemma-1", "lemma-3",
        "lemma-4", "formula-dimension-of-adapters",
    ],
)  # fmt: skip
def test_no_false_alarm_on_the_corrected_claims(label):
    search = falsify(ZENG[label], budget=120)
    assert not search.violated
    assert search.worst.verdict.outcome == "holds"


# ------------------------------------------------------------------------------------- the command line

CHECK = '''
from lora_proofs import Paper, at_least, at_most

PAPER = Paper(key="study", title="A title", authors=("A. Author",), year=2024, arxiv="")

@PAPER.lemma("deep")
def deep(case):
    """The sum of four normal variates is at most 15."""
    return at_most(float(case.rng.standard_normal(4).sum()), 15.0)

@PAPER.lemma("true", n=(1, 2), seeded=False)
def true(case):
    """n >= 1."""
    return at_least(case["n"], 1)

@PAPER.lemma("false", n=(1, 2), seeded=False, gap="false as printed: 2 > 1.")
def false(case):
    """n <= 1."""
    return at_most(case["n"], 1)

@PAPER.lemma("broken", seeded=False)
def broken(case):
    """It raises."""
    raise RuntimeError("no luck")

@PAPER.lemma("absent", requires=(("no_such_module", "pip install it"),))
def absent(case):
    """Statement."""
    return at_most(1, 1)
'''


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command line on the study: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.py").write_text(CHECK)

    def call(*words):
        monkeypatch.setattr("sys.argv", ["lora-proofs", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, *capsys.readouterr()

    return call


def test_a_counterexample_is_written_and_replayed(run):
    code, out, err = run("falsify", "study.py", "study:lemma-deep", "--budget", "400", "--json", "found.json")
    assert (code, err) == (1, "")
    data = json.loads(Path("found.json").read_text("utf-8"))
    assert data["claim"] == "study:lemma-deep"
    assert data["outcome"] == "fails"
    assert data["ratio"] > 1
    assert all(isinstance(float.fromhex(x), float) for x in data["instance"]["tape"])
    assert f"measured/bound = {data['ratio']:.6g}" in out
    replay = out.splitlines()[-1].split()
    assert replay[:2] == ["lora-proofs", "falsify"]
    code, again, _ = run(*replay[1:], "--json", "again.json")
    assert code == 1
    assert again.splitlines()[0] == out.splitlines()[0]
    assert json.loads(Path("again.json").read_text("utf-8"))["instance"] == data["instance"]


def test_exit_codes_and_what_is_printed(run):
    code, out, _ = run("falsify", "study.py", "study:lemma-true")
    assert code == 0
    assert "measured/bound = 1 (bound/measured" in out
    assert "lora-proofs check study.py study:lemma-true --case n=1 --seed 0 --seeds 1" in out
    code, out, _ = run("falsify", "study.py", "study:lemma-false")
    assert code == 0
    assert "measured/bound = 2\n" in out
    assert "recorded as false as printed" in out


def test_json_on_standard_output(run):
    _, out, err = run("falsify", "study.py", "study:lemma-true", "--json", "-", "--seed", "3")
    assert json.loads(out)["instance"] == {"params": {"n": 1}, "seed": 3, "tape": []}
    assert "measured/bound" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study.py", "study"], "names 5 claims; give the label of one"),
        (["study.py", "study:lemma-dep"], "did you mean study:lemma-deep"),
        (["study.py", "study:lemma-absent"], "needs no_such_module: pip install it"),
        (["study.py", "study:lemma-broken"], "raises wherever it is tried: RuntimeError: no luck"),
        (["study.py", "study:lemma-true", "--budget", "0"], "--budget"),
        (["study.py", "study:lemma-true", "--replay", "study.py"], "is not what falsify --json writes"),
        (["study.py", "study:lemma-true", "--replay", "other.json"], "holds an instance of study:lemma-x"),
        (["study.py", "study:lemma-true", "--json", "nowhere/x.json"], "the folder of nowhere/x.json"),
        ([], "LABEL"),
    ],
)
def test_bad_input_takes_one_line(run, words, message):
    Path("other.json").write_text('{"claim": "study:lemma-x", "instance": {}}')
    code, _, err = run("falsify", *words)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_ctrl_c_prints_the_worst_so_far(run, monkeypatch):
    import lora_proofs.falsify.search as search

    judged = iter(range(3))

    def three_times(claim, instance):
        if next(judged, None) is None:
            raise KeyboardInterrupt
        return evaluate(claim, instance)

    monkeypatch.setattr(search, "evaluate", three_times)
    code, out, _ = run("falsify", "study.py", "study:lemma-deep")
    assert code == cli.INTERRUPTED
    assert "measured/bound = " in out
    assert "interrupted" in out
