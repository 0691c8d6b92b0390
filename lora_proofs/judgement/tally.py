"""What a run adds up for each claim, so that its memory does not grow with the number of its cases."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lora_proofs.judgement.verify import Evidence, Outcome, Verdict

# A claim that fails everywhere should not bury the other claims.
SHOWN = 3


@dataclass
class Tally:
    """The verdicts of one claim and of its controls, counted.

    Attributes
    ----------
    outcomes, evidence : Counter
        How often each came up, controls left out.
    exact : int
        How many cases are settled, as they should be, by exact evidence.
    controls, caught : int
        Verdicts on controls, and how many of them were caught.
    errors : int
        Verdicts on a check that raised an exception.
    seconds : float
        Time spent on all of them.
    unexpected, bad : int
        Verdicts that a reader must see; how many of them are more than merely inconclusive.
    shown : list of (int, Verdict)
        The first `SHOWN` of the unexpected verdicts, with their positions in the plan.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    evidence: Counter[Evidence] = field(default_factory=Counter)
    exact: int = 0
    controls: int = 0
    caught: int = 0
    errors: int = 0
    seconds: float = 0.0
    unexpected: int = 0
    bad: int = 0
    shown: list[tuple[int, Verdict]] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """How many cases were judged, controls left out."""
        return self.outcomes.total()

    def add(self, position: int, verdict: Verdict) -> None:
        """Count one verdict."""
        expected = is_expected(verdict)
        self.seconds += verdict.seconds
        self.errors += verdict.error
        if verdict.negative_control is None:
            self.outcomes[verdict.outcome] += 1
            if verdict.evidence is not None:
                self.evidence[verdict.evidence] += 1
                self.exact += expected and verdict.evidence is Evidence.EXACT
        else:
            self.controls += 1
            self.caught += bool(verdict.caught)
        if not expected:
            self.unexpected += 1
            self.bad += verdict.error or verdict.outcome is not Outcome.INCONCLUSIVE
            self._show([(position, verdict)])

    def merge(self, other: Tally) -> None:
        """Count what another tally of the same claim has counted."""
        self.outcomes += other.outcomes
        self.evidence += other.evidence
        for name in ("exact", "controls", "caught", "errors", "seconds", "unexpected", "bad"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._show(other.shown)

    def _show(self, more: list[tuple[int, Verdict]]) -> None:
        self.shown = sorted([*self.shown, *more], key=lambda entry: entry[0])[:SHOWN]


def is_expected(verdict: Verdict) -> bool:
    """Tell whether a verdict is as it should be."""
    if verdict.error:
        return False
    if verdict.negative_control is not None:
        return bool(verdict.caught)
    if verdict.outcome is Outcome.FAILS:
        return verdict.gap.startswith("false as printed")
    return verdict.outcome is not Outcome.INCONCLUSIVE
