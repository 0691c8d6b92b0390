r"""How large a uniform rank must be, and how small it may be, for exact adapters: R in [lower, upper].

Zeng & Lee's Theorem 3 (arXiv 2310.17513v3) has the upper bound ceil(D / floor(L / Lbar)) and no lower one. The lower
bounds here are about targets with nonsingular, generic weights and the property

(U)  all target neurons are active together at some point of the interior of X, and from there each hidden neuron can be
     switched off alone: some point of the interior of X lies on its hyperplane and keeps all other neurons active.

For all generic weights some biases have it (with two layers: bbar_2 > 0 and -Wbar_1^{-1} bbar_1 inside X), and it is an
open condition. Let f be an adapted network that equals such a target on X.

*Rank.* On the region C where all target neurons are active f is affine with the Jacobian Wbar_Lbar ... Wbar_1, which is
a product of the adapted layers with 0/1 diagonal matrices in between. It is non-singular, so all of these are 1: every
neuron of f is active on C, and rank(Wbar_Lbar ... Wbar_1 - W_L ... W_1) <= L R.

*Kinks.* So the pre-activations of layer l are N_l x + c_l on C, N_l the product of the first l adapted layers. Take a
point y on the hyperplane of neuron i of target layer k as in (U), and beyond it a piece of f whose closure contains y.
There the Jacobian of f has the kernel M_k^{-1} e_i, M_k = Wbar_k ... Wbar_1. Some neurons of f are inactive on that
piece; let l be the first layer with one. In layer l the pre-activations on the piece are still N_l x + c_l, so those of
its inactive neurons are <= 0 there and >= 0 on C, hence 0 at y. As y varies, one of them, m, vanishes on a whole part
of the hyperplane: row m of N_l is a positive multiple of row i of M_k, and no other row is. So m is the only inactive
one for most y; the kernel then contains N_l^{-1} e_m, which must be a multiple of M_k^{-1} e_i. In other words: in
T = N_l M_k^{-1}, row m and column i are 0 but for one positive entry where they meet, and l < L since f > 0. *Every
hidden target neuron is bent by one neuron of one layer*, as `kinks` describes, and for generic weights a layer bends
neurons of one target layer only, since an entry of Wbar_k' ... Wbar_{k+1} would vanish otherwise.

*Count.* A layer that bends n neurons has n + (D - n)^2 free entries in T. Choose layers 0 = e_0 < ... < e_m = L. The
frozen products Pi_j of the layers in between are a smooth function of the T at the e_j, of the target, and of the
matrices N_{e_j} N_{e_{j-1}}^{-1} - Pi_j, which have rank at most (e_j - e_{j-1}) R. If the count of
`kinks.count` fails, the pairs (Pi_1, ..., Pi_m; target) depend on fewer parameters than they have entries, so they
have measure zero: for almost all frozen and target weights there are no exact adapters of rank R. (That the layers
take up the target's in order is not used.)

*Parameters.* Taking L = Lbar above, targets with (U) and generic weights are determined by their function up to scaling
and reordering. So L (R (2D - R) + D) >= Lbar D^2 + D, for almost every target, and *every* frozen model.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from lora_proofs.constructions.kinks.count import count_admits
from lora_proofs.constructions.kinks.system import solve_some_kinks
from lora_proofs.instances import relu_network
from lora_proofs.linalg import check_rank

_EQUATIONS = 150
"""Systems up to this size are tried, for some seconds altogether."""

LOWER = {
    "rank": "for almost all weights and targets with property (U): the product of the adapted layers must be the "
    "target's, as all neurons are active on an open set",
    "parameters": "for almost every target with property (U) and every frozen model: adapters and biases have too "
    "few parameters otherwise",
    "kinks": "for almost all frozen and target weights and targets with property (U): each hidden neuron is bent by "
    "one neuron of one layer, which leaves more equations than unknowns otherwise",
}
"""What each argument for a lower bound shows. Property (U) is defined at the top of this module's documentation."""

UPPER = {
    "Theorem 3": "for every target and all non-singular frozen weights, on every bounded domain",
    "gauge": "for all weights near those of a seeded random pair, by Krawczyk's test, and any biases, on every "
    "bounded domain: every target layer is imitated at another scale",
    "staggered": "for all weights near those of a seeded random pair, by Krawczyk's test, and any biases, on every "
    "bounded domain: the kinks of a target layer are shared by several layers",
}
"""What each argument for an upper bound shows."""


class _Bracket(NamedTuple):
    lower: int
    upper: int


class RequiredRank(_Bracket):
    """The pair (lower, upper), with the bound that each argument gives.

    Both ends hold together for almost all pairs of models of an open set: weights near those of the seeded pair, and
    biases for which the target has property (U).

    Attributes
    ----------
    lower_bounds, upper_bounds : dict from str to int
        What an argument means, and for which models it holds, is said by `LOWER` and `UPPER`.
    """

    lower_bounds: dict[str, int]
    upper_bounds: dict[str, int]

    def __new__(cls, lower_bounds: dict[str, int], upper_bounds: dict[str, int]) -> "RequiredRank":
        """Make the bracket from the largest lower and the smallest upper bound."""
        bracket = super().__new__(cls, max(lower_bounds.values()), min(upper_bounds.values()))
        bracket.lower_bounds, bracket.upper_bounds = lower_bounds, upper_bounds
        return bracket

    @property
    def lower_argument(self) -> str:
        """The argument for the lower end, with its hypotheses; of several the one with the fewest."""
        name = max(LOWER, key=lambda name: self.lower_bounds[name])
        return f"{name}: {LOWER[name]}"

    @property
    def upper_argument(self) -> str:
        """The argument for the upper end, with its hypotheses; of several the one with the fewest."""
        name = min((name for name in UPPER if name in self.upper_bounds), key=lambda name: self.upper_bounds[name])
        return f"{name}: {UPPER[name]}"


def required_rank(D: int, L: int, Lbar: int, seed: int = 0) -> RequiredRank:
    """Return bounds of the least uniform rank with which generic ReLU networks are adapted to generic targets exactly.

    Parameters
    ----------
    D, L, Lbar : int
        Width of both networks, depth of the frozen one, and depth of the target, 1 <= Lbar <= L.
    seed : int
        Of the pair of random networks for which smaller ranks than Theorem 3's are certified.

    Returns
    -------
    RequiredRank
        The pair (lower, upper), with its arguments; (7, 7) for (D, L, Lbar) = (16, 4, 2).

    Raises
    ------
    ValueError
        If D, L and Lbar are not such numbers, or the seed is no whole number >= 0.

    Examples
    --------
    >>> found = required_rank(4, 2, 1)
    >>> found.lower, found.upper
    (2, 2)
    """
    for name, value in (("D", D), ("L", L), ("Lbar", Lbar)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} is {value!r}; pass a whole number >= 1")
    if Lbar > L:
        raise ValueError(f"the target has {Lbar} layers, the frozen network only {L}; pass Lbar <= L")
    return _bracket(int(D), int(L), int(Lbar), check_rank("seed", seed))


@lru_cache(maxsize=256)
def _bracket(D: int, L: int, Lbar: int, seed: int) -> RequiredRank:
    theorem_3 = -(-D // (L // Lbar))
    lower = {
        "rank": -(-D // L),
        "parameters": next(R for R in range(1, D + 1) if Lbar * D * D + D <= L * (R * (2 * D - R) + D)),
    }
    least = max(lower.values())
    lower["kinks"] = next(R for R in range(least, theorem_3 + 1) if count_admits(D, [R] * L, (Lbar - 1) * D))
    upper = {"Theorem 3": theorem_3}
    for R in range(lower["kinks"], theorem_3):
        method = _certified(D, L, Lbar, R, seed)
        if method:
            upper[method] = R
            break
    return RequiredRank(lower, upper)


def _certified(D: int, L: int, Lbar: int, R: int, seed: int) -> str:
    """Name the construction that is certified to exist at rank R for the seeded pair; empty if none was."""
    rng = np.random.default_rng(seed)
    frozen, target = relu_network(rng, D, L), relu_network(rng, D, Lbar)
    for solution, root in solve_some_kinks(frozen, target, [R] * L, rng, _EQUATIONS):
        if solution.existence(root).holds:
            return "gauge" if len(solution.nodes) == Lbar else "staggered"
    return ""
