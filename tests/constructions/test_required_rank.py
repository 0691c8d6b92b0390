"""The bracket of the required rank, against brute force over the counts and against what is known."""

import itertools

import pytest

from lora_proofs.constructions.kinks.count import count_admits, fits, kink_plans
from lora_proofs.constructions.kinks.required_rank import LOWER, UPPER, required_rank


@pytest.mark.parametrize(
    ("sizes", "bracket"),
    [
        ((16, 4, 2), (7, 7)),
        ((16, 2, 2), (14, 14)),
        ((16, 3, 2), (10, 10)),
        ((8, 3, 2), (5, 5)),
        ((20, 2, 2), (17, 17)),
        ((16, 3, 1), (6, 6)),
        ((16, 6, 2), (4, 5)),
        ((16, 8, 2), (3, 4)),
        ((1, 1, 1), (1, 1)),
        ((1, 2, 2), (1, 1)),
    ],
)
def test_brackets(sizes, bracket):
    result = required_rank(*sizes)
    assert result == bracket
    lower, upper = result
    assert (lower, upper) == (result.lower, result.upper)
    assert lower == max(result.lower_bounds.values())
    assert upper == min(result.upper_bounds.values())
    assert result.lower_bounds.keys() == LOWER.keys()
    assert result.upper_bounds.keys() <= UPPER.keys()


def test_it_says_which_argument_gives_each_end():
    result = required_rank(16, 4, 2)
    assert result.lower_argument.startswith("kinks: for almost all")
    assert result.upper_argument.startswith("gauge: for all weights near")
    assert result.lower_bounds == {"rank": 4, "parameters": 5, "kinks": 7}
    assert result.upper_bounds == {"Theorem 3": 8, "gauge": 7}
    single = required_rank(16, 4, 1)
    assert single.lower_argument.startswith("rank:")
    assert single.upper_argument.startswith("Theorem 3:")
    assert required_rank(8, 3, 2).upper_argument.startswith("staggered:")


def test_the_lower_bound_never_exceeds_the_upper_one():
    for D, L in itertools.product((1, 2, 3, 6), range(1, 6)):
        for Lbar in range(1, L + 1):
            lower, upper = required_rank(D, L, Lbar)
            assert -(-D // L) <= lower <= upper <= -(-D // (L // Lbar))


def excess(D, R, sizes, chosen):
    """Return codimension minus unknowns for one choice of layers, straight from the definition."""
    ends = [0, *chosen, len(sizes) + 1]
    codimension = sum(max(0, D - (e - s) * R) ** 2 for s, e in itertools.pairwise(ends))
    return codimension - sum(sizes[e - 1] + (D - sizes[e - 1]) ** 2 for e in chosen)


def fits_by_definition(D, R, sizes):
    layers = range(1, len(sizes) + 1)
    choices = itertools.chain.from_iterable(itertools.combinations(layers, m) for m in range(len(sizes) + 1))
    return all(excess(D, R, sizes, chosen) <= 0 for chosen in choices)


@pytest.mark.parametrize(("D", "L", "total"), [(4, 3, 4), (5, 4, 5), (4, 4, 8), (6, 5, 6), (3, 5, 9)])
def test_the_count_agrees_with_brute_force(D, L, total):
    for R in range(1, D + 1):
        plans = [s for s in itertools.product(range(D + 1), repeat=L - 1) if sum(s) == total]
        good = [s for s in plans if fits_by_definition(D, R, s)]
        assert [s for s in plans if fits(D, [R] * L, s)] == good
        assert count_admits(D, [R] * L, total) == bool(good)


def test_plans_pass_the_count_and_the_simplest_comes_first():
    plans = list(kink_plans(16, [7] * 4, 2))
    assert plans[0] == [0, 16, 0]
    assert all(fits(16, [7] * 4, plan) and sum(plan) == 16 for plan in plans)
    assert next(kink_plans(16, [10] * 3, 2)) == [8, 8]
    assert list(kink_plans(16, [9] * 3, 2)) == []


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 2, 2), "D is 0"),
        ((4, 2.0, 2), "L is 2.0"),
        ((4, 2, True), "Lbar is True"),
        ((4, 2, 3), "Lbar <= L"),
        (([4], 2, 2), r"D is \[4\]"),
        ((4, 2, 2, -1), "seed is -1"),
        ((4, 2, 2, None), "seed is None"),
    ],
)
def test_bad_input(sizes, message):
    with pytest.raises(ValueError, match=message):
        required_rank(*sizes)
