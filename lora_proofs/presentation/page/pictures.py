"""Figures inside a page: SVG without what a page does not need, and with names of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from lora_proofs.presentation.page.mathml import typeset

_NUMBER = re.compile(r"-?\d+\.\d{3,}")


@dataclass(frozen=True)
class Picture:
    """A figure for a page.

    Attributes
    ----------
    name : str
        Of its script; begins with the paper's key where the figure belongs to one.
    caption : str
    svg : str
        As matplotlib wrote it.
    claims : tuple of str
        Labels of the claims that it illustrates.
    """

    name: str
    caption: str
    svg: str
    claims: tuple[str, ...]

    @property
    def title(self) -> str:
        """The caption's first sentence."""
        return self.caption.split(". ")[0].rstrip(".") + "."

    @property
    def title_html(self) -> str:
        """The title, its formulas typeset."""
        return typeset(self.title).removeprefix("<p>").removesuffix("</p>")

    @property
    def caption_html(self) -> str:
        """The caption, its formulas typeset."""
        return typeset(self.caption).removeprefix("<p>").removesuffix("</p>")

    @property
    def markup(self) -> str:
        """The picture as an element of a page: coordinates to a hundredth of a point, ids prefixed by the name."""
        text = self.svg[self.svg.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
        text = _NUMBER.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), text)
        text = re.sub(r'\bid="([^"]+)"', rf'id="{self.name}-\1"', text)
        text = re.sub(r'(xlink:href="#|url\(#)([^")]+)', rf"\g<1>{self.name}-\2", text)
        text = re.sub(r">\s+<", "><", re.sub(r"\s*\n\s*", " ", text))
        return text.replace("<svg", f'<svg role="img" aria-label="{escape(self.title)}"', 1)
