"""Inspection: spectra and intruders as defined, beside a base that fits."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from lora_proofs import Adapter
from lora_proofs.adapters import save_peft
from lora_proofs.cli import cli
from lora_proofs.tensor_files import write_tensors
from lora_proofs.tools.inspect import inspect_adapter, read_base, table, to_json

RNG = np.random.default_rng(0)
D = 100
W = np.diag(np.linspace(2, 1, D)) + 0.01 * RNG.standard_normal((D, D))


def spikes(tau, r, seed=0):
    """Return an update of r equal singular values tau in random directions."""
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((D, r)))[0] for _ in range(2))
    return Adapter(V.T, tau * U)


def report(adapter, weight=W, **options):
    return inspect_adapter({"m": adapter}, {"m.weight": weight}, **options)[0]


def test_spectrum_and_counts():
    B, A = np.diag([4.0, 2.0, 1.0])[:, :3], np.eye(3)
    found = report(Adapter(A, B, alpha=6), weight=np.eye(3), d_head=2)
    np.testing.assert_allclose(found.singular_values, [8, 4, 2], rtol=1e-14)
    p = np.array([4, 2, 1]) / 7
    assert found.effective_rank == pytest.approx(np.exp(-p @ np.log(p)))
    assert found.relative_norm == pytest.approx(np.sqrt(84 / 3))
    assert (found.rank, found.numerical_rank, found.parameters, found.full_parameters) == (3, 3, 18, 9)
    assert (found.head_threshold, found.certified_outputs) == (2, 5)
    assert report(Adapter(np.ones((2, D)), np.ones((D, 2)))).numerical_rank == 1


def test_intruders_are_large_new_directions():
    assert report(spikes(20.0, 3)).intruders == 3
    assert report(spikes(1e-6, 3)).intruders == 0
    U = np.linalg.svd(W)[0]
    aligned = Adapter(np.linalg.svd(W)[2][:3], 20 * U[:, :3])
    assert report(aligned).intruders == 0


def test_the_base_must_fit():
    adapter = spikes(1.0, 2)
    assert inspect_adapter({"m": adapter}, {"bert.m.weight": W})[0].module == "m"
    assert inspect_adapter({"model.m": adapter}, {"m.weight": W})[0].module == "model.m"
    with pytest.raises(ValueError, match=r"no tensors for m\.weight"):
        inspect_adapter({"m": adapter}, {"n.weight": W})
    with pytest.raises(ValueError, match=r"2 tensors for m\.weight"):
        inspect_adapter({"m": adapter}, {"a.m.weight": W, "b.m.weight": W})
    with pytest.raises(ValueError, match="but the adapter's update is"):
        inspect_adapter({"m": adapter}, {"m.weight": W[:3]})


def test_transposed_weights_are_turned():
    wide = Adapter(np.ones((1, 5)), np.ones((D, 1)))
    inspect_adapter({"m": wide}, {"m.weight": W[:5]})


def test_square_weights_of_gpt2_are_turned_when_the_adapter_says_so():
    U, _, Vt = np.linalg.svd(W)
    aligned = Adapter(Vt[:3], 20 * U[:, :3])
    assert report(aligned, W.T.copy(), transposed=True) == report(aligned)
    assert report(aligned, W.T.copy()) != report(aligned)


def test_updates_and_weights_of_zero_give_plain_numbers():
    fresh = report(Adapter(np.ones((2, D)), np.zeros((D, 2))))
    assert (fresh.effective_rank, fresh.numerical_rank, fresh.relative_norm) == (0, 0, 0)
    nothing = report(spikes(1.0, 2), np.zeros((D, D)))
    assert nothing.relative_norm is None
    assert json.loads(to_json([nothing]))["modules"][0]["relative_norm"] is None
    assert " - " in table([nothing])


def test_the_table_fits_a_terminal():
    module = "encoder.layer.11.attention.output.dense"
    reports = inspect_adapter({module: spikes(1.0, 8)}, {f"{module}.weight": W}, d_head=32)
    assert max(map(len, table(reports).splitlines())) <= 101


def test_bad_weights_get_one_clear_line():
    with pytest.raises(ValueError, match=r"m\.weight contains NaN"):
        report(spikes(1.0, 2), np.full((D, D), np.nan))
    with pytest.raises(ValueError, match=r"m\.weight has dtype int64"):
        report(spikes(1.0, 2), np.ones((D, D), int))


@pytest.mark.parametrize(
    ("config", "width"),
    [
        ({"hidden_size": D, "num_attention_heads": 25}, 4),
        ({"hidden_size": D, "num_attention_heads": 25, "head_dim": 8}, 8),
        ({"n_embd": D, "n_head": 10}, 10),
        ({"hidden_size": D}, None),
        ([], None),
    ],
)
def test_width_of_a_head_as_configs_tell_it(tmp_path, config, width):
    write_tensors(tmp_path / "model.safetensors", {"m.weight": W, "position_ids": np.arange(9)[None]})
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_base(tmp_path)[1] == width


def test_command_line(tmp_path):
    save_peft(tmp_path / "adapter", {"m": spikes(20.0, 3)})
    model = tmp_path / "model"
    model.mkdir()
    write_tensors(model / "model.safetensors", {"m.weight": W})
    (model / "config.json").write_text(json.dumps({"hidden_size": D, "num_attention_heads": 25}))
    assert read_base(model)[1] == 4
    words = ["inspect", f"{tmp_path}/adapter", str(model), "--json", f"{tmp_path}/out.json"]
    run = CliRunner().invoke(cli, words)
    assert run.exit_code == 0, run.output
    assert "3/10" in run.output
    assert "d_head = 4" in run.output
    module = json.loads((tmp_path / "out.json").read_text())["modules"][0]
    assert (module["intruders"], module["certified_outputs"]) == (3, 5)
    run = CliRunner().invoke(cli, ["inspect", f"{tmp_path}/adapter", str(tmp_path)])
    assert run.exit_code == 2
    assert "neither a safetensors file nor a folder" in run.output
