"""Grade a submission: the claims of the reference, on hidden cases, with the student's functions in the holes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lora_proofs.homework.hole import played_by
from lora_proofs.homework.submission import Submission
from lora_proofs.judgement.cases import Case
from lora_proofs.judgement.claims import Claim
from lora_proofs.judgement.collect import load
from lora_proofs.judgement.verify import Outcome, Verdict, verify

__all__ = ["ClaimGrade", "Grade", "GradeError", "grade"]


class GradeError(ValueError):
    """The reference or the homework cannot be used; the message is one clear line."""


@dataclass(frozen=True)
class ClaimGrade:
    """The marks of one claim: the share of its cases on which it holds.

    Attributes
    ----------
    claim, statement : str
        Label, and first line of the statement.
    held, cases : int
    trouble : str
        What went wrong first, with the case; empty if nothing did.
    """

    claim: str
    statement: str
    held: int
    cases: int
    trouble: str

    @property
    def marks(self) -> float:
        """Between 0 and 1."""
        return self.held / self.cases


@dataclass(frozen=True)
class Grade:
    """The marks of a submission: one for every claim of the reference that holds on every hidden case."""

    seed: int
    seeds: int
    claims: tuple[ClaimGrade, ...]

    @property
    def score(self) -> float:
        """The sum of the marks."""
        return sum(claim.marks for claim in self.claims)

    def to_json(self) -> str:
        """Return the grade as a JSON text."""
        rows = [{**asdict(claim), "marks": claim.marks} for claim in self.claims]
        data = {"schema": 1, "score": self.score, "out_of": len(rows), "seed": self.seed, "seeds": self.seeds}
        return json.dumps({**data, "claims": rows}, indent=1) + "\n"

    def lines(self) -> Iterator[str]:
        """Yield the grade for people."""
        for claim in self.claims:
            yield f"{claim.marks:4.2f}  {claim.claim}: {claim.held} of {claim.cases} cases"
            yield f"      {claim.statement}"
            if claim.trouble:
                yield f"      {claim.trouble}"
        yield f"score {self.score:.2f} of {len(self.claims)} (seeds {self.seed} to {self.seed + self.seeds - 1})"


def grade(
    homework: Path, reference: Path, seed: int, seeds: int = 20, seconds: float = 10, megabytes: int = 4096
) -> Grade:
    """Grade a homework by the claims of its reference.

    Parameters
    ----------
    homework : Path
        The student's file; only functions that stand as holes in the reference are called.
    reference : Path
        The same check file with the holes filled in. It must hold on its own claims.
    seed, seeds : int
        The first hidden seed and their number, a case of each claim.
    seconds : float
        Limit of a call; a claim is over with the first call that exceeds it.
    megabytes : int
        Limit of the submission's address space.

    Raises
    ------
    GradeError
        If there is no such file, or the reference fails on its own claims.
    CollectError
        If the reference cannot be loaded.
    """
    for path in (homework, reference):
        if not path.is_file():
            raise GradeError(f"there is no file {path}")
    claims = [claim for _, paper in load(reference.resolve()) for claim in paper.claims]
    for claim in claims:
        for case in claim.cases(seeds, seed):
            if (verdict := verify(claim, case)).outcome is not Outcome.HOLDS:
                raise GradeError(f"the reference does not solve {claim.label} at {_place(case)}: {_trouble(verdict)}")
    with Submission(homework, reference, seconds, megabytes) as submission, played_by(submission):
        marked = tuple(_mark(claim, list(claim.cases(seeds, seed)), submission) for claim in claims)
    return Grade(seed, seeds, marked)


def _mark(claim: Claim, cases: list[Case], submission: Submission) -> ClaimGrade:
    held, trouble = 0, ""
    for case in cases:
        verdict = verify(claim, case)
        if verdict.outcome is Outcome.HOLDS:
            held += 1
        elif not trouble:
            trouble = f"{_trouble(verdict)} ({_place(case)})"
        if submission.trouble:  # it hung or died: more of the same would take for ever
            break
    return ClaimGrade(claim.label, claim.statement.splitlines()[0], held, len(cases), trouble)


def _trouble(verdict: Verdict) -> str:
    if verdict.reason:
        return verdict.reason
    comparison = verdict.comparison
    assert comparison
    return f"{verdict.outcome}: {comparison.measured} {comparison.relation} {comparison.bound} was wanted"


def _place(case: Case) -> str:
    return ", ".join([*(f"{name}={value}" for name, value in case.params.items()), f"seed {case.seed}"])
