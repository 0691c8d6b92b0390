r"""Zhang, Singh, Latham & Saxe, Training Dynamics of In-Context Learning in Linear Attention, arXiv 2501.16265v2.

Published at ICML 2025. Sections 2 to 4 were read in a text conversion, the data and networks in the official code. What
is only in the appendices (balance, the order at which saddles are left) is re-derived. All is checked over Q.

Inputs x_1, ..., x_N, x_q ~ N(0, L) in R^D, a task w ~ N(0, I), labels y = w^T x. With b = (1/N) sum y_n x_n a linear
attention layer predicts b^T K x_q, K = sum_i v_i U_i over its heads; rank-one keys and queries have U_i = k_i q_i^T.
The loss E (y_q - b^T K x_q)^2 is a polynomial of degree 4 in the inputs. Every mean is therefore a finite sum: 0 with
probability 1/2, -1, 1 with 1/6 each and -2, 2 with 1/12 each have the moments of N(0, 1) up to the fifth.
"""

from typing import Any

from flint import fmpq, fmpq_mat

from lora_proofs import Case, Paper, exact

PAPER = Paper(
    key="zhang2025incontext",
    title="Training Dynamics of In-Context Learning in Linear Attention",
    authors=("Yedi Zhang", "Aaditya K. Singh", "Peter E. Latham", "Andrew Saxe"),
    year=2025,
    arxiv="2501.16265v2",
)

CONTEXTS = ({"D": 3, "N": 4}, {"D": 4, "N": 31})


def moment(L: fmpq_mat, N: int) -> fmpq_mat:
    """Return L^2 + (L + Tr L I) L / N."""
    return L * L + (L + exact.trace(L) * exact.identity(L.nrows())) * L / N


def loss(K: fmpq_mat, L: fmpq_mat, N: int) -> Any:
    """Return E (y_q - b^T K x_q)^2 = Tr (L - 2 L K L + K^T E[M^2] K L)."""
    return exact.trace(L - 2 * L * K * L + K.transpose() * moment(L, N) * K * L)


def gradient(K: fmpq_mat, L: fmpq_mat, N: int) -> fmpq_mat:
    """Return the gradient of the loss with respect to K."""
    return 2 * (moment(L, N) * K - L) * L


def spectrum(case: Case) -> list[Any]:
    """Return D different rational eigenvalues, descending: random steps, divided by their sum."""
    steps = [int(x) for x in case.rng.integers(1, 5, case["D"])]
    values = [sum(steps[: i + 1]) for i in range(case["D"])][::-1]
    return [fmpq(value, sum(values)) for value in values]


def solution(values: Any, N: int, learned: Any) -> fmpq_mat:
    """Return K with 1 / (l_d + (l_d + Tr L) / N) at the learned eigendirections, else 0."""
    total = sum(values)
    return exact.diagonal([1 / (v + (v + total) / N) if d in learned else fmpq(0) for d, v in enumerate(values)])
