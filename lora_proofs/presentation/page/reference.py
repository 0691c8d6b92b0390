"""The API reference beside the theorem index: a page a public module, made of its docstrings by pdoc."""

from __future__ import annotations

import re
import warnings
from importlib import import_module
from pathlib import Path

from lora_proofs.judgement.environment import PACKAGE

MODULES = ("lora_proofs", "lora_proofs.verify", "lora_proofs.plotting", "lora_proofs.training", "lora_proofs.homework",
           "lora_proofs.judgement.collect", "lora_proofs.judgement.sweep", "lora_proofs.presentation.page",
           "lora_proofs.presentation.figures", "lora_proofs.presentation.report")  # fmt: skip
"""What is documented: these, and what their ``__all__`` names."""


def write_reference(folder: Path) -> Path | None:
    """Write the pages of the API into a folder.

    They ask the network for nothing, as the theorem index does not; pdoc's search is left out, whose index of words is
    larger than all pages together.

    Parameters
    ----------
    folder : Path
        Created if need be.

    Returns
    -------
    Path or None
        The page to begin with; None where pdoc, of the extra ``docs``, is not installed.
    """
    try:
        import pdoc
        import pdoc.render
    except ModuleNotFoundError:
        return None
    pdoc.render.configure(
        docformat="numpy",
        show_source=False,
        search=False,
        footer_text="Made of the docstrings by lora-proofs report --html",
        template_directory=PACKAGE / "presentation" / "page" / "templates" / "pdoc",
    )
    to_html = pdoc.render.env.filters["to_html"]
    pdoc.render.env.filters["to_html"] = lambda text: to_html(_keep_brackets(text))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optional libraries warn while they load
        pdoc.pdoc(*_importable(), output_directory=folder)
    for page in folder.rglob("*.html"):
        page.write_text(_name_links(page.read_text("utf-8")), "utf-8")
    return folder / "lora_proofs.html"


def _name_links(page: str) -> str:
    """Give links a text that a screen reader can say, and headings a level that follows that of the title."""
    page = re.sub(r'(<a class="headerlink" href="#([^"]+)")>', r'\1 aria-label="Link to \2">', page)
    return page.replace("<h6 ", "<h2 ").replace("</h6>", "</h2>")


def _keep_brackets(text: str) -> str:
    """Keep inner products, such as <u, v>, from being taken for HTML; what is code is left alone."""
    parts = re.split(r"(```.*?```|`[^`]*`)", text, flags=re.DOTALL)
    return "".join(part if part.startswith("`") else re.sub(r"<(?=[A-Za-z/!])", "&lt;", part) for part in parts)


def _importable() -> list[str]:
    found = []
    for name in MODULES:
        try:
            import_module(name)
        except ModuleNotFoundError:  # an extra
            continue
        found.append(name)
    return found
