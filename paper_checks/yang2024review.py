r"""Yang et al., Low-Rank Adaptation for Foundation Models: A Comprehensive Review, arXiv 2501.00365v2.

A survey, without theorems of its own; metadata, abstract and dates were read. What can be checked of it is its
taxonomy: how many numbers each variant trains, and which ranks its update can have. The definitions are those of the
surveyed papers as recalled. Ranks are exact: one random integer instance of a rank shows that almost every instance has
at least that rank, and the factorisation bounds it from above.

The update has d rows and k columns; r is the rank parameter. Benchmarks and judgements are not checked.
"""

from collections.abc import Callable
from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, Paper, at_least, at_most, equal, exact, instances

PAPER = Paper(
    key="yang2024review",
    title="Low-Rank Adaptation for Foundation Models: A Comprehensive Review",
    authors=(
        "Menglin Yang", "Jialin Chen", "Jinkai Tao", "Yifei Zhang", "Jiahong Liu", "Jiasheng Zhang", "Qiyao Ma",
        "Harshit Verma", "Regina Zhang", "Min Zhou", "Irwin King", "Rex Ying",
    ),
    year=2024,
    arxiv="2501.00365v2",
)  # fmt: skip

Draw = Callable[[int, int], fmpq_mat]
"""Returns a random integer matrix of a given shape."""

Update = tuple[list[fmpq_mat], fmpq_mat]
"""The trained matrices, and the update that they make."""


def hadamard(x: fmpq_mat, y: fmpq_mat) -> fmpq_mat:
    """Return the entrywise product."""
    return fmpq_mat(x.nrows(), x.ncols(), [a * b for a, b in zip(x.entries(), y.entries(), strict=True)])


# ---------------------------------------------------------------------------------------------------- the variants


def lora(draw: Draw, d: int, k: int, r: int) -> Update:
    """B A."""
    B, A = draw(d, r), draw(r, k)
    return [B, A], B * A


def loha(draw: Draw, d: int, k: int, r: int) -> Update:
    """LoHa (FedPara): the entrywise product of two updates of rank r."""
    (first, X), (second, Y) = lora(draw, d, k, r), lora(draw, d, k, r)
    return first + second, hadamard(X, Y)


def lokr(draw: Draw, d: int, k: int, r: int) -> Update:
    """LoKr: C kron (B A), C a square block of order 3."""
    C, (factors, BA) = draw(3, 3), lora(draw, d // 3, k // 3, r)
    return [C, *factors], exact.kron(C, BA)


def vera(draw: Draw, d: int, k: int, r: int) -> Update:
    """VeRA: diag(b) B diag(c) A, with A and B random and frozen."""
    b, c = draw(d, 1), draw(r, 1)
    return [b, c], exact.diagonal(b.entries()) * draw(d, r) * exact.diagonal(c.entries()) * draw(r, k)


def adalora(draw: Draw, d: int, k: int, r: int) -> Update:
    """AdaLoRA: P diag(s) Q."""
    (factors, _), s = lora(draw, d, k, r), draw(r, 1)
    return [*factors, s], factors[0] * exact.diagonal(s.entries()) * factors[1]


def lora_fa(draw: Draw, d: int, k: int, r: int) -> Update:
    """LoRA-FA: B A with A frozen."""
    factors, BA = lora(draw, d, k, r)
    return factors[:1], BA


def lora_xs(draw: Draw, d: int, k: int, r: int) -> Update:
    """LoRA-XS: U R V with U and V frozen, from the SVD of the weight."""
    R = draw(r, r)
    return [R], draw(d, r) * R * draw(r, k)


def relora(draw: Draw, d: int, k: int, r: int) -> Update:
    """ReLoRA: three updates, merged one after the other."""
    parts = [lora(draw, d, k, r) for _ in range(3)]
    return [M for factors, _ in parts for M in factors], parts[0][1] + parts[1][1] + parts[2][1]


METHODS: dict[str, tuple[Callable[..., Update], Callable[[int, int, int], int], Callable[[int], int]]] = {
    "LoRA": (lora, lambda d, k, r: r * (d + k), lambda r: r),
    "LoHa": (loha, lambda d, k, r: 2 * r * (d + k), lambda r: r * r),
    "LoKr": (lokr, lambda d, k, r: 9 + r * (d + k) // 3, lambda r: 3 * r),
    "VeRA": (vera, lambda d, k, r: d + r, lambda r: r),
    "AdaLoRA": (adalora, lambda d, k, r: r * (d + k + 1), lambda r: r),
    "LoRA-FA": (lora_fa, lambda d, k, r: r * d, lambda r: r),
    "LoRA-XS": (lora_xs, lambda d, k, r: r * r, lambda r: r),
    "ReLoRA": (relora, lambda d, k, r: 3 * r * (d + k), lambda r: 3 * r),
}
"""Each variant with its number of trained parameters and its generic rank (at most min(d, k))."""

NAMES = ("LoRA", "LoHa", "LoKr", "VeRA", "AdaLoRA", "LoRA-FA", "LoRA-XS", "ReLoRA")
D, K = 15, 12


def random_update(case: Case) -> Update:
    """Return a random instance of the variant with the case's name and r, 15 x 12."""
    return METHODS[case["method"]][0](general(case), D, K, case["r"])


def general(case: Case) -> Draw:
    """Return a source of random matrices with entries from 1 to 9999."""
    return lambda m, n: instances.integers(case.rng, m, n, 1, 9999)


@PAPER.formula("rank", method=NAMES, r=(2, 3), proof="adapter_iff")
def generic_rank(case: Case) -> Comparison:
    """The update has rank r for LoRA, VeRA, AdaLoRA, LoRA-FA, LoRA-XS; r^2 for LoHa; 3 r for LoKr and three merges.

    For almost every value of the trained (and, where there are, frozen) matrices, and never more.
    """
    return equal(rank_of_update(case), METHODS[case["method"]][2](case["r"]))


@generic_rank.control("r for all of them", method=("LoHa", "LoKr", "ReLoRA"), r=(2,))
def _(case: Case) -> Comparison:
    return equal(rank_of_update(case), case["r"])


def rank_of_update(case: Case) -> int:
    """Return the rank of a random update of the variant."""
    return exact.rank(random_update(case)[1])


@PAPER.formula("parameters", method=NAMES, r=(2, 3))
def parameters(case: Case) -> Comparison:
    """The numbers trained are r (d + k); twice that for LoHa; 9 + r (d + k) / 3, d + r, ..., as tabulated in METHODS.

    Counted are the entries of the matrices that are trained.
    """
    return equal(entries(random_update(case)[0]), METHODS[case["method"]][1](D, K, case["r"]))


@parameters.control("r (d + k) for all of them", method=("LoHa", "LoKr", "VeRA", "AdaLoRA", "LoRA-XS"), r=(2,))
def _(case: Case) -> Comparison:
    return equal(entries(random_update(case)[0]), case["r"] * (D + K))


def entries(matrices: list[fmpq_mat]) -> int:
    """Count the entries."""
    return sum(M.nrows() * M.ncols() for M in matrices)


# ------------------------------------------------------------------------------------------------ what bounds the ranks


@PAPER.formula("hadamard", shape=("3-1-9", "2-2-99", "1-4-9"), sampled=True)
def hadamard_bound(case: Case) -> Comparison:
    """For all X and Y: rank(X o Y) <= rank X rank Y, the entrywise product, since it is a submatrix of X kron Y.

    The shape names the ranks of X and Y (6 x 7) and the range of their factors' entries.
    """
    return at_most(exact.rank(hadamard(*planted_pair(case))), product_of_ranks(case))


@hadamard_bound.control("one less, for factors with larger entries", shape=("2-2-99",))
def _(case: Case) -> Comparison:
    return at_most(exact.rank(hadamard(*planted_pair(case))), product_of_ranks(case) - 1)


@PAPER.formula("kronecker", shape=("3-1-2", "2-2-2", "1-4-1"), sampled=True)
def kronecker_rank(case: Case) -> Comparison:
    """For all X and Y: rank(X kron Y) = rank X rank Y, so LoKr's rank is the block's times r, not generically only."""
    return equal(rank_of_product(case), product_of_ranks(case))


@kronecker_rank.control("the sum of the ranks", shape=("3-1-2",))
def _(case: Case) -> Comparison:
    first, second, _ = map(int, case["shape"].split("-"))
    return equal(rank_of_product(case), first + second)


def rank_of_product(case: Case) -> int:
    """Return rank(X kron Y) of the planted pair."""
    return exact.rank(exact.kron(*planted_pair(case)))


def planted_pair(case: Case) -> tuple[fmpq_mat, fmpq_mat]:
    """Return X and Y, 6 x 7, of the ranks in the case's shape; entries of their factors within its last number."""
    first, second, high = map(int, case["shape"].split("-"))
    while True:
        x, y = (
            instances.integers(case.rng, 6, r, -high, high) * instances.integers(case.rng, r, 7, -high, high)
            for r in (first, second)
        )
        if (x.rank(), y.rank()) == (first, second):
            return x, y


def product_of_ranks(case: Case) -> int:
    """Return the product of the ranks in the case's shape."""
    first, second, _ = map(int, case["shape"].split("-"))
    return first * second


@PAPER.formula("loha-budget", r=(3, 4))
def loha_budget(case: Case) -> Comparison:
    """With LoHa's 2 r (d + k) parameters LoRA has rank 2 r: from r = 3 on LoHa's, min(r^2, d, k), is larger."""
    return at_least(loha_rank(case), 2 * case["r"] + 1)


@loha_budget.control("r = 2, where r^2 = 2 r", r=(2,))
def _(case: Case) -> Comparison:
    return at_least(loha_rank(case), 2 * case["r"] + 1)


def loha_rank(case: Case) -> int:
    """Return the rank of a random LoHa update."""
    return exact.rank(loha(general(case), D, K, case["r"])[1])


@PAPER.formula("dora", n=(3, 5), r=(1, 2))
def dora(case: Case) -> Comparison:
    """DoRA's update is not of low rank: m (W + B A) / |W + B A|_columns - W has full rank for almost every m.

    The quotient of m and the norms of the columns is any positive diagonal matrix; here a rational one with no entry 1.
    """
    return equal(dora_rank(*dora_parts(case)), case["n"])


@dora.control("magnitudes as the norms of the columns are: the plain update", n=(3, 5), r=(1, 2))
def _(case: Case) -> Comparison:
    W, BA, _ = dora_parts(case)
    return equal(dora_rank(W, BA, exact.identity(case["n"])), case["n"])


def dora_rank(W: fmpq_mat, BA: fmpq_mat, scale: fmpq_mat) -> int:
    """Return the rank of (W + B A) diag(scale) - W."""
    return exact.rank((W + BA) * scale - W)


def dora_parts(case: Case) -> tuple[fmpq_mat, fmpq_mat, fmpq_mat]:
    """Return W, a rational update of rank r, and a diagonal matrix with entries in (1, 2]."""
    n, r = case["n"], case["r"]
    W, (_, BA) = general(case)(n, n), lora(general(case), n, n, r)
    return W, BA, exact.diagonal([1 + fmpq(int(x), 101) for x in case.rng.integers(1, 101, n)])


@PAPER.formula("adalora-pruning", r=(2, 3), dropped=(1, 2))
def adalora_pruning(case: Case) -> Comparison:
    """AdaLoRA: with P and Q orthonormal, dropping singular values s_i costs exactly sum s_i^2 in |.|_F^2.

    That is what its penalty |P^T P - I|^2 + |Q Q^T - I|^2 is for.
    """
    return equal(pruning(case, length=1), 1)


@adalora_pruning.control("columns of P of length 2", r=(3,), dropped=(1, 2))
def _(case: Case) -> Comparison:
    return equal(pruning(case, length=2), 1)


def pruning(case: Case, length: int) -> Any:
    """Return |P diag(s) Q - P diag(s, some dropped) Q|_F^2 over the sum of the squares of the dropped s."""
    n, r, dropped = 5, case["r"], case["dropped"]
    P, Q = (exact.block(instances.rational_orthogonal(case.rng, n), range(n), range(r)) for _ in range(2))
    P = length * P
    s = [fmpq(int(x)) for x in case.rng.integers(1, 9, r)]
    lost = exact.diagonal([x if i < dropped else fmpq(0) for i, x in enumerate(s)])
    return exact.frobenius_norm_squared(P * lost * Q.transpose()) / sum(int(x.p) ** 2 for x in s[:dropped])
