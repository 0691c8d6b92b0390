"""Tight witnesses: bounds that are attained, or nearly, so that each term of them is seen."""

from fractions import Fraction

import flint
import numpy as np
import pytest
from builders import transformer
from flint import fmpq, fmpq_mat
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import generators

from lora_proofs import exact
from lora_proofs.constructions.transformer import values
from lora_proofs.constructions.transformer.certify import certify_transformer, spectral_norm_above, standard_radius
from lora_proofs.constructions.transformer.forms import Forms
from lora_proofs.constructions.transformer.values import largest
from lora_proofs.networks.transformer import TransformerBlock, TransformerNetwork


def block(M=0.0, N=1.0, b_1=0.0, W_2=1.0, b_2=0.0, D=1, heads=1):
    """A block with logits M z_k z_q and values N / heads in each head; numbers stand for multiples of I or of 1."""
    I = np.eye(D)

    def matrix(x):
        return x * I if np.ndim(x) == 0 else np.asarray(x, dtype=float)

    def vector(x):
        return np.broadcast_to(np.asarray(x, dtype=float), (D,)).copy()

    return TransformerBlock(
        [matrix(M)] * heads, [I] * heads, [matrix(N) / heads] * heads, [I] * heads, I, vector(b_1), matrix(W_2),
        vector(b_2),
    )  # fmt: skip


def network(*blocks, W_out=1.0):
    D = blocks[0].width
    return TransformerNetwork(blocks, W_out * np.eye(D) if np.ndim(W_out) == 0 else W_out)


def bracket(one, other, radius=1, **options):
    certificate = certify_transformer(one, other, radius=radius, **options)
    assert certificate.error == certificate.difference.upper
    return float(certificate.difference.lower), float(certificate.difference.upper)


def over_q(net):
    named = {name: exact.array(W) for name, W in net.named_weights.items()}
    blocks = [
        TransformerBlock(
            **{p: [named[f"blocks.{l}.{p}.{h}"] for h in range(b.heads)] for p in ("W_Q", "W_K", "W_V", "W_O")},
            W_1=named[f"blocks.{l}.W_1"], b_1=exact.array(b.b_1), W_2=named[f"blocks.{l}.W_2"], b_2=exact.array(b.b_2),
        )
        for l, b in enumerate(net.blocks)
    ]  # fmt: skip
    return TransformerNetwork(blocks, named["W_out"])


# --------------------------------------------------------------------------------------------- what holds means


@pytest.mark.parametrize("scale", [1e9, 1e10, 3.0**40])
def test_a_tiny_change_of_huge_logits_is_a_change_of_the_function(scale):
    rng = np.random.default_rng(7)
    M, E = rng.normal(size=(2, 3, 3))
    certificate = certify_transformer(
        network(block(scale * (M + 3e-9 * E), b_1=9.0, D=3)), network(block(scale * M, b_1=9.0, D=3))
    )
    assert not certificate.holds
    assert certificate.evidence == ""
    assert not certificate.reasons[-1].startswith("not decided")
    assert certificate.difference.lower > Fraction(1, 3)
    assert certificate.size > 1


@pytest.mark.parametrize("large", [-1e9, -(2.0**70)])
def test_a_bias_beside_a_huge_one_counts_for_itself(large):
    one, other = (network(block(D=2, N=1e-3, b_1=[large, b])) for b in (2.0, 0.0))
    certificate = certify_transformer(one, other)
    assert not certificate.holds
    assert not certificate.reasons[-1].startswith("not decided")
    assert certificate.difference.lower >= 2


def test_a_target_that_is_0_needs_an_error_of_0():
    dead = network(block(b_1=-2.0, D=2))
    assert certify_transformer(dead, dead, radius=1).holds
    for c in (1e-300, 1.0):
        one = network(block(b_1=-2.0, b_2=c, D=2))
        certificate = certify_transformer(one, dead, radius=1)
        assert (certificate.holds, certificate.size) == (False, 0)
        assert not certificate.reasons[-1].startswith("not decided") or c < 1e-9
    same = certify_transformer(network(block(b_1=-3.0, D=2)), dead, radius=1)
    assert (same.holds, same.difference.lower) == (False, 0)
    assert same.reasons[-1].startswith("not decided: for tokens of norm at most 1.00 the outputs differ by at most")


def test_what_cancels_in_floats_has_no_size():
    s = 2.0**66
    cancel = [[s / 3, 0.0], [0.0, s / 3]]
    target = network(block(D=2, N=cancel, heads=2), W_out=0.0)
    heads = target.blocks[0]
    opposite = target.replaced({"blocks.0.W_V.1": -heads.W_V[0], "W_out": np.eye(2)}, target.biases)
    moved = opposite.replaced({}, [np.full(2, 1e-5), np.zeros(2)])
    certificate = certify_transformer(moved, opposite)
    assert not certificate.holds
    together = certify_transformer(opposite.replaced({"blocks.0.W_Q.1": np.zeros((2, 2))}, opposite.biases), opposite)
    assert together.size == 0  # the heads attend alike, so that their values cancel, however many tokens
    assert opposite(np.ones((2, 3))).any() == 0


def test_heads_that_cancel_for_one_token_are_seen_on_several():
    target = network(block(M=3.0, D=2, heads=2))
    opposite = target.replaced(
        {"blocks.0.W_V.1": -target.blocks[0].W_V[0], "blocks.0.W_Q.1": np.zeros((2, 2))}, target.biases
    )
    certificate = certify_transformer(opposite.replaced({}, [1e-12 + b for b in opposite.biases]), opposite, radius=1)
    assert certificate.holds
    assert certificate.size > Fraction(1, 10)


@pytest.mark.parametrize("tolerance", [1e-3, Fraction(1, 10**12), 0])
def test_the_tolerance_is_of_the_largest_output_and_no_more(tolerance):
    """f = (1 + e) target, whose largest output is known: ||N|| radius."""
    e = 2.0**-20
    one, other = (network(block(N=N, D=1)) for N in (2 * (1 + e), 2.0))
    certificate = certify_transformer(one, other, radius=3, tolerance=tolerance)
    assert certificate.size == pytest.approx(6, rel=1e-15)
    assert certificate.error == pytest.approx(6 * e, rel=1e-12)
    assert certificate.holds == (tolerance == 1e-3)
    assert certify_transformer(one, other, radius=3, tolerance=e * (1 + 1e-9)).holds
    short = certify_transformer(one, other, radius=3, tolerance=e * (1 - 1e-9))
    assert not short.holds
    assert not short.reasons[-1].startswith("not decided")
    assert not certify_transformer(over_q(one), over_q(other), tolerance=1).holds


def test_a_bound_that_is_too_loose_decides_nothing():
    rng = np.random.default_rng(0)
    target = transformer(rng, 8, 2, 3)
    one = target.replaced({n: W * (1 + 1e-14 * rng.normal(size=W.shape)) for n, W in target.named_weights.items()},
                          target.biases)  # fmt: skip
    certificate = certify_transformer(one, target)
    assert not certificate.holds
    assert certificate.difference.lower < 1e-8 * certificate.size < certificate.error
    assert certificate.reasons[-1].startswith("not decided")


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e-8, 1e8, 1e150, 1e300])
def test_scales_are_no_matter(scale):
    """Logits take Q and K apart from the values, and the last factor carries the scale."""
    target = transformer(np.random.default_rng(1), 3, 2, 1)
    one = target.replaced({"W_out": target.W_out * (1 + 2.0**-40)}, target.biases)
    change = {"W_out": target.W_out * scale}, {"W_out": one.W_out * scale}
    plain = certify_transformer(one, target)
    scaled = certify_transformer(target.replaced(change[1], target.biases), target.replaced(change[0], target.biases))
    assert plain.holds
    assert scaled.holds
    for name in ("error", "size"):
        assert float(getattr(scaled, name) / Fraction(scale)) == pytest.approx(float(getattr(plain, name)), rel=1e-3)


def test_singular_matrices_are_no_obstacle():
    target = transformer(np.random.default_rng(3), 3, 1, 2)
    singular = target.replaced({"blocks.0.W_2": np.ones((3, 3))}, target.biases)
    assert certify_transformer(singular, singular).holds
    assert not certify_transformer(singular, target).holds
    beside = singular.replaced({"blocks.1.W_V.0": singular.blocks[1].W_V[0] + [[0, 0, 0], [1, 1, -2], [0, 0, 0]]},
                               singular.biases)  # fmt: skip
    change = certify_transformer(beside, singular)  # the change sees the bias b_2 alone
    shift = beside.blocks[1].W_1 @ beside.blocks[1].W_O[0] @ np.array([0, singular.blocks[0].b_2 @ [1, 1, -2], 0])
    assert change.error > 0
    moved = beside.replaced({}, [*singular.biases[:2], singular.biases[2] - shift, singular.biases[3]])
    assert certify_transformer(moved, singular).holds


# ----------------------------------------------------------------------------------------- each term of the bound


def test_the_bias_the_output_and_its_shift_are_attained():
    base = {"D": 1, "N": 2.0, "b_1": 5.0, "W_2": 3.0, "b_2": 7.0}
    low, high = bracket(network(block(**base | {"b_1": 5.5})), network(block(**base)))
    assert (low, high) == (pytest.approx(1.5), pytest.approx(1.5))
    low, high = bracket(network(block(**base | {"b_2": 7.5}), W_out=2.0), network(block(**base), W_out=2.0))
    assert (low, high) == (pytest.approx(1.0), pytest.approx(1.0))
    low, high = bracket(network(block(**base | {"N": 2.5})), network(block(**base)), radius=4)
    assert (low, high) == (pytest.approx(6), pytest.approx(6))
    low, high = bracket(network(block(**base | {"W_2": 3.5})), network(block(**base)), radius=4)
    assert (low, high) == (pytest.approx(6.5), pytest.approx(6.5))  # (N radius + b_1) / 2


def test_an_error_of_one_block_passes_through_the_next():
    """Two blocks without attention to speak of: delta of the first comes out times all factors of the second."""
    second = block(N=1000.0, W_2=2.0)
    low, high = bracket(network(block(b_1=4.0), second), network(block(b_1=3.0), second))
    assert (low, high) == (pytest.approx(2000), pytest.approx(2000))
    one, other = block(N=1.0, b_1=2.0), block(N=1000.0)
    low, high = bracket(network(one, block(N=1001.0)), network(one, other))
    assert (low, high) == (pytest.approx(3), pytest.approx(3))  # E_N times the states' norm, 3


def test_the_change_of_logits_is_nearly_attained():
    """Tokens +-1 in one dimension, a logit difference of 2 Delta between them: the weights move by tanh."""
    e = 1e-3
    low, high = bracket(network(block(M=e, b_1=2.0)), network(block(M=0.0, b_1=2.0)))
    assert high == pytest.approx(e, rel=1e-9)
    assert low > 0.4 * high  # tanh(e) at the tie, where the other token is half as long
    low, high = bracket(network(block(M=100.0, b_1=2.0)), network(block(M=-100.0, b_1=2.0)))
    assert high == pytest.approx(2, rel=1e-9)
    assert low > 0.9


def states(M=0.0, shift=0.0, gap=0.0, N=1.0):
    """A block whose hidden states are 3 or 5, + gap, by the sign of a token, and one of logits M (h + shift)^2."""
    return network(block(M=300.0, b_1=4.0 + gap, b_2=shift), block(M=M, N=N, b_1=60.0))


def search(one, other, radius=1.0):
    """The largest difference of the outputs that pairs of tokens of one dimension show."""
    x = np.linspace(-radius, radius, 81)
    Z = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 1, 2)
    with np.errstate(over="ignore"):
        return abs(one(Z) - other(Z)).max()


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        (states(M=1e-3), states(), 0.03),
        (states(M=1e-3, shift=50.0), states(M=0.0, shift=50.0), 0.07),
        (states(M=1e-3, shift=-50.0), states(M=1e-3, shift=50.0), 0.2),
        (states(M=0.3, gap=0.1), states(M=0.3), 0.1),
        (states(M=1e-2, gap=100.0), states(M=1e-2), 0.5),
    ],
    ids=["E_M", "E_t", "both signs of t", "delta", "a large delta"],
)
def test_no_difference_exceeds_the_bound_and_some_come_near(one, other, share):
    low, high = bracket(one, other)
    seen = search(one, other)
    assert max(low, seen) <= high * (1 + 1e-12)
    assert max(low, seen) >= share * high


def recursion(one, other, radius):
    """The bound of the module's docstring, in floats, from the weights, one matrix after the other."""
    zeta = m = radius
    delta, spread = 0.0, 1.0
    D = one.width
    W, b, V, c = np.eye(D), np.zeros(D), np.eye(D), np.zeros(D)

    def norm(x):
        return np.linalg.norm(x, 2)

    for own, goal in zip(one.blocks, other.blocks, strict=True):
        bias = own.b_1 + sum(own.W_1 @ O @ U @ b for O, U in zip(own.W_O, own.W_V, strict=True))
        bias_bar = goal.b_1 + sum(goal.W_1 @ O @ U @ c for O, U in zip(goal.W_O, goal.W_V, strict=True))
        apart, new, new_bar, rows, rows_bar = norm(bias - bias_bar), norm(bias), norm(bias_bar), bias, bias_bar
        for h in range(own.heads):
            M, M_bar = own.W_K[h].T @ own.W_Q[h], goal.W_K[h].T @ goal.W_Q[h]
            t, t_bar = W.T @ M @ b, V.T @ M_bar @ c
            M, M_bar = W.T @ M @ W, V.T @ M_bar @ V
            N, N_bar = own.W_1 @ own.W_O[h] @ own.W_V[h] @ W, goal.W_1 @ goal.W_O[h] @ goal.W_V[h] @ V
            turn = spread * m * norm(M_bar) * delta + delta * (norm(M_bar) * zeta + norm(t_bar))
            turn += spread * zeta * (norm(M - M_bar) * zeta + norm(t - t_bar))
            apart += norm(N_bar) * (delta + spread * m * min(turn, 2)) + norm(N - N_bar) * zeta
            new, new_bar = new + norm(N) * zeta, new_bar + norm(N_bar) * m
            rows, rows_bar = rows + zeta * np.linalg.norm(N, axis=1), rows_bar + m * np.linalg.norm(N_bar, axis=1)
        new, new_bar = min(new, norm(np.maximum(rows, 0))), min(new_bar, norm(np.maximum(rows_bar, 0)))
        zeta, m, delta, spread = new, new_bar, apart, 0.5**0.5
        W, b, V, c = own.W_2, own.b_2, goal.W_2, goal.b_2
    out, out_bar = one.W_out @ W, other.W_out @ V
    shift, shift_bar = one.W_out @ b, other.W_out @ c
    return norm(out_bar) * delta + norm(out - out_bar) * zeta + norm(shift - shift_bar), norm(out_bar) * m + norm(
        shift_bar
    )


@pytest.mark.parametrize("sizes", [(2, 1, 1), (3, 2, 2), (4, 3, 3)])
@pytest.mark.parametrize("size", [1e-6, 1e-2, 1.0])
def test_the_bound_is_that_of_the_docstring(sizes, size):
    rng = np.random.default_rng(0)
    other = transformer(rng, *sizes)
    one = other.replaced(
        {n: W + size * rng.normal(size=W.shape) for n, W in other.named_weights.items()},
        [b + size * rng.normal(size=b.shape) for b in other.biases],
    )
    certificate = certify_transformer(one, other, radius=1.5)
    bound, ceiling = recursion(one, other, 1.5)
    slack = 1.05 ** (4 * sizes[2])  # norms are rounded up by 5 %
    assert bound * (1 - 1e-6) <= float(certificate.error) <= slack * bound
    said = float(certificate.reasons[-1].split("at most ")[-1])
    assert ceiling * (1 - 1e-2) <= said <= slack * ceiling * (1 + 1e-2)


@settings(max_examples=25)
@given(generators, st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.sampled_from([1e-6, 1e-2, 1.0]))
def test_what_is_seen_lies_in_the_bracket(rng, D, H, L, size):
    target = transformer(rng, D, H, L)
    one = target.replaced(
        {name: W + size * rng.normal(size=W.shape) for name, W in target.named_weights.items()},
        [b + size * rng.normal(size=b.shape) for b in target.biases],
    )
    low, high = bracket(one, target, radius=1)
    assert 0 < low <= high
    Z = rng.normal(size=(256, D, 3))
    Z /= np.linalg.norm(Z, axis=1, keepdims=True)
    assert np.linalg.norm(one(Z) - target(Z), axis=1).max() <= high * (1 + 1e-9)


# ----------------------------------------------------------------------------------------------------- norms


def reference(x):
    return np.linalg.norm(np.array([[float(v) for v in row] for row in x.table()]), 2)


@settings(max_examples=40)
@given(generators, st.integers(1, 8), st.sampled_from([1e-300, 1e-9, 1.0, 1e9, 1e300]))
def test_norms_are_above_and_near(rng, n, scale):
    for x in (rng.normal(size=(n, n)), rng.normal(size=(n, 1)), np.outer(rng.normal(size=n), rng.normal(size=n))):
        bound = float(spectral_norm_above(exact.matrix(x * scale)) / exact.number(scale))
        assert np.linalg.norm(x, 2) * (1 - 1e-12) <= bound <= np.linalg.norm(x, 2) * n ** (1 / 64) * (1 + 1e-12)


@pytest.mark.parametrize("entry", [1, fmpq(1, 3), 2**70 - 1, fmpq(2**300 + 1, 7)])
def test_norms_of_what_is_attained_are_never_below(entry):
    """A single entry, whose norm is itself, and signs of it, whose norm is n times the entry: cut entries round."""
    for n in (1, 2, 5):
        x = fmpq_mat(n, n, [entry] * (n * n))
        bound = spectral_norm_above(x)
        assert n * entry <= bound <= n * entry * fmpq(10**12 + 1, 10**12)
        y = fmpq_mat(n, n, [entry if i == j else 0 for i in range(n) for j in range(n)])
        assert spectral_norm_above(y) >= entry
        assert spectral_norm_above(-x) >= n * entry


def test_norms_are_short_and_cost_what_is_said():
    for n in (2, 5):
        bound = spectral_norm_above(exact.matrix(np.eye(n) / 3))
        assert 3 * float(bound) == pytest.approx(n ** (1 / 64), rel=1e-12)
        assert int(bound.p).bit_length() <= 64


def test_the_reasons_say_which_form_is_off_and_by_how_much():
    base = {"M": 2.0, "N": 3.0, "b_1": 4.0, "b_2": 5.0, "D": 2}
    other = network(block(**base))
    for name, c, where, by in [
        ("M", 2.5, "logits of head 0", 0.25), ("N", 3.3, "values of head 0", 0.1), ("b_1", 5.0, "bias", 0.25),
        ("b_2", 5.1, "W_out b_2", 0.02), ("W_2", 1.5, "W_out W_2", 0.5),
    ]:  # fmt: skip
        reasons = certify_transformer(network(block(**base | {name: c})), other).reasons
        off = name in ("b_2", "W_2")
        assert reasons[not off].endswith("agree exactly")
        assert reasons[off].endswith(f"worst is the {where}" if where[0] != "W" else f"worst is {where}")
        assert float(reasons[off].split("up to ")[1].split(",")[0]) == pytest.approx(by)


def test_the_norm_of_0_is_0():
    assert spectral_norm_above(fmpq_mat(3, 3)) == 0
    assert spectral_norm_above(fmpq_mat(3, 1)) == 0


def test_entries_that_are_cut_are_paid_for():
    """63 bits of all entries are lost in turn: ones beside a huge one."""
    n = 6
    x = fmpq_mat(n, n, [2**100 if i == j == 0 else -(2**36) + 1 for i in range(n) for j in range(n)])
    one = fmpq_mat(n, 1, [1] + [0] * (n - 1))
    assert spectral_norm_above(x) ** 2 >= sum((v * v for v in (x * one).entries()), fmpq(0))


# ------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("tolerance", [float("nan"), float("inf"), -1e-9, "a", None, 1j])
def test_bad_tolerances(tolerance):
    net = network(block())
    with pytest.raises(ValueError, match="tolerance is"):
        certify_transformer(net, net, tolerance=tolerance)


@pytest.mark.parametrize("radius", [0, -1, float("nan"), float("inf"), "wide", 1j, np.datetime64("2026-01-01")])
def test_bad_radii(radius):
    net = network(block())
    with pytest.raises(ValueError, match=r"positive number|finite"):
        certify_transformer(net, net, radius=radius)


def test_the_standard_radius_is_at_least_the_root():
    for D in range(1, 50):
        assert D <= Fraction(standard_radius(D)) ** 2 <= D * (1 + Fraction(1, 10**15))
    seen = certify_transformer(network(block(N=2.0, D=5)), network(block(D=5)))
    assert float(seen.difference.lower) == pytest.approx(5**0.5)


# ------------------------------------------------------------------------------------------- forms and values


def test_the_forms_evaluate_to_the_network():
    rng = np.random.default_rng(5)
    net = transformer(rng, 3, 2, 3)
    Z = rng.normal(size=(3, 4))
    numbers = values._values(Forms.of(net).map(flint.arb_mat), flint.arb_mat(exact.matrix(Z)), True)
    expected = net(Z)
    for i in range(3):
        for j in range(4):
            assert float(numbers[i, j].mid()) == pytest.approx(expected[i, j], rel=1e-9)
    alone = values._values(Forms.of(net).map(flint.arb_mat), flint.arb_mat(exact.matrix(Z)), False)
    for j in range(4):
        token = net(Z[:, [j]])
        assert [float(alone[i, j].mid()) for i in range(3)] == pytest.approx(list(token[:, 0]), rel=1e-9)


def test_a_map_changes_every_form():
    forms = Forms.of(transformer(np.random.default_rng(2), 2, 2, 2))
    twice = forms.map(lambda x: 2 * x)
    assert (twice.out, twice.shift) == (2 * forms.out, 2 * forms.shift)
    for block, doubled in zip(forms.blocks, twice.blocks, strict=True):
        assert doubled.bias == 2 * block.bias
        for part, other in zip(block[:3], doubled[:3], strict=True):
            assert other == [2 * x for x in part]


def test_a_tie_is_resolved_by_as_many_digits_as_it_needs():
    """Two logits of 1e60 that are equal: 128 bits leave anything between 0 and 1 for the weights."""
    M = np.random.default_rng(0).normal(size=(2, 2)) * 1e60
    low, high = bracket(network(block(M=M * (1 + 2.0**-40), b_1=3.0, D=2)), network(block(M=M, b_1=3.0, D=2)))
    assert 0 < low < high
    E = np.array([[0.0, 1e45], [0.0, 0.0]])
    low, high = bracket(network(block(M=M + E, b_1=3.0, D=2)), network(block(M=M, b_1=3.0, D=2)))
    assert 0.2 < low < high


def test_values_are_lower_bounds_at_tokens_of_the_ball():
    """The target is the norm itself, so what is found is the radius at most, and the radius nearly."""
    one, other = Forms.of(network(block(N=2.0, D=4))), Forms.of(network(block(D=4), W_out=-1.0))
    for radius in (fmpq(1, 3), fmpq(10**30)):
        found = largest(one, other, radius)
        positive = fmpq(1)
        assert 0 < found.size <= radius * positive
        assert found.size > radius * fmpq(8, 10)
        assert found.apart <= 3 * radius


def test_huge_logits_do_not_overflow():
    for M in (1e300, -1e300, 1e10):
        low, high = bracket(network(block(M=M, b_1=3.0, D=2)), network(block(M=-M, b_1=3.0, D=2)), radius=1)
        assert 0.5 < low <= high <= 3
