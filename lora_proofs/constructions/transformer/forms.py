r"""A transformer as the forms that determine it, over Q: networks with the same forms are the same function.

The tokens that leave a block are W_2 h + b_2 with its hidden states h, and all that the next block does with them is

    logits  h_k^T (W_2^T W_K^T W_Q W_2) h_q + h_k^T (W_2^T W_K^T W_Q b_2),    up to what is the same for all keys k,
    hidden' = ReLU(sum_heads (W_1 W_O W_V W_2) sum_k p_k h_k + (b_1 + sum_heads W_1 W_O W_V b_2)),

with the softmax p of the logits over k, whose sum is 1. At the first block W_2 = I, b_2 = 0 and h are the tokens
themselves; the output is W_out W_2 h + W_out b_2. Nothing is inverted, so that the matrices may be singular.
"""

from collections.abc import Callable
from typing import NamedTuple

from flint import arb_mat, fmpq_mat

from lora_proofs.exact import matrices
from lora_proofs.networks.transformer import TransformerBlock, TransformerNetwork


class BlockForms(NamedTuple):
    """What a block makes of the hidden states of the one before, as matrices (D, D) and columns (D, 1).

    ``logits``, ``tilts`` and ``values``, one a head, are W_2^T W_K^T W_Q W_2, W_2^T W_K^T W_Q b_2 and W_1 W_O W_V W_2;
    ``bias`` is b_1 + sum_heads W_1 W_O W_V b_2.
    """

    logits: list[fmpq_mat]
    tilts: list[fmpq_mat]
    values: list[fmpq_mat]
    bias: fmpq_mat

    @classmethod
    def of(cls, block: TransformerBlock, W_2: fmpq_mat, b_2: fmpq_mat) -> "BlockForms":
        """Return the forms of a block after one with these W_2 and b_2."""
        Q, K, V, O = ([matrices.matrix(W) for W in part] for part in (block.W_Q, block.W_K, block.W_V, block.W_O))
        W_1, bias = matrices.matrix(block.W_1), matrices.vector(matrices.array(block.b_1))
        forms = cls([], [], [], bias)
        for q, k, v, o in zip(Q, K, V, O, strict=True):
            keys, values = (k * W_2).transpose(), W_1 * o * v
            forms.logits.append(keys * (q * W_2))
            forms.tilts.append(keys * (q * b_2))
            forms.values.append(values * W_2)
            bias += values * b_2
        return forms._replace(bias=bias)


class Forms(NamedTuple):
    """The forms of all blocks, W_out W_2 and W_out b_2."""

    blocks: list[BlockForms]
    out: fmpq_mat
    shift: fmpq_mat

    @classmethod
    def of(cls, network: TransformerNetwork) -> "Forms":
        """Return the forms of a network, rational or floating: every float is a dyadic rational.

        Examples
        --------
        >>> import numpy as np
        >>> from lora_proofs import TransformerBlock, TransformerNetwork
        >>> from lora_proofs.constructions.transformer.forms import Forms
        >>> one, b = np.eye(1), np.zeros(1)
        >>> block = TransformerBlock([3 * one], [one], [one], [2 * one], one, b, 5 * one, b)
        >>> forms = Forms.of(TransformerNetwork([block, block], one))
        >>> [float(x.logits[0][0, 0]) for x in forms.blocks], [float(x.values[0][0, 0]) for x in forms.blocks]
        ([3.0, 75.0], [2.0, 10.0])
        """
        W_2, b_2 = matrices.identity(network.width), matrices.zeros(network.width, 1)
        blocks = []
        for block in network.blocks:
            blocks.append(BlockForms.of(block, W_2, b_2))
            W_2, b_2 = matrices.matrix(block.W_2), matrices.vector(matrices.array(block.b_2))
        W_out = matrices.matrix(network.W_out)
        return cls(blocks, W_out * W_2, W_out * b_2)

    def map(self, change: Callable[[fmpq_mat], fmpq_mat | arb_mat]) -> "Forms":
        """Return the forms with every matrix and column changed in the same way."""

        def changed(block: BlockForms) -> BlockForms:
            logits, tilts, values = ([change(x) for x in part] for part in block[:3])
            return BlockForms(logits, tilts, values, change(block.bias))

        return Forms([*map(changed, self.blocks)], change(self.out), change(self.shift))
