"""Validated matrices, singular values, numerical rank, and products of chains of layers.

Everything here is written against the array API: ``namespace(x)`` is NumPy's, JAX's, PyTorch's, or, for object
arrays of ``mpmath.mpf``, `lora_proofs.precision`, so that a construction reads the same at 16 digits and at 64.
"""

from lora_proofs.linalg.arrays import (
    Array,
    Namespace,
    floats,
    is_object,
    like,
    namespace,
    power_below,
    scalar,
    times_power,
    to_numpy,
    unit_roundoff,
)
from lora_proofs.linalg.checks import (
    NotFiniteError,
    check_list,
    check_matrix,
    check_one_kind,
    check_rank,
    check_ranks,
    check_share,
    check_vector,
    is_single_array,
)
from lora_proofs.linalg.decompositions import (
    NumericalRank,
    chain_product,
    divide_right,
    divide_right_by_singular,
    frobenius_norm,
    inverse_transpose,
    is_singular,
    numerical_rank,
    singular_values,
    spectral_norm,
    svd,
    truncate,
)

__all__ = [
    "Array",
    "Namespace",
    "NotFiniteError",
    "NumericalRank",
    "chain_product",
    "check_list",
    "check_matrix",
    "check_one_kind",
    "check_rank",
    "check_ranks",
    "check_share",
    "check_vector",
    "divide_right",
    "divide_right_by_singular",
    "floats",
    "frobenius_norm",
    "inverse_transpose",
    "is_object",
    "is_single_array",
    "is_singular",
    "like",
    "namespace",
    "numerical_rank",
    "power_below",
    "scalar",
    "singular_values",
    "spectral_norm",
    "svd",
    "times_power",
    "to_numpy",
    "truncate",
    "unit_roundoff",
]


def __dir__() -> list[str]:
    return __all__
