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
