r"""Transformers at rational tokens, in ball arithmetic: what a target reaches there, and how far two networks differ.

The norm of one output token bounds a maximum over a ball of tokens from below, rigorously, since every token lies in
the ball exactly and the balls contain what is computed. Which tokens are tried is a matter of power, not of proof: a
token alone attends to itself, so that f is then an MLP, on whose norm a few steps of ascent are made; several tokens
together make the heads see different ones; and two tokens whose logits tie in the first block, for the first of them,
are those where a small change of large logits shows.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import flint
import numpy as np
from flint import arb, arb_mat, fmpq, fmpq_mat

from lora_proofs.constructions.transformer.forms import Forms
from lora_proofs.exact import algebra, matrices

_BITS = (128, 512, 2048)
"""Working precisions, one after the other, until a value is known to `_DIGITS` or they end."""

_DIGITS = fmpq(1, 2**64)
_STARTS, _STEPS = 4, 3
"""Random tokens, and steps of ascent from each."""

_SMALLEST = 2**16
"""Balls below 2^-_SMALLEST count as 0: softmax makes numbers whose exponent alone fills the memory of a rational."""


class Found(NamedTuple):
    """Rigorous lower bounds of the largest ||f(Z)_j - target(Z)_j||, and of the largest ||target(Z)_j||."""

    apart: fmpq
    size: fmpq


def largest(network: Forms, target: Forms, radius: fmpq) -> Found:
    """Return the largest norms of a difference, and of an output token of the target, over some tokens of the ball.

    Parameters
    ----------
    network, target : Forms
        Of one size.
    radius : fmpq
        Every token that is tried has at most this norm.

    Examples
    --------
    >>> import numpy as np
    >>> from flint import fmpq
    >>> from lora_proofs import TransformerBlock, TransformerNetwork
    >>> from lora_proofs.constructions.transformer.forms import Forms
    >>> from lora_proofs.constructions.transformer.values import largest
    >>> one, zero = np.eye(1), np.zeros(1)
    >>> f, g = (TransformerNetwork([TransformerBlock([one], [one], [one], [one], one, zero, c * one, zero)], one)
    ...         for c in (3.0, 2.0))
    >>> [round(float(x), 6) for x in largest(Forms.of(f), Forms.of(g), fmpq(5))]
    [5.0, 10.0]
    """
    best = Found(fmpq(0), fmpq(0))
    for Z, together in _inputs(network, target, radius):
        best = Found(*map(max, best, _at(network, target, Z, together)))
    return best


def _at(network: Forms, target: Forms, tokens: fmpq_mat, together: bool) -> Found:
    """Return the lower bounds that the tokens give, as one input, or each as an input of its own."""
    for bits in _BITS:
        with flint.ctx.workprec(bits):
            own, goal = (_values(net.map(arb_mat), arb_mat(tokens), together) for net in (network, target))
            size, apart, blur = _norm_below(goal), _norm_below(own - goal), _radius(own - goal)
        if blur <= _DIGITS * size:
            break
    return Found(apart, size)


def _values(network: Forms, tokens: arb_mat, together: bool) -> arb_mat:
    """Return the outputs for the tokens, which are columns, all in balls."""
    ones = arb_mat([[1] * tokens.ncols()])
    for block in network.blocks:
        hidden = block.bias * ones
        for M, tilt, N in zip(block.logits, block.tilts, block.values, strict=True):
            hidden += N * (tokens * _softmax(tokens.transpose() * (M * tokens + tilt * ones)) if together else tokens)
        tokens = arb_mat(hidden.nrows(), hidden.ncols(), [x.max(0) for x in hidden.entries()])
    return network.out * tokens + network.shift * ones


def _softmax(logits: arb_mat) -> arb_mat:
    """Return the softmax over the rows of each column."""
    return arb_mat([_weights(column) for column in logits.transpose().table()]).transpose()


def _weights(logits: list[arb]) -> list[arb]:
    first = max(range(len(logits)), key=lambda k: logits[k].mid())
    odds = [arb(1) if k == first else (s - logits[first]).exp() for k, s in enumerate(logits)]
    weights = [x / sum(odds) for x in odds]
    return [w if w.is_finite() else arb(0.5, 0.5) for w in weights]


# ---------------------------------------------------------------------------------------------- which tokens are tried


def _inputs(network: Forms, target: Forms, radius: fmpq) -> Iterator[tuple[fmpq_mat, bool]]:
    """Yield matrices of tokens as columns, and whether they are one input together, or each alone."""
    rng = np.random.default_rng(0)
    d = target.out.ncols()
    random, other = (matrices.matrix(2 * rng.integers(-(2**10), 2**10, (d, _STARTS)) + 1) for _ in range(2))
    with flint.ctx.workprec(53):
        own, goal = (net.map(arb_mat) for net in (network, target))
        of_target, of_difference = (_climbed(random, nets, radius) for nets in ([goal], [own, goal]))
    for Z in (random, of_target, of_difference):
        yield _within(Z, radius), False
        yield _within(Z, radius), True
        yield _within(matrices.hstack(Z, -Z), radius), True
    for M, M_bar in zip(network.blocks[0].logits, target.blocks[0].logits, strict=True):
        yield _tie(M_bar, matrices.column(random, 0), matrices.column(other, 0), radius), True
        yield _tie(M_bar, *_leading(M - M_bar, matrices.column(random, 0)), radius), True


def _climbed(directions: fmpq_mat, networks: Sequence[Forms], radius: fmpq) -> fmpq_mat:
    """Move tokens that are alone to where the first network, less the second if there is one, is larger in norm."""
    for _ in range(_STEPS):
        Z = arb_mat(_within(directions, radius))
        passes = [_Pass(network, Z) for network in networks]
        value = passes[0].value - passes[1].value if passes[1:] else passes[0].value
        pulls = [own.pull(value) for own in passes]
        slope = pulls[0] - pulls[1] if pulls[1:] else pulls[0]
        directions = _directions(slope, directions)
    return directions


class _Pass:
    """A network on tokens that are alone, and which of its ReLUs are active there, for the transposed Jacobians."""

    def __init__(self, network: Forms, tokens: arb_mat) -> None:
        self.network, self.masks = network, []
        ones = arb_mat([[1] * tokens.ncols()])
        for block in network.blocks:
            hidden = sum((N * tokens for N in block.values), block.bias * ones)
            self.masks.append([int(x.mid() > 0) for x in hidden.entries()])
            tokens = _masked(hidden, self.masks[-1])
        self.value = network.out * tokens + network.shift * ones

    def pull(self, columns: arb_mat) -> arb_mat:
        """Return the transposed Jacobian at each token, applied to its column."""
        columns = self.network.out.transpose() * columns
        for block, mask in zip(reversed(self.network.blocks), reversed(self.masks), strict=True):
            active = _masked(columns, mask)
            columns = sum((N.transpose() * active for N in block.values[1:]), block.values[0].transpose() * active)
        return columns


def _masked(states: arb_mat, mask: list[int]) -> arb_mat:
    return arb_mat(states.nrows(), states.ncols(), [v * on for v, on in zip(states.entries(), mask, strict=True)])


def _directions(slopes: arb_mat, otherwise: fmpq_mat) -> fmpq_mat:
    """Return the directions of the columns in integers of 30 bits; the column of the other matrix if one is 0."""
    columns = []
    for column, old in zip(slopes.transpose().table(), otherwise.transpose().table(), strict=True):
        top = max(abs(x.mid()) for x in column)
        whole = [(x.mid() / top * 2**30).mid().floor().unique_fmpz() for x in column] if top > 0 else old
        columns.append(whole)
    return matrices.matrix(columns).transpose()


def _within(directions: fmpq_mat, radius: fmpq) -> fmpq_mat:
    """Return the columns, which are not 0, exactly in their directions, with norms of at most the radius."""
    scales = [radius / algebra.sqrt_above(sum((v * v for v in z), fmpq(0))) for z in directions.transpose().table()]
    return matrices.matrix([[v * s for v, s in zip(row, scales, strict=True)] for row in directions.table()])


def _tie(logits: fmpq_mat, query: fmpq_mat, direction: fmpq_mat, radius: fmpq) -> fmpq_mat:
    """Return two tokens of the ball, the first along the query, with equal logits z^T M z_1 for the form M."""
    v = logits * query
    across = direction * (v.transpose() * v)[0, 0] - v * (v.transpose() * direction)[0, 0] if v else direction
    length, reach = (algebra.sqrt_above((x.transpose() * x)[0, 0]) for x in (query, across))
    other = query + across * (length / reach if reach else 1)
    return matrices.hstack(query, other) * (radius / (2 * length))  # |other| <= 2 |query|


def _leading(matrix: fmpq_mat, start: fmpq_mat) -> tuple[fmpq_mat, fmpq_mat]:
    """Return directions of a right and a left singular vector for about the largest singular value, by powers."""
    with flint.ctx.workprec(53):
        matrix, right = arb_mat(matrix), start
        for _ in range(_STEPS):
            left = _directions(matrix * arb_mat(right), start)
            right = _directions(matrix.transpose() * arb_mat(left), start)
    return right, left


# --------------------------------------------------------------------------------------------------- ends of the balls


def _norm_below(outputs: arb_mat) -> fmpq:
    """Return a lower bound of the largest norm of a column, over Q."""
    squares = (sum((x.abs_lower() ** 2 for x in column), arb(0)) for column in outputs.transpose().table())
    return max(_rational(square.sqrt().lower()) for square in squares)


def _radius(outputs: arb_mat) -> fmpq:
    """Return an upper bound of the largest radius of an entry, over Q."""
    return max(_rational(x.rad()) for x in outputs.entries())


def _rational(end: arb) -> fmpq:
    """Return a lower bound of an exact end >= 0 as a rational: itself, unless that would be too long to write down."""
    if not end.is_finite() or not end > 0:
        return fmpq(0)
    return end.fmpq() if int(end.man_exp()[1]) > -_SMALLEST else fmpq(0)
