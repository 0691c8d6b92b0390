import json
import math
import sys
from fractions import Fraction
from types import SimpleNamespace

import flint
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_proofs.enclosure import Enclosure
from lora_proofs.judgement.values import Evidence, decode, encode, read


@pytest.mark.parametrize(
    ("x", "evidence", "value"),
    [
        (0.5, Evidence.NUMERICAL, 0.5),
        (np.float64(0.5), Evidence.NUMERICAL, 0.5),
        (np.float32(0.5), Evidence.NUMERICAL, 0.5),
        (np.array(0.5), Evidence.NUMERICAL, 0.5),
        (mpmath.mpf("0.5"), Evidence.NUMERICAL, mpmath.mpf("0.5")),
        (3, Evidence.EXACT, Fraction(3)),
        (np.int64(3), Evidence.EXACT, Fraction(3)),
        (Fraction(1, 3), Evidence.EXACT, Fraction(1, 3)),
        (flint.fmpz(3), Evidence.EXACT, Fraction(3)),
        (flint.fmpq(-1, 3), Evidence.EXACT, Fraction(-1, 3)),
        ((0.25, 0.5), Evidence.NUMERICAL, (0.25, 0.5)),
        ([Fraction(1, 4), 1], Evidence.NUMERICAL, (Fraction(1, 4), Fraction(1))),
        (Enclosure(0.25, 0.5), Evidence.CERTIFIED, (0.25, 0.5)),
        (Enclosure(flint.fmpq(1, 4), mpmath.mpf(1)), Evidence.CERTIFIED, (Fraction(1, 4), mpmath.mpf(1))),
        (SimpleNamespace(rank=3, gap=1e9), Evidence.NUMERICAL, 3),
    ],
)
def test_evidence_is_read_off_the_type(x, evidence, value):
    quantity = read(x)
    assert quantity.evidence is evidence
    assert quantity.value == value
    assert not quantity.doubt
    ends = value if isinstance(value, tuple) else (value, value)
    exact = [end if isinstance(end, Fraction) else Fraction(float(end)) for end in ends]
    assert [quantity.low, quantity.high] == exact


def test_a_ball_is_a_bracket_that_contains_the_number():
    quantity = read(flint.arb(1) / 3)
    assert quantity.evidence is Evidence.CERTIFIED
    assert quantity.low < Fraction(1, 3) < quantity.high
    assert quantity.high - quantity.low < Fraction(1, 10**14)


@pytest.mark.parametrize("x", [True, np.True_, "1", None, 1j, [1, 2, 3], ((1, 2), 3), (0, flint.arb(1)), np.ones(2)])
def test_what_is_no_number_is_refused(x):
    with pytest.raises(TypeError):
        read(x)


def test_an_empty_bracket_is_refused():
    with pytest.raises(ValueError, match="is empty"):
        read((2.0, 1.0))


@pytest.mark.parametrize("x", [math.nan, math.inf, np.float32("nan"), mpmath.nan, mpmath.inf, (0.0, math.inf),
                               Enclosure(0, math.inf),
                               flint.arb("nan")])  # fmt: skip
def test_what_is_not_finite_settles_nothing(x):
    assert "not finite" in read(x).doubt


@pytest.mark.parametrize("gap", [999.0, math.nan])
def test_a_rank_without_a_gap_settles_nothing(gap):
    assert "spectral gap" in read(SimpleNamespace(rank=3, gap=gap)).doubt


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, None),
        (0.1, 0.1),
        (3, 3),
        (Fraction(3), "3/1"),
        (Fraction(-1, 3), "-1/3"),
        (math.inf, "inf"),
        ((Fraction(1, 3), 0.5), ["1/3", 0.5]),
    ],
)
def test_json_keeps_values(value, data):
    assert encode(value) == data
    assert decode(data) == value
    assert type(decode(data)) is type(value)


def test_json_keeps_integers_that_python_refuses_to_print():
    assert decode(encode(Fraction(10**6000, 7))) == Fraction(10**6000, 7)


def test_not_a_number_is_valid_json():
    assert json.loads(json.dumps(encode(math.nan), allow_nan=False)) == "nan"
    assert math.isnan(decode("nan"))
    assert math.isnan(decode(encode(mpmath.nan)))


@settings(derandomize=True, deadline=None)
@given(st.integers(-(2**300), 2**300), st.integers(-2000, 2000))
def test_json_keeps_every_digit_of_an_mpf(mantissa, exponent):
    x = mpmath.mp.make_mpf(mpmath.libmp.from_man_exp(mantissa, exponent))
    assert decode(encode(x))._mpf_ == x._mpf_
    assert read(x).low == Fraction(mantissa) * Fraction(2) ** exponent


class Scalar:
    """A number without dimensions of some array library."""

    shape = ()

    def __init__(self, dtype):
        self.dtype = dtype

    def __float__(self):
        return 0.5


def test_numbers_of_other_array_libraries_are_floats_of_their_type():
    quantity = read(Scalar("torch.float32"))
    assert (quantity.value, quantity.dtype) == (0.5, "float32")
    with pytest.raises(TypeError, match="cannot compare a Scalar"):
        read(Scalar("torch.int64"))


def test_the_ends_are_fractions_and_the_size_is_that_of_the_larger():
    quantity = read((-3.0, 1.0))
    assert type(quantity.low) is type(quantity.high) is type(quantity.size) is Fraction
    assert [read(pair).size for pair in [(-3.0, 1.0), (1.0, 3.0), (-3.0, -2.0), (-1, Fraction(1, 2))]] == [3, 3, 3, 1]


def test_values_are_read_where_flint_was_never_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "flint")
    assert [read(x).low for x in (Fraction(1, 3), np.float32(0.5), mpmath.mpf(0.5))] == [Fraction(1, 3), 0.5, 0.5]


@pytest.mark.parametrize("pair", [(1.0, math.nan), (math.nan, -1.0), (1.0, -math.inf)])
def test_a_bracket_that_is_not_finite_is_not_called_empty(pair):
    assert "not finite" in read(pair).doubt


def test_an_mpf_is_written_with_all_its_digits_and_three_more():
    assert [encode(mpmath.mpf(x)) for x in (0.5, 0.1)] == ["5.0000e-1", "1.000000000000000056e-1"]
    with mpmath.workdps(30):
        third = mpmath.mpf(1) / 3
    assert decode(encode(third))._mpf_ == third._mpf_
    assert [encode(x) for x in (mpmath.inf, -mpmath.inf, mpmath.nan)] == ["inf", "-inf", "nan"]


def test_a_rank_is_doubted_below_a_gap_of_a_thousand():
    assert not read(SimpleNamespace(rank=3, gap=1000.0)).doubt
    assert read(SimpleNamespace(rank=3, gap=999.9)).doubt


def test_what_a_number_was_computed_in_is_said():
    said = {
        ("float64", "numpy"): [0.5, np.float64(1)],
        ("float32", "numpy"): [np.float32(1)],
        ("mpf", "mpmath"): [mpmath.mpf(1), mpmath.inf, (1, mpmath.mpf(2))],
        ("arb", "python-flint"): [flint.arb(1)],
        ("rational", "python"): [1, Fraction(1), (1, 2)],
        ("rational", "python-flint"): [flint.fmpq(1)],
        ("rank", "numpy"): [SimpleNamespace(rank=1, gap=1e9)],
    }
    assert {key: [(read(x).dtype, read(x).backend) for x in xs] for key, xs in said.items()} == {
        key: [key] * len(xs) for key, xs in said.items()
    }
    assert read((0.5, 1)).dtype == read((0, 0.5)).dtype == "float64"
