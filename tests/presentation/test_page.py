"""The pages: complete, self-contained, accessible as far as HTML and CSS alone tell (tests/browser looks with axe)."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from lora_proofs import Case, Paper, at_least, at_most, equal
from lora_proofs.cli import cli
from lora_proofs.judgement.collect import Selection
from lora_proofs.judgement.environment import PACKAGE
from lora_proofs.judgement.tally import Tally
from lora_proofs.presentation.page import Picture, write_latex, write_pages, write_reference
from lora_proofs.presentation.page.mathml import typeset
from lora_proofs.presentation.report import Report
from lora_proofs.verify import verify

STYLE = Path(__file__).parents[2] / "lora_proofs" / "presentation" / "page" / "templates" / "style.css"
VOID = {"meta", "link", "input", "br", "path", "use", "rect"}


def paper():
    paper = Paper(key="p2020x", title="On <A> & B", authors=("A. U. Thor",), year=2020, arxiv="2001.00001v1")

    @paper.lemma("1", n=(2, 4))
    def lemma_1(case: Case):
        r"""For every W_1, ||W_1||_2 <= \sigma_{r+1} and 1 < 2.

        Details with <b>markup</b> & signs.
        """
        return at_most(case["n"] / 8, 1)

    @lemma_1.control("a bound too small")
    def _(case: Case):
        return at_most(case["n"], 1)

    @paper.theorem("2", gap="false as printed: one too many")
    def theorem_2(case: Case):
        """Two is one."""
        return equal(2, 1)

    @paper.theorem("3")
    def theorem_3(case: Case):
        """Fails."""
        return at_least(1, 2)

    return paper


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    found = paper()
    tallies, verdicts = {}, []
    for claim in found.claims:
        tally = tallies.setdefault(claim.label, Tally())
        for case in claim.cases(1):
            verdicts += [verify(claim, case), *(verify(claim, case, control) for control in claim.controls)]
        for position, verdict in enumerate(v for v in verdicts if v.claim == claim.label):
            tally.add(position, verdict)
    report = Report(
        [Selection(Path("p2020x.py"), found, tuple(found.claims))], tallies, 1.0, "", lambda: iter(verdicts)
    )
    svg = (
        '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><metadata>x</metadata>'
        '<defs><path id="a" d="M 1.23456 2"/></defs><use xlink:href="#a"/></svg>'
    )
    folder = tmp_path_factory.mktemp("site")
    write_pages(folder, report, [Picture("p2020x_f", "A title. More of R = 2.", svg, ("p2020x:lemma-1",))], "a command")
    write_latex(folder / "table.tex", report)
    return folder


class Outline(HTMLParser):
    """What a screen reader needs to know of a page."""

    def __init__(self):
        super().__init__()
        self.stack, self.ids, self.headings, self.tags, self.links, self.labels = [], [], [], [], [], []
        self.unlabelled = []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.links += [found[name] for name in ("href", "src", "xlink:href") if name in found]
        if tag in ("select", "input", "textarea") and "label" not in self.stack:
            self.unlabelled.append(found)
        if tag == "svg" and not (found.get("role") == "img" and found.get("aria-label")):
            self.unlabelled.append(found)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.stack.pop() == tag


def outline(path):
    parser = Outline()
    parser.feed(path.read_text())
    assert parser.stack == []
    return parser


@pytest.mark.parametrize("name", ["index.html", "p2020x.html"])
def test_pages_are_sound(site, name):
    page = outline(site / name)
    assert len(page.ids) == len(set(page.ids))
    assert page.unlabelled == []
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert {"header", "main", "footer", "title"} <= {*page.tags}
    for link in page.links:
        assert not re.match(r"https?:|//", link), link
        if link.startswith("#"):
            assert link[1:] in page.ids
        elif not link.startswith("data:"):
            assert (site / link).is_file()


def test_the_index_shows_every_claim_with_its_verdict(site):
    text = (site / "index.html").read_text()
    for words in (
        "On &lt;A&gt; &amp; B", "arXiv:2001.00001v1", "Negative controls",
        "2 of 2 caught", "lora-proofs check", "gap confirmed", "false as printed: one too many", "0.5 of it",
        'data-outcome="fails"', "fails at seed 0", "prefers-color-scheme: dark", "&lt;b&gt;markup&lt;/b&gt;",
    ):  # fmt: skip
        assert words in text, words
    assert "<b>markup" not in text
    assert text.count('class="claim"') == 3
    assert '<msub><mi>W</mi><mn>1</mn></msub>' in text  # fmt: skip


def test_figures_have_names_of_their_own(site):
    text = (site / "index.html").read_text()
    assert 'id="p2020x_f-a"' in text
    assert '"#p2020x_f-a"' in text
    assert "M 1.23 2" in text
    assert "metadata" not in text
    assert 'aria-label="A title."' in text


def test_latex_escapes_and_cites(site):
    table, entries = (site / "table.tex").read_text(), (site / "table.bib").read_text()
    assert r"\cite{p2020x} & Lemma 1 & holds & numerical & 2 & 2 of 2 & -- \\" in table
    assert table.count("p2020x") == 1
    assert r"\textless{}A\textgreater{} \& B" in entries
    assert "eprint = {2001.00001v1}" in entries


def luminance(colour):
    if len(colour) == 4:
        colour = "#" + "".join(2 * digit for digit in colour[1:])
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_have_enough_contrast():
    schemes = re.findall(r":root \{(.*?)\}", STYLE.read_text(), re.DOTALL)
    assert len(schemes) == 3  # light, dark, print
    for scheme in schemes:
        colour = dict(re.findall(r"--([\w-]+): (#\w+)", scheme))
        pairs = [(text, back) for text in ("ink", "quiet", "link") for back in ("paper", "card") if back in colour]
        pairs += [("good", "good-back"), ("note", "note-back"), ("bad", "bad-back"), ("ink", "grey-back")]
        for text, back in pairs:
            light, dark = sorted((luminance(colour[text]), luminance(colour[back])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, back)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (r"\sigma_{RL+1}", ["<msub><mi>σ</mi><mrow><mrow><mi>R</mi><mi>L</mi></mrow><mo>+</mo>"]),
        ("x^T y", ["<msup><mi>x</mi><mi>T</mi></msup>"]),
        ("W* = W", ["<msup><mi>W</mi><mo>∗</mo></msup>"]),
        ("2 * 3 = 6", ["<mn>2</mn><mo>·</mo><mn>3</mn>"]),
        (r"\|E\|_F^2", ["<msubsup>", "‖"]),
        ("an n x m matrix", ["an <math", "<mi>n</mi><mo>×</mo><mi>m</mi>", "</math> matrix"]),
        (r"\lceil D / L \rceil", ["⌈", "⌉"]),
        ("A matrix A is", ["A matrix <math", "<mi>A</mi></math> is"]),
        ("2.5 GPT-2 T5 v3 rank-one", ["GPT-2 T5 v3 rank-one"]),
        ("x_{1 is open", ["x_{1 is open"]),
        ("E+ = B", ["<msup><mi>E</mi><mo>+</mo></msup>", "<mo>=</mo><mi>B</mi>"]),
        ("E+B_1", ["<mi>E</mi><mo>+</mo><msub>"]),
        ("LoRA+ and C++", ["LoRA+ and C++"]),
        ("g~_F = -gamma", ['<msub><mover accent="true"><mi>g</mi><mo>~</mo></mover><mi>F</mi></msub>', "<mi>γ</mi>"]),
        ("X ~ Y", ["<mo>∼</mo>"]),
        (
            "(1 - c)^(2^t)",
            ["<mn>1</mn><mo>−</mo><mi>c</mi>", '<msup><mo stretchy="false">)</mo><mrow><msup><mn>2</mn>'],
        ),
        ("W^(l)", ['<mo stretchy="false">(</mo><mrow><mi>l</mi></mrow>']),
        ("\\sum_{i > k} x_i", ["<msub><mo>∑</mo><mrow><mi>i</mi><mo>&gt;</mo><mi>k</mi></mrow></msub>"]),
        ("X = {x > 0}", ['<mo stretchy="false">{</mo>', '<mo stretchy="false">}</mo>']),
        ("1 / sqrt(n)", ["<msqrt>"]),
        ("is 1-Lipschitz", ["is 1-Lipschitz"]),
        ("a < b & c", ["&lt;", "&amp;"]),
    ],
)
def test_formulas(text, parts):
    found = typeset(text)
    assert all(part in found for part in parts), found
    HTMLParser().feed(found)


def test_no_statement_loses_its_text():
    """Whatever is typeset, each word of a statement is still there, in an alttext or outside."""
    from lora_proofs.judgement.collect import collect

    for selection in collect():
        for claim in selection.claims:
            found = typeset(claim.statement)
            kept = re.sub(r'<math alttext="([^"]*)">.*?</math>', r"\1", found, flags=re.DOTALL)
            kept = re.sub(r"</?(p|code)>", " ", kept)
            for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#x27;", "'"), ("&amp;", "&")):
                kept = kept.replace(entity, sign)
            assert "".join(kept.split()) == "".join(claim.statement.replace("`", "").split()), claim.label


def test_command_line(tmp_path):
    from lora_proofs.judgement.environment import data_folder

    template = str(data_folder("paper_checks") / "TEMPLATE.py")
    words = ["report", template, "--html", str(tmp_path / "site"), "--latex", str(tmp_path / "t.tex"), "--seeds", "1"]
    run = CliRunner().invoke(cli, words)
    assert run.exit_code == 0, run.output
    assert (tmp_path / "site" / "TEMPLATE.html").is_file()
    assert "Carl Eckart" in (tmp_path / "t.bib").read_text()
    stored = str(tmp_path / "out.json")
    CliRunner().invoke(cli, ["check", template, "--json", stored, "--seeds", "1"])
    run = CliRunner().invoke(cli, ["report", template, "--html", str(tmp_path / "again"), "--from", stored])
    assert run.exit_code == 0, run.output
    assert (tmp_path / "again" / "TEMPLATE.html").read_text() == (tmp_path / "site" / "TEMPLATE.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report"], "say what to write"),
        (["report", "--html", "x", "--from", __file__], "is not what check --json writes"),
        (["report", "no-such", "--html", "x"], "no paper or claim is called"),
    ],
)
def test_bad_input_takes_one_line(words, message):
    run = CliRunner().invoke(cli, words)
    assert run.exit_code == 2
    assert message in run.output
    assert run.output.count("\n") == 1


def test_the_label_of_a_claim_is_no_formula():
    label = "zeng2024expressive:formula-parameters-of-final-layers"
    assert typeset(f"{label}: L >= 4").startswith(f"<p>{label}: <math")


def test_how_it_is_built_shows_every_room(site):
    text = (site / "built.html").read_text()
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    shown = dict(re.findall(r'<th scope="row"><code>(\w+)</code></th><td>(.*?)</td>', text))
    assert shown.keys() >= rooms - {"__init__", "__main__"}
    assert all(shown.values())
    for name in re.findall(r"<code>([\w/]+(?:\.py|/))</code>", text):
        assert any((root / name).exists() for root in (PACKAGE, PACKAGE.parent)), name


def test_without_pdoc_the_index_says_how_to_get_the_reference(site, tmp_path, monkeypatch):
    assert "API reference: left out" in (site / "index.html").read_text()
    assert "<code>a command</code>" in (site / "index.html").read_text()
    monkeypatch.setitem(sys.modules, "pdoc", None)
    assert write_reference(tmp_path / "api") is None
    assert not (tmp_path / "api").exists()


@pytest.mark.needs("pdoc")
def test_the_reference_is_whole_and_asks_the_network_for_nothing(tmp_path):
    first = write_reference(tmp_path / "api")
    assert first == tmp_path / "api" / "lora_proofs.html"
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    assert 'id="adapt_relu_network"' in pages["api/lora_proofs/constructions.html"]
    assert "Theorem index" in pages["api/lora_proofs/ntk.html"]
    assert "&lt;S," in pages["api/lora_proofs/ntk.html"]  # an inner product is no tag
    for name, text in pages.items():
        asked = re.findall(r"""<(?:script|link|img)[^>]+(?:src|href)=["'](?!data:)([^"']+)""", text)
        assert asked == [], name
