"""Which functions a check calls, and how to change what one of them returns.

Of interest are the functions of the check file, of its package or of files beside it, and those of the library that
these call themselves: what the library calls inside is the business of the library's own tests. Left out are the
judgement (`Comparison`, `Case`, `verify` and the like), functions without a name of their own, and generators of
instances: `lora_proofs.instances`, what is named as such, and every function that draws random numbers from the
case while it runs and returns no number. What these call belongs to the instance as well.
"""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import _lru_cache_wrapper, cached_property
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

from numpy.random import Generator

from lora_proofs.judgement.audit.replacements import changes, is_number, options
from lora_proofs.judgement.cases import Case
from lora_proofs.judgement.environment import PACKAGE

_JUDGEMENT = {"judgement", "enclosure", "falsify", "__init__"}
_INSTANCES = {"instances", "backends", "pretrained", "networks/files.py", "tensor_files"}
_CONVERSIONS = {f"lora_proofs.exact.matrices.{name}" for name in ("number", "matrix", "array", "identity")}
"""What writes numbers in another type, most of them the literals of an instance."""

_SINGLE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_PASSED_THROUGH = ("functools.py", "contextlib.py")


@dataclass(frozen=True)
class Places:
    """Where the functions of interest stand.

    Attributes
    ----------
    checks : Path
        The check file or package folder.
    instances : collection of str
        Names of further functions that make instances, such as ``"jang2024lora.paper.sizes"``.
    """

    checks: Path
    instances: Collection[str] = ()
    _known: dict[CodeType, str] = field(default_factory=dict, repr=False, compare=False)

    def kind(self, code: CodeType) -> str:
        """Return ``"checks"``, ``"library"``, ``"instances"``, ``"judgement"``, or nothing for other code."""
        if code not in self._known:
            self._known[code] = self._kind(code)
        return self._known[code]

    def _kind(self, code: CodeType) -> str:
        if code.co_filename.startswith("<"):
            return ""
        file = Path(code.co_filename)
        if PACKAGE in file.parents and self.checks not in (file, *file.parents):
            inner = file.relative_to(PACKAGE)
            names = {inner.parts[0].removesuffix(".py"), inner.as_posix()}
            kind = "judgement" if names & _JUDGEMENT else "instances" if names & _INSTANCES else "library"
        elif self.checks in (file, *file.parents) or file.parent == self.checks.parent:
            kind = "checks"
        else:
            return ""
        return "instances" if self.name(code) in _CONVERSIONS | {*self.instances} else kind

    def name(self, code: CodeType) -> str:
        """Return a function's name, with its module from the check file's folder or the library on."""
        file = Path(code.co_filename)
        above = PACKAGE.parent if PACKAGE in file.parents else self.checks.parent
        parts = file.relative_to(above).with_suffix("").parts
        return ".".join([*(part for part in parts if part != "__init__"), code.co_qualname])

    def place(self, code: CodeType) -> str:
        """Return ``file:line``."""
        file = Path(code.co_filename)
        above = PACKAGE.parent if PACKAGE in file.parents else self.checks.parent
        return f"{file.relative_to(above).as_posix()}:{code.co_firstlineno}"


@dataclass
class Function:
    """A function that a check called, and what it returned.

    ``names`` are the replacements of its values, each with whether it makes a difference; ``cached``: it ran to fill
    a `functools.cache`.
    """

    code: CodeType
    names: dict[str, bool] = field(default_factory=dict)
    cached: bool = False


@dataclass
class Trace:
    """What ran: the functions that can be replaced, all code of the check file, and the generators of instances."""

    functions: dict[CodeType, Function] = field(default_factory=dict)
    entered: set[CodeType] = field(default_factory=set)
    generators: set[CodeType] = field(default_factory=set)


class _Watched(Generator):
    """A case's random numbers, which tell when one is drawn."""

    uses = 0

    def __getattribute__(self, name: str) -> Any:
        _Watched.uses += 1
        return super().__getattribute__(name)


@contextmanager
def _watched_draws() -> Iterator[None]:
    usual: Any = Case.__dict__["rng"]
    watching: Any = cached_property(lambda case: _Watched(usual.func(case).bit_generator))
    watching.__set_name__(Case, "rng")
    Case.rng = watching  # type: ignore[method-assign]
    try:
        yield
    finally:
        Case.rng = usual  # type: ignore[method-assign]


def trace(run: Callable[[], object], places: Places, caches: Collection[CodeType] = ()) -> Trace:
    """Run something and note which functions it calls.

    Parameters
    ----------
    run : callable
    places : Places
    caches : collection of code
        The functions behind a `functools.cache`.
    """
    found = Trace()
    returned: list[tuple[CodeType, Any, bool]] = []
    open_frames: dict[FrameType, tuple[int, int]] = {}  # how much was drawn, and had returned, when it was entered
    filling: set[FrameType] = set()

    def watch(frame: FrameType, event: str, value: Any) -> None:
        if event not in ("call", "return"):
            return
        code = frame.f_code
        kind = places.kind(code)
        if not kind or kind == "judgement":
            return
        if event == "call":
            if kind == "checks":
                found.entered.add(code)
            if kind != "library" or places.kind(caller(frame).f_code) == "checks":
                open_frames[frame] = _Watched.uses, len(returned)
                if code in caches:
                    filling.add(frame)
        elif frame in open_frames:
            drawn, first = open_frames.pop(frame)
            filling.discard(frame)
            if value is None or code.co_flags & _SINGLE or code.co_name.startswith("<"):
                pass
            elif kind == "instances" or (_Watched.uses > drawn and not is_number(value)):
                del returned[first:]
                found.generators.add(code)
            else:
                returned.append((code, value, bool(filling) or code in caches))

    with _watched_draws():
        before = sys.getprofile()
        sys.setprofile(watch)
        try:
            run()
        finally:
            sys.setprofile(before)
    for code, value, cached in returned:
        function = found.functions.setdefault(code, Function(code))
        function.cached |= cached
        with suppress(Exception):  # values of types with a mind of their own have no replacements
            found_here = {name: changes(value, name) for name in options(value)}
            function.names |= {name: differs or function.names.get(name, False) for name, differs in found_here.items()}
    return found


def caller(frame: FrameType) -> FrameType:
    """Return the frame that called this one, `functools` aside: it stands between a check and a cached property."""
    back = frame.f_back
    while back is not None and back.f_code.co_filename.endswith(_PASSED_THROUGH):
        back = back.f_back
    return back or frame


def caches_of(places: Places) -> dict[CodeType, list[Any]]:
    """Return the `functools.cache` wrappers of functions of interest, by the code of the function behind.

    Those that load models and data are not among them: loading these takes long, and they are instances.
    """
    found: dict[CodeType, list[Any]] = {}
    for wrapper in [thing for thing in gc.get_objects() if type(thing) is _lru_cache_wrapper]:
        code = getattr(getattr(wrapper, "__wrapped__", None), "__code__", None)
        if code is not None and places.kind(code) in ("checks", "library"):
            found.setdefault(code, []).append(wrapper)
    return found


def functions_of(codes: Collection[CodeType]) -> dict[CodeType, list[FunctionType]]:
    """Return the function objects with this code, wherever they are held: in modules, classes, properties, partials."""
    found: dict[CodeType, list[FunctionType]] = {}
    for thing in gc.get_referrers(*codes) if codes else ():
        if type(thing) is FunctionType and thing.__code__ in codes:
            found.setdefault(thing.__code__, []).append(thing)
    return found


_HOOK = "the function that is called in place of the usual one"
_TRAMPOLINE = compile(f"def call(*args, **kwargs): hook = {_HOOK!r}; return hook(*args, **kwargs)", __file__, "exec")


def _trampoline(hook: Callable[..., Any], like: CodeType) -> CodeType:
    (code,) = (constant for constant in _TRAMPOLINE.co_consts if isinstance(constant, CodeType))
    constants = tuple(hook if constant == _HOOK else constant for constant in code.co_consts)
    return code.replace(co_consts=constants, co_freevars=like.co_freevars, co_name=like.co_name)


@contextmanager
def changed(
    functions: Collection[FunctionType], change: Callable[[Any], Any], places: Places, generators: Collection[CodeType]
) -> Iterator[list[int]]:
    """Change what functions return, whoever holds them, until the block ends; yield how often that happened.

    Their code is exchanged, not the names that refer to them, so from-imports, properties and partials need no care.
    Calls on behalf of a maker of instances, and those of the library's functions by the library, are left alone.
    """
    count = [0]

    def hooked(function: FunctionType) -> Callable[..., Any]:
        usual = FunctionType(function.__code__, function.__globals__, function.__name__, None, function.__closure__)
        usual.__defaults__, usual.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
        library = places.kind(function.__code__) == "library"

        def hook(*args: Any, **kwargs: Any) -> Any:
            value = usual(*args, **kwargs)
            frame = caller(sys._getframe(1))
            if library and places.kind(frame.f_code) != "checks":
                return value
            above: FrameType | None = frame
            while above is not None:
                if above.f_code in generators:
                    return value
                above = above.f_back
            count[0] += 1
            return change(value)

        return hook

    kept = [(function, function.__code__) for function in functions]
    try:
        for function, code in kept:
            function.__code__ = _trampoline(hooked(function), code)
        yield count
    finally:
        for function, code in kept:
            function.__code__ = code
