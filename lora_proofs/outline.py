"""The papers and claims of a check file, without the libraries that its checks compute with.

A check file is run as it stands, but what it imports beyond the standard library, NumPy, `lora_proofs.claims` and
`lora_proofs.extras` is replaced by a stand-in that can be named and passed on, and nothing else. Decorators and grids
need no more, so titles, statements, grids and controls are the real ones; as soon as the file asks a stand-in for
anything that would decide what it claims (a number, a truth, a length, an order), the outline gives up.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from lora_proofs import claims
from lora_proofs.claims import Paper

_LIGHT = {*sys.stdlib_module_names, "numpy"}
_OWN_LIGHT = {"lora_proofs.claims", "lora_proofs.extras"}


class NotOutlined(Exception):
    """The file cannot be read without the libraries that it imports."""


class _StandIn:
    """Anything of a module that is not loaded: it may be named, called and computed with, but not looked at."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _StandIn()

    def __call__(self, *_: Any, **__: Any) -> _StandIn:
        return _StandIn()

    def __eq__(self, other: object) -> bool:
        # typing compares what it is given with its own special forms.
        if "typing" in (type(other).__module__, getattr(other, "__module__", "")):
            return False
        raise NotOutlined

    def __hash__(self) -> int:
        raise TypeError("unhashable")

    def _another(self, *_: Any) -> _StandIn:
        return _StandIn()

    def _refuse(self, *_: Any) -> NoReturn:
        raise NotOutlined


_ARITHMETIC = ("or", "and", "add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow")
for _name in (*_ARITHMETIC, *(f"r{name}" for name in _ARITHMETIC), "getitem", "neg", "pos", "abs", "invert"):
    setattr(_StandIn, f"__{_name}__", _StandIn._another)
_DECISIONS = (
    "bool",
    "len",
    "iter",
    "contains",
    "lt",
    "le",
    "gt",
    "ge",
    "str",
    "repr",
    "format",
    "int",
    "float",
    "index",
)
for _name in (*_DECISIONS, "complex"):
    setattr(_StandIn, f"__{_name}__", _StandIn._refuse)


class _OwnModule(_StandIn):
    """A module of `lora_proofs`, or the package: it has what belongs to claims, its modules, and its constants."""

    def __init__(self, name: str, reader: _Reader) -> None:
        self.__dict__.update(name=name, reader=reader)

    def __getattr__(self, name: str) -> Any:
        own, reader = self.__dict__["name"], self.__dict__["reader"]
        if own == __package__ and hasattr(claims, name):
            return getattr(claims, name)
        if name.isupper():
            return getattr(reader.read(_source(_PACKAGE, own), own), name)
        inner = _source(_PACKAGE, f"{own}.{name}")
        return _OwnModule(f"{own}.{name}", reader) if inner.is_file() else super().__getattr__(name)


_PACKAGE = Path(__file__).parent


def _source(folder: Path, name: str) -> Path:
    """Return the file of a module, by its dotted name, of the package in this folder."""
    place = folder.joinpath(*name.split(".")[1:])
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def outline(path: Path) -> list[Paper]:
    """Return the papers of a check file, or of a package folder. The checks of their claims cannot be called.

    Raises
    ------
    NotOutlined
        Where only an import can tell; also where that would fail.
    """
    reader = _Reader(path)
    try:
        module = reader.read(path / "__init__.py" if path.is_dir() else path, "check")
    except Exception as problem:
        raise NotOutlined from problem
    return list({id(value): value for value in vars(module).values() if isinstance(value, Paper)}.values())


class _Reader:
    """Runs the files of one check, each once."""

    def __init__(self, path: Path) -> None:
        self.folder = path if path.is_dir() else path.parent
        self.modules: dict[str, ModuleType] = {}

    def read(self, file: Path, name: str) -> ModuleType:
        if name not in self.modules:
            module = self.modules[name] = ModuleType(name)
            package = file.name == "__init__.py"
            module.__dict__.update(
                __file__=str(file),
                __package__=name if package else name.rpartition(".")[0],
                __builtins__={**vars(builtins), "__import__": self.import_},
            )
            # The loader takes the byte code that an earlier import left.
            code: Any = SourceFileLoader(name, str(file)).get_code(name)
            exec(code, vars(module))
        return self.modules[name]

    def import_(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if level:
            return self.import_sibling(name, globals or {}, fromlist or (), level)
        top = name.partition(".")[0]
        if top in _LIGHT or name in _OWN_LIGHT:
            return builtins.__import__(name, globals, locals, fromlist or (), 0)
        if find_spec(top) is None:
            raise ModuleNotFoundError(f"No module named {top!r}")
        return _OwnModule(name, self) if top == __package__ else _StandIn()

    def import_sibling(self, name: str, globals: Mapping[str, Any], fromlist: Sequence[str], level: int) -> ModuleType:
        home = str(globals["__package__"]).split(".")
        base = ".".join([*home[: len(home) - level + 1], *filter(None, [name])])
        module = self.find(base)
        for part in fromlist:
            if not hasattr(module, part):
                setattr(module, part, self.find(f"{base}.{part}"))
        return module

    def find(self, name: str) -> ModuleType:
        return self.read(_source(self.folder, name), name)
