r"""A change of units: the same problem with gradients, and for the squared loss outputs, of size 1.

With G = 2^g G', w = 2^h w' (h = 0 unless the loss is squared) and u v^T = 2^(h-g) u' v'^T,

    risk(w0 + A(u v^T)) + lam |u v^T|_* = 2^(2h) (risk(w0' + A'(u' v'^T)) + lam' |u' v'^T|_*),   lam' = 2^(-g-h) lam,

so nothing but the exponents changes, and no step of a solver need think of gradients of size 1e-150 or 1e150. The
exponents g and h are even, so that the factors scale by powers of two as well: the change is exact.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from lora_proofs.ntk.canonical import CanonicalProblem, CanonicalRows, DenseRows, ScaledRows, canonical_problem
from lora_proofs.ntk.compression import compress
from lora_proofs.ntk.null_space import feasible
from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.ntk.reductions import AsPassed, Chain, Scaled
from lora_proofs.ntk.types import FloatArray

_COPIED = 2**18
"""Entries of a block up to which the scaled rows are formed: the calls would cost more than the arithmetic."""

_LARGEST = 1000
"""Exponent of two beyond which the objective, or lam in the new units, would leave the range of floats."""


@dataclass(frozen=True)
class Units:
    """The exponents: gradients are of size 2^gradient, outputs of size 2^output."""

    gradient: int
    output: int

    def upper(self, value: float) -> float:
        """Return a value of the objective in the units of the problem as given, or a little more."""
        try:
            x = math.ldexp(value, 2 * self.output)
        except OverflowError:
            return math.inf
        return math.nextafter(x, math.inf) if math.ldexp(x, -2 * self.output) < value else x

    def lower(self, value: float) -> float:
        """Return a value of the objective in the units of the problem as given, or a little less, but at least 0."""
        x = math.ldexp(value, 2 * self.output)
        return max(0.0, math.nextafter(x, -math.inf) if math.ldexp(x, -2 * self.output) > value else x)


@dataclass(frozen=True, eq=False)
class Normalised(Chain):
    """A problem as the solvers see it: in NumPy, compressed, in canonical rows and in units of its own."""

    problem: CanonicalProblem
    units: Units


def normalised(problem: LinearizedProblem) -> Normalised:
    """Return a `LinearizedProblem` compressed and in units of its own.

    Raises
    ------
    ValueError
        If the objective overflows, or lam is so small beside the gradients that its ratio to them underflows.
    """
    passed, compressed = AsPassed(problem, [problem.pattern] * len(problem.blocks)), compress(problem)
    core = canonical_problem(compressed.problem)
    units = _units(core, problem.row_sizes)
    own = CanonicalProblem(
        [_scaled(rows, -units.gradient) for rows in core.blocks],
        np.ldexp(core.w0, -units.output),
        core.loss,
        _lam(problem, units),
        sizes=[np.ldexp(sizes, -units.gradient) for sizes in problem.row_sizes],
        # Dependencies of the rows know no units, and compression keeps them.
        feasible=partial(feasible, problem),
    )
    scaled = Scaled(own, [(units.output - units.gradient) // 2] * len(own.blocks))
    return Normalised((passed, compressed, scaled), own, units)


def _units(core: CanonicalProblem, sizes: list[FloatArray]) -> Units:
    gradient = _even(max(float(x.max()) for x in sizes))
    output = _even(float(np.abs(core.w0).max())) if core.loss.name == "squared" else 0
    if 2 * output + math.log2(len(core.w0)) > 1022:
        raise ValueError(
            f"offsets and labels differ by {np.abs(core.w0).max():.3g}, whose square overflows; divide offsets, labels "
            "and gradients by it"
        )
    return Units(gradient, output)


def _even(size: float) -> int:
    """Return an even exponent e with 2^e <= size < 2^(e+2); 0 if the size is 0."""
    return (math.frexp(size)[1] - 1) // 2 * 2 if size else 0


def _lam(problem: LinearizedProblem, units: Units) -> float:
    exponent = -units.gradient - units.output
    size = math.frexp(problem.lam)[1] + exponent
    if problem.lam and size < -_LARGEST:
        raise ValueError(
            f"lam is {problem.lam:.3g} and the gradients are so large that 0 is optimal from {problem.lam_max:.3g} on: "
            "the ratio underflows; pass lam = 0 for the least risk"
        )
    # Beyond lam_max, here at most about 1, the optimum is 0 whatever lam is.
    return math.ldexp(problem.lam, exponent) if size <= _LARGEST else math.ldexp(1.0, _LARGEST)


def _scaled(rows: CanonicalRows, exponent: int) -> CanonicalRows:
    if not exponent:
        return rows
    if isinstance(rows, DenseRows) and rows.array.size <= _COPIED:
        return DenseRows(np.ldexp(rows.array, exponent))
    return ScaledRows(rows, math.ldexp(1.0, exponent))
