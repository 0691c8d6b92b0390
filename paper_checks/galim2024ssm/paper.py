"""The paper, and diagonal state space layers over Q."""

from collections.abc import Callable

from flint import fmpq

from lora_proofs import Case, Paper

PAPER = Paper(
    key="galim2024ssm",
    title="Parameter-Efficient Fine-Tuning of State Space Models",
    authors=("Kevin Galim", "Wonjun Kang", "Yuchen Zeng", "Hyung Il Koo", "Kangwook Lee"),
    year=2024,
    arxiv="2410.09016v3",
)

Vector = list[fmpq]
Layer = Callable[[fmpq], tuple[Vector, Vector, Vector]]
"""Maps an input to (a, b, c); a constant function is an S4 layer."""


def draw(case: Case, n: int, denominator: int = 8) -> Vector:
    """Return n distinct non-zero rationals in (-1, 1), in random order."""
    values = [k for k in range(1 - denominator, denominator) if k]
    return [fmpq(int(x), denominator) for x in case.rng.choice(values, n, replace=False)]


def s4(case: Case, H: int) -> Layer:
    """Return a layer with distinct rational eigenvalues and non-zero b, c."""
    a, b, c = draw(case, H), draw(case, H), draw(case, H)
    return lambda x: (a, b, c)


def s6(case: Case, H: int) -> Layer:
    """Return a selective layer: a_i = 1 / (1 + (i + 1) x^2) and b, c affine in x."""
    (b0, b1), (c0, c1) = ((draw(case, H), draw(case, H)) for _ in range(2))
    return lambda x: (
        [1 / (1 + (i + 1) * x * x) for i in range(H)],
        [u + v * x for u, v in zip(b0, b1, strict=True)],
        [u + v * x for u, v in zip(c0, c1, strict=True)],
    )


def run(layer: Layer, inputs: Vector, state: Vector) -> Vector:
    """Return the outputs, step by step."""
    outputs = []
    for x in inputs:
        a, b, c = layer(x)
        state = [a_i * h + b_i * x for a_i, b_i, h in zip(a, b, state, strict=True)]
        outputs.append(sum((c_i * h for c_i, h in zip(c, state, strict=True)), fmpq(0)))
    return outputs


def unrolled(layer: Layer, inputs: Vector, state: Vector) -> Vector:
    """Return the outputs without recursion, as c_t^T (A_t ... A_1 h_0 + sum_s A_t ... A_{s+1} b_s x_s)."""
    return [
        sum((c_i * (h + z) for c_i, h, z in zip(layer(x)[2], carried(layer, inputs[: t + 1], state),
                                                initial_state(layer, inputs[: t + 1]), strict=True)), fmpq(0))
        for t, x in enumerate(inputs)
    ]  # fmt: skip


def carried(layer: Layer, inputs: Vector, state: Vector) -> Vector:
    """Return A_M ... A_1 h_0."""
    for x in inputs:
        state = [a_i * z for a_i, z in zip(layer(x)[0], state, strict=True)]
    return state


def initial_state(layer: Layer, prefix: Vector) -> Vector:
    r"""Return \sum_m A_M ... A_{m+1} B_m p_m."""
    terms = [carried(layer, prefix[m + 1 :], [b_i * p for b_i in layer(p)[1]]) for m, p in enumerate(prefix)]
    return [sum(entries, fmpq(0)) for entries in zip(*terms, strict=True)]


def distance(u: Vector, v: Vector) -> fmpq:
    """Return the largest difference of two sequences."""
    return max(abs(p - q) for p, q in zip(u, v, strict=True))
