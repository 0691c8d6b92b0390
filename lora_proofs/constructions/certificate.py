"""What a certificate of a construction says: whether it holds, on what evidence, for what reasons, with what error."""

from dataclasses import dataclass
from fractions import Fraction

import flint

from lora_proofs.display import Readable, show
from lora_proofs.enclosure import Enclosure
from lora_proofs.exact.matrices import Rational, fraction, number


@dataclass(frozen=True, repr=False)
class Certificate(Readable):
    """What `certify_relu_network` or `certify_transformer` found.

    Attributes
    ----------
    holds : bool
        True only if ``error`` is at most ``tolerance`` times ``size``, a rigorous lower bound of the largest |target|
        on the domain; for rational networks only if ``error`` is 0. So a target that is 0 on the domain needs an error
        of 0. If False, the last of the ``reasons`` says that the functions differ by more, or that this is *not
        decided*: the bound of the error is too loose, or there is none.
    evidence : str
        "exact" or "certified"; both are rigorous for the network as it is stored. Empty if not `holds`.
    reasons : list of str
        One sentence a part that was checked; the last one is the conclusion.
    error : Fraction or None
        A rigorous bound of |f_k(x) - target_k(x)| for all x of the domain and all k; None if none was found.
    difference : Enclosure or None
        The supremum of |f_k(x) - target_k(x)| over the domain and all k, between the largest one at rational points,
        exactly, and `error` or, where that is None, what bounds of both functions allow. None if nothing was compared.
    size : Fraction
        The largest |target_k(x)| at these points, exactly, over all k: outputs are not weighed one by one.

    Examples
    --------
    >>> import numpy as np
    >>> from lora_proofs import Box, ReluNetwork
    >>> from lora_proofs.constructions import certify_relu_network
    >>> network = ReluNetwork([np.eye(2)], [np.zeros(2)])
    >>> certificate = certify_relu_network(network, network, Box(-1, 1))
    >>> certificate.holds, certificate.evidence
    (True, 'certified')
    """

    holds: bool
    evidence: str
    reasons: list[str]
    error: Fraction | None
    difference: Enclosure | None = None
    size: Fraction = Fraction(0)

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        size = "no bound of the error" if self.error is None else f"error <= {show(self.error)}"
        if self.holds:
            return f"holds ({self.evidence}), {size}", {"checked": f"{len(self.reasons)} parts, see .reasons"}
        return f"does not hold, {size}", {"missing": self.reasons[-1]} if self.reasons else {}


def read_tolerance(tolerance: Rational) -> Fraction:
    """Return the tolerance as a rational, or raise ValueError if it is no finite number >= 0."""
    try:
        value = fraction(tolerance)
    except ValueError:
        value = Fraction(-1)
    if value < 0:
        raise ValueError(f"tolerance is {tolerance!r}; pass a finite number >= 0")
    return value


def decimal(value: Rational) -> str:
    """Return three digits of a rational, which may lie outside the range of floats."""
    return str(flint.arb(number(value)).str(3, radius=False))
