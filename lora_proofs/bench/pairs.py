"""What is compared with what, and on which instances."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from lora_proofs import instances, ntk
from lora_proofs.bench.peers import by_cvxpy, by_inverses, lapack_floor
from lora_proofs.constructions import adapt_linear_chain, adapt_relu_network, adapt_transformer
from lora_proofs.domains import Box
from lora_proofs.exact import algebra
from lora_proofs.networks.transformer import TransformerBlock, TransformerNetwork


class Pair(NamedTuple):
    """A call of ours and one of a peer, on the same instance; `key` names the pair in scripts."""

    key: str
    name: str
    peer: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    runs: int


def pairs(size: str = "full") -> Iterator[Pair]:
    """Yield the pairs, each of them built when it is asked for.

    Parameters
    ----------
    size : {"full", "quick", "smoke"}
        "full" takes a quarter of an hour, "quick" about a minute; "smoke" only shows that everything runs.
    """
    sizes = ("smoke", "quick", "full")
    if size not in sizes:
        raise ValueError(f"size is {size!r}; pass one of {', '.join(sizes)}")
    pick, runs = sizes.index(size), (1, 3, 5)[sizes.index(size)]
    yield from _chains((8, 256, 1024)[pick], 4, runs)
    yield _few_ranks((32, 1024, 4096)[pick], (2, 16, 64)[pick], (1, 2, 3)[pick])
    yield _relu((8, 128, 512)[pick], runs)
    yield _transformer((4, 64, 256)[pick], runs)
    yield from _nuclear_norm((4, 12, 32)[pick], (1, 1, 3)[pick])
    yield _rank((6, 12, 20)[pick], runs)
    yield _training((1, 2, 3)[pick], (2, 20, 200)[pick], (1, 1, 3)[pick])


def _chains(width: int, depth: int, runs: int) -> Iterator[Pair]:
    rng = np.random.default_rng(0)
    frozen, target, R = instances.chain(rng, width, depth), instances.uniform(rng, width), width // depth
    for key, peer, theirs in (
        ("chain", "LAPACK's calls, unchecked", lapack_floor),
        ("inverses", "textbook, explicit inverses", by_inverses),
    ):
        yield Pair(
            key,
            f"adapt_linear_chain, D = {width}, L = {depth}, R = {R}",
            peer,
            lambda: adapt_linear_chain(frozen, target, R),
            partial(theirs, frozen, target, R),
            runs,
        )


def _few_ranks(width: int, rank: int, runs: int) -> Pair:
    rng = np.random.default_rng(0)
    frozen, target = instances.chain(rng, width, 2), instances.uniform(rng, width)
    E = target - frozen[1] @ frozen[0]
    return Pair(
        "few_ranks",
        f"adapt_linear_chain, D = {width}, L = 2, R = {rank}, tail certified",
        "the SVD of E alone",
        lambda: adapt_linear_chain(frozen, target, rank),
        lambda: np.linalg.svd(E),
        runs,
    )


def _relu(width: int, runs: int) -> Pair:
    rng = np.random.default_rng(0)
    frozen, target = instances.relu_network(rng, width, 4), instances.relu_network(rng, width, 2)

    def floor() -> None:
        for i, W in enumerate(target.weights):
            lapack_floor(frozen.weights[2 * i : 2 * i + 2], W, width // 2)

    return Pair(
        "relu",
        f"adapt_relu_network, D = {width}, L = 4, Lbar = 2, R = {width // 2}",
        "LAPACK's calls for the weights alone",
        lambda: adapt_relu_network(frozen, target, width // 2, domain=Box(-4, 4)),
        floor,
        runs,
    )


def _transformer(width: int, runs: int, heads: int = 2) -> Pair:
    rng = np.random.default_rng(0)

    def network() -> TransformerNetwork:
        W = [instances.uniform(rng, width) for _ in range(4 * heads + 3)]
        b = [instances.uniform(rng, 1, width)[0] for _ in range(2)]
        Q, K, V, O = (W[i * heads : (i + 1) * heads] for i in range(4))
        return TransformerNetwork([TransformerBlock(Q, K, V, O, W[-3], b[0], W[-2], b[1])], W[-1])

    frozen, target = network(), network()
    own, goal = frozen.blocks[0], target.blocks[0]

    def floor() -> None:
        for h in range(heads):
            lapack_floor([own.W_Q[h], own.W_K[h].T], goal.W_K[h].T @ goal.W_Q[h], width // 2)
            values = np.linalg.solve(*map(np.asarray, (own.W_1, goal.W_1 @ goal.W_O[h] @ goal.W_V[h])))
            lapack_floor([own.W_V[h], own.W_O[h]], values, width // 2)
        lapack_floor([own.W_2, frozen.W_out], target.W_out @ goal.W_2, width // 2)

    return Pair(
        "transformer",
        f"adapt_transformer, D = {width}, {heads} heads, 1 block, R = {width // 2}",
        "LAPACK's calls for the products alone",
        lambda: adapt_transformer(frozen, target, width // 2),
        floor,
        runs,
    )


def _nuclear_norm(size: int, runs: int) -> Iterator[Pair]:
    rng = np.random.default_rng(0)
    N = 2 * size // 3 or 1
    G, offsets, labels = rng.normal(size=(N, 1, size, size)), rng.normal(size=(N, 1)), rng.normal(size=(N, 1))
    lam = 0.1 * ntk.LinearizedProblem(G, offsets, labels, "squared", 1.0).lam_max
    problem = ntk.LinearizedProblem(G, offsets, labels, "squared", lam)
    for solver in ("CLARABEL", "SCS"):
        yield Pair(
            solver.lower(),
            f"ntk.solve, {size} x {size}, N = {N}",
            f"cvxpy, {solver}",
            lambda: ntk.solve(problem),
            by_cvxpy(problem, solver),
            runs,
        )


def _rank(size: int, runs: int) -> Pair:
    from sympy import Matrix

    X = instances.rational_planted_rank(np.random.default_rng(0), size, size, size // 2)
    symbolic = Matrix(size, size, [int(v.p) for v in X.entries()])
    return Pair(
        "rank", f"exact.rank, {size} x {size}", "sympy.Matrix.rank", lambda: algebra.rank(X), symbolic.rank, runs
    )


def _training(seeds: int, epochs: int, runs: int) -> Pair:
    from lora_proofs.training import train_adapters

    D = 8
    settings: dict[str, Any] = {"epochs": epochs, "batch_size": 64, "test_size": 64}
    rng = np.random.default_rng(0)
    targets = [instances.relu_network(rng, D, 1) for _ in range(seeds)]
    frozen = [instances.relu_network(rng, D, 2) for _ in range(seeds)]
    ranks, rates, decays = (1, 2, 4), (1e-2, 1e-3), (0.0, 1e-3)

    def one_by_one() -> None:
        for s in range(seeds):
            for r in ranks:
                for rate in rates:
                    for decay in decays:
                        single: dict[str, Any] = {"learning_rates": (rate,), "weight_decays": (decay,), **settings}
                        train_adapters(targets[s : s + 1], frozen[s : s + 1], [r], seeds=[s], **single)

    sweep: dict[str, Any] = {"learning_rates": rates, "weight_decays": decays, **settings}
    return Pair(
        "training",
        f"train_adapters, {seeds * len(ranks) * 4} configurations in one batch, {epochs} epochs",
        "one configuration at a time",
        lambda: train_adapters(targets, frozen, ranks, **sweep),
        one_by_one,
        runs,
    )
