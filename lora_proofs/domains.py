"""The bounded sets on which a network is compared with its target: boxes and balls."""

from dataclasses import dataclass
from math import hypot, isfinite
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lora_proofs.display import Readable, show


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

    Examples
    --------
    >>> Box(-1, [1, 2])
    Box: -1 <= x <= 2 numbers
    >>> Box(-1, 1).largest_norm(4)
    2.0
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

    def bounds(self, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return lower and upper as arrays of shape (size,); ValueError if they are of another size."""
        out = []
        for name, bound in (("lower", self.lower), ("upper", self.upper)):
            values = np.asarray(bound)
            if values.ndim and values.shape != (size,):
                raise ValueError(
                    f"{name} of the Box has shape {values.shape}, but the network takes vectors of size {size}"
                )
            out.append(np.broadcast_to(values, (size,)))
        return out[0], out[1]

    def largest_norm(self, size: int) -> float:
        """Return the largest Euclidean norm in the box."""
        return hypot(*(max(abs(float(v)) for v in pair) for pair in zip(*self.bounds(size), strict=True)))

    def sample(self, rng: np.random.Generator, count: int, size: int) -> NDArray[np.float64]:
        """Return points, half uniform in the box, half corners of it, shape (count, size)."""
        lower, upper = (np.asarray([float(v) for v in b]) for b in self.bounds(size))
        t = rng.uniform(size=(count, size))
        t[count // 2 :] = t[count // 2 :] > 0.5
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

    Examples
    --------
    >>> Ball(2).bounds(1)
    (array([-2]), array([2]))
    """

    radius: Any

    def __post_init__(self) -> None:
        _check_finite("radius", np.asarray(self.radius, dtype=object))
        if np.ndim(self.radius) != 0 or self.radius < 0:
            raise ValueError(f"the Ball of radius {self.radius!r} is empty; pass a number >= 0")

    def bounds(self, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the least and the greatest corner of the box around the ball, of shape (size,)."""
        return Box(-self.radius, self.radius).bounds(size)

    def largest_norm(self, size: int) -> float:
        """Return the largest Euclidean norm in the ball, whatever the dimension."""
        return float(self.radius)

    def sample(self, rng: np.random.Generator, count: int, size: int) -> NDArray[np.float64]:
        """Return points, half uniform in the ball, half on the sphere, shape (count, size)."""
        x = rng.standard_normal((count, size))
        norm = np.linalg.norm(x, axis=1, keepdims=True)
        length = rng.uniform(size=(count, 1)) ** (1 / size)
        length[count // 2 :] = 1.0
        return np.asarray(x / norm * length * float(self.radius) * (1 - 2.0**-50))


Domain: TypeAlias = Box | Ball


def check_domain(domain: object) -> Domain:
    """Return the domain if it is a Box or a Ball, else raise ValueError.

    Examples
    --------
    >>> check_domain(Ball(1))
    Ball(radius=1)
    """
    if isinstance(domain, Box | Ball):
        return domain
    raise ValueError(f"the domain is {domain!r}; pass a Box or a Ball: the theorem needs a bounded set")


def _check_finite(name: str, values: NDArray[np.object_]) -> None:
    for v in values.ravel().tolist():
        try:
            finite = not isinstance(v, str) and isfinite(float(v))
        except (TypeError, ValueError, OverflowError):
            finite = False
        if not finite:
            raise ValueError(
                f"{name} of the domain is or holds {v!r}; pass finite numbers: the theorems need bounded sets"
            )
