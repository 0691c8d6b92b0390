"""The array-API functions that the constructions use, for object arrays of ``mpmath.mpf``.

A construction calls ``xp = namespace(x)`` and runs unchanged at any precision: for object arrays ``xp`` is this
module. What NumPy does on object arrays by itself (products, sums, comparisons) is NumPy's; factorisations go to
mpmath, linear systems to python-flint's balls, whose midpoints are returned. The working precision is mpmath's own:

>>> import mpmath, numpy as np
>>> from lora_proofs.precision import lift
>>> with mpmath.workdps(32):
...     X = linalg.solve(lift(np.eye(2) * 3, 32), lift(np.eye(2), 32))
...     print(X[0, 0])
0.33333333333333333333333333333333
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, TypeAlias

import flint
import mpmath
import numpy as np

__all__ = ["asarray", "eigh", "eye", "inv", "lift", "linalg", "matrix_norm", "qr", "solve", "sqrt", "svd", "svdvals",
           "unit_roundoff", "zeros"]  # fmt: skip

Array: TypeAlias = np.ndarray[Any, np.dtype[np.object_]]

_GUARD_DIGITS = 10
"""Extra digits of the ball arithmetic: the midpoint of a moderately conditioned solve is then good to the last one. An
ill-conditioned one is done again with twice as many digits, and once more."""

_TURNS = 4


def lift(x: Any, digits: int) -> Any:
    """Return x as it is at 16 digits, and as an object array of mpf (without rounding) at more.

    Parameters
    ----------
    x : array of float64, of any shape
    digits : int
        The working precision in decimal digits, as a `Case` carries it.
    """
    if digits <= 16:
        return x
    return asarray(np.asarray(x, dtype=float))


def asarray(x: Any, **_: Any) -> Array:
    """Return x as an object array of mpf."""
    if isinstance(x, np.ndarray) and x.dtype == object:
        return x
    values = np.asarray(x)
    return _pack([mpmath.mpf(v) for v in values.ravel().tolist()], values.shape)


def unit_roundoff() -> Any:
    """Return half the distance from 1 to the next mpf at the working precision."""
    return mpmath.eps / 2


def zeros(shape: Any, **_: Any) -> Array:
    """Return an array of mpf zeros."""
    return asarray(np.zeros(shape))


def eye(n: int, m: int | None = None, **_: Any) -> Array:
    """Return the identity with mpf entries."""
    return asarray(np.eye(n, m))


def sqrt(x: Array) -> Array:
    """Return the square roots of the entries."""
    return asarray(np.vectorize(mpmath.sqrt, otypes=[object])(x))


def _pack(entries: list[Any], shape: tuple[int, ...]) -> Array:
    out = np.empty(len(entries), dtype=object)
    out[:] = entries
    return out.reshape(shape)


def _matrix(x: Array) -> Any:
    return mpmath.matrix(x.tolist())


def _array(m: Any) -> Array:
    return _pack(list(m), (m.rows, m.cols))


def svd(x: Array, *, full_matrices: bool = True) -> tuple[Array, Array, Array]:
    """Return U, s, V^T with s descending, as ``numpy.linalg.svd`` does."""
    for Q in _turns(x.shape[0]):
        try:
            U, s, Vt = mpmath.svd_r(_matrix(x if Q is None else Q @ x), full_matrices=full_matrices)
        except RuntimeError:
            continue
        return _array(U) if Q is None else Q.T @ _array(U), _array(s)[:, 0], _array(Vt)
    raise np.linalg.LinAlgError("the singular value decomposition does not converge")


def svdvals(x: Array) -> Array:
    """Return the singular values in descending order."""
    for Q in _turns(x.shape[0]):
        try:
            return _array(mpmath.svd_r(_matrix(x if Q is None else Q @ x), compute_uv=False))[:, 0]
        except RuntimeError:
            continue
    raise np.linalg.LinAlgError("the singular values do not converge")


def _turns(n: int) -> Iterator[Array | None]:
    """Yield None and orthogonal matrices: mpmath's iteration stalls on some harmless matrices, but not when turned."""
    yield None
    rng = np.random.default_rng(0)
    for _ in range(_TURNS):
        yield qr(asarray(rng.standard_normal((n, n))))[0]


def qr(x: Array) -> tuple[Array, Array]:
    """Return the reduced QR factorisation of a matrix with at least as many rows as columns."""
    Q, R = mpmath.qr(_matrix(x), mode="skinny")
    return _array(Q), _array(R)


def eigh(x: Array) -> tuple[Array, Array]:
    """Return the eigenvalues, ascending, and the orthonormal eigenvectors of a symmetric matrix."""
    values, vectors = mpmath.eigsy(_matrix(x))
    return _array(values)[:, 0], _array(vectors)


def solve(a: Array, b: Array) -> Array:
    """Return the solution of a x = b; ``numpy.linalg.LinAlgError`` if a is singular to working precision."""
    right = b if b.ndim == 2 else b[:, None]
    if 0 in right.shape:
        return b
    for doublings in range(3):
        with flint.ctx.workdps((mpmath.mp.dps << doublings) + _GUARD_DIGITS):
            try:
                entries = _balls(a).solve(_balls(right)).entries()
            except ZeroDivisionError:
                continue
            size = max(abs(v.mid()) for v in entries)
            if doublings == 2 or max(v.rad() for v in entries) <= size * flint.arb(10) ** -mpmath.mp.dps:
                return _pack([+_midpoint(v) for v in entries], b.shape)
    raise np.linalg.LinAlgError("singular matrix")


def _midpoint(ball: Any) -> Any:
    return mpmath.make_mpf(mpmath.libmp.from_man_exp(*map(int, ball.mid().man_exp())))


def inv(a: Array) -> Array:
    """Return the inverse of a; ``numpy.linalg.LinAlgError`` if a is singular to working precision."""
    return solve(a, eye(a.shape[0]))


def matrix_norm(x: Array) -> Any:
    """Return the Frobenius norm as an mpf."""
    return mpmath.norm(x.ravel().tolist(), 2)


def _balls(x: Array) -> Any:
    return flint.arb_mat(*x.shape, [_ball(v) for v in x.flat])


def _ball(v: Any) -> Any:
    sign, mantissa, exponent, _ = mpmath.mpf(v)._mpf_
    return flint.arb((-int(mantissa) if sign else int(mantissa), int(exponent)))


linalg = SimpleNamespace(eigh=eigh, inv=inv, matrix_norm=matrix_norm, qr=qr, solve=solve, svd=svd, svdvals=svdvals)


def __getattr__(name: str) -> Any:
    """Everything else is NumPy's, which computes on object arrays entry by entry."""
    return getattr(np, name)
