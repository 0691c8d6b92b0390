"""One style for every figure: theory is a line, measurement is dots, published values are hollow marks.

Colours are Okabe and Ito's, which colour-blind readers tell apart; markers repeat the distinction in print.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "COLUMN", "Row", "band", "dots", "grid", "line", "points", "published_marks", "save", "style"]

Row = Mapping[str, Any]

COLUMN = 3.4
"""Width of a journal column, in inches."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

_STYLE: dict[str, Any] = {
    "axes.grid": True,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "figure.constrained_layout.use": True,
    "figure.dpi": 200,
    "font.size": 8,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.4,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "mathtext.fontset": "cm",
    "svg.fonttype": "path",
    "svg.hashsalt": "lora_proofs",
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the project, without a display."""
    import matplotlib
    from cycler import cycler

    before = matplotlib.get_backend()
    matplotlib.use("agg")
    with matplotlib.rc_context({**_STYLE, "axes.prop_cycle": cycler(color=COLOURS)}):
        try:
            yield
        finally:
            matplotlib.use(before)


def grid(rows: int = 1, columns: int = 1, height: float = 2.2, **options: Any) -> tuple[Figure, Any]:
    """Make a figure of panels, one journal column wide, or two for more than one panel in a row.

    Parameters
    ----------
    rows, columns : int
    height : float
        Of one row of panels, in inches.
    **options
        For `matplotlib.pyplot.subplots`, such as ``sharey=True``.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : ndarray of Axes, shape (rows, columns)
    """
    import matplotlib.pyplot as plt

    width = COLUMN if columns == 1 else 2 * COLUMN + 0.2
    figure, axes = plt.subplots(rows, columns, figsize=(width, height * rows), squeeze=False, **options)
    return figure, axes


def points(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    """Return the rows with these values: ``points(rows, panel="L=2", curve="construction")``."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def band(ax: Axes, rows: Sequence[Row], label: str, index: int = 0, floor: float | None = None, **options: Any) -> None:
    """Draw the median over the seeds as dots on a thin line, and the range of the seeds as a band.

    Parameters
    ----------
    ax : Axes
    rows : sequence of rows
        One curve: rows of one x and several seeds are summarised.
    label : str
    index : int
        Chooses colour and marker.
    floor : float, optional
        Smaller values are drawn here: zeros on a logarithmic axis.
    """
    x, values = _by_x(rows, floor)
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    style = {"color": colour, "marker": marker, "lw": 0.8, **options}
    ax.plot(x, [np.median(v) for v in values], label=label, **style)
    if any(len(v) > 1 for v in values):
        low, high = [min(v) for v in values], [max(v) for v in values]
        ax.fill_between(x, low, high, color=style["color"], alpha=0.18, lw=0)


def dots(ax: Axes, rows: Sequence[Row], label: str, index: int = 0, floor: float | None = None, **options: Any) -> None:
    """Draw every measurement as a dot."""
    y = [max(float(r["y"]), floor) if floor else float(r["y"]) for r in rows]
    style = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)], "alpha": 0.6, **options}
    ax.plot([float(r["x"]) for r in rows], y, ls="", label=label, **style)


def line(ax: Axes, rows: Sequence[Row], label: str, index: int = 6, floor: float | None = None, **options: Any) -> None:
    """Draw theory: a line without marks."""
    x, values = _by_x(rows, floor)
    ax.plot(x, [np.median(v) for v in values], label=label, **{"color": COLOURS[index % len(COLOURS)], **options})


def published_marks(ax: Axes, rows: Sequence[Row], label: str | None = "published", index: int = 0) -> None:
    """Draw published values as hollow marks with their reading errors."""
    if not rows:
        return
    ax.errorbar(
        [float(r["x"]) for r in rows], [float(r["y"]) for r in rows], yerr=[float(r["reading_error"]) for r in rows],
        fmt="o", mfc="none", ms=6, mew=0.7, elinewidth=0.5, color=COLOURS[index % len(COLOURS)], label=label, zorder=5,
    )  # fmt: skip


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write SVG and PNG, byte for byte the same for the same data, and close the figure."""
    import matplotlib.pyplot as plt

    files = [stem.with_name(f"{stem.name}.svg"), stem.with_name(f"{stem.name}.png")]
    figure.savefig(files[0], metadata={"Date": None})
    figure.savefig(files[1], metadata={"Software": None})
    plt.close(figure)
    return files


def _by_x(rows: Sequence[Row], floor: float | None) -> tuple[list[float], list[list[float]]]:
    groups: dict[float, list[float]] = {}
    for row in rows:
        y = float(row["y"])
        groups.setdefault(float(row["x"]), []).append(max(y, floor) if floor else y)
    x = sorted(groups)
    return x, [groups[value] for value in x]
