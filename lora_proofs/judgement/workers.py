"""Who runs the cases of a sweep: processes of this machine, or a Dask cluster."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from lora_proofs.judgement.environment import versions

CONNECT_SECONDS = 5


class ClusterError(ValueError):
    """The cluster cannot be used; the message is one clear line."""


class WorkerDied(RuntimeError):
    """A worker ended in the middle of its work."""


@dataclass(frozen=True)
class Workers:
    """Places that take one task each.

    Attributes
    ----------
    slots : callable
        Returns the names of the places that there are at the moment.
    submit : callable
        Takes the name of a place, a function and its argument, and returns the future result.
    """

    slots: Callable[[], Collection[str]]
    submit: Callable[[str, Callable[[Any], Any], Any], Future[Any]]


@contextmanager
def processes(jobs: int) -> Iterator[Workers | None]:
    """Run cases in so many processes, -1 standing for every core; one is this process, and no `Workers`.

    Raises
    ------
    WorkerDied
        If one is killed, as the system does where memory runs out.
    """
    from joblib import effective_n_jobs
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    width = effective_n_jobs(jobs)
    if width == 1:
        yield None
        return
    executor = get_reusable_executor(max_workers=width, timeout=None, initializer=settle)
    slots = [str(number) for number in range(2 * width)]  # a task under way in each process, and one that waits
    try:
        yield Workers(lambda: slots, lambda slot, function, given: executor.submit(function, given))
    except TerminatedWorkerError:
        raise WorkerDied("a worker process died (out of memory?)") from None
    except BaseException:
        executor.shutdown(wait=True, kill_workers=True)
        raise


def settle() -> None:
    """Set up a worker process."""
    from joblib.externals.loky import process_executor

    # Ctrl-C reaches the whole process group. The parent ends the workers; a traceback from each would bury its message.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Loky replaces a worker that has grown by 300 MB, as with a language model, which the next one would load anew.
    process_executor._MAX_MEMORY_LEAK_SIZE = float("inf")


@contextmanager
def cluster(address: str) -> Iterator[Workers]:
    """Run cases on the workers of a Dask scheduler, however many it has at the time.

    They must see the check files under the paths that these have here, as on a shared file system. What a worker that
    dies had under way goes to another one.

    Raises
    ------
    ClusterError
        If Dask is not installed, no scheduler answers, or a worker has other versions of what computes.
    WorkerDied
        If the scheduler is lost, or several workers died of the same work.
    """
    try:
        from distributed import Client, KilledWorker
        from distributed.comm import CommClosedError, get_address_host_port
    except ImportError:
        raise ClusterError("--dask needs Dask; in a clone: pip install '.[cluster]'") from None
    try:
        get_address_host_port(address)  # `Client` would say at length, and later, what is wrong with it
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, ImportError) as problem:
        raise ClusterError(f"no Dask scheduler answers at {address} ({' '.join(str(problem).split())})") from None
    known: set[str] = set()

    def present() -> Collection[str]:
        client.wait_for_workers(1)  # as long as a batch system takes
        workers: dict[str, int] = client.ncores()
        if new := workers.keys() - known:
            _require_equal_versions(client.run(versions, workers=list(new)))
            known.update(new)
        return workers

    with client:
        executors = cache(lambda worker: client.get_executor(workers=[worker], allow_other_workers=True, pure=False))
        try:
            # One task a worker: Dask would leave a second one there, behind a case of an hour, while others are idle.
            yield Workers(present, lambda worker, function, given: executors(worker).submit(function, given))
        except (KilledWorker, CancelledError, CommClosedError) as problem:
            raise WorkerDied(f"the cluster lost its work ({type(problem).__name__})") from None


def _require_equal_versions(found: dict[str, dict[str, str]]) -> None:
    here = versions()
    for worker, there in found.items():
        if different := [
            f"{name} {there.get(name)}, not {here[name]}" for name in here if there.get(name) != here[name]
        ]:
            raise ClusterError(f"the worker {worker} has {'; '.join(different)}: its verdicts could differ")
