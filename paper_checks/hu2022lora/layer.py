"""The adapted layer of section 4.1: merging, scaling, start, and the rank of several merged updates."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import Adapter, Case, Comparison, at_least, equal, exact, instances

from .paper import PAPER

SHAPES = (
    {"d": 6, "k": 5, "r": 2, "alpha": 16},
    {"d": 4, "k": 7, "r": 4, "alpha": 8},
    {"d": 5, "k": 5, "r": 1, "alpha": 2},
)


@PAPER.formula("3-merge", points=SHAPES, proof="merge")
def merge(case: Case) -> Comparison:
    r"""The merged weight W_0 + (alpha / r) B A gives h = W_0 x + (alpha / r) B A x, with A (r x k) and B (d x r).

    `Adapter` works on integers and a dyadic alpha / r, where float64 does not round; the right-hand side is in Q.
    Counted are the entries of h that differ.
    """
    return equal(differing_outputs(case, fmpq(case["alpha"], case["r"])), 0)


@merge.control("scaled by alpha instead of alpha / r", points=({"d": 6, "k": 5, "r": 2, "alpha": 16},))
def _(case: Case) -> Comparison:
    return equal(differing_outputs(case, fmpq(case["alpha"])), 0)


def differing_outputs(case: Case, scaling: Any) -> int:
    """Count the outputs in which the merged layer and W x + scaling B A x differ."""
    d, k, r = case["d"], case["k"], case["r"]
    W, B, A, x = (case.rng.integers(-9, 10, shape) for shape in ((d, k), (d, r), (r, k), (k, 3)))
    merged = Adapter(A=A.astype(float), B=B.astype(float), alpha=case["alpha"]).merge(W.astype(float)) @ x
    W, B, A, x = map(exact.matrix, (W, B, A, x))
    return exact.count_nonzero(exact.matrix(merged) - (W * x + scaling * (B * (A * x))))


@PAPER.formula(
    "3-merge-half", gap="scope restriction: the same function in exact arithmetic", exponent=(11, 12, 14), seeded=False
)
def merge_half(case: Case) -> Comparison:
    """Merged in half precision, an update below half a unit in the last place vanishes.

    All 1024 half-precision weights in [1, 2) are tried, with the update 2^-exponent; their unit is 2^-10. Half a unit,
    2^-11, is a tie and goes to the even neighbour: it is lost on every second weight. The count is of changed weights.
    """
    return equal(changed_by_merging(case["exponent"]), 512 if case["exponent"] == 11 else 0)


@merge_half.control("an update of a whole unit", exponent=(10,))
def _(case: Case) -> Comparison:
    return equal(changed_by_merging(case["exponent"]), 0)


def changed_by_merging(exponent: int) -> int:
    """Count the weights of [1, 2) in half precision that adding 2^-exponent changes."""
    W = np.arange(0x3C00, 0x4000, dtype=np.uint16).view(np.float16)
    return int(np.count_nonzero((W.astype(np.float64) + 2.0**-exponent).astype(np.float16) != W))


@PAPER.formula("3-start", points=SHAPES, proof="start")
def start(case: Case) -> Comparison:
    """With A Gaussian and B = 0, training starts at the base model, and the gradient with respect to A is 0.

    Counted are entries of W + (alpha / r) B A that are not W's, and those of the gradient with respect to A, B^T G but
    for a factor (formula-3-gradients), that are not 0.
    """
    return equal(start_defect(case, zero="B"), 0)


@start.control("A = 0 and B Gaussian: now B does not move, but A does")
def _(case: Case) -> Comparison:
    return equal(start_defect(case, zero="A"), 0)


@PAPER.formula("3-leaves", points=SHAPES)
def leaves(case: Case) -> Comparison:
    """From this start the first step moves B: its gradient (alpha / r) G A^T is not 0, G that of the weight."""
    return at_least(first_move(case, zero="B"), 1)


@leaves.control("A = B = 0, which never moves")
def _(case: Case) -> Comparison:
    return at_least(first_move(case, zero="AB"), 1)


@PAPER.formula("3-gradients", points=SHAPES)
def gradients(case: Case) -> Comparison:
    """The gradients are (alpha / r) B^T G for A and (alpha / r) G A^T for B, at every A and B. Counted: other entries.

    G = (W x - y) x^T is the gradient with respect to the merged weight, summed over the data.
    """
    return equal(gradient_defect(case, fmpq(case["alpha"], case["r"])), 0)


@gradients.control("without alpha / r")
def _(case: Case) -> Comparison:
    return equal(gradient_defect(case, fmpq(1)), 0)


def start_defect(case: Case, zero: str) -> int:
    """Count the entries of the merged weight that are not W's, and of B^T G that are not 0; factors named are 0."""
    layer = Layer(case, zero)
    return exact.count_nonzero(layer.merged - layer.W) + exact.count_nonzero(layer.B.transpose() * layer.G)


def first_move(case: Case, zero: str) -> int:
    """Count the entries of G A^T that are not 0; factors named are 0."""
    layer = Layer(case, zero)
    return exact.count_nonzero(layer.G * layer.A.transpose())


def gradient_defect(case: Case, scaling: Any) -> int:
    """Count the entries of both gradients that are not those of scaling B^T G and scaling G A^T."""
    layer = Layer(case)
    in_A, in_B = scaling * layer.B.transpose() * layer.G, scaling * layer.G * layer.A.transpose()
    return exact.count_nonzero(layer.slope_A() - in_A) + exact.count_nonzero(layer.slope_B() - in_B)


class Layer:
    """A layer, data and factors over Q, those named in `zero` being 0; L = |(W + (alpha / r) B A) X - Y|^2 / 2.

    L is quadratic in each factor, so central differences are exact derivatives. ``merged`` is W + (alpha / r) B A, and
    ``G`` the gradient with respect to it.
    """

    def __init__(self, case: Case, zero: str = "") -> None:
        d, k, r = case["d"], case["k"], case["r"]
        self.scaling = fmpq(case["alpha"], r)
        self.W, self.X, self.Y = (instances.integers(case.rng, *shape) for shape in ((d, k), (k, 4), (d, 4)))
        B, A = (instances.rational_planted_rank(case.rng, *shape, r) for shape in ((d, r), (r, k)))
        self.B, self.A = 0 * B if "B" in zero else B, 0 * A if "A" in zero else A
        self.merged = self.W + self.scaling * self.B * self.A
        self.G = (self.merged * self.X - self.Y) * self.X.transpose()

    def loss(self, B: fmpq_mat, A: fmpq_mat) -> Any:
        """Return L."""
        merged = self.W + self.scaling * B * A
        return exact.number(exact.frobenius_norm_squared(merged * self.X - self.Y)) / 2

    def slope_A(self) -> fmpq_mat:
        """Return dL/dA by central differences."""
        return slope(self.A, lambda A: self.loss(self.B, A))

    def slope_B(self) -> fmpq_mat:
        """Return dL/dB by central differences."""
        return slope(self.B, lambda B: self.loss(B, self.A))


def slope(at: fmpq_mat, value: Callable[[fmpq_mat], Any]) -> fmpq_mat:
    """Return the gradient of a quadratic function by central differences, which are exact."""
    m, n = at.nrows(), at.ncols()
    return fmpq_mat(m, n, [(value(at + E) - value(at - E)) / 2 for E in units(m, n)])


@PAPER.formula("3-rank", d=(6,), k=(7,), r=(1, 2, 3), K=(1, 2, 3, 4), proof=("rank_merge", "adapter_iff"))
def rank_of_merges(case: Case) -> Comparison:
    """K merged updates of rank r change almost every weight by a matrix of rank min(K r, d, k), not r."""
    return equal(merged_rank(case, one_A=False), min(case["K"] * case["r"], case["d"], case["k"]))


@rank_of_merges.control("all K updates share A", d=(6,), k=(7,), r=(1, 2), K=(2, 3))
def _(case: Case) -> Comparison:
    return equal(merged_rank(case, one_A=True), min(case["K"] * case["r"], case["d"], case["k"]))


def merged_rank(case: Case, one_A: bool) -> int:
    """Return the rank of the sum of K random updates, which share A or do not."""
    d, k, r = (case[name] for name in "dkr")
    A, total = instances.integers(case.rng, r, k, -99, 99), fmpq_mat(d, k)
    for _ in range(case["K"]):
        A = A if one_A else instances.integers(case.rng, r, k, -99, 99)
        total += instances.integers(case.rng, d, r, -99, 99) * A
    return exact.rank(total)


def units(m: int, n: int) -> Iterator[fmpq_mat]:
    """Yield the matrix units, row by row."""
    for a in range(m * n):
        yield fmpq_mat(m, n, [int(b == a) for b in range(m * n)])
