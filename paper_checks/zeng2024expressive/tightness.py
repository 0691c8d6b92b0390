"""How tight the bounds below the threshold are: Theorems 5 and 6, corrected and sharpened."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpq_mat

from lora_proofs import Box, Case, Comparison, ReluNetwork, at_most, constructions, equal, exact, instances
from lora_proofs.backends import for_case
from lora_proofs.linalg import frobenius_norm, like, namespace

from .errors import attaining_networks, falling, mean_square, planted, planted_error
from .paper import PAPER, random_network

BOX = Box(-4.0, 4.0)
BELOW = [
    {"family": family, "D": D, "L": L, "Lbar": Lbar, "R": R}
    for family, D, L, Lbar, R in (
        ("uniform", 16, 2, 1, 3),
        ("uniform", 16, 4, 2, 1),
        ("uniform", 16, 4, 2, 7),
        ("uniform", 16, 8, 4, 5),
        ("scaled gaussian", 8, 6, 3, 2),
        ("orthogonal", 16, 12, 6, 6),
    )
]
ONE_BLOCK = [{"family": "uniform", "D": 4, "L": 1, "R": R} for R in (1, 2)]
SMALL = [{"family": "uniform", "D": 4, "L": 4, "Lbar": 2, "R": 1}]


def below_threshold(case: Case, count: int = 300) -> tuple[ReluNetwork, ReluNetwork, Any, constructions.ErrorBounds]:
    """Return the networks, uniform points of the box, and the bounds of the distribution on these points."""
    frozen, target = (random_network(case, case["D"], depth) for depth in (case["L"], case["Lbar"]))
    x = for_case(case.rng.uniform(-4, 4, (count, case["D"])), case)
    return frozen, target, x, constructions.error_bounds(frozen, target, case["R"], x)


def root_mean_square(network: Any, target: ReluNetwork, x: Any) -> Any:
    """Return (E |f - target|^2)^(1/2) over the points."""
    return like(x, frobenius_norm(network(x) - target(x)) / x.shape[0] ** 0.5)


@PAPER.theorem("5-sharp", points=BELOW)
def theorem_5_sharp(case: Case) -> Comparison:
    r"""R below the threshold: (E\|f - \bar f\|_2^2)^{1/2} <= \inf_T (E u^T T A(T)^{-1} T u)^{1/2}.

    The infimum is over T diagonal with A(T) positive definite; u = (N_1 \bar h_0, ..., N_{\bar L} \bar h_{\bar L - 1}),
    with \bar h_i the target's states and N_i what the truncation of block i leaves out; A(T) has the diagonal blocks
    2T_i, the last less I, and -T_i(\bar W_i - N_i) beside them. The distribution is uniform on 300 points of |x|_\infty
    <= 4. Not the paper's: derived in `lora_proofs.constructions.relu.error_bounds`. Measured: with the construction's
    adapters; the root mean square is at least the mean that Theorem 5 bounds.
    """
    frozen, target, x, bounds = below_threshold(case)
    return at_most(
        root_mean_square(constructions.adapt_relu_network(frozen, target, case["R"], domain=BOX), target, x),
        bounds.sharp,
    )


@theorem_5_sharp.control("one percent less, where the bound is attained", points=ONE_BLOCK)
def _(case: Case) -> Comparison:
    frozen, target, x = active_block(case)
    adapted = constructions.adapt_relu_network(frozen, target, case["R"], domain=BOX)
    bound = constructions.error_bounds(frozen, target, case["R"], x).sharp
    return at_most(root_mean_square(adapted, target, x), bound * 99 / 100)


@theorem_5_sharp.control("the last block is claimed to be exact", points=SMALL)
def _(case: Case) -> Comparison:
    frozen, target, x, _ = below_threshold(case, 20)
    target = ReluNetwork(target.weights, [b + 10 for b in target.biases])
    adapted = constructions.adapt_relu_network(frozen, target, [2, 2, 0, 0], domain=BOX)
    return at_most(
        root_mean_square(adapted, target, x), constructions.error_bounds(frozen, target, [2, 2, 2, 2], x).sharp
    )


@PAPER.theorem("5-sharp-below-moments", points=BELOW)
def theorem_5_sharp_below_moments(case: Case) -> Comparison:
    r"""The bound of theorem-5-sharp is at most a_{\bar L}, the last term of a recursion in spectral norms.

    a_i = \|\bar W_i - N_i\|_2 a_{i-1} + \|N_i \Sigma_{i-1}^{1/2}\|_F, a_0 = 0 and \Sigma_i = E \bar h_i \bar h_i^T, the
    second moments of the target's states. Not the paper's.
    """
    *_, bounds = below_threshold(case)
    return at_most(*sharp_and_moments(bounds))


def sharp_and_moments(bounds: constructions.ErrorBounds) -> tuple[Any, Any]:
    """Return the two bounds that theorem-5-sharp-below-moments compares."""
    return bounds.sharp, bounds.moments


@theorem_5_sharp_below_moments.control("one percent less, where both are equal", points=ONE_BLOCK)
def _(case: Case) -> Comparison:
    *_, bounds = below_threshold(case.derive(Lbar=1), 20)
    sharp, moments = sharp_and_moments(bounds)
    return at_most(sharp, moments * 99 / 100)


@theorem_5_sharp_below_moments.control("the other way round, where two blocks err", points=SMALL)
def _(case: Case) -> Comparison:
    *_, bounds = below_threshold(case, 20)
    sharp, moments = sharp_and_moments(bounds)
    return at_most(moments, sharp)


@PAPER.theorem("5-moments-below-corrected", points=BELOW)
def theorem_5_moments_below_corrected(case: Case) -> Comparison:
    r"""The bound a_{\bar L} of theorem-5-sharp-below-moments is at most that of theorem-5-corrected."""
    *_, bounds = below_threshold(case)
    return at_most(*moments_and_corrected(bounds))


def moments_and_corrected(bounds: constructions.ErrorBounds) -> tuple[Any, Any]:
    """Return the two bounds that theorem-5-moments-below-corrected compares."""
    return bounds.moments, bounds.corrected


@theorem_5_moments_below_corrected.control("one percent less, where both are equal", points=SMALL)
def _(case: Case) -> Comparison:
    frozen, target, x = attaining_networks(case, [2, 2], [case["R"]] * 4)
    moments, corrected = moments_and_corrected(constructions.error_bounds(frozen, target, case["R"], x))
    return at_most(moments, corrected * 99 / 100)


@theorem_5_moments_below_corrected.control("the other way round", points=SMALL)
def _(case: Case) -> Comparison:
    *_, bounds = below_threshold(case, 20)
    moments, corrected = moments_and_corrected(bounds)
    return at_most(corrected, moments)


@PAPER.theorem("5-fitted", points=BELOW)
def theorem_5_fitted(case: Case) -> Comparison:
    r"""The bound of theorem-5-sharp for adapters and biases that are fitted, block by block, to the distribution.

    N_i = (I - U U^T)(\bar W_i - \prod_{P_i} W_l), with U the leading RM eigenvectors of the covariance of (\bar W_i -
    \prod_{P_i} W_l) \bar h_{i-1}; the bias is \bar b_i + N_i E \bar h_{i-1}, and \bar h_{i-1} - E \bar h_{i-1} replaces
    \bar h_{i-1} in the bound. The ranks are those of Theorem 5. Not the paper's.
    """
    frozen, target, x, _ = below_threshold(case)
    fit = constructions.fit_to_distribution(frozen, target, case["R"], x)
    adapted = constructions.adapt_relu_network(frozen, fit.network, case["R"], domain=BOX)
    return at_most(root_mean_square(adapted, target, x), fit.sharp)


@theorem_5_fitted.control("a rank less for the adapters, on an active target", points=ONE_BLOCK)
def _(case: Case) -> Comparison:
    frozen, target, x = active_block(case)
    fit, less = (constructions.fit_to_distribution(frozen, target, R, x) for R in (case["R"], case["R"] - 1))
    adapted = constructions.adapt_relu_network(frozen, less.network, case["R"] - 1, domain=BOX)
    return at_most(root_mean_square(adapted, target, x), fit.sharp)


@PAPER.formula("least-error-of-one-block", points=ONE_BLOCK)
def least_error_of_one_block(case: Case) -> Comparison:
    r"""\bar L = 1: the least E\|f - \bar f\|_2^2 of active f and \bar f is \sum_{i > RL} \lambda_i(E Cov(x) E^T).

    E = \bar W_1 - \prod W_l. No rank-R adapters and biases do better (Eckart & Young), and the fitted ones attain it.
    """
    frozen, target, x = active_block(case)
    adapted = constructions.adapt_relu_network(
        frozen, constructions.fit_to_distribution(frozen, target, case["R"], x).network, case["R"], domain=BOX
    )
    return equal(root_mean_square(adapted, target, x) ** 2, _eigenvalue_tail(frozen, target, x, case["R"]))


@least_error_of_one_block.control("the adapters of the truncated singular value decomposition")
def _(case: Case) -> Comparison:
    frozen, target, x = active_block(case)
    adapted = constructions.adapt_relu_network(frozen, target, case["R"], domain=BOX)
    return equal(root_mean_square(adapted, target, x) ** 2, _eigenvalue_tail(frozen, target, x, case["R"]))


def active_block(case: Case) -> tuple[ReluNetwork, ReluNetwork, Any]:
    """Return one frozen layer, a target so active on the box that no residual switches it off, and 20 points."""
    D = case["D"]
    frozen, target = (random_network(case, D, 1) for _ in range(2))
    x = for_case(case.rng.uniform(-4, 4, (20, D)), case)
    return frozen, ReluNetwork(target.weights, [b + 100 for b in target.biases]), x


def _eigenvalue_tail(frozen: ReluNetwork, target: ReluNetwork, x: Any, R: int) -> Any:
    xp = namespace(x)
    deviations = (x - xp.sum(x, axis=0) / x.shape[0]) @ (target.weights[0] - frozen.weights[0]).T
    return sum(xp.linalg.eigh(deviations.T @ deviations / x.shape[0])[0][: x.shape[1] - R])


@PAPER.formula("error-of-one-block", D=(3, 4), L=(1, 2), R=(1,))
def error_of_one_block(case: Case) -> Comparison:
    r"""\bar L = 1, target and f active on the points: E\|f - \bar f\|_2^2 = tr(N \Sigma N^T).

    N = \sum_{i > RL} \sigma_i u_i v_i^T. So theorem-5-sharp is an equality here. E = U diag(\sigma) V^T is planted over
    Q, x uniform on 50 random integer points of [-3, 3]^D; both sides are computed exactly.
    """
    return _one_block(case, active=True)


@error_of_one_block.control("the target is switched off in places")
def _(case: Case) -> Comparison:
    return _one_block(case, active=False)


def _one_block(case: Case, active: bool) -> Comparison:
    D, spectrum = case["D"], falling(case["D"])
    error, Sigma = planted_error(case, spectrum, case.rng.integers(-3, 4, (50, D)), active)
    _, U, V = instances.planted_svd(planted(case).rng, D, spectrum)
    tail = fmpq_mat(D, D)
    for i in range(case["R"] * case["L"], D):
        tail[i, i] = spectrum[i]
    N = U * tail * V.transpose()
    square = N * Sigma * N.transpose()
    return equal(error, sum((square[i, i] for i in range(D)), exact.number(0)))


@PAPER.formula("corrected-bound-attained", D=(3,), Lbar=(1, 2, 3, 4), R=(0, 1))
def corrected_bound_attained(case: Case) -> Comparison:
    r"""The bound of theorem-5-corrected is attained at every depth: E\|f - \bar f\|_2 is equal to it.

    So no formula in E_i, \|\bar W_i\|_2, \|\bar b_i\|_2 and tr \Sigma that improves it bounds the construction's error.
    Two frozen layers a block, \bar W_i = w_i I, \prod W_l = w_i I + diag(E_i, ..., E_i, 2E_i, ..., 2E_i), 2R entries
    2E_i; \bar b_i = \beta_i e_1, \beta_i >= 0, and x = \rho e_1 with probability 1. Exact, for one D.
    """
    network, target, tails, norms, biases, rho = _diagonal_networks(case)
    return equal(_distance(network, target, rho), constructions.corrected_bound(tails, norms, biases, rho))


@corrected_bound_attained.control("to first order in E", Lbar=(2, 3), D=(3,), R=(0, 1))
def _(case: Case) -> Comparison:
    network, target, tails, norms, biases, rho = _diagonal_networks(case)
    tiny = Fraction(1, 10**6)  # the bound of these errors, scaled up, is that to first order
    return equal(
        _distance(network, target, rho),
        constructions.corrected_bound([tiny * E for E in tails], norms, biases, rho) / tiny,
    )


@corrected_bound_attained.control("without the biases", Lbar=(2, 3), D=(3,), R=(0, 1))
def _(case: Case) -> Comparison:
    network, target, tails, norms, biases, rho = _diagonal_networks(case)
    return equal(
        _distance(network, target, rho), constructions.corrected_bound(tails, norms, [0 * b for b in biases], rho)
    )


def _distance(network: ReluNetwork, target: ReluNetwork, rho: Fraction) -> Fraction:
    """Return |f(x) - target(x)| at x = rho e_1."""
    square = mean_square(network, target, exact.array([[rho, *[0] * (target.d_in - 1)]]))
    root = exact.sqrt_above(square)
    return Fraction(int(root.p), int(root.q))


def _diagonal_networks(case: Case) -> tuple[ReluNetwork, ReluNetwork, Any, Any, Any, Fraction]:
    """Return the adapted network, the target, and E_i, |Wbar_i|_2, |bbar_i|_2 and rho of corrected-bound-attained."""
    D, Lbar, spent = case["D"], case["Lbar"], 2 * case["R"]
    draw = [[Fraction(int(v)) for v in row] for row in case.rng.integers(1, 9, (5, Lbar))]
    norms, tails, inner, biases, rho = draw[0], [E / 8 for E in draw[1]], draw[2], draw[3], draw[4][0]
    weights = []
    for w, E, c in zip(norms, tails, inner, strict=True):
        block = np.diag([w + E] * (D - spent) + [w + 2 * E] * spent)
        weights += [exact.array(c * np.eye(D, dtype=int)), exact.array(block / c)]
    zero = exact.array([0] * D)
    shifts = [exact.array([beta, *[0] * (D - 1)]) for beta in biases]
    frozen = ReluNetwork(weights, [zero] * len(weights))
    kept = [np.diag([w + E] * (D - spent) + [w] * spent) for w, E in zip(norms, tails, strict=True)]
    best = ReluNetwork([exact.array(F) for F in kept], shifts)
    target = ReluNetwork([exact.array(w * np.eye(D, dtype=int)) for w in norms], shifts)
    network = constructions.adapt_relu_network(frozen, best, case["R"], domain=Box(-8, 8)).network
    return network, target, tails, norms, biases, rho
