"""The paper, and the polynomials: residual, value, gradient and Hessian of f_p over Q."""

from math import comb
from typing import Any

from flint import fmpq, fmpq_mat, fmpq_poly

from lora_proofs import Case, Paper

PAPER = Paper(
    key="legat2022univariate",
    title="Low-Rank Univariate Sum of Squares Has No Spurious Local Minima",
    authors=("Benoît Legat", "Chenyang Yuan", "Pablo A. Parrilo"),
    year=2022,
    arxiv="2205.11466v2",
)

NORMS = ("coefficient", "bombieri")


def weights(norm: str, d: int) -> list[fmpq]:
    """Return w_0, ..., w_2d."""
    return [fmpq(1, comb(2 * d, k) if norm == "bombieri" else 1) for k in range(2 * d + 1)]


def random_poly(case: Case, degree: int, low: int = -3, high: int = 3) -> fmpq_poly:
    """Return an integer polynomial of exactly this degree."""
    entries = case.rng.integers(low, high, degree + 1, endpoint=True)
    return fmpq_poly([int(x) for x in entries[:-1]] + [int(entries[-1]) or 1])


def multiplication(u: list[fmpq_poly], d: int) -> fmpq_mat:
    """Return the (2d + 1, r(d + 1)) matrix of (v_1, ..., v_r) -> u_1 v_1 + ... + u_r v_r."""
    M = fmpq_mat(2 * d + 1, len(u) * (d + 1))
    for i, poly in enumerate(u):
        for a in range(d + 1):
            for k in range(d + 1):
                M[a + k, i * (d + 1) + a] = poly[k]
    return M


def residual(u: list[fmpq_poly], p: fmpq_poly) -> fmpq_poly:
    """Return q."""
    return sum((x * x for x in u), fmpq_poly([0])) - p


def value(u: list[fmpq_poly], p: fmpq_poly, w: list[fmpq]) -> fmpq:
    """Return f_p(u)."""
    q = residual(u, p)
    return sum((w_k * q[k] ** 2 for k, w_k in enumerate(w)), fmpq(0))


def hankel(moments: list[Any]) -> fmpq_mat:
    """Return the Hankel matrix of 2d + 1 numbers."""
    n = len(moments) // 2 + 1
    return fmpq_mat(n, n, [moments[i + j] for i in range(n) for j in range(n)])


def moments(q: fmpq_poly, w: list[fmpq]) -> list[fmpq]:
    """Return <q, x^k>, k = 0, ..., 2d."""
    return [w_k * q[k] for k, w_k in enumerate(w)]


def gradient(u: list[fmpq_poly], p: fmpq_poly, w: list[fmpq]) -> fmpq_mat:
    """Return the gradient of f_p, 4 <q, u_i x^a>, as a column."""
    d = len(w) // 2
    M = multiplication(u, d)
    return 4 * M.transpose() * fmpq_mat(2 * d + 1, 1, moments(residual(u, p), w))


def hessian(u: list[fmpq_poly], p: fmpq_poly, w: list[fmpq]) -> fmpq_mat:
    """Return the Hessian of f_p, 8 <u_i x^a, u_j x^b> + 4 [i = j] <q, x^(a + b)>."""
    d = len(w) // 2
    M, H = multiplication(u, d), hankel(moments(residual(u, p), w))
    W = fmpq_mat(2 * d + 1, 2 * d + 1, [w[i] if i == j else 0 for i in range(2 * d + 1) for j in range(2 * d + 1)])
    out = 8 * M.transpose() * W * M
    for i in range(len(u)):
        for a in range(d + 1):
            for b in range(d + 1):
                out[i * (d + 1) + a, i * (d + 1) + b] += 4 * H[a, b]
    return out
