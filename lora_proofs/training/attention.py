"""Attention of many small configurations at once, without values: its sums written out for JAX's CPU backend.

The B sentences are the last axis, so that a sum over the N tokens or D entries is a sum of long vectors. XLA turns an
einsum of matrices this small into products that take three times as long, and would fuse a sum written out into each
of its uses and compute it there anew, up to 100 times; hence the stages, which it is told to keep apart.

Shapes: queries and cotangent, the gradient of the result, (C, H, D, N, B); tokens (C, D, N, B), or (1, D, N, B) if all
share them; scores and odds (C, H, N, N, B); largest, total and slope (C, H, N, B).
"""

from collections.abc import Callable, Iterable
from functools import reduce

import jax
import jax.numpy as jnp
from jax.experimental.xla_metadata import set_xla_metadata


def _stage(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Keep XLA from fusing a function with what calls it; it would compute sums anew for each of their many uses."""
    compiled = jax.jit(function)

    def apart(*arrays: jax.Array) -> jax.Array:
        with set_xla_metadata(inlineable="false"):
            result: jax.Array = compiled(*arrays)
        return result

    return apart


def _sum(terms: Iterable[jax.Array]) -> jax.Array:
    return reduce(jnp.add, terms)


@_stage
def _scores(queries: jax.Array, tokens: jax.Array) -> jax.Array:
    """Return s_ij = q_i . z_j."""
    return _sum(queries[:, :, k, :, None] * tokens[:, None, k, None] for k in range(queries.shape[2]))


@_stage
def _largest(scores: jax.Array) -> jax.Array:
    return reduce(jnp.maximum, (scores[:, :, :, j] for j in range(scores.shape[3])))


@_stage
def _odds(scores: jax.Array, largest: jax.Array) -> jax.Array:
    return jnp.exp(scores - largest[:, :, :, None])


@_stage
def _total(odds: jax.Array) -> jax.Array:
    return _sum(odds[:, :, :, j] for j in range(odds.shape[3]))


@_stage
def _weighted(weights: jax.Array, tokens: jax.Array) -> jax.Array:
    """Return sum_j w_ij z_j."""
    return _sum(weights[:, :, None, :, j] * tokens[:, None, :, None, j] for j in range(weights.shape[3]))


@_stage
def _gathered(queries: jax.Array, weights: jax.Array) -> jax.Array:
    """Return sum_h sum_i w_hij x_hi, shape (C, D, N, B)."""
    heads, tokens = range(queries.shape[1]), range(queries.shape[3])
    return _sum(queries[:, h, :, None, i] * weights[:, h, None, i] for h in heads for i in tokens)


@_stage
def _slope(cotangent: jax.Array, attended: jax.Array) -> jax.Array:
    return _sum(cotangent[:, :, k] * attended[:, :, k] for k in range(cotangent.shape[2]))


@_stage
def _score_slopes(odds: jax.Array, cotangent: jax.Array, tokens: jax.Array, slope: jax.Array) -> jax.Array:
    """Return P_ij (d_i . z_j - sum_k P_ik d_i . z_k) for odds that are P and d already over the total."""
    return odds * (
        _sum(cotangent[:, :, k, :, None] * tokens[:, None, k, None] for k in range(cotangent.shape[2]))
        - slope[:, :, :, None]
    )


@_stage
def _over(sums: jax.Array, total: jax.Array) -> jax.Array:
    return sums / total[:, :, None]


def _forward(queries: jax.Array, tokens: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    scores = _scores(queries, tokens)
    odds = _odds(scores, _largest(scores))
    total = _total(odds)
    attended = _over(_weighted(odds, tokens), total)
    return attended, (queries, tokens, odds, total, attended)


def _backward(saved: tuple[jax.Array, ...], cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    queries, tokens, odds, total, attended = saved
    cotangent = _over(cotangent, total)
    slopes = _score_slopes(odds, cotangent, tokens, _slope(cotangent, attended))
    d_Z = _gathered(cotangent, odds) + _gathered(queries, slopes)
    return _weighted(slopes, tokens), d_Z if len(tokens) == len(queries) else jnp.sum(d_Z, axis=0, keepdims=True)


attention = jax.custom_vjp(lambda Q, Z: _forward(Q, Z)[0])
"""What token i attends to, u_i = sum_j P_ij z_j with P = softmax(Q^T Z), shape (C, H, D, N, B)."""
attention.defvjp(_forward, _backward)
