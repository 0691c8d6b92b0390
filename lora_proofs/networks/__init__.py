"""Networks as their weights and their forward pass, and their files."""

from typing import TYPE_CHECKING

from lora_proofs.lazy import lazy_face

if TYPE_CHECKING:
    from lora_proofs.networks.files import read_network
    from lora_proofs.networks.relu import ReluNetwork
    from lora_proofs.networks.transformer import TransformerBlock, TransformerNetwork

__all__ = ["ReluNetwork", "TransformerBlock", "TransformerNetwork", "read_network"]

lazy_face(__name__)
