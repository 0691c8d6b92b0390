"""Zeng & Lee, Lemma 1: adapters that turn a product of frozen matrices into a target (arXiv 2310.17513v3)."""

from collections.abc import Sequence

from lora_proofs.constructions.chain.factor_pair import adapt_factor_pair
from lora_proofs.constructions.chain.rational_chain import adapt_rational_chain
from lora_proofs.constructions.chain.square_chain import AdaptedChain, adapt_square_chain
from lora_proofs.exact.matrices import is_rational
from lora_proofs.linalg import Array, check_list


def adapt_linear_chain(frozen: Sequence[Array], target: Array, ranks: int | Sequence[int]) -> AdaptedChain:
    r"""Return adapters of the given ranks that bring W_L ... W_1 as close to the target as adapters of these ranks can.

    Zeng & Lee, Lemma 1 (one rank for all layers) and its appendix form with a rank for each layer, arXiv 2310.17513v3,
    without the assumption on Pi + LR_r(E): the minimum over all adapters of ||prod (W_l + Delta_l) - target||_2 is
    sigma_{sum R_l + 1}(target - Pi), and the returned ones attain it.

    Parameters
    ----------
    frozen : list of L arrays (D, D)
        W_1, ..., W_L in the order of application, of any array library, or of mpf objects (`precision.lift`).
        W_2, ..., W_L must be non-singular. A pair may be rectangular, (d, n) and (D, d), as in an attention head: then
        `adapt_factor_pair` adapts it, and ``bound`` is a lower bound that the best adapters need not meet.
    target : array (D, D), or (D, n)
        May be singular.
    ranks : int or L ints
        R, or R_1, ..., R_L; zeros allowed.

    Returns
    -------
    AdaptedChain

    Raises
    ------
    ValueError
        If the input is malformed, if one of W_2, ..., W_L is singular, or if W_1 is so singular that its adapter
        cannot repair it.

    Examples
    --------
    >>> import numpy as np
    >>> from lora_proofs import instances
    >>> rng = np.random.default_rng(0)
    >>> frozen, target = instances.chain(rng, 4, 2), instances.uniform(rng, 4)
    >>> adapted = adapt_linear_chain(frozen, target, 2)  # two ranks of two make up for four
    >>> bool(adapted.error < 1e-12), [adapter.rank for adapter in adapted.adapters]
    (True, [2, 2])
    """
    frozen = check_list("frozen", frozen)
    rectangular = any(len(set(getattr(W, "shape", ()))) > 1 for W in frozen)
    adapt = adapt_factor_pair if len(frozen) == 2 and rectangular else adapt_square_chain
    return adapt(frozen, target, ranks)


def adapt_chain(frozen: Sequence[Array], target: Array, ranks: int | Sequence[int]) -> AdaptedChain:
    """Return what `adapt_linear_chain` does in the arithmetic of the target: over Q by `adapt_rational_chain`."""
    return (adapt_rational_chain if is_rational(target) else adapt_linear_chain)(frozen, target, ranks)
