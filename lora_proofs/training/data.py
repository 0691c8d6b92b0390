"""Random streams: which inputs a seed's networks see, drawn once for all configurations of the seed."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lora_proofs.training.networks import Stack

STREAMS = ("train", "validation", "test", "shifted", "adapters", "pretraining")
SLAB = 100
"""Epochs whose batches are held at a time."""


class Source(NamedTuple):
    """Where a seed's data come from: standard normal inputs x, and the target's outputs.

    With a `prefix` the trained network reads prefix(x) in place of x: the frozen first layers of final-layer tuning.
    Sentences have `tokens` tokens; other inputs, None.
    """

    seed: int
    dtype: str
    tokens: int | None
    target: Stack
    prefix: Stack | None = None

    def rng(self, stream: str) -> np.random.Generator:
        """Return the generator of one of the seed's streams, which are independent of each other."""
        return np.random.default_rng((self.seed, STREAMS.index(stream)))

    def draw(
        self, rng: np.random.Generator, batches: int, size: int, scale: float = 1.0
    ) -> tuple[jax.Array, jax.Array]:
        """Return batches of `size` inputs and the target's outputs on them.

        Shape (batches, 1, D, size), or for sentences (batches, 1, D, tokens, size).
        """
        D = self.target.weights.shape[-1]
        shape = (D, size) if self.tokens is None else (D, self.tokens, size)
        # Drawn in single precision whatever the dtype, so that both precisions see the same data.
        x = rng.standard_normal((batches, 1, *shape), dtype=np.float32)
        x = jnp.asarray(x, dtype=self.dtype) * scale
        return x if self.prefix is None else outputs(self.prefix, x), outputs(self.target, x)

    def training_data(self, batches: str | int, size: int, epochs: int) -> Iterator[tuple[jax.Array, jax.Array, int]]:
        """Yield (x, y, T), the data of T consecutive epochs: T batches if they are fresh, else one for all epochs."""
        rng = self.rng("train")
        once = None if batches == "fresh" else self.draw(rng, 1, size if isinstance(batches, str) else batches)
        for done in range(0, epochs, SLAB):
            T = min(SLAB, epochs - done)
            yield *(self.draw(rng, T, size) if once is None else once), T


def outputs(network: Stack, inputs: jax.Array) -> jax.Array:
    """Return the network's outputs on batches of shape (batches, 1, ...), one batch after the other."""
    W, b = (jnp.asarray(a, dtype=inputs.dtype)[None] for a in (network.weights, network.biases))
    return _outputs(W, b, inputs, network.forward)


_outputs = jax.jit(lambda W, b, x, forward: jax.lax.map(lambda batch: forward(W, b, batch), x), static_argnums=3)
