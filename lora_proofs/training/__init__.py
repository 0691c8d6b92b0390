"""Gradient-trained baselines: what LoRA, or tuning the last layers, reaches by Adam. Needs JAX."""

from lora_proofs.backends import how_to_install

try:
    import jax as _  # noqa: F401
except ModuleNotFoundError:  # pragma: no cover
    raise ModuleNotFoundError(
        f"lora_proofs.training needs JAX; in a clone: {how_to_install('jax')}", name="jax"
    ) from None

from lora_proofs.training.baselines import Training, pretrain, train_adapters, train_final_layers
from lora_proofs.training.sweep import Settings

__all__ = ["Settings", "Training", "pretrain", "train_adapters", "train_final_layers"]


def __dir__() -> list[str]:
    return __all__
