"""Transformers as their weights and their forward pass, nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from lora_proofs.display import Readable
from lora_proofs.exact import matrices
from lora_proofs.linalg import Array, check_matrix, check_one_kind, check_vector, is_object, namespace


@dataclass(frozen=True, eq=False, repr=False)
class TransformerBlock(Readable):
    r"""Attention of H heads and a ReLU layer, on tokens that are the columns of Z, of shape (D, N).

    ``A = sum_h W_O^h W_V^h Z softmax((W_K^h Z)^T W_Q^h Z)``, ``Z' = W_2 ReLU(W_1 A + b_1 1^T) + b_2 1^T``, with the
    softmax over the rows of each column, so that column j holds the weights with which token j attends. No skip
    connection, no layer norm, no scaling: the block of Zeng & Lee, "The Expressive Power of Low-Rank Adaptation"
    (arXiv:2310.17513v3), and of their code.

    Parameters
    ----------
    W_Q, W_K, W_V, W_O : sequences of H arrays, shape (D, D)
        Query, key, value and output matrix of each head: array-API arrays, NumPy object arrays of ``mpmath.mpf``, or
        rational matrices of any kind that `exact.array` reads, which are kept as arrays of ``fmpq``.
    W_1, W_2 : array, shape (D, D)
    b_1, b_2 : array, shape (D,)

    Raises
    ------
    ValueError
        If there is no head, the width is 0, the numbers of heads or the shapes differ, an entry is not a finite real
        number of a floating-point or object dtype, or the arrays are of different kinds.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.eye(2)
    >>> block = TransformerBlock([one], [one], [one], [one], one, np.zeros(2), one, np.zeros(2))
    >>> len(block.W_Q)  # heads
    1
    """

    W_Q: Sequence[Array]
    W_K: Sequence[Array]
    W_V: Sequence[Array]
    W_O: Sequence[Array]
    W_1: Array
    b_1: Array
    W_2: Array
    b_2: Array

    def __post_init__(self) -> None:
        W_1 = check_matrix("W_1", _read(self.W_1))
        D = W_1.shape[0]
        if D == 0:
            raise ValueError("W_1 has shape (0, 0); pass a block of width 1 at least")
        checked: dict[str, Any] = {"W_1": check_matrix("W_1", W_1, (D, D))}
        checked["W_2"] = check_matrix("W_2", _read(self.W_2), (D, D))
        for name in ("b_1", "b_2"):
            checked[name] = check_vector(name, _read_vector(getattr(self, name)), D)
        for name in HEAD_PARTS:
            heads = getattr(self, name)
            if not isinstance(heads, Sequence | np.ndarray) or not len(heads):
                raise ValueError(f"{name} is not a list of matrices; pass one square matrix a head, [W] for one head")
            checked[name] = tuple(check_matrix(f"{name}[{h}]", _read(W), (D, D)) for h, W in enumerate(heads))
        if len({len(checked[name]) for name in HEAD_PARTS}) > 1:
            found = ", ".join(f"{name}: {len(checked[name])}" for name in HEAD_PARTS)
            raise ValueError(f"the numbers of heads differ ({found}); pass one matrix a head in each of the four lists")
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        _check_one_arithmetic({f.name: getattr(self, f.name) for f in fields(self)})

    @property
    def heads(self) -> int:
        """The number H of heads."""
        return len(self.W_Q)

    @property
    def width(self) -> int:
        """The dimension D of a token."""
        return int(self.W_1.shape[0])

    def attention(self, Z: Array) -> Array:
        """Return the sum over the heads of W_O W_V Z softmax((W_K Z)^T W_Q Z), shape (..., D, N)."""
        xp = namespace(self.W_1, Z)
        heads = zip(self.W_Q, self.W_K, self.W_V, self.W_O, strict=True)
        summands = [O @ (V @ Z) @ _softmax(xp.matrix_transpose(K @ Z) @ (Q @ Z)) for Q, K, V, O in heads]
        return sum(summands[1:], summands[0])

    def __call__(self, Z: Array) -> Array:
        """Return the block's output, of the shape (..., D, N) of its input."""
        hidden = self.W_1 @ self.attention(Z) + self.b_1[:, None]
        xp = namespace(hidden)
        return self.W_2 @ xp.maximum(hidden, xp.zeros_like(hidden)) + self.b_2[:, None]

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        return f"heads {self.heads}, width {self.width}", {}


HEAD_PARTS = ("W_Q", "W_K", "W_V", "W_O")
"""The names of the matrices that each head has."""


@dataclass(frozen=True, eq=False, repr=False)
class TransformerNetwork(Readable):
    """The network Z -> W_out Z_L, where Z_0 = Z and Z_l is the output of block l on Z_{l-1}.

    This is TFN_{L,D} of Zeng & Lee (arXiv:2310.17513v3). A network may hold rational weights: then it has no forward
    pass, since the softmax leaves the rationals, but its matrix identities can be checked exactly.

    Parameters
    ----------
    blocks : sequence of L TransformerBlock
        Of one width D and one arithmetic.
    W_out : array, shape (D, D)

    Raises
    ------
    ValueError
        If there is no block, the widths differ, or the arrays are of different kinds.

    Examples
    --------
    >>> import numpy as np
    >>> one, zero = np.eye(2), np.zeros((2, 1))
    >>> block = TransformerBlock([one], [one], [one], [one], one, zero[:, 0], one, zero[:, 0])
    >>> network = TransformerNetwork([block], one)
    >>> network(np.ones((2, 1)))  # one token, as a column
    array([[1.],
           [1.]])
    """

    blocks: Sequence[TransformerBlock]
    W_out: Array

    def __post_init__(self) -> None:
        blocks = tuple(self.blocks) if isinstance(self.blocks, Iterable) else ()
        if not blocks or not all(isinstance(block, TransformerBlock) for block in blocks):
            raise ValueError("blocks must be a list of at least one TransformerBlock")
        if len({block.width for block in blocks}) > 1:
            raise ValueError(f"the blocks have widths {[block.width for block in blocks]}; pass blocks of one width")
        D = blocks[0].width
        object.__setattr__(self, "blocks", blocks)
        object.__setattr__(self, "W_out", check_matrix("W_out", _read(self.W_out), (D, D)))
        _check_one_arithmetic({**{f"W_1 of block {l}": b.W_1 for l, b in enumerate(blocks)}, "W_out": self.W_out})

    @property
    def depth(self) -> int:
        """The number L of blocks."""
        return len(self.blocks)

    @property
    def width(self) -> int:
        """The dimension D of a token."""
        return self.blocks[0].width

    @property
    def is_rational(self) -> bool:
        """Whether the weights are rational, so that there is no forward pass."""
        return matrices.is_rational(self.W_out)

    @property
    def named_weights(self) -> dict[str, Array]:
        """All weight matrices by name, such as ``blocks.0.W_Q.1`` for the second head of the first block."""
        named: dict[str, Array] = {}
        for l, block in enumerate(self.blocks):
            for part in HEAD_PARTS:
                named |= {f"blocks.{l}.{part}.{h}": W for h, W in enumerate(getattr(block, part))}
            named |= {f"blocks.{l}.W_1": block.W_1, f"blocks.{l}.W_2": block.W_2}
        return {**named, "W_out": self.W_out}

    @property
    def weights(self) -> tuple[Array, ...]:
        """All weight matrices, in the order of `named_weights`."""
        return tuple(self.named_weights.values())

    @property
    def biases(self) -> tuple[Array, ...]:
        """The biases b_1, b_2 of the first block, then of the second, and so on."""
        return tuple(b for block in self.blocks for b in (block.b_1, block.b_2))

    def replaced(self, weights: Mapping[str, Array], biases: Sequence[Array]) -> "TransformerNetwork":
        """Return the network with other weights, by name, and biases, in the order of `biases`; the rest is kept."""
        named = {**self.named_weights, **weights}
        blocks = []
        for l, block in enumerate(self.blocks):
            W_Q, W_K, W_V, W_O = ([named[f"blocks.{l}.{part}.{h}"] for h in range(block.heads)] for part in HEAD_PARTS)
            W_1, W_2 = (named[f"blocks.{l}.{part}"] for part in ("W_1", "W_2"))
            b_1, b_2 = biases[2 * l : 2 * l + 2]
            blocks.append(TransformerBlock(W_Q, W_K, W_V, W_O, W_1, b_1, W_2, b_2))
        return TransformerNetwork(blocks, named["W_out"])

    def __call__(self, Z: Array) -> Array:
        """Return the output, of shape (..., D, N), for N tokens that are the columns of the last two axes.

        Raises
        ------
        ValueError
            If the last axis but one does not have length D, inputs are no real numbers, or the weights are rational.
        """
        if self.is_rational:
            raise ValueError(
                "a rational transformer has no forward pass: the softmax leaves the rationals; compare its matrices "
                "(constructions.certify_transformer), or pass the weights as floats"
            )
        shape = getattr(Z, "shape", None)
        if shape is None or len(shape) < 2 or shape[-2] != self.width:
            found = f"a {type(Z).__name__}" if shape is None else f"{tuple(shape)}"
            raise ValueError(f"inputs must be arrays of shape (..., {self.width}, N), one token a column, not {found}")
        if not is_object(Z) and not namespace(Z).isdtype(Z.dtype, ("real floating", "integral")):
            raise ValueError(f"inputs have dtype {Z.dtype}; pass real numbers")
        for block in self.blocks:
            Z = block(Z)
        return self.W_out @ Z

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        return f"depth {self.depth}, heads {self.blocks[0].heads}, width {self.width}", {}


def _softmax(logits: Array) -> Array:
    """Return the softmax over the rows of each column."""
    xp = namespace(logits)
    shifted = logits - xp.max(logits, axis=-2, keepdims=True)
    weights = _exp_of_mpf(shifted) if is_object(shifted) else xp.exp(shifted)
    return weights / xp.sum(weights, axis=-2, keepdims=True)


def _exp_of_mpf(logits: Array) -> Array:
    import mpmath

    values: Array = np.vectorize(mpmath.exp, otypes=[object])(logits)
    return values


def _read(values: Any) -> Array:
    """Return rational matrices, lists of Fractions among them, as arrays of ``fmpq``; anything else as it is."""
    values = np.asarray(values) if isinstance(values, Sequence) else values
    return matrices.array(values) if matrices.is_rational(values) else values


def _read_vector(values: Any) -> Array:
    values = _read(values)
    return values[:, 0] if is_object(values) and values.ndim == 2 and values.shape[1] == 1 else values


def _check_one_arithmetic(arrays: dict[str, Any]) -> None:
    """Raise ValueError unless the arrays are of one library, and all rational or none."""
    flat = {
        name + (f"[{h}]" if isinstance(value, tuple) else ""): x
        for name, value in arrays.items()
        for h, x in enumerate(value if isinstance(value, tuple) else (value,))
    }
    check_one_kind(**flat)
    rational = {name: matrices.is_rational(x) for name, x in flat.items()}
    if len(set(rational.values())) > 1:
        exact_ones = [name for name, yes in rational.items() if yes]
        raise ValueError(
            f"{exact_ones[0]} is rational, but not all of the arrays are; pass all of them as rationals, or none"
        )
