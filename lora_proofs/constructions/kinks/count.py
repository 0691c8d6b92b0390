r"""How many kinks each frozen layer may take, by counting equations and unknowns (the count behind `required_rank`).

A layer that bends n of the D neurons has a mixing matrix T with n + (D - n)^2 free entries, see `kinks`. Between two
layers s < e the rank condition has codimension max(0, D - (R_{s+1} + ... + R_e))^2. The count works out if for every
choice 0 = e_0 < e_1 < ... < e_m = L of layers

    sum_j max(0, D - (R_{e_{j-1}+1} + ... + R_{e_j}))^2  <=  sum_{0<j<m} n_{e_j} + (D - n_{e_j})^2.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, combinations

_EXTRA_NODES = 2
"""How many more layers than the target has hidden ones `kink_plans` shares the kinks among."""


def fits(D: int, ranks: Sequence[int], sizes: Sequence[int]) -> bool:
    """Tell whether the count works out for these numbers of neurons of the layers 1, ..., L - 1."""
    spent = [0, *accumulate(ranks)]
    worst = [0]  # the greatest excess of equations over unknowns, over the choices that end with this layer
    for e, n in enumerate([*sizes, None], start=1):
        excess = max(w + _codimension(D, spent, s, e) for s, w in enumerate(worst))
        worst.append(excess if n is None else excess - _unknowns(D, n))
    return worst[-1] <= 0


def count_admits(D: int, ranks: Sequence[int], total: int) -> bool:
    """Tell whether the count works out for some numbers of neurons, at most D each and `total` together.

    Goes through the layers with, for each number of neurons that are left, the excess of equations over unknowns that
    the later layers will meet, as a vector; only the vectors that no other one dominates are kept.
    """
    L, spent = len(ranks), [0, *accumulate(ranks)]
    fronts = {total: {tuple(_codimension(D, spent, 0, e) for e in range(1, L + 1))}}
    for l in range(1, L):
        grown: dict[int, set[tuple[int, ...]]] = {}
        for left, front in fronts.items():
            for n in range(max(0, left - (L - 1 - l) * D), min(D, left) + 1):
                for excess in front:
                    here = excess[0] - _unknowns(D, n)
                    later = [here + _codimension(D, spent, l, e) for e in range(l + 1, L + 1)]
                    if later[-1] <= 0:
                        grown.setdefault(left - n, set()).add(tuple(map(max, later, excess[1:])))
        fronts = {left: _undominated(front) for left, front in grown.items()}
    return any(excess[0] <= 0 for excess in fronts.get(0, ()))


def kink_plans(D: int, ranks: Sequence[int], Lbar: int) -> Iterator[list[int]]:
    """Yield numbers of neurons that pass the count, those with few layers first, then those that share evenly.

    A target layer is given to one frozen layer, to two in any proportion, or to more in equal parts.
    """
    L = len(ranks)
    for nodes in range(Lbar - 1, min(L - 1, Lbar - 1 + _EXTRA_NODES) + 1):
        for shift in sorted(range(1 - D // 2, D // 2), key=abs) or [0]:
            for layers in combinations(range(L - 1), nodes):
                for shares in _compositions(nodes, Lbar - 1):
                    sizes = [0] * (L - 1)
                    split = chain.from_iterable(_split(D, parts, shift) for parts in shares)
                    for layer, n in zip(layers, split, strict=True):
                        sizes[layer] = n
                    if (shift == 0 or 2 in shares) and fits(D, ranks, sizes):
                        yield sizes


def _split(width: int, parts: int, shift: int) -> list[int]:
    """Return the width in almost equal parts; if there are two, with so much moved to the first."""
    sizes = [width // parts + (i < width % parts) for i in range(parts)]
    return [sizes[0] + shift, sizes[1] - shift] if parts == 2 else sizes


def _unknowns(width: int, bent: int) -> int:
    return bent + (width - bent) ** 2


def _codimension(width: int, spent: Sequence[int], start: int, end: int) -> int:
    return max(0, width - (spent[end] - spent[start])) ** 2


def _undominated(vectors: set[tuple[int, ...]]) -> set[tuple[int, ...]]:
    kept: list[tuple[int, ...]] = []
    for v in sorted(vectors):  # whatever dominates v comes before it
        if not any(all(a <= b for a, b in zip(w, v, strict=True)) for w in kept):
            kept.append(v)
    return set(kept)


def _compositions(total: int, parts: int) -> Iterator[list[int]]:
    """Yield the ways to write the total as a sum of so many positive integers, in order."""
    if parts == 0:
        if total == 0:
            yield []
        return
    for ends in combinations(range(1, total), parts - 1):
        yield [b - a for a, b in zip((0, *ends), (*ends, total), strict=True)]
