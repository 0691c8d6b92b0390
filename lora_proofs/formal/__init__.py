"""Statements proved for all sizes, in ``theories/*.v`` (Rocq, Mathematical Components), and what has them checked.

``theorems.toml`` says of each theorem which claims name it, what it says in words, and what differs from the print;
``statements.txt`` holds the text that the proof kernel prints for it, with the definitions that it rests on. `prove`
compiles the theories and compares. Nothing here is loaded by a check.
"""

from typing import TYPE_CHECKING

from lora_proofs.lazy import lazy_face

if TYPE_CHECKING:
    from lora_proofs.formal.development import Development, Theorem
    from lora_proofs.formal.instances import write_instance
    from lora_proofs.formal.kernel import Kernel, NoKernel, find_kernel
    from lora_proofs.formal.prover import Answer, accepted, prove, prove_instance

__all__ = [
    "Answer",
    "Development",
    "Kernel",
    "NoKernel",
    "Theorem",
    "accepted",
    "find_kernel",
    "prove",
    "prove_instance",
    "write_instance",
]

lazy_face(__name__)
