"""The bounded sets on which a network is compared with its target: boxes and balls."""

from dataclasses import dataclass
from math import hypot, isfinite
from typing import Any, TypeAlias

import numpy as np

from lora_proofs.display import Readable, show

Array: TypeAlias = Any


@dataclass(frozen=True, eq=False, repr=False)
class Box(Readable):
    """The box of all x with lower <= x <= upper, entry by entry.

    Parameters
    ----------
    lower, upper : number or array (d,)
        Finite floats, or rationals (int, Fraction, ``flint.fmpq``) for exact work. A number stands for d equal ones.

    Raises
    ------
    ValueError
        If a bound is not finite, the shapes differ, or lower > upper somewhere: the box would be empty.
    """

    lower: Any
    upper: Any

    def __post_init__(self) -> None:
        lower, upper = np.asarray(self.lower, dtype=object), np.asarray(self.upper, dtype=object)
        _check_finite("lower", lower)
        _check_finite("upper", upper)
        if (lower.ndim and upper.ndim and lower.shape != upper.shape) or lower.ndim > 1 or upper.ndim > 1:
            raise ValueError(
                f"the bounds of a Box have shapes {lower.shape} and {upper.shape}; pass numbers or (d,) arrays"
            )
        if np.any(lower > upper):
            raise ValueError("the Box is empty: lower exceeds upper; pass lower <= upper in every entry")

    def bounds(self, d: int) -> tuple[Array, Array]:
        """Return lower and upper as arrays of shape (d,); ValueError if they are of another size."""
        out = []
        for name, bound in (("lower", self.lower), ("upper", self.upper)):
            values = np.asarray(bound)
            if values.ndim and values.shape != (d,):
                raise ValueError(
                    f"{name} of the Box has shape {values.shape}, but the network takes vectors of size {d}"
                )
            out.append(np.broadcast_to(values, (d,)))
        return out[0], out[1]

    def largest_norm(self, d: int) -> float:
        """Return the largest Euclidean norm in the box."""
        return hypot(*(max(abs(float(v)) for v in pair) for pair in zip(*self.bounds(d), strict=True)))

    def sample(self, rng: np.random.Generator, n: int, d: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return n points: half uniform in the box, half corners of it; shape (n, d)."""
        lower, upper = (np.asarray([float(v) for v in b]) for b in self.bounds(d))
        t = rng.uniform(size=(n, d))
        t[n // 2 :] = t[n // 2 :] > 0.5
        return np.asarray(np.clip(lower + t * (upper - lower), lower, upper))

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        ends = (self.lower, self.upper)
        lower, upper = (f"{np.size(end)} numbers" if np.ndim(end) else show(end) for end in ends)
        return f"{lower} <= x <= {upper}", {}


@dataclass(frozen=True)
class Ball:
    """The ball of all x with Euclidean norm at most the radius.

    Raises
    ------
    ValueError
        If the radius is negative (the ball would be empty) or not finite.
    """

    radius: Any

    def __post_init__(self) -> None:
        _check_finite("radius", np.asarray(self.radius, dtype=object))
        if np.ndim(self.radius) != 0 or self.radius < 0:
            raise ValueError(f"the Ball of radius {self.radius!r} is empty; pass a number >= 0")

    def largest_norm(self, d: int) -> float:
        """Return the largest Euclidean norm in the ball, whatever the dimension d."""
        return float(self.radius)

    def sample(self, rng: np.random.Generator, n: int, d: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return n points: half uniform in the ball, half on the sphere; shape (n, d)."""
        x = rng.standard_normal((n, d))
        norm = np.linalg.norm(x, axis=1, keepdims=True)
        size = rng.uniform(size=(n, 1)) ** (1 / d)
        size[n // 2 :] = 1.0
        return np.asarray(x / norm * size * float(self.radius) * (1 - 2.0**-50))


Domain: TypeAlias = Box | Ball


def _check_finite(name: str, values: np.ndarray[Any, np.dtype[np.object_]]) -> None:
    for v in values.ravel().tolist():
        try:
            finite = not isinstance(v, str) and isfinite(float(v))
        except (TypeError, ValueError, OverflowError):
            finite = False
        if not finite:
            raise ValueError(
                f"{name} of the domain is or holds {v!r}; pass finite numbers: the theorems need bounded sets"
            )
