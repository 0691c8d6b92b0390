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

MpfArray: TypeAlias = np.ndarray[Any, np.dtype[np.object_]]

_GUARD_DIGITS = 10
"""Extra digits of the ball arithmetic: the midpoint of a moderately conditioned solve is then good to the last one. An
ill-conditioned one is done again with twice as many digits, and once more."""

_TURNS = 4


def lift(values: Any, digits: int) -> Any:
    """Return x as it is at 16 digits, and as an object array of mpf (without rounding) at more.

    Parameters
    ----------
    values : array of float64, of any shape
    digits : int
        The working precision in decimal digits, as a `Case` carries it.

    Examples
    --------
    >>> lift([1.5, 2.0], 32)
    array([mpf('1.5'), mpf('2.0')], dtype=object)
    """
    if digits <= 16:
        return values
    return asarray(np.asarray(values, dtype=float))


def asarray(values: Any, **_: Any) -> MpfArray:
    """Return x as an object array of mpf.

    Examples
    --------
    >>> asarray([1, 0.5]).dtype
    dtype('O')
    """
    if isinstance(values, np.ndarray) and values.dtype == object:
        return values
    values = np.asarray(values)
    return _pack([mpmath.mpf(v) for v in values.ravel().tolist()], values.shape)


def unit_roundoff() -> Any:
    """Return half the distance from 1 to the next mpf at the working precision.

    Examples
    --------
    >>> with mpmath.workdps(32):
    ...     unit_roundoff() < 1e-31
    True
    """
    return mpmath.eps / 2


def zeros(shape: Any, **_: Any) -> MpfArray:
    """Return an array of mpf zeros.

    Examples
    --------
    >>> zeros((1, 2))
    array([[mpf('0.0'), mpf('0.0')]], dtype=object)
    """
    return asarray(np.zeros(shape))


def eye(rows: int, columns: int | None = None, **_: Any) -> MpfArray:
    """Return the identity with mpf entries.

    Examples
    --------
    >>> eye(2)
    array([[mpf('1.0'), mpf('0.0')],
           [mpf('0.0'), mpf('1.0')]], dtype=object)
    """
    return asarray(np.eye(rows, columns))


def sqrt(values: MpfArray) -> MpfArray:
    """Return the square roots of the entries.

    Examples
    --------
    >>> sqrt(lift([4.0], 32))
    array([mpf('2.0')], dtype=object)
    """
    return asarray(np.vectorize(mpmath.sqrt, otypes=[object])(values))


def _pack(entries: list[Any], shape: tuple[int, ...]) -> MpfArray:
    out = np.empty(len(entries), dtype=object)
    out[:] = entries
    return out.reshape(shape)


def _matrix(values: MpfArray) -> Any:
    return mpmath.matrix(values.tolist())


def _array(stored: Any) -> MpfArray:
    return _pack(list(stored), (stored.rows, stored.cols))


def svd(operand: MpfArray, *, full_matrices: bool = True) -> tuple[MpfArray, MpfArray, MpfArray]:
    """Return U, s, V^T with s descending, as ``numpy.linalg.svd`` does.

    Examples
    --------
    >>> U, s, Vt = svd(lift(np.diag([3.0, 4.0]), 32))
    >>> s
    array([mpf('4.0'), mpf('3.0')], dtype=object)
    """
    for Q in _turns(operand.shape[0]):
        try:
            U, s, Vt = mpmath.svd_r(_matrix(operand if Q is None else Q @ operand), full_matrices=full_matrices)
        except RuntimeError:
            continue
        return _array(U) if Q is None else Q.T @ _array(U), _array(s)[:, 0], _array(Vt)
    raise np.linalg.LinAlgError("the singular value decomposition does not converge")


def svdvals(operand: MpfArray) -> MpfArray:
    """Return the singular values in descending order.

    Examples
    --------
    >>> svdvals(lift(np.diag([3.0, 4.0]), 32))
    array([mpf('4.0'), mpf('3.0')], dtype=object)
    """
    for Q in _turns(operand.shape[0]):
        try:
            return _array(mpmath.svd_r(_matrix(operand if Q is None else Q @ operand), compute_uv=False))[:, 0]
        except RuntimeError:
            continue
    raise np.linalg.LinAlgError("the singular values do not converge")


def _turns(size: int) -> Iterator[MpfArray | None]:
    """Yield None and orthogonal matrices: mpmath's iteration stalls on some harmless matrices, but not when turned."""
    yield None
    rng = np.random.default_rng(0)
    for _ in range(_TURNS):
        yield qr(asarray(rng.standard_normal((size, size))))[0]


def qr(operand: MpfArray) -> tuple[MpfArray, MpfArray]:
    """Return the reduced QR factorisation of a matrix with at least as many rows as columns.

    Examples
    --------
    >>> Q, R = qr(lift(np.eye(2), 32))
    >>> np.abs(Q @ R)
    array([[mpf('1.0'), mpf('0.0')],
           [mpf('0.0'), mpf('1.0')]], dtype=object)
    """
    Q, R = mpmath.qr(_matrix(operand), mode="skinny")
    return _array(Q), _array(R)


def eigh(operand: MpfArray) -> tuple[MpfArray, MpfArray]:
    """Return the eigenvalues, ascending, and the orthonormal eigenvectors of a symmetric matrix.

    Examples
    --------
    >>> values, vectors = eigh(lift(np.diag([2.0, 1.0]), 32))
    >>> values
    array([mpf('1.0'), mpf('2.0')], dtype=object)
    """
    values, vectors = mpmath.eigsy(_matrix(operand))
    return _array(values)[:, 0], _array(vectors)


def solve(operand: MpfArray, right_side: MpfArray) -> MpfArray:
    """Return x with operand x = right_side; ``numpy.linalg.LinAlgError`` if it is singular to working precision.

    Examples
    --------
    >>> solve(lift(2 * np.eye(2), 32), lift(np.eye(2), 32))
    array([[mpf('0.5'), mpf('0.0')],
           [mpf('0.0'), mpf('0.5')]], dtype=object)
    """
    columns = right_side if right_side.ndim == 2 else right_side[:, None]
    if 0 in columns.shape:
        return right_side
    for doublings in range(3):
        with flint.ctx.workdps((mpmath.mp.dps << doublings) + _GUARD_DIGITS):
            try:
                entries = _balls(operand).solve(_balls(columns)).entries()
            except ZeroDivisionError:
                continue
            size = max(abs(v.mid()) for v in entries)
            if doublings == 2 or max(v.rad() for v in entries) <= size * flint.arb(10) ** -mpmath.mp.dps:
                return _pack([+_midpoint(v) for v in entries], right_side.shape)
    raise np.linalg.LinAlgError("singular matrix")


def _midpoint(ball: Any) -> Any:
    return mpmath.make_mpf(mpmath.libmp.from_man_exp(*map(int, ball.mid().man_exp())))


def inv(operand: MpfArray) -> MpfArray:
    """Return the inverse; ``numpy.linalg.LinAlgError`` if the matrix is singular to working precision.

    Examples
    --------
    >>> inv(lift(4 * np.eye(2), 32))
    array([[mpf('0.25'), mpf('0.0')],
           [mpf('0.0'), mpf('0.25')]], dtype=object)
    """
    return solve(operand, eye(operand.shape[0]))


def matrix_norm(operand: MpfArray) -> Any:
    """Return the Frobenius norm as an mpf.

    Examples
    --------
    >>> matrix_norm(lift([[3.0, 4.0]], 32))
    mpf('5.0')
    """
    return mpmath.norm(operand.ravel().tolist(), 2)


def _balls(values: MpfArray) -> Any:
    return flint.arb_mat(*values.shape, [_ball(v) for v in values.flat])


def _ball(value: Any) -> Any:
    sign, mantissa, exponent, _ = mpmath.mpf(value)._mpf_
    return flint.arb((-int(mantissa) if sign else int(mantissa), int(exponent)))


linalg = SimpleNamespace(eigh=eigh, inv=inv, matrix_norm=matrix_norm, qr=qr, solve=solve, svd=svd, svdvals=svdvals)


def __getattr__(name: str) -> Any:
    """Everything else is NumPy's, which computes on object arrays entry by entry; but this is not its package."""
    if name.startswith("__"):  # with NumPy's __path__, its modules would be imported as ours, in place of `linalg`
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(np, name)
