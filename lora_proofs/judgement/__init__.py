"""Judgement: how a claim at a case becomes a verdict. It knows nothing about matrices.

The journey of a claim, in the order in which a run goes through the modules:

1. `claims`: the decorators of a `Paper` turn a function of a check file into a `Claim`, and others into its controls.
   What it is tried on are `cases`: the points of a grid, each on some seeds.
2. `collect` finds the check files, loads each by its path (`scripts`), and selects what the command line names.
3. `workload` lists the cases as plain data, a `Batch` for each claim and each of its controls.
4. `journal` holds what a run that was killed had finished; `verdict_lines` says how a verdict is kept there.
5. `sweep` runs the cases that are left, on `workers`: this process, others, or a cluster. Each limits its native
   libraries to one thread (`threads`).
6. `verify` has the check return a `Comparison`, and `values` says what either side is evidence for. `ladder` runs the
   check again with more digits, or with other roundings (`rounding`), until the outcome is settled: a `Verdict`.
7. `tally` adds up the verdicts of each claim, so that the memory of a run does not grow with its cases.

`coverage` tells which statements of a paper are claims, and `audit` what could be wrong in a check without a verdict
changing. `environment` names what all verdicts depend on: the sources of the package, the versions of what computes.

>>> from lora_proofs import Case, Paper, at_most, verify
>>> PAPER = Paper(key="bernoulli1689", title="Positiones", authors=("J. Bernoulli",), year=1689, arxiv="")
>>> @PAPER.theorem("1", n=(2, 3))
... def theorem_1(case):
...     "For every n and x >= -1: 1 + n x <= (1 + x)^n."
...     x = case.rng.integers(-1, 9)
...     return at_most(int(1 + case["n"] * x), int((1 + x) ** case["n"]))
>>> verdict = verify(theorem_1, Case({"n": 3}))
>>> print(verdict.outcome, verdict.evidence)
holds exact
"""
