# %% [markdown]
# # The expressive power of LoRA
#
# Which rank does an adapter need to turn one network into another? Zeng & Lee (arXiv 2310.17513) answer with explicit
# constructions. This tutorial builds them, and asks each time what the evidence is worth. Run it cell by cell in a
# notebook (jupytext), or as a script.

# %%
import numpy as np

from lora_proofs import Box, exact, instances
from lora_proofs.constructions import adapt_linear_chain, adapt_relu_network, certify_relu_network

rng = np.random.default_rng(0)

# %% [markdown]
# ## One matrix
#
# W + BA is closest to a target when BA is the truncated SVD of the error E = target - W (Eckart & Young): what is left
# is the next singular value.

# %%
W, target = rng.standard_normal((2, 6, 6))
result = adapt_linear_chain([W], target, ranks=2)
sigma = np.linalg.svd(target - W, compute_uv=False)
print(f"error {result.error:.12f}, sigma_3 {sigma[2]:.12f}")
assert np.isclose(result.error, sigma[2])

# %% [markdown]
# ## A chain of matrices
#
# With L layers the ranks add up (Lemma 1): R in every layer reaches sigma_{RL+1}, so the target itself from
# R = ceil(D / L) on.

# %%
D, L = 8, 4
frozen, target = instances.chain(rng, D, L), rng.standard_normal((D, D))
for R in (0, 1, 2):
    result = adapt_linear_chain(frozen, target, R)
    print(f"R = {R}: error {result.error:.3e}, least possible {result.bound:.3e}")
assert result.error < 1e-9

# %% [markdown]
# Floats are evidence of a kind: exact arithmetic is another. Over the rationals the product *is* the target.

# %%
frozen_q = [instances.nonsingular(rng, 4) for _ in range(2)]
target_q = instances.integers(rng, 4, 4)
adapted = exact.adapt_linear_chain(frozen_q, target_q, 2)
weights = [adapter.merge(W) for W, adapter in zip(frozen_q, adapted.adapters, strict=True)]
assert exact.is_zero(exact.product(weights) - exact.matrix(target_q))
print("equal over Q")

# %% [markdown]
# ## ReLU networks
#
# Large biases keep the neurons of a block active on a bounded domain, so that the block is a linear chain there
# (Lemma 2, Theorem 3). The certificate bounds the difference on *every* x of the box, not on samples.

# %%
frozen, target = instances.relu_network(rng, width=8, depth=4), instances.relu_network(rng, width=8, depth=2)
adapted = adapt_relu_network(frozen, target, ranks=4, domain=Box(-4, 4))
print(adapted.certificate.holds, f"{float(adapted.certificate.error):.1e}")
assert adapted.certificate.holds

# %% [markdown]
# One rank less and no certificate is given; the construction still comes with a bound.

# %%
short = adapt_relu_network(frozen, target, ranks=3, domain=Box(-4, 4))
print(short.certificate.holds, "|", short.certificate.reasons[-1])
print(f"seen {short.error:.3f}, bound {short.bound:.3f}")
assert not short.certificate.holds
assert short.error <= short.bound

# %% [markdown]
# Outside the box nothing is promised, and a larger box is indeed refused.

# %%
outside = certify_relu_network(adapted.network, target, Box(-8, 8))
print(outside.holds, "|", outside.reasons[-1])
assert not outside.holds

# %% [markdown]
# **Your turn**: `lora_proofs/exercises/` holds `eckart_young.py`, `linear_chain.py`, `relu_biases.py` and
# `attention_head.py`. `lora-proofs check linear_chain.py` tries your solution.
