"""Models and labelled data that installed packages carry. Nothing is downloaded."""

from typing import TYPE_CHECKING

from lora_proofs import lazy_face

if TYPE_CHECKING:
    from lora_proofs.pretrained.bert import (
        REQUIRES,
        Head,
        PretrainedBert,
        available,
        how_to_get,
        load,
        model_folder,
        read_tensors,
    )

__all__ = ["REQUIRES", "Head", "PretrainedBert", "available", "how_to_get", "load", "model_folder", "read_tensors"]

__getattr__, __dir__ = lazy_face(__name__)
