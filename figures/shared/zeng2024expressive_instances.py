"""The frozen models, the targets and the test points of Zeng & Lee's experiments (arXiv 2310.17513v3).

Width 16, seeds 0 to 4. The random numbers are PyTorch's, drawn in the order in which the public repository
UW-Madison-Lee-Lab/Expressive_Power_of_LoRA (eaeb7d3) draws them, so the instances are the published ones: the target
first, then the frozen model, both in the default initialisation of `torch.nn.Linear`; attention matrices are standard
normal. What is drawn in float32 is handed on in float64.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import mse_loss

from lora_proofs import ReluNetwork, TransformerNetwork
from lora_proofs.networks.transformer import TransformerBlock

D, HEADS, TOKENS = 16, 2, 10
SEEDS = range(5)
RANKS = range(1, D + 1)
BATCH, TEST_POINTS = 256, 5000

Matrix = NDArray[np.float64]
Single = NDArray[np.float32]
Tensors = dict[str, torch.Tensor]


def linear(seed: int, pretrained: bool, L: int = 2) -> tuple[list[Matrix], Matrix]:
    """Return frozen W_1, ..., W_L and the target of one linear layer."""
    frozen, target = _layers(seed, L, 1, pretrained, relu=False)
    return [_double(layer.weight) for layer in _linears(frozen)], _double(_linears(target)[0].weight)


def relu(seed: int, L: int, Lbar: int, pretrained: bool) -> tuple[ReluNetwork, ReluNetwork]:
    """Return the frozen network of L layers and the target of Lbar."""

    def network(layers: torch.nn.Sequential) -> ReluNetwork:
        linears = _linears(layers)
        return ReluNetwork([_double(layer.weight) for layer in linears], [_double(layer.bias) for layer in linears])

    frozen, target = _layers(seed, L, Lbar, pretrained, relu=True)
    return network(frozen), network(target)


def transformer(seed: int, L: int, R: int, pretrained: bool) -> tuple[TransformerNetwork, TransformerNetwork]:
    """Return the frozen and the target transformer of L blocks.

    The frozen one depends on the rank R: their adapters of rank R draw random numbers before the layers behind them.
    """
    torch.manual_seed(seed)
    target, frozen = _draw_transformer(L), _draw_transformer(L, R)
    if pretrained:
        _pretrain(
            lambda Z: _forward(frozen, Z), list(frozen.values()), lambda Z: _forward(target, Z), (D, TOKENS), seed
        )
    return _as_network(frozen, L), _as_network(target, L)


def inputs(seed: int, *shape: int, spread: float = 1.0) -> Matrix:
    """Return the first standard normal inputs that a seed draws, times the spread."""
    torch.manual_seed(seed)
    return spread * _double(torch.randn(*shape))


def mean_squared_error(f: Callable[[Matrix], Any], g: Callable[[Matrix], Any], x: Matrix) -> float:
    """Return the mean of (f(x) - g(x))^2 over points and coordinates, as `torch.nn.MSELoss` does."""
    return float(np.mean((np.asarray(f(x), dtype=np.float64) - np.asarray(g(x), dtype=np.float64)) ** 2))


def float32(network: ReluNetwork) -> ReluNetwork:
    """Return the network in single precision, the precision of the published experiments."""
    return ReluNetwork([W.astype(np.float32) for W in network.weights], [b.astype(np.float32) for b in network.biases])


def published_construction(frozen: ReluNetwork, target: ReluNetwork, R: int, x: Matrix) -> ReluNetwork:
    """Return the frozen network adapted as the published code does it: in float32, biases from sampled inputs x.

    The singular directions of E are spent in descending order. Inside a block, b_l is twice the least pre-activation
    of any neuron at any of the inputs, if negative; the block's last bias undoes the earlier ones. The code hands the
    pre-activations of a block's last layer on to the next block without that bias and without the ReLU. So for
    Lbar > 1 the biases reach 1e+6, and their rounding is what is left in single precision.
    """
    frozen, target, z = float32(frozen), float32(target), x.astype(np.float32)
    M = frozen.depth // target.depth
    weights: list[Single] = []
    biases: list[Single] = []
    for i, (goal, b_goal) in enumerate(zip(target.weights, target.biases, strict=True)):
        adapted = _descending_adapters(frozen.weights[i * M : (i + 1) * M], goal, R)
        offset = np.zeros_like(b_goal)
        for W in adapted[:-1]:
            z = z @ W.T
            b = np.full_like(b_goal, -2 * min(z.min(), 0))
            z, offset = z + b, W @ offset + b
            biases.append(b)
        z = z @ adapted[-1].T
        biases.append(b_goal - adapted[-1] @ offset)
        weights += adapted
    return ReluNetwork(weights, biases)


def _descending_adapters(frozen: Sequence[Single], target: Single, R: int) -> list[Single]:
    """Return the adapted layers of the paper's Lemma 1, the largest singular values of E spent first."""
    identity = np.eye(D, dtype=np.float32)
    E = target - reduce(lambda P, W: W @ P, frozen, identity)
    V = np.linalg.svd(E)[2].T
    P, adapted = identity, []
    for l, W in enumerate(frozen):
        S = reduce(lambda S, W: W @ S, frozen[l + 1 :], identity)
        K = V[:, R * l : R * (l + 1)]
        adapted.append(W + np.linalg.inv(S) @ E @ K @ (K.T @ np.linalg.inv(P)))
        P = adapted[-1] @ P
    return adapted


def _double(x: torch.Tensor) -> Matrix:
    return x.detach().numpy().astype(np.float64)


def _linears(layers: torch.nn.Sequential) -> list[torch.nn.Linear]:
    return [layer for layer in layers if isinstance(layer, torch.nn.Linear)]


def _layers(seed: int, L: int, Lbar: int, pretrained: bool, relu: bool) -> tuple[torch.nn.Sequential, ...]:
    """Return frozen and target; the target is drawn first."""

    def draw(depth: int) -> torch.nn.Sequential:
        inner = torch.nn.ReLU if relu else torch.nn.Identity
        return torch.nn.Sequential(*(m for _ in range(depth) for m in (torch.nn.Linear(D, D, bias=relu), inner())))

    torch.manual_seed(seed)
    target, frozen = draw(Lbar), draw(L)
    if pretrained:
        _pretrain(frozen, list(frozen.parameters()), target, (D,), seed)
    return frozen, target


def _pretrain(
    f: Callable[[torch.Tensor], torch.Tensor],
    parameters: list[torch.Tensor],
    target: Callable[[torch.Tensor], torch.Tensor],
    shape: tuple[int, ...],
    seed: int,
) -> None:
    """Train all parameters by Adam at 1e-3 until the loss is below a third of the first, at most 1000 steps."""
    torch.manual_seed(seed)
    optimiser = torch.optim.Adam([p.requires_grad_() for p in parameters], lr=1e-3)
    enough = -np.inf
    for step in range(1000):
        x = torch.randn(BATCH, *shape)
        loss = mse_loss(f(x), target(x).detach())
        if step == 0:
            enough = loss.item() / 3
        elif loss.item() < enough:
            return
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def _draw_transformer(L: int, R: int = 0) -> Tensors:
    """Draw weights by name; with adapters of rank R, draw and drop theirs where they come in between."""

    def skip_adapters(count: int) -> None:
        for _ in range(count if R else 0):
            torch.randn(D, R), torch.randn(D, R), torch.randn(D, R)  # A; B, which is drawn twice

    def linear(name: str, bias: bool = True) -> Iterator[tuple[str, torch.Tensor]]:
        layer = torch.nn.Linear(D, D, bias=bias)
        yield f"W_{name}", layer.weight.detach()
        if bias:
            yield f"b_{name}", layer.bias.detach()

    drawn: Tensors = {}
    for l in range(L):
        drawn |= {f"{l}.W_{part}.{h}": torch.randn(D, D) for part in "QKVO" for h in range(HEADS)}
        skip_adapters(4 * HEADS)
        drawn |= {f"{l}.{name}": x for layer in "12" for name, x in linear(layer)}
        skip_adapters(l == L - 1)
    return drawn | dict(linear("out", bias=False))


def _forward(w: Tensors, Z: torch.Tensor) -> torch.Tensor:
    """Return the output of the network of `lora_proofs.TransformerNetwork`, for tensors."""
    for l in range(sum(name.endswith("W_1") for name in w)):
        attention = torch.zeros_like(Z)
        for h in range(HEADS):
            Q, K, V, O = (w[f"{l}.W_{part}.{h}"] for part in "QKVO")
            attention = attention + O @ (V @ Z @ torch.softmax((K @ Z).transpose(1, 2) @ (Q @ Z), dim=1))
        hidden = torch.relu(w[f"{l}.W_1"] @ attention + w[f"{l}.b_1"][:, None])
        Z = w[f"{l}.W_2"] @ hidden + w[f"{l}.b_2"][:, None]
    return w["W_out"] @ Z


def _as_network(w: Tensors, L: int) -> TransformerNetwork:
    blocks = [
        TransformerBlock(
            **{f"W_{part}": [_double(w[f"{l}.W_{part}.{h}"]) for h in range(HEADS)] for part in "QKVO"},
            **{name: _double(w[f"{l}.{name}"]) for name in ("W_1", "b_1", "W_2", "b_2")},
        )
        for l in range(L)
    ]
    return TransformerNetwork(blocks, _double(w["W_out"]))
