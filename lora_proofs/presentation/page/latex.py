"""The claims as a LaTeX table (booktabs, longtable), and the papers as a bibliography."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lora_proofs.judgement.claims import Paper
from lora_proofs.presentation.page.render import Entry
from lora_proofs.presentation.report import Report

_SPECIAL = re.compile(r"[&%$#_{}~^\\<>|]")
_ESCAPED = {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "<": r"\textless{}",
            ">": r"\textgreater{}", "|": r"\textbar{}"}  # fmt: skip


def write_latex(file: Path, report: Report) -> Path:
    """Write the table, and beside it a bibliography of the same name; return the latter's path.

    The table needs the packages booktabs and longtable; papers are cited by their keys.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    file.write_text("".join(f"{line}\n" for line in _table(report)), "utf-8")
    bibliography = file.with_suffix(".bib")
    papers = {claim.claim.label.partition(":")[0] for claim in report.claims}
    chosen = [selection.paper for selection in report.selections if selection.paper.key in papers]
    bibliography.write_text("\n".join(map(_entry, chosen)), "utf-8")
    return bibliography


def _table(report: Report) -> Iterator[str]:
    yield r"% needs \usepackage{booktabs,longtable}"
    yield r"\begin{longtable}{@{}llllrrl@{}}"
    yield r"\toprule"
    yield r"Paper & Claim & Outcome & Evidence & Cases & Controls caught & Proved for all sizes \\"
    yield r"\midrule"
    yield r"\endhead"
    for selection in report.selections:
        key, first = selection.paper.key, True
        for claim in (c for c in report.claims if c.claim.label.partition(":")[0] == key):
            entry, tally = Entry(claim, None), claim.tally
            cells = [
                rf"\cite{{{key}}}" if first else "", escape(entry.name), entry.outcome, ", ".join(entry.evidence),
                str(tally.cases), f"{tally.caught} of {tally.controls}" if tally.controls else "--",
                ", ".join(escape(proof.name) for proof in claim.proofs if not proof.refutes) or "--",
            ]  # fmt: skip
            yield " & ".join(cells) + r" \\"
            first = False
        if not first:
            yield r"\addlinespace"
    yield r"\bottomrule"
    yield r"\end{longtable}"
    yield from _theorems(report)


def _theorems(report: Report) -> Iterator[str]:
    """Yield the theorems that the table names: in words, what differs from the print, and as the kernel prints them."""
    proofs = {proof.name: proof for claim in report.claims for proof in claim.proofs if not proof.refutes}
    if not proofs:
        return
    yield r"\begin{description}"
    for name, proof in proofs.items():
        words = escape(f"{proof.says} Differs from the print: {proof.differs}" if proof.differs else proof.says)
        yield rf"\item[{escape(name)}] {words} {{\footnotesize\ttfamily {escape(proof.statement)}}}"
    yield r"\end{description}"


def _entry(paper: Paper) -> str:
    fields = {
        "title": f"{{{escape(paper.title)}}}",
        "author": " and ".join(map(escape, paper.authors)),
        "year": str(paper.year),
    }
    if paper.arxiv:
        fields |= {"eprint": paper.arxiv, "archivePrefix": "arXiv"}
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@misc{{{paper.key},\n{lines}}}\n"


def escape(text: str) -> str:
    """Return text in which LaTeX's special characters stand for themselves."""
    return _SPECIAL.sub(lambda found: _ESCAPED.get(found[0], rf"\{found[0]}"), text)
