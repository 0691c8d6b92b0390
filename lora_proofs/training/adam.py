"""Adam on C configurations at once: one compiled scan over the epochs.

Kingma & Ba, "Adam: A Method for Stochastic Optimization" (arXiv:1412.6980v9, algorithm 1), with weight decay as an L2
term of the gradient, as in ``torch.optim.Adam`` and so in Zeng & Lee's experiments.
"""

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from lora_proofs.linalg import Array
from lora_proofs.training.forward import Forward
from lora_proofs.training.losses import Loss

Parameters: TypeAlias = dict[str, Array]
"""What is trained, with a leading axis of C configurations: either adapters A (C, k, D, R) and B (C, k, R, D), added as
A B to the first k weights, or the weights W (C, n, D, D) themselves; and, unless they are frozen, the biases b (C, m, D).
"""

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class State(NamedTuple):
    """Where training stands: parameters, the running first and second moments of their gradients, and the epoch."""

    parameters: Parameters
    first: Parameters
    second: Parameters
    epoch: Array


def start(parameters: Parameters) -> State:
    """Return the state before the first epoch."""
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    return State(parameters, zeros, zeros, jnp.asarray(0, dtype="int32"))


def merged(parameters: Parameters, W: Array, b: Array) -> tuple[Array, Array]:
    """Return the adapted weights (C, n, D, D) and biases (C, m, D) of frozen ones, (n, D, D) and (m, D)."""
    C = len(next(iter(parameters.values())))
    biases = parameters.get("b", jnp.broadcast_to(b, (C, *b.shape)))
    if "W" in parameters:
        return parameters["W"], biases
    k = parameters["A"].shape[1]
    untouched = jnp.broadcast_to(W[k:], (C, *W[k:].shape))
    return jnp.concatenate([W[:k] + parameters["A"] @ parameters["B"], untouched], axis=1), biases


def _epochs(
    state: State, W: Array, b: Array, rates: Array, decays: Array, x: Array, y: Array, forward: Forward, loss: Loss, T: int
) -> tuple[State, Array]:
    """Return the state after T epochs, and the losses before each update, shape (T, C).

    Epoch t of this call sees the batch t modulo the number of batches: x of shape (batches, 1, D, ...), and y alike.
    """

    def losses(parameters: Parameters, batch: Array) -> tuple[Array, Array]:
        each = loss(forward(*merged(parameters, W, b), x[batch]), y[batch])
        return jnp.sum(each), each

    def one(state: State, t: Array) -> tuple[State, Array]:
        (_, each), gradient = jax.value_and_grad(losses, has_aux=True)(state.parameters, t % len(x))
        return update(state, gradient, rates, decays), each

    return jax.lax.scan(one, state, jnp.arange(T))


epochs = jax.jit(_epochs, static_argnames=("forward", "loss", "T"))


def update(state: State, gradient: Parameters, rates: Array, decays: Array) -> State:
    """Return the state after one step with the configurations' learning rates and weight decays, shape (C,)."""

    def each(x: Array, like: Array) -> Array:
        return x.reshape(-1, *(1,) * (like.ndim - 1))

    epoch = state.epoch + 1
    seen_1, seen_2 = (1 - beta ** epoch.astype(rates.dtype) for beta in (BETA_1, BETA_2))
    gradient = jax.tree.map(lambda g, p: g + each(decays, p) * p, gradient, state.parameters)
    first = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, state.first, gradient)
    second = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, state.second, gradient)
    parameters = jax.tree.map(
        lambda p, m, v: p - each(rates / seen_1, p) * m / (jnp.sqrt(v / seen_2) + EPSILON), state.parameters, first, second
    )
    return State(parameters, first, second, epoch)


def _scores(
    parameters: Parameters, W: Array, b: Array, x: Array, y: Array, forward: Forward, measures: tuple[Any, ...]
) -> tuple[Array, ...]:
    """Return each measure of the configurations on one set of data, shape (C,)."""
    outputs = forward(*merged(parameters, W, b), x)
    return tuple(measure(outputs, y) for measure in measures)


scores = jax.jit(_scores, static_argnames=("forward", "measures"))
