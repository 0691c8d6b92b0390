"""Random streams: which inputs a seed's networks see, drawn once for all configurations of the seed."""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lora_proofs.linalg import Array
from lora_proofs.training.networks import Stack

Stream = Literal["train", "validation", "test", "shifted", "adapters", "pretraining"]
STREAMS: tuple[Stream, ...] = ("train", "validation", "test", "shifted", "adapters", "pretraining")


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

    def rng(self, stream: Stream) -> np.random.Generator:
        """Return the generator of one of the seed's streams, which are independent of each other."""
        return np.random.default_rng((self.seed, STREAMS.index(stream)))

    def draw(self, rng: np.random.Generator, batches: int, size: int, scale: float = 1.0) -> tuple[Array, Array]:
        """Return batches of `size` inputs, shape (batches, 1, D, [tokens,] size), and the target's outputs on them."""
        tokens = () if self.tokens is None else (self.tokens,)
        # Drawn in single precision whatever the dtype, so that both precisions see the same data.
        x = rng.standard_normal((batches, 1, self.target.weights.shape[-1], *tokens, size), dtype=np.float32)
        x = jnp.asarray(x, dtype=self.dtype) * scale
        return x if self.prefix is None else outputs(self.prefix, x), outputs(self.target, x)

    def training_data(self, batches: str | int, size: int, lengths: Iterable[int]) -> Iterator[tuple[Array, Array]]:
        """Yield the data of consecutive runs of epochs: one batch an epoch if fresh, else one batch for all of them."""
        rng = self.rng("train")
        once = None if batches == "fresh" else self.draw(rng, 1, size if isinstance(batches, str) else batches)
        for length in lengths:
            yield self.draw(rng, length, size) if once is None else once


def outputs(network: Stack, x: Array) -> Array:
    """Return the network's outputs on batches x of shape (batches, 1, D, ...), one batch after the other."""
    W, b = (jnp.asarray(a, dtype=x.dtype)[None] for a in (network.weights, network.biases))
    return _outputs(W, b, x, network.forward)


_outputs = jax.jit(
    lambda W, b, x, forward: jax.lax.map(lambda batch: forward(W, b, batch), x), static_argnums=3
)
