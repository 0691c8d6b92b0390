"""The configurations of one seed trained side by side, in pieces that fit the cache."""

from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from lora_proofs.linalg import Array
from lora_proofs.training import adam, losses
from lora_proofs.training.adam import Parameters, State
from lora_proofs.training.data import Source
from lora_proofs.training.networks import Stack

SLAB = 100
"""Epochs whose batches are held at a time."""
COLUMNS = 12288
"""Configurations times data points that are worked on at a time: what stays in the cache, found by timing."""
SHIFT = 5.0
"""The shifted test inputs are drawn from N(0, 5^2 I)."""


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
    halving : sequence of (epoch, keep)
        After that epoch go on with the best `keep` settings of each rank only, by validation loss.
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
    halving: tuple[tuple[int, int], ...] = ()
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
        stops = [0, *(epoch for epoch, _ in self.halving), self.epochs]
        if any(a >= b for a, b in pairwise(stops)) or any(keep < 1 for _, keep in self.halving):
            raise ValueError(f"halving is {self.halving}; pass increasing epochs below {self.epochs}, keeping at least 1")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype is {self.dtype!r}; pass 'float32' or 'float64'")


@dataclass(frozen=True)
class Job:
    """The configurations of one seed: `rows` ranks (or one network) times the settings, row by row.

    `parameters` have one entry a row; `ranks` says how many columns of the row's adapters are not zero: those that
    are stay zero, since their gradients are.
    """

    source: Source
    frozen: Stack
    parameters: Parameters
    ranks: Array | None = None


def train(job: Job, settings: Settings) -> dict[str, Array]:
    """Return losses and accuracies of all configurations, shape (rows, learning rates, weight decays[, epochs])."""
    shape = (len(next(iter(job.parameters.values()))), len(settings.learning_rates), len(settings.weight_decays))
    row, rate, decay = (index.ravel() for index in np.indices(shape))
    rates, decays = np.asarray(settings.learning_rates)[rate], np.asarray(settings.weight_decays)[decay]
    loss, accuracy = losses.named(settings.loss, settings.classes, job.frozen.weights.shape[-1])
    measures = (loss,) if accuracy is None else (loss, accuracy)
    dtype = settings.dtype
    W, b = (jnp.asarray(a, dtype=dtype) for a in job.frozen[:2])
    columns = settings.batches if isinstance(settings.batches, int) else settings.batch_size
    size = max(1, COLUMNS // (columns * (job.source.tokens or 1)))

    def score(stream: str, scale: float = 1.0) -> list[Array]:
        x, y = job.source.draw(job.source.rng(stream), 1, settings.test_size, scale)
        found = np.full((len(measures), len(row)), np.nan)
        for piece, state in pieces:
            found[:, piece] = adam.scores(state.parameters, W, b, x[0], y[0], job.frozen.forward, measures)
        return [values.reshape(shape) for values in found]

    history = np.full((len(row), settings.epochs), np.nan, dtype=dtype)
    stops = [*(epoch for epoch, _ in settings.halving), settings.epochs]
    runs = [(a, min(a + SLAB, stop)) for start, stop in pairwise([0, *stops]) for a in range(start, stop, SLAB)]
    full = adam.start({name: jnp.asarray(p, dtype=dtype)[row] for name, p in job.parameters.items()})
    pieces = _split(full, np.arange(len(row)), job.ranks, row, size)
    keep = dict(settings.halving)
    data = job.source.training_data(settings.batches, settings.batch_size, [stop - start for start, stop in runs])
    for (start, stop), (x, y) in zip(runs, data, strict=True):
        seen = []
        for k, (piece, state) in enumerate(pieces):
            speeds = jnp.asarray(rates[piece], dtype=dtype), jnp.asarray(decays[piece], dtype=dtype)
            state, each = adam.epochs(state, W, b, *speeds, x, y, job.frozen.forward, loss, stop - start)
            pieces[k] = piece, state
            seen.append(each)
        for (piece, _), each in zip(pieces, seen, strict=True):
            history[piece, start:stop] = np.asarray(each).T
        if stop in keep:
            kept = _best(score("validation")[0], keep[stop])
            pieces = _split(_joined(full, pieces), kept, job.ranks, row, size)
    names = ("loss", "accuracy")[: len(measures)]
    found = {
        f"{data_set}_{name}": values
        for data_set, stream, scale in (("validation", "validation", 1.0), ("test", "test", 1.0), ("shifted", "shifted", SHIFT))
        for name, values in zip(names, score(stream, scale), strict=True)
    }
    return {"train_loss": history.reshape(*shape, -1), **found}


def _split(full: State, kept: Array, ranks: Array | None, row: Array, size: int) -> list[tuple[Array, State]]:
    """Return pieces of `size` configurations, as (indices, state), the adapters cut to the largest rank of the piece."""
    pieces = []
    for piece in (kept[i : i + size] for i in range(0, len(kept), size)):
        R = None if ranks is None else int(np.max(ranks[row[piece]]))
        cut = {"A": np.s_[..., :R], "B": np.s_[..., :R, :]}
        chosen = [{name: p[piece][cut.get(name, ...)] for name, p in part.items()} for part in full[:3]]
        pieces.append((piece, State(*chosen, epoch=full.epoch)))
    return pieces


def _joined(full: State, pieces: list[tuple[Array, State]]) -> State:
    """Return the state of all configurations, those of the pieces brought up to date."""
    for piece, state in pieces:
        parts = []
        for old, new in zip(full[:3], state[:3], strict=True):
            parts.append({name: _written(old[name], piece, new[name]) for name in old})
        full = State(*parts, epoch=state.epoch)
    return full


def _written(old: Array, piece: Array, new: Array) -> Array:
    inner = tuple(slice(0, n) for n in new.shape[1:])
    return old.at[(piece, *inner)].set(new)


def _best(loss: Array, keep: int) -> Array:
    """Return the indices, ascending, of the `keep` least losses of each row of (rows, learning rates, weight decays)."""
    flat = loss.reshape(len(loss), -1)
    order = np.argsort(np.where(np.isnan(flat), np.inf, flat), axis=1, kind="stable")[:, :keep]
    return np.sort((order + flat.shape[1] * np.arange(len(flat))[:, None]).ravel())
