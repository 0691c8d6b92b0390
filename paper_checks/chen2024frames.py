r"""Chen, Kümmerle & Wang, Sparse Recovery for Overcomplete Frames: Sensing Matrices and Recovery Guarantees.

arXiv 2408.16166v1, a survey chapter. The abstract was read; the null space properties are as recalled. Theorem 3.10, a
restricted isometry-like result for frames, could not be read and is not checked; success rates of random sensing are in
the figure. F is an n x N frame, A an m x n sensing matrix, m < n < N, and B = A F. Decoders:

    basis pursuit: min |x|_1, B x = B x_0;    l1-synthesis: the same, then z = F x.

Every function on ker B that matters here is linear on orthants. The extreme rays of ker B in an orthant are its
circuits, the vectors of minimal support, of which there are finitely many: so null space properties are decided over Q.
"""

from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, Paper, at_least, at_most, equal, exact, instances

PAPER = Paper(
    key="chen2024frames",
    title="Sparse Recovery for Overcomplete Frames: Sensing Matrices and Recovery Guarantees",
    authors=("Xuemei Chen", "Christian Kümmerle", "Rongrong Wang"),
    year=2024,
    arxiv="2408.16166v1",
)

Vector = list[Any]
HALF = fmpq(1, 2)


def norm1(v: Vector) -> fmpq:
    """Return the sum of the absolute values."""
    return sum(map(abs, v), fmpq(0))


def columns(B: fmpq_mat, chosen: tuple[int, ...] | list[int]) -> fmpq_mat:
    """Return these columns."""
    return fmpq_mat(B.nrows(), len(chosen), [B[i, j] for i in range(B.nrows()) for j in chosen])


def kernel(B: fmpq_mat) -> list[Vector]:
    """Return a basis of the kernel."""
    echelon, rank = B.rref()
    pivots = [next(j for j in range(B.ncols()) if echelon[i, j] != 0) for i in range(rank)]
    basis = []
    for free in (j for j in range(B.ncols()) if j not in pivots):
        v = [fmpq(0)] * B.ncols()
        v[free] = fmpq(1)
        for i, pivot in enumerate(pivots):
            v[pivot] = -echelon[i, free]
        basis.append(v)
    return basis


def circuits(B: fmpq_mat) -> Iterator[Vector]:
    """Yield the vectors of minimal support in the kernel, up to scale; some more than once."""
    for chosen in combinations(range(B.ncols()), exact.rank(B) + 1):
        basis = kernel(columns(B, chosen))
        if len(basis) == 1:
            v = [fmpq(0)] * B.ncols()
            for j, entry in zip(chosen, basis[0], strict=True):
                v[j] = entry
            yield v


def null_space_constant(B: fmpq_mat, k: int) -> fmpq:
    """Return the largest share of |v|_1 that k entries of a v in ker B hold: the property is that it is < 1/2."""
    return max(sum(sorted(map(abs, v))[-k:], fmpq(0)) / norm1(v) for v in circuits(B))


def sensing(case: Case, m: int, n: int) -> fmpq_mat:
    """Return a random integer matrix of full rank."""
    while True:
        A = instances.integers(case.rng, m, n, -4, 4)
        if exact.rank(A) == min(m, n):
            return A


# -------------------------------------------------------------------------------------------- coefficients

SIZES = ({"m": 3, "N": 5, "k": 1}, {"m": 5, "N": 6, "k": 2})


def patterns(N: int, k: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield supports and signs of k-sparse vectors, up to a common sign."""
    for support in combinations(range(N), k):
        for signs in product((1, -1), repeat=k - 1):
            yield support, (1, *signs)


def has_dual_certificate(B: fmpq_mat, support: tuple[int, ...], signs: tuple[int, ...]) -> bool:
    """Tell whether some y has B_T^T y = signs and |b_j^T y| < 1 off T: x_0 is then the only minimiser.

    A linear programme proposes y; it is moved over Q until the equations hold, and judged there.
    """
    from scipy.optimize import linprog

    m, N = B.nrows(), B.ncols()
    floats = np.array([[float(x) for x in row] for row in B.table()])
    off = [j for j in range(N) if j not in support]
    bounds = np.vstack([np.c_[floats[:, off].T, -np.ones(len(off))], np.c_[-floats[:, off].T, -np.ones(len(off))]])
    equations = np.c_[floats[:, support].T, np.zeros(len(support))]
    cost = np.r_[np.zeros(m), 1]
    free = [(None, None)] * m + [(0, None)]
    found = linprog(cost, bounds, np.zeros(2 * len(off)), equations, signs, free)
    on = columns(B, support)
    gram = on.transpose() * on
    if gram.det() == 0 or found.x is None:
        return False
    y = exact.matrix(found.x[:m].reshape(-1, 1))
    y += on * gram.solve(exact.matrix([[s] for s in signs]) - on.transpose() * y)
    slopes = (columns(B, off).transpose() * y).entries()
    return all(abs(s) < 1 for s in slopes)


def recovered(rays: list[Vector], support: tuple[int, ...], signs: tuple[int, ...]) -> bool:
    r"""Tell whether \sum_T signs_i v_i < |v_{T^c}|_1 for all v in ker B, not 0, up to sign."""
    for v in rays:
        on = sum((s * v[i] for i, s in zip(support, signs, strict=True)), fmpq(0))
        if abs(on) >= norm1([x for i, x in enumerate(v) if i not in support]):
            return False
    return True


@PAPER.theorem("null-space-property", points=SIZES)
def null_space_property(case: Case) -> Comparison:
    """Each k-sparse x_0 is the only minimiser of basis pursuit iff |v_T|_1 < |v_{T^c}|_1 on ker B for all |T| = k.

    For v != 0; as recalled, for coefficients. Compared: whether every support and sign pattern has a dual certificate,
    found by a linear programme and judged over Q, and whether the null space constant is below 1/2. Counted are the
    matrices where they differ, of two random ones with m rows and two with m - 1.
    """
    matrices = [sensing(case, case["m"] - less, case["N"]) for less in (0, 0, 1, 1)]
    return equal(disagreements(matrices, case["k"], HALF), 0)


@null_space_property.control("a constant of 1/2 is enough, for [I, 1]", points=[{"m": 3, "k": 2}])
def _(case: Case) -> Comparison:
    m = case["m"]
    B = fmpq_mat(m, m + 1, [int(i == j or j == m) for i in range(m) for j in range(m + 1)])
    return equal(disagreements([B], case["k"], HALF + fmpq(1, 10**6)), 0)


def disagreements(matrices: list[fmpq_mat], k: int, limit: fmpq) -> int:
    """Count the matrices where all patterns have dual certificates and the constant is not below the limit, or so."""
    every = [all(has_dual_certificate(B, T, s) for T, s in patterns(B.ncols(), k)) for B in matrices]
    return sum(a != (null_space_constant(B, k) < limit) for a, B in zip(every, matrices, strict=True))


@PAPER.lemma("one-pattern", points=({"m": 3, "N": 5, "k": 2}, {"m": 4, "N": 5, "k": 2}))
def one_pattern(case: Case) -> Comparison:
    """One support and sign pattern is recovered iff it has a dual certificate: counted over all patterns.

    On the side of ker B the circuits decide. Both counts are over Q; both outcomes occur.
    """
    B = sensing(case, case["m"], case["N"])
    by_dual = [has_dual_certificate(B, T, s) for T, s in patterns(case["N"], case["k"])]
    rays = list(circuits(B))
    by_kernel = [recovered(rays, T, s) for T, s in patterns(case["N"], case["k"])]
    return equal(sum(a != b for a, b in zip(by_dual, by_kernel, strict=True)), 0)


@one_pattern.control("all patterns are recovered", points=[{"m": 3, "N": 5, "k": 2}])
def _(case: Case) -> Comparison:
    rays = list(circuits(sensing(case, case["m"], case["N"])))
    return equal(sum(not recovered(rays, T, s) for T, s in patterns(case["N"], case["k"])), 0)


@PAPER.lemma("too-few-measurements", k=(1, 2, 3), N=(7,), sampled=True)
def too_few_measurements(case: Case) -> Comparison:
    """With m = 2k - 1 < N rows no matrix has the null space property of order k: its constant is at least 1/2.

    A circuit has at most m + 1 = 2k entries, and the k largest hold half of its norm.
    """
    return at_least(null_space_constant(sensing(case, 2 * case["k"] - 1, case["N"]), case["k"]), HALF)


@too_few_measurements.control("N - 1 rows with kernel (1, ..., 1)", k=(3,), N=(7,))
def _(case: Case) -> Comparison:
    n = case["N"]
    B = fmpq_mat(n - 1, n, [int(i == j) - int(i + 1 == j) for i in range(n - 1) for j in range(n)])
    return at_least(null_space_constant(B, case["k"]), HALF)


@PAPER.theorem("stable-recovery", k=(1, 2), N=(7,), sampled=True)
def stable_recovery(case: Case) -> Comparison:
    r"""With g = c / (1 - c) < 1, c the null space constant: |\hat x - x|_1 <= 2 (1 + g) / (1 - g) \sum_{i > k} |x|_(i).

    For every x, not only sparse ones; |x|_(i) falls with i. Here ker B is a line, so that basis pursuit is a minimum
    over breakpoints. Measured: the largest ratio of the sides over 20 compressible x.
    """
    v, signals = compressible(case)
    return at_most(_stability(v, signals, case["k"]), 1)


@stable_recovery.control("one per cent less, at a worst case", points=[{"a": 2}, {"a": 4}])
def _(case: Case) -> Comparison:
    # ker B is spanned by v = (a, 1, ..., 1), a even, and |x + v|_1 < |x|_1 by a hair: x's rest is about (6 - a) / 2.
    a, rest = case["a"], (fmpq(6 - case["a"]) + fmpq(1, 100)) / 2
    v, x = [fmpq(a)] + [fmpq(1)] * 6, [fmpq(-a - 1)]
    for _ in range(6):
        x.append(-min(fmpq(1), rest + sum(x[1:], fmpq(0))))
    return at_most(_stability(v, [x], 1), fmpq(99, 100))


def compressible(case: Case) -> tuple[Vector, list[Vector]]:
    """Return a vector that spans ker B, and 20 x with k large entries."""
    v = [fmpq(int(x)) for x in case.rng.choice([-1, 1], case["N"]) * case.rng.integers(3, 7, case["N"])]
    small = [[fmpq(int(x), 20) for x in case.rng.integers(-9, 10, case["N"])] for _ in range(20)]
    return v, [[s + 10 * (i < case["k"]) for i, s in enumerate(x)] for x in small]


def _stability(v: Vector, signals: list[Vector], k: int) -> fmpq:
    """Return the largest error relative to the rest, over 2 (1 + g) / (1 - g), for ker B spanned by v."""
    c = sum(sorted(map(abs, v))[-k:], fmpq(0)) / sum(map(abs, v), fmpq(0))
    g = c / (1 - c)
    if g >= 1:
        raise OutOfScope("the matrix has no null space property of this order")
    return max(_error_over_rest(x, v, k) for x in signals) / (2 * (1 + g) / (1 - g))


def _error_over_rest(x: Vector, v: Vector, k: int) -> fmpq:
    """Return |x^ - x|_1 over the sum of all but the k largest |x_i|, for ker B spanned by v; 0 if that sum is 0."""
    steps = [fmpq(0)] + [-x_i / v_i for x_i, v_i in zip(x, v, strict=True)]
    best = min(steps, key=lambda t: norm1([x_i + t * v_i for x_i, v_i in zip(x, v, strict=True)]))
    rest = sum(sorted(map(abs, x))[:-k], fmpq(0))
    return abs(best) * norm1(v) / rest if rest else fmpq(0)


# ------------------------------------------------------------------------------------------------- signals

FRAMES = ("generic", "duplicate", "basis and sum", "sparse kernel")


def frame(case: Case) -> fmpq_mat:
    """Return an n x (n + 1) frame: random, with a repeated atom, [I, 1], or with an atom outside all relations."""
    n, kind = case["n"], case["frame"]
    if kind == "basis and sum":
        return fmpq_mat(n, n + 1, [int(i == j or j == n) for i in range(n) for j in range(n + 1)])
    base = instances.nonsingular(case.rng, n)
    mix = [fmpq(int(x)) for x in case.rng.choice([-3, -2, -1, 1, 2, 3], n)]
    if kind == "duplicate":
        mix = [fmpq(int(i == 0)) for i in range(n)]
    if kind == "sparse kernel":
        mix[-1] = fmpq(0)
    last = [sum((base[i, j] * mix[j] for j in range(n)), fmpq(0)) for i in range(n)]
    return fmpq_mat(n, n + 1, [base[i, j] if j < n else last[i] for i in range(n) for j in range(n + 1)])


def two_directions(A: fmpq_mat, F: fmpq_mat) -> tuple[Vector, Vector]:
    """Return u spanning ker F, and v with F v spanning ker A, for kernels that are lines."""
    (u,), (a,) = kernel(F), kernel(A)
    independent = next(chosen for chosen in combinations(range(F.ncols()), F.nrows()) if columns(F, chosen).det() != 0)
    solution = columns(F, independent).solve(exact.matrix([[x] for x in a]))
    v = [fmpq(0)] * F.ncols()
    for i, j in enumerate(independent):
        v[j] = solution[i, 0]
    return u, v


def least_norm(c: Vector, u: Vector) -> fmpq:
    """Return min over t of |c + t u|_1."""
    steps = [-c_i / u_i for c_i, u_i in zip(c, u, strict=True) if u_i != 0]
    return min(norm1([c_i + t * u_i for c_i, u_i in zip(c, u, strict=True)]) for t in steps)


def frame_null_space_property(u: Vector, v: Vector) -> bool:
    r"""Tell whether, for all w = v + t u and each atom j, some s has |w_j e_j + s u|_1 < |w|_1 - |w_j|.

    As a function of t the difference of the sides has its breakpoints among -v_i / u_i: the left side is the infimal
    convolution of |v_j + t u_j| and |t| |u|_1 restricted off j. Beyond them it does not increase.
    """
    steps = [-v_i / u_i for v_i, u_i in zip(v, u, strict=True) if u_i != 0]
    for t in steps:
        w = [v_i + t * u_i for v_i, u_i in zip(v, u, strict=True)]
        for j, w_j in enumerate(w):
            alone = [w_j if i == j else fmpq(0) for i in range(len(w))]
            if least_norm(alone, u) >= norm1(w) - abs(w_j):
                return False
    return True


def atoms_are_recovered(u: Vector, v: Vector) -> bool:
    r"""Tell whether l1-synthesis returns the signal f_j from A f_j, for every atom j.

    p(t) = min_s |e_j + t v + s u|_1 is convex and linear between the t of its arrangement's vertices; f_j is the only
    signal iff p exceeds p(0) at the next t on either side of 0.
    """
    n = len(u)
    for j in range(n):
        e = [fmpq(int(i == j)) for i in range(n)]
        vertices = {fmpq(1), fmpq(-1)}
        for i, k in combinations(range(n), 2):
            determinant = v[i] * u[k] - v[k] * u[i]
            if determinant != 0:
                vertices.add((e[k] * u[i] - e[i] * u[k]) / determinant)
        now = least_norm(e, u)
        for step in (min(t for t in vertices if t > 0), max(t for t in vertices if t < 0)):
            if least_norm([e_i + step * v_i for e_i, v_i in zip(e, v, strict=True)], u) <= now:
                return False
    return True


def instance(case: Case) -> tuple[fmpq_mat, fmpq_mat]:
    """Return A with one row less than columns, and F with one atom more than rows."""
    F = frame(case)
    return sensing(case, case["n"] - 1, case["n"]), F


@PAPER.theorem(
    "f-null-space-property", n=(4,), frame=FRAMES, points=[{"n": 3, "frame": f} for f in ("duplicate", "sparse kernel")]
)
def f_null_space_property(case: Case) -> Comparison:
    r"""l1-synthesis recovers all signals F x, x k-sparse, iff A has the null space property of F of order k.

    That is: for v with F v in ker A, not 0, and |T| <= k, some u in ker F has |v_T + u|_1 < |v_{T^c}|_1. As recalled;
    for k = 1, where signals are multiples of atoms, and kernels that are lines, both sides are decided over Q. Counted
    are the pairs A, F of 12 where they differ.
    """
    lines = [two_directions(*instance(case)) for _ in range(12)]
    return equal(sum(frame_null_space_property(u, v) != atoms_are_recovered(u, v) for u, v in lines), 0)


@f_null_space_property.control("the null space property of A F", points=[{"n": 4, "frame": "duplicate"}])
def _(case: Case) -> Comparison:
    pairs = [instance(case) for _ in range(12)]
    return equal(
        sum((null_space_constant(A * F, 1) < HALF) != atoms_are_recovered(*two_directions(A, F)) for A, F in pairs), 0
    )


@PAPER.theorem("full-spark", n=(4, 5), frame=("generic", "basis and sum"))
def full_spark(case: Case) -> Comparison:
    """Where F has full spark (n atoms are always independent), A F has the null space property iff A has that of F.

    As recalled, here for k = 1 and n + 1 atoms: full spark says that ker F has no zero entry. Counted are the pairs
    A, F of 12 where they differ.
    """
    return equal(unlike([instance(case) for _ in range(12)], spark=True), 0)


@full_spark.control("a duplicated atom", points=[{"n": 4, "frame": "duplicate"}])
def _(case: Case) -> Comparison:
    return equal(unlike([instance(case) for _ in range(12)], spark=False), 0)


def unlike(pairs: list[tuple[fmpq_mat, fmpq_mat]], spark: bool) -> int:
    """Count the pairs where A F has the null space property and A not that of F, or so; all, or of full spark only."""
    lines = [(A * F, *two_directions(A, F)) for A, F in pairs]
    lines = [(B, u, v) for B, u, v in lines if all(u) or not spark]
    if not lines:
        raise OutOfScope("no frame has full spark")
    return sum((null_space_constant(B, 1) < HALF) != frame_null_space_property(u, v) for B, u, v in lines)


@PAPER.formula("duplicated-atom", m=(3, 4), sampled=True)
def duplicated_atom(case: Case) -> Comparison:
    """With an atom twice in F the null space constant of A F of order 1 is at least 1/2: e_1 - e_N is in ker F.

    Coefficients are then not unique, however many measurements there are, while signals may all be recovered.
    """
    return at_least(_constant_with_repeat(case, repeat=True), HALF)


@duplicated_atom.control("no repeated atom: F = I, A = [I, -1]")
def _(case: Case) -> Comparison:
    return at_least(_constant_with_repeat(case, repeat=False), HALF)


def _constant_with_repeat(case: Case, repeat: bool) -> fmpq:
    m = case["m"]
    if not repeat:
        B = fmpq_mat(m, m + 1, [int(i == j) - int(j == m) for i in range(m) for j in range(m + 1)])
        return null_space_constant(B, 1)
    F = frame(case.derive(n=m + 1, frame="duplicate"))
    return null_space_constant(sensing(case, m, m + 1) * F, 1)
