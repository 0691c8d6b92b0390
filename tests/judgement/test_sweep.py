import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest

from lora_proofs.judgement.cases import Case
from lora_proofs.judgement.collect import CollectError, collect
from lora_proofs.judgement.environment import cache_folder
from lora_proofs.judgement.sweep import _Chunk, _take, sweep
from lora_proofs.judgement.verdict_lines import journal_of
from lora_proofs.judgement.workers import processes
from lora_proofs.judgement.workload import Workload

ROOT = Path(__file__).resolve().parents[2]

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


def workload_of(path, seeds=2):
    return Workload.of(collect([str(path)]), seeds)


def cases_of(workload):
    """Yield label, control, parameters and seed of each case of a workload."""
    for batch in workload.batches:
        for number in range(len(batch)):
            case = batch.case(number)
            yield batch.label, batch.control, case.params, case.seed


def run(workload, jobs=1, **kwargs):
    """Sweep, and return the verdicts."""
    journal = journal_of(workload, fail_on_warning)
    with processes(jobs) as workers:
        sweep(workload, journal, workers, **kwargs)
    return list(journal.entries())


def plain(verdicts):
    return [json.dumps({**verdict.to_json(), "seconds": 0}) for verdict in verdicts]


def executed(path):
    log = path.parent / "executed"
    return log.read_text().splitlines() if log.exists() else []


def fail_on_warning(text):
    raise AssertionError(text)


def test_the_workload_lists_claims_then_their_controls(study):
    workload = workload_of(study, seeds=3)
    assert [(s.label, s.control, len(s)) for s in workload.batches] == [
        ("study:lemma-1", None, 15),
        ("study:lemma-1", "swapped", 10),
        ("study:theorem-2", None, 2),
    ]
    assert [s.first for s in workload.batches] == [0, 15, 25]
    assert workload.size == 27
    assert len({repr(case) for case in cases_of(workload)}) == 27


def test_the_workload_holds_the_cases_of_the_claims(study):
    (selection,) = collect([str(study)])
    claims = {claim.label: claim for claim in selection.claims}
    for batch in Workload.of([selection], 3, 4).batches:
        (control,) = [c for c in claims[batch.label].controls if c.description == batch.control] or [None]
        assert [batch.case(i) for i in range(len(batch))] == [*(control or claims[batch.label]).cases(3, 4)]


def test_the_workload_keeps_to_the_fixed_parameters(study):
    workload = Workload.of(collect([str(study)]), 1, 7, [{"n": 9}, {"n": 9}, {"k": 2}])
    assert [case[2:] for case in cases_of(workload)] == [({"n": 9}, 7), ({"n": 9}, 7), ({"k": 2}, 7)]


def test_processes_give_the_same_verdicts_in_the_same_order(study):
    workload = workload_of(study, seeds=3)
    serial = run(workload)
    assert plain(run(workload, jobs=2)) == plain(serial)
    alone = run(Workload.of(collect([str(study), "study:lemma-1"]), 1, 2))
    assert plain(alone[:5]) == plain(v for v in serial[:15] if v.case.seed == 2)


def test_tallies_do_not_depend_on_the_number_of_workers(study):
    def counted(jobs):
        workload = workload_of(study)
        with processes(jobs) as workers:
            tallies = sweep(workload, journal_of(workload, fail_on_warning), workers)
        return {
            label: (t.outcomes, t.evidence, t.controls, t.caught, t.errors, t.unexpected, t.bad, t.shown)
            for label, t in tallies.items()
        }

    assert counted(2) == counted(1)


def test_a_changed_check_file_is_read_again_by_living_workers(study):
    label = "study:theorem-2"
    before = run(Workload.of(collect([str(study), label])), jobs=2)
    study.write_text(CHECK.replace("np.linalg.norm(A, 2))", "np.linalg.norm(A @ A, 2))"))
    after = run(Workload.of(collect([str(study), label])), jobs=2)
    assert {verdict.outcome for verdict in before} == {"fails"}
    assert {verdict.outcome for verdict in after} == {"holds"}


def test_a_check_file_that_is_another_than_planned_is_refused(study):
    workload = workload_of(study)
    study.write_text(CHECK + "\n")
    with pytest.raises(CollectError, match="is not the file that the run started with"):
        run(workload)


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_hears_of_every_verdict(study, jobs):
    heard = []
    verdicts = run(workload_of(study), jobs, progress=lambda label, count: heard.append(count))
    assert sum(heard) == len(verdicts)


@pytest.mark.parametrize("numbers", [range(100), list(range(0, 200, 2))])
def test_chunks_are_cut_without_loss(numbers):
    chunks = deque([_Chunk("a", numbers[:30]), _Chunk("b", numbers[30:35]), _Chunk("c", numbers[35:])])
    taken = [list(_take(chunks, count)) for count in (1, 32, 40, 100)]
    assert [sum(len(chunk.numbers) for chunk in part) for part in taken] == [1, 32, 40, 27]
    assert [n for part in taken for chunk in part for n in chunk.numbers] == [*numbers]
    assert not chunks


def test_a_workload_of_a_million_cases_is_small(study):
    workload = workload_of(study, seeds=10**6)
    assert workload.size == 5 * 10**6 + 12
    assert len(pickle.dumps(workload)) < 3000


def test_a_completed_run_leaves_no_journal_and_is_run_again(study):
    workload = workload_of(study)
    for _ in range(2):
        journal = journal_of(workload, fail_on_warning)
        assert journal.kept == 0
        sweep(workload, journal)
        assert not journal.path.exists()
    assert len(executed(study)) == 20


def interrupt_after(count, workload):
    """Run until so many verdicts are in, as a crash of the parent would."""
    journal = journal_of(workload, fail_on_warning)
    heard = []

    def progress(label, number):
        heard.append(number)
        if sum(heard) >= count:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        sweep(workload, journal, progress=progress)
    return journal.path


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_unfinished_run_goes_on_where_it_stopped(study, jobs):
    workload = workload_of(study)
    interrupt_after(4, workload)
    assert journal_of(workload, fail_on_warning).kept == 4
    resumed = run(workload, jobs)
    assert len(executed(study)) == len(set(executed(study))) == 10
    assert plain(resumed) == plain(run(workload))


def test_another_selection_or_a_changed_file_does_not_see_the_journal(study):
    workload = workload_of(study)
    path = interrupt_after(4, workload)
    others = [
        Workload(workload.batches[:1]),
        workload_of(study, 3),
        Workload.of(collect([str(study)]), 2, dtype="float32"),
    ]
    assert path not in [journal_of(other, fail_on_warning).path for other in others]
    study.write_text(CHECK + "\n")
    assert journal_of(workload_of(study), fail_on_warning).path != path


def test_a_helper_module_belongs_to_the_check_that_imports_it(study, monkeypatch):
    folder = study.parent / "helpers"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    (folder / "first_helper.py").write_text("import second_helper, numpy\n")
    (folder / "second_helper.py").write_text("BOUND = 1\n")
    (folder / "stranger.py").write_text("BOUND = 1\n")
    study.write_text(CHECK + "import first_helper\n")
    workload = workload_of(study)
    (folder / "stranger.py").write_text("BOUND = 2\n")
    assert workload_of(study).fingerprint == workload.fingerprint
    (folder / "second_helper.py").write_text("BOUND = 2\n")
    assert workload_of(study).fingerprint != workload.fingerprint
    with pytest.raises(CollectError, match="is not the file that the run started with"):
        run(workload)


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_torn_last_line_is_ignored(study, cut):
    workload = workload_of(study)
    path = interrupt_after(4, workload)
    path.write_bytes(path.read_bytes()[:-cut])
    assert journal_of(workload, fail_on_warning).kept == (4 if cut == 1 else 3)
    resumed = run(workload)
    assert plain(resumed) == plain(run(workload))


@pytest.mark.parametrize(
    "rubbish", [b"\xff\xfe\x00\n", b"[]\n", b'{"claim": 1}\n', b"null\n3\n", b"3 []\n3 [1, 2]\n", b"999 []\n\n"]
)
def test_a_torn_file_is_no_obstacle(study, rubbish):
    workload = workload_of(study)
    path = interrupt_after(2, workload)
    path.write_bytes(rubbish + path.read_bytes() + rubbish[:-1])
    assert journal_of(workload, fail_on_warning).kept == 2
    assert plain(run(workload)) == plain(run(workload))


def test_a_cache_that_cannot_be_written_is_a_warning(study, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LORA_PROOFS_CACHE", str(tmp_path / "file"))
    warnings = []
    workload = workload_of(study)
    journal = journal_of(workload, warnings.append)
    sweep(workload, journal)
    assert len(list(journal.entries())) == workload.size
    assert journal.kept == 0
    assert len(warnings) == 1
    assert "cannot keep finished cases" in warnings[0]


def test_the_cache_folder_follows_xdg(study, tmp_path, monkeypatch):
    monkeypatch.delenv("LORA_PROOFS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "lora_proofs"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "lora_proofs"


@pytest.fixture(autouse=True)
def heed_interrupts():
    """Undo what a shell does that runs the tests in the background: its children ignore Ctrl-C, unless we handle it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def start(study, *options):
    """Start a run that will wait in the case n = 3, and return once it waits."""
    (study.parent / "wait").touch()
    command = [sys.executable, "-m", "lora_proofs", "check", str(study), "--seeds", "1", *options]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    run = subprocess.Popen(command, cwd=ROOT, **pipes)
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
    while jobs == "2" and "4 0" not in executed(study):  # the other worker goes on to the last case
        time.sleep(0.01)
    time.sleep(1)
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
    verdicts = run(Workload.of([selection], 2))
    alone = verify(selection.claims[0], Case({"n": 4}, 1, 64))
    assert plain([alone]) == plain(verdicts[9:10])


def test_a_worker_that_grows_is_kept():
    with processes(2) as pool:
        futures = [pool.submit("", _grow, 120_000_000) for _ in range(10)]
        assert len({future.result(timeout=60) for future in futures}) == 2


def _grow(size):
    sys.held = [*getattr(sys, "held", []), b"1" * size]
    time.sleep(1.1)  # Loky looks at its workers' memory once a second
    return os.getpid()
