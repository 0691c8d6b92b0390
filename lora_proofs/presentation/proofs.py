"""What a proof kernel has accepted of the theorems that claims name, on this machine and in the text they have now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_proofs.judgement.claims import Claim
from lora_proofs.judgement.environment import cache_folder

if TYPE_CHECKING:
    from lora_proofs.formal import Answer

REFUTED = "A refuted weakening:"
"""How ``theorems.toml`` begins what it says of a theorem that no claim is proved by, whatever its file."""


@dataclass(frozen=True)
class Proof:
    """A theorem behind a claim.

    Attributes
    ----------
    name, statement : str
        As the kernel knows it, and as it prints it.
    says, differs : str
        The statement in words, and what differs from the printed one.
    refutes : bool
        Whether it refutes a weakening of the claim, or a claim that is false as printed, and so does not prove it.
    """

    name: str
    statement: str
    says: str
    differs: str
    refutes: bool

    def to_json(self) -> dict[str, str]:
        """Return what a report keeps of it."""
        return {"name": self.name, "statement": self.statement, "says": self.says, "differs": self.differs}


def accepted_proofs(claims: Iterable[Claim]) -> dict[str, tuple[Proof, ...]]:
    """Return by label the accepted theorems of claims; nothing is compiled, and without a record nothing is read."""
    named = {claim.label: claim for claim in claims if claim.proof}
    if not named or not (cache_folder() / "formal").is_dir():
        return {}
    from lora_proofs.formal import Development, accepted

    known = accepted(Development.shipped(), cache_folder())
    found = {label: [known[name] for name in claim.proof if name in known] for label, claim in named.items()}
    return {
        label: tuple(_proof(answer, refutes=named[label].false_as_printed) for answer in answers)
        for label, answers in found.items()
        if answers
    }


def _proof(answer: Answer, *, refutes: bool) -> Proof:
    refutes = refutes or answer.says.startswith(REFUTED)
    return Proof(answer.name, answer.statement, answer.says, answer.differs, refutes)


def proves(proofs: Iterable[Proof]) -> str:
    """Say in a few words that theorems prove a claim; nothing if they only refute its weakenings."""
    names = [f"{p.name} (differs from the print)" if p.differs else p.name for p in proofs if not p.refutes]
    return f"proved for all sizes: {', '.join(names)}" if names else ""
