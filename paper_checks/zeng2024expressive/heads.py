"""Attention heads and layers of pretrained transformers: Lemma 1 on real weights.

A head of width d < D enters a transformer through the products O V: W_O W_V, and W_K^T W_Q. Lemma 1's square factors do
not cover it; the theorem of `constructions.chain.factor_pair` does. P_O and P_V are the projections onto range(O)
and onto the row space of V, T the target and E = T - O V.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from flint import fmpq_mat, fmpz_mat

from lora_proofs import Case, Comparison, at_least, at_most, constructions, equal, exact, pretrained
from lora_proofs.enclosure import Enclosure
from lora_proofs.linalg import singular_values

from .pairs import SQUARE_ONLY
from .paper import PAPER

BERT = pretrained.REQUIRES["bert_ft"]
MINILM = pretrained.REQUIRES["all-MiniLM-L6-v2"]
FRACTION_BITS = 50
"""Every weight of these models, a float32 of absolute value below 2, is an integer times 2^-50."""


class Pair(NamedTuple):
    """The factors of a frozen product O V and of the target T = O' V'."""

    V: Any
    O: Any
    target_V: Any
    target_O: Any

    @property
    def target(self) -> Any:
        """The product O' V'."""
        return self.target_O @ self.target_V


def factors(case: Case, frozen: pretrained.Head, target: pretrained.Head) -> Pair:
    """Return the value-output pair W_O W_V or the query-key pair W_K^T W_Q."""
    if case["factors"] == "OV":
        return Pair(frozen.W_V, frozen.W_O, target.W_V, target.W_O)
    return Pair(frozen.W_Q, frozen.W_K.T, target.W_Q, target.W_K.T)


def fine_tuned(case: Case) -> Pair:
    """Return a head of bert_pretrained and what fine-tuning made of it."""
    frozen, target = pretrained.load("bert_pretrained"), pretrained.load("bert_ft")
    return factors(case, frozen.head(case["layer"], case["head"]), target.head(case["layer"], case["head"]))


def fine_tuned_layer(case: Case) -> Pair:
    """Return a whole attention layer of bert_pretrained, all heads together, and what fine-tuning made of it."""
    frozen, target = pretrained.load("bert_pretrained"), pretrained.load("bert_ft")
    return factors(case, frozen.attention(case["layer"]), target.attention(case["layer"]))


def next_head(case: Case) -> Pair:
    """Return a head of MiniLM, and the next one in its layer."""
    bert = pretrained.load("all-MiniLM-L6-v2")
    following = (case["head"] + 1) % bert.heads
    return factors(case, bert.head(case["layer"], case["head"]), bert.head(case["layer"], following))


def change_rank(pair: Pair) -> int:
    """Return a lower bound of rank E: the rank of its leading 2d x 2d block, modulo a prime."""
    m = 2 * pair.V.shape[0]
    V, target_V = (integer_matrix(x[:, :m]) for x in (pair.V, pair.target_V))
    O, target_O = (integer_matrix(x[:m]) for x in (pair.O, pair.target_O))
    return exact.rank_lower_bound(target_O * target_V - O * V)


def least_rank(pair: Pair) -> int:
    """Return a lower bound of the least R with exact adapters: R_V + R_O >= rank E."""
    return -(-change_rank(pair) // 2)


def integer_matrix(x: np.ndarray) -> fmpz_mat:
    """Return 2^50 x, which is an integer matrix for these models."""
    scaled = np.ldexp(x, FRACTION_BITS)
    whole = scaled.astype(np.int64)
    if not np.array_equal(whole, scaled):
        raise ArithmeticError(f"the weights are not integers times 2^-{FRACTION_BITS}")
    return fmpz_mat(*x.shape, whole.ravel().tolist())


def head_error(pair: Pair, R: int) -> Enclosure:
    """Return an enclosure of ||(O + Delta_O)(V + Delta_V) - O' V'||_F for float64 adapters of rank R."""
    merged = exact_product(pair.V, pair.O, constructions.adapt_factor_pair([pair.V, pair.O], pair.target, R))
    error = merged - exact.matrix(pair.target_O) * exact.matrix(pair.target_V)
    square = exact.number(exact.frobenius_norm_squared(error))
    above = exact.sqrt_above(square)
    return exact.enclosure(square / above if above else above, above)


def exact_product(V: np.ndarray, O: np.ndarray, result: constructions.AdaptedChain) -> fmpq_mat:
    """Return (O + B_O A_O)(V + B_V A_V) without rounding."""
    on_V, on_O = (exact.matrix(adapter.B) * exact.matrix(adapter.A) for adapter in result.adapters)
    return (exact.matrix(O) + on_O) * (exact.matrix(V) + on_V)


HEADS = {"layer": tuple(range(12)), "head": tuple(range(4)), "factors": ("OV", "QK")}


@PAPER.lemma("1-heads-threshold", **HEADS, seeded=False, requires=BERT)
def heads_threshold(case: Case) -> Comparison:
    r"""For every head of bert_pretrained and its fine-tune bert_ft, exact adapters exist from R = d on, and not below.

    E has rank 2d: a block of it has that rank modulo a prime, and O'V' - OV has no more. So 2R >= 2d is needed; R = d
    suffices, since it replaces both factors. d = 64 is the width of a head.
    """
    pair = fine_tuned(case)
    return equal(least_rank(pair), pair.V.shape[0])


@heads_threshold.control("R = d - 1 suffices", layer=(0, 11), head=(0,), factors=("OV", "QK"))
def _(case: Case) -> Comparison:
    pair = fine_tuned(case)
    return at_most(least_rank(pair), pair.V.shape[0] - 1)


@PAPER.lemma("1-heads", points=[
    {"layer": layer, "head": head, "factors": name}
    for layer, head, name in ((0, 0, "OV"), (5, 1, "QK"), (11, 3, "OV"))
], seeded=False, requires=BERT)  # fmt: skip
def heads(case: Case) -> Comparison:
    r"""Adapters of rank d on both factors turn a head of bert_pretrained into that of bert_ft.

    The error against the product of the fine-tuned factors, in the Frobenius norm, is enclosed in exact arithmetic: the
    adapters are rounded to float64.
    """
    pair = fine_tuned(case)
    return equal(head_error(pair, pair.V.shape[0]), 0)


@heads.control("rank d - 1: the error keeps a rank of 2 at least", layer=(11,), head=(3,), factors=("OV",))
def _(case: Case) -> Comparison:
    pair = fine_tuned(case)
    return equal(head_error(pair, pair.V.shape[0] - 1), 0)


@PAPER.lemma("1-heads-below", points=[
    {"layer": layer, "head": head, "factors": name, "R": R}
    for layer, head, name, R in (
        (0, 0, "QK", 8), (5, 1, "QK", 32), (7, 3, "OV", 48), (11, 3, "OV", 63)
    )
], seeded=False, sampled=True, requires=BERT, gap=SQUARE_ONLY)  # fmt: skip
def heads_below(case: Case) -> Comparison:
    r"""Below the threshold every pair of adapters of rank R on a head has an error of at least the largest of four.

    \sigma_{2R+1}(E), \sigma_{R+1}((I - P_O) T), \sigma_{R+1}(T (I - P_V)), \sigma_{d+1}(T). Tried on the best adapters
    that alternating least squares finds; the control shows that they come within 50 % of it.
    """
    result = adapters_below(case)
    return at_least(result.error, result.bound)


@heads_below.control("the bound raised by 50 %", points=[{"layer": 11, "head": 3, "factors": "OV", "R": 63}])
def _(case: Case) -> Comparison:
    result = adapters_below(case)
    return at_least(result.error / result.bound, 1.5)


def adapters_below(case: Case) -> constructions.AdaptedChain:
    """Return the adapters of rank R of a head of bert_pretrained for that of bert_ft."""
    pair = fine_tuned(case)
    return constructions.adapt_factor_pair([pair.V, pair.O], pair.target, case["R"])


@PAPER.lemma("1-heads-core", points=[
    {"layer": layer, "head": layer % 4, "factors": ("OV", "QK")[layer % 2], "R": (16, 24, 32)[layer % 3]}
    for layer in (0, 1, 2, 4, 5, 7, 9, 11)
], seeded=False, requires=BERT)  # fmt: skip
def heads_core(case: Case) -> Comparison:
    r"""Within the frozen factors a head obeys Lemma 1: the least error is \sigma_{2R+1}, and 0 from R = d / 2 on.

    With orthonormal bases Q_O of range(O) and Q_V of the rows of V, the factors Q_O^T O, V Q_V are square and
    non-singular, and Q_O^T T Q_V is any d x d matrix. The factors are float64; both sides are rigorous enclosures.
    """
    return core_error(case, spent=2 * case["R"])


@heads_core.control(
    "one rank less: the bound is sigma_{2R}", points=[{"layer": 5, "head": 1, "factors": "QK", "R": 32}]
)
def _(case: Case) -> Comparison:
    return core_error(case, spent=2 * case["R"] - 1)


def core_error(case: Case, spent: int) -> Comparison:
    """Compare enclosures of the error and of sigma_{spent + 1}(core E)."""
    pair = fine_tuned(case)
    Q_O, Q_V = np.linalg.qr(pair.O)[0], np.linalg.qr(pair.V.T)[0]
    V, O, T = pair.V @ Q_V, Q_O.T @ pair.O, Q_O.T @ pair.target @ Q_V
    result = constructions.adapt_linear_chain([V, O], T, case["R"])
    error = enclosed(exact_product(V, O, result) - exact.matrix(T), 0)
    return equal(error, enclosed(exact.matrix(T) - exact.matrix(O) * exact.matrix(V), spent))


def enclosed(x: fmpq_mat, i: int) -> Enclosure:
    """Return an enclosure of sigma_{i+1}(x); 0 beyond the last."""
    lower, upper = exact.singular_value_enclosures(x)
    ends = (lower[i], upper[i]) if i < len(lower) else (0, 0)
    return exact.enclosure(*map(exact.number, ends))


@PAPER.lemma("1-layers", points=[
    {"layer": layer, "factors": name, "R": R}
    for layer, name, R in ((0, "OV", 8), (0, "QK", 128), (4, "QK", 32), (5, "OV", 128), (9, "QK", 8), (11, "OV", 128))
], seeded=False, requires=BERT)  # fmt: skip
def layers(case: Case) -> Comparison:
    r"""Lemma 1 adapts whole attention layers, W_O W_V and W_K^T W_Q at 256 x 256, of bert_pretrained to bert_ft.

    The error is \sigma_{2R+1}(E), and 0 from R = 128 on. The frozen matrices are non-singular.
    """
    pair = fine_tuned_layer(case)
    return equal(
        constructions.adapt_linear_chain([pair.V, pair.O], pair.target, case["R"]).error, tail(pair, 2 * case["R"])
    )


@layers.control("R = 127 is claimed to be exact", layer=(0,), factors=("OV",), R=(127,))
def _(case: Case) -> Comparison:
    pair = fine_tuned_layer(case)
    return equal(
        constructions.adapt_linear_chain([pair.V, pair.O], pair.target, case["R"]).error, tail(pair, 2 * case["R"] + 2)
    )


def tail(pair: Pair, i: int) -> float:
    """Return sigma_{i+1}(E), 0 beyond the last."""
    sigma = singular_values(pair.target - pair.O @ pair.V)
    return float(sigma[i]) if i < len(sigma) else 0.0


@PAPER.lemma(
    "1-heads-minilm-threshold",
    layer=tuple(range(6)), head=tuple(range(12)), factors=("OV", "QK"), seeded=False, requires=MINILM,
)  # fmt: skip
def minilm_threshold(case: Case) -> Comparison:
    r"""From any head of MiniLM to the next one in its layer, exact adapters exist from R = d = 32 on, and not below."""
    pair = next_head(case)
    return equal(least_rank(pair), pair.V.shape[0])


@minilm_threshold.control("R = d - 1 suffices", layer=(0,), head=(0,), factors=("OV",))
def _(case: Case) -> Comparison:
    pair = next_head(case)
    return at_most(least_rank(pair), pair.V.shape[0] - 1)


@PAPER.lemma("1-heads-minilm", points=[{"layer": 2, "head": 7, "factors": "QK"}], seeded=False, requires=MINILM)
def minilm(case: Case) -> Comparison:
    r"""Adapters of rank d on both factors turn a head of MiniLM into the next one in its layer, as in lemma-1-heads."""
    pair = next_head(case)
    return equal(head_error(pair, pair.V.shape[0]), 0)


@minilm.control("rank d - 1: the error keeps a rank of 2 at least", layer=(0,), head=(0,), factors=("OV",))
def _(case: Case) -> Comparison:
    pair = next_head(case)
    return equal(head_error(pair, pair.V.shape[0] - 1), 0)
