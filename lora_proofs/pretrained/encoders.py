r"""Pretrained encoders of images and of speech, by JAX, linearised in their last layer's query and value weights.

Both models are stacks of pre-normalised transformer layers (Vaswani et al., arXiv 1706.03762v7, with the order of
Xiong et al., arXiv 2002.04745v2): a vision transformer, DINOv2 S/14 (Oquab et al., arXiv 2304.07193v2), and the
encoder of Whisper tiny.en (Radford et al., arXiv 2212.04356v1). Tokens are rows. The frozen layers run in float32, in
which the weights are stored; the layer that is adapted, and its derivatives, in float64. So what is linearised, and
certified, is the last layer on the stored hidden states.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lora_proofs.linalg import check_matrix
from lora_proofs.ntk.linearize import Linearization, linearize
from lora_proofs.ntk.types import FloatArray

Layer = Mapping[str, Any]

_BATCH = 16


@dataclass(frozen=True, eq=False)
class Encoder:
    """Layers, a last normalisation, and a read-out.

    Parameters
    ----------
    layers : list of mappings from str to ndarray
        W_Q, W_K, W_V, W_O (D, D), W_1 (4D, D), W_2 (D, 4D), for y = x @ W.T + b; their biases b_Q, b_K, ...; scale and
        shift of the two normalisations, scale_1, shift_1, scale_2, shift_2; gain_1, gain_2, which multiply what the
        two halves of the layer add.
    scale, shift : ndarray (D,)
        Of the last normalisation.
    heads : int
    epsilon : float
        What the normalisations add to the variance.
    readout : {"first", "mean"}
        The first token's state (the class token), or the mean over all tokens.
    """

    layers: Sequence[Layer]
    scale: NDArray[np.float32]
    shift: NDArray[np.float32]
    heads: int
    epsilon: float
    readout: Literal["first", "mean"]

    @property
    def width(self) -> int:
        """The width D."""
        return len(self.scale)

    def hidden(self, tokens: NDArray[Any]) -> NDArray[np.float32]:
        """Return what enters the last layer, (N, T, D), for embedded tokens (N, T, D)."""
        x = np.asarray(tokens, dtype=np.float32)
        if x.ndim != 3 or x.shape[2] != self.width or not x.size:
            raise ValueError(f"tokens have shape {x.shape}; pass embedded tokens (N, T, {self.width}), N and T >= 1")
        return np.concatenate([self._frozen_layers(x[i : i + _BATCH]) for i in range(0, len(x), _BATCH)])

    def linearize(self, tokens: NDArray[Any], head: FloatArray) -> Linearization:
        """Return the outputs ``head @ read-out`` and their gradients in the last layer's query and value weights.

        The weights that the code of Jang, Lee & Ryu (arXiv 2402.11867v3) adapts; query first.

        Parameters
        ----------
        tokens : array (N, T, D)
        head : ndarray (K, D)

        Raises
        ------
        ValueError
            If the tokens or the head have the wrong shape.
        """
        check_matrix("head", head, (None, self.width))
        last = {name: np.asarray(value, dtype=np.float64) for name, value in self.layers[-1].items()}
        scale, shift = (np.asarray(value, dtype=np.float64) for value in (self.scale, self.shift))

        def outputs(weights: list[Any], x: Any) -> Any:
            changed = last | {"W_Q": weights[0], "W_V": weights[1]}
            out = _normalise(_layer(changed, x, self.heads, self.epsilon), scale, shift, self.epsilon)
            return head @ (out[0] if self.readout == "first" else out.mean(axis=0))

        return linearize(outputs, [last["W_Q"], last["W_V"]], self.hidden(tokens).astype(np.float64))

    @cached_property
    def _frozen_layers(self) -> Any:
        import jax

        def run(x: Any) -> Any:
            for layer in self.layers[:-1]:
                x = jax.vmap(partial(_layer, layer, heads=self.heads, epsilon=self.epsilon))(x)
            return x

        return jax.jit(run)


def _layer(layer: Layer, states: Any, heads: int, epsilon: float) -> Any:
    """Return one layer's output, (T, D), for tokens x (T, D)."""
    from jax.nn import gelu, softmax

    def split(y: Any) -> Any:
        return y.reshape(len(y), heads, -1).swapaxes(0, 1)

    h = _normalise(states, layer["scale_1"], layer["shift_1"], epsilon)
    q, k, v = (split(h @ layer[f"W_{part}"].T + layer[f"b_{part}"]) for part in "QKV")
    attention = softmax(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1]).astype(states.dtype))
    mixed = (attention @ v).swapaxes(0, 1).reshape(states.shape)
    states = states + layer["gain_1"] * (mixed @ layer["W_O"].T + layer["b_O"])
    h = _normalise(states, layer["scale_2"], layer["shift_2"], epsilon)
    mlp = gelu(h @ layer["W_1"].T + layer["b_1"], approximate=False) @ layer["W_2"].T + layer["b_2"]
    return states + layer["gain_2"] * mlp


def _normalise(states: Any, scale: Any, shift: Any, epsilon: float) -> Any:
    centred = states - states.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / (variance + epsilon) ** 0.5 * scale + shift
