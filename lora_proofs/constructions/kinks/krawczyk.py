r"""Turn a floating root of a polynomial system into a proof that a true root lies nearby, with python-flint's balls.

Krawczyk's test (Krawczyk, Computing 4, 1969; Moore, SIAM J. Numer. Anal. 14, 1977): let f be continuously
differentiable on a box X with midpoint m, let J(X) enclose its Jacobian on X, and let Y be any matrix. If

    K(X) = m - Y f(m) + (I - Y J(X)) (X - m)

lies in the interior of X, then X contains exactly one root of f, and Y and all matrices of J(X) are non-singular.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import flint
import numpy as np

Evaluation: TypeAlias = Callable[[Sequence[Any]], tuple[Any, Any]]
"""From n balls to enclosures of f, an ``arb_mat`` (n, 1), and of its Jacobian, an ``arb_mat`` (n, n), on their box."""

BITS = 160
"""Working precision of the balls: float64 roots are first polished to about half of it."""

_POLISHES = 6
"""Newton steps; each gains at most the digits that the floating Y is accurate to, ten or more for a fair system."""

_RADIUS = 2.0**-64
"""Half-width of the box that is tried: far above what polishing leaves, far below where fair systems bend."""


def certify_root(system: Evaluation, guess: Sequence[float]) -> list[Any] | None:
    """Return balls that contain exactly one root of the system near the guess, or None if that could not be shown.

    Parameters
    ----------
    system : callable
        See `Evaluation`. It may raise ZeroDivisionError where it meets a matrix that it cannot show to be invertible.
    guess : sequence of n floats

    Returns
    -------
    list of n ``flint.arb``, or None
        None says nothing about whether a root exists.
    """
    n = len(guess)
    with flint.ctx.workprec(BITS):
        try:
            m = [flint.arb(float(v)) for v in guess]
            for _ in range(_POLISHES):
                value, J = system(m)
                Y = _approximate_inverse(J)
                step = Y * value
                m = [(v - step[i, 0]).mid() for i, v in enumerate(m)]
            X = [flint.arb(v, _RADIUS) for v in m]
            slope = _identity(n) - Y * system(X)[1]
            spread = slope * flint.arb_mat(n, 1, [x - v for x, v in zip(X, m, strict=True)])
            newton = Y * system(m)[0]
            image = [v - newton[i, 0] + spread[i, 0] for i, v in enumerate(m)]
        except (ZeroDivisionError, np.linalg.LinAlgError):
            return None
    return image if all(x.contains_interior(y) for x, y in zip(X, image, strict=True)) else None


def _approximate_inverse(jacobian: Any) -> Any:
    """Return the floating inverse of the midpoints of the Jacobian, as exact balls: any matrix may stand for Y."""
    return flint.arb_mat(np.linalg.inv([[float(v.mid()) for v in row] for row in jacobian.table()]).tolist())


def _identity(size: int) -> Any:
    return flint.arb_mat([[int(i == j) for j in range(size)] for i in range(size)])
