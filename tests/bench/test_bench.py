import numpy as np
import pytest

from lora_proofs import instances
from lora_proofs.bench import Ratio, compare, pairs, table, time_authors
from lora_proofs.bench.peers import by_inverses, lapack_floor

KEYS = ["chain", "inverses", "few_ranks", "relu", "transformer", "clarabel", "scs", "rank", "training"]


def test_every_pair_runs_at_tiny_size():
    ratios = [compare(p.name, p.peer, p.ours, p.theirs, p.runs) for p in pairs("smoke")]
    assert [p.key for p in pairs("smoke")] == KEYS
    assert all(ratio.ratio > 0 for ratio in ratios)
    assert len(table(ratios).splitlines()) == 2 + len(KEYS)


@pytest.mark.parametrize("peer", [lapack_floor, by_inverses])
def test_the_peers_solve_the_same_problem(peer):
    rng = np.random.default_rng(0)
    frozen, target = instances.chain(rng, 6, 3, "orthogonal"), instances.orthogonal(rng, 6)
    np.testing.assert_allclose(peer(frozen, target, 2), target, atol=1e-10)


def test_general_solvers_reach_the_same_optimum():
    for pair in pairs("smoke"):
        if pair.key in {"clarabel", "scs"}:
            assert pair.theirs() == pytest.approx(pair.ours().upper, rel=1e-5)


def test_ratios_are_taken_run_by_run():
    ratio = Ratio("ours", "theirs", (1.0, 4.0, 3e-3), (2.0, 2.0, 3e-3))
    assert ratio.ratios == [0.5, 1.0, 2.0]
    assert ratio.row() == ("ours", "1 s", "theirs", "2 s", "1 (0.5 to 2)")
    assert Ratio("a", "b", (2e-3,), (1e-3,)).row()[1:] == ("2 ms", "b", "1 ms", "2 (2 to 2)")


def test_unknown_sizes_are_refused():
    with pytest.raises(ValueError, match="size is 'huge'; pass one of smoke, quick, full"):
        next(pairs("huge"))


def test_a_named_clone_is_timed(tmp_path):
    code = "def our_construction(target, frozen, rank, log):\n    print('noise')\n    return target @ frozen[0]\n"
    (tmp_path / "helper.py").write_text(code)
    (ratio,) = time_authors(tmp_path, "smoke")
    assert ratio.ratio > 0


@pytest.mark.parametrize("code", [None, "import missing_module\n\ndef our_construction(): ..."])
def test_what_is_no_clone_is_refused_in_one_line(tmp_path, code):
    if code:
        (tmp_path / "helper.py").write_text(code)
    with pytest.raises(ValueError, match=r"is no clone of|does not run here: ModuleNotFoundError") as refusal:
        list(time_authors(tmp_path, "smoke"))
    assert "\n" not in str(refusal.value)
