"""Judgement: how a claim at a case becomes a verdict. It knows nothing about matrices.

In the order in which a run goes through them: `claims` (papers, claims, cases), `collect` (find them), `workload` (the
cases of a run), `sweep` and `workers` (who runs them), `verify` and `ladder` (a comparison, at more digits where it has
to be), `values` (what a number is evidence for), `rounding` (floats rounded otherwise), `journal` (what survives a
kill), `tally` (what it adds up to). `coverage` and `audit` judge the checks themselves.
"""
