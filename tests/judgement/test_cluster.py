"""Sweeps on a Dask cluster: the verdicts of a serial run, whatever is killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from distributed import LocalCluster

from lora_proofs.judgement.workers import ClusterError, cluster

ROOT = Path(__file__).resolve().parents[2]

# Each case notes its execution, and the process that it ran in; the case n = 7, seed 1 waits until it is told to go on.
# All take longer than a batch, so that each is reported by itself.
CHECK = '''
import os, time
from fractions import Fraction
from pathlib import Path
import mpmath
from lora_proofs import Paper, at_most, equal

HERE = Path(__file__).parent
PAPER = Paper(key="study", title="A title", authors=("A. Author",), year=2024, arxiv="")

@PAPER.lemma("1", n=tuple(range(8)))
def lemma_1(case):
    """Statement."""
    if case.digits == 16:
        with open(HERE / "executed", "a") as log:
            log.write(f"{case['n']} {case.seed} {os.getpid()}\\n")
        time.sleep(0.11)
    while (case["n"], case.seed) == (7, 1) and (HERE / "wait").exists():
        time.sleep(0.01)
    return equal(mpmath.mpf(case.rng.standard_normal()) * (1 + mpmath.mpf(10) ** (12 - case.digits)), 0.3)

@lemma_1.control("swapped")
def _(case):
    return at_most(Fraction(case["n"] + 1, 7), Fraction(0))
'''


@pytest.fixture(scope="module")
def address():
    """Start two workers of one thread each, in processes of their own."""
    # Workers import what they run: not the test, but the package.
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", worker_dashboard_address=None
    ) as local:
        yield local.scheduler_address


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path)


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """Return the verdicts of a serial run, on which the path of the study has no influence."""
    return check(write_study(tmp_path_factory.mktemp("serial")))[1]


def write_study(folder):
    path = folder / "study.py"
    path.write_text(CHECK)
    return path


def command(study, *options):
    return [sys.executable, "-m", "lora_proofs", "check", str(study), "--seeds", "2", *options]


def settings(study):
    return {"cwd": ROOT, "env": {**os.environ, "LORA_PROOFS_CACHE": str(study.parent / "cache")}, "text": True}


def check(study, *options):
    done = subprocess.run([*command(study, *options), "--json", "-"], capture_output=True, **settings(study))
    assert done.stdout, done.stderr
    return done, [json.dumps({**verdict, "seconds": 0}) for verdict in json.loads(done.stdout)["verdicts"]]


def start(study, address):
    """Start a run that will wait in the last case, and return it and the worker that waits."""
    (study.parent / "wait").touch()
    run = subprocess.Popen(
        command(study, "--dask", address), stderr=subprocess.PIPE, stdout=subprocess.PIPE, **settings(study)
    )
    deadline = time.monotonic() + 60
    while not (waiting := [words[2] for words in executed(study) if words[:2] == ["7", "1"]]):
        assert time.monotonic() < deadline
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.01)
    while reported(study) < 29:  # the other worker does the rest, but for up to two that were sent along with the case
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return run, int(waiting[0])


def reported(study):
    """Return how many verdicts the client has written down."""
    return sum(path.read_bytes().count(b"\n") for path in (study.parent / "cache").glob("*.jsonl"))


def executed(study):
    log = study.parent / "executed"
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def counts(study):
    """Return how often each case ran."""
    runs = [tuple(words[:2]) for words in executed(study)]
    return {case: runs.count(case) for case in runs}


def test_a_cluster_gives_the_verdicts_of_a_serial_run(study, address, serial):
    done, verdicts = check(study, "--dask", address)
    assert verdicts == serial
    assert done.returncode == 1  # the claim is false
    assert set(counts(study).values()) == {1}


def test_what_a_killed_worker_had_under_way_goes_to_another(study, address):
    run, waiting = start(study, address)
    os.kill(waiting, signal.SIGKILL)
    (study.parent / "wait").unlink()
    _, error = run.communicate(timeout=30)
    assert run.returncode == 1, error
    assert counts(study) == {(str(n), str(seed)): 1 + ((n, seed) == (7, 1)) for n in range(8) for seed in range(2)}


def test_after_a_killed_client_no_finished_case_runs_again(study, address, serial):
    run, _ = start(study, address)
    run.kill()
    run.communicate()
    (study.parent / "wait").unlink()
    done, verdicts = check(study, "--dask", address)
    kept = int(done.stderr.removeprefix("resuming: ").split()[0])
    assert 29 <= kept <= 31  # up to two others waited behind the case
    assert counts(study) == {(str(n), str(seed)): 1 + ((n, seed) == (7, 1)) for n in range(8) for seed in range(2)}
    assert verdicts == serial


def test_no_answer_takes_one_line(study):
    done = subprocess.run(command(study, "--dask", "127.0.0.1"), capture_output=True, **settings(study))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no Dask scheduler answers at 127.0.0.1 (missing port number" in done.stderr


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x"])
def test_an_address_that_is_wrong_is_named(address, monkeypatch):
    monkeypatch.setattr("lora_proofs.judgement.workers.CONNECT_SECONDS", 0.5)
    with pytest.raises(ClusterError, match=f"no Dask scheduler answers at {address}"), cluster(address):
        pass


def test_workers_of_other_versions_are_refused(address, monkeypatch):
    monkeypatch.setattr("platform.python_version", lambda: "0.1")
    with (
        pytest.raises(ClusterError, match=r"python \S+, not 0\.1: its verdicts could differ"),
        cluster(address) as workers,
    ):
        workers.slots()


def test_without_dask_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match=r"pip install '\.\[cluster\]'"), cluster("tcp://x"):
        pass
