r"""Rank reduction: the low-rank solution that Theorem 3.1 of Jang, Lee & Ryu (arXiv 2402.11867v3) promises, found.

Write delta_t = a_t b_t^T with balanced a_t = U sqrt(s), b_t = V sqrt(s), k_t columns each. For symmetric S_t and a
scalar tau, delta_t(tau) = a_t (I + tau S_t) b_t^T.

1. A(delta(tau)) = A(delta) + tau sum_t <T_t, S_t> with T_t = sym(a_t^T G b_t): d equations for sum_t k_t(k_t+1)/2
   unknowns. With more unknowns than independent equations some S != 0 leaves all fits where they are.
2. While I + tau S is positive semidefinite, delta_t(tau) = U P V^T with P >= 0, so its nuclear norm is
   tr a^T a (I + tau S): affine in tau.
3. At tau = -1/lambda_max(S) or -1/lambda_min(S) a column is lost. If S is indefinite both exist, and one does not raise
   the norm; if S >= 0 (or <= 0) the only one lowers it. So fits stay, the norm never rises, the rank falls.
4. At a minimiser with lam > 0 the norm cannot fall either, so it is kept: on the face lam |delta'|_* = <M, delta'>,
   a combination of the fits.
5. At the end sum_t r_t(r_t+1)/2 <= the number of independent equations <= d. For one block this is r(r+1)/2 <= KN; with
   several it says more than the bound block by block.

It is the argument of Barvinok (1995) and Pataki (1998) for extreme points of spectrahedra.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj

from lora_proofs.adapters import Adapter
from lora_proofs.display import Readable, show
from lora_proofs.linalg import like, to_numpy
from lora_proofs.ntk.points import balanced
from lora_proofs.ntk.problem import LinearizedProblem, check_problem
from lora_proofs.ntk.reductions import as_passed
from lora_proofs.ntk.types import Blocks, FloatArray

_INDEPENDENT = 1e-9
"""Singular values of the equations, relative to the largest, from which on they count as independent."""

_LOST = 1e-9
"""Eigenvalues of I + tau S up to which a column counts as lost; exactly, one of them is 0."""

_ROUNDING = 4 * np.finfo(float).eps
"""Singular values of an update, relative to the largest, up to which they count as 0."""

_NORM_SLACK = 1e-10
"""Relative change of the norm in one step below which the shorter step is taken, whatever its sign."""


@dataclass(frozen=True, eq=False, repr=False)
class ReducedRank(Readable):
    """The result of `reduce_rank`; unpacks as ``u, v = reduce_rank(...)``.

    Attributes
    ----------
    u, v : balanced factors, arrays or lists, as u and v were given, and of their library, dtype and device
    ranks_before, ranks : tuple of int
        One a block, before and after.
    equations : int
        Number of independent equations on the last face: sum r_t(r_t+1)/2 <= equations <= d.
    fit_change : float
        max |A(delta') - A(delta)| / max(|w0|, |A(delta)|), recomputed from the factors.
    norm_before, norm : float
        Sum of the nuclear norms, before and after.
    gap : float
        The least ratio, over the steps, of the smallest eigenvalue kept to the largest one dropped; inf without a step.
    """

    u: Any
    v: Any
    ranks_before: tuple[int, ...]
    ranks: tuple[int, ...]
    equations: int
    fit_change: float
    norm_before: float
    norm: float
    gap: float

    def __iter__(self) -> Iterator[Any]:
        return iter((self.u, self.v))

    @property
    def factors(self) -> list[tuple[Any, Any]]:
        """The pairs (u_t, v_t), one a block."""
        if is_array_api_obj(self.u):
            return [(self.u, self.v)]
        return list(zip(self.u, self.v, strict=True))

    def summary(self) -> tuple[str, dict[str, str]]:
        """See `Readable`."""
        rows = {
            "norm": f"{show(self.norm_before)} -> {show(self.norm)}",
            "fits": f"changed by {show(self.fit_change)}, {self.equations} equations",
        }
        return f"ranks {show(self.ranks_before)} -> {show(self.ranks)}", rows


def reduce_rank(problem: LinearizedProblem, u: Any, v: Any) -> ReducedRank:
    """Return factors of low rank with the same fits w and a nuclear norm that is no larger.

    Applied to a minimiser, it gives one with sum_t r_t(r_t+1)/2 <= d: Theorem 3.1, and its form for blocks. Elsewhere,
    as for a trained adapter, the objective does not rise.

    Parameters
    ----------
    problem : LinearizedProblem
    u, v : lists of arrays (m_t, r_t), (n_t, r_t), one a block; plain arrays if there is one block

    Returns
    -------
    ReducedRank

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from lora_proofs.ntk import LinearizedProblem, solve
    >>> rng = np.random.default_rng(0)
    >>> gradients, labels = rng.standard_normal((8, 1, 3, 4)), rng.standard_normal((8, 1))
    >>> problem = LinearizedProblem(gradients, 0 * labels, labels, "squared", 0.1)
    >>> ((u, v),) = solve(problem).factors
    >>> found = reduce_rank(problem, u, v)
    >>> found.ranks, found.fit_change < 1e-12
    ((2,), True)
    """
    check_problem(problem)
    passed = as_passed(problem, u)
    u, v = passed.reduce(u, v)
    pairs = [balanced(x, y, _ROUNDING) for x, y in zip(u, v, strict=True)]
    before = [a.shape[1] for a, _ in pairs]
    canonical = problem.canonical_loss.linear_rows
    forms = [
        _symmetrised(canonical(a.T @ block.matvec(b))) for block, (a, b) in zip(problem.blocks, pairs, strict=True)
    ]
    changes, equations, gap = _descend([a.T @ a for a, _ in pairs], forms)
    pairs = [balanced(a @ C, b @ C, _ROUNDING) for (a, b), C in zip(pairs, changes, strict=True)]

    new_u, new_v = [a for a, _ in pairs], [b for _, b in pairs]
    fits, new_fits = problem.apply_factors(u, v), problem.apply_factors(new_u, new_v)
    scale = max(float(np.abs(x).max()) for x in (problem.w0, fits))
    return ReducedRank(
        *passed.lift(new_u, new_v),
        ranks_before=tuple(before),
        ranks=tuple(a.shape[1] for a in new_u),
        equations=equations,
        fit_change=float(np.abs(new_fits - fits).max()) / scale if scale else 0.0,
        norm_before=sum(_nuclear_norm(x, y) for x, y in zip(u, v, strict=True)),
        norm=sum(_nuclear_norm(a, b) for a, b in pairs),
        gap=gap,
    )


def reduce_adapters(problem: LinearizedProblem, adapters: Sequence[Adapter]) -> list[Adapter]:
    """Return adapters of low rank with the same linearised outputs as the given ones, one a block.

    Parameters
    ----------
    problem : LinearizedProblem
        Its gradients belong to the weights that the adapters update, in the same order.
    adapters : list of Adapter
        Trained ones, of any rank and scaling. The new ones are balanced, with scaling 1 and in the same array library.

    Raises
    ------
    ValueError
        If the number or the shapes of the adapters do not fit the problem.
    """
    u = [adapter.scaling * np.asarray(to_numpy(adapter.B), dtype=float) for adapter in adapters]
    v = [np.asarray(to_numpy(adapter.A), dtype=float).T for adapter in adapters]
    pairs = reduce_rank(problem, u, v).factors
    return [Adapter(A=like(old.A, y.T.copy()), B=like(old.B, x)) for old, (x, y) in zip(adapters, pairs, strict=True)]


def _descend(grams: Blocks, forms: Blocks) -> tuple[Blocks, int, float]:
    """Return C_t with the reduced factors a_t C_t, b_t C_t, the number of equations, and the spectral gap.

    grams are a_t^T a_t; forms are the T_t, shape (d, k_t, k_t).
    """
    rng = np.random.default_rng(0)
    changes, gap = [np.eye(len(g)) for g in grams], float("inf")
    while True:
        S, equations = _null_direction(forms, rng)
        if S is None:
            return changes, equations, gap
        values, vectors = zip(*(np.linalg.eigh(s) for s in S), strict=True)
        spectrum = np.concatenate(values)
        norm = sum(float(np.trace(g)) for g in grams)
        tau = _step(float(spectrum.min()), float(spectrum.max()), _trace(S, grams), norm)
        spectrum = 1 + tau * spectrum
        dropped = max(np.abs(spectrum[spectrum <= _LOST]).max(), np.finfo(float).eps)
        gap = min(gap, float(spectrum[spectrum > _LOST].min(initial=np.inf) / dropped))
        steps = []
        for e, W in zip(values, vectors, strict=True):
            kept = 1 + tau * e > _LOST
            steps.append(W[:, kept] * np.sqrt(1 + tau * e[kept]))
        changes = [C @ step for C, step in zip(changes, steps, strict=True)]
        grams = [step.T @ g @ step for g, step in zip(grams, steps, strict=True)]
        forms = [step.T @ T @ step for T, step in zip(forms, steps, strict=True)]


def _null_direction(forms: Blocks, rng: np.random.Generator) -> tuple[Blocks | None, int]:
    """Return symmetric S_t != 0 with sum_t <T_t, S_t> = 0 in all d rows, if there are any; and the rank of the rows.

    A random S, less its part in the row space: it needs no basis of the null space, which is far larger.
    """
    corners = [np.triu_indices(T.shape[1]) for T in forms]
    weights = [np.where(i == j, 1.0, np.sqrt(2.0)) for i, j in corners]
    B = np.concatenate([T[:, i, j] * w for T, (i, j), w in zip(forms, corners, weights, strict=True)], axis=1)
    if not B.shape[1]:
        return None, 0
    _, s, rows = np.linalg.svd(B, full_matrices=False)
    rows = rows[s > _INDEPENDENT * s[0]]
    if B.shape[1] <= len(rows):
        return None, len(rows)
    z = np.asarray(rng.standard_normal(B.shape[1]))
    for _ in range(2):
        z = z / np.linalg.norm(z)
        z = z - (rows @ z) @ rows
    S, start = [], 0
    for T, (i, j), w in zip(forms, corners, weights, strict=True):
        s_t = np.zeros(T.shape[1:])
        s_t[i, j] = s_t[j, i] = z[start : start + len(w)] / w
        S.append(s_t)
        start += len(w)
    return S, len(rows)


def _step(lowest: float, highest: float, slope: float, norm: float) -> float:
    """Return the tau at which I + tau S turns singular: the shorter of both that does not raise the norm."""
    steps = sorted((-1 / x for x in (highest, lowest) if x), key=abs)
    steps = [tau for tau in steps if tau * lowest >= -1 - _LOST and tau * highest >= -1 - _LOST]
    return next((tau for tau in steps if tau * slope <= _NORM_SLACK * norm), steps[0])


def _nuclear_norm(u: FloatArray, v: FloatArray) -> float:
    return float(np.linalg.svd(np.linalg.qr(u)[1] @ np.linalg.qr(v)[1].T, compute_uv=False).sum())


def _symmetrised(forms: FloatArray) -> FloatArray:
    return (forms + forms.swapaxes(-1, -2)) / 2


def _trace(left: Blocks, right: Blocks) -> float:
    return sum(float(np.vdot(a, b)) for a, b in zip(left, right, strict=True))
