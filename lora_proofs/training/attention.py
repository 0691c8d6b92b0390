"""Attention of many small configurations at once, without values: its sums written out for JAX's CPU backend.

The B sentences are the last axis, so that a sum over the N tokens or D entries is a sum of long vectors. XLA turns an
einsum of matrices this small into products that take three times as long, and would fuse a sum written out into each
of its uses and compute it there anew, up to 100 times; hence the stages, which it is told to keep apart.

Shapes: Q and d, the gradient of the result, (C, H, D, N, B); Z (C, D, N, B), or (1, D, N, B) if all share it; scores
and odds (C, H, N, N, B); largest, total and slope (C, H, N, B).
"""

from collections.abc import Callable, Iterable
from functools import reduce

import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental.xla_metadata import set_xla_metadata


def _stage(function: Callable[..., Array]) -> Callable[..., Array]:
    """Keep XLA from fusing a function with what calls it; it would compute sums anew for each of their many uses."""
    compiled = jax.jit(function)

    def apart(*arrays: Array) -> Array:
        with set_xla_metadata(inlineable="false"):
            result: Array = compiled(*arrays)
        return result

    return apart


def _sum(terms: Iterable[Array]) -> Array:
    return reduce(jnp.add, terms)


@_stage
def _scores(Q: Array, Z: Array) -> Array:
    """Return s_ij = q_i . z_j."""
    return _sum(Q[:, :, k, :, None] * Z[:, None, k, None] for k in range(Q.shape[2]))


@_stage
def _largest(scores: Array) -> Array:
    return reduce(jnp.maximum, (scores[:, :, :, j] for j in range(scores.shape[3])))


@_stage
def _odds(scores: Array, largest: Array) -> Array:
    return jnp.exp(scores - largest[:, :, :, None])


@_stage
def _total(odds: Array) -> Array:
    return _sum(odds[:, :, :, j] for j in range(odds.shape[3]))


@_stage
def _weighted(weights: Array, Z: Array) -> Array:
    """Return sum_j w_ij z_j."""
    return _sum(weights[:, :, None, :, j] * Z[:, None, :, None, j] for j in range(weights.shape[3]))


@_stage
def _gathered(X: Array, weights: Array) -> Array:
    """Return sum_h sum_i w_hij x_hi, shape (C, D, N, B)."""
    heads, tokens = range(X.shape[1]), range(X.shape[3])
    return _sum(X[:, h, :, None, i] * weights[:, h, None, i] for h in heads for i in tokens)


@_stage
def _slope(d: Array, U: Array) -> Array:
    return _sum(d[:, :, k] * U[:, :, k] for k in range(d.shape[2]))


@_stage
def _score_slopes(odds: Array, d: Array, Z: Array, slope: Array) -> Array:
    """Return P_ij (d_i . z_j - sum_k P_ik d_i . z_k) for odds that are P and d already over the total."""
    return odds * (_sum(d[:, :, k, :, None] * Z[:, None, k, None] for k in range(d.shape[2])) - slope[:, :, :, None])


@_stage
def _over(X: Array, total: Array) -> Array:
    return X / total[:, :, None]


def _forward(Q: Array, Z: Array) -> tuple[Array, tuple[Array, ...]]:
    scores = _scores(Q, Z)
    odds = _odds(scores, _largest(scores))
    total = _total(odds)
    U = _over(_weighted(odds, Z), total)
    return U, (Q, Z, odds, total, U)


def _backward(saved: tuple[Array, ...], d: Array) -> tuple[Array, Array]:
    Q, Z, odds, total, U = saved
    d = _over(d, total)
    slopes = _score_slopes(odds, d, Z, _slope(d, U))
    d_Z = _gathered(d, odds) + _gathered(Q, slopes)
    return _weighted(slopes, Z), d_Z if len(Z) == len(Q) else jnp.sum(d_Z, axis=0, keepdims=True)


attention = jax.custom_vjp(lambda Q, Z: _forward(Q, Z)[0])
"""What token i attends to, u_i = sum_j P_ij z_j with P = softmax(Q^T Z), shape (C, H, D, N, B)."""
attention.defvjp(_forward, _backward)
