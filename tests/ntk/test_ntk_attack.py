"""Brackets against 60 digits: seeded instances of every hard kind; `ntk_attack` runs as many as one likes."""

import pytest
from ntk_attack import KINDS, attack


@pytest.mark.parametrize("seed", range(3 * len(KINDS)))
def test_no_bracket_excludes_what_sixty_digits_say(seed):
    faults, _ = attack(seed, rigorous=True)
    assert not faults
