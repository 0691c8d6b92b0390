r"""The exact linear dependencies of the canonical rows: what decides the optimum at lam = 0.

There the dual is max D(q) subject to S(q) = 0, and whether two rows are dependent or only nearly so makes all the
difference: dependent ones fit no contradictory labels, nearly dependent ones fit any, if at the price of a huge delta.
No cut of singular values can tell. But floats are integers times powers of two, so the dependencies are found over Q.
"""

from contextlib import suppress
from functools import reduce
from typing import Any

import flint
import numpy as np

from lora_proofs.ntk.gradients import DenseGradients, FactoredGradients, Gradients
from lora_proofs.ntk.losses import CrossEntropy, Logistic
from lora_proofs.ntk.types import FloatArray

_ENTRIES = 2**18
"""Entries of the gradients up to which they are made integers."""

_ORDER = 100
"""The shorter side of the matrix of rows up to which its null space is computed."""

_NOTHING = 1e-20
"""Share of the largest slope up to which one is taken for 0."""

_BITS, _MOST_BITS = 256, 2**14


class TooLarge(ValueError):
    """The dependencies are not computed: there are too many rows."""


def feasible(problem: Any, dual: FloatArray) -> list[Any]:
    """Return balls for a point near dual with sum_k q_k G_k = 0, exactly, one ball a canonical row.

    Slopes of the exponential losses stay in the simplex: what is next to nothing becomes 0, what is small changes by as
    small a share as what is large, and if then a sum exceeds 1, all are scaled down.

    Raises
    ------
    TooLarge
        If the gradients have too many entries, or the dependent rows are too many.
    """
    matrix, exponents = _integers(problem)
    squared = problem.loss == "squared"
    kept = np.arange(len(dual)) if squared else np.flatnonzero(dual > _NOTHING * dual.max(initial=0.0))
    point = [flint.arb(0)] * len(dual)
    if not kept.size:
        return point
    saved = flint.ctx.prec
    try:
        rows = flint.fmpz_mat([matrix[k] for k in kept])
        for k, x in zip(kept, _nearest(rows, [exponents[k] for k in kept], dual[kept], not squared), strict=True):
            point[k] = x
        return point if squared else _within(point, problem.d // problem.N)
    finally:
        flint.ctx.prec = saved


def _nearest(rows: Any, exponents: list[int], dual: FloatArray, relative: bool) -> list[Any]:
    """Return the point near dual with sum_k q_k 2^{e_k} rows_k = 0, in as many bits as it takes.

    The difference is a combination of the columns, and the point one of a basis of the null space: the fewer of both.
    """
    if 2 * rows.ncols() <= rows.nrows():
        flint.ctx.prec = _BITS
        columns = [[rows[i, j] for i in range(rows.nrows())] for j in range(rows.ncols())]
        # Columns that are dependent, or nearly so, have a singular Gram matrix; balls never solve with one.
        with suppress(ZeroDivisionError):
            return _without(columns, exponents, dual, relative)
    columns = _null_space(rows)
    if not columns:
        return [flint.arb(0)] * len(dual)
    bits = _BITS
    while bits <= _MOST_BITS:
        flint.ctx.prec = bits
        with suppress(ZeroDivisionError):
            return _projected(columns, exponents, dual, relative)
        bits *= 4
    raise TooLarge("the dependencies of the rows are too ill-conditioned to be used")


def _without(columns: list[list[Any]], exponents: list[int], dual: FloatArray, relative: bool) -> list[Any]:
    """Return dual less the combination of the columns that leaves it orthogonal to them, in balls."""
    basis = flint.arb_mat(_of_size_1(columns, exponents))
    point = [flint.arb(x) for x in dual.tolist()]
    weighed = _times(basis, point) if relative else basis
    coefficients = (weighed * basis.transpose()).solve(basis * flint.arb_mat(len(dual), 1, point))
    return [x - y for x, y in zip(point, (coefficients.transpose() * weighed).entries(), strict=True)]


def _of_size_1(columns: list[list[Any]], exponents: list[int]) -> list[list[Any]]:
    """Return the columns with row k times 2^{e_k}, each divided by about its norm."""
    scaled = []
    for column in columns:
        entries = [flint.arb(x) * flint.arb(2) ** e for x, e in zip(column, exponents, strict=True)]
        size = sum((x**2 for x in entries), flint.arb(0)).sqrt().mid()
        scaled.append([x / size for x in entries])
    return scaled


def _times(basis: Any, weights: list[Any]) -> Any:
    return flint.arb_mat([[x * w for x, w in zip(row, weights, strict=True)] for row in basis.tolist()])


def _projected(columns: list[list[Any]], exponents: list[int], dual: FloatArray, relative: bool) -> list[Any]:
    """Return the combination of the columns nearest to dual; its coefficients are rounded, it is not.

    Near in the sum of squares, each over q_k if the changes are to be relative.
    """
    basis = flint.arb_mat(_of_size_1(columns, [-e for e in exponents]))
    point = [flint.arb(x) for x in dual.tolist()]
    weighed = _times(basis, [1 / x for x in point]) if relative else basis
    coefficients = (weighed * basis.transpose()).solve(weighed * flint.arb_mat(len(dual), 1, point)).mid()
    return list((coefficients.transpose() * basis).entries())


def _within(point: list[Any], width: int) -> list[Any]:
    """Return point, scaled so that no `width` entries that belong together sum to more than 1."""
    sums = (sum(point[i : i + width], flint.arb(0)) for i in range(0, len(point), width))
    most = flint.arb(reduce(flint.arb.max, sums).upper())
    return point if bool(most <= 1) else [x / most for x in point]


def _null_space(matrix: Any) -> list[list[Any]]:
    """Return integer vectors y, a basis of y^T matrix = 0."""
    rows, columns = matrix.nrows(), matrix.ncols()
    if min(rows, columns) > _ORDER:
        raise TooLarge(f"{rows} x {columns} rows are too many for exact arithmetic")
    # A Gram matrix has the same left null space, and is smaller.
    square = matrix * matrix.transpose() if columns > rows else matrix.transpose()
    vectors, nullity = square.nullspace()
    return [[vectors[i, j] for i in range(rows)] for j in range(nullity)]


def _integers(problem: Any) -> tuple[list[list[int]], list[int]]:
    """Return integer rows and exponents e_k: row k is 2^{e_k} times them, but for powers of two by columns."""
    if sum(int(np.prod(block.shape)) for block in problem.blocks) > _ENTRIES:
        raise TooLarge(f"the gradients have more than {_ENTRIES} entries, too many for exact arithmetic")
    N, K, loss = problem.N, problem.K, problem.canonical_loss
    parts = [_block_integers(block) for block in problem.blocks]
    rows: list[list[Any]] = [[x for part, _ in parts for x in part[k]] for k in range(N * K)]
    shared = [[low for _, lows in parts for low in (lows[k],) if low is not None] for k in range(N * K)]
    if isinstance(loss, CrossEntropy):
        exponents = [min((low for k in range(K) for low in shared[i * K + k]), default=0) for i in range(N)]
        exponents = [e for e in exponents for _ in range(K)]
    else:
        exponents = [min(lows, default=0) for lows in shared]
    integers = [[m << (e - low) if m else 0 for m, e in row] for row, low in zip(rows, exponents, strict=True)]
    if isinstance(loss, CrossEntropy):
        labels = loss.labels.tolist()
        pairs = [(i * K + k, i * K + y) for i, y in enumerate(labels) for k in range(K) if k != y]
        integers = [[a - b for a, b in zip(integers[k], integers[y], strict=True)] for k, y in pairs]
        exponents = [exponents[k] for k, _ in pairs]
    elif isinstance(loss, Logistic):
        signs = loss.labels.astype(int).tolist()
        integers = [[-y * x for x in row] for y, row in zip(signs, integers, strict=True)]
    return integers, exponents


def _block_integers(block: Gradients) -> tuple[list[list[tuple[int, int]]], list[int | None]]:
    """Return rows of (m, e) with entries m 2^e, less a common power of two, and the lowest e of each row."""
    if isinstance(block, DenseGradients):
        N, K, m, n = block.shape
        fractions, powers = np.frexp(block.array.reshape(N * K, m * n))
        mantissas = np.ldexp(fractions, 53).astype(np.int64)
        top = int(powers[mantissas != 0].max(initial=-(2**15)))
        rows = [
            list(zip(ms, es, strict=True))
            for ms, es in zip(mantissas.tolist(), (powers - 53 - top).tolist(), strict=True)
        ]
    elif isinstance(block, FactoredGradients):
        rows = _products(block)
    else:
        N, K, m, n = block.shape  # what the calls of the operator return counts as its gradients
        return _block_integers(DenseGradients(block.matvec(np.eye(n)).reshape(N, K, m, n)))
    return rows, [min((e for m, e in row if m), default=None) for row in rows]


def _products(block: FactoredGradients) -> list[list[tuple[int, int]]]:
    """Return the products of the factors of every gradient, over one power of two."""
    N, K, _, _ = block.shape
    sides = []
    for x in (block.left_factors, block.right_factors):
        fractions, powers = np.frexp(x)
        mantissas = np.ldexp(fractions, 53).astype(np.int64)
        low = int(powers[mantissas != 0].min(initial=2**15))
        shifts = np.where(mantissas != 0, powers - low, 0)
        flat = [m << s for m, s in zip(mantissas.ravel().tolist(), shifts.ravel().tolist(), strict=True)]
        sides.append(np.broadcast_to(np.array(flat, dtype=object).reshape(x.shape), (N, K, *x.shape[2:])))
    L, R = (side.reshape(N * K, *side.shape[2:]) for side in sides)
    return [
        [(int(x), 0) for x in (flint.fmpz_mat(left.tolist()) * flint.fmpz_mat(right.tolist()).transpose()).entries()]
        for left, right in zip(L, R, strict=True)
    ]
