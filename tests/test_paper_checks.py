"""Every claim of the checks folder is run once: it holds, its controls are caught, and it says what it checks."""

from collections import Counter
from contextlib import suppress

import pytest

from lora_proofs.claims import Case, OutOfScope
from lora_proofs.judgement.collect import collect
from lora_proofs.verify import Outcome, verify

CLAIMS = [
    pytest.param(claim, id=claim.label) for selection in collect() for claim in selection.claims if not claim.missing
]


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_claim_holds_and_its_controls_are_caught(claim):
    verdicts = [verify(claim, case) for case in claim.cases()]
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    wanted = Outcome.FAILS if claim.false_as_printed else Outcome.HOLDS
    assert outcomes[wanted] > 0
    # What is false need not fail everywhere: `falsify` looks for the instances where it does.
    allowed = {wanted, Outcome.HOLDS, Outcome.OUT_OF_SCOPE}
    assert outcomes.keys() <= allowed, [v.reason or v.comparison for v in verdicts]
    for control in claim.controls:
        for case in control.cases():
            verdict = verify(claim, case, control)
            assert verdict.caught, f"{control.description}: {verdict.outcome} {verdict.comparison} {verdict.reason}"


@pytest.mark.parametrize("claim", [p for p in CLAIMS if not (p.values[0].seeded or p.values[0].requires)])
def test_what_is_tried_on_one_seed_draws_nothing(claim, monkeypatch):
    def refuse(case):
        raise AssertionError(f"{claim.label} draws random numbers, but is declared with seeded=False")

    monkeypatch.setattr(Case, "rng", property(refuse))
    for case in claim.cases():
        with suppress(OutOfScope):
            claim.check(case)


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_claim_has_a_control_or_is_recorded_as_false(claim):
    assert claim.controls or claim.false_as_printed


def test_most_claims_carry_exact_evidence():
    exact = [any(verify(c, case).evidence == "exact" for case in c.cases()) for (c,) in (p.values for p in CLAIMS)]
    assert sum(exact) >= 0.6 * len(exact)
