"""Adam on C configurations at once: one compiled scan over the epochs.

Kingma & Ba, "Adam: A Method for Stochastic Optimization" (arXiv:1412.6980v9, algorithm 1), with weight decay as an L2
term of the gradient, as in ``torch.optim.Adam`` and so in Zeng & Lee's experiments.
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from lora_proofs.training.forward import Forward, times
from lora_proofs.training.losses import Loss

Parameters: TypeAlias = dict[str, jax.Array]
"""What is trained, with a leading axis of C configurations.

Either adapters A (C, k, D, R) and B (C, k, R, D), added as A B to the first k weights, or the weights W (C, n, D, D)
themselves; and, unless they are frozen, the biases b (C, m, D).
"""

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Speeds(NamedTuple):
    """Learning rates and weight decays of the configurations, shape (C,) each."""

    rates: jax.Array
    decays: jax.Array


class State(NamedTuple):
    """Where training stands: parameters, the running first and second moments of their gradients, and the epoch."""

    parameters: Parameters
    first: Parameters
    second: Parameters
    epoch: jax.Array


def start(parameters: Parameters) -> State:
    """Return the state before the first epoch."""
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    return State(parameters, zeros, zeros, jnp.asarray(0, dtype="int32"))


def update(state: State, gradient: Parameters, speeds: Speeds) -> State:
    """Return the state after one step."""

    def each(values: jax.Array, like: jax.Array) -> jax.Array:
        return values.reshape(-1, *(1,) * (like.ndim - 1))

    epoch = state.epoch + 1
    unbias_1, unbias_2 = (1 / (1 - beta ** epoch.astype(speeds.rates.dtype)) for beta in (BETA_1, BETA_2))
    steps = speeds.rates * unbias_1

    def step(parameter: jax.Array, first: jax.Array, second: jax.Array) -> jax.Array:
        return parameter - each(steps, parameter) * first / (jnp.sqrt(second * unbias_2) + EPSILON)

    gradient = jax.tree.map(lambda g, p: g + each(speeds.decays, p) * p, gradient, state.parameters)
    first = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, state.first, gradient)
    second = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, state.second, gradient)
    return State(jax.tree.map(step, state.parameters, first, second), first, second, epoch)


def merged(parameters: Parameters, weights: jax.Array, frozen_biases: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the adapted weights (C, n, D, D) and biases (C, m, D) of frozen ones, (n, D, D) and (m, D)."""
    C = len(next(iter(parameters.values())))
    biases = parameters.get("b", jnp.broadcast_to(frozen_biases, (C, *frozen_biases.shape)))
    if "W" in parameters:
        return parameters["W"], biases
    k = parameters["A"].shape[1]
    untouched = jnp.broadcast_to(weights[k:], (C, *weights[k:].shape))
    return jnp.concatenate([weights[:k] + times(parameters["A"], parameters["B"]), untouched], axis=1), biases


def _epochs(
    state: State,
    weights: jax.Array,
    biases: jax.Array,
    speeds: Speeds,
    inputs: jax.Array,
    targets: jax.Array,
    forward: Forward,
    loss: Loss,
    count: int,
) -> tuple[State, jax.Array]:
    """Return the state after so many epochs, and the losses before each update, shape (count, C).

    Epoch t of this call sees the batch t modulo the number of batches; inputs and targets are (batches, 1, ...).
    """

    def losses(parameters: Parameters, batch: jax.Array) -> tuple[jax.Array, jax.Array]:
        each = loss(forward(*merged(parameters, weights, biases), inputs[batch]), targets[batch])
        return jnp.sum(each), each

    def one(state: State, epoch: jax.Array) -> tuple[State, jax.Array]:
        (_, each), gradient = jax.value_and_grad(losses, has_aux=True)(state.parameters, epoch % len(inputs))
        return update(state, gradient, speeds), each

    after: tuple[State, jax.Array] = jax.lax.scan(one, state, jnp.arange(count))
    return after


epochs = jax.jit(_epochs, static_argnames=("forward", "loss", "count"))


def _scores(
    parameters: Parameters,
    weights: jax.Array,
    biases: jax.Array,
    inputs: jax.Array,
    targets: jax.Array,
    forward: Forward,
    measures: tuple[Loss, ...],
) -> jax.Array:
    """Return the measures of the C configurations on one set of data, shape (measures, C)."""
    outputs = forward(*merged(parameters, weights, biases), inputs)
    return jnp.stack([measure(outputs, targets) for measure in measures])


scores = jax.jit(_scores, static_argnames=("forward", "measures"))
