r"""Transformers at rational tokens, in ball arithmetic: what a target reaches there, and how far two networks differ.

The norm of one output token bounds a maximum over a ball of tokens from below, rigorously, since every token lies in
the ball exactly and the balls contain what is computed. Which tokens are tried is a matter of power, not of proof: a
token alone attends to itself, so that f is then an MLP, on whose norm a few steps of ascent are made; several tokens
together make the heads see different ones; and two tokens whose logits tie in the first block, for the first of them,
are those where a small change of large logits shows.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import flint
import numpy as np

from lora_proofs.constructions.transformer.forms import Forms
from lora_proofs.exact import algebra, matrices

_BITS = (128, 512, 2048)
"""Working precisions, one after the other, until a value is known to `_DIGITS` or they end."""

_DIGITS = flint.fmpq(1, 2**64)
_STARTS, _STEPS = 4, 3
"""Random tokens, and steps of ascent from each."""

_SMALLEST = 2**16
"""Balls below 2^-_SMALLEST count as 0: softmax makes numbers whose exponent alone fills the memory of a rational."""


class Found(NamedTuple):
    """Rigorous lower bounds of the largest ||f(Z)_j - target(Z)_j||, and of the largest ||target(Z)_j||."""

    apart: Any
    size: Any


def largest(network: Forms, target: Forms, radius: Any) -> Found:
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
    best = Found(flint.fmpq(0), flint.fmpq(0))
    for Z, together in _inputs(network, target, radius):
        best = Found(*map(max, best, _at(network, target, Z, together)))
    return best


def _at(network: Forms, target: Forms, tokens: Any, together: bool) -> Found:
    """Return the lower bounds that the tokens give, as one input, or each as an input of its own."""
    for bits in _BITS:
        with flint.ctx.workprec(bits):
            own, goal = (_values(net.map(flint.arb_mat), flint.arb_mat(tokens), together) for net in (network, target))
            size, apart, blur = _norm_below(goal), _norm_below(own - goal), _radius(own - goal)
        if blur <= _DIGITS * size:
            break
    return Found(apart, size)


def _values(network: Forms, tokens: Any, together: bool) -> Any:
    """Return the outputs for the tokens, which are columns, all in balls."""
    ones = flint.arb_mat([[1] * tokens.ncols()])
    for block in network.blocks:
        hidden = block.bias * ones
        for M, tilt, N in zip(block.logits, block.tilts, block.values, strict=True):
            hidden += N * (tokens * _softmax(tokens.transpose() * (M * tokens + tilt * ones)) if together else tokens)
        tokens = flint.arb_mat(hidden.nrows(), hidden.ncols(), [x.max(0) for x in hidden.entries()])
    return network.out * tokens + network.shift * ones


def _softmax(logits: Any) -> Any:
    """Return the softmax over the rows of each column."""
    return flint.arb_mat([_weights(column) for column in logits.transpose().table()]).transpose()


def _weights(logits: list[Any]) -> list[Any]:
    first = max(range(len(logits)), key=lambda k: logits[k].mid())
    odds = [flint.arb(1) if k == first else (s - logits[first]).exp() for k, s in enumerate(logits)]
    weights = [x / sum(odds) for x in odds]
    return [w if w.is_finite() else flint.arb(0.5, 0.5) for w in weights]


# ---------------------------------------------------------------------------------------------- which tokens are tried


def _inputs(network: Forms, target: Forms, radius: Any) -> Iterator[tuple[Any, bool]]:
    """Yield matrices of tokens as columns, and whether they are one input together, or each alone."""
    rng = np.random.default_rng(0)
    d = target.out.ncols()
    random, other = (matrices.matrix(2 * rng.integers(-(2**10), 2**10, (d, _STARTS)) + 1) for _ in range(2))
    with flint.ctx.workprec(53):
        own, goal = (net.map(flint.arb_mat) for net in (network, target))
        of_target, of_difference = (_climbed(random, nets, radius) for nets in ([goal], [own, goal]))
    for Z in (random, of_target, of_difference):
        yield _within(Z, radius), False
        yield _within(Z, radius), True
        yield _within(_beside(Z, -Z), radius), True
    for M, M_bar in zip(network.blocks[0].logits, target.blocks[0].logits, strict=True):
        yield _tie(M_bar, _column(random, 0), _column(other, 0), radius), True
        yield _tie(M_bar, *_leading(M - M_bar, _column(random, 0)), radius), True


def _climbed(directions: Any, networks: Sequence[Forms], radius: Any) -> Any:
    """Move tokens that are alone to where the first network, less the second if there is one, is larger in norm."""
    for _ in range(_STEPS):
        Z = flint.arb_mat(_within(directions, radius))
        passes = [_Pass(network, Z) for network in networks]
        value = passes[0].value - passes[1].value if passes[1:] else passes[0].value
        pulls = [own.pull(value) for own in passes]
        slope = pulls[0] - pulls[1] if pulls[1:] else pulls[0]
        directions = _directions(slope, directions)
    return directions


class _Pass:
    """A network on tokens that are alone, and which of its ReLUs are active there, for the transposed Jacobians."""

    def __init__(self, network: Forms, tokens: Any) -> None:
        self.network, self.masks = network, []
        ones = flint.arb_mat([[1] * tokens.ncols()])
        for block in network.blocks:
            hidden = sum((N * tokens for N in block.values), block.bias * ones)
            self.masks.append([int(x.mid() > 0) for x in hidden.entries()])
            tokens = _masked(hidden, self.masks[-1])
        self.value = network.out * tokens + network.shift * ones

    def pull(self, columns: Any) -> Any:
        """Return the transposed Jacobian at each token, applied to its column."""
        columns = self.network.out.transpose() * columns
        for block, mask in zip(reversed(self.network.blocks), reversed(self.masks), strict=True):
            active = _masked(columns, mask)
            columns = sum((N.transpose() * active for N in block.values[1:]), block.values[0].transpose() * active)
        return columns


def _masked(states: Any, mask: list[int]) -> Any:
    return flint.arb_mat(states.nrows(), states.ncols(), [v * on for v, on in zip(states.entries(), mask, strict=True)])


def _directions(slopes: Any, otherwise: Any) -> Any:
    """Return the directions of the columns in integers of 30 bits; the column of the other matrix if one is 0."""
    columns = []
    for column, old in zip(slopes.transpose().table(), otherwise.transpose().table(), strict=True):
        top = max(abs(x.mid()) for x in column)
        whole = [(x.mid() / top * 2**30).mid().floor().unique_fmpz() for x in column] if top > 0 else old
        columns.append(whole)
    return matrices.matrix(columns).transpose()


def _within(directions: Any, radius: Any) -> Any:
    """Return the columns, which are not 0, exactly in their directions, with norms of at most the radius."""
    scales = [
        radius / algebra.sqrt_above(sum((v * v for v in z), flint.fmpq(0))) for z in directions.transpose().table()
    ]
    return matrices.matrix([[v * s for v, s in zip(row, scales, strict=True)] for row in directions.table()])


def _tie(M: Any, query: Any, direction: Any, radius: Any) -> Any:
    """Return two tokens of the ball, the first along the query, with equal logits z^T M z_1."""
    v = M * query
    across = direction * (v.transpose() * v)[0, 0] - v * (v.transpose() * direction)[0, 0] if v else direction
    length, reach = (algebra.sqrt_above((x.transpose() * x)[0, 0]) for x in (query, across))
    other = query + across * (length / reach if reach else 1)
    return _beside(query, other) * (radius / (2 * length))  # |other| <= 2 |query|


def _leading(matrix: Any, start: Any) -> tuple[Any, Any]:
    """Return directions of a right and a left singular vector for about the largest singular value, by powers."""
    with flint.ctx.workprec(53):
        matrix, right = flint.arb_mat(matrix), start
        for _ in range(_STEPS):
            left = _directions(matrix * flint.arb_mat(right), start)
            right = _directions(matrix.transpose() * flint.arb_mat(left), start)
    return right, left


def _column(Z: Any, k: int) -> Any:
    return matrices.block(Z, range(Z.nrows()), range(k, k + 1))


def _beside(one: Any, other: Any) -> Any:
    return matrices.matrix([[*a, *b] for a, b in zip(one.table(), other.table(), strict=True)])


# --------------------------------------------------------------------------------------------------- ends of the balls


def _norm_below(outputs: Any) -> Any:
    """Return a lower bound of the largest norm of a column, over Q."""
    squares = (sum((x.abs_lower() ** 2 for x in column), flint.arb(0)) for column in outputs.transpose().table())
    return max(_rational(square.sqrt().lower()) for square in squares)


def _radius(outputs: Any) -> Any:
    """Return an upper bound of the largest radius of an entry, over Q."""
    return max(_rational(x.rad()) for x in outputs.entries())


def _rational(end: Any) -> Any:
    """Return a lower bound of an exact end >= 0 as a rational: itself, unless that would be too long to write down."""
    if not end.is_finite() or not end > 0:
        return flint.fmpq(0)
    return end.fmpq() if int(end.man_exp()[1]) > -_SMALLEST else flint.fmpq(0)
