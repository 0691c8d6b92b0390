"""The theorem index: static pages that anyone can read, and a table for a paper."""

from typing import TYPE_CHECKING

from lora_proofs.lazy import lazy_face

if TYPE_CHECKING:
    from lora_proofs.presentation.page.latex import write_latex
    from lora_proofs.presentation.page.pictures import Picture
    from lora_proofs.presentation.page.reference import write_reference
    from lora_proofs.presentation.page.render import write_pages
    from lora_proofs.presentation.page.stored import read_report

__all__ = ["Picture", "read_report", "write_latex", "write_pages", "write_reference"]

lazy_face(__name__)
