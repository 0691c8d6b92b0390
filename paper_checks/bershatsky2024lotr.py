r"""Bershatsky et al., LoTR: Low Tensor Rank Weight Adaptation, arXiv 2402.01376v2.

The updates of L layers form one tensor in Tucker-2 form: Delta_s = A G_s B^T, s = 1, ..., L, with A (d x r) and B (d x
r) shared and a core G_s (r x r) for each layer. Abstract, metadata, the official code (daskol/lotr, lotr/lotr.py) and
its table of parameter counts were read; the paper has no theorem that could be confirmed, what is checked is
re-derived.
"""

from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, Paper, at_least, at_most, equal, exact, instances

PAPER = Paper(
    key="bershatsky2024lotr",
    title="LoTR: Low Tensor Rank Weight Adaptation",
    authors=("Daniel Bershatsky", "Daria Cherniuk", "Talgat Daulbaev", "Aleksandr Mikhalev", "Ivan Oseledets"),
    year=2024,
    arxiv="2402.01376v2",
)

Stack = list[Any]
"""The updates of all layers."""


def side_by_side(stack: Stack) -> fmpq_mat:
    """Return [Delta_1, ..., Delta_L]: its columns span what A has to span."""
    return fmpq_mat([[x for layer in stack for x in layer.table()[i]] for i in range(stack[0].nrows())])


def transposed(stack: Stack) -> Stack:
    """Return the transposes."""
    return [layer.transpose() for layer in stack]


def squared(stack: Stack) -> Fraction:
    """Return the sum of the squares of all entries."""
    return sum((exact.frobenius_norm_squared(layer) for layer in stack), Fraction(0))


def lotr(case: Case, r: int) -> Stack:
    """Return a random stack of Tucker rank r, integer."""
    d, L = case["d"], case["L"]
    A, B = (instances.rational_planted_rank(case.rng, d, r, r) for _ in range(2))
    return [A * instances.nonsingular(case.rng, r) * B.transpose() for _ in range(L)]


def independent(case: Case, r: int) -> Stack:
    """Return independent layers of rank r."""
    return [instances.rational_planted_rank(case.rng, case["d"], case["d"], r) for _ in range(case["L"])]


def factorize(stack: Stack) -> tuple[fmpq_mat, Stack, fmpq_mat]:
    """Return A, the cores and B with Delta_s = A G_s B^T, of the least widths: ranks of the two unfoldings."""
    A, _ = exact.full_rank_factorization(side_by_side(stack))
    B, _ = exact.full_rank_factorization(side_by_side(transposed(stack)))
    left, right = ((M.transpose() * M).inv() * M.transpose() for M in (A, B))
    return A, [left * layer * right.transpose() for layer in stack], B


# --------------------------------------------------------------------------------------------- parameters

PRINTED = {1: "3k", 2: "5k", 5: "10k", 10: "19k", 16: "32k", 32: "75k", 64: "198k", 128: "591k", 256: "2M", 512: "7M"}
"""Rank to number of trained parameters: data/table/roberta/glue/lotr.csv of the official repository."""


def trained(d: int, r: int, cores: int) -> int:
    """Return 2 d r + cores r^2."""
    return 2 * d * r + cores * r * r


@PAPER.formula("table-of-parameters", r=tuple(PRINTED), seeded=False)
def table_of_parameters(case: Case) -> Comparison:
    """The official table for RoBERTa-base counts 2 d r + 24 r^2 + 1538, rounded, d = 768: all ten rows.

    One pair (A, B) serves the query and value matrices of all 12 layers; 1538 = 2 * 768 + 2 belong to the last layer of
    the classifier.
    """
    return equal(_misprint(case, trained(768, case["r"], 24)), 0)


@table_of_parameters.control("12 cores, as for one kind of matrix", r=(16, 32, 64, 128))
def _(case: Case) -> Comparison:
    return equal(_misprint(case, trained(768, case["r"], 12)), 0)


@table_of_parameters.control("a pair (A, B) for query and another for value", r=(2, 5, 10))
def _(case: Case) -> Comparison:
    return equal(_misprint(case, 2 * trained(768, case["r"], 12)), 0)


def _misprint(case: Case, count: int) -> int:
    """Return count + 1538, rounded as the table rounds, less what the table prints."""
    text = PRINTED[case["r"]]
    unit = 1000 if text.endswith("k") else 10**6
    return (2 * (count + 1538) + unit) // (2 * unit) - int(text[:-1])


@PAPER.formula("documented-parameters", r=(2,), seeded=False)
def documented_parameters(case: Case) -> Comparison:
    """The documentation of the official code counts 592,130 parameters without and 595,298 with LoTR of rank 2.

    The difference is 2 d r + 24 r^2; the first is a classifier of two layers, 768 to 768 and 768 to 2, with biases.
    """
    return equal(_with_classifier(trained(768, case["r"], 24)), 595_298)


@documented_parameters.control("LoRA of the same rank")
def _(case: Case) -> Comparison:
    return equal(_with_classifier(24 * 2 * 768 * case["r"]), 595_298)


def _with_classifier(count: int) -> int:
    return 768 * 768 + 768 + 768 * 2 + 2 + count


@PAPER.formula("ratio", d=(768, 1024), L=(12, 24), r=(8, 64), seeded=False)
def ratio(case: Case) -> Comparison:
    """LoTR has the share 1 / L + r / (2 d) of the parameters of LoRA of the same rank, d x d layers."""
    d, L, r = case["d"], case["L"], case["r"]
    return equal(Fraction(trained(d, r, L), 2 * d * r * L), Fraction(1, L) + Fraction(r, 2 * d))


@ratio.control("1 / L")
def _(case: Case) -> Comparison:
    d, L, r = case["d"], case["L"], case["r"]
    return equal(Fraction(trained(d, r, L), 2 * d * r * L), Fraction(1, L))


@PAPER.formula("equal-budget", r=(8,), seeded=False)
def equal_budget(case: Case) -> Comparison:
    """On 12 layers of width 768, LoRA of rank 8 buys LoTR of rank 64: 147,456 parameters both."""
    return equal(trained(768, 8 * case["r"], 12), 2 * 768 * case["r"] * 12)


@equal_budget.control("24 cores")
def _(case: Case) -> Comparison:
    return equal(trained(768, 8 * case["r"], 24), 2 * 768 * case["r"] * 24)


# --------------------------------------------------------------------------------------------- expressivity


@PAPER.lemma("representation", d=(6,), L=(3, 5), r=(1, 2, 3))
def representation(case: Case) -> Comparison:
    r"""A stack is A G_s B^T of rank r iff its two unfoldings, [Delta_s] and [Delta_s^T], have rank at most r.

    Measured: the squared error of the factors that are read off the unfoldings of a planted stack, plus how much wider
    than r they are. Conversely the unfolding A [G_s B^T] has rank at most r.
    """
    return equal(_representation(case, lotr(case, case["r"])), 0)


@representation.control("independent layers of rank r")
def _(case: Case) -> Comparison:
    return equal(_representation(case, independent(case, case["r"])), 0)


@representation.control("the cores in the order of the layers, backward", r=(2, 3), d=(6,), L=(3, 5))
def _(case: Case) -> Comparison:
    return equal(_representation(case, lotr(case, case["r"]), step=-1), 0)


def _representation(case: Case, stack: Stack, step: int = 1) -> Fraction:
    A, cores, B = factorize(stack)
    cores = cores[::step]
    error = squared([layer - A * G * B.transpose() for layer, G in zip(stack, cores, strict=True)])
    return error + max(A.ncols(), B.ncols()) - min(case["r"], case["d"])


@PAPER.proposition("rank-of-lora-stacks", d=(7,), L=(2, 3, 4), r=(1, 2))
def rank_of_lora_stacks(case: Case) -> Comparison:
    """Independent LoRA layers of rank r need LoTR of rank min(r L, d), for almost all layers: no sharing.

    Over Q at one instance each; r L is an upper bound for all.
    """
    return equal(_ranks_of_unfoldings(_generic(case)), 2 * min(case["r"] * case["L"], case["d"]))


@rank_of_lora_stacks.control("rank r")
def _(case: Case) -> Comparison:
    return equal(_ranks_of_unfoldings(_generic(case)), 2 * case["r"])


def _ranks_of_unfoldings(stack: Stack) -> int:
    """Return the sum of the ranks of both unfoldings."""
    return exact.rank(side_by_side(stack)) + exact.rank(side_by_side(transposed(stack)))


def _generic(case: Case) -> Stack:
    d, r = case["d"], case["r"]
    wide = 10**6  # random integers of this size lie on no proper subvariety that matters, but for odds of 1e-5
    return [
        instances.integers(case.rng, d, r, -wide, wide) * instances.integers(case.rng, r, d, -wide, wide)
        for _ in range(case["L"])
    ]


@PAPER.proposition("layers-have-rank-r", d=(6,), L=(3,), r=(1, 2, 4), sampled=True)
def layers_have_rank_r(case: Case) -> Comparison:
    """Each layer of a LoTR stack of rank r is a LoRA update of rank at most r: LoTR is LoRA with shared factors."""
    return at_most(_largest_rank(case), case["r"])


@layers_have_rank_r.control("rank r - 1")
def _(case: Case) -> Comparison:
    return at_most(_largest_rank(case), case["r"] - 1)


def _largest_rank(case: Case) -> int:
    return max(exact.rank(layer) for layer in lotr(case, case["r"]))


@PAPER.formula("dimension", d=(4, 5), L=(1, 3), r=(1, 2))
def dimension(case: Case) -> Comparison:
    r"""The stacks of rank r have dimension 2 d r + (L - 2) r^2: 2 r^2 fewer than there are parameters.

    (A, G, B) and (A P, P^{-1} G Q^{-T}, B Q) are the same. Measured: the rank of the derivative at an integer point.
    """
    return equal(_tangent_rank(case), trained(case["d"], case["r"], case["L"] - 2))


@dimension.control("all parameters")
def _(case: Case) -> Comparison:
    return equal(_tangent_rank(case), trained(case["d"], case["r"], case["L"]))


def _tangent_rank(case: Case) -> int:
    d, L, r = case["d"], case["L"], case["r"]
    wide = 10**6
    A, B = (np.array(case.rng.integers(-wide, wide, (d, r)), dtype=object) for _ in range(2))
    G = np.array(case.rng.integers(-wide, wide, (L, r, r)), dtype=object)
    rows = []
    for i in range(d):
        for k in range(r):
            E = np.zeros((d, r), dtype=object)
            E[i, k] = 1
            rows += [
                np.concatenate([(E @ g @ B.T).ravel() for g in G]),
                np.concatenate([(A @ g @ E.T).ravel() for g in G]),
            ]
    for s in range(L):
        for k in range(r):
            for m in range(r):
                layers = np.zeros((L, d, d), dtype=object)
                layers[s] = np.outer(A[:, k], B[:, m])
                rows.append(layers.ravel())
    return exact.rank_lower_bound([[int(x) for x in row] for row in rows])


# --------------------------------------------------------------------------------------------- approximation


@PAPER.lemma("two-projections", d=(5,), L=(3,), r=(1, 3))
def two_projections(case: Case) -> Comparison:
    r"""For orthogonal projections P, Q: \sum |D_s - P D_s Q|^2 = \sum |(I - P) D_s|^2 + |P D_s (I - Q)|^2.

    So it is at most \sum |(I - P) D_s|^2 + |D_s (I - Q)|^2. With the leading singular vectors of the two unfoldings
    that is the sum of their tails: the truncated higher-order SVD errs by at most sqrt 2 times the best LoTR stack.
    Over Q, with random rational projections.
    """
    return equal(_projected(case, projected=True), 1)


@two_projections.control("D_s in place of P D_s, as in the bound")
def _(case: Case) -> Comparison:
    return equal(_projected(case, projected=False), 1)


def _projected(case: Case, projected: bool) -> Fraction:
    """Return the left side over the right, with P D_s or D_s in its second sum."""
    stack = [instances.integers(case.rng, case["d"], case["d"]) for _ in range(case["L"])]
    P, Q = (_projection(case) for _ in range(2))
    kept = [P * x if projected else x for x in stack]
    rests = [x - P * x for x in stack] + [x - x * Q for x in kept]
    return squared([x - P * x * Q for x in stack]) / fraction(sum(e * e for x in rests for e in x.entries()))


def fraction(x: Any) -> Fraction:
    """Return a rational number of flint as a Fraction."""
    return Fraction(int(x.p), int(x.q))


def _projection(case: Case) -> fmpq_mat:
    basis = exact.block(instances.rational_orthogonal(case.rng, case["d"]), range(case["d"]), range(case["r"]))
    return basis * basis.transpose()


def tails(stack: np.ndarray, r: int) -> tuple[float, float]:
    """Return the sums of the squared singular values beyond r of both unfoldings of an (L, d, d) array."""
    unfoldings = (np.concatenate(list(stack), axis=1), np.concatenate(list(stack.transpose(0, 2, 1)), axis=1))
    first, second = (float(np.sum(np.linalg.svd(x, compute_uv=False)[r:] ** 2)) for x in unfoldings)
    return first, second


def fitted(stack: np.ndarray, r: int, sweeps: int) -> float:
    """Return the squared error of the truncated higher-order SVD, improved by alternating sweeps."""
    Q = np.linalg.svd(np.concatenate(list(stack.transpose(0, 2, 1)), axis=1))[0][:, :r]
    P = np.linalg.svd(np.concatenate(list(stack), axis=1))[0][:, :r]
    for _ in range(sweeps):
        P = np.linalg.svd(np.concatenate(list(stack @ Q), axis=1))[0][:, :r]
        Q = np.linalg.svd(np.concatenate(list(stack.transpose(0, 2, 1) @ P), axis=1))[0][:, :r]
    return float(np.sum((stack - P @ P.T @ stack @ Q @ Q.T) ** 2))


@PAPER.theorem("quasi-optimality", d=(8,), L=(4,), r=(1, 3), sampled=True)
def quasi_optimality(case: Case) -> Comparison:
    """The truncated higher-order SVD has at most the sum of the two tails as squared error; re-derived, in floats."""
    stack = case.rng.standard_normal((case["L"], case["d"], case["d"]))
    return at_most(fitted(stack, case["r"], 0) / sum(tails(stack, case["r"])), 1.0)


@quasi_optimality.control("the larger tail alone, which bounds the best error from below")
def _(case: Case) -> Comparison:
    stack = case.rng.standard_normal((case["L"], case["d"], case["d"]))
    return at_most(fitted(stack, case["r"], 0) / max(tails(stack, case["r"])), 1.0)


@PAPER.theorem("lower-bound", d=(8,), L=(4,), r=(1, 3), sampled=True)
def lower_bound(case: Case) -> Comparison:
    """No LoTR stack of rank r has a squared error below the larger tail of the two unfoldings (Eckart & Young).

    Tried with alternating minimisation, 20 sweeps; in floats.
    """
    stack = case.rng.standard_normal((case["L"], case["d"], case["d"]))
    return at_least(fitted(stack, case["r"], 20) / max(tails(stack, case["r"])), 1.0)


@lower_bound.control("the sum of the tails")
def _(case: Case) -> Comparison:
    stack = case.rng.standard_normal((case["L"], case["d"], case["d"]))
    return at_least(fitted(stack, case["r"], 20) / sum(tails(stack, case["r"])), 1.0)


@PAPER.proposition("unrelated-layers", L=(2, 4), r=(1, 2))
def unrelated_layers(case: Case) -> Comparison:
    """L partial isometries of rank r, orthogonal to each other: LoTR of rank r leaves 1 - 1 / L of the square.

    LoRA of rank r leaves nothing. The lower bound is Eckart & Young's: the first unfolding has L r singular values 1,
    which is checked over Q. The best stack keeps one layer. Measured: the share that keeping one layer leaves.
    """
    return equal(_unrelated(case), 1 - Fraction(1, case["L"]))


@unrelated_layers.control("half of it")
def _(case: Case) -> Comparison:
    return equal(_unrelated(case), Fraction(1, 2) * (1 - Fraction(1, case["L"])))


def _unrelated(case: Case) -> Fraction:
    L, r = case["L"], case["r"]
    U, V = (instances.rational_orthogonal(case.rng, L * r) for _ in range(2))
    parts = [range(s * r, (s + 1) * r) for s in range(L)]
    stack = [exact.block(U, range(L * r), p) * exact.block(V, range(L * r), p).transpose() for p in parts]
    unfolding = side_by_side(stack)
    if unfolding * unfolding.transpose() != exact.identity(L * r):
        raise ArithmeticError("the unfolding's singular values are not all 1")
    kept, _ = exact.full_rank_factorization(stack[0])
    P = kept * (kept.transpose() * kept).inv() * kept.transpose()
    return squared([x - P * x for x in stack]) / (L * r)  # each layer has r singular values 1


@PAPER.proposition("start", d=(4,), L=(3,), r=(2,))
def start(case: Case) -> Comparison:
    r"""With cores 0 and A, B random, as in the official code, the first gradient step moves the cores only.

    For a loss with gradients M_s with respect to Delta_s, the part \sum <M_s, A G_s B^T> is linear in each factor: its
    differences are its derivatives. Counted: entries of the gradients of A and B other than 0, and 1 if those of the
    cores are all 0.
    """
    return equal(_wrongly_moved(case, zero="G"), 0)


@start.control("cores random, A = 0: then they stay")
def _(case: Case) -> Comparison:
    return equal(_wrongly_moved(case, zero="A"), 0)


@start.control("all of them 0: then nothing moves")
def _(case: Case) -> Comparison:
    return equal(_wrongly_moved(case, zero="AG"), 0)


def _wrongly_moved(case: Case, zero: str) -> int:
    of_A, of_B, of_cores = (sum(x != 0 for x in g.entries()) for g in _gradients(*_at_start(case, zero)))
    return of_A + of_B + (of_cores == 0)


def _at_start(case: Case, zero: str) -> tuple[Stack, fmpq_mat, Stack, fmpq_mat]:
    """Return the M_s, A, the cores and B, random but for what is 0."""
    d, L, r = case["d"], case["L"], case["r"]
    A, B = (instances.rational_planted_rank(case.rng, d, r, r) for _ in range(2))
    G, M = ([instances.nonsingular(case.rng, n) for _ in range(L)] for n in (r, d))
    return M, A * int("A" not in zero), [g * int("G" not in zero) for g in G], B


def _gradients(M: Stack, A: fmpq_mat, G: Stack, B: fmpq_mat) -> tuple[fmpq_mat, fmpq_mat, fmpq_mat]:
    """Return the derivatives of sum_s <M_s, A G_s B^T> with respect to A, B and the cores, these below each other."""
    r = A.ncols()

    def value(A: fmpq_mat, B: fmpq_mat, cores: fmpq_mat) -> Any:
        parts = (exact.block(cores, range(s * r, (s + 1) * r), range(r)) for s in range(len(M)))
        pairs = ((m, A * g * B.transpose()) for m, g in zip(M, parts, strict=True))
        return sum((x * y for m, update in pairs for x, y in zip(m.entries(), update.entries(), strict=True)), fmpq(0))

    def slopes(at: fmpq_mat, function: Any) -> fmpq_mat:
        m, n = at.nrows(), at.ncols()
        units = (fmpq_mat(m, n, [int(k == e) for k in range(m * n)]) for e in range(m * n))
        return fmpq_mat(m, n, [function(at + E) - function(at) for E in units])

    cores = fmpq_mat([row for g in G for row in g.table()])
    return (
        slopes(A, lambda A: value(A, B, cores)),
        slopes(B, lambda B: value(A, B, cores)),
        slopes(cores, lambda cores: value(A, B, cores)),
    )
