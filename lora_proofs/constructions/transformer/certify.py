r"""Certify that a transformer equals its target on every input, by the forms that determine them.

Networks with the same forms (see `forms`) are the same function: the softmax is never opened. Those that
Theorem 7 of Zeng & Lee (arXiv 2310.17513v3) adapts have the target's.

**When the forms agree only nearly** the difference is bounded, for tokens of bounded norm. At the entry of a block let
h be the states of the network and hbar those of the target (tokens, or hidden states), ||h|| <= zeta, ||hbar|| <= m and
||h - hbar|| <= delta. States lie in a ball, and behind a ReLU in its positive part, where two of them are apart by no
more than sqrt(2) times its radius: at most 2 r and 2 rbar with r = zeta or zeta / sqrt(2), and rbar alike. With M, t, N
and b for the logits, tilts, values and bias, and E_M, E_t, E_N, E_b for the differences of those of the two networks,
the logits of a head for one query differ, up to a constant, by at most

    Delta = rbar ||Mbar|| delta + delta (||Mbar|| zeta + ||tbar||) + r (||E_M|| zeta + ||E_t||).

So the odds of any set of tokens against the others change by a factor within e^{+-2 Delta}, a probability by at most
tanh(Delta / 2), and ||softmax(s) - softmax(t)||_1 <= 2 tanh(Delta / 2) <= min(Delta, 2). The pre-activations, and the
hidden states, since ReLU is 1-Lipschitz, then differ by at most

    sum_h ||Nbar_h|| (delta + rbar min(Delta_h, 2)) + ||E_N_h|| zeta + ||E_b||,

and W_out W_2 carries that to the output. The norms of hidden states are bounded as a whole and entry by entry, where
those that are never active count as 0. All arithmetic is over Q, norms are rounded up, and floats are the dyadic
rationals that they are. From below, the difference and the target are bounded by balls at rational tokens.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import flint
import numpy as np
from flint import fmpq, fmpq_mat, fmpz_mat

from lora_proofs.constructions.certificate import Certificate, decimal, read_tolerance
from lora_proofs.constructions.transformer.forms import BlockForms, Forms
from lora_proofs.constructions.transformer.values import largest
from lora_proofs.exact import algebra, matrices
from lora_proofs.exact.enclosures import enclosure
from lora_proofs.exact.matrices import Rational, fraction
from lora_proofs.linalg import check_one_kind
from lora_proofs.networks.transformer import TransformerNetwork

_WORD, _SQUARINGS = 64, 4
"""Bits that entries are cut to between the squarings of `spectral_norm_above`, and their number."""

_POSITIVE = algebra.sqrt_above(fmpq(1, 2))
"""Half the distance of two vectors of norm at most 1 without negative entries."""


def certify_transformer(
    network: TransformerNetwork, target: TransformerNetwork, *, radius: Rational | None = None, tolerance: float = 1e-8
) -> Certificate:
    """Certify that a transformer equals its target, by the identities of their matrices that make it so.

    Parameters
    ----------
    network, target : TransformerNetwork
        Of the same depth, number of heads and width; heads are compared in their order.
    radius : positive number, optional
        The norm of the tokens for which ``error`` bounds the difference of the outputs; by default sqrt(D), that of
        standard normal ones.
    tolerance : float
        The largest error allowed of floating networks, relative to the target: see below. Rational ones must agree
        exactly.

    Returns
    -------
    Certificate
        ``holds`` is True only if ``error`` is at most ``tolerance`` times ``size``, a rigorous lower bound of the
        largest |target| on the ball of tokens; for rational networks only if ``error`` is 0. So a target that is 0 on
        the ball needs an error of 0. If False, the last of the ``reasons`` says that the functions differ by more, or
        that this is *not decided*: the bound of the error is too loose, or there is none.

        ``error``: a rigorous bound of ||f(Z) - target(Z)||_2 of every token, for all inputs with tokens in the ball.
        ``difference`` encloses the largest one, from below by rational tokens, where ``size`` bounds the largest norm
        of a token of the target from below; it is left at 0 where the functions are equal.

    Raises
    ------
    ValueError
        If the networks differ in size or arithmetic, the radius is not positive, or the tolerance is no finite number
        >= 0.
    """
    check_same_size(network, target, names=("network", "target"))
    allowed = read_tolerance(tolerance)
    radius = matrices.number(standard_radius(network.width) if radius is None else radius)
    if not radius > 0:
        raise ValueError(f"radius is {decimal(radius)}; pass a positive number")
    own, goal = Forms.of(network), Forms.of(target)
    evidence = "exact" if network.is_rational else "certified"
    reasons = [_sentence(what, identities) for what, identities in _identities(own, goal)]
    if own == goal:
        reasons.append("the functions are equal on every input")
        return Certificate(True, evidence, reasons, Fraction(0), enclosure(0, 0))
    error, ceiling = map(fraction, _difference(own, goal, radius))
    seen, size = map(fraction, largest(own, goal, radius))
    allowed = Fraction(0) if network.is_rational else allowed
    holds = error <= allowed * size
    reasons.append(
        ("" if holds or seen > allowed * ceiling else "not decided: ")
        + f"for tokens of norm at most {decimal(radius)} the outputs differ by at most {decimal(error)}, at some by "
        f"{decimal(seen)}, where the target reaches {decimal(size)}, at most {decimal(ceiling)}"
    )
    return Certificate(holds, evidence if holds else "", reasons, error, enclosure(seen, error), size)


def standard_radius(width: int) -> float:
    """Return a float that is at least sqrt(width), the norm of a standard normal token."""
    return float(np.nextafter(width**0.5, np.inf))


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
    """A form of the network beside that of the target, named."""

    name: str
    own: fmpq_mat
    goal: fmpq_mat

    @property
    def relative(self) -> fmpq:
        """An upper bound of ||own - goal||_F / ||goal||_F; of ||own||_F if goal = 0."""
        size = algebra.frobenius_norm_squared(self.goal) or 1
        return algebra.sqrt_above(algebra.frobenius_norm_squared(self.own - self.goal) / size)


def _identities(own: Forms, goal: Forms) -> Iterator[tuple[str, list[_Identity]]]:
    """Yield for each block, and for the output, a name and the identities that make it the target's."""
    for l, (block, wanted) in enumerate(zip(own.blocks, goal.blocks, strict=True)):
        heads = range(len(block.logits))
        of_heads = [
            _Identity(f"the {name} of head {h}", part[h], aim[h])
            for name, part, aim in zip(("logits", "tilt", "values"), block, wanted, strict=False)
            for h in heads
        ]
        bias = _Identity("the bias", block.bias, wanted.bias)
        yield (
            f"block {l}: the logits and values of {len(heads)} head{'s' * (len(heads) > 1)}, and the bias",
            [
                *of_heads,
                bias,
            ],
        )
    yield (
        "the output: W_out W_2 and W_out b_2",
        [
            _Identity("W_out W_2", own.out, goal.out),
            _Identity("W_out b_2", own.shift, goal.shift),
        ],
    )


class _States(NamedTuple):
    """Bounds of the norms of the states of the network and of the target, of their distance; r / ||h|| of the text."""

    own: fmpq
    target: fmpq
    apart: fmpq
    spread: fmpq


def _difference(own: Forms, goal: Forms, radius: fmpq) -> tuple[fmpq, fmpq]:
    """Return bounds of the norms of the difference of the outputs, and of the target, for tokens of the ball."""
    states = _States(radius, radius, fmpq(0), fmpq(1))
    for block, wanted in zip(own.blocks, goal.blocks, strict=True):
        states = _after(states, block, wanted)
    norm, (zeta, m, delta, _) = spectral_norm_above, states
    error = norm(goal.out) * delta + norm(own.out - goal.out) * zeta + norm(own.shift - goal.shift)
    return _round_up(error), _round_up(norm(goal.out) * m + norm(goal.shift))


def _after(before: _States, own: BlockForms, goal: BlockForms) -> _States:
    """Return the bounds for the hidden states of a block, from those for the states that enter it."""
    norm, (zeta, m, delta, spread) = spectral_norm_above, before
    r, r_bar = spread * zeta, spread * m
    apart = norm(own.bias - goal.bias)
    for M, t, N, M_bar, t_bar, N_bar in zip(*own[:3], *goal[:3], strict=True):
        turn = norm(M_bar) * delta * (r_bar + zeta) + norm(t_bar) * delta
        turn += r * (norm(M - M_bar) * zeta + norm(t - t_bar))
        apart += norm(N_bar) * (delta + r_bar * min(turn, 2)) + norm(N - N_bar) * zeta
    return _States(_reach(own, zeta), _reach(goal, m), _round_up(apart), _POSITIVE)


def _reach(block: BlockForms, size: fmpq) -> fmpq:
    """Return a bound of the norm of the hidden states for states of at most this size: as a whole, or entry by entry.

    Entries whose bias is so negative that they are never active count in the second alone, as 0.
    """
    whole = spectral_norm_above(block.bias) + size * sum((spectral_norm_above(N) for N in block.values), fmpq(0))
    squares = fmpq(0)
    for i, b in enumerate(block.bias.entries()):
        rows = (matrices.row(N, i) for N in block.values)
        top = b + size * sum((algebra.euclidean_norm_above(row.entries()) for row in rows), fmpq(0))
        squares += max(top, fmpq(0)) ** 2
    return _round_up(min(whole, algebra.sqrt_above(squares)))


def spectral_norm_above(operand: fmpq_mat) -> fmpq:
    """Return an upper bound, over Q, of the spectral norm of a rational (m, n) matrix, hardly more than n^(1/64) of it.

    With G_0 = y^T y and G_{k+1} = G_k^2, ||y||_2^2 = ||G_0||_2 and ||G_k||_2^2 = ||G_{k+1}||_2, and the last one is at
    most its Frobenius norm. Between the squarings entries are cut to a word of bits, which moves the norm by at most
    their number's square root, in units of the last bit. That takes less time than an enclosed singular value
    decomposition, and no scale is outside its range.
    """
    numerator, denominator = operand.numer_denom()
    y, unit = _cut(numerator, max(int(v).bit_length() for v in numerator.entries()))
    (m, n), units, G = (y.nrows(), y.ncols()), [], y.transpose() * y
    for _ in range(_SQUARINGS):
        G, cut = _cut(G, max(int(G[i, i]).bit_length() for i in range(n)))  # no entry exceeds the diagonal ones
        units.append(cut)
        G = G * G
    with flint.ctx.workprec(_WORD):
        norm = flint.arb(sum((v * v for v in G.entries()), flint.fmpz(0))).sqrt().sqrt()
        for cut in reversed(units):
            norm = ((norm + (n if cut else 0)) * flint.arb(2) ** cut).sqrt()
        return (norm + (flint.arb(m * n).sqrt() if unit else 0)).upper().fmpq() * fmpq(2) ** unit / denominator


def _cut(integers: fmpz_mat, length: int) -> tuple[fmpz_mat, int]:
    """Return an integer matrix of entries of that length, cut to a word, and the exponent of its new unit."""
    unit = max(0, length - _WORD)
    return (
        fmpz_mat(integers.nrows(), integers.ncols(), [v >> unit for v in integers.entries()]) if unit else integers
    ), unit


def _round_up(value: fmpq) -> fmpq:
    """Return a dyadic rational of 64 bits or so, at least the value >= 0: lengths would double in every block."""
    shift = 64 - (int(value.p).bit_length() - int(value.q).bit_length())
    return (value * fmpq(2) ** shift).ceil() * fmpq(2) ** -shift


def _sentence(what: str, identities: Sequence[_Identity]) -> str:
    worst = max(identities, key=lambda identity: identity.relative)
    if worst.relative == 0:
        return f"{what} agree exactly"
    return f"{what} agree up to {decimal(worst.relative)}, relatively; worst is {worst.name}"
