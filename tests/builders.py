"""Instances that several test files share."""

import numpy as np

from lora_proofs import instances
from lora_proofs.networks import TransformerBlock, TransformerNetwork
from lora_proofs.ntk.problem import LinearizedProblem


def transformer(rng, D=3, H=2, L=2, convert=lambda x: x):
    def matrix():
        return convert(instances.gaussian(rng, D, D))

    def bias():
        return convert(instances.gaussian(rng, 1, D)[0])

    blocks = [
        TransformerBlock(*([matrix() for _ in range(H)] for _ in range(4)), matrix(), bias(), matrix(), bias())
        for _ in range(L)
    ]
    return TransformerNetwork(blocks, matrix())


def planted(shapes, ranks, N, lam=0.3, seed=0, spread=()):
    """Return a squared problem with a stationary point (u, v) of the given ranks, an optimum unless `spread` exceeds 1.

    M = lam U0 V0^T, u = U0 R, v = V0 R; the other singular values of M are lam times `spread`, then smaller ones. The
    first gradient is what makes sum rho_k G_k / N = M; the labels make rho the residual.
    """
    rng = np.random.default_rng(seed)
    rho = rng.standard_normal(N)
    rho[0] = 2.0
    gradients, u, v = [], [], []
    for (m, n), r in zip(shapes, ranks, strict=True):
        G = rng.standard_normal((N, 1, m, n)) / 5
        U, V = (np.linalg.qr(rng.standard_normal((k, k)))[0] for k in (m, n))
        s = rng.uniform(0, 0.9, min(m, n))
        s[:r] = 1
        s[r : r + len(spread)] = spread
        M = lam * (U[:, : len(s)] * s) @ V[:, : len(s)].T
        G[0, 0] = (N * M - np.tensordot(rho[1:], G[1:, 0], 1)) / rho[0]
        R = rng.standard_normal((r, r)) + 2 * np.eye(r)
        gradients.append(G)
        u.append(U[:, :r] @ R)
        v.append(V[:, :r] @ R)
    free = LinearizedProblem(gradients, np.zeros(N), np.zeros(N), "squared", lam)
    return LinearizedProblem(gradients, np.zeros(N), free.apply_factors(u, v) + rho, "squared", lam), u, v
