"""Export: adapters between two stored models, in a folder that PEFT reads."""

import numpy as np
import pytest
from click.testing import CliRunner

from lora_proofs import ReluNetwork, instances
from lora_proofs.adapters import PeftFolder, load_peft
from lora_proofs.cli import cli
from lora_proofs.tensor_files import write_tensors
from lora_proofs.tools.export import export_adapters


def stored(path, network):
    tensors = {f"{2 * i}.weight": W for i, W in enumerate(network.weights)}
    write_tensors(path, tensors | {f"{2 * i}.bias": b for i, b in enumerate(network.biases)})
    return path


@pytest.fixture
def networks(tmp_path):
    rng = np.random.default_rng(0)
    frozen, target = instances.relu_network(rng, 6, 4), instances.relu_network(rng, 6, 2)
    return stored(tmp_path / "frozen", frozen), stored(tmp_path / "target", target), frozen, target


def test_theorem_3_in_a_peft_folder(networks, tmp_path):
    frozen_file, target_file, frozen, target = networks
    found = export_adapters(frozen_file, target_file, tmp_path / "out", rank=3, box=2.0)
    assert "on every x with |x_i| <= 2" in found.lines[0]
    adapters, biases = load_peft(tmp_path / "out"), PeftFolder.read(tmp_path / "out").biases
    modules = ["0", "2", "4", "6"]
    assert list(adapters) == modules
    weights = [adapters[m].merge(W) for m, W in zip(modules, frozen.weights, strict=True)]
    x = np.random.default_rng(1).uniform(-2, 2, (100, 6))
    np.testing.assert_allclose(ReluNetwork(weights, [biases[m] for m in modules])(x), target(x), atol=1e-9)


def test_below_the_threshold_no_equality_is_claimed(networks, tmp_path):
    found = export_adapters(networks[0], networks[1], tmp_path / "out", rank=1)
    assert found.lines[0].startswith("no equality")
    assert {a.rank for a in load_peft(tmp_path / "out").values()} == {1}


def test_a_fine_tune_gives_each_matrix_its_best_adapter(tmp_path):
    rng = np.random.default_rng(2)
    base = {
        "a.weight": rng.standard_normal((8, 5)),
        "a.bias": np.ones(8),
        "n.weight": np.ones(8),
        "b.weight": np.eye(4),
    }
    E = rng.standard_normal((8, 5))
    write_tensors(tmp_path / "base", base)
    write_tensors(tmp_path / "tuned", base | {"a.weight": base["a.weight"] + E, "n.weight": 2 * np.ones(8)})
    found = export_adapters(tmp_path / "base", tmp_path / "tuned", tmp_path / "out", rank=2)
    tail = np.linalg.norm(np.linalg.svd(E, compute_uv=False)[2:])
    assert f"<= {tail:.3e}" in found.lines[0]
    assert found.lines[1] == "not exported, though it differs: n.weight"
    assert np.linalg.norm(load_peft(tmp_path / "out")["a"].delta() - E) == pytest.approx(tail)
    with pytest.raises(ValueError, match="nothing to adapt"):
        export_adapters(tmp_path / "base", tmp_path / "base", tmp_path / "out", rank=2)


def test_a_changed_bias_goes_along(tmp_path):
    base = {"a.weight": np.eye(3), "a.bias": np.zeros(3)}
    write_tensors(tmp_path / "base", base)
    write_tensors(tmp_path / "tuned", {"a.weight": np.ones((3, 3)), "a.bias": np.ones(3)})
    export_adapters(tmp_path / "base", tmp_path / "tuned", tmp_path / "out", rank=9)
    np.testing.assert_array_equal(PeftFolder.read(tmp_path / "out").biases["a"], np.ones(3))


def test_command_line(networks, tmp_path):
    words = ["export", str(networks[0]), str(networks[1]), str(tmp_path / "out")]
    run = CliRunner().invoke(cli, [*words, "--rank", "3"])
    assert (run.exit_code, (tmp_path / "out" / "adapter_config.json").is_file()) == (0, True), run.output
    (tmp_path / "junk").write_bytes(b"junk")
    run = CliRunner().invoke(cli, ["export", str(tmp_path / "junk"), *words[2:]])
    assert run.exit_code == 2
    assert run.output.count("\n") == 1


def test_single_precision_networks_get_a_certified_bound(tmp_path):
    rng = np.random.default_rng(0)
    files = [tmp_path / "frozen", tmp_path / "target"]
    for file, depth in zip(files, (4, 2), strict=True):
        weights = [(rng.standard_normal((8, 8)) / 4).astype(np.float32) for _ in range(depth)]
        stored(file, ReluNetwork(weights, [np.full(8, 0.1, np.float32)] * depth))
    line = export_adapters(*files, tmp_path / "out", rank=4).lines[0]
    assert line.startswith("every output differs from the target's by at most")
    assert line.endswith("(certified)")


def test_bad_tensors_get_one_clear_line(tmp_path):
    write_tensors(tmp_path / "base", {"a.weight": np.eye(3)})
    write_tensors(tmp_path / "tuned", {"a.weight": np.full((3, 3), np.nan)})
    with pytest.raises(ValueError, match=r"a\.weight contains NaN"):
        export_adapters(tmp_path / "base", tmp_path / "tuned", tmp_path / "out", rank=1)


def test_integers_that_differ_are_named(tmp_path):
    base = {"a.weight": np.eye(3), "codes.weight": np.eye(3, dtype=int)}
    write_tensors(tmp_path / "base", base)
    write_tensors(tmp_path / "tuned", {name: 2 * x for name, x in base.items()})
    found = export_adapters(tmp_path / "base", tmp_path / "tuned", tmp_path / "out", rank=1)
    assert found.adapters.keys() == {"a"}
    assert found.lines[-1] == "not exported, though it differs: codes.weight"
