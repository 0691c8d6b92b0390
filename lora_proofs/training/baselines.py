"""Gradient-trained baselines: adapters of each rank, the last layers, or everything, all settings at once."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lora_proofs.networks.transformer import TransformerNetwork
from lora_proofs.training import adam
from lora_proofs.training.adam import Speeds
from lora_proofs.training.data import Source
from lora_proofs.training.losses import squared
from lora_proofs.training.networks import Network, Stack, stack, unstack
from lora_proofs.training.sweep import Job, Settings, train

ADAPTER_STD = 0.25
"""Zeng & Lee start from Delta = A B^T with A = 0 and the entries of B drawn from N(0, 0.25^2)."""


@dataclass(frozen=True)
class Training:
    """What a sweep reached, in arrays with axes (seeds, ranks or numbers of layers, learning rates, weight decays).

    All are taken after the last epoch, except `train_loss`, which has a last axis of epochs. The inputs of the shifted
    test set have five times the standard deviation. The accuracies are None for the squared loss.
    """

    learning_rate: NDArray[Any]
    weight_decay: NDArray[Any]
    train_loss: NDArray[Any]
    validation_loss: NDArray[Any]
    test_loss: NDArray[Any]
    shifted_loss: NDArray[Any]
    validation_accuracy: NDArray[Any] | None = None
    test_accuracy: NDArray[Any] | None = None
    shifted_accuracy: NDArray[Any] | None = None

    @property
    def best(self) -> "Training":
        """The setting of the least validation loss, for each seed and rank: the arrays without their axes 2 and 3."""
        shape = self.validation_loss.shape[:2]
        loss = self.validation_loss.reshape(*shape, -1)
        chosen = np.argmin(np.where(np.isnan(loss), np.inf, loss), axis=2)
        seed, row = np.indices(shape)
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        flat = {name: x if x is None else x.reshape(*loss.shape, *x.shape[4:]) for name, x in values.items()}
        best: dict[str, Any] = {name: x if x is None else x[seed, row, chosen] for name, x in flat.items()}
        return Training(**best)


def train_adapters(
    targets: Sequence[Network],
    frozen: Sequence[Network],
    ranks: Iterable[int],
    *,
    tune_biases: bool = True,
    seeds: Iterable[int] | None = None,
    **settings: Any,
) -> Training:
    """Train LoRA adapters of each rank, with all learning rates and weight decays, to imitate the targets.

    The protocol is that of Zeng & Lee (arXiv:2310.17513v3, section 5 and appendix): Delta = A B^T on every layer, A = 0
    and B random at the start, Adam, the setting chosen by validation loss. Here the training, validation and test
    inputs and the start come from streams of their own, and the ranks of a seed share all of them: rank R starts from
    the first R columns of the same B.

    Parameters
    ----------
    targets, frozen : sequences of S networks
        One pair a seed, all of one kind, width and depth: ReluNetwork, TransformerNetwork, or linear chains, each a
        list of square matrices W_1, ..., W_L.
    ranks : sequence of int
        Between 1 and D.
    tune_biases : bool
        Whether the biases are trained too.
    seeds : sequence of S int, optional
        The names of the random streams; 0, ..., S - 1 if left out. A seed gives the same result alone.
    **settings
        The fields of `Settings`.

    Raises
    ------
    ValueError
        If networks, ranks or settings do not fit together.
    """
    ranks = np.asarray(list(ranks))
    protocol = Settings(**settings)

    def jobs(seed: int, target: Network, start: Network) -> list[Job]:
        source, network = _source(seed, target, start, protocol), stack(start)
        D, k = network.weights.shape[-1], network.adaptable
        if not len(ranks) or ranks.dtype.kind != "i" or ranks.min() < 1 or ranks.max() > D:
            raise ValueError(f"the ranks are {ranks.tolist()}; pass integers between 1 and the width {D}")
        R = int(ranks.max())
        B = ADAPTER_STD * source.rng("adapters").standard_normal((k, D, D))[:, :R]
        columns = np.arange(R) < ranks[:, None]
        parameters = {"A": np.zeros((len(ranks), k, D, R)), "B": np.where(columns[:, None, :, None], B, 0.0)}
        if tune_biases and network.biases.size:
            parameters["b"] = np.broadcast_to(network.biases, (len(ranks), *network.biases.shape))
        return [Job(source, network, parameters, ranks)]

    return _train(targets, frozen, seeds, protocol, jobs)


def train_final_layers(
    targets: Sequence[Network],
    frozen: Sequence[Network],
    last_layers: Iterable[int],
    *,
    seeds: Iterable[int] | None = None,
    **settings: Any,
) -> Training:
    """Train all weights and biases of the last k layers, for each k, in place of adapters; as `train_adapters`.

    Raises
    ------
    ValueError
        If networks, numbers of layers or settings do not fit together, or the networks are transformers.
    """
    last_layers = list(last_layers)
    protocol = Settings(**settings)

    def jobs(seed: int, target: Network, start: Network) -> list[Job]:
        if isinstance(start, TransformerNetwork):
            raise ValueError("the last layers of a transformer are not trained; pass ReluNetworks or linear chains")
        source, (W, b, forward, L) = _source(seed, target, start, protocol), stack(start)
        if not last_layers or not all(1 <= k <= L for k in last_layers):
            raise ValueError(f"the numbers of last layers are {last_layers}; pass integers between 1 and {L}")
        return [
            Job(
                source._replace(prefix=Stack(W[: L - k], b[: L - k], forward, 0) if k < L else None),
                Stack(W[L - k :], b[L - k :], forward, k),
                {"W": W[None, L - k :]} | ({"b": b[None, L - k :]} if b.size else {}),
            )
            for k in last_layers
        ]

    return _train(targets, frozen, seeds, protocol, jobs)


def pretrain(
    targets: Sequence[Network],
    frozen: Sequence[Network],
    *,
    epochs: int = 1000,
    learning_rate: float = 1e-3,
    level: float = 3.0,
    seeds: Iterable[int] | None = None,
    **settings: Any,
) -> list[Network]:
    """Return the frozen networks trained, all of their parameters, until the loss is below 1 / level of the first.

    The recipe by which Zeng & Lee (arXiv:2310.17513v3, appendix) make a "pretrained" model: Adam, fresh batches,
    squared loss, and at most so many epochs. Settings of use: `batch_size`, `tokens`, `dtype`.
    """
    protocol = Settings(**settings, epochs=epochs, learning_rates=(learning_rate,), weight_decays=(0.0,))
    found = []
    with _precision(protocol):
        for seed, target, start in _pairs(targets, frozen, seeds):
            source, network = _source(seed, target, start, protocol), stack(start)
            found.append(unstack(start, *_pretrained(source, network, protocol, level)))
    return found


def _pretrained(source: Source, network: Stack, protocol: Settings, level: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the weights and biases before the first update whose loss is below 1 / level of the first loss."""
    W, b = (jnp.asarray(a, dtype=protocol.dtype) for a in network[:2])
    state = adam.start({"W": W[None]} | ({"b": b[None]} if b.size else {}))
    speeds = Speeds(*(jnp.full(1, v, dtype=protocol.dtype) for v in (protocol.learning_rates[0], 0.0)))
    rng, first = source.rng("pretraining"), None
    for _ in range(protocol.epochs):
        x, y = source.draw(rng, 1, protocol.batch_size)
        after, loss = adam.epochs(state, W, b, speeds, x, y, network.forward, squared, 1)
        first = loss.item() if first is None else first
        if loss.item() < first / level:
            break
        state = after
    weights, biases = adam.merged(state.parameters, W, b)
    return np.asarray(weights[0], dtype=float), np.asarray(biases[0], dtype=float)


def _train(
    targets: Sequence[Network],
    frozen: Sequence[Network],
    seeds: Iterable[int] | None,
    protocol: Settings,
    jobs: Callable[[int, Network, Network], list[Job]],
) -> Training:
    with _precision(protocol):
        found = [
            [train(job, protocol) for job in jobs(seed, target, start)]
            for seed, target, start in _pairs(targets, frozen, seeds)
        ]
    values = {
        name: np.stack([np.concatenate([part[name] for part in parts]) for parts in found]) for name in found[0][0]
    }
    grid = np.meshgrid(protocol.learning_rates, protocol.weight_decays, indexing="ij")
    rates, decays = (np.broadcast_to(axis, values["test_loss"].shape) for axis in grid)
    return Training(rates, decays, **values)


def _pairs(
    targets: Sequence[Network], frozen: Sequence[Network], seeds: Iterable[int] | None
) -> list[tuple[int, Network, Network]]:
    seeds = list(range(len(targets)) if seeds is None else seeds)
    if not len(targets) or not len(targets) == len(frozen) == len(seeds):
        counts = f"{len(targets)} targets, {len(frozen)} frozen networks and {len(seeds)} seeds"
        raise ValueError(f"{counts}: pass lists of one length, one pair of networks a seed")
    return list(zip(seeds, targets, frozen, strict=True))


def _source(seed: int, target: Network, start: Network, protocol: Settings) -> Source:
    wanted, given = stack(target), stack(start)
    if wanted.forward is not given.forward:
        raise ValueError(f"a {type(start).__name__} cannot imitate a {type(target).__name__}; pass two of one kind")
    if wanted.weights.shape[-1] != given.weights.shape[-1]:
        widths = wanted.weights.shape[-1], given.weights.shape[-1]
        raise ValueError(f"target and frozen network have widths {widths[0]} and {widths[1]}; pass two of one width")
    tokens = protocol.tokens if isinstance(target, TransformerNetwork) else None
    return Source(seed, protocol.dtype, tokens, wanted)


def _precision(protocol: Settings) -> AbstractContextManager[None]:
    context: AbstractContextManager[None] = jax.enable_x64(protocol.dtype == "float64")
    return context
