"""Run a student's file: limit the process, close what homework must not use, then answer calls.

Started by `submission.py` as a script, with ``-I -B PACKAGE HOMEWORK REFERENCE FD_IN FD_OUT MEGABYTES``.
"""

import os
import resource
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from stat import S_ISDIR
from types import ModuleType
from typing import Any

CLOSED = ("lora_proofs.constructions", "lora_proofs.exercises.solutions", "lora_proofs.ntk", "lora_proofs.tools")
"""What solves the exercises: it can be imported, since a check file does, but not called."""

FORBIDDEN = (
    "ctypes.dlopen", "os.chmod", "os.chown", "os.exec", "os.fork", "os.forkpty", "os.kill", "os.killpg", "os.link",
    "os.mkdir", "os.posix_spawn", "os.remove", "os.rename", "os.rmdir", "os.spawn", "os.symlink", "os.system",
    "os.truncate", "os.utime", "pty.spawn", "resource.prlimit", "resource.setrlimit", "shutil.copyfile", "shutil.move",
    "shutil.rmtree", "signal.pthread_kill", "socket.__new__", "socket.connect", "sqlite3.connect", "subprocess.Popen",
)  # fmt: skip


class _Closed(MetaPathFinder, Loader):
    """Finds closed modules as shells whose functions refuse."""

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if any(name == closed or name.startswith(f"{closed}.") for closed in CLOSED):
            return ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Shell(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Shell(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*arguments: Any, **options: Any) -> Any:
            raise PermissionError(f"{self.__name__}.{name} is closed in homework: write it yourself")

        return refuse


def _watch(hidden: list[str]) -> None:
    """Refuse, for the rest of the process, files to write, hidden files to read, other processes and the network.

    What the hook needs is bound here: the submission may replace names of modules, but not local ones. Files are told
    by their inodes, so that no link and no working folder leads round it.
    """
    forbidden, devnull, stat, is_folder, is_a = frozenset(FORBIDDEN), os.devnull, os.stat, S_ISDIR, isinstance
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    closed = {(found.st_dev, found.st_ino) for found in map(stat, hidden)}
    processes = stat("/proc").st_dev if os.path.isdir("/proc") else None

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in forbidden:
            raise PermissionError(f"{event} is closed in homework")
        if event == "open" and not is_a(arguments[0], int):
            path, _, flags = arguments
            if flags & writing and path != devnull:
                raise PermissionError("homework writes no files")
            try:
                found = stat(path)
            except OSError:
                return  # there is nothing to open
            if (found.st_dev, found.st_ino) in closed or found.st_dev == processes or is_folder(found.st_mode):
                raise PermissionError("this file is closed in homework")

    sys.addaudithook(hook)


def _files(package: str) -> list[str]:
    """Return the files of the closed modules, compiled ones too, and of other copies on the path."""
    roots = [os.path.join(place, *name.split(".")) for place in {package, *sys.path} for name in CLOSED]
    found = [os.path.join(folder, name) for root in roots for folder, _, names in os.walk(root) for name in names]
    return found + [f"{root}.py" for root in roots if os.path.isfile(f"{root}.py")]


def main() -> None:
    """Load the homework behind the fence, say so, and answer until the pipe is closed."""
    package, homework, reference, asking, telling, megabytes = sys.argv[1:]
    limits = {resource.RLIMIT_AS: int(megabytes) << 20, resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0}
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))
    if package not in sys.path:
        sys.path.append(package)
    import ctypes  # noqa: F401  (NumPy and SciPy load libraries with it; a submission must not)

    import numpy as np  # noqa: F401

    from lora_proofs.homework.messages import decode, encode

    with open(homework, "rb") as file:
        source = file.read()
    heard, told = os.fdopen(int(asking), "rb"), os.fdopen(int(telling), "wb")
    sys.argv[1:] = []
    sys.meta_path.insert(0, _Closed())
    for module in (os, sys.modules["posix"]):  # Python does not audit these
        for name in ("mkfifo", "mknod"):
            delattr(module, name)
    _watch([reference, *_files(package)])

    def tell(kind: str, value: object) -> None:
        try:
            line = encode((kind, value))
        except (TypeError, ValueError, RecursionError) as problem:
            line = encode(("error", f"{type(problem).__name__}: {problem}"))
        told.write(f"{line}\n".encode())
        told.flush()

    trouble, module = "", ModuleType("homework")
    try:
        module.__file__ = homework
        sys.modules["homework"] = module
        exec(compile(source, homework, "exec"), module.__dict__)
    except BaseException as problem:
        trouble = f"the file cannot be loaded: {type(problem).__name__}: {problem}"
    tell("ready", trouble)
    for line in heard:
        name, arguments = decode(line)
        try:
            if trouble:
                raise ImportError(trouble)
            if not hasattr(module, name):
                raise LookupError(f"there is no function {name!r}")
            answer = "result", getattr(module, name)(*arguments)
        except BaseException as problem:
            answer = "error", " ".join(f"{type(problem).__name__}: {problem}".split())
        tell(*answer)


if __name__ == "__main__":
    main()
