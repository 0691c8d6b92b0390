r"""A pretrained sentence encoder in NumPy: MiniLM-L6, with the gradients of its last layer in factored form.

Tokens are rows here, as in BERT. The tokens of all sentences are stacked into one matrix, so only the attention, which
must not see other sentences, goes sentence by sentence, and nothing is padded. Everything is float64; the stored
weights are float32.

For a linear map y_t = W x_t + b, applied to the tokens t of one sentence, an output z has the gradient

    dz/dW = sum_t delta_t x_t^T,    delta_t = dz/dy_t,

so the vectors delta_t and x_t are all that is kept: the tokens of a sentence, not the 384 x 384 entries of W, set the
cost. The model is a MiniLM (Wang et al., arXiv 2002.10957v2), fine-tuned on sentence pairs by sentence-transformers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lora_proofs.linalg import check_matrix
from lora_proofs.ntk.gradients import FactoredGradients
from lora_proofs.ntk.linearize import Linearization
from lora_proofs.ntk.types import FloatArray
from lora_proofs.pretrained import bert
from lora_proofs.pretrained.wordpiece import read_vocabulary, tokenize

MODEL = "all-MiniLM-L6-v2"
_LAYERS = 6
_HEADS = 12
_EPSILON = 1e-12  # layer_norm_eps of the model's config.json


class Tokens(NamedTuple):
    """The rows of several sentences, stacked.

    Attributes
    ----------
    ids : ndarray of int, shape (T,)
        Numbers of the word pieces.
    bounds : list of N slice
        Which rows belong to which sentence.
    """

    ids: NDArray[np.int64]
    bounds: list[slice]


@dataclass(frozen=True, eq=False)
class _Normalised:
    """What the backward pass needs of a layer normalisation, xhat * scale + shift."""

    xhat: FloatArray
    deviation: FloatArray
    scale: FloatArray

    def pull_back(self, dy: FloatArray) -> FloatArray:
        d = dy * self.scale
        along = np.mean(d * self.xhat, axis=-1, keepdims=True)
        dx: FloatArray = (d - np.mean(d, axis=-1, keepdims=True) - self.xhat * along) / self.deviation
        return dx


@dataclass(frozen=True, eq=False)
class _Trace:
    """The intermediate values of one layer that its backward pass reads."""

    x: FloatArray
    q: FloatArray
    k: FloatArray
    v: FloatArray
    attention: list[FloatArray]
    after_attention: _Normalised
    before_gelu: FloatArray
    after_mlp: _Normalised


@dataclass(frozen=True, eq=False)
class MiniLM:
    """The encoder: sentences to unit vectors of length 384.

    Parameters
    ----------
    tensors : mapping from str to ndarray
        The checkpoint, under its own names.
    vocabulary : mapping from str to int
        The word pieces.
    """

    tensors: Mapping[str, NDArray[np.float32]]
    vocabulary: Mapping[str, int]

    def tokens(self, sentences: Sequence[str]) -> Tokens:
        """Return the word pieces of the sentences.

        Raises
        ------
        ValueError
            If there is no sentence, or one is longer than the 512 tokens that the model has positions for.
        """
        if isinstance(sentences, str) or not len(sentences):
            raise ValueError(f"sentences is {sentences!r}; pass a list of at least one sentence")
        ids = [tokenize(sentence, self.vocabulary) for sentence in sentences]
        most = len(self.tensors["embeddings.position_embeddings.weight"])
        if too_long := [i for i, pieces in enumerate(ids) if len(pieces) > most]:
            raise ValueError(f"sentence {too_long[0]} has {len(ids[too_long[0]])} tokens; shorten it to at most {most}")
        ends = np.cumsum([0, *map(len, ids)])
        return Tokens(np.concatenate(ids), [slice(int(a), int(b)) for a, b in pairwise(ends)])

    def embed(self, sentences: Sequence[str]) -> FloatArray:
        """Return the embeddings, of shape (N, 384) and Euclidean length 1: the mean over the tokens, normalised."""
        tokens = self.tokens(sentences)
        hidden, _ = self._forward(tokens)
        return np.stack([_unit(hidden[rows].mean(axis=0)) for rows in tokens.bounds])

    def linearize(self, sentences: Sequence[str], head: FloatArray) -> Linearization:
        """Return the outputs ``head @ embedding`` and their gradients in the query and value weights of the last layer.

        These are the weights that the code of Jang, Lee & Ryu (arXiv 2402.11867v3) adapts.

        Parameters
        ----------
        sentences : sequence of N str
        head : ndarray (K, 384)

        Returns
        -------
        Linearization
            Two blocks, query and value, each `FactoredGradients` of N x K matrices (384, 384), for weights W with
            ``y = x @ W.T + b``. They have as many outer products as the longest sentence has tokens.

        Raises
        ------
        ValueError
            As `tokens` does, or if the head is not a finite (K, 384) matrix.
        """
        tokens = self.tokens(sentences)
        hidden, trace = self._forward(tokens)
        check_matrix("head", head, (None, hidden.shape[1]))
        means = np.stack([hidden[rows].mean(axis=0) for rows in tokens.bounds])
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        embeddings = means / lengths
        outputs = embeddings @ head.T

        # z_k = <head_k, mean> / |mean|, and the mean gives every token of a sentence the same cotangent.
        d_mean = (head[:, None, :] - outputs.T[:, :, None] * embeddings) / lengths
        counts = [rows.stop - rows.start for rows in tokens.bounds]
        d_hidden = np.repeat(d_mean / np.array(counts)[:, None], counts, axis=1)
        d_query, d_value = self._pull_back(d_hidden, trace, tokens.bounds)
        x = _columns(trace.x[None], tokens.bounds)
        blocks = [FactoredGradients(_columns(d, tokens.bounds), x) for d in (d_query, d_value)]
        return Linearization([*blocks], outputs)

    def _forward(self, tokens: Tokens) -> tuple[FloatArray, _Trace]:
        positions = np.concatenate([np.arange(rows.stop - rows.start) for rows in tokens.bounds])
        words = self._read("embeddings.word_embeddings.weight", tokens.ids)
        places = self._read("embeddings.position_embeddings.weight", positions)
        kind = self._read("embeddings.token_type_embeddings.weight", 0)
        x, _ = self._normalise("embeddings.LayerNorm", words + places + kind)
        for layer in range(_LAYERS):
            x, trace = self._layer(layer, x, tokens.bounds)
        return x, trace

    def _layer(self, layer: int, states: FloatArray, bounds: list[slice]) -> tuple[FloatArray, _Trace]:
        name = f"encoder.layer.{layer}"
        q, k, v = (self._linear(f"{name}.attention.self.{part}", states) for part in ("query", "key", "value"))
        attention = [_softmax(_heads(q[rows]) @ _heads(k[rows]).mT / _temperature(q)) for rows in bounds]
        context = [_merge(weights @ _heads(v[rows])) for weights, rows in zip(attention, bounds, strict=True)]
        mixed = self._linear(f"{name}.attention.output.dense", np.concatenate(context))
        h, after_attention = self._normalise(f"{name}.attention.output.LayerNorm", states + mixed)
        before_gelu = self._linear(f"{name}.intermediate.dense", h)
        mlp = self._linear(f"{name}.output.dense", before_gelu * _normal_cdf(before_gelu))
        out, after_mlp = self._normalise(f"{name}.output.LayerNorm", h + mlp)
        return out, _Trace(states, q, k, v, attention, after_attention, before_gelu, after_mlp)

    def _pull_back(self, d_out: FloatArray, trace: _Trace, bounds: list[slice]) -> tuple[FloatArray, FloatArray]:
        """Return the cotangents of the last layer's queries and values, (K, T, 384) each, from those of its output."""
        name = f"encoder.layer.{_LAYERS - 1}"
        z = trace.before_gelu
        gelu_slope = _normal_cdf(z) + z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        d_sum = trace.after_mlp.pull_back(d_out)
        d_gelu = d_sum @ self._read(f"{name}.output.dense.weight")
        d_h = d_sum + (d_gelu * gelu_slope) @ self._read(f"{name}.intermediate.dense.weight")
        d_mixed = trace.after_attention.pull_back(d_h)
        d_context = d_mixed @ self._read(f"{name}.attention.output.dense.weight")

        d_query, d_value = np.empty_like(d_context), np.empty_like(d_context)
        for weights, rows in zip(trace.attention, bounds, strict=True):
            d = _heads(d_context[:, rows])
            d_weights = d @ _heads(trace.v[rows]).mT
            d_logits = weights * (d_weights - np.sum(d_weights * weights, axis=-1, keepdims=True))
            d_query[:, rows] = _merge(d_logits @ _heads(trace.k[rows])) / _temperature(trace.q)
            d_value[:, rows] = _merge(weights.mT @ d)
        return d_query, d_value

    def _read(self, name: str, rows: NDArray[np.int64] | int | slice = np.s_[:]) -> FloatArray:
        return np.asarray(self.tensors[name][rows], dtype=np.float64)

    def _linear(self, name: str, states: FloatArray) -> FloatArray:
        return states @ self._read(f"{name}.weight").T + self._read(f"{name}.bias")

    def _normalise(self, name: str, states: FloatArray) -> tuple[FloatArray, _Normalised]:
        centred = states - states.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + _EPSILON)
        saved = _Normalised(centred / deviation, deviation, self._read(f"{name}.weight"))
        return saved.xhat * saved.scale + self._read(f"{name}.bias"), saved


@cache
def load_minilm() -> MiniLM:
    """Return the installed model; a second call returns the same object.

    Raises
    ------
    ModuleNotFoundError
        If its package or safetensors is not installed; the message ends in the command that installs it.
    """
    folder = bert.model_folder(MODEL)
    return MiniLM(bert.read_tensors(folder), read_vocabulary(folder / "vocab.txt"))


def _heads(states: FloatArray) -> FloatArray:
    """Split (..., t, D) into (..., heads, t, D / heads)."""
    return np.moveaxis(states.reshape(*states.shape[:-1], _HEADS, -1), -2, -3)


def _merge(states: FloatArray) -> FloatArray:
    """Undo `_heads`."""
    rows_first = np.moveaxis(states, -3, -2)
    return rows_first.reshape(*rows_first.shape[:-2], -1)


def _temperature(states: FloatArray) -> float:
    return float(np.sqrt(states.shape[-1] / _HEADS))


def _softmax(logits: FloatArray) -> FloatArray:
    weights: FloatArray = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def _normal_cdf(values: FloatArray) -> FloatArray:
    from scipy.special import erf

    cdf: FloatArray = (1 + erf(values / np.sqrt(2))) / 2
    return cdf


def _unit(states: FloatArray) -> FloatArray:
    unit: FloatArray = states / np.linalg.norm(states)
    return unit


def _columns(stacked: FloatArray, bounds: list[slice]) -> FloatArray:
    """Return the rows (K, T, D) of all sentences as columns (N, K, D, t), with zeros after the shorter sentences."""
    longest = max(rows.stop - rows.start for rows in bounds)
    columns = np.zeros((len(bounds), stacked.shape[0], stacked.shape[2], longest))
    for column, rows in zip(columns, bounds, strict=True):
        column[..., : rows.stop - rows.start] = stacked[:, rows].mT
    return columns
