"""The few-shot tasks of the figures on linearised training: real transformers, real labelled data, two classes.

As in the paper's experiments: N = 32 examples, 16 a class, two logits, query and value weights of the last layer. The
cross-entropy of two logits sees only their difference, so a task is held as the logistic problem of these margins: the
same objective with half the rows, d = N.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from lora_proofs.ntk import LinearizedProblem
from lora_proofs.ntk.linearize import Linearization
from lora_proofs.pretrained import datasets
from lora_proofs.pretrained.minilm import load_minilm
from lora_proofs.pretrained.speech import load_speech_encoder
from lora_proofs.pretrained.vision import load_vision_transformer

N, TEST = 32, 200
TEMPERATURE = 10.0  # the logit of a cosine similarity of 1
PROMPTS = {
    "docstrings": ("mathematics", "file system"),
    "reviews": ("a bad movie", "a good movie"),
    "pairs": ("an irrelevant answer", "a relevant answer"),
}
NAMES = {
    "docstrings": "MiniLM, docstrings",
    "reviews": "MiniLM, film reviews",
    "pairs": "MiniLM, sentence pairs",
    "digits": "DINOv2, digits 3 and 8",
    "speech": "Whisper, spoken language",
}
WORDS = 64  # of a sentence pair; the rest is cut off
SECONDS = 3.0


class Task(NamedTuple):
    """A linearised task: margins f + <G, delta> of the second class over the first.

    Attributes
    ----------
    problem : LinearizedProblem
        Logistic, d = N rows.
    rows : array (N, m n) a block
        The gradients of the margins, times the label +1 or -1.
    test_margins : array (TEST,)
    test_rows : array (TEST, m n) a block, float32
    test_labels : array (TEST,)
        +1 and -1.
    """

    problem: LinearizedProblem
    rows: list[Any]
    test_margins: Any
    test_rows: list[Any]
    test_labels: Any

    def accuracy(self, deltas: Sequence[Any]) -> Any:
        """Return the share of test examples classified correctly, for updates (..., m n), one a block."""
        moved = sum(delta.astype(np.float32) @ rows.T for delta, rows in zip(deltas, self.test_rows, strict=True))
        return ((self.test_margins + moved) * self.test_labels > 0).mean(axis=-1)


@lru_cache(maxsize=1)
def load(name: str, share: float, tests: int = TEST) -> Task:
    """Return a task at lam = share * lam_max."""
    items, labels = datasets.draw(classes(name), N + tests, 0)
    linearize = linearizer(name)
    signs = np.where(labels == 1, 1.0, -1.0)
    margins, rows = difference(linearize(items[:N]), np.float64)
    m, n = rows[0].shape[1:]
    gradients = [block.reshape(N, 1, m, n) for block in rows]
    unit = LinearizedProblem(gradients, margins, signs[:N], "logistic", 1.0)
    problem = LinearizedProblem(gradients, margins, signs[:N], "logistic", share * unit.lam_max)
    parts = [difference(linearize(items[i : i + 40]), np.float32) for i in range(N, N + tests, 40)]
    test_rows = [np.concatenate([part[1][t] for part in parts]).reshape(tests, -1) for t in range(2)]
    test_margins = np.concatenate([part[0] for part in parts])
    flat = [signs[:N, None] * block.reshape(N, -1) for block in rows]
    return Task(problem, flat, test_margins, test_rows, signs[N:])


def classes(name: str) -> datasets.Classes:
    """Return the labelled data of a task, two classes."""
    if name == "digits":
        digits = datasets.load("digits")
        return {key: digits[key] for key in ("3", "8")}
    if name == "pairs":
        pairs = datasets.load("privacy questions")
        return {key: tuple(" ".join(text.split()[:WORDS]) for text in texts) for key, texts in pairs.items()}
    return datasets.load({"reviews": "movie reviews", "speech": "spoken prompts"}.get(name, name))


def linearizer(name: str) -> Callable[[list[Any]], Linearization]:
    """Return what turns items into two logits and their gradients.

    Sentences: ten times the cosine similarity to a prompt for each class. Images and sounds: a Gaussian head of norm 1
    on the class token or the mean token, drawn once.
    """
    if name in PROMPTS:
        model = load_minilm()
        prompts = TEMPERATURE * model.embed(list(PROMPTS[name]))
        return lambda items: model.linearize(items, prompts)
    if name == "digits":
        vision = load_vision_transformer()
        return lambda items: vision.encoder.linearize(vision.tokens(items), head(vision.encoder.width))
    speech = load_speech_encoder()
    return lambda items: speech.encoder.linearize(speech.tokens(items, SECONDS), head(speech.encoder.width))


def head(width: int) -> Any:
    """Return two Gaussian rows of expected squared norm 1."""
    return np.random.default_rng(0).standard_normal((2, width)) / np.sqrt(width)


def difference(linearization: Linearization, dtype: Any) -> tuple[Any, list[Any]]:
    """Return the second logit less the first, (N,), and its gradients (N, m, n), one array a block."""
    blocks: list[Any] = linearization.gradients
    rows = [np.diff(block.matvec(np.eye(block.shape[3])), axis=1)[:, 0].astype(dtype) for block in blocks]
    return np.diff(linearization.offsets, axis=1)[:, 0], rows
