"""Activations other than ReLU: the class for which the constructions of Lemma 2 and Theorem 3 hold verbatim.

The paper states its theorems for ReLU. What they use is that ReLU is affine, with a slope that is not 0, on an interval
I into which new biases can shift the inner pre-activations; the last one of a block is the target's, whatever the
activation makes of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
from flint import fmpq

from lora_proofs import Case, Comparison, equal, exact, instances

from .paper import PAPER


@dataclass(frozen=True)
class Activation:
    """A non-decreasing phi with phi(t) = slope t + intercept where low <= t, and t <= high unless high is None."""

    phi: Callable[[Any], Any]
    low: Fraction
    high: Fraction | None = None
    slope: Fraction = Fraction(1)
    intercept: Fraction = Fraction(0)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Apply phi entry by entry."""
        return np.vectorize(self.phi, otypes=[object])(x)


RELU = Activation(lambda t: max(t, fmpq(0)), Fraction(0))
LEAKY_RELU = Activation(lambda t: max(t, t / 100), Fraction(0))
TWO_SLOPES = Activation(
    lambda t: t / 2 + 1 if t >= -1 else 3 * t + fmpq(7, 2), Fraction(-1), slope=Fraction(1, 2), intercept=Fraction(1)
)
HARD_TANH = Activation(lambda t: min(max(t, fmpq(-1)), fmpq(1)), Fraction(-1), Fraction(1))
TANH = Activation(mpmath.tanh, Fraction(-1), Fraction(1))
"""tanh is affine on no interval; it is given that of hard tanh."""

HALF_LINE = {"ReLU": RELU, "leaky ReLU": LEAKY_RELU, "two slopes": TWO_SLOPES}
"""Activations that are affine on a half-line."""

Layers = list[tuple[np.ndarray, np.ndarray]]
"""Weights and biases in the order of application, arrays of fmpq."""


def evaluate(activation: Activation, layers: Layers, x: np.ndarray) -> np.ndarray:
    """Return the network's outputs, of shape (n, D), for inputs of the same shape."""
    for W, b in layers:
        x = activation(x @ W.T + b)
    return x


def adapt(activation: Activation, frozen: list[np.ndarray], target: Layers, half_width: Fraction) -> Layers:
    """Return the adapted layers for inputs with |x|_inf <= half_width; ValueError if a pre-activation leaves I.

    In a block of M layers F_l, with slope a, h_l = a (F_l h_{l-1} + b_l) + intercept is P_l x + c_l with
    P_l = a^l F_l ... F_1: the product of the F_l has to be a^{1-M} Wbar, and b_l shifts F_l h_{l-1} into I.
    """
    a, D, M = fmpq(activation.slope.numerator, activation.slope.denominator), len(frozen[0]), len(frozen) // len(target)
    low = exact.array([-half_width] * D)
    high = -low
    adapted: Layers = []
    for i, (W_bar, b_bar) in enumerate(target):
        block = frozen[i * M : (i + 1) * M]
        chain = exact.adapt_linear_chain(block, exact.array(W_bar) / a ** (M - 1), -(-D // M))
        F = [exact.array(adapter.merge(W)) for W, adapter in zip(block, chain.adapters, strict=True)]
        P, c = exact.array(exact.identity(D)), exact.array([0] * D)
        for W in F[:-1]:
            P = W @ P
            middle, radius = P @ (low + high) / 2, abs(P) @ (high - low) / 2
            shift = shift_into(activation, middle, radius)
            adapted.append((W, shift - W @ c))
            P, c = a * P, a * shift + exact.number(activation.intercept)
        adapted.append((F[-1], b_bar - F[-1] @ c))
        middle, radius = W_bar @ (low + high) / 2 + b_bar, abs(W_bar) @ (high - low) / 2
        low, high = activation(middle - radius), activation(middle + radius)
    return adapted


def shift_into(activation: Activation, middle: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return what to add to values within `radius` of `middle` so that they are in the interval I."""
    least = exact.number(activation.low)
    if activation.high is None:
        return least - (middle - radius)
    width = exact.number(activation.high) - least
    if max(2 * radius) > width:
        raise ValueError("an inner pre-activation varies by more than the length of I")
    return least + width / 2 - middle


def instance(case: Case) -> tuple[list[np.ndarray], Layers]:
    """Return L frozen weights, and a target of Lbar layers, with small integers as entries."""
    frozen = [exact.array(instances.nonsingular(case.rng, case["D"])) for _ in range(case["L"])]
    target = [exact.array(instances.nonsingular(case.rng, case["D"])) for _ in range(case["Lbar"])]
    return frozen, [(W, exact.array(case.rng.integers(-3, 4, case["D"]))) for W in target]


def difference(
    activation: Activation, layers: Layers, target: Layers, x: np.ndarray, other: Activation | None = None
) -> Any:
    """Return the largest entry of |f(x) - target(x)| over the points: exact if the activations are.

    The target has the same activation, unless another one is passed.
    """
    goal = evaluate(activation if other is None else other, target, x)
    return max(abs(v) for v in (evaluate(activation, layers, x) - goal).ravel())


def box_points(case: Case, half_width: Fraction) -> np.ndarray:
    """Return 32 rational points with |x|_inf <= half_width, corners among them."""
    grid = case.rng.integers(-4, 5, (32, case["D"]))
    grid[:8] = np.where(grid[:8] > 0, 4, -4)
    return exact.array(grid) * exact.number(half_width) / 4


@PAPER.theorem("3-other-activations", points=[
    {"activation": name, "D": D, "L": L, "Lbar": Lbar}
    for name in HALF_LINE
    for D, L, Lbar in ((3, 2, 1), (3, 3, 1), (4, 4, 2), (4, 6, 3))
], sampled=True, proof=(
    "lemma2_activation", "theorem3_activation", "other_activation_differs", "theorem6_activation",
))  # fmt: skip
def half_line(case: Case) -> Comparison:
    r"""Theorem 3 for every activation that is affine with a slope a != 0 on a half-line, the same in both networks.

    X bounded, W_l non-singular, \bar L | L: rank \lceil D / M \rceil suffices for f = \bar f on X. The product of a
    block has to become a^{1-M} \bar W_i, and the biases move the inner pre-activations into the half-line, whatever x
    is. Measured: the largest |f - \bar f| at rational points of X = {|x|_\infty <= 4}, exactly.
    """
    return equal(half_line_difference(case), 0)


def half_line_difference(case: Case, *, half_width: int = 4, other: Activation | None = None) -> Any:
    """Return the largest difference on a box, for a network that is adapted where |x| <= 4."""
    activation = HALF_LINE[case["activation"]]
    frozen, target = instance(case)
    layers = adapt(activation, frozen, target, Fraction(4))
    return difference(activation, layers, target, box_points(case, Fraction(half_width)), other)


@half_line.control("the target has another activation", activation=("leaky ReLU",), D=(3,), L=(2,), Lbar=(1,))
def _(case: Case) -> Comparison:
    return equal(half_line_difference(case, other=RELU), 0)


@half_line.control("points outside X", activation=("leaky ReLU", "two slopes"), D=(3,), L=(2,), Lbar=(1,))
def _(case: Case) -> Comparison:
    return equal(half_line_difference(case, half_width=400), 0)


def on_small_box(case: Case) -> tuple[Layers, Layers, Fraction]:
    """Return a network adapted for hard tanh, its target, and a half-width of X for which the bounds hold.

    The target's biases are -1, 0 or 1, so that X reaches both sides of a kink of two thirds of the neurons.
    """
    frozen, [(W, _)] = instance(case)
    target = [(W, exact.array(case.rng.integers(-1, 2, case["D"])))]
    half_width = Fraction(1)
    while True:
        try:
            return adapt(HARD_TANH, frozen, target, half_width), target, half_width
        except ValueError:
            half_width /= 2


@PAPER.lemma("2-hard-tanh", D=(2, 3, 4), L=(2, 3), Lbar=(1,), sampled=True, gap=(
    "scope restriction: with an activation that is affine on a bounded interval only, the construction needs an X so "
    "small that no inner pre-activation varies by more than the interval's length"
))  # fmt: skip
def hard_tanh(case: Case) -> Comparison:
    r"""Lemma 2 for hard tanh, t -> max(-1, min(t, 1)), in both networks, if X = {|x|_\infty <= w} is small enough.

    w such that no (F_l ... F_1) x, l < L, varies by more than 2 over X. Measured as in theorem-3-other-activations.
    """
    layers, target, half_width = on_small_box(case)
    return equal(difference(HARD_TANH, layers, target, box_points(case, half_width)), 0)


@hard_tanh.control("X is wider", D=(3, 4), L=(2, 3), Lbar=(1,))
def _(case: Case) -> Comparison:
    layers, target, half_width = on_small_box(case)
    wider = np.concatenate([box_points(case, factor * half_width) for factor in (4, 8, 16, 32)])
    return equal(difference(HARD_TANH, layers, target, wider), 0)


@hard_tanh.control("tanh in both networks: affine on no interval", D=(2, 3), L=(2,), Lbar=(1,))
def _(case: Case) -> Comparison:
    layers, target, half_width = on_small_box(case)
    x = rounded(box_points(case, half_width))
    network, goal = ([(rounded(W), rounded(b)) for W, b in part] for part in (layers, target))
    return equal(difference(TANH, network, goal, x), 0)


def rounded(x: np.ndarray) -> np.ndarray:
    """Return an array of fmpq as mpf at the working precision."""
    return np.vectorize(lambda v: mpmath.mpf(int(v.p)) / int(v.q), otypes=[object])(x)
