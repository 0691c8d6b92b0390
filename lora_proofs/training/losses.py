"""Losses of C configurations against one target: outputs of shape (C, ...) and the target's of shape (1, ...)."""

from collections.abc import Callable
from functools import cache, partial
from typing import TypeAlias

import jax
import jax.numpy as jnp

Loss: TypeAlias = Callable[[jax.Array, jax.Array], jax.Array]
"""Outputs (C, ...) and the target's outputs (1, ...) to the C losses."""


def squared(outputs: jax.Array, target: jax.Array) -> jax.Array:
    """Return the mean of the squared differences over entries and data points."""
    error = outputs - target
    return jnp.mean(error * error, axis=range(1, error.ndim))


def logits(outputs: jax.Array, classes: int) -> jax.Array:
    """Return the sums of K equal groups of outputs, shape (C, K, B); one output a group if K = D."""
    return outputs.reshape(len(outputs), classes, -1, outputs.shape[-1]).sum(axis=2)


def cross_entropy(outputs: jax.Array, target: jax.Array, classes: int) -> jax.Array:
    """Return the mean cross-entropy against the class that the target prefers."""
    labels = jnp.argmax(logits(target, classes), axis=1)
    return _soft_cross_entropy(logits(outputs, classes), jax.nn.one_hot(labels, classes, axis=1, dtype=outputs.dtype))


def improper_cross_entropy(outputs: jax.Array, target: jax.Array, classes: int) -> jax.Array:
    """Return what Zeng & Lee's code minimises: the target's outputs, which do not sum to one, as soft labels."""
    return _soft_cross_entropy(logits(outputs, classes), logits(target, classes))


def accuracy(outputs: jax.Array, target: jax.Array, classes: int) -> jax.Array:
    """Return how often, of B points, a configuration prefers the class that the target prefers."""
    prefers = [jnp.argmax(logits(y, classes), axis=1) for y in (outputs, target)]
    return jnp.mean(prefers[0] == prefers[1], axis=1, dtype=outputs.dtype)


def _soft_cross_entropy(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the mean over the points of -sum_k q_k log softmax(z)_k."""
    return jnp.mean(
        jnp.sum(labels, axis=1) * jax.nn.logsumexp(scores, axis=1) - jnp.sum(labels * scores, axis=1), axis=1
    )


@cache  # one object a loss, since JAX compiles anew for each function that it has not seen
def named(loss: str, classes: int | None, width: int) -> tuple[Loss, Loss | None]:
    """Return the loss of that name, and the accuracy that goes with it (None for the squared loss).

    Raises
    ------
    ValueError
        If there is no such loss, or D outputs do not fall into equal groups, one a class.
    """
    if loss == "squared":
        if classes is not None:
            raise ValueError("the squared loss has no classes; leave classes out, or pass a cross-entropy")
        return squared, None
    losses = {"cross_entropy": cross_entropy, "improper_cross_entropy": improper_cross_entropy}
    if loss not in losses:
        raise ValueError(f"no loss {loss!r}; pass 'squared', 'cross_entropy' or 'improper_cross_entropy'")
    K = width if classes is None else classes
    if K < 2 or width % K:
        raise ValueError(
            f"{width} outputs do not fall into {K} equal groups; pass a number of classes that divides {width}"
        )
    return partial(losses[loss], classes=K), partial(accuracy, classes=K)
