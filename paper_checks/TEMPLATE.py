"""Template of a paper check: copy it to ``paper_checks/<citation key>.py``, then replace what it says.

Try it with ``lora-proofs check paper_checks/TEMPLATE.py``.
"""

import numpy as np

from lora_proofs import Case, Paper, equal

# The key is the file's name. Give the arXiv identifier with its version: numbering changes between versions.
PAPER = Paper(
    key="TEMPLATE",
    title="The approximation of one matrix by another of lower rank",
    authors=("Carl Eckart", "Gale Young"),
    year=1936,
    arxiv="",
)


# One function a numbered statement. The keywords span the grid of cases; the docstring is the statement, with
# its hypotheses. Where it differs from the printed one, say so: gap="typo: the sum starts at 1, not at 0".
@PAPER.lemma("1", n=(4, 8), r=(1, 2))
def lemma_1(case: Case):
    r"""For A in R^{n x n} and r < n: the truncated SVD LR_r(A) has \|A - LR_r(A)\|_2 = \sigma_{r+1}(A)."""
    error, sigma = truncation_error(case, rank=case["r"])
    return equal(error, sigma[case["r"]])


# What is wrong on purpose must be caught. Raise OutOfScope in a check where a hypothesis is false.
@lemma_1.control("one rank less")
def _(case: Case):
    error, sigma = truncation_error(case, rank=case["r"] - 1)
    return equal(error, sigma[case["r"]])


def truncation_error(case: Case, rank: int):
    """Return the error of the truncated SVD of a Gaussian matrix, and the singular values.

    Every random number comes from ``case.rng``: the case can then be repeated alone. A check that is run again
    with ``case.digits`` of 32 or 64 should compute with that many; floats, as here, only do where they hold.
    """
    A = case.rng.standard_normal((case["n"], case["n"]))
    U, sigma, Vt = np.linalg.svd(A)
    truncated = (U[:, :rank] * sigma[:rank]) @ Vt[:rank]
    return np.linalg.norm(A - truncated, 2), sigma
