"""The few types that the files of this package share: arrays in float64, one a block, and pairs of factors."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
"""A NumPy array in float64; docstrings give its shape."""

Blocks: TypeAlias = list[FloatArray]
"""One array a weight block."""

Factors: TypeAlias = tuple[Blocks, Blocks]
"""u_t (m_t, r_t) and v_t (n_t, r_t), one of each a block."""
