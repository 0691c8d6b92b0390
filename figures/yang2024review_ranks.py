"""Rank of a random update against the numbers that are trained, for six variants of LoRA on a 60 x 48 weight.

Dots: the rank of an integer instance modulo the prime 2^61 - 1, a lower bound that falls short with a probability of
about 1e-17; r = 1, 2, 3, 4, 6, 8, 12. Lines: r (LoRA, VeRA, LoRA-XS), r^2 (LoHa), 6 r (LoKr with a 6 x 6 block), 3 r
(three merges), at most 48. The survey compares the variants in words and tables.
"""

import numpy as np

CLAIMS = ("yang2024review:formula-rank", "yang2024review:formula-parameters")

D, K = 60, 48
METHODS = {
    "LoRA": (lambda r: r * (D + K), lambda r: r),
    "LoHa": (lambda r: 2 * r * (D + K), lambda r: r * r),
    "LoKr": (lambda r: 36 + r * (D + K) // 6, lambda r: 6 * r),
    "VeRA": (lambda r: D + r, lambda r: r),
    "LoRA-XS": (lambda r: r * r, lambda r: r),
    "ReLoRA": (lambda r: 3 * r * (D + K), lambda r: 3 * r),
}


def cases(quick):
    """One case a rank parameter."""
    return [{"r": r} for r in ((1, 4) if quick else (1, 2, 3, 4, 6, 8, 12))]


def compute(r):
    """Ranks of one instance a variant, and the theory."""
    from lora_proofs import exact

    rng = np.random.default_rng(r)
    rows = []
    for name, (count, rank) in METHODS.items():
        if name == "LoKr" and r > 8:
            continue  # the second factor is 10 x 8
        update = instance(name, r, lambda *shape: rng.integers(1, 1000, shape).astype(object))
        measured = exact.rank_lower_bound(update)
        rows.append({"panel": "ranks", "curve": name, "seed": 0, "x": count(r), "y": measured})
        rows.append({"panel": "theory", "curve": name, "seed": "", "x": count(r), "y": min(rank(r), D, K)})
    return rows


def instance(name, r, draw):
    """Return a random integer update."""
    plain = [draw(D, r) @ draw(r, K) for _ in range(3)]
    return {
        "LoRA": lambda: plain[0],
        "LoHa": lambda: plain[0] * plain[1],
        "LoKr": lambda: np.kron(draw(6, 6), draw(D // 6, r) @ draw(r, K // 6)),
        "VeRA": lambda: draw(D, 1) * draw(D, r) @ (draw(r, 1) * draw(r, K)),
        "LoRA-XS": lambda: draw(D, r) @ draw(r, r) @ draw(r, K),
        "ReLoRA": lambda: plain[0] + plain[1] + plain[2],
    }[name]()


def plot(rows, published):
    """Draw ranks against parameters, both logarithmic."""
    from lora_proofs import plotting

    figure, axes = plotting.grid(height=2.6)
    ax = axes[0, 0]
    for index, name in enumerate(METHODS):
        plotting.line(ax, plotting.points(rows, panel="theory", curve=name), None, index, lw=0.8)
        plotting.dots(ax, plotting.points(rows, panel="ranks", curve=name), name, index, alpha=0.9)
    ax.set(xscale="log", yscale="log", xlabel="numbers trained", ylabel="rank of the update")
    ax.legend(ncols=2)
    return figure
