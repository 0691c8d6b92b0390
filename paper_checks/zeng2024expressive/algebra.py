"""The algebra under Lemma 1, with symbols in place of numbers."""

from typing import Any

from lora_proofs import Case, Comparison, equal, exact

from .paper import PAPER


def nonzero_entries(residual: Any) -> int:
    """Return how many entries of a symbolic matrix are not identically zero."""
    return sum(entry != 0 for entry in residual)


def sizes(case: Case, name: str) -> list[int]:
    """Read a list of sizes such as ``"2-3-2"``."""
    return [int(n) for n in case[name].split("-")]


@PAPER.formula(
    "telescoping",
    dimensions=("2-2-2", "3-3-3", "2-3-1-2", "2-2-2-2"),
    seeded=False,
    proof=("telescoping", "telescoping_without_first"),
)
def telescoping(case: Case) -> Comparison:
    r"""\prod_l (W_l + \Delta_l) - \prod_l W_l = \sum_l S_l \Delta_l P_{l-1} for all matrices, S_l = W_L ... W_{l+1}.

    P_{l-1} is the product of the first l - 1 adapted layers. Checked as an identity of polynomials in the entries.
    """
    return equal(nonzero_entries(exact.symbolic.telescoping_residual(sizes(case, "dimensions"))), 0)


@telescoping.control("without the term of the first layer", dimensions=("2-2-2",))
def _(case: Case) -> Comparison:
    return equal(nonzero_entries(exact.symbolic.telescoping_residual(sizes(case, "dimensions"), omitted=0)), 0)


@PAPER.formula("subadditivity", points=[
    {"dimensions": "2-2-2", "ranks": "1-1"}, {"dimensions": "3-3-3", "ranks": "1-2"},
    {"dimensions": "2-3-2", "ranks": "1-1"}, {"dimensions": "2-2-2-2", "ranks": "1-1-1"},
], seeded=False, proof=("rank_change", "rectangular_ranks_add"))  # fmt: skip
def subadditivity(case: Case) -> Comparison:
    r"""\prod_l (W_l + B_l A_l) - \prod_l W_l = [S_1 B_1, ..., S_L B_L] [A_1 P_0; ...; A_L P_{L-1}].

    The inner width is \sum_l R_l, so this is a rigorous upper bound of the rank of the difference, for all matrices.
    """
    return equal(
        nonzero_entries(exact.symbolic.subadditivity_residual(sizes(case, "dimensions"), sizes(case, "ranks"))), 0
    )


@subadditivity.control("without the columns of the last layer", points=[{"dimensions": "2-2-2", "ranks": "1-1"}])
def _(case: Case) -> Comparison:
    residual = exact.symbolic.subadditivity_residual(sizes(case, "dimensions"), sizes(case, "ranks"), omitted=1)
    return equal(nonzero_entries(residual), 0)


@PAPER.formula(
    "invariant",
    points=[{"n": 2, "ranks": "1-1"}, {"n": 2, "ranks": "1-1-1"}],
    seeded=False,
    proof=("invariant", "construction_exact"),
)
def invariant(case: Case) -> Comparison:
    r"""S_l P_l = \prod_l W_l + LR_{R_1 + ... + R_l}(E) after every layer of Lemma 1's construction.

    Checked for all frozen matrices with non-singular W_2, ..., W_L and all E = \sum_l U_l V_l^T, as an identity of
    rational functions; of the singular value decomposition only this form of E is used.
    """
    return equal(sum(map(nonzero_entries, exact.symbolic.invariant_residuals(case["n"], sizes(case, "ranks")))), 0)


@invariant.control("without U_2 V_2^T", points=[{"n": 2, "ranks": "1-1"}])
def _(case: Case) -> Comparison:
    residuals = exact.symbolic.invariant_residuals(case["n"], sizes(case, "ranks"), omitted=1)
    return equal(sum(map(nonzero_entries, residuals)), 0)


@PAPER.formula("generic-rank", D=(2, 3), L=(1, 2))
def generic_rank(case: Case) -> Comparison:
    r"""For generic matrices rank(\bar W - \prod_l W_l) = D.

    The measured value is the rank at a random point modulo a prime, which is a rigorous lower bound of the generic
    rank; D is an upper bound of every rank.
    """
    return equal(rank_of_difference(case, planted=False), case["D"])


def rank_of_difference(case: Case, *, planted: bool) -> int:
    """Return the generic rank of target - W_L ... W_1; a planted target is the product plus a column times a row."""
    D, L = case["D"], case["L"]
    import sympy  # here, so that collecting the claims does not load it

    matrices = [sympy.Matrix(D, D, sympy.symbols(f"W{layer}_:{D * D}")) for layer in range(L + 1)]
    product = sympy.prod(reversed(matrices[:L]), start=sympy.eye(D))
    target = product + matrices[L][:, :1] * matrices[L][:1, :] if planted else matrices[L]
    return exact.symbolic.generic_rank((target - product).expand(), case.rng)


@generic_rank.control("a target near the product", D=(2,), L=(2,))
def _(case: Case) -> Comparison:
    return equal(rank_of_difference(case, planted=True), case["D"])
