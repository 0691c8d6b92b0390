"""Search the instances of a claim for the one that comes closest to breaking it.

The instance space is the claim's own: the points of its grid, and the random numbers that its check draws. An
`Instance` fixes both; its *tape* holds the random numbers, one real coordinate for each, so that an optimiser can move
them. Every instance is judged by `verify`, and the search climbs on the ratio of the settled verdict: what more digits
take back attracts it no longer than it takes to look.

``case.rng`` is under the search's control: a check draws its instance, all of it, from there, and raises `OutOfScope`
where a hypothesis is false, the genericity behind an "almost surely" among them. Random numbers of a method (a point at
which a generic rank is measured, the start of a minimiser) come from ``case.rng.spawn(1)[0]``, which is left alone. A
case of other parameters comes from ``case.derive(...)``: a new `Case` would draw what no search can move.
"""

from lora_proofs.falsify.instance import Evaluation, Instance, closeness, evaluate
from lora_proofs.falsify.search import BUDGET, Search, falsify
from lora_proofs.falsify.tape import Reel, Tape

__all__ = ["BUDGET", "Evaluation", "Instance", "Reel", "Search", "Tape", "closeness", "evaluate", "falsify"]


def __dir__() -> list[str]:
    return __all__
