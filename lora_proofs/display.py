"""Results as a few lines of text, and in a notebook as small tables. Standard library only: both halves use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from html import escape
from typing import Any

_WORD = 64
"""Exact numbers are written in full up to this many bits."""


class Readable(ABC):
    """A result that shows itself shortly; derive from it and say ``@dataclass(repr=False)``.

    A result holds arrays of any size, which the representation that a dataclass makes by itself would print.
    """

    @abstractmethod
    def summary(self) -> tuple[str, dict[str, str]]:
        """Return what matters most, on one line, and whatever else is worth a line, by name."""

    def __repr__(self) -> str:
        headline, rows = self.summary()
        lines = text_table(rows.items())
        return "\n".join([f"{type(self).__name__}: {headline}", *(f"  {line}" for line in lines)])

    def _repr_html_(self) -> str:
        headline, rows = self.summary()
        return html_table(f"{type(self).__name__}: {headline}", rows.items())


def text_table(rows: Iterable[Sequence[str]], align: str = "") -> list[str]:
    """Return the lines of a table, columns two spaces apart.

    Parameters
    ----------
    rows : iterable of sequences of str
        All of one length, the head among them.
    align : str, optional
        A ``<`` or ``>`` for each column; left without.

    Examples
    --------
    >>> for line in text_table([("layer", "rank"), ("W_1", "2"), ("W_2", "16")], "<>"):
    ...     print(line)
    layer  rank
    W_1       2
    W_2      16
    """
    cells = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = align or "<" * len(widths)
    formats = [f"{side}{width}" for side, width in zip(sides, widths, strict=True)]
    return ["  ".join(map(format, row, formats)).rstrip() for row in cells]


def html_table(title: str, rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Return a small HTML table; all text is escaped, and colours are left to the page.

    Parameters
    ----------
    title : str
    rows : iterable of sequences of str
        The first cell of a row is its header.
    head : sequence of str, optional
        Names of the columns.
    """
    left = ' style="text-align: left"'
    lines = [f"<table>\n<caption{left}>{escape(title)}</caption>"]
    if head:
        lines.append("<tr>" + "".join(f'<th scope="col"{left}>{escape(cell)}</th>' for cell in head) + "</tr>")
    for name, *cells in rows:
        values = "".join(f"<td{left}>{escape(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row"{left}>{escape(name)}</th>{values}</tr>')
    return "\n".join([*lines, "</table>"])


def show(value: Any) -> str:
    """Write a value shortly, for people: six digits, and exact numbers in full while they are short."""
    if value is None or isinstance(value, (bool, str)):
        return "none" if value is None else str(value)
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(show, value))}]"
    if isinstance(value, (int, Fraction)):
        if max(value.numerator.bit_length(), value.denominator.bit_length()) <= _WORD:
            return str(value)
        quotient = Context(prec=6, Emax=10**15, Emin=-(10**15)).divide(value.numerator, value.denominator)
        return f"about {quotient.normalize()}".replace("E", "e")
    number = float(value)
    if isinstance(value, float) or number == value or 1e-300 < abs(number) < 1e300:
        return f"{number:.6g}"
    return f"{Decimal(str(value)):.6g}"  # beyond the range of floats
