import numpy as np
import pytest

from lora_proofs.judgement.cases import Case, format_point, parse_point
from lora_proofs.judgement.claims import CONTROL_SEEDS, Comparison, Paper, at_least, at_most, equal


@pytest.fixture
def paper():
    return Paper(key="paper2024", title="A title", authors=("A. Author",), year=2024, arxiv="2401.00001v1")


def check(case):
    """The statement."""
    return equal(1, 1)


def test_decorators_make_labelled_claims_in_order(paper):
    kinds = ("lemma", "theorem", "corollary", "proposition", "formula", "figure")
    claims = [getattr(paper, kind)("1-strengthened")(check) for kind in kinds]
    assert [claim.label for claim in paper.claims] == [f"paper2024:{kind}-1-strengthened" for kind in kinds]
    assert paper.claims == claims
    assert claims[0].statement == "The statement."
    assert claims[0](Case()) == equal(1, 1)


def test_statement_is_the_docstring_without_its_indentation(paper):
    @paper.lemma("1")
    def claim(case):
        """First line.

        Second line.
        """

    assert claim.statement == "First line.\n\nSecond line."


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gap": "wrong"}, "a gap begins with one of typo"),
        ({"gap": (1, 2)}, "a gap begins with one of typo"),
        ({"tolerance": (1e-3, " ")}, "the reason"),
        ({"tolerance": (0.0, "a reason")}, "rtol > 0"),
        ({"requires": ("rxnfp", "pip install rxnfp")}, "tuple of pairs"),
        ({"requires": ("ab", "cd")}, "tuple of pairs"),
        ({"requires": (("rxnfp",),)}, "tuple of pairs"),
        ({"D": 8}, "non-empty tuple"),
        ({"D": ()}, "non-empty tuple"),
        ({"init": "uniform"}, "non-empty tuple"),
        ({"ranks": ((1, 2),)}, "command line"),
        ({"ranks": ([1],)}, "command line"),
        ({"name": ("8",)}, "command line"),
        ({"name": ("a,b",)}, "command line"),
        ({"x": (float("inf"),)}, "command line"),
    ],
)
def test_malformed_settings_are_refused(paper, settings, message):
    with pytest.raises(ValueError, match=message):
        paper.lemma("1", **settings)(check)
    assert paper.claims == []


def test_a_claim_needs_a_docstring_and_a_label_of_its_own(paper):
    with pytest.raises(ValueError, match="docstring"):
        paper.lemma("1")(lambda case: equal(1, 1))
    paper.lemma("1")(check)
    with pytest.raises(ValueError, match="two claims are labelled paper2024:lemma-1"):
        paper.lemma("1")(check)
    with pytest.raises(ValueError, match="number"):
        paper.lemma("1 2")(check)
    with pytest.raises(ValueError, match="key"):
        Paper(key="a b", title="", authors=(), year=2024, arxiv="")


def test_cases_are_the_product_of_the_grid_and_the_points_on_every_seed(paper):
    claim = paper.lemma("1", D=(8, 16), L=(2, 4), points=[{"D": 3, "L": 7}, {"D": 8, "L": 2}])(check)
    cases = list(claim.cases(2, 5))
    points = [(8, 2), (8, 4), (16, 2), (16, 4), (3, 7)]
    assert [(case["D"], case["L"], case.seed) for case in cases] == [(*p, s) for p in points for s in (5, 6)]


def test_points_alone_and_no_grid_at_all(paper):
    assert [case.params for case in paper.lemma("1", points=[{"D": 3}])(check).cases()] == [{"D": 3}]
    assert [case.params for case in paper.lemma("2")(check).cases()] == [{}]


def test_an_unseeded_claim_runs_on_one_seed(paper):
    assert len(list(paper.lemma("1", D=(1, 2), seeded=False)(check).cases(7))) == 2


def test_fixed_parameters_replace_the_grid_and_leave_out_points_that_lack_them(paper):
    claim = paper.lemma("1", D=(8, 16), L=(2, 4), points=[{"K": 1}])(check)
    assert [c.params for c in claim.cases(at=[{"D": 3}])] == [{"D": 3, "L": 2}, {"D": 3, "L": 4}]
    assert [c.params for c in claim.cases(at=[{"K": 1}, {"K": 2}])] == [{"K": 1}, {"K": 2}]
    assert list(claim.cases(at=[{"Z": 1}])) == []


def test_controls_inherit_the_grid_and_run_on_few_seeds(paper):
    claim = paper.lemma("1", D=(8, 16))(check)
    claim.control("one rank less")(check)
    claim.control("elsewhere", D=(4,))(check)
    first, second = claim.controls
    assert len(list(first.cases(9))) == 2 * CONTROL_SEEDS
    assert {case["D"] for case in second.cases(9)} == {4}
    assert len(list(first.cases(1))) == 2
    with pytest.raises(ValueError, match="two controls"):
        claim.control("elsewhere")


def test_random_numbers_depend_on_parameters_and_seed_alone():
    def draw(*args):
        return Case(*args).rng.integers(2**60)

    assert draw({"D": 8, "L": 2}, 1) == draw({"L": 2, "D": 8}, 1, 64)
    others = [({"D": 8, "L": 2}, 2), ({"D": 8, "L": 3}, 1), ({"D": 8.0, "L": 2}, 1), ({"D": "x", "L": 2}, 1)]
    assert len({draw(*args) for args in [({"D": 8, "L": 2}, 1), *others]}) == 5


def test_the_stream_is_the_same_on_every_machine_and_in_every_version():
    assert Case({"D": 8}, 0).rng.bit_generator.random_raw() == 16600348235836798089
    first, second = Case({"D": 8}, 0).rng.spawn(2)
    assert first.bit_generator.random_raw() == 450874707559859384
    assert second.bit_generator.random_raw() == 15495292443276885969


def test_children_of_a_generator_are_all_different():
    rng = Case({"D": 8}).rng
    children = [*rng.spawn(2), *rng.spawn(2)]
    assert len({int(r.integers(2**60)) for r in (rng, *children, *children[0].spawn(2))}) == 7


def test_the_bits_of_a_generator_are_fair():
    words = [Case({"D": 8}, seed).rng.integers(0, 2**32) for seed in range(2000)]
    ones = sum(int(word).bit_count() for word in words)
    assert abs(ones - 32000) < 4 * np.sqrt(64000 / 4)


def test_a_derived_case_keeps_all_but_what_is_named():
    case = Case({"D": 8, "R": 1}, 3, 32, backend="torch", dtype="float32")
    assert case.derive(R=2, L=3) == Case({"D": 8, "R": 2, "L": 3}, 3, 32, backend="torch", dtype="float32")
    assert case.derive(seed=0) == Case({"D": 8, "R": 1}, 0, 32, backend="torch", dtype="float32")
    assert case.derive().rng.random() == case.rng.random()
    with pytest.raises(ValueError, match="command line"):
        case.derive(R=(1, 2))


def test_a_grid_parameter_may_have_the_name_of_an_argument(paper):
    claim = paper.lemma("1", kind=("a",), number=(1, 2))(check)
    assert [case.params for case in claim.cases()] == [{"kind": "a", "number": 1}, {"kind": "a", "number": 2}]
    claim.control("wrong", description=("x",))(check)
    assert claim.controls[0].grid == ({"description": "x"},)


def test_the_generator_of_a_case_goes_on():
    case = Case({"D": 8})
    assert case.rng is case.rng
    assert case.rng.random() != case.rng.random()


def test_an_unknown_parameter_lists_the_known_ones():
    with pytest.raises(KeyError, match="no parameter 'K'; it has: D, L"):
        Case({"D": 8, "L": 2})["K"]


def test_numpy_scalars_become_plain_parameters():
    assert type(Case({"D": np.int64(8)})["D"]) is int


@pytest.mark.parametrize("point", [{"D": 8, "x": 0.1, "init": "uniform", "flag": True, "q": "1/3", "y": -1e-30}])
def test_points_survive_the_command_line(point):
    back = parse_point(format_point(point))
    assert back == point
    assert [type(value) for value in back.values()] == [type(value) for value in point.values()]


@pytest.mark.parametrize("text", ["", "D", "D=", "=3", "D=1,,L=2", "D=1,D=2", "1D=3"])
def test_malformed_points_are_refused(text):
    with pytest.raises(ValueError, match=r"NAME=VALUE|twice"):
        parse_point(text)


def test_comparisons():
    assert (equal(1, 2).relation, at_most(1, 2).relation, at_least(1, 2).relation) == ("=", "<=", ">=")
    with pytest.raises(ValueError, match="relation must be one of"):
        Comparison(1, "<", 2)


def test_missing_requirements_name_the_command(paper):
    needs = (("numpy", "pip install numpy"), ("no_such_module.inner", "pip install it"))
    assert paper.lemma("1", requires=needs)(check).missing == (needs[1],)


def test_a_control_gets_two_seeds_or_one_where_nothing_is_drawn(paper):
    claim, unseeded = paper.lemma("1")(check), paper.lemma("2", seeded=False)(check)
    claim.control("drawn")(check)
    unseeded.control("not drawn")(check)
    (drawn,), (fixed,) = claim.controls, unseeded.controls
    assert [[case.seed for case in drawn.cases(n, 5)] for n in (1, 2, 9)] == [[5], [5, 6], [5, 6]]
    assert [case.seed for case in fixed.cases(9, 5)] == [5]
    assert [case.seed for case in drawn.cases()] == [case.seed for case in claim.cases()] == [0]


def test_what_is_not_said_of_a_claim_or_a_case(paper):
    claim = paper.lemma("1")(check)
    assert (claim.gap, claim.tolerance, claim.seeded, claim.sampled, claim.requires) == ("", None, True, False, ())
    case = Case()
    assert (case.params, case.seed, case.digits, case.backend, case.dtype) == ({}, 0, 16, "numpy", "float64")
