"""Low-rank adapters, and their Hugging Face PEFT folders."""

from lora_proofs.adapters.adapter import Adapter
from lora_proofs.adapters.peft_folder import fan_in_fan_out, load_peft, load_peft_biases, save_peft, tensors_beside

__all__ = ["Adapter", "fan_in_fan_out", "load_peft", "load_peft_biases", "save_peft", "tensors_beside"]
