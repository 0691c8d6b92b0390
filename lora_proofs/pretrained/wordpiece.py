"""BERT's tokenizer: normalise, split at spaces and punctuation, then cut each word into known pieces.

Devlin et al., arXiv 1810.04805v2; the rules for characters are those of the authors' ``tokenization.py``, for an
uncased vocabulary.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

_LONGEST_WORD = 100
_IDEOGRAPHS = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def read_vocabulary(path: Path) -> Mapping[str, int]:
    """Return the pieces of a ``vocab.txt``, one a line, with their numbers."""
    return {piece: i for i, piece in enumerate(path.read_text(encoding="utf-8").splitlines())}


def tokenize(text: str, vocabulary: Mapping[str, int]) -> list[int]:
    """Return the numbers of the pieces of a text, between those of [CLS] and [SEP]."""
    pieces = (piece for word in _words(text) for piece in _pieces(word, vocabulary))
    return [vocabulary[piece] for piece in ("[CLS]", *pieces, "[SEP]")]


def _words(text: str) -> Iterator[str]:
    """Yield lower-case words without accents; a punctuation mark or an ideograph is a word of its own."""
    kept = (c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    for kind, characters in groupby("".join(kept).lower(), _kind):
        if kind == "word":
            yield "".join(c for c in characters if not _is_ignored(c))
        elif kind == "mark":
            yield from characters


def _kind(character: str) -> str:
    if character in "\t\n\r" or unicodedata.category(character).startswith("Z"):
        return "space"
    # ASCII symbols such as $ and ^ count as punctuation, which Unicode says they are not.
    is_ascii_mark = character.isascii() and character.isprintable() and not character.isalnum()
    if (
        is_ascii_mark
        or unicodedata.category(character).startswith("P")
        or any(a <= ord(character) <= b for a, b in _IDEOGRAPHS)
    ):
        return "mark"
    return "word"


def _is_ignored(character: str) -> bool:
    return character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf")


def _pieces(word: str, vocabulary: Mapping[str, int]) -> list[str]:
    """Cut a word from left to right, each time taking the longest piece that the vocabulary knows."""
    pieces: list[str] = []
    start = 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in vocabulary)
        end = next(ends, None)
        if end is None or len(word) > _LONGEST_WORD:
            return ["[UNK]"]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces
