"""What the figures of Zeng & Lee (arXiv 2310.17513v3) share: the grid of their training runs, rows, and a panel."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lora_proofs import Box, plotting
from shared.zeng2024expressive_instances import RANKS, SEEDS

BOX = Box(-6, 6)
"""Where the constructed networks are to agree; the odds that 5,000 standard normal points leave it are 2e-4."""

GRADIENT, CONSTRUCTION, FLOAT32 = "gradient update", "construction", "construction, float32"


def grid(quick: bool) -> dict[str, Any]:
    """Return the published grid of settings, 5000 epochs of Adam; --quick: one setting, 4 ranks, 300 epochs."""
    if quick:
        return {"ranks": (1, 4, 8, 16), "learning_rates": (1e-2,), "weight_decays": (0.0,), "epochs": 300}
    return {
        "ranks": tuple(RANKS),
        "learning_rates": (1e-2, 1e-3, 1e-4),
        "weight_decays": (0.0, 1e-4, 1e-3, 1e-2),
        "epochs": 5000,
    }


def seeds(quick: bool) -> Sequence[int]:
    """Return the five published seeds; --quick: the first."""
    return SEEDS[:1] if quick else SEEDS


def row(panel: str, curve: str, seed: int | str, x: float, y: float) -> dict[str, Any]:
    """Return one row of a figure's data."""
    return {"panel": panel, "curve": curve, "seed": seed, "x": x, "y": float(y)}


def plot(
    ax: Any, rows: Iterable[Any], published: Iterable[Any], curves: Mapping[str, tuple[str, int]], name: str
) -> None:
    """Draw the computed and the published curves of one panel: name of the curve -> label and colour."""
    rows, published = plotting.points(rows, panel=name), plotting.points(published, panel=name)
    floor = 1e-30 if ax.get_yscale() == "log" else None
    for curve, (label, index) in curves.items():
        if found := plotting.points(rows, curve=curve):
            plotting.band(ax, found, label, index, floor)
        marks = plotting.points(published, curve=curve)
        if floor is not None:  # below its reading error a value has no place on a logarithmic axis
            marks = [r for r in marks if r["y"] > float(r["reading_error"])]
        plotting.published_marks(ax, marks, None, index)
    ax.set_title(name.replace("Lbar=", r"$\overline{L}$ = ").replace("L=", "$L$ = "))
