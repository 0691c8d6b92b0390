r"""lam = 0 without a perturbation: d <= r max(m, n) suffices for almost every G, and is sharp.

The statement goes beyond the paper. The proof, in full in `lora_proofs.ntk.thresholds` (its steps 6 to 8); one block
m x n. Let (u, v) be a SOSP of L with M != 0, s = rank M; notation of `sharp`.

6. M v = 0 and M^T u = 0. u and v have rank r (lemma-rank-deficient-unregularised), so s <= min(m, n) - r.
7. For almost every G, A is injective on ker M^T (x) ker M, of dimension c = (m - s)(n - s). Rank s has codimension c,
   and for X in that space <M, X> = 0 makes one of the d conditions <G_k, X> = 0 follow from the others: (G, [rho],
   [X]) have dimension dim G + (d - 1) - c + (c - 1) - (d - 1) = dim G - 1.
8. q = -2 <M, x y^T> has r s negative eigenvalues and the kernel N = {M^T x = 0, M y = 0}. J(N) = A({x v^T + u y^T})
   has dimension r(m - s) + r(n - s) - r^2, by step 7. rho^T J = 0. As in steps 4 and 5 of `sharp`, d - 1 >= r s + r(m
   - s) + r(n - s) - r^2 = r(m + n - s - r) >= r max(m, n).

For every G: d - 1 >= r s >= r, so r >= d suffices. Several blocks: everything in a block with M_t != 0.
"""

from __future__ import annotations

from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, at_least, equal, exact, instances, ntk
from lora_proofs.exact import inertia

from .paper import PAPER
from .planted import Plant, as_rows, index, is_stationary, jacobian, planted, restricted
from .sharp import escape_index, everything
from .spurious import surplus
from .variational import sizes


def plant_of_low_rank(case: Case, d: int, gradients: str = "integers") -> Plant:
    """Return a plant with lam = 0, u and v of rank r, and M of rank s."""
    m, n, r, s = sizes(case["shape"])
    plant = planted(case.rng, [(m, n)], [r], r, d, lam=0, low=[s], loss=case["loss"], gradients=gradients)
    # The singular values of the face are lam = 0 already; those after it are the s others.
    if not is_stationary(plant.trap) or exact.rank(plant.M) != s:
        raise ArithmeticError("the plant failed")
    return plant


def escape_directions(plant: Plant, s: int, block: int = 0) -> tuple[list[Any], list[Any]]:
    """Return (a_i e_c^T, b_i e_c^T) for the s singular pairs of M, where q < 0; and a basis of N."""
    r, k = plant.trap.r, plant.ranks[block]
    U, V = plant.left[block], plant.right[block]
    units = [fmpq_mat(1, r, [int(c == j) for j in range(r)]) for c in range(r)]
    pairs = [(exact.column(U, k + i) * e, exact.column(V, k + i) * e) for i in range(s) for e in units]
    x0, y0 = fmpq_mat(U.nrows(), r), fmpq_mat(V.nrows(), r)
    null = [(exact.column(U, i) * e, y0) for i in range(U.ncols()) if not k <= i < k + s for e in units]
    null += [(x0, exact.column(V, j) * e) for j in range(V.ncols()) if not k <= j < k + s for e in units]
    return pairs, null


def require_injective(plant: Plant, s: int, block: int = 0) -> None:
    """Raise unless A is injective on ker M^T (x) ker M: random integers may hit the null set of step 7."""
    (U, V), k = (plant.left[block], plant.right[block]), plant.ranks[block]
    kernels = [[exact.column(X, i) for i in range(X.ncols()) if not k <= i < k + s] for X in (U, V)]
    on_kernels = [[(a.transpose() * G * b)[0, 0] for a in kernels[0] for b in kernels[1]] for G in plant.trap.gradients]
    if exact.rank(fmpq_mat(on_kernels)) != len(kernels[0]) * len(kernels[1]):
        raise OutOfScope("G is in the null set: A is not injective on the kernels of M")


LARGE = ("3-3-1-2", "4-4-1-3", "4-4-2-2", "6-4-1-3", "5-4-3-1", "4-6-2-2")
"""m - n - r - s with s = min(m, n) - r, the rank of M that leaves the least room."""


@PAPER.theorem("4.1-unregularised", shape=LARGE, loss=("squared", "logistic"), flat=(0, 1), sampled=True)
def unregularised(case: Case) -> Comparison:
    r"""\lambda = 0, P = 0, d <= r max(m, n): for almost every G, all labels and losses, every SOSP is global.

    One block. Proof: the module's steps 6 to 8. Here d = r max(m, n); stationary points of rank r with M != 0 of the
    largest possible rank are planted in integer G, and phi'' is set to 0 in `flat` of the rows. Measured: the number
    of negative eigenvalues of the Hessian on the span of the directions of step 8, at least 1.
    """
    m, n, r, s = sizes(case["shape"])
    plant = plant_of_low_rank(case, r * max(m, n))
    require_injective(plant, s)
    pairs, null = escape_directions(plant, s)
    return at_least(escape_index(plant.trap, pairs + null, case["flat"]), 1)


@unregularised.control("a row more: the traps D", points=[{"sizes": t} for t in ("2-1-2", "4-1-4", "4-2-4", "3-2-5")])
def _(case: Case) -> Comparison:
    trap = ntk.traps.family_d(*sizes(case["sizes"]))
    return at_least(escape_index(trap, everything(trap)), 1)


@PAPER.theorem("4.1-unregularised-blocks", shapes=("3-3+2-4", "3-3+4-4"), r=(1, 2), sampled=True)
def unregularised_blocks(case: Case) -> Comparison:
    r"""Several blocks, \lambda = 0: d <= r min_t max(m_t, n_t) suffices; only a block with M_t != 0 is used.

    The sums of all m_t and n_t do not count. The other block has u, v of rank r too, and M_t = 0.
    """
    shapes, r = [tuple(sizes(shape)) for shape in case["shapes"].split("+")], case["r"]
    s = min(shapes[0]) - r
    d = r * min(max(shape) for shape in shapes)
    plant = planted(case.rng, shapes, [r, r], r, d, lam=0, low=[s, 0])
    require_injective(plant, s)
    pairs, null = escape_directions(plant, s)
    return at_least(escape_index(plant.trap, pairs + null), 1)


@unregularised_blocks.control("without the directions in which q < 0")
def _(case: Case) -> Comparison:
    shapes, r = [tuple(sizes(shape)) for shape in case["shapes"].split("+")], case["r"]
    s = min(shapes[0]) - r
    plant = planted(case.rng, shapes, [r, r], r, r * min(max(shape) for shape in shapes), lam=0, low=[s, 0])
    _, null = escape_directions(plant, s)
    return at_least(escape_index(plant.trap, null), 1)


@PAPER.theorem(
    "4.1-unregularised-any-gradients",
    sampled=True,
    shape=LARGE,
    loss=("squared",),
    gradients=("integers", "rank one", "zero"),
)
def unregularised_any_gradients(case: Case) -> Comparison:
    r"""\lambda = 0, r >= d: every SOSP is global, for every G.

    d - 1 >= r s in step 8 needs no genericity. Here d = r. Measured: the index of the Hessian on the directions of
    step 8, at least 1.
    """
    _, _, r, s = sizes(case["shape"])
    plant = plant_of_low_rank(case, r, case["gradients"])
    pairs, null = escape_directions(plant, s)
    return at_least(escape_index(plant.trap, pairs + null), 1)


@unregularised_any_gradients.control("two rows more, at r = 1: the trap D_2", points=[{"n": 2}])
def _(case: Case) -> Comparison:
    trap = ntk.traps.family_d(case["n"])
    return at_least(escape_index(trap, everything(trap)), 1)


# ------------------------------------------------------------------------------------------------ the steps


@PAPER.theorem("4.1-unregularised-step-7", shape=("3-3-1-1", "3-3-1-2", "4-3-2-1", "4-4-1-2"), d=(3, 6))
def kernel_conditions(case: Case) -> Comparison:
    r"""Rank s has codimension c = (m - s)(n - s); given it, A(X) = 0, X in ker M^T (x) ker M, is d - 1 conditions more.

    Measured: the rank of dM -> U_0^T dM V_0 (U_0, V_0 bases of the kernels), dM = sum_k rho_k dG_k, and of all <dG_k,
    X>, together, as linear forms of dG, at random integer rho and X.
    """
    m, n, _, s = sizes(case["shape"])
    return equal(kernel_condition_rank(case), (m - s) * (n - s) + case["d"] - 1)


@kernel_conditions.control("d conditions more")
def _(case: Case) -> Comparison:
    m, n, _, s = sizes(case["shape"])
    return equal(kernel_condition_rank(case), (m - s) * (n - s) + case["d"])


def kernel_condition_rank(case: Case) -> int:
    """Return the rank of the conditions of step 7."""
    (m, n, _, s), d, rng = sizes(case["shape"]), case["d"], case.rng
    U0 = exact.block(instances.rational_orthogonal(rng, m), range(m), range(m - s))
    V0 = exact.block(instances.rational_orthogonal(rng, n), range(n), range(n - s))
    rho = [fmpq(int(x)) for x in rng.choice([-2, -1, 1, 2], d)]
    X = U0 * instances.integers(rng, m - s, n - s, 1, 3) * V0.transpose()
    forms = [
        [U0[i, a] * V0[j, b] for i in range(m) for j in range(n)] for a in range(m - s) for b in range(n - s)
    ]  # fmt: skip
    conditions = [[x * y for x in rho for y in form] for form in forms]
    conditions += [[x if k == l else fmpq(0) for l in range(d) for x in X.entries()] for k in range(d)]
    return exact.rank(fmpq_mat(conditions))


@PAPER.theorem("4.1-unregularised-step-8", shape=("3-3-1-1", *LARGE), loss=("squared", "logistic"))
def forms_of_step_8(case: Case) -> Comparison:
    r"""Q has r s negative eigenvalues, J(N) has dimension r(m - s) + r(n - s) - r^2, and rho^T J = 0.

    At planted points with d = (m - s)(n - s) + r s + 1 rows, enough for A to be injective as in step 7. Measured: the
    rank of J(N), after a check of the rest.
    """
    m, n, r, s = sizes(case["shape"])
    plant = plant_of_low_rank(case, (m - s) * (n - s) + r * s + 1)
    return equal(rank_on_null(plant, s), r * (m - s) + r * (n - s) - r * r)


@forms_of_step_8.control("r^2 more: the orbit of GL(r) is forgotten")
def _(case: Case) -> Comparison:
    m, n, r, s = sizes(case["shape"])
    plant = plant_of_low_rank(case, (m - s) * (n - s) + r * s + 1)
    return equal(rank_on_null(plant, s), r * (m - s) + r * (n - s))


def rank_on_null(plant: Plant, s: int) -> int:
    """Return the rank of J on N, after checking the index and the kernel of q, and rho^T J = 0."""
    trap, J = plant.trap, jacobian(plant.trap)
    curvature, rho = fmpq(1), [y - z for y, z in zip(trap.labels, fits(trap), strict=True)]
    if trap.loss == "logistic":
        curvature, rho = fmpq(1, 4), list(trap.labels)
    q = trap.hessian() - curvature * J.transpose() * J
    pairs, null = escape_directions(plant, s)
    N = as_rows(null)
    right = inertia(q)[0] == len(pairs) == index(restricted(q, pairs)) and exact.is_zero(N * q) and any(rho)
    if not right or not exact.is_zero(fmpq_mat([rho]) * J) or exact.rank(q) + exact.rank(N) != q.nrows():
        raise ArithmeticError("q or J is not as step 8 says")
    return exact.rank(J * N.transpose())


def fits(trap: ntk.traps.Trap) -> list[Any]:
    """Return A(u v^T) plus the offsets."""
    return [w + y for w, y in zip(trap.rows(trap.u, trap.v), trap.labels, strict=True)]


# ------------------------------------------------------------------------------------------------ sharpness


SHARP = (
    *(f"D-{n}-1-{n}" for n in range(2, 9)),
    *("D-4-2-4", "D-5-3-5", "D-3-2-5", "D-3-1-6"),
    *(f"L0-{n}" for n in range(2, 8)),
)


@PAPER.theorem(
    "4.1-unregularised-is-sharp", trap=SHARP, seeded=False, proof=("trap_d_local", "trap_d_strict", "trap_d_not_global")
)
def unregularised_sharpness(case: Case) -> Comparison:
    r"""For all m >= n > r there is an instance with d = r m + 1 and a strict spurious local minimum, up to GL(r).

    D_n, D_{n,r}, D_{m x n,r} (squared loss, value 1/2 where rank r attains 1/32) and L0_n (logistic, r = 1, rank-one
    points with a loss tending to 0): no negative eigenvalue, and the nullity r^2 of the orbit. Measured over Q: the
    number of eigenvalues <= 0 beyond the orbit's. Among these are the instances D2, D4, D6, L04, L05.
    """
    trap = unregularised_trap(case["trap"])
    if trap.r * max(trap.shape) + 1 != trap.N or not trap.is_spurious():
        raise ArithmeticError(f"{trap.name} has {trap.N} functionals, or no better point")
    return equal(surplus(trap), 0)


@unregularised_sharpness.control("a functional fewer", trap=("D-4-1-4", "D-3-2-5", "D-2-1-2"))
def _(case: Case) -> Comparison:
    return equal(surplus(unregularised_trap(case["trap"]).without(1)), 0)


def unregularised_trap(name: str) -> ntk.traps.Trap:
    """Return the trap of ``"D-n-r-m"`` or ``"L0-n"``."""
    family, *numbers = name.split("-")
    make = ntk.traps.family_d if family == "D" else ntk.traps.logistic_unregularised
    return make(*map(int, numbers))
