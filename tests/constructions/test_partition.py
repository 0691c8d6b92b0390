from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import generators

from lora_proofs import exact, instances
from lora_proofs.constructions import best_partition, required_ranks, uniform_partition
from lora_proofs.constructions.relu.partition import read_partition


def all_partitions(L, Lbar):
    for cuts in combinations(range(1, L), Lbar - 1):
        ends = [0, *cuts, L]
        yield [range(a, b) for a, b in pairwise(ends)]


depths = st.integers(1, 7).flatmap(lambda L: st.tuples(st.just(L), st.integers(1, L)))


@given(depths)
def test_uniform_partition_is_the_papers(depths):
    L, Lbar = depths
    M = L // Lbar
    expected = [set(range((i - 1) * M, i * M)) for i in range(1, Lbar)] + [set(range((Lbar - 1) * M, L))]
    assert [set(block) for block in uniform_partition(L, Lbar)] == expected
    assert read_partition(None, L, Lbar) == uniform_partition(L, Lbar)


@given(generators, depths)
def test_best_partition_is_best_of_all(rng, depths):
    L, Lbar = depths
    prices = {}

    def cost(i, block):
        return prices.setdefault((i, block.start, block.stop), int(rng.integers(0, 6)))

    def value(blocks):
        costs = [cost(i, block) for i, block in enumerate(blocks)]
        return max(costs), sum(costs)

    found = best_partition(L, Lbar, cost)
    assert found in list(all_partitions(L, Lbar))
    assert value(found)[0] == min(value(blocks)[0] for blocks in all_partitions(L, Lbar))


def test_ties_go_to_the_smaller_sum():
    costs = {(0, 1): 3, (0, 2): 3, (1, 2): 2, (1, 1): 0}
    assert best_partition(3, 2, lambda i, block: costs[i, len(block)]) == [range(0, 2), range(2, 3)]


def test_a_planted_partition_is_found():
    rng = np.random.default_rng(0)
    weights = instances.chain(rng, 6, 5, "orthogonal")
    planted = [range(0, 1), range(1, 4), range(4, 5)]
    goals = []
    for block in planted:
        Pi = np.linalg.multi_dot([*[weights[l] for l in reversed(block)], np.eye(6)])
        goals.append(Pi + instances.planted_rank(rng, 6, 6, len(block)))
    needed = required_ranks(weights, [lambda Pi, goal=goal: goal for goal in goals])
    assert [needed(i, block) for i, block in enumerate(planted)] == [1, 3, 1]
    assert needed(0, range(0, 2)) == 6
    assert best_partition(5, 3, lambda i, block: -(-needed(i, block) // len(block))) == planted


def test_required_ranks_over_the_rationals():
    rng = np.random.default_rng(0)
    weights = [exact.array(instances.nonsingular(rng, 4)) for _ in range(2)]
    goal = weights[1] @ weights[0] + exact.array(instances.rational_planted_rank(rng, 4, 4, 2))
    assert required_ranks(weights, [lambda Pi: goal])(0, range(2)) == 2


@pytest.mark.parametrize(
    "partition", [[1, 3], (1, 3), np.array([1, 3]), [[0], [1, 2, 3]], [range(1), range(1, 4)], [[1], [2, 3, 4]]]
)
def test_the_ways_to_write_a_partition(partition):
    assert read_partition(partition, 4, 2) == [range(0, 1), range(1, 4)]


@pytest.mark.parametrize(
    "partition",
    [
        [1, 2],
        [4],
        [0, 4],
        [5, -1],
        [1, 1, 2],
        [1.0, 3.0],
        3,
        [],
        ["a", "b"],
        [[0, 1], [1, 2, 3]],
        [[0, 1], [3, 2]],
        [[0], [2, 3]],
        [[2, 3], [0, 1]],
        [[], [0, 1, 2, 3]],
        [[2, 3], [4, 5]],
        [[0, 1], [2, 3], []],
    ],
)
def test_what_is_no_partition_is_refused(partition):
    with pytest.raises(
        ValueError, match=r"is no partition of 4 layers into 2 consecutive .* pass the block sizes, such as \[2, 2\]"
    ):
        read_partition(partition, 4, 2)
