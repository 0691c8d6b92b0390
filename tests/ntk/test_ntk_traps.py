"""The exact families: every step of their docstrings over Q, printed instances, and what must not be a trap."""

import json
from dataclasses import replace
from itertools import product

import flint
import numpy as np
import pytest

from lora_proofs import exact
from lora_proofs.exact import floats, inertia, inner
from lora_proofs.ntk import traps
from lora_proofs.ntk.landscape import polish
from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.ntk.second_order import exact_second_order, second_order

FAMILIES = [
    traps.family_a(),
    *(traps.family_b(r) for r in range(1, 7)),
    *(traps.family_c(r) for r in range(3, 6)),
    *(traps.family_d(n) for n in range(2, 9)),
    *(traps.family_d(*sizes) for sizes in [(4, 2), (5, 3), (3, 2, 5), (3, 1, 6)]),
    *(traps.logistic(r) for r in range(1, 7)),
    *(traps.logistic_unregularised(n) for n in range(2, 8)),
]

PRINTED = """[
{"name": "B2", "loss": "sq", "lam": "1",
 "G": [[["1","0","0"],["0","0","0"],["0","0","5/4"]], [["0","0","0"],["0","1","0"],["0","0","0"]],
       [["0","1/2","0"],["1/2","0","0"],["0","0","0"]], [["0","0","1/2"],["0","0","0"],["1/2","0","0"]],
       [["0","0","0"],["0","0","1/2"],["0","1/2","0"]]],
 "u": [["1","0"],["0","1"],["0","0"]], "v": [["1","0"],["0","1"],["0","0"]], "y": ["2","2","0","0","0"]},
{"name": "C3", "loss": "sq", "lam": "1",
 "G": [[["1","0","0","0"],["0","1","0","0"],["0","0","1","0"],["0","0","0","5/4"]],
       [["0","0","0","1/2"],["0","0","0","0"],["0","0","0","0"],["1/2","0","0","0"]],
       [["0","0","0","0"],["0","0","0","1/2"],["0","0","0","0"],["0","1/2","0","0"]],
       [["0","0","0","0"],["0","0","0","0"],["0","0","0","1/2"],["0","0","1/2","0"]]],
 "u": [["1","0","0"],["0","1","0"],["0","0","1"],["0","0","0"]],
 "v": [["1","0","0"],["0","1","0"],["0","0","1"],["0","0","0"]], "y": ["4","0","0","0"]},
{"name": "D2", "loss": "sq", "lam": "0",
 "G": [[["1","0"],["0","0"]], [["0","3/2"],["3/2","0"]], [["0","0"],["0","1"]]],
 "u": [["0"],["1/2"]], "v": [["0"],["1/2"]], "y": ["1","0","1/4"]},
{"name": "L+2", "loss": "logistic", "lam": "1",
 "G": [[["2","-1/2","-2"],["-1/2","1","-2"],["-2","-2","5/2"]], [["0","1/2","0"],["1/2","0","0"],["0","0","0"]],
       [["0","0","0"],["0","1","0"],["0","0","0"]], [["0","0","2"],["0","0","0"],["2","0","0"]],
       [["0","0","0"],["0","0","2"],["0","2","0"]]],
 "u": [["2","0"],["0","2"],["0","0"]], "v": [["2","0"],["0","2"],["0","0"]],
 "f": ["-12","0","-4","0","0"], "labels": [1,1,1,1,1]},
{"name": "L04", "loss": "logistic", "lam": "0",
 "G": [[["2","0","0","-4"],["0","2","0","-4"],["0","0","2","-4"],["-4","-4","-4","-1"]],
       [["0","0","0","4"],["0","0","0","0"],["0","0","0","0"],["4","0","0","0"]],
       [["0","0","0","0"],["0","0","0","4"],["0","0","0","0"],["0","4","0","0"]],
       [["0","0","0","0"],["0","0","0","0"],["0","0","0","4"],["0","0","4","0"]],
       [["0","0","0","0"],["0","0","0","0"],["0","0","0","0"],["0","0","0","1"]]],
 "u": [["0"],["0"],["0"],["1"]], "v": [["0"],["0"],["0"],["1"]], "f": ["1","0","0","0","-1"], "labels": [1,1,1,1,1]}
]"""


def number(x):
    return int(x.p) / int(x.q)


def same_instance(a, b):
    fields = ("name", "loss", "lam", "gradients", "offsets", "labels", "u", "v")
    return all(getattr(a, k) == getattr(b, k) for k in fields)


def as_item(trap):
    """Write a trap the way `load_traps` reads it."""
    texts = [[[str(x) for x in row] for row in M.tolist()] for M in (*trap.gradients, trap.u, trap.v)]
    item = {"name": trap.name, "lam": str(trap.lam), "G": texts[:-2], "u": texts[-2], "v": texts[-1]}
    if trap.loss == "squared":
        return item | {"loss": "sq", "y": [str(y) for y in trap.labels]}
    return item | {"loss": "logistic", "f": [str(f) for f in trap.offsets], "labels": [int(y.p) for y in trap.labels]}


@pytest.mark.parametrize("trap", FAMILIES, ids=lambda t: t.name)
def test_a_family_is_what_its_docstring_says(trap):
    assert all(exact.is_zero(part) for part in trap.gradient())
    assert inertia(trap.hessian()) == trap.inertia
    assert trap.is_spurious()
    assert trap.better[0].ncols() == trap.r
    (m, n), r = trap.shape, trap.r
    gauge = r * r if trap.lam == 0 else r * (r - 1) // 2
    assert trap.inertia[0] == 0
    assert trap.inertia[1] == (r * r - 1 if trap.name.startswith("C") else gauge)
    assert sum(trap.inertia) == (m + n) * r
    verdict = exact_second_order(trap)
    assert verdict.gauge == gauge
    assert verdict.verdict == ("degenerate" if trap.name.startswith("C") else "strict minimum")


@pytest.mark.parametrize("trap", FAMILIES, ids=lambda t: t.name)
def test_the_float_problem_has_the_same_landscape_over_N(trap):
    problem = trap.problem()
    for point in [(trap.u, trap.v), trap.better]:
        value = trap.objective(*point)
        value = float(value) if trap.loss == "logistic" else number(value)
        assert problem.objective(*map(floats, point)) * trap.N == pytest.approx(value, rel=1e-14)


def test_numbers_of_functionals():
    assert [traps.family_b(r).N for r in range(1, 7)] == [r * (r + 3) // 2 for r in range(1, 7)]
    assert [traps.family_c(r).N for r in range(3, 6)] == [4, 5, 6]
    assert [traps.family_d(n).N for n in range(2, 9)] == list(range(3, 10))
    assert traps.family_d(3, 2, 5).N == 2 * 5 + 1
    assert [traps.logistic(r).N for r in range(1, 6)] == [2, 5, 9, 14, 20]
    assert [traps.logistic_unregularised(n).N for n in range(2, 8)] == list(range(3, 9))


@pytest.mark.parametrize("text", ["printed", "written"])
def test_the_families_are_the_instances_of_a_file(text, tmp_path):
    ours = {"B2": traps.family_b(2), "C3": traps.family_c(3), "D2": traps.family_d(2), "L+2": traps.logistic(2)}
    ours["L04"] = traps.logistic_unregularised(4)
    if text == "written":
        ours = {trap.name: trap for trap in FAMILIES}
    path = tmp_path / "instances.json"
    path.write_text(PRINTED if text == "printed" else json.dumps([as_item(trap) for trap in FAMILIES]))
    loaded = traps.load_traps(path)
    assert len(loaded) == len(ours)
    assert all(same_instance(trap, ours[trap.name]) for trap in loaded)
    assert all(trap.inertia is None and trap.better is None and not trap.is_spurious() for trap in loaded)


@pytest.mark.parametrize("text", ["3", '[{"name": "x"}]', PRINTED.replace("5/4", "5/0"), PRINTED.replace("sq", "abs")])
def test_a_file_of_another_form_is_refused(text, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="holds no list of instances"):
        traps.load_traps(path)


@pytest.mark.parametrize("r", [1, 2, 3])
@pytest.mark.parametrize("family", [traps.family_b, traps.family_c])
def test_the_global_minimum_stated_for_b_and_c_satisfies_the_kkt_conditions(family, r):
    trap = family(r)
    c = flint.fmpq(24, 25) if family is traps.family_b else flint.fmpq(20 * r + 4, 25)
    delta = flint.fmpq_mat(r + 1, r + 1)
    delta[r, r] = c
    for i in range(1, r if family is traps.family_b else 0):
        delta[i, i] = 1
    norm = c + (r - 1 if family is traps.family_b else 0)
    w = [inner(G, delta) - y for G, y in zip(trap.gradients, trap.labels, strict=True)]
    M = sum((-x * G for G, x in zip(trap.gradients, w, strict=True)), flint.fmpq_mat(r + 1, r + 1))
    assert exact.is_positive_semidefinite(exact.identity(r + 1) - M.transpose() * M)
    assert inner(M, delta) == norm
    value = sum(x * x for x in w) / 2 + norm
    if family is traps.family_b:
        assert trap.value - value == flint.fmpq(11, 50)
    else:
        assert value == flint.fmpq(20 * r + 12, 25)
        assert trap.value == flint.fmpq(2 * r + 1, 2)


@pytest.mark.parametrize("r", [3, 4, 5])
def test_family_c_lies_on_a_sphere_of_critical_points_of_equal_value(r):
    trap = traps.family_c(r)
    value, rng = trap.value, np.random.default_rng(r)
    moved_off_the_orbit = False
    for _ in range(3):
        h = exact.matrix(rng.integers(-3, 4, (r, r)))
        R = exact.identity(r) - 2 * inner(exact.identity(r), h) / inner(h, h) * h
        u = exact.matrix([*R.table(), [0] * r])
        assert inner(u, u) == r
        moved = replace(trap, u=u, v=u)
        assert moved.objective(u, u) == value
        assert all(exact.is_zero(part) for part in moved.gradient())
        moved_off_the_orbit |= R * R.transpose() != exact.identity(r)
    assert moved_off_the_orbit


@pytest.mark.parametrize("n", [2, 5])
def test_the_margins_of_the_unregularised_logistic_trap_grow_without_bound(n):
    trap = traps.logistic_unregularised(n)
    for t in (1, 2, 10):
        w = trap.rows(t * trap.better[0], t * trap.better[1])
        assert w == [-(t * t * (18 * (n - 1) - 4) + 1)] + [-144 * t * t] * (n - 1) + [1 - 4 * t * t]


@pytest.mark.parametrize(("trap", "k"), [(t, k) for t in FAMILIES[1:4] + FAMILIES[10:13] for k in range(t.N)])
def test_without_any_one_functional_it_is_no_longer_a_strict_minimum(trap, k):
    fewer = trap.without(k)
    assert fewer.N == trap.N - 1
    assert exact_second_order(fewer).verdict != "strict minimum"


def test_without_a_coupling_functional_it_is_a_saddle_with_a_rational_escape():
    for trap in (traps.family_b(2).without(3), traps.family_c(3).without(2), traps.family_d(4).without(2)):
        verdict = exact_second_order(trap)
        assert (verdict.verdict, verdict.inertia[0]) == ("saddle", 1)
        du, dv = verdict.escape
        assert trap.objective(trap.u + du, trap.v + dv) < trap.value


@pytest.mark.parametrize("trap", [traps.family_b(2), traps.family_c(3), traps.family_d(4)], ids=lambda t: t.name)
def test_a_moved_point_is_not_stationary(trap):
    u = trap.u + exact.matrix([[flint.fmpq(1, 10**9)] * trap.r] * trap.shape[0])
    verdict = exact_second_order(replace(trap, u=u))
    assert verdict.verdict == "not stationary"
    assert verdict.escape is None


@pytest.mark.parametrize("r", [1, 2, 3])
def test_family_b_persists_when_all_gradients_move_and_family_c_does_not(r):
    rng = np.random.default_rng(r)

    def moved(trap, size):
        G = np.stack([floats(g) for g in trap.gradients])
        G = G + size * rng.standard_normal(G.shape)
        y = np.array([number(y) for y in trap.labels])
        problem = LinearizedProblem(G[:, None], np.zeros(trap.N), y, "squared", 1 / trap.N)
        return problem, polish(problem, *([x] for x in trap.factors()))

    for _ in range(5):
        problem, (u, v) = moved(traps.family_b(r), 1e-3)
        assert second_order(problem, u, v).verdict == "strict minimum"
        better, _ = traps.family_b(r).better
        assert problem.objective(floats(better), floats(better)) < problem.objective(u, v)
    if r == 3:
        problem, (u, v) = moved(traps.family_c(r), 0.05)
        assert problem.objective(u, v) * problem.N < 3.0  # from 7/2, close to the global 2.88


def test_inertia_of_diagonal_and_random_matrices():
    rng = np.random.default_rng(0)
    for signs in product((-1, 0, 1), repeat=4):
        D = exact.matrix(np.diag(signs).astype(object))
        L = exact.matrix(np.tril(rng.integers(-2, 3, (4, 4)), -1) + np.eye(4, dtype=int))
        assert inertia(L * D * L.transpose()) == tuple(signs.count(s) for s in (-1, 0, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: traps.family_b(0), "r is 0"),
        (lambda: traps.family_c(2.5), "whole number"),
        (lambda: traps.family_d(2, 2), "m >= n > r"),
        (lambda: traps.family_d(4, 1, 3), "m >= n > r"),
        (lambda: traps.logistic_unregularised(1), "n >= 2"),
        (lambda: replace(traps.logistic(1), u=2 * traps.logistic(1).u).hessian(), "every margin is 0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
