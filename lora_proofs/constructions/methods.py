"""Adapt a ReLU network by the method that is asked for: the paper's, or one that needs smaller ranks."""

from collections.abc import Sequence

from lora_proofs.constructions.kinks.gauge import adapt_by_gauge
from lora_proofs.constructions.kinks.staggered import adapt_staggered
from lora_proofs.constructions.relu.blocks import AdaptedReluNetwork, adapt_by_blocks
from lora_proofs.domains import Domain
from lora_proofs.networks.relu import ReluNetwork


def adapt_relu_network(
    frozen: ReluNetwork,
    target: ReluNetwork,
    ranks: int | Sequence[int],
    *,
    domain: Domain,
    partition: str | Sequence[int] | Sequence[Sequence[int]] | None = None,
    method: str = "blocks",
) -> AdaptedReluNetwork:
    """Return adapters and biases with which the frozen network imitates the target on the whole domain.

    Parameters
    ----------
    frozen, target, ranks, domain, partition
        See `adapt_by_blocks`.
    method : {"blocks", "gauge", "staggered"}
        "blocks" is the paper's (Theorems 3, 5 and 6). "gauge" also rescales the target's hidden layers, see
        `adapt_by_gauge`; "staggered" lets frozen layers share the kinks of a target layer, see `adapt_staggered`, and
        takes no partition. Both are for float64 networks of one width, and need smaller ranks for exactness.

    Raises
    ------
    ValueError
        If the method is unknown, or what that method says.

    Examples
    --------
    >>> import numpy as np
    >>> from lora_proofs import Box, instances
    >>> rng = np.random.default_rng(0)
    >>> frozen, target = instances.relu_network(rng, 4, 2), instances.relu_network(rng, 4, 1)
    >>> adapted = adapt_relu_network(frozen, target, 2, domain=Box(-1, 1))
    >>> adapted.certificate.holds
    True
    """
    if method == "blocks":
        return adapt_by_blocks(frozen, target, ranks, domain=domain, partition=partition)
    if method == "gauge" and not isinstance(partition, str):
        return adapt_by_gauge(frozen, target, ranks, domain=domain, partition=partition)
    if method == "staggered" and partition is None:
        return adapt_staggered(frozen, target, ranks, domain=domain)
    raise ValueError(
        f"method is {method!r} with the partition {partition!r}; pass 'blocks', 'gauge' with block sizes or None, or "
        "'staggered' with None"
    )
