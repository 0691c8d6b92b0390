"""The certified optimum of the linearised problem: `solve` chooses a method and brackets what it returns."""

import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

import numpy as np

from lora_proofs.display import Readable
from lora_proofs.ntk.bracket import Bracket, bracket
from lora_proofs.ntk.canonical import CanonicalProblem
from lora_proofs.ntk.certificate import Certificate, certify, relative_gap
from lora_proofs.ntk.inputs import real_number
from lora_proofs.ntk.points import Point, evaluate
from lora_proofs.ntk.problem import LinearizedProblem, check_problem
from lora_proofs.ntk.solvers.active_subspace import active_subspace
from lora_proofs.ntk.solvers.burer_monteiro import minimise
from lora_proofs.ntk.spectrum import leading
from lora_proofs.ntk.units import Normalised, normalised

_SMALL = 20
"""Blocks with a side up to this size are solved whole: an active subspace would be hardly smaller."""

_PATIENCE = 6
"""Rounds without progress after which rounding, not the method, is what stops it."""

_NEGLIGIBLE = 1e-9
"""Columns whose share of the largest one, over all blocks, is no more than this are dropped, if the bracket allows."""

_GAP_HINT = "pass a relative gap > 0, such as 1e-8"
_SILENT_SECONDS = 3.0


_RESOLUTION = 1e-10
"""Relative gaps up to which it may be the bound on rounding, not the method, that is in the way: no warning."""


class GapWarning(UserWarning):
    """The bracket that `solve` returns is wider than asked for; ``warnings.simplefilter`` takes this class."""


@dataclass(frozen=True, eq=False, repr=False)
class Solution(Readable):
    """A solution with its bracket.

    Attributes
    ----------
    factors : list of (u, v)
        One pair a block, (m_t, r_t) and (n_t, r_t), balanced: |u|_F^2 = |v|_F^2 = |u v^T|_*. Of the library, dtype and
        device of the gradients.
    upper : float
        The objective at the factors.
    lower : float
        The dual objective at a feasible point: the optimum of full fine-tuning is in [lower, upper].
    gap : float
        (upper - lower) / upper; at lam = 0 relative to the risk at delta = 0.
    rank : int
        Columns in all blocks together; ``ranks`` has one number a block.
    spectral_gap : float
        The smallest singular value of the updates over 1e-9 of the largest, where columns were cut.
    passes : int
        How often all gradients were read.
    method : str
    problem : LinearizedProblem
    """

    factors: list[tuple[Any, Any]]
    upper: float
    lower: float
    gap: float
    spectral_gap: float
    passes: int
    method: str
    problem: LinearizedProblem

    @property
    def ranks(self) -> list[int]:
        """The rank of each block's update."""
        return [u.shape[1] for u, _ in self.factors]

    @property
    def rank(self) -> int:
        """The sum of the ranks."""
        return sum(self.ranks)

    def certify(self, rigorous: bool = True) -> Certificate:
        """Return `ntk.certify` at the factors: a proof of the bracket, and of the excess of any other point.

        ``solve(problem).certify().enclosure`` encloses the optimum, ``.excess(u, v)`` how far (u, v) is above it. In
        float32 the factors are rounded, and so the proved gap is larger than `gap`.
        """
        u, v = [x for x, _ in self.factors], [y for _, y in self.factors]
        return certify(self.problem, u, v, rigorous=rigorous)

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        rows = {
            "rank": str(self.rank) if len(self.ranks) == 1 else f"{self.rank} = {' + '.join(map(str, self.ranks))}",
            "method": f"{self.method}, {self.passes} passes",
        }
        return f"optimum in [{self.lower:.12g}, {self.upper:.12g}] (relative gap {self.gap:.1e})", rows


def solve(problem: LinearizedProblem, gap: float = 1e-8, method: str = "auto") -> Solution:
    """Return a global optimum of full fine-tuning, as LoRA factors, and a bracket that certifies it.

    Parameters
    ----------
    problem : LinearizedProblem
    gap : float
        Relative gap to reach. What rounding does not allow is not reached; ``.gap`` says what was, and a `GapWarning`
        is given where it is above 1e-10. So it is when Ctrl-C ends the search early.
    method : {"auto", "burer_monteiro", "active_subspace", "interior_point"}
        "auto" takes the first for small blocks and the second for large ones; the third is an independent referee.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        If gap <= 0, the method is unknown, or lam = 0 and the data are separable, so that no minimiser exists.

    Examples
    --------
    >>> import numpy as np
    >>> from lora_proofs.ntk import LinearizedProblem
    >>> rng = np.random.default_rng(0)
    >>> gradients, labels = rng.standard_normal((8, 1, 3, 4)), rng.standard_normal((8, 1))
    >>> problem = LinearizedProblem(gradients, 0 * labels, labels, "squared", 0.1)
    >>> solution = solve(problem)
    >>> bool(solution.lower <= solution.upper), solution.gap <= 1e-8
    (True, True)
    """
    check_problem(problem)
    if real_number("gap", gap, _GAP_HINT) <= 0:
        raise ValueError(f"gap is {gap!r}; {_GAP_HINT}")
    if method not in ("auto", "burer_monteiro", "active_subspace", "interior_point"):
        raise ValueError(f"method is {method!r}; pass 'auto', 'burer_monteiro', 'active_subspace' or 'interior_point'")
    small = normalised(problem)
    core = small.problem
    compressed = core.shapes != problem.shapes
    if not problem.lam:
        method = "least risk, then a frozen factor"
    elif method == "auto":
        method = "burer_monteiro" if max(min(shape) for shape in core.shapes) <= _SMALL else "active_subspace"
    best, found = _best(core, _points(core, method), gap)
    best, found, cliff = _without_negligible(core, best, found, gap)
    factors, found = _returned(small, best, found)
    solution = Solution(
        factors,
        small.units.upper(found.upper),
        small.units.lower(found.lower),
        relative_gap(core, found.upper, found.lower),
        cliff,
        core.passes,
        method.replace("_", " ") + (" after exact compression" if compressed else ""),
        problem,
    )
    if solution.gap > max(gap, _RESOLUTION):
        warnings.warn(
            f"the relative gap is {solution.gap:.1e}, not the {gap:.0e} asked for: the optimum is in "
            f"[{solution.lower:.8g}, {solution.upper:.8g}], and rounding or the method stops there",
            GapWarning,
            stacklevel=2,
        )
    return solution


def _without_negligible(
    core: CanonicalProblem, point: Point, found: Bracket, gap: float
) -> tuple[Point, Bracket, float]:
    """Return the point without columns that are rounding errors, unless its bracket needs them, and `spectral_gap`."""
    sizes = [np.linalg.norm(x, axis=0) ** 2 for x in point.u]
    cut = _NEGLIGIBLE * max((float(s.max(initial=0.0)) for s in sizes), default=0.0)
    kept = [s > cut for s in sizes]
    if not all(k.all() for k in kept):
        u, v = ([x[:, k] for x, k in zip(side, kept, strict=True)] for side in (point.u, point.v))
        trial = evaluate(core, u, v)
        narrow = bracket(core, trial)
        if narrow.width <= max(2 * found.width, gap / 2 * narrow.upper):
            point, found, sizes = trial, narrow, [s[k] for s, k in zip(sizes, kept, strict=True)]
    smallest = min((float(s.min(initial=np.inf)) for s in sizes), default=np.inf)
    return point, found, smallest / cut if cut else float("inf")


def _returned(small: Normalised, point: Point, found: Bracket) -> tuple[list[tuple[Any, Any]], Bracket]:
    """Return the factors as given back, and the bracket that belongs to them: compression and float32 round."""
    u, v = small.lift(point.u, point.v)
    seen = small.reduce(u, v)
    if not all(np.array_equal(x, y) for x, y in zip((*seen[0], *seen[1]), (*point.u, *point.v), strict=True)):
        again = bracket(small.problem, evaluate(small.problem, *seen))
        # The lower end of the point before it was rounded holds as well, and in float32 it is the better one.
        found = Bracket(again.upper, max(found.lower, again.lower), again.ratio)
    return list(zip(u, v, strict=True)), found


def _points(core: CanonicalProblem, method: str) -> Iterator[Point]:
    """Yield points that approach the optimum."""
    if not core.lam:
        from lora_proofs.ntk.solvers.unregularised import least_risk

        yield from least_risk(core)
    elif method == "active_subspace":
        yield from active_subspace(core)
    elif method == "interior_point":
        from lora_proofs.ntk.solvers.interior_point import interior_point

        yield from interior_point(core)
    else:
        u, v = [np.zeros((m, 0)) for m, _ in core.shapes], [np.zeros((n, 0)) for _, n in core.shapes]
        for tolerance in (1e-9, 1e-11, 1e-13):
            point = minimise(core, u, v, tolerance)
            yield point
            u, v = point.u, point.v


def _best(core: CanonicalProblem, points: Iterator[Point], gap: float) -> tuple[Point, Bracket]:
    """Return the point with the narrowest bracket of its own and the bracket, once it is narrow or stops moving.

    An interrupt from the keyboard ends the search early, if there is a point to return.
    """
    best: Point | None = None
    found: Bracket | None = None
    narrowest, idle = np.inf, 0
    with _Progress() as progress:
        try:
            for point in points:
                promised = _promise(core, point)
                width = point.value - promised
                idle = 0 if width < 0.9 * narrowest else idle + 1
                if best is None or width <= narrowest:
                    best, found, narrowest = point, None, width
                    if width <= gap * point.value:  # only where it promises success is the safe bound worth its price
                        found = bracket(core, point)
                        if found.width <= gap * point.value:
                            break
                if idle >= _PATIENCE:
                    break
                progress.tell(f"objective {best.value:.10g}, gap {narrowest:.1e}")
        except KeyboardInterrupt:
            if best is None:
                raise
    if best is None:
        raise RuntimeError("the method returned no point; this is a bug, please report the problem")
    return best, bracket(core, best) if found is None else found


def _promise(core: CanonicalProblem, point: Point) -> float:
    """Return the lower bound that a cheap estimate of |S|_op promises at the point; the estimate is never too large."""
    if not core.lam:
        return 0.0
    top = max(float(leading(S, 1)[1][0]) for S in point.S) if point.top is None else point.top
    return core.dual(core.loss.derivative(point.w) / max(1.0, top / core.lam))


class _Progress:
    """One line on the terminal, rewritten every second, for runs that take longer than a few; else silence."""

    def __init__(self) -> None:
        self.due = monotonic() + _SILENT_SECONDS
        self.told = False

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.told:
            print(file=sys.stderr)

    def tell(self, text: str) -> None:
        """Show the text if it is time to."""
        if monotonic() >= self.due and sys.stderr.isatty():
            print(f"\rsolve: {text}", end="", file=sys.stderr, flush=True)
            self.due, self.told = monotonic() + 1, True
