"""Exact arithmetic: linear algebra over the rationals, rigorous enclosures, and the constructions over Q.

Inside the package the ground floor is `lora_proofs.exact.matrices`. This face hands on what stands on it: the algebra
with symbols (`symbolic`, which loads sympy) and the constructions, `adapt_linear_chain` and `adapt_relu_network`, are
loaded on first use.
"""

from typing import TYPE_CHECKING

from lora_proofs.exact.adapter import RationalAdapter
from lora_proofs.exact.algebra import (
    absolute,
    combination,
    count_nonzero,
    divide_right,
    euclidean_norm_above,
    frobenius_norm_squared,
    full_rank_factorization,
    hadamard,
    inertia,
    inner,
    is_positive_semidefinite,
    is_zero,
    kernel,
    kron,
    product,
    rank,
    rank_lower_bound,
    sqrt_above,
    trace,
)
from lora_proofs.exact.enclosures import enclosure, singular_value_enclosures
from lora_proofs.exact.matrices import (
    Matrix,
    Rational,
    array,
    block,
    column,
    diagonal,
    floats,
    fraction,
    hstack,
    identity,
    is_rational,
    matrix,
    number,
    ones,
    row,
    unit_matrix,
    unit_vector,
    vector,
    vstack,
    zeros,
)
from lora_proofs.lazy import lazy_face

if TYPE_CHECKING:
    from lora_proofs.constructions.chain.rational_chain import adapt_rational_chain as adapt_linear_chain
    from lora_proofs.constructions.relu.blocks import adapt_rational_network as adapt_relu_network
    from lora_proofs.exact import symbolic

__all__ = [
    "Matrix",
    "Rational",
    "RationalAdapter",
    "absolute",
    "adapt_linear_chain",
    "adapt_relu_network",
    "array",
    "block",
    "column",
    "combination",
    "count_nonzero",
    "diagonal",
    "divide_right",
    "enclosure",
    "euclidean_norm_above",
    "floats",
    "fraction",
    "frobenius_norm_squared",
    "full_rank_factorization",
    "hadamard",
    "hstack",
    "identity",
    "inertia",
    "inner",
    "is_positive_semidefinite",
    "is_rational",
    "is_zero",
    "kernel",
    "kron",
    "matrix",
    "number",
    "ones",
    "product",
    "rank",
    "rank_lower_bound",
    "row",
    "singular_value_enclosures",
    "sqrt_above",
    "symbolic",
    "trace",
    "unit_matrix",
    "unit_vector",
    "vector",
    "vstack",
    "zeros",
]

lazy_face(__name__)
