"""The verdict on a claim at a case, as reports keep it; `lora_proofs.judgement.ladder` decides it."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, field, replace
from typing import Any

from lora_proofs.display import Readable, show
from lora_proofs.judgement.cases import Case, format_point
from lora_proofs.judgement.claims import Claim, Comparison, Control
from lora_proofs.judgement.ladder import RTOL, Outcome, with_more_digits
from lora_proofs.judgement.threads import Limit, one_thread
from lora_proofs.judgement.values import Evidence, decode, encode

__all__ = ["RTOL", "Evidence", "Outcome", "Verdict", "verify"]

_USUAL = {"backend": Case.backend, "dtype": Case.dtype}


@dataclass(frozen=True, repr=False)
class Verdict(Readable):
    """The outcome of one claim, or of one negative control, on one case.

    Attributes
    ----------
    claim, kind, gap : str
        Label, kind and recorded gap of the claim.
    case : Case
        With the digits of the rung that settled the outcome.
    outcome : Outcome
    evidence : Evidence or None
        None when there is no comparison to read it off.
    comparison : Comparison or None
        With values in the form that JSON keeps: float, ``mpf``, ``Fraction`` (exact), int (a numerical
        rank), or a pair of these (a bracket).
    dtype, backend : str
        What the measured value was computed in, read off its type; empty when there is none. What was asked for is
        in the case.
    seconds : float
        Time spent, all rungs together. Not part of equality.
    negative_control : str or None
        Description of the control; None for a claim proper.
    reason : str
        Why the outcome is no plain *holds* or *fails*; one line.
    error : bool
        True when the check raised an exception or returned what is no comparison.
    """

    claim: str
    kind: str
    case: Case
    outcome: Outcome
    evidence: Evidence | None = None
    comparison: Comparison | None = None
    dtype: str = ""
    backend: str = ""
    seconds: float = field(default=0.0, compare=False)
    negative_control: str | None = None
    gap: str = ""
    reason: str = ""
    error: bool = False

    @property
    def digits(self) -> int:
        """The working precision that settled the outcome."""
        return self.case.digits

    @property
    def caught(self) -> bool | None:
        """Whether the negative control was caught; None for a claim proper."""
        if self.negative_control is None:
            return None
        return self.outcome in (Outcome.FAILS, Outcome.OUT_OF_SCOPE)

    @property
    def reproducer(self) -> str:
        """The command that runs this case alone."""
        return self.reproduce()

    def reproduce(self, path: str = "") -> str:
        """Return the command that runs this case alone, for a check file outside the checks folder too."""
        case = ["--case", format_point(self.case.params)] if self.case.params else []
        words = ["lora-proofs", "check", *filter(None, [path]), self.claim, *case]
        words += ["--seed", str(self.case.seed), "--seeds", "1"]
        words += ["--backend", self.case.backend] if self.case.backend != Case.backend else []
        words += ["--dtype", self.case.dtype] if self.case.dtype != Case.dtype else []
        return shlex.join(words)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of plain data, from which `from_json` makes an equal verdict."""
        measured, relation, bound = (
            (self.comparison.measured, self.comparison.relation, self.comparison.bound)
            if self.comparison
            else (None, None, None)
        )
        asked = {"backend": self.case.backend, "dtype": self.case.dtype}
        data = {
            "claim": self.claim,
            "kind": self.kind,
            "outcome": self.outcome.value,
            "evidence": self.evidence.value if self.evidence else None,
            "measured": encode(measured),
            "relation": relation,
            "bound": encode(bound),
            "params": dict(self.case.params),
            "seed": self.case.seed,
            "digits": self.digits,
            "dtype": self.dtype,
            "backend": self.backend,
            "seconds": self.seconds,
            "negative_control": self.negative_control,
            "caught": self.caught,
            "gap": self.gap,
            "reason": self.reason,
            "error": self.error,
        }
        return data if asked == _USUAL else {**data, "asked": asked}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Verdict:
        """Read what `to_json` wrote."""
        comparison = None
        if data["relation"] is not None:
            comparison = Comparison(decode(data["measured"]), data["relation"], decode(data["bound"]))
        return cls(
            claim=data["claim"],
            kind=data["kind"],
            case=Case(data["params"], data["seed"], data["digits"], **data.get("asked", {})),
            outcome=Outcome(data["outcome"]),
            evidence=Evidence(data["evidence"]) if data["evidence"] else None,
            comparison=comparison,
            dtype=data["dtype"],
            backend=data["backend"],
            seconds=data["seconds"],
            negative_control=data["negative_control"],
            gap=data["gap"],
            reason=data["reason"],
            error=data["error"],
        )

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        point = format_point(self.case.params)
        headline = f"{self.claim} at {point}{', ' if point else ''}seed {self.case.seed}: {self.outcome}"
        rows = {}
        if self.comparison:
            found = self.comparison
            rows["measured"] = f"{show(found.measured)}, claimed {found.relation} {show(found.bound)}"
            rows["evidence"] = f"{self.evidence}, {self.digits} digits"
        if self.negative_control is not None:
            rows["control"] = f"{self.negative_control} ({'caught' if self.caught else 'not caught'})"
        expected = self.outcome is Outcome.HOLDS if self.caught is None else self.caught
        rows |= {"gap": self.gap, "reason": self.reason, "again": "" if expected else self.reproducer}
        return headline, {name: text for name, text in rows.items() if text}


def verify(claim: Claim, case: Case, control: Control | None = None) -> Verdict:
    """Judge a claim, or one of its negative controls, on a case.

    The check runs with 16 digits, and where the claim is not met again with 32 and with 64. A violation counts as
    *fails* only if it is exact or certified; or is there at 64 digits while both sides have stopped moving since 32.
    Where the check returns the same floats whatever ``case.digits`` says, it has to survive other roundings, and be
    large against what they scatter (see `ladder`). Where ``case.dtype`` is float32, that is tried first, and
    believed only if the claim holds.

    Parameters
    ----------
    claim : Claim
    case : Case
        Its digits are ignored: the ladder sets them, 6 of them standing for float32.
    control : Control, optional
        One of ``claim.controls``, to judge in place of the claim.

    Returns
    -------
    Verdict
        Also when the check raises: `OutOfScope` gives *out of scope*, any other exception *inconclusive* with
        ``error=True``.

    Examples
    --------
    A float misses the bound by rounding alone, and 32 digits show it:

    >>> import mpmath
    >>> from lora_proofs import Paper, equal
    >>> PAPER = Paper(key="vieta1591", title="In artem", authors=("F. Vieta",), year=1591, arxiv="")
    >>> @PAPER.formula("root", seeded=False)
    ... def root(case):
    ...     "The smaller root of x^2 - 2 10^9 x + 1 is 1 / (10^9 + sqrt(10^18 - 1))."
    ...     square = mpmath.sqrt(mpmath.mpf(10) ** 18 - 1)
    ...     return equal(10**18 * (10**9 - square), 10**18 / (10**9 + square))
    >>> verdict = verify(root, Case())
    >>> print(verdict.outcome, verdict.evidence, verdict.digits)
    holds numerical 32
    """
    with one_thread() as threads:
        return decide(claim, case, control, threads)


def decide(claim: Claim, case: Case, control: Control | None, threads: Limit) -> Verdict:
    """Do as `verify` does, where native libraries are already limited to one thread."""
    start = time.perf_counter()
    digits, found = with_more_digits(claim, control.check if control else claim.check, case, threads)
    return Verdict(
        claim=claim.label,
        kind=claim.kind,
        case=case if digits == case.digits else replace(case, digits=digits),
        outcome=found.outcome,
        evidence=found.evidence,
        comparison=found.comparison,
        dtype=found.measured.dtype if found.measured else "",
        backend=found.measured.backend if found.measured else "",
        seconds=time.perf_counter() - start,
        negative_control=control.description if control else None,
        gap=claim.gap,
        reason=found.reason,
        error=found.error,
    )
