r"""Exact spurious minima of the linearised LoRA problem, as rational instances with exact derivatives.

Each family places LoRA, in the regime of Jang, Lee & Ryu (arXiv 2402.11867v3), at a point (u, v) that is a local
minimum but no global one, and proves it over Q. They show what the paper's Theorem 4.1 needs and where its threshold
r(r+1)/2 > KN could be lowered to: `family_b` is strict at KN = r(r+3)/2, `family_c` needs the theorem's perturbation,
`family_d` and `logistic_unregularised` are the counterpart at lam = 0 and bear on the capacity rule of arXiv
2605.03724.

Here the objective is a *sum*, F(u, v) = sum_k phi(w_k) + lam/2 (|u|^2 + |v|^2), because that keeps the numbers simple.
`Trap.problem` returns the package's own form, a mean, with lam / N: its objective is F / N, so the landscape is the
same.

Notation of the docstrings: E_ij is a matrix unit, indices run from 1; x, y are the directions of u, v; and the Hessian
form is q + C with

    q(x, y) = lam (|x|^2 + |y|^2) - 2 <M, x y^T>,    M = -sum_k phi'(w_k) grad w_k,
    C(x, y) = sum_k phi''(w_k) A_k(x v^T + u y^T)^2.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, combinations_with_replacement
from math import isqrt
from typing import Any

import flint

from lora_proofs.exact import matrices
from lora_proofs.exact.algebra import inner
from lora_proofs.linalg import check_rank
from lora_proofs.ntk.traps.rational_instance import Trap, load_traps

__all__ = ["Trap", "family_a", "family_b", "family_c", "family_d", "load_traps", "logistic", "logistic_unregularised"]

_HALF, _QUARTER = flint.fmpq(1, 2), flint.fmpq(1, 4)


def family_a() -> Trap:
    r"""Return a strict spurious minimum at r = 1, KN = 2, 2 x 2, with value 2, where e_1 e_1^T has 5/4.

    At u = v = e_2 both residuals y - A are 1, so M = G_1 + G_2 = diag(2, 1) and M e_2 = e_2: stationary. With
    x = (a, p), y = (b, t): A_1, A_2 take (p + t)/2 + (a + b) and (p + t)/2 - (a + b), hence
    q + C = (p - t)^2 + (p + t)^2/2 + a^2 + b^2 - 4ab + 2 (a + b)^2, positive definite: inertia (0, 0, 4).
    """
    G = [matrices.matrix([[1, s], [s, _HALF]]) for s in (1, -1)]
    point, better = (_matrix(2, 1, {(i, 0): 1}) for i in (1, 0))
    return _squared("A", 1, G, [flint.fmpq(3, 2)] * 2, point, (0, 0, 4), better)


def family_b(r: int) -> Trap:
    r"""Return a strict (modulo O(r)) spurious minimum with KN = r(r+3)/2: one below the sharp threshold.

    m = n = r + 1, lam = 1, u = v = [I_r; 0]. Functionals: G_ii = E_ii, but G_11 = E_11 + 5/4 E_{r+1,r+1};
    G_ij = (E_ij + E_ji)/2 for i < j <= r; C_j = (E_{j,r+1} + E_{r+1,j})/2. y = 2 on the G_ii, else 0.

    1. The residuals are 1 on G_ii, else 0, so M = diag(1, ..., 1, 5/4), M v = v, M^T u = u: stationary.
    2. With x = [X; a^T], y = [Y; b^T], q = |X - Y|^2 + |a|^2 + |b|^2 - 5/2 <a, b>.
    3. The G see sym(X + Y^T), the C_j see (a_j + b_j)/2. So q + C splits: in each (a_j, b_j) it is
       5/4 (a^2 + b^2) - 2ab, with eigenvalues 1/4 and 9/4 of its matrix; in (X, Y) it vanishes only for X = Y skew.
    4. Inertia (0, r(r-1)/2, rest), and the zeros are the orbit of O(r): strict modulo O(r). By the implicit function
       theorem, then, all (G, y) near this one have such a minimum: no condition of genericity excludes it.
    5. sigma_1(M) = 5/4 > lam. The first column moved to e_{r+1}, delta = diag(0, 1, ..., 1), has a value lower by 7/32.
       The global minimum, lower by 11/50, is diag(0, 1, ..., 1, 24/25), also of rank r: its M = diag(4/5, 1, ..., 1)
       has |M| = lam and <M, delta> = |delta|_*.
    """
    r = _positive("r", r)
    G = [_matrix(r + 1, r + 1, {(0, 0): 1, (r, r): flint.fmpq(5, 4)})]
    G += [_matrix(r + 1, r + 1, {(i, i): 1}) for i in range(1, r)]
    G += [_symmetric(r + 1, i, j, _HALF) for i, j in combinations(range(r), 2)]
    G += [_symmetric(r + 1, j, r, _HALF) for j in range(r)]
    inertia = (0, r * (r - 1) // 2, 2 * (r + 1) * r - r * (r - 1) // 2)
    moved = _matrix(r + 1, r, {(r, 0): 1} | {(i, i): 1 for i in range(1, r)})
    return _squared(f"B{r}", 1, G, [2] * r + [0] * (len(G) - r), _face(r + 1, r), inertia, moved)


def family_c(r: int) -> Trap:
    r"""Return a spurious minimum with only KN = r + 1, below r(r+1)/2 from r = 3 on: why Theorem 4.1 needs P.

    m = n = r + 1, lam = 1, u = v = [I_r; 0]; G_1 = diag(1, ..., 1, 5/4) and the C_j of `family_b`; y = (r + 1, 0, ...).

    1. The only residual is 1, on G_1, so M = G_1, and (u, v) is stationary as in `family_b`.
    2. Steps 2 and 3 of `family_b`, with tr(X + Y) for the only functional on the face: q + C vanishes exactly where
       X = Y, tr X = 0, a = b = 0. Inertia (0, r^2 - 1, rest).
    3. u = v = [R; 0] has the same fit, hence the same M, and is critical, for each r x r matrix R with |R|_F^2 = r: a
       sphere of dimension r^2 - 1 of equal value. So the Hessian is positive normal to a critical manifold, and by the
       Morse-Bott lemma (u, v) is a local minimum, though a degenerate one to `second_order`.
    4. The value is r + 1/2. c e_{r+1} e_{r+1}^T has (5c/4 - r - 1)^2 / 2 + c, the least of which, (20r + 12) / 25 at
       c = (20r + 4) / 25, is the global one (M = 4/5 G_1 has |M| = lam). `better` takes a square close to that c.
    """
    r = _positive("r", r)
    G = [_matrix(r + 1, r + 1, {(i, i): 1 for i in range(r)} | {(r, r): flint.fmpq(5, 4)})]
    G += [_symmetric(r + 1, j, r, _HALF) for j in range(r)]
    root = flint.fmpq(isqrt(16 * (20 * r + 4)), 20)
    better = _matrix(r + 1, r, {(r, 0): root})
    inertia = (0, r * r - 1, 2 * (r + 1) * r - (r * r - 1))
    return _squared(f"C{r}", 1, G, [r + 1] + [0] * r, _face(r + 1, r), inertia, better)


def family_d(n: int, r: int = 1, m: int | None = None) -> Trap:
    r"""Return a strict (modulo GL(r)) spurious minimum at lam = 0 with KN = r max(m, n) + 1: one above the threshold.

    D_n for r = 1, m = n; D_{n,r} for m = n; D_rect otherwise; m >= n > r, by default m = n. Let s = n - r. Functionals:
    G_0 = sum_{i<=s} E_ii; 3/2 (E_{i,s+c} + E_{s+c,i}) for i <= s, c <= r; E_{s+a,s+b} for a <= m - s, b <= r.
    u = [0; I_r/2; 0] and v = [0; I_r/2], supported on the rows s+1, ..., s+r; y = 1 on G_0, 1/4 where a = b, else 0.

    1. u v^T fits all but G_0, whose residual is 1: M = G_0, M v = 0, M^T u = 0: stationary, with value 1/2.
    2. With x = [X_1; X_2; X_3] (s, r, m - n rows), y = [Y_1; Y_2]: q = -2 <X_1, Y_1>, and C adds 9/16 |X_1 + Y_1|^2,
       |X_2 + Y_2^T|^2 / 4 and |X_3|^2 / 4.
    3. -2 <X_1, Y_1> = |X_1 - Y_1|^2 / 2 - |X_1 + Y_1|^2 / 2, so q + C is positive but where X_1 = Y_1 = 0, X_3 = 0 and
       X_2 = -Y_2^T: inertia (0, r^2, rest), and the zeros are the orbit of GL(r).
    4. diag(1, 0, ..., 1/4, ..., 1/4, 0) with r - 1 quarters, of rank r, has value 1/32.

    Raises
    ------
    ValueError
        Unless m >= n > r >= 1.
    """
    r, n = _positive("r", r), _positive("n", n)
    m = n if m is None else _positive("m", m)
    if not m >= n > r:
        raise ValueError(f"the family needs m >= n > r; m = {m}, n = {n}, r = {r} is given")
    s, slope = n - r, flint.fmpq(3, 2)
    G = [_matrix(m, n, {(i, i): 1 for i in range(s)})]
    G += [_matrix(m, n, {(i, s + c): slope, (s + c, i): slope}) for i in range(s) for c in range(r)]
    G += [_matrix(m, n, {(s + a, s + b): 1}) for a in range(m - s) for b in range(r)]
    y = [1] + [0] * (s * r) + [_QUARTER if a == b else 0 for a in range(m - s) for b in range(r)]
    point, better = (
        tuple(_matrix(k, r, support) for k in (m, n))
        for support in (
            {(s + c, c): _HALF for c in range(r)},
            {(0, 0): 1} | {(s + c, c): _HALF for c in range(1, r)},
        )
    )
    name = f"D{n}" if (m, r) == (n, 1) else f"D{n},{r}" if m == n else f"D{m}x{n},{r}"
    return _squared(name, 0, G, y, point, (0, r * r, (m + n) * r - r * r), better)


def logistic(r: int) -> Trap:
    r"""Return the counterpart L+_r of `family_b` for the logistic loss: strict modulo O(r), KN = r(r+3)/2, lam = 1.

    m = n = r + 1, all labels 1, u = v = [2 I_r; 0], and offsets that make every margin 0, where phi' = 1/2 and
    phi'' = 1/4. Functionals: G_ij = (E_ij + E_ji)/2 for i <= j <= r, except G_11; 4 C_j; and, first, G_11, which is
    what is missing to 2 diag(1, ..., 1, 5/4).

    1. M = 1/2 sum_k G_k = diag(1, ..., 1, 5/4): stationary as in `family_b`.
    2. On the face, G_11 contains E_11 and the others are E_ii and sym E_ij: they separate sym(X + Y^T). In (a, b), q is
       |a|^2 + |b|^2 - 5/2 <a, b> >= -1/8 |a + b|^2 + 9/8 |a - b|^2, and the 4 C_j add 4 |a + b|^2: as there, strict.
    3. diag(0, 4, ..., 4, c) has margin 5c/2 - 8 on the first datum and 0 on the others: for c = (9/5)^2 the fit is
       better than before and the nuclear norm smaller, 81/25 in place of 4.
    """
    r = _positive("r", r)
    pairs = list(combinations_with_replacement(range(r), 2))[1:]
    rest = [_symmetric(r + 1, i, j, _HALF) for i, j in pairs] + [_symmetric(r + 1, j, r, 2) for j in range(r)]
    total = _matrix(r + 1, r + 1, {(i, i): 2 for i in range(r)} | {(r, r): flint.fmpq(5, 2)})
    inertia = (0, r * (r - 1) // 2, 2 * (r + 1) * r - r * (r - 1) // 2)
    moved = _matrix(r + 1, r, {(r, 0): flint.fmpq(9, 5)} | {(i, i): 2 for i in range(1, r)})
    return _at_zero_margins(f"L+{r}", 1, _complete(total, rest), 2 * _face(r + 1, r), inertia, moved)


def logistic_unregularised(n: int) -> Trap:
    r"""Return L0_n: logistic, lam = 0, r = 1, KN = n + 1, strict modulo scaling, although the loss has infimum 0.

    All labels 1, u = v = e_n, and offsets that make every margin 0. Functionals: 4 (E_in + E_ni) for i < n; E_nn; and,
    first, what is missing to 2 diag(1, ..., 1, 0).

    1. M = 1/2 sum_k G_k = diag(1, ..., 1, 0), M e_n = 0: stationary.
    2. With x = (a, p), y = (b, t): q = -2 <a, b> >= -1/2 |a + b|^2 + 1/2 |a - b|^2, and the 4 (E_in + E_ni) add
       4 |a + b|^2, E_nn adds (p + t)^2 / 4: q + C vanishes only for a = b = 0, p = -t, the scaling:
       inertia (0, 1, rest).
    3. Along u = v = t (9, ..., 9, 2) the margins are t^2 (18 (n - 1) - 4) + 1, 144 t^2 and 4 t^2 - 1: all grow, and the
       loss tends to 0.
    """
    n = _positive("n", n)
    if n < 2:
        raise ValueError("L0_n needs n >= 2")
    rest = [_symmetric(n, i, n - 1, 4) for i in range(n - 1)] + [_matrix(n, n, {(n - 1, n - 1): 1})]
    total = _matrix(n, n, {(i, i): 2 for i in range(n - 1)})
    better = _matrix(n, 1, {(i, 0): 9 for i in range(n - 1)} | {(n - 1, 0): 2})
    point = _matrix(n, 1, {(n - 1, 0): 1})
    return _at_zero_margins(f"L0{n}", 0, _complete(total, rest), point, (0, 1, 2 * n - 1), better)


def _squared(
    name: str,
    lam: int,
    gradients: Sequence[Any],
    labels: Sequence[Any],
    point: Any,
    inertia: tuple[int, int, int],
    better: Any,
) -> Trap:
    """Return a squared trap without offsets. A single matrix in the place of a pair stands for u = v."""
    (u, v), better = (x if isinstance(x, tuple) else (x, x) for x in (point, better))
    zeros = (flint.fmpq(0),) * len(gradients)
    return Trap(
        name, "squared", flint.fmpq(lam), tuple(gradients), zeros, tuple(map(flint.fmpq, labels)), u, v, inertia, better
    )


def _at_zero_margins(
    name: str, lam: int, gradients: Sequence[Any], point: Any, inertia: tuple[int, int, int], better: Any
) -> Trap:
    """Return the logistic trap with labels 1 whose offsets cancel the fit of u = v = point."""
    offsets = tuple(-inner(g * point, point) for g in gradients)
    ones = (flint.fmpq(1),) * len(gradients)
    return Trap(
        name, "logistic", flint.fmpq(lam), tuple(gradients), offsets, ones, point, point, inertia, (better, better)
    )


def _complete(total: Any, rest: list[Any]) -> list[Any]:
    """Return [total - sum(rest), *rest]."""
    return [sum((-g for g in rest), total), *rest]


def _matrix(rows: int, columns: int, entries: Mapping[tuple[int, int], Any]) -> Any:
    out = flint.fmpq_mat(rows, columns)
    for (i, j), value in entries.items():
        out[i, j] = value
    return out


def _symmetric(size: int, i: int, j: int, value: Any) -> Any:
    """Return value (E_ij + E_ji), which is 2 value E_ii if i = j."""
    return value * (_matrix(size, size, {(i, j): 1}) + _matrix(size, size, {(j, i): 1}))


def _face(size: int, rank: int) -> Any:
    """Return [I_r; 0], shape (size, rank)."""
    return _matrix(size, rank, {(i, i): 1 for i in range(rank)})


def _positive(name: str, value: Any) -> int:
    if check_rank(name, value) == 0:
        raise ValueError(f"{name} is 0; pass a whole number >= 1")
    return int(value)
