"""Which parameters of a diagonal layer have to change: sparse dimension tuning (SDT), and LoRA on the eigenvalues."""

from itertools import combinations, product

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, equal, exact, instances

from .paper import PAPER, Vector, distance, draw, run, s4, unrolled


def kernel(a: Vector, gains: Vector, n: int) -> Vector:
    """Return the first n entries of the convolution kernel, sum_i gains_i a_i^t with gains_i = b_i c_i."""
    return [sum((g * a_i**t for a_i, g in zip(a, gains, strict=True)), fmpq(0)) for t in range(n)]


def impulse_response(a: Vector, b: Vector, c: Vector, n: int) -> Vector:
    """Return the first n outputs of the layer on the input 1, 0, 0, ..."""
    return run(lambda x: (a, b, c), [fmpq(int(t == 0)) for t in range(n)], [fmpq(0)] * len(a))


def order(a: Vector, b: Vector, c: Vector, n: int) -> int:
    """Return the rank of the Hankel matrix of the kernel: the least number of states that generate it.

    Entries in which the kernel, n x n of them, is not the layer's impulse response are added.
    """
    k = kernel(a, [u * v for u, v in zip(b, c, strict=True)], 2 * n - 1)
    wrong = sum(u != v for u, v in zip(k, impulse_response(a, b, c, 2 * n - 1), strict=True))
    return exact.rank([[k[i + j] for j in range(n)] for i in range(n)]) + wrong


@PAPER.lemma("equivalent-parameters", H=(3, 5))
def equivalent_parameters(case: Case) -> Comparison:
    """Permuting the states, and scaling b_i by s_i and c_i by 1 / s_i, leaves the layer the same function.

    So an S4 channel has 2H parameters that matter, a_i and b_i c_i. Measured: the largest difference of 8 outputs.
    """
    return equal(_equivalent(case, inverse=True), 0)


@equivalent_parameters.control("c_i scaled by s_i too")
def _(case: Case) -> Comparison:
    return equal(_equivalent(case, inverse=False), 0)


def _equivalent(case: Case, inverse: bool) -> fmpq:
    H = case["H"]
    layer, scale, turn = s4(case, H), draw(case, H), case.rng.permutation(H)
    a, b, c = layer(fmpq(0))
    moved = (
        [a[i] for i in turn],
        [b[i] * scale[i] for i in turn],
        [c[i] / scale[i] if inverse else c[i] * scale[i] for i in turn],
    )
    inputs, zero = draw(case, 8), [fmpq(0)] * H
    return distance(run(layer, inputs, zero), unrolled(lambda x: moved, inputs, zero))


@PAPER.lemma("order-of-a-kernel", H=(3, 5))
def order_of_a_kernel(case: Case) -> Comparison:
    """The Hankel rank of the kernel is the number of states with b_i c_i != 0, for distinct eigenvalues.

    Hence no layer of fewer states is the same function; a_i and b_i c_i are unique up to order (Prony).
    """
    a, b, c = s4(case, case["H"])(fmpq(0))
    dead = int(case.rng.integers(0, 3))
    c = [fmpq(0)] * dead + c[dead:]
    return equal(order(a, b, c, 2 * case["H"] + 1), case["H"] - dead)


@order_of_a_kernel.control("a repeated eigenvalue")
def _(case: Case) -> Comparison:
    a, b, c = s4(case, case["H"])(fmpq(0))
    return equal(order([a[1], *a[1:]], b, c, 2 * case["H"] + 1), case["H"])


STATES = ({"H": 4, "target": 2}, {"H": 5, "target": 1}, {"H": 4, "target": 4})


def frozen_and_target(case: Case, denominator: int = 8) -> tuple[tuple[Vector, Vector, Vector], Vector, Vector]:
    """Return (a, b, c) of the frozen layer, then the target's eigenvalues, none of them frozen, and gains."""
    H, k = case["H"], case["target"]
    eigenvalues = draw(case, H + k, denominator)
    b, c, gains = (draw(case, n, denominator) for n in (H, H, k))
    return (eigenvalues[:H], b, c), eigenvalues[H:], gains


def tuned(case: Case, moved: int, silenced: int) -> fmpq:
    """Return the kernel's error after a and c of `moved` states were set, and c of `silenced` others was set to 0."""
    (a, b, c), wanted, gains = frozen_and_target(case)
    a, c = list(a), list(c)
    for i in range(moved):
        a[i], c[i] = wanted[i], gains[i] / b[i]
    for i in range(moved, moved + silenced):
        c[i] = fmpq(0)
    n = 2 * (case["H"] + case["target"])
    return distance(impulse_response(a, b, c, n), kernel(wanted, gains, n))


@PAPER.theorem("sdt", points=STATES)
def sdt(case: Case) -> Comparison:
    r"""H + H* entries express any target of H* <= H states exactly: H* of diag(A), and H of C.

    As recalled, for one S4 channel with b_i != 0: set a and c of H* states, silence the other H - H* by c_i = 0. B
    stays frozen. Compared on 2(H + H*) entries of the kernel, which determine it.
    """
    return equal(tuned(case, case["target"], case["H"] - case["target"]), 0)


@sdt.control("one state is left alone", points=STATES[:2])
def _(case: Case) -> Comparison:
    return equal(tuned(case, case["target"], case["H"] - case["target"] - 1), 0)


@PAPER.theorem("sdt-is-minimal", points=({"H": 3, "target": 1}, {"H": 2, "target": 1}, {"H": 2, "target": 2}))
def sdt_is_minimal(case: Case) -> Comparison:
    r"""No H + H* - 1 entries of diag(A) and C suffice, for generic frozen layers and targets.

    The kernel is \sum g_i a_i^t; grouped by equal a_i, each group is a target's term or cancels. Counted, by trying
    all choices of that many entries and all groupings: the choices that reach the target. A state may go to a target's
    eigenvalue, to a frozen one, or to a new one.
    """
    return equal(_reaching(case, case["H"] + case["target"] - 1), 0)


@sdt_is_minimal.control("H + H* entries")
def _(case: Case) -> Comparison:
    return equal(_reaching(case, case["H"] + case["target"]), 0)


def _reaching(case: Case, entries: int) -> int:
    """Count the sets of entries of (a, c) with which, all others frozen, some grouping of the states fits."""
    H = case["H"]
    (a, b, c), eigenvalues, gains = frozen_and_target(case, denominator=997)
    frozen, wanted = [u * v for u, v in zip(b, c, strict=True)], dict(zip(eigenvalues, gains, strict=True))
    if any(sum(some, fmpq(0)) in (fmpq(0), *gains) for n in range(1, H + 1) for some in combinations(frozen, n)):
        raise OutOfScope("some gains of the frozen layer cancel, or add up to one of the target")
    groupings = list(product([*eigenvalues, *a, fmpq(2)], repeat=H))
    return sum(
        any(
            all(place == a[i] or i in chosen for i, place in enumerate(places))
            and gains_fit(places, {i - H for i in chosen if i >= H}, frozen, wanted)
            for places in groupings
        )
        for chosen in combinations(range(2 * H), entries)
    )


def gains_fit(places: tuple[fmpq, ...], free: set[int], gains: Vector, wanted: dict[fmpq, fmpq]) -> bool:
    """Tell whether the free gains can give each eigenvalue the total that the target has there."""
    for place in {*places, *wanted}:
        members = {i for i, at in enumerate(places) if at == place}
        fixed = sum((gains[i] for i in members - free), fmpq(0))
        if not members & free and fixed != wanted.get(place, fmpq(0)):
            return False
    return True


@PAPER.proposition("eigenvalues-have-to-move", H=(3, 5))
def eigenvalues_have_to_move(case: Case) -> Comparison:
    """With diag(A) frozen, no B and no C reach a target with another eigenvalue: it is off the span of the a_i^t.

    Measured: the rank of the H frozen exponentials and the target's kernel, on 2H entries: H + 1. A gain after the
    layer, or LoRA on the projections around it, changes gains only.
    """
    return equal(_rank_with_target(case, new=True), case["H"] + 1)


@eigenvalues_have_to_move.control("a target with a frozen eigenvalue")
def _(case: Case) -> Comparison:
    return equal(_rank_with_target(case, new=False), case["H"] + 1)


def _rank_with_target(case: Case, new: bool) -> int:
    H = case["H"]
    (a, *_), wanted, gains = frozen_and_target(case.derive(target=1))
    target = [gains[0] * (wanted if new else a)[0] ** t for t in range(2 * H)]
    return exact.rank([[a_i**t for t in range(2 * H)] for a_i in a] + [target])


@PAPER.proposition("lora-on-the-eigenvalues", D=(6,), r=(1, 2))
def lora_on_the_eigenvalues(case: Case) -> Comparison:
    r"""The diagonals of D channels as a D x H matrix: LoRA of rank r cannot move one state in each of r + 1 channels.

    Where the r + 1 states differ, the update has r + 1 non-zero entries, in distinct rows and columns: its rank is
    r + 1. It has r + 1 parameters, where LoRA of rank r spends r(D + H). A re-derived reason for sparse updates.
    """
    return equal(_rank_of_sparse_update(case, distinct=True), case["r"] + 1)


@lora_on_the_eigenvalues.control("the same state in every channel")
def _(case: Case) -> Comparison:
    return equal(_rank_of_sparse_update(case, distinct=False), case["r"] + 1)


def _rank_of_sparse_update(case: Case, distinct: bool) -> int:
    D, k = case["D"], case["r"] + 1
    before = instances.integers(case.rng, D, 4)
    after = fmpq_mat(before)
    rows, columns = case.rng.choice(D, k, replace=False), case.rng.choice(4, k, replace=False)
    for i, j in zip(rows, columns, strict=True):
        after[int(i), int(j if distinct else columns[0])] += fmpq(1 + int(case.rng.integers(5)), 7)
    return exact.rank(after - before)
