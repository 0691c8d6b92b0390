"""Holes: the functions of a check file that a student fills in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

Player = Callable[[str, tuple[Any, ...]], Any]
"""Answers the call of a hole: given its name and arguments, returns what the student's function does."""

_player: ContextVar[Player | None] = ContextVar("player", default=None)


class AnswerError(Exception):
    """A submission gave no answer: it raised, took too long, or returned what is no data."""


def hole(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function of a check file as one that students write.

    Called with positional arguments, it runs as it stands; while a submission is graded, the function of the same name
    in the student's file runs in its place, in a process of its own. So arguments and results are data: numbers, text,
    NumPy arrays, and lists, tuples and dictionaries of these.

    Examples
    --------
    >>> @hole
    ... def double(number):
    ...     return 2 * number
    >>> double(21)
    42
    >>> with played_by(lambda name, arguments: (name, arguments)):
    ...     double(21)
    ('double', (21,))
    """

    @wraps(function)
    def fill(*arguments: Any) -> Any:
        player = _player.get()
        return function(*arguments) if player is None else player(function.__name__, arguments)

    return fill


@contextmanager
def played_by(player: Player) -> Iterator[None]:
    """Let a player answer all holes."""
    token = _player.set(player)
    try:
        yield
    finally:
        _player.reset(token)
