import array_api_strict
import mpmath
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares
from strategies import chains, depths, generators, sizes

from lora_proofs import exact, instances
from lora_proofs.constructions import adapt_linear_chain
from lora_proofs.linalg import numerical_rank
from lora_proofs.precision import lift


def product_of(frozen, adapters):
    return naive.product([W + a.B @ a.A for W, a in zip(frozen, adapters, strict=True)])


def norm(x):
    return np.linalg.norm(x, 2)


def check(frozen, target, ranks, rtol=1e-10):
    """Adapt, and check by other means than the library's that the result is what Lemma 1 promises."""
    result = adapt_linear_chain(frozen, target, ranks)
    budget = [ranks] * len(frozen) if isinstance(ranks, int) else ranks
    scale = max(norm(target), norm(naive.product(frozen)))
    best = naive.eckart_young(frozen, target, budget)
    assert result.bound == pytest.approx(best, abs=1e-13 * scale)
    measured = norm(product_of(frozen, result.adapters) - target)
    assert result.error == pytest.approx(measured, abs=rtol * scale)
    assert measured == pytest.approx(best, abs=rtol * scale)
    for W, a, R in zip(frozen, result.adapters, budget, strict=True):
        assert a.A.shape == (a.rank, W.shape[1])
        assert a.B.shape == (W.shape[0], a.rank)
        assert a.rank <= R
        assert a.scaling == 1
    return result


# ---------------------------------------------------------------------------------------------- the theorem


@given(generators, sizes, depths, st.data())
def test_error_is_the_eckart_young_value(rng, D, L, data):
    ranks = data.draw(st.one_of(st.integers(0, D + 1), st.lists(st.integers(0, D), min_size=L, max_size=L)))
    check(instances.chain(rng, D, L, "orthogonal"), instances.gaussian(rng, D, D), ranks)


@given(generators, sizes, depths, st.integers(0, 3), st.integers(0, 2))
def test_rank_deficient_differences_are_reached_at_their_rank(rng, D, L, rank, R):
    rank = min(rank, D)
    frozen = instances.chain(rng, D, L, "orthogonal")
    target = naive.product(frozen) + instances.planted_rank(rng, D, D, rank)
    result = check(frozen, target, R)
    assert (result.error < 1e-9 * norm(target)) == (rank <= R * L)


@given(chains(D=4, L=3))
def test_any_initialisation(frozen):
    check(frozen, np.ones((4, 4)), [2, 1, 1], rtol=1e-6)


@pytest.mark.parametrize(("D", "L", "ranks"), [(5, 1, 3), (1, 4, 1), (3, 8, 1), (6, 3, [0, 4, 2]), (6, 3, [6, 0, 0])])
def test_shapes_at_the_border(D, L, ranks):
    rng = np.random.default_rng(D)
    check(instances.chain(rng, D, L, "orthogonal"), instances.gaussian(rng, D, D), ranks)


def test_nothing_is_added_where_nothing_is_missing():
    frozen = instances.chain(np.random.default_rng(0), 4, 3, "orthogonal")
    result = check(frozen, naive.product(frozen), 4, rtol=1e-13)
    assert [a.rank for a in result.adapters] == [0, 0, 0]
    assert result.conditioning.largest_update == 0


def test_no_rank_means_no_update():
    frozen = instances.chain(np.random.default_rng(0), 4, 3, "gaussian")
    result = check(frozen, np.eye(4), 0)
    assert all(not a.delta().any() for a in result.adapters)


@given(generators, st.integers(2, 6), st.integers(1, 3), st.integers(0, 2))
def test_naive_twin_agrees(rng, D, L, R):
    frozen, target = instances.chain(rng, D, L, "orthogonal"), instances.gaussian(rng, D, D)
    updates = naive.linear_chain(frozen, target, [R] * L)
    twin = naive.product([W + Delta for W, Delta in zip(frozen, updates, strict=True)])
    ours = product_of(frozen, check(frozen, target, R).adapters)
    # Below the threshold the best approximation is unique, so not only the errors agree but the products.
    np.testing.assert_allclose(ours, twin, atol=1e-6 * norm(target))


@pytest.mark.parametrize("seed", range(3))
def test_no_other_adapters_do_better(seed):
    """Lemma 1's lower bound, by random adapters and by local optimisation from many starts."""
    rng = np.random.default_rng(seed)
    D, L, R = 4, 2, 1
    frozen, target = instances.chain(rng, D, L, "orthogonal"), instances.gaussian(rng, D, D)
    s = np.linalg.svd(target - naive.product(frozen), compute_uv=False)
    bound = adapt_linear_chain(frozen, target, R).bound

    def residual(z):
        factors = z.reshape(L, 2, D, R)
        return naive.product([W + B @ A.T for W, (B, A) in zip(frozen, factors, strict=True)]) - target

    starts = [rng.normal(size=L * 2 * D * R) for _ in range(200)]
    assert min(norm(residual(z)) for z in starts) >= bound
    found = [least_squares(lambda z: residual(z).ravel(), z, method="trf", max_nfev=400).x for z in starts[:6]]
    assert min(norm(residual(z)) for z in found) >= bound * (1 - 1e-9)
    frobenius = [np.linalg.norm(residual(z)) for z in found]
    assert min(frobenius) == pytest.approx(np.linalg.norm(s[R * L :]), rel=1e-6)


# ------------------------------------------------------- no assumption on Pi + LR_r(E), and a singular W_1


@pytest.mark.parametrize(
    ("frozen", "target"),
    [
        ([np.eye(2)] * 2, [[0, 1], [-1, 0]]),  # skew: V = N never works for R = 1
        ([np.eye(4)] * 4, np.kron(np.eye(2), [[0, 1], [-1, 0]])),
        ([np.eye(2)] * 2, [[0, 0.8], [4 / 3, 1.6]]),  # I + LR_1(E) is singular
        ([np.eye(3)] * 3, np.zeros((3, 3))),
        ([np.eye(3)] * 2, np.eye(3)[[1, 2, 0]]),
        ([np.eye(4)] * 4, np.eye(4)[[3, 2, 1, 0]]),
        ([np.eye(3)] * 3, np.diag([1.0, 0, 0])),
        ([np.eye(3)] * 3, np.full((3, 3), 1 / 3)),
        ([np.eye(2), 2 * np.eye(2)], np.eye(2)),
        ([np.eye(2), -np.eye(2)], np.eye(2)),
    ],
)
def test_targets_that_the_paper_excludes(frozen, target):
    target = np.array(target, dtype=float)
    rank = np.linalg.matrix_rank(target - naive.product(frozen))
    check(frozen, target, -(-int(rank) // len(frozen)), rtol=1e-12)


@pytest.mark.parametrize(("n", "entries"), [(2, (-1, 0, 1)), (3, (0, 1))])
@pytest.mark.parametrize("L", [2, 3])
def test_every_small_target_from_the_identity(n, entries, L):
    for T in instances.all_matrices(n, entries):
        target = np.array(T.table(), dtype=float)
        rank = (T - exact.identity(n)).rank()
        assert adapt_linear_chain([np.eye(n)] * L, target, -(-rank // L)).error < 1e-13


@given(generators, st.integers(0, 2**16))
def test_random_singular_targets(rng, seed):
    D, L = 5, 3
    frozen = instances.chain(rng, D, L, "orthogonal")
    target = instances.planted_rank(rng, D, D, seed % D)
    assert check(frozen, target, 2, rtol=1e-8).error < 1e-8


@pytest.mark.parametrize("corank", range(5))
def test_singular_first_layer_needs_a_rank_of_its_corank(corank):
    rng = np.random.default_rng(corank)
    D, R = 4, 2
    frozen = [instances.planted_rank(rng, D, D, D - corank), instances.orthogonal(rng, D)]
    target = instances.orthogonal(rng, D)
    if corank <= R:
        check(frozen, target, R)
    else:
        with pytest.raises(ValueError, match=r"W_1 is too singular.*pass a larger rank for layer 1"):
            adapt_linear_chain(frozen, target, R)
        check(frozen, target, [corank, D - corank])


def test_singular_first_layer_is_no_obstacle_to_a_singular_target():
    rng = np.random.default_rng(0)
    zero, W_2 = np.zeros((4, 4)), instances.orthogonal(rng, 4)
    check([zero, W_2], zero, 1)
    check([zero, W_2], instances.planted_rank(rng, 4, 4, 1), 1)


def test_zero_frozen_layers_are_the_controls_of_the_theorem():
    """With W_1 = W_2 = 0 and R = 1 the best error is 1, though sigma_3 = 0."""
    with pytest.raises(ValueError, match=r"W_2.* is singular"):
        adapt_linear_chain([np.zeros((2, 2))] * 2, np.eye(2), 1)


# --------------------------------------------------------------------------- array libraries and precisions


@given(generators, sizes, depths, st.integers(0, 3))
def test_array_api_strict_gives_the_same(rng, D, L, R):
    frozen, target = instances.chain(rng, D, L, "orthogonal"), instances.gaussian(rng, D, D)
    expected = adapt_linear_chain(frozen, target, R)
    strict = adapt_linear_chain([array_api_strict.asarray(W) for W in frozen], array_api_strict.asarray(target), R)
    assert strict.bound == pytest.approx(expected.bound, abs=1e-14 * norm(target))
    assert strict.error == pytest.approx(expected.error, abs=1e-10 * norm(target))
    for a, b in zip(strict.adapters, expected.adapters, strict=True):
        assert isinstance(a.A, array_api_strict.asarray(0.0).__class__)
        assert isinstance(a.B, array_api_strict.asarray(0.0).__class__)
        assert a.A.dtype == a.B.dtype == array_api_strict.float64
        assert a.rank == b.rank


@given(generators, st.sampled_from([np.float32, np.float64]))
def test_inputs_are_left_alone_and_their_dtype_is_kept(rng, dtype):
    frozen = [W.astype(dtype) for W in instances.chain(rng, 5, 3, "orthogonal")]
    target = instances.orthogonal(rng, 5).astype(dtype)
    before = [W.copy() for W in (*frozen, target)]
    for W in (*frozen, target):
        W.setflags(write=False)
    result = adapt_linear_chain(frozen, target, [1, 1, 2])
    assert all((old == W).all() for W, old in zip((*frozen, target), before, strict=True))
    assert {x.dtype for a in result.adapters for x in (a.A, a.B)} == {np.dtype(dtype)}
    assert result.error == pytest.approx(float(result.bound), abs=2e3 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("digits", [32, 64])
@pytest.mark.parametrize(("D", "L", "ranks"), [(4, 2, 1), (4, 2, 2), (5, 4, [1, 0, 2, 2])])
def test_more_digits_give_smaller_errors(D, L, ranks, digits):
    rng = np.random.default_rng(0)
    frozen, target = instances.chain(rng, D, L, "gaussian"), instances.gaussian(rng, D, D)
    expected = adapt_linear_chain(frozen, target, ranks)
    with mpmath.workdps(digits):
        result = adapt_linear_chain([lift(W, digits) for W in frozen], lift(target, digits), ranks)
        assert abs(result.error - result.bound) < mpmath.mpf(10) ** (7 - digits)
        difference = product_of([lift(W, digits) for W in frozen], result.adapters) - lift(target, digits)
        measured = mpmath.svd_r(mpmath.matrix(difference.tolist()), compute_uv=False)[0]
        assert abs(measured - result.error) < mpmath.mpf(10) ** (7 - digits)
    assert float(result.bound) == pytest.approx(expected.bound, abs=1e-12)
    assert all(isinstance(v, mpmath.mpf) for a in result.adapters for x in (a.A, a.B) for v in x.ravel())


def degenerate(rng):
    """Return (frozen, target) over Q, of a kind that leaves no slack: integers, singular targets, repeated values."""
    D, L = int(rng.integers(2, 10)), int(rng.integers(2, 7))
    draw, some_rank = instances.integers(rng, D, D), int(rng.integers(0, D))
    target = {
        "skew": draw - draw.transpose(),
        "permutation": instances.permutation(rng, D),
        "projection": instances.projection(rng, D, some_rank),
        "low rank": instances.rational_planted_rank(rng, D, D, some_rank),
        "integer": draw,
        "zero": exact.matrix(np.zeros((D, D), dtype=int)),
    }
    kind = rng.choice(list(target))
    layer = {
        "I": lambda: exact.identity(D),
        "integer": lambda: instances.nonsingular(rng, D),
        "permutation": lambda: instances.permutation(rng, D),
    }[rng.choice(["I", "I", "integer", "permutation"])]
    frozen = [layer() for _ in range(L)]
    if kind == "low rank" and rng.random() < 0.5:
        frozen[0] = instances.rational_planted_rank(rng, D, D, D - 1)
    return frozen, target[kind]


def in_floats(W):
    return np.array([[float(v) for v in row] for row in W.table()])


@pytest.mark.parametrize("seed", range(8))
def test_degenerate_chains_cost_no_digits(seed):
    rng = np.random.default_rng(seed)
    for _ in range(40):
        frozen, target = degenerate(rng)
        Pi = exact.product(frozen)
        R = -(-exact.rank(target - Pi) // len(frozen))
        result = adapt_linear_chain([in_floats(W) for W in frozen], in_floats(target), R)
        assert result.error <= 2e-11 * max(norm(in_floats(target)), norm(in_floats(Pi)))
        assert all(a.rank <= R for a in result.adapters)


@pytest.mark.parametrize(
    ("frozen", "target", "R"),
    [  # a basis put together of two that nearly coincide has a dual of 1e14
        (2, [[0, -2, -5, 0, 0, 5], [2, 0, -5, -4, -4, 1], [5, 5, 0, 0, 1, 2], [0, 4, 0, 0, 1, 2], [0, 4, -1, -1, 0, 2],
             [-5, -1, -2, -2, -2, 0]], 3),
        (5, [[0, 2, -2, -1, 3], [-2, 0, 1, -1, -1], [2, -1, 0, -2, -3], [1, 1, 2, 0, 0], [-3, 1, 3, 0, 0]], 1),
    ],
)  # fmt: skip
def test_skew_targets_keep_their_digits_at_every_precision(frozen, target, R):
    T = np.array(target, dtype=float)
    I = np.eye(len(T))
    result = adapt_linear_chain([I] * frozen, T, R)
    assert result.conditioning.rounding < 1e-12
    assert result.error < 10 * result.conditioning.rounding * norm(T)
    with mpmath.workdps(50):
        assert adapt_linear_chain([lift(I, 50)] * frozen, lift(T, 50), R).error < mpmath.mpf("1e-46")


@pytest.mark.parametrize("exponents", [(150, -140, 100), (-200, 90), (-160, -140), (300,), (-300,), (140, 5)])
def test_scales_change_nothing_but_the_scale(exponents):
    """Products and squares of these layers would overflow or vanish."""
    rng = np.random.default_rng(0)
    powers = [2.0 ** round(e * np.log2(10)) for e in exponents]
    total = round(sum(np.log2(powers)))
    frozen, target = [instances.orthogonal(rng, 4) for _ in powers], instances.gaussian(rng, 4, 4)
    plain = adapt_linear_chain(frozen, target, 1)
    scaled = adapt_linear_chain([W * p for W, p in zip(frozen, powers, strict=True)], target * 2.0**total, 1)
    assert scaled.error == pytest.approx(plain.error * 2.0**total, rel=1e-9)
    assert scaled.bound == pytest.approx(plain.bound * 2.0**total, rel=1e-9)
    assert scaled.conditioning.amplification == pytest.approx(plain.conditioning.amplification, rel=0.5)


def test_a_chain_that_no_float_can_hold_is_refused_in_words():
    rng = np.random.default_rng(7)
    frozen = [instances.ill_conditioned(rng, 32, 1e12) for _ in range(32)]
    with pytest.raises(ValueError, match=r"too ill-conditioned for this arithmetic.*precision\.lift"):
        adapt_linear_chain(frozen, instances.ill_conditioned(rng, 32, 1e12), 1)


def test_an_error_that_the_merged_layers_would_hide_is_computed_in_more_digits():
    """The frozen layers vanish beside the updates, but the product of the adapters as stored still knows of them."""
    rng = np.random.default_rng(4)
    frozen, target = instances.chain(rng, 4, 4, "gaussian"), 1e11 * instances.gaussian(rng, 4, 4)
    result = adapt_linear_chain(frozen, target, 1)
    exactly = exact.product([exact.matrix(W) + exact.matrix(a.B) * exact.matrix(a.A)
                             for W, a in zip(frozen, result.adapters, strict=True)])  # fmt: skip
    assert result.conditioning.merging > 1e-6
    assert result.error == pytest.approx(norm(in_floats(exactly - exact.matrix(target))), rel=1e-9)


def test_degenerate_targets_at_32_digits():
    with mpmath.workdps(32):
        for target in (np.array([[0.0, 1], [-1, 0]]), np.zeros((2, 2)), np.array([[0.0, 1], [1, 0]])):
            assert adapt_linear_chain([lift(np.eye(2), 32)] * 2, lift(target, 32), 1).error < mpmath.mpf("1e-25")


# ---------------------------------------------------------------------------------- accuracy and conditioning


@pytest.mark.parametrize(
    ("D", "L", "accuracy"),
    [(16, 2, 1e-13), (16, 4, 1e-11), (16, 8, 1e-8), (64, 4, 1e-9), (64, 8, 1e-4), (128, 4, 1e-8)],
)
def test_accuracy_of_the_returned_adapters(D, L, accuracy):
    errors = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        frozen, target = instances.chain(rng, D, L), instances.uniform(rng, D)
        adapters = adapt_linear_chain(frozen, target, -(-D // L)).adapters
        errors.append(np.linalg.norm(product_of(frozen, adapters) - target) / np.linalg.norm(target))
    assert np.median(errors) <= accuracy


def test_gaussian_chains_where_the_textbook_order_refutes_the_theorem():
    D, L, R = 16, 8, 1
    refuted_by_twin = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        frozen, target = instances.chain(rng, D, L, "gaussian"), instances.gaussian(rng, D, D)
        s = np.linalg.svd(target - naive.product(frozen), compute_uv=False)
        error = norm(product_of(frozen, adapt_linear_chain(frozen, target, R).adapters) - target)
        assert error == pytest.approx(s[R * L], rel=1e-8)
        assert error < s[R * L - 1] * (1 - 1e-8), "the off-by-one mutant must be violated"
        updates = naive.linear_chain(frozen, target, [R] * L)
        textbook = norm(naive.product([W + Delta for W, Delta in zip(frozen, updates, strict=True)]) - target)
        refuted_by_twin += abs(textbook - s[R * L]) > 1e-8 * max(1, s[R * L])
    assert refuted_by_twin > 0, "the instances are too easy to tell the two apart"


@pytest.mark.parametrize(("init", "D", "L"), [("uniform", 16, 4), ("gaussian", 16, 8), ("uniform", 32, 8)])
def test_rounding_predicts_the_error(init, D, L):
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        frozen, target = instances.chain(rng, D, L, init), instances.INITIALISATIONS[init](rng, D)
        result = adapt_linear_chain(frozen, target, D // L)
        merged = norm(product_of(frozen, result.adapters) - target) / norm(target)
        ratios.append(merged / result.conditioning.rounding)
        assert result.error / norm(target) < 10 * max(result.conditioning.rounding, result.conditioning.merging)
    assert max(ratios) < 10, "rounding is a bound, up to a factor of 10"
    assert np.median(ratios) > 0.01, "and no idle one"


def test_rounding_is_what_storing_perfect_adapters_costs():
    """Adapters found at 60 digits, rounded to float64 and multiplied at 60 digits again."""
    rng = np.random.default_rng(0)
    frozen, target = instances.chain(rng, 8, 4, "gaussian"), instances.gaussian(rng, 8, 8)
    with mpmath.workdps(60):
        lifted = [lift(W, 60) for W in frozen]
        perfect = adapt_linear_chain(lifted, lift(target, 60), 2)
        assert perfect.error < mpmath.mpf("1e-50")
        layers = [
            W + lift(a.B.astype(float), 60) @ lift(a.A.astype(float), 60)
            for W, a in zip(lifted, perfect.adapters, strict=True)
        ]
        stored = (naive.product(layers) - lift(target, 60)).astype(float)
    rounding = perfect.conditioning.amplification * 2**-53
    assert 0.01 * rounding < norm(stored) / norm(target) < 10 * rounding


def test_conditioning_measures_the_updates():
    rng = np.random.default_rng(0)
    result = adapt_linear_chain(instances.chain(rng, 6, 3), instances.uniform(rng, 6), 2)
    assert result.conditioning.largest_update == pytest.approx(max(norm(a.B @ a.A) for a in result.adapters))
    assert result.conditioning.rounding == pytest.approx(result.conditioning.amplification * 2**-53)
    assert result.conditioning.warning == ""


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("init", ["uniform", "scaled gaussian"])
def test_a_result_is_good_or_carries_a_warning(init, seed):
    """Sixteen layers of width 64 are past what float64 can hold, but no hypothesis of the theorem is violated."""
    rng = np.random.default_rng(seed)
    frozen, target = instances.chain(rng, 64, 16, init), instances.INITIALISATIONS[init](rng, 64)
    result = adapt_linear_chain(frozen, target, 4)
    if result.error > 1e-6 * norm(target):
        assert "precision.lift" in result.conditioning.warning
    assert np.isfinite(result.error)


def test_hopeless_and_harmless_instances():
    rng = np.random.default_rng(1)
    hopeless = adapt_linear_chain(instances.chain(rng, 32, 16), instances.uniform(rng, 32), 2)
    assert "rounding costs" in hopeless.conditioning.warning
    harmless = adapt_linear_chain(instances.chain(rng, 64, 32, "orthogonal"), instances.orthogonal(rng, 64), 2)
    assert harmless.conditioning.warning == ""
    assert harmless.error < 1e-12


def test_adapters_have_no_hidden_rank():
    rng = np.random.default_rng(0)
    result = adapt_linear_chain(instances.chain(rng, 6, 2, "orthogonal"), instances.orthogonal(rng, 6), 2)
    assert [numerical_rank(a.delta()).rank for a in result.adapters] == [2, 2]


# ------------------------------------------------------------------------------------------------- bad input

I = np.eye(2)


@pytest.mark.parametrize(
    ("frozen", "target", "ranks", "match"),
    [
        ([], I, 1, "frozen is empty; pass a list of at least one"),
        ([I, np.array([[1, np.nan], [0, 1]])], I, 1, r"frozen\[1\] \(W_2\) contains NaN or infinity; pass finite"),
        ([I, I], np.array([[1, np.inf], [0, 1]]), 1, "target contains NaN or infinity; pass finite"),
        ([I, np.eye(3)], I, 1, r"W_2.*\(3, 3\); pass an array of shape \(2 x 2\)"),
        ([np.ones((2, 3))], I, 1, r"W_1.*\(2, 3\); pass an array of shape \(2 x 2\)"),
        ([np.ones(2)], I, 1, r"W_1.*\(2,\); pass"),
        ([I, I], np.ones((2, 3)), 1, r"target has shape \(2, 3\); pass an array of shape \(2 x 2\)"),
        ([np.zeros((0, 0))], np.zeros((0, 0)), 1, "shape"),
        (
            [I, np.ones((2, 2))],
            I,
            1,
            r"frozen\[1\] \(W_2\) is singular to working precision; Lemma 1 needs",
        ),
        ([I, I.astype(int)], I, 1, r"W_2.*dtype int64; pass real floating"),
        ([I, I], I.astype(int), 1, "target has dtype int64; pass real floating"),
        ([I + 0j, I], I, 1, "W_1.*dtype complex128; pass real floating"),
        ([I, I], I, -1, "ranks is -1; pass a whole number >= 0"),
        ([I, I], I, 1.5, "ranks is 1.5; pass a whole number >= 0"),
        ([I, I], I, True, "ranks is True; pass a whole number >= 0"),
        ([I, I], I, [1, 1.0], r"ranks\[1\] is 1.0; pass a whole number >= 0"),
        ([I, I], I, [1, -2], r"ranks\[1\] is -2; pass a whole number >= 0"),
        ([I, I], I, [1], "1 ranks are given for 2 layers; pass one int, or one a layer"),
        ([I, I], I, None, "ranks is None; pass a whole number >= 0"),
        ([exact.array(I)] * 2, exact.array(I), 1, r"exact\.adapt_linear_chain"),
        ([exact.array(I)] * 2, I, 1, r"exact\.adapt_linear_chain"),
        ([lift(I, 32)] * 2, I, 1, "target.*pass"),
    ],
)
def test_bad_input_is_refused_with_advice(frozen, target, ranks, match):
    with pytest.raises(ValueError, match=match):
        adapt_linear_chain(frozen, target, ranks)


@settings(max_examples=10)
@given(generators)
def test_whole_numbers_of_numpy_are_ranks(rng):
    frozen = instances.chain(rng, 3, 2, "orthogonal")
    expected = adapt_linear_chain(frozen, np.eye(3), [1, 1])
    for ranks in (np.int64(1), np.array([1, 1]), (1, 1)):
        assert adapt_linear_chain(frozen, np.eye(3), ranks).error == expected.error
