"""The cases on which a claim is tried, the points of its grid on some seeds, and how the command line writes them."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np
from numpy import generic
from numpy.random import PCG64, Generator
from numpy.random.bit_generator import ISpawnableSeedSequence

Value = bool | int | float | str
Params = Mapping[str, Value]


def format_point(params: Params) -> str:
    """Write parameters as the command line reads them: ``D=8,L=2``."""
    return ",".join(f"{name}={value}" for name, value in params.items())


def parse_point(text: str) -> dict[str, Value]:
    """Read ``D=8,L=2``: integers, finite floats and booleans by their look, all else as strings.

    Examples
    --------
    >>> parse_point("D=8,share=0.5,widths=4-4-2")
    {'D': 8, 'share': 0.5, 'widths': '4-4-2'}

    Raises
    ------
    ValueError
        If a part is not NAME=VALUE, or a name stands there twice.
    """
    params: dict[str, Value] = {}
    for part in text.split(","):
        name, separator, value = (piece.strip() for piece in part.partition("="))
        if not (separator and name.isidentifier() and value):
            raise ValueError(f"{part!r} is not NAME=VALUE; write for example D=8,L=2")
        if name in params:
            raise ValueError(f"parameter {name!r} is given twice")
        params[name] = _parse_value(value)
    return params


def _parse_value(text: str) -> Value:
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    return text


class _Plain(dict[str, Value]):
    """Parameters that `_plain` has looked at."""


def _plain(params: Params) -> _Plain:
    """Copy parameters, refusing what a command line could not give back."""
    if isinstance(params, _Plain):  # each case of a sweep takes its parameters from a grid
        return params
    plain = {name: value.item() if isinstance(value, generic) else value for name, value in params.items()}
    for name, value in plain.items():
        if not (type(value) in (bool, int, float, str) and _can_be_written(name, value)):
            raise ValueError(
                f"parameter {name}={value!r} cannot be written on a command line; use an int, a finite float, "
                "a bool, or a string without commas that does not read as a number (such as '1-0-2')"
            )
    return _Plain(plain)


@lru_cache(4096, typed=True)  # a sweep makes many cases of few values
def _can_be_written(name: str, value: Value) -> bool:
    try:
        ((_, back),) = parse_point(f"{name}={value}").items()
    except ValueError:
        return False
    return type(back) is type(value) and back == value


class _Digest(ISpawnableSeedSequence):
    """The SHA-256 digest of a text as the state of a generator: 256 bits, which is all that PCG64 takes.

    A digest needs none of the mixing that NumPy's ``SeedSequence`` does, which took half the time of a small check.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.spawned = 0

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        bits = hashlib.shake_256(self.text.encode()).digest(n_words * np.dtype(dtype).itemsize)
        return np.frombuffer(bits, np.dtype(dtype).newbyteorder("<")).astype(dtype)

    def spawn(self, n_children: int) -> list[Self]:
        self.spawned += n_children
        return [type(self)(f"{self.text}, child {self.spawned - n_children + i}") for i in range(n_children)]


@dataclass(frozen=True)
class Case:
    """One instance of a claim: the only argument of a check.

    ``case["D"]`` reads a parameter: an int, float, bool or str. Parameters and seed determine ``case.rng``;
    ``case.digits`` is the working precision, in decimal digits, that the check should compute with. At 16 digits,
    ``case.backend`` and ``case.dtype`` name the array library and the type of its floating numbers;
    `lora_proofs.backends.for_case` turns an instance into them. A check that needs another instance takes it from
    `derive`.

    Examples
    --------
    >>> case = Case({"D": 8}, seed=1)
    >>> case["D"], case.digits
    (8, 16)
    >>> float(case.rng.standard_normal()) == float(Case({"D": 8}, seed=1).rng.standard_normal())
    True
    """

    params: Params = field(default_factory=dict)
    seed: int = 0
    digits: int = 16
    backend: str = field(default="numpy", kw_only=True)
    dtype: str = field(default="float64", kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", _plain(self.params))

    def __getitem__(self, name: str) -> Any:
        if name not in self.params:
            known = ", ".join(self.params) or "none"
            raise KeyError(f"the case has no parameter {name!r}; it has: {known}")
        return self.params[name]

    @cached_property
    def rng(self) -> Generator:
        """Random numbers that depend on the parameters and the seed, and on nothing else.

        The digits do not enter, so that each rung of the precision ladder sees the same instance.
        """
        digest: Any = _Digest(repr((sorted(self.params.items()), self.seed)))  # NumPy's stubs expect a SeedSequence
        return Generator(PCG64(digest))

    def derive(self, *, seed: int | None = None, **params: Value) -> Self:
        """Return the case with some parameters, or the seed, put in place of its own: for instances within a check.

        Everything else is kept: the digits, the array library, and the random numbers that a search moves.

        Examples
        --------
        >>> case = Case({"D": 8, "R": 1}, digits=32)
        >>> case.derive(R=2, L=3)
        Case(params={'D': 8, 'R': 2, 'L': 3}, seed=0, digits=32, backend='numpy', dtype='float64')
        """
        return replace(self, params={**self.params, **params}, seed=self.seed if seed is None else seed)


Grid = tuple[dict[str, Value], ...]


def make_grid(points: Sequence[Params], axes: Mapping[str, Sequence[Value]]) -> Grid:
    """Unite the product of the axes with the explicit points."""
    for name, values in axes.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ValueError(f"grid parameter {name!r} must be a non-empty tuple of values, not {values!r}")
    # The product of no axes is one empty point: wanted only where nothing else is given.
    product = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    if points and not axes:
        product = []
    return _distinct(_plain(point) for point in (*product, *points))


def _distinct(points: Iterable[dict[str, Value]]) -> Grid:
    return tuple({repr(sorted(point.items())): point for point in points}.values())


def points_at(grid: Grid, at: Sequence[Params]) -> Grid:
    """Put values in place of the grid's, for each mapping in turn; leave out points that lack one of its parameters."""
    return _distinct({**point, **given} for given in at for point in grid if given.keys() <= point.keys())
