"""PEFT folders: what is written comes back exactly, the real peft computes with it, nothing hostile gets through."""

import json
import re
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from lora_proofs import Adapter
from lora_proofs.adapters import PeftFolder, load_peft, save_peft
from lora_proofs.tensor_files import read_tensors, write_tensors

QUERY, VALUE = "encoder.layer.0.attention.self.query", "encoder.layer.0.attention.self.value"


def adapter(r=3, out=5, in_=4, alpha=None, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return Adapter(rng.standard_normal((r, in_)).astype(dtype), rng.standard_normal((out, r)).astype(dtype), alpha)


def same(one, other):
    assert one.scaling == other.scaling
    for x, y in ((one.A, other.A), (one.B, other.B)):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_adapters_come_back_exactly(tmp_path, dtype):
    saved = {
        QUERY: adapter(3, alpha=16, dtype=dtype),
        VALUE: adapter(1, dtype=dtype),
        "a.query": adapter(2, alpha=0.5, dtype=dtype),
    }
    biases = {name: np.arange(5, dtype=dtype) + i for i, name in enumerate(saved)}
    save_peft(tmp_path / "new" / "folder", saved, biases)
    loaded = load_peft(tmp_path / "new" / "folder")
    assert loaded.keys() == saved.keys()
    for name in saved:
        same(loaded[name], saved[name])
        np.testing.assert_array_equal(loaded[name].delta(), saved[name].delta())
        np.testing.assert_array_equal(PeftFolder.read(tmp_path / "new" / "folder").biases[name], biases[name])


def test_rank_zero_is_left_out_and_other_arrays_are_rounded_once(tmp_path):
    import torch
    from mpmath import mpf

    rows = np.array([[mpf(1) / 3, mpf(2)]], dtype=object)
    torch_one = Adapter(torch.ones(1, 2), torch.ones(3, 1))
    save_peft(tmp_path, {"a": Adapter(rows, rows.T), "b": torch_one, "c": Adapter.zero(3, 2, like=np.ones(1))})
    loaded = load_peft(tmp_path)
    assert loaded.keys() == {"a", "b"}
    assert loaded["a"].A[0, 0] == 1 / 3
    with pytest.raises(ValueError, match="nothing to save"):
        save_peft(tmp_path, {"c": Adapter.zero(3, 2, like=np.ones(1))})


def test_bfloat16_is_widened_exactly(tmp_path):
    import torch
    from safetensors.torch import save_file

    save_peft(tmp_path, {"a": adapter(alpha=6)})
    half = {
        name: torch.tensor(x).bfloat16() for name, x in read_tensors(tmp_path / "adapter_model.safetensors").items()
    }
    save_file(half, tmp_path / "adapter_model.safetensors")
    A = half["base_model.model.a.lora_A.weight"].float().numpy()
    np.testing.assert_array_equal(load_peft(tmp_path)["a"].A, A)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a b", "a..b", ".a", "(a+)+$", "a/b"])
def test_names_that_no_module_has_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="no name of a module"):
        save_peft(tmp_path, {name: adapter()})


def test_biases_must_fit(tmp_path):
    with pytest.raises(ValueError, match="look at b"):
        save_peft(tmp_path, {"a": adapter()}, {"a": np.ones(5), "b": np.ones(5)})
    with pytest.raises(ValueError, match=r"a\.bias"):
        save_peft(tmp_path, {"a": adapter()}, {"a": np.ones(4)})


def config(folder, **changes):
    path = folder / "adapter_config.json"
    text = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in text.items() if value != "DELETE"}))


def weights(folder, **changes):
    path = folder / "adapter_model.safetensors"
    tensors = {**read_tensors(path), **{f"base_model.model.{name}": x for name, x in changes.items()}}
    write_tensors(path, {name: x for name, x in tensors.items() if x is not None})


HOSTILE = {
    "DoRA": (lambda f: config(f, use_dora=True), "use_dora is set"),
    "PiSSA": (lambda f: config(f, init_lora_weights="pissa_niter_4"), "changes the base weights"),
    "OLoRA": (lambda f: config(f, init_lora_weights="olora"), "changes the base weights"),
    "a trained head": (lambda f: config(f, modules_to_save=["classifier"]), "modules_to_save is set"),
    "another method": (lambda f: config(f, peft_type="IA3"), "no LoRA adapter"),
    "no method": (lambda f: config(f, peft_type="DELETE"), "no LoRA adapter"),
    "no rank": (lambda f: config(f, r="DELETE"), "r of a must be a positive number"),
    "rank 0": (lambda f: config(f, r=0), "r of a must be a positive number"),
    "another rank": (lambda f: config(f, r=4), "has rank 3, but the config"),
    "alpha nan": (lambda f: config(f, lora_alpha=float("nan")), "must be a positive number"),
    "alpha infinite": (lambda f: config(f, lora_alpha=float("inf")), "finite positive"),
    "alpha text": (lambda f: config(f, lora_alpha="16"), "must be a positive number"),
    "a slow regular expression": (lambda f: config(f, rank_pattern={"(a+)+$": 3}), "may run for ever"),
    "a slower one": (lambda f: config(f, alpha_pattern={"a*a*a*a*a*b": 3}), "may run for ever"),
    "a broken one": (lambda f: config(f, alpha_pattern={"[a": 3}), "no pattern"),
    "no table": (lambda f: config(f, rank_pattern=[1]), "must be a table"),
    "a list": (lambda f: (f / "adapter_config.json").write_text("[]"), "no LoRA adapter"),
    "deep nesting": (lambda f: (f / "adapter_config.json").write_text("[" * 100_000), "cannot read"),
    "no JSON": (lambda f: (f / "adapter_config.json").write_text("{"), "cannot read"),
    "no config": (lambda f: (f / "adapter_config.json").unlink(), "no adapter_config.json"),
    "no weights": (lambda f: (f / "adapter_model.safetensors").unlink(), "no adapter_model.safetensors"),
    "a pickle": (lambda f: (f / "adapter_model.safetensors").rename(f / "adapter_model.bin"), "a pickle"),
    "B missing": (lambda f: weights(f, **{"a.lora_B.weight": None}), "lora_A alone"),
    "other ranks": (lambda f: weights(f, **{"a.lora_B.weight": np.ones((5, 2))}), "no common rank"),
    "NaN": (lambda f: weights(f, **{"a.lora_B.weight": np.full((5, 3), np.nan)}), "NaN or infinity"),
    "a convolution": (lambda f: weights(f, **{"a.lora_A.weight": np.ones((3, 4, 1, 1))}), "A has shape"),
    "a magnitude": (lambda f: weights(f, **{"a.lora_magnitude_vector": np.ones(5)}), "no low-rank factor"),
    "an embedding": (lambda f: weights(f, **{"a.lora_embedding_A": np.ones((3, 5))}), "no low-rank factor"),
    "integers": (lambda f: weights(f, **{"a.lora_A.weight": np.ones((3, 4), int)}), "int64"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_plain_adapter_gets_one_clear_line(tmp_path, case):
    save_peft(tmp_path, {"a": adapter()})
    spoil, message = HOSTILE[case]
    spoil(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        load_peft(tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_files_get_one_clear_line(tmp_path):
    save_peft(tmp_path, {"a": adapter()})
    path = tmp_path / "adapter_model.safetensors"
    whole = path.read_bytes()
    header = b'{"t":{"dtype":"F32","shape":[1000000000,1000000],"data_offsets":[0,4]}}'
    for text in (
        b"", whole[:7], whole[:20], whole[:-4], whole + b"x", struct.pack("<Q", 2**63) + whole[8:], b"\x80\x04pickle",
        struct.pack("<Q", len(header)) + header + b"0000",
    ):  # fmt: skip
        path.write_bytes(text)
        with pytest.raises(ValueError, match="cannot read") as caught:
            load_peft(tmp_path)
        assert "\n" not in str(caught.value)


def test_rank_stabilised_scaling(tmp_path):
    save_peft(tmp_path, {"a": adapter(3, alpha=6)})
    config(tmp_path, use_rslora=True)
    assert load_peft(tmp_path)["a"].scaling == pytest.approx(6 / 3**0.5, rel=1e-15)


@pytest.mark.parametrize(
    ("pattern", "hit"),
    [
        (r"layer\.[0-2]\..*query", True), (r".*\.1\..*query", True), ("(?:query|value)$", True), ("query", True),
        (r"layers\.1\.query", False), ("layer.1.query", True), ("ery", False), ("^layer.1.query", False),
    ],
)  # fmt: skip
def test_patterns_match_as_in_peft(tmp_path, pattern, hit):
    name = "encoder.layer.1.query"
    save_peft(tmp_path, {name: adapter(alpha=3)})
    config(tmp_path, alpha_pattern={pattern: 12, "[a-z.0-9]*query": 6})
    assert load_peft(tmp_path)[name].alpha == (12 if hit else 6)
    get_pattern_key = pytest.importorskip("peft.utils.other").get_pattern_key
    assert (get_pattern_key([pattern], name) == pattern) is hit


def test_matching_takes_no_time_that_matters(tmp_path):
    name = "a." * 149 + "ac"
    save_peft(tmp_path, {name: adapter()})
    config(tmp_path, alpha_pattern={"(.*)(a.*)(.*)b": 3})
    start = time.perf_counter()
    assert load_peft(tmp_path)[name].rank == 3
    assert time.perf_counter() - start < 10


def test_what_stands_beside_the_adapters_is_named(tmp_path):
    save_peft(tmp_path, {"a": adapter()}, fan_in_fan_out=True)
    assert PeftFolder.read(tmp_path).fan_in_fan_out
    weights(tmp_path, **{"classifier.weight": np.ones((2, 5))})
    config(tmp_path, modules_to_save=["classifier"])
    with pytest.raises(ValueError, match="modules_to_save is set"):
        load_peft(tmp_path)
    assert PeftFolder.read(tmp_path, beside=True).adapters.keys() == {"a"}
    assert PeftFolder.read(tmp_path, beside=True).beside == ("classifier.weight",)


def minilm():
    from transformers import AutoModel

    from lora_proofs.pretrained import model_folder

    return AutoModel.from_pretrained(model_folder("all-MiniLM-L6-v2")).eval()


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # peft's own call
def test_round_trip_through_peft_on_a_real_model(tmp_path):
    """Our folder in the real peft: outputs as with merged weights; peft's own folder: the same update, exactly."""
    import torch
    from peft import PeftModel

    modules = [f"encoder.layer.{l}.attention.self.{part}" for l in (0, 5) for part in ("query", "value")]
    base = minilm()
    saved = {}
    for i, name in enumerate(modules):
        rng = np.random.default_rng(i)
        A, B = (rng.standard_normal(shape).astype(np.float32) / 40 for shape in ((2 + i, 384), (384, 2 + i)))
        saved[name] = Adapter(A, B, alpha=8.0 if i else None)
    biases = {name: base.get_submodule(name).bias.detach().numpy() + np.float32(0.01) for name in modules}
    save_peft(tmp_path / "ours", saved, biases)

    tokens = torch.arange(1000, 1024).reshape(2, 12)
    adapted = PeftModel.from_pretrained(minilm(), tmp_path / "ours").eval()
    merged = minilm()
    for name in modules:
        layer = merged.get_submodule(name)
        wide = Adapter(saved[name].A.astype(np.float64), saved[name].B.astype(np.float64), saved[name].alpha)
        layer.weight.data = torch.tensor(wide.merge(layer.weight.detach().numpy().astype(np.float64)))
        layer.bias.data = torch.tensor(biases[name])
    # Merged or not, one function: to rounding in float64, then in float32.
    for dtype, rounding in ((torch.float64, 1e-13), (torch.float32, 2e-6)):
        with torch.no_grad():
            before, ours, theirs = (m.to(dtype)(tokens).last_hidden_state for m in (base, merged, adapted))
        size = float(ours.abs().max())
        assert float((ours - before).abs().max()) > 1e-3 * size
        assert float((ours - theirs).abs().max()) <= rounding * size

    adapted.to(torch.float32).save_pretrained(tmp_path / "theirs")
    again, again_biases = load_peft(tmp_path / "theirs"), PeftFolder.read(tmp_path / "theirs").biases
    assert again.keys() == saved.keys() == again_biases.keys()
    for name in modules:
        same(again[name], saved[name])
        np.testing.assert_array_equal(again[name].delta(), saved[name].delta())
        np.testing.assert_array_equal(again_biases[name], biases[name])


def test_nothing_is_unpickled():
    root = Path(__file__).parents[2] / "lora_proofs"
    for path in [*(root / "adapters").glob("*.py"), *(root / "tools").glob("*.py"), root / "tensor_files.py"]:
        assert not re.search(r"import pickle|torch\.load|allow_pickle=True", path.read_text())
