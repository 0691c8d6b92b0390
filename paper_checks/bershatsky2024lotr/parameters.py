"""Trained parameters: the documented counts, their ratio to LoRA's, and equal budgets."""

from fractions import Fraction

from lora_proofs import Case, Comparison, equal

from .paper import PAPER

PRINTED = {1: "3k", 2: "5k", 5: "10k", 10: "19k", 16: "32k", 32: "75k", 64: "198k", 128: "591k", 256: "2M", 512: "7M"}
"""Rank to number of trained parameters: data/table/roberta/glue/lotr.csv of the official repository."""


def trained(d: int, r: int, cores: int) -> int:
    """Return 2 d r + cores r^2."""
    return 2 * d * r + cores * r * r


@PAPER.formula("table-of-parameters", r=tuple(PRINTED), seeded=False)
def table_of_parameters(case: Case) -> Comparison:
    """The official table for RoBERTa-base counts 2 d r + 24 r^2 + 1538, rounded, d = 768: all ten rows.

    One pair (A, B) serves the query and value matrices of all 12 layers; 1538 = 2 * 768 + 2 belong to the last layer of
    the classifier.
    """
    return equal(_misprint(case, trained(768, case["r"], 24)), 0)


@table_of_parameters.control("12 cores, as for one kind of matrix", r=(16, 32, 64, 128))
def _(case: Case) -> Comparison:
    return equal(_misprint(case, trained(768, case["r"], 12)), 0)


@table_of_parameters.control("a pair (A, B) for query and another for value", r=(2, 5, 10))
def _(case: Case) -> Comparison:
    return equal(_misprint(case, 2 * trained(768, case["r"], 12)), 0)


def _misprint(case: Case, count: int) -> int:
    """Return count + 1538, rounded as the table rounds, less what the table prints."""
    text = PRINTED[case["r"]]
    unit = 1000 if text.endswith("k") else 10**6
    return (2 * (count + 1538) + unit) // (2 * unit) - int(text[:-1])


@PAPER.formula("documented-parameters", r=(2,), seeded=False)
def documented_parameters(case: Case) -> Comparison:
    """The documentation of the official code counts 592,130 parameters without and 595,298 with LoTR of rank 2.

    The difference is 2 d r + 24 r^2; the first is a classifier of two layers, 768 to 768 and 768 to 2, with biases.
    """
    return equal(_with_classifier(trained(768, case["r"], 24)), 595_298)


@documented_parameters.control("LoRA of the same rank")
def _(case: Case) -> Comparison:
    return equal(_with_classifier(24 * 2 * 768 * case["r"]), 595_298)


def _with_classifier(count: int) -> int:
    return 768 * 768 + 768 + 768 * 2 + 2 + count


@PAPER.formula("ratio", d=(768, 1024), L=(12, 24), r=(8, 64), seeded=False)
def ratio(case: Case) -> Comparison:
    """LoTR has the share 1 / L + r / (2 d) of the parameters of LoRA of the same rank, d x d layers."""
    d, L, r = case["d"], case["L"], case["r"]
    return equal(Fraction(trained(d, r, L), 2 * d * r * L), Fraction(1, L) + Fraction(r, 2 * d))


@ratio.control("1 / L")
def _(case: Case) -> Comparison:
    d, L, r = case["d"], case["L"], case["r"]
    return equal(Fraction(trained(d, r, L), 2 * d * r * L), Fraction(1, L))


@PAPER.formula("equal-budget", r=(8,), seeded=False)
def equal_budget(case: Case) -> Comparison:
    """On 12 layers of width 768, LoRA of rank 8 buys LoTR of rank 64: 147,456 parameters both."""
    return equal(trained(768, 8 * case["r"], 12), 2 * 768 * case["r"] * 12)


@equal_budget.control("24 cores")
def _(case: Case) -> Comparison:
    return equal(trained(768, 8 * case["r"], 24), 2 * 768 * case["r"] * 24)
