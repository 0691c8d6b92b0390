"""What an array is here, whatever library it comes from: its namespace, kind and scale."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeGuard, TypeVar, cast

import numpy as np
from array_api_compat import array_namespace, device, is_cupy_array, is_torch_array, to_device
from numpy.typing import NDArray


class Array(Protocol):
    """A real array of any array-API library, or a NumPy object array of ``mpmath.mpf``, ``Fraction`` or ``fmpq``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        ...

    @property
    def ndim(self) -> int:
        """The number of axes."""
        ...

    @property
    def dtype(self) -> Any:
        """The type of the entries, as the library names it."""
        ...

    @property
    def T(self) -> "Array":
        """The transpose of a matrix."""
        ...

    def __getitem__(self, key: Any, /) -> "Array": ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator["Array"]: ...
    def __neg__(self) -> "Array": ...
    def __abs__(self) -> "Array": ...
    def __add__(self, other: Any, /) -> "Array": ...
    def __radd__(self, other: Any, /) -> "Array": ...
    def __sub__(self, other: Any, /) -> "Array": ...
    def __rsub__(self, other: Any, /) -> "Array": ...
    def __mul__(self, other: Any, /) -> "Array": ...
    def __rmul__(self, other: Any, /) -> "Array": ...
    def __truediv__(self, other: Any, /) -> "Array": ...
    def __rtruediv__(self, other: Any, /) -> "Array": ...
    def __pow__(self, other: Any, /) -> "Array": ...
    def __matmul__(self, other: Any, /) -> "Array": ...
    def __lt__(self, other: Any, /) -> "Array": ...
    def __gt__(self, other: Any, /) -> "Array": ...
    def __float__(self) -> float: ...
    def __bool__(self) -> bool: ...


class Factorisations(Protocol):
    """The functions of ``xp.linalg``."""

    qr: Callable[..., tuple[Array, Array]]
    eigh: Callable[..., tuple[Array, Array]]
    svd: Callable[..., tuple[Array, Array, Array]]

    def __getattr__(self, name: str) -> Callable[..., Array]: ...


class Namespace(Protocol):
    """The functions of an array library, ``xp`` in the code, as the array API has them."""

    linalg: Factorisations
    finfo: Callable[..., Any]
    isdtype: Callable[..., bool]

    def __getattr__(self, name: str) -> Callable[..., Array]: ...


def is_object(value: object) -> TypeGuard[NDArray[np.object_]]:
    """Tell whether the value is a NumPy object array (of mpf, Fraction, fmpq) rather than a floating one.

    Examples
    --------
    >>> is_object(np.eye(2)), is_object(np.eye(2).astype(object))
    (False, True)
    """
    return isinstance(value, np.ndarray) and value.dtype == object


def namespace(*arrays: Array) -> Namespace:
    """Return the array-API namespace of the arrays: `lora_proofs.precision` for object arrays.

    Examples
    --------
    >>> namespace(np.eye(2)).__name__
    'array_api_compat.numpy'
    """
    if any(is_object(x) for x in arrays):
        from lora_proofs import precision

        return cast(Namespace, precision)
    return cast(Namespace, array_namespace(*arrays))


def floats(array: Array) -> Array:
    """Return an object array rounded to float64, any other array as it is.

    Examples
    --------
    >>> from fractions import Fraction
    >>> floats(np.array([Fraction(1, 2)]))
    array([0.5])
    """
    return array.astype(float) if is_object(array) else array


def like(pattern: Array, values: Any) -> Array:
    """Return the values as an array of the namespace, dtype and device of the pattern; as ``fmpq`` if it is rational.

    Examples
    --------
    >>> like(np.eye(2, dtype=np.float32), [1, 2]).dtype
    dtype('float32')
    """
    if is_object(pattern) and pattern.size and not hasattr(pattern.flat[0], "_mpf_"):
        from lora_proofs.exact.matrices import array

        return array(values)
    return namespace(pattern).asarray(values, dtype=pattern.dtype, device=device(pattern))


def to_numpy(values: Any) -> NDArray[Any]:
    """Return an array of whatever library and device as a NumPy array; lists and numbers too.

    Examples
    --------
    >>> to_numpy([1.0, 2.0])
    array([1., 2.])
    """
    if is_torch_array(values):
        values = values.detach()  # NumPy takes neither what autograd follows nor bfloat16
        return np.asarray(to_device(values.float() if str(values.dtype) == "torch.bfloat16" else values, "cpu"))
    if is_cupy_array(values):
        return np.asarray(to_device(values, "cpu"))
    return np.asarray(values)


def unit_roundoff(array: Array) -> Any:
    """Return the unit roundoff of the array's arithmetic: 2^-53 for float64, that of mpmath's context for mpf.

    Examples
    --------
    >>> unit_roundoff(np.eye(2)) == 2.0**-53
    True
    """
    xp = namespace(array)
    if is_object(array):
        return xp.unit_roundoff()
    return float(xp.finfo(array.dtype).eps) / 2


def scalar(value: Any) -> Any:
    """Turn a 0-d array of a floating dtype into a float; leave an mpf alone.

    Examples
    --------
    >>> scalar(np.float32(0.5))
    0.5
    """
    return float(value) if hasattr(value, "dtype") else value


def power_below(array: Array) -> float:
    """Return the largest power of two that is at most max |x|, by which x can be divided exactly; 1 for x = 0.

    Examples
    --------
    >>> power_below(np.array([3.0, -5.0]))
    4.0
    """
    if not math.prod(array.shape):
        return 1.0
    top = scalar(namespace(array).max(abs(array)))
    return math.ldexp(1.0, math.frexp(top)[1] - 1) if 0 < top < math.inf else 1.0


Scalable = TypeVar("Scalable", float, Array)


def times_power(value: Scalable, exponent: int) -> Scalable:
    """Return 2^exponent times the array or float, for any integer exponent; exactly, unless that over- or underflows.

    Examples
    --------
    >>> times_power(1.0, -1074), times_power(np.array([3.0]), 2)
    (5e-324, array([12.]))
    """
    if isinstance(value, float):
        with np.errstate(over="ignore", under="ignore"):
            return float(np.ldexp(value, exponent))
    while exponent:
        step = max(-100, min(100, exponent))  # 2^100 is a number in float32 too
        value, exponent = value * 2.0**step, exponent - step
    return value
