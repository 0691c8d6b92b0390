"""One protocol for "problem -> smaller problem -> solution back", and the chain of such steps.

    `AsPassed`                 arrays of any library, one or a list of them  ->  lists of NumPy blocks
    `compression.Compressed`   the spans of the factors of factored gradients in place of all of R^m and R^n
    `Scaled`                   a change of units by powers of two, which rounds nothing

So a solver sees small blocks of size 1 in NumPy, and what it finds comes back as the caller passed it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from array_api_compat import is_array_api_obj

from lora_proofs.linalg import like
from lora_proofs.ntk.canonical import CanonicalProblem
from lora_proofs.ntk.problem import LinearizedProblem, is_floating
from lora_proofs.ntk.types import Blocks, Factors


class Reduction(Protocol):
    """A step from one problem to another with the same optimum, up to units."""

    @property
    def problem(self) -> LinearizedProblem | CanonicalProblem:
        """The problem that is left."""

    def reduce(self, u: Any, v: Any) -> Factors:
        """Return factors of the problem that is left, for those of the problem as given: what its gradients see."""

    def lift(self, u: Blocks, v: Blocks) -> Any:
        """Return factors of the problem as given, for those of the problem that is left."""


@dataclass(frozen=True, eq=False)
class Chain:
    """Reductions one after the other, from the caller's problem to the solver's."""

    steps: tuple[Reduction, ...]

    def reduce(self, u: Any, v: Any) -> Factors:
        """See `Reduction`."""
        for step in self.steps:
            u, v = step.reduce(u, v)
        return u, v

    def lift(self, u: Blocks, v: Blocks) -> Any:
        """See `Reduction`."""
        for step in reversed(self.steps):
            u, v = step.lift(u, v)
        return u, v


@dataclass(frozen=True, eq=False)
class AsPassed:
    """From factors as a caller holds them, and back: into the library, dtype and device of a pattern for each block.

    A pattern that is no array of floats, a list say, stands for NumPy. Where one plain array was passed, ``plain``, one
    comes back in place of a list.
    """

    problem: LinearizedProblem
    patterns: Sequence[Any]
    plain: bool = False

    def reduce(self, u: Any, v: Any) -> Factors:
        """See `Reduction`; raises ValueError as `LinearizedProblem.check_factors` does."""
        return self.problem.check_factors(u, v)

    def lift(self, u: Blocks, v: Blocks) -> tuple[Any, Any]:
        """See `Reduction`."""
        left, right = (
            [like(pattern, x) if is_floating(pattern) else x for pattern, x in zip(self.patterns, side, strict=True)]
            for side in (u, v)
        )
        return (left[0], right[0]) if self.plain else (left, right)


def as_passed(problem: LinearizedProblem, u: Any) -> AsPassed:
    """Return the step from factors of the kind of u: one array, or a list of them."""
    plain = is_array_api_obj(u)
    return AsPassed(problem, [u] if plain else list(u), plain)


@dataclass(frozen=True, eq=False)
class Scaled:
    """A problem whose factors in block t are 2^-exponents[t] times those of the problem as given."""

    problem: CanonicalProblem
    exponents: Sequence[int]

    def reduce(self, u: Blocks, v: Blocks) -> Factors:
        """See `Reduction`."""
        return self._times(u, -1), self._times(v, -1)

    def lift(self, u: Blocks, v: Blocks) -> Factors:
        """See `Reduction`."""
        return self._times(u, 1), self._times(v, 1)

    def _times(self, side: Blocks, sign: int) -> Blocks:
        return [np.ldexp(x, sign * exponent) for x, exponent in zip(side, self.exponents, strict=True)]
