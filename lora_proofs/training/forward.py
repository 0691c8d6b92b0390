"""Forward passes of many networks at once, laid out so that JAX's CPU backend spends its time in matrix products.

C configurations of one network stand side by side: weights W of shape (C, n, D, D), biases b of shape (C, m, D). The
data points are the last axis. The inputs x, of shape (1, D, ...), are shared by the configurations, so that a first
layer is one tall product.
"""

from collections.abc import Callable
from functools import reduce
from typing import TypeAlias

import jax
import jax.numpy as jnp

from lora_proofs.linalg import Array

Forward: TypeAlias = Callable[[Array, Array, Array], Array]
"""Weights (C, n, D, D), biases (C, m, D) and inputs (1, D, ...) to outputs (C, D, ...)."""


def linear_chain(W: Array, b: Array, x: Array) -> Array:
    """Return W_L ... W_1 x for B inputs, the columns of x, shape (1, D, B); there are no biases."""
    return reduce(lambda h, l: _apply(W[:, l], h), range(W.shape[1]), x)


def relu_network(W: Array, b: Array, x: Array) -> Array:
    """Return h_L, where h_l = ReLU(W_l h_{l-1} + b_l), for B inputs h_0, the columns of x, shape (1, D, B)."""
    return reduce(lambda h, l: jax.nn.relu(_apply(W[:, l], h) + b[:, l, :, None]), range(W.shape[1]), x)


def transformer(W: Array, b: Array, x: Array) -> Array:
    """Return W_out Z_L for B sentences Z_0 of N tokens, x of shape (1, D, N, B); see `TransformerNetwork`.

    The order of the weights is that of `lora_proofs.training.networks.stack`: W_Q, W_K, W_V, W_O of each head of each
    block, W_2 of the last block, W_out, then W_1 of each block, and W_2 of each block but the last. Matrices that act
    one after the other are multiplied first: M = W_K^T W_Q, P = W_1 W_O W_V, and W_out W_2 of the last block.
    """
    C, n, D, _ = W.shape
    L = b.shape[1] // 2
    H = (n - 2 * L - 1) // (4 * L)
    Q, K, V, O = (W[:, : 4 * H * L].reshape(C, L, H, 4, D, D)[:, :, :, part] for part in range(4))
    W_2_last, W_out, W_1 = W[:, 4 * H * L], W[:, 4 * H * L + 1], W[:, 4 * H * L + 2 :][:, :L]
    W_2, b_2 = [*jnp.moveaxis(W[:, 4 * H * L + 2 + L :], 1, 0), W_out @ W_2_last], [*jnp.moveaxis(b[:, 1::2], 1, 0)]
    b_2[-1] = (W_out @ b_2[-1][..., None])[..., 0]
    both = jnp.concatenate([jnp.swapaxes(K, -1, -2) @ Q, W_1[:, :, None] @ (O @ V)], axis=2).reshape(C, L, 2 * H * D, D)
    Z = x
    for l in range(L):
        MZ, PZ = jnp.split(_apply(both[:, l], Z).reshape(C, 2 * H, D, *x.shape[2:]), 2, axis=1)
        keys = jnp.swapaxes(jnp.broadcast_to(Z, (C, *x.shape[1:])), 1, 2)
        attention = [_pointwise(PZ[:, h], jax.nn.softmax(_pointwise(keys, MZ[:, h]), axis=1)) for h in range(H)]
        hidden = jax.nn.relu(sum(attention) + b[:, 2 * l, :, None, None])
        Z = _apply(W_2[l], hidden) + b_2[l][..., None, None]
    return Z


def _apply(W: Array, h: Array) -> Array:
    """Return W h of shape (C, E, ...) for W of shape (C, E, D) and h of shape (C, D, ...), or (1, D, ...) if shared."""
    C, E, D = W.shape
    return _product(W, h.reshape(h.shape[0], D, -1)).reshape(C, E, *h.shape[2:])


def _tall_product(W: Array, h: Array) -> Array:
    if len(h) == len(W):
        return W @ h
    return (W.reshape(-1, W.shape[-1]) @ h[0]).reshape(*W.shape[:2], -1)


def _tall_product_backward(saved: tuple[Array, Array], d: Array) -> tuple[Array, Array]:
    W, h = saved
    if len(h) == len(W):
        return d @ jnp.swapaxes(h, -1, -2), jnp.swapaxes(W, -1, -2) @ d
    rows = d.reshape(-1, d.shape[-1])
    return (rows @ h[0].T).reshape(W.shape), (W.reshape(-1, W.shape[-1]).T @ rows)[None]


# The gradients by hand: XLA's own would contract the leading axis of W, at half the speed.
_product = jax.custom_vjp(_tall_product)
_product.defvjp(lambda W, h: (_tall_product(W, h), (W, h)), _tall_product_backward)


def _small_products(X: Array, Y: Array) -> Array:
    """Return the (P, K) x (K, Q) product at each data point: X of shape (C, P, K, B), Y of shape (C, K, Q, B)."""
    return sum(X[:, :, k, None] * Y[:, k, None] for k in range(X.shape[2]))


def _small_products_backward(saved: tuple[Array, Array], d: Array) -> tuple[Array, Array]:
    X, Y = saved
    return _small_products(d, jnp.swapaxes(Y, 1, 2)), _small_products(jnp.swapaxes(X, 1, 2), d)


# Written out over k, one loop over the data points does all; a batch of tiny matrix products is slower.
_pointwise = jax.custom_vjp(_small_products)
_pointwise.defvjp(lambda X, Y: (_small_products(X, Y), (X, Y)), _small_products_backward)
