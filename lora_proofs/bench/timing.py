"""Two calls timed in turn, so that whatever else the machine does falls on both."""

import gc
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Ratio:
    """What `compare` measured.

    Attributes
    ----------
    name, peer : str
    ours, theirs : tuple of float
        Processor seconds of the runs, in their order.
    """

    name: str
    peer: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """Our time over theirs, run by run, ascending."""
        return sorted(a / b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def ratio(self) -> float:
        """The median of `ratios`."""
        return median(self.ratios)

    def row(self) -> tuple[str, str, str, str, str]:
        """Return the name, our median time, the peer, its median time, and the median ratio with its range."""
        low, *_, high = [*self.ratios, self.ratios[-1]]
        return (
            self.name,
            seconds(median(self.ours)),
            self.peer,
            seconds(median(self.theirs)),
            f"{self.ratio:.2g} ({low:.2g} to {high:.2g})",
        )


def compare(name: str, peer: str, ours: Callable[[], Any], theirs: Callable[[], Any], runs: int = 5) -> Ratio:
    """Return processor times of both calls, in turn, after one run of each that is not counted.

    Processor time, not the clock's, because a machine is seldom idle. Threads of LAPACK count each for itself: set
    ``OMP_NUM_THREADS=1`` to compare work.
    """
    ours()
    theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for call, out in zip((ours, theirs), times, strict=True):
            gc.collect()
            start = time.process_time()
            call()
            out.append(time.process_time() - start)
    return Ratio(name, peer, tuple(times[0]), tuple(times[1]))


def seconds(time: float) -> str:
    """Return a time as text, in seconds or milliseconds."""
    return f"{time:.3g} s" if time >= 1 else f"{1e3 * time:.3g} ms"


def table(ratios: Iterable[Ratio]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | time | peer | its time | ratio (range) |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *("| " + " | ".join(ratio.row()) + " |" for ratio in ratios)])
