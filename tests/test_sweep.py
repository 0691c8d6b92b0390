import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lora_proofs.claims import Case
from lora_proofs.collect import collect
from lora_proofs.sweep import BATCH_SECONDS, Journal, Task, _batches, plan, sweep

ROOT = Path(__file__).resolve().parents[1]

# Each case notes its execution in a file. The case n = 3 waits until it is told to go on.
CHECK = '''
import os, time
from pathlib import Path
import mpmath, numpy as np
from fractions import Fraction
from lora_proofs import Paper, at_most, equal

HERE = Path(__file__).parent
PAPER = Paper(key="study", title="A title", authors=("A. Author",), year=2024, arxiv="")

@PAPER.lemma("1", n=(0, 1, 2, 3, 4))
def lemma_1(case):
    """Statement."""
    if case.digits == 16:
        with open(HERE / "executed", "a") as log:
            log.write(f"{case['n']} {case.seed}\\n")
    while case["n"] == 3 and (HERE / "wait").exists():
        time.sleep(0.01)
    return equal(mpmath.mpf(case.rng.standard_normal()) * (1 + mpmath.mpf(10) ** (12 - case.digits)), 0.3)

@lemma_1.control("swapped")
def _(case):
    return at_most(Fraction(case["n"] + 1, 7), Fraction(0))

@PAPER.theorem("2", k=(3, 40), seeded=False)
def theorem_2(case):
    """Statement."""
    A = case.rng.standard_normal((case["k"], case["k"]))
    return equal(np.linalg.norm(A @ A, 2), np.linalg.norm(A, 2))

@PAPER.theorem("3", requires=(("no_such_module", "pip install it"),))
def theorem_3(case):
    """Statement."""
    raise RuntimeError
'''


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_PROOFS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "study.py"
    path.write_text(CHECK)
    return path


def tasks_of(path, seeds=2):
    return plan(collect([str(path)]), seeds)


def plain(verdicts):
    return [json.dumps({**verdict.to_json(), "seconds": 0}) for verdict in verdicts]


def executed(path):
    log = path.parent / "executed"
    return log.read_text().splitlines() if log.exists() else []


def fail_on_warning(text):
    raise AssertionError(text)


def test_the_plan_lists_claims_then_their_controls(study):
    tasks = tasks_of(study, seeds=3)
    kinds = [(task.label, task.control) for task in tasks]
    assert kinds == (
        [("study:lemma-1", None)] * 15 + [("study:lemma-1", "swapped")] * 10 + [("study:theorem-2", None)] * 2
    )
    assert len({task.key for task in tasks}) == len(tasks)


def test_the_plan_keeps_to_the_fixed_parameters(study):
    tasks = plan(collect([str(study)]), 1, 7, [{"n": 9}, {"n": 9}, {"k": 2}])
    assert [(task.params, task.seed) for task in tasks] == [({"n": 9}, 7), ({"n": 9}, 7), ({"k": 2}, 7)]


def test_processes_give_the_same_verdicts_in_the_same_order(study):
    tasks = tasks_of(study, seeds=3)
    serial = sweep(tasks)
    assert plain(sweep(tasks, jobs=2)) == plain(serial)
    assert plain(reversed(sweep(tasks[::-1]))) == plain(serial)
    assert plain(sweep(tasks[5:6])) == plain(serial[5:6])


def test_a_changed_check_file_is_read_again_by_living_workers(study):
    label = "study:theorem-2"
    before = sweep(plan(collect([str(study), label])), jobs=2)
    study.write_text(CHECK.replace("np.linalg.norm(A, 2))", "np.linalg.norm(A @ A, 2))"))
    after = sweep(plan(collect([str(study), label])), jobs=2)
    assert {verdict.outcome for verdict in before} == {"fails"}
    assert {verdict.outcome for verdict in after} == {"holds"}


def test_progress_hears_of_every_verdict(study):
    heard = []
    verdicts = sweep(tasks_of(study), progress=heard.append)
    assert heard == verdicts


def test_batches_grow_to_the_wanted_duration():
    tasks = [Task("path", "digest", "label", None, {}, seed) for seed in range(250)]
    assert [len(batch) for batch in _batches(tasks[:3], {})] == [1, 1, 1]
    sizes = [len(batch) for batch in _batches(tasks, {("label", None): BATCH_SECONDS / 100})]
    assert sum(sizes) == 250
    assert max(sizes) <= 101
    assert [len(batch) for batch in _batches(tasks[:2], {("label", None): 5.0})] == [1, 1]


def test_a_completed_run_leaves_no_journal_and_is_run_again(study):
    tasks = tasks_of(study)
    for _ in range(2):
        journal = Journal.open(tasks, fail_on_warning)
        assert journal.finished == {}
        sweep(tasks, journal=journal)
        assert not journal.path.exists()
    assert len(executed(study)) == 20


def interrupt_after(count, tasks, **kwargs):
    """Run until so many verdicts are in, as a crash of the parent would."""
    journal = Journal.open(tasks, fail_on_warning)
    left = iter(range(count - 1))

    def progress(verdict):
        if next(left, None) is None:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        sweep(tasks, journal=journal, progress=progress, **kwargs)
    return journal.path


def test_an_unfinished_run_goes_on_where_it_stopped(study):
    tasks = tasks_of(study)
    interrupt_after(4, tasks)
    journal = Journal.open(tasks, fail_on_warning)
    assert len(journal.finished) == 4
    resumed = sweep(tasks, journal=journal)
    assert len(executed(study)) == len(set(executed(study))) == 10
    assert plain(resumed) == plain(sweep(tasks))


def test_another_selection_or_a_changed_file_does_not_see_the_journal(study):
    tasks = tasks_of(study)
    path = interrupt_after(4, tasks)
    assert Journal.open(tasks[:5], fail_on_warning).path != path
    study.write_text(CHECK + "\n")
    assert Journal.open(tasks_of(study), fail_on_warning).path != path


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_last_line_is_ignored(study, cut):
    tasks = tasks_of(study)
    path = interrupt_after(4, tasks)
    path.write_bytes(path.read_bytes()[:-cut])
    journal = Journal.open(tasks, fail_on_warning)
    assert len(journal.finished) == (4 if cut == 1 else 3)
    journal.append(sweep(tasks[4:5])[0])
    assert len(Journal.open(tasks, fail_on_warning).finished) == len(journal.finished)


@pytest.mark.parametrize("rubbish", [b"\xff\xfe\x00\n", b"[]\n", b'{"claim": 1}\n', b"null\n3\n"])
def test_a_torn_file_is_no_obstacle(study, rubbish):
    tasks = tasks_of(study)
    path = interrupt_after(2, tasks)
    path.write_bytes(rubbish + path.read_bytes())
    journal = Journal.open(tasks, fail_on_warning)
    assert len(journal.finished) == 2
    assert len(sweep(tasks, journal=journal)) == len(tasks)


def test_a_cache_that_cannot_be_written_is_a_warning(study, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LORA_PROOFS_CACHE", str(tmp_path / "file"))
    warnings = []
    tasks = tasks_of(study)
    journal = Journal.open(tasks, warnings.append)
    assert len(sweep(tasks, journal=journal)) == len(tasks)
    assert journal.kept == 0
    assert len(warnings) == 1
    assert "cannot keep finished cases" in warnings[0]


def test_the_cache_folder_follows_xdg(study, tmp_path, monkeypatch):
    monkeypatch.delenv("LORA_PROOFS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Journal.open([], fail_on_warning).path.parent == tmp_path / "xdg" / "lora_proofs"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Journal.open([], fail_on_warning).path.parent == tmp_path / "home" / ".cache" / "lora_proofs"


def start(study, *options):
    """Start a run that will wait in the case n = 3, and return once it waits."""
    (study.parent / "wait").touch()
    command = [sys.executable, "-m", "lora_proofs", "check", str(study), "--seeds", "1", *options]
    run = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while "3 0" not in executed(study):
        assert time.monotonic() < deadline
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.01)
    return run


def finish(study, *options):
    (study.parent / "wait").unlink()
    command = [sys.executable, "-m", "lora_proofs", "check", str(study), "--seeds", "1", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_after_a_kill_no_finished_case_runs_again(study):
    run = start(study)
    run.kill()
    run.communicate()
    done = finish(study)
    assert "resuming: 3 of 12 cases were finished before" in done.stderr
    assert executed(study) == ["0 0", "1 0", "2 0", "3 0", "3 0", "4 0"]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_keeps_what_is_finished(study, jobs):
    run = start(study, "-j", jobs)
    time.sleep(1)  # with two workers, the other one goes on to the last case
    run.send_signal(signal.SIGINT)
    _, error = run.communicate(timeout=30)
    assert run.returncode == 130
    assert error.count("\n") == 1
    kept = 3 if jobs == "1" else 11
    assert f"interrupted: {kept} of 12 cases are kept; the same command goes on from there" in error
    done = finish(study, "-j", jobs)
    assert f"resuming: {kept} of 12" in done.stderr
    assert sorted(executed(study)) == ["0 0", "1 0", "2 0", "3 0", "3 0", "4 0"]


def test_a_worker_that_dies_takes_one_line(study):
    study.write_text(CHECK.replace("raise RuntimeError", "os.abort()").replace("no_such_module", "numpy"))
    command = [sys.executable, "-m", "lora_proofs", "check", str(study), "-j", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "a worker process died" in done.stderr
    assert "Traceback" not in done.stderr.splitlines()[-1]


def test_a_case_alone_gives_the_verdict_of_the_run(study):
    from lora_proofs.verify import verify

    (selection,) = collect([str(study), "study:lemma-1"])
    verdicts = sweep(plan([selection], 2))
    alone = verify(selection.claims[0], Case({"n": 4}, 1, 64))
    assert plain([alone]) == plain(verdicts[9:10])
