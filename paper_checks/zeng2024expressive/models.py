"""Random models, general partitions, narrower targets: Corollary 4, Theorem 6, the appendix on dimensions."""

from __future__ import annotations

from lora_proofs import Box, Case, Comparison, ReluNetwork, constructions, equal, exact, instances

from .paper import PAPER, RATIONAL, certified_error, input_domain, random_network
from .relu import threshold


@PAPER.corollary(
    "4",
    points=[
        {"family": family, "domain": "box", "D": D, "L": L, "Lbar": Lbar}
        for family, D, L, Lbar in (
            (RATIONAL, 6, 4, 2), (RATIONAL, 4, 4, 1), (RATIONAL, 5, 5, 2),
            ("uniform", 16, 4, 2), ("uniform", 16, 8, 4), ("scaled gaussian", 16, 4, 2), ("uniform", 6, 6, 1),
        )
    ],
    proof="corollary4",
)  # fmt: skip
def corollary_4(case: Case) -> Comparison:
    r"""Random models: R = \lceil D / \lfloor L / \bar L \rfloor \rceil suffices for f = \bar f on X, almost surely.

    The weights have independent entries of continuous distributions; with L >= D and \bar L = 1, rank 1 suffices.
    Measured as in lemma-2.
    """
    return equal(certified_error(random_model(case)), 0)


def random_model(case: Case, less: int = 0) -> constructions.AdaptedReluNetwork:
    """Return the adapted network for R = ceil(D / floor(L / Lbar)) - less."""
    frozen, target = random_network(case, case["D"], case["L"]), random_network(case, case["D"], case["Lbar"])
    R = -(-case["D"] // (case["L"] // case["Lbar"])) - less
    return constructions.adapt_relu_network(frozen, target, R, domain=input_domain(case))


@corollary_4.control("one rank less", points=[{"family": "uniform", "domain": "box", "D": 4, "L": 4, "Lbar": 2}])
def _(case: Case) -> Comparison:
    return equal(certified_error(random_model(case, less=1)), 0)


def parameters(case: Case) -> int:
    """Return the number of entries of the adapters of a random rational model, at the rank of Corollary 4."""
    D, L, Lbar = case["D"], case["L"], case["Lbar"]
    adapters = random_model(case.derive(family=RATIONAL, domain="box")).adapters
    R = -(-D // (L // Lbar))
    if any(a.rank > R for a in adapters):
        raise ArithmeticError("an adapter exceeds its rank")
    return sum(2 * D * a.rank for a in adapters)


@PAPER.formula("parameters-of-a-random-model", points=[
    {"D": D, "L": L, "Lbar": Lbar} for D, L, Lbar in ((8, 2, 1), (8, 4, 1), (8, 8, 1), (8, 4, 2), (6, 6, 2), (6, 6, 3))
], proof="parameters_random")  # fmt: skip
def parameters_of_a_random_model(case: Case) -> Comparison:
    r"""If \bar L | L and (L / \bar L) | D, Corollary 4 spends 2RDL = 2 D^2 \bar L parameters, whatever L is.

    Twice the number of the target's weights.
    """
    return equal(parameters(case), 2 * case["D"] ** 2 * case["Lbar"])


@parameters_of_a_random_model.control("counted as the target's D^2 Lbar", points=[{"D": 8, "L": 4, "Lbar": 2}])
def _(case: Case) -> Comparison:
    return equal(parameters(case), case["D"] ** 2 * case["Lbar"])


@PAPER.formula(
    "rank-ratio",
    points=[
        {"D": D, "L": L, "Lbar": Lbar} for D, L, Lbar in ((16, 4, 2), (16, 8, 2), (12, 6, 3), (7, 4, 2), (16, 16, 8))
    ],
    gap="scope restriction: the abstract's rank, width * depth of the target / depth of the frozen model, is the rank "
    "that Theorem 3 asks for only where the target's depth divides the frozen one; at (D, L, Lbar) = (16, 3, 2) they "
    "are 11 and 16",
    proof="rank_ratio",
)
def rank_ratio(case: Case) -> Comparison:
    r"""\bar L | L: Theorem 3's rank for a random model is \lceil D \bar L / L \rceil.

    It is \lceil max_i rank(\bar W_i - \prod_{P_i} W_l) / M \rceil, with the uniform partition. Measured: that number,
    exactly, for a random integer model.
    """
    D, L, Lbar = case["D"], case["L"], case["Lbar"]
    frozen, target = (random_network(case.derive(family=RATIONAL), D, depth) for depth in (L, Lbar))
    return equal(threshold(frozen, target), -(-D * Lbar // L))


@rank_ratio.control("the target's depth does not divide the frozen one", points=[{"D": 16, "L": 3, "Lbar": 2}])
def _(case: Case) -> Comparison:
    return rank_ratio(case)


def general_partition(case: Case) -> tuple[ReluNetwork, ReluNetwork, list[int], list[int]]:
    """Return frozen and target networks with the blocks and the ranks of the case, ``"1-3"`` and ``"4-0-1-3"``."""
    sizes, ranks = ([int(n) for n in case[name].split("-")] for name in ("blocks", "ranks"))
    frozen, target = random_network(case, case["D"], sum(sizes)), random_network(case, case["D"], len(sizes))
    return frozen, target, sizes, ranks


@PAPER.theorem(
    "6",
    points=[
        {"family": family, "domain": "box", "D": 4, "blocks": blocks, "ranks": ranks}
        for family in (RATIONAL, "uniform")
        for blocks, ranks in (("1-3", "4-0-1-3"), ("3-1", "2-0-2-4"), ("2-1-2", "1-3-4-0-4"), ("2-2", "3-3-2-2"))
    ],
    proof=("theorem6", "theorem6_control"),
)
def theorem_6(case: Case) -> Comparison:
    r"""Any partition into consecutive blocks P_i, any ranks R_l: f = \bar f on X if every block has the rank it needs.

    \sum_{l in P_i} R_l >= rank(\bar W_i - \prod_{l in P_i} W_l); X bounded, W_l non-singular, ranks of 0 included, new
    biases. Measured as in lemma-2.
    """
    frozen, target, sizes, ranks = general_partition(case)
    return equal(
        certified_error(constructions.adapt_relu_network(frozen, target, ranks, domain=Box(-4, 4), partition=sizes)), 0
    )


@theorem_6.control("one rank less in the second block", points=[
    {"family": "uniform", "domain": "box", "D": 4, "blocks": "1-3", "ranks": "4-0-1-2"}
])  # fmt: skip
def _(case: Case) -> Comparison:
    frozen, target, sizes, ranks = general_partition(case)
    return equal(
        certified_error(constructions.adapt_relu_network(frozen, target, ranks, domain=Box(-4, 4), partition=sizes)), 0
    )


@PAPER.theorem("6-best-partition", D=(6, 7), L=(5, 6), Lbar=(2, 3), proof="narrower_partition")
def theorem_6_best_partition(case: Case) -> Comparison:
    r"""For generic weights no partition needs a smaller uniform rank than \lceil D / \lfloor L / \bar L \rfloor \rceil.

    That is the rank of the uniform partition. Measured: the smallest rank over all partitions, by dynamic programming
    with the exact ranks of a random integer model.
    """
    return equal(best_uniform_rank(case), -(-case["D"] // (case["L"] // case["Lbar"])))


def best_uniform_rank(case: Case, planted: int | None = None) -> int:
    """Return the smallest uniform rank over all partitions; `planted` is the rank of the first target layer - W_1."""
    D, L, Lbar = case["D"], case["L"], case["Lbar"]
    frozen, target = (  # entries from a wide range, so that the weights are generic
        [exact.array(instances.nonsingular(case.rng, D, -99, 99)) for _ in range(depth)] for depth in (L, Lbar)
    )
    if planted is not None:
        target[0] = frozen[0] + exact.array(instances.rational_planted_rank(case.rng, D, D, planted))
    rank = constructions.required_ranks(frozen, [lambda _, W=W: W for W in target])

    def cost(i: int, block: range) -> int:
        return -(-rank(i, block) // len(block))

    return max(cost(i, P) for i, P in enumerate(constructions.best_partition(L, Lbar, cost)))


@theorem_6_best_partition.control(
    "weights that are not generic: the first target layer is near W_1", D=(6,), L=(5,), Lbar=(2,)
)
def _(case: Case) -> Comparison:
    return equal(best_uniform_rank(case, planted=1), -(-case["D"] // (case["L"] // case["Lbar"])))


NARROW = [(6, 2, 2, 1), (8, 3, 3, 1), (8, 3, 6, 2), (8, 2, 4, 2)]


@PAPER.proposition("narrower-target", points=[
    *({"family": RATIONAL, "domain": "box", "D": D, "d": d, "L": L, "Lbar": Lbar} for D, d, L, Lbar in NARROW),
    {"family": "uniform", "domain": "box", "D": 16, "d": 4, "L": 4, "Lbar": 2},
    {"family": "uniform", "domain": "ball", "D": 8, "d": 3, "L": 6, "Lbar": 2},
])  # fmt: skip
def narrower_target(case: Case) -> Comparison:
    r"""A target of width d < D needs only R >= \lceil d / M \rceil: pad x with zeros, read the first d outputs.

    The target's matrices stand in the first d rows and columns, all other entries are copied from the products of the
    frozen layers, so the differences have rank at most d. Measured as in lemma-2.
    """
    return equal(certified_error(narrow_model(case)), 0)


def narrow_model(case: Case, less: int = 0) -> constructions.AdaptedReluNetwork:
    """Return the adapted network for R = ceil(d / M) - less."""
    frozen, target = random_network(case, case["D"], case["L"]), random_network(case, case["d"], case["Lbar"])
    R = -(-case["d"] // (case["L"] // case["Lbar"])) - less
    return constructions.adapt_relu_network(frozen, target, R, domain=input_domain(case))


@narrower_target.control(
    "one rank less", points=[{"family": "uniform", "domain": "box", "D": 6, "d": 4, "L": 4, "Lbar": 2}]
)
def _(case: Case) -> Comparison:
    return equal(certified_error(narrow_model(case, less=1)), 0)
