r"""The lemmas on the regulariser: the nuclear norm as a minimum over factors, and as a semidefinite program.

u is m x r, v is n x r, delta = u v^T, Q = [u; v], Z = Q Q^T, M the negative gradient of the risk in delta.
"""

from __future__ import annotations

from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, at_least, at_most, equal, exact, instances, ntk
from lora_proofs.exact import inner

from .paper import PAPER, gaussian_problem, sides
from .planted import planted

SHAPES = ("4-4-2", "5-3-2", "3-6-3")


def sizes(text: str) -> list[int]:
    """Read ``"4-4-2"``."""
    return [int(part) for part in text.split("-")]


def known_spectrum(case: Case) -> tuple[fmpq_mat, fmpq_mat, list[int]]:
    """Return a = U s^{1/2}, b = V s^{1/2} for rational orthogonal U, V and squares s, and s: |a b^T|_* = sum s."""
    m, n, k = sizes(case["shape"])
    U, V = instances.rational_orthogonal(case.rng, m), instances.rational_orthogonal(case.rng, n)
    roots = sorted((int(x) for x in case.rng.integers(2, 6, k)), reverse=True)
    D = exact.diagonal(roots)
    a, b = (exact.block(X, range(X.nrows()), range(k)) * D for X in (U, V))
    return a, b, [x * x for x in roots]


def half_squares(u: fmpq_mat, v: fmpq_mat) -> Any:
    """Return (|u|_F^2 + |v|_F^2) / 2."""
    return (inner(u, u) + inner(v, v)) / 2


@PAPER.lemma(
    "variational-nuclear-norm",
    shape=SHAPES,
    extra=(0, 2),
    factors=("balanced", "random"),
    sampled=True,
    proof=("nuclear_lower", "nuclear_least", "factors_solve_nuclear", "nuclear_control"),
)
def variational_nuclear_norm(case: Case) -> Comparison:
    r"""For all u, v with u v^T = \delta: (|u|_F^2 + |v|_F^2)/2 >= |\delta|_*.

    As recalled; to be compared with v3. For |Z|_op <= 1, <Z, u v^T> <= |Z^T u|_F |v|_F <= |u|_F |v|_F <= (|u|_F^2 +
    |v|_F^2)/2; the largest left side is |\delta|_*. Tried on u = a P, v = b W with P W^T = I, where a b^T = \delta
    has a known rational SVD; every pair of factors of width k = rank \delta has this form, and `extra` columns are
    added. Balanced ones, P = [I, 0], attain it.
    """
    a, b, s = known_spectrum(case)
    k = len(s)
    if case["factors"] == "balanced":
        return at_least(half_squares(a, b), sum(s))
    P = instances.rational_planted_rank(case.rng, k, k + case["extra"], k)
    # W^T = P^+ + (I - P^+ P) X solves P W^T = I; X is free.
    pseudo = P.transpose() * (P * P.transpose()).inv()
    free = exact.identity(k + case["extra"]) - pseudo * P
    W = (pseudo + free * instances.integers(case.rng, k + case["extra"], k)).transpose()
    u, v = a * P, b * W
    if u * v.transpose() != a * b.transpose():
        raise ArithmeticError("the factors have another product")
    return at_least(half_squares(u, v), sum(s))


@variational_nuclear_norm.control(
    "factors of another product: one singular value is left out", extra=(0,), shape=SHAPES, factors=("balanced",)
)
def _(case: Case) -> Comparison:
    a, b, s = known_spectrum(case)
    keep = exact.diagonal([0] + [1] * (len(s) - 1))
    return at_least(half_squares(a * keep, b * keep), sum(s))


@PAPER.lemma(
    "variational-attained", shape=SHAPES, proof=("nuclear_attained", "nuclear_reached", "nuclear_solved_by_factors")
)
def variational_attained(case: Case) -> Comparison:
    r"""(|u|_F^2 + |v|_F^2)/2 = |\delta|_* at the balanced factors u = U s^{1/2} O, v = V s^{1/2} O, O orthogonal."""
    a, b, s = known_spectrum(case)
    O = instances.rational_orthogonal(case.rng, len(s))
    return equal(half_squares(a * O, b * O), sum(s))


@variational_attained.control("unbalanced factors (2u, v/2)")
def _(case: Case) -> Comparison:
    a, b, s = known_spectrum(case)
    return equal(half_squares(2 * a, b / 2), sum(s))


def at_truncation(a: fmpq_mat, b: fmpq_mat, s: list[int], r: int) -> Any:
    """Return |delta - Y|_F^2 / 2 + |delta|_* for Y = a b^T and the r largest singular values of Y, each less 1."""
    shrunk = [fmpq(x - 1, x) if i < r else fmpq(0) for i, x in enumerate(s)]
    gap = a * b.transpose() - a * exact.diagonal(shrunk) * b.transpose()
    return inner(gap, gap) / 2 + sum((x * y for x, y in zip(s, shrunk, strict=True)), fmpq(0))


def least_of_rank(s: list[int], r: int) -> Any:
    """Return the sum over i <= r of s_i - 1/2, and over i > r of s_i^2 / 2."""
    return sum((fmpq(2 * x - 1, 2) if i < r else fmpq(x * x, 2) for i, x in enumerate(s)), fmpq(0))


@PAPER.formula("least-of-rank", shape=("4-4-2", "3-6-3", "5-5-4"), r=(1, 2, 3))
def least_of_rank_is_attained(case: Case) -> Comparison:
    r"""LoRA of width r attains the least value over rank <= r, hence the optimum as soon as r >= rank of a minimiser.

    By variational-nuclear-norm and its attainment, inf over (u, v) = inf over rank <= r. Where every entry of \delta
    is seen, |\delta - Y|_F^2/2 + \lambda|\delta|_* >= \sum_i (\sigma_i(\delta) - s_i)^2/2 + \lambda\sigma_i(\delta)
    by von Neumann's trace inequality, s_i = \sigma_i(Y) >= \lambda = 1; at rank <= r this is at least \sum_{i <= r}
    (s_i - 1/2) + \sum_{i > r} s_i^2/2, and soft-thresholding the r largest singular values attains it. A rank less
    costs (s_r - 1)^2/2.
    """
    a, b, s = known_spectrum(case)
    return equal(at_truncation(a, b, s, case["r"]), least_of_rank(s, case["r"]))


@least_of_rank_is_attained.control("the optimum of all ranks, from a rank less", shape=("5-5-4",), r=(3,))
def _(case: Case) -> Comparison:
    a, b, s = known_spectrum(case)
    return equal(at_truncation(a, b, s, case["r"]), least_of_rank(s, len(s)))


# ------------------------------------------------------------------------------------------------ the semidefinite form


def lifted(case: Case, polar: bool, share: Any = 1) -> tuple[fmpq_mat, list[int]]:
    """Return Z = [[share * (a T)(a T)^T + E, a b^T], [., (b S)(b S)^T + F]], S = T^{-T}, and the spectrum of a b^T.

    Z >= 0 for share = 1, for all T and all E, F >= 0; at polar factors T = I and E = F = 0.
    """
    a, b, s = known_spectrum(case)
    m, n, k = a.nrows(), b.nrows(), len(s)
    T = exact.identity(k) if polar else instances.nonsingular(case.rng, k)
    E, F = (L * L.transpose() for L in (instances.integers(case.rng, size, 2) * int(not polar) for size in (m, n)))
    u, v = a * T, b * T.inv().transpose()
    corner = a * b.transpose()
    top, bottom = share * u * u.transpose() + E, v * v.transpose() + F
    rows = [x + y for x, y in zip(top.table(), corner.table(), strict=True)]
    return fmpq_mat(rows + [x + y for x, y in zip(corner.transpose().table(), bottom.table(), strict=True)]), s


def half_trace(Z: fmpq_mat) -> Any:
    """Return tr Z / 2, once Z >= 0 is checked over Q."""
    if not exact.is_positive_semidefinite(Z):
        raise OutOfScope("Z is not positive semidefinite")
    return exact.trace(Z) / 2


@PAPER.lemma("sdp-form", shape=SHAPES, polar=(True, False), sampled=True)
def sdp_form(case: Case) -> Comparison:
    r"""For all Z >= 0 with Z_{12} = \delta: tr Z / 2 >= |\delta|_*.

    As recalled; to be compared with v3.     [[I, -W], [-W^T, I]] >= 0 for |W|_op <= 1, and its product with Z is tr Z
    - 2 <W, \delta> >= 0. Z = QQ^T with balanced factors attains it, so min_{Z >= 0} risk(Z_{12}) + (\lambda/2) tr Z
    is the optimum of full fine-tuning, of which the LoRA problem is the restriction to rank Z <= r. Tried on random
    rational Z, which are shown positive semidefinite over Q, and on the one that attains it.
    """
    Z, s = lifted(case, case["polar"])
    return at_least(half_trace(Z), sum(s))


@sdp_form.control("101/100 of the norm, where the norm is attained", polar=(True,), shape=SHAPES)
def _(case: Case) -> Comparison:
    Z, s = lifted(case, case["polar"])
    return at_least(half_trace(Z), fmpq(101, 100) * sum(s))


@sdp_form.control("Z is indefinite: half of its first block is missing", polar=(True,), shape=SHAPES)
def _(case: Case) -> Comparison:
    Z, s = lifted(case, case["polar"], fmpq(1, 2))
    return at_least(half_trace(Z), sum(s))


# ----------------------------------------------------------------------------------------------- first-order identities


def stationary_identities(trap: ntk.traps.Trap, M: fmpq_mat) -> list[Any]:
    """Return what vanishes at a stationary point with lam > 0."""
    u, v, lam = trap.u, trap.v, trap.lam
    balance = u.transpose() * u - v.transpose() * v
    inside = inner(M * v, u)
    return [inner(balance, balance), inside - lam * half_squares(u, v), inside - lam * inner(u, u)]


@PAPER.formula("stationarity", shape=SHAPES, top=(0, 2), lam=(1, 3), proof=("line_expansion", "stationary_iff"))
def stationarity(case: Case) -> Comparison:
    r"""\lambda > 0: at a stationary point u^T u = v^T v and <M, u v^T> = \lambda(|u|^2 + |v|^2)/2 = \lambda|u v^T|_*.

    M v = \lambda u and M^T u = \lambda v give \lambda u^T u = u^T M v = \lambda v^T v. Balanced factors have (|u|^2 +
    |v|^2)/2 = |u v^T|_*. Checked at planted points, minimisers (top = 0) or not; measured: the sum of the squares of
    what should vanish.
    """
    m, n, k = sizes(case["shape"])
    k = min(k, m - 1, n - 1)
    plant = planted(case.rng, [(m, n)], [k], k, 3, top=case["top"], lam=case["lam"])
    return equal(sum((x * x for x in stationary_identities(plant.trap, plant.M)), fmpq(0)), 0)


@stationarity.control("at (2u, v), which is not stationary")
def _(case: Case) -> Comparison:
    m, n, k = sizes(case["shape"])
    k = min(k, m - 1, n - 1)
    plant = planted(case.rng, [(m, n)], [k], k, 3, top=case["top"], lam=case["lam"])
    moved = ntk.traps.Trap("moved", "squared", plant.trap.lam, (), (), (), 2 * plant.trap.u, plant.trap.v)
    return equal(sum((x * x for x in stationary_identities(moved, plant.M)), fmpq(0)), 0)


@PAPER.formula("optimality-conditions", loss=("squared", "logistic", "cross_entropy"), share=(0.05, 0.5))
def optimality_conditions(case: Case) -> Comparison:
    r"""At an optimum of full fine-tuning, |M|_op <= \lambda and <M, \delta> = \lambda|\delta|_*; at the solver's.

    Measured: how far they are from holding, (|M|_op/\lambda - 1)_+ plus the complementary slackness relative to the
    optimum; in floats.
    """
    return at_most(violation(case, 1.0), 0)


@optimality_conditions.control("at a third of the solver's update", share=(0.05,), loss=("squared", "logistic"))
def _(case: Case) -> Comparison:
    return at_most(violation(case, 1 / 3), 0)


@optimality_conditions.control("at three times the solver's update", share=(0.05,), loss=("squared", "logistic"))
def _(case: Case) -> Comparison:
    return at_most(violation(case, 3.0), 0)


def violation(case: Case, scale: float) -> float:
    """Return how far |M|_op <= lam and <M, delta> = lam |delta|_* are from holding at `scale` times the solution."""
    problem = gaussian_problem(case.rng, case["loss"], 5, ((5, 6), (4, 3)), case["share"])
    solution = sides(ntk.solve(problem, gap=1e-11))
    certificate = ntk.certify(problem, *[[x * scale**0.5 for x in side] for side in solution])
    return float(max(certificate.operator_norm_ratio - 1, 0.0) + certificate.complementary_slackness)
