r"""What ranks an exact adaptation of one network to another needs, and what they cost (Zeng & Lee, arXiv 2310.17513v3).

A group of m consecutive frozen matrices whose product has to change by a matrix of rank g can do so with ranks R_1 +
... + R_m = g, however they are distributed (Lemma 1 and its appendix form); fewer are too few for the product. In a
linear chain all matrices are one group; in a ReLU network (Theorems 3 and 6) a partition gives one group a target
layer; in a transformer (Theorem 7) every head has the groups (W_Q, W_K) and (W_V, W_O), and (W_{2L}, W_o) is the last.

A rank-R adapter of a D x D matrix has 2DR parameters, but the matrices of rank R have dimension R(2D - R): B and A may
be exchanged for B G and G^{-1} A. At R = D these are 2D^2 and D^2, so rank for rank it is cheaper to spend the whole
rank of a group on one of its matrices.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from lora_proofs.constructions.relu.blocks import Corner, check_networks
from lora_proofs.constructions.relu.partition import Partition, best_partition, required_ranks, uniform_partition
from lora_proofs.constructions.transformer.adapt import functionality_gaps
from lora_proofs.display import text_table
from lora_proofs.exact import algebra, matrices
from lora_proofs.linalg import (
    Array,
    chain_product,
    check_matrix,
    check_one_kind,
    is_singular,
    numerical_rank,
    spectral_norm,
)
from lora_proofs.networks.files import read_network
from lora_proofs.networks.relu import ReluNetwork
from lora_proofs.networks.transformer import TransformerNetwork

_CLEAR = 1e3
"""Spectral gap below which a rank is in doubt."""

_SHORT = 8
"""Up to so many ranks are printed one by one."""


@dataclass(frozen=True)
class Option:
    """One way to adapt.

    Attributes
    ----------
    name : str
    ranks : tuple of int
        One a frozen matrix, in the order of the groups; empty where whole matrices are tuned.
    groups : tuple of int
        The sizes of the groups of frozen matrices: of the partition's blocks, for a ReLU network.
    parameters : int
        sum 2 D R, or the number of entries that are tuned. Biases are not counted.
    dimension : int
        sum R (2D - R), the dimension of what can be reached; or the number of entries that are tuned.
    exact : bool
        Whether the theorems give equality with the target.
    """

    name: str
    ranks: tuple[int, ...]
    groups: tuple[int, ...]
    parameters: int
    dimension: int
    exact: bool


@dataclass(frozen=True)
class Plan:
    """The result of `plan`: a table by ``str``, plain data by `to_json`.

    Attributes
    ----------
    pair : str
        The two networks in words.
    options : tuple of Option
        The first is the theorem's: one rank for all matrices.
    gap : float
        The least ratio sigma_r / sigma_{r+1} at the ranks of the options: they are in doubt below 1e3. Infinite where
        ranks are exact.
    notes : tuple of str
        Hypotheses that are violated or in doubt, and what is not counted.
    """

    pair: str
    options: tuple[Option, ...]
    gap: float
    notes: tuple[str, ...]

    @property
    def rank(self) -> int:
        """The smallest rank that is enough for every matrix alike, over all partitions."""
        return min(max(option.ranks) for option in self.options if option.ranks)

    def to_json(self) -> str:
        """Return the plan as a JSON text; an infinite gap is null."""
        data = {"schema": 1, **asdict(self), "rank": self.rank, "gap": self.gap if np.isfinite(self.gap) else None}
        return json.dumps(data, indent=1) + "\n"

    def __str__(self) -> str:
        """Return the table, the smallest uniform rank, and the notes."""
        rows = [("", "blocks", "ranks", "2DR", "R(2D-R)", "exact")]
        for o in self.options:
            ranks = _runs(o.ranks) if o.ranks else "all entries"
            cells = (o.name, _runs(o.groups), ranks, f"{o.parameters}", f"{o.dimension}", "yes" if o.exact else "no")
            rows.append(cells)
        enough = f"rank {self.rank} for every matrix is enough"
        return "\n".join([self.pair, *text_table(rows, "<<<>><"), enough, *(f"- {note}" for note in self.notes)])


def plan(frozen: Any, target: Any) -> Plan:
    """Return the ranks with which the frozen network becomes the target exactly, and their parameter counts.

    Parameters
    ----------
    frozen, target
        Two `ReluNetwork`, the frozen one of one width and at least as deep and as wide as the target; or two
        `TransformerNetwork` of one shape; or a list of square matrices W_1, ..., W_L and a matrix. Floating (ranks are
        counted above rounding of the coarser of the two dtypes), or rational (ranks are exact).

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If the two do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> from lora_proofs import instances
    >>> rng = np.random.default_rng(0)
    >>> found = plan(instances.relu_network(rng, 4, 2), instances.relu_network(rng, 4, 1))
    >>> found.rank
    2
    """
    if isinstance(frozen, ReluNetwork) and isinstance(target, ReluNetwork):
        return _plan_relu_networks(frozen, target)
    if isinstance(frozen, TransformerNetwork) and isinstance(target, TransformerNetwork):
        return _plan_transformers(frozen, target)
    if isinstance(frozen, Sequence):
        return _plan_chain(frozen, target)
    raise ValueError(
        f"cannot plan from a {type(frozen).__name__} to a {type(target).__name__}; pass two ReluNetworks, two "
        "TransformerNetworks, or a list of square matrices and a matrix"
    )


def plan_files(frozen: str | Path, target: str | Path) -> Plan:
    """Return `plan` of two ReLU networks in safetensors files, read by `read_network`."""
    return plan(read_network(frozen), read_network(target))


def _plan_relu_networks(frozen: ReluNetwork, target: ReluNetwork) -> Plan:
    D, d = check_networks(frozen, target)
    L, Lbar = frozen.depth, target.depth
    weights, goals = _one_dtype(frozen.weights, target.weights)
    corners = [Corner(W) for W in goals]
    needed = required_ranks(weights, corners)

    def options(name: str, blocks: Partition) -> Option:
        return _uniform(name, [(len(b), needed(i, b)) for i, b in enumerate(blocks)], D)

    best = best_partition(L, Lbar, lambda i, b: -(-needed(i, b) // len(b)))
    least = _least_total(L, Lbar, needed)
    groups = [(len(b), needed(i, b)) for i, b in enumerate(least)]
    rows = [
        options("one rank, uniform partition (Theorem 3)", uniform_partition(L, Lbar)),
        options("one rank, best partition (Theorem 6)", best),
        _spread("least total rank (Theorem 6), spread", groups, D),
        _concentrated("least total rank, one layer a block", groups, D),
        _full("full tuning of one layer a block", tuple(map(len, least)), Lbar, D, exact=True),
        _full("full tuning", (L,), L, D, exact=True),
    ]
    if L > 1:
        rows.append(_full(f"final-layer tuning, the last {L - 1}", (L,), L - 1, D, exact=False))
    gap = min(
        _gap(corners[i](Pi), Pi)
        for blocks in (uniform_partition(L, Lbar), best, least)
        for i, b in enumerate(blocks)
        for Pi in [chain_product([weights[l] for l in b])]
    )
    notes = [f"every option also tunes the {L * D} biases; equality is on a bounded domain (ReLU is kept from acting)"]
    if L > 1:
        notes.append(
            "final layers alone are exact only in special cases (Lemma 4, and the first layer active throughout)"
        )
    if Lbar > 1:
        notes.append("more than one target layer: lower ranks than the theorems' may do, by rescaling hidden neurons")
    else:
        notes.append("necessary if the target's matrix is non-singular and all its outputs are active on an open set")
    pair = f"ReLU networks: frozen {L} x {D}, target {Lbar} x {d} (layers x width)"
    return Plan(pair, tuple(rows), gap, (*notes, *_doubts(weights, gap)))


def _plan_chain(frozen: Sequence[Array], target: Array) -> Plan:
    if all(matrices.is_rational(W) for W in (*frozen, target)):
        frozen, target = [matrices.array(W) for W in frozen], matrices.array(target)
    goal = check_matrix("target", target)
    L, D = len(frozen), goal.shape[0]
    if not L:
        raise ValueError("frozen is empty; pass a list of at least one weight matrix")
    for name, W in (("target", goal), *((f"frozen[{i}] (W_{i + 1})", W) for i, W in enumerate(frozen))):
        check_matrix(name, W, (D, D))
    check_one_kind(target=goal, **{f"W_{i}": W for i, W in enumerate(frozen, start=1)})
    weights, (goal,) = _one_dtype(frozen, [goal])
    Pi = chain_product(weights)
    groups = [(L, required_ranks(weights, [lambda Pi: goal])(0, range(L)))]
    rows = (
        _uniform("one rank (Lemma 1)", groups, D),
        _spread("least total rank, spread", groups, D),
        _concentrated("least total rank, in one layer", groups, D),
        _full("full tuning of one layer", (L,), 1, D, exact=True),
        _full("full tuning", (L,), L, D, exact=True),
    )
    gap = _gap(goal, Pi)
    return Plan(f"linear chain: {L} matrices of width {D}", rows, gap, tuple(_doubts(weights, gap)))


def _plan_transformers(frozen: TransformerNetwork, target: TransformerNetwork) -> Plan:
    gaps = functionality_gaps(frozen, target)
    heads = [block.heads for block in frozen.blocks]
    L, D = len(heads), frozen.blocks[0].width
    groups = [*((2, g) for g, H in zip(gaps[:-1], heads, strict=True) for _ in range(2 * H)), (2, gaps[-1])]
    attention = 4 * sum(heads)
    shape = tuple(size for size, _ in groups)
    rows = (
        _uniform("one rank (Theorem 7)", groups, D),
        _spread("a rank for each block", groups, D),
        _concentrated("one matrix a pair", groups, D),
        _full("full tuning of one matrix a pair", shape, attention // 2 + 1, D, exact=True),
        _full("full attention tuning, W_2L and W_o", shape, attention + 2, D, exact=True),
    )
    notes = (
        f"{attention} attention matrices; every option also tunes the {2 * L * D} biases; equality is for every input",
        "the ranks are those of the largest gap of a block: some heads may need less",
    )
    return Plan(f"transformers: {L} blocks of {heads[0]} heads, width {D}", rows, float("inf"), notes)


def _uniform(name: str, groups: Sequence[tuple[int, int]], width: int) -> Option:
    R = max(-(-g // m) for m, g in groups)
    return _option(name, [m for m, _ in groups], [R] * sum(m for m, _ in groups), width)


def _spread(name: str, groups: Sequence[tuple[int, int]], width: int) -> Option:
    """Distribute the rank of each group evenly, the remainder over its first matrices."""
    return _option(name, [m for m, _ in groups], [g // m + (i < g % m) for m, g in groups for i in range(m)], width)


def _concentrated(name: str, groups: Sequence[tuple[int, int]], width: int) -> Option:
    """Spend the rank of each group on its first matrix: the one that may be singular."""
    return _option(name, [m for m, _ in groups], [g if i == 0 else 0 for m, g in groups for i in range(m)], width)


def _option(name: str, sizes: Sequence[int], ranks: Sequence[int], width: int) -> Option:
    return Option(
        name, tuple(ranks), tuple(sizes), 2 * width * sum(ranks), sum(R * (2 * width - R) for R in ranks), True
    )


def _full(name: str, sizes: tuple[int, ...], count: int, width: int, exact: bool) -> Option:
    return Option(name, (), sizes, count * width * width, count * width * width, exact)


def _least_total(depth: int, Lbar: int, needed: Callable[[int, range], int]) -> Partition:
    """Return the partition of L layers into Lbar blocks whose ranks have the least sum, by dynamic programming.

    Ties go to the smaller largest rank of a layer.
    """

    @cache
    def best(blocks: int, end: int) -> tuple[int, int, Partition]:
        """Return sum, largest rank of a layer, and partition, for layers 0, ..., end - 1 and so many blocks."""
        if blocks == 0:
            return 0, 0, []
        candidates = []
        for start in range(blocks - 1, end) if blocks > 1 else range(1):
            total, worst, before = best(blocks - 1, start)
            b = range(start, end)
            g = needed(blocks - 1, b)
            candidates.append((total + g, max(worst, -(-g // len(b))), [*before, b]))
        return min(candidates, key=lambda found: found[:2])

    return best(Lbar, depth)[2]


def _one_dtype(*lists: Sequence[Array]) -> list[list[Array]]:
    """Return the lists in the coarsest of their dtypes: ranks have a meaning above its rounding only."""
    arrays = [W for weights in lists for W in weights]
    if any(isinstance(W, np.ndarray) and W.dtype != arrays[0].dtype and W.dtype != object for W in arrays):
        coarsest = max((W.dtype for W in arrays), key=lambda dtype: np.finfo(dtype).eps)
        return [[np.asarray(W, dtype=coarsest) for W in weights] for weights in lists]
    return [list(weights) for weights in lists]


def _gap(goal: Array, Pi: Array) -> float:
    if matrices.is_rational(Pi):
        return float("inf")
    return numerical_rank(goal - Pi, scale=max(spectral_norm(Pi), spectral_norm(goal))).gap


def _doubts(weights: Sequence[Array], gap: float) -> list[str]:
    rational = matrices.is_rational(weights[0])
    singular = [l for l, W in enumerate(weights, 1) if (algebra.rank(W) < W.shape[0] if rational else is_singular(W))]
    notes = []
    if singular:
        layers = ", ".join(map(str, singular))
        notes.append(f"singular frozen layers (from 1): {layers}; the theorems allow it for the first of a block only")
    if gap < _CLEAR:
        notes.append(f"a rank is in doubt: sigma_r / sigma_(r+1) is only {gap:.2g} at a cut, below {_CLEAR:g}")
    return notes


def _runs(values: Sequence[int]) -> str:
    """Write the values one by one, or runs of equal ones if they are many."""
    if len(values) <= _SHORT:
        return " ".join(map(str, values))
    runs = ((v, len(list(run))) for v, run in groupby(values))
    return ", ".join(f"{v}" if n == 1 else f"{v} ({n} times)" for v, n in runs)
