"""Labelled sentences from the standard library, and draws of labelled data."""

import numpy as np
import pytest

from lora_proofs.pretrained.datasets import draw, load
from lora_proofs.pretrained.docstrings import TOPICS

SENTENCES = load("docstrings")


def test_the_corpus_has_two_topics_without_overlap():
    mathematics, files = SENTENCES["mathematics"], SENTENCES["file system"]
    assert SENTENCES.keys() == TOPICS.keys()
    assert not set(mathematics) & set(files)
    assert all(len(topic) >= 150 and list(topic) == sorted(set(topic)) for topic in (mathematics, files))
    assert all(s[0].isupper() and s.endswith(".") and "\n" not in s for s in mathematics + files)
    assert "Return the cosine of z." in mathematics
    assert any("directory" in s for s in files)


def test_a_draw_is_balanced_reproducible_and_nested():
    small, large = draw(SENTENCES, 8, 3), draw(SENTENCES, 40, 3)
    assert small.items == draw(SENTENCES, 8, 3).items == large.items[:8]
    assert small.items != draw(SENTENCES, 8, 4).items
    assert list(np.bincount(large.labels)) == [20, 20]
    assert len(set(large.items)) == 40
    assert all(s in list(SENTENCES.values())[k] for s, k in zip(*large, strict=True))


@pytest.mark.parametrize("n", [0, -2, 3, 100_000, 2.5])
def test_bad_sizes_of_a_draw(n):
    with pytest.raises(ValueError, match="multiple of 2"):
        draw(SENTENCES, n, 0)
