"""The papers' constructions: adapters that provably realise a target, with their errors and certificates."""

from lora_proofs.constructions.linear_chain import AdaptedChain, Conditioning, adapt_linear_chain

__all__ = ["AdaptedChain", "Conditioning", "adapt_linear_chain"]
