import json
from itertools import combinations, pairwise

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from strategies import generators

from lora_proofs import Box, ReluNetwork, cli, exact, instances
from lora_proofs.constructions import adapt_linear_chain, adapt_relu_network
from lora_proofs.constructions.transformer.adapt import adapt_transformer
from lora_proofs.networks.transformer import TransformerBlock, TransformerNetwork
from lora_proofs.tools.planner import plan, plan_files, read_network


def option(result, words):
    (found,) = [o for o in result.options if words in o.name]
    return found


def network(weights):
    return ReluNetwork(weights, [0 * W[:, 0] for W in weights])


def planted(rng, D=12, sizes=(1, 3, 1), ranks=(2, 8, 1)):
    """Return a pair whose blocks of these sizes lack these ranks, and full rank for any other partition."""
    weights = instances.chain(rng, D, sum(sizes), "orthogonal")
    ends = np.cumsum([0, *sizes])
    products = [np.linalg.multi_dot([np.eye(D), *weights[a:b][::-1], np.eye(D)]) for a, b in pairwise(ends)]
    return network(weights), network(
        [P + instances.planted_rank(rng, D, D, r) for P, r in zip(products, ranks, strict=True)]
    )


def test_random_networks_need_the_papers_rank():
    rng = np.random.default_rng(0)
    result = plan(instances.relu_network(rng, 16, 4), instances.relu_network(rng, 16, 2))
    uniform = option(result, "Theorem 3")
    assert (uniform.ranks, uniform.groups, uniform.parameters) == ((8, 8, 8, 8), (2, 2), 2 * 2 * 16**2)
    assert uniform.dimension == 4 * 8 * (32 - 8)
    assert result.rank == 8
    assert option(result, "least total rank, one layer").ranks == (16, 0, 16, 0)
    assert option(result, "full tuning of one").parameters == 2 * 16**2
    assert [o.parameters for o in result.options if o.name == "full tuning"] == [4 * 16**2]
    last = option(result, "final-layer")
    assert (last.parameters, last.ranks, last.exact) == (3 * 16**2, (), False)


def test_a_planted_partition_is_found_and_its_ranks_suffice():
    frozen, target = planted(np.random.default_rng(1))
    result = plan(frozen, target)
    assert max(option(result, "Theorem 3").ranks) == 12
    assert option(result, "best partition").ranks == (3,) * 5
    spread, one = option(result, "spread"), option(result, "least total rank, one layer")
    assert (spread.ranks, spread.groups) == ((2, 3, 3, 2, 1), (1, 3, 1))
    assert (one.ranks, one.parameters) == ((2, 8, 0, 0, 1), spread.parameters)
    assert one.dimension < spread.dimension
    assert result.rank == 3
    assert result.gap > 1e6
    for o in (spread, one):
        adapted = adapt_relu_network(frozen, target, o.ranks, domain=Box(-1, 1), partition=o.groups)
        assert adapted.certificate.holds


@given(generators, st.sampled_from([(4, 1), (4, 2), (5, 3), (6, 3)]))
def test_the_least_total_is_least_over_all_partitions(rng, depths):
    L, Lbar = depths
    # Neighbouring products that differ by little make the ranks depend on the partition.
    weights = [np.eye(4) + instances.planted_rank(rng, 4, 4, int(rng.integers(0, 3))) for _ in range(L)]
    goals = [np.eye(4) + instances.planted_rank(rng, 4, 4, int(rng.integers(0, 3))) for _ in range(Lbar)]
    result = plan(network(weights), network(goals))

    def total(ends):
        blocks = zip(goals, pairwise([0, *ends, L]), strict=True)
        products = [(G, np.linalg.multi_dot([np.eye(4), *weights[a:b][::-1], np.eye(4)])) for G, (a, b) in blocks]
        return sum(np.linalg.matrix_rank(G - P, tol=1e-9) for G, P in products)

    least = min(total(ends) for ends in combinations(range(1, L), Lbar - 1))
    assert sum(option(result, "spread").ranks) == least
    assert sum(option(result, "least total rank, one layer").ranks) == least


def test_rational_networks_are_planned_exactly():
    rng = np.random.default_rng(2)
    W = [exact.array(instances.nonsingular(rng, 5)) for _ in range(3)]
    goal = W[2] @ W[1] @ W[0] + exact.array(instances.rational_planted_rank(rng, 5, 5, 4))
    result = plan(network(W), network([goal]))
    assert (result.rank, result.gap) == (2, float("inf"))
    assert "necessary if the target's matrix is non-singular" in str(result)


def test_a_narrow_target_needs_ranks_of_its_own_width():
    rng = np.random.default_rng(3)
    frozen, target = instances.relu_network(rng, 8, 4), instances.relu_network(rng, 3, 2)
    result = plan(frozen, target)
    assert option(result, "Theorem 3").ranks == (2, 2, 2, 2)
    assert option(result, "spread").ranks == (2, 1, 2, 1)
    adapted = adapt_relu_network(frozen, target, (2, 1, 2, 1), domain=Box(-1, 1))
    assert adapted.certificate.holds


@pytest.mark.parametrize("rational", [False, True])
def test_a_chain(rational):
    rng = np.random.default_rng(4)
    W = instances.chain(rng, 6, 3, "orthogonal")
    E = instances.planted_rank(rng, 6, 6, 4)
    if rational:
        W, E = [exact.array(instances.nonsingular(rng, 6)) for _ in W], exact.array(
            instances.rational_planted_rank(rng, 6, 6, 4)
        )  # fmt: skip
    target = W[2] @ W[1] @ W[0] + E
    result = plan(W, target)
    assert [o.ranks for o in result.options] == [(2, 2, 2), (2, 1, 1), (4, 0, 0), (), ()]
    assert [o.parameters for o in result.options] == [72, 48, 48, 36, 108]
    if not rational:
        assert adapt_linear_chain(W, target, (4, 0, 0)).error < 1e-12


def random_transformer(rng, D=4, H=2, L=2):
    blocks = [
        TransformerBlock(
            *([rng.standard_normal((D, D)) for _ in range(H)] for _ in range(4)),
            rng.standard_normal((D, D)), rng.standard_normal(D), rng.standard_normal((D, D)), rng.standard_normal(D),
        )
        for _ in range(L)
    ]  # fmt: skip
    return TransformerNetwork(blocks, rng.standard_normal((D, D)))


def test_a_transformer_costs_as_much_as_full_attention_tuning():
    rng = np.random.default_rng(5)
    frozen, target = random_transformer(rng), random_transformer(rng)
    result = plan(frozen, target)
    uniform = option(result, "Theorem 7")
    assert result.rank == 2
    assert uniform.ranks == (2,) * (4 * 2 * 2 + 2)
    assert uniform.parameters == option(result, "full attention tuning").parameters == 18 * 16
    assert option(result, "full tuning of one matrix a pair").parameters == 9 * 16
    Z = rng.standard_normal((4, 3))
    adapted = adapt_transformer(frozen, target, result.rank)
    np.testing.assert_allclose(adapted.network(Z), target(Z), rtol=1e-6, atol=1e-8)


def test_doubts_are_named():
    singular = np.diag([1.0, 1.0, 0.0])
    result = plan(network([np.eye(3), singular, np.eye(3)]), network([np.eye(3)]))
    assert "singular frozen layers (from 1): 2;" in str(result)
    faint = plan(network([np.eye(3)]), network([np.eye(3) + np.diag([1.0, 3e-15, 1e-15])]))
    assert "a rank is in doubt" in str(faint)
    assert "in doubt" not in str(plan(network([np.eye(3)]), network([np.eye(3) + np.diag([1.0, 0.0, 0.0])])))


def test_float32_weights_are_ranked_above_their_own_rounding():
    rng = np.random.default_rng(6)
    W = instances.orthogonal(rng, 8)
    merged = (W + instances.planted_rank(rng, 8, 8, 3)).astype(np.float32)
    assert plan(network([W]), network([merged])).rank == 3
    assert plan(network([W]), network([merged.astype(float)])).rank == 8


def test_the_table_and_its_json_say_the_same():
    rng = np.random.default_rng(7)
    result = plan(*planted(rng))
    data = json.loads(result.to_json())
    assert data["schema"] == 1
    assert data["rank"] == 3
    assert data["gap"] == result.gap
    text = str(result)
    assert "rank 3 for every matrix is enough" in text
    for row, o in zip(data["options"], result.options, strict=True):
        assert (row["name"], tuple(row["ranks"]), row["parameters"]) == (o.name, o.ranks, o.parameters)
        assert f"{o.name}" in text
        assert f"{o.dimension}" in text
    assert all(f"- {note}" in text for note in data["notes"])
    rational = plan([exact.array(np.eye(2, dtype=int))], exact.array(np.ones((2, 2), dtype=int)))
    assert json.loads(rational.to_json())["gap"] is None
    assert max(map(len, text.splitlines())) <= 120


def test_many_ranks_are_printed_as_runs():
    rng = np.random.default_rng(8)
    assert "2 (4 times), 1 (8 times)" in str(plan(instances.chain(rng, 16, 12), instances.uniform(rng, 16)))


@pytest.mark.parametrize(
    ("frozen", "target", "message"),
    [
        (network([np.eye(2)]), np.eye(2), "cannot plan from a ReluNetwork to a ndarray; pass two ReluNetworks"),
        (network([np.eye(2)]), network([np.eye(3)]), "the target has width 3, the frozen network only 2"),
        (network([np.eye(2)]), network([np.eye(2)] * 2), "the target has 2 layers, the frozen network only 1"),
        ([], np.eye(2), "frozen is empty; pass a list of at least one weight matrix"),
        ([np.eye(2), np.eye(3)], np.eye(2), r"frozen\[1\] \(W_2\) has shape \(3, 3\)"),
        ([np.eye(2)], np.ones((2, 3)), r"target has shape \(2, 3\)"),
        ([exact.array(np.eye(2))], np.eye(2), "the arrays are of different kinds"),
    ],
)
def test_what_does_not_fit_is_refused(frozen, target, message):
    with pytest.raises(ValueError, match=message):
        plan(frozen, target)


# --------------------------------------------------------------------------------------------------- files


def test_files_are_read_in_natural_order_with_zero_for_a_missing_bias(tmp_path):
    rng = np.random.default_rng(9)
    weights = {i: rng.standard_normal((3, 3)).astype(np.float32) for i in (2, 10, 0)}
    tensors = {f"layers.{i}.weight": W for i, W in weights.items()}
    bias = np.arange(3, dtype=np.float32)
    save_file(tensors | {"layers.10.bias": bias}, tmp_path / "a.safetensors")
    found = read_network(tmp_path / "a.safetensors")
    for W, i in zip(found.weights, (0, 2, 10), strict=True):
        np.testing.assert_array_equal(W, weights[i])
    assert [b.tolist() for b in found.biases] == [[0, 0, 0], [0, 0, 0], [0, 1, 2]]
    assert {x.dtype for x in (*found.weights, *found.biases)} == {np.dtype("float32")}


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_widened_exactly(tmp_path, dtype):
    W = np.array([[0.1, 2.0], [3.0, -4.0]]).astype(dtype)
    save_file({"0.weight": W}, tmp_path / "a.safetensors")
    (found,) = read_network(tmp_path / "a.safetensors").weights
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, W.astype(np.float32))


def test_two_files_are_planned(tmp_path):
    frozen, target = planted(np.random.default_rng(10))
    for name, net in (("frozen", frozen), ("target", target)):
        save_file({f"{i}.weight": W for i, W in enumerate(net.weights)}, tmp_path / name)
    assert plan_files(tmp_path / "frozen", tmp_path / "target") == plan(frozen, target)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "a network needs at least one layer"),
        ({"embedding": np.eye(2)}, "the tensor 'embedding' is neither LAYER.weight nor LAYER.bias"),
        ({"0.weight": np.eye(2), "0.scale": np.ones(2)}, "the tensor '0.scale' is neither"),
        ({"0.bias": np.ones(2)}, "layer '0' has a bias but no weight"),
        ({"0.weight": np.ones(2)}, r"0.weight has shape \(2,\); pass an array of shape \(any x any\)"),
        ({"0.weight": np.eye(2, dtype=np.int64)}, "0.weight has dtype int64; pass real floating numbers"),
        ({"0.weight": np.full((2, 2), np.nan)}, "0.weight contains NaN or infinity"),
        ({"a.weight": np.eye(2), "b.weight": np.eye(3)}, r"weight 2 has shape \(3, 3\).*in order, a, b"),
        ({"0.weight": np.eye(2), "0.bias": np.ones(3)}, r"bias 1 has shape \(3,\)"),
    ],
)
def test_a_malformed_network_gives_one_clear_error(tmp_path, tensors, message):
    file = tmp_path / "a.safetensors"
    save_file(tensors, file)
    with pytest.raises(ValueError, match=message) as error:
        read_network(file)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


def test_a_malformed_file_gives_one_clear_error(tmp_path):
    (tmp_path / "text").write_text("this is no safetensors file")
    save_file({"0.weight": np.eye(8)}, tmp_path / "cut")
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-5])
    (tmp_path / "empty").touch()
    for name in ("text", "cut", "empty", "absent", "."):
        with pytest.raises(ValueError, match=r"cannot read .* as a safetensors file: ") as error:
            read_network(tmp_path / name)
        assert "\n" not in str(error.value)


def test_the_command_prints_the_table_and_writes_it_as_json(tmp_path, monkeypatch, capsys):
    files = [str(tmp_path / name) for name in ("frozen", "target")]
    for file, factor in zip(files, (1.0, 2.0), strict=True):
        save_file({"0.weight": factor * np.eye(3)}, file)

    def run(*words):
        monkeypatch.setattr("sys.argv", ["lora-proofs", "plan", *files, *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, *capsys.readouterr()

    code, out, _ = run("--json", str(tmp_path / "plan.json"))
    assert (code, out) == (0, f"{plan_files(*files)}\n")
    assert json.loads((tmp_path / "plan.json").read_text())["rank"] == 3
    save_file({"scale": np.eye(3)}, files[1])
    code, out, error = run()
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "neither LAYER.weight nor LAYER.bias" in error
