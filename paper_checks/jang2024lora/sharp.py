r"""The sharp threshold r(r+3)/2 > d for lam > 0 and almost every G, without a perturbation; r >= d for every G.

The statement goes beyond the paper's Theorem 4.1. The proof, in full in `lora_proofs.ntk.thresholds`, has five steps;
each is a claim here. Let (u, v) be a SOSP of L that is not global, rho = -phi'(w), M = sum_k rho_k G_k, J(x, y) = A(x
v^T + u y^T), q(x, y) = lam (|x|^2 + |y|^2) - 2 <M, x y^T>, C = J^T H J with H = phi'' >= 0 of rank h, p = r(r+1)/2.

1. S is not >= 0, so sigma_1(M) > lam, and by lemma-rank-deficient [u; v] has rank r in the block where that is so:
   lam is a singular value of M of multiplicity mu >= r.
2. Multiplicity mu of a singular value lam > 0 has codimension mu(mu+1)/2, whatever m and n: dM -> sym(U_0^T dM V_0)
   is onto. G -> M is onto for rho != 0, and rho has d dimensions, so for almost every G mu(mu+1)/2 <= d <
   (r+1)(r+2)/2: mu = r, u = U_0 R, v = V_0 R with R invertible. (rho is scaled freely: the null set is the same for
   all lam, labels and losses.)
3. For almost every G, A is injective on {U_0 X V_0^T : X symmetric}. If A(U_0 X V_0^T) = 0, lam tr X = <M, U_0 X
   V_0^T> = 0. Given the p conditions on M, the d conditions <G_k, U_0 X V_0^T> = 0 are d - 1 more: dimension dim G +
   d + (p - 2) - p - (d - 1) = dim G - 1 for the triples (G, rho, [X]).
4. On W = {(u_1 t^T, v_1 t^T)} + N, N = {(U_0 T, V_0 T)}, q <= 0 with kernel N. q + C >= 0 then forces ker(C|W) =
   ker(C|N), rank C >= r + rank(C|N).
5. rank C <= h, and rank(C|N) >= p - (d - h), for J(N) = A(face) has dimension p and ker H dimension d - h. So d >= p
   + r.

For every G, J(u, v) != 0 replaces p by 1 in step 5, since <M, u v^T> = lam |u v^T|_* > 0: d >= r + 1.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, at_least, equal, exact, instances, ntk
from lora_proofs.exact import inner

from .paper import PAPER
from .planted import (
    Plant,
    as_rows,
    index,
    is_stationary,
    on_face,
    planted,
    restricted,
    violated_and_null,
)
from .variational import sizes


def sharp(r: int) -> int:
    """Return r(r+3)/2, the smallest number of rows for which rank r may be trapped."""
    return r * (r + 3) // 2


def half(r: int) -> int:
    """Return p = r(r+1)/2."""
    return r * (r + 1) // 2


def full_rank_plant(case: Case) -> Plant:
    """Return a plant of rank r with sigma_1(M) = top percent of lam, and `below` rows fewer than r(r+3)/2."""
    m, n, r = sizes(case["shape"])
    d = sharp(r) - case["below"]
    top = Fraction(case["top"], 100)
    plant = planted(case.rng, [(m, n)], [r], r, d, top=top, loss=case["loss"])
    if not is_stationary(plant.trap):
        raise ArithmeticError("the point is not stationary")
    return plant


def require_injective(plant: Plant) -> None:
    """Raise unless A is injective on the face: random integers may hit the null set of step 3."""
    face = on_face(plant.trap, *plant.face())
    if exact.rank(face) != face.ncols():
        raise OutOfScope("G is in the null set: A is not injective on the face")


def escape_index(trap: ntk.traps.Trap, directions: list[Any], flat: int = 0) -> int:
    """Return the index of the Hessian on the span of directions, with phi'' = 0 in the first `flat` rows."""
    W = as_rows(directions)
    H, curvature = restricted(trap.hessian(), directions), fmpq(1, 4) if trap.loss == "logistic" else fmpq(1)
    for G in trap.gradients[:flat]:
        row = as_rows([(G * trap.v, G.transpose() * trap.u)]) * W.transpose()
        H -= curvature * row.transpose() * row
    return index(H)


@PAPER.theorem(
    "4.1-sharp",
    shape=("3-3-1", "4-4-2", "5-3-2", "4-5-3", "5-6-4"),
    below=(1,),
    top=(101, 125),
    loss=("squared", "logistic"),
    flat=(0, 1, 3),
    points=[{"shape": "5-5-3", "below": 3, "top": 125, "loss": "squared", "flat": 0}],
    sampled=True,
    proof=("sharp_psd", "sharp_global"),
)
def theorem_4_1_sharp(case: Case) -> Comparison:
    r"""\lambda > 0, r(r+3)/2 > d: for almost every G, all labels and convex C^2 losses, every SOSP of L is global.

    Proof: the module's steps 1 to 5. Here d = r(r+3)/2 - 1, just above; stationary points of rank r that are not
    global, \sigma_1(M) = 1.01 \lambda or 1.25 \lambda, are planted in integer G, and phi'' is set to 0 in `flat` of
    the rows, as a convex loss allows. Measured: the number of negative eigenvalues of the Hessian on W of step 4, at
    least 1.
    """
    plant = full_rank_plant(case)
    require_injective(plant)
    violated, null = violated_and_null(plant)
    return at_least(escape_index(plant.trap, violated + null, min(case["flat"], len(plant.trap.gradients) - 1)), 1)


@theorem_4_1_sharp.control("at the threshold: the traps B_r, d = r(r+3)/2", points=[{"r": r} for r in (1, 2, 3, 4)])
def _(case: Case) -> Comparison:
    trap = ntk.traps.family_b(case["r"])
    return at_least(escape_index(trap, everything(trap)), 1)


@theorem_4_1_sharp.control("B_r, and two rows more in which phi'' = 0", points=[{"r": r} for r in (1, 2, 3)])
def _(case: Case) -> Comparison:
    trap = with_fitted_rows(ntk.traps.family_b(case["r"]), [instances.nonsingular(case.rng, case["r"] + 1)] * 2)
    return at_least(escape_index(trap, everything(trap), 2), 1)


def everything(trap: ntk.traps.Trap) -> list[Any]:
    """Return a basis of all directions (x, y)."""
    (m, n), r = trap.shape, trap.r
    units = [[int(i == k) for i in range((m + n) * r)] for k in range((m + n) * r)]
    return [(fmpq_mat(m, r, e[: m * r]), fmpq_mat(n, r, e[m * r :])) for e in units]


def with_fitted_rows(trap: ntk.traps.Trap, gradients: list[Any]) -> ntk.traps.Trap:
    """Return a squared instance with further rows in front, whose labels make their residuals 0."""
    labels = tuple(inner(G * trap.v, trap.u) for G in gradients)
    zeros = (fmpq(0),) * len(gradients)
    return replace(
        trap,
        gradients=(*gradients, *trap.gradients),
        labels=(*labels, *trap.labels),
        offsets=(*zeros, *trap.offsets),
    )


@PAPER.theorem("4.1-sharp-blocks", shapes=("3-3+3-4", "4-4+3-3"), r=(1, 2), low=(0, 1), sampled=True)
def theorem_4_1_sharp_blocks(case: Case) -> Comparison:
    r"""The same for any number of blocks, with d the rows of all of them: r(r+3)/2 > d suffices for rank r in each.

    Every step runs inside a block where \sigma_1(M_t) > \lambda. The other block has rank r, or r - 1 where `low` is 1.
    Measured: the index of the Hessian on W of the violated block, at least 1.
    """
    shapes, r = [tuple(sizes(shape)) for shape in case["shapes"].split("+")], case["r"]
    plant = planted(case.rng, shapes, [r, r - case["low"]], r, r * (r + 3) // 2 - 1, top=Fraction(5, 4))
    require_injective(plant)
    violated, null = violated_and_null(plant)
    return at_least(escape_index(plant.trap, violated + null), 1)


@theorem_4_1_sharp_blocks.control("W without its violated pair")
def _(case: Case) -> Comparison:
    shapes, r = [tuple(sizes(shape)) for shape in case["shapes"].split("+")], case["r"]
    plant = planted(case.rng, shapes, [r, r - case["low"]], r, sharp(r) - 1, top=Fraction(5, 4))
    _, null = violated_and_null(plant)
    return at_least(escape_index(plant.trap, null), 1)


# ------------------------------------------------------------------------------------------------ every G


@PAPER.theorem(
    "4.1-any-gradients",
    shape=("3-3-1", "4-4-2", "4-5-3", "6-5-4"),
    gradients=("integers", "rank one", "zero"),
    fewer=(0, 1),
    sampled=True,
    proof=("rank_ge_d", "rank_ge_d_global", "sosp_rank_ge_d_global", "one_more_datum", "rank_control"),
)
def any_gradients(case: Case) -> Comparison:
    r"""\lambda > 0, r >= d: every SOSP of L is global, for every G, without a perturbation.

    Steps 1, 4 and 5 with 1 in place of p; step 1 alone gives rank r. Stationary points are planted in generic,
    rank-one and zero gradients (all but one). Measured: the index of the Hessian on W, at least 1. Sharp: the traps
    C_r have d = r + 1.
    """
    m, n, r = sizes(case["shape"])
    d = max(1, r - case["fewer"])
    plant = planted(case.rng, [(m, n)], [r], r, d, top=Fraction(5, 4), gradients=case["gradients"])
    violated, null = violated_and_null(plant)
    # Then <M, u v^T> = lam |u|^2 > 0, so J(u, v) != 0.
    if not is_stationary(plant.trap) or exact.is_zero(plant.trap.u):
        raise ArithmeticError("the plant failed")
    return at_least(escape_index(plant.trap, violated + null), 1)


@any_gradients.control("a row more: the traps C_r", points=[{"r": r} for r in (2, 3, 4, 5)])
def _(case: Case) -> Comparison:
    trap = ntk.traps.family_c(case["r"])
    return at_least(escape_index(trap, everything(trap)), 1)


RULES = ("existence", "theorem_4.1", "canonical_rows", "sharp", "any_gradients", "lam_=_0")
SETTING: dict[str, Any] = {"K": 2, "shapes": [(768, 768)] * 2, "loss": "cross_entropy"}


@PAPER.formula("thresholds", rule=RULES, seeded=False)
def thresholds_for_roberta(case: Case) -> Comparison:
    r"""The rules for the paper's RoBERTa set-up, N = 32, two logits, blocks of 768 x 768: 11, 8 and 7, 32, 1.

    r(r+1)/2 > KN = 64; r(r+1)/2 > (K-1)N = 32; r(r+3)/2 > 32; r >= 32; at \lambda = 0, 32 <= 768 r. A minimiser of
    rank 7 or less exists. Measured: the smallest rank that satisfies each, counted here; the table of the library is
    the bound.
    """
    return compared(case["rule"].replace("_", " "), ntk.thresholds(N=32, **SETTING))


@thresholds_for_roberta.control(
    "the table for twice as many data", rule=tuple(rule for rule in RULES if rule != "lam_=_0")
)
def _(case: Case) -> Comparison:
    return compared(case["rule"].replace("_", " "), ntk.thresholds(N=64, **SETTING))


@thresholds_for_roberta.control("the table for blocks of 31 x 31", rule=("lam_=_0",))
def _(case: Case) -> Comparison:
    return compared(case["rule"].replace("_", " "), ntk.thresholds(N=32, **(SETTING | {"shapes": [(31, 31)]})))


def compared(rule: str, table: ntk.Thresholds) -> Comparison:
    """Compare the smallest rank that satisfies a rule in the paper's set-up with that of a table."""
    return equal(least_rank(rule, 32), table[rule].rank)


def least_rank(rule: str, d: int) -> int:
    """Return the smallest r that a rule admits for d rows, with KN = 2 d and sides of 768."""
    conditions = {
        "existence": lambda r: (r + 1) * (r + 2) > 2 * d,
        "theorem 4.1": lambda r: r * (r + 1) > 4 * d,
        "canonical rows": lambda r: r * (r + 1) > 2 * d,
        "sharp": lambda r: sharp(r) > d,
        "any gradients": lambda r: r >= d,
        "lam = 0": lambda r: d <= 768 * r,
    }
    return next(int(r) for r in np.arange(1, 100) if conditions[rule](int(r)))
