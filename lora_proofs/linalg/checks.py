"""What an argument must be: each check returns it as the library wants it, or says what to pass instead."""

from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Real
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj

from lora_proofs.linalg.arrays import Array, is_object


class NotFiniteError(ValueError):
    """A matrix holds NaN or infinity: it was passed so, or numbers have overflowed."""


def check_matrix(name: str, matrix: object, shape: tuple[int | None, int | None] | None = None) -> Array:
    """Return the matrix if it is a finite floating 2-d array of the given shape, else say what is wrong.

    Parameters
    ----------
    name : str
        What the message calls it.
    matrix : array (m, n)
        Any array-API array, or an object array of mpf, Fraction or fmpq. Lists become NumPy arrays.
    shape : pair of int or None, optional
        The shape asked for; ``None`` in a place means any.

    Raises
    ------
    ValueError
        If it is not 2-d, has another shape, holds NaN or infinity, or is not of a real floating dtype.

    Examples
    --------
    >>> check_matrix("target", [[1.0, 2.0]], (None, 3))
    Traceback (most recent call last):
    ValueError: target has shape (1, 2); pass an array of shape (any x 3)
    """
    return _check(name, matrix, (None, None) if shape is None else shape)


def check_vector(name: str, vector: object, size: int | None = None) -> Array:
    """Return the vector if it is a finite floating 1-d array of the given size; raise as `check_matrix` does.

    Examples
    --------
    >>> check_vector("bias", [1.0, 2.0], 2)
    array([1., 2.])
    """
    return _check(name, vector, (size,))


def check_one_kind(**arrays: Array) -> None:
    """Raise ValueError unless all arrays are of one library, and all or none hold objects such as mpf.

    Examples
    --------
    >>> check_one_kind(frozen=np.eye(2), target=np.ones((2, 2)))
    """
    try:
        array_namespace(*arrays.values())
        mixed = len({is_object(x) for x in arrays.values()}) > 1
    except TypeError:
        mixed = True
    if mixed:
        kinds = ", ".join(f"{name}: {type(x).__name__} of {x.dtype}" for name, x in arrays.items())
        raise ValueError(f"the arrays are of different kinds ({kinds}); pass all of them in one library and arithmetic")


def check_list(name: str, items: Any) -> list[Any]:
    """Return the matrices of a chain as a list; raise ValueError if they do not come as a list or the like.

    A single matrix, a text, a mapping or None is refused: what stands in the list is for `check_matrix` to look at.

    Examples
    --------
    >>> check_list("frozen", np.eye(2))
    Traceback (most recent call last):
    ValueError: frozen is an array of shape (2, 2); pass a list of matrices
    """
    if isinstance(items, str | bytes | Mapping | Set) or not isinstance(items, Iterable) or is_single_array(items):
        what = f"an array of shape {tuple(items.shape)}" if is_array_api_obj(items) else f"a {type(items).__name__}"
        raise ValueError(f"{name} is {what}; pass a list of matrices")
    return list(items)


def is_single_array(value: Any) -> bool:
    """Tell whether the value is one array, of less than three dimensions, where a list of them may be meant.

    Examples
    --------
    >>> is_single_array(np.eye(2)), is_single_array([np.eye(2)])
    (True, False)
    """
    return bool(is_array_api_obj(value) and value.ndim < 3)


def check_rank(name: str, rank: object) -> int:
    """Return the rank as an int if it is a whole number >= 0; raise ValueError otherwise.

    Examples
    --------
    >>> check_rank("rank", np.int64(3))
    3
    """
    if isinstance(rank, bool) or not isinstance(rank, int | np.integer) or rank < 0:
        raise ValueError(f"{name} is {rank!r}; pass a whole number >= 0")
    return int(rank)


def check_ranks(ranks: object, layers: int) -> list[int]:
    """Return one rank a layer, from an int for all layers or a sequence of that length.

    Examples
    --------
    >>> check_ranks(2, 3), check_ranks([1, 0, 2], 3)
    ([2, 2, 2], [1, 0, 2])
    """
    if isinstance(ranks, str | bytes) or (isinstance(ranks, np.ndarray) and ranks.ndim != 1):
        raise ValueError(f"ranks is {_shortened(ranks)}; pass one whole number >= 0, or one a layer")
    if isinstance(ranks, Sequence | np.ndarray):
        if len(ranks) != layers:
            raise ValueError(f"{len(ranks)} ranks are given for {layers} layers; pass one int, or one a layer")
        return [check_rank(f"ranks[{i}]", r) for i, r in enumerate(ranks)]
    return [check_rank("ranks", ranks)] * layers


def check_share(name: str, share: object) -> float:
    """Return the share as a float if it is a number between 0 and 1; raise ValueError otherwise.

    Examples
    --------
    >>> check_share("energy", 1)
    1.0
    """
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= float(share) <= 1:
        raise ValueError(f"{name} must be between 0 and 1, not {share!r}")
    return float(share)


def _check(name: str, values: Any, shape: tuple[int | None, ...]) -> Array:
    array = values if is_array_api_obj(values) else _as_array(name, values)
    if isinstance(array, np.ma.MaskedArray):
        raise ValueError(f"{name} is a masked array; pass a plain one, such as x.filled(0)")
    if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True)):
        wanted = " x ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name} has shape {tuple(array.shape)}; pass an array of shape ({wanted})")
    if is_object(array):
        finite = all(_is_finite_number(name, entry) for entry in array.flat)
    else:
        xp = array_namespace(array)
        if not xp.isdtype(array.dtype, "real floating"):
            raise ValueError(
                f"{name} has dtype {array.dtype}; pass real floating numbers, such as x.astype(float), "
                "or lora_proofs.exact for rational ones"
            )
        finite = bool(xp.all(xp.isfinite(array)))
    if not finite:
        raise NotFiniteError(f"{name} contains NaN or infinity; pass finite numbers")
    return array


def _as_array(name: str, values: object) -> Array:
    try:
        if not isinstance(values, Sequence):
            raise TypeError
        return np.asarray(values)
    except (TypeError, ValueError):  # no list at all, or rows of different lengths
        raise ValueError(
            f"{name} is {_shortened(values)}, no array; pass an array of real floating numbers, with as many in every "
            "row"
        ) from None


def _shortened(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_finite_number(name: str, value: Any) -> bool:
    try:
        if isinstance(value, str | bytes | complex) or (hasattr(value, "imag") and value.imag != 0):
            raise TypeError
        return bool(value - value == 0)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is an object array that holds {_shortened(value)}, which is no real number") from None
