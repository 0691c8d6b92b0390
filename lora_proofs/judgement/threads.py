"""What a verdict must not depend on: the threads of native libraries, and the precision that others have set."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache


class Limit:
    """A limit of one thread, in force on the libraries that were loaded when it was last renewed.

    The number of threads changes the last digits of a product.
    """

    def __init__(self) -> None:
        import flint
        import mpmath

        self._undo = ExitStack()
        self._undo.enter_context(mpmath.workprec(mpmath.mp.prec))
        self._undo.enter_context(flint.ctx.workprec(flint.ctx.prec))
        self._contexts = mpmath.mp, flint.ctx
        self._bits = cache(mpmath.libmp.dps_to_prec)
        self._covered: set[str] = set()
        self._modules = 0

    def renew(self) -> bool:
        """Cover what was loaded since the last time; tell whether there was a library among it."""
        if len(sys.modules) == self._modules:  # looking for libraries takes a millisecond
            return False
        from threadpoolctl import ThreadpoolController

        self._modules = len(sys.modules)
        found = ThreadpoolController()
        libraries = {library.filepath for library in found.lib_controllers}
        if libraries <= self._covered:
            return False
        self._undo.enter_context(found.limit(limits=1))
        self._covered |= libraries
        return True

    def set_digits(self, digits: int) -> None:
        """Make this the working precision, where it is not."""
        bits = self._bits(digits)
        for context in self._contexts:
            if context.prec != bits:
                context.prec = bits

    def lift(self) -> None:
        """Give back the threads and the precision that there were before."""
        self._undo.close()


_in_force: list[Limit] = []


@contextmanager
def one_thread() -> Iterator[Limit]:
    """Limit every native library to one thread; within another such block nothing is left to do."""
    if _in_force:
        yield _in_force[0]
        return
    # scipy has a BLAS of its own. Nearly every check loads it, and it is cheaper covered from the start.
    import scipy.linalg  # noqa: F401

    limit = Limit()
    limit.renew()
    _in_force.append(limit)
    try:
        yield limit
    finally:
        _in_force.clear()
        limit.lift()
