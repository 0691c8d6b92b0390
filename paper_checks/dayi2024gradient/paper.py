"""The paper, its model over Q, and the reduction of its loss to one number."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product
from math import comb, prod
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, Paper, equal, exact, instances

PAPER = Paper(
    key="dayi2024gradient",
    title="Gradient dynamics for low-rank fine-tuning beyond kernels",
    authors=("Arif Kerem Dayi", "Sitan Chen"),
    year=2024,
    arxiv="2411.15385v1",
)

ACTIVATIONS = ("0-0-1", "0-0-0-1", "0-0-0-0-0-1", "0-1-0-2-0-3")
"""The squared Hermite coefficients a_0^2, a_1^2, ...: He_2, He_3, He_5 and a mixture of odd ones."""

REACHED = fmpq(9, 10)
"""The overlap at which the direction counts as found."""


@dataclass(frozen=True)
class Model:
    """A teacher: kappa, and for each neuron lambda_i, c_i and the rational vector w_i."""

    kappa: tuple[int, ...]
    weights: tuple[int, ...]
    c: tuple[Any, ...]
    w: tuple[fmpq_mat, ...]

    @cached_property
    def gram(self) -> list[list[Any]]:
        """The inner products <w_i, w_j>."""
        return [[exact.inner(a, b) for b in self.w] for a in self.w]

    @cached_property
    def drift(self) -> list[Any]:
        """The coefficients of -dL/dm as a polynomial in m; see `monotone`."""
        top = len(self.kappa) - 1
        return [
            sum((p * comb(p - 1, q) * self.kappa[p] * self.form(q, p) for p in range(q + 1, top + 1)), fmpq(0))
            for q in range(top)
        ]

    def form(self, q: int, p: int) -> Any:
        """Return sum_ij (lambda c^{q+1})_i (lambda c^{q+1})_j <w_i, w_j>^{p-1-q}."""
        z = [l * c ** (q + 1) for l, c in zip(self.weights, self.c, strict=True)]
        pairs = product(range(len(z)), repeat=2)
        return sum((z[i] * z[j] * self.gram[i][j] ** (p - 1 - q) for i, j in pairs), fmpq(0))

    def slope(self, m: Any) -> Any:
        """Return -dL/dm at overlap m, on rationals or balls.

        It is sum_ij lambda_i c_i lambda_j c_j kappa'(g_ij + c_i c_j m).
        """
        total = 0 * m
        for i, j in product(range(len(self.c)), repeat=2):
            cc = self.c[i] * self.c[j]
            at = (self.w[i].transpose() * self.w[j])[0, 0] + cc * m
            total += self.weights[i] * self.weights[j] * cc * sum(p * a * at ** (p - 1) for p, a in self.terms)
        return total

    @property
    def terms(self) -> list[tuple[int, int]]:
        """The terms of kappa that have a derivative, as pairs of exponent and coefficient."""
        return [(p, a) for p, a in enumerate(self.kappa) if p and a]

    @property
    def defect(self) -> Any:
        """How far the drift's polynomial is from `slope` at m = 1/2."""
        half = fmpq(1, 2)
        return abs(self.slope(half) - sum((a * half**q for q, a in enumerate(self.drift)), fmpq(0)))


def unit(rng: Any, n: int) -> fmpq_mat:
    """Return a rational unit vector."""
    return exact.block(instances.rational_orthogonal(rng, n), range(n), range(1))


def fine_tuning(case: Case, k: int = 4, n: int = 3) -> Model:
    """Return a random model with w_i in R^n, |w_i| = 4/5 or 3/5, and integer lambda_i of random sign."""
    rng = case.rng
    sides = [(fmpq(3, 5), fmpq(4, 5))[:: int(rng.choice((-1, 1)))] for _ in range(k)]
    weights = tuple(int(x) for x in rng.integers(1, 4, k) * rng.choice((-1, 1), k))
    return Model(kappa(case), weights, tuple(c for c, _ in sides), tuple(unit(rng, n) * s for _, s in sides))


def glm(kappa: Sequence[int]) -> Model:
    """Return the generalised linear model: one neuron, base weight zero."""
    return Model(tuple(kappa), (1,), (fmpq(1),), (fmpq_mat(1, 1),))


def kappa(case: Case) -> tuple[int, ...]:
    """Read the squared Hermite coefficients."""
    return tuple(int(x) for x in case["activation"].split("-"))


def moment(a: Sequence[Any], b: Sequence[Any], i: int, j: int) -> Any:
    """Return E <a, x>^i <b, x>^j for a standard Gaussian x, one coordinate at a time."""
    if not a:
        return fmpq(int(i == j == 0))
    total = fmpq(0)
    for s, t in product(range(i + 1), range(j + 1)):
        if (s + t) % 2 == 0:
            weight = comb(i, s) * comb(j, t) * a[0] ** s * b[0] ** t * prod(range(1, s + t, 2))
            total += weight * moment(a[1:], b[1:], i - s, j - t)
    return total


def hermite(p: int) -> list[int]:
    """Return the coefficients of He_p."""
    before, now = [0], [1]
    for q in range(p):
        shifted = [0, *now]
        before, now = now, [x - q * y for x, y in zip(shifted, [*before, 0, 0][: len(shifted)], strict=True)]
    return now


def correlation(p: int, a: Sequence[Any], b: Sequence[Any]) -> Any:
    """Return E He_p(<a, x>) He_p(<b, x>) / p!."""
    terms = ((i, j, x * y) for i, x in enumerate(hermite(p)) for j, y in enumerate(hermite(p)) if x * y)
    return sum((xy * moment(a, b, i, j) for i, j, xy in terms), fmpq(0)) / prod(range(1, p + 1))


@PAPER.theorem("reduction", points=({"p": 2, "overlap": "3/5"}, {"p": 3, "overlap": "-5/13"}))
def reduction(case: Case) -> Comparison:
    r"""L = E (f_v - f_u)^2 / 2 is sum_ij lambda_i lambda_j (kappa(g_ij + c_i c_j) - kappa(g_ij + c_i c_j m)).

    With g_ij = <w_i, w_j>. The population loss depends on v through m = <u, v> alone. For sigma = He_p / sqrt(p!),
    against the Gaussian moments of the polynomials, coordinate by coordinate, in rationals.
    """
    return equal(loss_error(case, stretch=1), 0)


@reduction.control("|w_1|^2 + c_1^2 is not 1", p=(3,), overlap=("3/5",))
def _(case: Case) -> Comparison:
    return equal(loss_error(case, stretch=2), 0)


def loss_error(case: Case, stretch: int) -> Any:
    """Return the loss from the moments less that from the formula, w_1 multiplied by `stretch`."""
    p, m = case["p"], fmpq(*Fraction(case["overlap"]).as_integer_ratio())
    length = exact.sqrt_above(1 - m * m)  # exact for a Pythagorean overlap
    model = fine_tuning(case.derive(activation="0-0"), k=2, n=2)
    scales = (stretch, 1)  # of both, what one neuron misses could cancel what the other does
    base = [[x * scale for x in w.entries()] for w, scale in zip(model.w, scales, strict=True)]
    student = [[*w, c * m, c * length] for w, c in zip(base, model.c, strict=True)]
    teacher = [[*w, c, fmpq(0)] for w, c in zip(base, model.c, strict=True)]
    found, formula = fmpq(0), fmpq(0)
    for i, j in product(range(2), repeat=2):
        weight, cc = model.weights[i] * model.weights[j], model.c[i] * model.c[j]
        parts = ((student, student, 1), (student, teacher, -2), (teacher, teacher, 1))
        found += weight * sum((s * correlation(p, a[i], b[j]) for a, b, s in parts), fmpq(0)) / 2
        g = model.gram[i][j] * scales[i] * scales[j]
        formula += weight * ((g + cc) ** p - (g + cc * m) ** p)
    return found - formula
