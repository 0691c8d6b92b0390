r"""AutoLoRA: AutoGuidance for diffusion models with LoRA: what guidance does to Gaussians.

The paper is empirical: guiding a LoRA-tuned diffusion model by its base trades consistency against diversity; the
image metrics need diffusion models and are not checked. The official repository (gmum/AutoLoRA) holds no code. The
rule eps_base + gamma (eps_LoRA - eps_base) is recalled; the abstract adds classifier-free guidance of both models.
What the rule does where everything is known is derived here: Gaussian densities N(m_0, s_0^2) and N(m_1, s_1^2) for
base and LoRA, and the variance-exploding probability-flow equation dx/dtau = -score_tau(x) / 2 for x + sqrt(tau)
noise, tau from infinity, where x has variance tau, down to 0. (Not to be confused with "AutoLoRA: Automatically Tuning
Matrix Ranks" by Zhang et al.)
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from flint import acb, arb, fmpq, fmpq_mat, fmpq_series

from lora_proofs import Case, Comparison, OutOfScope, Paper, at_most, equal, exact, instances

PAPER = Paper(
    key="kasymov2024autolora",
    title="AutoLoRA: AutoGuidance Meets Low-Rank Adaptation for Diffusion Models",
    authors=("Artur Kasymov", "Marcin Sendera", "Michał Stypułkowski", "Maciej Zieba", "Przemysław Spurek"),
    year=2024,
    arxiv="2410.03941v1",
)

BASE, LORA = Fraction(3, 2), Fraction(3, 10)
"""s_0 and s_1: the adapter narrows the distribution."""


# --------------------------------------------------------------------------------------------------- the flow


@PAPER.theorem("variance", gamma=(-1, 0, 1, 2, 5), lora=("3/10", "2/1"), seeded=False)
def variance(case: Case) -> Comparison:
    r"""The guided variance is (s_0^2 + tau)^{1-gamma} (s_1^2 + tau)^gamma: std = s_0^{1-gamma} s_1^gamma at tau = 0.

    For every gamma; the flow is linear, so d(log variance)/dtau = (1-gamma)/(s_0^2 + tau) + gamma/(s_1^2 + tau), and
    as the exponents sum to 1 the variance is asymptotic to tau. Measured for whole gamma: the number of the first
    coefficients in tau at which the derivative is another, over Q.
    """
    return equal(variance_mismatches(case, case["gamma"]), 0)


@variance.control("weights gamma and gamma")
def _(case: Case) -> Comparison:
    return equal(variance_mismatches(case, case["gamma"] + 1), 0)


def variance_mismatches(case: Case, weight: int) -> int:
    """Count unequal coefficients for the score (1 - gamma) score_0 + weight score_1."""
    gamma, terms = case["gamma"], 8
    deviations = (fmpq(*x.as_integer_ratio()) for x in (BASE, Fraction(case["lora"])))
    base, lora = (fmpq_series([s**2, 1], prec=terms) for s in deviations)
    V = power(base, 1 - gamma) * power(lora, gamma)
    rate = (1 - gamma) / base + weight / lora
    return sum(x != 0 for x in (V.derivative() - V * rate).coeffs()[: terms - 1])


def power(x: Any, k: int) -> Any:
    """Return x^k for a whole number k."""
    return x**k if k >= 0 else 1 / x ** (-k)


@PAPER.corollary(
    "several",
    points=({"a": 1, "b": 0, "c": 0}, {"a": -2, "b": 3, "c": 0}, {"a": 2, "b": 2, "c": -3}, {"a": 1, "b": 1, "c": -1}),
    seeded=False,
)
def several(case: Case) -> Comparison:
    r"""Guidance of guidance, sum_k c_k score_k with sum c_k = 1: variance prod_k s_k^{2 c_k}.

    This covers classifier-free guidance of base and LoRA together. If the weights do not sum to 1, a start of variance
    T at tau = T ends with a variance of order T^{1 - sum c_k}: no limit. Measured, over Q: the distance from 1 of the
    ratio of the variance for T = 10^16 to the product, at most 10^-15 by (1 + s^2/T)^c.
    """
    weights = [case[name] for name in "abc"]
    return at_most(abs(final_variance(weights) / target(weights) - 1), Fraction(1, 10**15))


@several.control("weights that sum to 2", points=({"a": -2, "b": 3, "c": 1},))
def _(case: Case) -> Comparison:
    weights = [case[name] for name in "abc"]
    return at_most(abs(final_variance(weights) / target(weights) - 1), Fraction(1, 10**15))


DEVIATIONS = (BASE, LORA, Fraction(1, 2))


START = Fraction(10) ** 16


def final_variance(
    weights: Sequence[int], deviations: Sequence[Fraction] = DEVIATIONS, T: Fraction = START
) -> Fraction:
    """Return the variance at tau = 0 for a start of variance T at tau = T."""
    value = T
    for c, s in zip(weights, deviations, strict=True):
        value *= (s * s / (s * s + T)) ** c
    return value


def target(weights: Sequence[int]) -> Fraction:
    """Return the product of the s_k^{2 c_k}."""
    value = Fraction(1)
    for c, s in zip(weights, DEVIATIONS, strict=True):
        value *= s ** (2 * c)
    return value


@PAPER.proposition("diversity", gamma=(-1, 2, 3, 5), lora=("3/10", "9/10"), seeded=False)
def diversity(case: Case) -> Comparison:
    r"""The variance at gamma is (s_1/s_0)^{2 (gamma - 1)} times the adapted model's: less for gamma > 1, s_1 < s_0.

    An adapter that narrows the distribution is narrowed further by gamma > 1; samples more diverse than its own want
    gamma < 1 (or what Gaussians do not show). Measured, over Q: the distance of the quotient from 1 for a start at T =
    10^16, in units of what that costs to first order, |sum_k c_k s_k^2| / T.
    """
    return at_most(relative_error(case, exponent=2 * (case["gamma"] - 1)), Fraction(1001, 1000))


@diversity.control("exponent 2 gamma")
def _(case: Case) -> Comparison:
    return at_most(relative_error(case, exponent=2 * case["gamma"]), Fraction(1001, 1000))


@diversity.control("a start at T / 2, in units for T")
def _(case: Case) -> Comparison:
    return at_most(relative_error(case, exponent=2 * (case["gamma"] - 1), T=START / 2), Fraction(1001, 1000))


def relative_error(case: Case, exponent: int, T: Fraction = START) -> Fraction:
    """Return how far the variance at gamma over s_1^2 is from a power of s_1/s_0, relatively, in units for `START`."""
    gamma, (base, lora) = case["gamma"], (BASE, Fraction(case["lora"]))
    found = final_variance((1 - gamma, gamma), (base, lora), T) / lora**2
    unit = abs((1 - gamma) * base**2 + gamma * lora**2) / START
    return abs(found / (lora / base) ** exponent - 1) / unit


@PAPER.proposition("not-tilted", gamma=("1/2", "2/1", "3/1"), lora=("3/10", "9/10", "11/10"), seeded=False)
def not_tilted(case: Case) -> Comparison:
    r"""The guided flow does not sample the tilted density p_0^{1-gamma} p_1^gamma.

    That has precision (1-gamma)/s_0^2 + gamma/s_1^2. The flow's is the weighted geometric mean instead of the
    arithmetic one: less than the tilted one for 0 < gamma < 1, more for gamma > 1 where that is positive. Measured:
    the squared ratio of the flow's precision to the tilted one, over Q, as the distance from 1 on that side. It is
    positive for the two means; counted is how far the flow is from that for a start at T = 10^16, in units of what this
    costs to first order.
    """
    return at_most(tilted_excess(case, side=1), Fraction(1001, 1000))


@not_tilted.control("the other side")
def _(case: Case) -> Comparison:
    return at_most(tilted_excess(case, side=-1), Fraction(1001, 1000))


@not_tilted.control("a start at T / 2, in units for T")
def _(case: Case) -> Comparison:
    return at_most(tilted_excess(case, side=1, T=START / 2), Fraction(1001, 1000))


def tilted_excess(case: Case, side: int, T: Fraction = START) -> Fraction:
    """Return the error of the flow's excess over 1 against that of the means, in units for `START`.

    The excess is 1 minus the squared ratio of the precisions for 0 < gamma < 1, the ratio minus 1 for gamma > 1. Where
    that of the means is not positive the error is a whole 1.
    """
    gamma, lora = Fraction(case["gamma"]), Fraction(case["lora"])
    tilted = (1 - gamma) / BASE**2 + gamma / lora**2
    if tilted <= 0:
        raise OutOfScope("the tilted density does not exist")
    doubled = (int(2 * (1 - gamma)), int(2 * gamma))  # the squared variance has whole exponents
    sign = 1 if gamma > 1 else -1
    ratio = 1 / (BASE ** (2 * doubled[0]) * lora ** (2 * doubled[1]) * tilted**2)
    unit = ratio * abs(doubled[0] * BASE**2 + doubled[1] * lora**2) / START
    found = side * sign * (1 / (final_variance(doubled, (BASE, lora), T) * T * tilted**2) - 1)
    expected = sign * (ratio - 1)
    return (abs(found - expected) if expected > 0 else Fraction(1)) / unit


# ---------------------------------------------------------------------------------------------------- the mean


@PAPER.formula("mean", ratio=("3/5", "4/5", "5/13", "20/29"), seeded=False)
def mean(case: Case) -> Comparison:
    r"""At gamma = 2 the mean is m_0 + (1 + (k^2/c) artanh c) (m_1 - m_0), not m_0 + 2 (m_1 - m_0).

    k = s_1/s_0 < 1 and c^2 = 1 - k^2. Between m_1, for a much narrower adapter, and the linear extrapolation, for
    equal variances. Certified quadrature of \int sqrt(1 + tau) / (k^2 + tau)^2 dtau, k^2 times which solves the mean's
    equation, against the closed form.
    """
    k = fmpq(*Fraction(case["ratio"]).as_integer_ratio())
    c = exact.sqrt_above(1 - k * k)  # exact for these ratios
    return equal(guided_mean(k), 1 + arb(k * k / c) * arb(c).atanh())


@mean.control("linear extrapolation")
def _(case: Case) -> Comparison:
    return equal(guided_mean(fmpq(*Fraction(case["ratio"]).as_integer_ratio())), 2)


def guided_mean(k: Any) -> arb:
    r"""Enclose k^2 \int_0^oo sqrt(1 + tau) / (k^2 + tau)^2 dtau, with 1 + tau = x^{-2}."""

    def integrand(x: Any, _: Any) -> Any:
        return 2 / (1 - (1 - k * k) * x * x) ** 2

    integral: arb = acb.integral(integrand, acb(0), acb(1)).real
    return arb(k * k) * integral


@PAPER.corollary("equal-variances", gamma=(-1, 2, 5), n=(2, 3))
def equal_variances(case: Case) -> Comparison:
    r"""For equal covariances the guided density is N(m_0 + gamma (m_1 - m_0), same): linear extrapolation of the mean.

    The velocity is then that of a single Gaussian with this mean, at every x and tau. Measured: the squared distance
    of the two velocities at a random point, for a random rational covariance.
    """
    return equal(velocity_gap(case, spread=1), 0)


@equal_variances.control("covariances that differ by a factor of 2")
def _(case: Case) -> Comparison:
    return equal(velocity_gap(case, spread=2), 0)


def velocity_gap(case: Case, spread: int) -> Fraction:
    """Return |guided score - that of N(m_0 + gamma (m_1 - m_0), Sigma)|^2, the adapter's covariance times `spread`."""
    n, gamma = case["n"], case["gamma"]
    noisy = covariances(case, spread)
    m0, m1 = (instances.integers(case.rng, n, 1) for _ in range(2))
    x = instances.integers(case.rng, n, 1, 4, 9)  # off m_1, where both velocities agree
    guided = (1 - gamma) * noisy[0].solve(x - m0) + gamma * noisy[1].solve(x - m1)
    return exact.frobenius_norm_squared(guided - noisy[0].solve(x - m0 - gamma * (m1 - m0)))


def covariances(case: Case, spread: int) -> list[fmpq_mat]:
    """Return Sigma + tau I and spread Sigma + tau I for tau = 3 and a random Sigma."""
    root = instances.nonsingular(case.rng, case["n"])
    return [f * root * root.transpose() + 3 * exact.identity(case["n"]) for f in (1, spread)]


@PAPER.proposition("directions", r=(1, 2), gamma=(2, 3), n=(4,))
def directions(case: Case) -> Comparison:
    r"""Guidance acts only in the directions that the adapter changed: rank(Sigma_gamma - Sigma_0) = r.

    For commuting covariances that differ in r eigenvalues; Sigma_gamma = Sigma_0^{1-gamma} Sigma_1^gamma, over Q.
    """
    return equal(changed_rank(case, case["r"]), case["r"])


@directions.control("an adapter that changes one more")
def _(case: Case) -> Comparison:
    return equal(changed_rank(case, case["r"] + 1), case["r"])


def changed_rank(case: Case, r: int) -> int:
    """Return the rank of the change of the covariance."""
    n, rng = case["n"], case.rng
    U = instances.rational_orthogonal(rng, n)
    base = [fmpq(int(x)) for x in rng.integers(5, 9, n)]
    lora = [x - 2 if i < r else x for i, x in enumerate(base)]
    guided = [p ** (1 - case["gamma"]) * q ** case["gamma"] for p, q in zip(base, lora, strict=True)]
    change = fmpq_mat(n, n, [guided[i] - base[i] if i == j else 0 for i in range(n) for j in range(n)])
    return exact.rank(U * change * U.transpose())
