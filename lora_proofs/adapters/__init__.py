"""Low-rank adapters, and their Hugging Face PEFT folders."""

from typing import TYPE_CHECKING

from lora_proofs.lazy import lazy_face

if TYPE_CHECKING:
    from lora_proofs.adapters.adapter import Adapter
    from lora_proofs.adapters.peft_folder import PeftFolder, load_peft, save_peft

__all__ = ["Adapter", "PeftFolder", "load_peft", "save_peft"]

lazy_face(__name__)
