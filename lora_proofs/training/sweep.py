"""The configurations of one seed, trained side by side in pieces that fit the cache."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lora_proofs.training import adam, losses
from lora_proofs.training.adam import Parameters
from lora_proofs.training.data import Source
from lora_proofs.training.networks import Stack

COLUMNS = 24576
"""Configurations times layers times data points (tokens) worked on at a time: what stays in the cache, by timing."""
SHIFT = 5.0
"""The inputs of the shifted test set are drawn from N(0, 5^2 I)."""


@dataclass(frozen=True)
class Settings:
    """How to train, and what on. The defaults are those of Zeng & Lee's experiments (arXiv:2310.17513v3, appendix).

    Parameters
    ----------
    learning_rates, weight_decays : sequences of float
        Adam's, each with each; the weight decay is an L2 term of the gradient.
    epochs : int
        One step each.
    batch_size : int
    batches : "fresh", "fixed" or int
        A new batch at each epoch; the same one at each epoch; or that many training points, all of them at each epoch.
    loss : "squared", "cross_entropy" or "improper_cross_entropy"
        The second against the class that the target prefers; the third against the target's outputs as soft labels,
        which do not sum to one: Zeng & Lee's.
    classes : int, optional
        The D outputs are summed in this many equal groups; one output a class if left out. Cross-entropies only.
    tokens : int
        In a transformer's sentence.
    test_size : int
        Points of the validation, the test and the shifted test set.
    dtype : "float32" or "float64"

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    learning_rates: tuple[float, ...] = (1e-2, 1e-3, 1e-4)
    weight_decays: tuple[float, ...] = (0.0, 1e-4, 1e-3, 1e-2)
    epochs: int = 5000
    batch_size: int = 256
    batches: str | int = "fresh"
    loss: str = "squared"
    classes: int | None = None
    tokens: int = 10
    test_size: int = 5000
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "tokens", "test_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; pass at least 1")
        for name in ("learning_rates", "weight_decays"):
            values = tuple(getattr(self, name))
            if not values or not all(np.isfinite(v) and v >= 0 for v in values):
                raise ValueError(f"{name} is {values}; pass at least one number, none of them negative")
        if self.batches not in ("fresh", "fixed") and not (isinstance(self.batches, int) and self.batches > 0):
            raise ValueError(f"batches is {self.batches!r}; pass 'fresh', 'fixed' or the size of a training set")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype is {self.dtype!r}; pass 'float32' or 'float64'")


@dataclass(frozen=True)
class Job:
    """The configurations of one seed: rows (ranks, or a single network) times settings, row by row.

    `parameters` have one entry a row. Columns of adapters from the row's entry of `ranks` on are zero; they stay so,
    since their gradients are, which is what lets different ranks share one array.
    """

    source: Source
    frozen: Stack
    parameters: Parameters
    ranks: NDArray[Any] | None = None

    def start(self, rows: NDArray[Any], dtype: str) -> Parameters:
        """Return the parameters of these rows, the adapters cut to the largest rank among them.

        Rounded up to a power of two: each width is compiled anew, which takes seconds.
        """
        R = None if self.ranks is None else 1 << int(np.max(self.ranks[rows]) - 1).bit_length()
        cut = {"A": np.s_[..., :R], "B": np.s_[..., :R, :]}
        return {name: jnp.asarray(p[rows][cut.get(name, ...)], dtype=dtype) for name, p in self.parameters.items()}


def train(job: Job, settings: Settings) -> dict[str, NDArray[Any]]:
    """Return losses and accuracies of all configurations, shape (rows, learning rates, weight decays[, epochs])."""
    dtype, forward = settings.dtype, job.frozen.forward
    grid = (len(settings.learning_rates), len(settings.weight_decays))
    shape = (len(next(iter(job.parameters.values()))), *grid)
    row, rate, decay = (index.ravel() for index in np.indices(shape))
    loss, accuracy = losses.named(settings.loss, settings.classes, job.frozen.weights.shape[-1])
    measures = (loss,) if accuracy is None else (loss, accuracy)
    W, b = (jnp.asarray(a, dtype=dtype) for a in (job.frozen.weights, job.frozen.biases))

    points = settings.batches if isinstance(settings.batches, int) else settings.batch_size
    layers = len(job.frozen.biases) or len(job.frozen.weights)
    size = max(1, COLUMNS // (points * (job.source.tokens or 1) * layers))
    pieces = [np.arange(i, min(i + size, len(row))) for i in range(0, len(row), size)]
    chosen = np.asarray(settings.learning_rates)[rate], np.asarray(settings.weight_decays)[decay]
    speeds = [adam.Speeds(*(jnp.asarray(v[piece], dtype=dtype) for v in chosen)) for piece in pieces]
    states = [adam.start(job.start(row[piece], dtype)) for piece in pieces]

    history = []
    for x, y, T in job.source.training_data(settings.batches, settings.batch_size, settings.epochs):
        results = [
            adam.epochs(state, W, b, speed, x, y, forward, loss, T) for state, speed in zip(states, speeds, strict=True)
        ]
        states = [state for state, _ in results]
        history.append(np.concatenate([np.asarray(losses) for _, losses in results], axis=1))
    found = {"train_loss": np.concatenate(history).T.reshape(*shape, -1)}
    for name, scale in (("validation", 1.0), ("test", 1.0), ("shifted", SHIFT)):
        x, y = job.source.draw(job.source.rng(name), 1, settings.test_size, scale)
        parts = [adam.scores(state.parameters, W, b, x[0], y[0], forward, measures) for state in states]
        scores = np.concatenate([np.asarray(part) for part in parts], axis=1).reshape(-1, *shape)
        found |= {f"{name}_{kind}": values for kind, values in zip(("loss", "accuracy"), scores, strict=False)}
    return found
