"""Forward passes of many networks at once, laid out so that JAX's CPU backend spends its time in matrix products.

C configurations of one network stand side by side: weights W of shape (C, n, D, D), biases b of shape (C, m, D). The
inputs x have a first axis of length 1: the configurations share them.
"""

from collections.abc import Callable
from functools import reduce
from typing import TypeAlias

import jax
import jax.numpy as jnp

from lora_proofs.training.attention import attention

Forward: TypeAlias = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""Weights (C, n, D, D), biases (C, m, D) and inputs (1, ...) to outputs (C, ...)."""


def linear_chain(weights: jax.Array, biases: jax.Array, inputs: jax.Array) -> jax.Array:
    """Return W_L ... W_1 x for B inputs, the columns, of shape (1, D, B); there are no biases."""
    return reduce(lambda h, l: times(weights[:, l], h), range(weights.shape[1]), inputs)


def relu_network(weights: jax.Array, biases: jax.Array, inputs: jax.Array) -> jax.Array:
    """Return h_L, where h_l = ReLU(W_l h_{l-1} + b_l), for B inputs h_0, the columns, of shape (1, D, B)."""
    return reduce(
        lambda h, l: jax.nn.relu(times(weights[:, l], h) + biases[:, l, :, None]), range(weights.shape[1]), inputs
    )


def transformer(weights: jax.Array, biases: jax.Array, inputs: jax.Array) -> jax.Array:
    """Return W_out Z_L for B sentences Z_0 of N tokens, of shape (1, D, N, B); see `TransformerNetwork`.

    The order of the weights is that of `lora_proofs.training.networks.stack`: W_Q, W_K, W_V, W_O of each head of each
    block, W_2 of the last block, W_out, then W_1 of each block, and W_2 of each block but the last. Matrices that act
    one after the other are multiplied first: W_K^T W_Q, W_1 W_O W_V, and W_out W_2 of the last block.
    """
    C, n, D, _ = weights.shape
    L = biases.shape[1] // 2
    H = (n - 2 * L - 1) // (4 * L)
    heads, (W_2_last, W_out), W_1, W_2 = _parts(jnp.swapaxes(weights, 0, 1), 4 * H * L, 2, L, L - 1)
    W_2, b_1, b_2 = [*W_2, W_out @ W_2_last], biases[:, ::2], [*jnp.swapaxes(biases[:, 1::2], 0, 1)]
    b_2[-1] = (W_out @ b_2[-1][..., None])[..., 0]
    Z = inputs
    for l in range(L):
        Q, K, V, O = jnp.swapaxes(heads.reshape(L, H, 4, C, D, D)[l], 0, 1)
        queries = _map(_transposed(K) @ Q, Z)
        attended = attention(queries, Z)
        values = jnp.concatenate([*(W_1[l] @ (O @ V))], axis=-1)
        hidden = times(values, attended.reshape(C, H * D, -1)) + b_1[:, l, :, None]
        Z = (times(W_2[l], jax.nn.relu(hidden)) + b_2[l][..., None]).reshape(C, *inputs.shape[1:])
    return Z


def _parts(matrices: jax.Array, *sizes: int) -> list[jax.Array]:
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [matrices[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _transposed(matrices: jax.Array) -> jax.Array:
    return jnp.swapaxes(matrices, -1, -2)


def _copied_transposed(matrices: jax.Array) -> jax.Array:
    """Return a transpose that XLA must write out: to contract leading axes takes up to ten times longer."""
    return jax.lax.optimization_barrier(_transposed(matrices))


def _map(weights: jax.Array, tokens: jax.Array) -> jax.Array:
    """Return W Z for each of H heads, shape (C, H, D, N, B), for W (H, C, D, D) and Z (C or 1, D, N, B)."""
    H, C, D, _ = weights.shape
    rows = jnp.swapaxes(weights, 0, 1).reshape(C, H * D, D)
    return times(rows, tokens.reshape(*tokens.shape[:2], -1)).reshape(C, H, *tokens.shape[1:])


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
    if len(left) == len(right):
        return left @ right
    return (left.reshape(-1, left.shape[-1]) @ right[0]).reshape(*left.shape[:-1], -1)  # one tall product


def _product_backward(saved: tuple[jax.Array, jax.Array], cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    left, right = saved
    if len(left) == len(right):
        return cotangent @ _transposed(right), _copied_transposed(left) @ cotangent
    left, rows = left.reshape(-1, left.shape[-1]), cotangent.reshape(-1, cotangent.shape[-1])
    return (rows @ right[0].T).reshape(saved[0].shape), (left.T @ rows)[None]


times = jax.custom_vjp(_product)
"""X Y of shape (C, ..., P, Q); Y of shape (1, K, Q) is shared by all configurations."""
times.defvjp(lambda X, Y: (_product(X, Y), (X, Y)), _product_backward)
