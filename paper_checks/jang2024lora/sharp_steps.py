r"""The steps of the sharp theorem, one by one and over Q; the proof, its numbers and its letters are in `sharp`."""

from __future__ import annotations

from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, equal, exact, instances, ntk
from lora_proofs.exact import inertia

from .paper import PAPER
from .planted import Plant, as_rows, jacobian, on_face, violated_and_null
from .sharp import full_rank_plant, half
from .variational import sizes


@PAPER.theorem("4.1-sharp-step-2", shape=("4-4-2", "6-3-2", "3-5-3", "7-4-1", "5-5-4"))
def multiplicity_has_codimension(case: Case) -> Comparison:
    r"""A singular value \lambda > 0 of multiplicity \mu has codimension \mu(\mu+1)/2 in R^{m x n}, for every m and n.

    Near M the matrices with it are those for which a symmetric \mu x \mu Schur complement of [[\lambda I, -M], [-M^T,
    \lambda I]] vanishes; its derivative is -sym(U_0^T dM V_0), up to a factor. Measured: the rank of that map.
    """
    return equal(symmetric_part_rank(case), half(sizes(case["shape"])[2]))


@multiplicity_has_codimension.control("mu^2, as if U_0^T dM V_0 had to vanish", shape=("4-4-2", "6-3-2"))
def _(case: Case) -> Comparison:
    return equal(symmetric_part_rank(case), sizes(case["shape"])[2] ** 2)


def symmetric_part_rank(case: Case) -> int:
    """Return the rank of dM -> sym(U_0^T dM V_0) at random rational singular vectors."""
    m, n, mu = sizes(case["shape"])
    U, V = instances.rational_orthogonal(case.rng, m), instances.rational_orthogonal(case.rng, n)
    U0, V0 = (exact.block(X, range(X.nrows()), range(mu)) for X in (U, V))
    return exact.rank(fmpq_mat(multiplicity_conditions(U0, V0)))


def multiplicity_conditions(U0: fmpq_mat, V0: fmpq_mat) -> list[list[Any]]:
    """Return the p linear forms of dM that make up sym(U_0^T dM V_0)."""
    mu, m, n = U0.ncols(), U0.nrows(), V0.nrows()
    return [
        [U0[i, a] * V0[j, b] + U0[i, b] * V0[j, a] for i in range(m) for j in range(n)]
        for a in range(mu)
        for b in range(a, mu)
    ]


@PAPER.theorem("4.1-sharp-step-3", shape=("4-4-2", "5-3-2", "4-5-3"), d=(3, 5, 8))
def injectivity_has_codimension(case: Case) -> Comparison:
    r"""Given the p conditions on M, the d conditions <G_k, U_0 X V_0^T> = 0, X traceless, are d - 1 more.

    As \sum_k \rho_k <G_k, U_0 X V_0^T> = <M, U_0 X V_0^T> = \lambda tr X = 0 holds already. Measured: the rank of all
    as linear forms of dG, for random integer \rho and X; p + d - 1. So triples (G, \rho, [X]) have dimension dim G -
    1.
    """
    p = half(sizes(case["shape"])[2])
    return equal(condition_rank(case), p + case["d"] - 1)


@injectivity_has_codimension.control("d conditions more: as if rho did not tie them")
def _(case: Case) -> Comparison:
    p = half(sizes(case["shape"])[2])
    return equal(condition_rank(case), p + case["d"])


def condition_rank(case: Case) -> int:
    """Return the rank of the conditions on G = (G_1, ..., G_d): multiplicity r, and A(U_0 X V_0^T) = 0."""
    (m, n, r), d, rng = sizes(case["shape"]), case["d"], case.rng
    U, V = instances.rational_orthogonal(rng, m), instances.rational_orthogonal(rng, n)
    U0, V0 = (exact.block(Q, range(Q.nrows()), range(r)) for Q in (U, V))
    rho = [fmpq(int(x)) for x in rng.choice([-2, -1, 1, 2], d)]
    X = instances.integers(rng, r, r)
    X = X + X.transpose() + exact.identity(r)
    X[0, 0] = -sum((X[i, i] for i in range(1, r)), fmpq(0))
    face = (U0 * X * V0.transpose()).entries()
    conditions = [[x * form[i] for x in rho for i in range(m * n)] for form in multiplicity_conditions(U0, V0)]
    conditions += [[x if k == l else fmpq(0) for l in range(d) for x in face] for k in range(d)]
    return exact.rank(fmpq_mat(conditions))


@PAPER.theorem(
    "4.1-sharp-step-3-injective",
    shape=("3-3-1", "4-4-2", "5-3-2", "4-5-3"),
    below=(0, 1),
    top=(125,),
    loss=("squared",),
)
def injective_on_the_face(case: Case) -> Comparison:
    r"""At the planted points A is injective on {U_0 X V_0^T : X symmetric}: it has the rank r(r+1)/2 there.

    The largest of three draws: a rank is attained almost everywhere once it is attained.
    """
    plants = [full_rank_plant(case) for _ in range(3)]
    return equal(max(exact.rank(on_face(p.trap, *p.face())) for p in plants), half(plants[0].trap.r))


@injective_on_the_face.control("on the traps C_r, whose G are not generic", points=[{"r": r} for r in (2, 3, 4)])
def _(case: Case) -> Comparison:
    trap = ntk.traps.family_c(case["r"])
    return equal(exact.rank(on_face(trap, trap.u, trap.v)), half(case["r"]))


@PAPER.theorem(
    "4.1-sharp-step-4",
    shape=("3-3-1", "4-4-2", "5-3-2", "4-5-3"),
    below=(0, 1),
    top=(101, 125),
    loss=("squared", "logistic"),
    proof="sharp_psd",
)
def index_on_W(case: Case) -> Comparison:
    r"""On W = {(u_1 t^T, v_1 t^T)} + N, q has r negative eigenvalues and the kernel N, of dimension r^2.

    q(u_1 t^T, v_1 t^T) = 2(\lambda - \sigma_1)|t|^2, N is in the kernel of q, and the two are orthogonal. Measured: the
    index of q on W, after a check that its rank is the same, and that N is in the kernel.
    """
    return equal(negative_on_W(full_rank_plant(case)), sizes(case["shape"])[2])


def negative_on_W(plant: Plant) -> int:
    """Return the index of q on W, or -1 if it is positive somewhere there, once N is seen in its kernel."""
    violated, null = violated_and_null(plant)
    trap, W, N = plant.trap, as_rows(violated + null), as_rows(null)
    J = jacobian(trap)
    q = trap.hessian() - (fmpq(1, 4) if trap.loss == "logistic" else fmpq(1)) * J.transpose() * J
    if not exact.is_zero(N * q * W.transpose()) or exact.rank(N) != trap.r**2:
        raise ArithmeticError("q is not as step 4 says")
    negative, _, positive = inertia(W * q * W.transpose())
    return -1 if positive else negative


@index_on_W.control(
    "sigma_1 below lam: nothing is violated", top=(50,), shape=("4-4-2", "4-5-3"), below=(1,), loss=("squared",)
)
def _(case: Case) -> Comparison:
    return equal(negative_on_W(full_rank_plant(case)), sizes(case["shape"])[2])


@PAPER.theorem("4.1-sharp-step-5", family=("B", "L+"), r=(1, 2, 3, 4, 5), seeded=False, proof="sharp_psd")
def ranks_at_the_threshold(case: Case) -> Comparison:
    r"""D >= rank C >= r + rank(C|N) = r + r(r+1)/2: steps 4 and 5, met with equality by the traps B_r and L+_r.

    Measured: rank J - r - r(r+1)/2 over Q, after a check that A has the rank r(r+1)/2 on the face.
    """
    trap = ntk.traps.family_b(case["r"]) if case["family"] == "B" else ntk.traps.logistic(case["r"])
    if exact.rank(on_face(trap, trap.u, trap.v)) != half(trap.r):
        raise ArithmeticError("A is not injective on the face")
    return equal(spare_rank(trap), 0)


@ranks_at_the_threshold.control("a functional fewer", r=(2, 3), family=("B",))
def _(case: Case) -> Comparison:
    trap = ntk.traps.family_b(case["r"])
    return equal(spare_rank(trap.without(trap.N - 1)), 0)


def spare_rank(trap: ntk.traps.Trap) -> int:
    """Return rank J - r - r(r+1)/2."""
    return exact.rank(jacobian(trap)) - trap.r - half(trap.r)
