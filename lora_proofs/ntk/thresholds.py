r"""Which LoRA rank suffices: the rules of the literature and their sharp forms, side by side.

"Suffices" means: every second-order stationary point (SOSP) of L(u, v) is a global minimum of the convex problem.
As in `LinearizedProblem` there are d canonical rows and blocks of shape m_t x n_t, rank r in each. At a SOSP let
rho = -phi'(w)/N, M_t = sum_k rho_k G_k^(t), H = phi''(w)/N, h = rank H; the Hessian is q + C with

    q(x, y) = lam (|x|^2 + |y|^2) - 2 <M, x y^T>,    C(x, y) = J^T H J,    J(x, y) = A(x v^T + u y^T).

Why the sharp rule, r(r+3)/2 > d, for lam > 0 and almost every G. Let (u, v) be a SOSP that is not global.

1. Some block has sigma_1(M) > lam, or (u, v) would be optimal; u_1, v_1 its pair. If u z = v z = 0 for a unit z, then
   J(u_1 z^T, v_1 z^T) = 0 and q = 2 (lam - sigma_1) < 0. So [u; v] has rank r, and since M v = lam u, M^T u = lam v,
   lam is a singular value of M of multiplicity mu >= r.
2. Multiplicity mu has codimension mu(mu+1)/2, for all m and n. G -> M is onto for each rho != 0, and rho has d
   dimensions: for almost every G, mu(mu+1)/2 <= d. As d < r(r+3)/2 < (r+1)(r+2)/2, mu = r: u = U_0 R, v = V_0 R with R
   invertible. Scaling rho shows that the exceptional G are the same for all lam.
3. A is injective on the face {U_0 S V_0^T: S symmetric}, of dimension p = r(r+1)/2. Else A(X) = 0 for some X,
   0 = <M, X> = lam tr S, and so p > 1. Then the d conditions <G_k, X> = 0 are d - 1 beyond what M says, and
   (G, rho, [S]) has dim G + d - p + (p - 2) - (d - 1) = dim G - 1 dimensions: not almost every G.
4. On W = {(u_1 t^T, v_1 t^T)} + N with N = {(U_0 T, V_0 T)}, q <= 0 with kernel N. Since q + C >= 0 there, C vanishes
   on W only inside N: rank C >= r + rank(C|N).
5. J(N) = A(face) has dimension p and H a kernel of dimension d - h, so rank(C|N) >= p - (d - h), while rank C <= h:
   d >= p + r = r(r+3)/2.

For any G, in step 5: J(u, v) != 0, because <M, u v^T> = lam |u v^T|_* > 0, replaces p by 1, so r >= d suffices. And r
singular values lam beside a larger one need r < min(m, n), so r >= min(m_t, n_t) in all blocks suffices.

Why d <= r max(m_t, n_t) for lam = 0 and almost every G. Let (u, v) be a SOSP that is not global; then some M != 0.

6. M v = 0 and M^T u = 0. If v z = 0 for a unit z, then x = a z^T, y = e b z^T with <a, M b> > 0 have q < 0 of order e
   and C of order e^2: a contradiction. So u and v have rank r, and s = rank M <= min(m, n) - r.
7. A is injective on ker M^T (x) ker M, by the count of step 3: (d - 1) + (dim G - c) + (c - 1) - (d - 1) = dim G - 1
   with c = (m - s)(n - s), the codimension of rank s.
8. q has index r s, and kernel N = {M^T x = 0, M y = 0}, where x v^T + u y^T fills r(m - s) + r(n - s) - r^2 dimensions.
   rho^T J = 0 leaves J at most d - 1. As in steps 4 and 5 (a kernel of H takes no less from J than from J(N)),
   d - 1 >= r s + r(m - s) + r(n - s) - r^2 = r (m + n - s - r) >= r max(m, n).

For any G, step 8 still has d - 1 >= r s >= r: again r >= d suffices. `traps` has instances that miss the rules by one.

The papers' rules: Jang, Lee & Ryu, arXiv 2402.11867v3, Theorems 3.1 and 4.1; Park, arXiv 2605.03724 (as recalled).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import TYPE_CHECKING

from lora_proofs.display import html_table, text_table
from lora_proofs.linalg import check_rank
from lora_proofs.ntk.problem import LinearizedProblem

if TYPE_CHECKING:  # a table of sizes needs no solver
    from lora_proofs.ntk.solvers.solve import Solution

_CAPACITY = Fraction(27, 20)
"""The constant C* of the capacity rule, from the abstract of arXiv 2605.03724."""


@dataclass(frozen=True)
class Threshold:
    """One rule.

    Attributes
    ----------
    name : str
        "existence", "theorem 4.1", "canonical rows", "sharp", "any gradients", "lam = 0", "capacity", "optimum".
    rank : int or None
        The smallest rank that the rule admits (for "existence": the largest that a solution needs); None if no rank.
    condition, hypotheses, evidence : str
    applies : bool
        Whether lam, where it is known, is one that the rule is about.
    """

    name: str
    rank: int | None
    condition: str
    hypotheses: str
    evidence: str
    applies: bool = True


@dataclass(frozen=True)
class Thresholds:
    """The rules for one problem; ``table["sharp"].rank``, iteration, and a readable ``repr``."""

    title: str
    rules: tuple[Threshold, ...]

    def __iter__(self) -> Iterator[Threshold]:
        return iter(self.rules)

    def __getitem__(self, name: str) -> Threshold:
        for rule in self.rules:
            if rule.name == name:
                return rule
        raise KeyError(f"no rule {name!r}; there are {', '.join(rule.name for rule in self.rules)}")

    def _cells(self) -> list[tuple[str, ...]]:
        def cells(rule: Threshold) -> tuple[str, ...]:
            hypotheses = rule.hypotheses if rule.applies else f"not at this lam: {rule.hypotheses}"
            return rule.name, "-" if rule.rank is None else str(rule.rank), rule.condition, hypotheses, rule.evidence

        return [("rule", "rank", "condition", "hypotheses", "evidence"), *map(cells, self.rules)]

    def __repr__(self) -> str:
        return "\n".join([self.title, *text_table(self._cells())])

    def _repr_html_(self) -> str:
        head, *rows = self._cells()
        return html_table(self.title, rows, head)


def thresholds(
    problem: LinearizedProblem | None = None,
    solution: "Solution | None" = None,
    *,
    N: int | None = None,
    K: int | None = None,
    shapes: Sequence[tuple[int, int]] | None = None,
    loss: str | None = None,
    lam: float | None = None,
) -> Thresholds:
    """Return the rank rules for a problem, or for sizes alone, each with its hypotheses and evidence.

    Parameters
    ----------
    problem : LinearizedProblem, optional
    solution : result of `solve`, optional
        Adds the rank of the certified optimum: no smaller rank can reach it, whatever the landscape.
    N, K : int; shapes : list of (m_t, n_t); loss : str
        Instead of a problem.
    lam : float, optional
        Marks the rules that are not about this lam; taken from the problem if there is one.

    Returns
    -------
    Thresholds

    Raises
    ------
    ValueError
        If neither a problem nor all of N, K, shapes and loss are given, or both, or a size is not positive.

    Examples
    --------
    >>> table = thresholds(N=32, K=2, shapes=[(768, 768)] * 2, loss="cross_entropy")
    >>> [(rule.name, rule.rank) for rule in table][1:5]
    [('theorem 4.1', 11), ('canonical rows', 8), ('sharp', 7), ('any gradients', 32)]
    """
    sizes = (N, K, shapes, loss)
    if problem is not None:
        if any(x is not None for x in (*sizes, lam)):
            raise ValueError("a problem and sizes are given; pass the problem alone, or N, K, shapes and loss")
        N, K, shapes, loss, lam = problem.N, problem.K, problem.shapes, problem.loss, problem.lam
    if N is None or K is None or shapes is None or loss is None:
        raise ValueError("pass a LinearizedProblem, or all of N, K, shapes and loss")
    d = _canonical_rows(N, K, loss)
    if not shapes or any(check_rank("a size in shapes", k) == 0 for shape in shapes for k in shape):
        raise ValueError(f"shapes is {shapes!r}; pass a list of one (m, n) a block, both at least 1")
    regularised, unregularised = lam is None or lam > 0, lam is None or lam == 0
    small = max(min(shape) for shape in shapes)
    rules = [
        Threshold(
            "existence",
            min(_triangular(d), small),
            f"sum r_t(r_t+1)/2 <= d = {d}",
            "a minimiser exists (always for lam > 0)",
            "Theorem 3.1; proof and algorithm in reduce_rank",
        ),
        Threshold(
            "theorem 4.1",
            _triangular(K * N) + 1,
            f"r(r+1)/2 > KN = {K * N}",
            "almost every perturbation P, any G",
            "Theorem 4.1 of arXiv 2402.11867v3",
        ),
        Threshold(
            "canonical rows",
            _triangular(d) + 1,
            f"r(r+1)/2 > d = {d}",
            "as Theorem 4.1",
            "its proof, with the rows that the loss sees",
        ),
        Threshold(
            "sharp",
            min(next(r for r in range(d + 2) if r * (r + 3) > 2 * d), small),
            f"r(r+3)/2 > d = {d}",
            "lam > 0, almost every G, P = 0",
            "steps 1-5; traps.family_b misses it by one",
            regularised,
        ),
        Threshold(
            "any gradients",
            min(d, small),
            f"r >= d = {d}, or r >= min(m, n)",
            "P = 0, any G, any lam",
            "steps 1-5 and 8; traps.family_c misses it by one",
        ),
        Threshold(
            "lam = 0",
            max(min(-(-d // max(shape)), min(shape)) for shape in shapes),
            f"d = {d} <= r max(m, n)",
            "lam = 0, almost every G, P = 0",
            "steps 6-8; traps.family_d misses it by one",
            unregularised,
        ),
        _capacity_rule(K * N, shapes, unregularised),
    ]
    if solution is not None:
        rules.append(_optimum(solution))
    title = f"N = {N}, K = {K}, {loss}, d = {d}, blocks {', '.join(f'{m} x {n}' for m, n in _distinct(shapes))}"
    return Thresholds(title if lam is None else f"{title}, lam = {lam:g}", tuple(rules))


def _capacity_rule(KN: int, shapes: Sequence[tuple[int, int]], applies: bool) -> Threshold:
    """Return Park's rule r(m + n) - r^2 > C* KN, summed over the blocks."""

    def capacity(r: int) -> int:
        return sum(min(r, m, n) * (m + n - min(r, m, n)) for m, n in shapes)

    ranks = range(1, max(min(shape) for shape in shapes) + 1)
    return Threshold(
        "capacity",
        next((r for r in ranks if capacity(r) > _CAPACITY * KN), None),
        f"r(m+n) - r^2 > {float(_CAPACITY)} KN = {float(_CAPACITY * KN):g}",
        "lam = 0, Gaussian features, typical labels (as recalled)",
        "numerical, arXiv 2605.03724; for all labels false: traps.family_d(4), traps.logistic_unregularised(4)",
        applies,
    )


def _optimum(solution: "Solution") -> Threshold:
    return Threshold(
        "optimum",
        max(solution.ranks),
        f"r >= rank of the optimum, {solution.ranks} by block",
        "this problem; another optimum may have another rank",
        f"value in [{solution.lower:.12g}, {solution.upper:.12g}], spectral gap {solution.spectral_gap:.1e}",
    )


def _canonical_rows(N: int, K: int, loss: str) -> int:
    if check_rank("N", N) == 0 or check_rank("K", K) == 0:
        raise ValueError(f"N = {N} and K = {K} are given; pass at least one datum and one output")
    rows = {"squared": K * N, "logistic": N, "cross_entropy": (K - 1) * N}
    if loss not in rows:
        raise ValueError(f"loss is {loss!r}; pass 'squared', 'logistic' or 'cross_entropy'")
    if (loss == "logistic") != (K == 1) and loss != "squared":
        raise ValueError(
            f"the loss {loss!r} does not go with K = {K}: the logistic has one output, cross-entropy several"
        )
    return rows[loss]


def _triangular(d: int) -> int:
    """Return the largest r with r(r+1)/2 <= d."""
    return (isqrt(8 * d + 1) - 1) // 2


def _distinct(shapes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    return list(dict.fromkeys((m, n) for m, n in shapes))
