r"""Certify that a transformer equals its target on every input, by the identities of its matrices.

Let C_0 = I and C_l = Wbar_2 W_2^{-1} for block l of the network and of the target. The outputs agree on every input
if, for every block and every head,

    W_K^T W_Q = C^T Wbar_K^T Wbar_Q C,    W_1 W_O W_V = Wbar_1 Wbar_O Wbar_V C    (C = C_{l-1}),    b_1 = bbar_1,

C_l b_2 = bbar_2 for l < L, and W_out W_2 = Wbar_out Wbar_2, W_out b_2 = Wbar_out bbar_2 at the end: then the tokens of
the target are C_l times those of the network, with the same attention weights and the same ReLUs. The softmax is never
opened. (Zeng & Lee, Theorem 7, arXiv 2310.17513v3.)

**When the identities hold only nearly** the difference is bounded, for tokens of bounded norm. Let the tokens satisfy
||z|| <= zeta in the network, ||zbar|| <= m in the target and ||C z - zbar|| <= delta, and let E_M, E_N be what is left
of the first two identities. A logit differs by at most Delta = ||Mbar|| delta (2 m + delta) + ||E_M|| zeta^2. So the
odds of any set of tokens against the others change by a factor within e^{+-2 Delta}, a probability by at most
tanh(Delta / 2), and ||softmax(s) - softmax(t)||_1 <= 2 tanh(Delta / 2) <= min(Delta, 2). The pre-activations then
differ by at most

    sum_h ||Wbar_1 Nbar_h|| (delta + m min(Delta_h, 2)) + ||E_N_h|| zeta + ||b_1 - bbar_1||,

the hidden states by no more, since ReLU is 1-Lipschitz, and W_2 carries that on. All arithmetic is over Q, norms are
rounded up, and floats are the dyadic rationals that they are.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import flint
import numpy as np

from lora_proofs import exact
from lora_proofs.constructions.certificate import Certificate
from lora_proofs.constructions.operators import LU
from lora_proofs.linalg import Array, check_one_kind, like
from lora_proofs.transformers import TransformerBlock, TransformerNetwork


def certify_transformer(
    network: TransformerNetwork, target: TransformerNetwork, *, radius: Any = None, tolerance: float = 1e-8
) -> Certificate:
    """Certify the matrix identities that make a transformer equal to its target on every input.

    Parameters
    ----------
    network, target : TransformerNetwork
        Of the same depth, number of heads and width; heads are compared in their order.
    radius : positive number, optional
        The norm of the tokens for which ``error`` bounds the difference of the outputs; by default sqrt(D), that of
        standard normal ones.
    tolerance : float
        For floating networks: the largest relative residual (Frobenius norm) that an identity may leave. Rational
        networks must meet all of them exactly.

    Returns
    -------
    Certificate
        ``holds``: every identity is met, exactly over Q ("exact"), else up to the tolerance, by rigorous bounds of the
        residuals ("certified"). ``error``: a rigorous bound of ||f(Z) - target(Z)||_2 of every token, for all inputs
        with tokens in the ball; None if the network's W_2 is singular in a block but the last, so that C_l is not
        defined.

    Raises
    ------
    ValueError
        If the networks differ in size or arithmetic, or the radius is not positive.
    """
    check_same_size(network, target, names=("network", "target"))
    radius = exact.number(standard_radius(network.width) if radius is None else radius)
    if not radius > 0:
        raise ValueError(f"radius is {radius}; pass a positive number")
    try:
        C = calibrations(network, target)
    except ValueError as singular:
        return Certificate(False, "", [str(singular)], None)
    allowed = exact.number(0 if network.is_rational else tolerance)
    blocks = _blocks(network, target, C)
    worst = [max(block.identities(), key=lambda identity: identity.relative) for block in blocks]
    holds = all(identity.relative <= allowed for identity in worst)
    error = Fraction(0) if all(identity.relative == 0 for identity in worst) else _difference(blocks, radius)
    reasons = [_sentence(l, network, identity) for l, identity in enumerate(worst)]
    reasons.append(
        "the functions are equal on every input"
        if error == 0
        else f"for tokens of norm at most {float(radius):.3g} the outputs differ by at most {_decimal(error)}"
    )
    evidence = "exact" if network.is_rational else "certified"
    return Certificate(holds, evidence if holds else "", reasons, error)


def calibrations(network: TransformerNetwork, target: TransformerNetwork) -> list[Array]:
    """Return C_0 = I and C_l = Wbar_2 W_2^{-1}, l < L: the target's tokens after l blocks are C_l times the network's.

    Raises
    ------
    ValueError
        If W_2 of the network is singular in a block but the last.
    """
    W = network.W_out
    start = exact.array(np.eye(W.shape[0])) if network.is_rational else like(W, np.eye(W.shape[0]))
    out = [start]
    for l, (own, goal) in enumerate(zip(network.blocks[:-1], target.blocks[:-1], strict=True)):
        if exact.matrix(own.W_2).det() == 0 if network.is_rational else LU(own.W_2).singular:
            raise ValueError(
                f"blocks.{l}.W_2 is singular; it is not adapted, and the tokens that leave it determine those of the "
                "target only if it is non-singular"
            )
        out.append(divide_right(goal.W_2, own.W_2))
    return out


def divide_right(y: Array, x: Array) -> Array:
    """Return y x^{-1} in the arithmetic of x: over Q some z with z x = y, in floats that of least residual.

    Raises
    ------
    ValueError
        Over Q, if there is none.
    """
    if exact.is_rational(x):
        return exact.array(exact.divide_right(exact.matrix(y), exact.matrix(x)))
    return LU(x).divide_right(y)


def standard_radius(D: int) -> float:
    """Return a float that is at least sqrt(D), the norm of a standard normal token."""
    return float(np.nextafter(D**0.5, np.inf))


def check_same_size(one: TransformerNetwork, other: TransformerNetwork, *, names: tuple[str, str]) -> None:
    """Raise ValueError unless both are transformers of one depth, number of heads, width, and arithmetic."""
    for name, network in zip(names, (one, other), strict=True):
        if not isinstance(network, TransformerNetwork):
            raise ValueError(f"{name} is of type {type(network).__name__}; pass a TransformerNetwork(blocks, W_out)")
    for what, sizes in (
        ("blocks", (one.depth, other.depth)),
        ("heads a block", ([b.heads for b in one.blocks], [b.heads for b in other.blocks])),
        ("as their width", (one.width, other.width)),
    ):
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"{names[0]} and {names[1]} have {sizes[0]} and {sizes[1]} {what}; pass two transformers of one size"
            )
    check_one_kind(**{names[0]: one.W_out, names[1]: other.W_out})
    if one.is_rational != other.is_rational:
        which, not_which = names if one.is_rational else names[::-1]
        raise ValueError(f"{which} is rational and {not_which} is not; pass both as rationals, or neither")


class _Identity(NamedTuple):
    """What should be zero, named, with what it is the small difference of."""

    name: str
    residual: Any
    wanted: Any

    @property
    def size(self) -> Any:
        """An upper bound of ||residual||_2."""
        return _norm(self.residual)

    @property
    def relative(self) -> Any:
        """An upper bound of ||residual||_F / ||wanted||_F; of ||residual||_F if wanted = 0."""
        size = exact.frobenius_norm_squared(self.wanted) or 1
        return exact.sqrt_above(exact.frobenius_norm_squared(self.residual) / size)


class _Reach(NamedTuple):
    """Bounds of the norms of the tokens of the network and of the target, and of ||C z - zbar||."""

    own: Any
    target: Any
    gap: Any


class _Block:
    """A block and its goal over Q: tokens that enter are related by C, those that leave compared by out, goal_out."""

    def __init__(
        self, own: TransformerBlock, goal: TransformerBlock, C: Array, out: Array, goal_out: Array | None
    ) -> None:
        self.logits, self.values = _forms(own)
        self.goal_logits, self.goal_values = _forms(goal)
        self.C = exact.matrix(C)
        self.b_1, self.goal_b_1 = _column(own.b_1), _column(goal.b_1)
        self.W_2, self.b_2, self.out = exact.matrix(own.W_2), _column(own.b_2), exact.matrix(out)
        self.goal_W_2, self.goal_b_2 = exact.matrix(goal.W_2), _column(goal.b_2)
        self.goal_out = exact.identity(self.W_2.nrows()) if goal_out is None else exact.matrix(goal_out)

    def head_identities(self) -> Iterator[tuple[_Identity, _Identity]]:
        """Yield for each head what is left of the identities of its logits and of its values."""
        forms = zip(self.logits, self.goal_logits, self.values, self.goal_values, strict=True)
        for h, (M, goal_M, N, goal_N) in enumerate(forms):
            wanted_M, wanted_N = self.C.transpose() * goal_M * self.C, goal_N * self.C
            yield (
                _Identity(f"the logits of head {h}", M - wanted_M, wanted_M),
                _Identity(f"the values of head {h}", N - wanted_N, wanted_N),
            )

    def outer_identities(self) -> tuple[_Identity, _Identity, _Identity]:
        """Return what is left of the identities of b_1, W_2 and b_2."""
        W, b = self.goal_out * self.goal_W_2, self.goal_out * self.goal_b_2
        return (
            _Identity("the bias b_1", self.b_1 - self.goal_b_1, self.goal_b_1),
            _Identity("the matrix W_2", self.out * self.W_2 - W, W),
            _Identity("the bias b_2", self.out * self.b_2 - b, b),
        )

    def identities(self) -> list[_Identity]:
        """Return all of them."""
        return [*(identity for head in self.head_identities() for identity in head), *self.outer_identities()]

    def after(self, before: _Reach) -> _Reach:
        """Return the bounds for the tokens that leave the block, from those for the tokens that enter it."""
        zeta, m, delta = before
        of_b_1, of_W_2, of_b_2 = (identity.size for identity in self.outer_identities())
        apart, own, goal = of_b_1, _norm(self.b_1), _norm(self.goal_b_1)
        heads = zip(self.head_identities(), self.values, self.goal_logits, self.goal_values, strict=True)
        for (E_M, E_N), N, goal_M, goal_N in heads:
            turn = _norm(goal_M) * delta * (2 * m + delta) + E_M.size * zeta**2
            size = _norm(goal_N)
            apart += size * (delta + m * min(turn, flint.fmpq(2))) + E_N.size * zeta
            own, goal = own + _norm(N) * zeta, goal + size * m
        return _Reach(
            own=_norm(self.W_2) * own + _norm(self.b_2),
            target=_norm(self.goal_W_2) * goal + _norm(self.goal_b_2),
            gap=_norm(self.goal_out * self.goal_W_2) * apart + of_W_2 * own + of_b_2,
        )


def _blocks(network: TransformerNetwork, target: TransformerNetwork, C: list[Array]) -> list[_Block]:
    *inner, last = zip(network.blocks, target.blocks, strict=True)
    blocks = [_Block(own, goal, C[l], C[l + 1], None) for l, (own, goal) in enumerate(inner)]
    return [*blocks, _Block(*last, C[-1], network.W_out, target.W_out)]


def _forms(block: TransformerBlock) -> tuple[list[Any], list[Any]]:
    """Return W_K^T W_Q and W_1 W_O W_V of each head, over Q."""
    Q, K, V, O = ([exact.matrix(W) for W in part] for part in (block.W_Q, block.W_K, block.W_V, block.W_O))
    W_1 = exact.matrix(block.W_1)
    logits = [k.transpose() * q for k, q in zip(K, Q, strict=True)]
    return logits, [W_1 * o * v for o, v in zip(O, V, strict=True)]


def _difference(blocks: list[_Block], radius: Any) -> Fraction:
    """Return a bound of the difference of the outputs for tokens of norm at most the radius."""
    reach = _Reach(own=radius, target=radius, gap=flint.fmpq(0))
    for block in blocks:
        reach = _Reach(*(_round_up(x) for x in block.after(reach)))
    return Fraction(int(reach.gap.p), int(reach.gap.q))


def _norm(x: Any) -> Any:
    """Return an upper bound of the spectral norm of an (m, n) matrix, hardly more than n^(1/16) times the norm.

    With G = y^T y, ||y||_2 = ||G^4||_2^(1/8) <= ||G^4||_F^(1/8), for an integer matrix y near a multiple of x. On large
    matrices this takes a fifth of the time of an enclosed singular value decomposition.
    """
    numerator, denominator = x.numer_denom()
    entries = numerator.entries()
    shift = max(int(v).bit_length() for v in entries) - 40
    y = flint.fmpz_mat(x.nrows(), x.ncols(), [v >> shift if shift > 0 else v << -shift for v in entries])
    G = y.transpose() * y
    G = G * G
    G = G * G
    root = sum((v * v for v in G.entries()), flint.fmpz(0)).root(16)
    rounded = len(entries) if shift > 0 else 0  # ||x - y||_F <= sqrt(m n) <= m n, in units of 2^shift
    return flint.fmpq(root + (root > 0) + rounded, denominator) * flint.fmpq(2) ** shift


def _round_up(x: Any) -> Any:
    """Return a dyadic rational of 64 bits or so that is at least x >= 0: lengths would double in every block."""
    shift = 64 - (int(x.p).bit_length() - int(x.q).bit_length())
    return (x * flint.fmpq(2) ** shift).ceil() * flint.fmpq(2) ** -shift if x else x


def _column(b: Array) -> Any:
    return exact.matrix(exact.array(b)[:, None])


def _sentence(l: int, network: TransformerNetwork, worst: _Identity) -> str:
    heads = network.blocks[l].heads
    what = f"block {l}: the logits and values of {heads} head{'s' * (heads > 1)}, the biases and " + (
        "W_out W_2" if l == network.depth - 1 else "W_2"
    )
    if worst.relative == 0:
        return f"{what} agree exactly"
    return f"{what} agree up to {_decimal(worst.relative)}, relatively; worst is {worst.name}"


def _decimal(x: Any) -> str:
    """Return three digits of a rational that may be outside the range of floats."""
    return str(flint.arb(exact.number(x)).str(3, radius=False))
