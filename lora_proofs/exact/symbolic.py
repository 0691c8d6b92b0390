"""The algebra behind the linear constructions, checked with symbols in place of numbers.

Each ``..._residual`` builds both sides of an identity from matrices of independent symbols of a small fixed size
and returns their difference as a ``sympy.Matrix`` of expanded polynomials. Where it is zero, the identity holds
for all matrices of that size, over every field in which its inverses exist.

A chain has dimensions (d_0, ..., d_L): layer l maps d_{l-1} to d_l numbers. S_l = W_L ... W_{l+1} is the part of
the frozen chain after layer l, and P_l = (W_l + Delta_l) ... (W_1 + Delta_1) the adapted part up to it, as in
Zeng & Lee, "The Expressive Power of Low-Rank Adaptation" (arXiv:2310.17513v3), proof of Lemma 1.
"""

from collections.abc import Sequence
from functools import reduce
from itertools import accumulate, pairwise
from operator import add, mul
from typing import Any

import sympy
from flint import nmod_mat
from numpy.random import Generator
from sympy import QQ, ZZ
from sympy.polys.matrices import DomainMatrix

PRIME = 2**61 - 1
"""The Mersenne prime modulo which ``generic_rank`` computes."""


def telescoping_residual(dimensions: Sequence[int], omitted: int | None = None) -> sympy.Matrix:
    """Return ``prod (W_l + Delta_l) - prod W_l - sum_l S_l Delta_l P_{l-1}``.

    Source: proof of Lemma 1 of Zeng & Lee, arXiv:2310.17513v3. The sum has rank at most the sum of the ranks of
    the Delta_l, which is the lower bound of the lemma by the theorem of Eckart and Young.

    Parameters
    ----------
    dimensions : sequence of int
        (d_0, ..., d_L).
    omitted : int, optional
        Layer, from 0 on, whose term is left out, after which the two sides differ: for controls.
    """
    W, Delta = _symbols(("W", _layers(dimensions)), ("D", _layers(dimensions)))
    terms = [S * D * P for S, D, P in zip(_after(W), Delta, _before(_sum(W, Delta)), strict=True)]
    terms = [term for l, term in enumerate(terms) if l != omitted]
    return (_chain(_sum(W, Delta)) - _chain(W) - reduce(add, terms)).to_Matrix()


def subadditivity_residual(dimensions: Sequence[int], ranks: Sequence[int], omitted: int | None = None) -> sympy.Matrix:
    """Return ``prod (W_l + B_l A_l) - prod W_l`` minus its factorisation of inner width ``sum(ranks)``.

    The factorisation ``[S_1 B_1, ..., S_L B_L] [A_1 P_0; ...; A_L P_{L-1}]`` shows that adapters of ranks R_l
    change the product by a matrix of rank at most R_1 + ... + R_L.

    Parameters
    ----------
    dimensions : sequence of int
        (d_0, ..., d_L).
    ranks : sequence of int
        R_1, ..., R_L, each at least 1.
    omitted : int, optional
        Layer, from 0 on, whose term is left out, after which the two sides differ: for controls.
    """
    layers = _layers(dimensions)
    up = [(out, rank) for (out, _), rank in zip(layers, ranks, strict=True)]
    down = [(rank, in_) for (_, in_), rank in zip(layers, ranks, strict=True)]
    W, B, A = _symbols(("W", layers), ("B", up), ("A", down))
    adapted = _sum(W, [b * a for b, a in zip(B, A, strict=True)])
    kept = [l for l in range(len(layers)) if l != omitted]
    after, before = _after(W), _before(adapted)
    left = reduce(DomainMatrix.hstack, (after[l] * B[l] for l in kept))
    right = reduce(DomainMatrix.vstack, (A[l] * before[l] for l in kept))
    return (_chain(adapted) - _chain(W) - left * right).to_Matrix()


def invariant_residuals(n: int, ranks: Sequence[int], omitted: int | None = None) -> list[sympy.Matrix]:
    """Return ``S_l P_l - (Pi + U_1 V_1^T + ... + U_l V_l^T)`` for the adapters of Lemma 1, for l = 1, ..., L.

    The adapters are ``Delta_l = S_l^{-1} U_l V_l^T P_{l-1}^{-1}``. Lemma 1 of Zeng & Lee (arXiv:2310.17513v3)
    takes for U_l V_l^T the l-th block of R_l terms of a singular value decomposition of E = target - Pi, where
    the invariant reads S_l P_l = Pi + LR_{R_1 + ... + R_l}(E). No property of singular vectors is used, so the
    factors are free symbols here. At l = L the invariant says that the product is Pi + sum_l U_l V_l^T.

    Inverses are matrices of rational functions, adjugates over determinants. A difference is multiplied by its
    denominator det S_l, which is not the zero polynomial, so what is returned are polynomials.

    Parameters
    ----------
    n : int
        Size of the square layers; 2 takes 0.1 s at L = 3.
    ranks : sequence of int
        R_1, ..., R_L, each at least 1.
    omitted : int, optional
        Layer, from 0 on, whose term is left out, after which the two sides differ: for controls.
    """
    layers, factors = [(n, n)] * len(ranks), [(n, rank) for rank in ranks]
    W, U, V = _symbols(("W", layers), ("U", factors), ("V", factors))
    ring, expected, residuals = W[0].domain, _chain(W), []
    P, denominator = _identity(n, ring), ring.one  # P_{l-1} is P / denominator
    for l, (W_l, S_l, U_l, V_l) in enumerate(zip(W, _after(W), U, V, strict=True)):
        adj_S, det_S = S_l.adj_det()
        adj_P, det_P = P.adj_det()
        update = adj_S * U_l * V_l.transpose() * adj_P * denominator  # Delta_l times det_S det_P
        # P_l has the denominator det_S det_P denominator, of which all but det_S divides its numerator.
        P, denominator = _divide((W_l * (det_S * det_P) + update) * P, det_P * denominator), det_S
        if l != omitted:
            expected = expected + U_l * V_l.transpose()
        residuals.append((S_l * P - expected * denominator).to_Matrix())
    return residuals


def generic_rank(matrix: sympy.Matrix, rng: Generator) -> int:
    """Return a lower bound of the generic rank: the rank at a random point modulo the prime 2^61 - 1.

    The generic rank is the rank over the field of rational functions in the symbols, which is the rank at every
    point outside the zero set of some polynomial.

    The *lower* bound is rigorous: a minor that does not vanish at one point modulo a prime is not the zero
    function. It is the generic rank itself with probability at least 1 - degree / (2^61 - 1), degree being that
    of a maximal minor's numerator, for a matrix whose integer coefficients do not conspire with the prime. A
    rigorous *upper* bound must come from the caller, as an explicit factorisation.

    Parameters
    ----------
    matrix : sympy.Matrix
        Entries are rational functions of the symbols with rational coefficients.
    rng : numpy.random.Generator
        Draws the point.

    Raises
    ------
    ValueError
        If an entry is not such a function, or a denominator vanishes modulo the prime at the point.
    """
    entries = DomainMatrix.from_Matrix(sympy.Matrix(matrix)).to_field()
    field = entries.domain
    symbols = field.symbols if field.is_FractionField else ()
    # A function such as sin(x) would pass for one more independent symbol, and void the lower bound.
    if not (field.is_QQ or (symbols and field.domain in (ZZ, QQ))) or not all(x.is_Symbol for x in symbols):
        raise ValueError(f"entries must be rational functions of symbols over the rationals, not of {field}")
    point = [int(rng.integers(PRIME)) for _ in symbols]
    values = []
    for entry in (entry for row in entries.to_list() for entry in row):
        numerator, denominator = _value(field.numer(entry), point), _value(field.denom(entry), point)
        if denominator == 0:
            raise ValueError("a denominator vanishes modulo the prime at the random point: draw another")
        values.append(numerator * pow(denominator, -1, PRIME) % PRIME)
    return int(nmod_mat(*entries.shape, values, PRIME).rank())


def _value(polynomial: Any, point: Sequence[int]) -> int:
    """Return a polynomial, or a constant, at a point, modulo PRIME."""
    terms = polynomial.terms() if point else [((), polynomial)]
    powers = ((c, (pow(x, e, PRIME) for x, e in zip(point, exponents, strict=True))) for exponents, c in terms)
    return sum(_residue(c) * reduce(mul, factors, 1) for c, factors in powers) % PRIME


def _residue(coefficient: Any) -> int:
    q = QQ.convert(coefficient)
    return int(QQ.numer(q)) * pow(int(QQ.denom(q)), -1, PRIME)


# --------------------------------------------------------------------------- chains of symbolic matrices


def _layers(dimensions: Sequence[int]) -> list[tuple[int, int]]:
    return [(out, in_) for in_, out in pairwise(dimensions)]


def _symbols(*families: tuple[str, list[tuple[int, int]]]) -> list[list[DomainMatrix]]:
    """Return a list of matrices for each (name, shapes); all entries are generators of one polynomial ring."""
    names = [
        [[[f"{name}{l}_{i}{j}" for j in range(n)] for i in range(m)] for l, (m, n) in enumerate(shapes, start=1)]
        for name, shapes in families
    ]
    ring = ZZ[sympy.symbols([x for family in names for matrix in family for row in matrix for x in row])]
    entries = iter(ring.gens)
    return [
        [DomainMatrix([[next(entries) for _ in row] for row in matrix], shape, ring) for matrix, shape in pairs]
        for pairs in (zip(family, shapes, strict=True) for family, (_, shapes) in zip(names, families, strict=True))
    ]


def _identity(size: int, ring: Any) -> DomainMatrix:
    return DomainMatrix.eye(size, ring).to_dense()


def _sum(first: list[DomainMatrix], second: list[DomainMatrix]) -> list[DomainMatrix]:
    return [a + b for a, b in zip(first, second, strict=True)]


def _before(layers: list[DomainMatrix]) -> list[DomainMatrix]:
    """Return the products of the layers before each one: I, M_1, M_2 M_1, ..."""
    first = _identity(layers[0].shape[1], layers[0].domain)
    return list(accumulate(layers[:-1], lambda P, M: M * P, initial=first))


def _after(layers: list[DomainMatrix]) -> list[DomainMatrix]:
    """Return the products of the layers after each one: ..., M_L M_{L-1}, M_L, I."""
    last = _identity(layers[-1].shape[0], layers[-1].domain)
    return list(accumulate(layers[:0:-1], mul, initial=last))[::-1]


def _chain(layers: list[DomainMatrix]) -> DomainMatrix:
    return layers[-1] * _before(layers)[-1]


def _divide(matrix: DomainMatrix, divisor: Any) -> DomainMatrix:
    """Return the entries over `divisor`, in the ring; SymPy raises if one is not divisible."""
    ring = matrix.domain
    return DomainMatrix([[ring.exquo(x, divisor) for x in row] for row in matrix.to_list()], matrix.shape, ring)
