"""The product of adapted layers in more digits than they are stored in, where its own rounding would hide the error."""

from collections.abc import Sequence
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from lora_proofs.adapters import Adapter
from lora_proofs.constructions.chain.operators import DIRECT
from lora_proofs.linalg import Array, is_object, to_numpy

_BITS = 256
"""Enough for entries that cancel over sixty digits."""

_DOUBTFUL = 1e-6
"""Relative rounding of the merged layers from which on a product of them says little of the adapters themselves."""


def is_doubtful(merging: float, target: Array) -> bool:
    """Tell whether the error of a product should be computed by `long_difference`."""
    return merging > _DOUBTFUL and not is_object(target) and max(target.shape) <= DIRECT


def long_difference(frozen: Sequence[Array], adapters: Sequence[Adapter], target: Array) -> NDArray[np.float64]:
    """Return prod (W_l + B_l A_l) - target for the floats as they are stored, rounded once to float64."""
    with flint.ctx.workprec(_BITS):
        product = None
        for W, adapter in zip(frozen, adapters, strict=True):
            layer = _balls(W)
            if adapter.rank:
                layer += _balls(adapter.B) * _balls(adapter.A)
            product = layer if product is None else layer * product
        difference = product - _balls(target)
        return np.array([float(v.mid()) for v in difference.entries()]).reshape(target.shape)


def _balls(array: Array) -> Any:
    values = to_numpy(array).astype(float)
    return flint.arb_mat(*values.shape, values.ravel().tolist())
