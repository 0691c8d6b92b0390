"""How published curves lie with respect to computed ones."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import comb
from statistics import median
from typing import Any

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Deviation:
    """How a published curve lies with respect to the computed one.

    Attributes
    ----------
    curve : str
        ``panel/curve``.
    inside, points : int
        Published points inside the band over seeds or within their reading error, and all of them.
    allowed : int
        How many points may lie outside by chance: none, unless the curve was trained anew; see `chance_outside`.
    worst : str
        The point that lies farthest outside, in words; empty if none does.
    artefact : str
        Why the published curve is not to be met; such a curve is not judged.
    """

    curve: str
    inside: int
    points: int
    allowed: int
    worst: str
    artefact: str

    @property
    def agrees(self) -> bool:
        """Whether nothing is left to explain."""
        return self.points - self.inside <= self.allowed or bool(self.artefact)


def compare(
    computed: Rows, published: Rows, artefacts: Mapping[str, str], retrained: Collection[str], partly: bool = False
) -> list[Deviation]:
    """Compare published values with computed ones, curve by curve.

    A published point agrees when it lies, within its reading error, between the least and the largest computed value
    over the seeds. A point that was not computed does not agree.

    Parameters
    ----------
    computed, published : lists of rows
        With panel, curve, x and y; the published ones with their reading_error.
    artefacts : dict
        ``panel/curve`` to the reason why the published curve is not to be met.
    retrained : collection of str
        Names of curves that come from other random numbers than the published ones: of their points so many may lie
        outside as do by chance; see `chance_outside`.
    partly : bool
        Whether points that were not computed do not count: a quick run.
    """
    values: dict[tuple[str, str, float], list[float]] = {}
    for row in computed:
        values.setdefault((str(row["panel"]), str(row["curve"]), row["x"]), []).append(row["y"])
    curves: dict[tuple[str, str], Rows] = {}
    for row in published:
        panel, curve = str(row["panel"]), str(row["curve"])
        found = values.get((panel, curve, row["x"]), [])
        if found or not partly:
            curves.setdefault((panel, curve), []).append({**row, "values": found})
    deviations = []
    for (panel, curve), rows in curves.items():
        seeds = min(len(row["values"]) for row in rows)
        allowed = chance_outside(len(rows), seeds) if curve in retrained and seeds and not partly else 0
        label = f"{panel}/{curve}"
        deviations.append(_deviation(label, rows, allowed, artefacts.get(label, "")))
    return deviations


def chance_outside(points: int, seeds: int, published: int = 5, level: float = 0.99) -> int:
    """Return how many points of a curve lie outside the range over seeds by chance, at the level given.

    The published value is the median of runs whose random numbers we do not have. If theirs and ours are alike, all
    orders of the `published` and the `seeds` values are equally likely, and the median leaves our range with a known
    probability: 1 / 6 for five and five. Neighbouring points are counted as independent; they are not, which makes
    the count more variable than the binomial one, and this limit a strict one.

    Parameters
    ----------
    points, seeds : int
    published : int
        Odd: the number of runs of which the median was published.
    level : float
    """
    from scipy.stats import binom

    beyond = (published + 1) // 2
    p = 2 * comb(seeds + published - beyond, seeds) / comb(seeds + published, seeds)
    return int(binom.ppf(level, points, p))


def _deviation(curve: str, rows: Rows, allowed: int, artefact: str) -> Deviation:
    inside, worst, farthest = 0, "", 0.0
    for row in rows:
        values, y, error = row["values"], row["y"], float(row["reading_error"])
        if values and min(values) - error <= y <= max(values) + error:
            inside += 1
            continue
        excess = abs(y - median(values)) / max(error, sys.float_info.min) if values else float("inf")
        if excess >= farthest:
            farthest = excess
            there = f"computed {min(values):.3g} to {max(values):.3g}" if values else "not computed"
            worst = f"x = {row['x']:g}: published {y:.4g} +- {error:.1g}, {there}"
    return Deviation(curve, inside, len(rows), allowed, worst, artefact)
