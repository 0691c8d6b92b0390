"""Training runs of Zeng & Lee's grid, kept on disk, since several figures look at the same runs."""

from collections.abc import Sequence
from typing import Any

from joblib import Memory

from lora_proofs.judgement.environment import PACKAGE, cache_folder, digest_files, versions

_MEMORY = Memory(cache_folder() / "training", verbose=0)


def best_adapters(targets: Sequence[Any], frozen: Sequence[Any], **settings: Any) -> Any:
    """Return ``lora_proofs.training.train_adapters(...).best``, from disk if the same code has already computed it."""
    code = digest_files((path.name, path) for path in sorted((PACKAGE / "training").rglob("*.py")))
    return _best_adapters((code, versions()), targets, frozen, settings)


@_MEMORY.cache
def _best_adapters(code: Any, targets: Sequence[Any], frozen: Sequence[Any], settings: dict[str, Any]) -> Any:
    """Train; `code` is there to tell the results of other code apart."""
    from lora_proofs.training import train_adapters

    return train_adapters(targets, frozen, **settings).best
