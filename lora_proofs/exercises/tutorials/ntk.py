# %% [markdown]
# # LoRA in the kernel regime
#
# Linearise a network around its pretrained weights. Fine-tuning is then a convex problem in the update X, and weight
# decay on LoRA's factors is a nuclear norm on X = u v^T. Jang, Lee & Ryu (arXiv 2402.11867) show when the factored
# problem has no spurious local minima. This tutorial computes each step, with certificates.

# %%
import numpy as np

from lora_proofs import exact, ntk
from lora_proofs.ntk import traps

rng = np.random.default_rng(0)
N, K, m, n = 6, 1, 8, 10
gradients, labels = rng.standard_normal((N, K, m, n)), rng.standard_normal((N, K))
problem = ntk.LinearizedProblem(gradients, 0 * labels, labels, "squared", lam=0.1)

# %% [markdown]
# ## A certified optimum
#
# `solve` returns factors of a global optimum of *full* fine-tuning and a bracket [lower, upper]: the upper end is the
# objective at a point, the lower end that of a dual point. Neither is taken from a solver on trust.

# %%
solution = ntk.solve(problem)
print(solution.lower, solution.upper, "rank", solution.rank)
assert solution.gap <= 1e-8

# %%
u, v = solution.factors[0]
proof = ntk.certify(problem, u, v, rigorous=True)  # with every rounding error accounted for
print(f"gap {proof.gap:.1e}, ||M||_2 / lam = {proof.operator_norm_ratio:.12f}")

# %% [markdown]
# ## Small rank is enough (Theorem 3.1)
#
# There is a minimiser with r(r + 1)/2 <= KN. The optimum found here has no larger rank than that.

# %%
thresholds = ntk.thresholds(problem, solution)
print(thresholds)
assert solution.rank * (solution.rank + 1) // 2 <= K * N

# %% [markdown]
# ## Gradient descent on the factors finds it (Theorem 4.1)
#
# With r(r + 1)/2 > KN there are no spurious local minima for almost every perturbation. Plain gradient descent from a
# small random start:

# %%
r = 4
u, v = 0.1 * rng.standard_normal((m, r)), 0.1 * rng.standard_normal((n, r))
G, y, lam = gradients[:, 0], labels[:, 0], 0.1
for _ in range(20000):
    S = np.tensordot((np.tensordot(G, u @ v.T) - y) / N, G, 1)
    u, v = u - 0.1 * (S @ v + lam * u), v - 0.1 * (S.T @ u + lam * v)
reached = ntk.certify(problem, u, v)
print(f"excess over the optimum: at most {reached.upper - solution.lower:.1e}")
assert reached.upper - solution.lower < 1e-6

# %% [markdown]
# ## Below the threshold there are traps
#
# One datum too many, and a spurious minimum with exact rational coordinates exists: a strict local minimum of the
# factored problem whose value is not the least.

# %%
trap = traps.family_a()
print("u =", trap.u.tolist(), " v =", trap.v.tolist(), " inertia of the Hessian:", trap.inertia)
bad = trap.problem()
u, v = (exact.array(x).astype(float) for x in (trap.u, trap.v))
print(ntk.second_order(bad, u, v).verdict)
assert ntk.second_order(bad, u, v).verdict == "strict minimum"
assert ntk.certify(bad, u, v).upper > ntk.solve(bad).upper + 0.1

# %% [markdown]
# **Your turn**: `nuclear_norm_dual.py` and `spurious_minimum.py` in `lora_proofs/exercises/`.
