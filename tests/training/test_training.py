import jax
import numpy as np
import pytest

from lora_proofs import ReluNetwork, TransformerBlock, TransformerNetwork
from lora_proofs.training import Settings, adam, losses, pretrain, sweep, train_adapters, train_final_layers
from lora_proofs.training.data import Source
from lora_proofs.training.networks import stack, unstack

D = 4
# Most tests train these configurations, so that they are compiled once: 2 ranks x 3 learning rates x 4 weight decays.
RANKS = (1, 3)
SMALL = {"weight_decays": (0.0, 1e-4, 1e-2, 0.1), "epochs": 6, "batch_size": 8, "test_size": 64, "dtype": "float64"}


def relu_network(seed, depth, width=D):
    rng = np.random.default_rng(seed)
    bound = width**-0.5
    layers = [(rng.uniform(-bound, bound, (width, width)), rng.uniform(-bound, bound, width)) for _ in range(depth)]
    return ReluNetwork([W for W, _ in layers], [b for _, b in layers])


def transformer(seed, depth, heads=2, width=D):
    rng = np.random.default_rng(seed)

    def matrix(scale=0.5):
        return scale * rng.standard_normal((width, width))

    blocks = [
        TransformerBlock(
            *([matrix() for _ in range(heads)] for _ in range(4)),
            *(part() for _ in range(2) for part in (matrix, lambda: rng.uniform(-0.5, 0.5, width))),
        )
        for _ in range(depth)
    ]
    return TransformerNetwork(blocks, matrix())


def chain(seed, depth, width=D):
    return list(np.random.default_rng(seed).uniform(-1, 1, (depth, width, width)))


NETWORKS = {"chain": chain, "relu": relu_network, "transformer": transformer}
DEPTHS = [("chain", 2), ("relu", 3), ("transformer", 1), ("transformer", 2)]


def pair(kind, depth=2):
    if kind == "transformer":
        return [transformer(1, depth, heads=1)], [transformer(2, depth, heads=1)]
    return [NETWORKS[kind](1, 1)], [NETWORKS[kind](2, depth)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# What the library must equal: one network, one loop, gradients by hand, no JAX.


def naive_adam(parameters, gradient_and_loss, rate, decay, epochs=SMALL["epochs"]):
    """torch.optim.Adam: weight decay in the gradient, both moments unbiased, epsilon outside the root."""
    m = [np.zeros_like(p) for p in parameters]
    v = [np.zeros_like(p) for p in parameters]
    history = []
    for t in range(1, epochs + 1):
        gradients, loss = gradient_and_loss(t - 1, parameters)
        history.append(loss)
        for i, g in enumerate(gradients):
            g = g + decay * parameters[i]
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g**2
            m_hat, v_hat = m[i] / (1 - 0.9**t), v[i] / (1 - 0.999**t)
            parameters[i] = parameters[i] - rate * m_hat / (np.sqrt(v_hat) + 1e-8)
    return parameters, history


def naive_backward(weights, biases, x, y):
    """Gradients of the mean squared error with respect to the weights and biases of a ReLU network."""
    inputs, h = [], x
    for W, b in zip(weights, biases, strict=True):
        inputs.append(h)
        h = np.maximum(W @ h + b[:, None], 0)
    loss, d = np.mean((h - y) ** 2), 2 * (h - y) / y.size
    found = []
    for W, below in zip(reversed(weights), reversed(inputs), strict=True):
        d = d * (h > 0)
        found.append((d @ below.T, d.sum(axis=1)))
        d, h = W.T @ d, below
    return [G for G, _ in found[::-1]], [g for _, g in found[::-1]], loss


def naive_lora(target, frozen, R, rate, decay, tune_biases):
    source = Source(0, "float64", None, stack(target))
    L, width = frozen.depth, frozen.width
    x = training_inputs(source)
    B = 0.25 * source.rng("adapters").standard_normal((L, width, width))[:, :R].transpose(0, 2, 1)

    def adapted(A, B):
        return [W + A_ @ B_.T for W, A_, B_ in zip(frozen.weights, A, B, strict=True)]

    def step(t, parameters):
        A, B, b = parameters[:L], parameters[L : 2 * L], parameters[2 * L :] or frozen.biases
        G, g, loss = naive_backward(adapted(A, B), b, x[t], target(x[t].T).T)
        pairs = list(zip(G, A, B, strict=True))
        return [G @ B for G, _, B in pairs] + [G.T @ A for G, A, _ in pairs] + g * tune_biases, loss

    start = [np.zeros((width, R))] * L + list(B) + list(frozen.biases) * tune_biases
    parameters, history = naive_adam(start, step, rate, decay)
    network = ReluNetwork(adapted(parameters[:L], parameters[L : 2 * L]), parameters[2 * L :] or frozen.biases)
    x = source.rng("test").standard_normal((width, SMALL["test_size"]), dtype=np.float32).astype(float)
    return history, np.mean((network(x.T) - target(x.T)) ** 2)


def training_inputs(source):
    with jax.enable_x64(True):
        return np.asarray(source.draw(source.rng("train"), SMALL["epochs"], SMALL["batch_size"])[0])[:, 0]


@pytest.mark.parametrize("tune_biases", [True, False])
def test_lora_equals_a_loop_with_hand_written_gradients(tune_biases):
    targets, frozen = pair("relu")
    trained = train_adapters(targets, frozen, RANKS, tune_biases=tune_biases, **SMALL)
    for row, i, j in [(0, 0, 0), (0, 1, 3), (1, 0, 2), (1, 2, 3)]:
        setting = Settings().learning_rates[i], SMALL["weight_decays"][j]
        history, test = naive_lora(targets[0], frozen[0], RANKS[row], *setting, tune_biases)
        np.testing.assert_allclose(trained.train_loss[0, row, i, j], history, rtol=1e-9)
        np.testing.assert_allclose(trained.test_loss[0, row, i, j], test, rtol=1e-9)


def test_final_layers_equal_a_loop_over_the_layers_that_are_not_frozen():
    targets, frozen = pair("relu")
    trained = train_final_layers(targets, frozen, [1, 2], **SMALL)
    x = training_inputs(Source(0, "float64", None, stack(targets[0])))
    weights, biases = frozen[0].weights, frozen[0].biases
    for k in (1, 2):

        def step(t, tuned, k=k):
            now = [*weights[: 2 - k], *tuned[:k]], [*biases[: 2 - k], *tuned[k:]]
            G, g, loss = naive_backward(*now, x[t], targets[0](x[t].T).T)
            return G[2 - k :] + g[2 - k :], loss

        _, history = naive_adam([*weights[2 - k :], *biases[2 - k :]], step, 1e-2, 0.1)
        np.testing.assert_allclose(trained.train_loss[0, k - 1, 0, 3], history, rtol=1e-9)


@pytest.mark.parametrize(("kind", "depth"), DEPTHS)
def test_forward_passes_are_those_of_the_networks(kind, depth, rng):
    networks = [NETWORKS[kind](seed, depth) for seed in range(2)]
    stacks = [stack(network) for network in networks]
    x = rng.standard_normal((5, D, 3) if kind == "transformer" else (5, D))
    with jax.enable_x64(True):
        inputs = x.transpose(1, 2, 0)[None] if kind == "transformer" else x.T[None]
        W, b = (np.stack([getattr(s, name) for s in stacks]) for name in ("weights", "biases"))
        outputs = np.asarray(jax.jit(stacks[0].forward)(W, b, inputs))
    for network, output in zip(networks, outputs, strict=True):
        if kind == "chain":
            wanted = np.linalg.multi_dot([x, *(W.T for W in network)]).T
        else:
            wanted = network(x).transpose(1, 2, 0) if kind == "transformer" else network(x).T
        np.testing.assert_allclose(output, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kind", "depth"), DEPTHS)
def test_gradients_are_slopes(kind, depth, rng):
    network = stack(NETWORKS[kind](3, depth))
    shape = (1, D, 3, 6) if kind == "transformer" else (1, D, 6)
    x, y = rng.standard_normal((2, *shape))
    with jax.enable_x64(True):
        start = [np.stack([a] * 2) for a in (network.weights, network.biases)]
        start = [a + 0.1 * rng.standard_normal(a.shape) for a in start]
        direction = [rng.standard_normal(a.shape) for a in start]

        def along(t):
            parameters = [a + t * d for a, d in zip(start, direction, strict=True)]
            return losses.squared(network.forward(*parameters, x), y).sum()

        both, h = jax.jit(jax.value_and_grad(along)), 1e-6
        np.testing.assert_allclose(both(0.0)[1], (both(h)[0] - both(-h)[0]) / (2 * h), rtol=1e-6)


def test_adam_is_the_textbook_algorithm(rng):
    gradients = rng.standard_normal((20, 3, 2)) * 10.0 ** rng.integers(-9, 3, (20, 3, 2))
    start = rng.standard_normal((3, 2))
    rates, decays = np.array([1e-1, 1e-2, 1e-3]), np.array([0.0, 1e-2, 1.0])
    with jax.enable_x64(True):
        state = adam.start({"p": jax.numpy.asarray(start)})
        for g in gradients:
            state = adam.update(state, {"p": g}, adam.Speeds(jax.numpy.asarray(rates), jax.numpy.asarray(decays)))
    for i in range(3):
        (wanted,), _ = naive_adam([start[i]], lambda t, _, i=i: ([gradients[t, i]], 0.0), rates[i], decays[i], 20)
        np.testing.assert_allclose(state.parameters["p"][i], wanted, rtol=1e-12)


@pytest.mark.parametrize(("kind", "depth"), [("relu", 2), ("transformer", 1)])
def test_a_rank_is_the_same_in_any_company(kind, depth):
    targets, frozen = pair(kind, depth)
    together = train_adapters(targets, frozen, RANKS, **SMALL)
    alone = train_adapters(targets, frozen, RANKS[1:], **SMALL)
    np.testing.assert_allclose(alone.train_loss[:, 0], together.train_loss[:, 1], rtol=1e-10)
    np.testing.assert_allclose(alone.test_loss[:, 0], together.test_loss[:, 1], rtol=1e-10)


def test_a_seed_and_a_setting_are_the_same_in_any_company():
    targets, frozen = [relu_network(i, 1) for i in (1, 2)], [relu_network(i, 2) for i in (3, 4)]
    together = train_adapters(targets, frozen, RANKS, seeds=[7, 5], **SMALL)
    alone = train_adapters(targets[1:], frozen[1:], RANKS, seeds=[5], **SMALL)
    np.testing.assert_array_equal(alone.test_loss[0], together.test_loss[1])
    other = train_adapters(targets[1:], frozen[1:], RANKS, seeds=[6], **SMALL)
    assert not np.any(other.test_loss == alone.test_loss)
    setting = SMALL | {"learning_rates": [1e-3], "weight_decays": [1e-2]}
    one = train_adapters(targets[1:], frozen[1:], RANKS[1:], seeds=[5], **setting)
    np.testing.assert_allclose(one.test_loss[0, 0, 0, 0], together.test_loss[1, 1, 1, 2], rtol=1e-10)


def test_pieces_make_no_difference_and_an_interruption_neither(monkeypatch):
    targets, frozen = pair("relu")
    whole = train_adapters(targets, frozen, RANKS, **SMALL)
    monkeypatch.setattr(sweep, "COLUMNS", SMALL["batch_size"] * 12 * len(frozen[0].weights))
    calls, epochs = [], adam.epochs

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return epochs(*arguments)

    monkeypatch.setattr(adam, "epochs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_adapters(targets, frozen, RANKS, **SMALL)
    again = train_adapters(targets, frozen, RANKS, **SMALL)
    assert len(calls) == 2 + 2  # 24 configurations in pieces of 12
    np.testing.assert_allclose(again.train_loss, whole.train_loss, rtol=1e-10)
    np.testing.assert_allclose(again.shifted_loss, whole.shifted_loss, rtol=1e-10)


def test_a_linear_chain_reaches_the_closed_form_optimum():
    width, L = 6, 2
    targets, frozen = [chain(1, 1, width)], [chain(2, L, width)]
    trained = train_adapters(
        targets, frozen, [1, 2, 3], learning_rates=(1e-2,), weight_decays=(0.0,), epochs=3000, test_size=40_000
    )
    s = np.linalg.svd(targets[0][0] - frozen[0][1] @ frozen[0][0], compute_uv=False)
    optimum = [np.sum(s[R * L :] ** 2) / width for R in (1, 2, 3)]
    found = trained.test_loss[0, :, 0, 0]
    np.testing.assert_allclose(found[:2], optimum[:2], rtol=0.03)
    assert optimum[2] == 0
    assert found[2] < 1e-3 * optimum[1]
    np.testing.assert_allclose(trained.shifted_loss[0, :2, 0, 0], 25 * found[:2], rtol=0.03)


def test_single_precision_follows_double():
    targets, frozen = pair("relu")
    double, single = (train_adapters(targets, frozen, RANKS, **SMALL | {"dtype": t}) for t in ("float64", "float32"))
    assert (double.train_loss.dtype, single.train_loss.dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(single.train_loss, double.train_loss, rtol=1e-5)
    np.testing.assert_allclose(single.test_loss, double.test_loss, rtol=1e-5)


def test_batches_are_fresh_fixed_or_a_training_set():
    targets, frozen = pair("relu")
    still = SMALL | {"learning_rates": (0.0,) * 3}
    fresh, fixed, finite = (
        train_adapters(targets, frozen, RANKS, **still, batches=batches).train_loss[0, 0, 0, 0]
        for batches in ("fresh", "fixed", 1000)
    )
    assert len(set(fresh)) == SMALL["epochs"]
    assert set(fixed) == {fresh[0]}
    assert len(set(finite)) == 1
    x = np.random.default_rng(9).standard_normal((20_000, D))
    np.testing.assert_allclose(finite[0], np.mean((frozen[0](x) - targets[0](x)) ** 2), rtol=0.1)


def test_losses_are_the_formulas(rng):
    outputs, target = np.abs(rng.standard_normal((3, 4, 10))), np.abs(rng.standard_normal((1, 4, 10)))
    for K in (4, 2):
        z, q = (a.reshape(len(a), K, 4 // K, 10).sum(axis=2) for a in (outputs, target))
        log_softmax = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        label = q[0].argmax(axis=0)
        with jax.enable_x64(True):
            proper, accuracy = losses.named("cross_entropy", K, 4)
            improper, _ = losses.named("improper_cross_entropy", K, 4)
            np.testing.assert_allclose(proper(outputs, target), -log_softmax[:, label, range(10)].mean(axis=1))
            np.testing.assert_allclose(improper(outputs, target), -(q * log_softmax).sum(axis=1).mean(axis=1))
            np.testing.assert_allclose(accuracy(outputs, target), (z.argmax(axis=1) == label).mean(axis=1))
            assert accuracy(target, target) == 1
        squared, none = losses.named("squared", None, 4)
    assert none is None
    np.testing.assert_allclose(squared(outputs, target), ((outputs - target) ** 2).mean(axis=(1, 2)), rtol=1e-6)


def test_the_improper_loss_prefers_a_model_other_than_the_exact_one():
    """With unnormalised soft labels the minimiser is not the target: doubling its outputs lowers the loss."""
    target = np.random.default_rng(0).uniform(0, 1, (1, 4, 50)).astype(np.float32)
    improper, accuracy = losses.named("improper_cross_entropy", 4, 4)
    assert accuracy(2 * target, target) == 1
    assert improper(2 * target, target) < improper(target, target)


def test_the_best_setting_is_that_of_least_validation_loss():
    targets, frozen = pair("relu")
    trained = train_adapters(targets, frozen, RANKS, loss="cross_entropy", classes=2, **SMALL)
    best = trained.best
    assert best.test_accuracy.shape == best.learning_rate.shape == (1, 2)
    assert best.train_loss.shape == (1, 2, SMALL["epochs"])
    for row in range(2):
        i, j = np.unravel_index(np.argmin(trained.validation_loss[0, row]), (3, 4))
        assert best.test_accuracy[0, row] == trained.test_accuracy[0, row, i, j]
        assert best.learning_rate[0, row] == Settings().learning_rates[i]
        assert best.weight_decay[0, row] == SMALL["weight_decays"][j]
    assert train_adapters(targets, frozen, RANKS, **SMALL).test_accuracy is None


@pytest.mark.parametrize(("kind", "depth"), DEPTHS[:3])
def test_pretraining_starts_with_adam_and_stops_at_its_level(kind, depth):
    targets, frozen = pair(kind, depth)
    before = stack(frozen[0])
    (once,) = pretrain(targets, frozen, epochs=1, learning_rate=1e-3, batch_size=8, dtype="float64")
    moved = np.abs(stack(once).weights - before.weights)
    np.testing.assert_allclose(moved[moved > 0], 1e-3, rtol=1e-3)  # Adam's first step, whatever the gradient
    assert np.mean(moved > 0) > 0.7  # all but the weights of neurons that no point of the batch switches on
    (stopped,) = pretrain(targets, frozen, level=1e-9, batch_size=8, dtype="float64")
    np.testing.assert_array_equal(stack(stopped).weights, before.weights)


def test_pretraining_reaches_its_level():
    targets, frozen = [relu_network(1, 1, 8)], [relu_network(2, 2, 8)]
    x = np.random.default_rng(0).standard_normal((5000, 8))
    error = [
        np.mean((network(x) - targets[0](x)) ** 2) for network in (frozen[0], *pretrain(targets, frozen, level=2.0))
    ]
    assert 0.3 < error[1] / error[0] < 0.7


@pytest.mark.parametrize(("kind", "depth"), DEPTHS)
def test_networks_survive_stacking(kind, depth):
    network = NETWORKS[kind](5, depth)
    back = stack(unstack(network, stack(network).weights, stack(network).biases))
    np.testing.assert_array_equal(back.weights, stack(network).weights)
    np.testing.assert_array_equal(back.biases, stack(network).biases)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rates": ()}, "learning_rates is"),
        ({"weight_decays": (-1.0,)}, "none of them negative"),
        ({"batches": "some"}, "'fresh', 'fixed'"),
        ({"batches": 0}, "size of a training set"),
        ({"dtype": "float16"}, "'float32' or 'float64'"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Settings(**settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ranks": [0]}, "between 1 and the width 4"),
        ({"ranks": [5]}, "between 1 and the width 4"),
        ({"ranks": []}, "between 1 and the width 4"),
        ({"ranks": [1.5]}, "pass integers"),
        ({"targets": []}, "one pair of networks a seed"),
        ({"seeds": [0, 1]}, "one pair of networks a seed"),
        ({"targets": [chain(0, 1)]}, "two of one kind"),
        ({"targets": [relu_network(0, 1, 3)]}, "two of one width"),
        ({"targets": [ReluNetwork([np.ones((3, 4))], [np.ones(3)])]}, "square and of one width"),
        ({"loss": "hinge"}, "no loss 'hinge'"),
        ({"classes": 2}, "no classes"),
        ({"loss": "cross_entropy", "classes": 3}, "divides 4"),
    ],
)
def test_what_does_not_fit_together(change, message):
    targets, frozen = pair("relu")
    with pytest.raises(ValueError, match=message):
        train_adapters(**{"targets": targets, "frozen": frozen, "ranks": [1]} | SMALL | change)


def test_final_layers_that_do_not_exist():
    for kind, layers, message in [("relu", [3], "between 1 and 2"), ("transformer", [1], "ReluNetworks or linear")]:
        with pytest.raises(ValueError, match=message):
            train_final_layers(*pair(kind), layers, **SMALL)
