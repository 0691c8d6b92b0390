"""Each pair of `lora-proofs bench` under pytest-benchmark: ``pytest tests/benchmarks --benchmark-group-by=param:key``.

``BENCH_SIZE=quick`` (the default) or ``full``.
"""

import os

import pytest

from lora_proofs.bench import pairs

PAIRS = {pair.key: pair for pair in pairs(os.environ.get("BENCH_SIZE", "quick"))}


@pytest.mark.parametrize("side", ["ours", "theirs"])
@pytest.mark.parametrize("key", PAIRS)
def test_pair(benchmark, key, side):
    pair = PAIRS[key]
    benchmark.extra_info["what"] = pair.name if side == "ours" else pair.peer
    benchmark.pedantic(getattr(pair, side), rounds=pair.runs, warmup_rounds=1)
