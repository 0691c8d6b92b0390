"""Similarity phi(U, V, i, j) of the leading i of 8 and j of 64 directions when two of them are shared.

Two orthonormal frames in dimension 256 share their first two directions; the others are random. Filled: median and
range of 10 draws; solid: the mean, (min(2, i, j) + (i - 2)_+ (j - 2)_+ / 254) / min(i, j). Hollow: unrelated frames;
dotted: their mean, max(i, j) / 256. The published Figures 3 and 4 show the adapters of GPT-3 (dimension 12288), which
are not public.
"""

import numpy as np

CLAIMS = ("hu2022lora:formula-4", "hu2022lora:formula-4-random")

D, SHARED, SIZES = 256, 2, (1, 2, 4, 8)
COLUMNS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def cases(quick):
    """One case a draw."""
    return [{"seed": seed} for seed in range(2 if quick else 10)]


def compute(seed):
    """Similarities of the planted frames and of unrelated ones, and both theories."""
    rng = np.random.default_rng(seed)
    frames = [shared_frame(rng, n) for n in (max(SIZES), max(COLUMNS))]
    others = [np.linalg.qr(rng.standard_normal((D, n)))[0] for n in (max(SIZES), max(COLUMNS))]
    rows = []
    for i in SIZES:
        for j in COLUMNS:
            for curve, (U, V) in (("shared", frames), ("unrelated", others)):
                value = np.sum((U[:, :i].T @ V[:, :j]) ** 2) / min(i, j)
                rows.append({"panel": f"i={i}", "curve": curve, "seed": seed, "x": j, "y": value})
            if seed == 0:
                rest = max(i - SHARED, 0) * max(j - SHARED, 0) / (D - SHARED)
                mean = (min(SHARED, i, j) + rest) / min(i, j)
                rows.append({"panel": f"i={i}", "curve": "mean", "seed": "", "x": j, "y": mean})
                rows.append({"panel": f"i={i}", "curve": "level", "seed": "", "x": j, "y": max(i, j) / D})
    return rows


def shared_frame(rng, n):
    """Return n orthonormal columns, the first two of them e_1 and e_2."""
    frame = np.eye(D, n)
    frame[SHARED:, SHARED:] = np.linalg.qr(rng.standard_normal((D - SHARED, n - SHARED)))[0]
    return frame


def plot(rows, published):
    """Draw one colour a row of the published heat map."""
    from lora_proofs import plotting

    figure, axes = plotting.grid(height=2.6)
    ax = axes[0, 0]
    for index, i in enumerate(SIZES):
        panel = plotting.points(rows, panel=f"i={i}")
        plotting.line(ax, plotting.points(panel, curve="mean"), None, index)
        plotting.band(ax, plotting.points(panel, curve="shared"), f"$i={i}$", index, ls="")
        plotting.line(ax, plotting.points(panel, curve="level"), None, index, ls=":")
        plotting.band(ax, plotting.points(panel, curve="unrelated"), None, index, ls="", mfc="none")
    ax.set(xscale="log", yscale="log", xlabel="$j$", ylabel=r"$\phi(i,j)$")
    ax.legend(ncols=2, title="two directions shared (filled)", loc="lower right")
    return figure
