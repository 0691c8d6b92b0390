"""Timings of the library beside its peers, taken in turn in one run: the table of ``lora-proofs bench``."""

from typing import TYPE_CHECKING

from lora_proofs.lazy import lazy_face

if TYPE_CHECKING:
    from lora_proofs.bench.authors import time_authors
    from lora_proofs.bench.pairs import Pair, pairs
    from lora_proofs.bench.timing import Ratio, compare, table

__all__ = ["Pair", "Ratio", "compare", "pairs", "table", "time_authors"]

lazy_face(__name__)
