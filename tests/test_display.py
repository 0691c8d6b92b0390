"""How results show themselves: exact texts on small instances, and nothing that grows with the arrays."""

from fractions import Fraction
from html.parser import HTMLParser

import mpmath
import numpy as np
import pytest

from lora_proofs import Adapter, Box, Case, ReluNetwork, TransformerBlock, TransformerNetwork, exact, ntk
from lora_proofs.claims import Comparison
from lora_proofs.constructions import (
    Certificate,
    Conditioning,
    adapt_linear_chain,
    adapt_relu_network,
    adapt_transformer,
    certify_relu_network,
)
from lora_proofs.display import html_table, show
from lora_proofs.verify import Evidence, Outcome, Verdict

HALVES = Comparison(Fraction(3, 4), "<=", Fraction(1, 2))


def verdict(outcome, **fields):
    return Verdict("study:lemma-1", "lemma", Case({"D": 2}, 3), outcome, Evidence.EXACT, HALVES, **fields)


def test_a_verdict_that_fails_says_how_to_reproduce_it():
    assert repr(verdict(Outcome.FAILS)) == (
        "Verdict: study:lemma-1 at D=2, seed 3: fails\n"
        "  measured  3/4, claimed <= 1/2\n"
        "  evidence  exact, 16 digits\n"
        "  again     lora-proofs check study:lemma-1 --case D=2 --seed 3 --seeds 1"
    )


def test_a_verdict_that_holds_and_a_caught_control_are_not_reproduced():
    assert "again" not in repr(verdict(Outcome.HOLDS))
    assert "  control   one less (caught)" in repr(verdict(Outcome.FAILS, negative_control="one less"))
    assert "again" not in repr(verdict(Outcome.FAILS, negative_control="one less"))
    uncaught = repr(verdict(Outcome.HOLDS, negative_control="one less"))
    assert "one less (not caught)" in uncaught
    assert "again" in uncaught


def test_a_verdict_without_a_comparison_shows_its_reason():
    found = Verdict("study:lemma-1", "lemma", Case(), Outcome.OUT_OF_SCOPE, reason="W_1 is singular", gap="typo: D")
    assert repr(found) == (
        "Verdict: study:lemma-1 at seed 0: out of scope\n"
        "  gap     typo: D\n"
        "  reason  W_1 is singular\n"
        "  again   lora-proofs check study:lemma-1 --seed 0 --seeds 1"
    )


def test_certificates():
    assert repr(Certificate(True, "exact", ["layer 1", "layer 2"], Fraction(0))) == (
        "Certificate: holds (exact), error <= 0\n  checked  2 parts, see .reasons"
    )
    assert repr(Certificate(False, "", ["layer 1: no"], None)) == (
        "Certificate: does not hold, no bound of the error\n  missing  layer 1: no"
    )
    assert repr(Certificate(False, "", [], None)) == "Certificate: does not hold, no bound of the error"
    assert repr(ntk.Certificate(2.5, 0.0, 1.0, 1.25, 0.5, rigorous=True)) == (
        "Certificate: optimum in [0, 2.5] (relative gap 1.0e+00)\n"
        "  operator norm            1.25 lam\n"
        "  complementary slackness  0.5\n"
        "  arithmetic               balls, rounding included"
    )
    headline, _, _, arithmetic = repr(ntk.certify(problem(), np.ones((2, 1)), np.ones((2, 1)))).splitlines()
    assert headline == "Certificate: optimum in [0, 2.5] (relative gap 1.0e+00)"
    assert arithmetic == "  arithmetic               floats"


def problem():
    """Return (w - 0)^2 / 2 at w = delta_11, with lam = 1: (1, 1), (1, 1) has objective 1/2 + 2."""
    G = np.zeros((1, 1, 2, 2))
    G[0, 0, 0, 0] = 1
    return ntk.LinearizedProblem(G, np.zeros((1, 1)), np.zeros((1, 1)), "squared", lam=1.0)


def test_adapted_chains():
    over_q = exact.adapt_linear_chain([[[1, 0], [0, 1]]] * 2, [[1, 0], [0, 2]], 1)
    assert (
        repr(over_q)
        == "AdaptedChain: error 0, bound 0\n  ranks         [1, 0]\n  conditioning  amplification 0, rounding 0"
    )
    assert repr(over_q.adapters[0]) == "RationalAdapter: rank 1, 2 x 2, over Q"
    floats = adapt_linear_chain([np.eye(2)], np.diag([3.0, 2.0]), 1)
    headline, ranks, conditioning = repr(floats).splitlines()
    assert headline == "AdaptedChain: error 1, bound 1"
    assert ranks == "  ranks         [1]"
    assert conditioning.startswith("  conditioning  amplification ")


def relu_pair():
    W, b = np.array([[2.0, 0], [0, 1]]), np.zeros(2)
    return ReluNetwork([np.eye(2), np.eye(2)], [b, b]), ReluNetwork([W], [b])


def test_adapted_networks_show_what_is_known_and_compute_nothing():
    adapted = adapt_relu_network(*relu_pair(), ranks=1, domain=Box(-1, 1))
    before = repr(adapted).splitlines()
    assert before[:3] == [
        "AdaptedReluNetwork: 2 layers for 1, bound 0",
        "  ranks         [1, 0]",
        "  blocks        1 2",
    ]
    assert len(before) == 4
    assert not {"error", "certificate"} & vars(adapted).keys()
    assert adapted.certificate.holds
    assert adapted.error < 1e-12
    assert repr(adapted).splitlines()[4].endswith("on sampled points")
    assert repr(adapted).splitlines()[5].startswith("  certificate   holds (certified), error <= ")
    frozen, target = relu_pair()
    headline, missing = repr(certify_relu_network(frozen, target, Box(-1, 1))).splitlines()
    assert headline.startswith("Certificate: does not hold")
    assert missing.startswith("  missing  ")


def test_adapted_transformers():
    W, b = [np.eye(2)], np.zeros(2)
    frozen = TransformerNetwork([TransformerBlock(W, W, W, W, W[0], b, W[0], b)], W[0])
    target = TransformerNetwork([TransformerBlock([2 * W[0]], W, W, W, W[0], b, W[0], b)], W[0])
    adapted = adapt_transformer(frozen, target, 1)
    before = repr(adapted).splitlines()
    assert before[0] == "AdaptedTransformer: depth 1, heads 1, width 2"
    assert before[1] == "  ranks         up to 1, 2 of 7 matrices adapted"
    assert len(before) == 3
    assert adapted.certificate.holds
    assert repr(adapted).splitlines()[3].startswith("  certificate   holds")
    assert repr(frozen) == "TransformerNetwork: depth 1, heads 1, width 2"
    assert repr(frozen.blocks[0]) == "TransformerBlock: heads 1, width 2"


def test_parts():
    assert repr(Adapter(A=np.ones((1, 3)), B=np.ones((2, 1)), alpha=0.5)) == "Adapter: rank 1, 2 x 3, alpha 0.5"
    assert repr(Box(-4, Fraction(1, 2))) == "Box: -4 <= x <= 1/2"
    assert repr(Box(np.zeros(99), 1)) == "Box: 99 numbers <= x <= 1"
    assert repr(relu_pair()[0]) == "ReluNetwork: widths 2-2-2, float64"
    assert repr(ReluNetwork([[[Fraction(1)]]], [[Fraction(0)]])).startswith("ReluNetwork: widths 1-1, ")
    assert repr(Conditioning(2.0, 1e-16, 3.0, "store more digits")) == (
        "Conditioning: amplification 2, rounding 1e-16\n  largest update  3\n  warning         store more digits"
    )


def test_solutions():
    G = np.zeros((1, 1, 2, 2))
    G[0, 0, 0, 0] = 1
    found = ntk.solve(ntk.LinearizedProblem(G, np.zeros((1, 1)), np.full((1, 1), 2.0), "squared", lam=1.0))
    headline, rank, method = repr(found).splitlines()
    assert headline.startswith("Solution: optimum in [1.5, 1.5")
    assert rank == "  rank    1"
    assert method.startswith("  method  burer monteiro")
    assert str(found) == repr(found)
    u, v = (list(side) for side in zip(*found.factors, strict=True))
    lines = repr(ntk.second_order(problem(), u, v)).splitlines()
    assert lines[0] == "SecondOrder: not stationary"
    reduced = repr(ntk.reduce_rank(problem(), u, v)).splitlines()
    assert reduced[0] == "ReducedRank: ranks [1] -> [1]"


def test_thresholds_are_a_table_on_paper_and_in_a_notebook():
    table = ntk.thresholds(problem())
    assert repr(table).splitlines()[0] == table.title
    assert len(repr(table).splitlines()) == 2 + len(table.rules)
    assert Cells.of(table._repr_html_())[1] == "rule"


class Cells(HTMLParser):
    """The texts of a fragment, which has to close what it opens."""

    def __init__(self):
        super().__init__()
        self.texts, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data)

    @classmethod
    def of(cls, fragment):
        parser = cls()
        parser.feed(fragment)
        parser.close()
        assert parser.open == []
        return parser.texts


def test_html_has_the_same_texts_escaped():
    hostile = Verdict(
        "a:lemma-1", "lemma", Case({"s": "<b>&"}), Outcome.INCONCLUSIVE, reason="<script>alert('x')</script>"
    )
    fragment = hostile._repr_html_()
    assert "<script" not in fragment
    assert "<b>" not in fragment
    title, *cells = Cells.of(fragment)
    assert title == repr(hostile).splitlines()[0]
    assert dict(zip(cells[::2], cells[1::2], strict=True))["reason"] == hostile.reason


def test_html_table():
    assert Cells.of(html_table('"', [("<", "&", "2")], ("a", "b", "c"))) == ['"', "a", "b", "c", "<", "&", "2"]
    assert "color" not in html_table("t", [("a", "b")])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "none"),
        (True, "True"),
        ("text", "text"),
        (10**20, "about 1e+20"),
        (Fraction(-1, 10**400), "about -1e-400"),
        (1e-12, "1e-12"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (np.float32(1.5), "1.5"),
        (mpmath.mpf(0), "0"),
        (mpmath.mpf("1.5e-400"), "1.5e-400"),
        (mpmath.mpf("-2.5e400"), "-2.5e+400"),
        (mpmath.mpf(1) / 3, "0.333333"),
        ([1, (0.5, Fraction(1, 3))], "[1, [0.5, 1/3]]"),
    ],
)
def test_numbers(value, shown):
    assert show(value) == shown


def test_no_result_prints_an_array():
    D = 60
    rng = np.random.default_rng(0)
    layers, b = [rng.standard_normal((D, D)) for _ in range(3)], np.zeros(D)
    network = ReluNetwork(layers, [b] * 3)
    for result in (network, adapt_linear_chain(layers[:2], layers[2], 2), Adapter(A=layers[0], B=layers[1])):
        assert len(repr(result)) < 200
        assert len(result._repr_html_()) < 600
