r"""Wang et al., LoRA-Pro: Are Low-Rank Adapters Properly Optimized?, arXiv 2407.18242v3, ICLR 2025.

With W = W_0 + s B A, B (m x r), A (r x n), a step of both factors along g^B, g^A moves W along the equivalent gradient
g~ = s B g^A + s g^B A. The theorems say which pair comes closest to the full gradient g, and which of these pairs to
take. Metadata and abstract were read, the formulas in the official code (peta/optim.py); that theorem 2.1 holds the
closed form, 2.2 the decrease and 2.3 the choice of X is as recalled. All is re-derived, and checked over Q.

Plain LoRA takes g^A_lora = s B^T g and g^B_lora = s g A^T. P_B and P_A project on the columns of B and the rows of A.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, Paper, at_least, equal, exact, instances

PAPER = Paper(
    key="wang2025lorapro",
    title="LoRA-Pro: Are Low-Rank Adapters Properly Optimized?",
    authors=("Zhengbo Wang", "Jian Liang", "Ran He", "Zilei Wang", "Tieniu Tan"),
    year=2024,
    arxiv="2407.18242v3",
)

SHAPES = ({"m": 5, "n": 6, "r": 1}, {"m": 6, "n": 5, "r": 2}, {"m": 7, "n": 7, "r": 3})


class Layer:
    """Factors of full rank, a gradient g with B^T g A^T non-singular, s = 3/2 and a free r x r matrix X; in Q."""

    def __init__(self, case: Case, rank_of_B: int | None = None) -> None:
        m, n, r = case["m"], case["n"], case["r"]
        self.s = fmpq(3, 2)
        self.B = instances.rational_planted_rank(case.rng, m, r, r if rank_of_B is None else rank_of_B)
        self.A = instances.rational_planted_rank(case.rng, r, n, r)
        self.X = instances.nonsingular(case.rng, r)
        self.BB, self.AA = self.B.transpose() * self.B, self.A * self.A.transpose()
        if self.BB.det() == 0:
            raise OutOfScope("B has dependent columns, so B^T B has no inverse")
        draws = (instances.rational_planted_rank(case.rng, m, n, min(m, n)) for _ in count())
        self.g = next(g for g in draws if (self.B.transpose() * g * self.A.transpose()).det() != 0)

    @property
    def P_B(self) -> fmpq_mat:
        """The projection on the columns of B."""
        return self.B * self.BB.inv() * self.B.transpose()

    @property
    def P_A(self) -> fmpq_mat:
        """The projection on the rows of A."""
        return self.A.transpose() * self.AA.inv() * self.A

    def lora(self) -> tuple[fmpq_mat, fmpq_mat]:
        """Return g^A_lora and g^B_lora."""
        return self.s * self.B.transpose() * self.g, self.s * self.g * self.A.transpose()

    def pro(self, X: fmpq_mat) -> tuple[fmpq_mat, fmpq_mat]:
        """Return g^A = s^-2 (B^T B)^-1 g^A_lora + X A and g^B = s^-2 (I - P_B) g^B_lora (A A^T)^-1 - B X."""
        down, up = self.lora()
        free = exact.identity(self.B.nrows()) - self.P_B
        return self.BB.inv() * down / self.s**2 + X * self.A, free * up * self.AA.inv() / self.s**2 - self.B * X

    def equivalent(self, down: fmpq_mat, up: fmpq_mat) -> fmpq_mat:
        """Return s B g^A + s g^B A."""
        return self.s * (self.B * down + up * self.A)

    def sylvester(self, sign: int = 1) -> fmpq_mat:
        """Return the X with B^T B X + X A A^T = -s^-2 (B^T B)^-1 g^A_lora A^T, by Kronecker products."""
        down, _ = self.lora()
        right = -sign * (self.BB.inv() * down * self.A.transpose()) / self.s**2
        r = right.nrows()
        X = sylvester_operator(self.BB, self.AA).solve(fmpq_mat(r * r, 1, right.entries()))
        return fmpq_mat(r, r, X.entries())


def sylvester_operator(P: fmpq_mat, Q: fmpq_mat) -> fmpq_mat:
    """Return the matrix of X -> P X + X Q on the row-major entries of X."""
    unit = exact.identity(P.nrows())
    return exact.kron(P, unit) + exact.kron(unit, Q.transpose())


def zero(case: Case) -> fmpq_mat:
    """Return the r x r zero."""
    return fmpq_mat(case["r"], case["r"])


# ------------------------------------------------------------------------------------- theorem 2.1: the closed form


@PAPER.theorem("2.1", points=SHAPES, proof="lorapro_optimal")
def closed_form(case: Case) -> Comparison:
    """For A, B of full rank and every X, the pair of `Layer.pro` minimises |g~ - g|_F over all pairs (g^A, g^B).

    The problem is convex, so the normal equations B^T (g~ - g) = 0 and (g~ - g) A^T = 0 say that it is a minimum.
    Counted are the entries that are not 0.
    """
    layer = Layer(case)
    return equal(normal_equations(layer, *layer.pro(layer.X)), 0)


@closed_form.control("the gradients of plain LoRA")
def _(case: Case) -> Comparison:
    layer = Layer(case)
    return equal(normal_equations(layer, *layer.lora()), 0)


@closed_form.control("+ B X in place of - B X")
def _(case: Case) -> Comparison:
    layer = Layer(case)
    down, up = layer.pro(layer.X)
    return equal(normal_equations(layer, down, up + 2 * layer.B * layer.X), 0)


@closed_form.control("B = 0, as at the start of training: the hypothesis on the rank fails")
def _(case: Case) -> Comparison:
    layer = Layer(case, rank_of_B=0)
    return equal(normal_equations(layer, *layer.pro(layer.X)), 0)


def normal_equations(layer: Layer, down: fmpq_mat, up: fmpq_mat) -> int:
    """Count the entries of B^T (g~ - g) and (g~ - g) A^T that are not 0."""
    rest = layer.equivalent(down, up) - layer.g
    return exact.count_nonzero(layer.B.transpose() * rest, rest * layer.A.transpose())


@PAPER.theorem("2.1-residual", points=SHAPES, proof="lorapro_residual")
def residual(case: Case) -> Comparison:
    """The least distance is |(I - P_B) g (I - P_A)|_F: what neither factor can reach (squared here)."""
    layer = Layer(case)
    return equal(distance(layer, *layer.pro(layer.X)), unreachable(layer, both=True))


@residual.control("only (I - P_B) g, as if A were frozen")
def _(case: Case) -> Comparison:
    layer = Layer(case)
    return equal(distance(layer, *layer.pro(layer.X)), unreachable(layer, both=False))


def distance(layer: Layer, down: fmpq_mat, up: fmpq_mat) -> Any:
    """Return |g~ - g|_F^2."""
    return exact.frobenius_norm_squared(layer.equivalent(down, up) - layer.g)


def unreachable(layer: Layer, both: bool) -> Any:
    """Return |(I - P_B) g (I - P_A)|_F^2, or |(I - P_B) g|_F^2."""
    rest = layer.g - layer.P_B * layer.g
    return exact.frobenius_norm_squared(rest - rest * layer.P_A if both else rest)


@PAPER.theorem("2.1-rank", points=SHAPES)
def rank(case: Case) -> Comparison:
    """LoRA moves W along a gradient of rank 2 r for almost every pair (g^A, g^B), and never of more.

    For g~ = [s B, s g^B] [g^A; A]. Here 2 r <= m, n, and the pair is random.
    """
    layer = Layer(case)
    return equal(exact.rank(layer.equivalent(*random_pair(case))), 2 * case["r"])


@rank.control("the full gradient besides")
def _(case: Case) -> Comparison:
    layer = Layer(case)
    return equal(exact.rank(layer.equivalent(*random_pair(case)) + layer.g), 2 * case["r"])


def random_pair(case: Case) -> tuple[fmpq_mat, fmpq_mat]:
    """Return random integers in the place of g^A and g^B."""
    m, n, r = case["m"], case["n"], case["r"]
    return instances.integers(case.rng, r, n, -9, 9), instances.integers(case.rng, m, r, -9, 9)


@PAPER.theorem("2.1-improves", points=SHAPES)
def improves(case: Case) -> Comparison:
    """Plain LoRA is never closer to g, even with the best common step size c for its direction d = g~_lora.

    Its least squared distance, |g|^2 - <g, d>^2 / |d|^2, is larger by |g~|^2 - <g~, d>^2 / |d|^2, since g~ is the
    projection of g; and that is >= 0, the squared distance of g~ from the line of d.
    """
    layer = Layer(case)
    down, up = layer.pro(layer.X)
    nearest, direction = layer.equivalent(down, up), layer.equivalent(*layer.lora())
    more = exact.inner(nearest, nearest) - exact.inner(nearest, direction) ** 2 / exact.inner(direction, direction)
    return equal(best_multiple(layer) - exact.number(distance(layer, down, up)), more)


@improves.control("LoRA is as close")
def _(case: Case) -> Comparison:
    layer = Layer(case)
    return equal(best_multiple(layer) - exact.number(distance(layer, *layer.pro(layer.X))), 0)


def best_multiple(layer: Layer) -> Any:
    """Return min over c of |c g~_lora - g|_F^2."""
    direction = layer.equivalent(*layer.lora())
    return exact.inner(layer.g, layer.g) - exact.inner(layer.g, direction) ** 2 / exact.inner(direction, direction)


# ------------------------------------------------------------------------------------------ theorem 2.2: the decrease


@PAPER.theorem("2.2", points=SHAPES, proof="lorapro_descent")
def decrease(case: Case) -> Comparison:
    """The loss decreases at first order, dL = -gamma (<g^A_lora, g^A> + <g^B_lora, g^B>) <= 0.

    It is -gamma |g~|_F^2, for every X: a projection's share of g, |g|^2 - |(I - P_B) g (I - P_A)|^2.
    """
    layer = Layer(case)
    return equal(slope(layer, *layer.pro(layer.X)), share_of_gradient(layer))


@decrease.control("the gradients of plain LoRA")
def _(case: Case) -> Comparison:
    layer = Layer(case)
    return equal(slope(layer, *layer.lora()), share_of_gradient(layer))


def share_of_gradient(layer: Layer) -> Any:
    """Return |g|^2 less what neither factor reaches."""
    return exact.inner(layer.g, layer.g) - exact.number(unreachable(layer, both=True))


def slope(layer: Layer, down: fmpq_mat, up: fmpq_mat) -> Any:
    """Return <g^A_lora, g^A> + <g^B_lora, g^B>."""
    lora_down, lora_up = layer.lora()
    return exact.inner(lora_down, down) + exact.inner(lora_up, up)


@PAPER.theorem("2.2-step", points=SHAPES)
def step(case: Case) -> Comparison:
    """A step of size gamma of both factors moves W by -gamma g~ + gamma^2 s g^B g^A, exactly, whatever g^A and g^B.

    So the equivalence with full fine-tuning along g~ is of first order. Counted are the entries that differ.
    """
    return equal(step_defect(case, second_order=1), 0)


@step.control("without the term of second order")
def _(case: Case) -> Comparison:
    return equal(step_defect(case, second_order=0), 0)


def step_defect(case: Case, second_order: int) -> int:
    """Count the entries in which the step and its expansion differ, for gamma = 1/7."""
    layer, gamma = Layer(case), fmpq(1, 7)
    down, up = random_pair(case)
    moved = layer.s * ((layer.B - gamma * up) * (layer.A - gamma * down) - layer.B * layer.A)
    return exact.count_nonzero(
        moved + gamma * layer.equivalent(down, up) - second_order * gamma**2 * layer.s * up * down
    )


# ---------------------------------------------------------------------------------------- theorem 2.3: the choice of X


@PAPER.theorem("2.3", points=SHAPES, proof="lorapro_choice")
def choice(case: Case) -> Comparison:
    """The X with B^T B X + X A A^T = -s^-2 (B^T B)^-1 g^A_lora A^T brings the pair closest to plain LoRA's.

    |g^A - g^A_lora|^2 + |g^B - g^B_lora|^2 is a convex function of X, with gradient
    2 (g^A - g^A_lora) A^T - 2 B^T (g^B - g^B_lora): counted are its entries that are not 0.
    """
    layer = Layer(case)
    return equal(exact.count_nonzero(choice_gradient(layer, layer.sylvester())), 0)


@choice.control("the right-hand side with the other sign")
def _(case: Case) -> Comparison:
    layer = Layer(case)
    return equal(exact.count_nonzero(choice_gradient(layer, layer.sylvester(sign=-1))), 0)


@choice.control("X = 0")
def _(case: Case) -> Comparison:
    return equal(exact.count_nonzero(choice_gradient(Layer(case), zero(case))), 0)


def choice_gradient(layer: Layer, X: fmpq_mat) -> fmpq_mat:
    """Return half of the gradient with respect to X of the squared distance to the gradients of plain LoRA."""
    (down, up), (lora_down, lora_up) = layer.pro(X), layer.lora()
    return (down - lora_down) * layer.A.transpose() - layer.B.transpose() * (up - lora_up)


@PAPER.theorem("2.3-unique", points=SHAPES, proof="sylvester_unique")
def unique(case: Case) -> Comparison:
    """That X is unique: X -> B^T B X + X A A^T has full rank r^2, as both matrices are positive definite."""
    layer = Layer(case)
    return equal(exact.rank(sylvester_operator(layer.BB, layer.AA)), case["r"] ** 2)


@unique.control("- X A A^T, with A A^T = B^T B")
def _(case: Case) -> Comparison:
    layer = Layer(case)
    return equal(exact.rank(sylvester_operator(layer.BB, -layer.BB)), case["r"] ** 2)


# --------------------------------------------------------------------- the symmetric choice of X, X_mode="symmetry"


@PAPER.formula("symmetry", points=SHAPES)
def symmetry(case: Case) -> Comparison:
    """With X = -(s^-2 / 2) (B^T B)^-1 B^T g^B_lora (A A^T)^-1, both factors carry the same half of P_B g P_A.

    That is P_B (s B g^A - s g^B A) P_A = 0: counted are the entries that are not 0.
    """
    layer = Layer(case)
    return equal(exact.count_nonzero(imbalance(layer, layer.AA.inv())), 0)


@symmetry.control("X = 0, where B's update carries none of it")
def _(case: Case) -> Comparison:
    return equal(exact.count_nonzero(imbalance(Layer(case), zero(case))), 0)


@PAPER.formula(
    "symmetry-as-coded",
    gap="false as printed: in the official code, not in a statement; A A^T stands in X where (A A^T)^-1 is needed, "
    "which shows at m = n = r = 1, A = 2",
    points=(*SHAPES, {"m": 1, "n": 1, "r": 1, "down": 1}, {"m": 1, "n": 1, "r": 1, "down": 2}),
)
def symmetry_as_coded(case: Case) -> Comparison:
    """X_mode="symmetry" (peta/optim.py) takes X = -(s^-2 / 2) (B^T B)^-1 B^T g^B_lora (A A^T).

    By theorem 2.1 the equivalent gradient does not depend on X; only the split between the factors is not symmetric.
    It is where A A^T = I, as in the case A = 1.
    """
    layer = Layer(case)
    if "down" in case.params:
        layer.A, layer.AA = exact.matrix([[case["down"]]]), exact.matrix([[case["down"] ** 2]])
    return equal(exact.count_nonzero(imbalance(layer, layer.AA)), 0)


def imbalance(layer: Layer, factor: fmpq_mat) -> fmpq_mat:
    """Return P_B (s B g^A - s g^B A) P_A for X = -(s^-2 / 2) (B^T B)^-1 B^T g^B_lora times the factor."""
    _, lora_up = layer.lora()
    down, up = layer.pro(-(layer.BB.inv() * layer.B.transpose() * lora_up * factor) / (2 * layer.s**2))
    return layer.s * layer.P_B * (layer.B * down - up * layer.A) * layer.P_A


@PAPER.formula(
    "adam-last",
    points=SHAPES,
    gap="scope restriction: X is free for gradient steps, and not where Adam acts on the adjusted pair",
)
def adam_last(case: Case) -> Comparison:
    """The code's mode "efficient" applies Adam to g^A and g^B after the adjustment: then X changes the step of W.

    Adam's first step takes signs. Counted are the entries of s (B sign g^A + sign g^B A) that differ between 1000 X and
    -1000 X, at least one.
    """
    return at_least(changed_by_X(case, signs), 1)


@adam_last.control("without Adam")
def _(case: Case) -> Comparison:
    return at_least(changed_by_X(case, lambda x: x), 1)


def changed_by_X(case: Case, optimiser: Callable[[fmpq_mat], fmpq_mat]) -> int:
    """Count the entries of the step of W that differ between 1000 X and -1000 X."""
    layer = Layer(case)
    steps = [layer.equivalent(*map(optimiser, layer.pro(c * layer.X))) for c in (1000, -1000)]
    return exact.count_nonzero(steps[0] - steps[1])


def signs(x: fmpq_mat) -> fmpq_mat:
    """Return the matrix of signs."""
    return fmpq_mat(x.nrows(), x.ncols(), [int(v > 0) - int(v < 0) for v in x.entries()])
