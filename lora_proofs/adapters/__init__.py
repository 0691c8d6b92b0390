"""Low-rank adapters, and their Hugging Face PEFT folders."""

from lora_proofs.adapters.adapter import Adapter
from lora_proofs.adapters.peft_folder import load_peft, load_peft_biases, save_peft

__all__ = ["Adapter", "load_peft", "load_peft_biases", "save_peft"]
