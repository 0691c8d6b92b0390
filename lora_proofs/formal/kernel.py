"""The proof kernel: where it is, and compiling theories with it, each once for its text and what it requires."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from lora_proofs.formal.development import LIBRARY, Development, stated

_PATIENCE = 900
"""Seconds after which one file is given up."""


class NoKernel(Exception):
    """There is no coqc with the Mathematical Components; the text says how to get them."""


@dataclass(frozen=True)
class Kernel:
    """A proof kernel: the path of its compiler, and its name and version."""

    coqc: str
    name: str

    def run(self, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Compile a file, in its folder."""
        command = [self.coqc, "-q", "-w", "none", "-Q", ".", LIBRARY, *options, file.name]
        try:
            return subprocess.run(command, cwd=file.parent, capture_output=True, text=True, timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"Error: not finished after {_PATIENCE} seconds")


@dataclass
class Compiled:
    """Theories compiled into a folder.

    Attributes
    ----------
    folder : Path
        Holds the sources and what was made of them.
    seconds : dict
        What each compiled file took, when it was compiled.
    broken : dict
        Why a file is not compiled: the error, or the required file that is broken.
    """

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def find_kernel() -> Kernel:
    """Return the kernel on the path.

    Raises
    ------
    NoKernel
        If there is none, or it lacks the Mathematical Components or their tactics.
    """
    coqc = shutil.which("coqc")
    lacking = "coqc on the path" if coqc is None else _lacking(coqc)
    if coqc is None or lacking:
        raise NoKernel(
            f"no {lacking}: install Rocq with the Mathematical Components "
            "(Debian, Ubuntu: apt-get install coq libcoq-mathcomp-algebra libcoq-mathcomp-algebra-tactics; "
            "opam: opam install coq-mathcomp-algebra coq-mathcomp-algebra-tactics)"
        )
    said = subprocess.run([coqc, "--version"], capture_output=True, text=True).stdout
    version = re.search(r"(?:Rocq Prover|Coq Proof Assistant), version (\S+)", said)
    return Kernel(coqc, f"Coq {version[1]}" if version else said.strip().split("\n")[0])


def _lacking(coqc: str) -> str:
    """Return which part of the Mathematical Components is not among the libraries of a compiler."""
    if os.environ.get("COQPATH"):  # they may be anywhere
        return ""
    where = subprocess.run([coqc, "-where"], capture_output=True, text=True).stdout.strip()
    folder = Path(where) / "user-contrib" / "mathcomp"
    parts = {"ssralg.vo": "mathcomp-algebra", "ring.vo": "mathcomp-algebra-tactics"}
    return next((f"{name} beside coqc" for part, name in parts.items() if not any(folder.rglob(part))), "")


@contextmanager
def compiled(
    development: Development,
    names: Iterable[str],
    kernel: Kernel,
    cache: Path,
    advance: Callable[[str], None] = lambda name: None,
) -> Iterator[Compiled]:
    """Compile theories and what they require, as many at once as there are cores, into a folder that lives as long.

    What was compiled before, of the same text, by the same kernel, is taken from the cache.
    """
    order = development.needed(names)
    with TemporaryDirectory(prefix="lora-proofs-") as work:
        done = Compiled(Path(work))
        for name in order:
            (done.folder / f"{name}.v").write_text(development.sources[name], encoding="utf-8")
        _compile_all(development, order, kernel, cache / "formal", done, advance)
        yield done


def _compile_all(
    development: Development,
    order: list[str],
    kernel: Kernel,
    store: Path,
    done: Compiled,
    advance: Callable[[str], None],
) -> None:
    waiting = [*order]
    running: dict[Future[str], str] = {}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1) as pool:
        while waiting or running:
            for name in [*waiting]:
                needs = development.requires(name)
                if lost := [other for other in needs if other in done.broken]:
                    done.broken[name] = f"requires {lost[0]}.v, which is broken"
                    waiting.remove(name)
                elif all(other in done.seconds for other in needs):
                    key = _key(development, name, kernel)
                    running[pool.submit(_compile, kernel, done, store / key, name)] = name
                    waiting.remove(name)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                if problem := future.result():
                    done.broken[name] = problem
                advance(name)


def _key(development: Development, name: str, kernel: Kernel) -> str:
    version = re.sub(r"[^\w.-]+", "-", kernel.name)
    return f"{version}/{name}-{development.digest(development.needed([name]))}"


def _compile(kernel: Kernel, done: Compiled, kept: Path, name: str) -> str:
    """Compile one file or take it from where it is kept; return what is wrong with it."""
    target = done.folder / f"{name}.vo"
    try:
        shutil.copyfile(kept.with_suffix(".vo"), target)
        done.seconds[name] = float(kept.with_suffix(".seconds").read_text())
        return ""
    except (OSError, ValueError):
        pass
    start = time.perf_counter()
    result = kernel.run(done.folder / f"{name}.v")
    seconds = round(time.perf_counter() - start, 2)
    if result.returncode:
        return what_is_wrong(result.stderr or result.stdout, (done.folder / f"{name}.v").read_text(encoding="utf-8"))
    kept.parent.mkdir(parents=True, exist_ok=True)
    for suffix, content in ((".seconds", str(seconds).encode()), (".vo", target.read_bytes())):
        partial = kept.with_suffix(f"{suffix}.{os.getpid()}")
        partial.write_bytes(content)
        partial.replace(kept.with_suffix(suffix))
    done.seconds[name] = seconds
    return ""


_PRIMITIVES = ("Coq.Numbers.Cyclic.Int63.PrimInt63.", "Coq.Floats.PrimFloat.")
"""The kernel's own machine integers and floats, which coqchk counts among the axioms of all that is loaded, as tactics
load them. Whether a theorem rests on one, the kernel says when it is asked for the theorem's assumptions."""


def recheck(kernel: Kernel, done: Compiled) -> list[str]:
    """Have coqchk check the compiled theories and all that they load, with the kernel alone; return what it objects to.

    Where `Kernel` compiles by tactics and trusts the files of the libraries, this reads every compiled file again.
    """
    coqchk = Path(kernel.coqc).with_name("coqchk")
    if not coqchk.is_file():
        return [f"there is no coqchk beside {kernel.coqc}"]
    command = [str(coqchk), "-silent", "-o", "-Q", ".", LIBRARY, *(f"{LIBRARY}.{name}" for name in done.seconds)]
    result = subprocess.run(command, cwd=done.folder, capture_output=True, text=True)
    said = result.stdout + result.stderr
    if result.returncode:
        return [f"coqchk: {' '.join(said.split())[-400:]}"]
    entries = re.findall(r"^\* (?!Theory)(.*?):\s*(.*?)\s*(?=^\*|\Z)", said, re.MULTILINE | re.DOTALL)
    if "Axioms" not in dict(entries):
        return ["coqchk does not say which axioms there are"]
    found = {what: [name for name in which.split() if name != "<none>"] for what, which in entries}
    found["Axioms"] = [name for name in found["Axioms"] if not name.startswith(_PRIMITIVES)]
    return [f"coqchk: {what}: {' '.join(which)}" for what, which in found.items() if which]


def what_is_wrong(said: str, source: str) -> str:
    """Return one line of what the kernel said: the theorem in which it stopped, the line, and its error."""
    place = re.search(r'File "[^"]*", line (\d+)', said)
    error = re.search(r"Error:\s*(.*)", said, re.DOTALL)
    reason = " ".join((error[1] if error else said).split())[:300] or "the kernel ended without a word"
    if not place:
        return reason
    line = int(place[1])
    above = "\n".join(source.split("\n")[:line])
    names = stated(above)
    where = f"in {names[-1]}, line {line}" if names else f"line {line}"
    return f"{where}: {reason}"
