r"""Gradient dynamics for low-rank fine-tuning beyond kernels: why the overlap with the perturbation grows at once.

Published, with a changed title, as "Low-rank fine-tuning lies between lazy training and feature learning" (COLT 2025,
PMLR 291:1415-1471). From its abstract: a two-layer base model f, a teacher f* whose weights are those of f perturbed
by a rank-one matrix, Gaussian inputs; online SGD from the base reaches the teacher in d k^{O(1)} iterations, which
does not depend on the Hermite expansion of the activation, unlike for generalised linear models (base zero); learning
from scratch can take significantly more. The theorems themselves were not at hand: what follows is re-derived, in a
setting where it is exact, and is not the paper's generality.

    f_v(x) = sum_{i<=k} lambda_i sigma(<w_i + c_i v, x>),  |v| = 1,  v orthogonal to all w_i,  |w_i|^2 + c_i^2 = 1,

with c, lambda and the w_i known, the teacher f_u, and m = <u, v>. sigma has normalised Hermite coefficients a_p, and
kappa(t) = sum_p a_p^2 t^p. A base of zeros (w_i = 0, c_i = 1, k = 1) is the generalised linear model (GLM).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product
from math import comb, prod
from typing import Any

from flint import acb, arb, fmpq, fmpq_mat

from lora_proofs import Case, Comparison, Paper, at_least, at_most, equal, exact, instances

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


# ------------------------------------------------------------------------------------------------- the drift


@PAPER.theorem("monotone", activation=ACTIVATIONS, sampled=True)
def monotone(case: Case) -> Comparison:
    r"""-dL/dm is a polynomial in m with non-negative coefficients, for every activation, all lambda, c and w.

    The coefficient of m^q is sum_p p C(p-1, q) a_p^2 z^T G^{o(p-1-q)} z, z = lambda c^{q+1}: the entrywise powers of
    the Gram matrix G of the w_i are positive semidefinite (Schur). So from m >= 0 the spherical gradient flow, dm/dt =
    (1 - m^2) (-dL/dm), never turns back, and there is no trap at m in [0, 1). Measured: the least coefficient, or minus
    what the polynomial misses of -dL/dm.
    """
    return at_least(least_coefficient(fine_tuning(case)), 0)


@monotone.control("the derivative of another model", activation=("0-0-0-1",))
def _(case: Case) -> Comparison:
    model = fine_tuning(case)
    model.drift[0] += 1
    return at_least(least_coefficient(model), 0)


@monotone.control("inner products that no vectors have: <w_1, w_2> = 4, of the sign that hurts", activation=("0-0-1",))
def _(case: Case) -> Comparison:
    model = fine_tuning(case, k=2)
    model.gram[0][1] = model.gram[1][0] = fmpq(-4 if model.weights[0] * model.weights[1] > 0 else 4)
    return at_least(least_coefficient(model), 0)


def least_coefficient(model: Model) -> Any:
    """Return the least coefficient of the drift, or minus what it misses of the loss's derivative."""
    return -model.defect if model.defect else min(model.drift)


@PAPER.theorem("information-exponent", p=(2, 3, 4, 7))
def information_exponent(case: Case) -> Comparison:
    r"""The loss of fine-tuning is of first order at overlap 0 for every He_p, that of the GLM of order p.

    The first order is p sum_ij lambda_i c_i lambda_j c_j <w_i, w_j>^{p-1} > 0, for generic w: the correlation of the
    base neurons with themselves does what overlap must do in the GLM. Measured: the least order with a coefficient
    other than 0.
    """
    return equal(order(fine_tuning(single(case))), 1)


@information_exponent.control("the derivative of another model")
def _(case: Case) -> Comparison:
    model = fine_tuning(single(case))
    model.drift[0] += 1
    return equal(order(model), 1)


@information_exponent.control("the generalised linear model")
def _(case: Case) -> Comparison:
    return equal(order(glm(kappa(single(case)))), 1)


def single(case: Case) -> Case:
    """Return the case with activation He_p."""
    return case.derive(activation="-".join(["0"] * case["p"] + ["1"]))


def order(model: Model) -> int:
    """Return the order in m of the loss's first term, one more if the drift is not the loss's derivative."""
    return 1 + next(q for q, a in enumerate(model.drift) if a != 0) + (model.defect != 0)


@PAPER.proposition("negative-start", p=(3, 4), seeded=False)
def negative_start(case: Case) -> Comparison:
    r"""From m < 0 there can be a trap: for one neuron the drift vanishes at m = -(1 - c^2)/c^2 if c^2 > 1/2.

    The drift is p lambda^2 c^2 (1 - c^2 + c^2 m)^{p-1}: a random v with m of order -d^{-1/2} lies above the trap as
    long as c^2 < 1 by a margin. For the GLM, c = 1, the trap is at 0.
    """
    c = fmpq(4, 5)
    return equal(one_neuron(case).slope(-(1 - c**2) / c**2), 0)


@negative_start.control("at m = 0")
def _(case: Case) -> Comparison:
    return equal(one_neuron(case).slope(fmpq(0)), 0)


def one_neuron(case: Case) -> Model:
    """Return the model of one neuron with c = 4/5."""
    return Model(kappa(single(case)), (1,), (fmpq(4, 5),), (fmpq_mat(1, 1, [fmpq(3, 5)]),))


def time(model: Model, root: int) -> arb:
    """Enclose the time in which dm/dt = (1 - m^2) (-dL/dm) leads from m = 1/root to 9/10."""
    integral = acb.integral(lambda m, _: 1 / ((1 - m * m) * model.slope(m)), acb(fmpq(1, root)), acb(REACHED))
    return integral.real


def time_bound(model: Model, root: int) -> arb:
    """Enclose the time for the drift at m = 0 all the way."""
    return (arb(REACHED).atanh() - arb(fmpq(1, root)).atanh()) / arb(model.drift[0])


@PAPER.theorem("time", activation=ACTIVATIONS, root=(4, 64, 1024), sampled=True)
def time_is_free_of_d(case: Case) -> Comparison:
    r"""Gradient flow from m = d^{-1/2} reaches m = 9/10 within artanh(9/10) / D(0), D = -dL/dm: no power of d.

    The drift grows with m, so dm/dt >= (1 - m^2) D(0), with equality for He_2 and sum_i lambda_i c_i^2 = 0. At root^2 =
    d up to 10^6 and every activation. (With a step size of order 1/d, which the noise asks for, see `noise`, that is a
    number of iterations of order d.)
    """
    model = fine_tuning(case)
    return at_most(time(model, case["root"]), time_bound(model, case["root"]))


@time_is_free_of_d.control("99/100 of the bound, where the drift is constant", activation=("0-0-1",), root=(4, 64))
def _(case: Case) -> Comparison:
    c, w = fmpq(3, 5), fmpq(4, 5)
    model = Model(kappa(case), (1, -1), (c, c), (fmpq_mat(2, 1, [w, 0]), fmpq_mat(2, 1, [0, w])))
    return at_most(time(model, case["root"]), time_bound(model, case["root"]) * fmpq(99, 100))


@time_is_free_of_d.control("a base of zeros, the same bound", activation=("0-0-0-1", "0-0-0-0-0-1"), root=(1024,))
def _(case: Case) -> Comparison:
    return at_most(time(glm(kappa(case)), case["root"]), time_bound(fine_tuning(case), case["root"]))


@PAPER.theorem("time-glm", p=(2, 3, 4, 5), root=(4, 64, 1024), seeded=False)
def time_glm(case: Case) -> Comparison:
    r"""The GLM with He_p needs a time of order d^{p/2-1} from m = d^{-1/2}, of order log d for p = 2.

    It is 1/p times sum_j [m^{2+2j-p} / (p-2-2j)], 0 <= j < (p-2)/2, plus a last term: dm/dt = (1 - m^2) p m^{p-1}, and
    1/(m^{p-1} (1 - m^2)) = m^{1-p} + m^{3-p} + ... ends with artanh for odd p and log(m) - log(1 - m^2)/2 for even p.
    Certified quadrature over the closed form.
    """
    return equal(quadrature(case) / closed_form(case["p"], case["root"]), 1)


@time_glm.control("the closed form for p + 1", p=(2, 3), root=(64,))
def _(case: Case) -> Comparison:
    return equal(quadrature(case) / closed_form(case["p"] + 1, case["root"]), 1)


def quadrature(case: Case) -> arb:
    """Enclose the time of the GLM with He_p."""
    return time(glm(kappa(single(case))), case["root"])


def closed_form(p: int, root: int) -> arb:
    """Enclose T_p."""
    return (antiderivative(p, arb(REACHED)) - antiderivative(p, arb(fmpq(1, root)))) / p


def antiderivative(q: int, m: arb) -> arb:
    """Enclose the antiderivative of m^{1-q} / (1 - m^2) at m, up to a constant."""
    if q == 1:
        return m.atanh()
    if q == 2:
        return m.log() - (1 - m * m).log() / 2
    return -(m ** (2 - q)) / (q - 2) + antiderivative(q - 2, m)


# --------------------------------------------------------------------------------------- noise, and lazy training


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
