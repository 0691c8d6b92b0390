r"""Adilova et al., LoRA Effectiveness in Text Generalization Tasks: Comparison of T5 and uzT5 Models, 2024.

An empirical paper on Uzbek text. Neither text, abstract nor repository was found, only the bibliographic entry; a
related article (7universum.com, technical sciences, item 20391) compares T5-base, T5-large, mT5 and uzT5 on 5000 Uzbek
news by BLEU and ROUGE. Nothing printed is quoted here, and no result on Uzbek is checked. What can be checked is what
any such paper reports beside its scores: parameter counts, the trained share, and possible orders of the scores.

Counts of T5 are what transformers reports for the published configurations; those of mT5, whose output matrix is not
its embedding, are as recalled. A public Uzbek T5-base exists (huggingface.co/rifkat/t5-base-uzbek, weights of 990 MB);
whether it is the paper's uzT5 is not known.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations, pairwise, product

from lora_proofs import Case, Comparison, Paper, at_most, equal

PAPER = Paper(
    key="adilova2024uzt5",
    title="LoRA Effectiveness in Text Generalization Tasks: Comparison of T5 and uzT5 Models",
    authors=("Adilova", "Davronov", "Kushmuratov", "Safarov"),
    year=2024,
    arxiv="",
)

# ------------------------------------------------------------------------------------------------- counting parameters

PLAIN = (
    {"model": "T5-small", "d": 512, "ff": 2048, "layers": 6, "heads": 8, "vocabulary": 32128, "count": 60506624},
    {"model": "T5-base", "d": 768, "ff": 3072, "layers": 12, "heads": 12, "vocabulary": 32128, "count": 222903552},
    {"model": "T5-large", "d": 1024, "ff": 4096, "layers": 24, "heads": 16, "vocabulary": 32128, "count": 737668096},
)
GATED = (
    {"model": "v1.1-base", "d": 768, "ff": 2048, "layers": 12, "heads": 12, "vocabulary": 32128, "count": 247577856},
    {"model": "mT5-small", "d": 512, "ff": 1024, "layers": 8, "heads": 6, "vocabulary": 250112, "count": 300176768},
    {"model": "mT5-base", "d": 768, "ff": 2048, "layers": 12, "heads": 12, "vocabulary": 250112, "count": 582401280},
    {"model": "mT5-large", "d": 1024, "ff": 2816, "layers": 24, "heads": 16, "vocabulary": 250112, "count": 1229581312},
)

HEAD_WIDTH, BUCKETS = 64, 32


def parameters(case: Case, gated: bool, buckets: int = BUCKETS) -> int:
    """Count the parameters of T5: encoder and decoder of equal depth, without biases.

    A layer has 4 (encoder) or 8 (decoder, with attention to the encoder) matrices d x 64 heads, 2 or (gated) 3 of the
    feed-forward network, and 2 or 3 norms. The first layer of each stack has the relative positions; each stack ends
    with a norm. The embedding is also the output matrix, unless gated.
    """
    d, inner = case["d"], HEAD_WIDTH * case["heads"]
    feed = (3 if gated else 2) * d * case["ff"]
    encoder, decoder = 4 * d * inner + feed + 2 * d, 8 * d * inner + feed + 3 * d
    stacks = case["layers"] * (encoder + decoder) + 2 * d + 2 * buckets * case["heads"]
    return int(stacks + (2 if gated else 1) * case["vocabulary"] * d)


@PAPER.formula("parameters", points=PLAIN, seeded=False)
def plain(case: Case) -> Comparison:
    """T5's count is V d + L (12 d i + 4 d f + 5 d) + 2 d + 64 h, with i = 64 h; e.g. 222903552 for T5-base."""
    return equal(parameters(case, gated=False), case["count"])


@plain.control("without the relative positions")
def _(case: Case) -> Comparison:
    return equal(parameters(case, gated=False, buckets=0), case["count"])


@PAPER.formula("parameters-gated", points=GATED, seeded=False)
def gated(case: Case) -> Comparison:
    """T5 v1.1 and mT5: three matrices a feed-forward network, and an output matrix that is not the embedding."""
    return equal(parameters(case, gated=True), case["count"])


@gated.control("counted as the first T5")
def _(case: Case) -> Comparison:
    return equal(parameters(case, gated=False), case["count"])


@PAPER.formula("uzbek-checkpoint", points=GATED[:1], seeded=False)
def checkpoint(case: Case) -> Comparison:
    """The public Uzbek T5-base, 990 MB in single precision, has the size of T5 v1.1-base, not of T5-base (892 MB).

    So a trained share that is quoted for it should divide by 247.6M, not by 222.9M. Measured is the distance in MB of
    10^6 bytes; the bound is the rounding.
    """
    return at_most(abs(Fraction(4 * parameters(case, gated=True), 10**6) - 990), Fraction(1, 2))


@checkpoint.control("T5-base", points=PLAIN[1:2])
def _(case: Case) -> Comparison:
    return at_most(abs(Fraction(4 * parameters(case, gated=False), 10**6) - 990), Fraction(1, 2))


# ---------------------------------------------------------------------------------------------------- what LoRA trains


@PAPER.formula("trained", r=(4, 8, 16), seeded=False)
def trained(case: Case) -> Comparison:
    """LoRA on query and value of T5-base trains 2 r (d + i) numbers a layer of attention, in 3 x 12 of them: 110592 r.

    Encoder, decoder, and decoder to encoder. At r = 8 that is 884736, 0.397 per cent.
    """
    return equal(lora_parameters(case["r"], attentions=3), 110592 * case["r"])


@trained.control("attention to the encoder forgotten")
def _(case: Case) -> Comparison:
    return equal(lora_parameters(case["r"], attentions=2), 110592 * case["r"])


def lora_parameters(r: int, attentions: int) -> int:
    """Count A and B for query and value of T5-base, by their shapes."""
    shapes = [((r, 768), (768, r))] * (12 * attentions * 2)
    return sum(m * n for pair in shapes for m, n in pair)


@PAPER.formula(
    "share",
    points=({"r": 8, "thousandths": 397, "of": "base"}, {"r": 8, "thousandths": 395, "of": "all"}),
    seeded=False,
)
def share(case: Case) -> Comparison:
    """At r = 8 the trained share of T5-base is 0.397 per cent of the model, and 0.395 of model and adapters together.

    PEFT prints the second: a share quoted without saying of what is ambiguous in its third digit. Measured is the
    distance in thousandths of a per cent; the bound is the rounding.
    """
    return at_most(abs(thousandths(case) - case["thousandths"]), Fraction(1, 2))


@share.control("the other denominator")
def _(case: Case) -> Comparison:
    other = {"base": 395, "all": 397}[case["of"]]
    return at_most(abs(thousandths(case) - other), Fraction(1, 2))


def thousandths(case: Case) -> Fraction:
    """Return the trained share in thousandths of a per cent."""
    count = lora_parameters(case["r"], attentions=3)
    return Fraction(count * 10**5, PLAIN[1]["count"] + (count if case["of"] == "all" else 0))


# -------------------------------------------------------------------------------------------- orders among the scores


@PAPER.formula("rouge", length=(2, 3, 4), seeded=False)
def rouge(case: Case) -> Comparison:
    """ROUGE-L never exceeds ROUGE-1, as F1, precision or recall: a common subsequence matches its words one to one.

    Averages inherit the order. Counted are the violations by F1 among all pairs of words over two letters, the first of
    the length of the case, the second of length 2 to 4, and the equal ones that do not score 1.
    """
    return equal(violations(case["length"], longest_common_subsequence), 0)


@rouge.control(
    "ROUGE-2 never exceeds ROUGE-1: aba and bab match both bigrams, but only two of three words", length=(3,)
)
def _(case: Case) -> Comparison:
    return equal(violations(case["length"], matched_bigrams), 0)


def violations(length: int, matches: Callable[..., int]) -> int:
    """Count pairs where the F1 of these matches exceeds that of matched letters, or is not 1 for equal words."""
    shorter = 2 if matches is matched_bigrams else 0
    wrong = 0
    for x, y in product(product("ab", repeat=length), (word for n in (2, 3, 4) for word in product("ab", repeat=n))):
        score = Fraction(2 * matches(x, y), len(x) + len(y) - shorter)
        of_letters = Fraction(2 * overlap(x, y), len(x) + len(y))
        wrong += score > of_letters or (x == y and not score == of_letters == 1)
    return wrong


def overlap(x: Sequence[object], y: Sequence[object]) -> int:
    """Count matched items, each at most as often as it occurs in both."""
    return sum((Counter(x) & Counter(y)).values())


def matched_bigrams(x: Sequence[str], y: Sequence[str]) -> int:
    """Count matched pairs of neighbours."""
    return overlap(list(pairwise(x)), list(pairwise(y)))


def longest_common_subsequence(x: Sequence[str], y: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, by its definition."""
    return max(n for n in range(len(x) + 1) if set(combinations(x, n)) & set(combinations(y, n)))
