"""Networks as their weights and their forward pass, nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from array_api_compat import array_namespace

from lora_proofs.display import Readable
from lora_proofs.linalg import Array, check_matrix, check_vector, is_object, namespace
from lora_proofs.networks.transformer import TransformerBlock, TransformerNetwork

__all__ = ["ReluNetwork", "TransformerBlock", "TransformerNetwork"]


@dataclass(frozen=True, eq=False, repr=False)
class ReluNetwork(Readable):
    """The network ``h_0 = x, h_l = ReLU(W_l h_{l-1} + b_l)`` with output h_L: ReLU on every layer, the last too.

    This is FNN_{L,D} of Zeng & Lee, "The Expressive Power of Low-Rank Adaptation" (arXiv:2310.17513v3,
    section 2), except that the layers may have different widths.

    Parameters
    ----------
    weights : sequence of arrays, shapes (d_1, d_0), ..., (d_L, d_{L-1})
        W_1, ..., W_L in the order in which they are applied: array-API arrays, NumPy object arrays of
        ``mpmath.mpf``, ``fractions.Fraction`` or ``flint.fmpq``, or ``flint.fmpq_mat`` (kept as arrays of fmpq).
    biases : sequence of arrays, shapes (d_1,), ..., (d_L,)
        b_1, ..., b_L, of the same namespace; a column ``fmpq_mat`` stands for a vector.

    Raises
    ------
    ValueError
        If there is no layer, a width is 0, the number of biases is not that of the weights, the shapes do not chain, or
        an entry is not a finite real number of a floating-point or object dtype.
    TypeError
        If the arrays are of different libraries.

    Examples
    --------
    >>> import numpy as np
    >>> network = ReluNetwork([np.array([[1.0], [-1.0]])], [np.zeros(2)])
    >>> network(np.array([-3.0]))
    array([0., 3.])
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    def __init__(self, weights: Sequence[Array], biases: Sequence[Array]) -> None:
        weights, biases = _listed("weights", weights), _listed("biases", biases)
        if not weights:
            raise ValueError("a network needs at least one layer; weights is empty")
        if len(weights) != len(biases):
            raise ValueError(f"{len(weights)} weights need as many biases, not {len(biases)}")
        checked: list[tuple[Array, Array]] = []
        for layer, (W, b) in enumerate(zip(weights, biases, strict=True), start=1):
            d_in = checked[-1][0].shape[0] if checked else None
            W, b = _from_flint(W), _from_flint(b)
            W = check_matrix(f"weight {layer}", W, (None, d_in))
            if 0 in W.shape:
                raise ValueError(f"weight {layer} has shape {tuple(W.shape)}; pass at least one input and one neuron")
            checked.append((W, check_vector(f"bias {layer}", b, W.shape[0])))
        array_namespace(*chain(*checked))  # refuses a mixture, which would otherwise fail far from its cause
        object.__setattr__(self, "weights", tuple(W for W, _ in checked))
        object.__setattr__(self, "biases", tuple(b for _, b in checked))

    @property
    def depth(self) -> int:
        """The number L of layers."""
        return len(self.weights)

    @property
    def widths(self) -> tuple[int, ...]:
        """The dimensions (d_0, d_1, ..., d_L), from input to output."""
        return (int(self.weights[0].shape[1]), *(int(W.shape[0]) for W in self.weights))

    @property
    def width(self) -> int:
        """The largest of the widths: the paper's D, where all are equal."""
        return max(self.widths)

    @property
    def d_in(self) -> int:
        """The dimension of the input."""
        return self.widths[0]

    @property
    def d_out(self) -> int:
        """The dimension of the output."""
        return self.widths[-1]

    def __call__(self, x: Array) -> Array:
        """Return the output, of shape (..., d_out), for inputs of shape (..., d_in).

        A network that holds ``fmpq`` reads any rational or floating input exactly.

        Raises
        ------
        ValueError
            If the last axis of `x` does not have length d_in.
        """
        if x.ndim == 0 or x.shape[-1] != self.d_in:
            raise ValueError(f"inputs must have shape (..., {self.d_in}), not {tuple(x.shape)}")
        h = _to_fmpq(x) if _holds_fmpq(self.weights[0]) else x
        for W, b in zip(self.weights, self.biases, strict=True):
            h = _relu(h @ W.T + b)
        return h

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        W = self.weights[0]
        entries = type(W.flat[0]).__name__ if is_object(W) and W.size else W.dtype
        return f"widths {'-'.join(map(str, self.widths))}, {entries}", {}


def _listed(name: str, arrays: Any) -> list[Any]:
    """Return what was passed as a list, or say that it is none; its entries are looked at one by one."""
    try:
        if isinstance(arrays, str | bytes | Mapping):
            raise TypeError
        return list(arrays)
    except TypeError:  # not iterable
        raise ValueError(f"{name} is of type {type(arrays).__name__}; pass a list of arrays, one a layer") from None


def _holds_fmpq(array: Array) -> bool:
    return is_object(array) and array.size > 0 and type(array.flat[0]).__module__.startswith("flint")


def _to_fmpq(values: object) -> Array:
    from lora_proofs.exact import matrices

    found: Array = matrices.array(values)
    return found


def _from_flint(values: Any) -> Array:
    """Return an ``fmpq_mat`` as an array of ``fmpq``, a column as a vector; anything else as it is."""
    if not (type(values).__module__.startswith("flint") and hasattr(values, "nrows")):
        given: Array = values
        return given
    return _to_fmpq(values)[:, 0] if values.ncols() == 1 and values.nrows() != 1 else _to_fmpq(values)


def _relu(states: Array) -> Array:
    xp = namespace(states)
    # An object array gets a zero of its own entries' type, not the integer 0.
    return xp.maximum(states, states * 0 if is_object(states) else xp.zeros_like(states))
