"""The linearised problem: every oracle against finite differences and against the definition, and its bad input."""

from fractions import Fraction

import numpy as np
import pytest

from lora_proofs.ntk import (
    FactoredGradients,
    LinearizedProblem,
    as_blocks,
    certify,
    reduce_rank,
    solve,
    stationarity_bound,
)
from lora_proofs.ntk.canonical import canonical_problem, gram
from lora_proofs.ntk.compression import compress

LOSSES = ("squared", "logistic", "cross_entropy")


class Operator:
    """Gradients behind the calls that the docstring asks for, and nothing else."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def apply(self, delta):
        return np.einsum("ikmn,mn->ik", self.array, delta)

    def adjoint(self, c):
        return np.einsum("ik,ikmn->mn", c, self.array)


def labels_for(loss, rng, N, K):
    if loss == "squared":
        return rng.normal(size=(N, K))
    return rng.choice([-1, 1], N) if loss == "logistic" else rng.integers(0, K, N)


def make(loss, seed=0, N=5, lam=0.1):
    """Return a problem with a dense, a factored and an operator block, and the same blocks as arrays."""
    rng = np.random.default_rng(seed)
    K = 1 if loss == "logistic" else 3
    dense, hidden = rng.normal(size=(N, K, 4, 3)), rng.normal(size=(N, K, 2, 5))
    L, R = rng.normal(size=(N, K, 6, 2)), rng.normal(size=(N, 1, 5, 2))
    arrays = [dense, L @ R.swapaxes(2, 3), hidden]
    offsets, labels = rng.normal(size=(N, K)), labels_for(loss, rng, N, K)
    blocks = [dense, FactoredGradients(L, R), Operator(hidden)]
    return LinearizedProblem(blocks, offsets, labels, loss, lam), arrays, offsets, labels


def naive_loss(loss, z, y):
    if loss == "squared":
        return ((z - y) ** 2).sum() / 2
    if loss == "logistic":
        return np.log1p(np.exp(-y * z[0]))
    return np.log(np.exp(z).sum()) - z[y]


@pytest.fixture(params=LOSSES)
def loss(request):
    return request.param


def factors(problem, rng, r=2):
    return [rng.normal(size=(m, r)) for m, _ in problem.shapes], [rng.normal(size=(n, r)) for _, n in problem.shapes]


def test_objective_is_the_definition(loss):
    problem, arrays, offsets, labels = make(loss)
    u, v = factors(problem, np.random.default_rng(1))
    total = 0.0
    for i in range(problem.N):
        z = offsets[i] + sum(np.einsum("kmn,mn->k", G[i], x @ y.T) for G, x, y in zip(arrays, u, v, strict=True))
        total += naive_loss(loss, z, labels[i])
    expected = total / problem.N + problem.lam / 2 * sum((x**2).sum() for x in (*u, *v))
    assert problem.objective(u, v) == pytest.approx(expected, rel=1e-13)


def test_rows_count_what_the_loss_sees(loss):
    assert make(loss)[0].d == {"squared": 15, "logistic": 5, "cross_entropy": 10}[loss]


def test_linear_maps_agree_and_are_adjoint(loss):
    problem, *_ = make(loss)
    rng = np.random.default_rng(2)
    u, v = factors(problem, rng)
    deltas, q = [x @ y.T for x, y in zip(u, v, strict=True)], rng.normal(size=problem.d)
    assert problem.apply(deltas) == pytest.approx(problem.apply_factors(u, v), rel=1e-12)
    inner = sum((S * D).sum() for S, D in zip(problem.adjoint(q), deltas, strict=True))
    assert q @ problem.apply(deltas) / problem.N == pytest.approx(inner, rel=1e-12)


def test_slope_and_curvature_are_derivatives(loss):
    problem, *_ = make(loss)
    rng = np.random.default_rng(3)
    w, z, e = rng.normal(size=problem.d), rng.normal(size=problem.d), 1e-6
    first = (problem.risk(w + e * z) - problem.risk(w - e * z)) / (2 * e)
    assert first == pytest.approx(problem.derivative(w) @ z / problem.N, rel=1e-7)
    second = (problem.derivative(w + e * z) - problem.derivative(w - e * z)) / (2 * e)
    assert second == pytest.approx(problem.hessian_vector(w, z), rel=1e-6, abs=1e-8)
    batch = np.stack([z, w], axis=1)
    assert problem.hessian_vector(w, batch)[:, 0] == pytest.approx(problem.hessian_vector(w, z), rel=1e-14)


def test_conjugate_meets_fenchel(loss):
    problem, *_ = make(loss)
    rng = np.random.default_rng(4)
    w, other = rng.normal(size=problem.d), rng.normal(size=problem.d)
    q = problem.derivative(w)
    assert problem.risk(w) + problem.conjugate(q) == pytest.approx(q @ w / problem.N, rel=1e-12)
    assert problem.risk(other) + problem.conjugate(q) > q @ other / problem.N


def test_conjugate_is_infinite_outside_the_simplex():
    for loss in ("logistic", "cross_entropy"):
        problem, *_ = make(loss)
        assert problem.conjugate(np.full(problem.d, -0.1)) == np.inf
        assert problem.conjugate(np.full(problem.d, 1.1)) == np.inf
        assert problem.conjugate(np.zeros(problem.d)) == 0


def test_losses_do_not_overflow(loss):
    problem, *_ = make(loss)
    for sign in (1, -1):
        w = np.full(problem.d, sign * 800.0)
        assert np.isfinite(problem.risk(w))
        assert np.isfinite(problem.derivative(w)).all()
        assert np.isfinite(problem.hessian_vector(w, np.ones(problem.d))).all()


def test_lam_max_is_where_zero_becomes_optimal(loss):
    problem, *_ = make(loss)
    S = problem.adjoint(problem.derivative(problem.w0))
    assert problem.lam_max == pytest.approx(max(np.linalg.norm(x, 2) for x in S), rel=1e-13)


def test_compression_changes_nothing_that_the_rows_see():
    rng = np.random.default_rng(5)
    block = FactoredGradients(rng.normal(size=(3, 2, 40, 1)), rng.normal(size=(3, 1, 30, 1)))
    problem = LinearizedProblem(block, np.zeros((3, 2)), [0, 1, 1], "cross_entropy", 0.1)
    small = compress(problem)
    assert small.problem.shapes == [(6, 3)]
    u, v = factors(small.problem, rng)
    assert problem.rows(*small.lift(u, v)) == pytest.approx(small.problem.rows(u, v), abs=1e-12)
    assert small.problem.lam_max == pytest.approx(problem.lam_max, rel=1e-12)
    wide = factors(problem, rng)
    assert small.problem.rows(*small.reduce(*wide)) == pytest.approx(problem.rows(*wide), abs=1e-11)


def test_core_rows_are_the_canonical_ones(loss):
    problem, *_ = make(loss)
    core, rng = canonical_problem(problem), np.random.default_rng(6)
    u, v = factors(problem, rng)
    q = rng.normal(size=problem.d)
    assert core.rows(u, v) == pytest.approx(problem.rows(u, v), rel=1e-12)
    for mine, theirs in zip(core.adjoint(q), problem.adjoint(q), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-12, abs=1e-14)
    for rows, x, y in zip(core.blocks, u, v, strict=True):
        expected = rows.apply_factors(x, y)
        assert np.einsum("kma,ma->k", rows.matvec(y), x) == pytest.approx(expected, rel=1e-12)
        assert np.einsum("kna,na->k", rows.rmatvec(x), y) == pytest.approx(expected, rel=1e-12)
    units = np.eye(problem.d)
    by_hand = [[problem.apply([problem.N * S for S in problem.adjoint(a)]) @ b for b in units] for a in units]
    assert gram(core) == pytest.approx(np.array(by_hand), rel=1e-11, abs=1e-11)
    assert core.passes == 2


def test_a_plain_array_is_the_only_block():
    x = np.ones((2, 3))
    assert len(as_blocks(x)) == 1
    assert as_blocks([x, x])[1].shape == (2, 3)


G, F, Y = np.ones((2, 1, 3, 3)), np.zeros((2, 1)), np.ones((2, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((G, F, Y, "squared", -1.0), "lam is"),
        ((G, F, Y, "squared", np.nan), "lam is"),
        ((G * np.nan, F, Y, "squared", 1.0), "gradients contains NaN"),
        ((G, F + np.inf, Y, "squared", 1.0), "offsets contain NaN"),
        ((G, F, Y * np.nan, "squared", 1.0), "labels contain NaN"),
        ((G[:0], F[:0], Y[:0], "squared", 1.0), r"no data \(N = 0\)"),
        ((G[0], F, Y, "squared", 1.0), r"\(N, K, m, n\)"),
        (([], F, Y, "squared", 1.0), "empty list"),
        (([G, np.ones((3, 1, 3, 3))], F, Y, "squared", 1.0), "same data"),
        ((G, np.zeros((3, 1)), Y, "squared", 1.0), "offsets have shape"),
        ((G, F, np.ones((3, 1)), "squared", 1.0), "labels have shape"),
        ((G, F, np.array([0, 1]), "logistic", 1.0), r"\+1 or -1"),
        ((G, F, np.array([1, 1, 1]), "logistic", 1.0), "labels have shape"),
        ((G, F, np.array([0, 1]), "cross_entropy", 1.0), "K >= 2"),
        ((np.ones((2, 2, 3, 3)), np.zeros((2, 2)), np.array([0, 2]), "cross_entropy", 1.0), "class numbers 0, ..., 1"),
        ((np.ones((2, 2, 3, 3)), np.zeros((2, 2)), np.array([0, 1]), "logistic", 1.0), "one output"),
        ((G, F, Y, "hinge", 1.0), "'squared', 'logistic' or 'cross_entropy'"),
        (("text", F, Y, "squared", 1.0), "no array of real numbers"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        LinearizedProblem(*arguments)


NO_NUMBERS = {
    "None": None,
    "text": "text",
    "texts": np.array(["1.0", "2.0"]),
    "dates": np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[D]"),
    "complex": np.ones((2, 1, 3, 3)) + 0j,
    "bools": np.ones((2, 1), dtype=bool),
    "ragged": [[1.0], [1.0, 2.0]],
    "objects": np.array([None, 1.0], dtype=object),
    "too large": np.array([10**400, 1], dtype=object),
    "a dict": {"a": 1},
}


@pytest.mark.parametrize("what", NO_NUMBERS)
@pytest.mark.parametrize("place", ["gradients", "offsets", "labels", "u", "v", "lam", "gap"])
def test_what_is_no_number_is_one_clear_error(place, what):
    arguments = {"gradients": G, "offsets": F, "labels": Y, "loss": "squared", "lam": 1.0}
    others = {"u": np.ones((3, 1)), "v": np.ones((3, 1)), "gap": 1e-8}
    given = {**arguments, **others, place: NO_NUMBERS[what]}

    def use():
        problem = LinearizedProblem(**{name: given[name] for name in arguments})
        certify(problem, given["u"], given["v"])
        solve(problem, gap=given["gap"])

    with pytest.raises(ValueError, match=rf"^{place}"):
        use()


@pytest.mark.parametrize("lam", [True, np.bool_(True), np.array([1.0]), np.inf, -np.inf, 1j, "1", [1.0]])
def test_lam_is_one_number(lam):
    with pytest.raises(ValueError, match="lam is"):
        LinearizedProblem(G, F, Y, "squared", lam)


@pytest.mark.parametrize("lam", [0, np.float32(0.5), np.array(0.5), Fraction(1, 2), np.int64(2)])
def test_lam_may_be_any_kind_of_number(lam):
    assert LinearizedProblem(G, F, Y, "squared", lam).lam == float(lam)


@pytest.mark.parametrize("loss", [None, ["squared"], 1, "Squared"])
def test_unknown_losses_are_refused(loss):
    with pytest.raises(ValueError, match="pass 'squared', 'logistic' or 'cross_entropy'"):
        LinearizedProblem(G, F, Y, loss, 1.0)


@pytest.mark.parametrize("function", [solve, certify, stationarity_bound, reduce_rank])
def test_a_problem_is_asked_for(function):
    with pytest.raises(TypeError, match="pass a ntk"):
        function(None, *[np.ones((3, 1))] * (0 if function is solve else 2))


def test_methods_are_named():
    with pytest.raises(ValueError, match="method is"):
        solve(LinearizedProblem(G, F, Y, "squared", 1.0), method=["auto"])


class BadOperator(Operator):
    def __init__(self, array, applied=None, adjoint=None):
        super().__init__(array)
        self.returned = applied, adjoint

    def apply(self, delta):
        return super().apply(delta) if self.returned[0] is None else self.returned[0]

    def adjoint(self, c):
        return super().adjoint(c) if self.returned[1] is None else self.returned[1]


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (BadOperator(G, applied=np.ones(2)), "apply of the operator returns shape"),
        (BadOperator(G, applied=np.full((2, 1), np.nan)), "apply of the operator returns contains NaN"),
        (BadOperator(G, adjoint=np.ones((3, 2))), "adjoint of the operator returns shape"),
        (BadOperator(G, adjoint="text"), "adjoint of the operator returns is no array"),
    ],
)
def test_operators_are_held_to_their_shape(operator, message):
    with pytest.raises(ValueError, match=message):
        solve(LinearizedProblem(operator, F, Y, "squared", 0.1))


def test_operators_need_a_shape():
    operator = BadOperator(G)
    for shape in ((2, 3, 3), (2, 1, 3, 3.0), (2, 1, 0, 3)):
        operator.shape = shape
        with pytest.raises(ValueError, match=r"operator of shape|no rows"):
            LinearizedProblem(operator, F, Y, "squared", 0.1)


def test_torch_tensors_of_every_kind():
    torch = pytest.importorskip("torch")
    reference = solve(LinearizedProblem(G, F, Y, "squared", 0.1))
    for make in (lambda x: x.requires_grad_(), lambda x: x.to(torch.bfloat16)):
        problem = LinearizedProblem(make(torch.tensor(G)), F, Y, "squared", torch.tensor(0.1, dtype=torch.float64))
        solution = solve(problem, gap=0.1)
        assert solution.upper == pytest.approx(reference.upper, rel=1e-2)
        assert certify(problem, *([x] for x in solution.factors[0])).upper == solution.upper


@pytest.mark.parametrize("size", [1e-300, 1e-180, 1e-20, 1.0, 1e20, 1e180, 1e300])
def test_row_sizes_bound_the_norms_at_every_scale(size):
    rng = np.random.default_rng(0)
    L, R = rng.normal(size=(3, 2, 4, 2)), rng.normal(size=(3, 1, 5, 2))
    for block, array in (
        (size * rng.normal(size=(3, 2, 4, 5)), None),
        (FactoredGradients(size * L, R), size * (L @ R.swapaxes(2, 3))),
        (Operator(size * rng.normal(size=(3, 2, 4, 5))), None),
    ):
        array = getattr(block, "array", block) if array is None else array
        for loss, labels in (("squared", np.zeros((3, 2))), ("cross_entropy", [0, 1, 1])):
            problem = LinearizedProblem(block, np.zeros((3, 2)), labels, loss, 0.1)
            (sizes,) = problem.row_sizes
            units = np.eye(3 * 2).reshape(3, 2, -1)
            C = problem.canonical_loss.linear_rows(units)  # the rows in terms of the gradients
            norms = np.linalg.norm(C @ (array / size).reshape(6, -1), axis=1)
            assert (norms <= sizes / size).all()
            assert (sizes / size <= 4 * norms).all()


def test_bad_factors_are_one_clear_error():
    problem = LinearizedProblem(G, F, Y, "squared", 1.0)
    with pytest.raises(ValueError, match=r"u\[0\] has shape"):
        problem.objective(np.ones((2, 1)), np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"v\[0\] has shape"):
        problem.rows(np.ones((3, 1)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="blocks"):
        problem.rows([np.ones((3, 1))] * 2, [np.ones((3, 1))] * 2)
    with pytest.raises(ValueError, match="NaN"):
        problem.rows(np.full((3, 1), np.nan), np.ones((3, 1)))


def test_bad_factored_gradients_are_one_clear_error():
    with pytest.raises(ValueError, match="left factors"):
        FactoredGradients(np.ones((2, 1, 3, 2)), np.ones((2, 1, 3, 1)))
    with pytest.raises(ValueError, match="outputs"):
        FactoredGradients(np.ones((2, 2, 3, 1)), np.ones((2, 3, 3, 1)))
