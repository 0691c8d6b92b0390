"""Papers and their claims.

A check file makes one `Paper` and decorates functions with its methods. Each function takes a `Case` and
returns a `Comparison`; what that comparison is worth is decided in `lora_proofs.verify`, not here::

    PAPER = Paper(key="eckart1936approximation", title=..., authors=..., year=1936, arxiv="")

    @PAPER.theorem("1", n=(4, 8), r=(1, 2))
    def theorem_1(case):
        "For every A in R^{n x n}: min over rank-r X of ||A - X||_2 = sigma_{r+1}(A)."
        ...
        return equal(error, sigma[case["r"]])

    @theorem_1.control("one rank less")
    def _(case): ...
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partialmethod
from importlib.util import find_spec
from typing import Any

from lora_proofs.judgement.cases import Case, Grid, Params, Value, make_grid, points_at

Check = Callable[[Case], "Comparison"]

RELATIONS = ("=", "<=", ">=")
GAPS = ("typo", "local correction", "scope restriction", "false as printed")

# A control shows that a check can see a violation; two instances show that as well as two hundred,
# and a control climbs the whole precision ladder each time it is caught.
CONTROL_SEEDS = 2


class OutOfScope(Exception):
    """Raised by a check when a hypothesis of its claim is false on the case at hand.

    Examples
    --------
    >>> def check(case):
    ...     if case["n"] % 2:
    ...         raise OutOfScope("n is odd")
    ...     return equal(case["n"] // 2 * 2, case["n"])
    """


@dataclass(frozen=True)
class Comparison:
    """What a check found: a measured value, a relation and the bound that the claim states.

    Parameters
    ----------
    measured, bound
        An exact number (int, ``Fraction``, ``flint.fmpz``, ``flint.fmpq``); an interval that is proved, an
        `lora_proofs.enclosure.Enclosure` or a ``flint.arb``; a float or ``mpmath.mpf``, or a pair ``(lower, upper)``
        of numbers that were computed; or a numerical rank, that is anything with the attributes ``rank`` and ``gap``.
    relation : {"=", "<=", ">="}
        ``measured relation bound`` is what the claim says.
    """

    measured: Any
    relation: str
    bound: Any

    def __post_init__(self) -> None:
        if self.relation not in RELATIONS:
            raise ValueError(f"relation must be one of {', '.join(RELATIONS)}, not {self.relation!r}")


def equal(measured: object, bound: object) -> Comparison:
    """State that ``measured = bound``.

    Examples
    --------
    >>> from fractions import Fraction
    >>> equal(Fraction(6, 4), Fraction(3, 2))
    Comparison(measured=Fraction(3, 2), relation='=', bound=Fraction(3, 2))
    """
    return Comparison(measured, "=", bound)


def at_most(measured: object, bound: object) -> Comparison:
    """State that ``measured <= bound``.

    Examples
    --------
    >>> at_most((0.25, 0.5), 0.5)  # a bracket of floats
    Comparison(measured=(0.25, 0.5), relation='<=', bound=0.5)
    """
    return Comparison(measured, "<=", bound)


def at_least(measured: object, bound: object) -> Comparison:
    """State that ``measured >= bound``.

    Examples
    --------
    >>> at_least(3, 2)
    Comparison(measured=3, relation='>=', bound=2)
    """
    return Comparison(measured, ">=", bound)


@dataclass(frozen=True, eq=False)
class Control:
    """A negative control: a check of something false, which the ladder must catch."""

    description: str
    check: Check = field(repr=False)
    grid: Grid = field(repr=False)
    seeded: bool = True

    def points(self, at: Sequence[Params] = ({},)) -> Grid:
        """Return the points of the grid; see `Claim.cases`."""
        return points_at(self.grid, at)

    def seeds(self, seeds: int, seed0: int = 0) -> range:
        """Return the seeds, of which a control gets at most `CONTROL_SEEDS`."""
        return range(seed0, seed0 + min(seeds, CONTROL_SEEDS if self.seeded else 1))

    def cases(self, seeds: int = 1, seed0: int = 0, at: Sequence[Params] = ({},)) -> Iterator[Case]:
        """Iterate over the control's cases: as `Claim.cases`, on at most `CONTROL_SEEDS` seeds."""
        return (Case(point, seed) for point in self.points(at) for seed in self.seeds(seeds, seed0))


@dataclass(frozen=True, eq=False)
class Claim:
    """A numbered statement of a paper and the function that checks it. Made by the methods of `Paper`.

    Attributes
    ----------
    paper : str
        The paper's key.
    kind, number, label : str
        As in ``"lemma"``, ``"1-strengthened"``, ``"zeng2024expressive:lemma-1-strengthened"``.
    statement : str
        The docstring of the check: the statement with its hypotheses.
    grid : tuple of dict
        The parameter points on which the claim is tried.
    check : callable
        Takes a `Case`, returns a `Comparison` or raises `OutOfScope`.
    gap : str
        How the statement differs from the printed one: empty, or one of `GAPS` and a sentence.
    tolerance : tuple of float and str, or None
        A relative tolerance of its own, and the reason for it.
    seeded : bool
        False when the check draws no random numbers, so that one seed is all seeds.
    sampled : bool
        True for a "for all" statement that is only sampled.
    requires : tuple of (module, command)
        Modules that the check needs beyond the package's own, and how to get each.
    proof : tuple of str
        Names of the theorems of `lora_proofs.formal` that prove it, or a part of it, for all sizes.
    controls : list of Control
        Filled by `control`.
    """

    paper: str
    kind: str
    number: str
    statement: str = field(repr=False)
    grid: Grid = field(repr=False)
    check: Check = field(repr=False)
    gap: str = ""
    tolerance: tuple[float, str] | None = None
    seeded: bool = True
    sampled: bool = False
    requires: tuple[tuple[str, str], ...] = ()
    proof: tuple[str, ...] = field(default=(), repr=False)
    controls: list[Control] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.+-]+", self.number):
            raise ValueError(f"{self.paper}: number {self.number!r} may hold letters, digits and . + - _ only")
        if not self.statement:
            raise ValueError(f"{self.label}: the check needs a docstring, which is the claim's statement")
        if not isinstance(self.gap, str) or (self.gap and not self.gap.startswith(GAPS)):
            raise ValueError(f"{self.label}: a gap begins with one of {', '.join(GAPS)}; got {self.gap!r}")
        if self.tolerance is not None and not (self.tolerance[0] > 0 and self.tolerance[1].strip()):
            raise ValueError(f"{self.label}: a tolerance is a pair (rtol > 0, the reason for it)")
        if not all(isinstance(need, tuple) and len(need) == 2 for need in self.requires):
            raise ValueError(f"{self.label}: requires is a tuple of pairs (module, command that installs it)")
        if not all(isinstance(name, str) and name.isidentifier() for name in self.proof):
            raise ValueError(f"{self.label}: proof names theorems, such as 'lemma1_iff'; got {self.proof!r}")

    def __call__(self, case: Case) -> Comparison:
        """Call the check."""
        return self.check(case)

    @property
    def label(self) -> str:
        """The name by which the command line and the reports know the claim."""
        return f"{self.paper}:{self.kind}-{self.number}"

    @property
    def false_as_printed(self) -> bool:
        """Whether the claim is expected to fail, being recorded as false."""
        return self.gap.startswith("false as printed")

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """The required modules that are not installed, each with the command that installs it."""
        return tuple((module, command) for module, command in self.requires if not _installed(module))

    def points(self, at: Sequence[Params] = ({},)) -> Grid:
        """Return the points of the grid; see `cases`."""
        return points_at(self.grid, at)

    def seeds(self, seeds: int, seed0: int = 0) -> range:
        """Return the seeds, which are only one where the check draws no random numbers."""
        return range(seed0, seed0 + (seeds if self.seeded else 1))

    def cases(self, seeds: int = 1, seed0: int = 0, at: Sequence[Params] = ({},)) -> Iterator[Case]:
        """Iterate over the cases: every point of the grid on every seed.

        Parameters
        ----------
        seeds, seed0 : int
            The seeds are ``seed0, ..., seed0 + seeds - 1``.
        at : sequence of mappings
            Values that replace the grid's, for each mapping in turn. Points that lack one of its parameters
            are left out.
        """
        return (Case(point, seed) for point in self.points(at) for seed in self.seeds(seeds, seed0))

    def control(
        self, description: str, /, *, points: Sequence[Params] = (), **grid: Sequence[Value]
    ) -> Callable[[Check], Check]:
        """Register a negative control, by default on the claim's own grid.

        Parameters
        ----------
        description : str
            What is wrong on purpose: ``"one rank less"``.
        points, **grid
            As for `Paper.claim`, where the control should run elsewhere than the claim.
        """
        if any(control.description == description for control in self.controls):
            raise ValueError(f"{self.label} has two controls named {description!r}")

        def register(check: Check) -> Check:
            where = make_grid(points, grid) if points or grid else self.grid
            self.controls.append(Control(description, check, where, self.seeded))
            return check

        return register


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package of a dotted name is absent
        return False


@dataclass(frozen=True, eq=False)
class Paper:
    """A paper and its claims, which the decorators below append.

    Parameters
    ----------
    key : str
        Citation key, the same as the name of the check file.
    title : str
    authors : tuple of str
    year : int
    arxiv : str
        Identifier with its version, such as ``"2310.17513v3"``; empty when there is none.

    Examples
    --------
    >>> PAPER = Paper(key="gauss1796", title="Tagebuch", authors=("C. F. Gauss",), year=1796, arxiv="")
    >>> @PAPER.theorem("1", n=(4, 100))
    ... def theorem_1(case):
    ...     "For every n: 1 + 2 + ... + n = n (n + 1) / 2."
    ...     return equal(sum(range(case["n"] + 1)), case["n"] * (case["n"] + 1) // 2)
    >>> @theorem_1.control("one summand less")
    ... def _(case):
    ...     return equal(sum(range(case["n"])), case["n"] * (case["n"] + 1) // 2)
    >>> theorem_1.label, [case.params for case in theorem_1.cases()]
    ('gauss1796:theorem-1', [{'n': 4}, {'n': 100}])
    """

    key: str
    title: str
    authors: tuple[str, ...]
    year: int
    arxiv: str
    claims: list[Claim] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-]+", self.key):
            raise ValueError(f"paper key {self.key!r} may hold letters, digits, - and _ only")

    def claim(
        self,
        kind: str,
        number: str,
        /,
        *,
        points: Sequence[Params] = (),
        gap: str = "",
        tolerance: tuple[float, str] | None = None,
        seeded: bool = True,
        sampled: bool = False,
        requires: tuple[tuple[str, str], ...] = (),
        proof: str | tuple[str, ...] = (),
        **grid: Sequence[Value],
    ) -> Callable[[Check], Claim]:
        """Turn a check function into a claim of this paper; `lemma` to `figure` fix the kind.

        Parameters
        ----------
        kind, number : str
            The two halves of the label.
        points : sequence of mappings
            Explicit parameter points, each one a case, beside those of the grid.
        gap, tolerance, seeded, sampled, requires, proof
            See `Claim`.
        **grid
            Parameter name to a tuple of values; their product is the claim's grid.

        Raises
        ------
        ValueError
            When the label is taken, the docstring is missing, or a setting is malformed.
        """

        def register(check: Check) -> Claim:
            claim = Claim(
                self.key, kind, number, inspect.cleandoc(check.__doc__ or ""), make_grid(points, grid), check,
                gap, tolerance, seeded, sampled, requires, (proof,) if isinstance(proof, str) else proof,
            )  # fmt: skip
            if any(other.label == claim.label for other in self.claims):
                raise ValueError(f"two claims are labelled {claim.label}")
            self.claims.append(claim)
            return claim

        return register

    lemma = partialmethod(claim, "lemma")
    theorem = partialmethod(claim, "theorem")
    corollary = partialmethod(claim, "corollary")
    proposition = partialmethod(claim, "proposition")
    formula = partialmethod(claim, "formula")
    figure = partialmethod(claim, "figure")
