"""Hypothesis strategies for matrices of chosen rank, gap and condition number, and for chains of them; libraries.

Hypothesis draws sizes and seeds, and `lora_proofs.instances` draws the entries, so examples are reproducible and
shrink to small sizes and small seeds rather than to degenerate entries.
"""

from importlib.util import find_spec

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from lora_proofs import instances

settings.register_profile("deterministic", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("deterministic")

LIBRARIES = [name for name in ("array_api_strict", "torch", "jax.numpy") if find_spec(name.partition(".")[0])]
"""The array libraries beside NumPy that are installed here; CI has all of them."""

generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)
sizes = st.integers(1, 6)
depths = st.integers(1, 5)
initialisations = st.sampled_from(sorted(instances.INITIALISATIONS))


@st.composite
def matrices(draw, m=sizes, n=sizes, *, rank=None, gap=1e6, cond=10.0):
    """Draw an (m, n) matrix whose singular values are known.

    The first `rank` ones (by default all) decrease geometrically from `cond` to 1; the others, if any, are all
    1 / `gap`, or 0 for an infinite gap.

    m, n, rank, gap and cond are values or strategies; a rank is cut at min(m, n).
    """
    m, n, rank, gap, cond = (_draw(draw, value) for value in (m, n, rank, gap, cond))
    k = min(m, n)
    rank = k if rank is None else min(rank, k)
    values = np.concatenate([np.geomspace(cond, 1.0, rank), np.full(k - rank, 1.0 / gap)])
    return instances.with_singular_values(draw(generators), m, n, values)


@st.composite
def chains(draw, D=sizes, L=depths, *, init=initialisations):
    """Draw frozen weights [W_1, ..., W_L] of width D."""
    D, L, init = (_draw(draw, value) for value in (D, L, init))
    return instances.chain(draw(generators), D, L, init)


@st.composite
def rational_matrices(draw, m=sizes, n=sizes, *, rank=None):
    """Draw an (m, n) integer ``fmpq_mat`` of exact rank `rank`, cut at min(m, n); by default of any rank."""
    m, n, rank = (_draw(draw, value) for value in (m, n, rank))
    if rank is None:
        return instances.integers(draw(generators), m, n)
    return instances.rational_planted_rank(draw(generators), m, n, min(rank, m, n))


def _draw(draw, value):
    return draw(value) if isinstance(value, st.SearchStrategy) else value
