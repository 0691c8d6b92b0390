"""A real few-shot problem: LoRA on a pretrained transformer, linearised, to tell two topics of sentences apart.

The set-up of Jang, Lee & Ryu's experiments (arXiv 2402.11867v3: N = 32 sentences, K = 2 logits, the query and value
weights of the last layer), with a model and with sentences that are at hand offline.
"""

from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.pretrained.datasets import draw, load
from lora_proofs.pretrained.minilm import load_minilm

_TEMPERATURE = 10.0
"""Logit of a cosine similarity of 1. Cosines alone would leave the softmax of two classes nearly uniform."""


def few_shot_problem(n: int = 32, seed: int = 0, lam: float = 0.01) -> LinearizedProblem:
    """Return the linearised problem of classifying n sentences with MiniLM by cross-entropy.

    The logit of a class is ten times the cosine similarity of the sentence and the name of the topic, so the network
    classifies before it is trained (zero-shot). The two blocks are the query and the value weights of the last layer,
    384 x 384 each, with factored gradients.

    Parameters
    ----------
    n : int
        Number of sentences, half of them from either topic; see `datasets.draw`.
    seed : int
        Of the draw.
    lam : float
        In units of ``lam_max``, from which on the optimum is to change nothing.

    Raises
    ------
    ValueError
        If n is odd, not positive, or more than there are sentences for, or lam is negative or not finite.
    ModuleNotFoundError
        If the model is not installed.
    """
    topics = load("docstrings")
    sentences, labels = draw(topics, n, seed)
    model = load_minilm()
    gradients, offsets = model.linearize(sentences, head=_TEMPERATURE * model.embed(list(topics)))
    unscaled = LinearizedProblem(gradients, offsets, labels, "cross_entropy", lam)
    return LinearizedProblem(gradients, offsets, labels, "cross_entropy", lam * unscaled.lam_max)
