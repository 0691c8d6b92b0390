"""The papers' constructions: adapters that provably realise a target, with their errors and certificates."""

from typing import TYPE_CHECKING

from lora_proofs.lazy import lazy_face

if TYPE_CHECKING:
    from lora_proofs.constructions.certificate import Certificate
    from lora_proofs.constructions.chain.conditioning import Conditioning
    from lora_proofs.constructions.chain.factor_pair import adapt_factor_pair
    from lora_proofs.constructions.chain.linear_chain import adapt_linear_chain
    from lora_proofs.constructions.chain.rational_pair import exact_factor_pair
    from lora_proofs.constructions.chain.square_chain import AdaptedChain
    from lora_proofs.constructions.kinks.count import count_admits
    from lora_proofs.constructions.kinks.gauge import RescaledNetwork, adapt_by_gauge
    from lora_proofs.constructions.kinks.pencils import LowRankSystem, Pencil
    from lora_proofs.constructions.kinks.required_rank import RequiredRank, required_rank
    from lora_proofs.constructions.kinks.staggered import StaggeredNetwork, adapt_staggered
    from lora_proofs.constructions.kinks.system import KinkSystem, read_kinks
    from lora_proofs.constructions.methods import adapt_relu_network
    from lora_proofs.constructions.relu.blocks import AdaptedReluNetwork
    from lora_proofs.constructions.relu.certify import certify_relu_network
    from lora_proofs.constructions.relu.error_bounds import (
        ErrorBounds,
        error_bounds,
        fit_to_distribution,
    )
    from lora_proofs.constructions.relu.norm_bounds import corrected_bound
    from lora_proofs.constructions.relu.partition import best_partition, required_ranks, uniform_partition
    from lora_proofs.constructions.relu.reach import difference_at
    from lora_proofs.constructions.transformer.adapt import AdaptedTransformer, adapt_transformer, functionality_gaps
    from lora_proofs.constructions.transformer.certify import certify_transformer

__all__ = [
    "AdaptedChain",
    "AdaptedReluNetwork",
    "AdaptedTransformer",
    "Certificate",
    "Conditioning",
    "ErrorBounds",
    "KinkSystem",
    "LowRankSystem",
    "Pencil",
    "RequiredRank",
    "RescaledNetwork",
    "StaggeredNetwork",
    "adapt_by_gauge",
    "adapt_factor_pair",
    "adapt_linear_chain",
    "adapt_relu_network",
    "adapt_staggered",
    "adapt_transformer",
    "best_partition",
    "certify_relu_network",
    "certify_transformer",
    "corrected_bound",
    "count_admits",
    "difference_at",
    "error_bounds",
    "exact_factor_pair",
    "fit_to_distribution",
    "functionality_gaps",
    "read_kinks",
    "required_rank",
    "required_ranks",
    "uniform_partition",
]

lazy_face(__name__)
