"""The papers' constructions: adapters that provably realise a target, with their errors and certificates."""

from lora_proofs.constructions.certificate import Certificate, certify_relu_network
from lora_proofs.constructions.linear_chain import AdaptedChain, Conditioning, adapt_linear_chain
from lora_proofs.constructions.partition import best_partition, required_ranks, uniform_partition
from lora_proofs.constructions.relu_network import AdaptedReluNetwork, adapt_relu_network

__all__ = [
    "AdaptedChain",
    "AdaptedReluNetwork",
    "Certificate",
    "Conditioning",
    "adapt_linear_chain",
    "adapt_relu_network",
    "best_partition",
    "certify_relu_network",
    "required_ranks",
    "uniform_partition",
]
