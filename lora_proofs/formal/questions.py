"""What is asked of the kernel: the statement and the assumptions of each theorem, and the definitions they rest on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lora_proofs.formal.development import LIBRARY
from lora_proofs.formal.kernel import Kernel

_WIDTH = 110
_TERSE = "Unset Printing Implicit Defensive.\n"  # chain Ws, not chain (F:=F) Ws
_CLOSED = "Closed under the global context"


@dataclass
class Replies:
    """What the kernel said, by qualified name.

    Attributes
    ----------
    statements : dict
        The printed statement of a theorem.
    assumptions : dict
        What a theorem assumes without proof: empty where it is closed.
    definitions : dict
        The printed text of a definition.
    missing : set
        Names that the kernel does not know.
    """

    statements: dict[str, str] = field(default_factory=dict)
    assumptions: dict[str, list[str]] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def rest_on(self, names: Iterable[str]) -> list[str]:
        """Return the definitions that occur in the statements of theorems, in those definitions, and so on."""
        found: list[str] = []
        texts = [self.statements[name] for name in names if name in self.statements]
        while texts:
            words = set(re.findall(r"[A-Za-z_][\w']*\.[A-Za-z_][\w']*", texts.pop()))
            new = [name for name in self.definitions if name in words and name not in found]
            found += new
            texts += [self.definitions[name] for name in new]
        return [name for name in self.definitions if name in found]


def ask(
    kernel: Kernel,
    folder: Path,
    prelude: str,
    files: Sequence[str],
    theorems: Sequence[str],
    definitions: Sequence[str] = (),
) -> Replies:
    """Ask the kernel about theorems and definitions of compiled theories.

    The theories are required, not imported: their notations do not take part, and every name that is theirs is printed
    with its file's, as ``chain.adapted``.

    Raises
    ------
    RuntimeError
        If the kernel does not answer.
    """
    replies = Replies()
    theorems, definitions = [*theorems], [*definitions]
    while theorems or definitions:
        lines = [
            prelude + "".join(f"Require {LIBRARY}.{name}.\n" for name in files),
            f"Set Printing Width {_WIDTH}.\n{_TERSE}",
        ]
        for number, name in enumerate(theorems):
            lines.append(f'Redirect "s{number}" Check @{LIBRARY}.{name}.\n')
            lines.append(f'Redirect "a{number}" Print Assumptions {LIBRARY}.{name}.\n')
        lines += [f'Redirect "d{number}" Print {LIBRARY}.{name}.\n' for number, name in enumerate(definitions)]
        file = folder / "ask_the_kernel.v"
        file.write_text("".join(lines), encoding="utf-8")
        result = kernel.run(file)
        said = result.stderr + result.stdout
        if not result.returncode:
            break
        unknown = re.search(
            rf"The reference\s+{LIBRARY}\.(\S+)\s+was not found|{LIBRARY}\.(\S+) not a defined object", said
        )
        name = next(filter(None, unknown.groups())).rstrip(".") if unknown else ""
        if name not in theorems and name not in definitions:
            raise RuntimeError(f"the kernel does not answer: {' '.join(said.split())[:400]}")
        replies.missing.add(name)
        theorems, definitions = ([n for n in names if n != name] for names in (theorems, definitions))
    for number, name in enumerate(theorems):
        replies.statements[name] = _statement((folder / f"s{number}.out").read_text(encoding="utf-8"))
        replies.assumptions[name] = _assumptions((folder / f"a{number}.out").read_text(encoding="utf-8"))
    for number, name in enumerate(definitions):
        replies.definitions[name] = _definition((folder / f"d{number}.out").read_text(encoding="utf-8"))
    return replies


def _statement(said: str) -> str:
    """Return what stands after the name and the colon."""
    body = said.partition("\n")[2].rstrip()
    lines = [line[7:] if line.startswith("     : ") or not line[:7].strip() else line for line in body.split("\n")]
    return "\n".join(lines).strip()


def _assumptions(said: str) -> list[str]:
    if said.strip() == _CLOSED:
        return []
    entries = re.split(r"\n(?=\S)", said.strip())
    return [" ".join(entry.split()) for entry in entries if entry.strip() not in ("Axioms:", "Section Variables:")]


def _definition(said: str) -> str:
    """Return a definition without what the kernel adds: its type, implicit arguments and scopes."""
    return re.split(r"\n     : |\nArguments |\n\s*\n", said.strip())[0].strip()
