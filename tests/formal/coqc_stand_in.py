"""A stand-in for coqc that knows the two theories of test_prover.py and the questions that are asked about them."""

import re
import sys
from pathlib import Path

QUESTION = re.compile(r'Redirect "(\w+)" (Check|Print Assumptions|Print) @?LoraProofs\.(\w+)\.(\w+)\.\n')


def main(file):
    source = file.read_text("utf-8")
    if "exact I." in source:
        line = source[: source.index("exact I.")].count("\n") + 1
        sys.exit(f'File "./{file.name}", line {line}, characters 0-7:\nError: The term "I" has another type.')
    for number, question, theory, name in QUESTION.findall(source):
        Path(f"{number}.out").write_text(answer(question, theory, name), "utf-8")
    file.with_suffix(".vo").write_text("compiled", "utf-8")


def answer(question, theory, name):
    text = Path(f"{theory}.v").read_text("utf-8")
    stated = re.search(rf"(?:Theorem|Definition) {name}\b[ :]*(.*?)\.\n", text, re.DOTALL)
    if stated is None:
        sys.exit(f"Error: The reference LoraProofs.{theory}.{name} was not found in the current environment.")
    body = re.sub(r"\btwice\b", "base.twice", stated[1])
    proof = text.partition("Proof.")[2]
    assumed = [
        axiom for axiom in re.findall(r"^(?:Axiom|Variable) (.*)\.$", text, re.MULTILINE) if axiom.split()[0] in proof
    ]
    return {
        "Check": f"{theory}.{name}\n     : {body}\n",
        "Print": f"{theory}.{name} = {body}\n     : nat -> nat\n",
        "Print Assumptions": "Axioms:\n" + "\n".join(assumed) if assumed else "Closed under the global context\n",
    }[question]


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
