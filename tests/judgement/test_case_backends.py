import json
import subprocess
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest

from lora_proofs.backends import BACKENDS, for_case, load_backend
from lora_proofs.judgement.cases import Case
from lora_proofs.judgement.claims import Paper, at_most, equal
from lora_proofs.verify import Verdict, verify

ROOT = Path(__file__).resolve().parents[2]
JAX, TORCH = (pytest.param(name, marks=pytest.mark.needs(name)) for name in ("jax", "torch"))
HERE = ["numpy", "strict", JAX, TORCH]


def claim(check):
    def documented(case):
        """Statement."""
        return check(case)

    return Paper(key="paper", title="", authors=(), year=2024, arxiv="").lemma("1")(documented)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_instance_moves_to_the_library_and_type_of_the_case(backend, dtype):
    x = np.random.default_rng(0).standard_normal((3, 4))
    moved = for_case(x, Case(backend=backend, dtype=dtype))
    assert type(moved).__module__.partition(".")[0] in (BACKENDS[backend][0].partition(".")[0], "jaxlib")
    assert str(moved.dtype).rpartition(".")[2] == dtype
    assert [float(v) for v in moved[0, :]] == pytest.approx(x[0].tolist(), rel=1e-6)
    if dtype == "float64":
        assert [float(v) for v in moved[0, :]] == x[0].tolist()


@pytest.mark.parametrize("backend", BACKENDS)
def test_more_digits_are_those_of_mpmath_whatever_the_library(backend):
    moved = for_case(np.ones(2), Case(digits=32, backend=backend, dtype="float32"))
    assert isinstance(moved[0], mpmath.mpf)


def test_the_usual_instance_is_left_alone():
    x = np.ones(3)
    assert for_case(x, Case()) is x


def test_a_library_that_is_missing_takes_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ValueError, match=r"the backend cupy cannot be used .* it needs pip install cupy-cuda12x"):
        load_backend("cupy")
    with pytest.raises(ValueError, match="there is no backend 'tensorflow'; pass one of numpy, strict"):
        load_backend("tensorflow")


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_verdict_says_what_it_was_computed_in(backend, dtype):
    def check(case):
        x = for_case(np.full(3, 0.25), case)
        return at_most(x[0] * 2, 1)

    verdict = verify(claim(check), Case(backend=backend, dtype=dtype))
    assert (verdict.outcome, verdict.backend, verdict.dtype) == ("holds", backend, dtype)
    assert verdict.digits == (6 if dtype == "float32" else 16)
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict
    assert (f"--backend {backend}" in verdict.reproducer) == (backend != "numpy")
    assert (f"--dtype {dtype}" in verdict.reproducer) == (dtype == "float32")


@pytest.mark.parametrize(
    ("measured", "backend"), [(0.5, "numpy"), (1, "python"), (mpmath.mpf(1), "mpmath"), ((0.0, 1.0), "numpy")]
)
def test_a_check_that_computes_elsewhere_is_not_said_to_follow(measured, backend):
    verdict = verify(claim(lambda case: at_most(measured, 1)), Case(backend="torch", dtype="float32"))
    assert (verdict.backend, verdict.digits) == (backend, 16)
    assert (verdict.case.backend, verdict.case.dtype) == ("torch", "float32")


@pytest.mark.parametrize("backend", HERE)
def test_single_precision_refutes_nothing(backend):
    def check(case):
        return equal(for_case(np.array([1.1]), case)[0], 1.1)  # not a number of single precision, by 2e-8

    verdict = verify(claim(check), Case(backend=backend, dtype="float32"))
    assert (verdict.outcome, verdict.digits, verdict.backend, verdict.dtype) == ("holds", 16, backend, "float64")


@pytest.mark.parametrize("problem", [RuntimeError, OverflowError])
def test_what_single_precision_cannot_do_is_tried_in_double(problem):
    def check(case):
        if case.dtype == "float32":
            raise problem
        return at_most(0.5, 1)

    assert verify(claim(check), Case(dtype="float32")).outcome == "holds"


def run(*options):
    command = [sys.executable, "-m", "lora_proofs", "check", "zeng2024expressive:lemma-1", "--seeds", "1", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("backend", ["strict", TORCH])
def test_a_claim_of_the_paper_runs_on_the_library(backend):
    case = "family=gaussian,D=8,L=2,R=2"
    done = run("--backend", backend, "--dtype", "float32", "--case", case, "--json", "-")
    verdicts = json.loads(done.stdout)["verdicts"]
    assert verdicts[0]["outcome"] == "holds"
    assert verdicts[0]["backend"] == backend
    assert verdicts[0]["asked"] == {"backend": backend, "dtype": "float32"}
    assert done.returncode == 0


def test_an_unknown_backend_takes_one_line():
    done = run("--backend", "tensorflow")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "there is no backend 'tensorflow'" in done.stderr
