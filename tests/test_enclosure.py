from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest

from lora_proofs.enclosure import Enclosure

ONE_THIRD = [Fraction(1, 3), flint.fmpq(1, 3)]
NUMBERS = [0, 0.25, np.float64(0.25), *ONE_THIRD, mpmath.mpf(1) / 2, np.int64(1), flint.fmpz(2), mpmath.inf]


@pytest.mark.parametrize("i", range(len(NUMBERS)))
def test_ends_of_every_type_are_compared_exactly(i):
    for upper in NUMBERS[i:]:
        assert Enclosure(NUMBERS[i], upper).upper is upper


@pytest.mark.parametrize(("low", "high"), [
    (1, 0), (0.1, Fraction(1, 10)), (Fraction(1, 3), 1 / 3), (flint.fmpq(1, 3), Fraction(1, 4)), (float("inf"), 0),
    (mpmath.mpf(1), 0.5), (float("nan"), 1.0), (0, mpmath.nan),
])  # fmt: skip
def test_what_encloses_no_number_is_refused(low, high):
    with pytest.raises(ValueError, match="encloses no number"):
        Enclosure(low, high)


@pytest.mark.parametrize("end", ["0", None, True, 1j, flint.arb(1), np.zeros(2)])
def test_what_is_no_number_is_refused(end):
    with pytest.raises(TypeError, match="an end of an enclosure"):
        Enclosure(0, end)


def test_ends_that_round_to_one_float_are_told_apart():
    """An end compared in floats would let the proof of an empty interval pass, or refuse a true one."""
    tiny = Fraction(1, 10**30)
    assert Enclosure(Fraction(1, 3), Fraction(1, 3) + tiny)
    with mpmath.workdps(40):
        over = mpmath.mpf(1) + mpmath.mpf(10) ** -30
    for low, high in [(Fraction(1, 3) + tiny, Fraction(1, 3)), (over, 1), (1 + tiny, 1.0), (10**400 + 1, 10**400)]:
        assert Enclosure(high, low)
        with pytest.raises(ValueError, match="encloses no number"):
            Enclosure(low, high)


@pytest.mark.parametrize("zero", [0, 0.0, mpmath.mpf(0), Fraction(0), flint.fmpz(0)])
@pytest.mark.parametrize("small", [mpmath.mpf(1), mpmath.mpf(2) ** -3000, 5e-324, mpmath.mpf(3) * 2**100])
def test_zero_is_below_what_is_positive(zero, small):
    assert Enclosure(zero, small)
    with pytest.raises(ValueError, match="encloses no number"):
        Enclosure(small, zero)


@pytest.mark.parametrize("infinite", [float("inf"), mpmath.inf])
def test_infinite_ends_enclose_numbers_beyond_the_floats(infinite):
    assert Enclosure(-infinite, infinite)
    assert Enclosure(10**400, infinite)
    with mpmath.workdps(20):
        assert Enclosure(mpmath.mpf(10) ** 400, infinite)
        with pytest.raises(ValueError, match="encloses no number"):
            Enclosure(mpmath.mpf(10) ** 400, 1e308)
