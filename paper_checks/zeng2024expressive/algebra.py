"""The algebra under Lemma 1, with symbols in place of numbers."""

from typing import Any

import sympy

from lora_proofs import Case, Comparison, at_most, equal, exact, instances, symbolic

from .paper import PAPER


def nonzero_entries(residual: Any) -> int:
    """Return how many entries of a symbolic matrix are not identically zero."""
    return sum(entry != 0 for entry in residual)


def sizes(case: Case, name: str) -> list[int]:
    """Read a list of sizes such as ``"2-3-2"``."""
    return [int(n) for n in case[name].split("-")]


@PAPER.formula("telescoping", dimensions=("2-2-2", "3-3-3", "2-3-1-2", "2-2-2-2"), seeded=False)
def telescoping(case: Case) -> Comparison:
    r"""\prod_l (W_l + \Delta_l) - \prod_l W_l = \sum_l S_l \Delta_l P_{l-1} for all matrices, S_l = W_L ... W_{l+1}.

    P_{l-1} is the product of the first l - 1 adapted layers. Checked as an identity of polynomials in the entries.
    """
    return equal(nonzero_entries(symbolic.telescoping_residual(sizes(case, "dimensions"))), 0)


@telescoping.control("P_{l-1} taken from the frozen layers", dimensions=("2-2-2",))
def _(case: Case) -> Comparison:
    W, D = ([sympy.Matrix(2, 2, sympy.symbols(f"{name}{layer}_:4")) for layer in (1, 2)] for name in "WD")
    difference = (W[1] + D[1]) * (W[0] + D[0]) - W[1] * W[0] - (W[1] * D[0] + D[1] * W[0])
    return equal(nonzero_entries(difference.expand()), 0)


@PAPER.formula("subadditivity", points=[
    {"dimensions": "2-2-2", "ranks": "1-1"}, {"dimensions": "3-3-3", "ranks": "1-2"},
    {"dimensions": "2-3-2", "ranks": "1-1"}, {"dimensions": "2-2-2-2", "ranks": "1-1-1"},
], seeded=False)  # fmt: skip
def subadditivity(case: Case) -> Comparison:
    r"""\prod_l (W_l + B_l A_l) - \prod_l W_l = [S_1 B_1, ..., S_L B_L] [A_1 P_0; ...; A_L P_{L-1}].

    The inner width is \sum_l R_l, so this is a rigorous upper bound of the rank of the difference, for all matrices.
    """
    return equal(nonzero_entries(symbolic.subadditivity_residual(sizes(case, "dimensions"), sizes(case, "ranks"))), 0)


@subadditivity.control("the generic rank is claimed to stay below the sum of the ranks", points=[{"ranks": "1-1"}])
def _(case: Case) -> Comparison:
    W = [sympy.Matrix(3, 3, sympy.symbols(f"W{layer}_:9")) for layer in (1, 2)]
    B = [sympy.Matrix(3, 1, sympy.symbols(f"B{layer}_:3")) for layer in (1, 2)]
    A = [sympy.Matrix(1, 3, sympy.symbols(f"A{layer}_:3")) for layer in (1, 2)]
    difference = (W[1] + B[1] * A[1]) * (W[0] + B[0] * A[0]) - W[1] * W[0]
    return at_most(symbolic.generic_rank(difference, case.rng), sum(sizes(case, "ranks")) - 1)


@PAPER.formula("invariant", points=[{"n": 2, "ranks": "1-1"}, {"n": 2, "ranks": "1-1-1"}], seeded=False)
def invariant(case: Case) -> Comparison:
    r"""S_l P_l = \prod_l W_l + LR_{R_1 + ... + R_l}(E) after every layer of Lemma 1's construction.

    Checked for all frozen matrices with non-singular W_2, ..., W_L and all E = \sum_l U_l V_l^T, as an identity of
    rational functions; of the singular value decomposition only this form of E is used.
    """
    return equal(sum(map(nonzero_entries, symbolic.invariant_residuals(case["n"], sizes(case, "ranks")))), 0)


@invariant.control("Delta_2 built with P_0 in place of P_1", points=[{"n": 2}])
def _(case: Case) -> Comparison:
    n = case["n"]
    frozen = [instances.nonsingular(case.rng, n) for _ in range(2)]
    U, V = instances.nonsingular(case.rng, n), instances.nonsingular(case.rng, n).transpose()
    pieces = [exact.block(U, range(n), range(l, l + 1)) * exact.block(V, range(l, l + 1), range(n)) for l in range(2)]
    updates = [frozen[1].inv() * pieces[0], pieces[1]]
    changed = exact.product([W + D for W, D in zip(frozen, updates, strict=True)])
    return equal(exact.frobenius_norm_squared(changed - exact.product(frozen) - U * V), 0)


@PAPER.formula("generic-rank", D=(2, 3), L=(1, 2))
def generic_rank(case: Case) -> Comparison:
    r"""For generic matrices rank(\bar W - \prod_l W_l) = D.

    The measured value is the rank at a random point modulo a prime, which is a rigorous lower bound of the generic
    rank; D is an upper bound of every rank.
    """
    D, L = case["D"], case["L"]
    matrices = [sympy.Matrix(D, D, sympy.symbols(f"W{layer}_:{D * D}")) for layer in range(L + 1)]
    difference = matrices[L] - sympy.prod(reversed(matrices[:L]), start=sympy.eye(D))
    return equal(symbolic.generic_rank(difference, case.rng), D)


@generic_rank.control("the target is the product", D=(2,), L=(2,))
def _(case: Case) -> Comparison:
    W = [sympy.Matrix(2, 2, sympy.symbols(f"W{layer}_:4")) for layer in range(2)]
    return equal(symbolic.generic_rank((W[1] * W[0] - W[1] * W[0]).expand(), case.rng), case["D"])
