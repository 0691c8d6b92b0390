r"""Typeset statements as MathML.

Statements are sentences with formulas in between, in LaTeX (``\bar W``, ``\sigma_{r+1}``) or in plain letters
(``W_1``, ``rank(E) <= R L``), without delimiters. `typeset` finds the formulas by their look and sets them; whatever it
does not understand stays text, so that nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

__all__ = ["typeset"]

_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
_LETTERS = "αβγδεζηθκλμνξπρστφχψωΓΔΘΛΞΠΣΦΨΩ"
_GREEK = dict(zip(_NAMES.split(), _LETTERS, strict=True)) | {"eps": "ε", "lam": "λ"}
_BIG = {"sum": "∑", "prod": "∏", "int": "∫"}
_SIGNS = {
    "infty": "∞", "nabla": "∇", "pm": "±", "lceil": "⌈", "rceil": "⌉", "lfloor": "⌊", "rfloor": "⌋", "times": "×",
    "cdot": "·", "le": "≤", "ge": "≥", "ne": "≠", "in": "∈", "to": "→", "approx": "≈", "|": "‖",
}  # fmt: skip
_ACCENTS = {"bar": "‾", "hat": "^", "tilde": "~"}
_OPERATORS = {"<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "~": "∼", "||": "‖", "-": "−", "...": "…", "*": "·"}

_PIECE = re.compile(
    r"\\[A-Za-z]+|\\.|<=>|<=|>=|!=|->|\|\||\.\.\.|\d+(?:\.\d+)?(?:e[+-]?\d+)?|[A-Za-z]+'*|\s+|.", re.DOTALL
)
_FORMULA = re.compile(
    r"[\\_^=<>|]|^[-+(\[]*\d|[A-Za-z]\(|\d[A-Za-z]|^[(\[{]?[A-Zb-z]'?[)\]}]*$|\w\*|[α-ω]|^\W*[A-Za-z][~+](?![\w+])"
)
_WORDS = re.compile(
    r"[a-z]+-[a-z-]+|[a-z]+-\d+.*|[A-Za-z]+\(s\)|\d+(st|nd|rd|th)|[A-Za-z]+'s|https?:.*|\d{4}\.\d{5}.*|v\d|"
    r"[A-Z][A-Za-z]*-?\d.*|[\d.]+[MBK]|\d+-[A-Za-z]{3,}"
)
_CONNECT = {"=", "<", ">", "<=", ">=", "!=", "+", "-", "/", "*", "x", "->", "<=>", "~"}
_WORD = re.compile(r"\S*`[^`]*`\S*|\S+")  # code is one word
_CLOSING = re.compile(r"[.,;:!?]+$")


class _Unknown(ValueError):
    """The text is no formula of the kind that is understood."""


_LABEL = re.compile(r"[a-z]+\d{4}\w*:[a-z]")
"""How the label of a claim begins."""


def typeset(text: str) -> str:
    """Return HTML with MathML for a statement; paragraphs are kept.

    Parameters
    ----------
    text : str
    """
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))
    return "".join(f"<p>{_paragraph(part)}</p>" for part in paragraphs if part)


def _paragraph(text: str) -> str:
    return " ".join(_run(run, formula) for formula, run in _runs(_WORD.findall(text)))


def _runs(words: list[str]) -> Iterator[tuple[bool, str]]:
    """Yield maximal runs of words that belong to formulas, and the words between them."""
    marks = [_is_formula(word) for word in words]
    for i, word in enumerate(words):  # signs between formulas, and what stands in their brackets
        bare = _CLOSING.sub("", word)
        inside = 0 < i < len(words) - 1 and marks[i - 1] and (marks[i + 1] or _is_formula(words[i + 1]))
        if bare in _CONNECT:
            marks[i] = (i > 0 and marks[i - 1]) or inside
        elif bare == "a":
            marks[i] = inside and (words[i - 1] in _CONNECT or words[i + 1] in _CONNECT)
        elif word == "A":  # the article begins a sentence
            begins = i == 0 or words[i - 1].endswith((".", ":"))
            marks[i] = not begins or (i + 1 < len(words) and marks[i + 1])
    start = 0
    for i in range(1, len(words) + 1):
        ends = i == len(words) or marks[i] != marks[start] or (marks[start] and _CLOSING.search(words[i - 1]))
        if ends:
            yield marks[start], " ".join(words[start:i])
            start = i


def _is_formula(word: str) -> bool:
    bare = _CLOSING.sub("", word).strip("'\"")
    if "`" in bare or _LABEL.match(bare):
        return False
    if bare.strip("()[]+-") in _GREEK:
        return True
    return bool(bare) and not _WORDS.fullmatch(bare) and bool(_FORMULA.search(bare))


def _run(text: str, formula: bool) -> str:
    if not formula:
        return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text, quote=False))
    tail = m[0] if (m := _CLOSING.search(text)) else ""
    body = text.removesuffix(tail)
    before = body[0] if body.startswith("(") and body.count("(") > body.count(")") else ""
    body = body.removeprefix(before)
    after = ")" if body.endswith(")") and body.count(")") > body.count("(") else ""
    body = body.removesuffix(after)
    try:
        parts = [f'<math alttext="{escape(part)}">{_Parser(part).parse()}</math>' for part in _parts(body)]
    except _Unknown:
        return escape(text, quote=False)
    return f"{before}{' '.join(parts)}{after}{tail}"


def _parts(formula: str) -> Iterator[str]:
    """Cut a formula before its outermost signs, where a line may break."""
    part: list[str] = []
    depth = 0
    for word in formula.split(" "):
        if part and depth == 0 and word in _CONNECT - {"x", "/", "*"}:
            yield " ".join(part)
            part = []
        part.append(word)
        depth += sum(word.count(sign) for sign in "([{") - sum(word.count(sign) for sign in ")]}")
    yield " ".join(part)


class _Parser:
    """A recursive descent over the pieces of a formula."""

    def __init__(self, text: str) -> None:
        self.pieces: list[str] = _PIECE.findall(text)
        self.at = 0

    def parse(self) -> str:
        row = self._row("")
        if self.at < len(self.pieces):
            raise _Unknown(self.pieces[self.at])
        return row

    def _peek(self) -> str:
        return self.pieces[self.at] if self.at < len(self.pieces) else ""

    def _next(self) -> str:
        self.at += 1
        return self.pieces[self.at - 1]

    def _skip(self) -> bool:
        start = self.at
        while self._peek().isspace():
            self.at += 1
        return self.at > start

    def _row(self, end: str) -> str:
        found: list[str] = []
        while True:
            self._skip()
            piece = self._peek()
            if piece == end or not piece:
                return "".join(found)
            found.append(self._scripted())

    def _scripted(self) -> str:
        """Parse an atom with what stands below and above it; a star without a right factor stands above."""
        base = self._atom()
        scripts: dict[str, str] = {}
        if self._mark_follows("~"):
            self.at += 1
            base = f'<mover accent="true">{base}<mo>~</mo></mover>'
        elif self._mark_follows("+"):
            self.at += 1
            scripts["^"] = "<mo>+</mo>"
        while True:
            if self._peek() in ("_", "^"):
                sign = self._next()
                scripts[sign] = self._argument()
            elif self._peek() == "*" and "^" not in scripts and self._star_is_a_mark():
                self.at += 1
                scripts["^"] = "<mo>∗</mo>"
            else:
                break
        low, high = scripts.get("_"), scripts.get("^")
        if low and high:
            return f"<msubsup>{base}{low}{high}</msubsup>"
        if low:
            return f"<msub>{base}{low}</msub>"
        return f"<msup>{base}{high}</msup>" if high else base

    def _mark_follows(self, mark: str) -> bool:
        """Tell whether a sign belongs to the letter before it (g~, X+) and does not connect it to what follows."""
        after = self.pieces[self.at + 1] if self.at + 1 < len(self.pieces) else ""
        connects = re.match(r"[A-Za-z0-9\\({\[+]", after)
        return self._peek() == mark and self.pieces[self.at - 1].isalpha() and not connects

    def _star_is_a_mark(self) -> bool:
        return not re.match(r"[\d\s]", self.pieces[self.at - 1])

    def _argument(self) -> str:
        self._skip()
        if not self._peek():
            raise _Unknown("a script without content")
        if self._peek() == "{":
            return self._group("{", "}")
        if self._peek() == "(":
            start = self.at
            group = self._group("(", ")")
            one = self.at == start + 3  # the brackets of W^(l) are part of the symbol
            return f'<mrow><mo stretchy="false">(</mo>{group}<mo stretchy="false">)</mo></mrow>' if one else group
        if self._peek() == "*":
            self.at += 1
            return "<mo>∗</mo>"
        if self._peek() == "-":
            self.at += 1
            return f"<mrow><mo>−</mo>{self._atom()}</mrow>"
        return self._atom()

    def _group(self, opening: str, closing: str) -> str:
        assert self._next() == opening
        row = self._row(closing)
        if self._peek() != closing:
            raise _Unknown(f"{opening} without {closing}")
        self.at += 1
        return f"<mrow>{row}</mrow>"

    def _atom(self) -> str:
        piece = self._next()
        if piece.startswith("\\"):
            return self._command(piece[1:])
        if piece == "{":  # of a set: those of scripts and commands are arguments
            self.at -= 1
            group = self._group("{", "}")
            return f'<mrow><mo stretchy="false">{{</mo>{group}<mo stretchy="false">}}</mo></mrow>'
        if piece[0].isdigit():
            return f"<mn>{piece}</mn>"
        if piece[0].isalpha():
            return self._name(piece)
        if piece in "_^}":
            raise _Unknown(piece)
        stretch = ' stretchy="false"' if piece in "()[]|" else ""
        stretch += ' lspace="0" rspace="0"' if piece in ("|", "||") else ""
        return f"<mo{stretch}>{escape(_OPERATORS.get(piece, piece))}</mo>"

    def _command(self, name: str) -> str:
        if name in _ACCENTS:
            return f'<mover accent="true">{self._argument()}<mo>{_ACCENTS[name]}</mo></mover>'
        if name == "sqrt":
            return f"<msqrt>{self._argument()}</msqrt>"
        if name in _BIG:
            return f"<mo>{_BIG[name]}</mo>"
        if name in _SIGNS:
            return f'<mo stretchy="false">{_SIGNS[name]}</mo>'
        if name in _GREEK:
            return f"<mi>{_GREEK[name]}</mi>"
        if name.isalpha():
            return f"<mi>{name}</mi>"
        raise _Unknown(f"\\{name}")

    def _name(self, piece: str) -> str:
        letters = piece.rstrip("'")
        primes = "′" * (len(piece) - len(letters))
        if letters in _GREEK:
            found = f"<mi>{_GREEK[letters]}</mi>"
        elif letters == "x" and self._between_sizes():
            return "<mo>×</mo>"
        elif letters == "sqrt" and self._peek() == "(":
            return f"<msqrt>{self._group('(', ')')}</msqrt>"
        elif letters in _BIG and self._peek() == "_":
            return f"<mo>{_BIG[letters]}</mo>"
        elif letters == "in":
            return "<mo>∈</mo>"
        elif letters == "R" and self._peek() == "^":
            found = "<mi>ℝ</mi>"
        elif len(letters) == 1 or not letters.isupper():
            found = f"<mi>{letters}</mi>"
        else:  # K N, not one symbol
            found = "".join(f"<mi>{letter}</mi>" for letter in letters[:-1]) + f"<mi>{letters[-1]}</mi>"
            found = f"<mrow>{found}</mrow>"
        return f"<msup>{found}<mo>{primes}</mo></msup>" if primes else found

    def _between_sizes(self) -> bool:
        around = [
            self.pieces[i] if 0 <= i < len(self.pieces) else ""
            for i in (self.at - 3, self.at - 2, self.at, self.at + 1)
        ]
        return around[0].isalnum() and around[1].isspace() and around[2].isspace() and around[3].isalnum()
