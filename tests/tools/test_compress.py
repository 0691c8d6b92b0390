"""Compression: as good as Eckart & Young allow, and the printed error is never too small."""

import numpy as np
import pytest
from click.testing import CliRunner

from lora_proofs import Adapter, exact, ntk
from lora_proofs.adapters import PeftFolder, load_peft, save_peft
from lora_proofs.cli import cli
from lora_proofs.tensor_files import read_tensors, write_tensors
from lora_proofs.tools.compress import (
    compress,
    compress_folder,
    compress_folder_linearized,
    difference_norm,
    distance,
    read_problem,
)


def trained(r=6, out=12, in_=9, alpha=3.0, decay=0.3, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    B = np.linalg.qr(rng.standard_normal((out, r)))[0] * decay ** np.arange(r)
    return Adapter(rng.standard_normal((r, in_)).astype(dtype), B.astype(dtype), alpha)


def exact_square(one, other):
    """Return ||delta - delta'||_F^2 over Q; float scaling factors are exact dyadic numbers."""
    deltas = [exact.number(a.scaling) * exact.matrix(a.B) * exact.matrix(a.A) for a in (one, other)]
    return exact.frobenius_norm_squared(deltas[0] - deltas[1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("rank", [1, 3, 6])
def test_error_is_the_best_one_and_its_bracket_holds_the_exact_one(dtype, rank):
    adapter = trained(dtype=dtype)
    found = compress(adapter, rank)
    assert found.adapter.rank == rank
    assert found.adapter.A.dtype == dtype
    low, high = found.error
    assert exact.number(low) ** 2 <= exact.number(exact_square(adapter, found.adapter)) <= exact.number(high) ** 2
    delta = adapter.scaling * adapter.B.astype(float) @ adapter.A.astype(float)
    tail = np.linalg.svd(delta, compute_uv=False)[rank:]
    rounding = 50 * float(np.finfo(dtype).eps) * found.norm[1]
    assert high <= np.linalg.norm(tail) + rounding
    assert found.best <= high


def test_a_wrong_factor_is_seen_in_the_bracket():
    full = trained()
    adapter = Adapter(np.pad(full.A, ((0, 1), (0, 0))), np.pad(full.B, ((0, 0), (0, 1))), 3.5)
    kept = compress(adapter, 6).adapter
    assert difference_norm(adapter, kept)[1] < 2e-14
    worse = Adapter(kept.A, kept.B * (1 + 1e-6))
    assert difference_norm(adapter, worse)[0] > 5e-7 * np.linalg.norm(adapter.delta())


def test_distance_encloses_the_exact_one():
    rng = np.random.default_rng(1)
    adapter, E = trained(), rng.standard_normal((12, 9))
    low, high = distance(E, adapter)
    delta = exact.number(adapter.scaling) * exact.matrix(adapter.B) * exact.matrix(adapter.A)
    square = exact.number(exact.frobenius_norm_squared(exact.matrix(E) - delta))
    assert exact.number(low) ** 2 <= square <= exact.number(high) ** 2
    assert high - low < 1e-12


@pytest.mark.parametrize("tolerance", [0.5, 0.1, 1e-2, 1e-6])
def test_tolerance_gives_the_smallest_rank(tolerance):
    adapter = trained()
    found = compress(adapter, tolerance=tolerance)
    assert found.error[1] <= tolerance * found.norm[0]
    if found.adapter.rank:
        assert compress(adapter, found.adapter.rank - 1).error[0] > tolerance * found.norm[0]


def test_what_cannot_be_smaller_stays_as_it_is():
    adapter = trained(dtype=np.float16)
    for found in (compress(adapter, 6), compress(adapter, 99), compress(adapter, tolerance=1e-12)):
        assert found.adapter is adapter
        assert found.error == (0, 0)


def test_bad_input():
    with pytest.raises(ValueError, match="either rank or tolerance"):
        compress(trained())
    with pytest.raises(ValueError, match="tolerance must be"):
        compress(trained(), tolerance=2.0)
    with pytest.raises(ValueError, match="rank"):
        compress(trained(), rank=-1)


def problem_file(path, modules, N=4, seed=0):
    rng = np.random.default_rng(seed)
    arrays = {f"gradients.{m}": rng.standard_normal((N, 1, 12, 9)) for m in modules}
    labels = rng.standard_normal((N, 1))
    np.savez(path, offsets=np.zeros((N, 1)), labels=labels, loss="squared", lam=0.1, **arrays)
    return path


def test_reduce_rank_keeps_the_outputs_of_a_linearised_problem(tmp_path):
    saved = {"a": trained(seed=1), "b": trained(seed=2)}
    save_peft(tmp_path / "in", saved, {"a": np.ones(12), "b": np.zeros(12)})
    file = problem_file(tmp_path / "problem.npz", saved)
    ranks, change = compress_folder_linearized(tmp_path / "in", tmp_path / "out", file)
    kept = load_peft(tmp_path / "out")
    problem, modules = read_problem(file)
    assert modules == ["a", "b"]
    assert isinstance(problem, ntk.LinearizedProblem)
    assert sum(a.rank * (a.rank + 1) // 2 for a in kept.values()) <= 4
    assert kept.keys() == saved.keys()
    gradients = np.load(file)
    before, after = (
        sum(np.tensordot(gradients[f"gradients.{m}"], adapters[m].delta(), 2) for m in modules)
        for adapters in (saved, kept)
    )
    np.testing.assert_allclose(after, before, atol=1e-12)
    assert change.fit_change < 1e-12
    assert ranks == {name: (saved[name].rank, kept[name].rank) for name in modules}
    problem_file(file, ["a"])
    with pytest.raises(ValueError, match="look at b"):
        compress_folder_linearized(tmp_path / "in", tmp_path / "out", file)
    (tmp_path / "problem.npz").write_bytes(b"\x80\x04")
    with pytest.raises(ValueError, match="is no npz file"):
        read_problem(tmp_path / "problem.npz")


def test_command_line(tmp_path):
    save_peft(tmp_path / "in", {"a": trained(), "b": trained(seed=3)}, {"a": np.ones(12), "b": np.zeros(12)})
    run = CliRunner().invoke(cli, ["compress", f"{tmp_path}/in", f"{tmp_path}/out", "--rank", "2"])
    assert (run.exit_code, run.output.count("rank 6 -> 2")) == (0, 2)
    assert {a.rank for a in load_peft(tmp_path / "out").values()} == {2}
    np.testing.assert_array_equal(PeftFolder.read(tmp_path / "out").biases["a"], np.ones(12))
    for words in ([], ["--rank", "2", "--tolerance", "0.1"]):
        run = CliRunner().invoke(cli, ["compress", f"{tmp_path}/in", f"{tmp_path}/out", *words])
        assert (run.exit_code, run.output) == (2, "Error: pass one of --rank, --tolerance and --problem\n")


def test_a_folder_is_not_written_over(tmp_path):
    save_peft(tmp_path, {"a": trained()})
    with pytest.raises(ValueError, match="write to another folder"):
        compress_folder(tmp_path, tmp_path / ".." / tmp_path.name, 1)


def test_biases_of_other_modules_are_not_lost_silently(tmp_path):
    save_peft(tmp_path / "in", {"a": trained(), "b": trained()}, {"a": np.ones(12), "b": np.ones(12)})
    file = tmp_path / "in" / "adapter_model.safetensors"
    write_tensors(file, {name: x for name, x in read_tensors(file).items() if "b.lora" not in name})
    with pytest.raises(ValueError, match=r"biases of modules without adapters \(b\)"):
        compress_folder(tmp_path / "in", tmp_path / "out", 1)


def test_a_bracket_leaves_room_for_a_norm_that_is_summed_in_any_order():
    U = 2.0**-53
    for rows in (1, 300):
        one = Adapter(np.ones((1, rows)), np.ones((rows, 1)))
        low, high = difference_norm(one, Adapter.zero(rows, rows, like=one.A))
        assert (rows**2 + 8 + 9) * U * rows < high - rows < (rows**2 + 30) * U * rows
        assert (rows**2 + 8 + 9) * U * rows < rows - low < (rows**2 + 30) * U * rows


def test_a_distance_leaves_room_for_the_rounding_of_what_cancels():
    """Nothing is left of the difference but rounding: of the root of the scaling, of two factors, of each product."""
    for width in (1, 50):
        adapter = Adapter(np.ones((width, 3)), np.ones((3, width)))
        low, high = distance(np.full((3, 3), float(width)), adapter)
        sizes = 3 * width + 3 * width
        assert low == 0
        assert (width + 8) * 2.0**-53 * sizes < high < (width + 9) * 2.0**-53 * 1.02 * sizes


def test_biases_of_modules_that_vanish_are_dropped(tmp_path):
    save_peft(tmp_path / "in", {"a": trained(), "b": trained()}, {"a": np.ones(12), "b": np.ones(12)})
    file = problem_file(tmp_path / "problem.npz", ["a", "b"], N=1)  # one output: rank one of one module is enough
    compress_folder_linearized(tmp_path / "in", tmp_path / "out", file)
    assert PeftFolder.read(tmp_path / "out").biases.keys() == load_peft(tmp_path / "out").keys()
    assert len(load_peft(tmp_path / "out")) == 1


def test_a_problem_without_an_array_is_refused(tmp_path):
    file = problem_file(tmp_path / "problem.npz", ["a"])
    stored = dict(np.load(file))
    for name in stored:
        np.savez(file, **{other: x for other, x in stored.items() if other != name})
        with pytest.raises(ValueError, match=f"lacks {'gradients.MODULE' if name == 'gradients.a' else name}$"):
            read_problem(file)


@pytest.mark.parametrize("exponent", [-450, 0, 450])
def test_the_least_error_is_that_of_eckart_and_young_in_any_units(exponent):
    adapter = trained()
    scaled = Adapter(np.ldexp(adapter.A, exponent), np.ldexp(adapter.B, exponent), 3.0)
    expected, found = compress(adapter, 3), compress(scaled, 3)
    assert found.best == np.ldexp(expected.best, 2 * exponent)
    assert found.best <= found.error[1] <= found.best * (1 + 1e-9)
