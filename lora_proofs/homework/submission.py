"""A student's file, run in a process of its own with limits on time and memory.

The process gets the arguments of a hole and gives back data; it knows neither the claims' verdicts nor the reference,
and the judge does not run in it. `child.py` closes the usual ways round. It is a fence and no jail: run the work of
strangers in a container.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from lora_proofs.homework.hole import AnswerError
from lora_proofs.homework.messages import decode, encode
from lora_proofs.judgement.environment import PACKAGE

_LARGEST = 2**26
"""Bytes of the longest answer that is read."""

_STARTING = 30.0
"""Seconds for starting Python and NumPy, beyond the limit of a call."""


class Submission:
    """Answers holes by the functions of a student's file; use it as a context manager.

    Parameters
    ----------
    path : Path
    reference : Path
        May not be opened by the submission.
    seconds : float
        For each call.
    megabytes : int
        Of address space, NumPy included.

    Attributes
    ----------
    trouble : str
        Why the process had to be ended, or ended by itself; empty while all is well. The next call starts a new one.
    """

    def __init__(self, path: Path, reference: Path, seconds: float, megabytes: int) -> None:
        self.path, self.reference = path.resolve(), reference.resolve()
        self.seconds, self.megabytes = seconds, megabytes
        self.trouble = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="homework")

    def __enter__(self) -> Submission:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end("")
        self._folder.cleanup()

    def __call__(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """Return what the student's function of this name returns.

        Raises
        ------
        AnswerError
            If it raises, is missing, takes too long, ends the process, or returns what is no data.
        """
        if self._process is None:
            self._start()
        reply = self._exchange(encode([name, list(arguments)]), self.seconds)
        if not isinstance(reply, tuple) or len(reply) != 2:
            self._end("it wrote what is no answer")
            raise AnswerError(self.trouble)
        kind, value = reply
        if kind != "result":
            raise AnswerError(str(value)[:200])
        return value

    def _start(self) -> None:
        self.trouble = ""
        asking, self._ask = os.pipe()
        self._hear, telling = os.pipe()
        package = str(PACKAGE.parent)
        child = str(Path(__file__).with_name("child.py"))
        words = [package, str(self.path), str(self.reference), str(asking), str(telling), str(self.megabytes)]
        keep = {"PATH": os.environ.get("PATH", ""), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", child, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(asking, telling), cwd=self._folder.name, env=keep, start_new_session=True,
        )  # fmt: skip
        os.close(asking)
        os.close(telling)
        self._exchange(None, _STARTING + self.seconds)

    def _exchange(self, message: str | None, seconds: float) -> Any:
        """Send a message, if any, and wait for the reply."""
        deadline, reply = time.monotonic() + seconds, bytearray()
        data = b"" if message is None else f"{message}\n".encode()
        os.set_blocking(self._ask, False)
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._hear, selectors.EVENT_READ)
            if data:
                waiting.register(self._ask, selectors.EVENT_WRITE)
            while not reply.endswith(b"\n"):
                ready = waiting.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    self._end(f"it took longer than {seconds:g} s")
                for key, _ in ready:
                    try:
                        if key.fd == self._ask:
                            data = data[os.write(self._ask, data) :]
                            if not data:
                                waiting.unregister(self._ask)
                        else:
                            part = os.read(self._hear, 2**16)
                            reply += part
                            if not part:
                                self._end("its process ended")
                    except BrokenPipeError:
                        self._end("its process ended")
                if len(reply) > _LARGEST:
                    self._end(f"its answer is longer than {_LARGEST >> 20} MiB")
                if self.trouble:
                    raise AnswerError(self.trouble)
        try:
            return decode(bytes(reply))
        except ValueError:
            self._end("it wrote what is no answer")
            raise AnswerError(self.trouble) from None

    def _end(self, trouble: str) -> None:
        self.trouble = trouble
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._ask)
        os.close(self._hear)
        self._process = None
