"""Linear models: Lemma 1, its strengthened form, ranks per layer, parameter counts."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpq_mat

from lora_proofs import Case, Comparison, at_least, at_most, constructions, equal, exact, instances
from lora_proofs.linalg import like, singular_values

from .paper import PAPER, RATIONAL, frozen_chain, residual, target_matrix


def adapted_to_planted(case: Case, ranks: list[int], spectrum: list[int]) -> Fraction:
    """Return the spectral norm of the residual of rational adapters, for E = U diag(s) V^T with U, V orthogonal over Q.

    LR_c(E) is rational then, and the adapters represent Pi + LR_c(E) exactly.
    """
    frozen, c = frozen_chain(case), min(sum(ranks), case["D"])
    E, U, V = instances.planted_svd(case.rng, case["D"], spectrum)
    kept = fmpq_mat(case["D"], case["D"])
    for i in range(c):
        kept[i, i] = spectrum[i]
    adapters = exact.adapt_linear_chain(frozen, exact.product(frozen) + U * kept * V.transpose(), ranks).adapters
    return planted_error(frozen, adapters, exact.product(frozen) + E, U, V)


def planted_error(frozen: list[Any], adapters: list[Any], target: fmpq_mat, U: fmpq_mat, V: fmpq_mat) -> Fraction:
    """Return the spectral norm of the residual, of which U^T residual V is diagonal."""
    diagonal = U.transpose() * residual(frozen, adapters, target) * V
    if any(diagonal[i, j] != 0 for i in range(U.nrows()) for j in range(U.nrows()) if i != j):
        raise ArithmeticError("the residual is not the tail of the SVD of E")
    largest = max(abs(diagonal[i, i]) for i in range(U.nrows()))
    return Fraction(int(largest.p), int(largest.q))


def best_error(case: Case, ranks: list[int], spent: int) -> Comparison:
    """Compare the error of the adapters of these ranks with sigma_{spent + 1}(target - Pi)."""
    D = case["D"]
    if case["family"] == RATIONAL:
        spectrum = list(range(2 * D, 0, -2))
        return equal(adapted_to_planted(case, ranks, spectrum), spectrum[spent] if spent < D else 0)
    frozen, target = frozen_chain(case), target_matrix(case)
    result = constructions.adapt_linear_chain(frozen, target, ranks)
    error = like(result.adapters[0].B, result.error)  # the scalar in the library and type that it comes from
    if spent == sum(ranks):
        return equal(error, result.bound)
    return equal(error, singular_values(target - product_of(frozen))[spent])


def product_of(frozen: list[Any]) -> Any:
    """Return W_L ... W_1 of float or object arrays."""
    Pi = frozen[0]
    for W in frozen[1:]:
        Pi = W @ Pi
    return Pi


@PAPER.lemma(
    "1",
    family=(RATIONAL, "gaussian", "uniform", "orthogonal"),
    D=(4, 8),
    L=(2, 3),
    R=(1, 2),
    points=[
        {"family": "gaussian", "D": 16, "L": 8, "R": 1},
        {"family": "uniform", "D": 32, "L": 4, "R": 4},
        {"family": RATIONAL, "D": 16, "L": 4, "R": 2},
    ],
    proof=(
        "lemma1_iff",
        "svd_exists",
        "lemma1_norm",
        "singular_control",
        "one_less",
        "minus_one_control",
        "norm_one_less",
        "norm_control",
    ),
)
def lemma_1(case: Case) -> Comparison:
    r"""For non-singular W_1, ..., W_L and every target, adapters of rank at most R attain the least possible error.

    \| \prod_l (W_l + \Delta_l) - \bar W \|_2 = \sigma_{RL+1}(\bar W - \prod_l W_l); in particular \bar W is represented
    exactly from R = \lceil rank(\bar W - \prod_l W_l) / L \rceil on. (The paper also assumes that \prod_l W_l + LR_r(E)
    is non-singular for r <= R(L-1): see lemma-1-strengthened. That nothing is smaller: lemma-1-optimality.)
    """
    return best_error(case, [case["R"]] * case["L"], case["R"] * case["L"])


@lemma_1.control("one rank less: the bound is sigma_{RL}", family=(RATIONAL, "gaussian"), D=(4,), L=(2,), R=(1,))
def _(case: Case) -> Comparison:
    return best_error(case, [case["R"]] * case["L"], case["R"] * case["L"] - 1)


@lemma_1.control("singular layers: W_1 = W_2 = 0, target I", points=[{"D": 2}])
def _(case: Case) -> Comparison:
    D = case["D"]
    frozen = [fmpq_mat(D, D) for _ in range(2)]
    column = fmpq_mat(D, 1, [1] + [0] * (D - 1))
    adapters = [exact.RationalAdapter(column.transpose(), column) for _ in frozen]
    # The best that rank 1 can do: a matrix of rank < D is at distance >= 1 from I, while sigma_{RL + 1}(I - 0) = 0.
    return equal(planted_error(frozen, adapters, exact.identity(D), exact.identity(D), exact.identity(D)), 0)


@PAPER.lemma("1-optimality", points=[
    {"family": RATIONAL, "D": D, "L": L, "R": R} for D, L, R in ((4, 2, 1), (4, 3, 1), (8, 2, 2), (8, 3, 1), (8, 3, 2))
], sampled=True, proof=("lemma1_norm", "norm_one_less"))  # fmt: skip
def lemma_1_optimality(case: Case) -> Comparison:
    r"""For all adapters of rank at most R and all W_l, rank(\prod_l (W_l + \Delta_l) - \prod_l W_l) <= RL.

    With Eckart-Young, no adapters do better than \sigma_{RL+1}(\bar W - \prod_l W_l). Telescoping writes the difference
    with inner width RL (formula-subadditivity); here random integer adapters are tried, at RL < D, where almost all of
    them attain RL: a rank more in one layer goes beyond it.
    """
    return at_most(rank_of_change(case, [case["R"]] * case["L"]), case["R"] * case["L"])


def rank_of_change(case: Case, ranks: list[int]) -> int:
    """Return the rank of prod (W_l + Delta_l) - prod W_l for random integer adapters of these ranks."""
    D = case["D"]
    frozen = [instances.nonsingular(case.rng, D) for _ in ranks]
    updates = [instances.rational_planted_rank(case.rng, D, D, r) for r in ranks]
    changed = exact.product([W + U for W, U in zip(frozen, updates, strict=True)])
    return exact.rank(changed - exact.product(frozen))


@lemma_1_optimality.control(
    "one layer has an update of rank R + 1", points=[{"D": 8, "L": 2, "R": 1}, {"D": 8, "L": 3, "R": 1}]
)
def _(case: Case) -> Comparison:
    ranks = [case["R"] + 1] + [case["R"]] * (case["L"] - 1)
    return at_most(rank_of_change(case, ranks), case["R"] * case["L"])


@PAPER.lemma(
    "1-local-search",
    D=(3,),
    L=(2,),
    R=(1,),
    sampled=True,
    proof=("frobenius_eckart_young", "lemma1_frobenius", "frobenius_not_spectral"),
)
def lemma_1_local_search(case: Case) -> Comparison:
    r"""For all adapters of rank <= R, \| \prod_l (W_l + \Delta_l) - \bar W \|_F >= (\sum_{i > RL} \sigma_i^2)^{1/2}.

    The Frobenius form of Lemma 1's lower bound; a local minimiser (BFGS from random starts) tries to go below it. It
    comes within 1 % of the bound, and below it once a layer has a rank more.
    """
    return local_minimum(case, [case["R"]] * case["L"])


@lemma_1_local_search.control("the first layer has a rank more")
def _(case: Case) -> Comparison:
    return local_minimum(case, [case["R"] + 1] + [case["R"]] * (case["L"] - 1))


@lemma_1_local_search.control("the bound raised by 1 %")
def _(case: Case) -> Comparison:
    found = local_minimum(case, [case["R"]] * case["L"])
    return at_least(found.measured, 1.01 * found.bound)


STARTS = 4


def local_minimum(case: Case, ranks: list[int]) -> Comparison:
    """Compare the least error that BFGS finds with adapters of these ranks with Eckart and Young's bound for rank R.

    In the Frobenius norm, and relative to the target.
    """
    from scipy.optimize import minimize

    D, L, R = case["D"], case["L"], case["R"]
    frozen = instances.chain(case.rng, D, L, "orthogonal")
    target = instances.gaussian(case.rng, D, D)
    tail = np.linalg.svd(target - product_of(frozen), compute_uv=False)[R * L :]
    ends = np.cumsum([2 * D * r for r in ranks])

    def updates(x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for end, r in zip(ends, ranks, strict=True):
            yield x[end - 2 * D * r : end].reshape(2, D, r)

    def loss(x: np.ndarray) -> float:
        product = product_of([W + B @ A.T for W, (B, A) in zip(frozen, updates(x), strict=True)])
        return float(np.sum((product - target) ** 2))

    starts = case.rng.standard_normal((STARTS, ends[-1]))
    found = min(minimize(loss, start, method="BFGS", options={"gtol": 1e-10}).fun for start in starts)
    return at_least(float(np.sqrt(found)), float(np.linalg.norm(tail)))
