"""The noise of a gradient, and what lazy training cannot learn."""

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, equal

from .paper import PAPER, moment

Polynomial = dict[tuple[int, ...], Any]
"""Exponents to coefficient."""


def times(f: Polynomial, g: Polynomial) -> Polynomial:
    """Return the product of two polynomials."""
    out: Polynomial = {}
    for (e, a), (h, b) in product(f.items(), g.items()):
        key = tuple(i + j for i, j in zip(e, h, strict=True))
        out[key] = out.get(key, fmpq(0)) + a * b
    return out


def plus(f: Polynomial, g: Polynomial, factor: Any = 1) -> Polynomial:
    """Return f + factor g."""
    return {e: f.get(e, fmpq(0)) + factor * g.get(e, fmpq(0)) for e in f.keys() | g.keys()}


def linear(a: Sequence[Any]) -> Polynomial:
    """Return <a, x>."""
    return {tuple(int(i == j) for j in range(len(a))): x for i, x in enumerate(a)}


def expectation(f: Polynomial) -> Any:
    """Return E f(x) for a standard Gaussian x."""
    even = ((e, a) for e, a in f.items() if all(i % 2 == 0 for i in e))
    return sum((a * prod(prod(range(1, i, 2)) for i in e) for e, a in even), fmpq(0))


@PAPER.proposition("noise", d=(3, 4))
def noise(case: Case) -> Comparison:
    r"""E |g|^2 of the one-sample gradient grows by the same E (f_v - f_u)^2 h^2 with every dimension: affine in d.

    g = (f_v - f_u)(x) h(x) x with h = sum_i lambda_i c_i sigma'(<w_i + c_i v, x>): all but the few directions of the
    model see independent coordinates. Signal of order 1 and noise of order d allow steps of order 1/d. One neuron,
    He_2; E |g|^2 in dimension d + 1 minus that in d, by brute force, against the moments of two Gaussians.
    """
    return equal(noise_of(case, case["d"] + 1) - noise_of(case, case["d"]), noise_in_one_dimension(case))


@noise.control("two dimensions more", d=(3,))
def _(case: Case) -> Comparison:
    return equal(noise_of(case, case["d"] + 2) - noise_of(case, case["d"]), noise_in_one_dimension(case))


def teacher_and_student(case: Case, d: int) -> tuple[list[fmpq], list[fmpq]]:
    """Return the weights of both neurons in dimension d >= 3, for w = 3/5 e_1, c = 4/5, u = e_2, v in e_2, e_3."""
    m = fmpq(int(case.seed % 3) + 1, 5)  # v need not be a unit vector for the identity
    w, c = fmpq(3, 5), fmpq(4, 5)
    teacher, student = ([w, c * x, c * y, *[fmpq(0)] * (d - 3)] for x, y in ((fmpq(1), fmpq(0)), (m, 1 - m)))
    return teacher, student


def noise_of(case: Case, d: int) -> Any:
    """Return E |g|^2 in dimension d, for f = s^2 of a linear s, by multiplying the polynomials out."""
    teacher, student = map(linear, teacher_and_student(case, d))
    scalar = times(plus(times(student, student), times(teacher, teacher), -1), student)
    square = {tuple(2 * int(i == j) for j in range(d)): fmpq(1) for i in range(d)}
    return expectation(times(times(scalar, scalar), square))


def noise_in_one_dimension(case: Case) -> Any:
    """Return E (s^2 - t^2)^2 s^2 for student s and teacher t, from their joint moments."""
    t, s = teacher_and_student(case, 3)
    return moment(s, t, 6, 0) - 2 * moment(s, t, 4, 2) + moment(s, t, 2, 4)


@PAPER.proposition("lazy", k=(1, 3))
def lazy(case: Case) -> Comparison:
    r"""The model linearised at the base, v -> sum_i lambda_i c_i sigma'(<w_i, x>) <v, x>, misses E r^2 = (8/3) gamma^2.

    For He_2 (not normalised), gamma = sum_i lambda_i c_i^2, and the best v in R^d: of E (f_u - f_0)^2 = 4 |W|^2 + 3
    gamma^2, W = sum_i lambda_i c_i w_i, a share of order c^2. So the perturbation is learned lazily when it is small,
    and not when it is comparable with the base. Exact least squares over v, Gaussian moments.
    """
    return equal(lazy_residual(case, best=True), fmpq(8, 3))


@lazy.control("v = u instead of the best v")
def _(case: Case) -> Comparison:
    return equal(lazy_residual(case, best=False), fmpq(8, 3))


def lazy_residual(case: Case, best: bool) -> Any:
    """Return the residual of the linearised model in R^4, u = e_4, over gamma^2."""
    rng, n = case.rng, 4
    weights, c = ([int(x) for x in rng.integers(1, 4, case["k"])] for _ in range(2))
    w = [[*(fmpq(int(x)) for x in rng.integers(1, 5, n - 1)), fmpq(0)] for _ in weights]
    u = linear([fmpq(int(i == n - 1)) for i in range(n)])
    W = linear([sum((l * a * x[i] for l, a, x in zip(weights, c, w, strict=True)), fmpq(0)) for i in range(n)])
    gamma = sum(l * a * a for l, a in zip(weights, c, strict=True))
    target = plus(times(W, plus({}, u, 2)), plus({}, times(u, u), gamma))  # f_u - f_0
    features = [times(W, linear([fmpq(2 * int(i == j)) for j in range(n)])) for i in range(n)]
    gram = fmpq_mat(n, n, [expectation(times(f, g)) for f in features for g in features])
    right = fmpq_mat(n, 1, [expectation(times(f, target)) for f in features])
    v = gram.solve(right) if best else fmpq_mat(n, 1, [0] * (n - 1) + [1])
    residual = target
    for x, f in zip(v.entries(), features, strict=True):
        residual = plus(residual, f, -x)
    return expectation(times(residual, residual)) / gamma**2
