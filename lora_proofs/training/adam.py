"""Adam on C configurations at once: one compiled scan over the epochs.

Kingma & Ba, "Adam: A Method for Stochastic Optimization" (arXiv:1412.6980v9, algorithm 1), with weight decay as an L2
term of the gradient, as in ``torch.optim.Adam`` and so in Zeng & Lee's experiments.
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array

from lora_proofs.training.forward import Forward, times
from lora_proofs.training.losses import Loss

Parameters: TypeAlias = dict[str, Array]
"""What is trained, with a leading axis of C configurations.

Either adapters A (C, k, D, R) and B (C, k, R, D), added as A B to the first k weights, or the weights W (C, n, D, D)
themselves; and, unless they are frozen, the biases b (C, m, D).
"""

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Speeds(NamedTuple):
    """Learning rates and weight decays of the configurations, shape (C,) each."""

    rates: Array
    decays: Array


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


def update(state: State, gradient: Parameters, speeds: Speeds) -> State:
    """Return the state after one step."""

    def each(values: Array, like: Array) -> Array:
        return values.reshape(-1, *(1,) * (like.ndim - 1))

    epoch = state.epoch + 1
    unbias_1, unbias_2 = (1 / (1 - beta ** epoch.astype(speeds.rates.dtype)) for beta in (BETA_1, BETA_2))
    steps = speeds.rates * unbias_1

    def step(p: Array, m: Array, v: Array) -> Array:
        return p - each(steps, p) * m / (jnp.sqrt(v * unbias_2) + EPSILON)

    gradient = jax.tree.map(lambda g, p: g + each(speeds.decays, p) * p, gradient, state.parameters)
    first = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, state.first, gradient)
    second = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, state.second, gradient)
    return State(jax.tree.map(step, state.parameters, first, second), first, second, epoch)


def merged(parameters: Parameters, W: Array, b: Array) -> tuple[Array, Array]:
    """Return the adapted weights (C, n, D, D) and biases (C, m, D) of frozen ones, (n, D, D) and (m, D)."""
    C = len(next(iter(parameters.values())))
    biases = parameters.get("b", jnp.broadcast_to(b, (C, *b.shape)))
    if "W" in parameters:
        return parameters["W"], biases
    k = parameters["A"].shape[1]
    untouched = jnp.broadcast_to(W[k:], (C, *W[k:].shape))
    return jnp.concatenate([W[:k] + times(parameters["A"], parameters["B"]), untouched], axis=1), biases


def _epochs(
    state: State, W: Array, b: Array, speeds: Speeds, x: Array, y: Array, forward: Forward, loss: Loss, T: int
) -> tuple[State, Array]:
    """Return the state after T epochs, and the losses before each update, shape (T, C).

    Epoch t of this call sees the batch t modulo the number of batches: x of shape (batches, 1, ...), and y alike.
    """

    def losses(parameters: Parameters, batch: Array) -> tuple[Array, Array]:
        each = loss(forward(*merged(parameters, W, b), x[batch]), y[batch])
        return jnp.sum(each), each

    def one(state: State, t: Array) -> tuple[State, Array]:
        (_, each), gradient = jax.value_and_grad(losses, has_aux=True)(state.parameters, t % len(x))
        return update(state, gradient, speeds), each

    after: tuple[State, Array] = jax.lax.scan(one, state, jnp.arange(T))
    return after


epochs = jax.jit(_epochs, static_argnames=("forward", "loss", "T"))


def _scores(
    parameters: Parameters, W: Array, b: Array, x: Array, y: Array, forward: Forward, measures: tuple[Loss, ...]
) -> Array:
    """Return the measures of the C configurations on one set of data, shape (measures, C)."""
    outputs = forward(*merged(parameters, W, b), x)
    return jnp.stack([measure(outputs, y) for measure in measures])


scores = jax.jit(_scores, static_argnames=("forward", "measures"))
