"""Trained share of T5 models against the rank, for LoRA on query and value of every attention.

Dots: sums over the shapes of the weights of each model, r = 1, 2, 4, ..., 64. Lines: 6 L r (d + 64 h) over the closed
formula of the count, for width d, h heads and L layers a stack. v1.1-base has the size of a public Uzbek T5-base.
The paper was not found; no published values are drawn.
"""

CLAIMS = ("adilova2024uzt5:formula-parameters", "adilova2024uzt5:formula-trained")

# width, width of the feed-forward network, layers, heads, vocabulary, gated
MODELS = {
    "T5-small": (512, 2048, 6, 8, 32128, False),
    "T5-base": (768, 3072, 12, 12, 32128, False),
    "v1.1-base (Uzbek)": (768, 2048, 12, 12, 32128, True),
    "T5-large": (1024, 4096, 24, 16, 32128, False),
    "mT5-base": (768, 2048, 12, 12, 250112, True),
}


def cases(quick):
    """One case a rank."""
    return [{"r": r} for r in ((1, 8) if quick else (1, 2, 4, 8, 16, 32, 64))]


def compute(r):
    """Shares by shapes and by the formula, in per cent."""
    rows = []
    for name, (d, ff, layers, heads, vocabulary, gated) in MODELS.items():
        inner = 64 * heads
        attention = [(inner, d)] * 3 + [(d, inner)]
        feed = [(ff, d)] * (2 if gated else 1) + [(d, ff)]
        encoder = [*attention, *feed, *[(1, d)] * 2]
        decoder = [*attention, *attention, *feed, *[(1, d)] * 3]
        ends = [(1, d), (1, d), (32, heads), (32, heads)] + [(vocabulary, d)] * (2 if gated else 1)
        frozen = sum(m * n for m, n in [*(encoder + decoder) * layers, *ends])
        trained = sum(r * (m + n) for m, n in attention[:2] * 3 * layers)
        closed = layers * (12 * d * inner + (6 if gated else 4) * d * ff + 5 * d) + 2 * d + 64 * heads
        closed += (2 if gated else 1) * vocabulary * d
        measured = {"panel": "share", "curve": name, "seed": 0, "x": r, "y": 100 * trained / frozen}
        theory = {"panel": "theory", "curve": name, "seed": "", "x": r, "y": 600 * r * (d + inner) * layers / closed}
        rows += [measured, theory]
    return rows


def plot(rows, published):
    """Draw the shares against the rank."""
    from lora_proofs import plotting

    figure, axes = plotting.grid(height=2.4)
    ax = axes[0, 0]
    for index, name in enumerate(MODELS):
        plotting.line(ax, plotting.points(rows, panel="theory", curve=name), None, index, lw=0.8)
        plotting.dots(ax, plotting.points(rows, panel="share", curve=name), name, index)
    ax.set_xscale("log", base=2)
    ax.set(yscale="log", xlabel="rank $r$", ylabel="trained, per cent of the model")
    ax.legend()
    return figure
