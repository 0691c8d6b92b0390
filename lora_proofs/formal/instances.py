"""Rational instances as Rocq data: what the constructions over Q return, for the kernel to check by computation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
from numpy.random import Generator

from lora_proofs import exact, instances
from lora_proofs.constructions import adapt_transformer
from lora_proofs.domains import Box
from lora_proofs.networks.relu import ReluNetwork
from lora_proofs.networks.transformer import TransformerBlock, TransformerNetwork

_HEAD = """(* An instance of {label}: {case}, seed {seed}.
   The adapters were computed by lora_proofs, which the check below shares nothing with:
   the definitions of instances.v are all that it rests on. *)
From Coq Require Import List ZArith QArith.
From LoraProofs Require Import instances.
Import ListNotations.
Open Scope Q_scope.

"""


@dataclass(frozen=True)
class _Kind:
    """How instances of a statement are made: the parameters with their defaults, and the definitions and the check."""

    defaults: Mapping[str, int]
    make: Callable[..., tuple[dict[str, str], str]]


def write_instance(label: str, params: Mapping[str, Any], seed: int = 0) -> str:
    """Return a Rocq file that states, and has the kernel compute, that adapters over Q do what a theorem promises.

    Parameters
    ----------
    label : str
        A key of `KINDS`.
    params : mapping
        Sizes; those left out have the defaults of the kind.
    seed : int

    Raises
    ------
    ValueError
        If the label has no instances, a parameter is unknown or not a positive integer, or the sizes do not fit.
    """
    if label not in KINDS:
        raise ValueError(f"no instances are written for {label!r}: pass {', '.join(KINDS)}")
    kind = KINDS[label]
    for name, value in params.items():
        if name not in kind.defaults:
            raise ValueError(f"instances of {label} have no parameter {name!r}: they have {', '.join(kind.defaults)}")
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value!r}; pass a positive integer")
    sizes = {**kind.defaults, **params}
    definitions, check = kind.make(np.random.default_rng(seed), **sizes)
    case = ", ".join(f"{name} = {value}" for name, value in sizes.items())
    body = "".join(f"Definition {name} :=\n{_wrapped(value)}.\n\n" for name, value in definitions.items())
    theorem = f"Theorem instance_holds : {check} = true.\nProof. vm_compute; reflexivity. Qed.\n"
    return _HEAD.format(label=label, case=case, seed=seed) + body + theorem


def _chain(rng: Generator, D: int, L: int, R: int) -> tuple[dict[str, str], str]:
    frozen = [instances.nonsingular(rng, D) for _ in range(L)]
    target = exact.product(frozen) + instances.rational_planted_rank(rng, D, D, min(D, R * L))
    adapted = exact.adapt_linear_chain(frozen, target, R)
    definitions = {
        "frozen": _list(map(_matrix, frozen)),
        "target": _matrix(target),
        "adapters": _list(map(_adapter, adapted.adapters)),
    }
    return definitions, f"lemma1_holds {D} frozen target (repeat {R}%nat {L}) adapters"


def _relu(rng: Generator, D: int, L: int, Lbar: int, R: int) -> tuple[dict[str, str], str]:
    if Lbar > L:
        raise ValueError(f"the target has {Lbar} layers, the frozen network only {L}: pass Lbar <= L")
    sizes = [L // Lbar] * (Lbar - 1) + [L // Lbar + L % Lbar]
    frozen = [instances.nonsingular(rng, D) for _ in range(L)]
    blocks = np.split(np.arange(L), np.cumsum(sizes)[:-1])
    rank = min(D, R * (L // Lbar))
    goals = [
        exact.product([frozen[l] for l in block]) + instances.rational_planted_rank(rng, D, D, rank) for block in blocks
    ]
    own, goal = (
        ReluNetwork([exact.array(W) for W in weights], [_integers(rng, D) for _ in weights])
        for weights in (frozen, goals)
    )
    adapted = exact.adapt_relu_network(own, goal, R, domain=Box(-1, 1), partition=sizes)
    target = zip(goal.weights, goal.biases, strict=True)
    definitions = {
        "frozen": _list(map(_matrix, frozen)),
        "target": _list(f"({_matrix(W)}, {_column(b)})" for W, b in target),
        "adapters": _list(map(_adapter, adapted.adapters)),
        "biases": _list(map(_column, adapted.biases)),
        "inputs": f"repeat (-1, 1) {D}",
    }
    natural = "; ".join(f"{size}%nat" for size in sizes)
    return definitions, f"theorem3_holds {D} inputs [{natural}] frozen target {R} adapters biases"


def _transformer(rng: Generator, D: int, L: int, H: int, R: int) -> tuple[dict[str, str], str]:
    frozen = _random_transformer(rng, D, L, H)
    target = _random_transformer(rng, D, L, H) if D <= 2 * R else _planted(rng, frozen, R)
    adapted = adapt_transformer(frozen, target, R)
    named = dict(zip(frozen.named_weights, adapted.adapters, strict=True))

    def heads(l: int) -> str:
        return _list(_head(*(_adapter(named[f"blocks.{l}.{part}.{h}"]) for part in _PARTS)) for h in range(H))

    calibrations = [
        exact.divide_right(exact.matrix(goal.W_2), exact.matrix(own.W_2))
        for own, goal in zip(frozen.blocks[:-1], target.blocks[:-1], strict=True)
    ]
    definitions = {
        name: _list(map(_block, network.blocks))
        for name, network in (("frozen", frozen), ("adapted_blocks", adapted.network), ("target", target))
    }
    definitions |= {
        "calibrations": f"{_list(map(_matrix, calibrations))} : list matrix",
        "adapters": _list(map(heads, range(L))),
        "on_W2": _adapter(named[f"blocks.{L - 1}.W_2"]),
        "on_Wo": _adapter(named["W_out"]),
        "Wo": _matrix(frozen.W_out),
        "adapted_Wo": _matrix(adapted.network.W_out),
        "target_Wo": _matrix(target.W_out),
    }
    names = "calibrations frozen adapted_blocks target adapters on_W2 on_Wo Wo adapted_Wo target_Wo"
    return definitions, f"theorem7_holds {D} {R} {names}"


KINDS: Mapping[str, _Kind] = {
    "zeng2024expressive:lemma-1": _Kind({"D": 4, "L": 2, "R": 1}, _chain),
    "zeng2024expressive:theorem-3": _Kind({"D": 3, "L": 4, "Lbar": 2, "R": 1}, _relu),
    "zeng2024expressive:theorem-7": _Kind({"D": 3, "L": 2, "H": 2, "R": 2}, _transformer),
}
"""The statements of which instances are written, by the label of the claim."""

_PARTS = ("W_Q", "W_K", "W_V", "W_O")


def _random_transformer(rng: Generator, D: int, L: int, H: int) -> TransformerNetwork:
    def matrix() -> Any:
        return instances.nonsingular(rng, D)

    def block() -> TransformerBlock:
        Q, K, V, O = ([matrix() for _ in range(H)] for _ in _PARTS)
        return TransformerBlock(Q, K, V, O, matrix(), _integers(rng, D), matrix(), _integers(rng, D))

    blocks = [block() for _ in range(L)]
    return TransformerNetwork(blocks, matrix())


def _planted(rng: Generator, frozen: TransformerNetwork, R: int) -> TransformerNetwork:
    """Return a target at updates of rank R of what Theorem 7 adapts, so that all gaps are at most 2R."""
    D = frozen.width
    last = (f"blocks.{frozen.depth - 1}.W_2", "W_out")
    moved = {
        name: exact.array(exact.matrix(W) + instances.rational_planted_rank(rng, D, D, R))
        for name, W in frozen.named_weights.items()
        if name in last or any(f".{part}." in name for part in _PARTS)
    }
    return frozen.replaced(moved, [_integers(rng, D) for _ in frozen.biases])


def _integers(rng: Generator, n: int) -> Any:
    return exact.array(rng.integers(-3, 3, n, endpoint=True).tolist())


# ------------------------------------------------------------------------------------------------ Rocq's notation


def _number(value: Any) -> str:
    q = exact.fraction(value)
    return f"{q.numerator}" if q.denominator == 1 else f"({q.numerator} # {q.denominator})"


def _wrapped(text: str) -> str:
    return fill(text, 110, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _list(items: Iterable[str]) -> str:
    return f"[{'; '.join(items)}]"


def _column(values: Iterable[Any]) -> str:
    return _list(map(_number, values))


def _matrix(matrix: Any) -> str:
    return _list(map(_column, exact.matrix(matrix).table()))


def _adapter(adapter: Any) -> str:
    return f"({_matrix(adapter.B)}, {_matrix(adapter.A)})"


def _head(*parts: str) -> str:
    return f"Head {' '.join(parts)}"


def _block(block: TransformerBlock) -> str:
    parts = zip(block.W_Q, block.W_K, block.W_V, block.W_O, strict=True)
    heads = _list(_head(*map(_matrix, head)) for head in parts)
    return f"Block {heads} {_matrix(block.W_1)} {_column(block.b_1)} {_matrix(block.W_2)} {_column(block.b_2)}"
