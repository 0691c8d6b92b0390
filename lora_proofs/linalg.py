"""Validated matrices, singular values, numerical rank, and products of chains of layers.

Everything here is written against the array API: ``namespace(x)`` is NumPy's, JAX's, PyTorch's, or, for object
arrays of ``mpmath.mpf``, `lora_proofs.precision`, so that a construction reads the same at 16 digits and at 64.
"""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import reduce
from numbers import Real
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj, is_cupy_array, is_torch_array, to_device

Array: TypeAlias = Any
"""A 1-d or 2-d array of any array-API library, or a NumPy object array of ``mpmath.mpf``."""


class NotFiniteError(ValueError):
    """A matrix holds NaN or infinity: it was passed so, or numbers have overflowed."""


def is_object(x: Array) -> bool:
    """Tell whether x is a NumPy object array (of mpf, Fraction, fmpq) rather than a floating one."""
    return isinstance(x, np.ndarray) and x.dtype == object


def namespace(*arrays: Array) -> Any:
    """Return the array-API namespace of the arrays: `lora_proofs.precision` for object arrays."""
    if any(is_object(x) for x in arrays):
        from lora_proofs import precision

        return precision
    return array_namespace(*arrays)


def check_matrix(name: str, x: Array, shape: tuple[int | None, int | None] | None = None) -> Array:
    """Return x if it is a finite floating 2-d array of the given shape, else say what is wrong.

    Parameters
    ----------
    name : str
        What the message calls x.
    x : array (m, n)
        Any array-API array, or an object array of mpf, Fraction or fmpq. Lists become NumPy arrays.
    shape : pair of int or None, optional
        The shape asked for; ``None`` in a place means any.

    Raises
    ------
    ValueError
        If x is not 2-d, has another shape, holds NaN or infinity, or is not of a real floating dtype.
    """
    return _check(name, x, (None, None) if shape is None else shape)


def check_one_kind(**arrays: Array) -> None:
    """Raise ValueError unless all arrays are of one library, and all or none hold objects such as mpf."""
    try:
        array_namespace(*arrays.values())
        mixed = len({is_object(x) for x in arrays.values()}) > 1
    except TypeError:
        mixed = True
    if mixed:
        kinds = ", ".join(f"{name}: {type(x).__name__} of {x.dtype}" for name, x in arrays.items())
        raise ValueError(f"the arrays are of different kinds ({kinds}); pass all of them in one library and arithmetic")


def check_vector(name: str, x: Array, size: int | None = None) -> Array:
    """Return x if it is a finite floating 1-d array of the given size; raise as `check_matrix` does."""
    return _check(name, x, (size,))


def check_list(name: str, items: Any) -> list[Any]:
    """Return the matrices of a chain as a list; raise ValueError if they do not come as a list or the like.

    A single matrix, a text, a mapping or None is refused: what stands in the list is for `check_matrix` to look at.
    """
    if isinstance(items, str | bytes | Mapping | Set) or not isinstance(items, Iterable) or is_single_array(items):
        what = f"an array of shape {tuple(items.shape)}" if is_array_api_obj(items) else f"a {type(items).__name__}"
        raise ValueError(f"{name} is {what}; pass a list of matrices")
    return list(items)


def is_single_array(x: Any) -> bool:
    """Tell whether x is one array, of less than three dimensions, where a list of them may be meant."""
    return bool(is_array_api_obj(x) and x.ndim < 3)


def _check(name: str, x: Array, shape: tuple[int | None, ...]) -> Array:
    if not is_array_api_obj(x):
        x = _as_array(name, x)
    if isinstance(x, np.ma.MaskedArray):
        raise ValueError(f"{name} is a masked array; pass a plain one, such as x.filled(0)")
    if x.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, x.shape, strict=True)):
        wanted = " x ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name} has shape {tuple(x.shape)}; pass an array of shape ({wanted})")
    if is_object(x):
        finite = all(_is_finite_number(name, v) for v in x.flat)
    else:
        xp = array_namespace(x)
        if not xp.isdtype(x.dtype, "real floating"):
            raise ValueError(
                f"{name} has dtype {x.dtype}; pass real floating numbers, such as x.astype(float), "
                "or lora_proofs.exact for rational ones"
            )
        finite = bool(xp.all(xp.isfinite(x)))
    if not finite:
        raise NotFiniteError(f"{name} contains NaN or infinity; pass finite numbers")
    return x


def _as_array(name: str, x: Any) -> Array:
    try:
        if not isinstance(x, Sequence):
            raise TypeError
        return np.asarray(x)
    except (TypeError, ValueError):  # no list at all, or rows of different lengths
        raise ValueError(
            f"{name} is {_shortened(x)}, no array; pass an array of real floating numbers, with as many in every row"
        ) from None


def _shortened(x: Any) -> str:
    text = " ".join(repr(x).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_finite_number(name: str, v: Any) -> bool:
    try:
        if isinstance(v, str | bytes | complex) or (hasattr(v, "imag") and v.imag != 0):
            raise TypeError
        return bool(v - v == 0)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is an object array that holds {_shortened(v)}, which is no real number") from None


def check_rank(name: str, r: Any) -> int:
    """Return r as an int if it is a whole number >= 0; raise ValueError otherwise."""
    if isinstance(r, bool) or not isinstance(r, int | np.integer) or r < 0:
        raise ValueError(f"{name} is {r!r}; pass a whole number >= 0")
    return int(r)


def check_share(name: str, x: Any) -> float:
    """Return x as a float if it is a number between 0 and 1; raise ValueError otherwise."""
    if isinstance(x, bool) or not isinstance(x, Real) or not 0 <= float(x) <= 1:
        raise ValueError(f"{name} must be between 0 and 1, not {x!r}")
    return float(x)


def check_ranks(ranks: Any, layers: int) -> list[int]:
    """Return one rank a layer, from an int for all layers or a sequence of that length."""
    if isinstance(ranks, str | bytes) or (isinstance(ranks, np.ndarray) and ranks.ndim != 1):
        raise ValueError(f"ranks is {_shortened(ranks)}; pass one whole number >= 0, or one a layer")
    if isinstance(ranks, Sequence | np.ndarray):
        if len(ranks) != layers:
            raise ValueError(f"{len(ranks)} ranks are given for {layers} layers; pass one int, or one a layer")
        return [check_rank(f"ranks[{i}]", r) for i, r in enumerate(ranks)]
    return [check_rank("ranks", ranks)] * layers


def floats(x: Array) -> Array:
    """Return x rounded to float64 if it is an object array, x itself otherwise."""
    return x.astype(float) if is_object(x) else x


def like(x: Array, values: Array) -> Array:
    """Return the values as an array of the namespace, dtype and device of x."""
    return namespace(x).asarray(values, dtype=x.dtype, device=device(x))


def to_numpy(x: Array) -> Any:
    """Return x as a NumPy array, from whatever library and device; lists and numbers too."""
    if is_torch_array(x):
        x = x.detach()  # NumPy takes neither what autograd follows nor bfloat16
        return np.asarray(to_device(x.float() if str(x.dtype) == "torch.bfloat16" else x, "cpu"))
    if is_cupy_array(x):
        return np.asarray(to_device(x, "cpu"))
    return np.asarray(x)


def unit_roundoff(x: Array) -> Any:
    """Return the unit roundoff of the arithmetic of x: 2^-53 for float64, that of mpmath's context for mpf."""
    xp = namespace(x)
    if is_object(x):
        return xp.unit_roundoff()
    return float(xp.finfo(x.dtype).eps) / 2


def svd(x: Array, *, full_matrices: bool = True) -> tuple[Array, Array, Array]:
    """Return U, s, V^T with s descending, as the array API does; raise ValueError for NaN or infinity."""
    _refuse_overflow(x)
    try:
        U, s, Vt = namespace(x).linalg.svd(x, full_matrices=full_matrices)
    except np.linalg.LinAlgError:  # LAPACK's divide and conquer gives up on some harmless matrices
        from scipy.linalg import svd as scipy_svd

        U, s, Vt = scipy_svd(x, full_matrices=full_matrices, lapack_driver="gesvd")
    return U, s, Vt


def singular_values(x: Array) -> Array:
    """Return the singular values of x in descending order, shape (min(m, n),); raise ValueError as `svd` does."""
    _refuse_overflow(x)
    return namespace(x).linalg.svdvals(x)


def _refuse_overflow(x: Array) -> None:
    """Raise ValueError where LAPACK would run for ever."""
    if isinstance(x, np.ndarray) and x.dtype != object and not np.all(np.isfinite(x)):
        raise NotFiniteError(
            "a matrix to be decomposed holds NaN or infinity: it was passed so, or the numbers overflow on the way; "
            "pass smaller ones, or lift them by precision.lift"
        )


def spectral_norm(x: Array) -> Any:
    """Return the largest singular value of x as a float, or as an mpf; 0 for an empty matrix."""
    return scalar(singular_values(x)[0]) if min(x.shape) else 0.0


def frobenius_norm(x: Array) -> Any:
    """Return the square root of the sum of squares of x as a float, or as an mpf; no square over- or underflows."""
    xp = namespace(x)
    if is_object(x):
        return xp.linalg.matrix_norm(x)
    flat = xp.reshape(x, (-1,))
    unit = power_below(flat)
    flat = flat / unit
    return scalar(flat @ flat) ** 0.5 * unit


def power_below(x: Array) -> float:
    """Return the largest power of two that is at most max |x|, by which x can be divided exactly; 1 for x = 0."""
    if not math.prod(x.shape):
        return 1.0
    top = scalar(namespace(x).max(abs(x)))
    return math.ldexp(1.0, math.frexp(top)[1] - 1) if 0 < top < math.inf else 1.0


def times_power(x: Array, n: int) -> Array:
    """Return 2^n x for any integer n, exactly unless that over- or underflows."""
    if isinstance(x, float):
        with np.errstate(over="ignore", under="ignore"):
            return float(np.ldexp(x, n))
    while n:
        step = max(-100, min(100, n))  # 2^100 is a number in float32 too
        x, n = x * 2.0**step, n - step
    return x


def scalar(x: Array) -> Any:
    """Turn a 0-d array of a floating dtype into a float; leave an mpf alone."""
    return float(x) if hasattr(x, "dtype") else x


class NumericalRank(NamedTuple):
    """A rank read off floating singular values, with the ratio of the two that it stands between.

    The verdict on a claim about a rank is *inconclusive* when ``gap`` is small: compare the rank only where the
    spectrum has a cliff.
    """

    rank: int
    gap: float


def numerical_rank(x: Array, *, scale: Any = None) -> NumericalRank:
    """Return the number of singular values of x above rounding, and the gap at the cut.

    Parameters
    ----------
    x : array (m, n)
    scale : float, optional
        The size of the data that x was computed from; by default the largest singular value of x. A difference of
        two matrices of norm 1 carries errors of size eps even if it is itself of norm eps.

    Returns
    -------
    NumericalRank
        ``rank`` counts the singular values above ``max(m, n) * eps * scale``; ``gap`` is sigma_r / sigma_{r+1},
        where the cut stands in for a singular value that does not exist.
    """
    if not min(x.shape):
        return NumericalRank(0, float("inf"))
    s = [scalar(s) for s in singular_values(x)]
    cut = 2 * max(x.shape) * unit_roundoff(x) * (s[0] if scale is None else scale)
    rank = sum(1 for sigma in s if sigma > cut)
    above = s[rank - 1] if rank else cut
    below = s[rank] if rank < len(s) else cut
    return NumericalRank(rank, float(above / below) if below else float("inf"))


def is_singular(x: Array) -> bool:
    """Tell whether the square matrix x is singular to the working precision of its entries."""
    s = singular_values(floats(x))
    if is_object(x) and not s[-1] > 1e-14 * s[0]:
        s = singular_values(x)
    return not scalar(s[-1]) > x.shape[0] * unit_roundoff(x) * scalar(s[0])


def divide_right(y: Array, x: Array) -> Array:
    """Return y x^{-1}; for a singular x the least-squares solution z of z x = y of smallest norm."""
    if is_singular(x):
        return divide_right_by_singular(y, x)
    xp = namespace(x)
    return xp.matrix_transpose(xp.linalg.solve(xp.matrix_transpose(x), xp.matrix_transpose(y)))


def divide_right_by_singular(y: Array, x: Array) -> Array:
    """Return the z of smallest norm that minimises |z x - y|, singular values of x at rounding counted as zero.

    The rows of y are turned before they are divided, unlike in y pinv(x): so the residual z x - y is as small as y
    allows even where the singular values that count range over many digits.
    """
    U, s, Vt = svd(x, full_matrices=False)
    cut = 4 * x.shape[0] * unit_roundoff(x) * scalar(s[0])
    r = sum(1 for sigma in s if sigma > cut)
    xp = namespace(x)
    return ((y @ xp.matrix_transpose(Vt[:r, :])) / s[:r]) @ xp.matrix_transpose(U[:, :r])


def inverse_transpose(x: Array) -> Array:
    """Return x^{-T}."""
    xp = namespace(x)
    return xp.matrix_transpose(xp.linalg.inv(x))


def chain_product(weights: Sequence[Array]) -> Array:
    """Return W_L ... W_1 for ``weights = [W_1, ..., W_L]``, in the order in which a network applies them."""
    return reduce(lambda product, W: W @ product, weights)


def truncate(x: Array, r: int) -> Array:
    """Return LR_r(x), a best approximation of x of rank at most r in every unitarily invariant norm."""
    r = min(r, *x.shape)
    U, s, Vt = svd(x, full_matrices=False)
    return (U[:, :r] * s[:r]) @ Vt[:r, :]
