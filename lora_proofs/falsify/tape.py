"""Random numbers as coordinates, which an optimiser can move."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

Size: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | None

_LAST = 1 - 2.0**-53
_WIDEST = 2**40
"""Ranges of integers beyond this have no exact quantiles in double precision."""

_LARGEST_NORMAL = 8.0


class Reel:
    """The coordinates of everything that an instance draws: one for each random number, in the order of drawing.

    Parameters
    ----------
    tape : sequence of float
        The first coordinates; what is drawn beyond them comes from each `Tape`'s source.
    """

    def __init__(self, tape: Sequence[float] = ()) -> None:
        self._tape = np.asarray(tape, dtype=float)
        self._played: list[np.ndarray] = []
        self._kinds: list[np.ndarray] = []
        self._position = 0
        self._drawn: dict[str, list[float]] = {}

    @property
    def coordinates(self) -> np.ndarray:
        """All coordinates so far: played back, they give the same numbers again."""
        return np.concatenate([np.empty(0), *self._played])

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and the largest value of each coordinate."""
        bounded = np.concatenate([np.empty(0, dtype=bool), *self._kinds])
        return np.where(bounded, 0.0, -_LARGEST_NORMAL), np.where(bounded, _LAST, _LARGEST_NORMAL)

    def drawn(self, key: str) -> list[float]:
        """Return the list of the coordinates that were drawn under a key; it grows."""
        return self._drawn.setdefault(key, [])

    def play(self, fresh: np.ndarray, bounded: bool) -> np.ndarray:
        """Return the next coordinates of the tape, and of the fresh ones where it has ended."""
        known = self._tape[self._position : self._position + len(fresh)]
        known = np.clip(known, 0.0, _LAST) if bounded else known
        coordinates = np.concatenate([known, fresh[len(known) :]])
        self._position += len(fresh)
        self._played.append(coordinates)
        self._kinds.append(np.full(len(fresh), bounded))
        return coordinates


class Tape(Generator):
    """A generator that takes its random numbers from a reel while that lasts, and from its source then.

    A coordinate is a standard normal variate itself, or the quantile in [0, 1) of one that is uniform on an interval or
    on a range of integers. Other distributions are drawn from the source, which goes on as if there were no reel: with
    an empty one the numbers are those of the source. Two tapes of one key play the same numbers, as two cases of the
    same parameters and seed draw the same.
    """

    def __init__(self, source: Generator, reel: Reel | Sequence[float] = (), key: str = "") -> None:
        super().__init__(source.bit_generator)
        self.reel = reel if isinstance(reel, Reel) else Reel(reel)
        self._drawn = self.reel.drawn(key)
        self._position = 0

    def _play(self, shape: tuple[int, ...], fresh: Callable[[int], np.ndarray], bounded: bool) -> Any:
        own = fresh(math.prod(shape))
        start, self._position = self._position, self._position + len(own)
        if (missing := self._position - len(self._drawn)) > 0:
            self._drawn.extend(self.reel.play(own[-missing:], bounded).tolist())
        return np.array(self._drawn[start : self._position]).reshape(shape)

    def spawn(self, n_children: int) -> list[Generator]:
        """Return generators that no tape moves: they are for a randomised method, and draw no part of the instance."""
        return Generator(self.bit_generator).spawn(n_children)

    # The signatures are numpy's; a precision or an output array of the caller's own is left to numpy.

    def random(self, size: Size = None, *args: Any, **kwargs: Any) -> Any:
        """Draw as numpy does."""
        if args or kwargs:
            return super().random(size, *args, **kwargs)
        return _unpack(self._play(_shape(size), super().random, bounded=True))

    def uniform(self, low: ArrayLike = 0.0, high: ArrayLike = 1.0, size: Size = None) -> Any:
        """Draw as numpy does."""
        low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        return _unpack(low + (high - low) * np.asarray(self.random(_shape(size, low, high))))

    def standard_normal(self, size: Size = None, *args: Any, **kwargs: Any) -> Any:
        """Draw as numpy does."""
        if args or kwargs:
            return super().standard_normal(size, *args, **kwargs)
        return _unpack(self._play(_shape(size), super().standard_normal, bounded=False))

    def normal(self, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0, size: Size = None) -> Any:
        """Draw as numpy does."""
        loc, scale = np.asarray(loc, dtype=float), np.asarray(scale, dtype=float)
        return _unpack(loc + scale * np.asarray(self.standard_normal(_shape(size, loc, scale))))

    def integers(
        self,
        low: Any,
        high: Any = None,
        size: Size = None,
        dtype: Any = np.int64,
        endpoint: bool = False,
    ) -> Any:
        """Draw as numpy does."""
        first, stop = (0, low) if high is None else (low, high)
        plain = np.ndim(first) == np.ndim(stop) == 0 and np.dtype(dtype) == np.int64
        width = int(stop) + bool(endpoint) - int(first) if plain else 0
        if not 0 < width <= _WIDEST:
            return super().integers(low, high, size, dtype, endpoint)
        draw = super().integers
        # The middle of the cell: moving it by a rounding error leaves the integer as it is.
        cells = self._play(_shape(size), lambda n: (draw(0, width, n) + 0.5) / width, bounded=True)
        return (int(first) + np.floor(cells * width).astype(np.int64))[()]


def _unpack(numbers: np.ndarray) -> Any:
    """Return a Python float for what has no axes, as numpy's generators do."""
    return numbers if numbers.ndim else float(numbers)


def _shape(size: Size, *parameters: np.ndarray) -> tuple[int, ...]:
    if size is None:
        return np.broadcast_shapes(*(parameter.shape for parameter in parameters))
    return tuple(int(n) for n in np.atleast_1d(np.asarray(size, dtype=int)))
