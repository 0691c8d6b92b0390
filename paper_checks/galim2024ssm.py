r"""Galim et al., Parameter-Efficient Fine-Tuning of State Space Models, arXiv 2410.09016v3, ICML 2025.

A first version called its method SDLoRA, the third SDT (sparse dimension tuning). Abstracts, metadata and the names in
the official repository were read; the statements on prefix-tuning and on SDT are as recalled and re-derived here. Not
checked: that LoRA is not effective on state space modules, which is empirical.

One channel of a diagonal (S4) layer: h_t = diag(a) h_{t-1} + b x_t, y_t = c^T h_t, with H states. In a selective layer
(S6, Mamba) a, b, c depend on x_t. A prefix is M tokens p_1, ..., p_M before the input.
"""

from collections.abc import Callable
from itertools import combinations, product
from math import prod
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from lora_proofs import Case, Comparison, OutOfScope, Paper, at_most, equal, exact, instances

PAPER = Paper(
    key="galim2024ssm",
    title="Parameter-Efficient Fine-Tuning of State Space Models",
    authors=("Kevin Galim", "Wonjun Kang", "Yuchen Zeng", "Hyung Il Koo", "Kangwook Lee"),
    year=2024,
    arxiv="2410.09016v3",
)

Vector = list[fmpq]
Layer = Callable[[fmpq], tuple[Vector, Vector, Vector]]
"""Maps an input to (a, b, c); a constant function is an S4 layer."""


def draw(case: Case, n: int, denominator: int = 8) -> Vector:
    """Return n distinct non-zero rationals in (-1, 1), in random order."""
    values = [k for k in range(1 - denominator, denominator) if k]
    return [fmpq(int(x), denominator) for x in case.rng.choice(values, n, replace=False)]


def s4(case: Case, H: int) -> Layer:
    """Return a layer with distinct rational eigenvalues and non-zero b, c."""
    a, b, c = draw(case, H), draw(case, H), draw(case, H)
    return lambda x: (a, b, c)


def s6(case: Case, H: int) -> Layer:
    """Return a selective layer: a_i = 1 / (1 + (i + 1) x^2) and b, c affine in x."""
    (b0, b1), (c0, c1) = ((draw(case, H), draw(case, H)) for _ in range(2))
    return lambda x: (
        [1 / (1 + (i + 1) * x * x) for i in range(H)],
        [u + v * x for u, v in zip(b0, b1, strict=True)],
        [u + v * x for u, v in zip(c0, c1, strict=True)],
    )


def run(layer: Layer, inputs: Vector, state: Vector) -> Vector:
    """Return the outputs, step by step."""
    outputs = []
    for x in inputs:
        a, b, c = layer(x)
        state = [a_i * h + b_i * x for a_i, b_i, h in zip(a, b, state, strict=True)]
        outputs.append(sum((c_i * h for c_i, h in zip(c, state, strict=True)), fmpq(0)))
    return outputs


def unrolled(layer: Layer, inputs: Vector, state: Vector) -> Vector:
    """Return the outputs without recursion, as c_t^T (A_t ... A_1 h_0 + sum_s A_t ... A_{s+1} b_s x_s)."""
    return [
        sum((c_i * (h + z) for c_i, h, z in zip(layer(x)[2], carried(layer, inputs[: t + 1], state),
                                                initial_state(layer, inputs[: t + 1]), strict=True)), fmpq(0))
        for t, x in enumerate(inputs)
    ]  # fmt: skip


def carried(layer: Layer, inputs: Vector, state: Vector) -> Vector:
    """Return A_M ... A_1 h_0."""
    for x in inputs:
        state = [a_i * z for a_i, z in zip(layer(x)[0], state, strict=True)]
    return state


def initial_state(layer: Layer, prefix: Vector) -> Vector:
    r"""Return \sum_m A_M ... A_{m+1} B_m p_m."""
    terms = [carried(layer, prefix[m + 1 :], [b_i * p for b_i in layer(p)[1]]) for m, p in enumerate(prefix)]
    return [sum(entries, fmpq(0)) for entries in zip(*terms, strict=True)]


def distance(u: Vector, v: Vector) -> fmpq:
    """Return the largest difference of two sequences."""
    return max(abs(p - q) for p, q in zip(u, v, strict=True))


# -------------------------------------------------------------------------------------------------- prefixes

LAYERS = {"S4": s4, "S6": s6}


@PAPER.proposition("prefix-is-initial-state", layer=tuple(LAYERS), M=(1, 3, 6))
def prefix_is_initial_state(case: Case) -> Comparison:
    r"""A prefix changes the outputs on the input just as the initial state \sum_m A_M ... A_{m+1} B_m p_m does.

    For every input and every prefix, in S4 and S6 layers. Measured: the largest difference over 5 outputs.
    """
    return equal(_effect_of_prefix(case, step=1), 0)


@prefix_is_initial_state.control("the prefix reversed", layer=tuple(LAYERS), M=(3, 6))
def _(case: Case) -> Comparison:
    return equal(_effect_of_prefix(case, step=-1), 0)


def _effect_of_prefix(case: Case, step: int) -> fmpq:
    """Return how far a prefix is from the initial state of that prefix, read forward or backward."""
    layer, prefix, inputs = LAYERS[case["layer"]](case, 4), draw(case, case["M"]), draw(case, 5)
    with_prefix = run(layer, prefix + inputs, [fmpq(0)] * 4)[len(prefix) :]
    return distance(with_prefix, unrolled(layer, inputs, initial_state(layer, prefix[::step])))


def reach(a: Vector, b: Vector, M: int) -> fmpq_mat:
    """Return the (H, M) matrix that maps a prefix to its state: columns diag(a)^{M-m} b."""
    return fmpq_mat(len(a), M, [b_i * a_i ** (M - 1 - m) for a_i, b_i in zip(a, b, strict=True) for m in range(M)])


def reached(a: Vector, b: Vector, M: int) -> int:
    """Return the rank of `reach`, and add the number of its columns that are not the states of unit prefixes."""
    states = reach(a, b, M)
    units = [initial_state(lambda x: (a, b, b), [fmpq(int(k == m)) for k in range(M)]) for m in range(M)]
    wrong = sum(states[i, m] != unit[i] for m, unit in enumerate(units) for i in range(len(a)))
    return exact.rank(states) + wrong


@PAPER.proposition("reachable-states", H=(4, 6), M=(1, 3, 4, 6))
def reachable_states(case: Case) -> Comparison:
    """Distinct eigenvalues, b_i != 0: the states that M tokens reach have dimension min(M, H).

    So prefix-tuning is initial-state tuning for M >= H tokens, and less for fewer. The matrix is Vandermonde's with
    scaled rows.
    """
    a, b, _ = s4(case, case["H"])(fmpq(0))
    return equal(reached(a, b, case["M"]), min(case["M"], case["H"]))


@reachable_states.control("a repeated eigenvalue", H=(4,), M=(4, 6))
def _(case: Case) -> Comparison:
    a, b, _ = s4(case, case["H"])(fmpq(0))
    return equal(reached([a[0], *a[:-1]], b, case["M"]), min(case["M"], case["H"]))


@reachable_states.control("a state without input", H=(4,), M=(4, 6))
def _(case: Case) -> Comparison:
    a, b, _ = s4(case, case["H"])(fmpq(0))
    return equal(reached(a, [fmpq(0), *b[1:]], case["M"]), min(case["M"], case["H"]))


@PAPER.proposition(
    "repeated-eigenvalues", gap="scope restriction: the eigenvalues of the layer must be distinct", H=(5,)
)
def repeated_eigenvalues(case: Case) -> Comparison:
    """However many tokens: the reachable states have as many dimensions as there are eigenvalues with some b_i != 0."""
    distinct = int(case.rng.integers(2, 5))
    pool = draw(case, distinct)
    a = pool + [pool[int(k)] for k in case.rng.integers(0, distinct, case["H"] - distinct)]
    return equal(reached(a, draw(case, case["H"]), 3 * case["H"]), distinct)


@repeated_eigenvalues.control("M >= H tokens reach everything")
def _(case: Case) -> Comparison:
    return equal(repeated_eigenvalues(case).measured, case["H"])


@PAPER.formula("length-of-the-prefix", H=(3, 5), spread=(8, 64))
def length_of_the_prefix(case: Case) -> Comparison:
    r"""The first of the H tokens that reach the state e_i is 1 / (b_i \prod_{j != i} (a_i - a_j)).

    It is the leading coefficient of Lagrange's polynomial. So states whose eigenvalues are close, as slow ones are,
    need huge tokens: here a_i = 1 - n_i / spread, with distinct n_i in 1, ..., 7.
    """
    return equal(_first_token(case, 0), 1)


@length_of_the_prefix.control("one factor is forgotten")
def _(case: Case) -> Comparison:
    return equal(_first_token(case, 1), 1)


def _first_token(case: Case, forgotten: int) -> fmpq:
    """Return the first token over what the formula says, without the first factors of its product."""
    H, i = case["H"], int(case.rng.integers(case["H"]))
    a = [1 - fmpq(int(n), case["spread"]) for n in case.rng.choice(np.arange(1, 8), H, replace=False)]
    b, wanted = draw(case, H), fmpq_mat(H, 1)
    wanted[i, 0] = fmpq(1)
    factors = [a[i] - a_j for j, a_j in enumerate(a) if j != i]
    return reach(a, b, H).solve(wanted)[0, 0] * b[i] * prod(factors[forgotten:])


@PAPER.formula("decay", t=(0, 5, 20), H=(1, 4), sampled=True)
def decay(case: Case) -> Comparison:
    r"""An initial state h changes y_t by at most \rho^t \sum |c_i a_i h_i|, \rho = max |a_i|, for t = 0, 1, ...

    In an S4 layer: the effect of a prefix decays. Attained with one state. Measured: the ratio of the change to this
    bound.
    """
    return at_most(_decay(case, max), 1)


@decay.control("one per cent less, with one state", t=(0, 5, 20), H=(1,))
def _(case: Case) -> Comparison:
    return at_most(_decay(case, max), fmpq(99, 100))


@decay.control("the smallest |a_i|", t=(20,), H=(4,))
def _(case: Case) -> Comparison:
    return at_most(_decay(case, min), 1)


def _decay(case: Case, extreme: Any) -> fmpq:
    layer, h, inputs = s4(case, case["H"]), draw(case, case["H"]), draw(case, 14) * 2
    a, _, c = layer(fmpq(0))
    outputs = [run(layer, inputs[: case["t"] + 1], state)[-1] for state in (h, [fmpq(0)] * case["H"])]
    size = sum((abs(u * v * w) for u, v, w in zip(a, c, h, strict=True)), fmpq(0))
    return abs(outputs[0] - outputs[1]) / (size * extreme(map(abs, a)) ** case["t"])


# ------------------------------------------------------------------------------- which parameters have to change


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
