"""Models and labelled data that installed packages carry. Nothing is downloaded."""

from typing import TYPE_CHECKING

from lora_proofs.lazy import lazy_face

if TYPE_CHECKING:
    from lora_proofs.pretrained.bert import (
        REQUIRES,
        Head,
        PretrainedBert,
        load,
        model_folder,
        read_tensors,
    )
    from lora_proofs.pretrained.few_shot import few_shot_problem

__all__ = [
    "REQUIRES",
    "Head",
    "PretrainedBert",
    "few_shot_problem",
    "load",
    "model_folder",
    "read_tensors",
]

lazy_face(__name__)
